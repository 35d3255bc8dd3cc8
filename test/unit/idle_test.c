/* What lies idle goes back, by a clock of the test's own: nobody waits. */
#include "unit/unit.h"

#include "large.h"
#include "slices.h"
#include "spare.h"
#include "support/pattern.h"

#include <string.h>
#include <sys/syscall.h>
#include <time.h>

enum { MIB = 1 << 20 };

static uint64_t clock_ms = 1000;

/* The heap's clock is this one. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
    (void)clock;
    *now = (struct timespec){(time_t)(clock_ms / 1000), (long)(clock_ms % 1000) * 1000000};
    return 0;
}

/* What went so far, in slices: pages, and whole chunks where such wait for another class. */
static uint64_t gone(void)
{
    return stats_get(STAT_PAGES_PURGED) + stats_get(STAT_CHUNKS_RESTED) * MOAT_CHUNK_SLICES;
}

/* Half a second, and no more, is what the memory of a freed large block waits for the next one. */
static void spare_memory_waits_half_a_second(void)
{
    for (unsigned ms = 400; ms <= 600; ms += 200) {
        char *block = moat_malloc(5 * MIB);
        bool is_in_cage = large_area_has(block);
        memset(block, 0x66, 5 * MIB);
        moat_free(block);
        clock_ms += ms;
        spare_tick();
        block = moat_malloc(5 * MIB);
        if (is_in_cage)
            EXPECT_EQ(pattern_is_zero(block, 5 * MIB), ms > 500);
        moat_free(block);
        spare_trim();
    }
}

/* Releases so many pages of a class, so that they lie idle; what is too much goes at once, at a rate of its own. */
static void leave_idle(unsigned class, size_t count)
{
    static struct record *pages[2000];
    for (size_t i = 0; i < count; i++)
        pages[i] = page_open(heap_of_thread(), class);
    for (size_t i = 0; i < count; i++)
        page_release(heap_of_thread(), pages[i]);
}

/* After half a second idle pages go, 16 for each millisecond since the last look (1 MiB, which takes an eighth of that), and
 * at most a chunk more. Asked again at the same time, none goes, and nobody is told to ask. */
static void idle_pages_go_in_an_eighth_of_the_time(void)
{
    enum { PAGES = 1900, RATE = 16, TICK_MS = 20, LEFT = 128 };

    slices_trim();
    uint64_t first = gone();
    leave_idle(class_of_bytes(700), PAGES);
    clock_ms += 490;
    slices_tick();
    uint64_t before = gone();
    EXPECT(before - first < PAGES / 2);
    for (unsigned tick = 0; tick < 4; tick++) {
        clock_ms += TICK_MS;
        slices_tick();
        EXPECT(tick == 0 || gone() - before >= RATE * TICK_MS - MOAT_CHUNK_SLICES);
        EXPECT(gone() - before <= RATE * TICK_MS + MOAT_CHUNK_SLICES);
        before = gone();
        for (unsigned again = 0; again < 5; again++)
            slices_tick();
        EXPECT_EQ(gone(), before);
        EXPECT_EQ(slices_wait, 0);
    }
    clock_ms += 10000; /* a long rest gives all of it back */
    slices_tick();
    EXPECT(gone() - first >= PAGES - LEFT);
    EXPECT_EQ(slices_wait, 0);
}

int main(void)
{
    moat_free(moat_malloc(1));
    spare_memory_waits_half_a_second();
    idle_pages_go_in_an_eighth_of_the_time();
    EXPECT(moat_heap_is_valid());
    return expect_done();
}

/* Threads whose end cannot be seen. The program has taken every pthread key before the library could make its own: each
 * thread that uses the heap is counted, its pages stay its own after its end, and its blocks can be freed all the same.
 */
#include "unit/unit.h"

#include "support/pattern.h"

#include <limits.h>

enum { THREADS = 5, BLOCKS = 300 };

static unsigned keys_taken;

/* Before the constructors of all libraries. */
static void take_all_keys(int count, char **arguments, char **environment)
{
    pthread_key_t key;
    (void)count, (void)arguments, (void)environment;
    while (keys_taken <= PTHREAD_KEYS_MAX && pthread_key_create(&key, NULL) == 0)
        keys_taken++;
}

__attribute__((section(".preinit_array"), used)) static void (*const before_all)(int, char **, char **) = take_all_keys;

static char *left[BLOCKS];
static uint64_t owner_of_left;

static void *leave_blocks(void *unused)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        left[i] = moat_malloc(500);
        pattern_fill(left[i], 500, i);
    }
    owner_of_left = unit_page_of(left[0])->owner;
    return unused;
}

static void *use_no_heap(void *unused)
{
    return unused;
}

int main(void)
{
    EXPECT(keys_taken > 0);
    moat_free(moat_malloc(100));
    uint64_t before = stats_get(STAT_ENDS_UNSEEN);
    EXPECT_EQ(before, 1); /* the first thread's */
    unit_in_thread(use_no_heap, NULL);
    EXPECT_EQ(stats_get(STAT_ENDS_UNSEEN), before);

    for (unsigned i = 1; i <= THREADS; i++) {
        unit_in_thread(leave_blocks, NULL);
        EXPECT_EQ(stats_get(STAT_ENDS_UNSEEN), before + i);
        size_t kept = 0, whole = 0;
        for (size_t j = 0; j < BLOCKS; j++) {
            kept += unit_page_of(left[j])->owner == owner_of_left;
            whole += pattern_holds((const unsigned char *)left[j], 500, j);
            moat_free(left[j]);
        }
        EXPECT_EQ(kept, BLOCKS);
        EXPECT_EQ(whole, BLOCKS);
        EXPECT(moat_heap_is_valid());
    }
    return expect_done();
}

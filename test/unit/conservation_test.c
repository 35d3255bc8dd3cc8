/* No block is lost and none is had twice, whatever happens between malloc and the pages: any sizes in any order, frees by other
 * threads, trims, looks for what lies idle, ends of threads, and children by fork, _Fork and clone that begin anywhere in
 * between. Where there are states, each block's is compared with what the program has and the magazines say; in the end all
 * is freed, and then no page may be missing at the trim.
 */
#include "unit/unit.h"

#include "os/os.h"
#include "remote.h"

#include <string.h>
#include <sys/syscall.h>

enum { SLOTS = 3000, SIZES = 6 };
static const size_t sizes[SIZES] = {40, 100, 500, 1000, 2000, 9000};

/* All that the program has. */
static struct {
    void *slot[SLOTS];
    size_t live[MOAT_SMALL_CLASSES];
} program;

static bool complain(const char *what, unsigned class, size_t is, size_t should)
{
    expect_say("  class %u: %zu %s, should be %zu\n", class, is, what, should);
    return false;
}

/* What the states of the class's pages say is what program, magazine and remote lists have. */
static bool class_adds_up(const struct heap *heap, unsigned class)
{
    size_t live = 0, kept = 0, waiting = 0, all = 0;
    for (uint32_t slice = heap->queue[class].owned; slice; slice = record_of_slice(slice)->owned_next) {
        const struct record *page = record_of_slice(slice);
        for (size_t i = 0; i < page->carved; i++)
            live += hook_is_live(page_start(page) + i * page->block_bytes);
        kept += unit_kept_in(page);
        waiting += remote_count(page->remote);
        all += page->carved;
    }
    size_t should = hook_kept(&heap->shelf, class) + hook_set_aside(&heap->shelf, class);
    if (HOOK_HAS_MAGAZINES && kept != should)
        return complain("blocks have the state of kept or unused ones", class, kept, should);
    if (MOAT_WITH_STATES && live != program.live[class])
        return complain("blocks are live", class, live, program.live[class]);
    return program.live[class] + kept + waiting <= all ||
           complain("blocks are carved", class, all, program.live[class]);
}

static bool all_adds_up(void)
{
    for (unsigned class = 0; class < MOAT_SMALL_CLASSES; class ++)
        if (!class_adds_up(moat_self.heap, class))
            return false;
    return moat_heap_is_valid();
}

/* Small blocks only: their first word says whose they are, so that a block given twice is noticed at its free. */
static void take(size_t slot, size_t bytes)
{
    uint64_t *block = moat_malloc(bytes);
    if (!EXPECT(block && !program.slot[slot]))
        return;
    *block = slot;
    program.slot[slot] = block;
    program.live[unit_page_of(block)->class]++;
}

static void *give_up(size_t slot)
{
    void *block = program.slot[slot];
    EXPECT_EQ(*(uint64_t *)block, slot);
    program.live[unit_page_of(block)->class]--;
    program.slot[slot] = NULL;
    return block;
}

struct gift {
    void *block[64];
    size_t count;
};

static void *free_gift(void *argument)
{
    struct gift *gift = argument;
    for (size_t i = 0; i < gift->count; i++)
        moat_free(gift->block[i]);
    return NULL;
}

static void free_by_another_thread(struct rng *rng)
{
    struct gift gift = {.count = 0};
    for (size_t i = rng_below(rng, SLOTS); gift.count < 64 && i < SLOTS; i++)
        if (program.slot[i])
            gift.block[gift.count++] = give_up(i);
    unit_in_thread(free_gift, &gift);
}

/* Leaves pages without an owner, with blocks that the program has from now on. */
static void *take_and_end(void *argument)
{
    struct gift *gift = argument;
    for (size_t i = 0; i < 64; i++)
        gift->block[i] = moat_malloc(sizes[i % SIZES]);
    for (size_t i = 0; i < gift->count; i++)
        moat_free(gift->block[63 - i]);
    return NULL;
}

/* The blocks are freed by this thread, so that it takes over their pages. */
static void free_what_a_thread_left(struct rng *rng)
{
    struct gift gift = {.count = rng_below(rng, 64)};
    unit_in_thread(take_and_end, &gift);
    for (size_t i = 0; i < 64 - gift.count; i++)
        moat_free(gift.block[i]);
}

/* The time since the last look for what lies idle is over. */
static void let_time_pass(void)
{
    moat_self.heap->looked_at_ms = (uint32_t)os_now_ms() - 1000000;
    moat_self.heap->until_look = 0;
}

/* Waves: more mallocs of a size, then more frees, so that all parts fill and empty. */
static void operate(struct rng *rng, size_t operations, bool has_threads)
{
    for (size_t i = 0; i < operations; i++) {
        size_t slot = rng_below(rng, SLOTS), choice = rng_below(rng, 1000);
        bool grows = i / 4000 % 2 == 0;
        if (choice == 0)
            moat_malloc_trim(0);
        else if (choice < 3)
            let_time_pass();
        else if (choice == 3 && has_threads)
            free_by_another_thread(rng);
        else if (choice == 4 && has_threads)
            free_what_a_thread_left(rng);
        else if (program.slot[slot] && (!grows || choice % 4 == 0))
            moat_free(give_up(slot));
        else if (!program.slot[slot] && (grows || choice % 4 == 0))
            take(slot, sizes[(slot + i / 1000) % SIZES] - rng_below(rng, 8));
    }
}

/* What other threads freed stands on remote lists until there is enough of it. */
static void collect_all(struct heap *heap)
{
    for (unsigned class = 0; class < MOAT_SMALL_CLASSES; class ++) {
        uint32_t next;
        for (uint32_t slice = heap->queue[class].owned; slice; slice = next) {
            struct record *page = record_of_slice(slice);
            next = page->owned_next;
            if (remote_is_waiting(page))
                page_took_back(heap, page, remote_collect(page));
        }
    }
}

/* Answers how many pages of small blocks are left: 0. */
static size_t end_of_all(void)
{
    size_t pages = 0;
    for (size_t slot = 0; slot < SLOTS; slot++)
        if (program.slot[slot])
            moat_free(give_up(slot));
    struct heap *heap = heap_of_thread();
    heap_drain_woken(heap);
    collect_all(heap);
    moat_malloc_trim(0);
    for (unsigned class = 0; class < MOAT_SMALL_CLASSES; class ++)
        pages += heap->queue[class].page_count;
    return pages;
}

static void heap_conserves_blocks(struct rng *rng, size_t rounds)
{
    for (size_t round = 0; round < rounds && expect_failures() == 0; round++) {
        operate(rng, 1000, true);
        EXPECT(all_adds_up());
    }
    EXPECT_EQ(end_of_all(), 0);
    EXPECT(all_adds_up());
}

/* ---- children ---- */

static pid_t child_by(size_t way)
{
    if (way % 3 == 0)
        return fork();
    return way % 3 == 1 ? _Fork() : (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

/* The first thing that a child does finds the desk wiped, so it is each thing in turn. */
static void begin_with(size_t what, struct rng *rng)
{
    size_t slot = rng_below(rng, SLOTS);
    switch (what % 4) {
    case 0:
        if (!program.slot[slot])
            take(slot, sizes[what / 4 % SIZES]);
        break;
    case 1:
        for (size_t i = 0; i < SLOTS && !program.slot[slot]; i++)
            slot = (slot + 1) % SLOTS;
        if (program.slot[slot])
            moat_free(give_up(slot));
        break;
    case 2:
        moat_malloc_trim(0);
        break;
    default:
        break;
    }
}

static _Noreturn void live_as_child(size_t number, struct rng *rng)
{
    begin_with(number, rng);
    operate(rng, 1 + rng_below(rng, 3000), false);
    if (!all_adds_up())
        _exit(1);
    size_t pages = end_of_all();
    if (pages != 0)
        expect_say("  child %zu: %zu pages are missing at the end\n", number, pages);
    _exit(pages == 0 && all_adds_up() && expect_failures() == 0 ? 0 : 1);
}

static void children_conserve_blocks(struct rng *rng, size_t children)
{
    for (size_t i = 0; i < children && expect_failures() == 0; i++) {
        operate(rng, 1 + rng_below(rng, 1500), false);
        pid_t child = child_by(i / 4);
        if (child == 0)
            live_as_child(i, rng);
        if (!EXPECT_EQ(child_wait(child), 0))
            expect_say("  child %zu\n", i);
    }
    EXPECT_EQ(end_of_all(), 0);
    EXPECT(all_adds_up());
}

/* A child whose first call is a free into a page that a thread left, of a class of which malloc's shelf holds some. */
static void *leave_one(void *block)
{
    *(void **)block = moat_malloc(sizes[0]);
    return NULL;
}

static void child_takes_over_a_page_first(struct rng *rng, size_t children)
{
    const unsigned class = class_of_bytes(sizes[0]);
    for (size_t i = 0; i < children && expect_failures() == 0; i++) {
        void *left;
        for (size_t slot = 0; slot < 200; slot++)
            take(slot, sizes[0]);
        for (size_t slot = 0; slot < 200; slot++)
            moat_free(give_up(slot));
        for (size_t slot = 0; slot < i % 20; slot++)
            take(slot, sizes[0]);
        unit_in_thread(leave_one, &left);
        pid_t child = child_by(i);
        if (child == 0) {
            moat_free(left);
            size_t end = 100 + rng_below(rng, 100);
            for (size_t slot = 100; slot < end; slot++)
                take(slot, sizes[0]);
            bool adds_up = class_adds_up(moat_self.heap, class);
            _exit(adds_up && end_of_all() == 0 && all_adds_up() ? 0 : 1);
        }
        if (!EXPECT_EQ(child_wait(child), 0))
            expect_say("  child %zu\n", i);
        moat_free(left);
        EXPECT_EQ(end_of_all(), 0);
    }
}

int main(void)
{
    uint64_t seed = rng_seed();
    struct rng first = rng_stream(seed, 1), second = rng_stream(seed, 2), third = rng_stream(seed, 3);
    moat_free(moat_malloc(1));
    heap_conserves_blocks(&first, pace(300, 60));
    children_conserve_blocks(&second, pace(120, 36));
    child_takes_over_a_page_first(&third, pace(60, 30));
    return expect_done();
}

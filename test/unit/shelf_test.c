/* What lies between malloc and a heap's pages: free blocks are found again wherever their page has them, what comes home passes
 * the reserve on its way back, what lies idle goes home, and so does all at a thread's end.
 *
 * Without magazines the shelf is a list, and what is free lies on it or on its page's: the same blocks must be found there.
 */
#include "unit/pages.h"
#include "unit/unit.h"

#include "os/os.h"

#include <string.h>

enum { BLOCKS_MAX = MOAT_SLICE / MOAT_ALIGN };

static void *allocate(unsigned class)
{
    return moat_malloc(class_bytes(class) - (class == MOAT_SMALL_CLASSES - 1));
}

static char *block_at(const struct record *page, size_t place)
{
    return page_start(page) + place * page->block_bytes;
}

/* How many of the page's blocks are free and nobody's but its own. */
static size_t at_home(const struct record *page)
{
    size_t count = 0;
    if (HOOK_HAS_MAGAZINES) {
        for (size_t i = 0; i < page->carved; i++)
            count += hook_is_free(block_at(page, i));
    } else {
        for (void *block = page->free; block && count <= page->capacity; block = hook_next_of(block, *(void **)block))
            count++;
    }
    return count;
}

/* ---- blocks are found wherever they are ---- */

/* A page of a class that nobody has used, all of it handed out. */
static struct record *take_whole_page(unsigned class)
{
    struct full_pages full;
    fill_pages(&full, class, 1);
    forget(&full);
    return full.page[0];
}

/* The page is queued; all that is free of the class is free in it. Takes it all, and marks what comes; answers how much. Behind
 * a magazine by hand, since some would stay in the reserve. */
static size_t take_free_blocks(const struct record *page, size_t count, bool *came)
{
    struct heap *heap = heap_of_thread();
    const unsigned class = page->class;
    size_t taken = 0, wrong = 0;

    for (size_t i = 0; i < count; i++) {
        void *block = HOOK_HAS_MAGAZINES ? NULL : allocate(class);
        if (HOOK_HAS_MAGAZINES && !(block = hook_drain(&heap->shelf, class))) {
            shelf_fill(heap, class);
            block = hook_drain(&heap->shelf, class);
        }
        if (!block)
            break;
        wrong += HOOK_HAS_MAGAZINES && !hook_allocated(block);
        wrong += unit_page_of(block) != page || unit_offset_of(block) % page->block_bytes != 0;
        size_t place = unit_offset_of(block) / page->block_bytes;
        wrong += place >= page->capacity || came[place];
        came[place % BLOCKS_MAX] = true;
        taken++;
    }
    EXPECT_EQ(wrong, 0);
    return taken;
}

/* Each block of a page alone, in a page that wakes at its first. */
static void block_is_found_in_every_place(struct record *page)
{
    const unsigned class = page->class;
    const uint16_t threshold = page->threshold;
    size_t lost = 0;

    page->threshold = 1;
    page->needed = 1;
    for (size_t place = 0; place < page->capacity; place++) {
        bool came[BLOCKS_MAX] = {false};
        moat_free(block_at(page, place));
        unit_come_home(class);
        lost += at_home(page) != 1 || take_free_blocks(page, 1, came) != 1 || !came[place] || at_home(page) != 0;
    }
    if (!EXPECT_EQ(lost, 0))
        expect_say("  blocks of %zu bytes\n", class_bytes(class));
    page->threshold = threshold;
    page->needed = threshold;
    EXPECT(moat_heap_is_valid());
}

/* Any of them together. */
static void blocks_are_found_in_every_pattern(struct rng *rng, const struct record *page)
{
    for (size_t round = 0; round < 40; round++) {
        bool freed[BLOCKS_MAX] = {false}, came[BLOCKS_MAX] = {false};
        size_t count = 0, share = 1 + rng_below(rng, 16);
        for (size_t place = 0; place < page->capacity; place++) {
            freed[place] = place == 0 || place == page->capacity - 1u || rng_below(rng, 16) < share ||
                           count + page->capacity - place <= page->threshold;
            if (freed[place])
                moat_free(block_at(page, place));
            count += freed[place];
        }
        unit_come_home(page->class);
        EXPECT_EQ(at_home(page), count);
        EXPECT_EQ(page_back(page), count);
        EXPECT_EQ(take_free_blocks(page, count, came), count);
        EXPECT_EQ(memcmp(freed, came, sizeof freed), 0);
        EXPECT_EQ(at_home(page), 0);
        EXPECT(moat_heap_is_valid());
    }
}

/* ---- what comes home passes the reserve ---- */

enum { MANY = 256 };

struct lot {
    unsigned class;
    char *block[MANY];
};

static void *free_lot(void *argument)
{
    struct lot *lot = argument;
    for (size_t i = 0; i < MANY; i++)
        moat_free(lot->block[i]);
    return NULL;
}

/* All but the last, so that its page goes on to somebody else. */
static void *leave_lot(void *argument)
{
    struct lot *lot = argument;
    for (size_t i = 0; i < MANY; i++)
        lot->block[i] = allocate(lot->class);
    for (size_t i = 0; i + 1 < MANY; i++)
        moat_free(lot->block[i]);
    return NULL;
}

/* Every place of the reserve has a block: one stays empty once in 10^25 times. */
static void fill_reserve(unsigned class)
{
    void *block[64];
    for (size_t i = 0; i < 64; i++)
        block[i] = allocate(class);
    for (size_t i = 0; i < 2000; i++) {
        moat_free(block[i % 64]);
        block[i % 64] = allocate(class);
    }
}

/* Blocks of `lot` are free at home. malloc takes them; those that are last stay in the reserve, where they have driven out
 * nearly all that was there before. Without magazines none stays. */
static void expect_through_reserve(const struct lot *lot, size_t count, const char *who)
{
    size_t kept = 0, home = count;
    for (size_t i = 0; i < 20 * MANY && (i < MANY || home > 0); i++) {
        allocate(lot->class);
        home = 0;
        for (size_t j = 0; j < count; j++)
            home += HOOK_HAS_MAGAZINES && hook_is_free(lot->block[j]);
    }
    for (size_t j = 0; j < count; j++)
        kept += unit_is_kept(lot->block[j]);
    if (!EXPECT(home == 0 && kept <= UNIT_RESERVE + 16 && (!HOOK_HAS_MAGAZINES || kept + 5 > UNIT_RESERVE)))
        expect_say("  %s: %zu are at home, %zu in the reserve\n", who, home, kept);
}

static void remote_frees_pass_the_reserve(unsigned class)
{
    struct lot lot = {.class = class};
    fill_reserve(class);
    for (size_t i = 0; i < MANY; i++)
        lot.block[i] = allocate(class);
    unit_in_thread(free_lot, &lot);
    expect_through_reserve(&lot, MANY, "freed by another thread");
    EXPECT(moat_heap_is_valid());
}

static void blocks_of_ended_threads_pass_the_reserve(unsigned class)
{
    struct lot lot = {.class = class};
    fill_reserve(class);
    unit_in_thread(leave_lot, &lot);
    expect_through_reserve(&lot, MANY - 1, "left by a thread");
    EXPECT(moat_heap_is_valid());
}

/* ---- what lies idle ---- */

/* As malloc and free do it now and then. */
static void look(unsigned class)
{
    struct heap *heap = heap_of_thread();
    heap->looked_at_ms = (uint32_t)os_now_ms() - 1000000;
    heap->until_look = 0;
    heap->to_look_at = 0;
    do /* one class at a time */
        EXPECT_EQ(shelf_make_room(heap, class), HOOK_HAS_MAGAZINES);
    while (heap->to_look_at > 0);
}

static void use(unsigned class)
{
    void *block[8];
    for (size_t i = 0; i < 8; i++)
        block[i] = allocate(class);
    for (size_t i = 0; i < 8; i++)
        moat_free(block[i]);
}

static void only_idle_blocks_go_home(unsigned used, unsigned idle)
{
    const struct heap *heap = heap_of_thread();
    const uint32_t pages_used = heap->queue[used].page_count, pages_idle = heap->queue[idle].page_count;
    static char *block[2][400];
    for (size_t i = 0; i < 400; i++) {
        block[0][i] = allocate(used);
        block[1][i] = allocate(idle);
    }
    for (size_t i = 0; i < 400; i++) {
        moat_free(block[0][i]);
        moat_free(block[1][i]);
    }
    if (!HOOK_HAS_MAGAZINES) {
        look(used);
        EXPECT(moat_heap_is_valid());
        unit_skip("idle magazines", "built without SECURE_RANDOM_ORDER");
        return;
    }
    look(used);
    EXPECT(hook_kept(&heap->shelf, used) > 8 && hook_kept(&heap->shelf, idle) > 8);
    for (size_t i = 0; i < 4; i++) {
        use(used);
        look(used);
        EXPECT(hook_kept(&heap->shelf, used) > 8);
        EXPECT_EQ(hook_kept(&heap->shelf, idle), 0);
    }
    EXPECT(moat_heap_is_valid());
    look(idle);
    EXPECT_EQ(hook_kept(&heap->shelf, used), 0);
    EXPECT(heap->queue[used].page_count <= pages_used + MOAT_KEEP_EMPTY);
    EXPECT(heap->queue[idle].page_count <= pages_idle + MOAT_KEEP_EMPTY);
    EXPECT(moat_heap_is_valid());
}

/* ---- ends ---- */

/* One block of a page is enough to be given back, whatever the threshold; and one in use is enough to keep it. */
static void page_goes_once_all_its_blocks_are_home(unsigned class)
{
    const struct class_queue *queue = unit_queue_of(class);
    const uint32_t pages = queue->page_count;
    moat_free(allocate(class));
    EXPECT(queue->page_count > pages);
    moat_malloc_trim(0);
    EXPECT_EQ(queue->page_count, pages);

    void *block[40];
    for (size_t i = 0; i < 40; i++)
        block[i] = allocate(class);
    const struct record *page = unit_page_of(block[39]);
    for (size_t i = 0; i < 39; i++)
        moat_free(block[i]);
    moat_malloc_trim(0);
    EXPECT(queue->page_count == pages + 1 && page->owner == moat_self.number);
    moat_free(block[39]);
    moat_malloc_trim(0);
    EXPECT(queue->page_count == pages && page->owner == OWNER_NONE);
    EXPECT(moat_heap_is_valid());
}

enum { LEFT_CLASSES = 12, LEFT_BLOCKS = 120 };

struct estate {
    char *block[LEFT_CLASSES][LEFT_BLOCKS];
    size_t keeps; /* every so manieth block is not freed; 0 for all freed */
    const struct heap *heap;
};

static void *live_and_end(void *argument)
{
    struct estate *estate = argument;
    for (size_t class = 0; class < LEFT_CLASSES; class ++)
        for (size_t i = 0; i < LEFT_BLOCKS; i++)
            estate->block[class][i] = moat_malloc(30 + 230 * class);
    for (size_t class = 0; class < LEFT_CLASSES; class ++)
        for (size_t i = 0; i < LEFT_BLOCKS; i++)
            if (estate->keeps == 0 || i % estate->keeps != 0)
                moat_free(estate->block[class][i]);
    estate->heap = heap_of_thread();
    return NULL;
}

static void end_of_thread_sends_all_home(size_t keeps)
{
    static struct estate estate;
    size_t kept = 0, wrong = 0, pages = 0;

    estate.keeps = keeps;
    unit_in_thread(live_and_end, &estate);
    for (unsigned class = 0; class < MOAT_SMALL_CLASSES; class ++) {
        kept += HOOK_HAS_MAGAZINES ? hook_kept(&estate.heap->shelf, class) : estate.heap->free[class] != NULL;
        pages += estate.heap->queue[class].page_count;
    }
    EXPECT_EQ(kept, 0);
    EXPECT_EQ(pages, 0);
    for (size_t class = 0; class < LEFT_CLASSES; class ++) {
        for (size_t i = 0; i < LEFT_BLOCKS; i++) {
            const struct record *page = unit_page_of(estate.block[class][i]);
            if (keeps == 0) {
                wrong += page->owner != OWNER_NONE;
                continue;
            }
            /* Pages without a live block are gone; the others say what is home in them. */
            wrong += page->owner == OWNER_ORPHAN ? page->needed != at_home(page) || unit_kept_in(page) != 0
                                                 : page->owner != OWNER_NONE || i % keeps == 0;
        }
    }
    EXPECT_EQ(wrong, 0);
}

int main(void)
{
    struct rng rng = rng_stream(rng_seed(), 0);

    for (unsigned class = class_of_bytes(1); class < MOAT_SMALL_CLASSES; class ++) {
        struct record *page = take_whole_page(class);
        block_is_found_in_every_place(page);
        blocks_are_found_in_every_pattern(&rng, page);
    }
    unit_in_thread(live_and_end, &(struct estate){.keeps = 0}); /* a heap for what follows is there */
    end_of_thread_sends_all_home(0);
    end_of_thread_sends_all_home(7);
    remote_frees_pass_the_reserve(class_of_bytes(90));
    blocks_of_ended_threads_pass_the_reserve(class_of_bytes(110));
    only_idle_blocks_go_home(class_of_bytes(300), class_of_bytes(350));
    only_idle_blocks_go_home(class_of_bytes(3000), class_of_bytes(3500));
    page_goes_once_all_its_blocks_are_home(class_of_bytes(50));
    return expect_done();
}

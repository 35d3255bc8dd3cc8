/* The remote word: what other threads push, what the owner collects, and what ends the process when somebody wrote into
 * a remotely freed block, or into the word itself.
 */
#include "unit/unit.h"

#include "remote.h"

#include <inttypes.h>
#include <string.h>

enum { BLOCK = 256, FREERS = 4, MANY = 200, FEW = 3, FORGED_BLOCK = 2000 };

static const uint64_t epoch_bits = 0xfffffffe;

struct batch {
    void **blocks;
    size_t count, first, step;
};

static void *free_batch(void *argument)
{
    struct batch *batch = argument;
    for (size_t i = batch->first; i < batch->count; i += batch->step)
        moat_free(batch->blocks[i]);
    return NULL;
}

static void allocate(void **blocks, size_t count, size_t bytes)
{
    for (size_t i = 0; i < count; i++)
        blocks[i] = moat_malloc(bytes);
}

/* Blocks of one page that nobody has had before. */
static struct record *allocate_in_one_page(void **blocks, size_t count, size_t bytes)
{
    allocate(blocks, count, bytes);
    for (size_t i = 0; i < count; i++)
        EXPECT(unit_page_of(blocks[i]) == unit_page_of(blocks[0]));
    return unit_page_of(blocks[0]);
}

static bool is_in(void *const *blocks, size_t count, const void *block)
{
    for (size_t i = 0; i < count; i++)
        if (blocks[i] == block)
            return true;
    return false;
}

static void pushes_of_all_threads_are_collected(void)
{
    void *blocks[MANY];
    pthread_t threads[FREERS];
    struct batch batches[FREERS];
    struct record *page = allocate_in_one_page(blocks, MANY, BLOCK);
    struct heap *heap = heap_of_thread();
    uint64_t before = page->remote;

    EXPECT(!remote_is_waiting(page) && remote_is_owned(page->remote) && remote_count(page->remote) == 0);
    for (size_t i = 0; i < FREERS; i++) {
        batches[i] = (struct batch){.blocks = blocks, .count = MANY, .first = i, .step = FREERS};
        EXPECT_EQ(pthread_create(&threads[i], NULL, free_batch, &batches[i]), 0);
    }
    for (size_t i = 0; i < FREERS; i++)
        pthread_join(threads[i], NULL);
    EXPECT(remote_is_waiting(page));
    EXPECT_EQ(remote_count(page->remote), MANY);
    EXPECT_EQ(page->remote & epoch_bits, before & epoch_bits);
    EXPECT(is_in(blocks, MANY, page_start(page) + (remote_head(page->remote) - 1) * 16ul));

    unsigned back = page_back(page);
    EXPECT_EQ(remote_collect(page), MANY);
    EXPECT(!remote_is_waiting(page) && remote_count(page->remote) == 0 && remote_is_owned(page->remote));
    EXPECT((page->remote & epoch_bits) != (before & epoch_bits));
    size_t listed = 0;
    for (void *block = page->free; block; block = *(void **)block)
        listed += is_in(blocks, MANY, block);
    EXPECT_EQ(listed, MANY);
    page_took_back(heap, page, MANY);
    EXPECT_EQ(page_back(page), back + MANY);
    heap_drain_woken(heap);
    EXPECT(moat_heap_is_valid());
}

/* The page stands on its owner's woken stack from the push that brings the count to its threshold. */
static void page_wakes_its_owner_at_the_threshold(void)
{
    void *blocks[64];
    struct heap *heap = heap_of_thread();
    struct record *page = allocate_in_one_page(blocks, 64, 512);

    for (size_t i = 0; i < page->threshold; i++) {
        EXPECT(!heap_has_woken(heap));
        EXPECT_EQ(page->is_woken, 0);
        unit_in_thread(free_batch, &(struct batch){.blocks = blocks, .count = i + 1, .first = i, .step = 64});
    }
    EXPECT(heap_has_woken(heap));
    EXPECT_EQ(page->is_woken, 1);
    EXPECT_EQ(heap->woken, (heap->number << WOKEN_NUMBER_SHIFT) | slice_of_record(page));
    heap_drain_woken(heap);
    EXPECT(!heap_has_woken(heap));
    EXPECT_EQ(page->is_woken, 0);
    EXPECT_EQ(page->phase, PAGE_QUEUED);
    EXPECT_EQ(page_back(page), page->threshold);
    EXPECT(moat_heap_is_valid());
}

static void remotely_freed_blocks_are_handed_out_again(void)
{
    void *blocks[MANY], *again[MANY];
    size_t found = 0;
    struct record *page = allocate_in_one_page(blocks, 64, 608);

    unit_in_thread(free_batch, &(struct batch){.blocks = blocks, .count = 64, .step = 1});
    allocate(again, MANY, 608);
    for (size_t i = 0; i < MANY; i++) {
        found += is_in(blocks, 64, again[i]);
        for (size_t j = 0; j < i; j++)
            EXPECT(again[i] != again[j]);
    }
    EXPECT_EQ(found, 64);
    EXPECT(!remote_is_waiting(page));
    EXPECT(moat_heap_is_valid());
}

/* ---- forged lists: each in a child, on a page of which another thread has freed FEW blocks ---- */

struct forgery {
    const char *name;
    void (*forge)(struct record *page, void **freed, void *live);
    bool needs_states; /* elsewhere it is one of the things that a build without states cannot see */
};

static uint64_t number_of(const void *block)
{
    return unit_offset_of(block) / MOAT_ALIGN + 1;
}

static void set_link(void *block, uint64_t link)
{
    *(uint64_t *)block = link;
}

/* freed[] is in the order of the frees, so the list runs from the last to the first. */
static void link_out_of_page(struct record *page, void **freed, void *live)
{
    (void)page, (void)live;
    set_link(freed[FEW - 1], (MOAT_SLICE >> MOAT_ALIGN_BITS) + 1);
}

static void link_far_out_of_page(struct record *page, void **freed, void *live)
{
    (void)page, (void)live;
    set_link(freed[FEW - 1], 0xffffffff);
}

/* The next three keep the length right: only the state, or the test for a block's start, can see them. */
static void link_through_live_block(struct record *page, void **freed, void *live)
{
    (void)page;
    set_link(freed[2], number_of(live));
    set_link(live, number_of(freed[0]));
}

static void link_into_a_block(struct record *page, void **freed, void *live)
{
    (void)page, (void)live;
    set_link(freed[2], number_of(freed[1]) + 1);
    set_link((char *)freed[1] + MOAT_ALIGN, number_of(freed[0]));
}

static void lost_node(struct record *page, void **freed, void *live)
{
    (void)page, (void)live;
    set_link(freed[1], 0);
}

static void skipped_node(struct record *page, void **freed, void *live)
{
    (void)page, (void)live;
    set_link(freed[FEW - 1], number_of(freed[0]));
}

static void list_longer_than_its_count(struct record *page, void **freed, void *live)
{
    (void)page;
    set_link(freed[0], number_of(live));
}

static void link_to_itself(struct record *page, void **freed, void *live)
{
    (void)page, (void)live;
    set_link(freed[FEW - 1], number_of(freed[FEW - 1]));
}

static void cycle_of_all(struct record *page, void **freed, void *live)
{
    (void)page, (void)live;
    set_link(freed[0], number_of(freed[FEW - 1]));
}

static void count_too_high(struct record *page, void **freed, void *live)
{
    (void)freed, (void)live;
    page->remote += 1ull << REMOTE_COUNT_SHIFT;
}

static void count_too_low(struct record *page, void **freed, void *live)
{
    (void)freed, (void)live;
    page->remote -= 1ull << REMOTE_COUNT_SHIFT;
}

static void head_of_live_block(struct record *page, void **freed, void *live)
{
    page->remote = (page->remote << 16 >> 16) | number_of(live) << REMOTE_HEAD_SHIFT;
    set_link(live, number_of(freed[1]));
}

static void head_lost(struct record *page, void **freed, void *live)
{
    (void)freed, (void)live;
    page->remote = page->remote << 16 >> 16;
}

static const struct forgery forgeries[] = {
    {"link out of the page", link_out_of_page, false},
    {"link far out of the page", link_far_out_of_page, false},
    {"link through a live block", link_through_live_block, true},
    {"link into a block", link_into_a_block, true},
    {"lost node", lost_node, false},
    {"skipped node", skipped_node, false},
    {"list longer than its count", list_longer_than_its_count, false},
    {"link to itself", link_to_itself, true},
    {"cycle of all nodes", cycle_of_all, false},
    {"count too high", count_too_high, false},
    {"count too low", count_too_low, false},
    {"head of a live block", head_of_live_block, true},
    {"head lost", head_lost, false},
};

static struct record *forge_in(const struct forgery *forgery)
{
    void *blocks[FEW + 1];
    struct record *page = allocate_in_one_page(blocks, FEW + 1, FORGED_BLOCK);
    unit_in_thread(free_batch, &(struct batch){.blocks = blocks, .count = FEW, .step = 1});
    forgery->forge(page, blocks, blocks[FEW]);
    return page;
}

static void forge_and_collect(void *forgery)
{
    remote_collect(forge_in(forgery));
}

/* As a program does it: so few blocks of this size wake their owner that the next mallocs collect them. */
static void forge_and_allocate(void *forgery)
{
    struct record *page = forge_in(forgery);
    EXPECT(page->threshold <= FEW - 1);
    for (size_t i = 0; i < page->capacity; i++)
        moat_malloc(FORGED_BLOCK);
}

static bool line_is(const struct death *death, const char *kind, const char *function)
{
    char start[64];
    const char *end = memchr(death->text, '\n', sizeof death->text);
    snprintf(start, sizeof start, "moat: %s in %s(): 0x", kind, function);
    return death_is_by(death, SIGABRT) && strncmp(death->text, start, strlen(start)) == 0 &&
           strstr(death->text, " (class ") && strstr(death->text, ", thread ") && end && end[1] == '\0';
}

static void forged_list_ends_the_process(const struct forgery *forgery)
{
    static void (*const ways[])(void *) = {forge_and_collect, forge_and_allocate};

    if (forgery->needs_states && !MOAT_WITH_STATES) {
        unit_skip(forgery->name, "no states in this build");
        return;
    }
    for (size_t i = 0; i < 2; i++) {
        struct death death = death_of(ways[i], (void *)(uintptr_t)forgery);
        if (!EXPECT(line_is(&death, "corrupted remote list", "malloc")))
            expect_say("  %s, way %zu: status %#x, said: %s\n", forgery->name, i, (unsigned)death.status, death.text);
    }
}

/* The control of the deaths: without a forgery both ways come back. */
static void forge_nothing(struct record *page, void **freed, void *live)
{
    (void)page, (void)freed, (void)live;
}

static void untouched_list_is_collected(void)
{
    struct forgery nothing = {"nothing", forge_nothing, false};
    struct death death = death_of(forge_and_collect, &nothing);
    EXPECT(death_is_exit(&death, DEATH_SURVIVED) && death.length == 0);
    death = death_of(forge_and_allocate, &nothing);
    EXPECT(death_is_exit(&death, DEATH_SURVIVED) && death.length == 0);
}

/* More pushes than the page has blocks: no program gets there, and the count must not run over. */
static void push_beyond_the_capacity(void *unused)
{
    void *blocks[2];
    struct record *page = allocate_in_one_page(blocks, 2, FORGED_BLOCK);
    (void)unused;
    page->remote += (uint64_t)page->capacity << REMOTE_COUNT_SHIFT;
    unit_in_thread(free_batch, &(struct batch){.blocks = blocks, .count = 1, .step = 1});
}

/* The word of a page in the pool is looked at when the page is opened. */
static void open_with_something_in_the_word(void *argument)
{
    unsigned class = class_of_bytes(FORGED_BLOCK);
    struct record *page = page_open(heap_of_thread(), class);
    page_release(heap_of_thread(), page);
    page->remote |= *(uint64_t *)argument;
    page_open(heap_of_thread(), class);
}

static void wrong_words_end_the_process(void)
{
    static const uint64_t words[] = {0, 1ull << REMOTE_COUNT_SHIFT, 1ull << REMOTE_HEAD_SHIFT};
    struct death death = death_of(push_beyond_the_capacity, NULL);
    EXPECT(line_is(&death, "corrupted remote list", "free"));
    for (size_t i = 0; i < 3; i++) {
        death = death_of(open_with_something_in_the_word, (void *)(uintptr_t)&words[i]);
        if (!EXPECT(i == 0 ? death_is_exit(&death, DEATH_SURVIVED)
                           : line_is(&death, "corrupted remote list", "malloc")))
            expect_say("  word %#" PRIx64 ": status %#x, said: %s\n", words[i], (unsigned)death.status, death.text);
    }
}

int main(void)
{
    pushes_of_all_threads_are_collected();
    page_wakes_its_owner_at_the_threshold();
    remotely_freed_blocks_are_handed_out_again();
    untouched_list_is_collected();
    for (size_t i = 0; i < sizeof forgeries / sizeof forgeries[0]; i++)
        forged_list_ends_the_process(&forgeries[i]);
    wrong_words_end_the_process();
    return expect_done();
}

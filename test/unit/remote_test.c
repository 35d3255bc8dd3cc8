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
    size_t listed = 0, free = 0;
    for (void *block = page->free; block; block = hook_next_of(block, *(void **)block))
        listed += is_in(blocks, MANY, block);
    for (size_t i = 0; i < MANY; i++)
        free += hook_is_free(blocks[i]);
    EXPECT_EQ(listed, HOOK_HAS_MAGAZINES ? 0 : MANY); /* behind a magazine their state alone says where they are */
    EXPECT_EQ(free, MANY);
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
    size_t found = 0, kept = 0;
    struct record *page = allocate_in_one_page(blocks, 64, 608);

    unit_in_thread(free_batch, &(struct batch){.blocks = blocks, .count = 64, .step = 1});
    allocate(again, MANY, 608);
    for (size_t i = 0; i < MANY; i++) {
        found += is_in(blocks, 64, again[i]);
        for (size_t j = 0; j < i; j++)
            EXPECT(again[i] != again[j]);
    }
    for (size_t i = 0; i < 64; i++)
        kept += unit_is_kept(blocks[i]) || (HOOK_HAS_MAGAZINES && hook_is_free(blocks[i]));
    EXPECT_EQ(found + kept, 64);
    EXPECT(kept <= UNIT_RESERVE); /* they pass the reserve, and some still wait there */
    EXPECT(!remote_is_waiting(page));
    EXPECT(moat_heap_is_valid());
}

/* ---- forged lists: each in a child, on a page of which another thread has freed FEW blocks ----
 *
 * Each is tried by somebody who writes a slot as it is, and by one who has the keys: where links are encoded, the first fails
 * at the tag already, and the second shows that what is checked behind it holds by itself.
 */

struct forgery {
    const char *name;
    void (*forge)(struct record *page, void **freed, void *live);
    bool needs_states; /* elsewhere it is one of the things that a build without states cannot see */
};

static bool has_keys;

static uint64_t number_of(const void *block)
{
    return unit_offset_of(block) / MOAT_ALIGN + 1;
}

static void set_link(void *block, uint64_t link)
{
    uint32_t epoch = (uint32_t)(unit_page_of(block)->remote & epoch_bits) / 2;
    *(uint64_t *)block = has_keys ? hook_remote_link_of(block, (unsigned)link, epoch) : link;
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
    const bool sees_words = !forgery->needs_states || MOAT_WITH_STATES;

    for (size_t i = 0; i < 4; i++) {
        has_keys = i >= 2;
        if (!sees_words && (has_keys || !SEC_LINKS_ARE_ENCODED)) {
            if (i % 2 == 0)
                unit_skip(forgery->name, has_keys ? "by one who has the keys: no states" : "no states in this build");
            continue;
        }
        struct death death = death_of(ways[i % 2], (void *)(uintptr_t)forgery);
        if (!EXPECT(line_is(&death, "corrupted remote list", "malloc")))
            expect_say("  %s, way %zu: status %#x, said: %s\n", forgery->name, i, (unsigned)death.status, death.text);
    }
    has_keys = false;
}

/* The controls of the deaths: without a forgery both ways come back. */
static void forge_nothing(struct record *page, void **freed, void *live)
{
    (void)page, (void)freed, (void)live;
}

/* With the keys the list can be put in another order: so the links that are written below are as good as the heap's own. */
static void turn_round(struct record *page, void **freed, void *live)
{
    (void)live;
    page->remote = (page->remote << 16 >> 16) | number_of(freed[0]) << REMOTE_HEAD_SHIFT;
    for (size_t i = 0; i < FEW; i++)
        set_link(freed[i], i + 1 < FEW ? number_of(freed[i + 1]) : 0);
}

static void sound_list_is_collected(void)
{
    static const struct forgery sound[] = {{"nothing", forge_nothing, false}, {"turned round", turn_round, false}};
    has_keys = true;
    for (size_t i = 0; i < 2; i++) {
        struct death death = death_of(forge_and_collect, (void *)(uintptr_t)&sound[i]);
        EXPECT(death_is_exit(&death, DEATH_SURVIVED) && death.length == 0);
        death = death_of(forge_and_allocate, (void *)(uintptr_t)&sound[i]);
        EXPECT(death_is_exit(&death, DEATH_SURVIVED) && death.length == 0);
    }
    has_keys = false;
}

/* ---- what only encoded links notice ---- */

static unsigned flipped_bit;

static void flip_a_bit(struct record *page, void **freed, void *live)
{
    (void)page, (void)live;
    *(uint64_t *)freed[flipped_bit % FEW] ^= 1ull << flipped_bit;
}

/* The block that was freed comes back: without a magazine after as many mallocs as it has neighbours, behind one it may have
 * to wait in the reserve until frees evict it. */
static bool comes_back(const void *block)
{
    enum { BURST = 64 };
    void *again[BURST];
    for (size_t round = 0; round < 1000; round++) {
        for (size_t i = 0; i < BURST; i++) {
            again[i] = moat_malloc(FORGED_BLOCK);
            if (again[i] == block)
                return true;
        }
        for (size_t i = 0; i < BURST; i++)
            moat_free(again[i]);
    }
    return false;
}

/* The same block is freed twice as the only one of its list, and the first link is written over the second. */
static void use_a_link_again(void *unused)
{
    void *blocks[8];
    struct record *page = allocate_in_one_page(blocks, 8, FORGED_BLOCK);
    struct batch first = {.blocks = blocks, .count = 1, .step = 1};
    (void)unused;

    unit_in_thread(free_batch, &first);
    uint64_t old = *(uint64_t *)blocks[0];
    page_took_back(heap_of_thread(), page, remote_collect(page));
    for (size_t i = 1; i < 8; i++) /* enough to wake the page in every build */
        moat_free(blocks[i]);
    unit_come_home(page->class);
    if (!comes_back(blocks[0]))
        _exit(1);
    unit_in_thread(free_batch, &first);
    *(uint64_t *)blocks[0] = old;
    remote_collect(page);
}

static void encoded_link_is_right_in_one_place_only(void)
{
    const struct forgery flip = {"a flipped bit", flip_a_bit, false};
    struct death death = death_of(use_a_link_again, NULL);

    if (!SEC_LINKS_ARE_ENCODED) {
        EXPECT(death_is_exit(&death, DEATH_SURVIVED));
        unit_skip("flipped bits and links used again", "links are not encoded in this build");
        return;
    }
    if (!EXPECT(line_is(&death, "corrupted remote list", "malloc")))
        expect_say("  an old link: status %#x, said: %s\n", (unsigned)death.status, death.text);
    for (flipped_bit = 0; flipped_bit < 64; flipped_bit++) {
        death = death_of(forge_and_collect, (void *)(uintptr_t)&flip);
        if (!EXPECT(line_is(&death, "corrupted remote list", "malloc")))
            expect_say("  bit %u: status %#x, said: %s\n", flipped_bit, (unsigned)death.status, death.text);
    }
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
    sound_list_is_collected();
    for (size_t i = 0; i < sizeof forgeries / sizeof forgeries[0]; i++)
        forged_list_ends_the_process(&forgeries[i]);
    encoded_link_is_right_in_one_place_only();
    wrong_words_end_the_process();
    return expect_done();
}

/* First-class heaps from inside: tickets, whose pages are whose, what ends with a heap and what does not. */
#include "unit/unit.h"

#include "heaps.h"
#include "medium.h"
#include "moat.h"
#include "remote.h"

static struct heap *behind(moat_heap_t *handle)
{
    return heaps_find((uintptr_t)handle);
}

static void pages_belong_to_the_heap(void)
{
    moat_heap_t *handle = moat_heap_new();
    struct heap *heap = behind(handle);
    char *own = moat_malloc(100), *block = moat_heap_malloc(handle, 100);

    EXPECT_EQ(heaps_count(), 1);
    EXPECT(heap != NULL && heap != moat_self.heap);
    EXPECT(unit_page_of(block) != unit_page_of(own));
    EXPECT_EQ(unit_page_of(block)->owner, heap->number);
    EXPECT_EQ(unit_page_of(own)->owner, moat_self.number);
    EXPECT(moat_heap_is_valid());
    moat_free(block);
    moat_free(own);
    EXPECT(moat_heap_is_valid());
    moat_heap_delete(handle);
    EXPECT_EQ(heaps_count(), 0);
    EXPECT(moat_self.heap->made_next == NULL);
}

static void tickets_are_not_used_twice(void)
{
    moat_heap_t *first = moat_heap_new();
    struct heap *heap = behind(first);
    moat_heap_delete(first);
    moat_heap_t *second = moat_heap_new();

    EXPECT(behind(second) == heap); /* the struct is */
    EXPECT(first != second);
    EXPECT(behind(first) == NULL);
    EXPECT(behind(NULL) == NULL);
    EXPECT(behind((moat_heap_t *)(uintptr_t)heap->index) == NULL);
    EXPECT(behind((moat_heap_t *)heap) == NULL);
    EXPECT(behind((moat_heap_t *)UINTPTR_MAX) == NULL);
    moat_heap_delete(second);
}

static void *look_for(void *handle)
{
    EXPECT(behind(handle) == NULL);
    moat_free(moat_malloc(1)); /* with a heap of its own, and without */
    EXPECT(behind(handle) == NULL);
    return NULL;
}

static void another_thread_does_not_find_it(void)
{
    moat_heap_t *handle = moat_heap_new();
    unit_in_thread(look_for, handle);
    EXPECT(behind(handle) != NULL);
    moat_heap_delete(handle);
}

static bool free_when_shown(void *block, size_t bytes, void *argument)
{
    (void)bytes, (void)argument;
    moat_free(block);
    return true;
}

/* Its maker's frees go straight back to the heap; but not while it is visited, when nothing of it may change. */
static void maker_frees_without_detour(void)
{
    moat_heap_t *handle = moat_heap_new();
    char *one = moat_heap_malloc(handle, 600), *other = moat_heap_malloc(handle, 600);
    struct record *page = unit_page_of(one);

    EXPECT(unit_page_of(other) == page);
    moat_free(one);
    EXPECT(!remote_is_waiting(page));
    EXPECT(moat_heap_is_valid());
    EXPECT(moat_heap_visit_blocks(handle, free_when_shown, NULL));
    EXPECT(remote_is_waiting(page));
    EXPECT(!HOOK_IS_EXACT || !hook_is_live(other));
    EXPECT(moat_heap_is_valid());
    moat_heap_destroy(handle);
    EXPECT_EQ(page->owner, OWNER_NONE);
}

/* An orphan has blocks of an ended thread: a thread's own heap takes it, a first-class one does not. */
static void *leave_orphan(void *place)
{
    void **block = place;
    for (int i = 0; i < 20; i++)
        *block = moat_malloc(700);
    return NULL;
}

static void heaps_claim_no_orphans(void)
{
    void *block;
    moat_heap_t *handle = moat_heap_new();

    unit_in_thread(leave_orphan, &block);
    EXPECT_EQ(unit_page_of(block)->owner, OWNER_ORPHAN);
    for (int i = 0; i < 200; i++)
        EXPECT(unit_page_of(moat_heap_malloc(handle, 700)) != unit_page_of(block));
    EXPECT_EQ(unit_page_of(block)->owner, OWNER_ORPHAN);
    EXPECT(moat_heap_is_valid());
    moat_heap_delete(handle);
}

static void deleted_heaps_pages_are_abandoned(void)
{
    moat_heap_t *handle = moat_heap_new();
    uint64_t abandoned = stats_get(STAT_PAGES_ABANDONED), released = stats_get(STAT_PAGES_RELEASED);
    char *live = moat_heap_malloc(handle, 5000), *gone = moat_heap_malloc(handle, 6000);
    struct record *emptied = unit_page_of(gone);

    moat_free(gone);
    moat_heap_delete(handle);
    EXPECT_EQ(unit_page_of(live)->owner, OWNER_ORPHAN);
    EXPECT_EQ(emptied->owner, OWNER_NONE);
    EXPECT_EQ(stats_get(STAT_PAGES_ABANDONED) - abandoned, 1);
    EXPECT_EQ(stats_get(STAT_PAGES_RELEASED) - released, 1);
    moat_free(live); /* claims it */
    EXPECT_EQ(unit_page_of(live)->owner, moat_self.number);
    EXPECT(moat_heap_is_valid());
}

static void *make_and_leave(void *place)
{
    moat_heap_t *one = moat_heap_new(), *other = moat_heap_new();
    void **block = place;
    EXPECT(moat_heap_malloc(one, 800) != NULL);
    *block = moat_heap_malloc(other, 900);
    EXPECT_EQ(heaps_count(), 2);
    return NULL;
}

static void thread_ends_its_heaps(void)
{
    void *block;
    unit_in_thread(make_and_leave, &block);
    EXPECT_EQ(heaps_count(), 0);
    EXPECT_EQ(unit_page_of(block)->owner, OWNER_ORPHAN);
    moat_free(block);
}

/* ---- destroy ---- */

enum { COUNT = 100, MEDIUM = 40000, LARGE = 3 << 20 };

static void *free_all_of(void *blocks)
{
    for (void **block = blocks; *block; block++)
        moat_free(*block);
    return NULL;
}

/* Live, freed here, freed by another thread and not yet collected: all of it goes. */
static void destroy_releases_pages(size_t bytes)
{
    moat_heap_t *handle = moat_heap_new();
    void *blocks[COUNT + 1] = {NULL}, *others[COUNT / 3 + 2] = {NULL};
    struct record *pages[COUNT];

    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = moat_heap_malloc(handle, bytes);
        memset(blocks[i], 1, bytes);
        pages[i] = unit_page_of(blocks[i]);
    }
    for (size_t i = 0; i < COUNT; i += 3)
        moat_free(blocks[i]);
    for (size_t i = 1; i < COUNT; i += 3)
        others[i / 3] = blocks[i];
    unit_in_thread(free_all_of, others);
    EXPECT(moat_heap_is_valid());
    moat_heap_destroy(handle);
    for (size_t i = 0; i < COUNT; i++)
        EXPECT_EQ(pages[i]->owner, OWNER_NONE);
    EXPECT(moat_heap_is_valid());
}

/* The first half of another thread's free: the state has changed, the push is to come. */
static void destroy_waits_for_frees_under_way(void)
{
    if (!HOOK_IS_EXACT) {
        unit_skip("frees under way", "no states");
        return;
    }
    moat_heap_t *handle = moat_heap_new();
    void *late = moat_heap_malloc(handle, 1200), *other = moat_heap_malloc(handle, 1200);
    struct record *page = unit_page_of(late);
    EXPECT(unit_page_of(other) == page);

    EXPECT(hook_freed_remote(late));
    moat_heap_destroy(handle);
    EXPECT_EQ(page->owner, OWNER_ORPHAN);
    EXPECT(!hook_is_live(other));
    /* Back to before the first half, and then the whole. */
    EXPECT(hook_collected(late) && (!HOOK_HAS_MAGAZINES || hook_shelved(late)) && hook_allocated(late));
    moat_free(late);
    EXPECT_EQ(page->owner, moat_self.number);
    EXPECT_EQ(page_back(page), page->carved);
    EXPECT(moat_heap_is_valid());
}

static bool is_handed_out(const void *block)
{
    return medium_head(unit_page_of(block))->is_handed_out;
}

static void destroy_ends_medium_and_large_blocks(void)
{
    struct mallinfo2 before = moat_mallinfo2();
    moat_heap_t *handle = moat_heap_new(), *other = moat_heap_new();
    char *medium = moat_heap_malloc(handle, MEDIUM), *kept = moat_heap_malloc(other, MEDIUM);
    char *large = moat_heap_malloc(handle, LARGE), *kept_large = moat_heap_malloc(other, LARGE);
    char *own = moat_malloc(MEDIUM), *moved = moat_heap_malloc(handle, MEDIUM);

    moved = moat_heap_realloc(other, moved, MEDIUM - 100);
    EXPECT_EQ(unit_page_of(moved)->ticket, (uintptr_t)other);
    memset(large, 1, LARGE);
    moat_heap_destroy(handle);
    EXPECT(!is_handed_out(medium));
    EXPECT(is_handed_out(kept) && is_handed_out(own) && is_handed_out(moved));
    EXPECT(unit_faults(large, true) && !unit_faults(kept_large, true));
    EXPECT_EQ(moat_mallinfo2().hblks - before.hblks, 1);
    moat_free(own);
    moat_heap_destroy(other);
    EXPECT_EQ(moat_mallinfo2().hblks - before.hblks, 0);
    EXPECT_EQ(moat_mallinfo2().uordblks - before.uordblks, 0);
}

/* A run that the heap once had, freed and handed out to the thread itself. */
static void destroy_leaves_what_was_freed(void)
{
    moat_heap_t *handle = moat_heap_new();
    char *first = moat_heap_malloc(handle, MEDIUM);
    struct record *run = unit_page_of(first);
    EXPECT_EQ(run->ticket, (uintptr_t)handle);
    moat_free(first);
    EXPECT_EQ(run->ticket, 0);
    /* Kept by the thread that freed it, which has it back at once, or with random order when it is drawn. */
    char *second = moat_malloc(MEDIUM);
    for (unsigned i = 0; i < 1000 && unit_page_of(second) != run; i++) {
        moat_free(second);
        second = moat_malloc(MEDIUM);
    }
    EXPECT(unit_page_of(second) == run);
    moat_heap_destroy(handle);
    EXPECT(is_handed_out(second));
    EXPECT_EQ(moat_malloc_usable_size(second) >= MEDIUM, true);
    moat_free(second);
}

static void *free_one(void *block)
{
    moat_free(block);
    return NULL;
}

/* Blocks above the small sizes outlive a deleted heap too, and belong to nobody afterwards. */
static void delete_keeps_medium_and_large_blocks(void)
{
    moat_heap_t *handle = moat_heap_new();
    char *medium = moat_heap_malloc(handle, MEDIUM), *large = moat_heap_malloc(handle, LARGE);
    moat_heap_delete(handle);
    memset(medium, 1, MEDIUM);
    memset(large, 1, LARGE);
    unit_in_thread(free_one, medium);
    unit_in_thread(free_one, large);
    EXPECT(!is_handed_out(medium));
}

/* Fewer than the wake threshold in the last page: nobody is woken for those. */
static void collect_takes_what_others_freed(void)
{
    enum { BYTES = 500, MOST = 4 * MOAT_SLICE / BYTES };
    moat_heap_t *handle = moat_heap_new();
    const struct class_queue *queue = &behind(handle)->queue[class_of_bytes(BYTES)];
    void *blocks[MOST] = {moat_heap_malloc(handle, BYTES)};

    for (size_t i = 1; i < 3ul * unit_page_of(blocks[0])->capacity + 3; i++)
        blocks[i] = moat_heap_malloc(handle, BYTES);
    EXPECT(queue->page_count > 2);
    unit_in_thread(free_all_of, blocks);
    EXPECT(queue->page_count > 2);
    EXPECT(moat_collect());
    EXPECT_EQ(queue->page_count, 0);
    EXPECT(moat_heap_is_valid());
    moat_heap_delete(handle);
}

/* ---- fork ---- */

static pid_t by_clone(void)
{
    return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static bool heap_works(moat_heap_t *handle, void **inherited)
{
    void *blocks[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        blocks[i] = moat_heap_malloc(handle, 100 * i + 1);
        if (!blocks[i] || blocks[i] == inherited[0])
            return false;
        memset(blocks[i], 2, 100 * i + 1);
    }
    for (size_t i = 0; i < COUNT; i += 2)
        moat_free(blocks[i]);
    free_all_of(inherited);
    moat_heap_t *fresh = moat_heap_new();
    if (!moat_heap_malloc(fresh, 10) || !moat_heap_is_valid())
        return false;
    moat_heap_destroy(handle);
    moat_heap_delete(fresh);
    return moat_heap_is_valid();
}

static void children_have_the_heaps(void)
{
    static pid_t (*const ways[])(void) = {fork, _Fork, by_clone};
    for (size_t way = 0; way < sizeof ways / sizeof ways[0]; way++) {
        moat_heap_t *handle = moat_heap_new();
        void *blocks[] = {moat_heap_malloc(handle, 1), moat_heap_malloc(handle, MEDIUM),
                          moat_heap_malloc(handle, LARGE), NULL};
        pid_t child = ways[way]();
        if (child == 0) {
            alarm(20);
            _exit(heap_works(handle, blocks) ? UNIT_PASSED : 0);
        }
        int status = child_wait(child);
        EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == UNIT_PASSED);
        EXPECT(heap_works(handle, blocks));
    }
}

/* ---- what is fatal, in every build ---- */

struct misuse {
    moat_heap_t *handle;
    void (*call)(moat_heap_t *handle);
};

static void *call_it(void *argument)
{
    const struct misuse *misuse = argument;
    misuse->call(misuse->handle);
    return NULL;
}

static void call_in_thread(void *argument)
{
    unit_in_thread(call_it, argument);
}

static void call_here(void *argument)
{
    call_it(argument);
}

static void by_malloc(moat_heap_t *handle)
{
    moat_heap_malloc(handle, 10);
}

static void by_calloc(moat_heap_t *handle)
{
    moat_heap_calloc(handle, 1, 10);
}

static void by_aligned_alloc(moat_heap_t *handle)
{
    moat_heap_aligned_alloc(handle, 64, 10);
}

static void by_realloc(moat_heap_t *handle)
{
    moat_heap_realloc(handle, moat_malloc(10), 100);
}

static bool see_none(void *block, size_t bytes, void *argument)
{
    (void)block, (void)bytes, (void)argument;
    return false;
}

static void by_visit(moat_heap_t *handle)
{
    moat_heap_visit_blocks(handle, see_none, NULL);
}

static const struct {
    const char *name;
    void (*call)(moat_heap_t *handle);
} calls[] = {
    {"moat_heap_malloc", by_malloc},          {"moat_heap_calloc", by_calloc},
    {"moat_heap_realloc", by_realloc},        {"moat_heap_aligned_alloc", by_aligned_alloc},
    {"moat_heap_visit_blocks", by_visit},     {"moat_heap_delete", moat_heap_delete},
    {"moat_heap_destroy", moat_heap_destroy},
};

static bool call_while_visited(void *block, size_t bytes, void *misuse)
{
    (void)block, (void)bytes;
    call_it(misuse);
    return true;
}

static void call_from_visitor(void *argument)
{
    struct misuse *misuse = argument;
    moat_heap_visit_blocks(misuse->handle, call_while_visited, misuse);
}

static void expect_foreign(void (*way)(void *), struct misuse *misuse, const char *function)
{
    char wanted[128];
    struct death death = death_of(way, misuse);
    snprintf(wanted, sizeof wanted, "moat: foreign heap in %s(): 0x%lx (unknown), thread ", function,
             (unsigned long)misuse->handle);
    if (!death_is_by(&death, SIGABRT) || strncmp(death.text, wanted, strlen(wanted)) != 0)
        expect_fail("wanted: %s; got status %#x: %s", wanted, (unsigned)death.status, death.text);
    else
        expect_reached();
}

static void wrong_heaps_are_fatal(void)
{
    moat_heap_t *alive = moat_heap_new(), *ended = moat_heap_new();
    EXPECT(moat_heap_malloc(alive, 1) != NULL);
    moat_heap_delete(ended);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        struct misuse misuse = {alive, calls[i].call};
        expect_foreign(call_in_thread, &misuse, calls[i].name);
        expect_foreign(call_from_visitor, &misuse, calls[i].name);
        misuse.handle = ended;
        expect_foreign(call_here, &misuse, calls[i].name);
        misuse.handle = (moat_heap_t *)(void *)&misuse;
        expect_foreign(call_here, &misuse, calls[i].name);
    }
    moat_heap_delete(alive);
}

int main(void)
{
    moat_free(moat_malloc(1));
    pages_belong_to_the_heap();
    tickets_are_not_used_twice();
    another_thread_does_not_find_it();
    maker_frees_without_detour();
    heaps_claim_no_orphans();
    deleted_heaps_pages_are_abandoned();
    thread_ends_its_heaps();
    destroy_releases_pages(40);
    destroy_releases_pages(1000);
    destroy_releases_pages(9000);
    destroy_waits_for_frees_under_way();
    destroy_ends_medium_and_large_blocks();
    destroy_leaves_what_was_freed();
    delete_keeps_medium_and_large_blocks();
    collect_takes_what_others_freed();
    children_have_the_heaps();
    wrong_heaps_are_fatal();
    return expect_done();
}

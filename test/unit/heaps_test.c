/* First-class heaps from inside: tickets, whose pages are whose, what ends with a heap and what does not. */
#include "unit/unit.h"

#include "heaps.h"
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

static const struct {
    const char *name;
    void (*call)(moat_heap_t *handle);
} calls[] = {
    {"moat_heap_malloc", by_malloc},
    {"moat_heap_delete", moat_heap_delete},
};

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
    moat_heap_delete(ended);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        struct misuse misuse = {alive, calls[i].call};
        expect_foreign(call_in_thread, &misuse, calls[i].name);
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
    heaps_claim_no_orphans();
    deleted_heaps_pages_are_abandoned();
    thread_ends_its_heaps();
    wrong_heaps_are_fatal();
    return expect_done();
}

/* Pages whose thread has ended: given up when empty, else abandoned, and claimed by whoever allocates from the class or
 * frees into the page.
 */
#include "unit/unit.h"

#include "orphans.h"
#include "remote.h"

enum { COUNT = 40 };

/* What a thread leaves behind: blocks of one page. */
struct estate {
    size_t bytes;
    size_t freed; /* of COUNT, before it ends */
    void *block[COUNT];
};

static void *leave(void *argument)
{
    struct estate *estate = argument;
    for (size_t i = 0; i < COUNT; i++)
        estate->block[i] = moat_malloc(estate->bytes);
    for (size_t i = 0; i < COUNT; i++)
        EXPECT(unit_page_of(estate->block[i]) == unit_page_of(estate->block[0]));
    for (size_t i = 0; i < estate->freed; i++)
        moat_free(estate->block[i]);
    return NULL;
}

static struct record *page_left_by_thread(struct estate *estate)
{
    unit_in_thread(leave, estate);
    return unit_page_of(estate->block[0]);
}

struct figures {
    uint64_t opened, abandoned, claimed, released;
};

static struct figures figures_now(void)
{
    return (struct figures){stats_get(STAT_PAGES_OPENED), stats_get(STAT_PAGES_ABANDONED),
                            stats_get(STAT_PAGES_CLAIMED), stats_get(STAT_PAGES_RELEASED)};
}

static void expect_figures(const struct figures *before, struct figures more)
{
    struct figures now = figures_now();
    EXPECT_EQ(now.opened - before->opened, more.opened);
    EXPECT_EQ(now.abandoned - before->abandoned, more.abandoned);
    EXPECT_EQ(now.claimed - before->claimed, more.claimed);
    EXPECT_EQ(now.released - before->released, more.released);
}

static bool is_mine(const struct record *page)
{
    return page->owner == moat_self.number && remote_is_owned(page->remote) && page->waker == moat_self.heap;
}

static void page_with_live_blocks_is_abandoned(void)
{
    struct estate estate = {.bytes = 200, .freed = 10};
    struct figures before = figures_now();
    struct record *page = page_left_by_thread(&estate);

    expect_figures(&before, (struct figures){.opened = 1, .abandoned = 1});
    EXPECT_EQ(page->owner, OWNER_ORPHAN);
    EXPECT(!remote_is_owned(page->remote));
    EXPECT_EQ(page->is_listed, 1);
}

static void page_whose_blocks_are_all_back_is_given_up(void)
{
    struct estate estate = {.bytes = 300, .freed = COUNT};
    struct figures before = figures_now();
    struct record *page = page_left_by_thread(&estate);

    expect_figures(&before, (struct figures){.opened = 1, .released = 1});
    EXPECT_EQ(page->owner, OWNER_NONE);
    EXPECT(remote_is_owned(page->remote)); /* so that a racing free cannot claim it */
    EXPECT_EQ(page->is_listed, 0);
}

static void allocating_thread_claims(void)
{
    struct estate estate = {.bytes = 400, .freed = 10};
    struct record *page = page_left_by_thread(&estate);
    size_t carved = page->carved, from_page = 0;
    struct figures before = figures_now();

    void *block = moat_malloc(estate.bytes);
    expect_figures(&before, (struct figures){.claimed = 1});
    EXPECT(is_mine(page) && page->is_listed == 0);
    EXPECT(moat_heap_is_valid());
    for (from_page = 0; unit_page_of(block) == page; from_page++)
        block = moat_malloc(estate.bytes);
    /* All that was free there, and all that was not yet carved; behind a magazine some of it waits there. */
    EXPECT_EQ(from_page + unit_kept_in(page) + page_back(page), page->capacity - (COUNT - estate.freed));
    EXPECT(unit_kept_in(page) <= UNIT_RESERVE + 2 * UNIT_FRESH);
    EXPECT(page->carved == page->capacity && page->carved >= carved);
    EXPECT(moat_heap_is_valid());
}

static void freeing_thread_claims(void)
{
    struct estate estate = {.bytes = 500, .freed = 10};
    struct record *page = page_left_by_thread(&estate);
    struct figures before = figures_now();

    moat_free(estate.block[COUNT - 1]);
    expect_figures(&before, (struct figures){.claimed = 1});
    EXPECT(is_mine(page) && page->is_listed == 0);
    EXPECT_EQ(page_back(page), page->carved - (COUNT - estate.freed - 1));
    EXPECT(moat_heap_is_valid());
    for (size_t i = estate.freed; i < COUNT - 1; i++)
        moat_free(estate.block[i]);
    unit_come_home(page->class);
    EXPECT_EQ(page->phase, PAGE_EMPTY);
    expect_figures(&before, (struct figures){.claimed = 1});
    EXPECT(moat_heap_is_valid());
}

/* The first free claims, so the page has an owner that collects: nobody else claims it after that. */
static void page_is_claimed_once(void)
{
    struct estate estate = {.bytes = 600};
    struct record *page = page_left_by_thread(&estate);
    unsigned class = page->class;
    struct figures before = figures_now();

    moat_free(estate.block[0]);
    EXPECT(is_mine(page));
    EXPECT(orphans_claim(class) == NULL);
    EXPECT(!heap_claim_orphan(heap_of_thread(), class));
    orphans_forget(page);
    expect_figures(&before, (struct figures){.claimed = 1});
    EXPECT(moat_heap_is_valid());
}

static void *free_all(void *argument)
{
    struct estate *estate = argument;
    for (size_t i = estate->freed; i < COUNT; i++)
        moat_free(estate->block[i]);
    return NULL;
}

/* A second thread that has no heap yet frees what the first one left, and ends as well: nothing is lost on the way. */
static void page_that_a_freeing_thread_emptied_is_given_up_at_its_end(void)
{
    struct estate estate = {.bytes = 700};
    struct figures before = figures_now();
    struct record *page = page_left_by_thread(&estate);

    unit_in_thread(free_all, &estate);
    expect_figures(&before, (struct figures){.opened = 1, .abandoned = 1, .claimed = 1, .released = 1});
    EXPECT_EQ(page->owner, OWNER_NONE);
}

/* Orphans are found by class, whichever was left first. */
static void orphans_of_other_classes_are_left_alone(void)
{
    struct estate first = {.bytes = 800}, second = {.bytes = 900};
    struct record *page = page_left_by_thread(&first);
    struct record *other = page_left_by_thread(&second);

    EXPECT(page != other);
    EXPECT(orphans_claim(page->class) == page);
    EXPECT(orphans_claim(page->class) == NULL);
    EXPECT(other->is_listed == 1 && other->owner == OWNER_ORPHAN);
}

/* What another thread freed before the owner's end is collected by it, not lost. */
static void *leave_after_remote_frees(void *argument)
{
    struct estate *estate = argument;
    leave(estate);
    unit_in_thread(free_all, estate);
    return NULL;
}

static void remote_frees_are_collected_at_the_end(void)
{
    struct estate estate = {.bytes = 1000};
    struct figures before = figures_now();

    unit_in_thread(leave_after_remote_frees, &estate);
    expect_figures(&before, (struct figures){.opened = 1, .released = 1});
    EXPECT_EQ(unit_page_of(estate.block[0])->owner, OWNER_NONE);
}

static void heaps_of_ended_threads_are_used_again(void)
{
    struct estate estate = {.bytes = 20, .freed = COUNT};
    uint64_t heaps = stats_get(STAT_HEAPS);

    for (int i = 0; i < 20; i++)
        unit_in_thread(leave, &estate);
    EXPECT_EQ(stats_get(STAT_HEAPS), heaps);
}

enum { LEFT_PAGES = 40, LEFT_BYTES = 8000, CLAIMED_MOST = 16 };

static void *leave_full_page(void *argument)
{
    char **block = argument;
    struct record *page = unit_page_of(block[0] = moat_malloc(LEFT_BYTES));
    for (size_t i = 1; i < page->capacity; i++)
        block[i] = moat_malloc(LEFT_BYTES);
    return NULL;
}

/* The pages were full, so they were claimed for nothing: a malloc does not take over all that there are. */
static void one_malloc_claims_few(void)
{
    static char *block[LEFT_PAGES][MOAT_SLICE / LEFT_BYTES];
    for (size_t i = 0; i < LEFT_PAGES; i++)
        unit_in_thread(leave_full_page, block[i]);

    struct figures before = figures_now();
    EXPECT(moat_malloc(LEFT_BYTES) != NULL);
    uint64_t claimed = figures_now().claimed - before.claimed;
    EXPECT(claimed > 0 && claimed <= CLAIMED_MOST);
    EXPECT(moat_heap_is_valid());
}

/* All pages that there are, until a block has to come from elsewhere; the youngest ones have free blocks, and are abandoned
 * first, so that they would be claimed last. */
static void *leave_all_pages(void *nothing)
{
    enum { ALL = 100000, FREED = 2 * UNIT_RESERVE + 8 };
    static char *block[ALL];
    size_t count = 0;
    while (stats_get(STAT_BORROWED) == 0 && count < ALL)
        block[count++] = moat_malloc(LEFT_BYTES);
    EXPECT(stats_get(STAT_BORROWED) == 1);
    for (size_t i = 0; i < FREED; i++) /* each second one: no page is empty by that */
        moat_free(block[count - 2 - 2 * i]);
    return nothing;
}

static void where_no_page_can_be_had_all_are_claimed(void)
{
    unit_in_thread(leave_all_pages, NULL);
    EXPECT(stats_get(STAT_PAGES_ABANDONED) > 4 * CLAIMED_MOST);
    EXPECT(moat_malloc(LEFT_BYTES) != NULL);
    EXPECT_EQ(stats_get(STAT_BORROWED), 1);
    EXPECT(moat_heap_is_valid());
}

int main(int argc, char **argv)
{
    (void)argv;
    moat_free(moat_malloc(1));
    if (argc == 2) {
        where_no_page_can_be_had_all_are_claimed();
        return expect_done();
    }
    page_with_live_blocks_is_abandoned();
    page_whose_blocks_are_all_back_is_given_up();
    allocating_thread_claims();
    freeing_thread_claims();
    page_is_claimed_once();
    page_that_a_freeing_thread_emptied_is_given_up_at_its_end();
    orphans_of_other_classes_are_left_alone();
    remote_frees_are_collected_at_the_end();
    heaps_of_ended_threads_are_used_again();
    one_malloc_claims_few();
    EXPECT(moat_heap_is_valid());
    if (expect_failures() != 0)
        return expect_done();
    /* The options are read at the start, so the smallest cage is another process's. */
    EXPECT_EQ(setenv("MOAT_OPTIONS", "cage=64M", 1), 0);
    execl("/proc/self/exe", "orphans", "small", (char *)NULL);
    expect_fail("execl: %s", strerror(errno));
    return expect_done();
}

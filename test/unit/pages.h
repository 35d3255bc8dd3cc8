/* Whole pages of a class, of which a test has every block. */
#ifndef TEST_UNIT_PAGES_H
#define TEST_UNIT_PAGES_H

#include "unit/unit.h"

enum { PAGES_MAX = 64 };

/* Blocks of whole pages, by page and in the order of their birth. */
struct full_pages {
    unsigned class;
    size_t count;
    struct record *page[PAGES_MAX];
    char **block[PAGES_MAX];
};

/* The number of the block's page among those that are filled; `count` of them when it is another. */
static inline size_t index_of_page(struct full_pages *full, size_t count, struct record *page)
{
    size_t i = 0;
    while (i < full->count && full->page[i] != page)
        i++;
    if (i < full->count || i == count)
        return i;
    full->page[i] = page;
    full->block[i] = malloc(page->capacity * sizeof(char *));
    full->count++;
    return i;
}

/* Behind magazines a page's last fresh blocks wait in their places while the next page is already begun: that one is given
 * back. */
static inline void give_back_surplus(const struct full_pages *full, char **surplus, size_t count)
{
    const struct class_queue *queue = unit_queue_of(full->class);
    for (size_t i = 0; i < count; i++)
        moat_free(surplus[i]);
    unit_come_home(full->class); /* a page may be open of which only the places have blocks */
    while (queue->head != 0 && record_of_slice(queue->head)->phase == PAGE_EMPTY)
        EXPECT(page_release(heap_of_thread(), record_of_slice(queue->head)));
    EXPECT(queue->page_count == full->count && queue->head == 0);
}

/* Fills `count` fresh pages of a class that nobody has used. */
static inline void fill_pages(struct full_pages *full, unsigned class, size_t count)
{
    enum { SURPLUS_MAX = 4096 };
    static char *surplus[SURPLUS_MAX];
    size_t filled[PAGES_MAX] = {0}, whole = 0, extra = 0;

    full->class = class;
    full->count = 0;
    EXPECT_EQ(unit_queue_of(class)->page_count, 0);
    while (whole < count && EXPECT(extra < SURPLUS_MAX)) {
        char *block = moat_malloc(class_bytes(class) - 1);
        struct record *page = unit_page_of(block);
        size_t i = index_of_page(full, count, page);
        if (i == count) {
            surplus[extra++] = block;
            continue;
        }
        full->block[i][filled[i]++] = block;
        whole += filled[i] == page->capacity;
    }
    give_back_surplus(full, surplus, extra);
    EXPECT_EQ(full->count, count);
    for (size_t i = 0; i < count; i++)
        EXPECT_EQ(full->page[i]->carved, full->page[i]->capacity);
}

static inline void forget(struct full_pages *full)
{
    for (size_t i = 0; i < full->count; i++)
        free(full->block[i]);
}

#endif

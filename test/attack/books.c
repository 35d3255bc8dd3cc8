/* The books: which blocks the program has, by its own account, in memory that is not the heap's.
 *
 * Entries are found by the OS page in which they begin; small blocks span at most a few, and bigger ones have a list of
 * their own. A dropped block keeps its entry, so that what comes after it at its address can be compared with it.
 */
#include "attack.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    ENTRIES = 1 << 15,
    BUCKETS = 1 << 12,
    PAGE_BITS = 12,
    BIG_BYTES = 3 << PAGE_BITS, /* bigger blocks stand in the last bucket */
    HEAD_BYTES = 32,
    TAIL_BYTES = 16,
    PLACES = 4,
    PLACE_BYTES = 4096
};

struct entry {
    uintptr_t start;
    size_t bytes;
    uint64_t dropped_at; /* grabs() then */
    uint32_t next;       /* in its bucket, 0 for none */
    bool is_live;
    bool is_struck; /* the attacker wrote into it through another pointer: its contents prove nothing */
};

struct place {
    char *start;
    size_t bytes;
    const char *what;
    bool is_hole;
    char before[PLACE_BYTES];
};

static struct entry entries[ENTRIES];
static uint32_t entry_count = 1;
static uint32_t buckets[BUCKETS + 1];
static struct place places[PLACES];
static unsigned place_count;
static uint64_t grab_count;
static bool types_are_watched;
static volatile bool filling;
static bool is_armed;
static struct {
    uintptr_t start; /* a live block that a misuse met: what it leads to is a reuse */
    uint64_t grabs;  /* that it took */
} reused;
static struct report measured;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static _Noreturn void end_with(int status, const struct report *report)
{
    ssize_t written = report != NULL ? write(REPORT_DESCRIPTOR, report, sizeof *report) : 0;
    (void)written; /* the status says it too */
    _exit(status);
}

void win(const char *goal, const void *where)
{
    struct report report = {0};
    snprintf(report.text, sizeof report.text, "%s (%p)", goal, where);
    if (!is_armed)
        snprintf(report.text, sizeof report.text, "%s (%p), before the misuse", goal, where);
    end_with(ENDED_WON, &report);
}

void win_by_reuse(const void *block, const char *goal)
{
    struct report report = {.figure = reused.grabs};
    if (reused.start != (uintptr_t)block)
        win(goal, block);
    snprintf(report.text, sizeof report.text, "%s (%p)", goal, block);
    end_with(ENDED_REUSED, &report);
}

void lose(void)
{
    end_with(ENDED_LOST, NULL);
}

void not_set_up(void)
{
    end_with(ENDED_NOT_SET_UP, NULL);
}

void require(bool is_set_up)
{
    if (!is_set_up)
        not_set_up();
}

void report_figure(uint64_t figure, const char *text)
{
    measured.figure = figure;
    snprintf(measured.text, sizeof measured.text, "%s", text);
}

uint64_t grabs(void)
{
    return grab_count;
}

/* ---- entries ---- */

static uint32_t *bucket_of(uintptr_t start, size_t bytes)
{
    if (bytes > BIG_BYTES)
        return &buckets[BUCKETS];
    return &buckets[(start >> PAGE_BITS) % BUCKETS];
}

static bool meets(const struct entry *entry, uintptr_t start, size_t bytes)
{
    return start < entry->start + entry->bytes && entry->start < start + bytes;
}

/* The next entry after `entry` (NULL: the first) of those that may lie over a range. */
static struct entry *next_near(uintptr_t start, size_t bytes, struct entry *entry, uintptr_t *page)
{
    uint32_t next = entry != NULL ? entry->next : 0;
    if (entry == NULL) {
        *page = (start - BIG_BYTES) >> PAGE_BITS;
        next = buckets[BUCKETS];
    }
    while (next == 0 && *page <= (start + bytes) >> PAGE_BITS) {
        next = buckets[*page % BUCKETS];
        *page += 1;
    }
    return next != 0 ? &entries[next] : NULL;
}

static struct entry *find(const void *block, bool is_live)
{
    uintptr_t start = (uintptr_t)block, page;
    for (struct entry *entry = next_near(start, 1, NULL, &page); entry != NULL;
         entry = next_near(start, 1, entry, &page)) {
        if (entry->start == start && entry->is_live == is_live)
            return entry;
    }
    return NULL;
}

static struct entry *find_live_over(uintptr_t start, size_t bytes)
{
    uintptr_t page;
    for (struct entry *entry = next_near(start, bytes, NULL, &page); entry != NULL;
         entry = next_near(start, bytes, entry, &page)) {
        if (entry->is_live && meets(entry, start, bytes))
            return entry;
    }
    return NULL;
}

bool is_live(const void *block)
{
    pthread_mutex_lock(&lock);
    bool is = find(block, true) != NULL;
    pthread_mutex_unlock(&lock);
    return is;
}

bool is_in_live(const void *address)
{
    pthread_mutex_lock(&lock);
    bool is = find_live_over((uintptr_t)address, 1) != NULL;
    pthread_mutex_unlock(&lock);
    return is;
}

static unsigned char pattern_at(const struct entry *entry, size_t offset)
{
    return (unsigned char)(((entry->start >> 4) * 31 + offset * 7) | 1);
}

static void fill(const struct entry *entry)
{
    volatile unsigned char *bytes = (volatile unsigned char *)entry->start;
    for (size_t i = 0; i < entry->bytes; i++) {
        if (i < HEAD_BYTES || i + TAIL_BYTES >= entry->bytes)
            bytes[i] = pattern_at(entry, i);
        else
            i = entry->bytes - TAIL_BYTES - 1;
    }
}

static bool is_filled(const struct entry *entry)
{
    const volatile unsigned char *bytes = (const volatile unsigned char *)entry->start;
    for (size_t i = 0; i < entry->bytes; i++) {
        if (i >= HEAD_BYTES && i + TAIL_BYTES < entry->bytes)
            i = entry->bytes - TAIL_BYTES;
        if (bytes[i] != pattern_at(entry, i))
            return false;
    }
    return true;
}

/* ---- what the program does ---- */

static const struct place *place_over(uintptr_t start, size_t bytes)
{
    for (unsigned i = 0; i < place_count; i++) {
        if (start < (uintptr_t)places[i].start + places[i].bytes && (uintptr_t)places[i].start < start + bytes)
            return &places[i];
    }
    return NULL;
}

static void look_at_new(void *block, size_t bytes)
{
    uintptr_t start = (uintptr_t)block, page;
    const struct place *place = place_over(start, bytes);
    if (place != NULL) {
        char text[REPORT_TEXT_MAX];
        snprintf(text, sizeof text, "a block in a chosen place: %s", place->what);
        win(text, block);
    }
    struct entry *entry = find_live_over(start, bytes);
    if (entry != NULL && reused.start != 0 && entry->start == reused.start && start == reused.start)
        win_by_reuse(block, "a block that was handed out again has two owners");
    if (entry != NULL)
        win(entry->start == start ? "one block for two owners" : "a block over a live one", block);
    for (entry = next_near(start, bytes, NULL, &page); types_are_watched && entry != NULL;
         entry = next_near(start, bytes, entry, &page)) {
        if (meets(entry, start, bytes) && (entry->bytes > bytes + bytes / 4 || bytes > entry->bytes + entry->bytes / 4))
            win("a former block's address in a block of another size", block);
    }
}

void *grabbed(void *block, size_t bytes)
{
    if (block == NULL)
        end_with(ENDED_NO_MEMORY, NULL);
    pthread_mutex_lock(&lock);
    grab_count++;
    look_at_new(block, bytes);
    struct entry *entry = find(block, false);
    if (entry == NULL || (entry->bytes > BIG_BYTES) != (bytes > BIG_BYTES)) {
        require(entry_count < ENTRIES);
        uint32_t *bucket = bucket_of((uintptr_t)block, bytes);
        entry = &entries[entry_count];
        entry->next = *bucket;
        *bucket = entry_count++;
    }
    entry->start = (uintptr_t)block;
    entry->bytes = bytes;
    entry->is_live = true;
    entry->is_struck = false;
    if (reused.start == entry->start)
        reused.start = 0;
    filling = true;
    fill(entry);
    filling = false;
    pthread_mutex_unlock(&lock);
    return launder(block);
}

void dropped(void *block)
{
    pthread_mutex_lock(&lock);
    struct entry *entry = find(block, true);
    if (entry != NULL) {
        entry->is_live = false;
        entry->dropped_at = grab_count;
    }
    pthread_mutex_unlock(&lock);
    require(entry != NULL);
}

void strike(const void *address)
{
    pthread_mutex_lock(&lock);
    is_armed = true;
    struct entry *entry = find(address, true);
    /* A block that came back after it was dropped. One that is freed while its first owner has it is another matter. */
    if (entry != NULL && entry->dropped_at != 0) {
        reused.start = entry->start;
        reused.grabs = grab_count - entry->dropped_at;
    }
    pthread_mutex_unlock(&lock);
}

static void write_bytes(void *at, const void *bytes, size_t count)
{
    pthread_mutex_lock(&lock);
    uintptr_t start = (uintptr_t)at, page;
    for (struct entry *entry = next_near(start, count, NULL, &page); entry != NULL;
         entry = next_near(start, count, entry, &page)) {
        if (meets(entry, start, count))
            entry->is_struck = true;
    }
    pthread_mutex_unlock(&lock);
    volatile unsigned char *to = at;
    for (size_t i = 0; i < count; i++)
        to[i] = ((const unsigned char *)bytes)[i];
}

void overwrite_bytes(void *at, const void *bytes, size_t count)
{
    strike(at);
    write_bytes(at, bytes, count);
}

void overwrite(void *at, uintptr_t word)
{
    overwrite_bytes(at, &word, sizeof word);
}

void write_own(void *at, uintptr_t word)
{
    write_bytes(at, &word, sizeof word);
}

uintptr_t peek(const void *at)
{
    uintptr_t word = 0;
    const volatile unsigned char *from = at;
    for (size_t i = 0; i < sizeof word; i++)
        word |= (uintptr_t)from[i] << (8 * i);
    return word;
}

void choose_hole(void *start, size_t bytes, const char *what)
{
    require(place_count < PLACES);
    places[place_count++] = (struct place){.start = start, .bytes = bytes, .what = what, .is_hole = true};
}

void choose_place(void *start, size_t bytes, const char *what)
{
    require(bytes <= PLACE_BYTES);
    choose_hole(start, bytes, what);
    places[place_count - 1].is_hole = false;
    memcpy(places[place_count - 1].before, start, bytes);
}

bool is_filling(void)
{
    return filling;
}

void watch_types(void)
{
    types_are_watched = true;
}

void finish(void)
{
    char text[REPORT_TEXT_MAX];
    for (unsigned i = 0; i < place_count; i++) {
        snprintf(text, sizeof text, "a chosen place was changed: %s", places[i].what);
        if (!places[i].is_hole && memcmp(places[i].start, places[i].before, places[i].bytes) != 0)
            win(text, places[i].start);
    }
    for (uint32_t i = 1; i < entry_count; i++) {
        if (entries[i].is_live && !entries[i].is_struck && !is_filled(&entries[i])) {
            win_by_reuse(launder((const void *)entries[i].start), "a live block was changed");
        }
    }
    if (!is_armed)
        not_set_up();
    if (measured.text[0] != '\0')
        end_with(ENDED_LOST, &measured);
    end_with(ENDED_LOST, NULL);
}

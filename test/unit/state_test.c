/* The object that other processes read under the symbol moat_state: it describes itself, and says what is so. */
#include "unit/unit.h"

#include "fixed.h"
#include "moat.h"
#include "state.h"

#include <string.h>
#include <sys/mman.h>

extern struct moat_state moat_state; /* not const: it changes behind our back */

static bool is_plain_text(const char *text, size_t room)
{
    size_t length = strnlen(text, room);
    for (size_t i = 0; i < length; i++) {
        if (text[i] < ' ' || text[i] > '~')
            return false;
    }
    return length > 0 && length < room;
}

static const void *entry(uint32_t at, uint32_t bytes, unsigned index)
{
    return (const char *)&moat_state + at + (size_t)bytes * index;
}

static const struct moat_state_counter *counter(unsigned index)
{
    return entry(moat_state.counters_at, moat_state.counter_bytes, index);
}

static void head_says_what_the_build_is(void)
{
    EXPECT_EQ(memcmp(moat_state.magic, MOAT_STATE_MAGIC, sizeof moat_state.magic), 0);
    EXPECT_EQ(moat_state.layout, MOAT_STATE_LAYOUT);
    EXPECT_EQ((uintptr_t)&moat_state, (uintptr_t)&moat_shown);
    char version[40];
    snprintf(version, sizeof version, "%s %s", moat_state.version, moat_state.profile);
    EXPECT_EQ(strcmp(version, moat_version()), 0);
}

static void tables_lie_inside(void)
{
    EXPECT(moat_state.protections_at >= sizeof moat_state);
    EXPECT(moat_state.protections_at + moat_state.protections_count * moat_state.protection_bytes <=
           moat_state.counters_at);
    EXPECT_EQ(moat_state.counters_at + moat_state.counters_count * moat_state.counter_bytes, moat_state.bytes);
    EXPECT_EQ(moat_state.counters_count, STAT_COUNT);
    EXPECT_EQ((uintptr_t)counter(0) % MOAT_CACHE_LINE, 0);
}

/* A line that somebody forgot in src/state.c is an empty name here. */
static void every_entry_has_its_own_name(void)
{
    for (unsigned i = 0; i < moat_state.protections_count; i++) {
        const struct moat_state_protection *protection =
            entry(moat_state.protections_at, moat_state.protection_bytes, i);
        EXPECT(is_plain_text(protection->option, sizeof protection->option));
        EXPECT(is_plain_text(protection->words, sizeof protection->words));
    }
    for (unsigned i = 0; i < STAT_COUNT; i++) {
        EXPECT(is_plain_text(counter(i)->name, sizeof counter(i)->name));
        EXPECT(counter(i)->kind <= MOAT_COUNTS_TROUBLE);
        for (unsigned j = 0; j < i; j++)
            EXPECT(strcmp(counter(i)->name, counter(j)->name) != 0);
    }
}

static void protections_are_those_of_the_build(void)
{
    EXPECT_EQ(moat_state.protections_count, STATE_PROTECTIONS);
    EXPECT_EQ(state_has(STATE_GUARD_PAGES), MOAT_SECURE_GUARD_PAGES);
    EXPECT_EQ(state_has(STATE_DOUBLE_FREE), MOAT_SECURE_DOUBLE_FREE);
    EXPECT_EQ(state_has(STATE_ISOLATION), MOAT_SECURE_ISOLATION);
    EXPECT_EQ(state_has(STATE_ENCODED_LINKS), MOAT_SECURE_ENCODED_LINKS);
    EXPECT_EQ(state_has(STATE_RANDOM_ORDER), MOAT_SECURE_RANDOM_ORDER);
    EXPECT_EQ(moat_state.protections >> STATE_PROTECTIONS, 0);
}

static void start_is_shown(void)
{
    moat_free(moat_malloc(1));
    EXPECT_EQ(moat_state.mode, MOAT_STATE_ACTIVE);
    EXPECT_EQ(moat_state.cage_base, moat_fixed.is.base);
    EXPECT_EQ(moat_state.cage_bytes, moat_fixed.is.cage_bytes);
    EXPECT_EQ(moat_state.last_words[0], 0);
}

static void counts_are_shown(void)
{
    uint64_t degraded = moat_state.degraded;

    EXPECT_EQ(counter(STAT_HEAPS)->count, stats_get(STAT_HEAPS));
    EXPECT(stats_get(STAT_HEAPS) > 0);
    stats_add(STAT_HEAPS, 5);         /* work */
    stats_add(STAT_MOVES_REFUSED, 7); /* trouble */
    EXPECT_EQ(moat_state.degraded, degraded);
    stats_add(STAT_GUARDS_MISSING, 3);
    stats_add(STAT_OPTIONS_LOWERED, 1);
    EXPECT_EQ(moat_state.degraded, degraded + 4);
    EXPECT_EQ(counter(STAT_GUARDS_MISSING)->count, stats_get(STAT_GUARDS_MISSING));

    uint64_t sum = 0;
    for (unsigned i = 0; i < STAT_COUNT; i++)
        sum += counter(i)->kind == MOAT_COUNTS_DEGRADED ? counter(i)->count : 0;
    EXPECT_EQ(moat_state.degraded, sum);
}

enum { CHILD_IS_RIGHT = 9, CHILD_IS_WRONG = 10 };

static int look_from_child(uint32_t forks, uint64_t pages)
{
    moat_free(moat_malloc(3 << 20)); /* a slow path: a child of _Fork settles there */
    bool is_right = moat_state.forks == forks + 1 && moat_state.mode == MOAT_STATE_ACTIVE &&
                    moat_state.cage_base == moat_fixed.is.base && stats_get(STAT_PAGES_OPENED) >= pages;
    stats_add(STAT_HEAPS, 1000); /* the child's own */
    return is_right ? CHILD_IS_RIGHT : CHILD_IS_WRONG;
}

static void child_has_a_state_of_its_own(pid_t (*fork_by)(void))
{
    uint32_t forks = moat_state.forks;
    uint64_t heaps = stats_get(STAT_HEAPS), pages = stats_get(STAT_PAGES_OPENED);
    pid_t child = fork_by();
    if (child == 0)
        _exit(look_from_child(forks, pages));
    int status = child_wait(child);
    EXPECT(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), CHILD_IS_RIGHT);
    EXPECT_EQ(moat_state.forks, forks);
    EXPECT_EQ(stats_get(STAT_HEAPS), heaps);
}

/* A parent sees the child's state through memory that both share: what a core dump would hold. */
static void last_words_are_kept(void)
{
    enum { ROOM = sizeof moat_shown.head.last_words };
    char *seen = mmap(NULL, MOAT_OS_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!EXPECT(seen != MAP_FAILED))
        return;
    pid_t child = _Fork();
    if (child == 0) {
        static const char line[] = "moat: double free in free(): 0x10 (class 64), thread 1\n";
        state_keep_last_words(line, sizeof line - 1);
        memcpy(seen, moat_state.last_words, ROOM);
        memset(seen + ROOM, 'x', ROOM);
        seen[2 * ROOM] = '\n';
        state_keep_last_words(seen + ROOM, ROOM + 1); /* longer than the field */
        memcpy(seen + 2 * ROOM, moat_state.last_words, ROOM);
        _exit(0);
    }
    child_wait(child);
    EXPECT_EQ(strcmp(seen, "moat: double free in free(): 0x10 (class 64), thread 1"), 0);
    EXPECT_EQ(strnlen(seen + 2 * ROOM, ROOM), ROOM - 1);
    EXPECT_EQ(moat_state.last_words[0], 0);
    munmap(seen, MOAT_OS_PAGE);
}

int main(void)
{
    head_says_what_the_build_is();
    tables_lie_inside();
    every_entry_has_its_own_name();
    protections_are_those_of_the_build();
    start_is_shown();
    counts_are_shown();
    child_has_a_state_of_its_own(fork);
    child_has_a_state_of_its_own(_Fork);
    last_words_are_kept();
    return expect_done();
}

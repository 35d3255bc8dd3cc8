/* Nobody's order is another's: a parent, its children by fork, _Fork and a raw clone, threads, and runs of one program see other
 * blocks next, fresh ones and ones used before, although they begin from the same heap. And a child loses no block: all that
 * its parent had free can be had there.
 *
 * Without SECURE_RANDOM_ORDER all of them see the same, and the tests expect that: it shows that they compare what is alike.
 */
#include "unit/chance.h"
#include "unit/unit.h"

#include <string.h>
#include <sys/syscall.h>

enum { HAS_ORDER = MOAT_WITH_RANDOM_ORDER };

/* What a process or thread does that is asked: so many blocks of each size, which somebody freed before or nobody had. */
enum { PARTS = 4, PART = 640, DRAWS = PARTS * PART };
static const struct part {
    const char *name;
    size_t bytes;
    bool is_used;
    size_t run; /* so many the same in a row come by chance once in 10^13 times */
} parts[PARTS] = {{"used blocks of 40", 40, true, 16},
                  {"used blocks of 2000", 2000, true, 16},
                  {"fresh blocks of 100", 100, false, 16},
                  {"fresh blocks of 3000", 3000, false, 40}};

struct draws {
    uintptr_t of[DRAWS];
};

static void draw(struct draws *draws)
{
    for (size_t i = 0; i < DRAWS; i++)
        draws->of[i] = (uintptr_t)moat_malloc(parts[i / PART].bytes);
}

/* Places in their pages, for those who have different pages. */
static void draw_places(struct draws *draws)
{
    draw(draws);
    for (size_t i = 0; i < DRAWS; i++)
        draws->of[i] = unit_offset_of((const void *)draws->of[i]);
}

/* Frees a whole lot of blocks, so that all that lies between malloc and the pages is full, and pages are queued. */
static void use_heap(void)
{
    enum { USED = 1500 };
    static MOAT_THREAD char *used[USED];
    for (size_t part = 0; part < PARTS; part++) {
        if (!parts[part].is_used)
            continue;
        for (size_t i = 0; i < USED; i++)
            used[i] = moat_malloc(parts[part].bytes);
        for (size_t i = 0; i < USED; i++)
            if (i * 7 % USED % 20 != 0) /* so that every page stays in use */
                moat_free(used[i * 7 % USED]);
    }
}

static void compare(const struct draws *one, const struct draws *other, const char *who)
{
    for (size_t part = 0; part < PARTS; part++) {
        size_t run = 0, longest = 0, same = 0;
        for (size_t i = part * PART; i < (part + 1) * PART; i++) {
            run = one->of[i] == other->of[i] ? run + 1 : 0;
            same += run > 0;
            longest = run > longest ? run : longest;
        }
        bool is_right = HAS_ORDER ? longest < parts[part].run && same < PART / 2 : same == PART;
        if (!EXPECT(is_right))
            expect_say("  %s, %s: %zu of %d the same, %zu of them in a row\n", who, parts[part].name, same, PART,
                       longest);
    }
}

/* No block comes twice. */
static bool all_differ(const struct draws *draws)
{
    for (size_t i = 0; i < DRAWS; i++)
        for (size_t j = i / PART * PART; j < i; j++)
            if (draws->of[i] == draws->of[j])
                return false;
    return true;
}

/* ---- children ---- */

enum way { BY_FORK, BY_FORK_WITHOUT_HANDLERS, BY_CLONE, WAYS };
static const char *const way_names[WAYS] = {"fork", "_Fork", "clone"};

static pid_t child_by(enum way way)
{
    if (way == BY_FORK)
        return fork();
    return way == BY_CLONE ? (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : _Fork();
}

static bool write_all(int descriptor, const void *bytes, size_t size)
{
    const char *from = bytes;
    while (size > 0) {
        ssize_t written = write(descriptor, from, size);
        if (written <= 0)
            return false;
        from += written;
        size -= (size_t)written;
    }
    return true;
}

static bool read_all(int descriptor, void *bytes, size_t size)
{
    char *to = bytes;
    while (size > 0) {
        ssize_t got = read(descriptor, to, size);
        if (got <= 0)
            return false;
        to += got;
        size -= (size_t)got;
    }
    return true;
}

static bool draws_of_child(enum way way, struct draws *draws)
{
    int ends[2];
    if (!EXPECT_EQ(pipe(ends), 0))
        return false;
    pid_t child = child_by(way);
    if (child == 0) {
        static struct draws own;
        draw(&own);
        bool is_sound = moat_heap_is_valid() && all_differ(&own);
        _exit(is_sound && write_all(ends[1], &own, sizeof own) ? 0 : 1);
    }
    close(ends[1]);
    bool done = EXPECT(read_all(ends[0], draws, sizeof *draws));
    close(ends[0]);
    return EXPECT_EQ(child_wait(child), 0) && done;
}

static void children_see_other_blocks(void)
{
    enum { EACH = 2, ALL = WAYS * EACH + 1 };
    static struct draws draws[ALL];
    char who[64];

    use_heap();
    for (size_t i = 0; i < ALL - 1; i++)
        if (!draws_of_child((enum way)(i / EACH), &draws[i]))
            return;
    draw(&draws[ALL - 1]); /* the parent itself */
    EXPECT(moat_heap_is_valid() && all_differ(&draws[ALL - 1]));
    for (size_t i = 0; i < ALL; i++) {
        for (size_t j = 0; j < i; j++) {
            snprintf(who, sizeof who, "%s and child of %s", i < ALL - 1 ? way_names[i / EACH] : "parent",
                     way_names[j / EACH]);
            compare(&draws[i], &draws[j], who);
        }
    }
}

/* A class at its first use, in many children: one of four blocks, and each class has its own draw. */
static void first_block_is_one_of_four(void)
{
    enum { FROM = 200, STEP = 8, CLASSES = 8, CHILDREN = 300 };
    static uint64_t first[4], two[4][4], bins[4];
    size_t wrong = 0;

    for (size_t i = 0; i < CHILDREN; i++) {
        int ends[2], status;
        uint8_t places[CLASSES] = {0};
        EXPECT_EQ(pipe(ends), 0);
        pid_t child = child_by((enum way)(i % WAYS));
        if (child == 0) {
            for (size_t j = 0; j < CLASSES; j++) {
                const void *block = moat_malloc(FROM + 120 * j);
                places[j] = (uint8_t)(unit_offset_of(block) / unit_page_of(block)->block_bytes);
            }
            _exit(write_all(ends[1], places, sizeof places) ? 0 : 1);
        }
        close(ends[1]);
        wrong += !read_all(ends[0], places, sizeof places);
        close(ends[0]);
        status = child_wait(child);
        wrong += status != 0;
        for (size_t j = 0; j < CLASSES; j++) {
            wrong += places[j] >= (HAS_ORDER ? 4 : 1);
            bins[places[j] % 4]++;
            if (j > 0)
                two[places[j - 1] % 4][places[j] % 4]++;
        }
        first[places[0] % 4]++;
    }
    EXPECT_EQ(wrong, 0);
    if (!HAS_ORDER)
        return;
    chance_expect_even(bins, 4, "a class's first block");
    chance_expect_even(first, 4, "a child's first block");
    chance_expect_even(two[0], 16, "a class's first block, given another's");
}

/* ---- threads and programs: their pages differ anyway, so it is the places in them that are compared ---- */

struct thread_draws {
    struct draws draws;
    pthread_barrier_t *together; /* nobody ends, and leaves pages to the other, before both have drawn */
};

static void *draw_in_thread(void *argument)
{
    struct thread_draws *own = argument;
    use_heap();
    draw_places(&own->draws);
    pthread_barrier_wait(own->together);
    return NULL;
}

static void threads_see_other_places(void)
{
    static struct thread_draws own[3];
    pthread_barrier_t two, one;
    pthread_t thread;

    EXPECT(pthread_barrier_init(&two, NULL, 2) == 0 && pthread_barrier_init(&one, NULL, 1) == 0);
    own[0].together = own[1].together = &two;
    own[2].together = &one;
    if (!EXPECT_EQ(pthread_create(&thread, NULL, draw_in_thread, &own[0]), 0))
        return;
    unit_in_thread(draw_in_thread, &own[1]);
    pthread_join(thread, NULL);
    compare(&own[0].draws, &own[1].draws, "two threads");
    if (HAS_ORDER) { /* the third takes over a heap, and pages, of the first two */
        unit_in_thread(draw_in_thread, &own[2]);
        compare(&own[2].draws, &own[0].draws, "a later thread and an earlier one");
        compare(&own[2].draws, &own[1].draws, "a later thread and another");
    }
    pthread_barrier_destroy(&two);
    pthread_barrier_destroy(&one);
}

static bool draws_of_program(struct draws *draws)
{
    int ends[2];
    if (!EXPECT_EQ(pipe(ends), 0))
        return false;
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        execl("/proc/self/exe", "process_order", "draw", (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    bool done = EXPECT(read_all(ends[0], draws, sizeof *draws));
    close(ends[0]);
    return EXPECT_EQ(child_wait(child), 0) && done;
}

static void programs_see_other_places(void)
{
    enum { PROGRAMS = 3 };
    static struct draws draws[PROGRAMS];
    for (size_t i = 0; i < PROGRAMS; i++)
        if (!draws_of_program(&draws[i]))
            return;
    for (size_t i = 0; i < PROGRAMS; i++)
        for (size_t j = 0; j < i; j++)
            compare(&draws[i], &draws[j], "two programs");
}

int main(int count, char **arguments)
{
    static struct draws own;
    if (count > 1 && strcmp(arguments[1], "draw") == 0) {
        use_heap();
        draw_places(&own);
        return write_all(STDOUT_FILENO, &own, sizeof own) ? 0 : 1;
    }
    moat_free(moat_malloc(1));
    first_block_is_one_of_four();
    children_see_other_blocks();
    threads_see_other_places();
    programs_see_other_places();
    EXPECT(moat_heap_is_valid());
    return expect_done();
}

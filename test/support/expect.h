/* Expectations for test programs.
 *
 * EXPECT(condition) and EXPECT_EQ(actual, wanted) count, print file, line and values when they fail, and answer whether
 * they held, so that a test can stop where going on makes no sense. main() ends with `return expect_done();`, which
 * prints `N passed, N failed`. A program that checked nothing has failed. The counters are atomic, since several
 * threads of a test may expect at once. Lines go out by write(2) from the stack: a test of an allocator must not need
 * the allocator to say that it is broken.
 */
#ifndef TEST_SUPPORT_EXPECT_H
#define TEST_SUPPORT_EXPECT_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

/* More lines than this about failures help nobody. */
enum { EXPECT_LINES_MAX = 40 };

static unsigned long expect_passed;
static unsigned long expect_failed;

__attribute__((format(printf, 1, 2))) static inline void expect_say(const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    size_t bytes = length < 0 ? 0 : (size_t)length < sizeof line ? (size_t)length : sizeof line - 1;
    /* Nobody can be told when standard output is gone; the exit status still speaks. */
    ssize_t written = write(STDOUT_FILENO, line, bytes);
    (void)written;
}

static inline bool expect_that(bool holds, const char *text, const char *file, int line)
{
    if (holds) {
        __atomic_fetch_add(&expect_passed, 1, __ATOMIC_RELAXED);
    } else if (__atomic_fetch_add(&expect_failed, 1, __ATOMIC_RELAXED) < EXPECT_LINES_MAX) {
        expect_say("%s:%d: not so: %s\n", file, line, text);
    }
    return holds;
}

/* The test came this far: what it watches for is a crash, a death or a hang before. */
static inline void expect_reached(void)
{
    __atomic_fetch_add(&expect_passed, 1, __ATOMIC_RELAXED);
}

static inline bool expect_equal(unsigned long actual, unsigned long wanted, const char *text, const char *file,
                                int line)
{
    if (actual == wanted) {
        __atomic_fetch_add(&expect_passed, 1, __ATOMIC_RELAXED);
    } else if (__atomic_fetch_add(&expect_failed, 1, __ATOMIC_RELAXED) < EXPECT_LINES_MAX) {
        expect_say("%s:%d: not so: %s: %ld (0x%lx), wanted %ld (0x%lx)\n", file, line, text, (long)actual, actual,
                   (long)wanted, wanted);
    }
    return actual == wanted;
}

/* For a failure with more to say than a condition. */
__attribute__((format(printf, 1, 2))) static inline void expect_fail(const char *format, ...)
{
    if (__atomic_fetch_add(&expect_failed, 1, __ATOMIC_RELAXED) >= EXPECT_LINES_MAX)
        return;
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    expect_say("failed: %s\n", line);
}

static inline unsigned long expect_failures(void)
{
    return __atomic_load_n(&expect_failed, __ATOMIC_RELAXED);
}

/* The exit status of the program. */
static inline int expect_done(void)
{
    unsigned long passed = __atomic_load_n(&expect_passed, __ATOMIC_RELAXED);
    expect_say("%lu passed, %lu failed\n", passed, expect_failures());
    return passed > 0 && expect_failures() == 0 ? 0 : 1;
}

#define EXPECT(condition) expect_that((condition) ? true : false, #condition, __FILE__, __LINE__)

/* Integers and pointers alike; each argument is evaluated once. */
#define EXPECT_EQ(actual, wanted) \
    expect_equal((unsigned long)(actual), (unsigned long)(wanted), #actual " == " #wanted, __FILE__, __LINE__)

#endif

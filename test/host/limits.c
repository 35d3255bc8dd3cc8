/* A program that runs into limits.
 *
 *     limits [as MIB | data MIB]... PART...
 *
 * "as" and "data" set RLIMIT_AS and RLIMIT_DATA of the process, when the heap has started. Parts, in the order given:
 *
 *     fill MIB   takes blocks of 1 KiB to 3 MiB until MIB are had or one is refused; gives all back; takes half as much again
 *     thread     starts a thread, which takes some blocks and ends
 *     charge     what the kernel has promised to back with memory: at the start, with 96 MiB in use, when it is given back
 *
 * Each part prints figures as NAME: NUMBER.
 */
#define TEST_REAL_NAMES
#include "support/expect.h"
#include "support/family.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>

enum { BLOCKS_MAX = 1 << 17, PAGE = 4096 };
static const size_t mib = 1 << 20;

static unsigned char *blocks[BLOCKS_MAX];
static size_t block_count;

/* 1 KiB, 3 KiB .. 3 MiB, over and over. */
static size_t size_of(size_t number)
{
    static const size_t sizes[] = {1000, 3000, 10000, 40000, 200000, 1000000, 3000000};
    return sizes[number % (sizeof sizes / sizeof sizes[0])];
}

/* Every OS page of a block is written: a promise that the kernel cannot keep would show here. */
static bool take(size_t number)
{
    unsigned char *block = malloc(size_of(number));
    if (block == NULL)
        return false;
    for (size_t i = 0; i < size_of(number); i += PAGE)
        block[i] = (unsigned char)number;
    blocks[number] = block;
    return true;
}

static size_t take_until(size_t wanted)
{
    size_t had = 0;
    errno = 0;
    for (block_count = 0; had < wanted && block_count < BLOCKS_MAX && take(block_count); block_count++)
        had += size_of(block_count);
    return had;
}

static void give_all_back(void)
{
    while (block_count > 0) {
        block_count--;
        size_t last_page = (size_of(block_count) - 1) / PAGE * PAGE;
        EXPECT_EQ(blocks[block_count][last_page], (unsigned char)block_count);
        free(blocks[block_count]);
    }
    malloc_trim(0);
}

static void fill(size_t wanted)
{
    size_t had = take_until(wanted);
    expect_say("had MiB: %zu\nerrno: %d\n", had / mib, had < wanted ? errno : 0);
    give_all_back();
    size_t again = take_until(had / 2);
    expect_say("again MiB: %zu\n", again / mib);
    EXPECT(again >= had / 2);
    give_all_back();
}

static void *work_in_thread(void *unused)
{
    for (size_t number = 0; number < 30; number++)
        free(malloc(size_of(number)));
    return unused;
}

static void start_thread(void)
{
    pthread_t thread;
    int error = pthread_create(&thread, NULL, work_in_thread, NULL);
    if (error == 0)
        pthread_join(thread, NULL);
    expect_say("thread: %d\n", error);
}

/* The sizes of all mappings that are accounted, by their flag "ac". Read without the heap. */
static size_t charged_kib(void)
{
    static char text[1 << 20];
    size_t length = 0, size = 0, sum = 0;
    ssize_t got;
    int file = open("/proc/self/smaps", O_RDONLY | O_CLOEXEC);
    while (file >= 0 && (got = read(file, text + length, sizeof text - 1 - length)) > 0)
        length += (size_t)got;
    close(file);
    text[length] = '\0';
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (sscanf(line, "Size: %zu kB", &size) != 1 && strncmp(line, "VmFlags:", 8) == 0 && strstr(line, " ac"))
            sum += size;
    }
    return sum;
}

static void charge(void)
{
    expect_say("charged KiB at the start: %zu\n", charged_kib());
    take_until(96 * mib);
    expect_say("charged KiB in use: %zu\n", charged_kib());
    give_all_back();
    expect_say("charged KiB given back: %zu\n", charged_kib());
}

static size_t number_of(const char *text)
{
    return text != NULL ? strtoul(text, NULL, 10) * mib : 0;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        size_t number = number_of(i + 1 < argc ? argv[i + 1] : NULL);
        bool is_as = strcmp(argv[i], "as") == 0;
        if (is_as || strcmp(argv[i], "data") == 0) {
            struct rlimit limit = {.rlim_cur = number, .rlim_max = number};
            EXPECT_EQ(setrlimit(is_as ? RLIMIT_AS : RLIMIT_DATA, &limit), 0);
            i++;
        } else if (strcmp(argv[i], "fill") == 0) {
            fill(number);
            i++;
        } else if (strcmp(argv[i], "thread") == 0) {
            start_thread();
        } else if (strcmp(argv[i], "charge") == 0) {
            charge();
        } else {
            expect_fail("there is no part %s", argv[i]);
        }
    }
    expect_reached();
    return expect_done();
}

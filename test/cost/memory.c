/* What blocks cost beside their own bytes, looked at from inside; each prints `name: number` lines.
 *
 *     memory metadata SIZE MIB    so many MiB of live blocks, all written to: KiB of anonymous memory in the mappings that
 *                                 hold no block, and what those that do hold have above the blocks' bytes
 *     memory string               a string that grows from 1 byte to 64 KiB by 16 bytes: moves, bytes copied by them
 *     memory vector               a vector that grows from 4 KiB to 256 MiB by 4 KiB: the same up to 1 MiB; from there on
 *                                 moves, and page faults beyond one for each page that is new
 *
 * A block whose address changes was moved, and what it held was copied unless its pages were moved. Exit status 0, or 1
 * with a line if memory could not be had or did not keep its contents.
 */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

static const size_t kib = 1024, mib = 1024 * 1024;
enum { STRING_STEP = 16, OS_PAGE = 4096 };

static _Noreturn void die(const char *words)
{
    dprintf(2, "memory: %s\n", words);
    exit(1);
}

/* The next line of a file of the kernel's, without stdio, which allocates. False at the end. */
static bool next_line(int file, char *line, size_t bytes)
{
    static char text[1 << 16];
    static size_t at, end;
    size_t length = 0;

    for (;; at++) {
        if (at == end) {
            ssize_t got = read(file, text, sizeof text);
            if (got <= 0)
                return false;
            at = 0;
            end = (size_t)got;
        }
        if (text[at] == '\n')
            break;
        if (length + 1 < bytes)
            line[length++] = text[at];
    }
    at++;
    line[length] = '\0';
    return true;
}

/* KiB of anonymous memory: of mappings that touch [low, high), and of all others. */
static void sum_anonymous(uintptr_t low, uintptr_t high, size_t *inside, size_t *outside)
{
    char line[512];
    bool is_inside = false;
    int file = open("/proc/self/smaps", O_RDONLY | O_CLOEXEC);

    *inside = *outside = 0;
    while (next_line(file, line, sizeof line)) {
        char *rest;
        uintptr_t start = strtoul(line, &rest, 16);
        if (rest != line && *rest == '-')
            is_inside = start < high && strtoul(rest + 1, NULL, 16) > low;
        if (strncmp(line, "Anonymous:", 10) == 0)
            *(is_inside ? inside : outside) += strtoul(line + 10, NULL, 10);
    }
    close(file);
}

static void run_metadata(size_t size, size_t bytes)
{
    uintptr_t low = UINTPTR_MAX, high = 0;
    size_t inside, outside;

    for (size_t i = 0; i < bytes / size; i++) {
        char *block = malloc(size);
        if (!block)
            die("no memory for a block");
        memset(block, 1, size);
        low = (uintptr_t)block < low ? (uintptr_t)block : low;
        high = (uintptr_t)block + size > high ? (uintptr_t)block + size : high;
    }
    sum_anonymous(low, high, &inside, &outside);
    dprintf(1, "metadata: %zu\nrounding: %zu\n", outside, inside > bytes / kib ? inside - bytes / kib : 0);
}

/* What growing a block has cost. */
struct growth {
    size_t moves, copied;
};

static char *grow(char *block, size_t from, size_t to, struct growth *growth)
{
    char *grown = realloc(block, to);
    if (!grown)
        die("no memory to grow into");
    if (grown != block) {
        growth->moves++;
        growth->copied += from;
    }
    return grown;
}

static void run_string(void)
{
    struct growth growth = {0};
    size_t length = 1;
    char *string = malloc(length);

    if (!string)
        die("no memory for a string");
    string[0] = 1;
    for (; length + STRING_STEP <= 64 * kib; length += STRING_STEP) {
        string = grow(string, length, length + STRING_STEP, &growth);
        memset(string + length, (int)(length / STRING_STEP % 251), STRING_STEP);
    }
    for (size_t i = STRING_STEP + 1; i < length; i++)
        if (string[i] != (char)((i - 1) / STRING_STEP % 251))
            die("the string has lost bytes");
    dprintf(1, "moves: %zu\ncopied: %zu\n", growth.moves, growth.copied);
}

static size_t count_faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (size_t)usage.ru_minflt;
}

static char *grow_vector(char *vector, size_t from, size_t to, struct growth *growth)
{
    for (; from < to; from += OS_PAGE) {
        vector = grow(vector, from, from + OS_PAGE, growth);
        vector[from] = (char)(from / OS_PAGE % 251);
    }
    return vector;
}

static void run_vector(void)
{
    struct growth small = {0}, large = {0};
    const size_t most = 256 * mib;
    char *vector = malloc(OS_PAGE);

    if (!vector)
        die("no memory for a vector");
    vector[0] = 0;
    vector = grow_vector(vector, OS_PAGE, mib, &small);
    /* The step out of the medium blocks copies. */
    vector = grow_vector(vector, mib, mib + OS_PAGE, &(struct growth){0});
    size_t before = count_faults();
    vector = grow_vector(vector, mib + OS_PAGE, most, &large);
    size_t faults = count_faults() - before, fresh = (most - mib) / OS_PAGE - 1;
    for (size_t i = 0; i < most; i += OS_PAGE)
        if (vector[i] != (char)(i / OS_PAGE % 251))
            die("the vector has lost bytes");
    dprintf(1, "moves: %zu\ncopied: %zu\nlarge moves: %zu\nlarge faults: %zu\n", small.moves, small.copied, large.moves,
            faults > fresh ? faults - fresh : 0);
}

int main(int argc, char **argv)
{
    /* A huge page is one fault where 512 are expected. */
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    if (argc == 4 && strcmp(argv[1], "metadata") == 0)
        run_metadata(strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10) * mib);
    else if (argc == 2 && strcmp(argv[1], "string") == 0)
        run_string();
    else if (argc == 2 && strcmp(argv[1], "vector") == 0)
        run_vector();
    else
        die("needed is metadata SIZE MIB, string or vector");
    return 0;
}

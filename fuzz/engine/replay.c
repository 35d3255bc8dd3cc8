/* Runs a fuzz target without an engine, with any compiler.
 *
 *     replay FILE|DIRECTORY...      every file is one input; directories are walked
 *     replay --random SEED COUNT    COUNT inputs, made from the numbers SEED, SEED + 1 ...
 *     replay --reported FILE...     from here on a file fails also if the heap did not end it by a report: seeds of misuse must misuse
 *     replay --show ...             from here on prints what the heap said at the end of each input
 *
 * Inputs run in child processes, so that one that ends its process does not hide the next. A file has a child of its own. Random
 * inputs share one child and its heap in batches of BATCH, since a heap that has lived is in other states than a fresh one: the line about a failure
 * says how to repeat the batch, and the input is written to a file. The last line is `N passed, N failed`; the exit status is 0 only
 * if none failed and at least one passed, 2 for a bad command line. */
#include "counts.h"
#include "fresh.h"
#include "generate.h"
#include "trap.h"

#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BATCH = 32, INPUT_MAX = 1 << 20, HANG_SECONDS = 300 };

static uint8_t input[INPUT_MAX];
static unsigned long passed;
static unsigned long failed;
static bool wants_report, shows_words;
/* Shared with the child: how many inputs of its batch it has finished. */
static volatile unsigned *finished;

static _Noreturn void refuse(const char *format, const char *what)
{
    fprintf(stderr, format, what);
    fputc('\n', stderr);
    exit(2);
}

/* In a child: the target, then the end. A hang ends by SIGALRM and counts as a failure. */
static _Noreturn void run_in_child(uint64_t seed, unsigned count, size_t file_bytes)
{
    alarm(HANG_SECONDS);
    if (file_bytes == SIZE_MAX)
        fresh_keep_heap();
    for (unsigned i = 0; i < count; i++) {
        size_t bytes = file_bytes != SIZE_MAX ? file_bytes : fuzz_generate(seed + i, input, sizeof(input));
        LLVMFuzzerTestOneInput(input, bytes);
        *finished = i + 1;
        if (shows_words)
            printf("%s%s", trap_words(), trap_words()[0] == '\0' ? "the heap said nothing\n" : "");
    }
    fflush(NULL);
    _exit(0);
}

/* What a file's input must have done besides ending well. */
static bool is_reported(uint64_t reports_before, const char *name)
{
    if (!wants_report || counts_reports() > reports_before)
        return true;
    printf("FAILED %s: nothing was misused, and it should have been\n", name);
    return false;
}

/* Answers whether all went well; says how the child ended otherwise. */
static bool run(uint64_t seed, unsigned count, size_t file_bytes, const char *name)
{
    uint64_t reports_before = counts_reports();
    *finished = 0;
    fflush(NULL);
    pid_t child = fork();
    if (child < 0)
        refuse("replay: cannot fork: %s", strerror(errno));
    if (child == 0)
        run_in_child(seed, count, file_bytes);
    int status = 0;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            refuse("replay: cannot wait: %s", strerror(errno));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && *finished == count)
        return is_reported(reports_before, name);
    if (WIFSIGNALED(status))
        printf("FAILED %s: killed by signal %d (%s)\n", name, WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        printf("FAILED %s: exit status %d\n", name, WEXITSTATUS(status));
    return false;
}

static void replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        printf("FAILED %s: %s\n", path, strerror(errno));
        failed++;
        return;
    }
    size_t bytes = fread(input, 1, sizeof(input), file);
    bool whole = !ferror(file) && fgetc(file) == EOF;
    fclose(file);
    if (!whole) {
        printf("FAILED %s: cannot be read, or larger than %d bytes\n", path, INPUT_MAX);
        failed++;
    } else if (run(0, 1, bytes, path)) {
        passed++;
    } else {
        failed++;
    }
}

static int visit(const char *path, const struct stat *about, int kind, struct FTW *place)
{
    (void)place;
    if (kind == FTW_F && S_ISREG(about->st_mode)) {
        const char *name = strrchr(path, '/');
        bool hidden = (name == NULL ? path : name + 1)[0] == '.';
        if (!hidden)
            replay_file(path);
    }
    return 0;
}

static void save_random(uint64_t seed)
{
    char path[64];
    snprintf(path, sizeof(path), "random-%llu.input", (unsigned long long)seed);
    size_t bytes = fuzz_generate(seed, input, sizeof(input));
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(input, 1, bytes, file) != bytes || fclose(file) != 0)
        printf("  the input could not be written to %s: %s\n", path, strerror(errno));
    else
        printf("  the input is in %s\n", path);
}

static void replay_random(uint64_t seed, unsigned long count)
{
    printf("random inputs %llu to %llu\n", (unsigned long long)seed, (unsigned long long)(seed + count - 1));
    unsigned long done = 0;
    while (done < count) {
        uint64_t first = seed + done;
        unsigned batch = count - done < BATCH ? (unsigned)(count - done) : BATCH;
        char name[80];
        snprintf(name, sizeof(name), "a random input from %llu on", (unsigned long long)first);
        if (run(first, batch, SIZE_MAX, name)) {
            passed += batch;
            done += batch;
            continue;
        }
        unsigned good = *finished;
        printf("  it was input %llu; repeat with --random %llu %u\n", (unsigned long long)(first + good),
               (unsigned long long)first, good + 1);
        save_random(first + good);
        passed += good;
        failed++;
        done += good + 1;
    }
}

static uint64_t number(const char *text)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 0);
    if (errno != 0 || end == text || *end != '\0' || *text == '-')
        refuse("replay: %s is not a number", text);
    return value;
}

static void replay_path(const char *path)
{
    struct stat about;
    if (path[0] == '-')
        refuse("replay: unknown option %s", path);
    if (stat(path, &about) != 0)
        refuse("replay: there is no file or directory %s", path);
    if (nftw(path, visit, 16, FTW_PHYS) != 0)
        refuse("replay: cannot walk %s", path);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        refuse("usage: %s [--reported] [--show] FILE|DIRECTORY... | --random SEED COUNT", argv[0]);
    void *shared = mmap(NULL, sizeof(*finished), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        refuse("replay: no memory: %s", strerror(errno));
    finished = shared;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--reported") == 0) {
            wants_report = true;
            continue;
        }
        if (strcmp(argv[i], "--show") == 0) {
            shows_words = true;
            continue;
        }
        if (strcmp(argv[i], "--random") != 0) {
            replay_path(argv[i]);
            continue;
        }
        if (argc - i < 3)
            refuse("replay: %s wants a seed and a count", argv[i]);
        uint64_t seed = number(argv[i + 1]);
        replay_random(seed, number(argv[i + 2]));
        i += 2;
    }
    printf("%llu inputs played, %llu operations, %llu ended by a report\n", (unsigned long long)counts_inputs(),
           (unsigned long long)counts_operations(), (unsigned long long)counts_reports());
    printf("%lu passed, %lu failed\n", passed, failed);
    return passed > 0 && failed == 0 ? 0 : 1;
}

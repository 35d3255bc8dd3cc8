/* process.c - see process.h. */
#include "process.h"

#include "image.h"
#include "reads.h"
#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    ENTRIES_MAX = 1024,
    KERNEL_THREAD = 0x200000,    /* among the flags of /proc/PID/stat */
    ENVIRONMENT_BYTES = 6 << 20, /* of arguments and environment: the most that Linux takes at an exec */
    /* What is read of one process. A library takes some 40 reads, a mapped file that is no ELF file one. */
    READS = 1 << 18,
    READ_BYTES = 1 << 30,
};

/* A text of the state, which has no business with other characters: they must not reach a terminal. */
static void clean(char *text, size_t room)
{
    text[room - 1] = '\0';
    for (; *text; text++) {
        if (*text < ' ' || *text > '~')
            *text = '?';
    }
}

static int open_file(const struct process *process, const char *name)
{
    return openat(process->folder, name, O_RDONLY | O_CLOEXEC);
}

static void read_command(struct process *process)
{
    char name[64];
    int file = open_file(process, "comm");
    ssize_t got = file < 0 ? 0 : read(file, name, sizeof name);
    if (file >= 0)
        close(file);
    if (got > 0 && name[got - 1] == '\n')
        got--;
    say_plainly(name, got > 0 ? (size_t)got : 0, process->command, sizeof process->command);
}

/* True for a process that has ended and waits for its parent, and for a thread of the kernel. */
static bool has_no_memory(const struct process *process)
{
    char text[512], state;
    unsigned long flags;
    int file = open_file(process, "stat");
    ssize_t got = file < 0 ? 0 : read(file, text, sizeof text - 1);

    if (file >= 0)
        close(file);
    text[got > 0 ? got : 0] = '\0';
    const char *after_name = strrchr(text, ')'); /* a name may hold anything */
    if (!after_name || sscanf(after_name + 1, " %c %*d %*d %*d %*d %*d %lu", &state, &flags) != 2)
        return false;
    return state == 'Z' || state == 'X' || (flags & KERNEL_THREAD) != 0;
}

void process_open(struct process *process, long id)
{
    char path[40];

    memset(process, 0, sizeof *process);
    process->id = id;
    snprintf(path, sizeof path, "/proc/%ld", id);
    process->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (process->folder < 0) {
        if (access("/proc/self", F_OK) != 0)
            say_refusal("/proc is not there, and what a process is can only be seen in it");
        say_refusal("there is no process %ld", id);
    }
    read_command(process);
    process->memory = -1;
    if (has_no_memory(process))
        return;
    process->memory = open_file(process, "mem");
    if (process->memory < 0 && (errno == EACCES || errno == EPERM))
        say_refusal("process %ld (%s) may not be looked at: that takes its owner or root, and the right to trace it",
                    id, process->command);
    if (process->memory < 0 && errno != ESRCH) /* it has ended meanwhile */
        say_refusal("process %ld (%s) cannot be looked at: %s", id, process->command, strerror(errno));
}

static bool table_fits(const struct moat_state *head, uint32_t at, uint32_t count, uint32_t entry_bytes,
                       size_t smallest_entry)
{
    return entry_bytes >= smallest_entry && entry_bytes % 8 == 0 && count <= ENTRIES_MAX && at % 8 == 0 &&
           at >= sizeof *head && at <= head->bytes && (uint64_t)count * entry_bytes <= head->bytes - at;
}

/* Takes a copy of the state at `address`. Answers PROCESS_WITHOUT when what stands there is none. */
static enum process_finding copy_state(struct process *process, uint64_t address)
{
    struct moat_state *head = &process->state.head;

    if (!reads_all(process->memory, address, head, sizeof *head) || memcmp(head->magic, MOAT_STATE_MAGIC, 8) != 0)
        return PROCESS_WITHOUT;
    clean(head->version, sizeof head->version);
    if (head->layout != MOAT_STATE_LAYOUT)
        return PROCESS_OTHER_LAYOUT;
    uint32_t bytes = head->bytes;
    if (bytes < sizeof *head || bytes > sizeof process->state || !reads_all(process->memory, address, head, bytes))
        return PROCESS_WITHOUT;
    head->bytes = bytes; /* as it was checked */
    if (!table_fits(head, head->protections_at, head->protections_count, head->protection_bytes,
                    sizeof(struct moat_state_protection)) ||
        head->protections_count > 64 ||
        !table_fits(head, head->counters_at, head->counters_count, head->counter_bytes,
                    sizeof(struct moat_state_counter)))
        return PROCESS_WITHOUT;
    clean(head->version, sizeof head->version);
    clean(head->profile, sizeof head->profile);
    clean(head->last_words, sizeof head->last_words);
    for (unsigned i = 0; i < head->protections_count; i++) {
        struct moat_state_protection *protection =
            (void *)(process->state.bytes + head->protections_at + (size_t)i * head->protection_bytes);
        clean(protection->option, sizeof protection->option);
        clean(protection->words, sizeof protection->words);
    }
    for (unsigned i = 0; i < head->counters_count; i++) {
        struct moat_state_counter *counter =
            (void *)(process->state.bytes + head->counters_at + (size_t)i * head->counter_bytes);
        clean(counter->name, sizeof counter->name);
    }
    return PROCESS_HAS_MOAT;
}

const struct moat_state_protection *process_protection(const struct process *process, unsigned index)
{
    const struct moat_state *head = &process->state.head;
    return (const void *)(process->state.bytes + head->protections_at + (size_t)index * head->protection_bytes);
}

const struct moat_state_counter *process_counter(const struct process *process, unsigned index)
{
    const struct moat_state *head = &process->state.head;
    return (const void *)(process->state.bytes + head->counters_at + (size_t)index * head->counter_bytes);
}

/* A program that contains moat.o need not show its symbols to the loader; its file has them unless it was stripped. */
static bool find_in_program_file(const struct process *process, uint64_t base, uint64_t *address)
{
    struct image inside, outside;
    int file = open_file(process, "exe");
    bool is_found = file >= 0 && image_open(&inside, process->memory, true, base) == IMAGE_IS_PROGRAM &&
                    image_open(&outside, file, false, 0) == IMAGE_IS_PROGRAM &&
                    image_find_any(&outside, MOAT_STATE_SYMBOL, address);
    if (is_found)
        *address += inside.bias;
    if (file >= 0)
        close(file);
    return is_found;
}

/* One line of maps: the mapping's start and the path, for the beginning of a file; false for all others. */
static bool is_start_of_file(char *line, uint64_t *start, char **path)
{
    unsigned long from, offset;
    char mode;
    int path_at = 0;

    if (sscanf(line, "%lx-%*x %c%*3s %lx %*s %*s %n", &from, &mode, &offset, &path_at) < 3 || mode != 'r' ||
        offset != 0 || path_at == 0 || line[path_at] != '/')
        return false;
    line[strcspn(line, "\n")] = '\0';
    *start = from;
    *path = line + path_at;
    return true;
}

static void keep_library(struct process *process, const char *path)
{
    static const char deleted[] = " (deleted)";
    size_t length = strlen(path);

    process->is_replaced = length > sizeof deleted - 1 && strcmp(path + length - (sizeof deleted - 1), deleted) == 0;
    if (process->is_replaced)
        length -= sizeof deleted - 1;
    say_plainly(path, length, process->library, sizeof process->library);
}

/* Every file of the process is asked for the symbol, whatever its name. The first one with a state counts. */
static enum process_finding look_into_files(struct process *process, FILE *maps, bool *has_memory)
{
    enum process_finding finding = PROCESS_WITHOUT;
    char *line = NULL, *path, program[PATH_MAX] = "";
    size_t room = 0;
    uint64_t start, address;
    struct image image;

    ssize_t length = readlinkat(process->folder, "exe", program, sizeof program - 1);
    program[length > 0 ? length : 0] = '\0';
    while ((length = getline(&line, &room, maps)) > 0 && reads_pay(0, (uint64_t)length)) {
        *has_memory = true;
        if (!is_start_of_file(line, &start, &path) ||
            image_open(&image, process->memory, true, start) != IMAGE_IS_PROGRAM)
            continue;
        if (!image_find(&image, MOAT_STATE_SYMBOL, &address) &&
            !(strcmp(path, program) == 0 && find_in_program_file(process, start, &address)))
            continue;
        if (finding != PROCESS_WITHOUT) {
            process->others++;
            continue;
        }
        finding = copy_state(process, address);
        if (finding != PROCESS_WITHOUT)
            keep_library(process, path);
    }
    free(line);
    return finding;
}

/* True if its first environment had a library of Moat's in LD_PRELOAD. The process may have made its environment any part of
 * its memory: looked at is as much as the kernel hands to a program. */
static bool was_to_be_preloaded(const struct process *process)
{
    int file = open_file(process, "environ");
    char *entries = file < 0 ? NULL : malloc(ENVIRONMENT_BYTES + 1);
    size_t used = 0;
    ssize_t got;
    bool was = false;

    while (entries && used < ENVIRONMENT_BYTES &&
           (got = reads_some(file, used, entries + used, ENVIRONMENT_BYTES - used)) > 0)
        used += (size_t)got;
    if (entries)
        entries[used] = '\0';
    for (size_t at = 0; !was && at < used; at += strlen(entries + at) + 1)
        was = strncmp(entries + at, "LD_PRELOAD=", 11) == 0 && strstr(entries + at, "libmoat");
    free(entries);
    if (file >= 0)
        close(file);
    return was;
}

static enum process_finding reason(const struct process *process)
{
    struct image image;
    char loader[PATH_MAX];
    int file = open_file(process, "exe");
    if (file < 0)
        return PROCESS_WITHOUT;
    enum image_kind kind = image_open(&image, file, false, 0);
    bool is_static = kind == IMAGE_IS_PROGRAM && !image_loader(&image, loader, sizeof loader);
    close(file);
    if (kind != IMAGE_IS_PROGRAM)
        return PROCESS_IS_FOREIGN;
    if (is_static)
        return PROCESS_IS_STATIC;
    return was_to_be_preloaded(process) ? PROCESS_DROPPED : PROCESS_WITHOUT;
}

static enum process_finding find_state(struct process *process)
{
    bool has_memory = false;
    if (process->memory < 0)
        return PROCESS_HAS_NO_MEMORY;
    int file = open_file(process, "maps");
    FILE *maps = file < 0 ? NULL : fdopen(file, "r");

    if (!maps)
        say_refusal("process %ld (%s) cannot be looked at: %s", process->id, process->command, strerror(errno));
    enum process_finding finding = look_into_files(process, maps, &has_memory);
    fclose(maps);
    if (!has_memory)
        return PROCESS_HAS_NO_MEMORY;
    return finding == PROCESS_WITHOUT ? reason(process) : finding;
}

enum process_finding process_find_state(struct process *process)
{
    reads_limit(READS, READ_BYTES);
    enum process_finding finding = find_state(process);
    if (reads_are_spent())
        say_refusal("process %ld (%s) was not read to its end: it has more than %d pieces or %d MiB to look into",
                    process->id, process->command, READS, READ_BYTES >> 20);
    return finding;
}

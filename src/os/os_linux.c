/* os_linux.c - os.h on Linux.
 *
 * Two rules from measurements and from filters seen in the field: the flags of every mapping are the same (private,
 * anonymous, never MAP_NORESERVE), so that neighbours merge and OpenSSH's filter lets them pass; and what the kernel
 * answers to an optional advice proves nothing (qemu-user answers 0 to any), so guards are probed by their effect.
 */
#define _GNU_SOURCE
#include "os/os.h"

#include "os/syscall.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    ADVISE_DONTNEED_LOCKED = 24,
    ADVISE_GUARD_INSTALL = 102,
    ADVISE_GUARD_REMOVE = 103,
    REMAP_DONTUNMAP = 4,
    OPEN_STEP = 16 << 20,
    OS_PAGE = 1 << 12,
    MOVE_MAPPINGS = 32, /* more of one block are copied */
};

static const long open_protection = PROT_READ | PROT_WRITE;

static int error_of(long answer)
{
    return answer < 0 ? (int)-answer : 0;
}

static void *map(void *at, size_t bytes, long protection, long flags)
{
    long answer = os_syscall(SYS_mmap, (long)at, (long)bytes, protection, flags | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return answer < 0 && answer > -4096 ? NULL : (void *)answer;
}

static int protect(void *start, size_t bytes, long protection)
{
    return error_of(os_syscall(SYS_mprotect, (long)start, (long)bytes, protection, 0, 0, 0));
}

static int advise(void *start, size_t bytes, long advice)
{
    for (;;) {
        int error = error_of(os_syscall(SYS_madvise, (long)start, (long)bytes, advice, 0, 0, 0));
        if (error != EINTR)
            return error;
    }
}

void *os_reserve(size_t bytes)
{
    return map(NULL, bytes, PROT_NONE, 0);
}

void *os_map(size_t bytes)
{
    return map(NULL, bytes, open_protection, 0);
}

int os_unmap(void *start, size_t bytes)
{
    return error_of(os_syscall(SYS_munmap, (long)start, (long)bytes, 0, 0, 0, 0));
}

/* A filter may refuse long ranges only: tor's lets 20 MiB pass. */
static int open_in_steps(char *start, size_t bytes)
{
    for (size_t done = 0; done < bytes; done += OPEN_STEP) {
        size_t step = bytes - done < OPEN_STEP ? bytes - done : OPEN_STEP;
        int error = protect(start + done, step, open_protection);
        if (error) {
            if (done > 0)
                protect(start, done, PROT_NONE);
            return error;
        }
    }
    return 0;
}

int os_open(void *start, size_t bytes)
{
    int error = protect(start, bytes, open_protection);
    return error == 0 || error == ENOMEM || bytes <= OPEN_STEP ? error : open_in_steps(start, bytes);
}

int os_protect_none(void *start, size_t bytes)
{
    return protect(start, bytes, PROT_NONE);
}

int os_protect_read(void *start, size_t bytes)
{
    return protect(start, bytes, PROT_READ);
}

int os_rest(void *start, size_t bytes)
{
    return map(start, bytes, PROT_NONE, MAP_FIXED) ? 0 : ENOMEM;
}

int os_purge(void *start, size_t bytes)
{
    int error = advise(start, bytes, MADV_DONTNEED);
    return error == EINVAL ? advise(start, bytes, ADVISE_DONTNEED_LOCKED) : error;
}

int os_inherit_at_fork(void *start, size_t bytes)
{
    int error = advise(start, bytes, MADV_DOFORK);
    return error ? error : advise(start, bytes, MADV_KEEPONFORK);
}

bool os_is_locked(void *page)
{
    return advise(page, OS_PAGE, MADV_DONTNEED) != 0;
}

/* EFAULT says that it is not: a part is locked, say. The page behind is always mapped, so that nothing grows. */
bool os_is_one_mapping(void *start, size_t bytes)
{
    return os_syscall(SYS_mremap, (long)start, (long)bytes, (long)bytes + OS_PAGE, 0, 0, 0) != -EFAULT;
}

/* How much from `start` on is one mapping. */
static size_t piece_of(char *start, size_t bytes)
{
    if (os_is_one_mapping(start, bytes))
        return bytes;
    size_t one = OS_PAGE, several = bytes;
    while (several - one > OS_PAGE) {
        size_t middle = (one + (several - one) / 2) & ~(size_t)(OS_PAGE - 1);
        *(os_is_one_mapping(start, middle) ? &one : &several) = middle;
    }
    return one;
}

static int move_mapping(char *from, char *to, size_t bytes)
{
    long answer = os_syscall(SYS_mremap, (long)from, (long)bytes, (long)bytes,
                             MREMAP_MAYMOVE | MREMAP_FIXED | REMAP_DONTUNMAP, (long)to, 0);
    if (answer == (long)to)
        return 0;
    return answer < 0 && answer > -4096 ? (int)-answer : EINVAL;
}

static void rest_or_close(char *start, size_t bytes)
{
    if (os_rest(start, bytes) != 0)
        protect(start, bytes, PROT_NONE);
}

/* Moves what lies between two of `ends` at a time. Where the system stops in the middle the rest is copied. */
static int move_pieces(char *from, char *to, const size_t *ends, unsigned count)
{
    for (size_t i = 0, at = 0; i < count; at = ends[i++]) {
        int error = move_mapping(from + at, to + at, ends[i] - at);
        if (error == 0)
            continue;
        if (i == 0)
            return error;
        size_t left = ends[count - 1] - at; /* a refused move may have unmapped its target */
        if (!map(to + at, left, open_protection, MAP_FIXED))
            return ENOTRECOVERABLE;
        memcpy(to + at, from + at, left);
        break;
    }
    return 0;
}

/* One mapping after the other: older kernels refuse several, and from 6.17 on the kernel may stop half way. The source stays
 * mapped throughout, so that no other thread's mapping can land in a hole; and what could make a move fail is tried before,
 * since mremap unmaps its target first and looks at its limits then. A limit of addresses below what is mapped already
 * (RLIMIT_AS after the start) refuses to reserve the target anew. Opening it takes the commit charge. */
int os_move(void *from, void *to, size_t bytes)
{
    size_t ends[MOVE_MAPPINGS];
    unsigned count = 0;

    for (size_t at = 0; at < bytes; at = ends[count++]) {
        if (count == MOVE_MAPPINGS)
            return E2BIG;
        ends[count] = at + piece_of((char *)from + at, bytes - at);
    }
    int error = os_rest(to, bytes);
    if (error == 0)
        error = os_open(to, bytes);
    if (error == 0)
        error = move_pieces(from, to, ends, count);
    if (error == 0)
        rest_or_close(from, bytes); /* should the kernel refuse to reserve it again it still is of no use to anybody */
    else if (error != ENOTRECOVERABLE)
        rest_or_close(to, bytes);
    return error;
}

int os_guard_install(void *start, size_t bytes)
{
    return advise(start, bytes, ADVISE_GUARD_INSTALL);
}

int os_guard_remove(void *start, size_t bytes)
{
    return advise(start, bytes, ADVISE_GUARD_REMOVE);
}

bool os_guard_probe(void *page)
{
    if (os_guard_install(page, OS_PAGE) != 0)
        return false;
    /* The kernel itself tries to write there: EFAULT, and no signal. */
    long answer = os_syscall(SYS_getrandom, (long)page, 1, GRND_NONBLOCK, 0, 0, 0);
    if (os_guard_remove(page, OS_PAGE) == 0)
        return answer == -EFAULT;
    /* A filter that lets one advice pass and not the other: the page is made anew. */
    return os_rest(page, OS_PAGE) == 0 && os_open(page, OS_PAGE) == 0 && false;
}

void os_hide_from_dumps(void *start, size_t bytes)
{
    advise(start, bytes, MADV_DONTDUMP);
}

int os_wipe_on_fork(void *start, size_t bytes)
{
    return advise(start, bytes, MADV_WIPEONFORK);
}

void os_prefer_huge(void *start, size_t bytes)
{
    advise(start, bytes, MADV_HUGEPAGE);
}

bool os_random(void *buffer, size_t bytes)
{
    unsigned char *next = buffer;
    unsigned refusals = 0;
    while (bytes > 0) {
        long got = os_syscall(SYS_getrandom, (long)next, (long)bytes, GRND_NONBLOCK, 0, 0, 0);
        if (got > 0) {
            next += got;
            bytes -= (size_t)got;
        } else if (got != -EINTR || ++refusals > 100) {
            return false;
        }
    }
    return true;
}

uint64_t os_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

size_t os_address_limit(void)
{
    struct rlimit limit;
    long answer = os_syscall(SYS_prlimit64, 0, RLIMIT_AS, 0, (long)&limit, 0, 0);
    return answer != 0 || limit.rlim_cur == RLIM_INFINITY ? SIZE_MAX : limit.rlim_cur;
}

/* The kernel takes this advice for shared files only, and says so; qemu-user answers 0 to any. */
bool os_is_emulated(void *page)
{
    return advise(page, OS_PAGE, MADV_REMOVE) == 0;
}

bool os_is_privileged(void)
{
    return getauxval(AT_SECURE) != 0;
}

static long read_file(const char *path, char *buffer, size_t bytes, long offset)
{
    long file = os_syscall(SYS_open, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0, 0);
    if (file < 0)
        return file;
    long got = os_syscall(SYS_pread64, file, (long)buffer, (long)bytes, offset, 0, 0);
    os_syscall(SYS_close, file, 0, 0, 0, 0, 0);
    return got;
}

static size_t map_limit = 65530; /* the kernel's default */

size_t os_map_limit(void)
{
    return map_limit;
}

void os_map_limit_read(void)
{
    char text[32];
    long got = read_file("/proc/sys/vm/max_map_count", text, sizeof text, 0);
    size_t limit = 0;
    for (long i = 0; i < got && text[i] >= '0' && text[i] <= '9'; i++)
        limit = limit * 10 + (size_t)(text[i] - '0');
    if (limit)
        map_limit = limit;
}

static long copy_value(char *value, const char *from, size_t value_bytes)
{
    size_t length = strlen(from);
    size_t kept = length < value_bytes ? length : value_bytes - 1;
    memcpy(value, from, kept);
    value[kept] = '\0';
    return (long)length;
}

/* The environment as the process began with it, for a start before the C library has set environ. */
static long first_environment(const char *name, size_t length, char *value, size_t value_bytes)
{
    char window[4096];
    long offset = 0, got;

    while ((got = read_file("/proc/self/environ", window, sizeof window - 1, offset)) > 0) {
        window[got] = '\0';
        long end = got;
        while (end > 0 && window[end - 1] != '\0')
            end--;
        for (long at = 0; at < end; at += (long)strlen(window + at) + 1) {
            if (strncmp(window + at, name, length) == 0 && window[at + (long)length] == '=')
                return copy_value(value, window + at + length + 1, value_bytes);
        }
        offset += end > 0 ? end : got; /* an entry longer than the window is none of ours */
    }
    return -1;
}

long os_environment(const char *name, char *value, size_t value_bytes)
{
    size_t length = strlen(name);
    if (!environ)
        return first_environment(name, length, value, value_bytes);
    for (char **entry = environ; entry && *entry; entry++) {
        if (strncmp(*entry, name, length) == 0 && (*entry)[length] == '=')
            return copy_value(value, *entry + length + 1, value_bytes);
    }
    return -1;
}

void os_write(int descriptor, const char *text, size_t bytes)
{
    unsigned refusals = 0;
    while (bytes > 0) {
        long put = os_syscall(SYS_write, descriptor, (long)text, (long)bytes, 0, 0, 0);
        if (put > 0) {
            text += put;
            bytes -= (size_t)put;
        } else if (put != -EINTR || ++refusals > 100) {
            return;
        }
    }
}

uint64_t os_file_identity(int descriptor)
{
    struct stat file;
    if (os_syscall(SYS_fstat, descriptor, (long)&file, 0, 0, 0, 0) != 0)
        return 0;
    return ((uint64_t)file.st_dev << 40) ^ (uint64_t)file.st_ino ^ ((uint64_t)(file.st_mode & S_IFMT) << 20) ^ 1;
}

bool os_is_stream(int descriptor)
{
    struct stat file;
    return os_syscall(SYS_fstat, descriptor, (long)&file, 0, 0, 0, 0) == 0 &&
           (S_ISFIFO(file.st_mode) || S_ISCHR(file.st_mode));
}

unsigned os_thread_id(void)
{
    return (unsigned)os_syscall(SYS_gettid, 0, 0, 0, 0, 0, 0);
}

unsigned os_process_id(void)
{
    return (unsigned)os_syscall(SYS_getpid, 0, 0, 0, 0, 0, 0);
}

bool os_has_thread(unsigned thread)
{
    return os_syscall(SYS_tgkill, os_process_id(), thread, 0, 0, 0, 0) != -ESRCH;
}

void os_wait_while(const uint32_t *word, uint32_t value)
{
    os_syscall(SYS_futex, (long)word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, (long)value, 0, 0, 0);
}

bool os_wait_a_second_while(const uint32_t *word, uint32_t value)
{
    const struct timespec second = {.tv_sec = 1};
    long answer = os_syscall(SYS_futex, (long)word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, (long)value, (long)&second, 0, 0);
    return answer != -ETIMEDOUT;
}

void os_wake(const uint32_t *word, int threads)
{
    os_syscall(SYS_futex, (long)word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, threads, 0, 0, 0);
}

/* The kernel's own layout of struct sigaction: handler, flags, restorer, mask. */
struct kernel_sigaction {
    void *handler;
    unsigned long flags;
    void *restorer;
    uint64_t mask;
};

static void default_action(long number)
{
    struct kernel_sigaction standard = {0};
    os_syscall(SYS_rt_sigaction, number, (long)&standard, 0, sizeof standard.mask, 0, 0);
}

_Noreturn void os_abort(void)
{
    uint64_t mask = ~0ull;

    /* From here on no handler may run: it could jump out. */
    os_syscall(SYS_rt_sigprocmask, SIG_SETMASK, (long)&mask, 0, sizeof mask, 0, 0);
    default_action(SIGABRT);
    mask = ~(1ull << (SIGABRT - 1));
    os_syscall(SYS_rt_sigprocmask, SIG_SETMASK, (long)&mask, 0, sizeof mask, 0, 0);
    os_syscall(SYS_tgkill, os_syscall(SYS_getpid, 0, 0, 0, 0, 0, 0), os_thread_id(), SIGABRT, 0, 0, 0);
    /* The first process of a container is not ended by that, but by a trap without a handler. */
    for (;;) {
        default_action(SIGILL);
        __builtin_trap();
    }
}

/* report.c - see report.h.
 *
 * Order of the end: the dying flag (so that other threads stop on their slow paths while a write to a full pipe may
 * block), the line, SIGABRT with its default action restored (a handler of the program could jump out), a trap.
 *
 * The flag may be that of a child of vfork, which dies on its parent's memory. Whose it is cannot be asked before the line
 * is out, since a filter may kill for getpid; so such a child takes it back behind its line if it can tell, and whoever is
 * parked asks after a second whether the dying thread is one of its own process.
 */
#include "report.h"

#include "base/atomic.h"
#include "base/text.h"
#include "os/lock.h"
#include "os/os.h"
#include "state.h"

static const char *const kind_words[] = {
    [KIND_DOUBLE_FREE] = "double free",
    [KIND_INTERIOR_POINTER] = "interior pointer",
    [KIND_NEVER_ALLOCATED] = "never allocated block",
    [KIND_STALE_POINTER] = "stale pointer",
    [KIND_FOREIGN_POINTER] = "foreign pointer",
    [KIND_WRONG_SIZE] = "wrong size",
    [KIND_WRONG_ALIGNMENT] = "wrong alignment",
    [KIND_CORRUPTED_FREE_LIST] = "corrupted free list",
    [KIND_CORRUPTED_REMOTE_LIST] = "corrupted remote list",
    [KIND_CORRUPTED_PAGE] = "corrupted page",
    [KIND_REENTERED] = "signal handler inside the heap",
    [KIND_FOREIGN_HEAP] = "foreign heap",
    [KIND_OUT_OF_MEMORY] = "out of memory",
};

/* What is shown of an option, so that the words about it always fit into the line. */
enum { KEY_BYTES = 24, VALUE_BYTES = 40 };

static int descriptor = 2;
static uint64_t descriptor_identity;
static uint32_t dying_thread;
static uint32_t said_by;    /* the dying thread, once its line is on its way */
static uint32_t process_id; /* 0 in a child of fork: not known */

static bool may_put(void)
{
    uint64_t identity = os_file_identity(descriptor);
    /* 0: a filter refuses to tell. A line in the wrong file is better than none. */
    return identity == 0 || identity == descriptor_identity || os_is_stream(descriptor);
}

static void put(const struct text *text)
{
    if (may_put())
        os_write(descriptor, text->line, text->used);
}

static void add_place(struct text *text, enum kind kind, const char *function, const void *address)
{
    text_start(text);
    text_add(text, "moat: ");
    text_add(text, kind_words[kind]);
    text_add(text, " in ");
    text_add(text, function);
    text_add(text, "(): ");
    text_add_hex(text, (uintptr_t)address);
}

/* Words that are not ours: of the environment, of a file's name. A byte that a terminal could take for an order is shown as
 * \xNN; what is longer than `most` bytes then is cut, with three dots. */
static void add_plain(struct text *text, const char *words, size_t most)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t used = 0; *words; words++) {
        unsigned char byte = (unsigned char)*words;
        bool is_plain = byte >= ' ' && byte <= '~';
        const char itself[] = {*words, '\0'}, escape[] = {'\\', 'x', digits[byte >> 4], digits[byte & 15], '\0'};
        used += is_plain ? sizeof itself - 1 : sizeof escape - 1;
        if (used > most) {
            text_add(text, "...");
            return;
        }
        text_add(text, is_plain ? itself : escape);
    }
}

static void take_dying_flag(uint32_t self)
{
    uint32_t first = 0;
    while (!atomic_cas_strict(&dying_thread, &first, self) && first != self) {
        report_park_if_dying();
        first = 0;
    }
    if (atomic_get(&said_by) == self)
        os_abort(); /* a signal handler on top of the report */
}

static void drop_dying_flag(uint32_t thread)
{
    uint32_t said = thread;
    atomic_cas_strict(&said_by, &said, 0);
    if (atomic_cas_strict(&dying_thread, &thread, 0))
        os_wake(&dying_thread, INT32_MAX);
}

void moat_die(enum kind kind, const char *function, const void *address, enum detail detail, size_t bytes)
{
    uint32_t self = os_thread_id();
    struct text text;

    take_dying_flag(self);
    add_place(&text, kind, function, address);
    if (detail == DETAIL_CLASS) {
        text_add(&text, " (class ");
        text_add_number(&text, bytes);
        text_add(&text, ")");
    } else if (detail == DETAIL_BYTES) {
        text_add(&text, " (");
        text_add_number(&text, bytes);
        text_add(&text, " bytes)");
    } else {
        text_add(&text, " (unknown)");
    }
    text_add(&text, ", thread ");
    text_add_number(&text, self);
    text_end(&text);
    state_keep_last_words(text.line, text.used);
    if (may_put()) {
        atomic_set(&said_by, self);
        os_write(descriptor, text.line, text.used);
    }
    if (process_id != 0 && os_process_id() != process_id)
        drop_dying_flag(self);
    os_abort();
}

void lock_reentered(void)
{
    moat_die(KIND_REENTERED, "malloc or free", NULL, DETAIL_UNKNOWN, 0);
}

void report_line(const char *words, const char *more)
{
    struct text text;
    text_start(&text);
    text_add(&text, "moat: ");
    text_add(&text, words);
    add_plain(&text, more, TEXT_BYTES);
    text_end(&text);
    put(&text);
}

void report_number(const char *words, uint64_t number)
{
    struct text text;
    text_start(&text);
    text_add(&text, "moat: ");
    text_add(&text, words);
    text_add_number(&text, number);
    text_end(&text);
    put(&text);
}

void report_option(const char *key, const char *value, const char *more)
{
    struct text text;
    text_start(&text);
    text_add(&text, "moat: option ");
    add_plain(&text, key, KEY_BYTES);
    text_add(&text, "=");
    add_plain(&text, value, VALUE_BYTES);
    text_add(&text, ": ");
    text_add(&text, more);
    text_end(&text);
    put(&text);
}

void report_ignored(const char *function, const void *address)
{
    struct text text;
    add_place(&text, KIND_FOREIGN_POINTER, function, address);
    text_add(&text, ", ignored");
    text_end(&text);
    put(&text);
}

void report_start(int report_descriptor)
{
    descriptor = report_descriptor;
    descriptor_identity = os_file_identity(report_descriptor);
    process_id = os_process_id();
}

void report_restart(void)
{
    process_id = 0;
    atomic_set(&said_by, 0);
    atomic_set(&dying_thread, 0);
}

/* The thread waits for the end of the process, which the dying one brings; or for the end of a vfork's child. Where it is
 * the dying one itself, a signal handler has jumped out of the report, or runs on top of it: there is no way back, and where the
 * line is not out yet there is another. */
void report_park_if_dying(void)
{
    uint32_t first = atomic_get(&dying_thread);
    while (first != 0) {
        if (first == os_thread_id())
            lock_reentered();
        if (!os_wait_a_second_while(&dying_thread, first) && !os_has_thread(first))
            drop_dying_flag(first);
        first = atomic_get(&dying_thread);
    }
}

/* Fuzz target: somebody writes into freed blocks, and the heap must not hand out what it should not.
 *
 * A correct program is played (engine/play.h), and between its records dangling pointers read and write freed blocks: the words in which links
 * lie are flipped, cut short, swapped, copied from block to block, page to page and list to list, written back later, made to point at
 * themselves, at each other, at live blocks, into them, at the stack. What an attacker cannot reach (the heap's own memory) is left alone.
 *
 * The heap may find out and end the input with a line whose kind begins with `corrupted`; any other end is a find. While it does not, every
 * block that it hands out must be the start of a free one of the right size: malloc_usable_size must take it, no live block may overlap it,
 * and what live blocks hold must stay as it is.
 *
 * The target's own operations (48 and up in byte 0) use the record so: byte 1 the victim among the youngest freed blocks, mode where in the block,
 * arg16 another freed or live block, arg24 a number. */
#include "engine/door.h"
#include "engine/fresh.h"
#include "engine/generate.h"
#include "engine/line.h"
#include "engine/past.h"
#include "engine/play.h"
#include "engine/trap.h"
#include "support/family.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

const struct generate_shape fuzz_shape = {.random_records = 0, .percent_own = 15};

/* New ones are added at the end, up to sixteen: seeds know them by number. */
enum hostile {
    WRITE_ZERO,
    WRITE_FLIPPED,  /* one bit of what is there */
    WRITE_CUT,      /* some of its bytes zero */
    WRITE_COPY,     /* another freed block's word */
    WRITE_SWAP,     /* both */
    WRITE_SELF,     /* its own address */
    WRITE_FREED,    /* a freed block's address */
    WRITE_LIVE,     /* a live block's, or that block in the next one's place: it then holds what the next one held */
    WRITE_INSIDE,   /* some bytes behind a freed or live block's */
    WRITE_OUTSIDE,  /* the stack's, a variable's, the heap's own */
    WRITE_SLOT,     /* the number of a freed or live block's place in its page, in steps of 16 bytes from 1 */
    WRITE_NUMBER,   /* any number */
    WRITE_FILL,     /* all of the block */
    READ_WORD,      /* remembers what is there */
    WRITE_REPLAYED, /* what was read there earlier */
    WRITE_MOVED,    /* what was read elsewhere earlier */
    HOSTILES
};

enum { WORDS = 64, FILL_MAX = 4096 };

struct word {
    uintptr_t at;
    uint64_t value;
};

static struct word words[WORDS];
static size_t word_count;

/* ---- memory that may fault ---- */

/* Freed memory may be given back and guarded: the kernel looks for us. */
static bool read_memory(uintptr_t at, void *out, size_t bytes)
{
    struct iovec here = {.iov_base = out, .iov_len = bytes}, there = {.iov_base = (void *)at, .iov_len = bytes};
    return process_vm_readv(getpid(), &here, 1, &there, 1, 0) == (ssize_t)bytes;
}

static bool write_memory(uintptr_t at, const void *in, size_t bytes)
{
    struct iovec here = {.iov_base = (void *)(uintptr_t)in, .iov_len = bytes};
    struct iovec there = {.iov_base = (void *)at, .iov_len = bytes};
    return process_vm_writev(getpid(), &here, 1, &there, 1, 0) == (ssize_t)bytes;
}

/* Nothing alive lies there, and it is the heap's. */
static bool is_freed(uintptr_t at, size_t bytes)
{
    return door_has((const void *)at) && door_has((const void *)(at + bytes - 1)) &&
           live_covering((const void *)at) == NULL && live_covering((const void *)(at + bytes - 1)) == NULL &&
           !live_any_between(at, at + bytes, UINT64_MAX);
}

static void write_word(uintptr_t at, uint64_t value)
{
    if (is_freed(at, sizeof(value)))
        write_memory(at, &value, sizeof(value));
}

/* ---- choices ---- */

/* The k-th youngest freed block, and of many rather a young one. NULL: nothing was freed yet. */
static const struct block *freed_block(unsigned number)
{
    size_t count = past_count();
    if (count == 0)
        return NULL;
    return &past_entry(number & 1 ? number / 2 % count : number / 2 % (count < 16 ? count : 16))->block;
}

/* Links lie at a block's start; its end and its middle are written too. */
static uintptr_t place_in(const struct block *block, const struct record *record)
{
    size_t last = block->usable - sizeof(uint64_t);
    switch (record->mode) {
    case 0:
        return (uintptr_t)block->at + 8 % (last + 1);
    case 1:
        return (uintptr_t)block->at + last;
    case 2:
        return (uintptr_t)block->at + record->arg24 % (last + 1);
    default:
        return (uintptr_t)block->at;
    }
}

static uintptr_t some_address(enum hostile hostile, const struct record *record)
{
    static int variable;
    const struct block *freed = freed_block(record->arg16);
    const struct block *live = live_at_place(live_count() == 0 ? 0 : record->arg16 % live_count());
    uintptr_t start;
    size_t bytes;
    switch (hostile) {
    case WRITE_LIVE:
        return live != NULL ? (uintptr_t)live->at : 0;
    case WRITE_INSIDE:
        if ((record->arg24 & 1) != 0 && live != NULL)
            freed = live;
        return (uintptr_t)freed->at + record->arg24 / 2 % (freed->usable + 16);
    case WRITE_OUTSIDE:
        if (record->nudge < 0)
            return (uintptr_t)&variable;
        if (record->nudge == 0)
            return (uintptr_t)family_launder(&bytes); /* the stack */
        door_largest(&start, &bytes);
        return start + record->arg24;
    default:
        return (uintptr_t)freed->at;
    }
}

/* ---- the writes ---- */

static void remember(uintptr_t at)
{
    uint64_t value;
    if (read_memory(at, &value, sizeof(value)))
        words[word_count++ % WORDS] = (struct word){at, value};
}

/* Writes a word back where it was read, or, moved, to another place. */
static void replay(const struct record *record, bool is_moved, uintptr_t at)
{
    size_t count = word_count < WORDS ? word_count : WORDS;
    if (count == 0)
        return;
    const struct word *word = &words[record->arg16 % count];
    write_word(is_moved ? at : word->at, word->value);
}

static void write_changed(enum hostile hostile, uintptr_t at, uint32_t number)
{
    static const uint64_t masks[] = {0xffffffff, 0xffff, 0xffffffffffff, UINT64_MAX << 16, UINT64_MAX << 48};
    uint64_t value;
    if (!read_memory(at, &value, sizeof(value)))
        return;
    if (hostile == WRITE_FLIPPED)
        value ^= UINT64_C(1) << (number & 63);
    else
        value &= masks[number % (sizeof(masks) / sizeof(masks[0]))];
    write_word(at, value);
}

static void write_from_other(bool swaps, uintptr_t at, const struct record *record)
{
    const struct block *other = freed_block(record->arg16);
    uintptr_t there = (uintptr_t)other->at + (at - (uintptr_t)freed_block(record->slot)->at) % other->usable;
    uint64_t here_word, there_word;
    if (!read_memory(at, &here_word, sizeof(here_word)) || !read_memory(there, &there_word, sizeof(there_word)))
        return;
    write_word(at, there_word);
    if (swaps)
        write_word(there, here_word);
}

static uint64_t slot_of(uintptr_t at)
{
    return (at & 0xffff) / 16 + 1;
}

/* Puts a live block into the list in the place of the victim's next one, as one who knows links without secrets would. */
static void replace_next(uintptr_t at, const struct record *record)
{
    size_t place = live_count() == 0 ? 0 : record->arg16 % live_count();
    const struct block *live = live_at_place(place);
    uint64_t next, word;
    if (live == NULL || !is_freed(at, sizeof(next)) || !read_memory(at, &next, sizeof(next)))
        return;
    bool is_slot = next <= 4096;
    uintptr_t next_at = is_slot ? (at & ~(uintptr_t)0xffff) + (next - 1) * 16 : next;
    if (next != 0 && is_freed(next_at, sizeof(word)) && read_memory(next_at, &word, sizeof(word)))
        live_scribble(place, word);
    else
        live_scribble(place, record->nudge == 0 ? 0 : next);
    write_word(at, is_slot ? slot_of((uintptr_t)live->at) : (uintptr_t)live->at);
}

static void fill(const struct block *block, uint32_t number)
{
    unsigned char bytes[FILL_MAX];
    size_t count = block->usable < FILL_MAX ? block->usable : FILL_MAX;
    memset(bytes, (int)(number & 0xff), count);
    if (is_freed((uintptr_t)block->at, count))
        write_memory((uintptr_t)block->at, bytes, count);
}

static void be_hostile(enum hostile hostile, const struct record *record)
{
    const struct block *victim = freed_block(record->slot);
    if (victim == NULL || victim->usable < sizeof(uint64_t))
        return;
    uintptr_t at = place_in(victim, record);
    switch (hostile) {
    case WRITE_ZERO:
        write_word(at, 0);
        break;
    case WRITE_FLIPPED:
    case WRITE_CUT:
        write_changed(hostile, at, record->arg24);
        break;
    case WRITE_COPY:
    case WRITE_SWAP:
        write_from_other(hostile == WRITE_SWAP, at, record);
        break;
    case WRITE_SELF:
        write_word(at, (uintptr_t)victim->at);
        break;
    case WRITE_LIVE:
        if (record->nudge >= 0)
            replace_next(at, record);
        else
            write_word(at, some_address(hostile, record));
        break;
    case WRITE_FREED:
    case WRITE_INSIDE:
    case WRITE_OUTSIDE:
        write_word(at, some_address(hostile, record));
        break;
    case WRITE_SLOT:
        write_word(at, slot_of(some_address(record->nudge < 0 ? WRITE_LIVE : WRITE_FREED, record)));
        break;
    case WRITE_NUMBER:
        write_word(at, record->nudge < 0
                           ? record->arg24
                           : (uint64_t)record->arg24 << 40 | (uint64_t)record->arg16 << 24 | record->arg24);
        break;
    case WRITE_FILL:
        fill(victim, record->arg24);
        break;
    case READ_WORD:
        remember(at);
        break;
    case WRITE_REPLAYED:
    case WRITE_MOVED:
    case HOSTILES:
        replay(record, hostile == WRITE_MOVED, at);
        break;
    }
}

/* ---- the input ---- */

static void play(void *argument)
{
    const struct input *input = argument;
    play_begin(input);
    word_count = 0;
    size_t number = 1;
    for (bool goes_on = true; goes_on && number < input->records; number++) {
        struct record record = record_decode(input->data + number * RECORD_BYTES);
        if (record.of_target < 0) {
            goes_on = play_record(input, number);
            continue;
        }
        if (!trap_is_armed()) {
            play_turn_hostile();
            trap_arm();
        }
        live_at(number, "hostile write");
        be_hostile((enum hostile)record.of_target, &record);
    }
    play_finish(input, number);
}

static void judge(void)
{
    struct line line;
    if (line_read(trap_words(), &line) && strncmp(line.kind, "corrupted ", strlen("corrupted ")) == 0)
        return;
    fprintf(stderr, "fuzz: after hostile writes a correct program was ended by: %s\n",
            trap_words()[0] != '\0' ? trap_words() : "nothing that was said");
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input;
    if (!input_open(&input, data, size, 2))
        return 0;
    if (!fresh_play(input.seed, play, &input))
        judge();
    return 0;
}

/* The input of all targets: fixed records of eight bytes, so that a mutation of one byte never shifts the meaning of the rest.
 *
 *     byte 0     operation (low six bits, modulo the number of operations) and the thread that carries it out (high two bits:
 *                0 the main thread, 1 to 3 a helper that runs in lock-step)
 *     byte 1     slot
 *     byte 2     selector: how a size is made (low four bits, enum size_mode), its nudge -1, 0, +1, +2 (next two), slot's low bits (high two)
 *     byte 3-4   arg16, little endian
 *     byte 5-7   arg24, little endian
 *
 * The first record is the header: byte 0 flags, byte 1 how many records lie between two checks of the whole heap, the rest seeds
 * the heap's randomness and the patterns. Seeds made by gen_seeds.py use the same numbers: a new operation or mode is added at the end. */
#ifndef FUZZ_ENGINE_INPUT_H
#define FUZZ_ENGINE_INPUT_H

#include <stdint.h>

enum { RECORD_BYTES = 8, THREADS = 4 };

enum operation {
    OP_MALLOC,
    OP_CALLOC,
    OP_REALLOC,
    OP_REALLOCARRAY,
    OP_ALIGNED_ALLOC,
    OP_POSIX_MEMALIGN,
    OP_MEMALIGN,
    OP_VALLOC,
    OP_PVALLOC,
    OP_NEW,
    OP_FREE,
    OP_FREE_AS,        /* free by another function of the family that fits the block: cfree, free_sized, delete ... */
    OP_INSPECT,        /* usable size, alignment, pattern of one block */
    OP_HEAP_CALL,      /* malloc_trim, mallopt, mallinfo2, malloc_info */
    OP_BURST_ALLOCATE, /* many blocks of one size into neighbouring slots */
    OP_BURST_FREE,     /* every k-th of a range of slots, in one of three orders */
    OP_SIDE_BY_SIDE,   /* a helper frees a range while the main thread allocates and frees another */
    OP_END_THREAD,     /* the helper ends: its pages are abandoned and may be claimed */
    OP_FREE_NOTHING,   /* free(NULL) and its relatives */
    OP_CHECK_HEAP,
    OP_ROUNDS, /* one thread takes blocks, another returns them, many times: memory must not grow with the rounds */
    OP_TIME_PASSES, /* arg16 milliseconds of the heap's clock */
    OP_COUNT
};

/* From here to 63, operations belong to the target; one without such takes them as if they began at 0 again. */
enum { OP_OF_TARGET = 48 };

enum size_mode {
    SIZE_EXACT,      /* arg24 */
    SIZE_TINY,       /* 0 to 128 */
    SIZE_SMALL,      /* 0 to 1,024 */
    SIZE_EIGHTHS,    /* the edges of a table with eight classes to a doubling, up to 2 MiB */
    SIZE_POWER,      /* 2^0 to 2^24 */
    SIZE_OS_PAGES,   /* whole OS pages, up to 4 MiB */
    SIZE_SIXTEENTHS, /* multiples of 16, up to 32 KiB */
    SIZE_MEDIUM,     /* up to 1 MiB */
    SIZE_LARGE,      /* 1 to 17 MiB */
    SIZE_HUGE,       /* 2^26 to 2^46: may be refused */
    SIZE_IMPOSSIBLE, /* above PTRDIFF_MAX: must be refused */
    SIZE_THRESHOLD,  /* round 16 KiB and 1 MiB */
    SIZE_MODES
};

/* Flags of the header. */
enum {
    FLAG_SIDE_BY_SIDE =
        1, /* OP_SIDE_BY_SIDE runs two threads at once; without it the same work is done one after the other */
    FLAG_DOWNWARD = 2, /* in the end, what is left is freed from the last slot down */
};

struct record {
    enum operation op;
    int of_target; /* 0 to 15: an operation of the target; -1: none */
    unsigned thread;
    unsigned slot;
    unsigned mode;
    int nudge;
    unsigned slot_low;
    unsigned arg16;
    uint32_t arg24;
};

static inline struct record record_decode(const uint8_t *bytes)
{
    return (struct record){
        .op = (enum operation)((bytes[0] & 63u) % OP_COUNT),
        .of_target = (int)(bytes[0] & 63u) >= OP_OF_TARGET ? (int)(bytes[0] & 63u) - OP_OF_TARGET : -1,
        .thread = bytes[0] >> 6,
        .slot = bytes[1],
        .mode = (bytes[2] & 15u) % SIZE_MODES,
        .nudge = (int)((bytes[2] >> 4) & 3u) - 1,
        .slot_low = bytes[2] >> 6,
        .arg16 = (unsigned)bytes[3] | ((unsigned)bytes[4] << 8),
        .arg24 = (uint32_t)bytes[5] | ((uint32_t)bytes[6] << 8) | ((uint32_t)bytes[7] << 16),
    };
}

#endif

/* What the workloads share: how one is described, how blocks are taken, stamped and checked, and numbers from a seed.
 *
 * A workload does a fixed amount of work: the same operations in the same order in each run, whatever the heap and the machine. An
 * operation is one block's life (a malloc and its free), unless the workload says otherwise. The checksum is made of what was
 * read back from the blocks, so a heap that hands out a block twice, or loses what realloc is to keep, gives another one.
 * Time is taken from outside (launch.c). Rows are for workloads whose result is no time.
 */
#ifndef MOAT_BENCH_H
#define MOAT_BENCH_H
#include <stddef.h>
#include <stdint.h>

struct outcome {
    uint64_t operations;
    uint64_t checksum;
};

struct workload {
    const char *name;
    const char *group; /* pairs, single, threads: enter the means; report: prints rows, and is no time */
    struct outcome (*run)(const struct workload *self, double scale);
    size_t size; /* bytes of a block, or of the live heap, as the workload says */
    size_t count;
};

/* Each file's workloads, ended by one without a name. */
extern const struct workload pair_workloads[], set_workloads[], thread_workloads[], phase_workloads[],
    growth_workloads[], size_workloads[], graph_workloads[], process_workloads[], fragmentation_workloads[],
    latency_workloads[], memory_workloads[];

/* Ends the program with a sentence: a heap that answers wrongly is no slow heap. */
__attribute__((noreturn, format(printf, 1, 2))) void bench_die(const char *format, ...);

/* count * scale, and at least `least`. */
uint64_t bench_times(double count, double scale, uint64_t least);

/* The block, or the end of the program. */
void *bench_take(size_t size);
void *bench_demand(void *block, size_t size, const char *what);

uint64_t bench_thread_ns(void); /* processor time of the calling thread */
uint64_t bench_wall_ns(void);
size_t bench_resident_bytes(void);
size_t bench_available_bytes(void);

/* ---- numbers from a seed (xorshift64*) ---- */

struct random {
    uint64_t state;
};

static inline struct random random_from(uint64_t seed)
{
    return (struct random){(seed + 1) * 0x9e3779b97f4a7c15u};
}

static inline uint64_t random_next(struct random *random)
{
    uint64_t x = random->state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    random->state = x;
    return x * 0x2545f4914f6cdd1du;
}

static inline size_t random_below(struct random *random, size_t limit)
{
    return (size_t)(((random_next(random) >> 32) * limit) >> 32);
}

/* Sizes as programs ask for them: half up to 64 bytes, three in ten up to 256, and few over 1 KiB. */
static inline size_t random_size(struct random *random)
{
    uint64_t draw = random_next(random);
    size_t kind = draw % 100;
    size_t rest = (size_t)(draw >> 32);
    if (kind < 50)
        return 16 + rest % 49;
    if (kind < 80)
        return 65 + rest % 192;
    if (kind < 95)
        return 257 + rest % 768;
    return 1025 + rest % 3072;
}

/* ---- stamped blocks ---- */

/* What a block of 16 bytes and more begins with. The last byte carries a mark too: a block that is shorter than asked for shares
 * it with a neighbour. */
struct stamp {
    uint64_t value;
    uint64_t size;
};

static inline void *stamp_take(size_t size, uint64_t value)
{
    struct stamp *stamp = bench_take(size);
    ((unsigned char *)stamp)[size - 1] = (unsigned char)value;
    *stamp = (struct stamp){value, size};
    return stamp;
}

/* Ends the program unless the block is as it was stamped; answers its value. */
static inline uint64_t stamp_check(const void *block)
{
    const struct stamp *stamp = block;
    const unsigned char *bytes = block;
    if (stamp->size < sizeof *stamp ||
        (stamp->size > sizeof *stamp && bytes[stamp->size - 1] != (unsigned char)stamp->value))
        bench_die("the block at %p holds what nobody wrote: value %#lx, size %lu", block, (unsigned long)stamp->value,
                  (unsigned long)stamp->size);
    return stamp->value;
}

uint64_t stamp_give(void *block);
#endif

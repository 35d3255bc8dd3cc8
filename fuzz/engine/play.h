/* Plays the records of an input on the heap, and checks each answer against the reference (live.h): the block's place, alignment and usable size,
 * that it overlaps no other, that calloc's memory is zero, that realloc kept the contents, that NULL came only where it may and errno says
 * why, that free kept errno; before each free, that the block still holds its pattern. Every few records the heap checks itself.
 *
 * Records run on up to four threads in lock-step, so that remote frees, abandoned pages and claimed pages are reached and the same input
 * does the same again. All these are correct programs: an abort by the heap is a find. */
#ifndef FUZZ_ENGINE_PLAY_H
#define FUZZ_ENGINE_PLAY_H

#include "call.h"
#include "input.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PLAY_RECORDS_MAX = 4096 };

/* When more is busy, requests are skipped until something was freed. */
#define PLAY_BUSY_MAX ((size_t)192 << 20)

struct input {
    const uint8_t *data;
    size_t records;
    unsigned flags;
    unsigned check_every; /* records between two checks of the whole heap; 0: none */
    uint64_t seed;        /* of the heap's randomness and of the patterns */
};

/* Reads the header. False: too short or too long to be played. */
bool input_open(struct input *input, const uint8_t *data, size_t size, size_t least_records);

void play_begin(const struct input *input);
/* Plays one record. False: the input has had its share of work. */
bool play_record(const struct input *input, size_t number);
/* Plays all from `first` on. Answers the number of the first one that was not played. */
size_t play_records(const struct input *input, size_t first);
/* Ends the helpers and frees what is left, upward or downward, by the main thread, so that pages of helpers that ended are claimed. */
void play_finish(const struct input *input, size_t record);

/* From now on somebody else writes into freed blocks: the heap's own figures and checks are not asked any more, and blocks of calloc may
 * hold what was written late. What is handed out must still overlap nothing and keep its contents. */
void play_turn_hostile(void);
bool play_is_hostile(void);

/* Carries out a call that makes a new block in a slot; an older block there is freed first, by the same thread. */
void play_allocate(unsigned thread, unsigned slot, struct call *call);
void play_free(unsigned thread, unsigned slot, enum function function);
struct block;
/* What realloc answered for `old`, which was forgotten: checked, and taken into the slot. False: the slot is empty now. */
bool play_resized(const struct block *old, const struct call *call, unsigned slot, const char *function);
/* Takes a call's answer into a slot of the reference. */
void play_take_in(const struct call *call, unsigned slot);
bool play_may_allocate(void);

#endif

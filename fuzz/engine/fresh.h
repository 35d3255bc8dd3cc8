/* A fresh heap for each input.
 *
 * Everything that the heap remembers lies in three places: in its writable data, which seeded-object.cmake has gathered, in the memory that
 * it mapped, which the door remembers, and in what belongs to a thread. So a heap is made anew by writing the first back, taking
 * the second away and playing each input on a thread of its own. What an input does then depends on its bytes alone, and a heap that
 * has just reported a violation, with its locks held, is no burden for the next.
 *
 * Costs about as much as a start of the heap, some 100 us; a fork for each input would cost ten times that and keep the engine from seeing
 * what code was reached. */
#ifndef FUZZ_ENGINE_FRESH_H
#define FUZZ_ENGINE_FRESH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Plays one input on a thread of its own, with a heap that draws from `seed`; its helper threads are ended before this returns. False: the
 * heap ended the input (trap.h). */
bool fresh_play(uint64_t seed, void (*play)(void *), void *argument);

/* The heap's time goes on by so much. Otherwise it moves a little each time that the heap looks at it. */
void fresh_pass_ms(unsigned milliseconds);

/* Forks, with or without what the heap wants done at a fork. The child may use the heap, and has to end by _exit. */
pid_t fresh_fork(bool runs_handlers);

/* From now on inputs share one heap, for as long as it lives. */
void fresh_keep_heap(void);

#endif

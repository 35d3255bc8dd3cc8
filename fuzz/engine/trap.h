/* The heap's end becomes a return.
 *
 * A violation ends the process, and one process an input would be slow. So the door (door.h) hears the heap's last words and, where the
 * signal would be sent, jumps out of the heap to the frame that the thread set up. All that runs of the real exit up to the signal runs
 * here too. The heap that ended like that is thrown away (fresh.h).
 *
 * Before trap_arm the heap ends the process as ever: that is what the engines notice, and it is how a death that nobody expects is found. */
#ifndef FUZZ_ENGINE_TRAP_H
#define FUZZ_ENGINE_TRAP_H

#include <stdbool.h>
#include <stddef.h>

enum { TRAP_WORDS_MAX = 512 };

/* Runs a job on this thread. False: the heap ended in it. Frames nest; a death returns from the innermost. */
bool trap_run(void (*job)(void *), void *argument);

/* From now on a death is expected; until the next input. */
void trap_arm(void);
bool trap_is_armed(void);

/* Whether the heap has ended since trap_arm. Any thread. */
bool trap_has_died(void);
/* Leaves the innermost frame of this thread if the heap has ended on another one; returns if not, or if there is no frame. */
void trap_leave_if_dead(void);

/* What the heap said since trap_arm, with a NUL at the end, and which thread of the system said its end. */
const char *trap_words(void);
unsigned trap_thread(void);

/* A new input: nothing is expected, nothing was said. No thread is in a frame. */
void trap_reset(void);

/* For the door: the heap speaks; it would end the process now. The latter returns where nobody expects it. */
void trap_hear(const char *words, size_t bytes);
void trap_die(unsigned thread);

#endif

/*
 * order.pml: a block's contents against its state: construct before live,
 * destroy after the state has left live.
 *
 * What is modelled.  One block, correct programs, two threads.  Thread 0 owns
 * the page: malloc, local free, realloc in place, collect, and the look at a
 * block from outside (the check of the block in front, when its neighbour is
 * freed): state, contents, state again.  Thread 1 frees remotely.  Each holds
 * the block only after the other handed it over with synchronisation.
 * Contents: nothing (zeroed, a link, or the user's old data without its
 * canary), or a canary made for slack 1 or 2.  Plain stores to state and
 * contents wait in one store buffer in order (x86-TSO); locked instructions
 * wait until it is empty.  There is no end: any number of operations.
 *
 * Checked, always.
 *   In memory (what a fork's child, a core dump or another thread sees), a
 *   live block has contents.
 *   A free finds the canary of the block's slack.
 *   The owner's look from outside never finds a live block with wrong
 *   contents: it would kill a correct program.
 *
 * Left out.  The lists; misuse (states.pml): with two racing frees the loser
 * may still zero or link a block that was handed out again before the collect
 * stops it.
 *
 * A realloc in place by another thread does not write a canary here.  That rule
 * comes from this model: however it is done, the owner's look can see the
 * canary of one slack under the state of another (CANARY_BEFORE_CAS: while that
 * thread is preempted; with an in-between state, VIA_CHANGING: when the thread
 * goes from slack 1 to 2 and back).  With canaries, realloc by another thread
 * than the owner has to move the block.
 *
 * Stands for: src/fast.h heap_malloc, heap_free; src/remote.c remote_free,
 * remote_collect; with canaries also the hooks for resizing and for the block
 * in front.
 *
 * Planted mistakes (each must be found): LATE_FREE (free stored after zeroing),
 * EARLY_LIVE (live stored before the canary), REMOTE_ZERO_FIRST (zeroed before the
 * CAS), CANARY_BEFORE_CAS and VIA_CHANGING (realloc by another thread).
 */
#define FREE     0
#define LIVE1    1      /* live, slack 1 */
#define LIVE2    2
#define REMOTE   3
#define CHANGING 4      /* only with VIA_CHANGING */

#define NOTHING  0      /* contents; else the slack that the canary was made for */

#define SB 3

byte state = FREE;
byte contents = NOTHING;
bit pushed;             /* the block is on the remote list */
bit listed = 1;         /* the block is on the owner's list */

/* One buffer for each thread, oldest store first: which cell, which value. */
typedef store_buffer { byte n; bit to_state[SB]; byte value[SB] };
store_buffer buffer[2];

/* Who has the block in the program; NOBODY while it is free or an operation on it is under way. */
#define NOBODY 2
byte holder = NOBODY;

#define is_live(s) (s == LIVE1 || s == LIVE2)
#define room()     (buffer[me].n < SB)
#define drained()  (buffer[me].n == 0)
#define check()    assert(!is_live(state) || contents != NOTHING)

inline store(cell, v) {
    atomic {
        room();
        buffer[me].to_state[buffer[me].n] = cell;
        buffer[me].value[buffer[me].n] = v;
        buffer[me].n++
    }
}
#define store_state(v)    store(1, v)
#define store_contents(v) store(0, v)

/* The youngest buffered store to the cell, else memory. */
inline load(x, cell, memory) {
    atomic {
        x = memory;
        k = 0;
        do
        :: k < buffer[me].n ->
            if :: buffer[me].to_state[k] == cell -> x = buffer[me].value[k] :: else fi;
            k++
        :: else -> k = 0; break
        od
    }
}
#define load_state(x)    load(x, 1, state)
#define load_contents(x) load(x, 0, contents)

inline do_malloc() {
    atomic { listed -> listed = 0 };
    load_state(s);
    assert(s == FREE);
    if :: t = 1 :: t = 2 fi;
#ifdef EARLY_LIVE
    store_state(t);
    store_contents(t);
#else
    store_contents(t);
    store_state(t);
#endif
    atomic { holder = me; s = 0; t = 0 }
}

inline free_local() {
    atomic { holder == me -> holder = NOBODY };
    load_state(s);
    assert(is_live(s));
#ifndef LATE_FREE
    store_state(FREE);
#endif
    load_contents(t);
    assert(t == s);
    store_contents(NOTHING);
#ifdef LATE_FREE
    store_state(FREE);
#endif
    atomic { listed = 1; s = 0; t = 0 }
}

inline free_remote() {
    atomic { holder == me && drained() -> holder = NOBODY };
#ifdef REMOTE_ZERO_FIRST
    store_contents(NOTHING);
    atomic { drained(); assert(is_live(state)); state = REMOTE };
#else
    atomic { drained(); s = state; assert(is_live(s)); state = REMOTE };
    load_contents(t);
    assert(t == s);
    store_contents(NOTHING);
#endif
    atomic { drained(); s = 0; t = 0; pushed = 1 }      /* the CAS of the push */
}

inline collect() {
    atomic { pushed && drained() -> pushed = 0 };
    load_state(s);
    assert(s == REMOTE);
    store_state(FREE);
    atomic { listed = 1; s = 0 }
}

inline realloc_owner() {
    atomic { holder == me -> holder = NOBODY };
    load_state(s);
    load_contents(t);
    assert(is_live(s) && t == s);
    store_contents(3 - s);
    store_state(3 - s);
    atomic { holder = me; s = 0; t = 0 }
}

#if defined(CANARY_BEFORE_CAS) || defined(VIA_CHANGING)
#define OTHER_REALLOCS
#endif

inline realloc_other() {
    atomic { holder == me -> holder = NOBODY };
#ifdef CANARY_BEFORE_CAS
    load_state(s);
    store_contents(3 - s);
    atomic { drained(); assert(state == s); state = 3 - s };
#else
    atomic { drained(); s = state; assert(is_live(s)); state = CHANGING };
    load_contents(t);
    assert(t == s);
    store_contents(3 - s);
    store_state(3 - s);
#endif
    atomic { holder = me; s = 0; t = 0 }
}

/* The owner looks at the block from outside, whoever has it. */
inline look() {
    load_state(s);
    load_contents(t);
    load_state(u);
    atomic { assert(!(is_live(s) && u == s && t != s)); s = 0; t = 0; u = 0 }
}

/* The program passes the block on: what was stored before is seen by the other. */
inline pass_on() {
    atomic { holder == me && drained() -> holder = 1 - me }
}

proctype owning(byte me) {
    byte s, t, u, k;
end:
    do
    :: do_malloc()
    :: free_local()
    :: realloc_owner()
    :: collect()
    :: look()
    :: pass_on()
    od
}

proctype other(byte me) {
    byte s, t, k;
end:
    do
    :: free_remote()
#ifdef OTHER_REALLOCS
    :: realloc_other()
#endif
    :: pass_on()
    od
}

inline write_oldest(w) {
    if
    :: buffer[w].to_state[0] -> state = buffer[w].value[0]
    :: else -> contents = buffer[w].value[0]
    fi;
    k = 1;
    do
    :: k < buffer[w].n ->
        buffer[w].to_state[k - 1] = buffer[w].to_state[k];
        buffer[w].value[k - 1] = buffer[w].value[k];
        k++
    :: else -> k = 0; break
    od;
    buffer[w].n--;
    buffer[w].to_state[buffer[w].n] = 0;
    buffer[w].value[buffer[w].n] = 0;
    check()
}

proctype memory() {
    byte k;
end:
    do
    :: atomic { buffer[0].n > 0 -> write_oldest(0) }
    :: atomic { buffer[1].n > 0 -> write_oldest(1) }
    od
}

init {
    atomic { run owning(0); run other(1); run memory() }
}

/*
 * owner.pml: who owns a page, and who hears of what was pushed on it.
 *
 * What is modelled.  NP pages of CAP blocks, NT threads, each with a heap that
 * lives LIVES times (its struct is used again under a new number), OPS
 * operations a thread (0: any number).  A page has the remote word (here:
 * count and owned bit), `owner' (a heap's number), `home' (that heap's
 * struct), the flag `woken', and the link of the woken stacks.  A heap has one
 * word {number, top of its woken stack}; number 0: closed.  The abandoned list
 * and the pool lie under one lock each.  Threads allocate, free locally and
 * remotely, wake, drain, collect, claim, abandon, release, open, exit, free
 * after their exit, and begin again.
 *
 * Left out.  Blocks are only counted; their states and links are in
 * states.pml, misuse too: here programs are correct.  The remote word is read
 * and changed in one step: a push that succeeds by CAS did both on the same
 * value.  The lists under locks are sets (any member may be taken).  Stores
 * are seen at once, except (WOKEN_PLAIN) a plain `woken = 0', which waits in a
 * store buffer.  All others are followed by a locked instruction of the same
 * thread before it reads what another thread may change; those of `open' come
 * before any block of the page is handed out, and in order.
 *
 * Checked.
 *   never: a page with two owners, twice on one list, on a woken stack twice;
 *   when all is quiet (each thread idle or gone), for each page: no block is
 *   lost; it stands in the pool, or on the abandoned list and is not owned, or
 *   has an owner that lives; and if T blocks or more wait on an owned page, it
 *   stands on the woken stack of its owner;
 *   always: no thread is stuck.
 *
 * Stands for: src/remote.c remote_free with remote_push and settle
 * (free_remote, become_owner), remote_collect (collect), heap_wake (wake),
 * heap_drain_woken (drain), heap_close_woken and heap_abandon_pages (exit),
 * page_abandon with orphans_add (abandon); src/orphans.c orphans_claim (claim),
 * orphans_forget (in free_remote); src/page.c page_release with remote_close
 * (release), page_open with remote_open (open).
 *
 * Planted mistakes (each must be found): ABANDON_NO_CAS, CLAIM_NO_CAS,
 * WOKEN_AFTER_COLLECT, WOKEN_PLAIN, CLOSED_IGNORED, NUMBER_IGNORED, NO_RETRY,
 * NEXT_AFTER_CLEAR, EXIT_DROPS_STACK, INSERT_AFTER_UNLOCK, CLAIM_STAYS_LISTED,
 * CLAIM_AFTER_UNLOCK, CLAIM_NO_COLLECT, RELEASE_WOKEN.
 */
#ifndef NT
#define NT 2
#endif
#ifndef NP
#define NP 1
#endif
#ifndef CAP
#define CAP 2
#endif
#ifndef T
#define T 1
#endif
#ifndef LIVES
#define LIVES 2
#endif
#ifndef OPS
#define OPS 0
#endif

#define NIL    7
#define NOBODY 0

/* Pages, as all see them. */
byte count[NP];                 /* the remote word: blocks pushed and not yet collected ... */
bit owned[NP];                  /* ... and whether a heap owns the page */
byte owner[NP];                 /* the number of that heap */
byte home[NP];                  /* its struct */
bit woken[NP];
byte woken_next[NP];

/* The owner's alone. */
byte free_blocks[NP];

/* Heaps: one word each. */
byte number[NT];                /* 0: closed */
byte top[NT] = NIL;

/* Under the lock of the abandoned list, and of the pool. */
bit list_lock;
bit listed[NP];
bit pooled[NP];

/* What really is. */
byte live[NP];                  /* blocks in the program's hands */
byte keeper[NP];                /* whose page it is from the step that decides it */
bit on_stack[NP];
byte done;

#ifdef WOKEN_PLAIN
byte buffered[NT] = NIL;        /* the page whose `woken = 0' waits in t's store buffer */
#define drained() (buffered[me] == NIL)
#else
#define drained() true
#endif

#if OPS == 0
#define begin(cond) (cond)
#else
#define begin(cond) (ops < OPS && (cond)); ops++
#endif

#if NP == 1
#define some(cond) cond(0)
#define pick(x, cond) x = 0
#else
#define some(cond) (cond(0) || cond(1))
#define pick(x, cond) if :: cond(0) -> x = 0 :: cond(1) -> x = 1 fi
#endif

#define alive()       (my_number != NOBODY)
#define is_mine(x)    (alive() && owner[x] == my_number)
#define has_free(x)   (is_mine(x) && free_blocks[x] > 0)
#define can_local(x)  (is_mine(x) && live[x] > 0)
#define can_remote(x) (!is_mine(x) && live[x] > 0)
#define has_news(x)   (is_mine(x) && count[x] > 0)
#define is_empty(x)   (is_mine(x) && free_blocks[x] == CAP)
#define kept(x)       (keeper[x] == my_number)
#define is_listed(x)  listed[x]
#define is_pooled(x)  pooled[x]

/* ---- remote word ---- */

inline collect(x) {
    atomic {
        drained();
        free_blocks[x] = free_blocks[x] + count[x];
        count[x] = 0
    }
}

#ifdef WOKEN_PLAIN
#define clear_woken(x) atomic { drained(); buffered[me] = x }
#else
#define clear_woken(x) atomic { drained(); woken[x] = 0 }
#endif

/* ---- waking: src/owner.c heap_wake ---- */

/* Puts x on the woken stack of its owner, unless it stands on one; tries again only where a new owner appeared. */
inline wake(x) {
    do
    :: atomic { drained() && woken[x] -> break }
    :: atomic { drained() && !woken[x] -> woken[x] = 1 };
       n = owner[x];
       g = home[x];
       do
       :: atomic {
            seen = top[g];
#ifdef CLOSED_IGNORED
            m = (n != NOBODY)
#else
#ifdef NUMBER_IGNORED
            m = (n != NOBODY && number[g] != NOBODY)
#else
            m = (n != NOBODY && number[g] == n)
#endif
#endif
          }
          if
          :: m == 0 -> break
          :: else
          fi;
          woken_next[x] = seen;
          if
#ifdef CLOSED_IGNORED
          :: atomic { top[g] == seen ->
#else
#ifdef NUMBER_IGNORED
          :: atomic { number[g] != NOBODY && top[g] == seen ->
#else
          :: atomic { number[g] == n && top[g] == seen ->
#endif
#endif
               assert(!on_stack[x]);
               on_stack[x] = 1;
               top[g] = x };
             break
          :: else
          fi
       od;
       atomic { seen = 0; g = 0; if :: m -> m = 0; n = 0; break :: else fi };
       clear_woken(x);
#ifdef NO_RETRY
       break;
#endif
       if
       :: !owned[x] || count[x] < T -> break
       :: else
       fi;
       m = owner[x];
       if
       :: atomic { m == NOBODY || m == n -> m = 0; n = 0 }; break
       :: atomic { else -> m = 0; n = 0 }
       fi
    od
}

/*
 * The stack was taken (list l): each page once. src/owner.c heap_drain_woken
 * A page on the woken stack of a heap is that heap's: a living heap gives a
 * page up (release) only with its flag in hand, a dying one closes its stack first.
 */
inline walk_woken() {
    do
    :: l == NIL -> break
    :: else ->
        q = l;
#ifndef NEXT_AFTER_CLEAR
        atomic { on_stack[q] = 0; l = woken_next[q] };
#endif
#ifndef WOKEN_AFTER_COLLECT
        clear_woken(q);
#endif
#ifdef NEXT_AFTER_CLEAR
        atomic { on_stack[q] = 0; l = woken_next[q] };
#endif
        assert(owner[q] == my_number);
        collect(q);
#ifdef WOKEN_AFTER_COLLECT
        clear_woken(q);
#endif
        q = 0
    od;
    l = 0
}

inline drain() {
    atomic { begin(alive() && top[me] != NIL && drained()); l = top[me]; top[me] = NIL };
    walk_woken()
}

/* ---- owning ---- */

#define lock()   atomic { drained() && !list_lock -> list_lock = 1 }
#define unlock() list_lock = 0

inline become_owner(x) {
    home[x] = me;
    owner[x] = my_number
}

/* Takes an abandoned page from the list: the list and the owned bit change under the lock. */
inline claim() {
    atomic { begin(alive() && some(is_listed) && drained() && !list_lock); list_lock = 1;
        pick(p, is_listed);
        listed[p] = 0 };
#ifdef CLAIM_AFTER_UNLOCK
    unlock();
#endif
    if
#ifdef CLAIM_NO_CAS
    :: !owned[p] ->
       atomic { owned[p] = 1; assert(keeper[p] == NOBODY); keeper[p] = my_number };
#else
    :: atomic { !owned[p] -> owned[p] = 1; assert(keeper[p] == NOBODY); keeper[p] = my_number };
#endif
#ifndef CLAIM_AFTER_UNLOCK
       unlock();
#endif
       become_owner(p);
#ifndef CLAIM_NO_COLLECT
       collect(p)
#endif
    :: atomic { else ->     /* a push claimed it */
#ifndef CLAIM_AFTER_UNLOCK
       unlock()
#endif
       }
    fi;
    p = 0
}

/* Nothing of x is in the program's hands, and its flag is held: nobody can wake it or push to it. */
inline give_to_pool(x) {
    atomic {
        assert(count[x] == 0 && owned[x] && keeper[x] == my_number);
        owner[x] = NOBODY; keeper[x] = NOBODY; free_blocks[x] = 0 };
    atomic { assert(!pooled[x] && !listed[x]); pooled[x] = 1 }
}

/* Gives page x up: the CAS of the owned bit and the insertion happen under the lock. */
inline abandon(x) {
    do
    :: collect(x);
       if
       :: atomic { free_blocks[x] == CAP && drained() && !woken[x] -> woken[x] = 1 };
          give_to_pool(x);
          break
       :: else
       fi;
       owner[x] = NOBODY;
#ifndef INSERT_AFTER_UNLOCK
       lock();
#endif
       if
#ifdef ABANDON_NO_CAS
       :: atomic { count[x] = 0; owned[x] = 0; keeper[x] = NOBODY };
#else
       :: atomic { count[x] == 0 -> owned[x] = 0; keeper[x] = NOBODY };
#endif
#ifdef INSERT_AFTER_UNLOCK
          lock();
#endif
          atomic { assert(!listed[x]); listed[x] = 1; unlock() };
          break
#ifndef ABANDON_NO_CAS
       :: atomic { else ->  /* a push came */
#ifndef INSERT_AFTER_UNLOCK
          unlock()
#endif
          };
          owner[x] = my_number
#endif
       fi
    od
}

inline free_remote() {
    atomic { begin(some(can_remote) && drained()); pick(p, can_remote); live[p]-- };
    atomic {
        count[p]++;
        if
        :: owned[p] -> m = (count[p] % T == 0)
        :: !owned[p] -> m = (count[p] % T == 0)     /* no heap, or when it looked the page was owned: no claim */
        :: !owned[p] && alive() ->
            owned[p] = 1;
            assert(keeper[p] == NOBODY);
            keeper[p] = my_number;
            m = 2
        fi
    }
    if
    :: m == 0
    :: atomic { m == 1 -> m = 0 }; wake(p)
    :: atomic { m == 2 -> m = 0 };
       become_owner(p);
#ifndef CLAIM_STAYS_LISTED
       lock();
       atomic { listed[p] = 0; unlock() };
#endif
#ifndef CLAIM_NO_COLLECT
       collect(p)
#endif
    fi;
    p = 0
}

/* ---- the pool ---- */

/* A page goes to the pool with woken set, so that no late wake puts it on a stack. If it is woken now, it stays. */
inline release() {
    atomic {
        begin(alive() && some(is_empty) && drained());
        pick(p, is_empty);
#ifndef RELEASE_WOKEN
        m = woken[p];
#endif
        woken[p] = 1
    }
    if
    :: atomic { m == 1 -> m = 0 }
    :: m == 0 -> give_to_pool(p)
    fi;
    p = 0
}

inline open() {
    atomic { begin(alive() && some(is_pooled) && drained()); pick(p, is_pooled); pooled[p] = 0 };
    atomic { assert(count[p] == 0 && owned[p] && keeper[p] == NOBODY); keeper[p] = my_number };
    become_owner(p);
    woken[p] = 0;
    atomic { free_blocks[p] = CAP; p = 0 }
}

/* ---- beginning and end of a thread ---- */

inline exit() {
    atomic { begin(alive()) };
#ifdef EXIT_DROPS_STACK
    atomic { drained() -> top[me] = NIL; number[me] = NOBODY };
#else
    do
    :: atomic { top[me] != NIL && drained() -> l = top[me]; top[me] = NIL };
       walk_woken()
    :: atomic { top[me] == NIL && drained() -> number[me] = NOBODY };
       break
    od;
#endif
    do
    :: atomic { some(kept) -> pick(p, kept) }; abandon(p)
    :: atomic { !some(kept) -> my_number = NOBODY; p = 0; break }
    od
}

/* A heap's struct is used again, under a number that was never used. */
inline start() {
    atomic {
        begin(!alive() && lives < LIVES);
        lives++;
        my_number = me + 1 + NT * (lives - 1);
        number[me] = my_number
    }
}

proctype thread(byte me) {
    byte my_number, lives, ops;
    byte p, q, l, n, g, m, seen;
    do
    :: start()
    :: atomic { begin(some(has_free)); pick(p, has_free); free_blocks[p]--; live[p]++; p = 0 }
    :: atomic { begin(some(can_local)); pick(p, can_local); free_blocks[p]++; live[p]--; p = 0 }
    :: free_remote()
    :: drain()
    :: atomic { begin(some(has_news)); pick(p, has_news) }; collect(p); p = 0
    :: claim()
    :: release()
    :: open()
    :: exit()
    :: atomic { drained() -> break }
    od;
    done++
}

/* All threads idle or gone. */
inline look() {
    t = 0;
    do
    :: t < NT ->
        assert(number[t] != NOBODY || top[t] == NIL);
        x = top[t];
        do
        :: x == NIL -> break
        :: else ->
            assert(!stands[x] && on_stack[x] && woken[x]);
            stands[x] = t + 1;
            x = woken_next[x]
        od;
        t++
    :: else -> break
    od;
    x = 0;
    do
    :: x < NP ->
        if
        :: pooled[x] -> assert(owned[x] && !listed[x] && owner[x] == NOBODY && count[x] + live[x] == 0)
        :: else ->
            assert(count[x] + live[x] + free_blocks[x] == CAP);
            assert(owned[x] == !listed[x] && keeper[x] == owner[x]);
            if
            :: owned[x] ->
                assert(owner[x] != NOBODY && number[home[x]] == owner[x]);
                assert(count[x] < T || stands[x] == home[x] + 1)
            :: else -> assert(owner[x] == NOBODY)
            fi
        fi;
        x++
    :: else -> break
    od
}

proctype watch() {
    byte t, x;
    byte stands[NP];
    do
#ifdef WOKEN_PLAIN
    :: atomic { buffered[0] != NIL -> woken[buffered[0]] = 0; buffered[0] = NIL }
    :: atomic { buffered[1] != NIL -> woken[buffered[1]] = 0; buffered[1] = NIL }
#if NT > 2
    :: atomic { buffered[2] != NIL -> woken[buffered[2]] = 0; buffered[2] = NIL }
#endif
#endif
    :: atomic { done == NT -> look(); break }
    od
}

init {
    atomic {
        byte i;
        do
        :: i < NP -> owned[i] = 1; pooled[i] = 1; woken[i] = 1; i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < NT -> run thread(i); i++
        :: else -> break
        od;
        i = 0;
        run watch()
    }
}

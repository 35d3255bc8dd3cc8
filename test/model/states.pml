/*
 * states.pml: the state byte of each block and the remote word of one page.
 *
 * What is modelled.  One heap page of NB blocks, NT threads, OPS operations a
 * thread (0: any number).  The page has an owner, the owner's two lists (the
 * heap's list of the class, the page's local list), a state byte a block and
 * the remote word {head, count, epoch, owned}.  A thread that owns the page
 * does malloc, local free, realloc in place, collect, abandon, release; any
 * other thread does remote free, realloc in place, claim, open.  With -DDESTROY
 * the owner also ends the page with all its blocks, as moat_heap_destroy does.
 *
 * Memory.  x86-TSO: the owner's plain stores to state bytes wait in a store
 * buffer of SB entries, in order; the thread itself sees them at once, others
 * when the process `memory' has written them.  A locked instruction (CAS,
 * exchange, lock) waits until its thread's buffer is empty.
 *
 * Programs.  -DLEGIT: correct ones: a block is freed or reallocated only by
 * one who holds it, and passed on only with synchronisation (the last plain
 * store to its state has left the buffer).  Nothing may be fatal, nothing may
 * be lost.  Otherwise: misuse: any thread frees or reallocates any block that
 * was ever handed out, as often as it likes, and races with all others.
 * Fatal ends are right there.  With -DSCRIBBLE it also writes any link into
 * any block at any time, as if links were not encoded.
 *
 * Checked.
 *   never: a block handed out twice; two owners of the page;
 *   LEGIT, never: a fatal end;
 *   LEGIT, when all is quiet: each block is held, or on one list, with the
 *   state that says so;
 *   misuse, when all is quiet and the remote list was collected: if nothing
 *   was fatal, no free of a block that nobody held was accepted, and (without
 *   SCRIBBLE, which may lose blocks) each block is where it belongs;
 *   always: no thread is stuck.
 *
 * Left out.  live(slack) is one value, so another thread's CAS live(s) ->
 * live(t) changes nothing here.  `owner' is not buffered: a thread only asks
 * whether it is itself, and each store of it is followed by a locked
 * instruction before any other thread may store there.  A load of a state
 * and a following store of the same thread are one step: the store becomes
 * visible later anyway, when the buffer lets it go.  The load before a CAS is
 * part of the CAS: what it refuses, the CAS would refuse at that moment.
 * A new epoch is the smallest number that no push under way remembers: only
 * equality counts.  (That it wraps after 2^31 collects during one push is left
 * out.)  The locks of the abandoned list and the pool, and waking, are in
 * owner.pml.
 *
 * Stands for: src/fast.h heap_malloc (do_malloc), heap_free (free_local);
 * src/remote.c remote_free and remote_push (free_remote, push), remote_collect
 * (collect), page_abandon with orphans_add (abandon); src/orphans.c
 * orphans_claim (claim); src/page.c page_release with remote_close and
 * sec_states_release (release), page_open with remote_open and carve_list (open),
 * page_destroy with sec_states_take_live, a byte at a time (destroy).
 *
 * Planted mistakes (each must be found): BARE_HEAD (no count, no epoch),
 * NO_COUNT, NO_STATE_AT_POP, NO_STATE_AT_COLLECT, ABANDON_NO_CAS, CLAIM_NO_CAS,
 * OWNER_AFTER_CAS, POOL_UNOWNED, RELEASE_BLIND, RELEASE_KEEPS_LIST, OPEN_STORES
 * (the remote word looked at, then stored), REALLOC_PLAIN, and with DESTROY
 * DESTROY_PLAIN (states looked at, then stored) and DESTROY_BLIND (released without
 * a look at what is being pushed).  NO_EPOCH is not one:
 * count and states are enough without it (README.md).
 */
#ifndef NT
#define NT 2
#endif
#ifndef NB
#define NB 2
#endif
#ifndef OPS
#define OPS 5
#endif
#ifndef SB
#define SB 2
#endif

#ifdef BARE_HEAD
#define NO_EPOCH
#define NO_COUNT
#endif

/* States of a block. */
#define UNUSED 0
#define FREE   1
#define LIVE   2
#define REMOTE 3

/* Ends of lists, and a link that is none: user data, whose tag does not fit. */
#define NIL    7
#define JUNK   6
#define NOBODY 0

typedef store_buffer { byte n; byte block[SB]; byte value[SB] };

/* The page, as all see it. Owner and heap numbers are me + 1. */
byte state[NB];
byte link[NB];
byte owner = NOBODY;
byte head = NIL, count, epoch;  /* the remote word ... */
bit owned;                      /* ... and its owned bit */
bit pooled = 1;
bit listed;                     /* on the abandoned list */

byte heap_list[NT] = NIL;       /* each heap's own heap.free[class] */

/* The owner's alone. */
byte local_list = NIL;          /* page.free */
byte local_count;               /* blocks put on local_list since it was empty; NB + 1: too many */

store_buffer buffer[NT];
bit fatal;
byte done;
byte epoch_seen[NT];            /* the epoch that t's push under way has read, or NIL */

/* What really is: the allocator does not see these. */
bit held[NB];                   /* the program has it */
bit known[NB];                  /* its address got out */
bit surplus[NB];                /* a free of it was accepted though nobody held it */
#ifdef LEGIT
bit token[NB];                  /* held, and no operation on it under way */
byte writer[NB];                /* whose plain store made it live last */
#endif

#ifdef LEGIT
#define FATAL { assert(false) }
#else
#define FATAL { fatal = 1; goto stop }
#endif

/* Begins an operation, if the thread has one left and the condition holds. */
#if OPS == 0
#define begin(cond) (cond)
#else
#define begin(cond) (ops < OPS && (cond)); ops++
#endif

/* ---- x86-TSO ---- */

#define room()    (buffer[me].n < SB)
#define drained() (buffer[me].n == 0)

inline load(x, b) {
    x = state[b];
    k = 0;
    do
    :: k < buffer[me].n ->
        if
        :: buffer[me].block[k] == b -> x = buffer[me].value[k]
        :: else
        fi;
        k++
    :: else -> break
    od;
    k = 0
}

/* The caller has seen room(). */
inline store(b, v) {
    buffer[me].block[buffer[me].n] = b;
    buffer[me].value[buffer[me].n] = v;
    buffer[me].n++
}

inline write_oldest(t) {
    state[buffer[t].block[0]] = buffer[t].value[0];
    k = 1;
    do
    :: k < buffer[t].n ->
        buffer[t].block[k - 1] = buffer[t].block[k];
        buffer[t].value[k - 1] = buffer[t].value[k];
        k++
    :: else -> break
    od;
    buffer[t].n--;
    buffer[t].block[buffer[t].n] = 0;
    buffer[t].value[buffer[t].n] = 0;
    k = 0
}

/* ---- the program: which block it frees or reallocates next ---- */

#ifdef LEGIT
/* b's last plain store is visible to me. */
#define settled(b) (writer[b] == me || !waits_in(writer[b], b))
#define waits_at(t, b, i) (buffer[t].n > i && buffer[t].block[i] == b)
#if SB == 2
#define waits_in(t, b) (waits_at(t, b, 0) || waits_at(t, b, 1))
#else
#define waits_in(t, b) (waits_at(t, b, 0) || waits_at(t, b, 1) || waits_at(t, b, 2))
#endif
#define may_use(b) (token[b] && settled(b))
#define take(b) token[b] = 0
#define give(b) token[b] = 1; writer[b] = me
#else
#define may_use(b) known[b]
#define take(b)
#define give(b)
#endif

#if NB == 1
#define some_usable() may_use(0)
#define pick(x) x = 0
#else
#define some_usable() (may_use(0) || may_use(1))
#define pick(x) if :: may_use(0) -> x = 0 :: may_use(1) -> x = 1 fi
#endif

#if NT == 2
#define remembered(e) (epoch_seen[0] == e || epoch_seen[1] == e)
#else
#define remembered(e) (epoch_seen[0] == e || epoch_seen[1] == e || epoch_seen[2] == e)
#endif

inline next_epoch() {
#ifdef NO_EPOCH
    skip
#else
    epoch = 0;
    do
    :: remembered(epoch) -> epoch++
    :: else -> break
    od
#endif
}

inline count_local() {
    if :: local_count <= NB -> local_count++ :: else fi
}

inline accept_free(b) {
    if
    :: held[b] -> held[b] = 0
    :: else -> surplus[b] = 1
    fi
}

/* ---- the owner's operations ---- */

/* The heap's list first, whoever owns the page: malloc looks at no record. */
inline do_malloc() {
    atomic {
        begin(room() && (heap_list[me] != NIL || (owner == me + 1 && local_list != NIL)));
        if
        :: heap_list[me] == NIL -> heap_list[me] = local_list; local_list = NIL; local_count = 0
        :: else
        fi;
        b = heap_list[me];
        if :: b == JUNK -> FATAL :: else fi;
        heap_list[me] = link[b]
    }
    atomic {
        load(s, b);
#ifndef NO_STATE_AT_POP
        if :: s != FREE -> FATAL :: else fi;
#endif
        store(b, LIVE);
        assert(!held[b]);
        held[b] = 1;
        known[b] = 1;
        give(b);
        link[b] = JUNK;
        b = 0; s = 0
    }
}

inline free_local() {
    atomic {
        begin(owner == me + 1 && room() && some_usable());
        pick(b); take(b);
        load(s, b);
        if :: s != LIVE -> FATAL :: else fi;
        store(b, FREE);
        accept_free(b)
    }
    atomic {
        link[b] = local_list;
        local_list = b;
        count_local();
        b = 0; s = 0
    }
}

inline realloc_owner() {
    atomic {
        begin(owner == me + 1 && room() && some_usable());
        pick(b); take(b);
        load(s, b);
        if :: s != LIVE -> FATAL :: else fi;
        store(b, LIVE);
        give(b);
        b = 0; s = 0
    }
}

/* Takes all that was pushed; each node must be remote, and there must be as many as were counted. */
inline take_remote() {
    atomic {
        drained();
        h = head; c = count;
        head = NIL; count = 0;
        next_epoch()
    }
    do
    :: atomic { h == NIL ->
        if :: c != 0 -> FATAL :: else fi;
        h = 0; s = 0; n = 0 };
        break
    :: atomic { h != NIL && room() ->
#ifndef NO_COUNT
        if :: c == 0 -> FATAL :: else fi;
        c--;
#endif
        if :: h == JUNK -> FATAL :: else fi;
        load(s, h);
#ifndef NO_STATE_AT_COLLECT
        if :: s != REMOTE -> FATAL :: else fi;
#endif
        store(h, FREE) };
        atomic {
        n = link[h];
        link[h] = local_list;
        local_list = h;
        count_local();
        h = n }
    od
}

inline collect() {
    atomic { begin(owner == me + 1 && !(head == NIL && count == 0)) };
    take_remote()
}

/* The heap's list goes back to the page. */
inline return_list() {
    do
    :: atomic { heap_list[me] != NIL ->
        c++;
        if :: c > NB || heap_list[me] == JUNK -> FATAL :: else fi;
        h = heap_list[me];
        heap_list[me] = link[h];
        link[h] = local_list;
        local_list = h;
        count_local();
        h = 0 }
    :: atomic { heap_list[me] == NIL -> c = 0 }; break
    od
}

/* Thread exit: lists back to the page, collect, give the page up if nothing came meanwhile. */
inline abandon() {
    atomic { begin(owner == me + 1); c = 0 };
    return_list();
    leave()
}

inline leave() {
    do
    :: take_remote();
#ifndef OWNER_AFTER_CAS
       owner = NOBODY;
#endif
#ifdef ABANDON_NO_CAS
       atomic { drained(); head = NIL; count = 0; owned = 0; listed = 1 };
       break
#else
       if
       :: atomic { head == NIL && count == 0 && drained() -> owned = 0; listed = 1 };
#ifdef OWNER_AFTER_CAS
          owner = NOBODY;
#endif
          break
       :: atomic { !(head == NIL && count == 0) && drained() -> owner = me + 1 }
       fi
#endif
    od
}

/*
 * All blocks are counted on the local list, and the heap has none of them: the
 * page goes to the pool, its remote word seen empty by an exchange.
 */
inline release() {
    atomic {
        begin(owner == me + 1 && local_count == NB);
#ifndef RELEASE_KEEPS_LIST
        if :: heap_list[me] != NIL -> FATAL :: else fi;
#endif
        owner = NOBODY
    }
    give_up()
}

inline give_up() {
    atomic {
        drained();
#ifndef RELEASE_BLIND
        if :: head != NIL || count != 0 -> FATAL :: else fi;
#endif
        head = NIL; count = 0;
#ifdef POOL_UNOWNED
        owned = 0;
#endif
        next_epoch();
        c = 0
    }
    do
    :: atomic { c < NB && room() ->
        load(s, c);
        if :: s != FREE && s != UNUSED -> FATAL :: else fi;
        store(c, UNUSED);
        c++; s = 0 }
    :: atomic { c == NB -> c = 0 }; break
    od;
    atomic { local_list = NIL; local_count = 0 }
    atomic { drained(); pooled = 1 }
}

#ifdef DESTROY
/*
 * The heap ends with all its blocks, whoever holds them: lists back, collect, each live block by a CAS, the page's list
 * anew from the states. With all blocks back the page goes to the pool, else it is abandoned: what is missing is being
 * pushed by somebody.
 */
inline destroy() {
    atomic { begin(owner == me + 1); c = 0 };
    return_list();
    take_remote();
    do
#ifdef DESTROY_PLAIN
    :: atomic { c < NB && room() ->
        load(s, c);
        if :: s == LIVE -> n = 1 :: else fi; s = 0 };
        atomic { if :: n == 1 -> room(); store(c, FREE); held[c] = 0; take(c) :: else fi; n = 0; c++ }
#else
    :: atomic { c < NB && drained() ->
        if :: state[c] == LIVE -> state[c] = FREE; held[c] = 0; take(c) :: else fi;
        c++ }
#endif
    :: atomic { c == NB -> c = 0 }; break
    od;
    atomic {
        local_list = NIL; local_count = 0;
        do
        :: c < NB ->
            load(s, c);
            if :: s == FREE -> link[c] = local_list; local_list = c; count_local() :: else fi;
            c++
        :: else -> break
        od;
        c = 0; s = 0
    }
    if
#ifdef DESTROY_BLIND
    :: atomic { true -> owner = NOBODY }; give_up()
#else
    :: atomic { local_count == NB -> owner = NOBODY }; give_up()
    :: atomic { local_count != NB -> skip }; leave()
#endif
    fi
}
#endif

/* ---- what others do ---- */

inline open() {
    atomic { begin(pooled && drained()); pooled = 0 };
    atomic {
        if :: head != NIL || count != 0 -> FATAL :: else fi;
#ifdef POOL_UNOWNED
        owned = 1;
#endif
        c = 0
    }
#ifdef OPEN_STORES
    atomic { head = NIL; count = 0 };
#endif
    atomic { assert(owner == NOBODY); owner = me + 1 };
    do
    :: atomic { c < NB && room() ->
        store(c, FREE);
        link[c] = local_list; local_list = c; count_local();
        c++ }
    :: atomic { c == NB -> c = 0 }; break
    od
}

inline claim() {
#ifdef CLAIM_NO_CAS
    atomic { begin(listed && drained()) };
    atomic { listed = 0; owned = 1 };
#else
    atomic { begin(listed && drained()); listed = 0; owned = 1 };
#endif
    atomic { assert(owner == NOBODY); owner = me + 1 };
    take_remote()
}

/* Push b; a thread with a heap claims an unowned page by it, one whose heap is gone leaves it unowned. */
inline push() {
    do
    :: atomic {
        wh = head; wc = count; wo = owned; epoch_seen[me] = epoch;
        if :: wc == NB -> FATAL :: else fi }
       link[b] = wh;
       if
       :: atomic {
           head == wh && count == wc && epoch == epoch_seen[me] && owned == wo ->
           head = b;
#ifndef NO_COUNT
           count++;
#endif
           if
           :: owned -> skip
           :: !owned -> owned = 1; listed = 0; c = 1
           :: !owned -> skip
           fi;
           b = 0; wh = 0; wc = 0; wo = 0; epoch_seen[me] = NIL };
           break
       :: atomic { else -> wh = 0; wc = 0; wo = 0; epoch_seen[me] = NIL }
       fi
    od;
    if
    :: atomic { c == 1 -> c = 0; assert(owner == NOBODY); owner = me + 1 };
       take_remote()
    :: else
    fi
}

inline free_remote() {
    atomic {
        begin(owner != me + 1 && drained() && some_usable());
        pick(b); take(b);
        if :: state[b] != LIVE -> FATAL :: else fi;
        state[b] = REMOTE;
        accept_free(b)
    }
    push()
}

inline realloc_remote() {
    atomic {
        begin(owner != me + 1 && drained() && some_usable());
        pick(b); take(b);
        if :: state[b] != LIVE -> FATAL :: else fi;
#ifdef REALLOC_PLAIN
        store(b, LIVE);
#endif
        give(b);
        b = 0
    }
}

/* The program writes into a block, its own or not. */
inline scribble() {
    atomic {
        begin(some_usable());
        pick(b);
        if :: link[b] = 0 :: link[b] = NB - 1 :: link[b] = NIL :: link[b] = JUNK fi;
        b = 0
    }
}

proctype thread(byte me) provided (!fatal) {
    byte ops, b, s, h, n, c, k;
    byte wh, wc;
    bit wo;
    do
    :: do_malloc()
    :: free_local()
    :: realloc_owner()
    :: collect()
    :: abandon()
    :: release()
    :: open()
    :: claim()
    :: free_remote()
    :: realloc_remote()
#ifdef DESTROY
    :: destroy()
#endif
#ifdef SCRIBBLE
    :: scribble()
#endif
    :: break
    od;
stop:
    ops = 0;
    done++
}

/* Each list entry is counted once, and its state fits the list. */
inline account(list, what) {
    h = list;
    do
    :: h == NIL -> break
    :: else ->
        assert(h < NB && state[h] == what && !held[h] && !seen[h]);
        seen[h] = 1;
        h = link[h]
    od
}

#ifdef LEGIT
#define WRONG assert(false)
#else
#define WRONG goto stop
#endif

/* The store buffers, and when all threads have ended and all is written: the look at what is left. */
proctype memory() {
    byte k, h, c;
    bit seen[NB];
    do
    :: atomic { !fatal && buffer[0].n > 0 -> write_oldest(0) }
    :: atomic { !fatal && buffer[1].n > 0 -> write_oldest(1) }
#if NT > 2
    :: atomic { !fatal && buffer[2].n > 0 -> write_oldest(2) }
#endif
    :: atomic {
        !fatal && done == NT && buffer[0].n + buffer[1].n + buffer[NT - 1].n == 0 ->
        /* The collect that each page gets before it is used again or given back. */
        h = head;
        do
        :: h == NIL -> break
        :: else ->
            c++;
            if :: h == JUNK || c > NB || state[h] != REMOTE -> WRONG :: else fi;
            h = link[h]
        od;
#ifndef NO_COUNT
        if :: c != count -> WRONG :: else fi;
#endif
        c = 0;
        do
        :: c < NB -> assert(!surplus[c]); c++
        :: else -> break
        od;
#ifndef SCRIBBLE
        account(head, REMOTE);
        account(local_list, FREE);
        account(heap_list[0], FREE);
        account(heap_list[1], FREE);
#if NT > 2
        account(heap_list[2], FREE);
#endif
        c = 0;
        do
        :: c < NB ->
            assert(seen[c] + held[c] + (pooled && state[c] == UNUSED) == 1);
            assert(!held[c] || state[c] == LIVE);
            c++
        :: else -> break
        od
#endif
       };
       break
    :: timeout -> assert(fatal); break
    od;
stop:
    skip
}

/* Thread 0 has opened the page. */
init {
    atomic {
        byte i;
        do
        :: i < NB -> state[i] = FREE; link[i] = local_list; local_list = i; count_local(); i++
        :: else -> break
        od;
        i = 0;
        owner = 1; owned = 1; pooled = 0;
        do
        :: i < NT -> epoch_seen[i] = NIL; run thread(i); i++
        :: else -> break
        od;
        i = 0;
        run memory()
    }
}

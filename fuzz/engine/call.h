/* One call of the malloc family, as data: which function, its arguments, and afterwards its answer and errno. So a call can be handed
 * to a helper thread as it is, and the model looks at what came back without knowing which thread made it. */
#ifndef FUZZ_ENGINE_CALL_H
#define FUZZ_ENGINE_CALL_H

#include <stddef.h>

enum function {
    /* Take `size`, or `count` and `size`; answer in `result`. */
    CALL_MALLOC,
    CALL_CALLOC,
    CALL_VALLOC,
    CALL_PVALLOC,
    /* Take `block` too. */
    CALL_REALLOC,
    CALL_REALLOCARRAY,
    /* Take `alignment` and `size`; posix_memalign's own answer is in `code`. */
    CALL_ALIGNED_ALLOC,
    CALL_POSIX_MEMALIGN,
    CALL_MEMALIGN,
    CALL_NEW, /* CALL_NEW + number of a variant, below */
    CALL_NEW_END = CALL_NEW + 8,
    /* Takes `block`, answers in `size`. */
    CALL_USABLE_SIZE = CALL_NEW_END,
    /* Take `block`, the sized ones `size`, the aligned ones `alignment`. */
    CALL_FREE,
    CALL_CFREE,
    CALL_FREE_SIZED,
    CALL_FREE_ALIGNED_SIZED,
    CALL_DELETE, /* the variants; the numbers of the array forms are odd from here */
    CALL_DELETE_ARRAY,
    CALL_DELETE_SIZED,
    CALL_DELETE_ARRAY_SIZED,
    CALL_DELETE_NOTHROW,
    CALL_DELETE_ARRAY_NOTHROW,
    CALL_DELETE_ALIGNED,
    CALL_DELETE_ARRAY_ALIGNED,
    CALL_DELETE_SIZED_ALIGNED,
    CALL_DELETE_ARRAY_SIZED_ALIGNED,
    CALL_DELETE_ALIGNED_NOTHROW,
    CALL_DELETE_ARRAY_ALIGNED_NOTHROW,
    CALL_END
};

/* The variants of operator new that throw when there is no memory; a harness in C cannot catch, so it asks them only for sizes that
 * must succeed. */
enum { NEW_VARIANTS = 8, NEW_THROWING_VARIANTS = 4, DELETE_VARIANTS = 12 };

/* posix_memalign must not touch its result when it fails: this is what stood there before. */
#define CALL_UNTOUCHED ((void *)0x5a5a5a5a)
/* errno before each call: a number that the family never sets. */
#define CALL_ERRNO_BEFORE 76

struct call {
    enum function function;
    void *block;
    size_t count;
    size_t size;
    size_t alignment;
    void *result;
    int code;
    int error;
};

const char *call_name(enum function function);

/* Whether a variant of new or delete takes an alignment. */
int call_variant_is_aligned(enum function function);

/* Carries a call out on a thread (0: this one) and fills in its answers. */
void call_on(unsigned thread, struct call *call);

/* Carries out `count` calls, one after the other, as one job of that thread. */
void calls_on(unsigned thread, struct call *calls, size_t count);

/* The halves of calls_on for a helper: see helper_start. The list must live until calls_wait. */
struct call_list {
    struct call *calls;
    size_t count;
};
void calls_start(unsigned thread, struct call_list *list);
void calls_wait(unsigned thread);

#endif

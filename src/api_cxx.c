/* api_cxx.c - operators new and delete by their mangled names, so that no C++ library is linked in.
 *
 * The program's C++ library, where there is one, is reached by weak references: its new-handler, and the function that
 * throws bad_alloc. Without one, running out of memory in a throwing operator is one line and abort. Built with
 * -fexceptions, since both may throw through these frames.
 */
#include "blocks.h"
#include "fast.h"
#include "passive.h"
#include "report.h"

typedef void (*new_handler)(void);
struct nothrow;

/* std::get_new_handler() and std::__throw_bad_alloc() of the Itanium C++ ABI. */
__attribute__((weak)) new_handler _ZSt15get_new_handlerv(void);
__attribute__((weak)) void _ZSt17__throw_bad_allocv(void);

/* What the standard asks of a failed operator new: call the handler and try again while there is one. */
static MOAT_COLD void *retry(size_t alignment, size_t bytes, bool may_throw, const char *function)
{
    bool is_zeroed = false;
    for (;;) {
        void *block = alignment > MOAT_ALIGN ? blocks_aligned(alignment, bytes, function)
                                             : blocks_malloc(bytes, &is_zeroed, function);
        if (block)
            return block;
        new_handler handler = _ZSt15get_new_handlerv ? _ZSt15get_new_handlerv() : NULL;
        if (!handler)
            break;
        handler();
    }
    if (!may_throw)
        return NULL;
    if (_ZSt17__throw_bad_allocv)
        _ZSt17__throw_bad_allocv();
    moat_die(KIND_OUT_OF_MEMORY, function, NULL, DETAIL_BYTES, bytes);
}

static MOAT_COLD void *new_cold(size_t bytes)
{
    void *(*other)(size_t) = passive_operator(ELSEWHERE_Znwm);
    if (other)
        return other(bytes);
    return retry(0, bytes, true, "operator new");
}

static MOAT_COLD void *new_array_cold(size_t bytes)
{
    return retry(0, bytes, true, "operator new[]");
}

static MOAT_COLD void *new_nothrow_cold(size_t bytes)
{
    return retry(0, bytes, false, "operator new");
}

static MOAT_COLD void *new_corrupted(void *block)
{
    blocks_die_of_list(block, "operator new");
}

static MOAT_NOINLINE void *new_warm(size_t bytes)
{
    return heap_malloc_warm(bytes, new_cold, new_corrupted);
}

static MOAT_COLD void delete_cold(void *block)
{
    void (*other)(void *) = passive_operator(ELSEWHERE_ZdlPv);
    if (other)
        other(block);
    else
        blocks_free(block, "operator delete");
}

static MOAT_COLD void delete_array_cold(void *block)
{
    blocks_free(block, "operator delete[]");
}

static MOAT_NOINLINE void delete_warm(void *block)
{
    heap_free_warm(block, delete_cold);
}

static MOAT_NOINLINE void delete_array_warm(void *block)
{
    heap_free_warm(block, delete_array_cold);
}

/* Each operator: its C++ spelling, then its mangled name. Where the C++ library's form is to be used (passive.h) that one is
 * called; `ours` has the body that follows otherwise. The two plain forms ask on their cold paths only: where a program
 * replaces them, no call of its arrives here. */
#define NEW(name)                         \
    MOAT_EXPORT void *name(size_t bytes); \
    void *name(size_t bytes)
#define DELETE(name)                    \
    MOAT_EXPORT void name(void *block); \
    void name(void *block)
#define FORM_OF_NEW(name, which, ours, parameters, arguments) \
    MOAT_INLINE void *ours parameters;                        \
    MOAT_EXPORT void *name parameters;                        \
    void *name parameters                                     \
    {                                                         \
        __typeof__(&ours) other = passive_operator(which);    \
        return other ? other arguments : ours arguments;      \
    }                                                         \
    MOAT_INLINE void *ours parameters
#define FORM_OF_DELETE(name, which, ours, parameters, arguments) \
    MOAT_INLINE void ours parameters;                            \
    MOAT_EXPORT void name parameters;                            \
    void name parameters                                         \
    {                                                            \
        __typeof__(&ours) other = passive_operator(which);       \
        if (other)                                               \
            other arguments;                                     \
        else                                                     \
            ours arguments;                                      \
    }                                                            \
    MOAT_INLINE void ours parameters

#define NEW_ARRAY(name) FORM_OF_NEW(name, ELSEWHERE##name, ours##name, (size_t bytes), (bytes))
#define NEW_NOTHROW(name)                                                                                             \
    FORM_OF_NEW(name, ELSEWHERE##name, ours##name, (size_t bytes, __attribute__((unused)) const struct nothrow *tag), \
                (bytes, tag))
#define NEW_ALIGNED(name) \
    FORM_OF_NEW(name, ELSEWHERE##name, ours##name, (size_t bytes, size_t alignment), (bytes, alignment))
#define NEW_ALIGNED_NOTHROW(name)                                                                    \
    FORM_OF_NEW(name, ELSEWHERE##name, ours##name,                                                   \
                (size_t bytes, size_t alignment, __attribute__((unused)) const struct nothrow *tag), \
                (bytes, alignment, tag))
#define DELETE_ARRAY(name) FORM_OF_DELETE(name, ELSEWHERE##name, ours##name, (void *block), (block))
#define DELETE_NOTHROW(name)                          \
    FORM_OF_DELETE(name, ELSEWHERE##name, ours##name, \
                   (void *block, __attribute__((unused)) const struct nothrow *tag), (block, tag))
#define DELETE_SIZED(name) \
    FORM_OF_DELETE(name, ELSEWHERE##name, ours##name, (void *block, size_t bytes), (block, bytes))
#define DELETE_ALIGNED(name) \
    FORM_OF_DELETE(name, ELSEWHERE##name, ours##name, (void *block, size_t alignment), (block, alignment))
#define DELETE_ALIGNED_NOTHROW(name)                                                                   \
    FORM_OF_DELETE(name, ELSEWHERE##name, ours##name,                                                  \
                   (void *block, size_t alignment, __attribute__((unused)) const struct nothrow *tag), \
                   (block, alignment, tag))
#define DELETE_ALIGNED_SIZED(name)                                                                   \
    FORM_OF_DELETE(name, ELSEWHERE##name, ours##name, (void *block, size_t bytes, size_t alignment), \
                   (block, bytes, alignment))

/* operator new(size_t), operator new[](size_t) */
NEW(_Znwm)
{
    return heap_malloc(bytes, new_warm, new_corrupted);
}

NEW_ARRAY(_Znam)
{
    return heap_malloc(bytes, new_array_cold, new_corrupted);
}

/* operator new(size_t, nothrow), operator new[](size_t, nothrow) */
NEW_NOTHROW(_ZnwmRKSt9nothrow_t)
{
    return heap_malloc(bytes, new_nothrow_cold, new_corrupted);
}

NEW_NOTHROW(_ZnamRKSt9nothrow_t)
{
    return heap_malloc(bytes, new_nothrow_cold, new_corrupted);
}

/* operator new(size_t, align_val_t) and its kin */
NEW_ALIGNED(_ZnwmSt11align_val_t)
{
    return retry(alignment, bytes, true, "operator new");
}

NEW_ALIGNED(_ZnamSt11align_val_t)
{
    return retry(alignment, bytes, true, "operator new[]");
}

NEW_ALIGNED_NOTHROW(_ZnwmSt11align_val_tRKSt9nothrow_t)
{
    return retry(alignment, bytes, false, "operator new");
}

NEW_ALIGNED_NOTHROW(_ZnamSt11align_val_tRKSt9nothrow_t)
{
    return retry(alignment, bytes, false, "operator new[]");
}

/* operator delete(void *), operator delete[](void *) */
DELETE(_ZdlPv)
{
    heap_free(block, delete_warm, delete_cold);
}

DELETE_ARRAY(_ZdaPv)
{
    heap_free(block, delete_array_warm, delete_array_cold);
}

DELETE_NOTHROW(_ZdlPvRKSt9nothrow_t)
{
    heap_free(block, delete_warm, delete_cold);
}

DELETE_NOTHROW(_ZdaPvRKSt9nothrow_t)
{
    heap_free(block, delete_array_warm, delete_array_cold);
}

/* operator delete(void *, size_t): the size must fit the block. */
DELETE_SIZED(_ZdlPvm)
{
    blocks_check_sized(block, 1, bytes, "operator delete");
    heap_free(block, delete_warm, delete_cold);
}

DELETE_SIZED(_ZdaPvm)
{
    blocks_check_sized(block, 1, bytes, "operator delete[]");
    heap_free(block, delete_array_warm, delete_array_cold);
}

/* operator delete(void *, align_val_t): the pointer must have the alignment. */
DELETE_ALIGNED(_ZdlPvSt11align_val_t)
{
    blocks_check_sized(block, alignment, 0, "operator delete");
    heap_free(block, delete_warm, delete_cold);
}

DELETE_ALIGNED(_ZdaPvSt11align_val_t)
{
    blocks_check_sized(block, alignment, 0, "operator delete[]");
    heap_free(block, delete_array_warm, delete_array_cold);
}

DELETE_ALIGNED_NOTHROW(_ZdlPvSt11align_val_tRKSt9nothrow_t)
{
    blocks_check_sized(block, alignment, 0, "operator delete");
    heap_free(block, delete_warm, delete_cold);
}

DELETE_ALIGNED_NOTHROW(_ZdaPvSt11align_val_tRKSt9nothrow_t)
{
    blocks_check_sized(block, alignment, 0, "operator delete[]");
    heap_free(block, delete_array_warm, delete_array_cold);
}

/* operator delete(void *, size_t, align_val_t) */
DELETE_ALIGNED_SIZED(_ZdlPvmSt11align_val_t)
{
    blocks_check_sized(block, alignment, bytes, "operator delete");
    heap_free(block, delete_warm, delete_cold);
}

DELETE_ALIGNED_SIZED(_ZdaPvmSt11align_val_t)
{
    blocks_check_sized(block, alignment, bytes, "operator delete[]");
    heap_free(block, delete_array_warm, delete_array_cold);
}

/* Carries out calls of the family: see call.h. */
#include "call.h"

#include "counts.h"
#include "helpers.h"
#include "support/family.h"

#include <errno.h>

/* The parameter of the nothrow operators is a reference to an empty struct: any address will do. */
static const char nothrow = 0;

static const char *const call_names[CALL_END] = {
    [CALL_MALLOC] = "malloc",
    [CALL_CALLOC] = "calloc",
    [CALL_VALLOC] = "valloc",
    [CALL_PVALLOC] = "pvalloc",
    [CALL_REALLOC] = "realloc",
    [CALL_REALLOCARRAY] = "reallocarray",
    [CALL_ALIGNED_ALLOC] = "aligned_alloc",
    [CALL_POSIX_MEMALIGN] = "posix_memalign",
    [CALL_MEMALIGN] = "memalign",
    [CALL_NEW + 0] = "new",
    [CALL_NEW + 1] = "new[]",
    [CALL_NEW + 2] = "new(align)",
    [CALL_NEW + 3] = "new[](align)",
    [CALL_NEW + 4] = "new(nothrow)",
    [CALL_NEW + 5] = "new[](nothrow)",
    [CALL_NEW + 6] = "new(align, nothrow)",
    [CALL_NEW + 7] = "new[](align, nothrow)",
    [CALL_USABLE_SIZE] = "malloc_usable_size",
    [CALL_FREE] = "free",
    [CALL_CFREE] = "cfree",
    [CALL_FREE_SIZED] = "free_sized",
    [CALL_FREE_ALIGNED_SIZED] = "free_aligned_sized",
    [CALL_DELETE + 0] = "delete",
    [CALL_DELETE + 1] = "delete[]",
    [CALL_DELETE + 2] = "delete(size)",
    [CALL_DELETE + 3] = "delete[](size)",
    [CALL_DELETE + 4] = "delete(nothrow)",
    [CALL_DELETE + 5] = "delete[](nothrow)",
    [CALL_DELETE + 6] = "delete(align)",
    [CALL_DELETE + 7] = "delete[](align)",
    [CALL_DELETE + 8] = "delete(size, align)",
    [CALL_DELETE + 9] = "delete[](size, align)",
    [CALL_DELETE + 10] = "delete(align, nothrow)",
    [CALL_DELETE + 11] = "delete[](align, nothrow)",
};

const char *call_name(enum function function)
{
    return call_names[function];
}

int call_variant_is_aligned(enum function function)
{
    if (function >= CALL_NEW && function < CALL_NEW_END)
        return (function - CALL_NEW) % 4 >= 2;
    return function >= CALL_DELETE + 6;
}

static void *call_new(const struct call *call)
{
    switch (call->function - CALL_NEW) {
    case 0:
        return moat__Znwm(call->size);
    case 1:
        return moat__Znam(call->size);
    case 2:
        return moat__ZnwmSt11align_val_t(call->size, call->alignment);
    case 3:
        return moat__ZnamSt11align_val_t(call->size, call->alignment);
    case 4:
        return moat__ZnwmRKSt9nothrow_t(call->size, &nothrow);
    case 5:
        return moat__ZnamRKSt9nothrow_t(call->size, &nothrow);
    case 6:
        return moat__ZnwmSt11align_val_tRKSt9nothrow_t(call->size, call->alignment, &nothrow);
    default:
        return moat__ZnamSt11align_val_tRKSt9nothrow_t(call->size, call->alignment, &nothrow);
    }
}

static void call_delete(const struct call *call)
{
    switch (call->function - CALL_DELETE) {
    case 0:
        moat__ZdlPv(call->block);
        return;
    case 1:
        moat__ZdaPv(call->block);
        return;
    case 2:
        moat__ZdlPvm(call->block, call->size);
        return;
    case 3:
        moat__ZdaPvm(call->block, call->size);
        return;
    case 4:
        moat__ZdlPvRKSt9nothrow_t(call->block, &nothrow);
        return;
    case 5:
        moat__ZdaPvRKSt9nothrow_t(call->block, &nothrow);
        return;
    case 6:
        moat__ZdlPvSt11align_val_t(call->block, call->alignment);
        return;
    case 7:
        moat__ZdaPvSt11align_val_t(call->block, call->alignment);
        return;
    case 8:
        moat__ZdlPvmSt11align_val_t(call->block, call->size, call->alignment);
        return;
    case 9:
        moat__ZdaPvmSt11align_val_t(call->block, call->size, call->alignment);
        return;
    case 10:
        moat__ZdlPvSt11align_val_tRKSt9nothrow_t(call->block, call->alignment, &nothrow);
        return;
    default:
        moat__ZdaPvSt11align_val_tRKSt9nothrow_t(call->block, call->alignment, &nothrow);
        return;
    }
}

static void call_release(const struct call *call)
{
    switch (call->function) {
    case CALL_FREE:
        moat_free(call->block);
        return;
    case CALL_CFREE:
        moat_cfree(call->block);
        return;
    case CALL_FREE_SIZED:
        moat_free_sized(call->block, call->size);
        return;
    case CALL_FREE_ALIGNED_SIZED:
        moat_free_aligned_sized(call->block, call->alignment, call->size);
        return;
    default:
        call_delete(call);
        return;
    }
}

static void *call_allocate(struct call *call)
{
    switch (call->function) {
    case CALL_MALLOC:
        return moat_malloc(call->size);
    case CALL_CALLOC:
        return moat_calloc(call->count, call->size);
    case CALL_VALLOC:
        return moat_valloc(call->size);
    case CALL_PVALLOC:
        return moat_pvalloc(call->size);
    case CALL_REALLOC:
        return moat_realloc(call->block, call->size);
    case CALL_REALLOCARRAY:
        return moat_reallocarray(call->block, call->count, call->size);
    case CALL_ALIGNED_ALLOC:
        return moat_aligned_alloc(call->alignment, call->size);
    case CALL_POSIX_MEMALIGN: {
        void *result = CALL_UNTOUCHED;
        call->code = moat_posix_memalign(&result, call->alignment, call->size);
        return result;
    }
    case CALL_MEMALIGN:
        return moat_memalign(call->alignment, call->size);
    case CALL_USABLE_SIZE:
        call->size = moat_malloc_usable_size(call->block);
        return NULL;
    default:
        return call_new(call);
    }
}

static void run_calls(void *argument)
{
    struct call_list *list = argument;
    for (size_t i = 0; i < list->count; i++) {
        struct call *call = &list->calls[i];
        errno = CALL_ERRNO_BEFORE;
        if (call->function >= CALL_FREE)
            call_release(call);
        else
            call->result = call_allocate(call);
        call->error = errno;
    }
    counts_add_operations(list->count);
}

void calls_start(unsigned thread, struct call_list *list)
{
    helper_start(thread, run_calls, list);
}

void calls_wait(unsigned thread)
{
    helper_wait(thread);
}

void calls_on(unsigned thread, struct call *calls, size_t count)
{
    struct call_list list = {.calls = calls, .count = count};
    helper_run(thread, run_calls, &list);
}

void call_on(unsigned thread, struct call *call)
{
    calls_on(thread, call, 1);
}

/* passive.c - see passive.h.
 *
 * What decides is who defines malloc, calloc, realloc or free before this library. One of them is enough: its author counts
 * on the C library for the others, and calls them by names that would arrive here.
 */
#include "passive.h"

#include "os/loader.h"
#include "os/os.h"
#include "report.h"
#include "state.h"
#include "stats.h"

#include <errno.h>

static const char *const deciding[] = {"malloc", "calloc", "realloc", "free", NULL};
/* The forms that the C++ library's other forms call. */
static const char *const deciding_operators[] = {
    "_Znwm", "_ZdlPv", "_Znam", "_ZdaPv", "_ZnwmSt11align_val_t", "_ZdlPvSt11align_val_t", NULL};

#define OPERATOR(mangled) [ELSEWHERE##mangled] = #mangled

static const char *const names[ELSEWHERE_COUNT] = {
    [ELSEWHERE_MALLOC] = "malloc",
    [ELSEWHERE_CALLOC] = "calloc",
    [ELSEWHERE_REALLOC] = "realloc",
    [ELSEWHERE_FREE] = "free",
    [ELSEWHERE_REALLOCARRAY] = "reallocarray",
    [ELSEWHERE_MEMALIGN] = "memalign",
    [ELSEWHERE_USABLE_SIZE] = "malloc_usable_size",
    [ELSEWHERE_TRIM] = "malloc_trim",
    [ELSEWHERE_MALLOPT] = "mallopt",
    OPERATOR(_Znwm),
    OPERATOR(_Znam),
    OPERATOR(_ZnwmRKSt9nothrow_t),
    OPERATOR(_ZnamRKSt9nothrow_t),
    OPERATOR(_ZnwmSt11align_val_t),
    OPERATOR(_ZnamSt11align_val_t),
    OPERATOR(_ZnwmSt11align_val_tRKSt9nothrow_t),
    OPERATOR(_ZnamSt11align_val_tRKSt9nothrow_t),
    OPERATOR(_ZdlPv),
    OPERATOR(_ZdaPv),
    OPERATOR(_ZdlPvRKSt9nothrow_t),
    OPERATOR(_ZdaPvRKSt9nothrow_t),
    OPERATOR(_ZdlPvm),
    OPERATOR(_ZdaPvm),
    OPERATOR(_ZdlPvSt11align_val_t),
    OPERATOR(_ZdaPvSt11align_val_t),
    OPERATOR(_ZdlPvSt11align_val_tRKSt9nothrow_t),
    OPERATOR(_ZdaPvSt11align_val_tRKSt9nothrow_t),
    OPERATOR(_ZdlPvmSt11align_val_t),
    OPERATOR(_ZdaPvmSt11align_val_t),
};

MOAT_ALIGNED(MOAT_OS_PAGE) union elsewhere_page moat_elsewhere;

static bool is_any_preceded(const char *const *name, const char **object)
{
    for (; *name; name++)
        if (loader_is_preceded(*name, object))
            return true;
    return false;
}

static void find_all(void)
{
    for (unsigned i = 0; i < ELSEWHERE_COUNT; i++)
        moat_elsewhere.function[i] = loader_find_other(names[i]);
    if (os_protect_read(&moat_elsewhere, sizeof moat_elsewhere) != 0)
        stats_add(STAT_SEALS_REFUSED, 1);
}

bool passive_start(void)
{
    const char *object = "";
    bool is_passive = is_any_preceded(deciding, &object);

    if (!is_passive && !is_any_preceded(deciding_operators, &object))
        return false;
    find_all();
    moat_fixed.is.has_other_operators = true;
    moat_fixed.is.is_passive = is_passive;
    stats_add(is_passive ? STAT_PASSIVE : STAT_OTHER_OPERATORS, 1);
    if (!is_passive)
        return false;
    state_passive();
    if (fixed_open())
        fixed_seal();
    if (moat_fixed.is.options.verbose)
        report_line("passive, nothing is protected: another malloc comes first, in ", *object ? object : "the program");
    return true;
}

static void *no_memory(void)
{
    errno = ENOMEM;
    return NULL;
}

void *passive_malloc(size_t bytes)
{
    void *(*other)(size_t) = moat_elsewhere.function[ELSEWHERE_MALLOC];
    return other ? other(bytes) : no_memory();
}

void *passive_calloc(size_t count, size_t bytes)
{
    void *(*other)(size_t, size_t) = moat_elsewhere.function[ELSEWHERE_CALLOC];
    return other ? other(count, bytes) : no_memory();
}

void *passive_realloc(void *block, size_t bytes)
{
    void *(*other)(void *, size_t) = moat_elsewhere.function[ELSEWHERE_REALLOC];
    return other ? other(block, bytes) : no_memory();
}

void *passive_reallocarray(void *block, size_t count, size_t bytes)
{
    void *(*other)(void *, size_t, size_t) = moat_elsewhere.function[ELSEWHERE_REALLOCARRAY];
    return other ? other(block, count, bytes) : no_memory();
}

void *passive_aligned(size_t alignment, size_t bytes)
{
    void *(*other)(size_t, size_t) = moat_elsewhere.function[ELSEWHERE_MEMALIGN];
    return other ? other(alignment, bytes) : no_memory();
}

void passive_free(void *block)
{
    void (*other)(void *) = moat_elsewhere.function[ELSEWHERE_FREE];
    if (other)
        other(block);
}

size_t passive_usable(const void *block)
{
    size_t (*other)(const void *) = moat_elsewhere.function[ELSEWHERE_USABLE_SIZE];
    return other ? other(block) : 0;
}

bool passive_trim(void)
{
    int (*other)(size_t) = moat_elsewhere.function[ELSEWHERE_TRIM];
    return other && other(0) != 0;
}

int passive_mallopt(int parameter, int value)
{
    int (*other)(int, int) = moat_elsewhere.function[ELSEWHERE_MALLOPT];
    return other ? other(parameter, value) : 0;
}

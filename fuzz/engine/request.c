/* See request.h. */
#include "request.h"

#include "base/config.h"

#include <errno.h>

/* Requests up to here must succeed; above, NULL with ENOMEM is an answer too. */
#define MUST_SUCCEED_ALIGNMENT ((size_t)1 << 24)
#define IMPOSSIBLE_ABOVE ((size_t)PTRDIFF_MAX)

unsigned record_slot(const struct record *record)
{
    return record->slot * 16 + record->slot_low;
}

static size_t nudge(size_t size, int by)
{
    return by < 0 && size == 0 ? 0 : size + (size_t)by;
}

/* Eight classes to a doubling, from 16 bytes; a hardened table lies 16 bytes to one side. */
static size_t eighths_edge(const struct record *record)
{
    unsigned edge = record->arg16 % (8 * 17);
    size_t size = (size_t)(8 + edge % 8) << (edge / 8 + 1);
    switch (record->arg24 & 3) {
    case 1:
        return size + 16;
    case 2:
        return size - 16;
    default:
        return size;
    }
}

size_t record_size(const struct record *record)
{
    switch ((enum size_mode)record->mode) {
    case SIZE_EXACT:
        return record->arg24;
    case SIZE_TINY:
        return record->arg16 % 129;
    case SIZE_SMALL:
        return record->arg16 % 1025;
    case SIZE_EIGHTHS:
        return nudge(eighths_edge(record), record->nudge);
    case SIZE_POWER:
        return nudge((size_t)1 << record->arg16 % 25, record->nudge);
    case SIZE_OS_PAGES:
        return nudge((size_t)(record->arg16 % 1025) * 4096, record->nudge);
    case SIZE_SIXTEENTHS:
        return nudge((size_t)(record->arg16 % 2049) * 16, record->nudge);
    case SIZE_MEDIUM:
        return 16384 + record->arg24 % (1024 * 1024 - 16384 + 1);
    case SIZE_LARGE:
        return 1024 * 1024 + 1 + record->arg24;
    case SIZE_HUGE:
        return nudge((size_t)1 << (26 + record->arg16 % 21), record->nudge);
    case SIZE_IMPOSSIBLE:
        return record->arg24 & 1 ? SIZE_MAX - record->arg16 : IMPOSSIBLE_ABOVE + 1 + record->arg16;
    default:
        return (record->arg24 & 1 ? 1024 * 1024 : 16384) + record->arg16 % 257 - 128;
    }
}

void request_split(const struct record *record, struct call *call)
{
    size_t size = record_size(record);
    if (size > IMPOSSIBLE_ABOVE && record->nudge >= 0) {
        call->count = SIZE_MAX / 16 + 2;
        call->size = 16;
        return;
    }
    call->count = record->mode == SIZE_EXACT ? 1 : 1 + (record->arg24 >> 20);
    call->size = size / call->count + (size % call->count != 0);
}

size_t request_bytes(const struct call *call)
{
    if (call->function != CALL_CALLOC && call->function != CALL_REALLOCARRAY)
        return call->size;
    size_t total;
    return __builtin_mul_overflow(call->count, call->size, &total) ? SIZE_MAX : total;
}

static bool is_power(size_t number)
{
    return number != 0 && (number & (number - 1)) == 0;
}

/* Powers of two up to 1 GiB, and then the ones that must be refused or rounded. */
size_t record_alignment(const struct record *record)
{
    static const size_t odd_ones[] = {0,       3, 24, 48, 100, 4095, 4097, ((size_t)1 << 20) + 16, SIZE_MAX / 2 + 2,
                                      SIZE_MAX};
    unsigned number = record->arg24 >> 16;
    return number <= 30 ? (size_t)1 << number : odd_ones[number % (sizeof(odd_ones) / sizeof(odd_ones[0]))];
}

/* ---- what a correct heap answers ---- */

enum answer { MUST_SUCCEED, MAY_FAIL, MUST_FAIL };

/* What a correct heap answers; `errors` are the two errno values that a refusal may have. */
static enum answer expected_answer(const struct call *call, int errors[2])
{
    size_t bytes = request_bytes(call);
    bool impossible = bytes > IMPOSSIBLE_ABOVE;
    errors[0] = errors[1] = ENOMEM;
    bool bad = false;
    switch (call->function) {
    case CALL_ALIGNED_ALLOC:
        bad = !is_power(call->alignment);
        break;
    case CALL_POSIX_MEMALIGN:
        bad = !is_power(call->alignment) || call->alignment % sizeof(void *) != 0;
        break;
    case CALL_MEMALIGN: /* rounds up to a power of two, which only the largest numbers do not allow */
        bad = call->alignment > SIZE_MAX / 2 + 1;
        break;
    default:
        break;
    }
    if (bad) {
        errors[0] = EINVAL;
        errors[1] = impossible || call->function == CALL_MEMALIGN ? ENOMEM : EINVAL;
        return MUST_FAIL;
    }
    if (impossible)
        return MUST_FAIL;
    return bytes <= REQUEST_SURE_BYTES && call->alignment <= MUST_SUCCEED_ALIGNMENT ? MUST_SUCCEED : MAY_FAIL;
}

static void check_refusal(const struct call *call, enum answer wanted, const int errors[2])
{
    if (wanted == MUST_SUCCEED)
        live_fail("%s refused %zu times %zu bytes (alignment %zu), errno %d", call_name(call->function), call->count,
                  call->size, call->alignment, call->error);
    int error = call->function == CALL_POSIX_MEMALIGN ? call->code : call->error;
    if (error != errors[0] && error != errors[1])
        live_fail("%s refused with error %d, not %d", call_name(call->function), error, errors[0]);
    if (call->function == CALL_POSIX_MEMALIGN && call->result != CALL_UNTOUCHED)
        live_fail("posix_memalign failed and changed its result to %p", call->result);
}

bool request_succeeded(const struct call *call)
{
    int errors[2];
    enum answer wanted = expected_answer(call, errors);
    bool refused = call->function == CALL_POSIX_MEMALIGN ? call->code != 0 : call->result == NULL;
    if (refused) {
        check_refusal(call, wanted, errors);
        return false;
    }
    if (wanted == MUST_FAIL)
        live_fail("%s gave %p for %zu times %zu bytes (alignment %zu)", call_name(call->function), call->result,
                  call->count, call->size, call->alignment);
    return true;
}

/* A plain build aligns a power of two up to the OS page to itself; a hardened one promises 16 bytes only. */
static size_t natural_alignment(size_t size)
{
    enum { LARGEST = MOAT_IS_HARDENED ? 1 : MOAT_OS_PAGE };
    return is_power(size) && size <= LARGEST ? size : 1;
}

size_t request_alignment(const struct call *call)
{
    switch (call->function) {
    case CALL_VALLOC:
    case CALL_PVALLOC:
        return MOAT_OS_PAGE;
    case CALL_ALIGNED_ALLOC:
    case CALL_POSIX_MEMALIGN:
        return call->alignment;
    case CALL_MEMALIGN: {
        size_t alignment = 1;
        while (alignment < call->alignment)
            alignment *= 2;
        return alignment;
    }
    case CALL_REALLOC:
    case CALL_REALLOCARRAY:
        return 1;
    default:
        if (call->function >= CALL_NEW && call_variant_is_aligned(call->function))
            return call->alignment;
        return natural_alignment(request_bytes(call));
    }
}

enum origin request_origin(const struct call *call)
{
    switch (call->function) {
    case CALL_MALLOC:
    case CALL_CALLOC:
    case CALL_REALLOC:
    case CALL_REALLOCARRAY:
        return ORIGIN_PLAIN;
    case CALL_ALIGNED_ALLOC:
        return ORIGIN_ALIGNED;
    default:
        return ORIGIN_OTHER;
    }
}

void request_check_errno(const struct call *call)
{
    if (call->error != CALL_ERRNO_BEFORE)
        live_fail("%s changed errno to %d", call_name(call->function), call->error);
}

size_t request_block_limit(size_t size, size_t alignment)
{
    enum { SMALL_LIMIT = 16 * 1024, MINIMUM_BLOCK = 32 };
    size_t limit = size + size / 8 + MINIMUM_BLOCK;
    if (alignment > 16)
        limit += size / 8 + 2 * alignment;
    if (limit >= SMALL_LIMIT || alignment > 16)
        limit += size / 2 + 2 * MOAT_OS_PAGE;
    return limit;
}

/* operator new and delete in all forms, called by mangled name from C, with and without a C++ library in the process.
 *
 * In a program without libstdc++ nobody can throw: there new that fails says so in one line and aborts. What needs a
 * C++ library (bad_alloc, the new-handler) is in operators_preload.cc. */
#include "support/death.h"
#include "support/expect.h"
#include "support/family.h"
#include "support/pattern.h"
#include "support/sizes.h"

#include <signal.h>
#include <stdint.h>
#include <string.h>

enum { WAYS = 8, ALIGNMENT = 256 };

static const char nothrow;

static bool is_aligned_way(unsigned way)
{
    return way >= 4;
}

static bool is_array_way(unsigned way)
{
    return way % 2 != 0;
}

static void *allocate_by(unsigned way, size_t size)
{
    switch (way) {
    case 0:
        return moat__Znwm(size);
    case 1:
        return moat__Znam(size);
    case 2:
        return moat__ZnwmRKSt9nothrow_t(size, &nothrow);
    case 3:
        return moat__ZnamRKSt9nothrow_t(size, &nothrow);
    case 4:
        return moat__ZnwmSt11align_val_t(size, ALIGNMENT);
    case 5:
        return moat__ZnamSt11align_val_t(size, ALIGNMENT);
    case 6:
        return moat__ZnwmSt11align_val_tRKSt9nothrow_t(size, ALIGNMENT, &nothrow);
    default:
        return moat__ZnamSt11align_val_tRKSt9nothrow_t(size, ALIGNMENT, &nothrow);
    }
}

static void delete_one(unsigned form, void *block, size_t size, bool is_aligned)
{
    if (is_aligned && form == 0)
        moat__ZdlPvSt11align_val_t(block, ALIGNMENT);
    else if (is_aligned && form == 1)
        moat__ZdlPvmSt11align_val_t(block, size, ALIGNMENT);
    else if (is_aligned)
        moat__ZdlPvSt11align_val_tRKSt9nothrow_t(block, ALIGNMENT, &nothrow);
    else if (form == 0)
        moat__ZdlPv(block);
    else if (form == 1)
        moat__ZdlPvm(block, size);
    else
        moat__ZdlPvRKSt9nothrow_t(block, &nothrow);
}

static void delete_array(unsigned form, void *block, size_t size, bool is_aligned)
{
    if (is_aligned && form == 0)
        moat__ZdaPvSt11align_val_t(block, ALIGNMENT);
    else if (is_aligned && form == 1)
        moat__ZdaPvmSt11align_val_t(block, size, ALIGNMENT);
    else if (is_aligned)
        moat__ZdaPvSt11align_val_tRKSt9nothrow_t(block, ALIGNMENT, &nothrow);
    else if (form == 0)
        moat__ZdaPv(block);
    else if (form == 1)
        moat__ZdaPvm(block, size);
    else
        moat__ZdaPvRKSt9nothrow_t(block, &nothrow);
}

static void delete_by(unsigned form, unsigned way, void *block, size_t size)
{
    if (is_array_way(way))
        delete_array(form, block, size, is_aligned_way(way));
    else
        delete_one(form, block, size, is_aligned_way(way));
}

static void check_way(unsigned way, size_t size)
{
    for (unsigned form = 0; form < 3; form++) {
        void *block = family_launder(allocate_by(way, size));
        void *other = family_launder(allocate_by(way, size));
        if (block == NULL || other == NULL || block == other) {
            expect_fail("way %u, %zu bytes: %p and %p", way, size, block, other);
            return;
        }
        EXPECT_EQ((uintptr_t)block % (is_aligned_way(way) ? ALIGNMENT : 16), 0);
        EXPECT(moat_malloc_usable_size(block) >= size);
        pattern_fill(block, size, way);
        pattern_fill(other, size, way + 1);
        EXPECT(pattern_holds(block, size, way));
        delete_by(form, way, block, size);
        EXPECT(pattern_holds(other, size, way + 1));
        delete_by(form, way, other, size);
    }
}

static void check_sizes(const size_t *sizes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (unsigned way = 0; way < WAYS; way++)
            check_way(way, sizes[i]);
    }
}

static void test_delete_of_null_does_nothing(void)
{
    for (unsigned way = 0; way < WAYS; way++) {
        for (unsigned form = 0; form < 3; form++)
            delete_by(form, way, NULL, 100);
    }
    expect_reached();
}

/* new and malloc are one heap: C and C++ code share blocks in many programs. */
static void test_new_and_free_are_one_heap(void)
{
    for (size_t size = 1; size < 3000000; size = size * 3 + 1) {
        moat_free(family_launder(moat__Znwm(size)));
        moat__ZdlPv(family_launder(moat_malloc(size)));
        void *grown = family_launder(moat_realloc(moat__Znam(size), size * 2));
        EXPECT(grown != NULL);
        moat__ZdaPv(grown);
    }
}

static void test_nothrow_answers_null(void)
{
    static const size_t sizes[] = {SIZE_MAX, (size_t)PTRDIFF_MAX + 1, (size_t)1 << 60};
    for (size_t i = 0; i < SIZES_COUNT(sizes); i++) {
        size_t size = family_launder_size(sizes[i]);
        EXPECT_EQ(family_launder(moat__ZnwmRKSt9nothrow_t(size, &nothrow)), NULL);
        EXPECT_EQ(family_launder(moat__ZnamRKSt9nothrow_t(size, &nothrow)), NULL);
        /* Rounding SIZE_MAX up to the alignment wraps in some versions of libstdc++. */
        if (!family_is_moat())
            continue;
        EXPECT_EQ(family_launder(moat__ZnwmSt11align_val_tRKSt9nothrow_t(size, 64, &nothrow)), NULL);
        EXPECT_EQ(family_launder(moat__ZnamSt11align_val_tRKSt9nothrow_t(size, 64, &nothrow)), NULL);
    }
}

static void ask_for_too_much(void *argument)
{
    const unsigned *way = argument;
    family_launder(allocate_by(*way, family_launder_size((size_t)1 << 60)));
}

static void test_new_without_cxx_library_aborts(void)
{
    static const unsigned throwing[] = {0, 1, 4, 5};
    if (dlsym(RTLD_DEFAULT, "_ZSt15get_new_handlerv") != NULL || !family_is_moat()) {
        expect_say("skipped: there is a C++ library in this process\n");
        return;
    }
    for (size_t i = 0; i < SIZES_COUNT(throwing); i++) {
        unsigned way = throwing[i];
        struct death death = death_of(ask_for_too_much, &way);
        EXPECT(death_is_by(&death, SIGABRT));
        EXPECT(strncmp(death.text, "moat: out of memory in operator new", 35) == 0);
        const char *end = strchr(death.text, '\n');
        EXPECT(end != NULL && (size_t)(end + 1 - death.text) == death.length);
    }
}

int main(void)
{
    static const size_t zero[] = {0};
    check_sizes(zero, 1);
    check_sizes(sizes_small, SIZES_COUNT(sizes_small));
    check_sizes(sizes_medium, SIZES_COUNT(sizes_medium));
    check_sizes(sizes_large, SIZES_COUNT(sizes_large));
    test_delete_of_null_does_nothing();
    test_new_and_free_are_one_heap();
    test_nothrow_answers_null();
    test_new_without_cxx_library_aborts();
    return expect_done();
}

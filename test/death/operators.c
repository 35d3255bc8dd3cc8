/* operator delete in all its forms, by mangled name: the functions that a C++ program's calls arrive at. */
#include "cases.h"

#include <stdlib.h>

void *_Znwm(size_t size);
void *_Znam(size_t size);
void *_ZnwmSt11align_val_t(size_t size, size_t alignment);
void *_ZnamSt11align_val_t(size_t size, size_t alignment);
void _ZdlPv(void *block);
void _ZdaPv(void *block);
void _ZdlPvm(void *block, size_t size);
void _ZdaPvm(void *block, size_t size);
void _ZdlPvRKSt9nothrow_t(void *block, const void *nothrow);
void _ZdaPvRKSt9nothrow_t(void *block, const void *nothrow);
void _ZdlPvSt11align_val_t(void *block, size_t alignment);
void _ZdaPvSt11align_val_t(void *block, size_t alignment);
void _ZdlPvmSt11align_val_t(void *block, size_t size, size_t alignment);
void _ZdaPvmSt11align_val_t(void *block, size_t size, size_t alignment);
void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *block, size_t alignment, const void *nothrow);
void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *block, size_t alignment, const void *nothrow);

enum { ALIGNMENT = 128, FORMS = 6 };

static const char nothrow;

/* The forms of delete for one object: plain, sized, nothrow, and the same aligned. */
static void delete_one(unsigned form, void *block, size_t size)
{
    switch (form) {
    case 0:
        _ZdlPv(block);
        break;
    case 1:
        _ZdlPvm(block, size);
        break;
    case 2:
        _ZdlPvRKSt9nothrow_t(block, &nothrow);
        break;
    case 3:
        _ZdlPvSt11align_val_t(block, ALIGNMENT);
        break;
    case 4:
        _ZdlPvmSt11align_val_t(block, size, ALIGNMENT);
        break;
    default:
        _ZdlPvSt11align_val_tRKSt9nothrow_t(block, ALIGNMENT, &nothrow);
    }
}

static void delete_array(unsigned form, void *block, size_t size)
{
    switch (form) {
    case 0:
        _ZdaPv(block);
        break;
    case 1:
        _ZdaPvm(block, size);
        break;
    case 2:
        _ZdaPvRKSt9nothrow_t(block, &nothrow);
        break;
    case 3:
        _ZdaPvSt11align_val_t(block, ALIGNMENT);
        break;
    case 4:
        _ZdaPvmSt11align_val_t(block, size, ALIGNMENT);
        break;
    default:
        _ZdaPvSt11align_val_tRKSt9nothrow_t(block, ALIGNMENT, &nothrow);
    }
}

static bool is_aligned_form(unsigned form)
{
    return form >= 3;
}

static void *new_one(unsigned form, size_t size)
{
    return touch(is_aligned_form(form) ? _ZnwmSt11align_val_t(size, ALIGNMENT) : _Znwm(size), size);
}

static void *new_array(unsigned form, size_t size)
{
    return touch(is_aligned_form(form) ? _ZnamSt11align_val_t(size, ALIGNMENT) : _Znam(size), size);
}

static void delete_twice(const struct subject *subject)
{
    unsigned form = subject->run % FORMS;
    void *kept = new_one(form, subject->size);
    void *block = new_one(form, subject->size);
    delete_one(form, block, subject->size);
    if (subject->misuse) {
        blame_aligned(block, subject->size, is_aligned_form(form) ? ALIGNMENT : 0);
        delete_one(form, block, subject->size);
    }
    delete_one(form, kept, subject->size);
}

static void delete_array_twice(const struct subject *subject)
{
    unsigned form = subject->run % FORMS;
    void *kept = new_array(form, subject->size);
    void *block = new_array(form, subject->size);
    delete_array(form, block, subject->size);
    if (subject->misuse) {
        blame_aligned(block, subject->size, is_aligned_form(form) ? ALIGNMENT : 0);
        delete_array(form, block, subject->size);
    }
    delete_array(form, kept, subject->size);
}

/* A derived object deleted through a base that does not stand at its start. */
static void delete_interior(const struct subject *subject)
{
    char *block = new_one(0, subject->size);
    if (subject->misuse) {
        void *wrong = launder(block + 8);
        blame(wrong, subject->size);
        _ZdlPv(wrong);
    }
    delete_one(0, block, subject->size);
}

/* delete of what new[] gave, where the count stands in front of the objects. */
static void delete_array_interior(const struct subject *subject)
{
    char *block = new_array(0, subject->size);
    if (subject->misuse) {
        void *wrong = launder(block + 8);
        blame(wrong, subject->size);
        _ZdaPv(wrong);
    }
    delete_array(0, block, subject->size);
}

static void delete_global(const struct subject *subject)
{
    static _Alignas(ALIGNMENT) char global[256];
    if (subject->misuse) {
        blame(global, 0);
        delete_one(subject->run % FORMS, launder(global), 16);
    }
    delete_one(subject->run % FORMS, NULL, 16);
}

/* The static type is larger than the object was: sized delete of a wrong type. */
static void delete_too_large(const struct subject *subject)
{
    unsigned form = subject->run % 2 ? 4 : 1;
    void *block = new_one(form, subject->size);
    if (subject->misuse) {
        blame_aligned(block, subject->size, is_aligned_form(form) ? ALIGNMENT : 0);
        delete_one(form, block, subject->size * 2 + 8192);
    }
    delete_one(form, block, subject->size);
}

static void delete_array_too_large(const struct subject *subject)
{
    unsigned form = subject->run % 2 ? 4 : 1;
    void *block = new_array(form, subject->size);
    if (subject->misuse) {
        blame_aligned(block, subject->size, is_aligned_form(form) ? ALIGNMENT : 0);
        delete_array(form, block, subject->size * 2 + 8192);
    }
    delete_array(form, block, subject->size);
}

static void delete_wrong_alignment(const struct subject *subject)
{
    void *block = new_one(3, subject->size);
    if (subject->misuse) {
        uintptr_t address = (uintptr_t)block;
        blame_aligned(block, subject->size, ALIGNMENT);
        if (subject->run % 2)
            _ZdlPvSt11align_val_t(block, (address & -address) * 2);
        else
            _ZdlPvmSt11align_val_t(block, subject->size, (address & -address) * 2);
    }
    delete_one(3, block, subject->size);
}

#define STATES "double_free"

const struct death_case cases_operators[] = {
    {"delete.twice", delete_twice, "double free", "operator delete", CASE_ANY_SIZE, STATES},
    {"delete.array_twice", delete_array_twice, "double free", "operator delete[]", CASE_ANY_SIZE, STATES},
    {"delete.interior", delete_interior, "interior pointer", "operator delete", CASE_ANY_SIZE, STATES},
    {"delete.array_interior", delete_array_interior, "interior pointer", "operator delete[]", CASE_ANY_SIZE, STATES},
    {"delete.global", delete_global, "foreign pointer", "operator delete", CASE_NO_SIZE | CASE_UNKNOWN, STATES},
    {"delete.too_large", delete_too_large, "wrong size", "operator delete", CASE_ANY_SIZE, STATES},
    {"delete.array_too_large", delete_array_too_large, "wrong size", "operator delete[]", CASE_ANY_SIZE, STATES},
    {"delete.wrong_alignment", delete_wrong_alignment, "wrong alignment", "operator delete", CASE_ANY_SIZE, STATES},
    {0},
};

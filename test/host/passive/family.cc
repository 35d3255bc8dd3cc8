// A program with the whole family and all operators of its own: nothing of it asks anybody else. It also looks up the next
// malloc behind its own, as wrappers do, and uses that.
#include "arena.h"

#include <dlfcn.h>
#include <malloc.h>

#include <cstdio>
#include <iostream>
#include <new>
#include <string>
#include <vector>

extern "C" {
void *malloc(size_t size) noexcept
{
    return arena_take(16, size);
}
void *calloc(size_t count, size_t size) noexcept
{
    size_t total = 0;
    return __builtin_mul_overflow(count, size, &total) ? nullptr : arena_take(16, total);
}
void *realloc(void *block, size_t size) noexcept
{
    return arena_resize(block, size);
}
void *reallocarray(void *block, size_t count, size_t size) noexcept
{
    size_t total = 0;
    return __builtin_mul_overflow(count, size, &total) ? nullptr : arena_resize(block, total);
}
void free(void *block) noexcept
{
    arena_give_back(block);
}
void cfree(void *block) noexcept
{
    arena_give_back(block);
}
void free_sized(void *block, size_t size) noexcept
{
    (void)size;
    arena_give_back(block);
}
int posix_memalign(void **out, size_t alignment, size_t size) noexcept
{
    *out = arena_take(alignment, size);
    return *out ? 0 : ENOMEM;
}
void *aligned_alloc(size_t alignment, size_t size) noexcept
{
    return arena_take(alignment, size);
}
void *memalign(size_t alignment, size_t size) noexcept
{
    return arena_take(alignment, size);
}
void *valloc(size_t size) noexcept
{
    return arena_take(4096, size);
}
void *pvalloc(size_t size) noexcept
{
    return arena_take(4096, size + 4095);
}
size_t malloc_usable_size(void *block) noexcept
{
    return block ? arena_size(block) : 0;
}
}

void *operator new(size_t size)
{
    return malloc(size);
}
void *operator new[](size_t size)
{
    return malloc(size);
}
void *operator new(size_t size, std::align_val_t alignment)
{
    return memalign(static_cast<size_t>(alignment), size);
}
void operator delete(void *block) noexcept
{
    free(block);
}
void operator delete[](void *block) noexcept
{
    free(block);
}
void operator delete(void *block, size_t) noexcept
{
    free(block);
}
void operator delete[](void *block, size_t) noexcept
{
    free(block);
}
void operator delete(void *block, std::align_val_t) noexcept
{
    free(block);
}

static void expect(bool holds, const char *what)
{
    if (!holds) {
        std::printf("not so: %s\n", what);
        std::fflush(stdout);
        std::_Exit(1);
    }
}

template <typename Function> static Function next(const char *name)
{
    return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

static void use_next()
{
    auto next_malloc = next<void *(*)(size_t)>("malloc");
    auto next_calloc = next<void *(*)(size_t, size_t)>("calloc");
    auto next_realloc = next<void *(*)(void *, size_t)>("realloc");
    auto next_free = next<void (*)(void *)>("free");
    auto next_aligned = next<void *(*)(size_t, size_t)>("aligned_alloc");
    auto next_usable = next<size_t (*)(void *)>("malloc_usable_size");
    for (size_t size = 1; size < 5000000; size = size * 2 + 3) {
        char *block = static_cast<char *>(next_malloc(size));
        expect(block != nullptr && !arena_has(block) && next_usable(block) >= size, "the next malloc is another one");
        memset(block, 3, size);
        block = static_cast<char *>(next_realloc(block, size * 2));
        expect(block != nullptr && block[size - 1] == 3, "and its realloc keeps contents");
        next_free(block);
        next_free(next_calloc(2, size));
        next_free(next_aligned(64, size));
    }
}

int main()
{
    std::vector<std::string> words;
    for (int i = 0; i < 3000; i++)
        words.emplace_back(static_cast<size_t>(i % 200), 'f');
    char *line = nullptr;
    expect(asprintf(&line, "%zu", words.size()) == 4 && arena_has(line), "asprintf's block is the program's");
    free(line);
    free(reallocarray(valloc(100), 7, 70));
    use_next();
    words.clear();
    words.shrink_to_fit();
    std::cout << "the whole family of its own: well" << std::endl;
}

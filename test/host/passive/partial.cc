// A program with most of the family of its own, as with an allocator that was linked in by unprefixed names: no reallocarray,
// no operators. Its free knows no block but its own. Everything that the C and the C++ library allocate for it must come from
// its malloc, and the operators of the C++ library call that by its name.
#include "arena.h"

#include <malloc.h>

#include <cstdio>
#include <iostream>
#include <map>
#include <memory>
#include <new>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

extern "C" {
void *malloc(size_t size) noexcept
{
    return arena_take(16, size);
}
void *calloc(size_t count, size_t size) noexcept
{
    size_t total = 0;
    if (__builtin_mul_overflow(count, size, &total))
        return nullptr;
    return arena_take(16, total);
}
void *realloc(void *block, size_t size) noexcept
{
    return arena_resize(block, size);
}
void free(void *block) noexcept
{
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
size_t malloc_usable_size(void *block) noexcept
{
    return block ? arena_size(block) : 0;
}
}

static void expect(bool holds, const char *what)
{
    if (!holds) {
        std::printf("not so: %s\n", what);
        std::fflush(stdout);
        std::_Exit(1);
    }
}

struct alignas(256) Wide {
    char bytes[512];
};

static void use_c()
{
    char *line = nullptr;
    size_t room = 0;
    void *table = reallocarray(malloc(100), 30, 10);
    expect(arena_has(table) && malloc_usable_size(table) >= 300, "reallocarray calls the program's realloc");
    free(table);
    expect(asprintf(&line, "%s %d", "asprintf", 17) > 0 && arena_has(line), "asprintf's block is the program's");
    free(line);
    line = nullptr;
    FILE *file = std::tmpfile();
    expect(file != nullptr, "a file");
    for (int i = 0; i < 5000; i++)
        std::fputc('a' + i % 26, file);
    std::rewind(file);
    expect(getline(&line, &room, file) == 5000 && arena_has(line), "getline's block is the program's");
    free(line);
    std::fclose(file);
}

static void use_operators()
{
    int *one = new int(5);
    expect(malloc_usable_size(one) >= sizeof *one, "operator new calls the program's malloc");
    delete one;
    int *many = new int[1000];
    expect(arena_has(many), "operator new[] too");
    delete[] many;
    Wide *wide = new Wide;
    expect(arena_has(wide) && reinterpret_cast<uintptr_t>(wide) % 256 == 0, "and the aligned one aligned_alloc");
    delete wide;
    delete[] new Wide[3];
    std::string *text = new (std::nothrow) std::string(500, 'x');
    expect(arena_has(text), "and that without exceptions");
    delete text;
    ::operator delete(::operator new(100), std::size_t(100));
    ::operator delete[](::operator new[](100, std::nothrow), std::nothrow);
    // What the program gets by new it may hand to its own malloc_usable_size, and what it got from malloc to no delete.
    auto shared = std::make_shared<std::vector<int>>(10000, 7);
    expect(malloc_usable_size(shared->data()) >= 40000, "a container's memory is the program's");
}

static void use_library()
{
    std::map<std::string, std::vector<std::string>> words;
    for (int i = 0; i < 2000; i++)
        words["key " + std::to_string(i % 97)].push_back(std::string(static_cast<size_t>(i % 300), 'w'));
    std::ostringstream stream;
    for (const auto &entry : words)
        stream << entry.first << ' ' << entry.second.size() << '\n';
    expect(stream.str().size() > 500, "streams");
    try {
        throw std::runtime_error("exceptions are allocated too");
    } catch (const std::exception &caught) {
        expect(caught.what()[0] == 'e', "exceptions");
    }
}

int main()
{
    for (int i = 0; i < 3; i++) {
        use_c();
        use_operators();
        use_library();
        std::thread(use_library).join();
    }
    expect(arena_taken > 5000 && arena_given_back > 5000, "all of that came from the program's malloc");
    std::cout << "most of the family of its own: well" << std::endl;
}

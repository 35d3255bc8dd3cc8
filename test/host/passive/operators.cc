// A program that replaces two operators, as one written before C++14 does: operator new(size_t) and operator delete(void *).
// All other forms, and those that a newer compiler calls for the same source (with a size), must come to these two. Its blocks
// are of a heap of its own; malloc is whoever's it is.
#include "arena.h"

#include <cstdio>
#include <iostream>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

static unsigned long made, ended;

void *operator new(std::size_t size)
{
    __atomic_fetch_add(&made, 1, __ATOMIC_RELAXED);
    void *block = arena_take(16, size);
    if (block == nullptr)
        throw std::bad_alloc();
    return block;
}

void operator delete(void *block) noexcept
{
    if (block != nullptr)
        __atomic_fetch_add(&ended, 1, __ATOMIC_RELAXED);
    arena_give_back(block);
}

struct alignas(128) Wide {
    char bytes[384];
};

static void expect(bool holds, const char *what)
{
    if (!holds) {
        std::printf("not so: %s\n", what);
        std::fflush(stdout);
        std::_Exit(1);
    }
}

static void use_forms()
{
    int *one = new int(3);
    expect(arena_has(one), "operator new is the program's");
    delete one;
    std::string *many = new std::string[50];
    expect(arena_has(many), "operator new[] calls operator new");
    delete[] many;
    char *text = new (std::nothrow) char[3000];
    expect(arena_has(text), "so does that without exceptions");
    delete[] text;
    expect(new (std::nothrow) char[std::size_t(1) << 40] == nullptr, "which answers null instead of throwing");
    ::operator delete(::operator new(777), std::size_t(777));
    ::operator delete[](::operator new[](777), std::size_t(777));
    ::operator delete(::operator new(99, std::nothrow), std::nothrow);
    Wide *wide = new Wide;
    expect(!arena_has(wide), "the aligned form is another one");
    delete wide;
    delete[] new Wide[2];
}

static void use_library()
{
    std::map<int, std::shared_ptr<std::vector<std::string>>> table;
    for (int i = 0; i < 500; i++) {
        auto &row = table[i % 31];
        if (!row)
            row = std::make_shared<std::vector<std::string>>();
        row->push_back(std::string(static_cast<std::size_t>(i), 'o'));
    }
    std::thread([&table] { table.clear(); }).join();
}

int main()
{
    for (int i = 0; i < 5; i++) {
        use_forms();
        use_library();
    }
    for (int i = 1; i < 100000; i *= 2)
        free(realloc(malloc(static_cast<std::size_t>(i)), static_cast<std::size_t>(i) * 3));
    expect(made > 3000 && made - ended < 100, "every delete came to the program's own");
    std::cout << "two operators of its own: well" << std::endl;
}

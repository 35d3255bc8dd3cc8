// Every operator new and delete as a C++ program uses them, run with the library preloaded: the compiler's own calls,
// the new-handler, bad_alloc, nothrow, alignment beyond 16, arrays with counts in front, containers, and exceptions that
// pass through threads.
#include "support/expect.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <exception>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

namespace
{

// A pointer of which the compiler knows nothing: pairs of new and delete may be removed by the standard's leave.
template <typename T> T *launder(T *pointer)
{
    asm volatile("" : "+r"(pointer) : : "memory");
    return pointer;
}

std::size_t launder_size(std::size_t size)
{
    asm volatile("" : "+r"(size));
    return size;
}

const std::size_t too_much[] = {SIZE_MAX, static_cast<std::size_t>(PTRDIFF_MAX) + 1, static_cast<std::size_t>(1) << 60};

bool is_aligned(const void *pointer, std::size_t alignment)
{
    return reinterpret_cast<std::uintptr_t>(pointer) % alignment == 0;
}

struct Counted {
    static int alive;
    long words[3];
    Counted() : words{1, 2, 3}
    {
        alive++;
    }
    ~Counted()
    {
        alive--;
    }
    Counted(const Counted &) = delete;
    Counted &operator=(const Counted &) = delete;
};
int Counted::alive = 0;

struct alignas(64) Line {
    char bytes[64];
};
struct alignas(4096) Page {
    char bytes[8192];
    ~Page()
    {
        bytes[0] = 0;
    }
};

struct Thrower {
    char room[1000];
    Thrower()
    {
        throw 42;
    }
};

void test_objects()
{
    Counted *one = launder(new Counted);
    Counted *many = launder(new Counted[1000]);
    EXPECT_EQ(Counted::alive, 1001);
    EXPECT_EQ(many[999].words[2], 3);
    delete[] many;
    delete one;
    EXPECT_EQ(Counted::alive, 0);
}

void test_aligned_objects()
{
    for (int i = 0; i < 100; i++) {
        std::unique_ptr<Line> line(launder(new Line));
        std::unique_ptr<Line[]> lines(launder(new Line[static_cast<std::size_t>(i) + 1]));
        std::unique_ptr<Page> page(launder(new Page));
        std::unique_ptr<Page[]> pages(launder(new Page[2]));
        EXPECT(is_aligned(line.get(), 64) && is_aligned(lines.get(), 64));
        EXPECT(is_aligned(page.get(), 4096) && is_aligned(pages.get(), 4096));
        std::memset(page->bytes, i, sizeof page->bytes);
        std::memset(pages[1].bytes, i, sizeof pages[1].bytes);
    }
}

// Each form by its own name, where the compiler would choose only some.
void test_explicit_forms()
{
    const std::align_val_t alignment{256};
    for (std::size_t size = 0; size < 3000000; size = size * 5 + 7) {
        void *blocks[] = {
            ::operator new(size),
            ::operator new[](size),
            ::operator new(size, std::nothrow),
            ::operator new[](size, std::nothrow),
            ::operator new(size),
            ::operator new[](size),
        };
        void *aligned[] = {
            ::operator new(size, alignment),
            ::operator new[](size, alignment),
            ::operator new(size, alignment, std::nothrow),
            ::operator new[](size, alignment, std::nothrow),
            ::operator new(size, alignment),
            ::operator new[](size, alignment),
        };
        for (void *block : blocks) {
            EXPECT(block != nullptr && is_aligned(block, 16));
            std::memset(launder(block), 0x5a, size);
        }
        for (void *block : aligned) {
            EXPECT(block != nullptr && is_aligned(block, 256));
            std::memset(launder(block), 0xa5, size);
        }
        ::operator delete(launder(blocks[0]));
        ::operator delete[](launder(blocks[1]));
        ::operator delete(launder(blocks[2]), std::nothrow);
        ::operator delete[](launder(blocks[3]), std::nothrow);
        ::operator delete(launder(blocks[4]), size);
        ::operator delete[](launder(blocks[5]), size);
        ::operator delete(launder(aligned[0]), alignment);
        ::operator delete[](launder(aligned[1]), alignment);
        ::operator delete(launder(aligned[2]), alignment, std::nothrow);
        ::operator delete[](launder(aligned[3]), alignment, std::nothrow);
        ::operator delete(launder(aligned[4]), size, alignment);
        ::operator delete[](launder(aligned[5]), size, alignment);
    }
    ::operator delete(launder(static_cast<void *>(nullptr)));
    ::operator delete[](launder(static_cast<void *>(nullptr)), std::size_t{8}, alignment);
}

void test_zero_sizes_are_unique()
{
    std::vector<void *> blocks;
    for (int i = 0; i < 200; i++)
        blocks.push_back(i % 2 != 0 ? ::operator new(launder_size(0)) : ::operator new[](launder_size(0)));
    for (std::size_t i = 0; i < blocks.size(); i++) {
        for (std::size_t j = 0; j < i; j++) {
            if (blocks[i] == blocks[j])
                expect_fail("new of 0 bytes gave %p twice", blocks[i]);
        }
    }
    for (std::size_t i = 0; i < blocks.size(); i++)
        i % 2 != 0 ? ::operator delete(blocks[i]) : ::operator delete[](blocks[i]);
}

template <typename Call> bool throws_bad_alloc(Call call)
{
    try {
        launder(call());
    } catch (const std::bad_alloc &) {
        return true;
    }
    return false;
}

void test_throwing_forms_throw()
{
    for (std::size_t size : too_much) {
        EXPECT(throws_bad_alloc([=] { return ::operator new(launder_size(size)); }));
        EXPECT(throws_bad_alloc([=] { return ::operator new[](launder_size(size)); }));
        EXPECT(throws_bad_alloc([=] { return new char[launder_size(size / 2)]; }));
    }
    // Below the largest sizes, which libstdc++ itself rounds up past the end in its aligned forms.
    const std::size_t size = too_much[2];
    EXPECT(throws_bad_alloc([=] { return ::operator new (launder_size(size), std::align_val_t{64}); }));
    EXPECT(throws_bad_alloc([=] { return ::operator new[](launder_size(size), std::align_val_t{64}); }));
}

void test_nothrow_forms_answer_null()
{
    for (std::size_t size : too_much) {
        EXPECT(launder(::operator new(launder_size(size), std::nothrow)) == nullptr);
        EXPECT(launder(::operator new[](launder_size(size), std::nothrow)) == nullptr);
    }
    const std::size_t size = too_much[2];
    EXPECT(launder(::operator new (launder_size(size), std::align_val_t{64}, std::nothrow)) == nullptr);
    EXPECT(launder(::operator new[](launder_size(size), std::align_val_t{64}, std::nothrow)) == nullptr);
}

int handler_calls;

void give_up_at_third_call()
{
    if (++handler_calls == 3)
        std::set_new_handler(nullptr);
}

// new asks the handler again and again until there is none.
template <typename Call> void check_handler(Call call)
{
    handler_calls = 0;
    std::set_new_handler(give_up_at_third_call);
    call();
    EXPECT_EQ(handler_calls, 3);
    EXPECT(std::get_new_handler() == nullptr);
}

void test_new_handler_is_asked()
{
    const std::size_t size = too_much[2];
    const std::align_val_t alignment{64};
    check_handler([=] { EXPECT(throws_bad_alloc([=] { return ::operator new(launder_size(size)); })); });
    check_handler([=] { EXPECT(throws_bad_alloc([=] { return ::operator new[](launder_size(size)); })); });
    check_handler([=] { EXPECT(throws_bad_alloc([=] { return ::operator new(launder_size(size), alignment); })); });
    check_handler([=] { EXPECT(throws_bad_alloc([=] { return ::operator new[](launder_size(size), alignment); })); });
    check_handler([=] { EXPECT(launder(::operator new(launder_size(size), std::nothrow)) == nullptr); });
    check_handler([=] { EXPECT(launder(::operator new[](launder_size(size), std::nothrow)) == nullptr); });
    check_handler([=] { EXPECT(launder(::operator new(launder_size(size), alignment, std::nothrow)) == nullptr); });
    check_handler([=] { EXPECT(launder(::operator new[](launder_size(size), alignment, std::nothrow)) == nullptr); });
}

[[noreturn]] void throw_from_handler()
{
    throw std::bad_alloc();
}

// A handler may throw itself, through the frames of new.
void test_handler_that_throws()
{
    std::set_new_handler(throw_from_handler);
    EXPECT(throws_bad_alloc([] { return ::operator new(launder_size(too_much[2])); }));
    EXPECT(throws_bad_alloc([] { return ::operator new[](launder_size(too_much[2]), std::align_val_t{64}); }));
    std::set_new_handler(nullptr);
}

// malloc never asks the new-handler.
void test_malloc_does_not_ask_the_handler()
{
    handler_calls = 0;
    std::set_new_handler(give_up_at_third_call);
    EXPECT(launder(std::malloc(launder_size(too_much[2]))) == nullptr);
    EXPECT_EQ(handler_calls, 0);
    std::set_new_handler(nullptr);
}

// The compiler's own delete when a constructor throws.
void test_throwing_constructors_leak_nothing()
{
    for (int i = 0; i < 200000; i++) {
        bool caught = false;
        try {
            launder(new Thrower);
        } catch (int) {
            caught = true;
        }
        if (!caught) {
            EXPECT(caught);
            return;
        }
    }
    expect_reached();
}

void use_containers(unsigned seed)
{
    std::map<std::string, std::vector<std::string>> words;
    for (unsigned i = 0; i < 3000; i++) {
        std::string key = "key" + std::to_string((i * 7919 + seed) % 500);
        words[key].push_back(std::string(i % 300, static_cast<char>('a' + i % 26)));
    }
    std::size_t entries = 0;
    for (const auto &entry : words) {
        entries += entry.second.size();
        for (const std::string &word : entry.second)
            EXPECT(word.empty() || word.front() == word.back());
    }
    EXPECT_EQ(entries, 3000);
}

void test_containers_in_threads()
{
    std::vector<std::thread> threads;
    std::exception_ptr exceptions[4];
    for (unsigned i = 0; i < 4; i++) {
        threads.emplace_back([i, &exceptions] {
            use_containers(i);
            try {
                launder(::operator new(launder_size(too_much[0])));
            } catch (...) {
                exceptions[i] = std::current_exception();
            }
        });
    }
    for (std::thread &thread : threads)
        thread.join();
    for (const std::exception_ptr &exception : exceptions)
        EXPECT(throws_bad_alloc([&]() -> void * { std::rethrow_exception(exception); }));
}

// Under LD_PRELOAD of Moat every operator must be Moat's: one that is left to libstdc++ would work, but unprotected.
void test_operators_are_all_answered_by_one_library()
{
    static const char *const names[] = {
        "_Znwm",
        "_Znam",
        "_ZnwmRKSt9nothrow_t",
        "_ZnamRKSt9nothrow_t",
        "_ZnwmSt11align_val_t",
        "_ZnamSt11align_val_t",
        "_ZnwmSt11align_val_tRKSt9nothrow_t",
        "_ZnamSt11align_val_tRKSt9nothrow_t",
        "_ZdlPv",
        "_ZdaPv",
        "_ZdlPvm",
        "_ZdaPvm",
        "_ZdlPvRKSt9nothrow_t",
        "_ZdaPvRKSt9nothrow_t",
        "_ZdlPvSt11align_val_t",
        "_ZdaPvSt11align_val_t",
        "_ZdlPvmSt11align_val_t",
        "_ZdaPvmSt11align_val_t",
        "_ZdlPvSt11align_val_tRKSt9nothrow_t",
        "_ZdaPvSt11align_val_tRKSt9nothrow_t",
    };
    Dl_info moat, found;
    void *version = dlsym(RTLD_DEFAULT, "moat_version");
    if (version == nullptr || dladdr(version, &moat) == 0) {
        expect_say("skipped: Moat is not preloaded\n");
        EXPECT(std::getenv("MOAT_TEST_PRELOADED") == nullptr);
        return;
    }
    for (const char *name : names) {
        void *function = dlsym(RTLD_DEFAULT, name);
        EXPECT(function != nullptr && dladdr(function, &found) != 0 &&
               std::strcmp(found.dli_fname, moat.dli_fname) == 0);
    }
}

} // namespace

int main()
{
    test_objects();
    test_aligned_objects();
    test_explicit_forms();
    test_zero_sizes_are_unique();
    test_throwing_forms_throw();
    test_nothrow_forms_answer_null();
    test_new_handler_is_asked();
    test_handler_that_throws();
    test_malloc_does_not_ask_the_handler();
    test_throwing_constructors_leak_nothing();
    test_containers_in_threads();
    test_operators_are_all_answered_by_one_library();
    return expect_done();
}

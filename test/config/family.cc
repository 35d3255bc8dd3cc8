// Uses every function of the malloc family and every operator, and parts of libc and libstdc++ that allocate inside.
// Run by check_bindings.py, which looks at what the loader bound; the program itself checks that blocks can be used.
#include <dlfcn.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <new>
#include <stdexcept>
#include <string>
#include <vector>

extern "C" {
// Not in every C library: they are there when Moat is.
__attribute__((weak)) void cfree(void *block);
__attribute__((weak)) void free_sized(void *block, size_t size);
__attribute__((weak)) void free_aligned_sized(void *block, size_t alignment, size_t size);
__attribute__((weak)) size_t memalignment(const void *address);
}

namespace
{

const size_t size = 100;

int failures;

void *used(void *block, const char *function)
{
    if (block == nullptr) {
        fprintf(stderr, "%s gave no memory\n", function);
        failures++;
        return block;
    }
    memset(block, 0x5a, size);
    return block;
}

void use_c_family()
{
    free(used(malloc(size), "malloc"));
    free(used(calloc(10, size), "calloc"));
    free(used(realloc(used(malloc(10 * size), "malloc"), size), "realloc"));
    free(used(reallocarray(nullptr, 10, size), "reallocarray"));
    free(used(aligned_alloc(64, 2 * 64), "aligned_alloc"));
    free(used(memalign(128, size), "memalign"));
    free(used(valloc(size), "valloc"));
    free(used(pvalloc(size), "pvalloc"));

    void *aligned = nullptr;
    if (posix_memalign(&aligned, 256, size) != 0)
        aligned = nullptr;
    if (malloc_usable_size(used(aligned, "posix_memalign")) < size)
        failures++;
    free(aligned);

    if (cfree != nullptr)
        cfree(used(malloc(size), "malloc"));
    if (free_sized != nullptr)
        free_sized(used(malloc(size), "malloc"), size);
    if (free_aligned_sized != nullptr)
        free_aligned_sized(used(aligned_alloc(64, 2 * 64), "aligned_alloc"), 64, 2 * 64);
    if (memalignment != nullptr && memalignment(reinterpret_cast<void *>(64)) != 64)
        failures++;
}

void use_c_information()
{
    malloc_trim(0);
    mallopt(M_TRIM_THRESHOLD, 128 * 1024);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    (void)mallinfo();
#pragma GCC diagnostic pop
    (void)mallinfo2();
    FILE *sink = fopen("/dev/null", "w");
    if (sink != nullptr) {
        malloc_info(0, sink);
        fclose(sink);
    }
    malloc_stats();
}

void use_operators()
{
    const std::align_val_t alignment{64};
    ::operator delete(used(::operator new(size), "new"));
    ::operator delete(used(::operator new(size), "new"), size);
    ::operator delete(used(::operator new(size, std::nothrow), "new nothrow"), std::nothrow);
    ::operator delete(used(::operator new(size, alignment), "new aligned"), alignment);
    ::operator delete(used(::operator new(size, alignment), "new aligned"), size, alignment);
    ::operator delete(used(::operator new(size, alignment, std::nothrow), "new aligned nothrow"), alignment,
                      std::nothrow);
    ::operator delete[](used(::operator new[](size), "new[]"));
    ::operator delete[](used(::operator new[](size), "new[]"), size);
    ::operator delete[](used(::operator new[](size, std::nothrow), "new[] nothrow"), std::nothrow);
    ::operator delete[](used(::operator new[](size, alignment), "new[] aligned"), alignment);
    ::operator delete[](used(::operator new[](size, alignment), "new[] aligned"), size, alignment);
    ::operator delete[](used(::operator new[](size, alignment, std::nothrow), "new[] aligned nothrow"), alignment,
                        std::nothrow);
}

void *allocate_in_thread(void *)
{
    return malloc(size);
}

// Blocks that libc allocates and the program frees, and the other way round.
void use_libc()
{
    free(used(strdup(std::string(size, 'x').c_str()), "strdup"));

    char *text = nullptr;
    if (asprintf(&text, "%0200d", 7) != 200)
        failures++;
    free(text);

    char *line = static_cast<char *>(malloc(1));
    size_t room = 1;
    FILE *file = fopen("/proc/self/status", "r");
    if (file == nullptr || getline(&line, &room, file) < 1)
        failures++;
    if (file != nullptr)
        fclose(file);
    free(line);

    free(getcwd(nullptr, 0));

    char *buffer = nullptr;
    size_t written = 0;
    FILE *memory = open_memstream(&buffer, &written);
    if (memory == nullptr || fprintf(memory, "%s", "text") != 4)
        failures++;
    if (memory != nullptr)
        fclose(memory);
    free(buffer);

    pthread_t thread;
    void *block = nullptr;
    if (pthread_create(&thread, nullptr, allocate_in_thread, nullptr) == 0)
        pthread_join(thread, &block);
    free(used(block, "malloc in a thread"));

    void *library = dlopen("libm.so.6", RTLD_NOW);
    if (library == nullptr)
        failures++;
    else
        dlclose(library);
}

void use_libstdcxx()
{
    std::vector<std::string> words;
    for (int i = 0; i < 100; i++)
        words.push_back(std::string(size, static_cast<char>('a' + i % 26)));
    try {
        throw std::runtime_error(words.back());
    } catch (const std::runtime_error &error) {
        if (words.back() != error.what())
            failures++;
    }
}

// More than any heap has: the operators must throw through their own frames, the others answer NULL.
void use_too_much()
{
    volatile size_t too_much = static_cast<size_t>(-1) / 2 + 1;
    bool thrown = false;
    try {
        ::operator delete(::operator new(too_much));
    } catch (const std::bad_alloc &) {
        thrown = true;
    }
    if (!thrown || malloc(too_much) != nullptr || ::operator new(too_much, std::nothrow) != nullptr) {
        fprintf(stderr, "a request for too much memory was not refused\n");
        failures++;
    }
}

} // namespace

int main()
{
    use_c_family();
    use_c_information();
    use_operators();
    use_libc();
    use_libstdcxx();
    use_too_much();
    return failures == 0 ? 0 : 1;
}

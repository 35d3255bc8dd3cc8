/* A program that has a malloc and a free of its own, and nothing else of the family: what comes from the C library's calloc
 * or posix_memalign its free hands on to the C library. */
#include "arena.h"

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>

void __libc_free(void *block);

void *malloc(size_t size)
{
    return arena_take(16, size);
}

void free(void *block)
{
    if (block == NULL || arena_has(block))
        arena_give_back(block);
    else
        __libc_free(block);
}

static void expect(bool holds, const char *what)
{
    if (!holds) {
        printf("not so: %s\n", what);
        fflush(stdout);
        _exit(1);
    }
}

static void use_others(size_t size)
{
    void *aligned = NULL;
    unsigned char *zeroed = calloc(3, size);
    expect(!arena_has(zeroed) && malloc_usable_size(zeroed) >= 3 * size, "calloc is the C library's");
    for (size_t i = 0; i < 3 * size; i++)
        expect(zeroed[i] == 0, "calloc clears");
    zeroed = realloc(zeroed, 5 * size);
    expect(zeroed != NULL && zeroed[3 * size - 1] == 0, "realloc is the C library's");
    expect(posix_memalign(&aligned, 4096, size) == 0 && (uintptr_t)aligned % 4096 == 0, "posix_memalign");
    char *copy = strdup("strdup calls malloc by its name");
    expect(arena_has(copy), "strdup has its block from the program's malloc");
    free(copy);
    free(aligned);
    free(zeroed);
    free(reallocarray(NULL, 10, size));
    free(aligned_alloc(64, 640));
    free(valloc(size));
    free(pvalloc(size));
}

static void *use_in_thread(void *unused)
{
    for (size_t size = 1; size < 3000000; size = size * 3 + 5)
        use_others(size);
    return unused;
}

int main(void)
{
    pthread_t thread;
    use_in_thread(NULL);
    expect(pthread_create(&thread, NULL, use_in_thread, NULL) == 0, "a thread begins");
    pthread_join(thread, NULL);
    pid_t child = fork();
    if (child == 0) {
        use_in_thread(NULL);
        _exit(0);
    }
    int status = 1;
    expect(waitpid(child, &status, 0) == child && status == 0, "a child can do all that");
    malloc_trim(0);
    expect(mallopt(M_MMAP_THRESHOLD, 1 << 20) == 1, "mallopt");
    puts("malloc and free of its own: well");
    return 0;
}

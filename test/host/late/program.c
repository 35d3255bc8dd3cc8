/* Loads the library when the program has long begun, as an interpreter's module might.
 *
 *     program HOW LIBRARY [FILLER]...
 *
 * HOW is local, global, deepbind (dlopen) or namespace (dlmopen); none loads only the fillers. Before that the fillers are loaded, as many as fit into what
 * the C library keeps of static thread storage; how many is printed. A library that does not fit any more is refused by the
 * loader, with "static TLS" in its words; then the program must go on as well.
 */
#define _GNU_SOURCE
#include "support/expect.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static void *(*late_malloc)(size_t);
static void *(*late_calloc)(size_t, size_t);
static void *(*late_realloc)(void *, size_t);
static void *(*late_aligned)(size_t, size_t);
static size_t (*late_usable)(void *);
static void (*late_free)(void *);

/* A block of one goes back through the other: there is one heap only. */
static void *mix(void *unused)
{
    for (size_t size = 1; size < 5000000; size = size * 2 + 3) {
        unsigned char *block = late_malloc(size);
        EXPECT(block != NULL && late_usable(block) >= size);
        memset(block, 5, size);
        block = realloc(block, 2 * size);
        EXPECT(block != NULL && block[size - 1] == 5);
        late_free(block);
        free(late_calloc(3, size));
        free(late_aligned(128, size));
        late_free(late_realloc(malloc(size), size * 3));
    }
    return unused;
}

static void *load(const char *how, const char *path)
{
    if (strcmp(how, "none") == 0)
        return NULL;
    if (strcmp(how, "namespace") == 0)
        return dlmopen(LM_ID_NEWLM, path, RTLD_NOW);
    if (strcmp(how, "deepbind") == 0)
        return dlopen(path, RTLD_NOW | RTLD_DEEPBIND);
    return dlopen(path, RTLD_NOW | (strcmp(how, "global") == 0 ? RTLD_GLOBAL : RTLD_LOCAL));
}

static bool is_refused_for_room(void)
{
    const char *words = dlerror();
    bool is_so = words != NULL && strstr(words, "static TLS") != NULL;
    if (!is_so)
        expect_fail("refused: %s", words ? words : "without words");
    return is_so;
}

static pthread_barrier_t loaded;

static void *mix_when_loaded(void *unused)
{
    pthread_barrier_wait(&loaded);
    return late_malloc != NULL ? mix(unused) : unused;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    int fillers = 0;

    if (argc < 3)
        return 2;
    pthread_barrier_init(&loaded, NULL, 2);
    EXPECT_EQ(pthread_create(&thread, NULL, mix_when_loaded, NULL), 0);
    while (3 + fillers < argc && dlopen(argv[3 + fillers], RTLD_NOW) != NULL)
        fillers++;
    if (3 + fillers < argc)
        EXPECT(is_refused_for_room());
    expect_say("fillers: %d\n", fillers);

    void *library = load(argv[1], argv[2]);
    if (library != NULL) {
        late_malloc = (void *(*)(size_t))dlsym(library, "malloc");
        late_calloc = (void *(*)(size_t, size_t))dlsym(library, "calloc");
        late_realloc = (void *(*)(void *, size_t))dlsym(library, "realloc");
        late_aligned = (void *(*)(size_t, size_t))dlsym(library, "aligned_alloc");
        late_usable = (size_t(*)(void *))dlsym(library, "malloc_usable_size");
        late_free = (void (*)(void *))dlsym(library, "free");
        EXPECT(late_malloc != malloc && late_free != NULL);
        mix(NULL);
    } else if (strcmp(argv[1], "none") != 0) {
        EXPECT(is_refused_for_room());
    }
    expect_say("loaded: %d\n", library != NULL);
    pthread_barrier_wait(&loaded);
    pthread_join(thread, NULL);
    free(malloc(100000));
    return expect_done();
}

/* Loads a module and does something with a block of it, or of its own.
 *
 *     program (deepbind|namespace) MODULE (work|text|free|delete|realloc|usable|many)
 *
 * deepbind: dlopen with RTLD_DEEPBIND, so that the module's malloc is the C library's, whatever is preloaded. namespace:
 * dlmopen, with a C library of its own. What came of it is printed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void _ZdlPvm(void *block, size_t size);

enum { MANY = 1000, SIZE = 300 };

static void *find(void *module, const char *name)
{
    void *found = dlsym(module, name);
    if (found == NULL) {
        printf("%s is not in the module: %s\n", name, dlerror());
        exit(2);
    }
    return found;
}

static void use(const char *action, void *module)
{
    void *(*make)(size_t) = find(module, "module_make");
    void (*end)(void *) = find(module, "module_end");
    int (*work)(void) = find(module, "module_work");
    unsigned char *block = make(SIZE);

    if (strcmp(action, "work") == 0) {
        printf("the module's work: %d\n", work());
        end(block);
    } else if (strcmp(action, "text") == 0) {
        char *(*text)(void) = find(module, "module_text");
        free(text());
        end(block);
    } else if (strcmp(action, "free") == 0) {
        free(block);
    } else if (strcmp(action, "delete") == 0) {
        _ZdlPvm(block, SIZE);
    } else if (strcmp(action, "realloc") == 0) {
        errno = 0;
        unsigned char *larger = realloc(block, 100000);
        printf("realloc: %s, errno %d, contents %d\n", larger ? "a block" : "none", errno,
               larger ? larger[SIZE - 1] : block[SIZE - 1]);
        free(larger);
    } else if (strcmp(action, "usable") == 0) {
        printf("malloc_usable_size: %zu\n", malloc_usable_size(block));
        end(block);
    } else if (strcmp(action, "many") == 0) {
        for (int i = 0; i < MANY; i++)
            free(make(SIZE));
    } else {
        printf("there is no action %s\n", action);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    int is_namespace = strcmp(argv[1], "namespace") == 0;
    void *module = is_namespace ? dlmopen(LM_ID_NEWLM, argv[2], RTLD_NOW) : dlopen(argv[2], RTLD_NOW | RTLD_DEEPBIND);
    if (module == NULL) {
        printf("the module is not loaded: %s\n", dlerror());
        return 2;
    }
    use(argv[3], module);
    for (int i = 1; i < 3000; i++)
        free(realloc(malloc((size_t)i), (size_t)i * 9));
    puts("the program goes on");
    return 0;
}

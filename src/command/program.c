/* program.c - see program.h. */
#include "program.h"

#include "image.h"
#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { LINE_BYTES = 256, INTERPRETERS = 5 }; /* as many bytes and scripts in a row as the kernel looks at */

static const char glibc_loader[] = "ld-linux-x86-64.so.2"; /* some systems keep it elsewhere than in /lib64 */

/* Each brings a heap of its own that must come first in the process, or a shadow that the cage would stand in. The
 * function is the one that its runtime defines when it is linked into the program. */
static const struct {
    const char *library, *function, *words;
} sanitizers[] = {
    {"libasan.so", "__asan_init", "AddressSanitizer"},      {"libtsan.so", "__tsan_init", "ThreadSanitizer"},
    {"libmsan.so", "__msan_init", "MemorySanitizer"},       {"libhwasan.so", "__hwasan_init", "HWAddressSanitizer"},
    {"liblsan.so", "__lsan_init", "LeakSanitizer"},         {"libclang_rt.asan", "__asan_init", "AddressSanitizer"},
    {"libclang_rt.tsan", "__tsan_init", "ThreadSanitizer"},
};

/* 0, or why the file cannot be run. */
static int executable_error(const char *path)
{
    struct stat file;
    if (stat(path, &file) != 0)
        return errno;
    if (S_ISDIR(file.st_mode))
        return EISDIR;
    if (!S_ISREG(file.st_mode) || access(path, X_OK) != 0)
        return EACCES;
    return 0;
}

/* In the folders of PATH, as execvp; false if it is in none. `error` is the last thing in the way but absence. */
static bool search(const char *name, char path[PATH_MAX], int *error)
{
    const char *folders = getenv("PATH");
    if (!folders)
        folders = "/bin:/usr/bin";
    *error = ENOENT;
    for (const char *folder = folders; folder;) {
        size_t length = strcspn(folder, ":");
        int written = snprintf(path, PATH_MAX, "%.*s%s%s", (int)length, folder, length > 0 ? "/" : "./", name);
        if (written > 0 && written < PATH_MAX) {
            int problem = executable_error(path);
            if (problem == 0)
                return true;
            if (problem != ENOENT && problem != ENOTDIR)
                *error = problem;
        }
        folder = folder[length] == ':' ? folder + length + 1 : NULL;
    }
    return false;
}

void program_find(const char *name, char path[PATH_MAX])
{
    int error;

    if (*name == '\0')
        say_refusal("the name of the program is empty");
    if (!strchr(name, '/')) {
        if (!search(name, path, &error)) {
            if (error == ENOENT)
                say_refusal("there is no program %s in PATH", name);
            say_refusal("%s cannot be run: %s", name, strerror(error));
        }
        return;
    }
    error = executable_error(name);
    if (error == 0 && strlen(name) >= PATH_MAX)
        error = ENAMETOOLONG;
    if (error != 0)
        say_refusal("%s cannot be run: %s", name, strerror(error));
    memcpy(path, name, strlen(name) + 1);
}

/* The words of a line, one after the other; NULL at its end. */
static char *next_word(char **rest)
{
    char *word = *rest + strspn(*rest, " \t");
    if (*word == '\0')
        return NULL;
    char *end = word + strcspn(word, " \t");
    *rest = *end ? end + 1 : end;
    *end = '\0';
    return word;
}

/* Makes `path` what `env` will run, as far as the line of a script tells; false when it does not. */
static bool look_through_env(char *arguments, char path[PATH_MAX])
{
    char *word = next_word(&arguments);
    if (word && strcmp(word, "-S") == 0)
        word = next_word(&arguments);
    else if (word && strncmp(word, "-S", 2) == 0)
        word += 2;
    while (word && strchr(word, '='))
        word = next_word(&arguments);
    int error;
    if (!word || *word == '-' || *word == '\0')
        return false;
    if (!strchr(word, '/'))
        return search(word, path, &error);
    snprintf(path, PATH_MAX, "%s", word);
    return true;
}

/* The first line of a script gives way to its interpreter. What is neither ELF nor has such a line goes to the shell, as
 * execvp does it. */
static void follow_script(int file, char path[PATH_MAX])
{
    char line[LINE_BYTES + 1];
    ssize_t got = pread(file, line, LINE_BYTES, 0);

    line[got > 0 ? got : 0] = '\0';
    line[strcspn(line, "\n")] = '\0';
    char *rest = line + 2;
    char *interpreter = strncmp(line, "#!", 2) == 0 ? next_word(&rest) : NULL;
    snprintf(path, PATH_MAX, "%s", interpreter ? interpreter : "/bin/sh");
    const char *base = strrchr(path, '/');
    if (interpreter && strcmp(base ? base + 1 : path, "env") == 0) {
        char through[PATH_MAX];
        if (look_through_env(rest, through))
            memcpy(path, through, strlen(through) + 1);
    }
}

/* Why the kernel would set AT_SECURE for it, or NULL. */
static const char *privilege(const char *path)
{
    struct stat file;
    struct statvfs system;

    if (stat(path, &file) != 0 || (statvfs(path, &system) == 0 && (system.f_flag & ST_NOSUID)))
        return NULL;
    if ((file.st_mode & S_ISUID) && file.st_uid != getuid())
        return "setuid";
    if ((file.st_mode & S_ISGID) && (file.st_mode & S_IXGRP) && file.st_gid != getgid())
        return "setgid";
    if (getuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0)
        return "a program with file capabilities";
    return NULL;
}

/* A runtime linked into the program need not be visible to the loader. Then the program's malloc, which is the runtime's,
 * is the reason to look through all symbols, of which a large program has many. */
static const char *sanitizer(const struct image *image)
{
    uint64_t address;
    bool has_malloc = image_find(image, "malloc", &address);

    for (size_t i = 0; i < sizeof sanitizers / sizeof *sanitizers; i++) {
        if (image_needs(image, sanitizers[i].library) || image_find(image, sanitizers[i].function, &address) ||
            (has_malloc && image_find_any(image, sanitizers[i].function, &address)))
            return sanitizers[i].words;
    }
    return NULL;
}

static enum program_reach judge(const char *who, const char *path, const struct image *image, enum image_kind kind)
{
    char loader[PATH_MAX];
    uint64_t address;
    const char *words;

    if (kind != IMAGE_IS_PROGRAM) {
        say_line("%s is no program for 64-bit x86: Moat cannot be its heap", who);
        return REACH_UNBEARABLE;
    }
    if (!image_loader(image, loader, sizeof loader)) {
        say_line("%s is statically linked, so nothing can be preloaded (link moat.o instead)", who);
        return REACH_NOT;
    }
    const char *base = strrchr(loader, '/');
    if (strcmp(base ? base + 1 : loader, glibc_loader) != 0) {
        say_line("%s wants another C library (its loader is %s): Moat cannot be its heap", who, loader);
        return REACH_UNBEARABLE;
    }
    words = privilege(path);
    if (words) {
        say_line("%s is %s, and the loader preloads nothing there", who, words);
        return REACH_NOT;
    }
    words = sanitizer(image);
    if (words) {
        say_line("%s is built with %s, which brings its own heap: Moat is left out", who, words);
        return REACH_UNBEARABLE;
    }
    if (image_find(image, "malloc", &address)) {
        say_line("%s defines malloc itself, and that one answers: Moat stays passive and protects nothing there", who);
        return REACH_NOT;
    }
    return REACH_FULL;
}

enum program_reach program_reach(const char *name, const char *path)
{
    char file_path[PATH_MAX], who[2 * PATH_MAX];
    struct image image;

    snprintf(file_path, sizeof file_path, "%s", path);
    snprintf(who, sizeof who, "%s", name);
    for (unsigned scripts = 0;; scripts++) {
        int file = open(file_path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (file < 0) {
            say_line("%s cannot be read (%s): whether Moat reaches it cannot be said", who, strerror(errno));
            return REACH_UNKNOWN;
        }
        enum image_kind kind = image_open(&image, file, false, 0);
        if (kind == IMAGE_IS_NO_ELF && scripts < INTERPRETERS) {
            follow_script(file, file_path);
            snprintf(who, sizeof who, "%s (run by %s)", name, file_path);
            close(file);
            continue;
        }
        enum program_reach reach = judge(who, file_path, &image, kind);
        close(file);
        return reach;
    }
}

bool program_brings_malloc(const char *path)
{
    struct image image;
    uint64_t address;
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (file < 0)
        return false;
    bool brings = image_open(&image, file, false, 0) == IMAGE_IS_PROGRAM && image_find(&image, "malloc", &address);
    close(file);
    return brings;
}

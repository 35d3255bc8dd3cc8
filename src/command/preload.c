/* preload.c - see preload.h. */
#include "preload.h"

#include "image.h"
#include "moat_state.h"
#include "option.h"
#include "program.h"
#include "say.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The longest value of MOAT_OPTIONS that src/options.c reads. */
enum { OPTIONS_BYTES = 2047 };

static const char separators[] = " :";

/* The folder of `path`, made plain; false if there is none. */
static bool folder_of(const char *start, const char *way, char folder[PATH_MAX])
{
    char joined[2 * PATH_MAX];
    snprintf(joined, sizeof joined, "%s/%s", start, way);
    return realpath(joined, folder) != NULL;
}

static bool is_in(const char *folder, const char *name, char path[PATH_MAX])
{
    int written = snprintf(path, PATH_MAX, "%s/%s", folder, name);
    return written > 0 && written < PATH_MAX && access(path, F_OK) == 0;
}

/* A file that only has the name would be refused by the loader, in a process that then runs without it. */
static void check_library(const char *path)
{
    struct image image;
    uint64_t address;

    if (strpbrk(path, " :$"))
        say_refusal("LD_PRELOAD cannot name %s: the path has a space, a colon or a dollar sign", path);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        say_refusal("%s cannot be read: %s", path, strerror(errno));
    if (image_open(&image, file, false, 0) != IMAGE_IS_PROGRAM || !image_find(&image, MOAT_STATE_SYMBOL, &address))
        say_refusal("%s is no library of Moat's", path);
    close(file);
}

void preload_find_library(const char *name, char path[PATH_MAX])
{
    char self[PATH_MAX], beside[PATH_MAX], installed[PATH_MAX] = "";

    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length <= 0)
        say_refusal("this command cannot see its own place (/proc/self/exe: %s)", strerror(errno));
    self[length] = '\0';
    *strrchr(self, '/') = '\0';
    if (!folder_of(self, ".", beside))
        say_refusal("this command cannot see its own folder %s: %s", self, strerror(errno));
    if (!is_in(beside, name, path) &&
        !(folder_of(self, MOAT_WAY_TO_LIBRARIES, installed) && is_in(installed, name, path))) {
        say_refusal("%s is not in %s%s%s%s", name, beside, *installed ? " or " : "", installed,
                    strstr(name, "secure") ? "; -DSECURE=ON builds it, and --plain does without" : "");
    }
    check_library(path);
}

static bool is_moat(const char *entry, size_t length)
{
    static const char *const names[] = {"libmoat.so", "libmoat-secure.so"};
    const char *base = memrchr(entry, '/', length);
    base = base ? base + 1 : entry;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strncmp(base, names[i], strlen(names[i])) == 0)
            return true;
    }
    return false;
}

/* The next library that LD_PRELOAD names, and behind it where to go on; 0 at the end. */
static size_t next_entry(const char **entry)
{
    *entry += strspn(*entry, separators);
    return strcspn(*entry, separators);
}

void preload_set(const char *library)
{
    const char *entry = getenv("LD_PRELOAD");
    if (!entry)
        entry = "";
    size_t room = strlen(entry) + (library ? strlen(library) : 0) + 2, used = 0, length;
    char *value = malloc(room);
    if (!value)
        say_refusal("there is no memory for the environment");

    for (; (length = next_entry(&entry)) > 0; entry += length) {
        if (!is_moat(entry, length))
            used += (size_t)snprintf(value + used, room - used, "%s%.*s", used ? ":" : "", (int)length, entry);
    }
    if (library)
        used += (size_t)snprintf(value + used, room - used, "%s%s", used ? ":" : "", library);
    if ((used ? setenv("LD_PRELOAD", value, 1) : unsetenv("LD_PRELOAD")) != 0)
        say_refusal("LD_PRELOAD cannot be set: %s", strerror(errno));
    free(value);
}

bool preload_has_rival(void)
{
    const char *entry = getenv("LD_PRELOAD");
    bool has_rival = false;
    size_t length;

    for (; entry && (length = next_entry(&entry)) > 0; entry += length) {
        char path[PATH_MAX];
        int written = snprintf(path, sizeof path, "%.*s", (int)length, entry);
        if (is_moat(entry, length) || written >= PATH_MAX || !strchr(path, '/') || !program_brings_malloc(path))
            continue;
        say_line("%s in LD_PRELOAD defines malloc and comes first: Moat gets only what that library hands on", path);
        has_rival = true;
    }
    return has_rival;
}

void preload_check_option(const char *option)
{
    size_t key = strcspn(option, "=");
    if (key == 0 || option[key] != '=')
        say_refusal("--option wants KEY=VALUE, and got \"%s\"", option);
    if (strchr(option, ':'))
        say_refusal("--option takes one KEY=VALUE without a colon, and got \"%s\"", option);
    const char *fault = option_fault(option);
    if (fault)
        say_refusal("option %s: %s", option, fault);
}

void preload_set_options(char *const options[], size_t count)
{
    const char *before = getenv("MOAT_OPTIONS");
    size_t room = (before ? strlen(before) : 0) + 1, used;
    for (size_t i = 0; i < count; i++)
        room += strlen(options[i]) + 1;
    char *value = malloc(room);
    if (!value)
        say_refusal("there is no memory for the environment");

    used = (size_t)snprintf(value, room, "%s", before ? before : "");
    for (size_t i = 0; i < count; i++)
        used += (size_t)snprintf(value + used, room - used, "%s%s", used ? ":" : "", options[i]);
    if (used > OPTIONS_BYTES)
        say_refusal("MOAT_OPTIONS would have %zu bytes, and only %d are read", used, OPTIONS_BYTES);
    if (count > 0 && setenv("MOAT_OPTIONS", value, 1) != 0)
        say_refusal("MOAT_OPTIONS cannot be set: %s", strerror(errno));
    free(value);
}

/* image.h - what an ELF file says of itself, read from the file or from the memory of a process that runs it.
 *
 * The memory of a process has the better answers: the file may have been replaced since, or lie in another mount
 * namespace. Neither is trusted: every offset and count is checked or bounded, and what does not fit is "not there".
 */
#ifndef MOAT_COMMAND_IMAGE_H
#define MOAT_COMMAND_IMAGE_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum image_kind {
    IMAGE_IS_PROGRAM, /* ELF for 64-bit x86; the only kind that the other functions take */
    IMAGE_IS_FOREIGN, /* ELF for something else, or ELF that makes no sense */
    IMAGE_IS_NO_ELF,
};

enum { IMAGE_SEGMENTS = 64 };

struct image {
    int file;           /* of the ELF file, or /proc/PID/mem; the caller's */
    bool is_in_process; /* then addresses are those of the process */
    uint64_t bias;      /* added to an address of the file gives one of the process */
    unsigned segments;
    Elf64_Phdr segment[IMAGE_SEGMENTS];
    uint64_t symbols, strings, gnu_hash, old_hash; /* addresses of the file; 0: there is none */
};

/* Reads the headers. `base` is the address at which the file's first byte stands in the process; for a file it is 0. */
enum image_kind image_open(struct image *image, int file, bool is_in_process, uint64_t base);

/* The path of the loader that the kernel would start; false for a static program. */
bool image_loader(const struct image *image, char *path, size_t bytes);
/* True if a library whose name begins with `prefix` is needed. */
bool image_needs(const struct image *image, const char *prefix);
/* The address (of the process, or of the file) of a dynamic symbol that the image defines. */
bool image_find(const struct image *image, const char *name, uint64_t *address);
/* The same among all symbols of a file that was not stripped. */
bool image_find_any(const struct image *image, const char *name, uint64_t *address);

#endif

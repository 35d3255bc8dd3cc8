/* image.c - see image.h. */
#include "image.h"

#include "reads.h"

#include <stdlib.h>
#include <string.h>

enum {
    DYNAMIC_ENTRIES = 4096,
    CHAIN_LENGTH = 1 << 16, /* of one bucket: real ones have a handful */
    NAME_BYTES = 256,
    TABLE_BYTES = 256 << 20, /* of a symbol table in a file */
};

/* Reads at an address of the file. */
static bool read_address(const struct image *image, uint64_t address, void *into, size_t bytes)
{
    if (image->is_in_process)
        return reads_all(image->file, address + image->bias, into, bytes);
    for (unsigned i = 0; i < image->segments; i++) {
        const Elf64_Phdr *segment = &image->segment[i];
        uint64_t offset = address - segment->p_vaddr;
        if (segment->p_type == PT_LOAD && address >= segment->p_vaddr && offset < segment->p_filesz &&
            bytes <= segment->p_filesz - offset)
            return reads_all(image->file, segment->p_offset + offset, into, bytes);
    }
    return false;
}

static const Elf64_Phdr *segment_of_type(const struct image *image, uint32_t type)
{
    for (unsigned i = 0; i < image->segments; i++) {
        if (image->segment[i].p_type == type)
            return &image->segment[i];
    }
    return NULL;
}

/* Entry `index` of the dynamic section; false at its end. The loader has made some of its values addresses of the
 * process: these are turned back. */
static bool dynamic_entry(const struct image *image, unsigned index, Elf64_Dyn *entry, uint64_t *address)
{
    const Elf64_Phdr *dynamic = segment_of_type(image, PT_DYNAMIC);
    if (!dynamic || index >= DYNAMIC_ENTRIES || (index + 1) * sizeof *entry > dynamic->p_memsz ||
        !read_address(image, dynamic->p_vaddr + index * sizeof *entry, entry, sizeof *entry))
        return false;
    *address = entry->d_un.d_ptr;
    if (image->is_in_process && *address >= image->bias)
        *address -= image->bias;
    return entry->d_tag != DT_NULL;
}

static void find_tables(struct image *image)
{
    Elf64_Dyn entry;
    uint64_t address;

    for (unsigned i = 0; dynamic_entry(image, i, &entry, &address); i++) {
        if (entry.d_tag == DT_SYMTAB)
            image->symbols = address;
        else if (entry.d_tag == DT_STRTAB)
            image->strings = address;
        else if (entry.d_tag == DT_GNU_HASH)
            image->gnu_hash = address;
        else if (entry.d_tag == DT_HASH)
            image->old_hash = address;
    }
}

enum image_kind image_open(struct image *image, int file, bool is_in_process, uint64_t base)
{
    Elf64_Ehdr header;

    memset(image, 0, sizeof *image);
    image->file = file;
    image->is_in_process = is_in_process;
    if (!reads_all(file, base, &header, sizeof header) || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
        return IMAGE_IS_NO_ELF;
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
        header.e_machine != EM_X86_64 || (header.e_type != ET_EXEC && header.e_type != ET_DYN) ||
        header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum > IMAGE_SEGMENTS ||
        !reads_all(file, base + header.e_phoff, image->segment, header.e_phnum * sizeof(Elf64_Phdr)))
        return IMAGE_IS_FOREIGN;
    image->segments = header.e_phnum;
    for (unsigned i = 0; is_in_process && i < image->segments; i++) {
        if (image->segment[i].p_type == PT_LOAD && image->segment[i].p_offset == 0)
            image->bias = base - image->segment[i].p_vaddr;
    }
    find_tables(image);
    return IMAGE_IS_PROGRAM;
}

bool image_loader(const struct image *image, char *path, size_t bytes)
{
    const Elf64_Phdr *loader = segment_of_type(image, PT_INTERP);
    if (!loader || loader->p_filesz == 0 || loader->p_filesz > bytes ||
        !read_address(image, loader->p_vaddr, path, loader->p_filesz))
        return false;
    path[loader->p_filesz - 1] = '\0';
    return true;
}

/* True if the string at `address` begins with `text`; with its end, if it is to be equal. */
static bool string_is(const struct image *image, uint64_t address, const char *text, bool with_end)
{
    char found[NAME_BYTES];
    size_t bytes = strlen(text) + (with_end ? 1 : 0);
    return bytes <= sizeof found && read_address(image, address, found, bytes) && memcmp(found, text, bytes) == 0;
}

bool image_needs(const struct image *image, const char *prefix)
{
    Elf64_Dyn entry;
    uint64_t address;

    for (unsigned i = 0; dynamic_entry(image, i, &entry, &address); i++) {
        if (entry.d_tag == DT_NEEDED && string_is(image, image->strings + entry.d_un.d_val, prefix, false))
            return true;
    }
    return false;
}

/* True if dynamic symbol `index` is `name` and has a place in the image. */
static bool symbol_is(const struct image *image, uint32_t index, const char *name, uint64_t *address)
{
    Elf64_Sym symbol;
    if (!read_address(image, image->symbols + (uint64_t)index * sizeof symbol, &symbol, sizeof symbol) ||
        symbol.st_shndx == SHN_UNDEF || !string_is(image, image->strings + symbol.st_name, name, true))
        return false;
    *address = symbol.st_value + image->bias;
    return true;
}

static uint32_t gnu_hash_of(const char *name)
{
    uint32_t hash = 5381;
    for (; *name; name++)
        hash = hash * 33 + (unsigned char)*name;
    return hash;
}

/* Buckets name the first symbol of a chain; a chain ends at a hash with its lowest bit set. */
static bool find_by_gnu_hash(const struct image *image, const char *name, uint64_t *address)
{
    struct {
        uint32_t buckets, first_symbol, bloom_words, bloom_shift;
    } table;
    uint32_t hash = gnu_hash_of(name), index, found;

    if (!read_address(image, image->gnu_hash, &table, sizeof table) || table.buckets == 0)
        return false;
    uint64_t buckets = image->gnu_hash + sizeof table + (uint64_t)table.bloom_words * 8;
    uint64_t chains = buckets + (uint64_t)table.buckets * 4;
    if (!read_address(image, buckets + (uint64_t)(hash % table.buckets) * 4, &index, 4) || index < table.first_symbol)
        return false;
    for (unsigned i = 0; i < CHAIN_LENGTH; i++, index++) {
        if (!read_address(image, chains + (uint64_t)(index - table.first_symbol) * 4, &found, 4))
            return false;
        if ((found | 1) == (hash | 1) && symbol_is(image, index, name, address))
            return true;
        if (found & 1)
            return false;
    }
    return false;
}

static uint32_t old_hash_of(const char *name)
{
    uint32_t hash = 0;
    for (; *name; name++) {
        hash = (hash << 4) + (unsigned char)*name;
        hash = (hash ^ (hash & 0xf0000000) >> 24) & 0x0fffffff;
    }
    return hash;
}

static bool find_by_old_hash(const struct image *image, const char *name, uint64_t *address)
{
    uint32_t counts[2], index;

    if (!read_address(image, image->old_hash, counts, sizeof counts) || counts[0] == 0)
        return false;
    uint64_t place = image->old_hash + 8 + (uint64_t)(old_hash_of(name) % counts[0]) * 4;
    for (unsigned i = 0; i < CHAIN_LENGTH; i++) {
        if (!read_address(image, place, &index, 4) || index == 0)
            return false;
        if (symbol_is(image, index, name, address))
            return true;
        place = image->old_hash + 8 + (uint64_t)counts[0] * 4 + (uint64_t)index * 4;
    }
    return false;
}

bool image_find(const struct image *image, const char *name, uint64_t *address)
{
    if (!image->symbols || !image->strings)
        return false;
    if (image->gnu_hash)
        return find_by_gnu_hash(image, name, address);
    return image->old_hash && find_by_old_hash(image, name, address);
}

/* All bytes of a section, with a zero byte behind; NULL if they cannot be had. The caller frees them. */
static char *section_bytes(const struct image *image, const Elf64_Shdr *section)
{
    if (section->sh_size > TABLE_BYTES)
        return NULL;
    char *bytes = malloc(section->sh_size + 1);
    if (bytes && !reads_all(image->file, section->sh_offset, bytes, section->sh_size)) {
        free(bytes);
        return NULL;
    }
    if (bytes)
        bytes[section->sh_size] = '\0';
    return bytes;
}

static bool find_in_table(const struct image *image, const Elf64_Shdr *symbols, const Elf64_Shdr *strings,
                          const char *name, uint64_t *address)
{
    char *table = section_bytes(image, symbols), *names = section_bytes(image, strings);
    bool is_found = false;

    for (uint64_t at = 0; table && names && !is_found && at + sizeof(Elf64_Sym) <= symbols->sh_size;
         at += sizeof(Elf64_Sym)) {
        Elf64_Sym symbol;
        memcpy(&symbol, table + at, sizeof symbol);
        is_found = symbol.st_shndx != SHN_UNDEF && symbol.st_name < strings->sh_size &&
                   strcmp(names + symbol.st_name, name) == 0;
        if (is_found)
            *address = symbol.st_value;
    }
    free(table);
    free(names);
    return is_found;
}

bool image_find_any(const struct image *image, const char *name, uint64_t *address)
{
    Elf64_Ehdr header;
    Elf64_Shdr section, strings;

    if (image->is_in_process || !reads_all(image->file, 0, &header, sizeof header) ||
        header.e_shentsize != sizeof section)
        return false;
    for (unsigned i = 0; i < header.e_shnum; i++) {
        if (!reads_all(image->file, header.e_shoff + i * sizeof section, &section, sizeof section))
            return false;
        if (section.sh_type == SHT_SYMTAB && section.sh_link < header.e_shnum &&
            reads_all(image->file, header.e_shoff + section.sh_link * sizeof strings, &strings, sizeof strings) &&
            find_in_table(image, &section, &strings, name, address))
            return true;
    }
    return false;
}

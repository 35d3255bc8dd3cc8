/* loader.c - see loader.h. ELF's hash tables, both kinds, are read as the loader itself reads them. */
#include "os/loader.h"

#include <elf.h>
#include <link.h>
#include <string.h>

/* The loader's list of objects; not there in a static program. Its order is that of the search. */
extern struct r_debug _r_debug __attribute__((weak));
/* Where this library's own dynamic section lies, by which it knows itself; the linker makes the name. */
extern ElfW(Dyn) _DYNAMIC[] __attribute__((weak, visibility("hidden")));

struct tables {
    const ElfW(Sym) * symbols;
    const char *strings;
    const uint32_t *gnu_hash;
    const uint32_t *old_hash;
};

/* The loader has added the load address already, except in objects whose dynamic section it cannot write. */
static const void *address_in(const struct link_map *object, ElfW(Addr) address)
{
    return (const void *)(address < object->l_addr ? address + object->l_addr : address);
}

static bool read_tables(const struct link_map *object, struct tables *tables)
{
    *tables = (struct tables){0};
    for (const ElfW(Dyn) *entry = object->l_ld; entry && entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == DT_SYMTAB)
            tables->symbols = address_in(object, entry->d_un.d_ptr);
        else if (entry->d_tag == DT_STRTAB)
            tables->strings = address_in(object, entry->d_un.d_ptr);
        else if (entry->d_tag == DT_GNU_HASH)
            tables->gnu_hash = address_in(object, entry->d_un.d_ptr);
        else if (entry->d_tag == DT_HASH)
            tables->old_hash = address_in(object, entry->d_un.d_ptr);
    }
    return tables->symbols && tables->strings;
}

/* A function that the object itself has. One whose address has to be computed first (IFUNC) counts as none: no malloc is. */
static bool defines(const struct tables *tables, uint32_t index, const char *name)
{
    const ElfW(Sym) *symbol = &tables->symbols[index];
    return symbol->st_shndx != SHN_UNDEF && ELF64_ST_TYPE(symbol->st_info) == STT_FUNC &&
           ELF64_ST_BIND(symbol->st_info) != STB_LOCAL && strcmp(tables->strings + symbol->st_name, name) == 0;
}

static const ElfW(Sym) * find_by_gnu_hash(const struct tables *tables, const char *name)
{
    const uint32_t *table = tables->gnu_hash;
    uint32_t bucket_count = table[0], first_symbol = table[1], bloom_words = table[2], bloom_shift = table[3];
    const uint64_t *bloom = (const uint64_t *)(const void *)(table + 4);
    const uint32_t *buckets = (const uint32_t *)(const void *)(bloom + bloom_words);
    const uint32_t *chains = buckets + bucket_count;
    uint32_t hash = 5381;

    for (const char *letter = name; *letter; letter++)
        hash = hash * 33 + (unsigned char)*letter;
    uint64_t bits = 1ull << hash % 64 | 1ull << (hash >> bloom_shift) % 64;
    if (bucket_count == 0 || (bloom[hash / 64 % bloom_words] & bits) != bits)
        return NULL;
    for (uint32_t index = buckets[hash % bucket_count]; index >= first_symbol; index++) {
        uint32_t found = chains[index - first_symbol];
        if ((found | 1) == (hash | 1) && defines(tables, index, name))
            return &tables->symbols[index];
        if (found & 1)
            break;
    }
    return NULL;
}

static const ElfW(Sym) * find_by_old_hash(const struct tables *tables, const char *name)
{
    uint32_t bucket_count = tables->old_hash[0];
    const uint32_t *buckets = tables->old_hash + 2;
    const uint32_t *chains = buckets + bucket_count;
    uint32_t hash = 0;

    for (const char *letter = name; *letter; letter++) {
        hash = (hash << 4) + (unsigned char)*letter;
        uint32_t high = hash & 0xf0000000;
        hash = (hash ^ high >> 24) & ~high;
    }
    for (uint32_t index = bucket_count ? buckets[hash % bucket_count] : 0; index != 0; index = chains[index])
        if (defines(tables, index, name))
            return &tables->symbols[index];
    return NULL;
}

static void *find_in(const struct link_map *object, const char *name)
{
    struct tables tables;
    const ElfW(Sym) *symbol = NULL;

    if (!read_tables(object, &tables))
        return NULL;
    if (tables.gnu_hash)
        symbol = find_by_gnu_hash(&tables, name);
    else if (tables.old_hash)
        symbol = find_by_old_hash(&tables, name);
    return symbol ? (void *)(object->l_addr + symbol->st_value) : NULL;
}

static const struct link_map *first_object(void)
{
    return &_r_debug && _DYNAMIC ? _r_debug.r_map : NULL;
}

static bool is_this_library(const struct link_map *object)
{
    return object->l_ld == _DYNAMIC;
}

bool loader_is_preceded(const char *name, const char **object)
{
    for (const struct link_map *one = first_object(); one && !is_this_library(one); one = one->l_next) {
        if (find_in(one, name)) {
            *object = one->l_name;
            return true;
        }
    }
    return false;
}

void *loader_find_other(const char *name)
{
    void *before = NULL;
    bool is_behind = false;

    for (const struct link_map *one = first_object(); one; one = one->l_next) {
        void *found = is_this_library(one) || (before && !is_behind) ? NULL : find_in(one, name);
        is_behind |= is_this_library(one);
        if (found && is_behind)
            return found;
        before = before ? before : found;
    }
    return before;
}

/* The code of links: a link is right in one block, before one other, in one epoch of one list, and from 10,000 of them nobody
 * makes another. (unit.secure.link_attacks goes for the algebra.) Keys and blocks are the test's own; the addresses belong to
 * nobody and are never read.
 */
#include "unit/chance.h"
#include "unit/secure/link.h"
#include "unit/unit.h"

#include <string.h>

#if MOAT_SECURE_ENCODED_LINKS

enum { LEAKS = 10000, FORGERIES = 1 << 20 };

/* All that a link is made of. */
struct link {
    const char *block;
    unsigned next;
    uint32_t epoch;
    enum sec_list list;
};

static struct link draw_link(struct rng *rng)
{
    return (struct link){.block = block_at(draw_page(rng), 1 + (unsigned)rng_below(rng, SLOTS)),
                         .next = (unsigned)rng_below(rng, SLOTS + 1),
                         .epoch = (uint32_t)rng_next(rng) & epoch_mask,
                         .list = rng_below(rng, 2) ? SEC_LIST_REMOTE : SEC_LIST_LOCAL};
}

static uint64_t encode(const uint64_t *keys, const struct link *link)
{
    return sec_link_encode(keys, link->block, link->next, link->epoch, link->list);
}

static bool decodes(const uint64_t *keys, const struct link *link, uint64_t word)
{
    unsigned next;
    return sec_link_decode(keys, link->block, word, link->epoch, link->list, &next);
}

/* ---- what is written is read ---- */

static void every_slot_is_read_back(struct rng *rng)
{
    static const uint32_t epochs[] = {0, 1, 2, 0x55555555, 0x7ffffffe, 0x7fffffff};
    uint64_t keys[KEYS];
    size_t wrong = 0, shown = 0, count = 0;

    for (size_t e = 0; e < sizeof epochs / sizeof epochs[0]; e++) {
        draw_keys(rng, keys);
        uint64_t page = draw_page(rng);
        for (unsigned slot = 1; slot <= SLOTS; slot++) {
            const unsigned nexts[] = {0, 1, SLOTS, slot, 1 + (unsigned)rng_below(rng, SLOTS)};
            for (size_t i = 0; i < 2 * sizeof nexts / sizeof nexts[0]; i++) {
                struct link link = {block_at(page, slot), nexts[i / 2], epochs[e], (enum sec_list)(i % 2)};
                unsigned next = SLOTS + 2;
                uint64_t word = encode(keys, &link);
                wrong += !sec_link_decode(keys, link.block, word, link.epoch, link.list, &next) || next != link.next;
                shown += (word & ((1u << SEC_TAG_SHIFT) - 1)) == link.next;
                count++;
            }
        }
    }
    EXPECT_EQ(wrong, 0);
    /* The next slot does not stand there in clear: it does by chance, as often as the mask is 0. */
    EXPECT(shown < count / 1000);
}

/* The two halves that the heap uses: blocks on a page's own list, slots on its remote one. */
static void blocks_and_slots_are_read_back(struct rng *rng)
{
    uint64_t keys[KEYS];
    draw_keys(rng, keys);
    for (size_t i = 0; i < 20000; i++) {
        uint64_t page = draw_page(rng);
        const char *block = block_at(page, 1 + (unsigned)rng_below(rng, SLOTS));
        unsigned slot = (unsigned)rng_below(rng, SLOTS + 1);
        const char *next = slot ? block_at(page, slot) : NULL;
        uint32_t epoch = (uint32_t)rng_next(rng) & epoch_mask;
        EXPECT(sec_block_of_link(keys, block, sec_link_to_block(keys, block, next)) == next);
        EXPECT_EQ(sec_slot_of_link(keys, block, sec_link_to_slot(keys, block, slot, epoch), epoch), slot);
        EXPECT(sec_link_is_whole(next));

        /* What is broken leads to no block and is not the end of a list either. */
        void *broken = sec_block_of_link(keys, block, (void *)(uintptr_t)rng_next(rng));
        EXPECT(broken && !sec_link_is_whole(broken));
        EXPECT(sec_slot_of_link(keys, block, rng_next(rng), epoch) > SLOTS);
    }
}

/* ---- what was not written there is not read ---- */

static size_t links_elsewhere(const uint64_t *keys, const struct link *link, uint64_t word)
{
    size_t passed = 0;
    uintptr_t block = (uintptr_t)link->block;
    struct link other = *link;

    for (unsigned bit = 0; bit < SEC_EPOCH_BITS; bit++) { /* another epoch, also the next and the last one */
        other.epoch = link->epoch ^ 1u << bit;
        passed += decodes(keys, &other, word);
    }
    other.epoch = (link->epoch + 1) & epoch_mask;
    passed += decodes(keys, &other, word);
    other.epoch = (link->epoch - 1) & epoch_mask;
    passed += decodes(keys, &other, word);

    other = *link;
    other.list = link->list == SEC_LIST_LOCAL ? SEC_LIST_REMOTE : SEC_LIST_LOCAL;
    passed += decodes(keys, &other, word);

    other = *link;
    for (unsigned bit = MOAT_ALIGN_BITS; bit < 47; bit++) { /* another slot, and the same slot of another page */
        other.block = (const char *)(block ^ (uintptr_t)1 << bit);
        passed += decodes(keys, &other, word);
    }
    other.block = (const char *)(block + MOAT_SLICE);
    passed += decodes(keys, &other, word);
    return passed;
}

static size_t links_maimed(const uint64_t *keys, const struct link *link, uint64_t word)
{
    size_t passed = 0;

    for (unsigned bit = 0; bit < 64; bit++)
        passed += decodes(keys, link, word ^ 1ull << bit);
    for (unsigned bytes = 1; bytes < 8;
         bytes++) { /* cut off at either end, overwritten with NUL or 'A' from either end */
        uint64_t low = ~0ull >> (64 - 8 * bytes);
        const uint64_t cut[] = {word & low,
                                word & ~low,
                                word >> 8 * bytes,
                                word << 8 * bytes,
                                (word & low) | (0x4141414141414141u & ~low),
                                (word & ~low) | (0x4141414141414141u & low)};
        for (size_t i = 0; i < sizeof cut / sizeof cut[0]; i++)
            passed += cut[i] != word && decodes(keys, link, cut[i]);
    }
    const uint64_t others[] = {0, ~0ull, ~word, (uint64_t)(uintptr_t)link->block, link->next};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        passed += decodes(keys, link, others[i]);
    return passed;
}

static void link_is_right_in_one_place_only(struct rng *rng)
{
    size_t elsewhere = 0, maimed = 0, swapped = 0;
    uint64_t keys[KEYS];

    draw_keys(rng, keys);
    for (size_t i = 0; i < 3000; i++) {
        struct link link = draw_link(rng);
        uint64_t word = encode(keys, &link);
        EXPECT(decodes(keys, &link, word));
        elsewhere += links_elsewhere(keys, &link, word);
        maimed += links_maimed(keys, &link, word);

        struct link second = link; /* two blocks of one list change their links */
        second.block = (const char *)((uintptr_t)link.block ^ (1 + rng_below(rng, SLOTS - 1)) * MOAT_ALIGN);
        second.next = (unsigned)rng_below(rng, SLOTS + 1);
        swapped += decodes(keys, &link, encode(keys, &second));
        swapped += decodes(keys, &second, word);
    }
    EXPECT_EQ(elsewhere, 0);
    EXPECT_EQ(maimed, 0);
    EXPECT_EQ(swapped, 0);
}

/* The limit of what is promised: the word of a local link hangs on the two blocks alone, so it is right again whenever the block is
 * free, however often it came and went meanwhile. A remote link is right in its own epoch only. */
static void local_link_has_no_epoch(struct rng *rng)
{
    for (size_t i = 0; i < 1000; i++) {
        uint64_t keys[KEYS];
        draw_keys(rng, keys);
        uint64_t page = draw_page(rng);
        const char *block = block_at(page, 1 + (unsigned)rng_below(rng, SLOTS));
        const char *next = block_at(page, 1 + (unsigned)rng_below(rng, SLOTS));
        EXPECT(sec_block_of_link(keys, block, sec_link_to_block(keys, block, next)) == next);

        uint32_t epoch = (uint32_t)rng_next(rng) & epoch_mask;
        uint64_t word = sec_link_to_slot(keys, block, sec_link_slot(next), epoch);
        EXPECT_EQ(sec_slot_of_link(keys, block, word, epoch), sec_link_slot(next));
        EXPECT(sec_slot_of_link(keys, block, word, (epoch + 1) & epoch_mask) > SLOTS);
    }
}

/* A bit of a key that does not matter would be one that nobody has to guess. */
static void every_bit_of_every_key_counts(struct rng *rng)
{
    for (size_t bit = 0; bit < 64 * KEYS; bit++) {
        size_t passed = 0;
        for (size_t i = 0; i < 64; i++) {
            uint64_t keys[KEYS], other[KEYS];
            draw_keys(rng, keys);
            memcpy(other, keys, sizeof keys);
            other[bit / 64] ^= 1ull << bit % 64;
            struct link link = draw_link(rng);
            passed += decodes(other, &link, encode(keys, &link));
        }
        if (!EXPECT(passed < 64))
            expect_say("  bit %zu of key %zu\n", bit % 64, bit / 64);
    }
}

/* Each bit that goes in turns each bit of the tag in half of all cases. */
static void tag_depends_on_every_bit(struct rng *rng)
{
    enum { DRAWS = 10000, TAG_BITS = 48 };
    uint64_t keys[KEYS], turned[TAG_BITS];

    for (unsigned bit = 0; bit < 31 + 12 + 13 + SEC_EPOCH_BITS + 1; bit++) {
        memset(turned, 0, sizeof turned);
        for (size_t i = 0; i < DRAWS; i++) {
            draw_keys(rng, keys);
            struct link link = draw_link(rng), other = link;
            if (bit < 31 + 12)
                other.block = (const char *)((uintptr_t)link.block ^ (uintptr_t)1 << (MOAT_ALIGN_BITS + bit));
            else if (bit < 31 + 12 + 13)
                other.next = link.next ^ 1u << (bit - 31 - 12);
            else if (bit < 31 + 12 + 13 + SEC_EPOCH_BITS)
                other.epoch = link.epoch ^ 1u << (bit - 31 - 12 - 13);
            else
                other.list = link.list == SEC_LIST_LOCAL ? SEC_LIST_REMOTE : SEC_LIST_LOCAL;
            uint64_t change = tag_of(encode(keys, &link) ^ encode(keys, &other));
            for (unsigned out = 0; out < TAG_BITS; out++)
                turned[out] += change >> out & 1;
        }
        for (unsigned out = 0; out < TAG_BITS; out++)
            if (!chance_expect_rate(turned[out], DRAWS, 0.5, "a bit of the tag turned"))
                expect_say("  bit %u of the input, bit %u of the tag\n", bit, out);
    }
}

/* ---- forgeries by somebody who has read many links ---- */

/* He has seen all of one page: slots, next slots, epochs of his choice. Words that differ from what he has seen in a way that
 * would keep a weak tag right. */
static uint64_t forged_word(struct rng *rng, const struct link *leak, const uint64_t *word, const struct link *target)
{
    size_t a = rng_below(rng, LEAKS), b = rng_below(rng, LEAKS), c = rng_below(rng, LEAKS);
    uint64_t tag;

    switch (rng_below(rng, 6)) {
    case 0:
        tag = tag_of(word[a]);
        break;
    case 1:
        tag = tag_of(word[a] ^ word[b] ^ word[c]);
        break;
    case 2:
        tag = tag_of(word[a]) + tag_of(word[b]) - tag_of(word[c]);
        break;
    case 3:
        tag = 2 * tag_of(word[a]) - tag_of(word[b]);
        break;
    case 4:
        tag = tag_of(word[a]) + (uint64_t)(target->next - leak[a].next) * (1 + rng_below(rng, 1000));
        break;
    default:
        tag = rng_next(rng);
        break;
    }
    /* The mask of the next slot is known where a link of the block was read. */
    uint64_t mask = (word[a] ^ leak[a].next) & ((1u << SEC_SLOT_BITS) - 1);
    return tag << SEC_TAG_SHIFT | (mask ^ target->next);
}

static void nobody_forges_from_many_links(struct rng *rng)
{
    static struct link leak[LEAKS];
    static uint64_t word[LEAKS];
    uint64_t keys[KEYS], page = draw_page(rng);
    size_t passed = 0;

    draw_keys(rng, keys);
    for (size_t i = 0; i < LEAKS; i++) {
        leak[i] = draw_link(rng);
        leak[i].block = block_at(page, 1 + (unsigned)i % 64);
        leak[i].next = (unsigned)(i / 64) % 64 + 1;
        leak[i].epoch = (uint32_t)(i / (64 * 64)) + 7;
        leak[i].list = SEC_LIST_REMOTE;
        word[i] = encode(keys, &leak[i]);
    }
    for (size_t i = 0; i < FORGERIES; i++) {
        struct link target = leak[rng_below(rng, LEAKS)];
        if (i % 2)
            target.next = 65 + (unsigned)rng_below(rng, SLOTS - 64); /* none that was seen */
        else
            target.epoch = 7 + 3 + (uint32_t)rng_below(rng, 1000);
        passed += decodes(keys, &target, forged_word(rng, leak, word, &target));
    }
    EXPECT_EQ(passed, 0);
}

/* ---- the keys of a process ---- */

static bool keys_of_new_program(uint64_t keys[KEYS])
{
    int ends[2];
    if (!EXPECT_EQ(pipe(ends), 0))
        return false;
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        execl("/proc/self/exe", "link_codec", "keys", (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    ssize_t bytes = read(ends[0], keys, KEYS * sizeof keys[0]);
    close(ends[0]);
    return EXPECT_EQ(child_wait(child), 0) && EXPECT_EQ(bytes, KEYS * sizeof keys[0]);
}

static int print_keys(void)
{
    const size_t bytes = KEYS * sizeof(uint64_t);
    moat_free(moat_malloc(1));
    return write(STDOUT_FILENO, moat_fixed.is.link_keys, bytes) == (ssize_t)bytes ? 0 : 1;
}

/* A child of fork has its parent's: it could not read the links that it inherits. */
static int compare_in_child(const uint64_t parent[KEYS])
{
    pid_t child = fork();
    if (child == 0) {
        moat_free(moat_malloc(1));
        _exit(memcmp(parent, moat_fixed.is.link_keys, KEYS * sizeof parent[0]) == 0 ? 0 : 1);
    }
    return child_wait(child);
}

static void every_process_has_keys_of_its_own(void)
{
    enum { PROCESSES = 4 };
    uint64_t keys[PROCESSES][KEYS];

    moat_free(moat_malloc(1));
    memcpy(keys[0], moat_fixed.is.link_keys, sizeof keys[0]);
    EXPECT_EQ(compare_in_child(keys[0]), 0);
    for (size_t i = 1; i < PROCESSES; i++)
        if (!keys_of_new_program(keys[i]))
            return;
    for (size_t i = 0; i < PROCESSES * KEYS; i++) {
        uint64_t key = keys[i / KEYS][i % KEYS];
        EXPECT(key != 0 && (key & 1 || i % KEYS < 3));
        for (size_t j = 0; j < i; j++)
            EXPECT(key != keys[j / KEYS][j % KEYS]);
    }
    /* Drawn anew at every call. */
    sec_link_keys(keys[1]);
    sec_link_keys(keys[2]);
    for (size_t i = 0; i < KEYS; i++)
        EXPECT(keys[1][i] != keys[2][i] && keys[1][i] != keys[0][i]);
}

int main(int count, char **arguments)
{
    if (count > 1 && strcmp(arguments[1], "keys") == 0)
        return print_keys();
    uint64_t seed = rng_seed();
    struct rng rng[7];
    for (size_t i = 0; i < 7; i++)
        rng[i] = rng_stream(seed, i);
    every_slot_is_read_back(&rng[0]);
    blocks_and_slots_are_read_back(&rng[1]);
    link_is_right_in_one_place_only(&rng[2]);
    local_link_has_no_epoch(&rng[6]);
    every_bit_of_every_key_counts(&rng[3]);
    tag_depends_on_every_bit(&rng[4]);
    nobody_forges_from_many_links(&rng[5]);
    every_process_has_keys_of_its_own();
    return expect_done();
}

#else

/* Without the protection a link is what it leads to, and nothing is refused. */
int main(void)
{
    static char block[64];
    unit_skip("tags, masks and keys", "links are not encoded in this build");
    EXPECT_EQ(sec_link_to_slot(NULL, block, 1234, 99), 1234);
    EXPECT_EQ(sec_slot_of_link(NULL, block, 1234, 98), 1234);
    EXPECT(sec_link_to_block(NULL, block, block + 16) == block + 16);
    EXPECT(sec_block_of_link(NULL, block, block + 16) == block + 16);
    EXPECT(sec_block_of_link(NULL, block, NULL) == NULL && sec_link_is_whole(NULL));
    EXPECT_EQ(MOAT_LINK_KEYS, 0);
    return expect_done();
}

#endif

/* config.h - the only place that decides which protections a build has, and every number that goes with them.
 *
 * Each MOAT_SECURE_* switch comes from the build as 0 or 1, always; nothing here has a default, so that a build that
 * forgot one stops instead of shipping without it. Code outside this file and secure/ never asks for a switch: it uses
 * the numbers below, which are plain constants in every build.
 */
#ifndef MOAT_BASE_CONFIG_H
#define MOAT_BASE_CONFIG_H

#if !defined(MOAT_SECURE_GUARD_PAGES) || !defined(MOAT_SECURE_DOUBLE_FREE) || !defined(MOAT_SECURE_ISOLATION) || \
    !defined(MOAT_SECURE_ENCODED_LINKS) || !defined(MOAT_SECURE_RANDOM_ORDER)
#error "every MOAT_SECURE_* switch must be defined to 0 or 1 by the build: configure with CMake"
#endif
#if MOAT_SECURE_GUARD_PAGES > 1 || MOAT_SECURE_DOUBLE_FREE > 1 || MOAT_SECURE_ISOLATION > 1 || \
    MOAT_SECURE_ENCODED_LINKS > 1 || MOAT_SECURE_RANDOM_ORDER > 1
#error "a MOAT_SECURE_* switch is 0 or 1"
#endif

/* What several protections need is a derived switch. Blocks behind a magazine are found by their states alone, so a build
 * with random order has states, and with them what double-free detection is. */
#define MOAT_HAS_STATES (MOAT_SECURE_DOUBLE_FREE || MOAT_SECURE_RANDOM_ORDER)
#define MOAT_HAS_MAGAZINES MOAT_SECURE_RANDOM_ORDER

#define MOAT_IS_HARDENED \
    (MOAT_SECURE_GUARD_PAGES || MOAT_HAS_STATES || MOAT_SECURE_ISOLATION || MOAT_SECURE_ENCODED_LINKS)
#if MOAT_IS_HARDENED
#define MOAT_PROFILE "secure"
#else
#define MOAT_PROFILE "plain"
#endif

#define MOAT_VERSION_MAJOR 0
#define MOAT_VERSION_MINOR 1
#define MOAT_VERSION_PATCH 0

enum {
    /* The machine. */
    MOAT_OS_PAGE_BITS = 12,
    MOAT_OS_PAGE = 1 << MOAT_OS_PAGE_BITS,
    MOAT_CACHE_LINE = 64,

    /* The cage: slices of 64 KiB, chunks of 32 slices (2 MiB, one page table). */
    MOAT_SLICE_BITS = 16,
    MOAT_SLICE = 1 << MOAT_SLICE_BITS,
    MOAT_CHUNK_BITS = 21,
    MOAT_CHUNK = 1 << MOAT_CHUNK_BITS,
    MOAT_CHUNK_SLICES = MOAT_CHUNK / MOAT_SLICE,

    /* Blocks. A state byte covers one granule, so no block of a build with states is smaller than that. */
    MOAT_ALIGN_BITS = 4,
    MOAT_ALIGN = 1 << MOAT_ALIGN_BITS,
    MOAT_GRANULE_BITS = 5,
    MOAT_MIN_BLOCK = MOAT_HAS_STATES ? 1 << MOAT_GRANULE_BITS : MOAT_ALIGN,
    MOAT_SMALL_MAX = 16 * 1024 - 1, /* the largest small request, bytes */
    MOAT_MEDIUM_MAX = 1024 * 1024,  /* the largest medium request, bytes */

    /* Classes: steps of 16 bytes to 128, then eight to a doubling (at most 12.5 % waste). */
    MOAT_SMALL_CLASSES = 64,
    MOAT_MEDIUM_CLASSES = 48,
    MOAT_CLASSES = MOAT_SMALL_CLASSES + MOAT_MEDIUM_CLASSES,
    MOAT_LIST_CLASSES = MOAT_HAS_MAGAZINES ? 1 : MOAT_SMALL_CLASSES,
    MOAT_BIG_CLASS = 31, /* of 1024 bytes: from here on fewer blocks are kept back */

    /* A page wakes when capacity/16 blocks, at least 1 and at most 32, are back: fewer makes every malloc slow, more
     * holds memory (7 % of RSS at 1 KiB with capacity/8, 2.5 % with capacity/16). */
    MOAT_WAKE_DIVISOR = 16,
    MOAT_WAKE_MAX = 32,

    /* Words of process keys in the read-only page. */
    MOAT_LINK_KEYS = MOAT_SECURE_ENCODED_LINKS ? 5 : 0,

    /* Emptied pages that a heap keeps hot: this many, or an eighth of the class. */
    MOAT_KEEP_EMPTY = 2,
    MOAT_KEEP_EMPTY_DIVISOR = 8,

    /* Whether a build has the protection, for the report at exit. */
    MOAT_WITH_GUARDS = MOAT_SECURE_GUARD_PAGES,
    MOAT_WITH_STATES = MOAT_HAS_STATES,
    MOAT_WITH_ISOLATION = MOAT_SECURE_ISOLATION,
    MOAT_WITH_ENCODED_LINKS = MOAT_SECURE_ENCODED_LINKS,
    MOAT_WITH_RANDOM_ORDER = MOAT_SECURE_RANDOM_ORDER,
};

#endif

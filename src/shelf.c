/* shelf.c - see shelf.h. */
#include "shelf.h"

#include "base/atomic.h"
#include "cage.h"
#include "classes.h"
#include "os/os.h"
#include "remote.h"
#include "report.h"

enum {
    CARVE_BYTES = MOAT_OS_PAGE, /* without magazines so many bytes of fresh blocks are linked at once, */
    CARVE_MAX = 64,             /* and so many blocks at most; */
    RUN_BYTES = MOAT_OS_PAGE,   /* with them a place for fresh blocks gets so many */
    GRANULES = MOAT_SLICE >> MOAT_GRANULE_BITS,
    LOOK_MS = 250, /* between two looks for what lies idle in magazines */
};

/* The page whose states are looked through for a class, 0 for none, and the next granule to look at. */
enum { SCAN_SLICE, SCAN_GRANULE };

static _Noreturn MOAT_COLD void die_of(const char *function, const void *block)
{
    moat_die(KIND_CORRUPTED_FREE_LIST, function, block, DETAIL_CLASS,
             record_of_slice(slice_of_address(block))->block_bytes);
}

/* ---- lists ---- */

static bool carve_list(struct heap *heap, unsigned class)
{
    struct record *page = page_partial(heap, class);
    if (!page)
        return false;

    size_t block = page->block_bytes;
    unsigned count = (unsigned)max_size(1, min_size(CARVE_BYTES / block, CARVE_MAX));
    count = (unsigned)min_size(count, (size_t)page->capacity - page->carved);
    char *first = page_start(page) + page->carved * block;

    for (unsigned i = 0; i < count; i++) {
        char *at = first + i * block;
        hook_carved(at);
        *(void **)(void *)at = hook_link_of(at, i + 1 < count ? at + block : NULL);
    }
    page_count_carved(heap, page, count);
    heap->free[class] = first;
    return true;
}

static bool take_queued_list(struct heap *heap, unsigned class)
{
    struct class_queue *queue = &heap->queue[class];
    if (queue->head == 0)
        return false;

    struct record *page = record_of_slice(queue->head);
    if (remote_is_waiting(page))
        remote_collect(page);
    heap->free[class] = page_take_first(queue);
    return true;
}

static void clear_list(struct heap *heap, unsigned class)
{
    void *block = heap->free[class];
    heap->free[class] = NULL;
    if (!block)
        return;

    struct record *page = record_of_slice(slice_of_address(block));
    unsigned count = 0;
    while (block) {
        void *next = hook_next_of(block, *(void **)block);
        if (!hook_link_stays(block, next, page->reciprocal) || !hook_is_free(block) || count >= page->carved)
            die_of("free", block);
        *(void **)block = hook_link_of(block, page->free);
        page->free = block;
        block = next;
        count++;
    }
    page_took_back(heap, page, count);
}

/* ---- magazines ---- */

/* Draws are there, and in a child of fork the stacks are known again. */
static void make_ready(struct heap *heap)
{
    if (hook_desk_ready(&heap->shelf))
        return;
    for (unsigned class = 0; class < MOAT_SMALL_CLASSES; class ++)
        if (heap->queue[class].owned != 0)
            hook_stack_recount(&heap->shelf, class);
}

/* Neighbours in a magazine are often of one page, which is then told once. */
static void send_home(struct heap *heap, void *const *blocks, unsigned count)
{
    unsigned begin = 0;

    for (unsigned i = 0; i < count; i++) {
        if (!hook_sent_home(blocks[i]))
            die_of("free", blocks[i]);
        if (i + 1 < count && slice_of_address(blocks[i + 1]) == slice_of_address(blocks[i]))
            continue;
        page_took_back(heap, record_of_slice(slice_of_address(blocks[i])), i + 1 - begin);
        begin = i + 1;
    }
}

static void send_run_home(struct heap *heap, unsigned class, char *first, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (!hook_set_free(first + i * class_bytes(class)))
            die_of("free", first + i * class_bytes(class));
    page_took_back(heap, record_of_slice(slice_of_address(first)), count);
}

/* The stack is full: its older half goes to the depot, or home where that is full. */
static void spill(struct heap *heap, unsigned class)
{
    void *blocks[HOOK_SPILL_MOST];

    if (hook_depot_lacks_memory(&heap->shelf, class))
        hook_depot_give_memory(&heap->shelf, class, meta_allocate(HOOK_DEPOT_BYTES));
    void **array = hook_depot_place(&heap->shelf, class, class_bytes(class));
    unsigned count = hook_stack_spill(&heap->shelf, class, array ? array : blocks);
    if (!array)
        send_home(heap, blocks, count);
}

/* Sets a run of fresh blocks aside for a place that has none: an OS page's bytes, so that the program's own lines and pages
 * ascend where it walks what it made. One block while the class has one page, which would else be touched all over by few
 * blocks. False: no page has any. */
static bool set_run_aside(struct heap *heap, unsigned class, struct sec_fill *fill)
{
    struct record *page = page_partial(heap, class);
    if (!page)
        return false;

    size_t block = page->block_bytes;
    unsigned count = heap->queue[class].page_count > 1 ? (unsigned)max_size(1, RUN_BYTES / block) : 1;
    count = (unsigned)min_size(count, (size_t)page->capacity - page->carved);
    char *first = page_start(page) + page->carved * block;

    page_count_carved(heap, page, count);
    hook_fill_give(fill, first, count);
    return true;
}

static bool fill_places(struct heap *heap, unsigned class, struct sec_fill *fill)
{
    while (hook_fill_lacks_run(fill))
        if (!set_run_aside(heap, class, fill))
            return false;
    return true;
}

static bool take_fresh_blocks(struct heap *heap, unsigned class)
{
    struct sec_fill fill;

    hook_fill_begin(&heap->shelf, class, &fill);
    while (hook_fill_wants(&fill) && fill_places(heap, class, &fill))
        hook_fill_draw(&fill, class_bytes(class));
    if (hook_fill_end(&heap->shelf, class, &fill))
        return true;
    for (unsigned i = 0; i < hook_fill_count(&fill); i++) { /* a signal handler has filled the stack */
        void *block = hook_fill_block(&fill, i);
        send_home(heap, &block, 1);
    }
    return shelf_is_stocked(heap, class);
}

/* The next page to look through: the oldest queued one. */
static bool begin_scan(struct heap *heap, unsigned class, uint32_t *scan)
{
    struct class_queue *queue = &heap->queue[class];
    if (queue->head == 0)
        return false;

    struct record *page = record_of_slice(queue->head);
    unsigned home = page_back(page);
    if (remote_is_waiting(page))
        home += remote_collect(page);
    page_take_first(queue);
    page->phase = PAGE_SCANNED;
    page->needed = PAGE_SCAN_BIAS - home;
    scan[SCAN_SLICE] = slice_of_record(page);
    scan[SCAN_GRANULE] = 0;
    return true;
}

static void end_scan(struct heap *heap, uint32_t *scan)
{
    if (scan[SCAN_SLICE] == 0)
        return;
    struct record *page = record_of_slice(scan[SCAN_SLICE]);
    unsigned home = page_back(page);
    if (home > page->carved) /* miscounted in a signal handler: it would be looked through again and again */
        die_of("malloc", page_start(page));
    scan[SCAN_SLICE] = 0;
    page->phase = PAGE_AWAY;
    page->needed = page->threshold;
    page_took_back(heap, page, home);
}

static char *block_of_granule(const struct record *page, uint32_t granule)
{
    size_t block = page->block_bytes;
    size_t index = (((uint64_t)granule << MOAT_GRANULE_BITS) + block - 1) * page->reciprocal >> 32;
    return page_start(page) + index * block;
}

/* Takes up to `wanted` blocks of the scanned page. */
static unsigned take_scanned(const uint32_t *scan, uint32_t *granule, void **blocks, unsigned wanted)
{
    struct record *page = record_of_slice(scan[SCAN_SLICE]);
    uint32_t found[HOOK_SPILL_MOST];
    unsigned count = hook_find_free(page_start(page), granule, GRANULES, found, wanted);

    for (unsigned i = 0; i < count; i++) {
        blocks[i] = block_of_granule(page, found[i]);
        if (!hook_is_block_start(blocks[i], page->reciprocal) || !hook_shelved(blocks[i]))
            die_of("malloc", blocks[i]);
    }
    page->needed += count;
    return count;
}

/* Up to `wanted` blocks that came home. */
static unsigned gather_home_blocks(struct heap *heap, unsigned class, void **blocks, unsigned wanted)
{
    uint32_t *scan = hook_scan_of(&heap->shelf, class);
    unsigned count = 0;

    while (count < wanted && (scan[SCAN_SLICE] != 0 || begin_scan(heap, class, scan))) {
        unsigned more = take_scanned(scan, &scan[SCAN_GRANULE], blocks + count, wanted - count);
        if (more == 0)
            end_scan(heap, scan);
        count += more;
    }
    return count;
}

/* Takes half a stack of blocks that came home through the reserve: more, while its empty places give nothing back. False:
 * none are left. */
static bool take_home_blocks(struct heap *heap, unsigned class)
{
    void *blocks[HOOK_SPILL_MOST];
    unsigned wanted = hook_refill(&heap->shelf, class), count;

    do {
        count = gather_home_blocks(heap, class, blocks, wanted);
        if (count > 0 && !hook_exchange(&heap->shelf, class, blocks, count))
            send_home(heap, blocks, count); /* a signal handler has filled the stack */
    } while (count > 0 && !shelf_is_stocked(heap, class));
    return count > 0;
}

static void clear_magazine(struct heap *heap, unsigned class)
{
    if (heap->queue[class].owned == 0)
        return;
    make_ready(heap);
    for (void *block; (block = hook_drain(&heap->shelf, class)) != NULL;)
        send_home(heap, &block, 1);
    char *first;
    for (unsigned count; (count = hook_drain_run(&heap->shelf, class, &first)) > 0;)
        send_run_home(heap, class, first, count);
    end_scan(heap, hook_scan_of(&heap->shelf, class));
}

/* Sends home what nobody touched since the last look. */
static void cool(struct heap *heap, unsigned class)
{
    void *blocks[HOOK_SPILL_MOST];

    for (unsigned count; (count = hook_depot_cool(&heap->shelf, class, blocks)) > 0;)
        send_home(heap, blocks, count);
    if (hook_is_idle(&heap->shelf, class))
        clear_magazine(heap, class);
}

/* One class at a call: all of them at once would be the dearest malloc or free there is. The classes below `class` are left:
 * a signal handler that looks in between makes one be looked at twice. */
static void look_at_next(struct heap *heap, unsigned class)
{
    do
        class --;
    while (class > 0 && heap->queue[class].owned == 0);
    heap->to_look_at = (uint8_t) class;
    if (heap->queue[class].owned != 0)
        cool(heap, class);
}

static void look_after(struct heap *heap)
{
    unsigned left = atomic_get(&heap->to_look_at);
    if (left > 0) {
        look_at_next(heap, left);
        return;
    }
    if (heap->until_look > 0) {
        heap->until_look--;
        return;
    }
    heap->until_look = MOAT_CALLS_TO_CLOCK - 1;
    uint32_t now = (uint32_t)os_now_ms();
    if (now - heap->looked_at_ms < LOOK_MS)
        return;
    heap->looked_at_ms = now;
    heap->to_look_at = MOAT_SMALL_CLASSES;
}

/* ---- either ---- */

bool shelf_fill(struct heap *heap, unsigned class)
{
    if (!HOOK_HAS_MAGAZINES)
        return take_queued_list(heap, class) || carve_list(heap, class);
    if (heap->queue[class].owned == 0)
        return false; /* so there need not even be a magazine */
    make_ready(heap);
    look_after(heap);
    /* In a child the stack may be found full, or partly: an array of the depot would be laid over it. */
    return shelf_is_stocked(heap, class) || hook_take_from_depot(&heap->shelf, class) ||
           take_home_blocks(heap, class) || take_fresh_blocks(heap, class);
}

bool shelf_make_room(struct heap *heap, unsigned class)
{
    if (!HOOK_HAS_MAGAZINES)
        return false;
    make_ready(heap);
    look_after(heap);
    if (hook_stack_is_full(&heap->shelf, class))
        spill(heap, class);
    else
        heap_tick(); /* new draws were made, which comes once in some hundred pairs even where nothing else does */
    return true;
}

void shelf_clear(struct heap *heap, unsigned class)
{
    if (HOOK_HAS_MAGAZINES)
        clear_magazine(heap, class);
    else
        clear_list(heap, class);
}

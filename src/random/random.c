/* random.c - a key, a buffer of its stream, and fast key erasure: the first bytes of every refill become the next key,
 * so that what was drawn before cannot be worked out from what lies in memory later (D. J. Bernstein, "Fast-key-erasure
 * random-number generators", 2017).
 */
#include "random/random.h"

#include "os/lock.h"
#include "os/os.h"

#include <sodium/crypto_stream_chacha20.h>
#include <sodium/randombytes.h>
#include <string.h>
#include <sys/auxv.h>

enum { KEY_BYTES = crypto_stream_chacha20_KEYBYTES };
MOAT_STATIC_ASSERT(sizeof((struct random_stream *)0)->key == KEY_BYTES, "a stream's key is the cipher's");

/* The process-wide generator, under LOCK_RANDOM but at the start. */
static struct random_stream generator;
static bool is_weak;

static const char *source_name(void)
{
    return "moat";
}

/* The bytes that the kernel leaves on the stack of every new program, and what tells this process from others: the last
 * resort where a filter or an early boot refuses getrandom. */
static void weak_bytes(unsigned char *buffer, size_t bytes)
{
    unsigned char key[KEY_BYTES] = {0};
    unsigned char nonce[crypto_stream_chacha20_NONCEBYTES] = {0};
    const void *left_by_kernel = (const void *)getauxval(AT_RANDOM);
    uint64_t identity = os_thread_id() + (os_now_ms() << 32);

    if (left_by_kernel)
        memcpy(key, left_by_kernel, 16);
    memcpy(nonce, &identity, sizeof identity);
    for (size_t i = 0; i < KEY_BYTES; i++)
        key[i] ^= generator.key[i];
    crypto_stream_chacha20(buffer, bytes, nonce, key);
    is_weak = true;
}

static void source_bytes(void *const buffer, const size_t bytes)
{
    if (!os_random(buffer, bytes))
        weak_bytes(buffer, bytes);
}

static uint32_t source_number(void)
{
    uint32_t number;
    source_bytes(&number, sizeof number);
    return number;
}

static struct randombytes_implementation source = {
    .implementation_name = source_name,
    .random = source_number,
    .buf = source_bytes,
};

/* libsodium calls this when it is misused, and its own pulls in 170 KiB: nothing here can misuse it. */
void sodium_misuse(void);
__attribute__((visibility("hidden"))) void sodium_misuse(void)
{
    os_abort();
}

static void expand(struct random_stream *stream)
{
    static const unsigned char nonce[crypto_stream_chacha20_NONCEBYTES];
    unsigned char bytes[KEY_BYTES + sizeof stream->draw];

    crypto_stream_chacha20(bytes, sizeof bytes, nonce, stream->key);
    memcpy(stream->key, bytes, KEY_BYTES);
    memcpy(stream->draw, bytes + KEY_BYTES, sizeof stream->draw);
    explicit_bzero(bytes, sizeof bytes);
    stream->left = sizeof stream->draw / sizeof stream->draw[0];
}

void random_start(void)
{
    randombytes_set_implementation(&source);
    randombytes_buf(generator.key, KEY_BYTES);
    generator.left = 0;
    generator.is_keyed = 1;
}

void random_restart(void)
{
    unsigned char fresh[KEY_BYTES];

    randombytes_buf(fresh, KEY_BYTES);
    for (size_t i = 0; i < KEY_BYTES; i++)
        generator.key[i] ^= fresh[i];
    explicit_bzero(fresh, sizeof fresh);
    generator.left = 0;
}

bool random_is_weak(void)
{
    return is_weak;
}

uint64_t random_draw(void)
{
    lock_take(LOCK_RANDOM);
    uint64_t draw = 0;
    if (!random_stream_pop(&generator, &draw)) {
        expand(&generator);
        random_stream_pop(&generator, &draw);
    }
    lock_drop(LOCK_RANDOM);
    return draw;
}

uint64_t random_below(uint64_t limit)
{
    /* Multiply and shift: biased by at most limit / 2^64. */
    return (uint64_t)(((unsigned __int128)random_draw() * limit) >> 64);
}

void random_stream_refill(struct random_stream *stream)
{
    if (!stream->is_keyed) {
        for (size_t i = 0; i < KEY_BYTES; i += sizeof(uint64_t)) {
            uint64_t draw = random_draw();
            memcpy(stream->key + i, &draw, sizeof draw);
        }
        stream->is_keyed = 1;
    }
    expand(stream);
}

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

enum { KEY_BYTES = crypto_stream_chacha20_KEYBYTES, DRAWS = 60 };

static struct {
    unsigned char key[KEY_BYTES];
    uint64_t draw[DRAWS];
    unsigned left; /* draws not yet handed out */
    bool weak;
} generator;

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
    generator.weak = true;
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

static void refill(void)
{
    static const unsigned char nonce[crypto_stream_chacha20_NONCEBYTES];
    unsigned char stream[KEY_BYTES + sizeof generator.draw];

    crypto_stream_chacha20(stream, sizeof stream, nonce, generator.key);
    memcpy(generator.key, stream, KEY_BYTES);
    memcpy(generator.draw, stream + KEY_BYTES, sizeof generator.draw);
    explicit_bzero(stream, sizeof stream);
    generator.left = DRAWS;
}

void random_start(void)
{
    randombytes_set_implementation(&source);
    randombytes_buf(generator.key, KEY_BYTES);
    generator.left = 0;
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
    return generator.weak;
}

uint64_t random_below(uint64_t limit)
{
    lock_take(LOCK_RANDOM);
    if (generator.left == 0)
        refill();
    uint64_t draw = generator.draw[--generator.left];
    generator.draw[generator.left] = 0;
    lock_drop(LOCK_RANDOM);
    /* Multiply and shift: biased by at most limit / 2^64. */
    return (uint64_t)(((unsigned __int128)draw * limit) >> 64);
}

/* reads.c - see reads.h. */
#include "reads.h"

#include <unistd.h>

static uint64_t reads_left = UINT64_MAX, bytes_left = UINT64_MAX;
static bool is_spent;

void reads_limit(uint64_t reads, uint64_t bytes)
{
    reads_left = reads;
    bytes_left = bytes;
}

bool reads_are_spent(void)
{
    return is_spent;
}

bool reads_pay(uint64_t reads, uint64_t bytes)
{
    if (is_spent || reads > reads_left || bytes > bytes_left) {
        is_spent = true;
        return false;
    }
    reads_left -= reads;
    bytes_left -= bytes;
    return true;
}

ssize_t reads_some(int file, uint64_t at, void *into, size_t bytes)
{
    if (!reads_pay(1, 0))
        return -1;
    ssize_t got = pread(file, into, bytes, (off_t)at);
    return got <= 0 || reads_pay(0, (uint64_t)got) ? got : -1;
}

bool reads_all(int file, uint64_t at, void *into, size_t bytes)
{
    char *next = into;
    while (bytes > 0) {
        ssize_t got = reads_some(file, at, next, bytes);
        if (got <= 0)
            return false;
        next += got;
        at += (uint64_t)got;
        bytes -= (size_t)got;
    }
    return true;
}

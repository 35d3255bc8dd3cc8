/* To be preloaded beside Moat: makes a service free a place on its stack when it gets SIGRTMIN, which no service here uses. */
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>

static void misuse(int number)
{
    _Alignas(16) char local[64] = {(char)number};
    uintptr_t hidden = (uintptr_t)local;
    __asm__ volatile("" : "+r"(hidden) : : "memory");
    free((void *)hidden);
}

__attribute__((constructor)) static void wait_for_signal(void)
{
    signal(SIGRTMIN, misuse);
}

/* A program that reads, by the installed header, what Moat shows of its process. */
#include <dlfcn.h>
#include <moat_state.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
    free(malloc(100));
    const struct moat_state *state = dlsym(RTLD_DEFAULT, MOAT_STATE_SYMBOL);
    if (state == NULL || memcmp(state->magic, MOAT_STATE_MAGIC, sizeof state->magic) != 0 ||
        state->layout != MOAT_STATE_LAYOUT || state->mode != MOAT_STATE_ACTIVE)
        return 1;
    printf("%s %s\n", state->version, state->profile);
    return 0;
}

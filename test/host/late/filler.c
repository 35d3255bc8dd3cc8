/* A module that takes static thread storage, as some graphics and profiling libraries do. FILLER_BYTES comes from the build. */
__thread char filler_bytes[FILLER_BYTES] __attribute__((tls_model("initial-exec")));

__attribute__((visibility("default"))) char *filler_place(void);

char *filler_place(void)
{
    return filler_bytes;
}

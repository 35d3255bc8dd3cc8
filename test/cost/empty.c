/* A library that does nothing: preloaded it is the control of what another library costs a process, and its two functions
 * are the control of what a loop costs without malloc and free: one instruction each.
 */
__asm__(".text\n"
        ".globl empty_malloc\n.type empty_malloc, @function\nempty_malloc:\n\tret\n.size empty_malloc, 1\n"
        ".globl empty_free\n.type empty_free, @function\nempty_free:\n\tret\n.size empty_free, 1\n");

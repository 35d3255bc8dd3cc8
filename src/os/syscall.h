/* syscall.h - the one door to the kernel.
 *
 * Every system call that Moat makes after its start goes through os_syscall, so that a test can put a door of its own in
 * its place and let the k-th call of a kind fail. Answers the call's value, or -errno; errno itself is left alone.
 */
#ifndef MOAT_OS_SYSCALL_H
#define MOAT_OS_SYSCALL_H

long os_syscall(long nr, long a, long b, long c, long d, long e, long f);

#endif

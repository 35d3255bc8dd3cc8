/* os.h - the contract with the system, in words.
 *
 * Memory comes in OS pages. A *reserved* range is inaccessible and costs nothing; *open* makes it usable and zero; *rest*
 * gives the memory back and makes the range inaccessible again; *release* gives up the addresses as well. A *guard* is an
 * OS page that faults on any access though the range around it is open.
 *
 * Commands answer 0 or an errno value. None touches errno. After start only mmap, munmap, mprotect, madvise, mremap,
 * futex, getrandom and write are called; functions marked (start) may use more.
 */
#ifndef MOAT_OS_OS_H
#define MOAT_OS_OS_H

#include "base/compiler.h"

enum os_guard_way { OS_GUARD_NONE, OS_GUARD_ADVISE, OS_GUARD_PROTECT };

/* Reserves `bytes` of addresses somewhere. Returns NULL when the system refuses, whatever its errno. */
void *os_reserve(size_t bytes);
/* A fresh, zeroed, usable mapping; NULL when refused. */
void *os_map(size_t bytes);
int os_unmap(void *start, size_t bytes);
int os_open(void *start, size_t bytes);
int os_protect_none(void *start, size_t bytes);
int os_protect_read(void *start, size_t bytes);
/* Gives the memory, its page tables and its commit charge back; the range becomes reserved. */
int os_rest(void *start, size_t bytes);
/* Gives the memory back; the range stays open and reads zero. Works in locked memory too. */
int os_purge(void *start, size_t bytes);
/* False: the range, behind which something is mapped, has not the same properties throughout (locks, advice, watchers). */
bool os_is_one_mapping(void *start, size_t bytes);
/* Has the range inherited by children of fork, and copied, whatever the program advised. */
int os_inherit_at_fork(void *start, size_t bytes);
/* True if the OS page, an open one, is locked in memory, or the system does not tell; else its contents are gone. */
bool os_is_locked(void *page);
/* Moves the pages of [from, from + bytes) to the reserved range at `to`; `from` is reserved afterwards. On an error
 * `to` is, and nothing has moved; on ENOTRECOVERABLE a part has, and the system
 * refuses both to move the others and to copy them. */
int os_move(void *from, void *to, size_t bytes);
/* Guards without mappings of their own. Install also gives the memory below back. */
int os_guard_install(void *start, size_t bytes);
int os_guard_remove(void *start, size_t bytes);
/* (start) True when os_guard_install was tried on `page`, an open OS page, and an access really faults.
 * The page is usable afterwards. */
bool os_guard_probe(void *page);
/* Keeps a range out of core dumps; a refusal costs nothing but dump size. */
void os_hide_from_dumps(void *start, size_t bytes);
/* Makes a range read as zero in a child of fork. Answers an errno value where the kernel cannot. */
int os_wipe_on_fork(void *start, size_t bytes);
/* Huge pages where they fit, for a block that is large enough to gain from them. */
void os_prefer_huge(void *start, size_t bytes);

/* Fills the buffer from the kernel's generator without blocking; answers false when it gives nothing. */
bool os_random(void *buffer, size_t bytes);
/* Milliseconds of a coarse clock that never goes back. */
uint64_t os_now_ms(void);
/* (start) Addresses that RLIMIT_AS leaves, SIZE_MAX when it is unlimited. */
size_t os_address_limit(void);
/* (start) True in an emulator, where an advice is taken and nothing happens, and where reserved addresses cost memory.
 * `page` is an open OS page. */
bool os_is_emulated(void *page);
/* (start) True when the process runs with raised privileges, so that its environment is not to be trusted. */
bool os_is_privileged(void);
/* The highest number of mappings that the kernel allows a process, read at (start) by os_map_limit_read. */
size_t os_map_limit(void);
void os_map_limit_read(void);
/* (start) The value of an environment variable, also before the C library has set environ; copied to `value`.
 * Answers its length, cut to value_bytes - 1 where it is longer; -1 when it is not set. */
long os_environment(const char *name, char *value, size_t value_bytes);

void os_write(int descriptor, const char *text, size_t bytes);
/* Identity of an open file, to see later whether the descriptor is still the same; 0 when it is closed. */
uint64_t os_file_identity(int descriptor);
/* True for what cannot be a program's data: a pipe, a terminal or another character device. */
bool os_is_stream(int descriptor);
unsigned os_thread_id(void);
/* What tells the calling thread from all others that live, without a system call. */
MOAT_INLINE uintptr_t os_thread_pointer(void)
{
    uintptr_t pointer;
    __asm__("mov %%fs:0, %0" : "=r"(pointer));
    return pointer;
}
unsigned os_process_id(void);
/* False if this process has no such thread any more, or never had. */
bool os_has_thread(unsigned thread);
void os_wait_while(const uint32_t *word, uint32_t value);
/* What waits for a word of 64 bits watches this. */
MOAT_INLINE const uint32_t *os_low_half(const uint64_t *word)
{
    return (const uint32_t *)(const void *)word;
}
/* False if nobody woke the caller in that time. */
bool os_wait_a_second_while(const uint32_t *word, uint32_t value);
void os_wake(const uint32_t *word, int threads);
/* Ends the process by SIGABRT with its default action, whatever the program installed. */
_Noreturn void os_abort(void);

#endif

/* loader.h - who answers a name in this process: the objects of the dynamic loader, in the order in which it searches them.
 *
 * Read from the loader's own list, without its functions: they take locks and may allocate, and this is asked before the
 * first block. Only objects that were there at the program's start are certain to be seen.
 */
#ifndef MOAT_OS_LOADER_H
#define MOAT_OS_LOADER_H

#include "base/compiler.h"

/* True if an object that is searched before this library defines `name`: then nobody's call of it arrives here. *object
 * receives that object's path, "" for the program itself. Always false in a static program. */
bool loader_is_preceded(const char *name, const char **object);
/* What a call of `name` would reach without this library: the first definition behind it, else the first before it. NULL
 * if there is none. */
void *loader_find_other(const char *name);

#endif

/* secure/isolation.h - a slice serves one size class for ever, so that a dangling pointer never sees another type's size.
 *
 * On:  an emptied slice waits for its own class. Off: small pages share one pool and an emptied one serves any class.
 */
#ifndef MOAT_SECURE_ISOLATION_H
#define MOAT_SECURE_ISOLATION_H

#include "base/compiler.h"
#include "base/config.h"

#if MOAT_SECURE_ISOLATION

/* Memory of an emptied chunk may serve another class, but only at another address. */
enum { SEC_MOVES_CHUNKS = 1 };

/* The pool in which a released page of a small class waits. */
MOAT_INLINE unsigned sec_pool_of_class(unsigned class)
{
    return class;
}

#else

enum { SEC_MOVES_CHUNKS = 0 };

MOAT_INLINE unsigned sec_pool_of_class(unsigned class)
{
    (void)class;
    return 0;
}

#endif

#endif

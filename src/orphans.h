/* orphans.h - pages whose thread has ended, by class, until somebody claims them.
 *
 * The owned bit of the remote word decides who has a page; this list only lets an allocating thread find one. Clearing
 * the bit and entering the list are one critical section, so that outside it every page without an owner is listed, once.
 */
#ifndef MOAT_ORPHANS_H
#define MOAT_ORPHANS_H

#include "record.h"

/* Its last owner gives the page up, unless something was pushed since the last collect: then false, and it keeps it. */
bool orphans_add(struct record *page);
/* A page was claimed by a push: takes it off the list if it still stands there. */
void orphans_forget(struct record *page);
/* Takes a page of the class and its owned bit, NULL if there is none. */
struct record *orphans_claim(unsigned class);

#endif

/* options.h - MOAT_OPTIONS=key=value:key=value, read once, before the first block.
 *
 * Sizes take K, M, G, T; the last of two equal keys wins; what is unknown or bad costs one line, which says what
 * there is instead, and is ignored, since a library never stops a program for an option. All are ignored when the process is privileged (AT_SECURE).
 */
#ifndef MOAT_OPTIONS_H
#define MOAT_OPTIONS_H

#include "fixed.h"

/* The values of a build without MOAT_OPTIONS. */
void options_default(struct options *options);
/* Reads MOAT_OPTIONS into `options`. Lines about bad ones go to the report descriptor. */
void options_read(struct options *options);

#endif

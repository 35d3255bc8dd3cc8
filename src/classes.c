/* classes.c - the cold half of classes.h. */
#include "classes.h"

unsigned class_of_aligned(size_t alignment, size_t bytes)
{
    for (unsigned class = class_of_bytes(bytes); class < MOAT_SMALL_CLASSES; class ++)
        if (class_bytes(class) % alignment == 0)
            return class;
    return MOAT_SMALL_CLASSES;
}

/* One run of an attack in a process of its own, and the verdict on how it ended. */
#ifndef TEST_ATTACK_RUN_H
#define TEST_ATTACK_RUN_H

#include "attack.h"
#include "../support/death.h"

enum verdict {
    STOPPED,    /* died with exactly one line of the heap's */
    FAULTED,    /* the attacker's own access hit a guard */
    HARMLESS,   /* ran to its end, goal not reached */
    REUSED,     /* won by a block that had been handed out again */
    SUCCESS,    /* won */
    NOT_SET_UP, /* nothing was tried */
    ACCIDENT,   /* anything else: a crash in the heap, a second line, a hang */
    VERDICTS
};

struct library {
    const char *name;
    const char *file; /* NULL: none is preloaded, the C library answers */
};

struct outcome {
    enum verdict verdict;
    const char *kind; /* of the violation that the line names, or NULL */
    struct death death;
    struct report report;
};

struct outcome run_once(const struct attack_case *attack, const struct aim *aim, const struct library *library,
                        bool is_control);

extern const char *const verdict_names[VERDICTS];

/* The child's side: takes over as the program. argv: attack --child NAME SIZE RUN STYLE FILE */
int run_child(const struct attack_case *attack, char *const argv[]);

#endif

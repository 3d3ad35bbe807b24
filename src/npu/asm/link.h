/* Several routines and a dispatcher as one program that stays: units come by a ring of locked
 * places in data memory, each brings a list of commands, which are worked off.  The dispatcher
 * begins at address 0.  The caller owns the result.  Thread-safe with different results. */
#ifndef WISP_SRC_NPU_ASM_LINK_H
#define WISP_SRC_NPU_ASM_LINK_H

#include "npu/asm/build.h"

/* A command: call the routine with p0 = params so many times, at least once; routine 0 ends the
 * list, and its params is where the next unit will be.  Stored data of a routine is in memory
 * before the next one begins. */
struct wi_command {
    uint32_t routine, params, times;
};

/* A program's surroundings: the first unit and, once the first of the routines has been called with
 * a unit as params, the first command; the ring's locks by the core's numbers. */
struct wi_resident {
    uint32_t unit, commands;
    int full, free;
};

struct wi_routine {
    const char *name;
    void (*emit)(struct wi_build *b);
};

enum { WI_LINK_MAX = 24, WI_LINK_BYTES = 16384 };
struct wi_linked {
    struct wi_strbuf bytes; /* from address 0 on */
    int n;
    struct {
        const char *name;
        uint32_t address, bytes;
    } at[WI_LINK_MAX]; /* in the order of the routines */
    uint32_t dispatcher_bytes;
};

/* Routine 0 takes a unit.  Errors: NOMEM, UNSUPPORTED (more than program memory holds), what a
 * routine's are. */
int wi_link(struct wi_linked *out, const struct wi_routine *routines, int n,
            const struct wi_resident *resident, struct wisp_error *err);
void wi_linked_fini(struct wi_linked *linked);

#endif

/* Several routines and a dispatcher as one program.  The dispatcher, at address 0, works off a list
 * of commands in data memory and ends with `done`.  The caller owns the result.  Thread-safe with
 * different results. */
#ifndef WISP_SRC_NPU_ASM_LINK_H
#define WISP_SRC_NPU_ASM_LINK_H

#include "npu/asm/build.h"

/* A command: call the routine with p0 = params; routine 0 ends the list.  Stored data of a routine
 * is in memory before the next one begins. */
struct wi_command {
    uint32_t routine, params;
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

/* `commands`: address of the first struct wi_command; `scratch`: of 32 bytes for the dispatcher, on
 * 32 bytes.  Errors: NOMEM, UNSUPPORTED (more than program memory holds), what a routine's are. */
int wi_link(struct wi_linked *out, const struct wi_routine *routines, int n, uint32_t commands,
            uint32_t scratch, struct wisp_error *err);
void wi_linked_fini(struct wi_linked *linked);

#endif

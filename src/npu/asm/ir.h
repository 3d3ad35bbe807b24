/* The builder's form of a routine, shared by the files that schedule it.  Plain data. */
#ifndef WISP_SRC_NPU_ASM_IR_H
#define WISP_SRC_NPU_ASM_IR_H

#include "npu/asm/build.h"

enum { WI_IR_ALTS = 4, WI_IR_MAX_REGS = 1024, WI_IR_FIXED = WI_IR_MAX_REGS * 8 };

struct wi_sched;

struct wi_ir_reg {
    const char *name;
    uint8_t family;
    uint8_t n_units;
    int first_region, last_region; /* where it is used; -1: nowhere */
    uint8_t allowed[32];           /* candidates: numbers within the family */
    int n_allowed;
    int number; /* within its family, of the physical register; -1: none yet */
};

struct wi_ir_op {
    uint16_t id[WI_IR_ALTS]; /* alternatives: the same operands in other slots */
    int n_alts;
    struct wi_arg arg[WI_ISA_MAX_FIELDS];
    uint16_t first_id; /* in the first step of a block, in the slot of id[0]; 0: the same */
    struct wi_arg first_arg[WI_ISA_MAX_FIELDS];
    uint8_t when, banks, stream; /* banks 0: no memory access */
};

struct wi_ir_region {
    int first_op, n_ops;
    bool is_loop;
    bool between;            /* two blocks of the loop, which is the region before */
    bool repeat;             /* what is repeated begins here */
    struct wi_vreg repeated; /* what is repeated so many times, an r, ends in front of this */
    struct wi_loop loop;
    struct wi_vreg again, count; /* p: where the next block starts; r: blocks left */
    struct wi_vreg shift;        /* r: makes the number of steps that of `times` steps at once */
    int times;                   /* steps of the source in a step; 0: 1 */
};

struct wi_build {
    struct wi_ir_reg *regs; /* [n_regs], 0 is none */
    size_t n_regs, max_regs;
    struct wi_ir_op *ops;
    size_t n_ops, max_ops;
    struct wi_ir_region *regions;
    size_t n_regions, max_regions;
    enum wi_when when;
    struct wi_vreg times; /* of the repetition that is being built; none: there is none */
    /* For a search apart from builds: called with every scheduled loop; moves for all loops, or
     * that of a name, to find what is better than their kept schedules. */
    void (*scheduled)(void *user, const struct wi_sched *s, const char *name);
    void *user;
    const char *only;
    long moves;
    struct wisp_error err;
};

/* A register, or a part of one, as the core has it when virtual register r has number n. */
enum wi_reg wi_ir_physical(const struct wi_build *b, struct wi_vreg reg, int number);

/* An operation with stand-ins for registers not yet known: of the right family and half, so that
 * timing and ports are right. */
struct wi_isa_op wi_ir_sample(const struct wi_build *b, unsigned id, const struct wi_arg *args);

/* A read or a write of a unit of storage.  key: WI_IR_FIXED + enum wi_unit, or 8 x register + unit
 * within it. */
struct wi_ir_access {
    int key;
    bool write;
    uint8_t stage, bypass, when; /* when: enum wi_when */
};
enum { WI_IR_MAX_ACCESSES = 48 };
int wi_ir_accesses(const struct wi_build *b, const struct wi_ir_op *op,
                   struct wi_ir_access out[WI_IR_MAX_ACCESSES]);

/* Steps of loops that allow it made one where that takes fewer bundles.  Errors: those of b->err.
 */
enum { WI_UNROLL_MOST = 8 };
int wi_unroll_loops(struct wi_build *b);
/* The least bundles of a step of a loop by what it needs; INT_MAX: there is no such schedule.  What
 * it finds out about registers stays in b. */
int wi_ir_bound(struct wi_build *b, int number);

#endif

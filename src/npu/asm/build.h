/* Programs for one core, written as C calls and scheduled by machine: a kernel author names
 * operations on virtual registers, loops and memory operands; cycles, slots and registers are found
 * by the scheduler (sched.h), and the result is bytes with labels.
 *
 * A routine is a row of regions: straight-line blocks and loops that are software pipelined.  The
 * meaning is that of the operations one after the other, each finished before the next begins.
 *
 * A routine takes its arguments in p0 and what that points to; it leaves r30, r31 and sp alone.
 *
 * Calls after a failure do nothing; wi_build_finish reports the first one.  A builder belongs to
 * one thread. */
#ifndef WISP_SRC_NPU_ASM_BUILD_H
#define WISP_SRC_NPU_ASM_BUILD_H

#include <stdbool.h>
#include <stdint.h>
#include <wisp/wisp.h>

#include "base/strbuf.h"
#include "npu/isa/isa.h"

/* A virtual register or a part of one: a half of an x, bm or cm, a field of a d.  id 0 is none; a
 * negative id is minus an enum wi_reg. */
struct wi_vreg {
    int16_t id;
    uint8_t at;     /* first unit within the register */
    uint8_t family; /* enum wi_family of the part */
};

/* How a memory operand is addressed. */
enum wi_mode {
    WI_MODE_OFF,  /* [p, #imm] */
    WI_MODE_IDX,  /* [p, dj] */
    WI_MODE_INC,  /* [p], #imm */
    WI_MODE_POST, /* [p], m */
    WI_MODE_2D,   /* [p], d */
    WI_MODE_3D,
    WI_N_MODES
};

/* Banks of 16 KB that an operand can lie in, as a set of 1 << bank; two accesses meet in a memory
 * cycle only where their sets are disjoint.  Streams: accesses of one stream keep their order
 * within a step of a loop; those of different streams, and of different steps, are independent. */
enum {
    WI_ANY_BANK = 15,
    WI_FREE_BANK = 16 /* one in which nothing else of the loop is accessed at the time */
};
struct wi_mem {
    struct wi_vreg p;
    enum wi_mode mode;
    int32_t imm;
    struct wi_vreg m; /* the dj, m or d of the mode */
    uint8_t banks, stream;
};

/* An operand: a register, a number, or what is known when the program is laid out. */
enum wi_arg_kind {
    WI_ARG_REG,
    WI_ARG_IMM,
    WI_ARG_LOOP_START,
    WI_ARG_LOOP_LAST,
    WI_ARG_LOOP_AGAIN,
    WI_ARG_LOOP_PEELED,
    WI_ARG_ROW /* of a layout */
};
struct wi_arg {
    uint8_t kind; /* enum wi_arg_kind */
    struct wi_vreg reg;
    int32_t imm; /* LOOP_..: the region's number */
};

/* Which steps of a block an operation belongs to. */
enum wi_when { WI_EVERY_STEP, WI_FIRST_STEP, WI_LAST_STEP };

/* A loop of steps.  With `blocks`, a loop of blocks of `steps` steps each that is scheduled as one
 * row of steps, so that a block's end and the next one's start overlap. */
struct wi_loop {
    const char *name;
    struct wi_vreg steps;  /* r: number of steps (of a block) */
    struct wi_vreg blocks; /* r: number of blocks; none: one */
    long moves; /* that a search for one number of cycles may take; 0: as many as pay off */
    /* Loads may run ahead of the last step, by as many as overlap: what they read is mapped and
     * unused.  It saves code, or bundles between blocks. */
    bool overrun;
    bool apart; /* steps do not overlap: a loop of few steps, whose code would be long otherwise */
    /* 2, 4 or 8: the number of steps is a multiple of it, and up to so many may become one; for
     * loops without blocks whose values live long. */
    int multiple;
};

/* What came out for a loop. */
struct wi_loop_report {
    const char *name;
    int cycles, bound; /* of a step; bound: the larger of what slots, ports and recurrences need */
    int times;         /* steps of the source that are one here */
    const char *limit; /* what makes the bound: a slot, a port, "recurrence" */
    int stages;        /* steps that overlap */
    int min_steps;     /* of the source that the code needs (of a block) */
    long tries;        /* of the search */
};

enum { WI_BUILD_MAX_LOOPS = 16 };
struct wi_code {
    struct wi_strbuf bytes;
    uint32_t base;
    int n_bundles, n_loops;
    struct wi_loop_report loops[WI_BUILD_MAX_LOOPS];
};
void wi_code_fini(struct wi_code *code);

struct wi_build;
int wi_build_create(struct wi_build **out, struct wisp_error *err);
void wi_build_destroy(struct wi_build **build);

/* A new virtual register; `name` is borrowed, for messages. */
struct wi_vreg wi_build_reg(struct wi_build *b, enum wi_family family, const char *name);
struct wi_vreg wi_fixed(enum wi_reg reg);
struct wi_vreg wi_low(struct wi_vreg r); /* of x: w, of bm: am, of cm: bm */
struct wi_vreg wi_high(struct wi_vreg r);
/* Of a d (2D) or d_3d: M, DN, DJ, DC; `outer`: those of the outer dimension of a d_3d. */
struct wi_vreg wi_dim(struct wi_vreg d, enum wi_family field, bool outer);

static inline struct wi_arg wi_r(struct wi_vreg reg) {
    return (struct wi_arg){.kind = WI_ARG_REG, .reg = reg};
}
static inline struct wi_arg wi_i(int32_t imm) {
    return (struct wi_arg){.kind = WI_ARG_IMM, .imm = imm};
}

/* Append an operation; args are its fields in the order of its text, each once. */
void wi_build_op(struct wi_build *b, enum wi_opcode id, const struct wi_arg *args);
#define WI_OP(b, id, ...) wi_build_op(b, WI_OP_##id, (const struct wi_arg[]){__VA_ARGS__})
/* What the operation appended last is in the first step of a block instead. */
void wi_build_first(struct wi_build *b, enum wi_opcode id, const struct wi_arg *args);
#define WI_FIRST_OP(b, id, ...) wi_build_first(b, WI_OP_##id, (const struct wi_arg[]){__VA_ARGS__})
/* To which steps operations from here on belong. */
void wi_build_when(struct wi_build *b, enum wi_when when);

/* Load 256 bits into a w or am, 32 into a scalar register; a w takes whichever load slot is free
 * where the addressing allows. */
void wi_build_load(struct wi_build *b, struct wi_vreg dst, struct wi_mem mem);
void wi_build_load_b(struct wi_build *b, struct wi_vreg dst, struct wi_mem mem); /* slot ldb only */
void wi_build_store(struct wi_build *b, struct wi_vreg src, struct wi_mem mem);
void wi_build_store_bf16(struct wi_build *b, struct wi_vreg bm, struct wi_mem mem);
void wi_build_store_s16(struct wi_build *b, struct wi_vreg bm, struct wi_vreg shift,
                        struct wi_mem mem);
void wi_build_load_f32(struct wi_build *b, struct wi_vreg bm, struct wi_mem mem); /* from bf16 */
/* A number into any scalar register. */
void wi_build_set(struct wi_build *b, struct wi_vreg dst, int32_t value);
struct wi_vreg wi_build_const(struct wi_build *b, enum wi_family family, int32_t value,
                              const char *name);

/* Take from or give to a lock (a number or an r): accesses of the stream that it guards, 0: all,
 * stay behind an acquire and in front of a release.  value, an r: minus what an acquire waits for
 * and takes; what a release gives. */
void wi_build_acquire(struct wi_build *b, struct wi_arg lock, struct wi_vreg value, uint8_t stream);
void wi_build_release(struct wi_build *b, struct wi_arg lock, struct wi_vreg value, uint8_t stream);

/* Operations between these make a loop.  Loops do not nest. */
void wi_build_loop(struct wi_build *b, struct wi_loop loop);
void wi_build_end_loop(struct wi_build *b);
/* Operations from here to the end of the loop come between two blocks, behind the last step of one
 * and in front of the first of the next, in bundles that have room for them. */
void wi_build_between(struct wi_build *b);
/* What is between these is done `times` (r) times, at least once: lines and loops, one behind the
 * other.  Registers that are set before and used in it keep what they are given. */
void wi_build_repeat(struct wi_build *b, struct wi_vreg times);
void wi_build_end_repeat(struct wi_build *b);

/* End a straight line that needs too many registers and begin another: registers that are used on
 * both sides are kept for both, all others are free again. */
void wi_build_cut(struct wi_build *b);

enum wi_schedule {
    WI_PIPELINED,
    WI_SERIAL /* one operation a bundle, each finished before the next: the meaning of the source */
};
/* Schedule, allocate registers, lay out from program address `base` on, end with `ret lr`.  Errors:
 * NOMEM, UNSUPPORTED (with the loop, register or operation that does not fit), INTERNAL. */
int wi_build_finish(struct wi_build *b, enum wi_schedule how, uint32_t base, struct wi_code *out,
                    struct wisp_error *err);

#endif

/* Inside of a core, shared by core.c (time), decode.c (bundles to operations) and exec_*.c (what an
 * operation does at each of its stages).
 *
 * Time is counted in issued bundles ("steps"): the bundle issued at step u is at stage s in step u
 * + s - 1.  A result that can be read after stage d lands at the start of step u + d, before
 * anything samples in that step. A reader with the same bypass sees it one step earlier; only
 * results of the mv slot (MOV) and integer results of the vec slot (VEC) have one, and as each slot
 * issues once per step, there is at most one such result a step. */
#ifndef WISP_SRC_NPU_EMU_IMPL_H
#define WISP_SRC_NPU_EMU_IMPL_H

#include <string.h>

#include "npu/emu/core.h"
#include "npu/emu/value.h"
#include "npu/isa/isa.h"

/* Where registers are, in 32-bit words.  Vectors are aligned to their size. */
enum {
    AT_R = 0,
    AT_P = 32,
    AT_M = 40,
    AT_DN = 48,
    AT_DJ = 56,
    AT_DC = 64,
    AT_S = 72,
    AT_SP = 76,
    AT_LR = 77,
    AT_LS = 78,
    AT_LE = 79,
    AT_LC = 80,
    AT_DP = 81,
    AT_CORE_ID = 82,
    AT_CR = 84,
    AT_SR = 96,
    AT_Q = 112,
    AT_X = 128,
    AT_CM = AT_X + 12 * 16,
    N_WORDS = AT_CM + 9 * 32
};

enum cr {
    CR_VADD_SIGN,
    CR_F2F_MASK,
    CR_F2I_MASK,
    CR_FP_MASK,
    CR_MCD_EN,
    CR_PACK_SIGN,
    CR_RND,
    CR_SCD_EN,
    CR_SRS_SIGN,
    CR_SAT,
    CR_UPS_SIGN,
    CR_UNPACK_SIGN
};
enum sr { SR_CARRY = 0, SR_MS0 = 5, SR_SS0 = 7 };

/* How a memory operation forms its address. */
enum form {
    FORM_NONE,
    FORM_PLAIN,
    FORM_OFF,
    FORM_IDX,
    FORM_INC,
    FORM_POST,
    FORM_2D,
    FORM_3D,
    FORM_SP
};

struct wi_emu_core;

/* One operation, ready to run.  Operands are word offsets into the register file. */
struct uop {
    void (*exec)(struct wi_emu_core *core, const struct uop *u);
    uint16_t d, k;    /* result, compare mask */
    uint16_t a, b, g; /* sources: vectors or scalars; g: the pre-shift of vshift.align */
    uint16_t u, v;    /* accumulators */
    uint16_t s,
        x; /* what is stored or converted; the scalar operand (shift, index, mode, config) */
    uint16_t mask; /* sparsity */
    uint16_t p, m; /* pointer, and its modifier: an offset, or the index of a d register */
    uint16_t words, s_words; /* of d, of s */
    uint8_t form;
    uint8_t d_stage, k_stage, acc_stage, late_stage, mem_stage, store_stage;
    uint8_t op, bits, from; /* parameters of the family */
    uint8_t sign;           /* SIGN_* or a control register */
    bool wide, immediate, bypass_d, bypass_s;
    int32_t imm;
    uint32_t keep; /* bits that d, or what is stored, has */
    uint32_t conf; /* flips of configuration bits */
    uint16_t id;   /* enum wi_opcode */
    uint8_t slot;
};

enum { SIGN_UNSIGNED = 200, SIGN_SIGNED }; /* else: index of the control register */

enum blocking { /* what a bundle may wait for, as bits */
                BLOCK_ACQUIRE = 1,
                BLOCK_STREAM_IN = 2,
                BLOCK_STREAM_OUT = 4,
                BLOCK_CASCADE_IN = 8,
                BLOCK_CASCADE_OUT = 16
};

struct bundle {
    uint8_t size;     /* 0: not decoded yet */
    uint8_t n_ops;    /* without acquires */
    uint8_t blocking; /* enum blocking; an acquire is op[n_ops] */
    bool sets_loop, part_store;
    struct uop op[6];
};

enum { LATE_SCALARS = 40, LATE_VECTORS = 8, LATE_OPS = 8, ACCESSES = 6, RING = 16 };

/* Work for later stages of operations. */
struct late {
    uint8_t x[128], y[64], mask[16]; /* sampled at issue, or loaded */
    void (*exec)(struct wi_emu_core *core, struct late *l);
    const struct uop *u;
    uint32_t conf;
    uint32_t value[2];
} __attribute__((aligned(64)));

struct access { /* of memory, at its stage */
    uint32_t address;
    uint16_t size;
    const struct uop *u;
    void (*loaded)(struct wi_emu_core *core, const struct uop *u,
                   const uint8_t *data); /* of loads */
    uint8_t data[32];                    /* of stores */
};

struct landing {
    uint16_t at, words;
    uint32_t v[32] __attribute__((aligned(64)));
};

struct scalar {
    uint16_t at;
    uint32_t v;
};

/* What happens in one future step.  The lists are kept apart, so that what every step looks at
 * stays in a few cache lines. */
struct step {
    const struct landing *mov, *vec; /* of the results that land: those with a bypass */
    struct scalar *scalar;           /* [LATE_SCALARS] */
    struct landing *vector;          /* [LATE_VECTORS] */
    struct late *late;               /* [LATE_OPS] */
    struct access *load, *store;     /* [ACCESSES] each */
    uint8_t n_scalars, n_vectors, n_late, n_loads, n_stores;
} __attribute__((aligned(64)));

struct wi_emu_core {
    void *block; /* of memory that the core lies in */
    uint32_t w[N_WORDS] __attribute__((aligned(64)));
    struct step ring[RING];
    struct landing vectors[RING][LATE_VECTORS];
    struct late lates[RING][LATE_OPS];
    struct scalar scalars[RING][LATE_SCALARS];
    struct access loads[RING][ACCESSES], stores[RING][ACCESSES];
    uint64_t t; /* steps */
    uint32_t pc;
    unsigned delay; /* delay slots to go + 1; 0: no branch under way */
    uint32_t target;
    uint64_t loop_set; /* step of the last write to LS, LE or LC */
    const struct bundle *now;
    bool done, faulted, resumed, traced;
    bool waits; /* set by an acquire that was not granted */
    struct wi_emu_counters count;
    enum wi_emu_stall blocked;
    const struct wi_emu_kern *kern;
    uint8_t *window[WI_EMU_WINDOWS];
    struct wi_emu_port port;
    void (*trace)(void *user, const struct wi_emu_core *core);
    void *trace_user;
    unsigned n_breaks;
    struct wi_emu_shuffles shuffles;
    char fault[256];
    uint8_t breaks[WI_EMU_PROGRAM_BYTES / 2 / 8];
    uint8_t program[WI_EMU_PROGRAM_BYTES];
    struct bundle bundles[WI_EMU_PROGRAM_BYTES / 2]; /* by address / 2 */
};

/* core.c */
void wi_emu_stop_fault(struct wi_emu_core *core, const struct uop *u, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void wi_emu_stall_cycles(struct wi_emu_core *core, enum wi_emu_stall cause, uint64_t cycles);
struct late *wi_emu_late(struct wi_emu_core *core, unsigned stage, const struct uop *u,
                         void (*exec)(struct wi_emu_core *, struct late *));
struct access *wi_emu_access_load(struct wi_emu_core *core, const struct uop *u, unsigned stage);
struct access *wi_emu_access_store(struct wi_emu_core *core, const struct uop *u, unsigned stage);
void wi_emu_branch(struct wi_emu_core *core, const struct uop *u, uint32_t target);

/* regs.c: where a register is, in words; false for registers without storage (counters).  `keep`
 * are the bits it has, of registers of one word. */
bool wi_emu_reg_place(unsigned reg, uint16_t *at, uint16_t *words, uint32_t *keep);

/* decode.c: fills `b` from the bytes at pc; false: a fault was raised. */
bool wi_emu_decode(struct wi_emu_core *core, struct bundle *b, uint32_t pc);

/* exec_*.c: the families, by the names that decode.c's table gives them. */
#define EXEC(name) void wi_emu_x_##name(struct wi_emu_core *core, const struct uop *u)
#define X(name) EXEC(name);
#include "npu/emu/exec.def"
#undef X

static inline uint8_t *bytes_at(struct wi_emu_core *core, unsigned at) {
    return (uint8_t *)&core->w[at];
}

/* Copies of register widths: constant sizes become single moves. */
static inline void copy_words(void *d, const void *s, unsigned words) {
    switch (words) {
    case 8: memcpy(d, s, 32); break;
    case 16: memcpy(d, s, 64); break;
    case 32: memcpy(d, s, 128); break;
    default: memcpy(d, s, 4 * words); break;
    }
}

/* A scalar result: lands `from_now` steps after the step under way. */
static inline void land32(struct wi_emu_core *core, unsigned from_now, unsigned at, uint32_t v) {
    struct step *s = &core->ring[(core->t + from_now) % RING];
    if (s->n_scalars < LATE_SCALARS) {
        s->scalar[s->n_scalars].at = (uint16_t)at;
        s->scalar[s->n_scalars++].v = v;
    }
}

/* A vector result, to be filled in by the caller. */
static inline struct landing *land(struct wi_emu_core *core, unsigned from_now, unsigned at,
                                   unsigned words) {
    struct step *s = &core->ring[(core->t + from_now) % RING];
    struct landing *l = &s->vector[s->n_vectors < LATE_VECTORS ? s->n_vectors++ : LATE_VECTORS - 1];
    l->at = (uint16_t)at;
    l->words = (uint16_t)words;
    return l;
}

/* A vector as a reader with bypass sees it: `l` is the result that only such readers see, or NULL.
 */
static inline const uint8_t *bypassed(struct wi_emu_core *core, const struct landing *l,
                                      unsigned at, unsigned words, uint32_t buf[32]) {
    if (!l || l->at >= at + words || at >= l->at + l->words)
        return bytes_at(core, at);
    memcpy(buf, &core->w[at], 4 * words);
    for (unsigned i = 0; i < l->words; i++)
        if (l->at + i >= at && l->at + i < at + words)
            buf[l->at + i - at] = l->v[i];
    return (const uint8_t *)buf;
}

/* The value of a MOV-bypassed operand at stage 1. */
static inline const uint8_t *mov_source(struct wi_emu_core *core, unsigned at, unsigned words,
                                        uint32_t buf[32]) {
    return bypassed(core, core->ring[(core->t + 1) % RING].mov, at, words, buf);
}

/* A result of the mv slot that later MOV-bypassed readers see one step early. */
static inline uint8_t *land_mov(struct wi_emu_core *core, const struct uop *u) {
    struct landing *l = land(core, u->d_stage, u->d, u->words);
    if (u->bypass_d)
        core->ring[(core->t + u->d_stage) % RING].mov = l;
    return (uint8_t *)l->v;
}

static inline bool sign_of(const struct wi_emu_core *core, const struct uop *u) {
    return u->sign == SIGN_SIGNED || (u->sign < SIGN_UNSIGNED && core->w[AT_CR + u->sign]);
}

#endif

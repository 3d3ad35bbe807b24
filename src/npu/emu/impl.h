/* Inside of a core, shared by core.c, decode.c (bundles to operations) and the engines: engine.inc
 * (time) and exec_*.inc (what an operation does at each of its stages), which are compiled once for
 * each CPU level.
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

/* One operation, ready to run, in one cache line.  Operands are word offsets into the register
 * file. */
struct uop {
    void (*exec)(struct wi_emu_core *core, const struct uop *u);
    uint16_t d, k;          /* result, compare mask */
    uint16_t a, b, g;       /* sources: vectors or scalars; g: the pre-shift of vshift.align */
    uint16_t u, v;          /* accumulators */
    uint16_t s;             /* what is stored or converted */
    uint16_t x;             /* the scalar operand: shift, index, mode, configuration */
    uint16_t mask;          /* sparsity */
    uint16_t p, m;          /* pointer, and its modifier: an offset, or the index of a d register */
    uint8_t words, s_words; /* of d, of s */
    uint8_t family, form;
    uint8_t d_stage, k_stage, acc_stage, late_stage, mem_stage, store_stage;
    uint8_t after_load;     /* steps from the memory stage to the landing of d */
    uint8_t op, bits, from; /* parameters of the family */
    uint8_t sign;           /* SIGN_* or a control register */
    bool wide : 1, immediate : 1, bypass_d : 1, bypass_s : 1;
    bool at_once : 1;   /* scalar results for the next step may be written in this one: no other
                       operation   of the bundle reads them */
    bool d_at_once : 1; /* d is one of these */
    uint16_t conf;      /* flips of configuration bits */
    uint16_t id;        /* enum wi_opcode */
    int32_t imm;
    uint32_t keep; /* bits that d, or what is stored, has */
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct uop) == 64, "a cache line");

enum family { /* of instructions, by what they do: the functions of exec_*.inc */
#define X(name) X_##name,
#include "npu/emu/exec.def"
#undef X
              WI_EMU_FAMILIES
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
    uint8_t kinds;    /* enum kind */
    bool sets_loop, part_store;
    uint16_t first; /* its operations begin here in the core's uops */
};

/* Room for the operations of any program whose bundles do not overlap (six of them need 16 bytes),
 * and as many of one that is loaded while those are under way. */
enum {
    UOPS = 2 * 6 * WI_EMU_PROGRAM_BYTES / 16,
    LATE_SCALARS = 40,
    LATE_VECTORS = 8,
    LATE_OPS = 8,
    ACCESSES = 6,
    RING = 16
};

/* Work for later stages of operations. */
struct late {
    uint8_t x[128], y[64], mask[16]; /* sampled at issue, or loaded */
    void (*exec)(struct wi_emu_core *core, struct late *l);
    const struct uop *u;
    uint32_t conf;
    uint32_t value[2];
} __attribute__((aligned(64)));

struct load { /* at its stage */
    const struct uop *u;
    void (*loaded)(struct wi_emu_core *core, const struct uop *u, const uint8_t *data);
    uint32_t address, size;
};

struct store {
    const struct uop *u;
    uint32_t address, size;
    uint8_t data[32];
};

struct landing { /* a vector result */
    uint32_t at, words;
    uint32_t *v;
};

struct scalar {
    uint32_t at, v;
};

/* What happens in one future step. */
struct step {
    union {
        struct {
            uint8_t n_scalars, n_vectors, n_late, n_loads, n_stores;
        };
        uint64_t any;
    };
    const struct landing *mov, *vec; /* of the results that land: those with a bypass */
    struct late *late;               /* [LATE_OPS] */
    struct store *store;             /* [ACCESSES] */
    struct load load[ACCESSES];
    struct landing vector[LATE_VECTORS];
    struct scalar scalar[LATE_SCALARS];
} __attribute__((aligned(1024))); /* so that an index is a shift */

/* The most frequent operations have fixed stages, hence fixed places: loads of 256 bits through
 * either port, and dense products of bf16. */
enum kind { KIND_LOAD_A = 1, KIND_LOAD_B = 2, KIND_LOADS = 3, KIND_PRODUCT = 4, KIND_BITS = 4 };
enum { LOAD_AT = 5, LOADED_AT = 7, SUM_AT = 3, SUMMED_AT = 6 };

struct flight { /* those of one bundle */
    const struct uop *load[2], *product;
    uint32_t address[2], conf;
    uint8_t data[2][32] __attribute__((aligned(64)));
    uint8_t x[64], y[64];
    uint32_t sum[16];
} __attribute__((aligned(512)));

/* A core's stepping, compiled for a CPU level. */
struct wi_emu_engine {
    const struct wi_emu_kern *kern;
    enum wi_emu_stop (*run)(struct wi_emu_core *core, uint64_t until);
    void (*exec[WI_EMU_FAMILIES])(struct wi_emu_core *core, const struct uop *u);
};
extern const struct wi_emu_engine wi_emu_engine_portable, wi_emu_engine_avx2, wi_emu_engine_avx512;

struct wi_emu_core {
    void *block; /* of memory that the core lies in */
    uint32_t w[N_WORDS] __attribute__((aligned(64)));
    struct step ring[RING];
    uint32_t vectors[RING][LATE_VECTORS][32] __attribute__((aligned(64)));
    struct late lates[RING][LATE_OPS];
    struct store stores[RING][ACCESSES];
    struct flight flights[RING]; /* by step */
    uint64_t kinds;              /* of the bundles issued, the last one's in the low bits */
    uint64_t t;                  /* steps */
    uint32_t pc;
    unsigned delay; /* delay slots to go + 1; 0: no branch under way */
    uint32_t target;
    uint64_t loop_set; /* step of the last write to LS, LE or LC */
    const struct bundle *now;
    bool done, faulted, resumed, traced;
    bool begun; /* results of this step have landed, its bundle is not issued yet */
    bool waits; /* set by an acquire that was not granted */
    struct wi_emu_counters count;
    enum wi_emu_stall blocked;
    const struct wi_emu_engine *engine;
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
    unsigned n_uops;
    struct uop uops[UOPS];
};

/* kern.c: the engine of a CPU level (cpu/kern.h), which must be available. */
const struct wi_emu_engine *wi_emu_engine_of(enum wi_level level);

/* core.c */
void wi_emu_stop_fault(struct wi_emu_core *core, const struct uop *u, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* regs.c: where a register is, in words; false for registers without storage (counters).  `keep`
 * are the bits it has, of registers of one word. */
bool wi_emu_reg_place(unsigned reg, uint16_t *at, uint16_t *words, uint32_t *keep);

/* decode.c: fills `b` from the bytes at pc; false: a fault was raised. */
bool wi_emu_decode(struct wi_emu_core *core, struct bundle *b, uint32_t pc);

static inline uint8_t *bytes_at(struct wi_emu_core *core, unsigned at) {
    return (uint8_t *)&core->w[at];
}

/* Registers of 256 and 512 bits are moved at once, as they are read again: loads wait for stores
 * that they do not fit. */
typedef uint32_t v8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef uint32_t v16 __attribute__((vector_size(64), aligned(4), may_alias));

static inline void copy_words(void *d, const void *s, unsigned words) {
    switch (words) {
    case 8: *(v8 *)d = *(const v8 *)s; break;
    case 16: *(v16 *)d = *(const v16 *)s; break;
    case 32:
        ((v16 *)d)[0] = ((const v16 *)s)[0];
        ((v16 *)d)[1] = ((const v16 *)s)[1];
        break;
    default: memcpy(d, s, 4 * words); break;
    }
}

/* The kinds of the bundle that is at a stage in this step, once this step's bundle is issued. */
static inline unsigned kinds_at(const struct wi_emu_core *core, unsigned stage) {
    return core->kinds >> KIND_BITS * (stage - 1) & ((1u << KIND_BITS) - 1);
}

static inline struct flight *flight_at(struct wi_emu_core *core, unsigned stage) {
    return &core->flights[(core->t - (stage - 1)) % RING];
}

static inline struct step *step_in(struct wi_emu_core *core, unsigned from_now) {
    return &core->ring[(core->t + from_now) % RING];
}

/* A scalar result: lands `from_now` steps after the step under way. */
static inline void land32(struct wi_emu_core *core, unsigned from_now, unsigned at, uint32_t v) {
    struct step *s = step_in(core, from_now);
    if (s->n_scalars < LATE_SCALARS)
        s->scalar[s->n_scalars++] = (struct scalar){at, v};
}

/* A vector result, to be filled in by the caller. */
static inline struct landing *land(struct wi_emu_core *core, unsigned from_now, unsigned at,
                                   unsigned words) {
    struct step *s = step_in(core, from_now);
    struct landing *l = &s->vector[s->n_vectors < LATE_VECTORS ? s->n_vectors++ : LATE_VECTORS - 1];
    l->at = at;
    l->words = words;
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
    return bypassed(core, step_in(core, 1)->mov, at, words, buf);
}

/* A result of the mv slot that later MOV-bypassed readers see one step early. */
static inline uint8_t *land_mov(struct wi_emu_core *core, const struct uop *u) {
    struct landing *l = land(core, u->d_stage, u->d, u->words);
    if (u->bypass_d)
        step_in(core, u->d_stage)->mov = l;
    return (uint8_t *)l->v;
}

static inline bool sign_of(const struct wi_emu_core *core, const struct uop *u) {
    return u->sign == SIGN_SIGNED || (u->sign < SIGN_UNSIGNED && core->w[AT_CR + u->sign]);
}

#endif

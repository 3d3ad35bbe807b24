/* What kernels are written with, by their mathematical names: thin forms of the builder's calls.
 * Shapes: an x holds 32 bf16 or s16, a bm 16 fp32. */
#ifndef WISP_SRC_NPU_KERNELS_OPS_H
#define WISP_SRC_NPU_KERNELS_OPS_H

#include <stddef.h>

#include "npu/asm/build.h"

/* Configuration words of the MAC unit. */
enum {
    WI_MAC_TILE = 28,  /* bf16 4x8 times 8x4 */
    WI_MAC_LANES = 60, /* bf16 lane by lane, two terms: s1[i] s2[i] + s1[i+16] s2[i+16] */
    WI_ROUND_EVEN = 12 /* crRnd: to nearest, ties to even */
};

/* bf16 bits of c in 2^n ((1 + f)^2 + c), which is (1 + c) 2^(n + f) within 0.30 %: of all c the one
 * of the least error, 0.107 % rms (2: 0.188 %). */
enum { WI_EXP2_C = 0x4002 }; /* 2.03125 */

/* Modes of vshuffle, of a = low, b = high 512 bits, by what the result is. */
enum {
    WI_EVEN_32 = 4,        /* 32-bit elements 0, 2 ... of a, then of b */
    WI_ODD_32 = 5,         /* 1, 3 ... */
    WI_LOW_HALVES = 10,    /* low half of a, low half of b */
    WI_HIGH_HALVES = 11,   /* high half of a, high half of b */
    WI_WEAVE_64 = 14,      /* 64-bit elements of the low halves of a and b in turn */
    WI_WEAVE_64_HIGH = 15, /* of the high halves */
    WI_WEAVE_32 = 16,      /* 32-bit elements of the low halves */
    WI_WEAVE_32_HIGH = 17, /* of the high halves */
    WI_WEAVE_16 = 18,      /* 16-bit elements of the low halves */
    WI_WEAVE_16_HIGH = 19,
    WI_COLUMNS_4_16 = 24 /* 16-bit elements 0, 4 ... of a and b, then 1, 5 ... */
};

static inline struct wi_vreg wi_k_x(struct wi_build *b, const char *name) {
    return wi_build_reg(b, WI_FAMILY_X, name);
}
static inline struct wi_vreg wi_k_bm(struct wi_build *b, const char *name) {
    return wi_build_reg(b, WI_FAMILY_BM, name);
}

/* Memory operands: the next 32 bytes at a pointer that steps by a constant, or as a d says. */
static inline struct wi_mem wi_k_next(struct wi_vreg p, int32_t step, uint8_t banks,
                                      uint8_t stream) {
    return (struct wi_mem){p, WI_MODE_INC, step, {0, 0, 0}, banks, stream};
}
static inline struct wi_mem wi_k_at(struct wi_vreg p, int32_t offset, uint8_t banks,
                                    uint8_t stream) {
    return (struct wi_mem){p, WI_MODE_OFF, offset, {0, 0, 0}, banks, stream};
}
static inline struct wi_mem wi_k_walk(struct wi_vreg p, struct wi_vreg d, uint8_t banks,
                                      uint8_t stream) {
    return (struct wi_mem){p,     d.family == WI_FAMILY_D3 ? WI_MODE_3D : WI_MODE_2D, 0, d, banks,
                           stream};
}

/* d = a x b; d = u + a x b */
static inline void wi_k_mul(struct wi_build *b, struct wi_vreg d, struct wi_vreg s1,
                            struct wi_vreg s2, struct wi_vreg conf) {
    WI_OP(b, VMUL_F, wi_r(d), wi_r(s1), wi_r(s2), wi_r(conf));
}
static inline void wi_k_mac(struct wi_build *b, struct wi_vreg d, struct wi_vreg u,
                            struct wi_vreg s1, struct wi_vreg s2, struct wi_vreg conf) {
    WI_OP(b, VMAC_F, wi_r(d), wi_r(u), wi_r(s1), wi_r(s2), wi_r(conf));
}
static inline void wi_k_msc(struct wi_build *b, struct wi_vreg d, struct wi_vreg u,
                            struct wi_vreg s1, struct wi_vreg s2, struct wi_vreg conf) {
    WI_OP(b, VMSC_F, wi_r(d), wi_r(u), wi_r(s1), wi_r(s2), wi_r(conf));
}
/* As wi_k_mac, and in the first step of a block as wi_k_mul. */
static inline void wi_k_mac_from_zero(struct wi_build *b, struct wi_vreg d, struct wi_vreg s1,
                                      struct wi_vreg s2, struct wi_vreg conf) {
    wi_k_mac(b, d, d, s1, s2, conf);
    WI_FIRST_OP(b, VMUL_F, wi_r(d), wi_r(s1), wi_r(s2), wi_r(conf));
}

/* Sums of accumulators; conf: WI_MAC_TILE. */
static inline void wi_k_add(struct wi_build *b, struct wi_vreg d, struct wi_vreg u,
                            struct wi_vreg v, struct wi_vreg conf) {
    WI_OP(b, VADD_F, wi_r(d), wi_r(u), wi_r(v), wi_r(conf));
}
static inline void wi_k_sub(struct wi_build *b, struct wi_vreg d, struct wi_vreg u,
                            struct wi_vreg v, struct wi_vreg conf) {
    WI_OP(b, VSUB_F, wi_r(d), wi_r(u), wi_r(v), wi_r(conf));
}

/* In a new bm: a x b, u + v, u - v. */
static inline struct wi_vreg wi_k_product(struct wi_build *b, struct wi_vreg s1, struct wi_vreg s2,
                                          struct wi_vreg conf) {
    struct wi_vreg d = wi_k_bm(b, "product");
    wi_k_mul(b, d, s1, s2, conf);
    return d;
}
static inline struct wi_vreg wi_k_sum(struct wi_build *b, struct wi_vreg u, struct wi_vreg v,
                                      struct wi_vreg conf) {
    struct wi_vreg d = wi_k_bm(b, "sum");
    wi_k_add(b, d, u, v, conf);
    return d;
}
static inline struct wi_vreg wi_k_difference(struct wi_build *b, struct wi_vreg u, struct wi_vreg v,
                                             struct wi_vreg conf) {
    struct wi_vreg d = wi_k_bm(b, "difference");
    wi_k_sub(b, d, u, v, conf);
    return d;
}

/* 16 fp32 to bf16, rounded as crRnd says, and back. */
static inline void wi_k_narrow(struct wi_build *b, struct wi_vreg w, struct wi_vreg bm) {
    WI_OP(b, VCONV_BF16_FP32, wi_r(w), wi_r(bm));
}
static inline void wi_k_widen(struct wi_build *b, struct wi_vreg bm, struct wi_vreg w) {
    WI_OP(b, VCONV_FP32_BF16, wi_r(bm), wi_r(w));
}
/* The bits of an x or bm in another. */
static inline void wi_k_move(struct wi_build *b, struct wi_vreg d, struct wi_vreg s) {
    WI_OP(b, VMOV_X, wi_r(d), wi_r(s));
}
static inline void wi_k_shuffle(struct wi_build *b, struct wi_vreg d, struct wi_vreg a,
                                struct wi_vreg high, struct wi_vreg mode) {
    WI_OP(b, VSHUFFLE, wi_r(d), wi_r(a), wi_r(high), wi_r(mode));
}
/* Both halves of an x or bm at consecutive addresses, of which the first is `mem`'s offset. */
static inline void wi_k_load_x(struct wi_build *b, struct wi_vreg x, struct wi_mem mem) {
    wi_build_load(b, wi_low(x), mem);
    mem.imm += 32;
    wi_build_load(b, wi_high(x), mem);
}
static inline void wi_k_store_x(struct wi_build *b, struct wi_vreg x, struct wi_mem mem) {
    wi_build_store(b, wi_low(x), mem);
    mem.imm += 32;
    wi_build_store(b, wi_high(x), mem);
}

/* v as a sum of bf16: x = [high part | low part], 16 bits of mantissa; `rest`, where there is one,
 * is what remains.  sum: WI_MAC_TILE. */
struct wi_vreg wi_k_split(struct wi_build *b, struct wi_vreg v, struct wi_vreg *rest,
                          struct wi_vreg sum);

/* fp32 as bf16 in both halves of an x. */
struct wi_vreg wi_k_narrow_twice(struct wi_build *b, struct wi_vreg v);

/* Sums of neighbours, 32-bit elements 2i and 2i + 1, of two registers.  even, odd: WI_EVEN_32 and
 * WI_ODD_32; sum: WI_MAC_TILE. */
struct wi_vreg wi_k_add_neighbours(struct wi_build *b, struct wi_vreg x, struct wi_vreg high,
                                   struct wi_vreg even, struct wi_vreg odd, struct wi_vreg sum);

/* What 2^n ((1 + f)^2 + c) needs (WI_EXP2_C): x of 0, and of c in the low or the high 16 lanes with
 * 0 in the others; r, these lanes as bits; r, WI_MAC_LANES. */
struct wi_exp2 {
    struct wi_vreg zero, c_low, c_high, low_lanes, high_lanes, lanes;
};
/* These powers in fp32, of the low and the high 16 lanes: g = 2^n (1 + f), whole = 2^n, h = 1 + f.
 */
void wi_k_exp2(struct wi_build *b, const struct wi_exp2 *e, struct wi_vreg g, struct wi_vreg whole,
               struct wi_vreg h, struct wi_vreg power[2]);

/* A word of the parameter block, which p0 points to, in a register. */
struct wi_vreg wi_k_param(struct wi_build *b, enum wi_family family, size_t offset,
                          const char *name);
/* A d (m, dn, dj) or d_3d (m, dn, dj, outer dn, outer dj) from words of the parameter block; its
 * counters are 0. */
struct wi_vreg wi_k_param_walk(struct wi_build *b, enum wi_family family, size_t offset,
                               const char *name);
/* A walk through memory known when the kernel is made: n times step (from one access to the next),
 * then `outer` times up to the last of `n_outer` rows, then `next`.  2D: no outer rows. */
struct wi_walk {
    int n, step, n_outer, outer, next;
};
struct wi_vreg wi_k_walk_2d(struct wi_build *b, const char *name, struct wi_walk walk);
struct wi_vreg wi_k_walk_3d(struct wi_build *b, const char *name, struct wi_walk walk);

/* An array in pieces of so many bytes at a pitch, both from the start of one. */
struct wi_pieces {
    uint32_t at; /* address */
    int piece, pitch;
};
/* m, dn, dj of a walk through it in steps of so many bytes; false: it has none, or its place is not
 * on 32 bytes. */
bool wi_walk_pieces(uint32_t walk[3], const struct wi_pieces *a, int step);

/* A pointer that walks through an array, for all accesses of a step: that at offset 0 moves it on
 * and so comes last. */
struct wi_cursor {
    struct wi_vreg p, walk;
};
struct wi_cursor wi_k_cursor(struct wi_build *b, size_t p_offset, size_t walk_offset);
static inline struct wi_mem wi_k_from(const struct wi_cursor *c, int32_t offset, uint8_t banks,
                                      uint8_t stream) {
    return offset ? wi_k_at(c->p, offset, banks, stream) : wi_k_walk(c->p, c->walk, banks, stream);
}

/* Bits and 16-bit integers of an x. */
struct wi_vreg wi_k_and(struct wi_build *b, struct wi_vreg x, struct wi_vreg mask);
struct wi_vreg wi_k_larger_s16(struct wi_build *b, struct wi_vreg x, struct wi_vreg y);
struct wi_vreg wi_k_smaller_s16(struct wi_build *b, struct wi_vreg x, struct wi_vreg y);

/* An x with every 16 bits the same. */
struct wi_vreg wi_k_fill(struct wi_build *b, uint16_t value, const char *name);

static inline void wi_k_round_even(struct wi_build *b) {
    wi_build_set(b, wi_fixed(WI_REG_CR + 6), WI_ROUND_EVEN); /* crRnd */
}

#endif

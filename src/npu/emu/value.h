/* Values of the AIE2 core: pure functions from operands to results, one file per subject.  Nothing
 * here knows registers, time or memory; results are exact to the bit as the documents describe them
 * (rounding, shifts, permutations, integer and bf16 arithmetic).  Vectors are little-endian bytes:
 * lane 0 is the lowest; 256 bits = 32 bytes, 512 = 64, 1024 = 128.  Destinations may be sources.
 * Thread-safe: no state. */
#ifndef WISP_SRC_NPU_EMU_VALUE_H
#define WISP_SRC_NPU_EMU_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "cpu/kern.h"

/* ---------------------------------------------------------------- rounding (round.c) */

enum wi_emu_rnd { /* crRnd */
                  WI_EMU_RND_FLOOR = 0,
                  WI_EMU_RND_CEIL = 1,
                  WI_EMU_RND_SYM_FLOOR = 2,
                  WI_EMU_RND_SYM_CEIL = 3,
                  WI_EMU_RND_NEG_INF = 8,
                  WI_EMU_RND_POS_INF = 9,
                  WI_EMU_RND_SYM_ZERO = 10,
                  WI_EMU_RND_SYM_INF = 11,
                  WI_EMU_RND_CONV_EVEN = 12,
                  WI_EMU_RND_CONV_ODD = 13
};

/* Whether crRnd holds one of the ten modes. */
bool wi_emu_rnd_valid(unsigned mode);

/* Whether a two's-complement value that lost bits below its lsb must be incremented: the kept lsb,
 * the first lost bit, the OR of the other lost ones, and whether the value is negative. */
bool wi_emu_round_up(unsigned mode, bool negative, bool lsb, bool guard, bool sticky);
/* The same for the magnitude of a sign-magnitude value. */
bool wi_emu_round_up_magnitude(unsigned mode, bool negative, bool lsb, bool guard, bool sticky);

/* crSat: bit 0 saturates, bit 1 makes the signed range symmetric. */
struct wi_emu_range {
    int64_t min, max;
};
struct wi_emu_range wi_emu_range(unsigned bits, bool is_signed, bool symmetric);

/* Shift right by `shift` (-4..31; negative: left), round, saturate or wrap to `out_bits`. */
int64_t wi_emu_srs(int64_t value, int shift, unsigned mode, unsigned sat, bool is_signed,
                   unsigned out_bits);
/* How the lanes of a shift change their width: `lanes` of `from` bits become as many of `to`. */
struct wi_emu_widths {
    uint8_t lanes, from, to;
};
void wi_emu_srs_vector(uint8_t *d, const uint8_t *acc, struct wi_emu_widths w, int shift,
                       unsigned mode, unsigned sat, bool is_signed);
/* Shift left by `shift` (0..31) into wider lanes. */
void wi_emu_ups_vector(uint8_t *acc, const uint8_t *s, struct wi_emu_widths w, int shift,
                       unsigned sat, bool is_signed);

/* 512 bits of in_bits lanes to 256 bits of half as wide ones (in_bits 8 or 16), and back. */
void wi_emu_pack(uint8_t d[32], const uint8_t s[64], unsigned in_bits, unsigned sat,
                 bool is_signed);
void wi_emu_unpack(uint8_t d[64], const uint8_t s[32], unsigned in_bits, bool is_signed);

uint16_t wi_emu_bf16_from_fp32(uint32_t f, unsigned mode);
void wi_emu_conv_bf16(uint8_t d[32], const uint8_t s[64], unsigned mode); /* 16 lanes */
void wi_emu_conv_fp32(uint8_t d[64], const uint8_t s[32]);                /* 16 lanes, exact */
/* saturate(floor(v * 2^shift)), shift -32..31. */
int32_t wi_emu_floor_bf16(uint16_t v, int shift);
void wi_emu_floor_vector(uint8_t d[64], const uint8_t s[32], int shift);

/* ---------------------------------------------------------------- lanes (lanes.c) */

enum wi_emu_lane_op {
    WI_EMU_ADD,
    WI_EMU_SUB,
    WI_EMU_ADDSUB,     /* mask bit ? a - b : a + b */
    WI_EMU_SEL,        /* mask bit ? b : a */
    WI_EMU_ABS_GTZ,    /* |b|, b > 0 */
    WI_EMU_NEG_GTZ,    /* -b, b > 0 */
    WI_EMU_BNEG_LTZ,   /* ~b, b < 0 */
    WI_EMU_SUB_LT,     /* a - b, a < b */
    WI_EMU_SUB_GE,     /* a - b, a >= b */
    WI_EMU_MAXDIFF_LT, /* max(a - b, 0), a < b */
    WI_EMU_MAX_LT,     /* max(a, b), a < b */
    WI_EMU_MIN_GE,     /* min(a, b), a >= b */
    WI_EMU_LT,
    WI_EMU_GE,
    WI_EMU_EQZ, /* b == 0 */
    WI_EMU_LANE_OPS
};

/* One operation on all lanes of 512 bits; bits 8, 16 or 32.  Writes the vector result, if the
 * operation has one, to d (which may be NULL otherwise) and returns the compare mask, one bit per
 * lane. */
uint64_t wi_emu_lanes(enum wi_emu_lane_op op, unsigned bits, bool is_signed, uint8_t *d,
                      const uint8_t *a, const uint8_t *b, uint64_t mask);
/* MAX_LT, MIN_GE, LT, GE on 32 bf16 lanes: order by sign and magnitude, -0 < +0; a NaN compares
 * false. */
uint64_t wi_emu_lanes_bf16(enum wi_emu_lane_op op, uint8_t *d, const uint8_t *a, const uint8_t *b);

/* ---------------------------------------------------------------- permutation (permute.c) */

enum { WI_EMU_SHUFFLES = 48 };

/* For byte i of the result, the byte of s2:s1 (0..127) that mode m moves there. */
struct wi_emu_shuffles {
    uint8_t from[WI_EMU_SHUFFLES][64];
};
void wi_emu_shuffles_init(struct wi_emu_shuffles *t);
/* Modes 48..63: byte 0 of s1 in byte 0, the rest zero. */
void wi_emu_shuffle(const struct wi_emu_shuffles *t, uint8_t d[64], const uint8_t s1[64],
                    const uint8_t s2[64], unsigned mode);

/* Low 512 bits of (s2:s1) >> 8 * bytes. */
void wi_emu_shift(uint8_t d[64], const uint8_t s1[64], const uint8_t s2[64], unsigned bytes);
/* The same with s1 first shifted right by 0, 4, 8, 16 or 32 bytes (step 0..4). */
void wi_emu_shift_align(uint8_t d[64], const uint8_t s1[64], unsigned step, const uint8_t s2[64],
                        unsigned bytes);
void wi_emu_push_lo(uint8_t d[64], const uint8_t s[64], uint64_t v, unsigned bits);
void wi_emu_push_hi(uint8_t d[64], const uint8_t s[64], uint64_t v, unsigned bits);
void wi_emu_broadcast(uint8_t d[64], uint64_t v, unsigned bits);
void wi_emu_insert(uint8_t d[64], const uint8_t s[64], unsigned lane, uint64_t v, unsigned bits);
uint64_t wi_emu_extract(const uint8_t s[64], unsigned lane, unsigned bits); /* zero-extended */

/* Byte address that lane 0..3 of a look-up load reads its 64 bits from; granularity 16, 32 or 64.
 */
uint32_t wi_emu_lut_address(uint32_t a, unsigned lane, unsigned granularity);

/* ---------------------------------------------------------------- scalar (scalar.c) */

struct wi_emu_alu { /* a result and the carry bit */
    uint32_t value;
    bool carry;
};
struct wi_emu_alu wi_emu_adc(uint32_t a, uint32_t b, bool carry);
struct wi_emu_alu wi_emu_sbc(uint32_t a, uint32_t b, bool borrow); /* the carry is a borrow */
uint32_t wi_emu_lshl(uint32_t a, int32_t by);                     /* negative: logical right */
uint32_t wi_emu_ashl(uint32_t a, int32_t by);                     /* negative: arithmetic right */
uint32_t wi_emu_clz(uint32_t a);                                  /* 32 for 0 */
uint32_t wi_emu_clb(uint32_t a);

struct wi_emu_div { /* one step of a restoring division: remainder and r31 */
    uint32_t remainder, quotient;
};
struct wi_emu_div wi_emu_divs(uint32_t quotient, uint32_t a, uint32_t b);

/* Addressing in 20 bits.  A 2D step and a 3D step; see aie2 "2D/3D addressing" in
 * docs/npu-proof.md. */
struct wi_emu_dim {
    uint32_t size, stride, count; /* dn, dj, dc */
};
enum { WI_EMU_ADDRESS = 0xfffff };
uint32_t wi_emu_step_2d(uint32_t p, uint32_t m, struct wi_emu_dim *lo);
uint32_t wi_emu_step_3d(uint32_t p, uint32_t m, struct wi_emu_dim *lo, struct wi_emu_dim *hi);

/* ---------------------------------------------------------------- products (mac_int.c, mac_bf16.c)
 */

/* Bits of the configuration word of the vector unit. */
enum wi_emu_conf {
    WI_EMU_CONF_ZERO_ACC = 1u << 0,
    WI_EMU_CONF_SIGN_Y = 1u << 8,
    WI_EMU_CONF_SIGN_X = 1u << 9,
    WI_EMU_CONF_SHIFT16 = 1u << 10,
    WI_EMU_CONF_NEG_MUL = 1u << 11,
    WI_EMU_CONF_NEG_ACC1 = 1u << 12,
    WI_EMU_CONF_NEG_ACC2 = 1u << 13
};

/* What the shape bits of a configuration word select. */
struct wi_emu_shape {
    uint8_t x_bits, y_bits, acc_bits;
    uint8_t channels, rows, inner, cols; /* x[rows][inner][ch] . y[inner][cols][ch] */
    bool is_float, is_sparse, is_convolution;
};
/* NULL if no document gives these bits a meaning that can be relied on (complex modes included). */
const struct wi_emu_shape *wi_emu_shape(uint32_t conf);

/* Where the compressed rows of sparse data go: for compressed row q (inner / 2 of them) and column
 * c, the dense row k[q * cols + c] of y that it stands for, or -1 if the mask selects none. */
void wi_emu_sparse_select(const struct wi_emu_shape *s, int8_t *k, const uint8_t mask[16]);

/* d = acc1 +- acc2 +- x*y on 1024 bits of 32- or 64-bit lanes, as the configuration word says
 * (zero, negate and shift acc1; lane width).  acc1 and acc2 may be NULL.  x (NULL: no product; then
 * s is not used) has 128 bytes for sparse shapes, else 64; `sparse` is y's mask or NULL. */
void wi_emu_mac_int(const struct wi_emu_shape *s, uint8_t d[128], const uint8_t *acc1,
                    const uint8_t *acc2, const uint8_t *x, const uint8_t y[64],
                    const uint8_t *sparse, uint32_t conf);

/* One lane of a bf16 product sum: n <= 16 products and up to two fp32 accumulators (bits), each
 * with its sign already applied. */
uint32_t wi_emu_mac_lane(unsigned n, const uint16_t *a, const uint16_t *b, unsigned n_acc,
                         const uint32_t *acc);
uint32_t wi_emu_fp32_add(uint32_t a, uint32_t b);
uint32_t wi_emu_fp32_neg(uint32_t a);

/* 16 fp32 lanes; x is [4][8] and y [8][4] bf16 (or 2 x 16 lanes each when elementwise). */
struct wi_emu_fmac {
    const uint32_t *acc1, *acc2; /* NULL: none */
    const uint16_t *x, *y;
    bool elementwise, neg_mul, neg_acc1, neg_acc2;
};

/* The same for sparse y: x is [4][16], `mask` that of y's 32 compressed elements.  Portable only.
 */
void wi_emu_fmac_sparse(uint32_t d[16], const struct wi_emu_fmac *f, const uint8_t mask[16]);

/* Loops that have forms for several instruction sets; all give the same bits. */
struct wi_emu_kern {
    const char *name;
    void (*fmac)(uint32_t d[16], const struct wi_emu_fmac *f);
    void (*fadd)(uint32_t d[16], const uint32_t a[16], const uint32_t b[16], bool neg_a,
                 bool neg_b);
    void (*permute)(uint8_t d[64], const uint8_t s1[64], const uint8_t s2[64],
                    const uint8_t from[64]);
    void (*conv_bf16)(uint8_t d[32], const uint8_t s[64], unsigned mode);
};
/* The loops of a CPU level (cpu/kern.h), which must be available. */
const struct wi_emu_kern *wi_emu_kern_of(enum wi_level level);

extern const struct wi_emu_kern wi_emu_kern_portable, wi_emu_kern_avx2, wi_emu_kern_avx512;

#endif

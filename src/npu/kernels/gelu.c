#include "npu/kernels/gelu.h"

#include <string.h>

#include "npu/kernels/ops.h"

enum { BANK_X = 1, BANK_CONSTANTS = 2 };
enum { STREAM_X = 1, STREAM_OUT, STREAM_CONSTANTS };
enum { ROTATE = 32, SRS_SHIFT = 6 };

/* The table: 64 bytes each, of which the low and high 32 repeat one 16-bit value. */
enum constant {
    ABS,
    LIMIT,
    ABS_LOW,
    EXPONENT,
    FRACTION,
    ONE_TWO,
    ODD,
    EVEN,
    FOURTH,
    ZERO_MINUS_ONE,
    BASE
};

/* p(t) = c0 + c1 t + c2 t^2 + c3 t^3 + c4 t^4 by minimax on [0, 12]; c1 .. c4 are exact in bf16. */
#define C0 -1.00843294f
#define LOG2_3 1.5849625f
/* 1024 + 512 + 127, see attention.h; a third, as the trick gives 3 x 2^p */
#define BASE_VALUE (1663.0f + C0 - LOG2_3)

enum {
    C1 = 0xbf8e,         /* -1.109375 */
    HALF_C2 = 0xbe83,    /* -0.51171875 / 2 */
    HALF_C3 = 0xbc52,    /* -0.025634765625 / 2 */
    QUARTER_C4 = 0x39ac, /* 0.001312255859375 / 4 */
    MINUS_ONE = 0xbf80
};

void wi_gelu_constants(uint16_t out[WI_GELU_CONSTANTS]) {
    static const uint16_t pairs[BASE][2] = {
        [ABS] = {0x7fff, 0x7fff},     [LIMIT] = {0x4140, 0x4140}, /* 12 */
        [ABS_LOW] = {0x7fff, 0xffff}, [EXPONENT] = {0xffff, 0xff80},
        [FRACTION] = {0x007f, 0},     [ONE_TWO] = {0x3f80, 0x4000},
        [ODD] = {C1, HALF_C3},        [EVEN] = {HALF_C2, HALF_C2},
        [FOURTH] = {QUARTER_C4, 0},   [ZERO_MINUS_ONE] = {0, MINUS_ONE}};
    union {
        float f;
        uint32_t bits;
    } base = {BASE_VALUE};
    for (int i = 0; i < 32 * BASE; i++)
        out[i] = pairs[i / 32][i % 32 / 16];
    for (int i = 0; i < 32; i++)
        out[32 * BASE + i] = (uint16_t)(base.bits >> (i % 2 ? 16 : 0));
}

bool wi_gelu_params(struct wi_gelu_params *p, int n, int panel, int pitch, uint32_t x,
                    uint32_t constants) {
    int steps = n > 0 && panel > 0 ? n * panel / (2 * WI_GELU_STEP) : 0;
    if (steps < 8 || panel % (2 * WI_GELU_STEP) || pitch % 32 || pitch < panel)
        return false;
    *p = (struct wi_gelu_params){
        .x = x,
        .constants = constants,
        .steps = (uint32_t)steps,
        .walk = {(uint32_t)(pitch - panel + 32), (uint32_t)panel / 32 - 1, 32}};
    return true;
}

/* ---------------------------------------------------------------- the kernel */

struct gelu {
    struct wi_vreg in[3], out, walk_in[3], walk_out; /* x is read three times: registers are few */
    struct wi_vreg table[3];   /* at the middle of 4 constants each: all slots can reach those */
    struct wi_vreg kept[BASE]; /* x: constants */
    struct wi_vreg base;       /* bm */
    struct wi_vreg lanes, rotate, shift;
};

static struct wi_mem in_table(const struct gelu *g, enum constant c, bool high) {
    return wi_k_at(g->table[c / 4], 64 * (int32_t)(c % 4) + 32 * high - 128, BANK_CONSTANTS,
                   STREAM_CONSTANTS);
}

static struct wi_vreg load_constant(struct wi_build *b, const struct gelu *g, enum constant c) {
    struct wi_vreg x = wi_k_x(b, "constant");
    wi_build_load(b, wi_low(x), in_table(g, c, false));
    wi_build_load(b, wi_high(x), in_table(g, c, true));
    return x;
}

/* 16 elements twice: [x | x] */
static struct wi_vreg load_twice(struct wi_build *b, const struct gelu *g, int i) {
    struct wi_vreg x = wi_k_x(b, "x twice");
    wi_build_load(b, wi_low(x), wi_k_at(g->in[i], 0, BANK_X, STREAM_X));
    wi_build_load(b, wi_high(x), wi_k_walk(g->in[i], g->walk_in[i], BANK_X, STREAM_X));
    return x;
}

static void and_x(struct wi_build *b, struct wi_vreg d, struct wi_vreg s, struct wi_vreg mask) {
    WI_OP(b, VBAND, wi_r(d), wi_r(s), wi_r(mask));
}

/* [t | t], t = min(|x|, 12) */
static struct wi_vreg magnitude_twice(struct wi_build *b, const struct gelu *g, int i) {
    struct wi_vreg x = load_twice(b, g, i), a = wi_k_x(b, "|x|"), t = wi_k_x(b, "t");
    struct wi_vreg mask = wi_build_reg(b, WI_FAMILY_R, "mask");
    and_x(b, a, x, g->kept[ABS]);
    WI_OP(b, VMIN_GE_S16, wi_r(t), wi_r(mask), wi_r(a), wi_r(g->kept[LIMIT]));
    return t;
}

static void to_bf16(struct wi_build *b, struct wi_vreg w, struct wi_vreg bm) {
    WI_OP(b, VCONV_BF16_FP32, wi_r(w), wi_r(bm));
}

static struct wi_vreg product(struct wi_build *b, const struct gelu *g, struct wi_vreg s1,
                              struct wi_vreg s2, const char *name) {
    struct wi_vreg d = wi_k_bm(b, name);
    wi_k_mul(b, d, s1, s2, g->lanes);
    return d;
}

static struct wi_vreg plus_product(struct wi_build *b, const struct gelu *g, struct wi_vreg u,
                                   struct wi_vreg s1, struct wi_vreg s2) {
    struct wi_vreg d = wi_k_bm(b, "p");
    wi_k_mac(b, d, u, s1, s2, g->lanes);
    return d;
}

/* [hi | lo] of 2 t^2, which they are exactly but for 2^-17 */
static struct wi_vreg square(struct wi_build *b, const struct gelu *g) {
    struct wi_vreg t = magnitude_twice(b, g, 0), split = wi_k_x(b, "2 t^2"),
                   rest = wi_k_bm(b, "rest");
    struct wi_vreg whole = product(b, g, t, t, "2 t^2");
    to_bf16(b, wi_low(split), whole);
    wi_build_load(b, wi_high(split), in_table(g, ZERO_MINUS_ONE, false));
    WI_OP(b, VMSC_F, wi_r(rest), wi_r(whole), wi_r(split), wi_r(g->kept[ONE_TWO]), wi_r(g->lanes));
    to_bf16(b, wi_high(split), rest);
    return split;
}

/* 1663 - log2(3) + p(t) */
static struct wi_vreg exponent(struct wi_build *b, const struct gelu *g) {
    struct wi_vreg even = square(b, g), odd = magnitude_twice(b, g, 1),
                   swapped = wi_k_x(b, "swapped");
    struct wi_vreg cube = product(b, g, even, odd, "2 t^3");
    to_bf16(b, wi_high(odd), cube); /* [t | 2 t^3] */
    struct wi_vreg p = plus_product(b, g, g->base, even, g->kept[EVEN]);
    p = plus_product(b, g, p, odd, g->kept[ODD]);
    WI_OP(b, VSHIFT, wi_r(swapped), wi_r(odd), wi_r(odd), wi_r(g->rotate));
    to_bf16(b, wi_low(swapped), product(b, g, odd, swapped, "4 t^4")); /* [4 t^4 | t] */
    return plus_product(b, g, p, swapped, g->kept[FOURTH]);
}

/* 2^p from the pattern [g | g] of 2^n (1 + f): [g | 2^n] times [1 + f | 2] */
static struct wi_vreg power(struct wi_build *b, const struct gelu *g, struct wi_vreg p) {
    struct wi_vreg twice = wi_k_x(b, "g"), left = wi_k_x(b, "g, 2^n"), f = wi_k_x(b, "f");
    struct wi_vreg right = wi_k_x(b, "1 + f, 2");
    WI_OP(b, VSRS_S16_S32_W, wi_r(wi_low(twice)), wi_r(p), wi_r(g->shift));
    WI_OP(b, VSRS_S16_S32_W, wi_r(wi_high(twice)), wi_r(p), wi_r(g->shift));
    and_x(b, left, twice, g->kept[EXPONENT]);
    and_x(b, f, twice, g->kept[FRACTION]);
    WI_OP(b, VBOR, wi_r(right), wi_r(f), wi_r(g->kept[ONE_TWO]));
    return product(b, g, left, right, "E");
}

/* [|x| | max(x, 0)] times -[E | -1]; below 2^-126 the fraction's mask stands for 0. */
static void gelu_16(struct wi_build *b, const struct gelu *g) {
    struct wi_vreg e = power(b, g, exponent(b, g)), x = load_twice(b, g, 2);
    struct wi_vreg a = wi_k_x(b, "|x|, x"), parts = wi_k_x(b, "|x|, max"),
                   factor = wi_k_x(b, "E, -1");
    struct wi_vreg mask = wi_build_reg(b, WI_FAMILY_R, "mask"), y = wi_k_bm(b, "gelu");
    and_x(b, a, x, g->kept[ABS_LOW]);
    WI_OP(b, VMAX_LT_S16, wi_r(parts), wi_r(mask), wi_r(a), wi_r(g->kept[FRACTION]));
    to_bf16(b, wi_low(factor), e);
    wi_build_load(b, wi_high(factor), in_table(g, ZERO_MINUS_ONE, true));
    WI_OP(b, VNEGMUL_F, wi_r(y), wi_r(parts), wi_r(factor), wi_r(g->lanes));
    wi_build_store_bf16(b, y, wi_k_walk(g->out, g->walk_out, BANK_X, STREAM_OUT));
}

void wi_gelu_emit(struct wi_build *b) {
#define AT(field) offsetof(struct wi_gelu_params, field)
    static const enum constant kept[] = {ABS, LIMIT, FRACTION, ONE_TWO};
    static const enum constant used[] = {EVEN, ODD, FOURTH, EXPONENT, ABS_LOW};
    struct gelu g;
    memset(&g, 0, sizeof g);
    struct wi_vreg steps = wi_k_param(b, WI_FAMILY_R, AT(steps), "steps");
    for (int i = 0; i < 3; i++) {
        g.table[i] = wi_k_param(b, WI_FAMILY_P, AT(constants), "constants");
        WI_OP(b, PADDB_INC, wi_r(g.table[i]), wi_i(256 * i + 128));
    }
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        g.kept[kept[i]] = load_constant(b, &g, kept[i]);
    g.base = wi_k_bm(b, "1663 - log2(3) + c0");
    wi_build_load(b, wi_low(g.base), in_table(&g, BASE, false));
    wi_build_load(b, wi_high(g.base), in_table(&g, BASE, true));
    for (int i = 0; i < 3; i++) {
        g.in[i] = wi_k_param(b, WI_FAMILY_P, AT(x), "x");
        g.walk_in[i] = wi_k_param_walk(b, WI_FAMILY_D, AT(walk), "walk of x");
    }
    g.out = wi_k_param(b, WI_FAMILY_P, AT(x), "gelu");
    g.walk_out = wi_k_param_walk(b, WI_FAMILY_D, AT(walk), "walk of gelu");
    g.lanes = wi_build_const(b, WI_FAMILY_R, WI_MAC_LANES, "product of lanes");
    g.rotate = wi_build_const(b, WI_FAMILY_R, ROTATE, "half a register");
    g.shift = wi_build_const(b, WI_FAMILY_S, SRS_SHIFT, "shift of patterns");
    wi_k_round_even(b);
    wi_build_loop(b, (struct wi_loop){.name = "gelu", .steps = steps});
    for (size_t i = 0; i < sizeof used / sizeof *used; i++)
        g.kept[used[i]] = load_constant(b, &g, used[i]);
    for (int i = 0; i < WI_GELU_STEP / 16; i++)
        gelu_16(b, &g);
    wi_build_end_loop(b);
}

#include "npu/kernels/gelu.h"

#include <string.h>

enum { BYTES = 2 * WI_GELU_STEP };
enum { BANK_X = 1, BANK_CONSTANTS = 2, BANK_R = 4 };
enum { STREAM_X = 1, STREAM_OUT, STREAM_CONSTANTS, STREAM_R };
enum {
    SRS_SHIFT = 6,
    REACH = 128
}; /* to bf16; of a pointer that both load slots use, either way */

/* The table: 64 bytes each, of which the low and high 32 repeat one 16-bit value. */
enum constant { ABS, LIMIT, ODD_C1, EVEN_C2, C34, PARTS, FRACTION, ONE_TWO, BASE };

/* p(t) = c0 + c1 t + c2 t^2 + c3 t^3 + c4 t^4 by minimax on [0, 12]; c1 .. c4 are exact in bf16.
 * What the kernel has are 2 t, 2 t^2, 2 t^3 and 4 t^4. */
#define C0 -1.00843294f
#define LOG2_3 1.5849625f
/* 1024 + 512 + 127, see attention.h; a third, as the trick gives 3 x 2^p */
#define BASE_VALUE (1663.0f + C0 - LOG2_3)

enum {
    HALF_C1 = 0xbf0e,   /* -1.109375 / 2 */
    HALF_C2 = 0xbe83,   /* -0.51171875 / 2 */
    HALF_C3 = 0xbc52,   /* -0.025634765625 / 2 */
    QUARTER_C4 = 0x39ac /* 0.001312255859375 / 4 */
};

void wi_gelu_constants(uint16_t out[WI_GELU_CONSTANTS]) {
    static const uint16_t pairs[BASE][2] = {
        [ABS] = {0x7fff, 0x7fff},      [LIMIT] = {0x4140, 0x4140}, /* 12 */
        [ODD_C1] = {HALF_C1, HALF_C1}, [EVEN_C2] = {HALF_C2, HALF_C2},
        [C34] = {HALF_C3, QUARTER_C4}, [PARTS] = {0xffff, 0xff80},
        [FRACTION] = {0x007f, 0},      [ONE_TWO] = {0x3f80, 0x4000}};
    union {
        float f;
        uint32_t bits;
    } base = {BASE_VALUE};
    for (int i = 0; i < 32 * BASE; i++)
        out[i] = pairs[i / 32][i % 32 / 16];
    for (int i = 0; i < 32; i++)
        out[32 * BASE + i] = (uint16_t)(base.bits >> (i % 2 ? 16 : 0));
}

bool wi_gelu_params(struct wi_gelu_params *p, int n, int panel, int pitch,
                    const struct wi_gelu_at *at) {
    const struct wi_pieces x = {at->x, panel, pitch};
    *p = (struct wi_gelu_params){.x = at->x, .constants = at->constants, .r = at->zeros};
    if (n < 1 || !wi_walk_pieces(p->walk, &x, BYTES) || n * panel < 2 * WI_GELU_MIN)
        return false;
    p->steps = (uint32_t)(n * panel / BYTES);
    return true;
}

bool wi_gelu_add(struct wi_gelu_params *p, const struct wi_pieces *r) {
    p->r = r->at;
    return wi_walk_pieces(p->r_walk, r, BYTES);
}

/* ---------------------------------------------------------------- the kernel */

#define AT(field) offsetof(struct wi_gelu_params, field)

struct gelu {
    struct wi_vreg table[2]; /* at the middle of 4 constants each */
    struct wi_vreg zero, limit, base;
    struct wi_cursor r;
    struct wi_vreg lanes, sum, shift, low, high; /* configurations; shuffles */
};

static struct wi_vreg load_32(struct wi_build *b, const struct wi_cursor *at) {
    struct wi_vreg x = wi_k_x(b, "x");
    wi_build_load(b, wi_high(x), wi_k_from(at, 32, BANK_X, STREAM_X));
    wi_build_load(b, wi_low(x), wi_k_from(at, 0, BANK_X, STREAM_X));
    return x;
}

static void store_32(struct wi_build *b, const struct wi_cursor *at, const struct wi_vreg y[2]) {
    wi_build_store_bf16(b, y[1], wi_k_from(at, 32, BANK_X, STREAM_OUT));
    wi_build_store_bf16(b, y[0], wi_k_from(at, 0, BANK_X, STREAM_OUT));
}

/* 16 of r; the second half is loaded first. */
static struct wi_vreg load_r(struct wi_build *b, const struct gelu *g, int half) {
    struct wi_vreg r = wi_k_bm(b, "r");
    wi_build_load_f32(b, r, wi_k_from(&g->r, 32 * half, BANK_R, STREAM_R));
    return r;
}

static struct wi_mem in_table(const struct gelu *g, enum constant c) {
    int second = c >= PARTS || c == C34;
    return wi_k_at(g->table[second], 64 * ((int)c - 4 * second) - REACH, BANK_CONSTANTS,
                   STREAM_CONSTANTS);
}

static struct wi_vreg constant(struct wi_build *b, const struct gelu *g, enum constant c) {
    struct wi_vreg x = wi_k_x(b, "constant");
    wi_k_load_x(b, x, in_table(g, c));
    return x;
}

/* min(|x|, 12) */
static struct wi_vreg magnitude(struct wi_build *b, const struct gelu *g, struct wi_vreg x) {
    return wi_k_smaller_s16(b, wi_k_and(b, x, constant(b, g, ABS)), g->limit);
}

static struct wi_vreg product(struct wi_build *b, const struct gelu *g, struct wi_vreg s1,
                              struct wi_vreg s2, const char *name) {
    struct wi_vreg d = wi_k_bm(b, name);
    wi_k_mul(b, d, s1, s2, g->lanes);
    return d;
}

/* The table's part of a step. */
struct step {
    struct wi_vreg c1, c2, c34, parts, fraction, one_two;
};

static struct step load_step(struct wi_build *b, const struct gelu *g) {
    struct step c;
    c.c1 = constant(b, g, ODD_C1);
    c.c2 = constant(b, g, EVEN_C2);
    c.c34 = constant(b, g, C34);
    c.parts = constant(b, g, PARTS);
    c.fraction = constant(b, g, FRACTION);
    c.one_two = constant(b, g, ONE_TWO);
    return c;
}

/* 1663 - log2(3) + p of [t | t] */
static struct wi_vreg exponent(struct wi_build *b, const struct gelu *g, const struct step *c,
                               struct wi_vreg t) {
    struct wi_vreg square = wi_k_split(b, product(b, g, t, t, "2 t^2"), NULL, g->sum);
    struct wi_vreg powers = wi_k_x(b, "2 t^3, 4 t^4"), p = wi_k_bm(b, "p");
    wi_k_narrow(b, wi_low(powers), product(b, g, square, t, "2 t^3"));
    wi_k_narrow(b, wi_high(powers), product(b, g, square, square, "4 t^4"));
    wi_k_mac(b, p, g->base, t, c->c1, g->lanes);
    wi_k_mac(b, p, p, square, c->c2, g->lanes);
    wi_k_mac(b, p, p, powers, c->c34, g->lanes);
    return p;
}

/* 2^p from the pattern [g | g] of 2^n (1 + f): [g | 2^n] times [1 + f | 2] */
static struct wi_vreg power(struct wi_build *b, const struct gelu *g, const struct step *c,
                            struct wi_vreg p) {
    struct wi_vreg twice = wi_k_x(b, "g"), right = wi_k_x(b, "1 + f, 2");
    WI_OP(b, VSRS_S16_S32_W, wi_r(wi_low(twice)), wi_r(p), wi_r(g->shift));
    WI_OP(b, VSRS_S16_S32_W, wi_r(wi_high(twice)), wi_r(p), wi_r(g->shift));
    WI_OP(b, VBOR, wi_r(right), wi_r(wi_k_and(b, twice, c->fraction)), wi_r(c->one_two));
    return product(b, g, wi_k_and(b, twice, c->parts), right, "E");
}

/* r + max(x, 0) - t E of one half of 32; of t the other half counts as 0. */
static struct wi_vreg finish(struct wi_build *b, const struct gelu *g, int half, struct wi_vreg t,
                             struct wi_vreg positive, struct wi_vreg e) {
    struct wi_vreg only = wi_k_x(b, "t and 0"), y = wi_k_bm(b, "gelu");
    wi_k_shuffle(b, only, half ? g->zero : t, half ? t : g->zero, half ? g->high : g->low);
    wi_k_widen(b, y, half ? wi_high(positive) : wi_low(positive));
    WI_OP(b, VADDMSC_F, wi_r(y), wi_r(load_r(b, g, half)), wi_r(only), wi_r(e), wi_r(g->lanes));
    return y;
}

static struct gelu begin(struct wi_build *b) {
    struct gelu g = {.zero = wi_k_fill(b, 0, "zero"),
                     .base = wi_k_bm(b, "1663 - log2(3) + c0"),
                     .lanes = wi_build_const(b, WI_FAMILY_R, WI_MAC_LANES, "product of lanes"),
                     .sum = wi_build_const(b, WI_FAMILY_R, WI_MAC_TILE, "sum"),
                     .shift = wi_build_const(b, WI_FAMILY_S, SRS_SHIFT, "shift of patterns"),
                     .low = wi_build_const(b, WI_FAMILY_R, WI_LOW_HALVES, "low halves"),
                     .high = wi_build_const(b, WI_FAMILY_R, WI_HIGH_HALVES, "high halves")};
    for (int i = 0; i < 2; i++) {
        g.table[i] = wi_k_param(b, WI_FAMILY_P, AT(constants), "constants");
        WI_OP(b, PADDB_INC, wi_r(g.table[i]), wi_i(2 * REACH * i + REACH));
    }
    g.r = wi_k_cursor(b, AT(r), AT(r_walk));
    g.limit = constant(b, &g, LIMIT);
    wi_k_load_x(b, g.base, in_table(&g, BASE));
    wi_k_round_even(b);
    return g;
}

/* x is loaded again for the end of a step: registers do not keep it so long. */
void wi_gelu_emit(struct wi_build *b) {
    struct wi_vreg steps = wi_k_param(b, WI_FAMILY_R, AT(steps), "steps");
    struct gelu g = begin(b);
    struct wi_cursor in = wi_k_cursor(b, AT(x), AT(walk)), again = wi_k_cursor(b, AT(x), AT(walk));
    struct wi_cursor out = wi_k_cursor(b, AT(x), AT(walk));
    wi_build_loop(b, (struct wi_loop){.name = "gelu", .steps = steps});
    const struct step c = load_step(b, &g);
    struct wi_vreg t = magnitude(b, &g, load_32(b, &in)), e = wi_k_x(b, "E"), y[2];
    for (int half = 0; half < 2; half++) {
        struct wi_vreg both = wi_k_x(b, "t twice");
        wi_k_shuffle(b, both, t, t, half ? g.high : g.low);
        wi_k_narrow(b, half ? wi_high(e) : wi_low(e), power(b, &g, &c, exponent(b, &g, &c, both)));
    }
    struct wi_vreg x = load_32(b, &again), positive = wi_k_larger_s16(b, x, g.zero);
    t = magnitude(b, &g, x);
    for (int half = 1; half >= 0; half--)
        y[half] = finish(b, &g, half, t, positive, e);
    store_32(b, &out, y);
    wi_build_end_loop(b);
}

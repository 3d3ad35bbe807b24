#include "npu/kernels/softmax.h"

#include <string.h>

#include "npu/kernels/ops.h"

enum { STEP = 64, LONG = 2, MIN_LONG = 5 };
enum { BANK_LOW = 1 | 2, BANK_HIGH = 4 | 8 };
/* of the lower rows; those of the upper ones are one more */
enum { STREAM_X = 1, STREAM_Y = 3, STREAM_STATE = 5, STREAM_LIMITS = 7, STREAM_SUMS = 9 };
enum {
    ROUND_UP = 1,      /* crRnd: toward plus infinity */
    SRS_SHIFT = 6,     /* from 13 fraction bits to bf16's 7 */
    NO_VALUE = 0xf380, /* -2^104: below every x by more than the reach */
    REACH = 126        /* octaves below the maximum in which bf16 has normal numbers */
};
#define BASE 1663.0f /* 1024 + 512 + 127, see attention.h */
#define LOG2_E 1.4426950408889634
#define AT(field) offsetof(struct wi_softmax_params, field)

/* ---------------------------------------------------------------- parameters */

static uint32_t bits_of(double v) {
    float f = (float)v;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static int long_steps_of(int length) {
    int steps = (length + 32 * LONG - 1) / (32 * LONG);
    return steps > MIN_LONG ? steps : MIN_LONG;
}

int wi_softmax_room(int length) {
    return STEP * LONG * long_steps_of(length);
}

int wi_softmax_rows(int rows) {
    return rows > WI_SOFTMAX_ROWS ? rows + rows % 2 : WI_SOFTMAX_ROWS;
}

/* A scale as two bf16: the first is cut off, the second is what remains. */
static void split_scale(uint32_t out[2], double scale) {
    for (int i = 0; i < 2; i++) {
        uint32_t bits = bits_of(scale) & 0xffff0000;
        float part;
        memcpy(&part, &bits, sizeof part);
        out[i] = bits >> 16;
        scale -= part;
    }
}

bool wi_softmax_params(struct wi_softmax_params *p, const struct wi_softmax_shape *s,
                       const uint32_t x[2], const uint32_t state[2]) {
    if (s->rows < 1 || s->length < 1 || s->length > WI_SOFTMAX_LONGEST || s->valid < 1 ||
        s->valid > s->length || s->pitch % 32 || s->pitch < wi_softmax_room(s->length) ||
        !(s->scale >= 0x1p-20 && s->scale <= 0x1p20))
        return false;
    uint32_t pitch = (uint32_t)s->pitch, long_steps = (uint32_t)long_steps_of(s->length);
    uint32_t needed = (uint32_t)(s->length + 31) / 32, least = LONG * MIN_LONG;
    uint32_t steps = needed > least ? needed : least, edge = (uint32_t)(s->valid - 1) / 32;
    uint32_t apart = state[1] - state[0], pairs = (uint32_t)wi_softmax_rows(s->rows) / 2;
    uint32_t full = LONG * long_steps - 1 - edge;
    *p = (struct wi_softmax_params){
        .x = {x[0], x[1]},
        .state = {state[0], state[1]},
        .steps = steps,
        .long_steps = long_steps,
        .walk = {pitch - STEP * (steps - 1), steps - 1, STEP},
        .rows = (uint32_t)wi_softmax_rows(s->rows),
        .pairs = pairs,
        .state_walk = {WI_SOFTMAX_STATE - apart, 1, apart, steps - 1, -apart},
        .long_walk = {pitch - STEP * (LONG * long_steps - 1), LONG * long_steps - 1, STEP},
        .pitch = pitch,
        .beyond = 0xfffffffe << (s->valid - 1) % 32,
        .fill = {state[0], state[1]},
        .fill_steps = pairs,
        .reach = bits_of(-REACH / (s->scale * LOG2_E))};
    for (int i = 0; i < 2; i++)
        p->edge[i] = x[i] + STEP * edge;
    if (full > 0) { /* otherwise the state takes what is written */
        p->fill_steps = pairs * full;
        p->fill_walk[0] = pitch - STEP * (full - 1);
        p->fill_walk[1] = full - 1;
        p->fill_walk[2] = STEP;
        for (int i = 0; i < 2; i++)
            p->fill[i] = p->edge[i] + STEP;
    }
    split_scale(p->scale, s->scale * LOG2_E);
    return true;
}

/* ---------------------------------------------------------------- what all parts need */

struct softmax {
    struct wi_vreg lanes, sum; /* configurations of the MAC unit */
    struct wi_vreg rows, pairs, steps, long_steps;
    struct wi_vreg scale, none; /* x: high and low part; below every value */
};

/* A pointer that goes through one half of the rows. */
struct cursor {
    struct wi_vreg p, walk;
    uint8_t banks, stream;
};

static uint8_t banks_of(int half) {
    return half ? BANK_HIGH : BANK_LOW;
}

static struct cursor cursor(struct wi_build *b, int half, size_t walk, uint8_t stream) {
    return (struct cursor){wi_k_param(b, WI_FAMILY_P, AT(x) + 4 * (size_t)half, "x"),
                           wi_k_param_walk(b, WI_FAMILY_D, walk, "walk of x"), banks_of(half),
                           (uint8_t)(stream + half)};
}

/* The two halves of 32 elements into as many registers as there are. */
static void load_step(struct wi_build *b, const struct cursor *at, const struct wi_vreg *first,
                      const struct wi_vreg *second, int n) {
    for (int i = 0; i < n; i++)
        wi_build_load(b, second[i], wi_k_at(at->p, 32, at->banks, at->stream));
    for (int i = 1; i < n; i++)
        wi_build_load(b, first[i], wi_k_at(at->p, 0, at->banks, at->stream));
    wi_build_load(b, first[0], wi_k_walk(at->p, at->walk, at->banks, at->stream));
}

static struct wi_vreg load_32(struct wi_build *b, const struct cursor *at) {
    struct wi_vreg x = wi_k_x(b, "x"), first = wi_low(x), second = wi_high(x);
    load_step(b, at, &first, &second, 1);
    return x;
}

static void store_step(struct wi_build *b, const struct cursor *at, const struct wi_vreg y[2]) {
    wi_build_store_bf16(b, y[1], wi_k_at(at->p, 32, at->banks, at->stream));
    wi_build_store_bf16(b, y[0], wi_k_walk(at->p, at->walk, at->banks, at->stream));
}

/* Goes through the state of rows 0, 8, 1, 9 ... */
static struct cursor state(struct wi_build *b, uint8_t stream) {
    return (struct cursor){wi_k_param(b, WI_FAMILY_P, AT(state[0]), "state"),
                           wi_k_param_walk(b, WI_FAMILY_D, AT(state_walk), "walk of rows"),
                           WI_ANY_BANK, stream};
}

/* 64 bytes of a row's state; the cursor goes on to the next row. */
static void load_row(struct wi_build *b, struct wi_vreg x, const struct cursor *at, uint8_t banks) {
    wi_build_load(b, wi_high(x), wi_k_at(at->p, 32, banks, at->stream));
    wi_build_load(b, wi_low(x), wi_k_walk(at->p, at->walk, banks, at->stream));
}

static void store_row(struct wi_build *b, struct wi_vreg x, const struct cursor *at,
                      uint8_t banks) {
    wi_build_store(b, wi_high(x), wi_k_at(at->p, 32, banks, at->stream));
    wi_build_store(b, wi_low(x), wi_k_walk(at->p, at->walk, banks, at->stream));
}

/* A word of the parameters in all 32-bit lanes of an accumulator. */
static struct wi_vreg fill_f32(struct wi_build *b, struct wi_vreg word, const char *name) {
    struct wi_vreg x = wi_k_x(b, name), acc = wi_k_bm(b, name);
    WI_OP(b, VBCST_32, wi_r(x), wi_r(word));
    wi_k_move(b, acc, x);
    return acc;
}

static struct wi_vreg number(struct wi_build *b, double value, const char *name) {
    return fill_f32(b, wi_build_const(b, WI_FAMILY_R, (int32_t)bits_of(value), name), name);
}

/* [high part | low part] of the scale */
static struct wi_vreg scale_parts(struct wi_build *b) {
    struct wi_vreg scale = wi_k_x(b, "scale"), low = wi_k_x(b, "scale's low part");
    WI_OP(b, VBCST_16, wi_r(scale), wi_r(wi_k_param(b, WI_FAMILY_R, AT(scale[0]), "scale")));
    WI_OP(b, VBCST_16, wi_r(low), wi_r(wi_k_param(b, WI_FAMILY_R, AT(scale[1]), "scale")));
    WI_OP(b, VMOV_W, wi_r(wi_high(scale)), wi_r(wi_low(low)));
    return scale;
}

/* ---------------------------------------------------------------- masked elements */

/* A step is a row of each half: its last elements that are valid. */
static void mask_edges(struct wi_build *b, const struct softmax *k) {
    struct wi_vreg beyond = wi_k_param(b, WI_FAMILY_R, AT(beyond), "beyond"), in[2], out[2];
    struct wi_vreg pitch = wi_k_param(b, WI_FAMILY_M, AT(pitch), "pitch");
    for (size_t i = 0; i < 2; i++) {
        in[i] = wi_k_param(b, WI_FAMILY_P, AT(edge) + 4 * i, "edge");
        out[i] = wi_k_param(b, WI_FAMILY_P, AT(edge) + 4 * i, "edge");
    }
    wi_build_loop(b, (struct wi_loop){.name = "softmax edges", .steps = k->pairs});
    for (int i = 0; i < 2; i++) {
        uint8_t banks = banks_of(i);
        struct wi_vreg x = wi_k_x(b, "x"), y = wi_k_x(b, "y");
        struct wi_mem next = {in[i], WI_MODE_POST, 0, pitch, banks, (uint8_t)(STREAM_X + i)};
        wi_build_load(b, wi_high(x), wi_k_at(in[i], 32, banks, (uint8_t)(STREAM_X + i)));
        wi_build_load(b, wi_low(x), next);
        WI_OP(b, VSEL_16, wi_r(y), wi_r(x), wi_r(k->none), wi_r(beyond));
        next.p = out[i];
        next.stream = (uint8_t)(STREAM_Y + i);
        wi_build_store(b, wi_high(y), wi_k_at(out[i], 32, banks, next.stream));
        wi_build_store(b, wi_low(y), next);
    }
    wi_build_end_loop(b);
}

/* What lies behind the edges; without such steps the state is written, which is scratch. */
static void fill_rests(struct wi_build *b, const struct softmax *k) {
    struct wi_vreg steps = wi_k_param(b, WI_FAMILY_R, AT(fill_steps), "steps to fill");
    struct cursor rest[2];
    for (size_t i = 0; i < 2; i++)
        rest[i] = (struct cursor){wi_k_param(b, WI_FAMILY_P, AT(fill) + 4 * i, "rest"),
                                  wi_k_param_walk(b, WI_FAMILY_D, AT(fill_walk), "walk of rests"),
                                  WI_ANY_BANK, (uint8_t)(STREAM_X + i)};
    wi_build_loop(b, (struct wi_loop){.name = "softmax rests", .steps = steps});
    for (int i = 0; i < 2; i++) {
        wi_build_store(b, wi_high(k->none), wi_k_at(rest[i].p, 32, WI_ANY_BANK, rest[i].stream));
        wi_build_store(b, wi_low(k->none),
                       wi_k_walk(rest[i].p, rest[i].walk, WI_ANY_BANK, rest[i].stream));
    }
    wi_build_end_loop(b);
}

/* ---------------------------------------------------------------- maxima */

static struct wi_vreg max_of(struct wi_build *b, struct wi_vreg u, struct wi_vreg v) {
    struct wi_vreg d = wi_k_x(b, "maximum"), mask = wi_build_reg(b, WI_FAMILY_R, "mask");
    WI_OP(b, VMAX_LT_BF16, wi_r(d), wi_r(mask), wi_r(u), wi_r(v));
    return d;
}

/* Each lane's maximum to the rows' state. */
static void find_maxima(struct wi_build *b, const struct softmax *k) {
    struct wi_vreg most[2];
    struct cursor in[2], out = state(b, STREAM_STATE);
    for (int i = 0; i < 2; i++) {
        in[i] = cursor(b, i, AT(long_walk), STREAM_X);
        most[i] = wi_k_x(b, "maximum");
    }
    wi_build_loop(b, (struct wi_loop){"softmax maxima", k->long_steps, k->pairs, .overrun = true});
    for (int i = 0; i < 2 * LONG; i++) {
        struct wi_vreg x = load_32(b, &in[i / LONG]), mask = wi_build_reg(b, WI_FAMILY_R, "mask");
        struct wi_vreg m = most[i / LONG];
        WI_OP(b, VMAX_LT_BF16, wi_r(m), wi_r(mask), wi_r(x), wi_r(m));
        if (i % LONG == 0)
            WI_FIRST_OP(b, VMAX_LT_BF16, wi_r(m), wi_r(mask), wi_r(x), wi_r(k->none));
    }
    wi_build_when(b, WI_LAST_STEP);
    for (int i = 0; i < 2; i++)
        store_row(b, most[i], &out, banks_of(i));
    wi_build_end_loop(b);
}

/* From a row's maxima: 1663 - scale max in fp32, and the least x that is within the reach. */
static void find_limits(struct wi_build *b, const struct softmax *k) {
    struct cursor in = state(b, STREAM_STATE), out = state(b, STREAM_LIMITS);
    struct wi_vreg shift[5];
    struct wi_vreg half = wi_k_fill(b, 0x3f00, "a half"), base = number(b, BASE, "1663");
    struct wi_vreg reach = fill_f32(b, wi_k_param(b, WI_FAMILY_R, AT(reach), "reach"), "reach");
    for (int i = 0; i < 5; i++)
        shift[i] = wi_build_const(b, WI_FAMILY_R, 32 >> i, "rotation");
    wi_build_set(b, wi_fixed(WI_REG_CR + 6), ROUND_UP);
    wi_build_loop(b, (struct wi_loop){.name = "softmax limits", .steps = k->rows});
    struct wi_vreg x = wi_k_x(b, "maxima"), c = wi_k_bm(b, "c"), limit = wi_k_bm(b, "limit");
    load_row(b, x, &in, WI_ANY_BANK);
    for (int i = 0; i < 5; i++) {
        struct wi_vreg turned = wi_k_x(b, "maxima");
        WI_OP(b, VSHIFT, wi_r(turned), wi_r(x), wi_r(x), wi_r(shift[i]));
        x = max_of(b, turned, x);
    }
    wi_k_msc(b, c, base, x, k->scale, k->lanes);
    wi_k_mac(b, limit, reach, x, half, k->lanes);
    wi_build_store_bf16(b, limit, wi_k_at(out.p, 96, out.banks, out.stream));
    wi_build_store_bf16(b, limit, wi_k_at(out.p, 64, out.banks, out.stream));
    store_row(b, c, &out, WI_ANY_BANK);
    wi_build_end_loop(b);
    wi_k_round_even(b);
}

/* ---------------------------------------------------------------- powers of 2 */

struct powers {
    struct wi_exp2 exp2;
    struct wi_vreg exponent, one, shift; /* x; s */
};

static struct powers begin_powers(struct wi_build *b, const struct softmax *k) {
    struct powers e;
    struct wi_exp2 *two = &e.exp2;
    two->zero = wi_k_fill(b, 0, "0");
    e.exponent = wi_k_fill(b, 0xff80, "exponent");
    e.one = wi_k_fill(b, 0x3f80, "1");
    two->c_low = wi_k_x(b, "c, 0");
    two->c_high = wi_k_x(b, "0, c");
    two->low_lanes = wi_build_const(b, WI_FAMILY_R, 0xffff, "low lanes");
    two->high_lanes = wi_build_const(b, WI_FAMILY_R, -0x10000, "high lanes");
    two->lanes = k->lanes;
    e.shift = wi_build_const(b, WI_FAMILY_S, SRS_SHIFT, "shift of patterns");
    struct wi_vreg c = wi_k_fill(b, WI_EXP2_C, "c");
    WI_OP(b, VSEL_16, wi_r(two->c_low), wi_r(c), wi_r(two->zero), wi_r(two->high_lanes));
    WI_OP(b, VSEL_16, wi_r(two->c_high), wi_r(c), wi_r(two->zero), wi_r(two->low_lanes));
    return e;
}

/* Patterns 2^n (1 + f) of 32 elements; 0 for those below the limit. */
static struct wi_vreg patterns(struct wi_build *b, const struct softmax *k, const struct powers *e,
                               const struct cursor *in, struct wi_vreg c, struct wi_vreg limit) {
    struct wi_vreg x = wi_k_x(b, "x"), twice[2] = {wi_k_x(b, "x twice"), wi_k_x(b, "x twice")};
    struct wi_vreg first[] = {wi_low(x), wi_low(twice[0]), wi_high(twice[0])};
    struct wi_vreg second[] = {wi_high(x), wi_low(twice[1]), wi_high(twice[1])};
    struct wi_vreg bits = wi_k_x(b, "pattern"), g = wi_k_x(b, "2^n (1 + f)");
    struct wi_vreg below = wi_build_reg(b, WI_FAMILY_R, "below");
    load_step(b, in, first, second, 3);
    WI_OP(b, VLT_BF16, wi_r(below), wi_r(x), wi_r(limit));
    for (int half = 0; half < 2; half++) {
        struct wi_vreg sum = wi_k_bm(b, "1663 + y");
        wi_k_mac(b, sum, c, twice[half], k->scale, k->lanes);
        WI_OP(b, VSRS_S16_S32_W, wi_r(half ? wi_high(bits) : wi_low(bits)), wi_r(sum),
              wi_r(e->shift));
    }
    WI_OP(b, VSEL_16, wi_r(g), wi_r(bits), wi_r(e->exp2.zero), wi_r(below));
    return g;
}

/* (1 + c) 2^y of the low and the high 16 lanes of patterns. */
static void power(struct wi_build *b, const struct powers *e, struct wi_vreg g,
                  struct wi_vreg p[2]) {
    struct wi_vreg whole = wi_k_x(b, "2^n"), f = wi_k_x(b, "f"), h = wi_k_x(b, "1 + f");
    WI_OP(b, VBAND, wi_r(whole), wi_r(g), wi_r(e->exponent));
    WI_OP(b, VSUB_16, wi_r(f), wi_r(g), wi_r(whole));
    WI_OP(b, VBOR, wi_r(h), wi_r(f), wi_r(e->one));
    wi_k_exp2(b, &e->exp2, g, whole, h, p);
}

/* c and the limit of a row; the cursor moves on to the other one, and with the steps. */
static void load_limits(struct wi_build *b, const struct cursor *at, uint8_t banks,
                        struct wi_vreg c, struct wi_vreg limit) {
    wi_build_when(b, WI_FIRST_STEP);
    wi_k_load_x(b, c, wi_k_at(at->p, -64, banks, at->stream));
    wi_build_when(b, WI_EVERY_STEP);
    wi_build_load(b, wi_high(limit), wi_k_at(at->p, 32, banks, at->stream));
    wi_build_load(b, wi_low(limit), wi_k_walk(at->p, at->walk, banks, at->stream));
}

/* x becomes 3.03 x 2^y; sums of lanes to the rows' state. */
static void raise(struct wi_build *b, const struct softmax *k) {
    struct powers e = begin_powers(b, k);
    struct cursor in[2], out[2], limits = state(b, STREAM_LIMITS), sums = state(b, STREAM_SUMS);
    struct wi_vreg none = wi_k_bm(b, "no sum"), sum[2], c[2];
    limits.walk = wi_k_param_walk(b, WI_FAMILY_D3, AT(state_walk), "walk of limits");
    WI_OP(b, PADDA_INC, wi_r(limits.p), wi_i(64));
    WI_OP(b, VCLR_F, wi_r(none));
    for (int i = 0; i < 2; i++) {
        in[i] = cursor(b, i, AT(walk), STREAM_X);
        out[i] = cursor(b, i, AT(walk), STREAM_Y);
        sum[i] = wi_k_bm(b, "sum");
        c[i] = wi_k_bm(b, "c");
    }
    wi_build_loop(b, (struct wi_loop){"softmax powers", k->steps, k->pairs, .overrun = true});
    for (int i = 0; i < 2; i++) {
        struct wi_vreg limit = wi_k_x(b, "limit"), p[2];
        load_limits(b, &limits, banks_of(i), c[i], limit);
        power(b, &e, patterns(b, k, &e, &in[i], c[i], limit), p);
        wi_k_add(b, sum[i], sum[i], p[0], k->sum);
        WI_FIRST_OP(b, VADD_F, wi_r(sum[i]), wi_r(none), wi_r(p[0]), wi_r(k->sum));
        wi_k_add(b, sum[i], sum[i], p[1], k->sum);
        store_step(b, &out[i], p);
    }
    wi_build_when(b, WI_LAST_STEP);
    for (int i = 0; i < 2; i++)
        store_row(b, sum[i], &sums, banks_of(i));
    wi_build_end_loop(b);
}

/* ---------------------------------------------------------------- quotients */

/* The sum of 16 lanes in each of them. */
static struct wi_vreg total(struct wi_build *b, const struct softmax *k, struct wi_vreg x,
                            struct wi_vreg even, struct wi_vreg odd) {
    for (int i = 0; i < 3; i++) {
        struct wi_vreg sum = wi_k_add_neighbours(b, x, x, even, odd, k->sum);
        x = wi_k_x(b, "sums");
        wi_k_move(b, x, sum);
    }
    return wi_k_add_neighbours(b, x, x, even, odd, k->sum);
}

/* y + y (1 - v y): y in both halves; half: of the exponent's unit, as a product counts twice. */
static struct wi_vreg newton(struct wi_build *b, const struct softmax *k, struct wi_vreg parts,
                             struct wi_vreg y, struct wi_vreg one, struct wi_vreg half) {
    struct wi_vreg rest = wi_k_bm(b, "1 - v y"), y_half = wi_k_x(b, "y / 2"), out = wi_k_bm(b, "y");
    wi_k_msc(b, rest, one, parts, y, k->lanes);
    WI_OP(b, VSUB_16, wi_r(y_half), wi_r(y), wi_r(half));
    wi_k_widen(b, out, wi_low(y));
    wi_k_mac(b, out, out, wi_k_narrow_twice(b, rest), y_half, k->lanes);
    return out;
}

static struct wi_vreg copy(struct wi_build *b, struct wi_vreg x) {
    struct wi_vreg d = wi_k_x(b, "copy");
    wi_k_move(b, d, x);
    return d;
}

/* 1 / sum of a row as two bf16: the exponent trick and three Newton steps, 2^-16. */
static void find_factors(struct wi_build *b, const struct softmax *k) {
    struct cursor in = state(b, STREAM_STATE), out = state(b, STREAM_SUMS);
    struct wi_vreg one = number(b, 1, "1");
    struct wi_vreg trick = wi_k_fill(b, 0x7ef3, "exponent trick"), half = wi_k_fill(b, 0x80, "1/2");
    struct wi_vreg even = wi_build_const(b, WI_FAMILY_R, WI_EVEN_32, "even");
    struct wi_vreg odd = wi_build_const(b, WI_FAMILY_R, WI_ODD_32, "odd");
    wi_build_loop(b, (struct wi_loop){.name = "softmax factors", .steps = k->rows});
    struct wi_vreg x = wi_k_x(b, "sums"), y = wi_k_x(b, "y");
    load_row(b, x, &in, WI_ANY_BANK);
    struct wi_vreg v = total(b, k, x, even, odd), parts = wi_k_split(b, v, NULL, k->sum);
    WI_OP(b, VSUB_16, wi_r(y), wi_r(trick), wi_r(wi_k_narrow_twice(b, v)));
    for (int i = 0; i < 2; i++) {
        y = wi_k_narrow_twice(b, newton(b, k, parts, y, one, half));
        parts = copy(b, parts); /* as no register is kept for longer than a step takes */
    }
    store_row(b, wi_k_split(b, newton(b, k, parts, y, one, half), NULL, k->sum), &out, WI_ANY_BANK);
    wi_build_end_loop(b);
}

static void divide(struct wi_build *b, const struct softmax *k) {
    struct cursor in[2], out[2], factors = state(b, STREAM_STATE);
    struct wi_vreg factor[2];
    for (int i = 0; i < 2; i++) {
        in[i] = cursor(b, i, AT(long_walk), STREAM_X);
        out[i] = cursor(b, i, AT(long_walk), STREAM_Y);
        factor[i] = wi_k_x(b, "1 / sum");
    }
    struct wi_vreg halves[2] = {wi_build_const(b, WI_FAMILY_R, WI_LOW_HALVES, "low halves"),
                                wi_build_const(b, WI_FAMILY_R, WI_HIGH_HALVES, "high halves")};
    wi_build_loop(b,
                  (struct wi_loop){"softmax quotients", k->long_steps, k->pairs, .overrun = true});
    wi_build_when(b, WI_FIRST_STEP);
    for (int i = 0; i < 2; i++)
        load_row(b, factor[i], &factors, banks_of(i));
    wi_build_when(b, WI_EVERY_STEP);
    for (int i = 0; i < 2 * LONG; i++) {
        struct wi_vreg x = load_32(b, &in[i % 2]), y[2];
        for (int j = 0; j < 2; j++) {
            struct wi_vreg twice = wi_k_x(b, "power twice");
            y[j] = wi_k_bm(b, "quotient");
            wi_k_shuffle(b, twice, x, x, halves[j]);
            wi_k_mul(b, y[j], twice, factor[i % 2], k->lanes);
        }
        store_step(b, &out[i % 2], y);
    }
    wi_build_end_loop(b);
}

void wi_softmax_emit(struct wi_build *b) {
    struct softmax k;
    k.pairs = wi_k_param(b, WI_FAMILY_R, AT(pairs), "pairs of rows");
    k.scale = scale_parts(b);
    k.lanes = wi_build_const(b, WI_FAMILY_R, WI_MAC_LANES, "lanes");
    k.sum = wi_build_const(b, WI_FAMILY_R, WI_MAC_TILE, "sum");
    k.none = wi_k_fill(b, NO_VALUE, "no value");
    k.rows = wi_k_param(b, WI_FAMILY_R, AT(rows), "rows");
    k.steps = wi_k_param(b, WI_FAMILY_R, AT(steps), "steps");
    k.long_steps = wi_k_param(b, WI_FAMILY_R, AT(long_steps), "long steps");
    wi_k_round_even(b);
    fill_rests(b, &k);
    mask_edges(b, &k);
    find_maxima(b, &k);
    find_limits(b, &k);
    raise(b, &k);
    find_factors(b, &k);
    divide(b, &k);
}

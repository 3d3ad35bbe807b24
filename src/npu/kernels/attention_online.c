#include "npu/kernels/attention_online.h"

#include "npu/kernels/attention_parts.h"

enum { MOVES = 200 * 1000 }; /* of a search: large loops with room to spare */
enum {
    KEYS = WI_ATT_ONLINE_KEYS,
    KEY_TILES = KEYS / 4,
    FACTORS = 512,                  /* bytes of a, of 8 query tiles, in a piece of keys */
    NO_SCORE = (int32_t)0xfe800000, /* -2^126 */
    INTEGERS = 0x4b400000,          /* 1.5 x 2^23: a sum with it is a whole number */
    BASE = 0x44cfe000,              /* 1663 = 1024 + 512 + 127, as in attention.h */
    LEAST = 0x44c00000,             /* 1536: 2^y is 0 */
    EXACT_BASE = 0x44c00000,        /* 1536, which vanishes in 16 bits and leaves 128 n */
    EXACT_LEAST = 0x44b04000,       /* 1410: 2^-126 */
    UPPER_QUERIES = 0xf0            /* lanes of the second 4 fp32 */
};

/* Once for each 8 query tiles: a, 64 bytes each, where keys were. */
static struct wi_vreg walk_factors(struct wi_build *b) {
    return wi_k_walk_2d(b, "walk of a",
                        (struct wi_walk){FACTORS / 32, 32, 0, 0, PITCH + 32 - FACTORS});
}

/* An x or a bm with the same 32 bits in all lanes. */
static struct wi_vreg fill_x(struct wi_build *b, int32_t bits, const char *name) {
    struct wi_vreg x = wi_k_x(b, name);
    WI_OP(b, VBCST_32, wi_r(x), wi_r(wi_build_const(b, WI_FAMILY_R, bits, name)));
    return x;
}

static struct wi_vreg to_bm(struct wi_build *b, struct wi_vreg x) {
    struct wi_vreg bm = wi_k_bm(b, "fp32");
    wi_k_move(b, bm, x);
    return bm;
}

static struct wi_vreg to_x(struct wi_build *b, struct wi_vreg bm) {
    struct wi_vreg x = wi_k_x(b, "bits");
    wi_k_move(b, x, bm);
    return x;
}

static struct wi_vreg fill_bm(struct wi_build *b, int32_t bits, const char *name) {
    return to_bm(b, fill_x(b, bits, name));
}

/* ---------------------------------------------------------------- scores */

/* 16 d of 16 keys and 16 queries. */
static void scores_step(struct wi_build *b, struct wi_vreg acc[KEY_TILES][4],
                        const struct wi_vreg p[3], const struct wi_vreg walk[3],
                        struct wi_vreg tile) {
    struct wi_vreg q[4][2], k[2];
    for (int j = 0; j < 4; j++)
        wi_att_load_pair(b, q[j], p[0], walk[0], 2, STREAM_Q);
    for (int i = 0; i < KEY_TILES; i++) {
        wi_att_load_pair(b, k, p[1], walk[1], 1, STREAM_K);
        for (int j = 0; j < 4; j++) {
            wi_k_mac_from_zero(b, acc[i][j], k[0], q[j][0], tile);
            wi_k_mac(b, acc[i][j], acc[i][j], k[1], q[j][1], tile);
        }
    }
    wi_build_when(b, WI_LAST_STEP);
    for (int j = 0; j < 4; j++)
        for (int i = 0; i < KEY_TILES; i++)
            for (int half = 0; half < 2; half++)
                wi_build_store(b, half ? wi_high(acc[i][j]) : wi_low(acc[i][j]),
                               wi_k_walk(p[2], walk[2], 4, STREAM_S));
}

void wi_att_online_scores_emit(struct wi_build *b) {
    const int steps = WI_ATT_D / 16, back = (KEY_TILES - 1) * GROUP, ahead = (steps - 1) * PITCH;
    struct wi_vreg n = wi_build_const(b, WI_FAMILY_R, steps, "steps");
    struct wi_vreg blocks = wi_build_const(b, WI_FAMILY_R, GROUPS, "blocks");
    struct wi_vreg tile = wi_build_const(b, WI_FAMILY_R, WI_MAC_TILE, "tile product");
    struct wi_vreg p[3] = {PARAM(b, q, "Q"), PARAM(b, k, "K"), PARAM(b, s, "scores")};
    struct wi_vreg acc[KEY_TILES][4];
    struct wi_vreg walk[3] = {
        wi_k_walk_3d(b, "walk of Q",
                     (struct wi_walk){4, GROUP, steps, PITCH - 3 * GROUP, GROUP - ahead}),
        wi_k_walk_3d(b, "walk of K",
                     (struct wi_walk){KEY_TILES, GROUP, steps, PITCH - back, -back - ahead}),
        wi_att_walk_scores(b, 32)};
    for (int i = 0; i < 4 * KEY_TILES; i++)
        acc[i / 4][i % 4] = wi_k_bm(b, "score");
    wi_build_loop(b, (struct wi_loop){"online scores", n, blocks, .overrun = true});
    scores_step(b, acc, p, walk, tile);
    wi_build_end_loop(b);
    wi_build_cut(b);
}

/* ---------------------------------------------------------------- maxima and powers */

struct online {
    bool exact;                                                 /* powers by a polynomial */
    struct wi_vreg sum, lanes, even, odd;                       /* r: configurations */
    struct wi_vreg mask[KEY_TILES], half, quarter, upper, turn; /* r: lanes, bytes .. */
    struct wi_vreg none, zero, least, third;                    /* x */
    struct wi_vreg base, integers, c0, c1, c2;                  /* bm */
    struct wi_vreg shift;                                       /* s */
    struct wi_vreg c_in, c_out, in, out, a, l_in, l_out;
    struct wi_vreg walk_in, walk_out, walk_a, walk_c, walk_l[2];
};

/* A tile of scores; those that do not count are below all others. */
static struct wi_vreg load_scores(struct wi_build *b, const struct online *o, int i, int offset) {
    struct wi_vreg x = wi_k_x(b, "scores"), counting = wi_k_x(b, "scores that count");
    wi_k_load_x(b, x, wi_k_at(o->in, TILE * i + offset, 2, STREAM_S));
    WI_OP(b, VSEL_32, wi_r(counting), wi_r(x), wi_r(o->none), wi_r(o->mask[i]));
    return counting;
}

/* Integers' maximum or minimum. */
static struct wi_vreg extreme(struct wi_build *b, bool most, struct wi_vreg u, struct wi_vreg v) {
    struct wi_vreg x = wi_k_x(b, "extreme"), mask = wi_build_reg(b, WI_FAMILY_R, "mask");
    if (most)
        WI_OP(b, VMAX_LT_S32, wi_r(x), wi_r(mask), wi_r(u), wi_r(v));
    else
        WI_OP(b, VMIN_GE_S32, wi_r(x), wi_r(mask), wi_r(u), wi_r(v));
    return x;
}

/* The largest fp32 of each query: as integers the largest one, or where all are negative, whose
 * order is the other way round, the least. */
static struct wi_vreg find_most(struct wi_build *b, const struct online *o, int j,
                                struct wi_vreg before) {
    struct wi_vreg x[2] = {before, before}, most = wi_k_x(b, "maximum");
    struct wi_vreg negative = wi_build_reg(b, WI_FAMILY_R, "all negative");
    for (int i = 0; i < KEY_TILES; i++) {
        struct wi_vreg scores = load_scores(b, o, i, QUERY_TILE * (j - 1));
        for (int k = 0; k < 2; k++)
            x[k] = extreme(b, k == 0, x[k], scores);
    }
    for (int fold = 0; fold < 2; fold++)
        for (int k = 0; k < 2; k++) {
            struct wi_vreg turned = wi_k_x(b, "other keys");
            WI_OP(b, VSHIFT, wi_r(turned), wi_r(x[k]), wi_r(x[k]),
                  wi_r(fold ? o->quarter : o->half));
            x[k] = extreme(b, k == 0, x[k], turned);
        }
    WI_OP(b, VLT_S32, wi_r(negative), wi_r(x[0]), wi_r(o->zero));
    WI_OP(b, VSEL_32, wi_r(most), wi_r(x[0]), wi_r(x[1]), wi_r(negative));
    return most;
}

/* The whole number nearest to v, where |v| < 2^22; else near it. */
static struct wi_vreg whole(struct wi_build *b, const struct online *o, struct wi_vreg v) {
    return wi_k_difference(b, wi_k_sum(b, v, o->integers, o->sum), o->integers, o->sum);
}

/* 1663 + y, where y is not too small for a power: its bits are 2^n (1 + f) after 6 are dropped.
 * Exact: 1536 + y. */
static struct wi_vreg pattern(struct wi_build *b, const struct online *o, struct wi_vreg y) {
    struct wi_vreg z = to_x(b, wi_k_sum(b, y, o->base, o->sum));
    return to_bm(b, extreme(b, true, z, o->least));
}

static void narrow_pattern(struct wi_build *b, const struct online *o, struct wi_vreg w,
                           struct wi_vreg z) {
    WI_OP(b, VSRS_S16_S32_W, wi_r(w), wi_r(z), wi_r(o->shift));
}

static struct wi_mem next_l(const struct online *o, bool out) {
    return wi_k_walk(out ? o->l_out : o->l_in, o->walk_l[out], 2, out ? STREAM_L_OUT : STREAM_L);
}

static void store_l(struct wi_build *b, const struct online *o, struct wi_vreg l) {
    wi_build_store(b, wi_low(l), next_l(o, true));
    wi_build_store(b, wi_high(l), next_l(o, true));
}

static struct wi_vreg load_l(struct wi_build *b, const struct online *o) {
    struct wi_vreg l = wi_k_bm(b, "l");
    wi_build_load(b, wi_low(l), next_l(o, false));
    wi_build_load(b, wi_high(l), next_l(o, false));
    return l;
}

/* a = 2^(before - now) in both halves of an x, and a l. */
static void rescale_l(struct wi_build *b, const struct online *o, struct wi_vreg before,
                      struct wi_vreg now) {
    struct wi_vreg a = wi_k_x(b, "a"), l = wi_k_bm(b, "a l");
    struct wi_vreg z = pattern(b, o, wi_k_difference(b, to_bm(b, before), now, o->sum));
    narrow_pattern(b, o, wi_low(a), z);
    narrow_pattern(b, o, wi_high(a), z);
    for (int half = 0; half < 2; half++)
        wi_build_store(b, half ? wi_high(a) : wi_low(a), wi_k_walk(o->a, o->walk_a, 1, STREAM_K));
    wi_k_mul(b, l, wi_k_split(b, load_l(b, o), NULL, o->sum), a, o->lanes);
    store_l(b, o, l);
}

/* Of the i-th tile of powers; then the pointer goes on to the next query tile. */
static struct wi_mem next_power(const struct online *o, int i) {
    int last = 32 * (KEY_TILES - 1);
    return wi_k_next(o->out, i < KEY_TILES - 1 ? 32 : QUERY_TILE - last, 2, STREAM_S);
}

/* Patterns in place of scores. */
static void store_patterns(struct wi_build *b, const struct online *o, struct wi_vreg m) {
    struct wi_vreg z[KEY_TILES];
    for (int i = 0; i < KEY_TILES; i++)
        z[i] = pattern(b, o, wi_k_difference(b, to_bm(b, load_scores(b, o, i, 0)), m, o->sum));
    for (int i = 0; i < KEY_TILES; i++)
        wi_build_store_s16(b, z[i], o->shift, next_power(o, i));
}

/* [v in bf16 | 0] */
static struct wi_vreg narrow_low(struct wi_build *b, const struct online *o, struct wi_vreg v) {
    struct wi_vreg x = wi_k_x(b, "rounded");
    wi_k_narrow(b, wi_low(x), v);
    WI_OP(b, VMOV_W, wi_r(wi_high(x)), wi_r(wi_low(o->zero)));
    return x;
}

/* 2^f of f in [-1/2, 1/2] in fp32 within 0.1 %: ((c3 f + c2) f + c1) f + 1. */
static struct wi_vreg polynomial(struct wi_build *b, const struct online *o, struct wi_vreg f) {
    const struct wi_vreg c[3] = {o->c2, o->c1, o->c0};
    struct wi_vreg factor = narrow_low(b, o, f), sum = {0, 0, 0};
    for (int i = 0; i < 3; i++) {
        struct wi_vreg other = i ? narrow_low(b, o, sum) : o->third;
        sum = wi_k_bm(b, "polynomial");
        wi_k_mac(b, sum, c[i], factor, other, o->lanes);
    }
    return sum;
}

/* 2^y of two tiles: 2^f, to whose exponents n is added. */
static struct wi_vreg exact_pair(struct wi_build *b, const struct online *o,
                                 const struct wi_vreg y[2]) {
    struct wi_vreg p = wi_k_x(b, "2^f"), n = wi_k_x(b, "n"), power = wi_k_x(b, "2^y");
    for (int i = 0; i < 2; i++) {
        struct wi_vreg z = pattern(b, o, y[i]), top = whole(b, o, z);
        narrow_pattern(b, o, i ? wi_high(n) : wi_low(n), top);
        wi_k_narrow(b, i ? wi_high(p) : wi_low(p),
                    polynomial(b, o, wi_k_difference(b, z, top, o->sum)));
    }
    WI_OP(b, VADD_16, wi_r(power), wi_r(p), wi_r(n));
    return power;
}

/* Powers in place of scores, and their sum onto l. */
static void store_exact(struct wi_build *b, const struct online *o, struct wi_vreg m) {
    struct wi_vreg power[KEY_TILES / 2], l = load_l(b, o);
    for (int i = 0; i < KEY_TILES / 2; i++) {
        struct wi_vreg y[2];
        for (int k = 0; k < 2; k++) {
            struct wi_vreg scores = wi_k_bm(b, "scores");
            wi_k_load_x(b, scores, wi_k_at(o->in, TILE * (2 * i + k), 2, STREAM_S));
            y[k] = wi_k_difference(b, scores, m, o->sum);
        }
        struct wi_vreg all = exact_pair(b, o, y);
        power[i] = wi_k_x(b, "powers that count");
        WI_OP(b, VSEL_16, wi_r(power[i]), wi_r(all), wi_r(o->zero), wi_r(o->mask[2 * i]));
    }
    for (int i = 0; i < KEY_TILES; i++) {
        struct wi_vreg w = i % 2 ? wi_high(power[i / 2]) : wi_low(power[i / 2]);
        struct wi_vreg wide = wi_k_bm(b, "2^y");
        wi_k_widen(b, wide, w);
        l = wi_k_sum(b, l, wide, o->sum);
        wi_build_store(b, w, next_power(o, i));
    }
    store_l(b, o, l);
}

/* m of query tile j of two, for 4 keys. */
static struct wi_vreg spread_m(struct wi_build *b, struct wi_vreg c, struct wi_vreg quarters) {
    struct wi_vreg m = wi_k_x(b, "m");
    wi_k_shuffle(b, m, c, c, quarters);
    return m;
}

/* m, a and l of two query tiles. */
static void maxima_step(struct wi_build *b, const struct online *o) {
    struct wi_vreg m[2], c = wi_k_x(b, "m of two tiles"), both = wi_k_x(b, "m of two tiles");
    for (int half = 0; half < 2; half++) /* twice the same 8 numbers */
        wi_build_load(b, half ? wi_high(c) : wi_low(c),
                      wi_k_next(o->c_in, half ? 32 : 0, 2, STREAM_C));
    for (int j = 0; j < 2; j++) {
        struct wi_vreg before = spread_m(b, c, j ? o->odd : o->even);
        struct wi_vreg most = to_bm(b, find_most(b, o, j, before)), near = whole(b, o, most);
        struct wi_vreg now =
            wi_k_sum(b, near, whole(b, o, wi_k_difference(b, most, near, o->sum)), o->sum);
        m[j] = to_x(b, now);
        rescale_l(b, o, before, now);
    }
    WI_OP(b, VSEL_32, wi_r(both), wi_r(m[0]), wi_r(m[1]), wi_r(o->upper));
    wi_build_store(b, wi_low(both), wi_k_next(o->c_out, 32, 2, STREAM_C_OUT));
    WI_OP(b, PADDA_3D, wi_r(o->in), wi_r(o->walk_in));
}

/* A query tile; its m is in the even or the odd quarters of c, in turn. */
static void powers_step(struct wi_build *b, const struct online *o) {
    struct wi_vreg c = wi_k_x(b, "m of two tiles"), m;
    wi_build_load(b, wi_low(c), wi_k_at(o->c_in, 0, 2, STREAM_C));
    wi_build_load(b, wi_high(c), wi_k_walk(o->c_in, o->walk_c, 2, STREAM_C));
    m = to_bm(b, spread_m(b, c, o->even));
    WI_OP(b, XOR, wi_r(o->even), wi_r(o->even), wi_r(o->turn));
    if (o->exact)
        store_exact(b, o, m);
    else
        store_patterns(b, o, m);
    WI_OP(b, PADDA_3D, wi_r(o->in), wi_r(o->walk_in));
    WI_OP(b, PADDA_3D, wi_r(o->out), wi_r(o->walk_out));
}

static void begin_masks(struct wi_build *b, struct online *o) {
    struct wi_vreg down = wi_build_const(b, WI_FAMILY_R, -16, "to the low half");
    for (size_t i = 0; i < KEY_TILES; i += o->exact ? 2 : 1) {
        size_t at = offsetof(struct wi_att_params, mask) + 4 * (i / 2);
        struct wi_vreg word = wi_k_param(b, WI_FAMILY_R, at, "mask");
        o->mask[i] = word;
        if (i % 2) {
            o->mask[i] = wi_build_reg(b, WI_FAMILY_R, "mask");
            WI_OP(b, LSHL, wi_r(o->mask[i]), wi_r(word), wi_r(down));
        }
    }
}

static void begin_scores(struct wi_build *b, struct online *o, int tiles) {
    o->c_in = PARAM(b, c, "m");
    o->in = PARAM(b, s, "scores");
    o->walk_in = wi_att_walk_scores(b, tiles * QUERY_TILE);
    WI_OP(b, PADDA_INC, wi_r(o->in), wi_i((tiles - 1) * QUERY_TILE));
}

static void begin_l(struct wi_build *b, struct online *o) {
    o->l_in = PARAM(b, l, "l");
    o->l_out = PARAM(b, l, "l");
    for (int i = 0; i < 2; i++)
        o->walk_l[i] =
            wi_k_walk_2d(b, "walk of l", (struct wi_walk){1024 / 32, 32, 0, 0, PITCH + 32 - 1024});
}

/* Coefficients of the least largest error, 1.03e-4 with c0 = 1 and c3 in bf16. */
static void begin_polynomial(struct wi_build *b, struct online *o) {
    o->third = wi_k_fill(b, 0x3d61, "c3");
    o->c0 = fill_bm(b, 0x3f800000, "c0");
    o->c1 = fill_bm(b, 0x3f317b9d, "c1");
    o->c2 = fill_bm(b, 0x3e7808d9, "c2");
}

/* Of loops of so many query tiles a step. */
static struct online begin(struct wi_build *b, int tiles, bool exact) {
    struct online o = {.exact = exact, .zero = wi_k_fill(b, 0, "0")};
    o.sum = wi_build_const(b, WI_FAMILY_R, WI_MAC_TILE, "addition");
    o.lanes = wi_build_const(b, WI_FAMILY_R, WI_MAC_LANES, "product of lanes");
    o.even = wi_build_const(b, WI_FAMILY_R, EVEN_128, "even quarters");
    o.odd = wi_build_const(b, WI_FAMILY_R, ODD_128, "odd quarters");
    if (!exact)
        o.none = fill_x(b, NO_SCORE, "no score");
    o.least = fill_x(b, exact ? EXACT_LEAST : LEAST, "least");
    o.base = fill_bm(b, exact ? EXACT_BASE : BASE, "base");
    o.integers = fill_bm(b, INTEGERS, "1.5 x 2^23");
    o.shift = wi_build_const(b, WI_FAMILY_S, SRS_SHIFT, "shift of patterns");
    wi_k_round_even(b);
    begin_masks(b, &o);
    begin_scores(b, &o, tiles);
    return o;
}

void wi_att_online_maxima_emit(struct wi_build *b) {
    struct online o = begin(b, 2, false);
    struct wi_vreg n = wi_build_const(b, WI_FAMILY_R, TILES / 2, "pairs of tiles");
    o.half = wi_build_const(b, WI_FAMILY_R, 32, "half");
    o.quarter = wi_build_const(b, WI_FAMILY_R, 16, "quarter");
    o.upper = wi_build_const(b, WI_FAMILY_R, UPPER_QUERIES, "upper queries");
    o.c_out = PARAM(b, c, "m");
    o.a = PARAM(b, k, "a");
    o.walk_a = walk_factors(b);
    begin_l(b, &o);
    wi_build_loop(b, (struct wi_loop){.name = "online maxima", .steps = n, .moves = MOVES});
    maxima_step(b, &o);
    wi_build_end_loop(b);
    wi_build_cut(b);
}

static void emit_powers(struct wi_build *b, bool exact) {
    struct online o = begin(b, 1, exact);
    struct wi_vreg n = wi_build_const(b, WI_FAMILY_R, TILES, "tiles of queries");
    o.turn = wi_build_const(b, WI_FAMILY_R, EVEN_128 ^ ODD_128, "even, odd");
    o.walk_c = wi_k_walk_2d(b, "walk of m", (struct wi_walk){2, 0, 0, 0, 32});
    o.out = PARAM(b, s, "powers");
    o.walk_out = wi_k_walk_3d(
        b, "walk of powers",
        (struct wi_walk){4, 0, 4, PITCH - 4 * QUERY_TILE, FAR_SCORES - 3 * PITCH - 4 * QUERY_TILE});
    if (exact) {
        begin_polynomial(b, &o);
        begin_l(b, &o);
    }
    wi_build_loop(b, (struct wi_loop){.name = "online powers", .steps = n, .moves = MOVES});
    powers_step(b, &o);
    wi_build_end_loop(b);
    wi_build_cut(b);
}

void wi_att_online_powers_emit(struct wi_build *b) {
    emit_powers(b, false);
    wi_att_exp(b, KEYS);
}

void wi_att_exact_powers_emit(struct wi_build *b) {
    emit_powers(b, true);
}

/* ---------------------------------------------------------------- O */

struct rescale {
    struct wi_vreg pa, walk_a, a;                          /* a of a query tile */
    struct wi_vreg in[2], out[2], walk_in[2], walk_out[2]; /* O, by the half of its d-tiles */
    struct wi_vreg sum, lanes;
};

/* 16 d of 4 queries. */
static void rescale_step(struct wi_build *b, const struct rescale *r) {
    static const uint8_t banks[2] = {2, 4};
    wi_build_when(b, WI_FIRST_STEP);
    for (int half = 0; half < 2; half++)
        wi_build_load(b, half ? wi_high(r->a) : wi_low(r->a),
                      wi_k_walk(r->pa, r->walk_a, 1, STREAM_K));
    wi_build_when(b, WI_EVERY_STEP);
    for (int i = 0; i < 4; i++) {
        int h = i % 2, at = o_offset(i / 2, 0, 0);
        struct wi_vreg o = wi_k_bm(b, "o"), product = wi_k_bm(b, "a o");
        wi_k_load_x(b, o, wi_k_at(r->in[h], at, banks[h], STREAM_O));
        wi_k_mul(b, product, wi_k_split(b, o, NULL, r->sum), r->a, r->lanes);
        wi_k_store_x(b, product, wi_k_at(r->out[h], at, banks[h], STREAM_O_OUT));
    }
    for (int h = 0; h < 2; h++) {
        WI_OP(b, PADDA_2D, wi_r(r->in[h]), wi_r(r->walk_in[h]));
        WI_OP(b, PADDA_2D, wi_r(r->out[h]), wi_r(r->walk_out[h]));
    }
}

void wi_att_online_rescale_emit(struct wi_build *b) {
    const int panels = WI_ATT_D / 16;
    const struct wi_walk walk = {panels, PITCH, 0, 0, TILE - (panels - 1) * PITCH};
    struct wi_vreg n = wi_build_const(b, WI_FAMILY_R, panels, "panels");
    struct wi_vreg tiles = wi_build_const(b, WI_FAMILY_R, TILES, "tiles of queries");
    struct wi_vreg far = wi_build_const(b, WI_FAMILY_M, 0x4000, "to the other half of O");
    struct rescale r = {.pa = PARAM(b, k, "a"), .a = wi_k_x(b, "a")};
    r.walk_a = walk_factors(b);
    r.sum = wi_build_const(b, WI_FAMILY_R, WI_MAC_TILE, "addition");
    r.lanes = wi_build_const(b, WI_FAMILY_R, WI_MAC_LANES, "product of lanes");
    wi_k_round_even(b);
    for (int h = 0; h < 2; h++) {
        r.in[h] = PARAM(b, o, "O");
        r.out[h] = PARAM(b, o, "O");
        r.walk_in[h] = wi_k_walk_2d(b, "walk of O", walk);
        r.walk_out[h] = wi_k_walk_2d(b, "walk of O", walk);
        struct wi_vreg p[2] = {r.in[h], r.out[h]};
        for (int i = 0; i < 2; i++) {
            WI_OP(b, PADDA_INC, wi_r(p[i]), wi_i(O_MIDDLE));
            if (h)
                WI_OP(b, PADDA_POST, wi_r(p[i]), wi_r(far));
        }
    }
    wi_build_loop(b, (struct wi_loop){"online rescale", n, tiles, .overrun = true});
    rescale_step(b, &r);
    wi_build_end_loop(b);
    wi_build_cut(b);
}

/* ---------------------------------------------------------------- all of it */

void wi_att_online_start_emit(struct wi_build *b) {
    wi_att_start(b, (uint32_t)NO_SCORE);
}

void wi_att_online_values_emit(struct wi_build *b) {
    wi_att_values(b, KEYS);
}

void wi_att_online_block_emit(struct wi_build *b) {
    wi_att_online_scores_emit(b);
    wi_att_online_maxima_emit(b);
    wi_att_online_rescale_emit(b);
    wi_att_online_powers_emit(b);
    wi_att_online_values_emit(b);
}

void wi_att_exact_block_emit(struct wi_build *b) {
    wi_att_online_scores_emit(b);
    wi_att_exact_powers_emit(b);
    wi_att_online_values_emit(b);
}

#include "npu/kernels/layernorm_parts.h"

enum { PAIR = 64, WEIGHTS = 64, F32_TILE = 128 }; /* bytes of a pair, its weights, and it in fp32 */

struct apply {
    const struct wi_ln *k;
    const struct wi_ln_places *at;
    struct wi_vreg gamma[2];            /* in the low half, in the high half */
    struct wi_vreg one_zero;            /* 1 in the low half, 0 in the high half */
    struct wi_vreg weave[2], halves[2]; /* shuffles */
};

/* ---------------------------------------------------------------- memory */

static struct wi_mem x_at(const struct apply *a, int i) {
    return wi_k_from(&a->at->x, 32 * i, WI_LN_BANK_X, WI_LN_STREAM_X);
}

static struct wi_mem y_at(const struct apply *a, int i) {
    return wi_k_from(&a->at->y, 32 * i, WI_LN_BANK_X, WI_LN_STREAM_Y);
}

static struct wi_mem weights_at(const struct apply *a, int offset) {
    return wi_k_from(&a->at->weights, offset, WI_LN_BANK_WEIGHTS, WI_LN_STREAM_WEIGHTS);
}

/* Scales of 4 rows, or, of 8 lanes each, of two rows and two others.  The pointer is at the last of
 * their registers, so that both load slots reach all. */
static void load_scales(struct wi_build *b, const struct apply *a, int n, struct wi_vreg scale[],
                        struct wi_vreg shift[]) {
    for (int i = 0; i < n; i++) {
        scale[i] = wi_k_x(b, "scale");
        shift[i] = wi_k_bm(b, "shift");
        const struct wi_vreg part[] = {wi_high(shift[i]), wi_low(shift[i]), wi_high(scale[i]),
                                       wi_low(scale[i])};
        for (int j = 0; j < 4; j++) {
            int at = 128 * (i - n + 1) + 32 * (3 - j);
            wi_build_load(b, part[j],
                          wi_k_from(&a->at->scales, at, WI_LN_BANK_STATE, WI_LN_STREAM_SCALES));
        }
    }
}

static void load_gamma(struct wi_build *b, const struct apply *a, int pair, struct wi_vreg low,
                       struct wi_vreg high) {
    wi_build_load(b, wi_low(low), weights_at(a, WEIGHTS * pair + 32));
    wi_build_load(b, wi_high(high), weights_at(a, WEIGHTS * pair + 32));
}

/* The walk goes on to the next panel: what is loaded last. */
static struct wi_vreg load_beta(struct wi_build *b, const struct apply *a, int pair) {
    struct wi_vreg beta = wi_k_bm(b, "beta");
    wi_build_load_f32(b, beta, weights_at(a, WEIGHTS * pair));
    return beta;
}

/* ---------------------------------------------------------------- exact, bf16 */

/* z in two parts; before the second one is there its place is multiplied by 0, and holds x. */
static struct wi_vreg split_z(struct wi_build *b, const struct apply *a, struct wi_vreg z,
                              struct wi_vreg x) {
    struct wi_vreg parts = wi_k_x(b, "parts of z"), rest = wi_k_bm(b, "rest of z");
    WI_OP(b, VMOV_W, wi_r(wi_high(parts)), wi_r(wi_low(x)));
    wi_k_narrow(b, wi_low(parts), z);
    wi_k_msc(b, rest, z, parts, a->one_zero, a->k->lanes);
    wi_k_narrow(b, wi_high(parts), rest);
    return parts;
}

/* Lanes are 2 rows x 8: beta + z gamma of z in two parts is one product. */
static void apply_exactly(struct wi_build *b, const struct apply *a) {
    struct wi_vreg scale[2], shift[2];
    struct wi_vreg tiles[2] = {wi_k_x(b, "first tiles"), wi_k_x(b, "second tiles")};
    load_scales(b, a, 2, scale, shift);
    for (int i = 3; i >= 0; i--)
        wi_build_load(b, i / 2 ? wi_high(tiles[i % 2]) : wi_low(tiles[i % 2]), x_at(a, i));
    for (int pair = 1; pair >= 0; pair--) {
        struct wi_vreg gamma = wi_k_x(b, "gamma"), wide = wi_k_x(b, "pair");
        load_gamma(b, a, pair, gamma, gamma);
        struct wi_vreg beta = load_beta(b, a, pair);
        wi_k_shuffle(b, wide, tiles[0], tiles[1], a->weave[pair]);
        for (int i = 1; i >= 0; i--) {
            struct wi_vreg x = wi_k_x(b, "two rows"), z = wi_k_bm(b, "z"), y = wi_k_bm(b, "y");
            wi_k_shuffle(b, x, wide, wide, a->halves[i]);
            wi_k_mac(b, z, shift[i], x, scale[i], a->k->lanes);
            wi_k_mac(b, y, beta, split_z(b, a, z, wide), gamma, a->k->lanes);
            wi_build_store_bf16(b, y, y_at(a, 2 * pair + i));
        }
    }
}

/* ---------------------------------------------------------------- fast; fp32 */

/* (x - mean) / deviation of a tile of 4 rows x 4, and x twice. */
static struct wi_vreg normalize(struct wi_build *b, const struct apply *a, int tile,
                                struct wi_vreg scale, struct wi_vreg shift, struct wi_vreg *x) {
    struct wi_vreg z = wi_k_bm(b, "z");
    *x = wi_k_x(b, "tile");
    wi_build_load(b, wi_low(*x), x_at(a, tile));
    WI_OP(b, VMOV_W, wi_r(wi_high(*x)), wi_r(wi_low(*x)));
    wi_k_mac(b, z, shift, *x, scale, a->k->lanes);
    return z;
}

/* u + z gamma of two rows of a pair; of gamma the other half is 0. */
static struct wi_vreg times_gamma(struct wi_build *b, const struct apply *a, struct wi_vreg u,
                                  struct wi_vreg z, int i) {
    struct wi_vreg y = wi_k_bm(b, "y");
    wi_k_mac(b, y, u, z, a->gamma[i], a->k->lanes);
    return y;
}

/* z of all four tiles, rounded, in two registers, from which two shuffles make tiles of 4 rows x
 * 8. */
static void apply_fast(struct wi_build *b, const struct apply *a) {
    struct wi_vreg scale, shift, x, z[2] = {wi_k_x(b, "first tiles"), wi_k_x(b, "second tiles")};
    load_scales(b, a, 1, &scale, &shift);
    for (int tile = 3; tile >= 0; tile--)
        wi_k_narrow(b, tile / 2 ? wi_high(z[tile % 2]) : wi_low(z[tile % 2]),
                    normalize(b, a, tile, scale, shift, &x));
    for (int pair = 1; pair >= 0; pair--) {
        struct wi_vreg wide = wi_k_x(b, "pair");
        load_gamma(b, a, pair, a->gamma[0], a->gamma[1]);
        struct wi_vreg beta = load_beta(b, a, pair);
        wi_k_shuffle(b, wide, z[0], z[1], a->weave[pair]);
        for (int i = 1; i >= 0; i--)
            wi_build_store_bf16(b, times_gamma(b, a, beta, wide, i), y_at(a, 2 * pair + i));
    }
}

static void store_f32(struct wi_build *b, const struct apply *a, int pair, int i,
                      struct wi_vreg y) {
    int at = (F32_TILE * pair + 64 * i) / 32;
    wi_build_store(b, wi_high(y), y_at(a, at + 1));
    wi_build_store(b, wi_low(y), y_at(a, at));
}

/* z in two parts, which are products of their own. */
static void apply_f32(struct wi_build *b, const struct apply *a) {
    struct wi_vreg scale, shift;
    load_scales(b, a, 1, &scale, &shift);
    for (int pair = 1; pair >= 0; pair--) {
        struct wi_vreg parts[2], part[2] = {wi_k_x(b, "z"), wi_k_x(b, "rest of z")}, x;
        for (int i = 1; i >= 0; i--) {
            struct wi_vreg z = normalize(b, a, 2 * pair + i, scale, shift, &x);
            parts[i] = split_z(b, a, z, x);
        }
        load_gamma(b, a, pair, a->gamma[0], a->gamma[1]);
        struct wi_vreg beta = load_beta(b, a, pair);
        for (int i = 0; i < 2; i++)
            wi_k_shuffle(b, part[i], parts[0], parts[1], a->weave[i]);
        for (int i = 1; i >= 0; i--)
            store_f32(b, a, pair, i,
                      times_gamma(b, a, times_gamma(b, a, beta, part[0], i), part[1], i));
    }
}

/* ---------------------------------------------------------------- the loop */

struct wi_cursor wi_ln_scales(struct wi_build *b) {
    return (struct wi_cursor){
        wi_k_param(b, WI_FAMILY_P, WI_LN_AT(at.state), "scales"),
        wi_k_param_walk(b, WI_FAMILY_D3, WI_LN_AT(scales_walk), "walk of scales")};
}

struct wi_ln_places wi_ln_places(struct wi_build *b, enum wi_layernorm_grade grade) {
    bool f32 = grade == WI_LAYERNORM_F32;
    size_t y = f32 ? WI_LN_AT(at.y) : WI_LN_AT(at.x);
    return (struct wi_ln_places){.steps = wi_k_param(b, WI_FAMILY_R, WI_LN_AT(steps), "steps"),
                                 .x = wi_k_cursor(b, WI_LN_AT(at.x), WI_LN_AT(x_walk)),
                                 .y = wi_k_cursor(b, y, WI_LN_AT(y_walk)),
                                 .weights =
                                     wi_k_cursor(b, WI_LN_AT(at.weights), WI_LN_AT(weights_walk)),
                                 .scales = wi_ln_scales(b)};
}

static struct apply begin(struct wi_build *b, const struct wi_ln *k, const struct wi_ln_places *at,
                          enum wi_layernorm_grade grade) {
    bool exact = grade == WI_LAYERNORM_EXACT, f32 = grade == WI_LAYERNORM_F32;
    struct apply a = {.k = k,
                      .at = at,
                      .weave = {wi_build_const(b, WI_FAMILY_R, WI_WEAVE_64, "weave"),
                                wi_build_const(b, WI_FAMILY_R, WI_WEAVE_64_HIGH, "weave")}};
    if (exact) {
        WI_OP(b, PADDB_INC, wi_r(at->scales.p), wi_i(128));
        a.halves[0] = wi_build_const(b, WI_FAMILY_R, WI_LOW_HALVES, "low halves");
        a.halves[1] = wi_build_const(b, WI_FAMILY_R, WI_HIGH_HALVES, "high halves");
    } else {
        for (int i = 0; i < 2; i++)
            a.gamma[i] = wi_k_fill(b, 0, "gamma");
    }
    if (exact || f32) {
        a.one_zero = wi_k_fill(b, 0, "one and zero");
        WI_OP(b, VMOV_W, wi_r(wi_low(a.one_zero)),
              wi_r(wi_low(wi_k_fill(b, WI_LN_BF16_ONE, "one"))));
    }
    return a;
}

/* A step is 4 rows of a panel. */
void wi_ln_apply(struct wi_build *b, const struct wi_ln *k, const struct wi_ln_places *at,
                 enum wi_layernorm_grade grade) {
    struct apply a = begin(b, k, at, grade);
    /* fp32 is for the last of all layers: better short than fast */
    wi_build_loop(b, (struct wi_loop){.name = "layernorm apply",
                                      .steps = at->steps,
                                      .apart = grade == WI_LAYERNORM_F32});
    switch (grade) {
    case WI_LAYERNORM_EXACT: apply_exactly(b, &a); break;
    case WI_LAYERNORM_FAST: apply_fast(b, &a); break;
    case WI_LAYERNORM_F32: apply_f32(b, &a); break;
    }
    wi_build_end_loop(b);
}

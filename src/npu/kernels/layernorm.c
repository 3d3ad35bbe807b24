#include "npu/kernels/layernorm.h"

#include <string.h>

#include "npu/kernels/ops.h"

enum { PANEL = 512, PAIR = 64, ROW_GROUP = 128, WEIGHTS = 64, MAX_FEATURES = 1280, MIN_PANELS = 5 };
enum { BANK_X = 1 | 2, BANK_STATE = 4, BANK_WEIGHTS = 8 };
enum { STREAM_X = 1, STREAM_Y, STREAM_WEIGHTS, STREAM_SUMS, STREAM_SCALES, STREAM_PATTERNS };
enum { BF16_ONE = 0x3f80, HALF_EXPONENT = 0x80 };
#define AT(field) offsetof(struct wi_layernorm_params, field)

static uint32_t bits_of(float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

/* The next 8 bits of v, which loses them. */
static uint32_t take_bf16(double *v) {
    uint32_t bits = bits_of((float)*v) & 0xffff0000;
    float part;
    memcpy(&part, &bits, sizeof part);
    *v -= part;
    return bits >> 16;
}

bool wi_layernorm_params(struct wi_layernorm_params *p, const struct wi_layernorm_shape *s,
                         const struct wi_layernorm_at *at) {
    int panels = s->here / 16;
    if (s->features < s->here || s->features > MAX_FEATURES || s->features % 16 || s->here % 16 ||
        panels < MIN_PANELS || s->pitch < PANEL || s->pitch % 32 || !(s->epsilon > 0))
        return false;
    uint32_t last = (uint32_t)panels - 1, pitch = (uint32_t)s->pitch;
    *p = (struct wi_layernorm_params){.at = *at,
                                      .panels = (uint32_t)panels,
                                      .groups = 4,
                                      .x_walk = {ROW_GROUP - last * pitch, last, pitch},
                                      .weights_walk = {-last * 2 * WEIGHTS, last, 2 * WEIGHTS},
                                      .next_panel = pitch - PANEL + 32};
    double inverse = 1.0 / s->features, features = s->features;
    for (int i = 0; i < 3; i++)
        p->inverse[i] = take_bf16(&inverse);
    p->floor = bits_of((float)(features * features * s->epsilon));
    p->features = take_bf16(&features);
    return true;
}

void wi_layernorm_pack_weights(uint16_t *weights, const uint16_t *gamma, const uint16_t *beta,
                               int here) {
    for (int i = 0; i < here; i++)
        for (int copy = 0; copy < 2; copy++) {
            weights[i / 8 * 32 + copy * 8 + i % 8] = beta[i];
            weights[i / 8 * 32 + 16 + copy * 8 + i % 8] = gamma[i];
        }
}

/* What all parts need: configurations of the MAC unit; sums of 4 groups of rows and of their
 * squares; scales of 16 rows. */
struct ln {
    struct wi_vreg lanes, sum;
    struct wi_vreg acc[4][2];
    struct wi_vreg scale, shift; /* x: high and low parts; bm */
};

static struct ln begin(struct wi_build *b) {
    wi_k_round_even(b);
    struct ln k = {.lanes = wi_build_const(b, WI_FAMILY_R, WI_MAC_LANES, "lanes"),
                   .sum = wi_build_const(b, WI_FAMILY_R, WI_MAC_TILE, "sum")};
    for (int i = 0; i < 8; i++)
        k.acc[i / 2][i % 2] = wi_k_bm(b, "sum");
    return k;
}

/* ---------------------------------------------------------------- sums */

static void clear_sums(struct wi_build *b, const struct ln *k) {
    for (int i = 0; i < 8; i++)
        WI_OP(b, VCLR_F, wi_r(k->acc[i / 2][i % 2]));
}

static struct wi_mem sum_at(struct wi_vreg sums, int i) {
    return wi_k_at(sums, 64 * i, BANK_STATE, STREAM_SUMS);
}

static void load_sums(struct wi_build *b, const struct ln *k) {
    struct wi_vreg sums = wi_k_param(b, WI_FAMILY_P, AT(at.sums), "sums");
    for (int i = 0; i < 8; i++)
        wi_k_load_x(b, k->acc[i / 2][i % 2], sum_at(sums, i));
}

static void store_sums(struct wi_build *b, const struct ln *k) {
    struct wi_vreg sums = wi_k_param(b, WI_FAMILY_P, AT(at.sums), "sums");
    for (int i = 0; i < 8; i++)
        wi_k_store_x(b, k->acc[i / 2][i % 2], sum_at(sums, i));
}

/* Through the cascade, in the order of the memory's layout. */
static void receive_sums(struct wi_build *b, const struct ln *k) {
    for (int i = 0; i < 8; i++) {
        struct wi_vreg acc = k->acc[i / 2][i % 2], from = wi_k_bm(b, "from above");
        WI_OP(b, VMOV_SCD, wi_r(from));
        wi_k_add(b, acc, from, acc, k->sum);
    }
}

static void send_sums(struct wi_build *b, const struct ln *k) {
    for (int i = 0; i < 8; i++)
        WI_OP(b, VMOV_MCD, wi_r(k->acc[i / 2][i % 2]));
}

/* A step is a panel. */
static void add_x(struct wi_build *b, const struct ln *k) {
    struct wi_vreg panels = wi_k_param(b, WI_FAMILY_R, AT(panels), "panels");
    struct wi_vreg px = wi_k_param(b, WI_FAMILY_P, AT(at.x), "x");
    struct wi_vreg next = wi_k_param(b, WI_FAMILY_M, AT(next_panel), "next panel");
    struct wi_vreg ones = wi_k_fill(b, BF16_ONE, "ones");
    wi_build_loop(b, (struct wi_loop){.name = "layernorm sums", .steps = panels});
    for (int i = 0; i < 8; i++) {
        struct wi_vreg x = wi_k_x(b, "pair");
        const struct wi_vreg *acc = k->acc[i / 2];
        wi_build_load(b, wi_low(x), wi_k_next(px, 32, BANK_X, STREAM_X));
        wi_build_load(b, wi_high(x),
                      i < 7 ? wi_k_next(px, 32, BANK_X, STREAM_X)
                            : (struct wi_mem){px, WI_MODE_POST, 0, next, BANK_X, STREAM_X});
        wi_k_mac(b, acc[0], acc[0], x, ones, k->lanes);
        wi_k_mac(b, acc[1], acc[1], x, x, k->lanes);
    }
    wi_build_end_loop(b);
}

/* ---------------------------------------------------------------- scales: a lane is a row */

/* The sums of 16 rows, of which each has 4 lanes of an accumulator. */
static struct wi_vreg row_sums(struct wi_build *b, const struct ln *k, int which,
                               struct wi_vreg even, struct wi_vreg odd) {
    struct wi_vreg half[2];
    for (int i = 0; i < 2; i++) {
        struct wi_vreg x[2];
        for (int j = 0; j < 2; j++) {
            x[j] = wi_k_x(b, "partial sums");
            wi_k_move(b, x[j], k->acc[2 * i + j][which]);
        }
        half[i] = wi_k_x(b, "sums of two");
        wi_k_move(b, half[i], wi_k_add_neighbours(b, x[0], x[1], even, odd, k->sum));
    }
    return wi_k_add_neighbours(b, half[0], half[1], even, odd, k->sum);
}

/* bf16 bits of a parameter in all lanes. */
static struct wi_vreg fill_param(struct wi_build *b, size_t offset, const char *name) {
    struct wi_vreg x = wi_k_x(b, name);
    WI_OP(b, VBCST_16, wi_r(x), wi_r(wi_k_param(b, WI_FAMILY_R, offset, name)));
    return x;
}

/* A number in all lanes of an accumulator. */
static struct wi_vreg constant(struct wi_build *b, uint16_t bf16, const char *name) {
    struct wi_vreg acc = wi_k_bm(b, name);
    wi_k_widen(b, acc, wi_low(wi_k_fill(b, bf16, name)));
    return acc;
}

static struct wi_vreg times(struct wi_build *b, const struct ln *k, struct wi_vreg s1,
                            struct wi_vreg s2) {
    struct wi_vreg d = wi_k_bm(b, "product");
    wi_k_mul(b, d, s1, s2, k->lanes);
    return d;
}

/* bf16 values, not 0, times a power of 2 that divides the exponent's unit. */
static struct wi_vreg scale_down(struct wi_build *b, struct wi_vreg x, struct wi_vreg exponents) {
    struct wi_vreg d = wi_k_x(b, "scaled");
    WI_OP(b, VSUB_16, wi_r(d), wi_r(x), wi_r(exponents));
    return d;
}

/* D^2 (variance + epsilon) = D sum(x^2) - sum(x)^2 + D^2 epsilon, not less than the last term. */
static struct wi_vreg spread(struct wi_build *b, const struct ln *k, struct wi_vreg s,
                             struct wi_vreg rest_s, struct wi_vreg sum, struct wi_vreg squares) {
    struct wi_vreg features = fill_param(b, AT(features), "features"), rest_q;
    struct wi_vreg floor = wi_k_x(b, "floor"), acc = wi_k_bm(b, "spread");
    WI_OP(b, VBCST_32, wi_r(floor), wi_r(wi_k_param(b, WI_FAMILY_R, AT(floor), "floor")));
    wi_k_move(b, acc, floor);
    struct wi_vreg q = wi_k_split(b, squares, &rest_q, k->sum), twice = wi_k_bm(b, "2 s");
    wi_k_mac(b, acc, acc, q, features, k->lanes);
    wi_k_msc(b, acc, acc, s, s, k->lanes);
    struct wi_vreg q3 = wi_k_fill(b, 0, "third part"), s23 = wi_k_x(b, "second and third part");
    wi_k_narrow(b, wi_low(q3), rest_q);
    wi_k_mac(b, acc, acc, q3, features, k->lanes);
    wi_k_add(b, twice, sum, sum, k->sum);
    WI_OP(b, VMOV_W, wi_r(wi_low(s23)), wi_r(wi_high(s)));
    wi_k_narrow(b, wi_high(s23), rest_s);
    wi_k_msc(b, acc, acc, s23, wi_k_narrow_twice(b, twice), k->lanes);
    struct wi_vreg bits = wi_k_x(b, "bits"), mask = wi_build_reg(b, WI_FAMILY_R, "mask");
    struct wi_vreg most = wi_k_x(b, "bits"), out = wi_k_bm(b, "spread");
    wi_k_move(b, bits, acc);
    WI_OP(b, VMAX_LT_S32, wi_r(most), wi_r(mask), wi_r(bits), wi_r(floor));
    wi_k_move(b, out, most);
    return out;
}

/* features / sqrt(v): the exponent trick, one Newton step in bf16, one of third order in fp32;
 * at most 2^-18 off. */
static struct wi_vreg inverse_root(struct wi_build *b, const struct ln *k, struct wi_vreg v) {
    struct wi_vreg shift = wi_build_const(b, WI_FAMILY_S, 17, "exponent trick");
    struct wi_vreg bits = wi_k_x(b, "bits"), y = wi_k_x(b, "y"), g = wi_k_bm(b, "g");
    struct wi_vreg half = wi_k_fill(b, HALF_EXPONENT, "a half"), h = wi_k_bm(b, "h");
    struct wi_vreg quarter = wi_k_fill(b, 2 * HALF_EXPONENT, "a quarter");
    struct wi_vreg features = fill_param(b, AT(features), "features");
    WI_OP(b, VSRS_S16_S32_W, wi_r(wi_low(bits)), wi_r(v), wi_r(shift));
    WI_OP(b, VSRS_S16_S32_W, wi_r(wi_high(bits)), wi_r(v), wi_r(shift));
    WI_OP(b, VSUB_16, wi_r(y), wi_r(wi_k_fill(b, 0x5f37, "exponent trick")), wi_r(bits));
    struct wi_vreg parts = wi_k_split(b, v, NULL, k->sum);
    /* y (1.5 - v y^2 / 2); y is in both halves, so that every factor counts twice */
    struct wi_vreg u = wi_k_narrow_twice(b, times(b, k, parts, y));
    struct wi_vreg three_halves = constant(b, 0x3fc0, "1.5"), y_half = scale_down(b, y, half);
    wi_k_msc(b, g, three_halves, u, scale_down(b, y, quarter), k->lanes);
    y = wi_k_narrow_twice(b, times(b, k, wi_k_narrow_twice(b, g), y_half));
    /* h = (1 - v y^2) / 2; y (1 + h + 1.5 h^2), times features */
    y_half = scale_down(b, y, half);
    u = wi_k_split(b, times(b, k, parts, y), NULL, k->sum);
    wi_k_msc(b, h, constant(b, 0x3f00, "0.5"), u, y_half, k->lanes);
    struct wi_vreg wide = times(b, k, features, y_half), terms = wi_k_x(b, "h, 2 h^2");
    struct wi_vreg factors = wi_k_x(b, "y, 0.75 y"), out = wi_k_bm(b, "inverse root");
    struct wi_vreg three_eighths = wi_k_fill(b, 0x3ec0, "3 / 8");
    wi_k_narrow(b, wi_low(factors), wide);
    wi_k_narrow(b, wi_high(factors), times(b, k, wi_k_narrow_twice(b, wide), three_eighths));
    wi_k_narrow(b, wi_low(terms), h);
    wi_k_narrow(b, wi_high(terms), h);
    struct wi_vreg square = times(b, k, terms, terms);
    wi_k_narrow(b, wi_high(terms), square);
    wi_k_mac(b, out, wide, terms, factors, k->lanes);
    return out;
}

/* -sum / features x scale */
static struct wi_vreg shift_of(struct wi_build *b, const struct ln *k, struct wi_vreg s,
                               struct wi_vreg rest, struct wi_vreg scale) {
    struct wi_vreg mean = times(b, k, s, fill_param(b, AT(inverse[0]), "1 / features")), left;
    struct wi_vreg last = wi_k_x(b, "ends"), inverse = fill_param(b, AT(inverse[0]), "inverse");
    struct wi_vreg third = fill_param(b, AT(inverse[2]), "inverse"), out = wi_k_bm(b, "shift");
    wi_k_mac(b, mean, mean, s, fill_param(b, AT(inverse[1]), "1 / features"), k->lanes);
    wi_k_narrow(b, wi_low(last), rest);
    WI_OP(b, VMOV_W, wi_r(wi_high(last)), wi_r(wi_low(s)));
    WI_OP(b, VMOV_W, wi_r(wi_high(inverse)), wi_r(wi_low(third)));
    wi_k_mac(b, mean, mean, last, inverse, k->lanes);
    struct wi_vreg m = wi_k_split(b, mean, &left, k->sum), part[2];
    for (int i = 0; i < 2; i++) {
        part[i] = wi_k_x(b, "mean's part");
        for (int j = 0; j < 2; j++)
            WI_OP(b, VMOV_W, wi_r(j ? wi_high(part[i]) : wi_low(part[i])),
                  wi_r(i ? wi_high(m) : wi_low(m)));
    }
    WI_OP(b, VNEGMUL_F, wi_r(out), wi_r(part[0]), wi_r(scale), wi_r(k->lanes));
    wi_k_msc(b, out, out, part[1], scale, k->lanes);
    wi_k_msc(b, out, out, wi_k_narrow_twice(b, left), scale, k->lanes);
    return out;
}

static void find_scales(struct wi_build *b, struct ln *k) {
    struct wi_vreg even = wi_build_const(b, WI_FAMILY_R, WI_EVEN_32, "even"), rest;
    struct wi_vreg odd = wi_build_const(b, WI_FAMILY_R, WI_ODD_32, "odd");
    struct wi_vreg sum = row_sums(b, k, 0, even, odd), squares = row_sums(b, k, 1, even, odd);
    struct wi_vreg s = wi_k_split(b, sum, &rest, k->sum);
    k->scale = wi_k_split(b, inverse_root(b, k, spread(b, k, s, rest, sum, squares)), NULL, k->sum);
    k->shift = shift_of(b, k, s, rest, k->scale);
}

static struct wi_mem scale_at(struct wi_vreg scales, int offset) {
    return wi_k_at(scales, offset, BANK_STATE, STREAM_SCALES);
}

static void load_scales(struct wi_build *b, struct ln *k) {
    struct wi_vreg scales = wi_k_param(b, WI_FAMILY_P, AT(at.scales), "scales");
    k->scale = wi_k_x(b, "scale");
    k->shift = wi_k_bm(b, "shift");
    wi_k_load_x(b, k->scale, scale_at(scales, 0));
    wi_k_load_x(b, k->shift, scale_at(scales, 64));
}

static void store_scales(struct wi_build *b, const struct ln *k) {
    struct wi_vreg scales = wi_k_param(b, WI_FAMILY_P, AT(at.scales), "scales");
    wi_k_store_x(b, k->scale, scale_at(scales, 0));
    wi_k_store_x(b, k->shift, scale_at(scales, 64));
}

/* ---------------------------------------------------------------- patterns */

/* Every element of x 2^levels times in a row, to memory from `*at` on, a register each 128 bytes.
 */
static void spread_out(struct wi_build *b, struct wi_vreg x, const struct wi_vreg weave[2],
                       int levels, struct wi_vreg p, int *at) {
    if (levels == 0) {
        wi_k_store_x(b, x, wi_k_at(p, *at, BANK_STATE, STREAM_PATTERNS));
        *at += 128;
        return;
    }
    for (int i = 0; i < 2; i++) {
        struct wi_vreg half = wi_k_x(b, "pattern");
        wi_k_shuffle(b, half, x, x, weave[i]);
        spread_out(b, half, weave, levels - 1, p, at);
    }
}

/* For every two rows: 8 lanes of each one's scale, high parts and then low parts, and 8 of each
 * one's shift. */
static void store_patterns(struct wi_build *b, const struct ln *k) {
    struct wi_vreg p = wi_k_param(b, WI_FAMILY_P, AT(at.patterns), "patterns");
    struct wi_vreg parts = wi_k_x(b, "parts"), low = wi_k_x(b, "low"), shift = wi_k_x(b, "shift");
    const struct wi_vreg weave_16[] = {
        wi_build_const(b, WI_FAMILY_R, WI_WEAVE_16, "weave 16"),
        wi_build_const(b, WI_FAMILY_R, WI_WEAVE_16_HIGH, "weave 16")};
    const struct wi_vreg weave_32[] = {
        wi_build_const(b, WI_FAMILY_R, WI_WEAVE_32, "weave 32"),
        wi_build_const(b, WI_FAMILY_R, WI_WEAVE_32_HIGH, "weave 32")};
    struct wi_vreg swap = wi_build_const(b, WI_FAMILY_R, WI_HIGH_HALVES, "high halves");
    int at = 0;
    wi_k_shuffle(b, low, k->scale, k->scale, swap);
    wi_k_shuffle(b, parts, k->scale, low, weave_32[0]);
    spread_out(b, parts, weave_16, 3, p, &at);
    wi_k_move(b, shift, k->shift);
    at = 64;
    spread_out(b, shift, weave_32, 3, p, &at);
}

/* ---------------------------------------------------------------- apply */

struct apply {
    struct ln k;
    bool exact;
    struct wi_vreg px, x_walk, py, y_walk, pw, weights_walk, patterns;
    struct wi_vreg first, second;      /* tiles of a pair, in the low halves */
    struct wi_vreg gamma[2];           /* in the low half, in the high half */
    struct wi_vreg one_zero;           /* 1 in the low half, 0 in the high half */
    struct wi_vreg weave, halves[2];   /* shuffles */
    struct wi_vreg scale[2], shift[2]; /* of two rows each */
};

static void load_patterns(struct wi_build *b, const struct apply *a) {
    for (int i = 0; i < 2; i++) {
        const struct wi_vreg part[] = {wi_low(a->scale[i]), wi_high(a->scale[i]),
                                       wi_low(a->shift[i]), wi_high(a->shift[i])};
        for (int j = 0; j < 4; j++)
            wi_build_load(b, part[j], wi_k_next(a->patterns, 32, BANK_STATE, STREAM_PATTERNS));
    }
}

static void load_gamma(struct wi_build *b, const struct apply *a, int pair, struct wi_vreg low,
                       struct wi_vreg high) {
    struct wi_mem at = wi_k_at(a->pw, WEIGHTS * pair + 32, BANK_WEIGHTS, STREAM_WEIGHTS);
    wi_build_load(b, wi_low(low), at);
    wi_build_load(b, wi_high(high), at);
}

/* The walk goes on to the next panel: what is loaded last. */
static struct wi_vreg load_beta(struct wi_build *b, const struct apply *a, int pair) {
    struct wi_vreg beta = wi_k_bm(b, "beta");
    wi_build_load_f32(b, beta,
                      pair ? wi_k_at(a->pw, WEIGHTS * pair, BANK_WEIGHTS, STREAM_WEIGHTS)
                           : wi_k_walk(a->pw, a->weights_walk, BANK_WEIGHTS, STREAM_WEIGHTS));
    return beta;
}

/* The two tiles of a pair as one of 4 rows x 8. */
static struct wi_vreg load_pair(struct wi_build *b, const struct apply *a, int pair) {
    struct wi_vreg tile = wi_k_x(b, "tile");
    wi_build_load(b, wi_low(a->second), wi_k_at(a->px, PAIR * pair + 32, BANK_X, STREAM_X));
    wi_build_load(b, wi_low(a->first),
                  pair ? wi_k_at(a->px, PAIR * pair, BANK_X, STREAM_X)
                       : wi_k_walk(a->px, a->x_walk, BANK_X, STREAM_X));
    wi_k_shuffle(b, tile, a->first, a->second, a->weave);
    return tile;
}

/* (x - mean) / deviation of two rows of a tile. */
static struct wi_vreg normalize(struct wi_build *b, const struct apply *a, struct wi_vreg tile,
                                int i) {
    struct wi_vreg x = wi_k_x(b, "two rows"), z = wi_k_bm(b, "z");
    if (i || a->exact) {
        wi_k_shuffle(b, x, tile, tile, a->halves[i]);
    } else { /* shuffles take a port that the fast loop has too little of, moves do not */
        WI_OP(b, VMOV_W, wi_r(wi_low(x)), wi_r(wi_low(tile)));
        WI_OP(b, VMOV_W, wi_r(wi_high(x)), wi_r(wi_low(tile)));
    }
    wi_k_mac(b, z, a->shift[i], x, a->scale[i], a->k.lanes);
    return z;
}

/* beta + z gamma of two rows of a pair, to memory. */
static void finish(struct wi_build *b, const struct apply *a, int pair, int i, struct wi_vreg beta,
                   struct wi_vreg z, struct wi_vreg gamma) {
    struct wi_vreg y = wi_k_bm(b, "y");
    wi_k_mac(b, y, beta, z, gamma, a->k.lanes);
    wi_build_store_bf16(b, y,
                        pair || i ? wi_k_at(a->py, PAIR * pair + 32 * i, BANK_X, STREAM_Y)
                                  : wi_k_walk(a->py, a->y_walk, BANK_X, STREAM_Y));
}

/* z in two parts; before the second one is there its place is multiplied by 0, and holds x. */
static struct wi_vreg split_z(struct wi_build *b, const struct apply *a, struct wi_vreg z,
                              struct wi_vreg x) {
    struct wi_vreg parts = wi_k_x(b, "parts of z"), rest = wi_k_bm(b, "rest of z");
    WI_OP(b, VMOV_W, wi_r(wi_high(parts)), wi_r(wi_low(x)));
    wi_k_narrow(b, wi_low(parts), z);
    wi_k_msc(b, rest, z, parts, a->one_zero, a->k.lanes);
    wi_k_narrow(b, wi_high(parts), rest);
    return parts;
}

static void apply_exactly(struct wi_build *b, const struct apply *a, int pair) {
    struct wi_vreg gamma = wi_k_x(b, "gamma");
    load_gamma(b, a, pair, gamma, gamma);
    struct wi_vreg beta = load_beta(b, a, pair), tile = load_pair(b, a, pair);
    for (int i = 1; i >= 0; i--) {
        struct wi_vreg z = normalize(b, a, tile, i);
        finish(b, a, pair, i, beta, split_z(b, a, z, tile), gamma);
    }
}

/* z of all four rows as bf16 in one register; of gamma the other half is 0. */
static void apply_fast(struct wi_build *b, const struct apply *a, int pair) {
    struct wi_vreg z = wi_k_x(b, "z");
    load_gamma(b, a, pair, a->gamma[0], a->gamma[1]);
    struct wi_vreg beta = load_beta(b, a, pair), tile = load_pair(b, a, pair);
    wi_k_narrow(b, wi_low(z), normalize(b, a, tile, 0));
    wi_k_narrow(b, wi_high(z), normalize(b, a, tile, 1));
    for (int i = 1; i >= 0; i--)
        finish(b, a, pair, i, beta, z, a->gamma[i]);
}

static void apply(struct wi_build *b, const struct ln *k, enum wi_layernorm_grade grade) {
    struct wi_vreg panels = wi_k_param(b, WI_FAMILY_R, AT(panels), "panels");
    struct wi_vreg groups = wi_k_param(b, WI_FAMILY_R, AT(groups), "row groups");
    struct apply a = {.k = *k,
                      .exact = grade == WI_LAYERNORM_EXACT,
                      .px = wi_k_param(b, WI_FAMILY_P, AT(at.x), "x"),
                      .x_walk = wi_k_param_walk(b, WI_FAMILY_D, AT(x_walk), "walk of x"),
                      .py = wi_k_param(b, WI_FAMILY_P, AT(at.x), "y"),
                      .y_walk = wi_k_param_walk(b, WI_FAMILY_D, AT(x_walk), "walk of y"),
                      .pw = wi_k_param(b, WI_FAMILY_P, AT(at.weights), "weights"),
                      .weights_walk =
                          wi_k_param_walk(b, WI_FAMILY_D, AT(weights_walk), "walk of weights"),
                      .patterns = wi_k_param(b, WI_FAMILY_P, AT(at.patterns), "patterns"),
                      .first = wi_k_fill(b, 0, "first tile"),
                      .second = wi_k_fill(b, 0, "second tile"),
                      .weave = wi_build_const(b, WI_FAMILY_R, WI_WEAVE_64, "weave"),
                      .halves = {wi_build_const(b, WI_FAMILY_R, WI_LOW_HALVES, "low halves"),
                                 wi_build_const(b, WI_FAMILY_R, WI_HIGH_HALVES, "high halves")}};
    if (a.exact) {
        a.one_zero = wi_k_fill(b, 0, "one and zero");
        WI_OP(b, VMOV_W, wi_r(wi_low(a.one_zero)), wi_r(wi_low(wi_k_fill(b, BF16_ONE, "one"))));
    }
    for (int i = 0; i < 2; i++) {
        if (!a.exact)
            a.gamma[i] = wi_k_fill(b, 0, "gamma");
        a.scale[i] = wi_k_x(b, "scale");
        a.shift[i] = wi_k_bm(b, "shift");
    }
    wi_build_loop(b, (struct wi_loop){"layernorm apply", panels, groups, .overrun = true});
    wi_build_when(b, WI_FIRST_STEP);
    load_patterns(b, &a);
    wi_build_when(b, WI_EVERY_STEP);
    for (int pair = 1; pair >= 0; pair--)
        a.exact ? apply_exactly(b, &a, pair) : apply_fast(b, &a, pair);
    wi_build_end_loop(b);
}

/* ---------------------------------------------------------------- routines */

void wi_layernorm_emit_sums(struct wi_build *b, enum wi_layernorm_sums which) {
    struct ln k = begin(b);
    which == WI_LAYERNORM_MORE_SUMS ? load_sums(b, &k) : clear_sums(b, &k);
    add_x(b, &k);
    if (which == WI_LAYERNORM_MIDDLE_SUMS || which == WI_LAYERNORM_BOTTOM_SUMS)
        receive_sums(b, &k);
    if (which == WI_LAYERNORM_TOP_SUMS || which == WI_LAYERNORM_MIDDLE_SUMS)
        send_sums(b, &k);
    else
        store_sums(b, &k);
}

void wi_layernorm_emit_scales(struct wi_build *b) {
    struct ln k = begin(b);
    load_sums(b, &k);
    find_scales(b, &k);
    store_scales(b, &k);
}

void wi_layernorm_emit_apply(struct wi_build *b, enum wi_layernorm_grade grade) {
    struct ln k = begin(b);
    load_scales(b, &k);
    store_patterns(b, &k);
    apply(b, &k, grade);
}

void wi_layernorm_emit(struct wi_build *b, enum wi_layernorm_grade grade) {
    struct ln k = begin(b);
    clear_sums(b, &k);
    add_x(b, &k);
    find_scales(b, &k);
    wi_build_cut(b);
    store_patterns(b, &k);
    apply(b, &k, grade);
}

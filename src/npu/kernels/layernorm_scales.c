#include "npu/kernels/layernorm_parts.h"

enum { HALF_EXPONENT = 0x80 };

/* A lane is a row. */

/* The sums of 16 rows, of which each has 4 lanes of an accumulator. */
static struct wi_vreg row_sums(struct wi_build *b, const struct wi_ln *k, int which,
                               struct wi_vreg even, struct wi_vreg odd) {
    struct wi_vreg half[2];
    for (int i = 0; i < 2; i++) {
        struct wi_vreg x[2];
        for (int j = 0; j < 2; j++) {
            x[j] = wi_k_x(b, "partial sums");
            wi_k_move(b, x[j], k->acc[4 * i + 2 * j + which]);
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

/* bf16 values, not 0, times a power of 2 that divides the exponent's unit. */
static struct wi_vreg scale_down(struct wi_build *b, struct wi_vreg x, struct wi_vreg exponents) {
    struct wi_vreg d = wi_k_x(b, "scaled");
    WI_OP(b, VSUB_16, wi_r(d), wi_r(x), wi_r(exponents));
    return d;
}

/* D^2 (variance + epsilon) = D sum(x^2) - sum(x)^2 + D^2 epsilon, not less than the last term. */
static struct wi_vreg spread(struct wi_build *b, const struct wi_ln *k, struct wi_vreg s,
                             struct wi_vreg rest_s, struct wi_vreg sum, struct wi_vreg squares) {
    struct wi_vreg features = fill_param(b, WI_LN_AT(features), "features"), rest_q;
    struct wi_vreg floor = wi_k_x(b, "floor"), acc = wi_k_bm(b, "spread");
    WI_OP(b, VBCST_32, wi_r(floor), wi_r(wi_k_param(b, WI_FAMILY_R, WI_LN_AT(floor), "floor")));
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
static struct wi_vreg inverse_root(struct wi_build *b, const struct wi_ln *k, struct wi_vreg v) {
    struct wi_vreg shift = wi_build_const(b, WI_FAMILY_S, 17, "exponent trick");
    struct wi_vreg bits = wi_k_x(b, "bits"), y = wi_k_x(b, "y"), g = wi_k_bm(b, "g");
    struct wi_vreg half = wi_k_fill(b, HALF_EXPONENT, "a half"), h = wi_k_bm(b, "h");
    struct wi_vreg quarter = wi_k_fill(b, 2 * HALF_EXPONENT, "a quarter");
    struct wi_vreg features = fill_param(b, WI_LN_AT(features), "features");
    WI_OP(b, VSRS_S16_S32_W, wi_r(wi_low(bits)), wi_r(v), wi_r(shift));
    WI_OP(b, VSRS_S16_S32_W, wi_r(wi_high(bits)), wi_r(v), wi_r(shift));
    WI_OP(b, VSUB_16, wi_r(y), wi_r(wi_k_fill(b, 0x5f37, "exponent trick")), wi_r(bits));
    struct wi_vreg parts = wi_k_split(b, v, NULL, k->sum);
    /* y (1.5 - v y^2 / 2); y is in both halves, so that every factor counts twice */
    struct wi_vreg u = wi_k_narrow_twice(b, wi_k_product(b, parts, y, k->lanes));
    struct wi_vreg three_halves = constant(b, 0x3fc0, "1.5"), y_half = scale_down(b, y, half);
    wi_k_msc(b, g, three_halves, u, scale_down(b, y, quarter), k->lanes);
    y = wi_k_narrow_twice(b, wi_k_product(b, wi_k_narrow_twice(b, g), y_half, k->lanes));
    /* h = (1 - v y^2) / 2; y (1 + h + 1.5 h^2), times features */
    y_half = scale_down(b, y, half);
    u = wi_k_split(b, wi_k_product(b, parts, y, k->lanes), NULL, k->sum);
    wi_k_msc(b, h, constant(b, 0x3f00, "0.5"), u, y_half, k->lanes);
    struct wi_vreg wide = wi_k_product(b, features, y_half, k->lanes),
                   terms = wi_k_x(b, "h, 2 h^2");
    struct wi_vreg factors = wi_k_x(b, "y, 0.75 y"), out = wi_k_bm(b, "inverse root");
    struct wi_vreg three_eighths = wi_k_fill(b, 0x3ec0, "3 / 8");
    wi_k_narrow(b, wi_low(factors), wide);
    wi_k_narrow(b, wi_high(factors),
                wi_k_product(b, wi_k_narrow_twice(b, wide), three_eighths, k->lanes));
    wi_k_narrow(b, wi_low(terms), h);
    wi_k_narrow(b, wi_high(terms), h);
    struct wi_vreg square = wi_k_product(b, terms, terms, k->lanes);
    wi_k_narrow(b, wi_high(terms), square);
    wi_k_mac(b, out, wide, terms, factors, k->lanes);
    return out;
}

/* -sum / features x scale.  Small terms first: the last rounding of the mean is then that of its
 * own last bit, so that rows of one value have just that for a mean. */
static struct wi_vreg shift_of(struct wi_build *b, const struct wi_ln *k, struct wi_vreg s,
                               struct wi_vreg rest, struct wi_vreg scale) {
    struct wi_vreg inverse = fill_param(b, WI_LN_AT(inverse[0]), "1 / features"), left;
    struct wi_vreg least = wi_k_x(b, "ends"), ends = fill_param(b, WI_LN_AT(inverse[2]), "ends");
    struct wi_vreg out = wi_k_bm(b, "shift");
    wi_k_narrow(b, wi_low(least), rest);
    WI_OP(b, VMOV_W, wi_r(wi_high(least)), wi_r(wi_low(s)));
    WI_OP(b, VMOV_W, wi_r(wi_low(ends)), wi_r(wi_low(inverse)));
    struct wi_vreg mean = wi_k_product(b, least, ends, k->lanes);
    wi_k_mac(b, mean, mean, s, fill_param(b, WI_LN_AT(inverse[1]), "1 / features"), k->lanes);
    wi_k_mac(b, mean, mean, s, inverse, k->lanes);
    struct wi_vreg m = wi_k_split(b, mean, &left, k->sum);
    WI_OP(b, VNEGMUL_F, wi_r(out), wi_r(wi_k_narrow_twice(b, left)), wi_r(scale), wi_r(k->lanes));
    for (int i = 1; i >= 0; i--) {
        struct wi_vreg part = wi_k_x(b, "mean's part");
        for (int j = 0; j < 2; j++)
            WI_OP(b, VMOV_W, wi_r(j ? wi_high(part) : wi_low(part)),
                  wi_r(i ? wi_high(m) : wi_low(m)));
        wi_k_msc(b, out, out, part, scale, k->lanes);
    }
    return out;
}

void wi_ln_find_scales(struct wi_build *b, struct wi_ln *k) {
    struct wi_vreg even = wi_build_const(b, WI_FAMILY_R, WI_EVEN_32, "even"), rest;
    struct wi_vreg odd = wi_build_const(b, WI_FAMILY_R, WI_ODD_32, "odd");
    struct wi_vreg sum = row_sums(b, k, 0, even, odd), squares = row_sums(b, k, 1, even, odd);
    struct wi_vreg s = wi_k_split(b, sum, &rest, k->sum);
    k->scale = wi_k_split(b, inverse_root(b, k, spread(b, k, s, rest, sum, squares)), NULL, k->sum);
    k->shift = shift_of(b, k, s, rest, k->scale);
}

/* ---------------------------------------------------------------- to memory */

struct stores {
    const struct wi_cursor *to;
    struct wi_vreg weave[2];
    bool down; /* with a walk: the first bytes are the last */
};

static struct wi_mem scales_at(const struct stores *s, int at) {
    return s->down ? wi_k_from(s->to, at, WI_LN_BANK_STATE, WI_LN_STREAM_SCALES)
                   : wi_k_at(s->to->p, at, WI_LN_BANK_STATE, WI_LN_STREAM_SCALES);
}

/* Every element of x 2^level times in a row, to memory from *at on, every 128 bytes. */
static void spread_out(struct wi_build *b, const struct stores *s, struct wi_vreg x, int level,
                       int *at) {
    if (level == 0) {
        wi_build_store(b, wi_high(x), scales_at(s, *at + 32));
        wi_build_store(b, wi_low(x), scales_at(s, *at));
        *at += s->down ? -128 : 128;
        return;
    }
    for (int i = 0; i < 2; i++) {
        struct wi_vreg half = wi_k_x(b, "pattern");
        wi_k_shuffle(b, half, x, x, s->weave[s->down ? 1 - i : i]);
        spread_out(b, s, half, level - 1, at);
    }
}

/* For every four rows, or two where the grade needs 8 lanes of each: lanes of their scales, high
 * parts and then low parts, and of their shifts. */
void wi_ln_store_scales(struct wi_build *b, const struct wi_ln *k, enum wi_layernorm_grade grade,
                        const struct wi_cursor *to) {
    int levels = grade == WI_LAYERNORM_EXACT ? 3 : 2, at;
    struct wi_vreg parts = wi_k_x(b, "parts"), low = wi_k_x(b, "low"), shift = wi_k_x(b, "shift");
    struct stores s = {.to = to,
                       .weave = {wi_build_const(b, WI_FAMILY_R, WI_WEAVE_32, "weave 32"),
                                 wi_build_const(b, WI_FAMILY_R, WI_WEAVE_32_HIGH, "weave 32")},
                       .down = to->walk.id != 0};
    struct wi_vreg swap = wi_build_const(b, WI_FAMILY_R, WI_HIGH_HALVES, "high halves");
    struct wi_vreg weave_64 = wi_build_const(b, WI_FAMILY_R, WI_WEAVE_64, "weave 64");
    int first = s.down ? 128 * ((1 << levels) - 1) : 0;
    wi_k_move(b, shift, k->shift);
    at = first + 64;
    spread_out(b, &s, shift, levels, &at);
    wi_k_shuffle(b, low, k->scale, k->scale, swap);
    wi_k_shuffle(b, parts, k->scale, low, levels == 3 ? s.weave[0] : weave_64);
    s.weave[0] = wi_build_const(b, WI_FAMILY_R, WI_WEAVE_16, "weave 16");
    s.weave[1] = wi_build_const(b, WI_FAMILY_R, WI_WEAVE_16_HIGH, "weave 16");
    at = first;
    spread_out(b, &s, parts, levels, &at);
}

#include "unit/suite.h"

#include "lnref.h"

#include <math.h>
#include <string.h>

#include "krig.h"

const char *lnref_grade(enum wi_layernorm_grade grade) {
    static const char *const names[] = {"exact", "fast", "fp32"};
    return names[grade];
}

void lnref_fill(struct lnref *p, int rows, int features, enum wi_layernorm_grade grade,
                enum kdata_kind kind) {
    uint64_t seed = 77 + (uint64_t)features * 8 + kind;
    p->shape = (struct wi_layernorm_shape){.rows = rows,
                                           .features = features,
                                           .here = features,
                                           .pitch = rows * 32,
                                           .y_pitch = rows * 64,
                                           .state_pitch = WI_LAYERNORM_PIECE,
                                           .epsilon = LNREF_EPSILON,
                                           .grade = grade};
    for (int r = 0; r < rows; r++)
        kdata_row(p->x + r * features, features, kind, &seed);
    for (int c = 0; c < features; c++) {
        p->gamma[c] = krig_bf16((float)(1 + 0.3 * kdata_normal(&seed)));
        p->beta[c] = krig_bf16((float)(0.3 * kdata_normal(&seed)));
    }
}

/* ---------------------------------------------------------------- plain C */

struct parts {
    uint16_t p[3];
};

static struct parts split(float v) {
    struct parts s;
    for (int i = 0; i < 3; i++) {
        s.p[i] = krig_bf16(v);
        v = krig_add(v, -krig_f32(s.p[i]));
    }
    return s;
}

static uint16_t negative(uint16_t bf16) {
    return bf16 ^ 0x8000;
}

/* acc + a b + c d */
static float mac2(float acc, uint16_t a, uint16_t b, uint16_t c, uint16_t d) {
    return krig_mac2(acc, a, c, b, d);
}

static float from_bits(uint32_t bits) {
    float v;
    memcpy(&v, &bits, 4);
    return v;
}

/* features / sqrt(v) as emit_scales() computes it. */
static float host_root(float v, uint16_t features) {
    uint32_t bits = krig_bits(v), q = bits >> 17, rest = bits & 0x1ffff;
    q += rest > 0x10000 || (rest == 0x10000 && q & 1);
    uint16_t y = (uint16_t)(0x5f37 - q), quarter = y - 0x100, half = y - 0x80;
    struct parts p = split(v);
    uint16_t u = krig_bf16(mac2(0, p.p[0], y, p.p[1], y));
    uint16_t g = krig_bf16(mac2(1.5f, negative(u), quarter, negative(u), quarter));
    y = krig_bf16(mac2(0, g, half, g, half));
    half = y - 0x80;
    struct parts w = split(mac2(0, p.p[0], y, p.p[1], y));
    uint16_t h = krig_bf16(mac2(0.5f, negative(w.p[0]), half, negative(w.p[1]), half));
    float wide = mac2(0, features, half, features, half);
    uint16_t wb = krig_bf16(wide);
    uint16_t more = krig_bf16(mac2(0, wb, 0x3ec0, wb, 0x3ec0));
    return mac2(wide, h, wb, krig_bf16(mac2(0, h, h, h, h)), more);
}

struct row_scale {
    uint16_t high, low;
    float shift;
};

static struct row_scale host_scale(float sum, float squares, const struct wi_layernorm_params *p) {
    struct parts s = split(sum), q = split(squares);
    uint16_t d = (uint16_t)p->features, twice = krig_bf16(krig_add(sum, sum));
    float v = mac2(from_bits(p->floor), q.p[0], d, q.p[1], d);
    v = mac2(v, negative(s.p[0]), s.p[0], negative(s.p[1]), s.p[1]);
    v = mac2(v, q.p[2], d, 0, d);
    v = mac2(v, negative(s.p[1]), twice, negative(s.p[2]), twice);
    v = v < from_bits(p->floor) ? from_bits(p->floor) : v;
    struct parts r = split(host_root(v, d));
    uint16_t i[3];
    for (int k = 0; k < 3; k++)
        i[k] = (uint16_t)p->inverse[k];
    float mean = mac2(0, s.p[2], i[0], s.p[0], i[2]);
    mean = mac2(mean, s.p[0], i[1], s.p[1], i[1]);
    mean = mac2(mean, s.p[0], i[0], s.p[1], i[0]);
    struct parts m = split(mean);
    float shift = 0;
    for (int k = 2; k >= 0; k--)
        shift = mac2(shift, negative(m.p[k]), r.p[0], negative(m.p[k]), r.p[1]);
    return (struct row_scale){r.p[0], r.p[1], shift};
}

void lnref_add(struct lnref_sums *s, const struct lnref_sums *more, const uint16_t *x, int n) {
    for (int c = 0; c < n; c += 8)
        for (int f = 0; f < 4; f++) {
            const uint16_t v[] = {x[c + f], x[c + 4 + f]}, ones[] = {0x3f80, 0x3f80};
            bool first = c == 0 && more;
            s->x[f] = krig_addmac(s->x[f], first ? more->x[f] : 0, 2, v, ones);
            s->squares[f] = krig_addmac(s->squares[f], first ? more->squares[f] : 0, 2, v, v);
        }
}

static float fold(const float s[4]) {
    return krig_add(krig_add(s[0], s[1]), krig_add(s[2], s[3]));
}

static float host_element(const struct lnref *p, struct row_scale s, uint16_t x, int c) {
    struct parts z = split(mac2(s.shift, x, s.high, x, s.low));
    uint16_t gamma = p->gamma[c];
    float beta = krig_f32(p->beta[c]);
    if (p->shape.grade == WI_LAYERNORM_F32)
        return mac2(mac2(beta, z.p[0], gamma, 0, 0), z.p[1], gamma, 0, 0);
    uint16_t low = p->shape.grade == WI_LAYERNORM_EXACT ? z.p[1] : 0;
    return krig_f32(krig_bf16(mac2(beta, z.p[0], gamma, low, gamma)));
}

void lnref_row(const struct lnref *p, int row, const struct lnref_sums *sums, float *y) {
    const struct wi_layernorm_at at = {0};
    struct wi_layernorm_params params;
    assert_true(wi_layernorm_params(&params, &p->shape, &at));
    struct row_scale s = host_scale(fold(sums->x), fold(sums->squares), &params);
    for (int c = 0; c < p->shape.features; c++)
        y[c] = host_element(p, s, p->x[row * p->shape.features + c], c);
}

void lnref_compare(const struct lnref *p, int row, const float *y) {
    for (int c = 0; c < p->shape.features; c++) {
        float got = p->y[row * p->shape.features + c];
        if (krig_bits(got) != krig_bits(y[c]))
            fail_msg("%s, %d x %d: row %d, element %d is %a, not %a", lnref_grade(p->shape.grade),
                     p->shape.rows, p->shape.features, row, c, (double)got, (double)y[c]);
    }
}

/* ---------------------------------------------------------------- f64 */

void lnref_exact(const struct lnref *p, double *y) {
    int n = p->shape.features;
    for (int r = 0; r < p->shape.rows; r++) {
        double mean = 0, variance = 0;
        for (int c = 0; c < n; c++)
            mean += krig_f32(p->x[r * n + c]) / (double)n;
        for (int c = 0; c < n; c++)
            variance += pow(krig_f32(p->x[r * n + c]) - mean, 2) / n;
        for (int c = 0; c < n; c++)
            y[r * n + c] = (krig_f32(p->x[r * n + c]) - mean) /
                               sqrt(variance + (double)LNREF_EPSILON) * krig_f32(p->gamma[c]) +
                           krig_f32(p->beta[c]);
    }
}

struct kdata_error lnref_measure(const struct lnref *p) {
    static double y[LNREF_ROWS * LNREF_FEATURES];
    lnref_exact(p, y);
    return kdata_measure_f32(p->y, y, p->shape.rows, p->shape.features);
}

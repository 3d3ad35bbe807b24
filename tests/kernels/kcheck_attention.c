/* Both attention kernels against f64. */
#include "inputs.h"

#include "unit/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Inputs of one head. */
struct head {
    int n_q, n_kv, d;
    struct guarded guards[5];
    float *q, *k, *v, *out, *rows_out;
    float *cache_k, *cache_v; /* [n_kv, d], rows shuffled */
    int *rows;
};
enum { MAX_KEYS = 1500 };
static const float attn_scale = 0.125f;

static void head_init(struct head *h, int n_q, int n_kv, int d, float spread) {
    size_t size = (size_t)n_kv * (size_t)d * sizeof(float);
    *h = (struct head){.n_q = n_q, .n_kv = n_kv, .d = d};
    h->q = padded(&h->guards[0], n_q, d);
    h->k = padded(&h->guards[1], n_kv, d);
    h->v = padded(&h->guards[2], n_kv, d);
    h->out = padded(&h->guards[3], n_q, d);
    h->rows_out = padded(&h->guards[4], 1, d);
    h->cache_k = malloc(size);
    h->cache_v = malloc(size);
    h->rows = malloc((size_t)n_kv * sizeof *h->rows);
    for (int i = 0; i < n_q; i++)
        for (int c = 0; c < d; c++)
            h->q[i * (d + PAD) + c] = uniform(-spread, spread);
    for (int j = 0; j < n_kv; j++)
        h->rows[j] = n_kv - 1 - j;
    for (int j = n_kv - 1; j > 0; j--) {
        int other = (int)(rng() % (uint32_t)(j + 1)), row = h->rows[j];
        h->rows[j] = h->rows[other];
        h->rows[other] = row;
    }
    for (int j = 0; j < n_kv; j++)
        for (int c = 0; c < d; c++) {
            float k = uniform(-1, 1), v = uniform(-1, 1);
            h->k[j * (d + PAD) + c] = h->cache_k[h->rows[j] * d + c] = k;
            h->v[j * (d + PAD) + c] = h->cache_v[h->rows[j] * d + c] = v;
        }
}

static void head_fini(struct head *h) {
    for (int i = 0; i < 5; i++)
        guarded_free(&h->guards[i]);
    free(h->cache_k);
    free(h->cache_v);
    free(h->rows);
}

/* out[c] = sum of p_j v_jc, and its error bounds, with u and v as above and S_j = scale sum |q
 * k_j|: f32: a score is off by (4 sqrt(d) + 8) u S_j and so is, relatively, its weight; exp adds 2
 * ulp and |its argument| u; the sum over keys (4 sqrt(n) + 8) u.  A common factor of the weights
 * cancels, so an error of p_j moves the output by p_j |v_j - out|. bf16: the rounding error of one
 * value is at most v, 0.41 v rms, that of a product of two 0.58 v, and errors are independent: 6
 * standard deviations.  exp of a score error that large is not linear any more, hence the factor
 * exp(6 sigma). */
static void attention_f64(const struct head *h, int i, double *out, double *f32_bound,
                          double *bf16_bound) {
    static double p[MAX_KEYS], error[MAX_KEYS], sigma[MAX_KEYS];
    double max = -INFINITY, sum = 0, max_sigma = 0;
    for (int j = 0; j < h->n_kv; j++) {
        double s = 0, size = 0, square = 0;
        for (int c = 0; c < h->d; c++) {
            double t = attn_scale * (double)h->q[i * (h->d + PAD) + c] * h->k[j * (h->d + PAD) + c];
            s += t;
            size += fabs(t);
            square += t * t;
        }
        p[j] = s;
        error[j] = size * (4 * sqrt(h->d) + 8);
        sigma[j] = 0.58 * 0x1p-8 * sqrt(square);
        max = s > max ? s : max;
    }
    for (int j = 0; j < h->n_kv; j++) {
        error[j] += 4 + max - p[j];
        sum += p[j] = exp(p[j] - max);
        max_sigma = p[j] > 1e-6 && sigma[j] > max_sigma ? sigma[j] : max_sigma;
    }
    for (int c = 0; c < h->d; c++) {
        double linear = 0, variance = 0, size = 0;
        out[c] = 0;
        for (int j = 0; j < h->n_kv; j++)
            out[c] += p[j] / sum * h->v[j * (h->d + PAD) + c];
        for (int j = 0; j < h->n_kv; j++) {
            double v = h->v[j * (h->d + PAD) + c], weight = p[j] / sum;
            linear += weight * fabs(v - out[c]) * error[j];
            size += weight * fabs(v);
            variance +=
                pow(weight * (v - out[c]) * sigma[j], 2) + pow(weight * v * 0.58 * 0x1p-8, 2);
        }
        f32_bound[c] = 0x1p-24 * (linear + (4 * sqrt(h->n_kv) + 8) * size);
        bf16_bound[c] = f32_bound[c] + 6 * exp(6 * max_sigma) * sqrt(variance);
    }
}

/* Rows as the products read them, at a guard page, with gaps of NaN. */
static uint8_t *value_rows(struct guarded *g, const float *src, int rows, int cols) {
    size_t stride = (size_t)(cols + PAD) * kern.value_bytes;
    size_t bytes = stride * (size_t)(rows - 1) + (size_t)cols * kern.value_bytes;
    uint8_t *values = guarded_alloc(g, bytes);
    memset(values, 0xff, bytes);
    for (int i = 0; src && i < rows; i++)
        kern.to_values(src + (size_t)i * (cols + PAD), values + stride * (size_t)i, cols);
    return values;
}

static float value_at(const uint8_t *values, size_t i) {
    uint16_t half;
    float x;
    if (kern.value_type == WI_F32) {
        memcpy(&x, values + 4 * i, sizeof x);
        return x;
    }
    memcpy(&half, values + 2 * i, sizeof half);
    return wi_bf16_to_f32(half);
}

/* Keys from rows of f32, values from rows as the products read them. */
static uint32_t *packed_keys(const struct head *h, struct guarded *g) {
    uint32_t *k = guarded_alloc(g, wi_packed_units(&kern, h->n_kv, h->d) * sizeof *k);
    int cols = kern.tile_cols, ld = h->d + PAD;
    for (int j = 0; j < h->n_kv; j += cols)
        kern.pack_rows(WI_F32, (const uint8_t *)(h->k + (size_t)j * ld), (size_t)ld * 4,
                       h->n_kv - j < cols ? h->n_kv - j : cols, h->d,
                       k + wi_packed_units(&kern, j, h->d));
    return k;
}

static uint32_t *packed_values(const struct head *h, struct guarded *g) {
    uint32_t *v = guarded_alloc(g, wi_packed_units(&kern, h->d, h->n_kv) * sizeof *v);
    struct guarded gs;
    const uint8_t *rows = value_rows(&gs, h->v, h->n_kv, h->d);
    int cols = kern.tile_cols;
    for (int c = 0; c < h->d; c += cols)
        kern.pack_columns(rows + (size_t)c * kern.value_bytes, (size_t)(h->d + PAD), h->n_kv,
                          h->d - c < cols ? h->d - c : cols,
                          v + wi_packed_units(&kern, c, h->n_kv));
    guarded_free(&gs);
    return v;
}

static void run_attention(const struct head *h) {
    struct guarded guards[5];
    size_t ld = (size_t)(h->d + PAD);
    uint8_t *out = value_rows(&guards[0], NULL, h->n_q, h->d);
    float *scratch = guarded_alloc(&guards[1], WI_ATTEND_SCRATCH * sizeof *scratch);
    struct wi_attend a = {.n_q = h->n_q,
                          .n_kv = h->n_kv,
                          .d_head = h->d,
                          .q = value_rows(&guards[2], h->q, h->n_q, h->d),
                          .ldq = ld,
                          .k = packed_keys(h, &guards[3]),
                          .v = packed_values(h, &guards[4]),
                          .scale = attn_scale,
                          .out = out,
                          .ldo = ld};
    for (int q0 = 0; q0 < h->n_q; q0 += 24)
        kern.attend(&a, q0, q0 + 24 < h->n_q ? q0 + 24 : h->n_q, scratch);
    for (int i = 0; i < h->n_q; i++)
        for (size_t c = 0; c < (i + 1 < h->n_q ? ld : (size_t)h->d); c++)
            h->out[(size_t)i * ld + c] = value_at(out, (size_t)i * ld + c);
    for (int i = 0; i < 5; i++)
        guarded_free(&guards[i]);
}

/* A cache of bf16 is the cache of f32 with those values; the f32 one was compared with f64. */
static void check_bf16_rows(const struct head *h, const struct wi_attn_rows *f32,
                            const double *bound, float *scratch) {
    struct wi_attn_rows rounded = *f32, bf16 = *f32;
    size_t n = (size_t)(h->n_kv * h->d);
    struct guarded guards[2];
    uint16_t *half[2];
    float *wide[2], out[WI_HEAD_MAX];
    for (int i = 0; i < 2; i++) {
        const float *cache = i ? h->cache_v : h->cache_k;
        half[i] = guarded_alloc(&guards[i], n * sizeof **half);
        wide[i] = malloc(n * sizeof **wide);
        for (size_t j = 0; j < n; j++) {
            half[i][j] = wi_f32_to_bf16(cache[j]);
            wide[i][j] = wi_bf16_to_f32(half[i][j]);
        }
    }
    rounded.k = wide[0];
    rounded.v = wide[1];
    rounded.out = out;
    kern.attend_rows(&rounded, scratch);
    bf16.k = half[0];
    bf16.v = half[1];
    bf16.bf16 = true;
    kern.attend_rows(&bf16, scratch);
    for (int c = 0; c < h->d; c++)
        if (!(fabs(h->rows_out[c] - out[c]) <= 2 * bound[c]))
            fail_msg("attend_rows bf16 %d, d %d, [%d]: %.9g, not %.9g", h->n_kv, h->d, c,
                     h->rows_out[c], out[c]);
    for (int i = 0; i < 2; i++) {
        guarded_free(&guards[i]);
        free(wide[i]);
    }
}

static void check_attention_case(int n_q, int n_kv, int d, float spread) {
    struct guarded gs;
    struct head h;
    double ref[WI_HEAD_MAX], f32[WI_HEAD_MAX], bf16[WI_HEAD_MAX];
    float *scratch = guarded_alloc(&gs, (size_t)n_kv * sizeof *scratch);
    int stride = d + PAD;
    head_init(&h, n_q, n_kv, d, spread);
    run_attention(&h);
    for (int i = 0; i < n_q; i += 1 + n_q / 9) {
        attention_f64(&h, i, ref, f32, bf16);
        struct wi_attn_rows r = {.n_kv = n_kv,
                                 .d_head = d,
                                 .q = h.q + i * stride,
                                 .k = h.cache_k,
                                 .v = h.cache_v,
                                 .ld = (size_t)d,
                                 .rows = h.rows,
                                 .scale = attn_scale,
                                 .out = h.rows_out};
        kern.attend_rows(&r, scratch);
        for (int c = 0; c < d; c++) {
            bool halves = kern.value_type == WI_BF16; /* the output is rounded, too */
            double bound = halves ? bf16[c] + 0x1p-8 * fabs(ref[c]) : f32[c];
            if (!(fabs(h.out[i * stride + c] - ref[c]) <= bound))
                fail_msg("attend %d x %d, d %d, [%d, %d]: %.9g, not %.9g (bound %.2g)", n_q, n_kv,
                         d, i, c, h.out[i * stride + c], ref[c], bound);
            if (!(fabs(h.rows_out[c] - ref[c]) <= f32[c]))
                fail_msg("attend_rows %d, d %d, [%d]: %.9g, not %.9g (bound %.2g)", n_kv, d, c,
                         h.rows_out[c], ref[c], f32[c]);
        }
        check_bf16_rows(&h, &r, f32, scratch);
        for (int c = d; c < stride && i + 1 < n_q; c++)
            assert_true(isnan(h.out[i * stride + c])); /* the gap is not written */
    }
    /* NaN goes where it must and nowhere else: a query's row, a value's column, all of a key. */
    h.q[0] = any_nan();
    run_attention(&h);
    assert_true(isnan(h.out[0]) && isnan(h.out[d - 1]) && (n_q < 2 || !isnan(h.out[stride])));
    h.q[0] = 1;
    h.v[(n_kv - 1) * stride] = any_nan();
    run_attention(&h);
    assert_true(isnan(h.out[0]) && (d < 2 || !isnan(h.out[1])));
    h.k[(n_kv - 1) * stride] = any_nan();
    run_attention(&h);
    for (int i = 0; i < n_q; i++)
        assert_true(isnan(h.out[i * stride]) && isnan(h.out[i * stride + d - 1]));
    head_fini(&h);
    guarded_free(&gs);
}

void check_attention(void) {
    static const int sizes[] = {1, 2, 4, 11, 12, 13, 24, 50, 95, 97},
                     heads[] = {1, 17, 32, 48, 64, 96, 128};
    check_attention_case(1, 1, 64, 1);
    check_attention_case(97, 1500, 64, 1);
    check_attention_case(48, 300, 128, 100); /* one key takes nearly all */
    check_attention_case(5, 1500, 64, 3);
    for (int i = 0; i < 40; i++)
        check_attention_case(sizes[rng() % 10], 1 + (int)(rng() % 200), heads[rng() % 7],
                             rng() & 1 ? 1 : 10);
}

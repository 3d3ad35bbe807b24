/* Both attention kernels against f64. */
#include "inputs.h"

#include "unit/suite.h"

#include <math.h>
#include <stdlib.h>

/* Inputs of one head. */
struct head {
    int n_q, n_kv, d;
    struct guarded guards[5];
    float *q, *kt, *v, *out, *rows_out;
    float *k, *cache_k, *cache_v; /* [n_kv, d]; the cache's rows shuffled */
    int *rows;
};
enum { MAX_KEYS = 1500 };
static const float attn_scale = 0.125f;

static void head_init(struct head *h, int n_q, int n_kv, int d, float spread) {
    size_t size = (size_t)n_kv * (size_t)d * sizeof(float);
    *h = (struct head){.n_q = n_q, .n_kv = n_kv, .d = d};
    h->q = padded(&h->guards[0], n_q, d);
    h->kt = padded(&h->guards[1], d, n_kv);
    h->v = padded(&h->guards[2], n_kv, d);
    h->out = padded(&h->guards[3], n_q, d);
    h->rows_out = padded(&h->guards[4], 1, d);
    h->k = malloc(size);
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
            h->k[j * d + c] = h->kt[c * (n_kv + PAD) + j] = h->cache_k[h->rows[j] * d + c] = k;
            h->v[j * (d + PAD) + c] = h->cache_v[h->rows[j] * d + c] = v;
        }
}

static void head_fini(struct head *h) {
    for (int i = 0; i < 5; i++)
        guarded_free(&h->guards[i]);
    free(h->k);
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
            double t = attn_scale * (double)h->q[i * (h->d + PAD) + c] * h->k[j * h->d + c];
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

static void run_attention(const struct head *h, float *scratch) {
    struct wi_attn a = {.n_q = h->n_q,
                        .n_kv = h->n_kv,
                        .d_head = h->d,
                        .scale = attn_scale,
                        .q = h->q,
                        .ldq = (size_t)(h->d + PAD),
                        .kt = h->kt,
                        .ldkt = (size_t)(h->n_kv + PAD),
                        .v = h->v,
                        .ldv = (size_t)(h->d + PAD),
                        .out = h->out,
                        .ldo = (size_t)(h->d + PAD)};
    for (int q0 = 0; q0 < h->n_q; q0 += WI_ATTN_QUERIES)
        kern.attention(&a, q0, q0 + WI_ATTN_QUERIES < h->n_q ? q0 + WI_ATTN_QUERIES : h->n_q,
                       scratch);
}

/* A cache of bf16 is the cache of f32 with those values; the f32 one was compared with f64. */
static void check_bf16_rows(const struct head *h, const struct wi_attn_rows *f32, const double *bound,
                            float *scratch) {
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
    float *scratch = guarded_alloc(&gs, WI_ATTN_SCRATCH * sizeof *scratch);
    /* several queries share a block of keys that was rounded once */
    const double *bound = kern.level == WI_AVX512BF16 && n_q > 1 ? bf16 : f32;
    int stride = d + PAD;
    head_init(&h, n_q, n_kv, d, spread);
    run_attention(&h, scratch);
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
            if (!(fabs(h.out[i * stride + c] - ref[c]) <= bound[c]))
                fail_msg("attention %d x %d, d %d, [%d, %d]: %.9g, not %.9g (bound %.2g)", n_q,
                         n_kv, d, i, c, h.out[i * stride + c], ref[c], bound[c]);
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
    run_attention(&h, scratch);
    assert_true(isnan(h.out[0]) && isnan(h.out[d - 1]) && (n_q < 2 || !isnan(h.out[stride])));
    h.q[0] = 1;
    h.v[(n_kv - 1) * stride] = any_nan();
    run_attention(&h, scratch);
    assert_true(isnan(h.out[0]) && (d < 2 || !isnan(h.out[1])));
    h.kt[n_kv - 1] = any_nan();
    run_attention(&h, scratch);
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

/* Every kernel of every level this machine has, against f64 oracles, on random, ragged and extreme
 * inputs that end at a guard page.  `kcheck --bench` prints speeds instead.
 *
 * Bounds, with u = 2^-24 (f32) and v = 2^-8 (bf16), the relative errors of one rounding:
 *   products: rounding errors of random sign add up like sqrt(k); asserted is (4 sqrt(k) + 8) u
 * sum|a b|, which a dropped or doubled term misses by far.  Two bf16 inputs add at most 2 v sum|a
 * b|, and like v / sqrt(k) when they are many; asserted is the smaller of 2 v and 12 v / sqrt(k).
 *   exp-based: 2 ulp of exp itself, and the rounding of its argument y, which is |y| u. */
#include "unit/suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "cpu/kern.h"

static uint64_t rng_state = 88172645463325252ull;

static uint32_t rng(void) { /* splitmix64 */
    uint64_t z = (rng_state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return (uint32_t)(z >> 32);
}

static float uniform(float lo, float hi) {
    return lo + (hi - lo) * (float)(rng() >> 8) * 0x1p-24f;
}

/* Memory whose last byte is followed by a page without access: a read or write past it crashes. */
struct guarded {
    uint8_t *map;
    size_t map_bytes;
};

static void *guarded_alloc(struct guarded *g, size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t data = (bytes + page - 1) / page * page;
    g->map_bytes = data + page;
    g->map = mmap(NULL, g->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(g->map != MAP_FAILED);
    assert_int_equal(mprotect(g->map + data, page, PROT_NONE), 0);
    return g->map + data - bytes;
}

static void guarded_free(struct guarded *g) {
    munmap(g->map, g->map_bytes);
}

static struct wi_kern kern; /* of the level under test */

/* ---------------------------------------------------------------- weights */

/* n random values of a type at dst; their exact values in f64 by the format's definition. */
static void random_row(enum wi_dtype type, uint8_t *dst, double *values, int n) {
    int block = wi_dtype_block(type);
    for (int i = 0; i < n; i += block) {
        float x = uniform(-1, 1), d = uniform(0.001f, 0.01f), m = uniform(-0.1f, 0.1f);
        uint16_t dh = wi_f32_to_f16(d), mh = wi_f32_to_f16(m);
        double dd = wi_f16_to_f32(dh), mm = wi_f16_to_f32(mh);
        uint8_t *p = dst + (size_t)(i / block) * wi_dtype_block_bytes(type);
        uint32_t high = rng();
        uint16_t h;
        switch (type) {
        case WI_F32:
            memcpy(p, &x, 4);
            values[i] = x;
            break;
        case WI_F16:
            h = wi_f32_to_f16(x);
            memcpy(p, &h, 2);
            values[i] = wi_f16_to_f32(h);
            break;
        case WI_BF16:
            h = wi_f32_to_bf16(x);
            memcpy(p, &h, 2);
            values[i] = wi_bf16_to_f32(h);
            break;
        default: {
            bool q5 = type == WI_Q5_0 || type == WI_Q5_1, min = type == WI_Q4_1 || type == WI_Q5_1;
            memcpy(p, &dh, 2);
            uint8_t *q = p + 2;
            if (min) {
                memcpy(q, &mh, 2);
                q += 2;
            }
            if (q5) {
                memcpy(q, &high, 4);
                q += 4;
            }
            for (int j = 0; j < 32; j++) {
                if (type == WI_Q8_0) {
                    q[j] = (uint8_t)rng();
                    values[i + j] = (float)(dd * (int8_t)q[j]);
                    continue;
                }
                if (j < 16)
                    q[j] = (uint8_t)rng();
                int v = j < 16 ? q[j] & 15 : q[j - 16] >> 4;
                if (q5)
                    v |= (int)(high >> j & 1) << 4;
                values[i + j] = min ? (double)(float)(dd * v) + mm : dd * (v - (q5 ? 16 : 8));
            }
        }
        }
    }
}

static void check_dequant(void) {
    for (int type = 0; type < WI_N_DTYPES; type++)
        for (int n = wi_dtype_block(type); n < 200; n += wi_dtype_block(type) * (1 + n / 40)) {
            struct guarded gs, gd;
            double values[256];
            size_t bytes = wi_dtype_row_bytes(type, (size_t)n);
            uint8_t *src = guarded_alloc(&gs, bytes);
            float *dst = guarded_alloc(&gd, (size_t)n * 4);
            random_row(type, src, values, n);
            kern.dequant(type, src, dst, n);
            for (int i = 0; i < n; i++)
                if (fabs(dst[i] - values[i]) > 1e-7 * fabs(values[i]) + 1e-9)
                    fail_msg("dequant %s [%d of %d]: %.9g, not %.9g", wi_dtype_name(type), i, n,
                             dst[i], values[i]);
            guarded_free(&gs);
            guarded_free(&gd);
        }
}

/* Every exponent with mantissas at, above and below the halfway points, and the special values: the
 * scalar conversion, whose definition is checked here too, is the reference. */
static void check_to_bf16(void) {
    static float src[4 * 256 * 16];
    static uint16_t dst[sizeof src / sizeof *src];
    int n = 0;
    for (uint32_t exponent = 0; exponent < 512; exponent++) /* sign included */
        for (int i = 0; i < 32; i++) {
            static const uint32_t low[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff};
            uint32_t bits = exponent << 23 | (rng() & 0x7f0000) | (i < 6 ? low[i] : rng() & 0xffff);
            memcpy(&src[n++], &bits, 4);
        }
    for (int len = 1; len < 70; len++) {
        struct guarded gs, gd;
        float *s = guarded_alloc(&gs, (size_t)len * 4);
        uint16_t *d = guarded_alloc(&gd, (size_t)len * 2);
        memcpy(s, src + len * 100, (size_t)len * 4);
        kern.to_bf16(s, d, len);
        for (int i = 0; i < len; i++)
            assert_int_equal(d[i], wi_f32_to_bf16(s[i]));
        guarded_free(&gs);
        guarded_free(&gd);
    }
    kern.to_bf16(src, dst, n);
    for (int i = 0; i < n; i++) {
        double x = src[i], y = wi_bf16_to_f32(dst[i]);
        assert_int_equal(dst[i], wi_f32_to_bf16(src[i]));
        if (isnan(x) || isinf(x)) {
            assert_true(isnan(x) ? isnan(y) : x == y);
            continue;
        }
        /* the neighbours on both sides are not nearer, and no odd one is equally near */
        for (int step = -1; step <= 1; step += 2) {
            double other = wi_bf16_to_f32((uint16_t)(dst[i] + step));
            if ((dst[i] & 0x7fff) == 0 && step < 0)
                continue;
            if (isinf(y) || isinf(other))
                continue;
            assert_true(fabs(x - y) < fabs(x - other) ||
                        (fabs(x - y) == fabs(x - other) && (dst[i] & 1) == 0));
        }
    }
}

/* ---------------------------------------------------------------- products */

static double gelu_f64(double x) {
    return 0.5 * x * erfc(-x / sqrt(2));
}

struct product_case {
    int m, n, k;
    enum wi_dtype type;
    bool bias, gelu, residual, in_place; /* in_place: the residual is c */
    float scale;
};

static void check_product(const struct product_case *c, struct wi_pool *pool) {
    struct guarded ga, gw, gc;
    size_t row_bytes = wi_dtype_row_bytes(c->type, (size_t)c->k);
    float *a = guarded_alloc(&ga, (size_t)c->m * c->k * 4);
    uint8_t *w = guarded_alloc(&gw, row_bytes * (size_t)c->n);
    float *out = guarded_alloc(&gc, (size_t)c->m * c->n * 4);
    double *wv = malloc((size_t)c->n * c->k * sizeof *wv);
    float *bias = malloc((size_t)c->n * 4), *res = malloc((size_t)c->m * c->n * 4);
    for (int i = 0; i < c->m * c->k; i++)
        a[i] = uniform(-1, 1);
    for (int j = 0; j < c->n; j++) {
        random_row(c->type, w + row_bytes * (size_t)j, wv + (size_t)j * c->k, c->k);
        bias[j] = uniform(-1, 1);
    }
    for (int i = 0; i < c->m * c->n; i++) {
        res[i] = uniform(-1, 1);
        out[i] = c->in_place ? res[i] : NAN;
    }
    struct wi_gemm g = {.m = c->m,
                        .n = c->n,
                        .k = c->k,
                        .a = a,
                        .lda = (size_t)c->k,
                        .w_type = c->type,
                        .w = w,
                        .w_stride = row_bytes,
                        .bias = c->bias ? bias : NULL,
                        .scale = c->scale,
                        .act = c->gelu ? WI_GELU : WI_LINEAR,
                        .residual = !c->residual  ? NULL
                                    : c->in_place ? out
                                                  : res,
                        .ldr = (size_t)c->n,
                        .c = out,
                        .ldc = (size_t)c->n};
    struct wi_gemm_work work;
    struct wisp_error err = {0};
    assert_int_equal(wi_gemm_work_init(&work, &kern, wi_pool_threads(pool), c->m, c->k, &err), 0);
    wi_gemm_run(&kern, pool, &work, &g);
    bool bf16 = kern.level == WI_AVX512BF16 && c->m > WI_MATVEC_ROWS;
    for (int i = 0; i < c->m; i++)
        for (int j = 0; j < c->n; j++) {
            double sum = 0, size = 0;
            for (int p = 0; p < c->k; p++) {
                double t = a[i * c->k + p] * wv[(size_t)j * c->k + p];
                sum += t;
                size += fabs(t);
            }
            double bound = size * 0x1p-24 * (4 * sqrt(c->k) + 8);
            if (bf16)
                bound += size * fmin(2, 12 / sqrt(c->k)) * 0x1p-8;
            double v = (sum + (c->bias ? bias[j] : 0)) * c->scale;
            v = (c->gelu ? gelu_f64(v) : v) + (c->residual ? res[i * c->n + j] : 0);
            bound = bound * 1.2 * fabs(c->scale) + 4e-7 * (1 + fabs(v));
            double got = out[i * c->n + j];
            if (!(fabs(got - v) <= bound))
                fail_msg("product %s m %d n %d k %d at [%d, %d]: %.9g, not %.9g (bound %.2g)",
                         wi_dtype_name(c->type), c->m, c->n, c->k, i, j, got, v, bound);
        }
    wi_gemm_work_fini(&work);
    free(wv);
    free(bias);
    free(res);
    guarded_free(&ga);
    guarded_free(&gw);
    guarded_free(&gc);
}

static void check_products(void) {
    static const int ms[] = {1, 2, 5, 16, 17, 24, 25, 37}, ns[] = {1, 7, 16, 32, 96, 97, 131, 300};
    static const int ks[] = {1, 2, 3, 17, 32, 64, 96, 255, 320};
    struct wi_pool *pool;
    struct wisp_error err = {0};
    assert_int_equal(wi_pool_create(&pool, 2, &err), 0);
    for (int i = 0; i < 260; i++) {
        struct product_case c = {ms[rng() % 8],
                                 ns[rng() % 8],
                                 ks[rng() % 9],
                                 (enum wi_dtype)(rng() % WI_N_DTYPES),
                                 rng() & 1,
                                 rng() & 1,
                                 rng() & 1,
                                 rng() & 1,
                                 rng() & 1 ? 1.0f : 0.35f};
        int block = wi_dtype_block(c.type);
        c.k = (c.k + block - 1) / block * block;
        check_product(&c, pool);
    }
    check_product(&(struct product_case){40, 100, 2048, WI_F16, true, false, true, true, 1}, pool);
    wi_pool_destroy(&pool);
}

/* The same bits from pools of 1, 2 and 3 threads. */
static void check_thread_counts(void) {
    enum { M = 50, N = 300, K = 96 };
    static float a[M * K], w[N * K], c[3][M * N];
    struct wisp_error err = {0};
    for (int i = 0; i < M * K; i++)
        a[i] = uniform(-1, 1);
    for (int i = 0; i < N * K; i++)
        w[i] = uniform(-1, 1);
    for (int t = 0; t < 3; t++) {
        struct wi_pool *pool;
        struct wi_gemm_work work;
        struct wi_gemm g = {.m = M,
                            .n = N,
                            .k = K,
                            .a = a,
                            .lda = K,
                            .w_type = WI_F32,
                            .w = (const uint8_t *)w,
                            .w_stride = K * 4,
                            .scale = 1,
                            .c = c[t],
                            .ldc = N};
        assert_int_equal(wi_pool_create(&pool, t + 1, &err), 0);
        assert_int_equal(wi_gemm_work_init(&work, &kern, t + 1, M, K, &err), 0);
        wi_gemm_run(&kern, pool, &work, &g);
        wi_gemm_work_fini(&work);
        wi_pool_destroy(&pool);
    }
    assert_memory_equal(c[0], c[1], sizeof c[0]);
    assert_memory_equal(c[0], c[2], sizeof c[0]);
}

/* ---------------------------------------------------------------- rows */

static void check_softmax(void) {
    for (int n = 1; n < 140; n += 1 + n / 20)
        for (int wide = 0; wide < 3; wide++) {
            struct guarded g;
            float *x = guarded_alloc(&g, (size_t)n * 4);
            double ref[160], arg[160], max = -INFINITY, sum = 0;
            for (int i = 0; i < n; i++) {
                x[i] = wide == 2 ? uniform(-3e4f, 3e4f) : uniform(-1, 1) * (wide ? 90 : 5);
                if (n > 2 && i % 7 == 3)
                    x[i] = -INFINITY;
                ref[i] = x[i];
                max = ref[i] > max ? ref[i] : max;
            }
            for (int i = 0; i < n; i++)
                sum += ref[i] = exp(arg[i] = ref[i] - max);
            kern.softmax(x, n);
            for (int i = 0; i < n; i++)
                if (!(fabs(x[i] - ref[i] / sum) <=
                      (1e-6 - 1.2e-7 * arg[i]) * ref[i] / sum + 1e-37) &&
                    ref[i] > 1e-37)
                    fail_msg("softmax [%d of %d]: %.9g, not %.9g", i, n, x[i], ref[i] / sum);
            if (n > 3) {
                x[n / 2] = NAN;
                kern.softmax(x, n);
                assert_true(isnan(x[0]) && isnan(x[n - 1]));
            }
            guarded_free(&g);
        }
}

static void check_gelu(void) {
    enum { N = 4001 };
    struct guarded g;
    float *x = guarded_alloc(&g, N * 4);
    static double ref[N], x0[N];
    for (int part = 0; part < 3; part++) {
        for (int i = 0; i < N; i++) {
            x[i] = part == 0   ? uniform(-12, 12)
                   : part == 1 ? uniform(-6, -3)
                               : uniform(-1e3f, 1e3f);
            x0[i] = x[i];
            ref[i] = gelu_f64(x0[i]);
        }
        kern.gelu(x, N);
        for (int i = 0; i < N;
             i++) /* relative in the tail too, down to where f32 denormals begin */
            if (!(fabs(x[i] - ref[i]) <= (2e-6 + 1.2e-7 * x0[i] * x0[i]) * fabs(ref[i]) + 1e-30))
                fail_msg("gelu: %.9g, not %.9g", x[i], ref[i]);
    }
    static const float special[] = {0, -0.0f, 1e-30f, -1e-30f, 3e38f, -3e38f, INFINITY, -INFINITY};
    for (int i = 0; i < 8; i++) {
        float y = special[i];
        kern.gelu(&y, 1);
        double want = special[i] == -INFINITY ? 0 : gelu_f64(special[i]);
        assert_true(y == (float)want || fabs(y - want) <= 1e-6 * fabs(want));
    }
    float nan = NAN;
    kern.gelu(&nan, 1);
    assert_true(isnan(nan));
    guarded_free(&g);
}

static void check_layernorm(void) {
    for (int n = 1; n < 600; n += 1 + n / 5) {
        struct guarded gx, gy;
        float *x = guarded_alloc(&gx, (size_t)n * 4), *y = guarded_alloc(&gy, (size_t)n * 4);
        float w[640], b[640];
        float offset = n % 3 ? n % 3 == 1 ? 100 : -3e4f : 0; /* must not cost accuracy */
        double mean = 0, var = 0;
        for (int i = 0; i < n; i++) {
            x[i] = offset + uniform(-2, 2);
            w[i] = uniform(0.5, 1.5);
            b[i] = uniform(-1, 1);
            mean += x[i];
        }
        mean /= n;
        for (int i = 0; i < n; i++)
            var += (x[i] - mean) * (x[i] - mean);
        var /= n;
        kern.layernorm(x, w, b, y, n);
        for (int i = 0; i < n; i++) {
            double ref = (x[i] - mean) / sqrt(var + 1e-5) * w[i] + b[i];
            if (!(fabs(y[i] - ref) <= 1e-6 * (1 + fabs(ref))))
                fail_msg("layernorm [%d of %d]: %.9g, not %.9g", i, n, y[i], ref);
        }
        guarded_free(&gx);
        guarded_free(&gy);
    }
}

/* ---------------------------------------------------------------- attention */

static void attention_f64(const float *q, const float *k, const float *v, int n, int d,
                          double scale, double *out) {
    double s[2048], max = -INFINITY, sum = 0;
    for (int j = 0; j < n; j++) {
        s[j] = 0;
        for (int c = 0; c < d; c++)
            s[j] += (double)q[c] * k[j * d + c];
        s[j] *= scale;
        max = s[j] > max ? s[j] : max;
    }
    for (int j = 0; j < n; j++)
        sum += s[j] = exp(s[j] - max);
    for (int c = 0; c < d; c++) {
        out[c] = 0;
        for (int j = 0; j < n; j++)
            out[c] += s[j] / sum * v[j * d + c];
    }
}

static void check_attention_case(int n_q, int n_kv, int d, float spread) {
    struct guarded gq, gk, gv, go, gr;
    float *q = guarded_alloc(&gq, (size_t)n_q * d * 4),
          *kt = guarded_alloc(&gk, (size_t)n_kv * d * 4);
    float *v = guarded_alloc(&gv, (size_t)n_kv * d * 4),
          *out = guarded_alloc(&go, (size_t)n_q * d * 4);
    float *rows_out = guarded_alloc(&gr, (size_t)d * 4);
    float *k = malloc((size_t)n_kv * d * 4), *scratch = malloc(WI_ATTN_SCRATCH * 4);
    float *k2 = malloc((size_t)n_kv * d * 4), *v2 = malloc((size_t)n_kv * d * 4);
    int *rows = malloc((size_t)n_kv * sizeof *rows);
    double ref[WI_HEAD_MAX];
    for (int i = 0; i < n_q * d; i++)
        q[i] = uniform(-spread, spread);
    for (int j = 0; j < n_kv; j++) {
        rows[j] = (j * 7) % n_kv;
        if (n_kv % 7 == 0)
            rows[j] = n_kv - 1 - j;
        for (int c = 0; c < d; c++) {
            k[j * d + c] = kt[c * n_kv + j] = uniform(-1, 1);
            v[j * d + c] = uniform(-1, 1);
            k2[rows[j] * d + c] = k[j * d + c];
            v2[rows[j] * d + c] = v[j * d + c];
        }
    }
    struct wi_attn a = {n_q,          n_kv, d,         q,      (size_t)d, kt,
                        (size_t)n_kv, v,    (size_t)d, 0.125f, out,       (size_t)d};
    for (int q0 = 0; q0 < n_q; q0 += WI_ATTN_QUERIES)
        kern.attention(&a, q0, q0 + WI_ATTN_QUERIES < n_q ? q0 + WI_ATTN_QUERIES : n_q, scratch);
    double bound = 2e-5 * (1 + spread);
    for (int i = 0; i < n_q; i += 1 + n_q / 9) {
        attention_f64(q + i * d, k, v, n_kv, d, 0.125, ref);
        struct wi_attn_rows r = {n_kv, d, q + i * d, k2, v2, (size_t)d, rows, 0.125f, rows_out};
        kern.attend_rows(&r, scratch);
        for (int c = 0; c < d; c++) {
            if (!(fabs(out[i * d + c] - ref[c]) <= bound))
                fail_msg("attention %d x %d, d %d, [%d, %d]: %.9g, not %.9g", n_q, n_kv, d, i, c,
                         out[i * d + c], ref[c]);
            if (!(fabs(rows_out[c] - ref[c]) <= bound))
                fail_msg("attend_rows %d, d %d, [%d]: %.9g, not %.9g", n_kv, d, c, rows_out[c],
                         ref[c]);
        }
    }
    q[0] = NAN;
    kern.attention(&a, 0, n_q < WI_ATTN_QUERIES ? n_q : WI_ATTN_QUERIES, scratch);
    assert_true(isnan(out[0]) && (n_q < 2 || !isnan(out[d])));
    free(k);
    free(k2);
    free(v2);
    free(rows);
    free(scratch);
    guarded_free(&gq);
    guarded_free(&gk);
    guarded_free(&gv);
    guarded_free(&go);
    guarded_free(&gr);
}

static void check_attention(void) {
    check_attention_case(1, 1, 64, 1);
    check_attention_case(5, 63, 32, 1);
    check_attention_case(50, 64, 64, 1);
    check_attention_case(13, 130, 17, 10);
    check_attention_case(97, 1500, 64, 1);
    check_attention_case(48, 300, 128, 100);
    check_attention_case(3, 450, 1, 1);
}

/* ---------------------------------------------------------------- running all levels */

#define LEVEL_TEST(name)                                                                           \
    static void name(void **state) {                                                               \
        (void)state;                                                                               \
        for (int level = 0; level < WI_N_LEVELS; level++) {                                        \
            enum wi_level got;                                                                     \
            if (wi_level_parse(&got, wi_level_name(level), NULL) != WISP_OK)                       \
                continue;                                                                          \
            wi_kern_select(&kern, got);                                                            \
            print_message("%s\n", wi_level_name(got));                                             \
            check_##name();                                                                        \
        }                                                                                          \
    }
LEVEL_TEST(dequant)
LEVEL_TEST(to_bf16)
LEVEL_TEST(products)
LEVEL_TEST(thread_counts)
LEVEL_TEST(softmax)
LEVEL_TEST(gelu)
LEVEL_TEST(layernorm)
LEVEL_TEST(attention)

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Whisper base's shapes, one thread. */
static void bench(void) {
    enum { M = 1500, N = 512, K = 512, D = 64 };
    float *a = malloc(M * K * 4), *w = malloc(N * K * 4), *c = malloc(M * N * 4);
    float *scratch = malloc(WI_ATTN_SCRATCH * 4);
    for (int i = 0; i < M * K; i++)
        a[i] = uniform(-1, 1);
    for (int i = 0; i < N * K; i++)
        w[i] = uniform(-1, 1);
    struct wi_pool *pool;
    struct wi_gemm_work work;
    wi_pool_create(&pool, 1, NULL);
    wi_gemm_work_init(&work, &kern, 1, M, K, NULL);
    struct wi_gemm g = {.m = M,
                        .n = N,
                        .k = K,
                        .a = a,
                        .lda = K,
                        .w_type = WI_F32,
                        .w = (const uint8_t *)w,
                        .w_stride = K * 4,
                        .scale = 1,
                        .c = c,
                        .ldc = N};
    struct wi_attn at = {M, M, D, a, K, w, M, a, K, 0.125f, c, N};
    double best[3] = {1e9, 1e9, 1e9};
    for (int rep = 0; rep < 7; rep++) {
        double t0 = seconds();
        wi_gemm_run(&kern, pool, &work, &g);
        double t1 = seconds();
        for (int q = 0; q < M; q += WI_ATTN_QUERIES)
            kern.attention(&at, q, q + WI_ATTN_QUERIES < M ? q + WI_ATTN_QUERIES : M, scratch);
        double t2 = seconds();
        kern.gelu(c, M * N);
        double t3 = seconds();
        double t[3] = {t1 - t0, t2 - t1, t3 - t2};
        for (int i = 0; i < 3; i++)
            best[i] = t[i] < best[i] ? t[i] : best[i];
    }
    printf("%-11s gemm %6.1f GFLOP/s   attention %6.1f GFLOP/s   gelu %5.2f G values/s\n",
           wi_level_name(kern.level), 2e-9 * M * N * K / best[0], 4e-9 * M * M * D / best[1],
           1e-9 * M * N / best[2]);
    wi_gemm_work_fini(&work);
    wi_pool_destroy(&pool);
    free(a);
    free(w);
    free(c);
    free(scratch);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "--bench") == 0) {
        for (int level = 0; level < WI_N_LEVELS; level++) {
            enum wi_level got;
            if (wi_level_parse(&got, wi_level_name(level), NULL) != WISP_OK)
                continue;
            wi_kern_select(&kern, got);
            bench();
        }
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dequant),       cmocka_unit_test(to_bf16),   cmocka_unit_test(products),
        cmocka_unit_test(thread_counts), cmocka_unit_test(softmax),   cmocka_unit_test(gelu),
        cmocka_unit_test(layernorm),     cmocka_unit_test(attention),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

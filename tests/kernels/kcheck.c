/* Every kernel of every level this machine has, against f64 oracles, on random, ragged and extreme
 * inputs that end at a guard page.  `kcheck --bench` prints speeds instead, `--accuracy` largest
 * errors. The bounds are those of docs/numerics.md, which derives them. */
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

/* A NaN with any sign and payload. */
static float any_nan(void) {
    uint32_t bits = 0x7f800001u | (rng() & 0x807fffffu);
    float x;
    memcpy(&x, &bits, 4);
    return x;
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

/* Guarded rows with PAD values between them; all NaN, which a kernel must neither read nor
 * overwrite. */
enum { PAD = 3 };

static float *padded(struct guarded *g, int rows, int cols) {
    size_t n = (size_t)(rows - 1) * (size_t)(cols + PAD) + (size_t)cols;
    float *x = guarded_alloc(g, n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = NAN;
    return x;
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

struct product {
    struct guarded guards[4];
    float *a, *res, *out, *bias; /* [m, k], [m, n], [m, n], [n] */
    uint8_t *w;                  /* [n, k], rows one byte apart: not aligned */
    double *values;              /* [n, k]: W */
    struct wi_gemm g;
};

static void product_init(struct product *t, const struct product_case *c) {
    int lda = c->k + PAD, ldc = c->n + PAD;
    size_t row_bytes = wi_dtype_row_bytes(c->type, (size_t)c->k) + 1;
    t->a = padded(&t->guards[0], c->m, c->k);
    t->out = padded(&t->guards[1], c->m, c->n);
    t->res = padded(&t->guards[2], c->m, c->n);
    t->w = guarded_alloc(&t->guards[3], row_bytes * (size_t)c->n - 1);
    t->values = malloc((size_t)c->n * (size_t)c->k * sizeof *t->values);
    t->bias = malloc((size_t)c->n * sizeof *t->bias);
    for (int j = 0; j < c->n; j++) {
        random_row(c->type, t->w + row_bytes * (size_t)j, t->values + (size_t)j * c->k, c->k);
        t->bias[j] = uniform(-1, 1);
    }
    for (int i = 0; i < c->m; i++) {
        for (int p = 0; p < c->k; p++)
            t->a[i * lda + p] = uniform(-1, 1);
        for (int j = 0; j < c->n; j++) {
            t->res[i * ldc + j] = uniform(-1, 1);
            if (c->in_place)
                t->out[i * ldc + j] = t->res[i * ldc + j];
        }
    }
    t->g = (struct wi_gemm){.m = c->m,
                            .n = c->n,
                            .k = c->k,
                            .a = t->a,
                            .lda = (size_t)lda,
                            .w_type = c->type,
                            .w = t->w,
                            .w_stride = row_bytes,
                            .bias = c->bias ? t->bias : NULL,
                            .scale = c->scale,
                            .act = c->gelu ? WI_GELU : WI_LINEAR,
                            .residual = !c->residual  ? NULL
                                        : c->in_place ? t->out
                                                      : t->res,
                            .ldr = (size_t)ldc,
                            .c = t->out,
                            .ldc = (size_t)ldc};
}

static void product_fini(struct product *t) {
    for (int i = 0; i < 4; i++)
        guarded_free(&t->guards[i]);
    free(t->values);
    free(t->bias);
}

/* Element [i, j] in f64 and its error bound. */
static double product_f64(const struct product *t, const struct product_case *c, int i, int j,
                          double *bound) {
    bool bf16 = kern.level == WI_AVX512BF16 && c->m > WI_MATVEC_ROWS;
    double sum = 0, size = 0, square = 0;
    for (int p = 0; p < c->k; p++) {
        double x = t->a[i * (c->k + PAD) + p] * t->values[(size_t)j * c->k + p];
        sum += x;
        size += fabs(x);
        square += x * x;
    }
    double v = (sum + (c->bias ? t->bias[j] : 0)) * c->scale;
    v = (c->gelu ? gelu_f64(v) : v) + (c->residual ? t->res[i * (c->n + PAD) + j] : 0);
    *bound = size * 0x1p-24 * (4 * sqrt(c->k) + 8) + (bf16 ? 6 * 0.58 * 0x1p-8 * sqrt(square) : 0);
    /* the largest slope of GELU is 1.13; the epilogue rounds a few times */
    *bound = *bound * 1.13 * fabs(c->scale) + 4e-7 * (1 + fabs(v));
    return v;
}

static void check_product(const struct product_case *c, struct wi_pool *pool) {
    struct product t;
    struct wi_gemm_work work;
    struct wisp_error err = {0};
    int ldc = c->n + PAD;
    product_init(&t, c);
    assert_int_equal(wi_gemm_work_init(&work, &kern, wi_pool_threads(pool), c->m, c->k, &err), 0);
    wi_gemm_run(&kern, pool, &work, &t.g);
    for (int i = 0; i < c->m; i++) {
        for (int j = 0; j < c->n; j++) {
            double bound, v = product_f64(&t, c, i, j, &bound), got = t.out[i * ldc + j];
            if (!(fabs(got - v) <= bound))
                fail_msg("product %s m %d n %d k %d at [%d, %d]: %.9g, not %.9g (bound %.2g)",
                         wi_dtype_name(c->type), c->m, c->n, c->k, i, j, got, v, bound);
        }
        for (int j = c->n; j < ldc && i + 1 < c->m; j++)
            assert_true(isnan(t.out[i * ldc + j]));
    }
    /* NaN in a row of A: that row of C and no other. */
    t.a[(c->m - 1) * (c->k + PAD) + c->k - 1] = any_nan();
    if (c->in_place)
        for (int i = 0; i < c->m; i++)
            memcpy(t.out + i * ldc, t.res + i * ldc, (size_t)c->n * sizeof *t.out);
    wi_gemm_run(&kern, pool, &work, &t.g);
    for (int j = 0; j < c->n; j++) {
        assert_true(isnan(t.out[(c->m - 1) * ldc + j]));
        assert_true(c->m < 2 || isfinite(t.out[(c->m - 2) * ldc + j]));
    }
    wi_gemm_work_fini(&work);
    product_fini(&t);
}

static void check_products(void) {
    static const int ms[] = {1, 2, 5, 16, 17, 24, 31, 37}, ns[] = {1, 7, 16, 32, 96, 97, 131, 300};
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
                x[n / 2] = any_nan();
                kern.softmax(x, n);
                assert_true(isnan(x[0]) && isnan(x[n - 1]));
            }
            guarded_free(&g);
        }
}

/* Floats that follow each other when sorted: bits with the sign folded. */
static float nth_float(int32_t n) {
    uint32_t bits = n < 0 ? 0x80000000u | (uint32_t)-n : (uint32_t)n;
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

enum { SWEEP = 4096 };

/* Largest error of exp in units of its bound's u = 2^-24, over every `step`th float in [-87, 0].
 * The kernel is seen through softmax of {0, x..}: p_i / p_0 = exp(x_i) with two more roundings. */
static double exp_error(int32_t step) {
    static float x[SWEEP], x0[SWEEP];
    double worst = 0;
    int32_t lowest = -0x42ae0000; /* -87 */
    for (int32_t n = lowest; n <= 0;) {
        int count = 1;
        x[0] = 0;
        for (; count < SWEEP && n <= 0; n += step)
            x0[count] = x[count] = nth_float(n), count++;
        kern.softmax(x, count);
        for (int i = 1; i < count; i++) {
            double ref = exp(x0[i]), got = (double)x[i] / x[0];
            double error = fabs(got / ref - 1) * 0x1p24;
            if ((double)x[i] >
                0x1p-120) /* p_0 is small here too: its ratio must not be a denormal's */
                worst = error > worst ? error : worst;
        }
    }
    return worst;
}

/* Largest |error| / |GELU| in u, over every `step`th float in [from, to]; part of it is the
 * rounding of x^2 / 2, about 2 x^2 u: *rest is the largest error less that. */
static double gelu_error(float from, float to, int32_t step, double *rest) {
    static float x[SWEEP], x0[SWEEP];
    double worst = 0;
    int32_t n, last;
    memcpy(&n, &from, 4);
    memcpy(&last, &to, 4);
    n = from < 0 ? -(n & 0x7fffffff) : n;
    last = to < 0 ? -(last & 0x7fffffff) : last;
    *rest = 0;
    while (n <= last) {
        int count = 0;
        for (; count < SWEEP && n <= last; n += step)
            x0[count] = x[count] = nth_float(n), count++;
        kern.gelu(x, count);
        for (int i = 0; i < count; i++) {
            double ref = gelu_f64(x0[i]);
            if (fabs(ref) < 1e-30)
                continue;
            double error = fabs(x[i] / ref - 1) * 0x1p24, less = error - 0.5 * x0[i] * x0[i];
            worst = error > worst ? error : worst;
            *rest = less > *rest ? less : *rest;
        }
    }
    return worst;
}

static void check_exp_accuracy(void) {
    double worst = exp_error(997);
    if (!(worst <= 4))
        fail_msg("exp is off by %.2f x 2^-24", worst);
}

static void check_gelu(void) {
    static const float special[] = {0, -0.0f, 1e-30f, -1e-30f, 3e38f, -3e38f, INFINITY, -INFINITY};
    double rest, worst = gelu_error(-11.5f, 1e3f, 997, &rest);
    if (!(rest <= 14))
        fail_msg("GELU is off by %.2f x 2^-24, %.2f besides the argument's rounding", worst, rest);
    for (int n = 1; n < 40; n++) { /* beyond the sweep, ragged, at a guard page */
        struct guarded g;
        float *x = guarded_alloc(&g, (size_t)n * 4), x0[40];
        for (int i = 0; i < n; i++)
            x0[i] = x[i] = i % 5 ? uniform(-200, 20) : special[rng() % 8];
        if (n % 3 == 0)
            x0[n / 2] = x[n / 2] = any_nan();
        kern.gelu(x, n);
        for (int i = 0; i < n; i++) {
            double ref = x0[i] == -INFINITY ? 0 : gelu_f64(x0[i]);
            double bound = fmax(1e-30, 0x1p-24 * (14 + 0.5 * x0[i] * x0[i]) * fabs(ref));
            if (isnan(ref) ? !isnan(x[i]) : !(x[i] == (float)ref || fabs(x[i] - ref) <= bound))
                fail_msg("gelu(%.9g): %.9g, not %.9g", x0[i], x[i], ref);
        }
        guarded_free(&g);
    }
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

static void check_attention(void) {
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
LEVEL_TEST(exp_accuracy)
LEVEL_TEST(gelu)
LEVEL_TEST(layernorm)
LEVEL_TEST(attention)

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double min(double a, double b) {
    return a < b ? a : b;
}

/* Whisper base's shapes, one thread, best of several. */
static void bench_window(void) {
    enum { M = 1500, N = 512, K = 2048, D = 64, REPEATS = 7 };
    float *a = malloc(M * K * 4), *w = malloc(N * K * 4), *c = malloc(M * N * 4);
    float *scratch = malloc(WI_ATTN_SCRATCH * 4);
    struct wi_pool *pool;
    struct wi_gemm_work work;
    double gemm[2] = {1e9, 1e9}, attention = 1e9, gelu = 1e9;
    for (int i = 0; i < M * K; i++)
        a[i] = uniform(-1, 1);
    for (int i = 0; i < N * K; i++)
        w[i] = uniform(-1, 1);
    wi_pool_create(&pool, 1, NULL);
    wi_gemm_work_init(&work, &kern, 1, M, K, NULL);
    for (int rep = 0; rep < REPEATS; rep++) {
        for (int i = 0; i < 2; i++) {
            size_t k = i ? K : N;
            struct wi_gemm g = {.m = M,
                                .n = N,
                                .k = (int)k,
                                .a = a,
                                .lda = k,
                                .w_type = WI_F32,
                                .w = (const uint8_t *)w,
                                .w_stride = k * 4,
                                .scale = 1,
                                .c = c,
                                .ldc = N};
            double t = seconds();
            wi_gemm_run(&kern, pool, &work, &g);
            gemm[i] = min(gemm[i], seconds() - t);
        }
        struct wi_attn at = {.n_q = M,
                             .n_kv = M,
                             .d_head = D,
                             .q = a,
                             .ldq = N,
                             .kt = w,
                             .ldkt = M,
                             .v = a,
                             .ldv = N,
                             .scale = 0.125f,
                             .out = c,
                             .ldo = N};
        double t = seconds();
        for (int q = 0; q < M; q += WI_ATTN_QUERIES)
            kern.attention(&at, q, q + WI_ATTN_QUERIES < M ? q + WI_ATTN_QUERIES : M, scratch);
        attention = min(attention, seconds() - t);
        t = seconds();
        kern.gelu(c, M * N);
        gelu = min(gelu, seconds() - t);
    }
    printf("%-11s gemm k 512 %5.0f, k 2048 %5.0f, attention %5.0f GFLOP/s   gelu %.2f G values/s\n",
           wi_level_name(kern.level), 2e-9 * M * N * N / gemm[0], 2e-9 * M * N * K / gemm[1],
           4e-9 * M * M * D / attention, 1e-9 * M * N / gelu);
    wi_gemm_work_fini(&work);
    wi_pool_destroy(&pool);
    free(a);
    free(w);
    free(c);
    free(scratch);
}

/* Logits of one token and of five beams: a matrix larger than the caches, one thread. */
static void bench_step(enum wi_dtype type) {
    enum { N = 51864, K = 512, M = 5, REPEATS = 5 };
    size_t row = wi_dtype_row_bytes(type, K), bytes = row * N;
    uint8_t *w = malloc(bytes);
    float *a = malloc(M * K * 4), *c = malloc(M * N * 4);
    double values[K], best[2] = {1e9, 1e9};
    struct wi_pool *pool;
    struct wi_gemm_work work;
    for (int j = 0; j < N; j++)
        random_row(type, w + (size_t)j * row, values, K);
    for (int i = 0; i < M * K; i++)
        a[i] = uniform(-1, 1);
    wi_pool_create(&pool, 1, NULL);
    wi_gemm_work_init(&work, &kern, 1, M, K, NULL);
    for (int rep = 0; rep < REPEATS; rep++)
        for (int i = 0; i < 2; i++) {
            struct wi_gemm g = {.m = i ? M : 1,
                                .n = N,
                                .k = K,
                                .a = a,
                                .lda = K,
                                .w_type = type,
                                .w = w,
                                .w_stride = row,
                                .scale = 1,
                                .c = c,
                                .ldc = N};
            double t = seconds();
            wi_gemm_run(&kern, pool, &work, &g);
            best[i] = min(best[i], seconds() - t);
        }
    printf("%-11s matvec %-4s 1 row %5.1f GB/s, 5 rows %5.1f GB/s\n", wi_level_name(kern.level),
           wi_dtype_name(type), 1e-9 * (double)bytes / best[0], 1e-9 * (double)bytes / best[1]);
    wi_gemm_work_fini(&work);
    wi_pool_destroy(&pool);
    free(w);
    free(a);
    free(c);
}

static void bench(void) {
    bench_window();
    for (int type = 0; type < WI_N_DTYPES; type++)
        bench_step((enum wi_dtype)type);
}

/* The figures in docs/numerics.md. */
static void accuracy(void) {
    double rest, whole = gelu_error(-11.5f, 1e3f, 61, &rest), ignored;
    printf("%-11s exp %.2f u   gelu %.1f u, %.2f u + x^2/2 u, on [-6, -3] %.1f u, [-3, 3] %.1f u\n",
           wi_level_name(kern.level), exp_error(61), whole, rest, gelu_error(-6, -3, 61, &ignored),
           gelu_error(-3, 3, 61, &ignored));
}

int main(int argc, char **argv) {
    bool bench_only = argc > 1 && strcmp(argv[1], "--bench") == 0;
    if (bench_only || (argc > 1 && strcmp(argv[1], "--accuracy") == 0)) {
        for (int level = 0; level < WI_N_LEVELS; level++) {
            enum wi_level got;
            if (wi_level_parse(&got, wi_level_name(level), NULL) != WISP_OK)
                continue;
            wi_kern_select(&kern, got);
            if (bench_only)
                bench();
            else
                accuracy();
        }
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dequant),   cmocka_unit_test(to_bf16),
        cmocka_unit_test(products),  cmocka_unit_test(thread_counts),
        cmocka_unit_test(softmax),   cmocka_unit_test(exp_accuracy),
        cmocka_unit_test(gelu),      cmocka_unit_test(layernorm),
        cmocka_unit_test(attention),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

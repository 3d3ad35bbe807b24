/* Every kernel of every level this machine has, against f64 oracles, on random, ragged and extreme
 * inputs that end at a guard page.  `kcheck --bench [LEVEL]` prints speeds instead, `--accuracy` largest
 * errors. The bounds are those of docs/numerics.md, which derives them. */
#include "kbench.h"

#include "unit/suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct wi_kern kern; /* of the level under test */

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
    bool packed, values; /* by wi_product_run, which `values` makes store what products read */
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
    bool bf16 = kern.value_type == WI_BF16 && (c->packed || c->m > WI_MATVEC_ROWS);
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
    if (c->values && bf16) /* rounded once more, and GELU with fewer terms */
        *bound += (0x1p-8 + (c->gelu ? 3e-4 : 0)) * fabs(v);
    return v;
}

/* A as products read it: rows that end in a 0 when k is odd, the last at a guard page. */
static uint8_t *product_rows(struct guarded *g, const struct product *t,
                             const struct product_case *c) {
    size_t ld = (size_t)c->k + (c->k & 1), size = kern.value_bytes;
    uint8_t *rows = guarded_alloc(g, (size_t)c->m * ld * size);
    memset(rows, 0, (size_t)c->m * ld * size);
    for (int i = 0; i < c->m; i++)
        kern.to_values(t->a + (size_t)i * (c->k + PAD), rows + (size_t)i * ld * size, c->k);
    return rows;
}

/* Values that were stored over out's own memory, back to f32 in their places. */
static void widen_out(const struct product_case *c, float *out) {
    int ldc = c->n + PAD;
    uint16_t *half = (uint16_t *)(void *)out;
    for (int i = (c->m - 1) * ldc + c->n - 1; i >= 0; i--)
        out[i] = wi_bf16_to_f32(half[i]);
}

static void run_packed(const struct product *t, const struct product_case *c,
                       struct wi_pool *pool) {
    struct guarded guards[2];
    size_t units = wi_packed_units(&kern, c->n, c->k);
    uint32_t *w = guarded_alloc(&guards[0], units * sizeof *w);
    bool halves = c->values && kern.value_type == WI_BF16;
    memset(w, 0xff, units * sizeof *w);
    wi_pack(&kern, pool, c->type, t->w, t->g.w_stride, c->n, c->k, w);
    struct wi_product p = {.m = c->m,
                           .n = c->n,
                           .k = c->k,
                           .a = product_rows(&guards[1], t, c),
                           .lda = (size_t)c->k + (c->k & 1),
                           .w = w,
                           .bias = t->g.bias,
                           .scale = t->g.scale,
                           .act = t->g.act,
                           .residual = t->g.residual,
                           .ldr = t->g.ldr,
                           .c = t->out,
                           .ldc = t->g.ldc,
                           .values = c->values};
    if (halves) /* gaps are NaN in this format too */
        memset(t->out, 0xff, ((size_t)(c->m - 1) * t->g.ldc + (size_t)c->n) * sizeof *t->out);
    wi_product_run(&kern, pool, &p);
    if (halves)
        widen_out(c, t->out);
    guarded_free(&guards[0]);
    guarded_free(&guards[1]);
}

static void run_product(const struct product *t, const struct product_case *c, struct wi_pool *pool,
                        struct wi_gemm_work *work) {
    if (c->packed)
        run_packed(t, c, pool);
    else
        wi_gemm_run(&kern, pool, work, &t->g);
}

static void check_product(const struct product_case *c, struct wi_pool *pool) {
    struct product t;
    struct wi_gemm_work work;
    struct wisp_error err = {0};
    int ldc = c->n + PAD;
    product_init(&t, c);
    assert_int_equal(wi_gemm_work_init(&work, &kern, wi_pool_threads(pool), c->m, c->k, &err), 0);
    run_product(&t, c, pool, &work);
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
    run_product(&t, c, pool, &work);
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
                                 rng() & 1 ? 1.0f : 0.35f,
                                 rng() & 1,
                                 false};
        c.values = c.packed && rng() & 1;
        c.in_place &= !c.values;
        int block = wi_dtype_block(c.type);
        c.k = (c.k + block - 1) / block * block;
        check_product(&c, pool);
    }
    check_product(&(struct product_case){40, 100, 2048, WI_F16, true, false, true, true, 1, .packed = false},
                  pool);
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

/* Of lengths that are shorter and longer than what is added in f32 before f64 takes over. */
static void check_sums(void) {
    for (int n = 0; n < 3000; n += 1 + n / 12) {
        struct guarded g;
        float *x = guarded_alloc(&g, (size_t)n * 4), max = -INFINITY;
        for (int i = 0; i < n; i++) {
            x[i] = n > 2 && i % 7 == 3 ? -INFINITY : uniform(-60, 60);
            max = x[i] > max ? x[i] : max;
        }
        assert_true(kern.max(x, n) == max);
        double sum = 0, bound = 0;
        for (int i = 0; i < n; i++) {
            double arg = (double)x[i] - max, p = exp(arg);
            sum += p;
            bound += p > 0 ? 0x1p-24 * (4 + 32 - 2 * arg) * p + 1e-37 : 0;
        }
        double got = n > 0 ? kern.sum_exp(x, n, max) : 0;
        if (!(fabs(got - sum) <= bound))
            fail_msg("sum of %d exp: %.9g, not %.9g", n, got, sum);
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

/* GELU of a product that stores values: every bf16 number with |GELU| of a size that counts. */
static void check_gelu_values(void) {
    enum { N = 0x8000 };
    static float x[N];
    static uint8_t a[2 * N * 4], c[N * 4]; /* k = 1: an odd k reads one more value */
    struct wi_pool *pool;
    uint32_t w[64];
    float one = 1;
    int n = 0;
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        float v = wi_bf16_to_f32((uint16_t)bits);
        if (fabsf(v) > 1e-6f && v > -11.5f && v < 1e20f)
            x[n++] = v;
    }
    assert_int_equal(wi_pool_create(&pool, 1, NULL), 0);
    wi_pack(&kern, pool, WI_F32, (const uint8_t *)&one, 4, 1, 1, w);
    for (int i = 0; i < n; i++)
        kern.to_values(x + i, a + 2 * (size_t)i * kern.value_bytes, 1);
    struct wi_product p = {.m = n,
                           .n = 1,
                           .k = 1,
                           .a = a,
                           .lda = 2,
                           .w = w,
                           .scale = 1,
                           .act = WI_GELU,
                           .c = c,
                           .ldc = 1,
                           .values = true};
    wi_product_run(&kern, pool, &p);
    wi_pool_destroy(&pool);
    for (int i = 0; i < n; i++) {
        float got;
        uint16_t half;
        memcpy(kern.value_bytes == 2 ? (void *)&half : (void *)&got,
               c + (size_t)i * kern.value_bytes, kern.value_bytes);
        got = kern.value_bytes == 2 ? wi_bf16_to_f32(half) : got;
        double ref = gelu_f64(x[i]);
        double bound = kern.value_bytes == 2 ? 0x1p-8 + 3e-4 : 0x1p-24 * (14 + 0.5 * x[i] * x[i]);
        if (fabs(ref) > 1e-30 && !(fabs(got / ref - 1) <= bound))
            fail_msg("GELU(%.9g) of a product: %.9g, not %.9g", x[i], got, ref);
    }
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

/* The same as layernorm's y, rounded to what products read. */
static void check_norm_values(float *x, const float *w, const float *b, const float *y, int n) {
    struct guarded g;
    size_t size = kern.value_bytes;
    uint8_t *values = guarded_alloc(&g, (size_t)n * size);
    assert_true(kern.norm_values(x, w, b, values, n));
    for (int i = 0; i < n; i++) {
        uint16_t half = 0;
        float got;
        memcpy(size == 2 ? (void *)&half : (void *)&got, values + (size_t)i * size, size);
        got = size == 2 ? wi_bf16_to_f32(half) : got;
        if (!(fabs(got - y[i]) <= (size == 2 ? 0x1p-8 * fabs(y[i]) : 0) + 1e-6 * (1 + fabs(y[i]))))
            fail_msg("norm_values [%d of %d]: %.9g, not %.9g", i, n, got, y[i]);
    }
    float keep = x[n / 2];
    x[n / 2] = rng() & 1 ? any_nan() : INFINITY;
    assert_false(kern.norm_values(x, w, b, values, n));
    x[n / 2] = keep;
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
        check_norm_values(x, w, b, y, n);
        guarded_free(&gx);
        guarded_free(&gy);
    }
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
LEVEL_TEST(sums)
LEVEL_TEST(exp_accuracy)
LEVEL_TEST(gelu)
LEVEL_TEST(gelu_values)
LEVEL_TEST(layernorm)
LEVEL_TEST(attention)
LEVEL_TEST(panels)

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
            const char *name = wi_level_name(level);
            if (wi_level_parse(&got, name, NULL) != WISP_OK || (argc > 2 && strcmp(argv[2], name)))
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
        cmocka_unit_test(gelu),      cmocka_unit_test(gelu_values),
        cmocka_unit_test(layernorm), cmocka_unit_test(attention),
        cmocka_unit_test(panels),    cmocka_unit_test(sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Packed weights: what they hold against the format they came from, and products with them against f64
 * (int8: against the exact integer sums, which are the same at every level). */
#include "inputs.h"

#include "unit/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct panel_case {
    enum wi_panel_type type;
    enum wi_dtype source;
    int m, n, k;
    bool transposed, bias, gelu, residual;
    float scale;
};

struct panel_test {
    struct guarded guards[6];
    struct wi_panels w;
    double *values, *packed; /* [n, k]: of the source; in the panels */
    double *exact;           /* [m, k]: activations as the product sees them */
    float *bias, *res, *out;
    float a_scale[40];
    struct wi_panel_product g;
};

static bool is_int8(enum wi_panel_type type) {
    return type == WI_PANEL_INT8 || type == WI_PANEL_INT8X4;
}

/* An element of the panels by the definition of their layout. */
static double packed_at(const struct wi_panels *w, int j, int p) {
    const uint8_t *panel = w->data + (size_t)(j / 16) * w->panel_bytes;
    int lane = j % 16, c = p % 32;
    uint16_t half;
    float x;
    switch (w->type) {
    case WI_PANEL_F32: memcpy(&x, panel + p / 32 * 2048 + (c * 16 + lane) * 4, 4); return x;
    case WI_PANEL_BF16:
        memcpy(&half, panel + p / 32 * 1024 + (c / 2 * 16 + lane) * 4 + c % 2 * 2, 2);
        return wi_bf16_to_f32(half);
    default:
        panel += p / 32 * 544;
        memcpy(&half, panel + 2 * lane, 2);
        return wi_f16_to_f32(half) / 1024.0 *
               (w->type == WI_PANEL_INT8 ? (int8_t)panel[32 + (c / 2 * 16 + lane) * 2 + c % 2]
                                         : panel[32 + (c / 4 * 16 + lane) * 4 + c % 4] - 128);
    }
}

static void check_packed(const struct panel_test *t, const struct panel_case *c) {
    bool integers = c->source == WI_Q4_0 || c->source == WI_Q5_0 || c->source == WI_Q8_0;
    for (int j = 0; j < c->n; j++)
        for (int p = 0; p < c->k; p++) {
            double v = t->values[j * c->k + p], bound = 0, max = 0;
            if (c->type == WI_PANEL_BF16)
                bound = fabs(v) * 0x1p-8; /* to the nearest of 8 bits */
            for (int q = p / 32 * 32; q < p / 32 * 32 + 32 && q < c->k; q++)
                max = fmax(max, fabs(t->values[j * c->k + q]));
            if (is_int8(c->type) && !integers) /* half a step of at most 1/120 of the largest */
                bound = max / 120 * 0.5 * (1 + 0x1p-10) + 1e-9;
            if (!(fabs(t->packed[j * c->k + p] - v) <= bound + 1e-12))
                fail_msg("%s packed as %d, k %d [%d, %d]: %.9g, not %.9g", wi_dtype_name(c->source),
                         c->type, c->k, j, p, t->packed[j * c->k + p], v);
        }
    /* beyond the matrix there is nothing */
    for (int j = 0; j < (c->n + 15) / 16 * 16; j++)
        for (int p = 0; p < wi_panel_pad(c->k); p++)
            assert_true((j < c->n && p < c->k) || packed_at(&t->w, j, p) == 0);
}

static void pack(struct panel_test *t, const struct panel_case *c, struct wi_pool *pool) {
    struct guarded gs;
    size_t row = wi_dtype_row_bytes(c->source, (size_t)c->k);
    t->values = malloc((size_t)c->n * (size_t)c->k * sizeof *t->values);
    t->packed = malloc((size_t)c->n * (size_t)c->k * sizeof *t->packed);
    t->w = (struct wi_panels){.type = c->type, .n = c->n, .k = c->k};
    t->w.panel_bytes = (size_t)wi_panel_pad(c->k) / 32 *
                       (c->type == WI_PANEL_F32    ? 2048
                        : c->type == WI_PANEL_BF16 ? 1024
                                                   : 544);
    t->w.data = guarded_alloc(&t->guards[0], wi_panels_bytes(&t->w));
    uint8_t *src = guarded_alloc(&gs, c->transposed ? 4 * (size_t)(c->n * c->k) : row * (size_t)c->n);
    struct wi_panel_source source = {
        c->source, src, c->transposed ? 4 * (size_t)c->n : row, c->transposed};
    for (int j = 0; j < c->n; j++) {
        if (!c->transposed)
            random_row(c->source, src + row * (size_t)j, t->values + (size_t)j * c->k, c->k);
        for (int p = 0; c->transposed && p < c->k; p++) {
            float x = uniform(-1, 1);
            memcpy(src + 4 * (p * c->n + j), &x, 4);
            t->values[j * c->k + p] = x;
        }
    }
    wi_panels_pack(&kern, pool, &t->w, 0, c->n, &source);
    for (int j = 0; j < c->n; j++)
        for (int p = 0; p < c->k; p++)
            t->packed[j * c->k + p] = packed_at(&t->w, j, p);
    guarded_free(&gs);
}

static void make_activations(struct panel_test *t, const struct panel_case *c) {
    int pad = wi_panel_pad(c->k), lda = pad + 32;
    size_t n = (size_t)(c->m - 1) * (size_t)lda + (size_t)pad;
    float *a = guarded_alloc(&t->guards[1], n * sizeof *a);
    int16_t *a16 = guarded_alloc(&t->guards[2], n * sizeof *a16);
    struct wi_panel_bytes *a8 = guarded_alloc(&t->guards[5], n / 32 * sizeof *a8);
    t->exact = malloc((size_t)c->m * (size_t)c->k * sizeof *t->exact);
    for (size_t i = 0; i < n; i++) {
        a[i] = NAN;
        a16[i] = 12345;
    }
    for (int i = 0; i < c->m; i++) {
        for (int p = 0; p < pad; p++)
            a[i * lda + p] = p < c->k ? uniform(-1, 1) * (p % 50 == 7 ? 30.0f : 1.0f) : 0;
        t->a_scale[i] = kern.to_int16(a + i * lda, a16 + i * lda, pad);
        kern.to_int8(a + i * lda, a8 + i * lda / 32, c->k);
        for (int p = 0; p < c->k; p++) {
            const struct wi_panel_bytes *block = &a8[(i * lda + p) / 32];
            t->exact[i * c->k + p] = c->type == WI_PANEL_INT8     ? (double)t->a_scale[i] * a16[i * lda + p]
                                     : c->type == WI_PANEL_INT8X4 ? (double)block->scale * block->q[p % 32]
                                                                  : a[i * lda + p];
        }
    }
    t->g.a = a;
    t->g.a16 = a16;
    t->g.a8 = a8;
    t->g.a_scale = t->a_scale;
    t->g.lda = (size_t)lda;
}

static void panel_test_init(struct panel_test *t, const struct panel_case *c, struct wi_pool *pool) {
    pack(t, c, pool);
    make_activations(t, c);
    t->out = padded(&t->guards[3], c->m, c->n);
    t->res = padded(&t->guards[4], c->m, c->n);
    t->bias = malloc((size_t)c->n * sizeof *t->bias);
    for (int j = 0; j < c->n; j++)
        t->bias[j] = uniform(-1, 1);
    for (int i = 0; i < c->m; i++)
        for (int j = 0; j < c->n; j++)
            t->res[i * (c->n + PAD) + j] = uniform(-1, 1);
    t->g.w = &t->w;
    t->g.m = c->m;
    t->g.bias = c->bias ? t->bias : NULL;
    t->g.scale = c->scale;
    t->g.gelu = c->gelu;
    t->g.residual = c->residual ? t->res : NULL;
    t->g.c = t->out;
    t->g.ldr = t->g.ldc = (size_t)(c->n + PAD);
}

static void panel_test_fini(struct panel_test *t) {
    for (int i = 0; i < 6; i++)
        guarded_free(&t->guards[i]);
    free(t->values);
    free(t->packed);
    free(t->exact);
    free(t->bias);
}

/* Element [i, j] from the packed weights and its error bound: int8 rounds once a block. */
static double element_f64(const struct panel_test *t, const struct panel_case *c, int i, int j,
                          double *bound) {
    double sum = 0, size = 0;
    int terms = is_int8(c->type) ? (c->k + 31) / 32 : c->k;
    for (int p = 0; p < c->k; p++) {
        double x = t->exact[i * c->k + p] * t->packed[j * c->k + p];
        sum += x;
        size += fabs(x);
    }
    double v = (sum + (c->bias ? t->bias[j] : 0)) * c->scale;
    v = (c->gelu ? 0.5 * v * erfc(-v / sqrt(2)) : v) +
        (c->residual ? t->res[i * (c->n + PAD) + j] : 0);
    *bound = size * 0x1p-24 * (4 * sqrt(terms) + 8) * 1.13 * fabs(c->scale) + 4e-7 * (1 + fabs(v));
    return v;
}

static void check_panel_case(const struct panel_case *c, struct wi_pool *pool) {
    struct panel_test t = {0};
    int ldc = c->n + PAD;
    panel_test_init(&t, c, pool);
    check_packed(&t, c);
    wi_panel_product_run(&kern, pool, &t.g);
    for (int i = 0; i < c->m; i++) {
        for (int j = 0; j < c->n; j++) {
            double bound, v = element_f64(&t, c, i, j, &bound), got = t.out[i * ldc + j];
            if (!(fabs(got - v) <= bound))
                fail_msg("panels of type %d, m %d n %d k %d at [%d, %d]: %.9g, not %.9g (bound %.2g)",
                         c->type, c->m, c->n, c->k, i, j, got, v, bound);
        }
        for (int j = c->n; j < ldc && i + 1 < c->m; j++)
            assert_true(isnan(t.out[i * ldc + j]));
    }
    /* a row alone has the same bits */
    float *alone = malloc((size_t)c->n * sizeof *alone);
    struct wi_panel_product one = t.g;
    int last = c->m - 1;
    one.m = 1;
    one.a += (size_t)last * one.lda;
    one.a16 += (size_t)last * one.lda;
    one.a8 += (size_t)last * one.lda / 32;
    one.a_scale += last;
    one.c = alone;
    one.residual = one.residual ? one.residual + (size_t)last * one.ldr : NULL;
    wi_panel_product_run(&kern, pool, &one);
    assert_memory_equal(alone, t.out + last * ldc, (size_t)c->n * sizeof *alone);
    free(alone);
    panel_test_fini(&t);
}

/* One block with scale 1: the result is the integer sum, rounded once. */
static void check_integer_sums(void) {
    for (int round = 0; round < 200; round++) {
        union wi_panel_block block;
        struct wi_panels w = {
            .type = WI_PANEL_INT8, .n = 16, .k = 32, .data = (uint8_t *)&block, .panel_bytes = 544};
        int16_t a[8][32];
        float ones[8], c[8][16];
        for (int lane = 0; lane < 16; lane++)
            block.int8.scale[lane] = wi_f32_to_f16(1024);
        for (int p = 0; p < 32; p++)
            for (int lane = 0; lane < 16; lane++)
                block.int8.q[p / 2][lane][p % 2] = (int8_t)(round == 0   ? -128
                                                            : round == 1 ? 127
                                                                         : (int)(rng() & 255) - 128);
        for (int i = 0; i < 8; i++) {
            ones[i] = 1;
            for (int p = 0; p < 32; p++)
                a[i][p] = (int16_t)(round < 2 ? (i & 1 ? -32767 : 32767)
                                              : (int)(rng() % 65535) - 32767);
        }
        struct wi_panel_product g = {
            .w = &w, .m = 8, .a16 = a[0], .a_scale = ones, .lda = 32, .scale = 1, .c = c[0], .ldc = 16};
        kern.panel_product(&g, 0, 1);
        for (int i = 0; i < 8; i++)
            for (int lane = 0; lane < 16; lane++) {
                int32_t sum = 0;
                for (int p = 0; p < 32; p++)
                    sum += block.int8.q[p / 2][lane][p % 2] * a[i][p];
                if (c[i][lane] != (float)sum)
                    fail_msg("int8 sum [%d, %d]: %.9g, not %d", i, lane, c[i][lane], sum);
            }
    }
}

/* The same with four columns at a time and both sides in bytes. */
static void check_byte_sums(void) {
    for (int round = 0; round < 200; round++) {
        union wi_panel_block block;
        struct wi_panels w = {
            .type = WI_PANEL_INT8X4, .n = 16, .k = 32, .data = (uint8_t *)&block, .panel_bytes = 544};
        struct wi_panel_bytes a[8];
        float c[8][16];
        for (int lane = 0; lane < 16; lane++)
            block.int8x4.scale[lane] = wi_f32_to_f16(1024);
        for (int p = 0; p < 32; p++)
            for (int lane = 0; lane < 16; lane++)
                block.int8x4.q[p / 4][lane][p % 4] =
                    (uint8_t)(round == 0 ? 0 : round == 1 ? 255 : rng() & 255);
        for (int i = 0; i < 8; i++) {
            a[i] = (struct wi_panel_bytes){.scale = 1};
            for (int p = 0; p < 32; p++) {
                a[i].q[p] = (int8_t)(round < 2 ? (i & 1 ? -127 : 127) : (int)(rng() % 255) - 127);
                a[i].offset -= 128 * a[i].q[p];
            }
        }
        struct wi_panel_product g = {
            .w = &w, .m = 8, .a8 = a, .lda = 32, .scale = 1, .c = c[0], .ldc = 16};
        kern.panel_product(&g, 0, 1);
        for (int i = 0; i < 8; i++)
            for (int lane = 0; lane < 16; lane++) {
                int32_t sum = 0;
                for (int p = 0; p < 32; p++)
                    sum += (block.int8x4.q[p / 4][lane][p % 4] - 128) * a[i].q[p];
                if (c[i][lane] != (float)sum)
                    fail_msg("sum of bytes [%d, %d]: %.9g, not %d", i, lane, c[i][lane], sum);
            }
    }
}

/* A block of up to 32 values; what lies beyond them is 0. */
static void check_bytes(const struct wi_panel_bytes *block, const float *x, int n) {
    float max = 0;
    int sum = 0;
    for (int i = 0; i < n; i++)
        max = fmaxf(max, fabsf(x[i]));
    assert_true(fabs(block->scale - max / 127.0) <= 1e-7 * block->scale);
    for (int i = 0; i < 32; i++) {
        double exact = i < n && block->scale ? (double)x[i] / block->scale : 0;
        assert_true(block->q[i] >= -127);
        if (!(fabs(block->q[i] - exact) <= 0.5 + 0.0001))
            fail_msg("to_int8 [%d of %d]: %d x %g, not %g", i, n, block->q[i], block->scale, x[i]);
        sum += block->q[i];
    }
    assert_int_equal(block->offset, -128 * sum);
}

static void check_to_int8(void) {
    for (int n = 1; n < 130; n += 1 + n / 20)
        for (int kind = 0; kind < 4; kind++) {
            struct guarded gx, gb;
            int blocks = (n + 31) / 32;
            float *x = guarded_alloc(&gx, (size_t)n * 4);
            struct wi_panel_bytes *b = guarded_alloc(&gb, (size_t)blocks * sizeof *b);
            for (int i = 0; i < n; i++)
                x[i] = kind == 0 ? 0 : uniform(-1, 1) * (kind == 1 ? 1e-20f : kind == 2 ? 1e30f : 1.0f);
            kern.to_int8(x, b, n);
            for (int i = 0; i < blocks; i++)
                check_bytes(&b[i], x + 32 * i, i + 1 < blocks ? 32 : n - 32 * i);
            x[n / 2] = -INFINITY;
            kern.to_int8(x, b, n);
            assert_false(isfinite(b[n / 2 / 32].scale));
            x[n / 2] = any_nan();
            kern.to_int8(x, b, n);
            for (int i = 0; i < blocks; i++)
                assert_true((i == n / 2 / 32) != !!isfinite(b[i].scale));
            guarded_free(&gx);
            guarded_free(&gb);
        }
}

static void check_to_int16(void) {
    for (int n = 1; n < 130; n += 1 + n / 20)
        for (int kind = 0; kind < 4; kind++) {
            struct guarded gx, gq;
            float *x = guarded_alloc(&gx, (size_t)n * 4), max = 0;
            int16_t *q = guarded_alloc(&gq, (size_t)n * 2);
            for (int i = 0; i < n; i++) {
                x[i] = kind == 0 ? 0 : uniform(-1, 1) * (kind == 1 ? 1e-20f : kind == 2 ? 1e30f : 1.0f);
                max = fmaxf(max, fabsf(x[i]));
            }
            float scale = kern.to_int16(x, q, n);
            assert_true(fabs(scale - max / 32767.0) <= 1e-7 * scale);
            for (int i = 0; i < n; i++) {
                assert_true(q[i] >= -32767);
                if (!(fabs(q[i] - (scale ? (double)x[i] / scale : 0)) <= 0.5 + 0.01))
                    fail_msg("to_int16 [%d of %d]: %d x %g, not %g", i, n, q[i], scale, x[i]);
            }
            x[n / 2] = INFINITY;
            assert_false(isfinite(kern.to_int16(x, q, n)));
            x[n - 1] = any_nan();
            assert_false(isfinite(kern.to_int16(x, q, n)));
            guarded_free(&gx);
            guarded_free(&gq);
        }
}

void check_panels(void) {
    static const int ms[] = {1, 2, 3, 5, 7, 8, 9, 16, 37}, ns[] = {1, 7, 16, 17, 64, 100, 301};
    static const int ks[] = {1, 5, 31, 32, 33, 64, 72, 160, 512};
    struct wi_pool *pool;
    assert_int_equal(wi_pool_create(&pool, 2, NULL), 0);
    bool bytes = kern.int8_type == WI_PANEL_INT8X4;
    check_to_int16();
    check_to_int8();
    check_integer_sums();
    if (bytes)
        check_byte_sums();
    for (int i = 0; i < 240; i++) {
        struct panel_case c = {.type = (enum wi_panel_type)(i % (bytes ? WI_N_PANEL_TYPES : WI_PANEL_INT8X4)),
                               .source = (enum wi_dtype)(rng() % WI_N_DTYPES),
                               .m = ms[rng() % 9],
                               .n = ns[rng() % 7],
                               .k = ks[rng() % 9],
                               .bias = rng() & 1,
                               .gelu = rng() & 1,
                               .residual = rng() & 1,
                               .scale = rng() & 1 ? 1.0f : 0.35f};
        int block = wi_dtype_block(c.source);
        c.k = (c.k + block - 1) / block * block;
        c.transposed = c.source == WI_F32 && (rng() & 1);
        check_panel_case(&c, pool);
    }
    wi_pool_destroy(&pool);
}

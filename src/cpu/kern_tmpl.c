/* The kernels of one level, written once on vectors of VLEN floats (GCC and clang vector types).  A
 * level's file defines VLEN, SUFFIX(name), MR (rows of the GEMM's register block), NV (vectors
 * across it) and includes this one; it is compiled with that level's -m flags.  Where the level has
 * instructions for them, it also defines LOAD_F16(p) and LOAD_U8(p), which convert VLEN halves and
 * bytes, SUM_LANES(x) and MAX_LANES(x), and SCALE2(p, n), which is p 2^n.  BF16_PRODUCTS selects
 * bf16 inputs with f32 sums in GEMM and attention (x86 vdpbf16ps, VLEN 16). */
#include <math.h>
#include <string.h>

#include "base/dtype.h"
#include "cpu/kern.h"
#include "cpu/levels.h"

#define NR (NV * VLEN) /* columns of the register block */

typedef float vf __attribute__((vector_size(4 * VLEN)));
typedef int32_t vi __attribute__((vector_size(4 * VLEN)));
typedef uint32_t vu __attribute__((vector_size(4 * VLEN)));
typedef uint16_t vs __attribute__((vector_size(2 * VLEN)));
typedef float vf_unaligned __attribute__((vector_size(4 * VLEN), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))

/* A loop over registers: constant bounds of at most 16. */
#ifdef __clang__
#define UNROLLED _Pragma("clang loop unroll(full)")
#else
#define UNROLLED _Pragma("GCC unroll 16")
#endif

INLINE vf load(const float *p) {
    return *(const vf_unaligned *)p;
}
INLINE void store(float *p, vf x) {
    *(vf_unaligned *)p = x;
}
INLINE vf splat(float x) {
    return x - (vf){0};
}
INLINE vf blend(vi mask, vf a, vf b) {
    return (vf)((mask & (vi)a) | (~mask & (vi)b));
}

#ifdef SUM_LANES
INLINE float sum_lanes(vf x) {
    return SUM_LANES(x);
}
INLINE float max_lanes(vf x) {
    return MAX_LANES(x);
}
#else
INLINE float sum_lanes(vf x) {
    float total = 0;
    for (int i = 0; i < VLEN; i++)
        total += x[i];
    return total;
}

/* Of a vector without NaN. */
INLINE float max_lanes(vf x) {
    float max = x[0];
    for (int i = 1; i < VLEN; i++)
        max = x[i] > max ? x[i] : max;
    return max;
}
#endif

/* exp(x) for x <= 88: 2^n e^r with |r| <= ln(2)/2 and the Taylor polynomial of degree 7, whose
 * truncation error is 0.3466^8/8! = 5e-9; at most 2.5 x 2^-24 with all
 * roundings (kcheck --accuracy).  Below -87.33 the
 * result is 0 (no denormals); NaN stays NaN. */
INLINE vf exp_v(vf x) {
    const vf magic = splat(0x1.8p23f); /* adding it rounds to an integer in the low mantissa bits */
    vf t = x * 1.44269504f + magic;
    vf n = t - magic;
    vf r = x - n * 0x1.62e4p-1f; /* ln 2 in two parts: the first has 12 bits, n * it is exact */
    r = r - n * 0x1.7f7d1cp-20f;
    vf p = splat(1 / 5040.0f);
    p = p * r + 1 / 720.0f;
    p = p * r + 1 / 120.0f;
    p = p * r + 1 / 24.0f;
    p = p * r + 1 / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
#ifdef SCALE2
    return blend(x < -87.33f, splat(0), SCALE2(p, n));
#else
    vf y = (vf)((vu)p + ((vu)t << 23)); /* wraps below -87.33 */
    y = blend(x < -87.33f, splat(0), y);
    return blend(x == x, y, x);
#endif
}

/* GELU x Phi(x) through the tail Q = erfc(|x| / sqrt 2) / 2, so that large negative x keeps its
 * relative accuracy: erfc(y) = exp(-y^2) t P(t), t = 1 / (1 + 0.4 y), P from tools/fit_erfcx.py
 * with relative error 4e-8 on y <= 7.5; beyond that exp(-y^2) < 4e-25. */
INLINE vf gelu_v(vf x) {
    vf z = (vf)((vi)x & 0x7fffffff) * 0.707106781f;
    vf t = 1.0f / (1.0f + 0.4f * z);
    vf p = splat(0.0346375443f);
    p = p * t - 0.107240036f;
    p = p * t + 0.013452203f;
    p = p * t + 0.171562538f;
    p = p * t + 0.0196491666f;
    p = p * t + 0.220184326f;
    p = p * t + 0.194672376f;
    p = p * t + 0.227514833f;
    p = p * t + 0.225567088f;
    /* not -z^2: z is rounded, and its error would count twice */
    vf tail = 0.5f * p * t * exp_v(-0.5f * (x * x));
    vf phi = blend(x < 0.0f, tail, 1.0f - tail);
    /* -INFINITY * 0 would be NaN; GELU's limit there is 0 */
    return blend(x < -1e4f, splat(-0.0f), x * phi);
}

/* ---------------------------------------------------------------- element-wise and row kernels */

/* Copies of a ragged end of at most VLEN values, so that it can be computed as a vector. */
INLINE vf load_part(const float *p, int n) {
    float x[VLEN] = {0};
    memcpy(x, p, (size_t)n * sizeof *x);
    return load(x);
}

INLINE void store_part(float *p, vf x, int n) {
    memcpy(p, &x, (size_t)n * sizeof *p);
}

static void SUFFIX(gelu)(float *x, int n) {
    int i = 0;
    for (; i + VLEN <= n; i += VLEN)
        store(x + i, gelu_v(load(x + i)));
    if (i < n)
        store_part(x + i, gelu_v(load_part(x + i, n - i)), n - i);
}

static void SUFFIX(layernorm)(const float *x, const float *w, const float *b, float *y, int n) {
    vf acc[2] = {0}, acc2[2] = {0};
    float tail = 0, tail2 = 0;
    int i = 0;
    for (; i + 2 * VLEN <= n; i += 2 * VLEN) {
        acc[0] += load(x + i);
        acc[1] += load(x + i + VLEN);
    }
    for (; i < n; i++)
        tail += x[i];
    float mean = (sum_lanes(acc[0] + acc[1]) + tail) / (float)n;

    /* Second pass over x - mean: the squares do not cancel, and the sum, 0 if the mean were exact,
     * says what its rounding left out. */
    acc[0] = acc[1] = splat(tail = 0);
    for (i = 0; i + 2 * VLEN <= n; i += 2 * VLEN) {
        vf d0 = load(x + i) - mean, d1 = load(x + i + VLEN) - mean;
        acc[0] += d0;
        acc[1] += d1;
        acc2[0] += d0 * d0;
        acc2[1] += d1 * d1;
    }
    for (; i < n; i++) {
        tail += x[i] - mean;
        tail2 += (x[i] - mean) * (x[i] - mean);
    }
    float rest = (sum_lanes(acc[0] + acc[1]) + tail) / (float)n;
    float var = (sum_lanes(acc2[0] + acc2[1]) + tail2) / (float)n - rest * rest;
    float scale = 1.0f / sqrtf(var + 1e-5f);

    for (i = 0; i + VLEN <= n; i += VLEN)
        store(y + i, (load(x + i) - mean - rest) * scale * load(w + i) + load(b + i));
    for (; i < n; i++)
        y[i] = (x[i] - mean - rest) * scale * w[i] + b[i];
}

static float row_max(const float *x, int n) {
    float max = -INFINITY;
    int i = 0;
    if (n >= VLEN) {
        vf m = load(x);
        for (i = VLEN; i + VLEN <= n; i += VLEN) {
            vf v = load(x + i);
            m = blend(v > m, v, m);
        }
        for (int j = 0; j < VLEN; j++)
            max = m[j] > max ? m[j] : max;
    }
    for (; i < n; i++)
        max = x[i] > max ? x[i] : max;
    return max;
}

/* x[i] = exp(x[i] - max); returns the sum. */
static float exp_row(float *x, int n, float max) {
    vf sum = splat(0);
    int i = 0;
    for (; i + VLEN <= n; i += VLEN) {
        vf e = exp_v(load(x + i) - max);
        store(x + i, e);
        sum += e;
    }
    float total = sum_lanes(sum);
    if (i < n) {
        store_part(x + i, exp_v(load_part(x + i, n - i) - max), n - i);
        for (; i < n; i++)
            total += x[i];
    }
    return total;
}

static void SUFFIX(softmax)(float *x, int n) {
    float scale = 1.0f / exp_row(x, n, row_max(x, n));
    for (int i = 0; i < n; i++)
        x[i] *= scale;
}

/* ---------------------------------------------------------------- weights to f32 */

INLINE float f16_at(const uint8_t *p) {
    uint16_t h;
    memcpy(&h, p, 2);
    return wi_f16_to_f32(h);
}

INLINE void dequant_q8(const uint8_t *restrict src, float *restrict dst, int n) {
    for (int i = 0; i < n; i += 32, src += 34) {
        float d = f16_at(src);
        for (int j = 0; j < 32; j++)
            dst[i + j] = d * (float)(int8_t)src[2 + j];
    }
}

#ifndef LOAD_U8
INLINE vi load_u8(const uint8_t *p) {
    vi x;
    for (int i = 0; i < VLEN; i++)
        x[i] = p[i];
    return x;
}
#define LOAD_U8(p) load_u8(p)
#endif

/* q4_0, q4_1, q5_0, q5_1: value j < 16 of 32 is in the low half of byte j of 16, value j + 16 in
 * its high half; the fifth bits are in one word.  d * (q - zero) and d * q + m: each as its format
 * defines it, so that the value is exact. */
INLINE void dequant_q45(const uint8_t *restrict src, float *restrict dst, int n, bool five,
                        bool has_min) {
    const int zero = five ? 16 : 8, header = has_min ? 4 : 2, quants = header + (five ? 4 : 0);
    vu bit; /* of lane i: 1 << i */
    for (int i = 0; i < VLEN; i++)
        bit[i] = 1u << i;
    for (int i = 0; i < n; i += 32, src += quants + 16) {
        float d = f16_at(src), m = has_min ? f16_at(src + 2) : 0;
        uint32_t high = 0;
        if (five)
            memcpy(&high, src + header, sizeof high);
        for (int j = 0; j < 16; j += VLEN) {
            vi q[2] = {LOAD_U8(src + quants + j)};
            q[1] = q[0] >> 4;
            q[0] &= 15;
            for (int half = 0; half < 2; half++) {
                if (five)
                    q[half] |= (vi)((bit & high >> (j + 16 * half)) == bit) & 16;
                if (!has_min)
                    q[half] -= zero;
                vf x = __builtin_convertvector(q[half], vf) * d;
                store(dst + i + j + 16 * half, has_min ? x + m : x);
            }
        }
    }
}

#ifndef LOAD_F16
/* As wi_f16_to_f32. */
INLINE vf load_f16(const uint8_t *p) {
    vs halves;
    memcpy(&halves, p, sizeof halves);
    vu h = __builtin_convertvector(halves, vu), magnitude = (h & 0x7fff) << 13;
    vf x = blend((vi)(magnitude >= 0x0f800000), (vf)(magnitude | 0x7f800000),
                 (vf)magnitude * 0x1p112f);
    return (vf)((vu)x | (h & 0x8000) << 16);
}
#define LOAD_F16(p) load_f16(p)
#endif

static void SUFFIX(dequant)(enum wi_dtype type, const uint8_t *restrict src, float *restrict dst,
                            int n) {
    switch (type) {
    case WI_F32: memcpy(dst, src, (size_t)n * 4); break;
    case WI_F16: {
        int i = 0;
        for (; i + VLEN <= n; i += VLEN)
            store(dst + i, LOAD_F16(src + 2 * i));
        for (; i < n; i++)
            dst[i] = f16_at(src + 2 * i);
        break;
    }
    case WI_BF16:
        for (int i = 0; i < n; i++) {
            uint16_t b;
            memcpy(&b, src + 2 * i, 2);
            dst[i] = wi_bf16_to_f32(b);
        }
        break;
    case WI_Q4_0: dequant_q45(src, dst, n, false, false); break;
    case WI_Q4_1: dequant_q45(src, dst, n, false, true); break;
    case WI_Q5_0: dequant_q45(src, dst, n, true, false); break;
    case WI_Q5_1: dequant_q45(src, dst, n, true, true); break;
    case WI_Q8_0: dequant_q8(src, dst, n); break;
    case WI_N_DTYPES: break;
    }
}

/* ---------------------------------------------------------------- f32 to bf16 */

/* Nearest even: half a unit less one is added, and one more where the last bit that stays is odd.
 * NaN gets its quiet bit, which is among those that stay. */
INLINE vs bf16_v(vf x) {
    vu u = (vu)x;
    vu rounded = u + 0x7fff + (u >> 16 & 1);
    return __builtin_convertvector((vu)blend(x == x, (vf)rounded, (vf)(u | 0x400000)) >> 16, vs);
}

static void SUFFIX(to_bf16)(const float *src, uint16_t *dst, int n) {
    int i = 0;
    for (; i + VLEN <= n; i += VLEN) {
        vs b = bf16_v(load(src + i));
        memcpy(dst + i, &b, sizeof b);
    }
    if (i < n) {
        vs b = bf16_v(load_part(src + i, n - i));
        memcpy(dst + i, &b, (size_t)(n - i) * sizeof *dst);
    }
}

/* ---------------------------------------------------------------- matrix products */

/* Matrices are made of 32-bit units: f32 values, or pairs of bf16 values that follow each other in
 * k. */
INLINE float unit_f32(const uint32_t *p) {
    float x;
    memcpy(&x, p, sizeof x);
    return x;
}

/* acc + a b for one unit of A and a vector of units of B; `pairs`: of bf16. */
INLINE vf multiply_add(bool pairs, vf acc, const uint32_t *a, vf b) {
#ifdef BF16_PRODUCTS
    if (pairs) {
        int32_t unit;
        memcpy(&unit, a, sizeof unit);
        return (vf)_mm512_dpbf16_ps((__m512)acc, (__m512bh)_mm512_set1_epi32(unit), (__m512bh)b);
    }
#endif
    return acc + b * unit_f32(a);
}

/* out[mr, nv * VLEN] = or += A[mr, k] B[k, nv * VLEN], k in units.  mr, nv and pairs are constants
 * after inlining, so that the accumulators live in registers. */
INLINE void tile(bool pairs, int mr, int nv, int k, const uint32_t *a, size_t lda,
                 const uint32_t *b, size_t ldb, float *out, size_t ldo, bool add) {
    vf acc[MR][NV];
    UNROLLED
    for (int i = 0; i < mr; i++)
        UNROLLED
    for (int v = 0; v < nv; v++)
        acc[i][v] = add ? load(out + (size_t)i * ldo + v * VLEN) : splat(0);
    for (int p = 0; p < k; p++, b += ldb) {
        vf column[NV];
        UNROLLED
        for (int v = 0; v < nv; v++)
            column[v] = load((const float *)(const void *)(b + v * VLEN));
        UNROLLED
        for (int i = 0; i < mr; i++)
            UNROLLED
        for (int v = 0; v < nv; v++)
            acc[i][v] = multiply_add(pairs, acc[i][v], a + (size_t)i * lda + p, column[v]);
    }
    UNROLLED
    for (int i = 0; i < mr; i++)
        UNROLLED
    for (int v = 0; v < nv; v++)
        store(out + (size_t)i * ldo + v * VLEN, acc[i][v]);
}

#define TILE(name, pairs, mr, nv)                                                                  \
    static __attribute__((noinline)) void name(int k, const uint32_t *a, size_t lda,               \
                                               const uint32_t *b, size_t ldb, float *out,          \
                                               size_t ldo, bool add) {                             \
        tile(pairs, mr, nv, k, a, lda, b, ldb, out, ldo, add);                                     \
    }
TILE(tile_f32_full, false, MR, NV)
TILE(tile_f32_narrow, false, MR, 1)
TILE(tile_f32_4, false, 4, NV)
TILE(tile_f32_4_narrow, false, 4, 1)
TILE(tile_f32_1, false, 1, NV)
TILE(tile_f32_1_narrow, false, 1, 1)
#ifdef BF16_PRODUCTS
TILE(tile_pairs_full, true, MR, NV)
TILE(tile_pairs_4, true, 4, NV)
TILE(tile_pairs_1, true, 1, NV)
#endif

/* A B for any m and n; a ragged end of n is computed value by value. */
static void product_f32(int m, int n, int k, const uint32_t *a, size_t lda, const uint32_t *b,
                        size_t ldb, float *out, size_t ldo, bool add) {
    for (int i = 0, mr; i < m; i += mr, a += (size_t)mr * lda, out += (size_t)mr * ldo) {
        int j = 0;
        mr = m - i >= MR ? MR : m - i >= 4 ? 4 : 1;
        for (; j + NR <= n; j += NR)
            (mr == MR  ? tile_f32_full
             : mr == 4 ? tile_f32_4
                       : tile_f32_1)(k, a, lda, b + j, ldb, out + j, ldo, add);
        for (; j + VLEN <= n; j += VLEN)
            (mr == MR  ? tile_f32_narrow
             : mr == 4 ? tile_f32_4_narrow
                       : tile_f32_1_narrow)(k, a, lda, b + j, ldb, out + j, ldo, add);
        for (; j < n; j++)
            for (int r = 0; r < mr; r++) {
                float total = add ? out[(size_t)r * ldo + j] : 0;
                for (int p = 0; p < k; p++)
                    total += unit_f32(a + (size_t)r * lda + p) * unit_f32(b + (size_t)p * ldb + j);
                out[(size_t)r * ldo + j] = total;
            }
    }
}

#ifdef BF16_PRODUCTS
/* The same for pairs of bf16; n is a multiple of NR. */
static void product_pairs(int m, int n, int k, const uint32_t *a, size_t lda, const uint32_t *b,
                          size_t ldb, float *out, size_t ldo, bool add) {
    for (int i = 0, mr; i < m; i += mr, a += (size_t)mr * lda, out += (size_t)mr * ldo) {
        mr = m - i >= MR ? MR : m - i >= 4 ? 4 : 1;
        for (int j = 0; j < n; j += NR)
            (mr == MR  ? tile_pairs_full
             : mr == 4 ? tile_pairs_4
                       : tile_pairs_1)(k, a, lda, b + j, ldb, out + j, ldo, add);
    }
}
#endif

/* Bias, scale, activation, residual: block[mr, NR] -> C[i0.., j0..] with `cols` valid columns. */
static void finish_block(const struct wi_gemm *g, float *block, const float *bias, int i0, int mr,
                         int j0, int cols) {
    for (int i = 0; i < mr; i++) {
        float *row = block + i * NR;
        float *c = g->c + (size_t)(i0 + i) * g->ldc + j0;
        for (int v = 0; v < NR; v += VLEN) {
            vf x = (load(row + v) + load(bias + v)) * g->scale;
            store(row + v, g->act == WI_GELU ? gelu_v(x) : x);
        }
        if (g->residual) {
            const float *r = g->residual + (size_t)(i0 + i) * g->ldr + j0;
            for (int j = 0; j < cols; j++)
                c[j] = row[j] + r[j];
        } else {
            memcpy(c, row, (size_t)cols * sizeof *c);
        }
    }
}

/* The units of a packed panel of W. */
#ifdef BF16_PRODUCTS
#define PER_UNIT 2
#else
#define PER_UNIT 1
#endif
enum {
    CHUNK = 64
}; /* values of each row that are packed at a time: whole blocks of every format */

/* packed[(k + 1) / PER_UNIT, NR] from `cols` rows of W; missing columns and an odd k are filled
 * with 0. */
static void pack_columns(const struct wi_gemm *g, int j0, int cols, uint32_t *packed) {
    float values[CHUNK];
    uint32_t units[NR][CHUNK / PER_UNIT];
    memset(units, 0, sizeof units);
    for (int p = 0; p < g->k; p += CHUNK) {
        int n = g->k - p < CHUNK ? g->k - p : CHUNK;
        int n_units = (n + PER_UNIT - 1) / PER_UNIT;
        size_t offset = wi_dtype_row_bytes(g->w_type, (size_t)p);
        for (int j = 0; j < cols; j++) {
            SUFFIX(dequant)(g->w_type, g->w + (size_t)(j0 + j) * g->w_stride + offset, values, n);
#ifdef BF16_PRODUCTS
            if (n & 1)
                values[n] = 0;
            SUFFIX(to_bf16)(values, (uint16_t *)(void *)units[j], 2 * n_units);
#else
            memcpy(units[j], values, (size_t)n * sizeof *values);
#endif
        }
        for (int u = 0; u < n_units; u++, packed += NR)
            for (int j = 0; j < NR; j++)
                packed[j] = units[j][u];
    }
}

/* block[mr, NR] = A[i.., k] packed[k, NR]. */
static void multiply_block(const struct wi_gemm *g, int i, int mr, const uint32_t *packed,
                           float *block) {
#ifdef BF16_PRODUCTS
    const uint32_t *a = (const uint32_t *)(const void *)(g->a16 + (size_t)i * g->lda16);
    product_pairs(mr, NR, (g->k + 1) / 2, a, g->lda16 / 2, packed, NR, block, NR, false);
#else
    const uint32_t *a = (const uint32_t *)(const void *)(g->a + (size_t)i * g->lda);
    product_f32(mr, NR, g->k, a, g->lda, packed, NR, block, NR, false);
#endif
}

static void SUFFIX(gemm)(const struct wi_gemm *g, int n0, int n1, float *scratch) {
    float block[MR * NR], bias[NR];
    uint32_t *packed = (uint32_t *)(void *)scratch;
    for (int j = n0; j < n1; j += NR) {
        int cols = n1 - j < NR ? n1 - j : NR;
        for (int c = 0; c < NR; c++)
            bias[c] = g->bias && c < cols ? g->bias[j + c] : 0;
        pack_columns(g, j, cols, packed);
        for (int i = 0; i < g->m; i += MR) {
            int mr = g->m - i < MR ? g->m - i : MR;
            multiply_block(g, i, mr, packed, block);
            finish_block(g, block, bias, i, mr, j, cols);
        }
    }
}

INLINE float dot(const float *x, const float *y, int n) {
    vf acc[4] = {0};
    int i = 0;
    for (; i + 4 * VLEN <= n; i += 4 * VLEN)
        UNROLLED
    for (int v = 0; v < 4; v++)
        acc[v] += load(x + i + v * VLEN) * load(y + i + v * VLEN);
    for (; i + VLEN <= n; i += VLEN)
        acc[0] += load(x + i) * load(y + i);
    float total = sum_lanes((acc[0] + acc[1]) + (acc[2] + acc[3]));
    for (; i < n; i++)
        total += x[i] * y[i];
    return total;
}

enum {
    COLS = 32,                   /* columns that a matvec finishes at a time */
    GROUP = 4,                   /* of them, dequantised together */
    SHARED = VLEN == 16 ? 4 : 2, /* rows of A that share the loads of W, as the registers allow */
};

/* out[i, j0 + j] = A[i, k] . W[j, k] for mr rows and GROUP columns; mr is constant after inlining.
 */
INLINE void dots(int mr, const float *a, size_t lda, const float *w, int k, float (*out)[COLS],
                 int j0) {
    vf acc[SHARED][GROUP];
    int p = 0;
    UNROLLED
    for (int i = 0; i < mr; i++)
        UNROLLED
    for (int j = 0; j < GROUP; j++)
        acc[i][j] = splat(0);
    for (; p + VLEN <= k; p += VLEN) {
        vf x[GROUP];
        UNROLLED
        for (int j = 0; j < GROUP; j++)
            x[j] = load(w + j * k + p);
        UNROLLED
        for (int i = 0; i < mr; i++) {
            vf y = load(a + (size_t)i * lda + p);
            UNROLLED
            for (int j = 0; j < GROUP; j++)
                acc[i][j] += x[j] * y;
        }
    }
    UNROLLED
    for (int i = 0; i < mr; i++)
        UNROLLED
    for (int j = 0; j < GROUP; j++) {
        float total = sum_lanes(acc[i][j]);
        for (int t = p; t < k; t++)
            total += a[(size_t)i * lda + t] * w[j * k + t];
        out[i][j0 + j] = total;
    }
}

static void SUFFIX(matvec)(const struct wi_gemm *g, int n0, int n1, float *scratch) {
    float out[WI_MATVEC_ROWS][COLS];
    for (int j0 = n0; j0 < n1; j0 += COLS) {
        int cols = n1 - j0 < COLS ? n1 - j0 : COLS;
        for (int j = 0; j < cols; j += GROUP) {
            int group = cols - j < GROUP ? cols - j : GROUP;
            for (int c = 0; c < group; c++)
                SUFFIX(dequant)
            (g->w_type, g->w + (size_t)(j0 + j + c) * g->w_stride, scratch + c * g->k, g->k);
            memset(scratch + group * g->k, 0, (size_t)((GROUP - group) * g->k) * sizeof *scratch);
            int i = 0;
            for (; i + SHARED <= g->m; i += SHARED)
                dots(SHARED, g->a + (size_t)i * g->lda, g->lda, scratch, g->k, out + i, j);
            for (; i < g->m; i++)
                dots(1, g->a + (size_t)i * g->lda, g->lda, scratch, g->k, out + i, j);
        }
        for (int i = 0; i < g->m; i++) {
            float *c = g->c + (size_t)i * g->ldc + j0;
            for (int j = 0; j < cols; j++)
                out[i][j] = (out[i][j] + (g->bias ? g->bias[j0 + j] : 0)) * g->scale;
            if (g->act == WI_GELU)
                SUFFIX(gelu)(out[i], cols);
            for (int j = 0; j < cols; j++)
                c[j] = out[i][j] + (g->residual ? g->residual[(size_t)i * g->ldr + j0 + j] : 0);
        }
    }
}

/* ---------------------------------------------------------------- attention */

#include "cpu/attn_tmpl.c"

static void SUFFIX(attend_rows)(const struct wi_attn_rows *a, float *scratch) {
    int d = a->d_head;
    for (int j = 0; j < a->n_kv; j++) {
        size_t row = (size_t)(a->rows ? a->rows[j] : j);
        scratch[j] = a->scale * dot(a->q, a->k + row * a->ld, d);
    }
    float scale = 1.0f / exp_row(scratch, a->n_kv, row_max(scratch, a->n_kv));
    for (int c = 0; c < d; c++)
        a->out[c] = 0;
    for (int j = 0; j < a->n_kv; j++) {
        const float *v = a->v + (size_t)(a->rows ? a->rows[j] : j) * a->ld;
        float p = scratch[j] * scale;
        int c = 0;
        for (; c + VLEN <= d; c += VLEN)
            store(a->out + c, load(a->out + c) + load(v + c) * p);
        for (; c < d; c++)
            a->out[c] += v[c] * p;
    }
}

#define WI_KERN(name, ret, params) .name = SUFFIX(name),
const struct wi_kern SUFFIX(wi_kern) = {
#include "cpu/kern_list.def"
};
#undef WI_KERN

/* Attention without a stored score matrix, one part of kern_tmpl.c.  Keys come in blocks; for every
 * query row are kept: the largest score so far, the sum of exp(score - largest), and the same sum
 * weighted with the values.  A larger score in a later block scales the sums down. */

/* Matrices are made of 32-bit units: f32 values, or pairs of bf16 values that follow each other in
 * k. */
INLINE float unit_f32(const uint32_t *p) {
    float x;
    memcpy(&x, p, sizeof x);
    return x;
}

/* acc + a b for one unit of A and a vector of units of B; `pairs`: of bf16. */
INLINE vf unit_multiply_add(bool pairs, vf acc, const uint32_t *a, vf b) {
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
INLINE void unit_tile(bool pairs, int mr, int nv, int k, const uint32_t *a, size_t lda,
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
            acc[i][v] = unit_multiply_add(pairs, acc[i][v], a + (size_t)i * lda + p, column[v]);
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
        unit_tile(pairs, mr, nv, k, a, lda, b, ldb, out, ldo, add);                                \
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

enum { KEYS = 64, MAX_PAIRS = WI_HEAD_MAX / 2 };

struct attn_scratch {
    uint32_t k[WI_HEAD_MAX * KEYS];            /* [d, KEYS] or pairs [d / 2, KEYS] */
    uint32_t v[MAX_PAIRS * KEYS];              /* pairs [KEYS / 2, d] */
    uint32_t q[WI_ATTN_QUERIES * MAX_PAIRS];   /* pairs [n_q, d / 2] */
    uint32_t weights[MR * KEYS / 2];           /* pairs [MR, KEYS / 2] */
    float scores[MR * KEYS];                   /* [MR, KEYS], then the weights */
    float sums[WI_ATTN_QUERIES * WI_HEAD_MAX]; /* [n_q, d]: unnormalised output */
    float total[WI_ATTN_QUERIES][VLEN];        /* per lane: the reduction waits for the end */
    float max[WI_ATTN_QUERIES];
};
_Static_assert(sizeof(struct attn_scratch) <= WI_ATTN_SCRATCH * sizeof(float), "attention scratch");

/* Scores [n] of one row to weights exp(scale s - max); entries beyond become 0.  Returns the
 * factor for the sums so far, whose maximum was *max. */
INLINE float block_weights(float *s, int n, float scale, float *max, float *total) {
    int cols = (n + VLEN - 1) / VLEN * VLEN;
    for (int j = n; j < cols; j++)
        s[j] = -INFINITY;
    for (int j = cols; j < KEYS; j++)
        s[j] = 0;
    vf m = load(s);
    for (int j = VLEN; j < cols; j += VLEN) {
        vf x = load(s + j);
        m = blend(x > m, x, m);
    }
    float block_max = max_lanes(m) * scale, keep = 1;
    if (block_max > *max) {
        keep = exp_v(splat(*max - block_max))[0];
        *max = block_max;
    }
    vf sum = splat(0);
    for (int j = 0; j < cols; j += VLEN) {
        vf e = exp_v(load(s + j) * scale - *max);
        store(s + j, e);
        sum += e;
    }
    store(total, load(total) * keep + sum);
    return keep;
}

/* K of a block, so that ragged ends can be read as vectors and rows do not lie pages apart. */
static const uint32_t *copy_keys(const struct wi_attn *a, int key, int n, uint32_t *k) {
    for (int c = 0; c < a->d_head; c++) {
        memcpy(k + c * KEYS, a->kt + (size_t)c * a->ldkt + key, (size_t)n * sizeof *k);
        memset(k + c * KEYS + n, 0, (size_t)(KEYS - n) * sizeof *k);
    }
    return k;
}

static void rows_f32(const struct wi_attn *a, int q0, int m, struct attn_scratch *s) {
    int d = a->d_head;
    for (int key = 0; key < a->n_kv; key += KEYS) {
        int n = a->n_kv - key < KEYS ? a->n_kv - key : KEYS;
        const uint32_t *k = (const uint32_t *)(const void *)(a->kt + key);
        const uint32_t *v = (const uint32_t *)(const void *)(a->v + (size_t)key * a->ldv);
        size_t ldk = a->ldkt;
        if (m >= MR || n < KEYS) {
            k = copy_keys(a, key, n, s->k);
            ldk = KEYS;
        }
        for (int i = 0; i < m; i += MR) {
            int mr = m - i < MR ? m - i : MR;
            const float *q = a->q + (size_t)(q0 + i) * a->ldq;
            float *sums = s->sums + i * d;
            product_f32(mr, (n + VLEN - 1) / VLEN * VLEN, d, (const uint32_t *)(const void *)q,
                        a->ldq, k, ldk, s->scores, KEYS, false);
            for (int r = 0; r < mr; r++) {
                float keep = block_weights(s->scores + r * KEYS, n, a->scale, &s->max[i + r],
                                           s->total[i + r]);
                for (int c = 0; keep != 1 && c < d; c++)
                    sums[r * d + c] *= keep;
            }
            product_f32(mr, d, n, (const uint32_t *)(const void *)s->scores, KEYS, v, a->ldv, sums,
                        (size_t)d, true);
        }
    }
}

#ifdef BF16_PRODUCTS
/* units[i] = bf16 of (low[i], high[i]) for `mask`ed lanes of rows in memory; a NULL row is 0.  The
 * instruction takes denormals for 0, which differs by less than 2^-126. */
INLINE void store_pairs(uint32_t *units, const float *low, const float *high, __mmask16 mask) {
    static const uint16_t interleave[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                            21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                            11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
    __m512 l = low ? _mm512_maskz_loadu_ps(mask, low) : _mm512_setzero_ps();
    __m512 h = high ? _mm512_maskz_loadu_ps(mask, high) : _mm512_setzero_ps();
    __m512i both = (__m512i)_mm512_cvtne2ps_pbh(h, l);
    _mm512_storeu_si512(units, _mm512_permutexvar_epi16(_mm512_loadu_si512(interleave), both));
}

/* Blocks of K and V as pairs along d and along the keys; missing keys are 0. */
static void pack_block(const struct wi_attn *a, int key, int n, struct attn_scratch *s) {
    int d = a->d_head;
    for (int c = 0; c < d / 2; c++) {
        const float *row = a->kt + (size_t)(2 * c) * a->ldkt + key;
        for (int j = 0; j < KEYS; j += VLEN) {
            int left = n - j < 0 ? 0 : n - j < VLEN ? n - j : VLEN;
            store_pairs(s->k + c * KEYS + j, row + j, row + a->ldkt + j,
                        (__mmask16)((1u << left) - 1));
        }
    }
    for (int j = 0; j < KEYS; j += 2) {
        const float *row = a->v + (size_t)(key + j) * a->ldv;
        for (int c = 0; c < d; c += VLEN)
            store_pairs(s->v + j / 2 * d + c, j < n ? row + c : NULL,
                        j + 1 < n ? row + a->ldv + c : NULL, 0xffff);
    }
}

/* Products of bf16 pairs; d_head is a multiple of NR.  The total adds up the weights as they are
 * before rounding: the rounding errors of many weights are as often up as down. */
static void rows_bf16(const struct wi_attn *a, int q0, int m, struct attn_scratch *s) {
    int d = a->d_head;
    for (int i = 0; i < m; i++)
        SUFFIX(to_bf16)
    (a->q + (size_t)(q0 + i) * a->ldq, (uint16_t *)(void *)(s->q + i * d / 2), d);
    for (int key = 0; key < a->n_kv; key += KEYS) {
        int n = a->n_kv - key < KEYS ? a->n_kv - key : KEYS;
        pack_block(a, key, n, s);
        for (int i = 0; i < m; i += MR) {
            int mr = m - i < MR ? m - i : MR;
            float *sums = s->sums + i * d;
            product_pairs(mr, KEYS, d / 2, s->q + i * d / 2, (size_t)d / 2, s->k, KEYS, s->scores,
                          KEYS, false);
            for (int r = 0; r < mr; r++) {
                float *row = s->scores + r * KEYS;
                float keep = block_weights(row, n, a->scale, &s->max[i + r], s->total[i + r]);
                for (int c = 0; keep != 1 && c < d; c += VLEN)
                    store(sums + r * d + c, load(sums + r * d + c) * keep);
                for (int j = 0; j < KEYS; j += 2 * VLEN)
                    _mm512_storeu_si512(s->weights + r * KEYS / 2 + j / 2,
                                        (__m512i)_mm512_cvtne2ps_pbh((__m512)load(row + j + VLEN),
                                                                     (__m512)load(row + j)));
            }
            product_pairs(mr, d, KEYS / 2, s->weights, KEYS / 2, s->v, (size_t)d, sums, (size_t)d,
                          true);
        }
    }
}
#endif

static void SUFFIX(attention)(const struct wi_attn *a, int q0, int q1, float *scratch) {
    struct attn_scratch *s = (struct attn_scratch *)(void *)scratch;
    int d = a->d_head, m = q1 - q0;
    for (int i = 0; i < m; i++) {
        s->max[i] = -INFINITY;
        store(s->total[i], splat(0));
    }
    memset(s->sums, 0, (size_t)(m * d) * sizeof *s->sums);
#ifdef BF16_PRODUCTS
    /* Packing pays off when several queries share it. */
    if (a->n_q >= MR && d % NR == 0)
        rows_bf16(a, q0, m, s);
    else
#endif
        rows_f32(a, q0, m, s);
    for (int i = 0; i < m; i++) {
        float total = sum_lanes(load(s->total[i]));
        for (int c = 0; c < d; c++)
            a->out[(size_t)(q0 + i) * a->ldo + c] = s->sums[i * d + c] / total;
    }
}

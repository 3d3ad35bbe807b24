/* Matrix products of many rows, one part of kern_tmpl.c. */

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

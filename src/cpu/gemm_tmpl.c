/* Matrix products of many rows, one part of kern_tmpl.c.
 *
 * Operands are made of 32-bit units: an f32 value, or at levels with bf16 products two bf16 values
 * that follow each other in k.  A is row-major.  W is packed into panels [k units, NR], so that one
 * step along k reads NR neighbouring units of W and one unit of each of MR rows of A, and makes
 * MR x NR sums, which stay in registers over the whole of k. */

/* a[row][p] for rows that are `stride` bytes apart; `p` of three rows each, since x86 addresses
 * base, base + stride and base + 2 stride: without the barrier the compiler makes MR pointers,
 * which do not fit into the registers. */
#define KEEP_POINTER(p) __asm__ volatile("" : "+r"(p))
enum { PER_POINTER = 3 };
_Static_assert(MR % PER_POINTER == 0, "rows of the register block");

INLINE vf splat_unit(const uint8_t *p) {
    int32_t unit;
    memcpy(&unit, p, sizeof unit);
    vf x = (vf)(unit - (vi){0});
    KEEP_VECTOR(x); /* one load for all NV columns, not one each */
    return x;
}

INLINE vf multiply_add(vf acc, vf a, vf b) {
#ifdef BF16_PRODUCTS
    return (vf)_mm512_dpbf16_ps((__m512)acc, (__m512bh)a, (__m512bh)b);
#else
    return acc + a * b;
#endif
}

/* Units of W ahead of their use: more than the latency of the second-level cache, less than what a
 * panel of the shortest k in use holds. */
enum { PREFETCH = 8 };

/* out[mr, NR] = A[mr, k] W[k, NR], or out * keep[mr] + A W when `keep` is not NULL; k in units.  mr
 * and whether there is keep are constants after inlining. */
INLINE void tile(int mr, int k, const uint8_t *a, size_t stride, const uint32_t *w, float *out,
                 size_t ldo, const float *keep) {
    vf acc[MR][NV];
    const uint8_t *rows[MR / PER_POINTER];
    UNROLLED
    for (int i = 0; i < mr; i++)
        UNROLLED
    for (int v = 0; v < NV; v++)
        acc[i][v] = keep ? load(out + (size_t)i * ldo + v * VLEN) * keep[i] : splat(0);
    UNROLLED
    for (int g = 0; g < (mr + PER_POINTER - 1) / PER_POINTER; g++)
        rows[g] = a + (size_t)(g * PER_POINTER) * stride;
    for (int p = 0; p < k; p++, w += NR) {
        vf column[NV];
        __builtin_prefetch(w + PREFETCH * NR);
        if (NR > 16) /* two cache lines */
            __builtin_prefetch(w + PREFETCH * NR + 16);
        UNROLLED
        for (int v = 0; v < NV; v++)
            column[v] = load((const float *)(const void *)(w + v * VLEN));
        UNROLLED
        for (int g = 0; g < (mr + PER_POINTER - 1) / PER_POINTER; g++) {
            KEEP_POINTER(rows[g]);
            UNROLLED
            for (int r = 0; r < PER_POINTER; r++) {
                if (g * PER_POINTER + r >= mr)
                    break;
                vf x = splat_unit(rows[g] + (size_t)r * stride);
                UNROLLED
                for (int v = 0; v < NV; v++)
                    acc[g * PER_POINTER + r][v] =
                        multiply_add(acc[g * PER_POINTER + r][v], x, column[v]);
            }
            rows[g] += 4;
        }
    }
    UNROLLED
    for (int i = 0; i < mr; i++)
        UNROLLED
    for (int v = 0; v < NV; v++)
        store(out + (size_t)i * ldo + v * VLEN, acc[i][v]);
}

#define TILE_PARAMS                                                                                \
    int k, const uint8_t *a, size_t stride, const uint32_t *w, float *out, size_t ldo
static __attribute__((noinline)) void SUFFIX(tile_full)(TILE_PARAMS) {
    tile(MR, k, a, stride, w, out, ldo, NULL);
}
static __attribute__((noinline)) void SUFFIX(tile_one)(TILE_PARAMS) {
    tile(1, k, a, stride, w, out, ldo, NULL);
}
static __attribute__((noinline)) void SUFFIX(tile_add)(TILE_PARAMS, const float *keep) {
    tile(MR, k, a, stride, w, out, ldo, keep);
}

/* Bias, scale, activation, residual: block[mr, NR] -> C[i.., j..].  GELU that is rounded to bf16
 * anyway is computed with fewer terms.  `gelu`, `values` and whether there is a residual are
 * constants after inlining. */
INLINE void finish_rows(const struct wi_product *p, const float *block, int i, int mr, int j,
                        bool gelu, bool values, const float *residual) {
    vf bias[NV];
    for (int v = 0; v < NV; v++)
        bias[v] = p->bias ? load(p->bias + j + v * VLEN) : splat(0);
    for (int r = 0; r < mr; r++, block += NR) {
        size_t at = (size_t)(i + r) * p->ldc + (size_t)j;
        UNROLLED
        for (int v = 0; v < NV; v++) {
            vf x = (load(block + v * VLEN) + bias[v]) * p->scale;
            if (gelu)
                x = values ? GELU_VALUES(x) : gelu_v(x);
            if (residual)
                x += load(residual + (size_t)(i + r) * p->ldr + (size_t)(j + v * VLEN));
            if (values)
                store_values((value *)p->c + at + v * VLEN, x);
            else
                store((float *)p->c + at + v * VLEN, x);
        }
    }
}

static void finish_block(const struct wi_product *p, const float *block, int i, int mr, int j) {
    bool gelu = p->act == WI_GELU;
    if (gelu && p->values && !p->residual)
        finish_rows(p, block, i, mr, j, true, true, NULL);
    else if (!gelu && p->values && !p->residual)
        finish_rows(p, block, i, mr, j, false, true, NULL);
    else if (!gelu && !p->values && p->residual)
        finish_rows(p, block, i, mr, j, false, false, p->residual);
    else /* not in the encoder's layers */
        finish_rows(p, block, i, mr, j, gelu, p->values, p->residual);
}

/* The same for the last columns, fewer than NR: row by row on copies of what may end there. */
static void finish_ragged(const struct wi_product *p, const float *block, int i, int mr, int j) {
    float bias[NR] = {0}, residual[NR] = {0}, c[NR];
    size_t cols = (size_t)(p->n - j);
    struct wi_product row = *p;
    if (p->bias)
        memcpy(bias, p->bias + j, cols * sizeof *bias);
    row.bias = bias;
    row.residual = p->residual ? residual : NULL;
    row.c = c;
    for (int r = 0; r < mr; r++) {
        size_t at = (size_t)(i + r) * p->ldc + (size_t)j;
        if (p->residual)
            memcpy(residual, p->residual + (size_t)(i + r) * p->ldr + j, cols * sizeof *residual);
        finish_block(&row, block + r * NR, 0, 1, 0);
        if (p->values)
            memcpy((value *)p->c + at, c, cols * sizeof(value));
        else
            memcpy((float *)p->c + at, c, cols * sizeof(float));
    }
}

/* C and residual of a block are fetched while its sums are made. */
INLINE void prefetch_block(const struct wi_product *p, int i, int mr, int j) {
    size_t size = p->values ? sizeof(value) : sizeof(float);
    const uint8_t *c = (const uint8_t *)p->c + ((size_t)i * p->ldc + (size_t)j) * size;
    for (int r = 0; r < mr; r++, c += p->ldc * size)
        for (size_t at = 0; at < NR * size; at += 64)
            __builtin_prefetch(c + at, 1);
    if (!p->residual || p->residual == p->c)
        return;
    const float *residual = p->residual + (size_t)i * p->ldr + (size_t)j;
    for (int r = 0; r < mr; r++, residual += p->ldr)
        for (int at = 0; at < NR; at += 16)
            __builtin_prefetch(residual + at);
}

static void SUFFIX(gemm)(const struct wi_product *p, int i0, int i1, int j0, int j1) {
    float block[MR * NR] __attribute__((aligned(64)));
    int k = (p->k + UNIT_VALUES - 1) / UNIT_VALUES;
    size_t stride = p->lda * sizeof(value);
    for (int j = j0; j < j1; j += NR) {
        const uint32_t *w = p->w + (size_t)j * (size_t)k;
        for (int i = i0, mr; i < i1; i += mr) {
            mr = i1 - i >= MR ? MR : 1;
            const uint8_t *a = (const uint8_t *)p->a + (size_t)i * stride;
            prefetch_block(p, i, mr, j);
            (mr == MR ? SUFFIX(tile_full) : SUFFIX(tile_one))(k, a, stride, w, block, NR);
            (p->n - j >= NR ? finish_block : finish_ragged)(p, block, i, mr, j);
        }
    }
}

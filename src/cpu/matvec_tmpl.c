/* Products of few rows and attention over cached rows: what a decoder step is made of.  One part of
 * kern_tmpl.c. */

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

#ifndef WIDEN
#define WIDEN(x) __builtin_convertvector(x, vu)
#endif

/* VLEN values of a cache, of which `part` are there when it is not 0. */
INLINE vf load_cached(bool bf16, const void *row, int at, int part) {
    if (!bf16)
        return part ? load_part((const float *)row + at, part) : load((const float *)row + at);
    vs half = {0};
    memcpy(&half, (const uint16_t *)row + at, part ? (size_t)part * sizeof(uint16_t) : sizeof half);
    return (vf)(WIDEN(half) << 16);
}

INLINE const void *cached_row(const struct wi_attn_rows *a, bool bf16, const void *cache, int j) {
    size_t row = (size_t)(a->rows ? a->rows[j] : j) * a->ld;
    return bf16 ? (const void *)((const uint16_t *)cache + row) : (const void *)((const float *)cache + row);
}

/* bf16 and d, the size of a head, are constants after inlining where it matters. */
INLINE void attend_cached(const struct wi_attn_rows *a, bool bf16, int d, float *scratch) {
    int whole = d / VLEN * VLEN;
    vf out[WI_HEAD_MAX / VLEN + 1], q[WI_HEAD_MAX / VLEN + 1];
    for (int c = 0; c < d; c += VLEN) {
        q[c / VLEN] = c < whole ? load(a->q + c) : load_part(a->q + c, d - c);
        out[c / VLEN] = splat(0);
    }
    for (int j = 0; j < a->n_kv; j++) {
        const void *k = cached_row(a, bf16, a->k, j);
        vf acc = splat(0);
        for (int c = 0; c < d; c += VLEN)
            acc += q[c / VLEN] * load_cached(bf16, k, c, c < whole ? 0 : d - c);
        scratch[j] = a->scale * sum_lanes(acc);
    }
    float scale = 1.0f / exp_row(scratch, a->n_kv, row_max(scratch, a->n_kv));
    for (int j = 0; j < a->n_kv; j++) {
        const void *v = cached_row(a, bf16, a->v, j);
        float p = scratch[j] * scale;
        for (int c = 0; c < d; c += VLEN)
            out[c / VLEN] += load_cached(bf16, v, c, c < whole ? 0 : d - c) * p;
    }
    for (int c = 0; c < d; c += VLEN)
        store_part(a->out + c, out[c / VLEN], c < whole ? VLEN : d - c);
}

static void SUFFIX(attend_rows)(const struct wi_attn_rows *a, float *scratch) {
    if (a->bf16 && a->d_head == 64) /* of every published model */
        attend_cached(a, true, 64, scratch);
    else if (a->bf16)
        attend_cached(a, true, a->d_head, scratch);
    else
        attend_cached(a, false, a->d_head, scratch);
}

/* ---------------------------------------------------------------- the choice of a token */

static float SUFFIX(max)(const float *x, int n) {
    return row_max(x, n);
}

static double SUFFIX(sum_exp)(const float *x, int n, float max) {
    enum { RUN = 32 * VLEN }; /* values that are added up in f32: 32 to a lane */
    double total = 0;
    for (int i = 0; i < n;) {
        int end = n - i < RUN ? n : i + RUN;
        vf sum = splat(0);
        for (; i + VLEN <= end; i += VLEN)
            sum += exp_v(load(x + i) - max);
        if (i < end) {
            vf part = exp_v(load_part(x + i, end - i) - max);
            for (int lane = 0; lane < end - i; lane++)
                total += part[lane];
            i = end;
        }
        total += sum_lanes(sum);
    }
    return total;
}

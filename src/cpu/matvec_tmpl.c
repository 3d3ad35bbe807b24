/* Products of few rows and attention over cached rows: what a decoder step is made of.  One part of
 * kern_tmpl.c. */

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

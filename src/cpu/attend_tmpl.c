/* Attention of many queries without a stored score matrix, one part of kern_tmpl.c.  MR queries go
 * through the keys in blocks; for each are kept: the largest score so far, the sum of
 * exp(score - largest), and the same sum weighted with the values.  A larger score in a later block
 * scales the sums down. */

enum {
    ATTEND_KEYS = 256,            /* keys of a block: its scores stay in the first-level cache */
    SCORES_LD = ATTEND_KEYS + 16, /* rows that do not compete for one set of the cache */
    SUMS_LD = (WI_HEAD_MAX + NR - 1) / NR * NR,
};

struct attend_scratch {
    value q[MR * WI_HEAD_MAX];     /* [MR, d], an odd d padded */
    float scores[MR * SCORES_LD];  /* [MR, keys] */
    value weights[MR * SCORES_LD]; /* [MR, keys] */
    float sums[MR * SUMS_LD];      /* [MR, d]: not yet divided by the total */
    float total[MR][VLEN];         /* per lane: the reduction waits for the end */
    float max[MR], keep[MR];       /* largest score, scaled; factor of the sums so far */
};
_Static_assert(sizeof(struct attend_scratch) <= WI_ATTEND_SCRATCH * sizeof(float), "scratch");

/* The largest of a row's n scores; those up to the next multiple of NR become -INFINITY. */
INLINE float largest_score(float *s, int n) {
    for (int j = n; j % NR; j++)
        s[j] = -INFINITY;
    vf m[NV];
    for (int v = 0; v < NV; v++)
        m[v] = load(s + v * VLEN);
    for (int j = NR; j < n; j += NR)
        for (int v = 0; v < NV; v++) {
            vf x = load(s + j + v * VLEN);
            m[v] = max_v(x, m[v]);
        }
    for (int v = 1; v < NV; v++)
        m[0] = max_v(m[v], m[0]);
    return max_lanes(m[0]);
}

/* NR values of the products' type. */
INLINE void store_weights(value *p, const vf *x) {
#ifdef BF16_PRODUCTS
    _Static_assert(NV == 2, "one instruction rounds two vectors");
    _mm512_storeu_si512(p, (__m512i)_mm512_cvtne2ps_pbh((__m512)x[1], (__m512)x[0]));
#else
    for (int v = 0; v < NV; v++)
        store(p + v * VLEN, x[v]);
#endif
}

/* weights[n] = exp(scale s - max), whose sum is added to the total. */
INLINE void weigh(const float *s, int n, float scale, float max, float keep, float *total,
                  value *weights) {
    vf sum[NV] = {load(total) * keep};
    for (int j = 0; j < n; j += NR) {
        vf e[NV];
        UNROLLED
        for (int v = 0; v < NV; v++) {
            e[v] = EXP_WEIGHT(load(s + j + v * VLEN), scale, max);
            sum[v] += e[v];
        }
        store_weights(weights + j, e);
    }
    for (int v = 1; v < NV; v++)
        sum[0] += sum[v];
    store(total, sum[0]);
}

/* One block of n keys: scores, weights, weighted values. */
static void attend_block(const struct wi_attend *a, int key, int n, struct attend_scratch *s) {
    int d_units = (a->d_head + UNIT_VALUES - 1) / UNIT_VALUES;
    int key_units = (a->n_kv + UNIT_VALUES - 1) / UNIT_VALUES;
    for (int j = 0; j < n; j += NR)
        SUFFIX(tile_full)
    (d_units, (const uint8_t *)s->q, WI_HEAD_MAX * sizeof(value),
     a->k + (size_t)(key + j) * (size_t)d_units, s->scores + j, SCORES_LD);
    for (int i = 0; i < MR; i++) {
        float max = largest_score(s->scores + i * SCORES_LD, n) * a->scale;
        s->keep[i] = 1;
        if (!(max <= s->max[i])) { /* NaN becomes the maximum */
            s->keep[i] = exp_v(splat(s->max[i] - max))[0];
            s->max[i] = max;
        }
    }
    for (int i = 0; i < MR; i++)
        weigh(s->scores + i * SCORES_LD, n, a->scale, s->max[i], s->keep[i], s->total[i],
              s->weights + i * SCORES_LD);
    for (int c = 0; c < a->d_head; c += NR)
        SUFFIX(tile_add)
    ((n + UNIT_VALUES - 1) / UNIT_VALUES, (const uint8_t *)s->weights, SCORES_LD * sizeof(value),
     a->v + (size_t)c * (size_t)key_units + (size_t)(key / UNIT_VALUES) * NR, s->sums + c, SUMS_LD,
     s->keep);
}

/* Queries q0..q0 + m - 1, m <= MR; the rows beyond are 0 and go nowhere. */
static void attend_rows_of_tile(const struct wi_attend *a, int q0, int m,
                                struct attend_scratch *s) {
    memset(s->q, 0, sizeof s->q);
    memset(s->sums, 0, sizeof s->sums);
    memset(s->total, 0, sizeof s->total);
    for (int i = 0; i < MR; i++)
        s->max[i] = -INFINITY;
    for (int i = 0; i < m; i++)
        memcpy(s->q + i * WI_HEAD_MAX, (const value *)a->q + (size_t)(q0 + i) * a->ldq,
               (size_t)a->d_head * sizeof *s->q);
    for (int key = 0; key < a->n_kv; key += ATTEND_KEYS)
        attend_block(a, key, a->n_kv - key < ATTEND_KEYS ? a->n_kv - key : ATTEND_KEYS, s);
    for (int i = 0; i < m; i++) {
        float scale = 1 / sum_lanes(load(s->total[i])), *sums = s->sums + i * SUMS_LD;
        for (int c = 0; c < a->d_head; c += VLEN)
            store(sums + c, load(sums + c) * scale);
        SUFFIX(to_values)(sums, (value *)a->out + (size_t)(q0 + i) * a->ldo, a->d_head);
    }
}

static void SUFFIX(attend)(const struct wi_attend *a, int q0, int q1, float *scratch) {
    struct attend_scratch *s = (struct attend_scratch *)(void *)scratch;
    for (int q = q0; q < q1; q += MR)
        attend_rows_of_tile(a, q, q1 - q < MR ? q1 - q : MR, s);
}

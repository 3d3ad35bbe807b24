/* Packed products of few rows; one part of kern_tmpl.c.  Lanes are rows of W, so that nothing is summed
 * across a register.  Sums of int8 x int16 are exact in 32 bits over a block: 32 * 128 * 32767 < 2^28. */

enum {
    PANEL_VECTORS = WI_PANEL_ROWS / VLEN,
    /* Rows of A that share a load of W, as the registers allow. */
    PANEL_ROWS_AT_ONCE = VLEN == 16 ? 8 : VLEN == 8 ? 5 : 2,
    PANEL_AHEAD = 2048, /* bytes that are prefetched: the best of 1, 2 and 4 KB */
};

typedef int16_t vpairs __attribute__((vector_size(4 * VLEN)));

#ifndef LOAD_PAIRS
/* 2 VLEN bytes as int16. */
INLINE vpairs load_pairs(const int8_t *p) {
    typedef int8_t bytes __attribute__((vector_size(2 * VLEN)));
    bytes x;
    memcpy(&x, p, sizeof x);
    return __builtin_convertvector(x, vpairs);
}
#define LOAD_PAIRS(p) load_pairs(p)
#endif

#ifndef DOT_PAIRS
/* acc + the sum of each pair's products. */
INLINE vi dot_pairs(vi acc, vpairs a, vpairs b) {
    vi low = ((vi)a << 16 >> 16) * ((vi)b << 16 >> 16), high = ((vi)a >> 16) * ((vi)b >> 16);
    return acc + low + high;
}
#define DOT_PAIRS(acc, a, b) dot_pairs(acc, a, b)
#endif

/* One pair of A in all lanes. */
INLINE vpairs splat_pair(const int16_t *p) {
    int32_t pair;
    memcpy(&pair, p, sizeof pair);
    return (vpairs)(pair - (vi){0});
}

/* sums[mr] += a[mr, 32] times a block; mr is constant after inlining. */
INLINE void block_int8(int mr, const uint8_t *data, const int16_t *a, size_t lda, vf (*sums)[PANEL_VECTORS]) {
    const union wi_panel_block *block = (const void *)data;
    vi acc[PANEL_ROWS_AT_ONCE][PANEL_VECTORS];
    UNROLLED
    for (int i = 0; i < mr; i++)
        UNROLLED
    for (int v = 0; v < PANEL_VECTORS; v++)
        acc[i][v] = (vi){0};
    UNROLLED
    for (int p = 0; p < WI_PANEL_BLOCK / 2; p++) {
        vpairs w[PANEL_VECTORS];
        UNROLLED
        for (int v = 0; v < PANEL_VECTORS; v++)
            w[v] = LOAD_PAIRS(block->int8.q[p][v * VLEN]);
        UNROLLED
        for (int i = 0; i < mr; i++) {
            vpairs x = splat_pair(a + (size_t)i * lda + 2 * p);
            UNROLLED
            for (int v = 0; v < PANEL_VECTORS; v++) {
                acc[i][v] = DOT_PAIRS(acc[i][v], w[v], x);
                KEEP_VECTOR(acc[i][v]); /* or all products come first and their sums become a tree */
            }
        }
    }
    UNROLLED
    for (int v = 0; v < PANEL_VECTORS; v++) {
        vf scale = LOAD_F16((const uint8_t *)(block->int8.scale + v * VLEN));
        UNROLLED
        for (int i = 0; i < mr; i++)
            sums[i][v] += __builtin_convertvector(acc[i][v], vf) * scale;
    }
}

#ifdef DOT_BYTES
/* The same with four columns at a time and a block of int8 for each row; lda in blocks. */
INLINE void block_int8x4(int mr, const uint8_t *data, const struct wi_panel_bytes *a, size_t lda,
                         vf (*sums)[PANEL_VECTORS]) {
    const union wi_panel_block *block = (const void *)data;
    vi acc[PANEL_ROWS_AT_ONCE][PANEL_VECTORS];
    UNROLLED
    for (int i = 0; i < mr; i++)
        UNROLLED
    for (int v = 0; v < PANEL_VECTORS; v++)
        acc[i][v] = a[(size_t)i * lda].offset - (vi){0};
    UNROLLED
    for (int p = 0; p < WI_PANEL_BLOCK / 4; p++) {
        vi w[PANEL_VECTORS];
        UNROLLED
        for (int v = 0; v < PANEL_VECTORS; v++)
            w[v] = (vi)load((const float *)(const void *)block->int8x4.q[p][v * VLEN]);
        UNROLLED
        for (int i = 0; i < mr; i++) {
            int32_t four;
            memcpy(&four, a[(size_t)i * lda].q + 4 * p, sizeof four);
            UNROLLED
            for (int v = 0; v < PANEL_VECTORS; v++) {
                acc[i][v] = DOT_BYTES(acc[i][v], w[v], four - (vi){0});
                KEEP_VECTOR(acc[i][v]);
            }
        }
    }
    UNROLLED
    for (int v = 0; v < PANEL_VECTORS; v++) {
        vf scale = LOAD_F16((const uint8_t *)(block->int8x4.scale + v * VLEN));
        UNROLLED
        for (int i = 0; i < mr; i++)
            sums[i][v] += __builtin_convertvector(acc[i][v], vf) * (scale * a[(size_t)i * lda].scale);
    }
}
#endif

INLINE void block_bf16(int mr, const uint8_t *data, const float *a, size_t lda, vf (*sums)[PANEL_VECTORS]) {
    for (int p = 0; p < WI_PANEL_BLOCK; p += 2, data += WI_PANEL_ROWS * 4)
        UNROLLED
    for (int v = 0; v < PANEL_VECTORS; v++) {
        vu pairs = (vu)load((const float *)(const void *)(data + 4 * v * VLEN));
        vf low = (vf)(pairs << 16), high = (vf)(pairs & 0xffff0000);
        UNROLLED
        for (int i = 0; i < mr; i++) {
            sums[i][v] += low * a[(size_t)i * lda + p];
            sums[i][v] += high * a[(size_t)i * lda + p + 1];
        }
    }
}

INLINE void block_f32(int mr, const uint8_t *data, const float *a, size_t lda, vf (*sums)[PANEL_VECTORS]) {
    for (int p = 0; p < WI_PANEL_BLOCK; p++, data += WI_PANEL_ROWS * 4)
        UNROLLED
    for (int v = 0; v < PANEL_VECTORS; v++) {
        vf w = load((const float *)(const void *)(data + 4 * v * VLEN));
        UNROLLED
        for (int i = 0; i < mr; i++)
            sums[i][v] += w * a[(size_t)i * lda + p];
    }
}

/* out[mr, 16] = a[mr, k] times one panel. */
INLINE void panel_rows(enum wi_panel_type type, int mr, const struct wi_panel_product *g, int i0,
                       const uint8_t *data, float (*out)[WI_PANEL_ROWS]) {
    size_t row = (size_t)i0 * g->lda;
    vf sums[PANEL_ROWS_AT_ONCE][PANEL_VECTORS];
    UNROLLED
    for (int i = 0; i < mr; i++)
        UNROLLED
    for (int v = 0; v < PANEL_VECTORS; v++)
        sums[i][v] = splat(0);
    for (int p = 0; p < g->w->k; p += WI_PANEL_BLOCK) {
        /* With several rows the loads are too far apart for the next ones to be under way already. */
        for (int line = 0; mr > 1 && line < 9; line++)
            __builtin_prefetch(data + PANEL_AHEAD + 64 * line);
        if (type == WI_PANEL_INT8)
            block_int8(mr, data, g->a16 + row + p, g->lda, sums);
#ifdef DOT_BYTES
        else if (type == WI_PANEL_INT8X4)
            block_int8x4(mr, data, g->a8 + (row + (size_t)p) / WI_PANEL_BLOCK, g->lda / WI_PANEL_BLOCK, sums);
#endif
        else if (type == WI_PANEL_BF16)
            block_bf16(mr, data, g->a + row + p, g->lda, sums);
        else
            block_f32(mr, data, g->a + row + p, g->lda, sums);
        data += wi_panel_block_bytes(type);
    }
    UNROLLED
    for (int i = 0; i < mr; i++) {
        float scale = type == WI_PANEL_INT8     ? g->a_scale[i0 + i] * WI_PANEL_SCALE_UNIT
                      : type == WI_PANEL_INT8X4 ? WI_PANEL_SCALE_UNIT
                                                : 1;
        UNROLLED
        for (int v = 0; v < PANEL_VECTORS; v++)
            store(out[i] + v * VLEN, sums[i][v] * scale);
    }
}

/* Bias, scale, activation, residual of one row of a panel. */
INLINE void finish_row(const struct wi_panel_product *g, const float *x, const float *bias,
                       const float *residual, float *c) {
    for (int v = 0; v < WI_PANEL_ROWS; v += VLEN) {
        vf y = load(x + v);
        if (bias)
            y += load(bias + v);
        y *= g->scale;
        if (g->gelu)
            y = gelu_v(y);
        store(c + v, residual ? y + load(residual + v) : y);
    }
}

/* out[mr, 16] -> c[i0.., j0..], `cols` of them. */
static void finish_panel(const struct wi_panel_product *g, float (*out)[WI_PANEL_ROWS], int i0, int mr,
                         int j0, int cols) {
    float bias[WI_PANEL_ROWS] = {0}, rest[WI_PANEL_ROWS] = {0};
    if (g->bias && cols < WI_PANEL_ROWS)
        memcpy(bias, g->bias + j0, (size_t)cols * sizeof *bias);
    for (int i = 0; i < mr; i++) {
        float *c = g->c + (size_t)(i0 + i) * g->ldc + j0;
        const float *residual = g->residual ? g->residual + (size_t)(i0 + i) * g->ldr + j0 : NULL;
        if (cols == WI_PANEL_ROWS) {
            finish_row(g, out[i], g->bias ? g->bias + j0 : NULL, residual, c);
            continue;
        }
        if (residual)
            memcpy(rest, residual, (size_t)cols * sizeof *rest);
        finish_row(g, out[i], bias, rest, out[i]);
        memcpy(c, out[i], (size_t)cols * sizeof *c);
    }
}

#define PANEL_CASE(mr)                                                                             \
    case mr: panel_rows(type, mr, g, i0, data, out); break;

/* All rows of A times one panel. */
INLINE void one_panel(enum wi_panel_type type, const struct wi_panel_product *g, int panel) {
    const uint8_t *data = g->w->data + (size_t)panel * g->w->panel_bytes;
    int j0 = panel * WI_PANEL_ROWS, cols = g->w->n - j0 < WI_PANEL_ROWS ? g->w->n - j0 : WI_PANEL_ROWS;
    float out[PANEL_ROWS_AT_ONCE][WI_PANEL_ROWS];
    for (int i0 = 0; i0 < g->m; i0 += PANEL_ROWS_AT_ONCE) {
        int mr = g->m - i0 < PANEL_ROWS_AT_ONCE ? g->m - i0 : PANEL_ROWS_AT_ONCE;
        switch (mr) {
            PANEL_CASE(1)
            PANEL_CASE(2)
#if VLEN >= 8
            PANEL_CASE(3)
            PANEL_CASE(4)
            PANEL_CASE(5)
#endif
#if VLEN == 16
            PANEL_CASE(6)
            PANEL_CASE(7)
            PANEL_CASE(8)
#endif
        }
        finish_panel(g, out, i0, mr, j0, cols);
    }
}

static void SUFFIX(panel_product)(const struct wi_panel_product *g, int p0, int p1) {
    for (int panel = p0; panel < p1; panel++)
        if (g->w->type == WI_PANEL_INT8)
            one_panel(WI_PANEL_INT8, g, panel);
#ifdef DOT_BYTES
        else if (g->w->type == WI_PANEL_INT8X4)
            one_panel(WI_PANEL_INT8X4, g, panel);
#endif
        else if (g->w->type == WI_PANEL_BF16)
            one_panel(WI_PANEL_BF16, g, panel);
        else
            one_panel(WI_PANEL_F32, g, panel);
}

/* ---------------------------------------------------------------- packing */

/* x[32, 16] from columns p.. of up to 16 rows: transposed, with 0 beyond the matrix. */
static void gather_block(const struct wi_panel_source *s, int n, int p, int k,
                         float x[WI_PANEL_BLOCK][WI_PANEL_ROWS]) {
    int cols = k - p < WI_PANEL_BLOCK ? k - p : WI_PANEL_BLOCK;
    memset(x, 0, sizeof(float[WI_PANEL_BLOCK][WI_PANEL_ROWS]));
    for (int c = 0; s->transposed && c < cols; c++)
        copy_row(x[c], s->data + (size_t)(p + c) * s->stride, n, WI_PANEL_ROWS);
    for (int r = 0; !s->transposed && r < n; r++) {
        float row[WI_PANEL_BLOCK];
        size_t offset = (size_t)p / (size_t)wi_dtype_block(s->type) * wi_dtype_block_bytes(s->type);
        SUFFIX(dequant)(s->type, s->data + (size_t)r * s->stride + offset, row, cols);
        for (int c = 0; c < cols; c++)
            x[c][r] = row[c];
    }
}

/* An integer in the low bits of a float, by rounding. */
#define ROUNDER 0x1.8p23f

/* x to the nearest integer that fits 8 bits, plus ROUNDER. */
INLINE vf round_int8(vf x) {
    return blend(x > 127.0f, splat(127), blend(x < -128.0f, splat(-128), x)) + ROUNDER;
}

INLINE vf column_max(float x[WI_PANEL_BLOCK][WI_PANEL_ROWS], int v) {
    vi largest = {0};
    for (int c = 0; c < WI_PANEL_BLOCK; c++) {
        vi size = (vi)load(x[c] + v) & 0x7fffffff; /* ordered as their bits; NaN is largest */
        largest = (vi)blend(size > largest, (vf)size, (vf)largest);
    }
    return (vf)largest;
}

/* The scale with the least squared error of a few: a slightly larger one costs less than the luck of 32
 * roundings may bring, a tenth of the error in all.  Those tried at once hide each other's latency. */
INLINE vf best_scale(float x[WI_PANEL_BLOCK][WI_PANEL_ROWS], int v) {
    enum { TRIES = 8, AT_ONCE = 4 };
    vf max = column_max(x, v), best = max / 127.0f, least = splat(INFINITY), per_unit = 1.0f / max;
    for (int t = 0; t < TRIES; t += AT_ONCE) {
        vf scale[AT_ONCE], inverse[AT_ONCE], error[AT_ONCE];
        for (int i = 0; i < AT_ONCE; i++) {
            scale[i] = max * (1.0f / (float)(127 - t - i));
            inverse[i] = per_unit * (float)(127 - t - i);
            error[i] = splat(0);
        }
        for (int c = 0; c < WI_PANEL_BLOCK; c++) {
            vf w = load(x[c] + v);
            UNROLLED
            for (int i = 0; i < AT_ONCE; i++) { /* |w| <= 127 scales, so that none is out of range */
                vf rest = w - ((w * inverse[i] + ROUNDER) - ROUNDER) * scale[i];
                error[i] += rest * rest;
            }
        }
        for (int i = 0; i < AT_ONCE; i++) {
            best = blend(error[i] < least, scale[i], best);
            least = blend(error[i] < least, error[i], least);
        }
    }
    return best;
}

/* Scales of a block's rows.  Where a format has integers with one scale it is that, so that nothing is
 * rounded again. */
static void block_scales(const struct wi_panel_source *s, int n, int p,
                         float x[WI_PANEL_BLOCK][WI_PANEL_ROWS], float scale[WI_PANEL_ROWS]) {
    if (s->type == WI_Q4_0 || s->type == WI_Q5_0 || s->type == WI_Q8_0) {
        size_t offset = (size_t)(p / 32) * wi_dtype_block_bytes(s->type);
        for (int r = 0; r < WI_PANEL_ROWS; r++)
            scale[r] = r < n ? f16_at(s->data + (size_t)r * s->stride + offset) : 0;
    } else {
        for (int v = 0; v < WI_PANEL_ROWS; v += VLEN)
            store(scale + v, best_scale(x, v));
    }
}

static void store_pairs(float x[WI_PANEL_BLOCK][WI_PANEL_ROWS], const float inverse[WI_PANEL_ROWS],
                        union wi_panel_block *block) {
    for (int c = 0; c < WI_PANEL_BLOCK; c += 2)
        for (int v = 0; v < WI_PANEL_ROWS; v += VLEN) {
            vu low = (vu)round_int8(load(x[c] + v) * load(inverse + v));
            vu high = (vu)round_int8(load(x[c + 1] + v) * load(inverse + v));
            vs bytes = __builtin_convertvector((low & 255) | high << 8, vs);
            memcpy(block->int8.q[c / 2][v], &bytes, sizeof bytes);
        }
}

static void store_fours(float x[WI_PANEL_BLOCK][WI_PANEL_ROWS], const float inverse[WI_PANEL_ROWS],
                        union wi_panel_block *block) {
    for (int c = 0; c < WI_PANEL_BLOCK; c += 4)
        for (int v = 0; v < WI_PANEL_ROWS; v += VLEN) {
            vu four = {0};
            for (int i = 0; i < 4; i++)
                four |= (((vu)round_int8(load(x[c + i] + v) * load(inverse + v)) + 128) & 255) << 8 * i;
            memcpy(block->int8x4.q[c / 4][v], &four, sizeof four);
        }
}

static void quantise_block(bool fours, const struct wi_panel_source *s, int n, int p,
                           float x[WI_PANEL_BLOCK][WI_PANEL_ROWS], union wi_panel_block *block) {
    float scale[WI_PANEL_ROWS], inverse[WI_PANEL_ROWS];
    block_scales(s, n, p, x, scale);
    for (int r = 0; r < WI_PANEL_ROWS; r++) {
        uint16_t half = block->int8.scale[r] = wi_f32_to_f16(scale[r] * (1 / WI_PANEL_SCALE_UNIT));
        float stored = wi_f16_to_f32(half) * WI_PANEL_SCALE_UNIT;
        inverse[r] = stored != 0 ? 1 / stored : 0;
    }
    if (fours)
        store_fours(x, inverse, block);
    else
        store_pairs(x, inverse, block);
}

static void round_block(float x[WI_PANEL_BLOCK][WI_PANEL_ROWS], union wi_panel_block *block) {
    for (int c = 0; c < WI_PANEL_BLOCK; c += 2)
        for (int v = 0; v < WI_PANEL_ROWS; v += VLEN) {
            vu low = __builtin_convertvector(bf16_v(load(x[c] + v)), vu);
            vu high = __builtin_convertvector(bf16_v(load(x[c + 1] + v)), vu);
            vu pair = low | high << 16;
            memcpy(block->bf16[c / 2][v], &pair, sizeof pair);
        }
}

static void SUFFIX(panel_pack)(const struct wi_panels *w, int panel, const struct wi_panel_source *s,
                               int n) {
    uint8_t *data = w->data + (size_t)panel * w->panel_bytes;
    float x[WI_PANEL_BLOCK][WI_PANEL_ROWS];
    for (int p = 0; p < w->k; p += WI_PANEL_BLOCK) {
        union wi_panel_block *block = (void *)data;
        gather_block(s, n, p, w->k, x);
        if (w->type == WI_PANEL_BF16)
            round_block(x, block);
        else if (w->type == WI_PANEL_F32)
            memcpy(block->f32, x, sizeof block->f32);
        else
            quantise_block(w->type == WI_PANEL_INT8X4, s, n, p, x, block);
        data += wi_panel_block_bytes(w->type);
    }
}

/* The largest |x|; infinite, too, if one is NaN. */
INLINE float largest_size(const float *x, int n) {
    vi largest = {0};
    for (int i = 0; i < n; i += VLEN) {
        vi size = (vi)(i + VLEN <= n ? load(x + i) : load_part(x + i, n - i)) & 0x7fffffff;
        largest = (vi)blend(size > largest, (vf)size, (vf)largest);
    }
    return max_lanes(blend(largest > 0x7f800000, splat(INFINITY), (vf)largest));
}

/* The scale of integers up to `most` in size for values up to `top`; NaN or infinite if that is. */
INLINE float integer_scale(float top, float most, float *inverse) {
    bool usable = top >= 0x1p-100f && top < INFINITY; /* the inverse of less would overflow */
    *inverse = usable ? most / top : 0;
    return usable ? top / most : top < 0x1p-100f ? 0 : top;
}

/* q[i] = x[i] / scale, rounded, |q| <= 32767; returns the scale, NaN or infinite if an x is. */
static float SUFFIX(to_int16)(const float *x, int16_t *q, int n) {
    float inverse, scale = integer_scale(largest_size(x, n), 32767, &inverse);
    int i = 0;
    for (; i + VLEN <= n; i += VLEN) {
        vs rounded = __builtin_convertvector((vu)(load(x + i) * inverse + ROUNDER), vs);
        memcpy(q + i, &rounded, sizeof rounded);
    }
    if (i < n) {
        vs rounded = __builtin_convertvector((vu)(load_part(x + i, n - i) * inverse + ROUNDER), vs);
        memcpy(q + i, &rounded, (size_t)(n - i) * sizeof *q);
    }
    return scale;
}

#ifndef LOW_BYTES
#define LOW_BYTES(x) __builtin_convertvector(x, vb)
#endif

/* 32 values; a scale that is not finite makes all products with them NaN. */
INLINE void block_to_int8(const float x[WI_PANEL_BLOCK], struct wi_panel_bytes *block) {
    float inverse;
    vf sum = splat(0);
    block->scale = integer_scale(largest_size(x, WI_PANEL_BLOCK), 127, &inverse);
    for (int i = 0; i < WI_PANEL_BLOCK; i += VLEN) {
        vf rounded = load(x + i) * inverse + ROUNDER;
        vb q = LOW_BYTES((vu)rounded);
        memcpy(block->q + i, &q, sizeof q);
        sum += rounded - ROUNDER;
    }
    block->offset = inverse != 0 ? -128 * (int32_t)sum_lanes(sum) : 0; /* the sum may be NaN */
}

static void SUFFIX(to_int8)(const float *x, struct wi_panel_bytes *blocks, int n) {
    for (; n >= WI_PANEL_BLOCK; n -= WI_PANEL_BLOCK, x += WI_PANEL_BLOCK)
        block_to_int8(x, blocks++);
    if (n > 0) {
        float last[WI_PANEL_BLOCK] = {0};
        memcpy(last, x, (size_t)n * sizeof *x);
        block_to_int8(last, blocks);
    }
}

/* Element-wise and row kernels, one part of kern_tmpl.c. */

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

/* Moments of a row: y = (x - mean) * scale.  The mean comes in two parts, the second is what the
 * rounding of the first left out. */
struct moments {
    float mean, rest, scale;
};

static struct moments row_moments(const float *x, int n) {
    vf acc[4] = {0}, acc2[4] = {0};
    float tail = 0, tail2 = 0;
    int i = 0;
    for (; i + 4 * VLEN <= n; i += 4 * VLEN)
        UNROLLED
    for (int v = 0; v < 4; v++)
        acc[v] += load(x + i + v * VLEN);
    for (; i < n; i++)
        tail += x[i];
    float mean = (sum_lanes((acc[0] + acc[1]) + (acc[2] + acc[3])) + tail) / (float)n;

    /* Second pass over x - mean: the squares do not cancel. */
    tail = 0;
    for (int v = 0; v < 4; v++)
        acc[v] = splat(0);
    for (i = 0; i + 4 * VLEN <= n; i += 4 * VLEN)
        UNROLLED
    for (int v = 0; v < 4; v++) {
        vf d = load(x + i + v * VLEN) - mean;
        acc[v] += d;
        acc2[v] += d * d;
    }
    for (; i < n; i++) {
        tail += x[i] - mean;
        tail2 += (x[i] - mean) * (x[i] - mean);
    }
    float rest = (sum_lanes((acc[0] + acc[1]) + (acc[2] + acc[3])) + tail) / (float)n;
    float var = (sum_lanes((acc2[0] + acc2[1]) + (acc2[2] + acc2[3])) + tail2) / (float)n;
    return (struct moments){mean, rest, 1.0f / sqrtf(var - rest * rest + 1e-5f)};
}

INLINE vf normal_v(struct moments m, vf x, vf w, vf b) {
    return (x - m.mean - m.rest) * m.scale * w + b;
}

static void SUFFIX(layernorm)(const float *x, const float *w, const float *b, float *y, int n) {
    struct moments m = row_moments(x, n);
    int i = 0;
    for (; i + VLEN <= n; i += VLEN)
        store(y + i, normal_v(m, load(x + i), load(w + i), load(b + i)));
    for (; i < n; i++)
        y[i] = (x[i] - m.mean - m.rest) * m.scale * w[i] + b[i];
}

static bool SUFFIX(norm_values)(const float *x, const float *w, const float *b, void *y, int n) {
    struct moments m = row_moments(x, n);
    value *out = y;
    int i = 0;
    for (; i + VLEN <= n; i += VLEN)
        store_values(out + i, normal_v(m, load(x + i), load(w + i), load(b + i)));
    if (i < n) {
        int left = n - i;
        value last[VLEN];
        store_values(last, normal_v(m, load_part(x + i, left), load_part(w + i, left),
                                    load_part(b + i, left)));
        memcpy(out + i, last, (size_t)left * sizeof *last);
    }
    return m.scale == m.scale; /* the variance is NaN then */
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

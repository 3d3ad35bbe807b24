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

#include "naive.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A matrix or convolution weight of random models, which are f16, in f64. */
static double *weights(const struct wi_tensor *t) {
    size_t n = t->bytes / 2;
    double *w = malloc(n * sizeof *w);
    for (size_t i = 0; i < n; i++) {
        uint16_t half;
        memcpy(&half, t->data + 2 * i, 2);
        int exponent = half >> 10 & 31, mantissa = half & 1023;
        w[i] = exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
        if (half >> 15)
            w[i] = -w[i];
    }
    return w;
}

/* y[rows, n_out] = x[rows, n_in] w^T + b */
static double *linear(const struct wi_linear *l, const double *x, int rows, int n_in, int n_out) {
    double *w = weights(l->w), *y = malloc((size_t)rows * n_out * sizeof *y);
    for (int r = 0; r < rows; r++)
        for (int o = 0; o < n_out; o++) {
            double sum = l->b ? l->b[o] : 0;
            for (int i = 0; i < n_in; i++)
                sum += x[(size_t)r * n_in + i] * w[(size_t)o * n_in + i];
            y[(size_t)r * n_out + o] = sum;
        }
    free(w);
    return y;
}

static void gelu(double *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        x[i] = 0.5 * x[i] * (1 + erf(x[i] / sqrt(2.0)));
}

static double *layernorm(const struct wi_norm *norm, const double *x, int rows, int n) {
    double *y = malloc((size_t)rows * n * sizeof *y);
    for (int r = 0; r < rows; r++) {
        const double *in = x + (size_t)r * n;
        double mean = 0, variance = 0;
        for (int i = 0; i < n; i++)
            mean += in[i] / n;
        for (int i = 0; i < n; i++)
            variance += (in[i] - mean) * (in[i] - mean) / n;
        for (int i = 0; i < n; i++)
            y[(size_t)r * n + i] = (in[i] - mean) / sqrt(variance + 1e-5) * norm->w[i] + norm->b[i];
    }
    return y;
}

/* x[rows] += attention(norm(x) over `keys_of`), which is norm(x) itself when NULL. */
static void attend(const struct wi_attn_weights *w, const struct wi_norm *norm, double *x, int rows,
                   int d, int n_head, const double *keys_of, int n_keys, int causal) {
    double *y = layernorm(norm, x, rows, d);
    const double *source = keys_of ? keys_of : y;
    double *q = linear(&w->q, y, rows, d, d), *k = linear(&w->k, source, n_keys, d, d);
    double *v = linear(&w->v, source, n_keys, d, d), *p = malloc((size_t)n_keys * sizeof *p);
    double *mixed = calloc((size_t)rows * d, sizeof *mixed);
    int d_head = d / n_head;
    for (int head = 0; head < n_head; head++)
        for (int r = 0; r < rows; r++) {
            int seen = causal ? r + 1 : n_keys, first = head * d_head;
            double max = -INFINITY, sum = 0;
            for (int j = 0; j < seen; j++) {
                p[j] = 0;
                for (int c = first; c < first + d_head; c++)
                    p[j] += q[(size_t)r * d + c] * k[(size_t)j * d + c] / sqrt(d_head);
                max = fmax(max, p[j]);
            }
            for (int j = 0; j < seen; j++)
                sum += p[j] = exp(p[j] - max);
            for (int j = 0; j < seen; j++)
                for (int c = first; c < first + d_head; c++)
                    mixed[(size_t)r * d + c] += p[j] / sum * v[(size_t)j * d + c];
        }
    double *out = linear(&w->out, mixed, rows, d, d);
    for (size_t i = 0; i < (size_t)rows * d; i++)
        x[i] += out[i];
    free(y);
    free(q);
    free(k);
    free(v);
    free(p);
    free(mixed);
    free(out);
}

static void mlp(const struct wi_block_weights *w, double *x, int rows, int d) {
    double *y = layernorm(&w->mlp_ln, x, rows, d);
    double *hidden = linear(&w->mlp_in, y, rows, d, 4 * d);
    gelu(hidden, (size_t)rows * 4 * d);
    double *out = linear(&w->mlp_out, hidden, rows, 4 * d, d);
    for (size_t i = 0; i < (size_t)rows * d; i++)
        x[i] += out[i];
    free(y);
    free(hidden);
    free(out);
}

/* gelu(convolution of width 3 with zeros around): in [n_in, frames] -> [n_out, frames / stride]. */
static double *convolve(const struct wi_linear *l, const double *in, int n_in, int frames,
                        int n_out, int stride) {
    int n = (frames - 1) / stride + 1;
    double *w = weights(l->w), *out = malloc((size_t)n_out * n * sizeof *out);
    for (int o = 0; o < n_out; o++)
        for (int t = 0; t < n; t++) {
            double sum = l->b[o];
            for (int c = 0; c < n_in; c++)
                for (int tap = 0; tap < 3; tap++) {
                    int s = t * stride + tap - 1;
                    if (s >= 0 && s < frames)
                        sum += in[(size_t)c * frames + s] * w[((size_t)o * n_in + c) * 3 + tap];
                }
            out[(size_t)o * n + t] = sum;
        }
    gelu(out, (size_t)n_out * n);
    free(w);
    return out;
}

void naive_encode(const struct wi_model *m, const float *mel, double *features) {
    int n = m->dims.n_audio_ctx, d = m->dims.n_audio_state, n_mels = m->dims.n_mels;
    size_t size = (size_t)n * d;
    double *in = malloc((size_t)n_mels * 2 * n * sizeof *in), *x = malloc(size * sizeof *x);
    for (size_t i = 0; i < (size_t)n_mels * 2 * n; i++)
        in[i] = mel[i];
    double *first = convolve(&m->w.conv1, in, n_mels, 2 * n, d, 1);
    double *second = convolve(&m->w.conv2, first, d, 2 * n, d, 2);
    for (int t = 0; t < n; t++)
        for (int c = 0; c < d; c++)
            x[(size_t)t * d + c] = second[(size_t)c * n + t] + m->w.enc_pos[(size_t)t * d + c];
    for (int i = 0; i < m->dims.n_audio_layer; i++) {
        const struct wi_block_weights *w = &m->w.enc[i];
        attend(&w->attn, &w->attn_ln, x, n, d, m->dims.n_audio_head, NULL, n, 0);
        mlp(w, x, n, d);
    }
    double *y = layernorm(&m->w.enc_ln, x, n, d);
    memcpy(features, y, size * sizeof *y);
    free(in);
    free(x);
    free(first);
    free(second);
    free(y);
}

void naive_decode(const struct wi_model *m, const double *features, const int *tokens, int n,
                  double *logits) {
    int d = m->dims.n_text_state, n_vocab = m->dims.n_vocab, heads = m->dims.n_text_head;
    double *x = malloc((size_t)n * d * sizeof *x), *embedding = weights(m->w.tok_emb);
    for (int i = 0; i < n; i++)
        for (int c = 0; c < d; c++)
            x[(size_t)i * d + c] =
                embedding[(size_t)tokens[i] * d + c] + m->w.dec_pos[(size_t)i * d + c];
    for (int i = 0; i < m->dims.n_text_layer; i++) {
        const struct wi_block_weights *w = &m->w.dec[i];
        attend(&w->attn, &w->attn_ln, x, n, d, heads, NULL, n, 1);
        attend(&w->cross, &w->cross_ln, x, n, d, heads, features, m->dims.n_audio_ctx, 0);
        mlp(w, x, n, d);
    }
    double *y = layernorm(&m->w.dec_ln, x, n, d);
    struct wi_linear output = {m->w.tok_emb, NULL};
    double *all = linear(&output, y, n, d, n_vocab);
    memcpy(logits, all, (size_t)n * n_vocab * sizeof *all);
    free(x);
    free(embedding);
    free(y);
    free(all);
}

double naive_distance(const float *x, const double *ref, size_t n) {
    double diff = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        diff += (x[i] - ref[i]) * (x[i] - ref[i]);
        size += ref[i] * ref[i];
    }
    double distance = sqrt(diff / size);
    return distance == distance ? distance : INFINITY;
}

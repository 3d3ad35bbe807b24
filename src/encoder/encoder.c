#include "encoder/encoder.h"

#include <math.h>
#include <stdio.h>

#include "base/err.h"
#include "base/finite.h"
#include "base/mem.h"

struct wi_enc {
    const struct wi_model *model;
    const struct wi_kern *kern;
    struct wi_pool *pool;
    struct wi_gemm_work work;
    int n_ctx, n_state, n_head, d_head, n_mels;
    float *x;       /* [n_ctx, n_state]: the residual stream */
    float *y;       /* [n_ctx, n_state], right after x: together conv1's output [2 n_ctx, n_state] */
    float *hidden;  /* [n_ctx, 4 n_state] or what else a stage needs, see hidden_columns() */
    float *scratch; /* [n_threads, WI_ATTN_SCRATCH] */
};

static int max_int(int a, int b) { return a > b ? a : b; }

/* Columns of `hidden` per audio position: the MLP's 4 n_state, which also holds q, k, v and k
 * transposed, and the gathered inputs of the convolutions: conv1's two rows of 3 n_mels, conv2's row of
 * 3 n_state. */
static int hidden_columns(const struct wi_enc *enc) {
    return max_int(4 * enc->n_state, 6 * enc->n_mels);
}

int wi_enc_create(struct wi_enc **out, const struct wi_model *model, const struct wi_kern *kern,
                  struct wi_pool *pool, struct wisp_error *err) {
    const struct wisp_dims *dims = &model->dims;
    *out = NULL;
    struct wi_enc *enc = wi_calloc(1, sizeof *enc);
    if (!enc)
        return wi_err_nomem(err, "the encoder");
    enc->model = model;
    enc->kern = kern;
    enc->pool = pool;
    enc->n_ctx = dims->n_audio_ctx;
    enc->n_state = dims->n_audio_state;
    enc->n_head = dims->n_audio_head;
    enc->d_head = enc->n_state / enc->n_head;
    enc->n_mels = dims->n_mels;

    size_t rows = (size_t)enc->n_ctx, threads = (size_t)wi_pool_threads(pool);
    int rc = wi_gemm_work_init(&enc->work, kern, (int)threads, 2 * enc->n_ctx,
                               max_int(4 * enc->n_state, 3 * enc->n_mels), err);
    if (rc != WISP_OK)
        goto fail;
    enc->x = wi_malloc64(2 * rows * (size_t)enc->n_state, sizeof(float));
    enc->hidden = wi_malloc64(rows * (size_t)hidden_columns(enc), sizeof(float));
    enc->scratch = wi_malloc64(threads * WI_ATTN_SCRATCH, sizeof(float));
    if (!enc->x || !enc->hidden || !enc->scratch) {
        rc = wi_err_nomem(err, "the encoder's activations");
        goto fail;
    }
    enc->y = enc->x + rows * (size_t)enc->n_state;
    *out = enc;
    return WISP_OK;
fail:
    wi_enc_destroy(&enc);
    return rc;
}

void wi_enc_destroy(struct wi_enc **out) {
    struct wi_enc *enc = *out;
    if (!enc)
        return;
    wi_gemm_work_fini(&enc->work);
    wi_free(enc->x);
    wi_free(enc->hidden);
    wi_free(enc->scratch);
    wi_free(enc);
    *out = NULL;
}

/* c[m, n] = act(a[m, k] w^T + b) + residual, contiguous rows. */
static void linear(struct wi_enc *enc, const struct wi_linear *w, int m, int k, int n, const float *a,
                   enum wi_activation act, const float *residual, float *c) {
    struct wi_gemm g = {
        .m = m, .n = n, .k = k, .a = a, .lda = (size_t)k,
        .w_type = w->w->type, .w = w->w->data, .w_stride = wi_dtype_row_bytes(w->w->type, (size_t)k),
        .bias = w->b, .scale = 1, .act = act, .residual = residual, .ldr = (size_t)n,
        .c = c, .ldc = (size_t)n,
    };
    wi_gemm_run(enc->kern, enc->pool, &enc->work, &g);
}

struct row_job {
    struct wi_enc *enc;
    const struct wi_norm *norm;
    const float *in;
    float *out;
};
enum { ROWS = 32 }; /* rows of one parallel item */

static void norm_rows(void *arg, int item, int thread) {
    struct row_job *job = arg;
    int n = job->enc->n_state, end = (item + 1) * ROWS;
    (void)thread;
    for (int i = item * ROWS; i < job->enc->n_ctx && i < end; i++)
        job->enc->kern->layernorm(job->in + (size_t)i * n, job->norm->w, job->norm->b,
                                  job->out + (size_t)i * n, n);
}

static void layernorm(struct wi_enc *enc, const struct wi_norm *norm, const float *in, float *out) {
    struct row_job job = {enc, norm, in, out};
    wi_pool_run(enc->pool, (enc->n_ctx + ROWS - 1) / ROWS, norm_rows, &job);
}

/* cols[t, c * 3 + tap] = mel[c, t + tap - 1], 0 outside: [2 n_ctx, 3 n_mels], the order in which a row
 * of conv1.weight [out, in, 3] lies in the file. */
static void gather_conv1(const struct wi_enc *enc, const float *mel, float *cols) {
    int n = 2 * enc->n_ctx;
    for (int c = 0; c < enc->n_mels; c++)
        for (int tap = 0; tap < 3; tap++)
            for (int t = 0; t < n; t++) {
                int s = t + tap - 1;
                cols[((size_t)t * enc->n_mels + c) * 3 + tap] =
                    s >= 0 && s < n ? mel[(size_t)c * n + s] : 0;
            }
}

/* cols[t, c * 3 + tap] = in[2 t + tap - 1, c], 0 outside: [n_ctx, 3 n_state]. */
static void gather_conv2(void *arg, int item, int thread) {
    struct row_job *job = arg;
    int n_ctx = job->enc->n_ctx, n = job->enc->n_state;
    (void)thread;
    for (int t = item * ROWS; t < n_ctx && t < (item + 1) * ROWS; t++)
        for (int tap = 0; tap < 3; tap++) {
            int s = 2 * t + tap - 1;
            const float *row = s >= 0 && s < 2 * n_ctx ? job->in + (size_t)s * n : NULL;
            float *out = job->out + (size_t)t * 3 * n + tap;
            for (int c = 0; c < n; c++)
                out[3 * c] = row ? row[c] : 0;
        }
}

/* mel [n_mels, 2 n_ctx] -> x [n_ctx, n_state]: two convolutions with GELU, then positions. */
static void conv_stem(struct wi_enc *enc, const float *mel) {
    const struct wi_weights *w = &enc->model->w;
    int d = enc->n_state;
    gather_conv1(enc, mel, enc->hidden);
    linear(enc, &w->conv1, 2 * enc->n_ctx, 3 * enc->n_mels, d, enc->hidden, WI_GELU, NULL, enc->x);
    struct row_job job = {enc, NULL, enc->x, enc->hidden};
    wi_pool_run(enc->pool, (enc->n_ctx + ROWS - 1) / ROWS, gather_conv2, &job);
    linear(enc, &w->conv2, enc->n_ctx, 3 * d, d, enc->hidden, WI_GELU, w->enc_pos, enc->x);
}

/* kt[c, t] = k[t, c] for one block of columns. */
static void transpose_columns(void *arg, int item, int thread) {
    struct row_job *job = arg;
    int n_ctx = job->enc->n_ctx, d = job->enc->n_state;
    int end = (item + 1) * ROWS < d ? (item + 1) * ROWS : d;
    (void)thread;
    for (int t0 = 0; t0 < n_ctx; t0 += ROWS)
        for (int c = item * ROWS; c < end; c++)
            for (int t = t0; t < n_ctx && t < t0 + ROWS; t++)
                job->out[(size_t)c * n_ctx + t] = job->in[(size_t)t * d + c];
}

struct attention_job {
    struct wi_enc *enc;
    const float *q, *kt, *v; /* [n_ctx, n_state], [n_state, n_ctx], [n_ctx, n_state] */
    int blocks;              /* of queries, per head */
};

static void attention_block(void *arg, int item, int thread) {
    struct attention_job *job = arg;
    struct wi_enc *enc = job->enc;
    size_t d = (size_t)enc->n_state, column = (size_t)(item / job->blocks) * (size_t)enc->d_head;
    int q0 = item % job->blocks * WI_ATTN_QUERIES;
    int q1 = q0 + WI_ATTN_QUERIES < enc->n_ctx ? q0 + WI_ATTN_QUERIES : enc->n_ctx;
    struct wi_attn a = {
        .n_q = enc->n_ctx, .n_kv = enc->n_ctx, .d_head = enc->d_head,
        .q = job->q + column, .ldq = d,
        .kt = job->kt + column * (size_t)enc->n_ctx, .ldkt = (size_t)enc->n_ctx,
        .v = job->v + column, .ldv = d,
        /* the reference scales q and k by d_head^-0.25 each */
        .scale = 1.0f / sqrtf((float)enc->d_head),
        .out = enc->y + column, .ldo = d,
    };
    enc->kern->attention(&a, q0, q1, enc->scratch + (size_t)thread * WI_ATTN_SCRATCH);
}

/* y = attention of the heads over y. */
static void self_attention(struct wi_enc *enc, const struct wi_attn_weights *w) {
    int d = enc->n_state, n = enc->n_ctx;
    size_t size = (size_t)n * (size_t)d;
    float *q = enc->hidden, *k = q + size, *v = k + size, *kt = v + size;
    linear(enc, &w->q, n, d, d, enc->y, WI_LINEAR, NULL, q);
    linear(enc, &w->k, n, d, d, enc->y, WI_LINEAR, NULL, k);
    linear(enc, &w->v, n, d, d, enc->y, WI_LINEAR, NULL, v);
    struct row_job transpose = {enc, NULL, k, kt};
    wi_pool_run(enc->pool, (d + ROWS - 1) / ROWS, transpose_columns, &transpose);
    struct attention_job job = {enc, q, kt, v, (n + WI_ATTN_QUERIES - 1) / WI_ATTN_QUERIES};
    wi_pool_run(enc->pool, enc->n_head * job.blocks, attention_block, &job);
}

/* x = x + attention(norm(x)); x = x + mlp(norm(x)). */
static void block(struct wi_enc *enc, const struct wi_block_weights *w) {
    int d = enc->n_state, n = enc->n_ctx;
    layernorm(enc, &w->attn_ln, enc->x, enc->y);
    self_attention(enc, &w->attn);
    linear(enc, &w->attn.out, n, d, d, enc->y, WI_LINEAR, enc->x, enc->x);
    layernorm(enc, &w->mlp_ln, enc->x, enc->y);
    linear(enc, &w->mlp_in, n, d, 4 * d, enc->y, WI_GELU, NULL, enc->hidden);
    linear(enc, &w->mlp_out, n, 4 * d, d, enc->hidden, WI_LINEAR, enc->x, enc->x);
}

static int check_finite(const struct wi_enc *enc, const float *x, const char *layer,
                        struct wisp_error *err) {
    if (wi_all_finite(x, (size_t)enc->n_ctx * (size_t)enc->n_state))
        return WISP_OK;
    return wi_err_set(err, WISP_E_INTERNAL,
                      "the output of %s is not finite; the model's weights are probably damaged: get the "
                      "model again", layer);
}

int wi_enc_run(struct wi_enc *enc, const float *mel, float *features,
               bool (*should_abort)(void *user), void *user, struct wisp_error *err) {
    const struct wi_weights *w = &enc->model->w;
    if (!wi_all_finite(mel, (size_t)enc->n_mels * 2 * (size_t)enc->n_ctx))
        return wi_err_set(err, WISP_E_ARG,
                          "the mel spectrogram has a value that is not finite; check the samples");
    conv_stem(enc, mel);
    int rc = check_finite(enc, enc->x, "encoder.conv2", err);
    for (int i = 0; rc == WISP_OK && i < enc->model->dims.n_audio_layer; i++) {
        char layer[32];
        snprintf(layer, sizeof layer, "encoder.blocks.%d", i);
        if (should_abort && should_abort(user))
            return wi_err_set(err, WISP_E_CANCELLED, "stopped on request in the encoder");
        block(enc, &w->enc[i]);
        rc = check_finite(enc, enc->x, layer, err);
    }
    if (rc != WISP_OK)
        return rc;
    layernorm(enc, &w->enc_ln, enc->x, features);
    return check_finite(enc, features, "encoder.ln_post", err);
}

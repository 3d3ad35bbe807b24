#include "decoder/decoder.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/finite.h"
#include "base/mem.h"
#include "decoder/kvcache.h"

struct wi_dec {
    const struct wi_model *model;
    const struct wi_kern *kern;
    struct wi_pool *pool;
    struct wi_gemm_work work;
    int n_ctx, n_state, n_head, d_head, n_audio;
    struct wi_kvcache cache;
    float *cross_kt; /* [n_layer, n_state, n_audio] */
    float *cross_v;  /* [n_layer, n_audio, n_state] */
    float *x, *y, *q; /* [n_ctx, n_state]: residual stream, its norm, queries */
    float *hidden;    /* [n_ctx, 4 n_state] */
    float *scratch;   /* [n_threads, scratch_stride] */
    size_t scratch_stride;
};

/* The tokens of one call: rows of x. */
struct batch {
    int n;
    bool prompt; /* tokens of one sequence at positions 0..n-1; else one token of n sequences */
};

static int max_int(int a, int b) { return a > b ? a : b; }

int wi_dec_create(struct wi_dec **out, const struct wi_model *model, const struct wi_kern *kern,
                  struct wi_pool *pool, struct wisp_error *err) {
    const struct wisp_dims *dims = &model->dims;
    *out = NULL;
    struct wi_dec *dec = wi_calloc(1, sizeof *dec);
    if (!dec)
        return wi_err_nomem(err, "the decoder");
    dec->model = model;
    dec->kern = kern;
    dec->pool = pool;
    dec->n_ctx = dims->n_text_ctx;
    dec->n_state = dims->n_text_state;
    dec->n_head = dims->n_text_head;
    dec->d_head = dec->n_state / dec->n_head;
    dec->n_audio = dims->n_audio_ctx;

    size_t d = (size_t)dec->n_state, threads = (size_t)wi_pool_threads(pool);
    size_t cross = (size_t)dims->n_text_layer * (size_t)dec->n_audio * d;
    size_t rows = (size_t)max_int(dec->n_ctx, WI_DEC_MAX_SEQS);
    dec->scratch_stride = (size_t)max_int(WI_ATTN_SCRATCH, dec->n_ctx);
    int rc = wi_kvcache_init(&dec->cache, dims->n_text_layer, dec->n_ctx, dec->n_state, err);
    if (rc == WISP_OK)
        rc = wi_gemm_work_init(&dec->work, kern, (int)threads, max_int((int)rows, dec->n_audio),
                               4 * dec->n_state, err);
    if (rc != WISP_OK)
        goto fail;
    dec->cross_kt = wi_malloc64(cross, sizeof(float));
    dec->cross_v = wi_malloc64(cross, sizeof(float));
    dec->x = wi_malloc64(3 * rows * d, sizeof(float));
    /* also the keys of one layer's cross-attention before they are transposed */
    dec->hidden = wi_malloc64(max_int((int)rows * 4, dec->n_audio) * d, sizeof(float));
    dec->scratch = wi_malloc64(threads * dec->scratch_stride, sizeof(float));
    if (!dec->cross_kt || !dec->cross_v || !dec->x || !dec->hidden || !dec->scratch) {
        rc = wi_err_nomem(err, "the decoder's activations");
        goto fail;
    }
    dec->y = dec->x + rows * d;
    dec->q = dec->y + rows * d;
    *out = dec;
    return WISP_OK;
fail:
    wi_dec_destroy(&dec);
    return rc;
}

void wi_dec_destroy(struct wi_dec **out) {
    struct wi_dec *dec = *out;
    if (!dec)
        return;
    wi_kvcache_fini(&dec->cache);
    wi_gemm_work_fini(&dec->work);
    wi_free(dec->cross_kt);
    wi_free(dec->cross_v);
    wi_free(dec->x);
    wi_free(dec->hidden);
    wi_free(dec->scratch);
    wi_free(dec);
    *out = NULL;
}

int wi_dec_length(const struct wi_dec *dec) { return dec->cache.length; }
int wi_dec_sequences(const struct wi_dec *dec) { return dec->cache.n_seqs; }

/* c[m, n] = act(a[m, k] w^T + b) + residual, contiguous rows. */
static void linear(struct wi_dec *dec, const struct wi_linear *w, int m, int k, int n, const float *a,
                   enum wi_activation act, const float *residual, float *c) {
    struct wi_gemm g = {
        .m = m, .n = n, .k = k, .a = a, .lda = (size_t)k,
        .w_type = w->w->type, .w = w->w->data, .w_stride = wi_dtype_row_bytes(w->w->type, (size_t)k),
        .bias = w->b, .scale = 1, .act = act, .residual = residual, .ldr = (size_t)n,
        .c = c, .ldc = (size_t)n,
    };
    wi_gemm_run(dec->kern, dec->pool, &dec->work, &g);
}

static void layernorm(const struct wi_dec *dec, const struct wi_norm *norm, int n, const float *in,
                      float *out) {
    for (int i = 0; i < n; i++)
        dec->kern->layernorm(in + (size_t)i * dec->n_state, norm->w, norm->b,
                             out + (size_t)i * dec->n_state, dec->n_state);
}

struct transpose_job {
    const float *in; /* [n_rows, n_cols] */
    float *out;      /* [n_cols, n_rows] */
    int n_rows, n_cols;
};
enum { TILE = 32 };

static void transpose_columns(void *arg, int item, int thread) {
    const struct transpose_job *job = arg;
    int end = (item + 1) * TILE < job->n_cols ? (item + 1) * TILE : job->n_cols;
    (void)thread;
    for (int r0 = 0; r0 < job->n_rows; r0 += TILE)
        for (int c = item * TILE; c < end; c++)
            for (int r = r0; r < job->n_rows && r < r0 + TILE; r++)
                job->out[(size_t)c * job->n_rows + r] = job->in[(size_t)r * job->n_cols + c];
}

int wi_dec_set_audio(struct wi_dec *dec, const float *features, struct wisp_error *err) {
    int d = dec->n_state, n = dec->n_audio;
    size_t size = (size_t)n * (size_t)d;
    for (int i = 0; i < dec->model->dims.n_text_layer; i++) {
        const struct wi_attn_weights *w = &dec->model->w.dec[i].cross;
        float *v = dec->cross_v + (size_t)i * size;
        linear(dec, &w->k, n, d, d, features, WI_LINEAR, NULL, dec->hidden);
        linear(dec, &w->v, n, d, d, features, WI_LINEAR, NULL, v);
        struct transpose_job job = {dec->hidden, dec->cross_kt + (size_t)i * size, n, d};
        wi_pool_run(dec->pool, (d + TILE - 1) / TILE, transpose_columns, &job);
        if (!wi_all_finite(dec->hidden, size) || !wi_all_finite(v, size))
            return wi_err_set(err, WISP_E_INTERNAL,
                              "the keys or values of decoder.blocks.%d.cross_attn are not finite; the "
                              "model's weights are probably damaged: get the model again", i);
    }
    return WISP_OK;
}

/* x = token embedding + position. */
static void embed(struct wi_dec *dec, const int *tokens, const struct batch *b) {
    const struct wi_tensor *emb = dec->model->w.tok_emb;
    int d = dec->n_state;
    size_t row_bytes = wi_dtype_row_bytes(emb->type, (size_t)d);
    for (int i = 0; i < b->n; i++) {
        int position = b->prompt ? i : dec->cache.length - 1;
        float *x = dec->x + (size_t)i * d;
        dec->kern->dequant(emb->type, emb->data + row_bytes * (size_t)tokens[i], x, d);
        for (int c = 0; c < d; c++)
            x[c] += dec->model->w.dec_pos[(size_t)position * d + c];
    }
}

struct attention_job {
    struct wi_dec *dec;
    const struct batch *b;
    int layer;
};

/* One head of one token over the tokens before it and itself. */
static void self_attention_head(void *arg, int item, int thread) {
    const struct attention_job *job = arg;
    struct wi_dec *dec = job->dec;
    const struct wi_kvcache *cache = &dec->cache;
    int token = item / dec->n_head;
    size_t column = (size_t)(item % dec->n_head) * (size_t)dec->d_head, d = (size_t)dec->n_state;
    struct wi_attn_rows a = {
        .n_kv = job->b->prompt ? token + 1 : cache->length, .d_head = dec->d_head,
        .q = dec->q + (size_t)token * d + column,
        .k = cache->k[job->layer] + column, .v = cache->v[job->layer] + column, .ld = d,
        .rows = cache->rows + (job->b->prompt ? 0 : (size_t)token * (size_t)cache->n_ctx),
        .scale = 1.0f / sqrtf((float)dec->d_head), .out = dec->y + (size_t)token * d + column,
    };
    dec->kern->attend_rows(&a, dec->scratch + (size_t)thread * dec->scratch_stride);
}

/* One head of all tokens over the audio. */
static void cross_attention_head(void *arg, int item, int thread) {
    const struct attention_job *job = arg;
    struct wi_dec *dec = job->dec;
    size_t column = (size_t)item * (size_t)dec->d_head, d = (size_t)dec->n_state;
    size_t n_audio = (size_t)dec->n_audio, layer = (size_t)job->layer * n_audio * d;
    int n = job->b->n;
    struct wi_attn a = {
        .n_q = n, .n_kv = dec->n_audio, .d_head = dec->d_head, .q = dec->q + column, .ldq = d,
        .kt = dec->cross_kt + layer + column * n_audio, .ldkt = n_audio,
        .v = dec->cross_v + layer + column, .ldv = d,
        .scale = 1.0f / sqrtf((float)dec->d_head), .out = dec->y + column, .ldo = d,
    };
    for (int q = 0; q < n; q += WI_ATTN_QUERIES)
        dec->kern->attention(&a, q, q + WI_ATTN_QUERIES < n ? q + WI_ATTN_QUERIES : n,
                             dec->scratch + (size_t)thread * dec->scratch_stride);
}

static void block(struct wi_dec *dec, int layer, const struct batch *b) {
    const struct wi_block_weights *w = &dec->model->w.dec[layer];
    int d = dec->n_state, n = b->n;
    float *key = dec->hidden, *value = key + (size_t)n * d;
    struct attention_job job = {dec, b, layer};

    layernorm(dec, &w->attn_ln, n, dec->x, dec->y);
    linear(dec, &w->attn.q, n, d, d, dec->y, WI_LINEAR, NULL, dec->q);
    linear(dec, &w->attn.k, n, d, d, dec->y, WI_LINEAR, NULL, key);
    linear(dec, &w->attn.v, n, d, d, dec->y, WI_LINEAR, NULL, value);
    for (int i = 0; i < n; i++)
        wi_kvcache_store(&dec->cache, layer, b->prompt ? 0 : i, b->prompt ? i : dec->cache.length - 1,
                         key + (size_t)i * d, value + (size_t)i * d);
    wi_pool_run(dec->pool, n * dec->n_head, self_attention_head, &job);
    linear(dec, &w->attn.out, n, d, d, dec->y, WI_LINEAR, dec->x, dec->x);

    layernorm(dec, &w->cross_ln, n, dec->x, dec->y);
    linear(dec, &w->cross.q, n, d, d, dec->y, WI_LINEAR, NULL, dec->q);
    wi_pool_run(dec->pool, dec->n_head, cross_attention_head, &job);
    linear(dec, &w->cross.out, n, d, d, dec->y, WI_LINEAR, dec->x, dec->x);

    layernorm(dec, &w->mlp_ln, n, dec->x, dec->y);
    linear(dec, &w->mlp_in, n, d, 4 * d, dec->y, WI_GELU, NULL, dec->hidden);
    linear(dec, &w->mlp_out, n, 4 * d, d, dec->hidden, WI_LINEAR, dec->x, dec->x);
}

static int run_blocks(struct wi_dec *dec, const int *tokens, const struct batch *b,
                      struct wisp_error *err) {
    embed(dec, tokens, b);
    for (int i = 0; i < dec->model->dims.n_text_layer; i++) {
        block(dec, i, b);
        if (!wi_all_finite(dec->x, (size_t)b->n * (size_t)dec->n_state))
            return wi_err_set(err, WISP_E_INTERNAL,
                              "the output of decoder.blocks.%d is not finite; the model's weights are "
                              "probably damaged: get the model again", i);
    }
    return WISP_OK;
}

/* logits[n, n_vocab] = norm(x)[n] E^T for the first n rows of y, which is overwritten. */
static int project(struct wi_dec *dec, int n, float *logits, struct wisp_error *err) {
    int n_vocab = dec->model->dims.n_vocab;
    struct wi_linear w = {dec->model->w.tok_emb, NULL};
    layernorm(dec, &dec->model->w.dec_ln, n, dec->y, dec->y);
    linear(dec, &w, n, dec->n_state, n_vocab, dec->y, WI_LINEAR, NULL, logits);
    if (!wi_all_finite(logits, (size_t)n * (size_t)n_vocab))
        return wi_err_set(err, WISP_E_INTERNAL,
                          "the logits are not finite, after a finite last block: decoder.ln or "
                          "decoder.token_embedding is probably damaged: get the model again");
    return WISP_OK;
}

static int check_tokens(const struct wi_dec *dec, const int *tokens, int n, struct wisp_error *err) {
    for (int i = 0; i < n; i++)
        if (tokens[i] < 0 || tokens[i] >= dec->model->dims.n_vocab)
            return wi_err_set(err, WISP_E_ARG, "token %d is not in the vocabulary; ids are 0 to %d",
                              tokens[i], dec->model->dims.n_vocab - 1);
    return WISP_OK;
}

int wi_dec_prompt(struct wi_dec *dec, const int *tokens, int n, const int *rows, int n_rows,
                  float *logits, struct wisp_error *err) {
    size_t d = (size_t)dec->n_state;
    if (n < 1 || n > dec->n_ctx)
        return wi_err_set(err, WISP_E_ARG, "%d tokens do not fit the decoder; give 1 to %d", n,
                          dec->n_ctx);
    int rc = check_tokens(dec, tokens, n, err);
    if (rc != WISP_OK)
        return rc;
    wi_kvcache_restart(&dec->cache, n);
    struct batch b = {.n = n, .prompt = true};
    rc = run_blocks(dec, tokens, &b, err);
    if (rc != WISP_OK)
        return rc;
    for (int i = 0; i < n_rows; i++) {
        assert(rows[i] >= 0 && rows[i] < n);
        memcpy(dec->y + (size_t)i * d, dec->x + (size_t)rows[i] * d, d * sizeof(float));
    }
    return project(dec, n_rows, logits, err);
}

int wi_dec_step(struct wi_dec *dec, const int *tokens, const int *parents, int n_seqs, float *logits,
                struct wisp_error *err) {
    const struct wi_kvcache *cache = &dec->cache;
    assert(n_seqs >= 1 && n_seqs <= WI_DEC_MAX_SEQS);
    if (cache->length < 1)
        return wi_err_set(err, WISP_E_ARG, "no prompt to continue; decode one first");
    if (cache->length >= dec->n_ctx)
        return wi_err_set(err, WISP_E_ARG, "no room for another token: the decoder holds %d of %d",
                          cache->length, dec->n_ctx);
    for (int i = 0; i < n_seqs; i++)
        if (parents[i] < 0 || parents[i] >= cache->n_seqs)
            return wi_err_set(err, WISP_E_ARG, "there is no sequence %d to continue; there are 0 to %d",
                              parents[i], cache->n_seqs - 1);
    int rc = check_tokens(dec, tokens, n_seqs, err);
    struct batch b = {.n = n_seqs, .prompt = false};
    if (rc == WISP_OK)
        rc = wi_kvcache_branch(&dec->cache, parents, n_seqs, err);
    if (rc == WISP_OK)
        rc = run_blocks(dec, tokens, &b, err);
    if (rc != WISP_OK)
        return rc;
    memcpy(dec->y, dec->x, (size_t)n_seqs * (size_t)dec->n_state * sizeof(float));
    return project(dec, n_seqs, logits, err);
}

#include "decoder/decoder.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/finite.h"
#include "base/mem.h"
#include "decoder/cross.h"
#include "decoder/kvcache.h"

struct wi_dec {
    const struct wi_model *model;
    const struct wi_dec_weights *weights;
    const struct wi_kern *kern;
    struct wi_pool *pool;
    struct wi_gemm_work work;
    int n_ctx, n_state, n_head, d_head, n_audio;
    struct wi_kvcache cache;
    struct wi_cross cross;
    float *x, *y;    /* [n_ctx, n_state]: residual stream, its norm */
    float *qkv;      /* [n_ctx, 3 qkv_rows] */
    float *hidden;   /* [n_ctx, 4 n_state]; keys and values of one layer's cross-attention */
    float *room;     /* [n_ctx, 4 n_state] and padding: rows converted for packed products */
    float *scales;   /* [n_ctx] */
    float *scratch;  /* [n_threads, n_ctx] */
};

/* The tokens of one call: rows of x. */
struct batch {
    int n;
    bool prompt; /* tokens of one sequence at positions 0..n-1; else one token of n sequences */
};

static int max_int(int a, int b) { return a > b ? a : b; }

static int create_parts(struct wi_dec *dec, struct wisp_error *err) {
    const struct wisp_dims *dims = &dec->model->dims;
    enum wi_dec_format format = dec->weights->format;
    size_t d = (size_t)dec->n_state, threads = (size_t)wi_pool_threads(dec->pool);
    size_t rows = (size_t)max_int(dec->n_ctx, WI_DEC_MAX_SEQS);
    int rc = wi_kvcache_init(&dec->cache, dims, format != WI_DEC_F32, err);
    if (rc == WISP_OK)
        rc = wi_cross_init(&dec->cross, dims, dec->weights->cross, (int)threads, err);
    if (rc == WISP_OK)
        rc = wi_gemm_work_init(&dec->work, dec->kern, (int)threads, max_int((int)rows, dec->n_audio),
                               4 * dec->n_state, err);
    if (rc != WISP_OK)
        return rc;
    dec->x = wi_malloc64(2 * rows * d, sizeof(float));
    dec->qkv = wi_malloc64(rows * (size_t)(3 * wi_dec_qkv_rows(dec->n_state)), sizeof(float));
    dec->hidden = wi_malloc64(max_int((int)rows * 4, 2 * dec->n_audio) * d, sizeof(float));
    dec->room = wi_malloc64(rows * (size_t)wi_panel_pad(4 * dec->n_state), sizeof(float));
    dec->scales = wi_malloc(rows, sizeof(float));
    dec->scratch = wi_malloc64(threads * (size_t)dec->n_ctx, sizeof(float));
    if (!dec->x || !dec->qkv || !dec->hidden || !dec->room || !dec->scales || !dec->scratch)
        return wi_err_nomem(err, "the decoder's activations");
    dec->y = dec->x + rows * d;
    return WISP_OK;
}

int wi_dec_create(struct wi_dec **out, const struct wi_model *model,
                  const struct wi_dec_weights *weights, const struct wi_kern *kern,
                  struct wi_pool *pool, struct wisp_error *err) {
    const struct wisp_dims *dims = &model->dims;
    *out = NULL;
    struct wi_dec *dec = wi_calloc(1, sizeof *dec);
    if (!dec)
        return wi_err_nomem(err, "the decoder");
    dec->model = model;
    dec->weights = weights;
    dec->kern = kern;
    dec->pool = pool;
    dec->n_ctx = dims->n_text_ctx;
    dec->n_state = dims->n_text_state;
    dec->n_head = dims->n_text_head;
    dec->d_head = dec->n_state / dec->n_head;
    dec->n_audio = dims->n_audio_ctx;
    int rc = create_parts(dec, err);
    if (rc != WISP_OK)
        wi_dec_destroy(&dec);
    *out = dec;
    return rc;
}

void wi_dec_destroy(struct wi_dec **out) {
    struct wi_dec *dec = *out;
    if (!dec)
        return;
    wi_kvcache_fini(&dec->cache);
    wi_cross_fini(&dec->cross);
    wi_gemm_work_fini(&dec->work);
    wi_free(dec->x);
    wi_free(dec->qkv);
    wi_free(dec->hidden);
    wi_free(dec->room);
    wi_free(dec->scales);
    wi_free(dec->scratch);
    wi_free(dec);
    *out = NULL;
}

size_t wi_dec_step_bytes(const struct wi_model *model, const struct wi_dec_weights *weights) {
    return wi_dec_weights_bytes(weights, model) +
           wi_cross_bytes(&model->dims, weights->cross);
}

size_t wi_dec_position_bytes(const struct wi_model *model, const struct wi_dec_weights *weights) {
    size_t value = weights->format == WI_DEC_F32 ? sizeof(float) : sizeof(uint16_t);
    return 2 * value * (size_t)model->dims.n_text_layer * (size_t)model->dims.n_text_state;
}

const struct wi_kern *wi_dec_kern(const struct wi_dec *dec) { return dec->kern; }
int wi_dec_length(const struct wi_dec *dec) { return dec->cache.length; }
int wi_dec_sequences(const struct wi_dec *dec) { return dec->cache.n_seqs; }

/* c[m, n] = act(a[m, k] w^T + b) + residual, rows of c ldc apart, all others contiguous. */
struct product {
    const struct wi_linear *w;      /* as the file has it */
    const struct wi_panels *packed; /* the same, read instead unless weights are f32 */
    int m, k, n;
    const float *a;
    bool gelu;
    const float *residual;
    float *c;
    size_t ldc;
};

static void multiply_file(struct wi_dec *dec, const struct product *p) {
    struct wi_gemm g = {
        .m = p->m, .n = p->n, .k = p->k, .a = p->a, .lda = (size_t)p->k,
        .w_type = p->w->w->type, .w = p->w->w->data,
        .w_stride = wi_dtype_row_bytes(p->w->w->type, (size_t)p->k),
        .bias = p->w->b, .scale = 1, .act = p->gelu ? WI_GELU : WI_LINEAR,
        .residual = p->residual, .ldr = (size_t)p->n, .c = p->c, .ldc = p->ldc,
    };
    wi_gemm_run(dec->kern, dec->pool, &dec->work, &g);
}

static void multiply_packed(struct wi_dec *dec, const struct product *p, const float *bias) {
    struct wi_panel_product g = {
        .w = p->packed, .bias = bias, .scale = 1, .gelu = p->gelu,
        .residual = p->residual, .ldr = (size_t)p->n, .c = p->c, .ldc = p->ldc,
    };
    wi_panel_set_rows(dec->kern, &g, p->m, p->a, (size_t)p->k, dec->room, dec->scales);
    wi_panel_product_run(dec->kern, dec->pool, &g);
}

static void multiply(struct wi_dec *dec, const struct product *p) {
    if (dec->weights->layers)
        multiply_packed(dec, p, p->w->b);
    else
        multiply_file(dec, p);
}

static void layernorm(const struct wi_dec *dec, const struct wi_norm *norm, int n, const float *in,
                      float *out) {
    for (int i = 0; i < n; i++)
        dec->kern->layernorm(in + (size_t)i * dec->n_state, norm->w, norm->b,
                             out + (size_t)i * dec->n_state, dec->n_state);
}

int wi_dec_set_audio(struct wi_dec *dec, const float *features, struct wisp_error *err) {
    int d = dec->n_state, n = dec->n_audio;
    size_t size = (size_t)n * (size_t)d;
    float *keys = dec->hidden, *values = keys + size;
    for (int i = 0; i < dec->model->dims.n_text_layer; i++) {
        const struct wi_attn_weights *w = &dec->model->w.dec[i].cross;
        struct product p = {.w = &w->k, .m = n, .k = d, .n = d, .a = features, .c = keys, .ldc = (size_t)d};
        multiply_file(dec, &p);
        p.w = &w->v;
        p.c = values;
        multiply_file(dec, &p);
        if (!wi_all_finite(keys, size) || !wi_all_finite(values, size))
            return wi_err_set(err, WISP_E_INTERNAL,
                              "the keys or values of decoder.blocks.%d.cross_attn are not finite; the "
                              "model's weights are probably damaged: get the model again", i);
        wi_cross_store(&dec->cross, dec->kern, dec->pool, i, keys, values);
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

/* One head: each token over the tokens before it and itself.  Sequences share most of what is read. */
static void self_attention_head(void *arg, int head, int thread) {
    const struct attention_job *job = arg;
    struct wi_dec *dec = job->dec;
    const struct wi_kvcache *cache = &dec->cache;
    struct wi_attn_rows a = {
        .n_kv = cache->length, .d_head = dec->d_head, .q = dec->qkv + (size_t)(head * dec->d_head),
        .k = wi_kvcache_keys(cache, job->layer, head), .v = wi_kvcache_values(cache, job->layer, head),
        .bf16 = cache->bf16, .ld = (size_t)dec->d_head, .rows = cache->rows,
        .scale = 1.0f / sqrtf((float)dec->d_head), .out = dec->y + (size_t)(head * dec->d_head),
    };
    for (int token = 0; token < job->b->n; token++) {
        if (job->b->prompt)
            a.n_kv = token + 1;
        dec->kern->attend_rows(&a, dec->scratch + (size_t)thread * (size_t)dec->n_ctx);
        a.q += 3 * wi_dec_qkv_rows(dec->n_state);
        a.out += dec->n_state;
        if (!job->b->prompt)
            a.rows += cache->n_ctx;
    }
}

/* Queries, keys and values of dec->y into dec->qkv. */
static void project_qkv(struct wi_dec *dec, int layer, int n) {
    const struct wi_attn_weights *w = &dec->model->w.dec[layer].attn;
    const struct wi_linear *parts[3] = {&w->q, &w->k, &w->v};
    int d = dec->n_state, rows = wi_dec_qkv_rows(d);
    struct product p = {.m = n, .k = d, .n = d, .a = dec->y, .c = dec->qkv, .ldc = (size_t)(3 * rows)};
    if (dec->weights->layers) {
        p.packed = &dec->weights->layers[layer].qkv;
        multiply_packed(dec, &p, dec->weights->layers[layer].qkv_bias);
        return;
    }
    for (int i = 0; i < 3; i++, p.c += rows) {
        p.w = parts[i];
        multiply_file(dec, &p);
    }
}

static void self_attention(struct wi_dec *dec, int layer, const struct batch *b) {
    struct attention_job job = {dec, b, layer};
    size_t rows = (size_t)wi_dec_qkv_rows(dec->n_state);
    project_qkv(dec, layer, b->n);
    for (int i = 0; i < b->n; i++) {
        const float *row = dec->qkv + (size_t)i * 3 * rows;
        wi_kvcache_store(&dec->cache, dec->kern, layer, b->prompt ? 0 : i,
                         b->prompt ? i : dec->cache.length - 1, row + rows, row + 2 * rows);
    }
    wi_pool_run(dec->pool, dec->n_head, self_attention_head, &job);
}

static void block(struct wi_dec *dec, int layer, const struct batch *b) {
    static const struct wi_dec_layer none;
    const struct wi_block_weights *w = &dec->model->w.dec[layer];
    const struct wi_dec_layer *packed = dec->weights->layers ? &dec->weights->layers[layer] : &none;
    int d = dec->n_state, n = b->n;
    size_t ld = (size_t)d;
    float *x = dec->x, *y = dec->y;

    layernorm(dec, &w->attn_ln, n, x, y);
    self_attention(dec, layer, b);
    multiply(dec, &(struct product){&w->attn.out, &packed->out, n, d, d, y, false, x, x, ld});

    layernorm(dec, &w->cross_ln, n, x, y);
    multiply(dec, &(struct product){&w->cross.q, &packed->cross_q, n, d, d, y, false, NULL, dec->qkv, ld});
    wi_cross_attend(&dec->cross, dec->kern, dec->pool, layer, n, dec->qkv, y);
    multiply(dec, &(struct product){&w->cross.out, &packed->cross_out, n, d, d, y, false, x, x, ld});

    layernorm(dec, &w->mlp_ln, n, x, y);
    multiply(dec, &(struct product){&w->mlp_in, &packed->mlp_in, n, d, 4 * d, y, true, NULL, dec->hidden,
                                    4 * ld});
    multiply(dec, &(struct product){&w->mlp_out, &packed->mlp_out, n, 4 * d, d, dec->hidden, false, x, x,
                                    ld});
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
    multiply(dec, &(struct product){&w, &dec->weights->vocabulary, n, dec->n_state, n_vocab, dec->y, false,
                                    NULL, logits, (size_t)n_vocab});
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

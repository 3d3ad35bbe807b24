#include "encoder/encoder.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/finite.h"
#include "base/mem.h"

struct wi_enc {
    const struct wi_enc_weights *weights;
    const struct wi_kern *kern;
    struct wi_pool *pool;
    struct wi_gemm_work work; /* at levels whose weights stay in the file */
    int n_ctx, n_state, n_head, d_head, n_mels;
    float *x; /* [n_ctx, n_state]: the residual stream */
    /* Values of the level's product type (struct wi_product): */
    uint8_t *y; /* [n_ctx, ldy]: the stream's norm, then what attention makes of it */
    size_t ldy;
    uint8_t *hidden; /* what a stage needs besides, see struct layout */
    float *scratch;  /* [n_threads, WI_ATTEND_SCRATCH] */
};

/* Where things lie in `hidden`, in values; one stage at a time uses it. */
struct layout {
    size_t mel;       /* [1 + 2 n_ctx + 1, n_mels], rows of 0 around it */
    size_t conv;      /* [1 + 2 n_ctx + 1, n_state], likewise */
    size_t ldqkv;     /* queries, keys and values [n_ctx, ldqkv] are at 0 */
    size_t k, v;      /* [n_head] packed */
    size_t k_head, v_head; /* values of one head of them */
    size_t ldh;       /* the MLP's [n_ctx, ldh] is at 0 */
    size_t end;
};

static size_t max_size(size_t a, size_t b) {
    return a > b ? a : b;
}

/* To the next cache line. */
static size_t aligned(size_t n_values) {
    return (n_values + 31) / 32 * 32;
}

static struct layout layout(const struct wi_enc *enc) {
    const struct wi_kern *kern = enc->kern;
    size_t n = (size_t)enc->n_ctx, d = (size_t)enc->n_state, per_unit = 4 / kern->value_bytes;
    struct layout l = {
        .ldqkv = wi_row_stride(kern, 3 * enc->weights->part_stride),
        .k_head = wi_packed_units(kern, enc->n_ctx, enc->d_head) * per_unit,
        .v_head = wi_packed_units(kern, enc->d_head, enc->n_ctx) * per_unit,
        .ldh = wi_row_stride(kern, 4 * enc->n_state),
    };
    /* an odd k reads one value beyond the last row */
    l.conv = aligned((2 * n + 2) * (size_t)enc->n_mels + 1);
    l.k = aligned(n * l.ldqkv);
    l.v = l.k + (size_t)enc->n_head * l.k_head;
    l.end = max_size(l.conv + (2 * n + 2) * d + 1,
                     max_size(l.v + (size_t)enc->n_head * l.v_head, n * l.ldh));
    return l;
}

static int allocate(struct wi_enc *enc, struct wisp_error *err) {
    size_t n = (size_t)enc->n_ctx, threads = (size_t)wi_pool_threads(enc->pool);
    if (enc->kern->value_type == WI_F32) {
        int rc = wi_gemm_work_init(&enc->work, enc->kern, (int)threads, enc->n_ctx, 4 * enc->n_state,
                                   err);
        if (rc != WISP_OK)
            return rc;
    }
    enc->ldy = wi_row_stride(enc->kern, enc->n_state);
    enc->x = wi_malloc64(n * (size_t)enc->n_state, sizeof *enc->x);
    enc->y = wi_malloc64(n * enc->ldy, enc->kern->value_bytes);
    enc->hidden = wi_malloc64(layout(enc).end, enc->kern->value_bytes);
    enc->scratch = wi_malloc64(threads * WI_ATTEND_SCRATCH, sizeof *enc->scratch);
    if (!enc->x || !enc->y || !enc->hidden || !enc->scratch)
        return wi_err_nomem(err, "the encoder's activations");
    /* between rows: the second value of an odd row's last unit stays 0 */
    memset(enc->y, 0, n * enc->ldy * enc->kern->value_bytes);
    return WISP_OK;
}

int wi_enc_create(struct wi_enc **out, const struct wi_enc_weights *weights, struct wi_pool *pool,
                  struct wisp_error *err) {
    const struct wisp_dims *dims = &weights->model->dims;
    struct wi_enc *enc = wi_calloc(1, sizeof *enc);
    *out = enc;
    if (!enc)
        return wi_err_nomem(err, "the encoder");
    enc->weights = weights;
    enc->kern = weights->kern;
    enc->pool = pool;
    enc->n_ctx = dims->n_audio_ctx;
    enc->n_state = dims->n_audio_state;
    enc->n_head = dims->n_audio_head;
    enc->d_head = enc->n_state / enc->n_head;
    enc->n_mels = dims->n_mels;
    int rc = allocate(enc, err);
    if (rc != WISP_OK)
        wi_enc_destroy(out);
    return rc;
}

void wi_enc_destroy(struct wi_enc **out) {
    struct wi_enc *enc = *out;
    if (!enc)
        return;
    wi_gemm_work_fini(&enc->work);
    wi_free(enc->x);
    wi_free(enc->y);
    wi_free(enc->hidden);
    wi_free(enc->scratch);
    wi_free(enc);
    *out = NULL;
}

/* ------------------------------------------------------------------ products */

/* What a product reads and where it writes. */
struct operands {
    int m;
    const void *a; /* [m, k] values, row stride lda */
    size_t lda;
    enum wi_activation act;
    const float *residual; /* [m, n_state] or NULL */
    void *c;               /* row stride ldc: f32 [m, n_state], or values */
    size_t ldc;
    bool values;
};

/* W as in the file, at f32 levels, where values are f32. */
static void multiply_parts(struct wi_enc *enc, const struct wi_enc_matrix *w,
                           const struct operands *o) {
    for (int i = 0; i < w->n_parts; i++) {
        const struct wi_tensor *t = w->parts[i];
        int j = i * (w->n / w->n_parts);
        struct wi_gemm g = {
            .m = o->m, .n = w->part_n, .k = w->k, .a = o->a, .lda = o->lda, .w_type = t->type,
            .w = t->data, .w_stride = wi_dtype_row_bytes(t->type, (size_t)w->k),
            .bias = w->bias ? w->bias + j : NULL, .scale = 1, .act = o->act,
            .residual = o->residual, .ldr = (size_t)enc->n_state, .c = (float *)o->c + j,
            .ldc = o->ldc,
        };
        wi_gemm_run(enc->kern, enc->pool, &enc->work, &g);
    }
}

/* c = act(a w^T + b) + residual. */
static void linear(struct wi_enc *enc, const struct wi_enc_matrix *w, const struct operands *o) {
    if (!w->packed) {
        multiply_parts(enc, w, o);
        return;
    }
    struct wi_product p = {
        .m = o->m, .n = w->n, .k = w->k, .a = o->a, .lda = o->lda, .w = w->packed,
        .bias = w->bias, .scale = 1, .act = o->act, .residual = o->residual,
        .ldr = (size_t)enc->n_state, .c = o->c, .ldc = o->ldc, .values = o->values,
    };
    wi_product_run(enc->kern, enc->pool, &p);
}

/* ------------------------------------------------------------------ norms */

enum { ROWS = 32 }; /* rows of one parallel item */

static int blocks(int n, int size) {
    return (n + size - 1) / size;
}

struct norm_job {
    struct wi_enc *enc;
    const struct wi_norm *norm;
    float *features; /* or NULL: into y */
    _Atomic bool failed;
};

static void norm_rows(void *arg, int item, int thread) {
    struct norm_job *job = arg;
    struct wi_enc *enc = job->enc;
    int n = enc->n_state, end = (item + 1) * ROWS < enc->n_ctx ? (item + 1) * ROWS : enc->n_ctx;
    (void)thread;
    for (int i = item * ROWS; i < end; i++) {
        const float *x = enc->x + (size_t)i * n;
        float *row = job->features + (size_t)i * n;
        uint8_t *y = enc->y + (size_t)i * enc->ldy * enc->kern->value_bytes;
        bool ok;
        if (job->features) {
            enc->kern->layernorm(x, job->norm->w, job->norm->b, row, n);
            ok = wi_all_finite(row, (size_t)n);
        } else {
            ok = enc->kern->norm_values(x, job->norm->w, job->norm->b, y, n);
        }
        if (!ok)
            atomic_store_explicit(&job->failed, true, memory_order_relaxed);
    }
}

static int not_finite(const char *layer, struct wisp_error *err) {
    return wi_err_set(err, WISP_E_INTERNAL,
                      "the output of %s is not finite; the model's weights are probably damaged: "
                      "get the model again",
                      layer);
}

/* As error messages call it; -1 is the convolutions. */
static const char *layer_name(int i, char name[32]) {
    if (i < 0)
        return "encoder.conv2";
    snprintf(name, 32, "encoder.blocks.%d", i);
    return name;
}

/* y = norm(x), where `layer` made x. */
static int normalize(struct wi_enc *enc, const struct wi_norm *norm, int layer,
                     struct wisp_error *err) {
    struct norm_job job = {.enc = enc, .norm = norm};
    char name[32];
    wi_pool_run(enc->pool, blocks(enc->n_ctx, ROWS), norm_rows, &job);
    return job.failed ? not_finite(layer_name(layer, name), err) : WISP_OK;
}

/* features = norm(x). */
static int finish(struct wi_enc *enc, float *features, struct wisp_error *err) {
    struct norm_job job = {.enc = enc, .norm = &enc->weights->model->w.enc_ln, .features = features};
    char name[32];
    wi_pool_run(enc->pool, blocks(enc->n_ctx, ROWS), norm_rows, &job);
    if (!job.failed)
        return WISP_OK;
    if (!wi_all_finite(enc->x, (size_t)enc->n_ctx * (size_t)enc->n_state))
        return not_finite(layer_name(enc->weights->model->dims.n_audio_layer - 1, name), err);
    return not_finite("encoder.ln_post", err);
}

/* ------------------------------------------------------------------ conv stem */

enum { MAX_MELS = 128 };

struct mel_job {
    struct wi_enc *enc;
    const float *mel; /* [n_mels, 2 n_ctx] */
    uint8_t *rows;    /* [2 n_ctx, n_mels] values */
};

static void transpose_mel(void *arg, int item, int thread) {
    const struct mel_job *job = arg;
    const struct wi_kern *kern = job->enc->kern;
    int n = 2 * job->enc->n_ctx, n_mels = job->enc->n_mels, t0 = item * ROWS;
    int rows = n - t0 < ROWS ? n - t0 : ROWS;
    float block[ROWS][MAX_MELS];
    (void)thread;
    for (int c = 0; c < n_mels; c++)
        for (int t = 0; t < rows; t++)
            block[t][c] = job->mel[(size_t)c * n + t0 + t];
    for (int t = 0; t < rows; t++)
        kern->to_values(block[t], job->rows + (size_t)(t0 + t) * n_mels * kern->value_bytes, n_mels);
}

/* mel [n_mels, 2 n_ctx] -> x [n_ctx, n_state]: two convolutions with GELU, then positions.  Where
 * the rows of the input follow each other without a gap, the three that a convolution reads are one
 * row of a matrix [.., 3 n_in], and the next one starts `step` rows further on. */
static void conv_stem(struct wi_enc *enc, const float *mel) {
    const struct wi_enc_weights *w = enc->weights;
    struct layout l = layout(enc);
    size_t size = enc->kern->value_bytes, d = (size_t)enc->n_state, n_mels = (size_t)enc->n_mels;
    size_t last = 1 + 2 * (size_t)enc->n_ctx; /* row after the input */
    uint8_t *in1 = enc->hidden + l.mel * size, *in2 = enc->hidden + l.conv * size;
    memset(in1, 0, n_mels * size);
    memset(in1 + last * n_mels * size, 0, (n_mels + 1) * size);
    memset(in2, 0, d * size);
    memset(in2 + last * d * size, 0, (d + 1) * size);

    struct mel_job job = {enc, mel, in1 + n_mels * size};
    wi_pool_run(enc->pool, blocks(2 * enc->n_ctx, ROWS), transpose_mel, &job);
    linear(enc, &w->conv1,
           &(struct operands){.m = 2 * enc->n_ctx, .a = in1, .lda = n_mels, .act = WI_GELU,
                              .c = in2 + d * size, .ldc = d, .values = true});
    linear(enc, &w->conv2,
           &(struct operands){.m = enc->n_ctx, .a = in2, .lda = 2 * d, .act = WI_GELU,
                              .residual = w->model->w.enc_pos, .c = enc->x, .ldc = d});
}

/* ------------------------------------------------------------------ attention */

enum {
    PACK_KEYS = 128,   /* keys of one parallel item: whole panels at every level */
    ITEM_QUERIES = 24, /* queries of one: whole register blocks */
};

struct attention_job {
    struct wi_enc *enc;
    struct layout l;
    int blocks; /* of keys or of queries, per head */
};

/* Keys and values of one head, packed for the products. */
static void pack_keys(void *arg, int item, int thread) {
    const struct attention_job *job = arg;
    const struct wi_enc *enc = job->enc;
    const struct wi_kern *kern = enc->kern;
    size_t size = kern->value_bytes, stride = (size_t)enc->weights->part_stride;
    size_t head = (size_t)(item / job->blocks), column = head * (size_t)enc->d_head;
    int key0 = item % job->blocks * PACK_KEYS, cols = kern->tile_cols;
    int n = enc->n_ctx - key0 < PACK_KEYS ? enc->n_ctx - key0 : PACK_KEYS;
    const uint8_t *row = enc->hidden + ((size_t)key0 * job->l.ldqkv + column) * size;
    uint32_t *k = (uint32_t *)(void *)(enc->hidden + (job->l.k + head * job->l.k_head) * size);
    uint32_t *v = (uint32_t *)(void *)(enc->hidden + (job->l.v + head * job->l.v_head) * size);
    (void)thread;
    for (int j = 0; j < n; j += cols)
        kern->pack_rows(kern->value_type, row + ((size_t)j * job->l.ldqkv + stride) * size,
                        job->l.ldqkv * size, n - j < cols ? n - j : cols, enc->d_head,
                        k + wi_packed_units(kern, key0 + j, enc->d_head));
    for (int c = 0; c < enc->d_head; c += cols)
        kern->pack_columns(row + ((size_t)c + 2 * stride) * size, job->l.ldqkv, n,
                           enc->d_head - c < cols ? enc->d_head - c : cols,
                           v + wi_packed_units(kern, c, enc->n_ctx) +
                               (size_t)cols * (size_t)key0 * size / 4);
}

static void attend_queries(void *arg, int item, int thread) {
    const struct attention_job *job = arg;
    struct wi_enc *enc = job->enc;
    size_t size = enc->kern->value_bytes, head = (size_t)(item / job->blocks);
    size_t column = head * (size_t)enc->d_head;
    int q0 = item % job->blocks * ITEM_QUERIES;
    int q1 = q0 + ITEM_QUERIES < enc->n_ctx ? q0 + ITEM_QUERIES : enc->n_ctx;
    struct wi_attend a = {
        .n_q = enc->n_ctx, .n_kv = enc->n_ctx, .d_head = enc->d_head,
        .q = enc->hidden + column * size, .ldq = job->l.ldqkv,
        .k = (uint32_t *)(void *)(enc->hidden + (job->l.k + head * job->l.k_head) * size),
        .v = (uint32_t *)(void *)(enc->hidden + (job->l.v + head * job->l.v_head) * size),
        /* the reference scales q and k by d_head^-0.25 each */
        .scale = 1.0f / sqrtf((float)enc->d_head),
        .out = enc->y + column * size, .ldo = enc->ldy,
    };
    enc->kern->attend(&a, q0, q1, enc->scratch + (size_t)thread * WI_ATTEND_SCRATCH);
}

/* y = attention of the heads over y. */
static void self_attention(struct wi_enc *enc, const struct wi_enc_layer *layer) {
    struct attention_job job = {enc, layout(enc), blocks(enc->n_ctx, PACK_KEYS)};
    linear(enc, &layer->qkv,
           &(struct operands){.m = enc->n_ctx, .a = enc->y, .lda = enc->ldy, .c = enc->hidden,
                              .ldc = job.l.ldqkv, .values = true});
    wi_pool_run(enc->pool, enc->n_head * job.blocks, pack_keys, &job);
    job.blocks = blocks(enc->n_ctx, ITEM_QUERIES);
    wi_pool_run(enc->pool, enc->n_head * job.blocks, attend_queries, &job);
}

/* ------------------------------------------------------------------ the whole */

/* x += attention(norm(x)); x += mlp(norm(x)). */
static int block(struct wi_enc *enc, int i, struct wisp_error *err) {
    const struct wi_enc_layer *layer = &enc->weights->layers[i];
    struct operands add = {.m = enc->n_ctx, .a = enc->y, .lda = enc->ldy, .residual = enc->x,
                           .c = enc->x, .ldc = (size_t)enc->n_state};
    int rc = normalize(enc, &layer->attn_ln, i - 1, err);
    if (rc != WISP_OK)
        return rc;
    self_attention(enc, layer);
    linear(enc, &layer->out, &add);
    rc = normalize(enc, &layer->mlp_ln, i, err);
    if (rc != WISP_OK)
        return rc;
    struct operands up = {.m = enc->n_ctx, .a = enc->y, .lda = enc->ldy, .act = WI_GELU,
                          .c = enc->hidden, .ldc = layout(enc).ldh, .values = true};
    linear(enc, &layer->mlp_in, &up);
    add.a = enc->hidden;
    add.lda = up.ldc;
    linear(enc, &layer->mlp_out, &add);
    return WISP_OK;
}

int wi_enc_run(struct wi_enc *enc, const float *mel, float *features,
               bool (*should_abort)(void *user), void *user, struct wisp_error *err) {
    if (!wi_all_finite(mel, (size_t)enc->n_mels * 2 * (size_t)enc->n_ctx))
        return wi_err_set(err, WISP_E_ARG,
                          "the mel spectrogram has a value that is not finite; check the samples");
    conv_stem(enc, mel);
    for (int i = 0; i < enc->weights->model->dims.n_audio_layer; i++) {
        if (should_abort && should_abort(user))
            return wi_err_set(err, WISP_E_CANCELLED, "stopped on request in the encoder");
        int rc = block(enc, i, err);
        if (rc != WISP_OK)
            return rc;
    }
    return finish(enc, features, err);
}

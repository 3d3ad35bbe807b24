#include "encoder/weights.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"

static struct wi_enc_matrix single(const struct wi_linear *w, int n, int k) {
    return (struct wi_enc_matrix){
        .n = n, .k = k, .n_parts = 1, .part_n = n, .parts = {w->w}, .bias = w->b};
}

/* Queries, keys and values in one product; keys have no bias. */
static struct wi_enc_matrix stacked(const struct wi_attn_weights *w, int d, int stride,
                                    float *bias) {
    memcpy(bias, w->q.b, (size_t)d * sizeof *bias);
    memcpy(bias + 2 * stride, w->v.b, (size_t)d * sizeof *bias);
    return (struct wi_enc_matrix){.n = 3 * stride,
                                  .k = d,
                                  .n_parts = 3,
                                  .part_n = d,
                                  .parts = {w->q.w, w->k.w, w->v.w},
                                  .bias = bias};
}

static void name_layers(struct wi_enc_weights *weights) {
    const struct wi_weights *w = &weights->model->w;
    const struct wisp_dims *dims = &weights->model->dims;
    int d = dims->n_audio_state, stride = weights->part_stride;
    weights->conv1 = single(&w->conv1, d, 3 * dims->n_mels);
    weights->conv2 = single(&w->conv2, d, 3 * d);
    for (int i = 0; i < dims->n_audio_layer; i++) {
        const struct wi_block_weights *b = &w->enc[i];
        weights->layers[i] = (struct wi_enc_layer){
            .attn_ln = b->attn_ln,
            .mlp_ln = b->mlp_ln,
            .qkv = stacked(&b->attn, d, stride, weights->qkv_bias + (size_t)i * 3 * (size_t)stride),
            .out = single(&b->attn.out, d, d),
            .mlp_in = single(&b->mlp_in, 4 * d, d),
            .mlp_out = single(&b->mlp_out, d, 4 * d),
        };
    }
}

/* All matrices, convolutions first; NULL after the last. */
static struct wi_enc_matrix *nth_matrix(struct wi_enc_weights *w, int i) {
    if (i < 2)
        return i == 0 ? &w->conv1 : &w->conv2;
    if (i - 2 >= 4 * w->model->dims.n_audio_layer)
        return NULL;
    struct wi_enc_layer *layer = &w->layers[(i - 2) / 4];
    struct wi_enc_matrix *matrices[4] = {&layer->qkv, &layer->out, &layer->mlp_in, &layer->mlp_out};
    return matrices[(i - 2) % 4];
}

/* Whether it is packed when the model is opened: convolutions and operands of bf16 products always,
 * f32 where that takes at most twice the bytes that the file has, which are given back.  The
 * portable level, whose decoder leaves its weights in the file too, is for little memory instead.
 */
static bool is_kept(const struct wi_enc_weights *w, const struct wi_enc_matrix *m) {
    if (m == &w->conv1 || m == &w->conv2 || w->kern->value_type == WI_BF16)
        return true;
    if (w->kern->level == WI_PORTABLE)
        return false;
    for (int i = 0; i < m->n_parts; i++)
        if (2 * wi_dtype_row_bytes(m->parts[i]->type, (size_t)m->k) < (size_t)m->k * sizeof(float))
            return false;
    return true;
}

/* The next matrix that is kept, from number *i on, which is set behind it; NULL: none. */
static struct wi_enc_matrix *next_kept(struct wi_enc_weights *w, int *i) {
    struct wi_enc_matrix *m;
    while ((m = nth_matrix(w, (*i)++)) != NULL)
        if (is_kept(w, m))
            return m;
    return NULL;
}

/* One panel of a convolution at a time: rows [n_in, 3] of the file become [3, n_in]. */
struct conv_job {
    const struct wi_kern *kern;
    const struct wi_enc_matrix *w;
    uint32_t *packed;
    float *rows; /* [n_threads, tile_cols + 1, k] */
};

static void pack_conv_panel(void *arg, int item, int thread) {
    const struct conv_job *job = arg;
    const struct wi_tensor *t = job->w->parts[0];
    int cols = job->kern->tile_cols, k = job->w->k, n_in = k / 3, j0 = item * cols;
    int n = job->w->n - j0 < cols ? job->w->n - j0 : cols;
    size_t row_bytes = wi_dtype_row_bytes(t->type, (size_t)k);
    float *rows = job->rows + (size_t)thread * (size_t)(cols + 1) * (size_t)k;
    float *row = rows + (size_t)cols * (size_t)k;
    for (int j = 0; j < n; j++) {
        job->kern->dequant(t->type, t->data + (size_t)(j0 + j) * row_bytes, row, k);
        for (int c = 0; c < n_in; c++)
            for (int tap = 0; tap < 3; tap++)
                rows[(size_t)j * (size_t)k + (size_t)(tap * n_in + c)] = row[3 * c + tap];
    }
    job->kern->pack_rows(WI_F32, (const uint8_t *)rows, (size_t)k * sizeof *rows, n, k,
                         job->packed + wi_packed_units(job->kern, j0, k));
}

static int pack_conv(const struct wi_enc_weights *weights, struct wi_pool *pool,
                     const struct wi_enc_matrix *w, uint32_t *packed, struct wisp_error *err) {
    struct conv_job job = {weights->kern, w, packed, NULL};
    int cols = weights->kern->tile_cols;
    job.rows = wi_malloc((size_t)wi_pool_threads(pool) * (size_t)(cols + 1) * (size_t)w->k,
                         sizeof *job.rows);
    if (!job.rows)
        return wi_err_nomem(err, "the weights of a convolution");
    wi_pool_run(pool, (w->n + cols - 1) / cols, pack_conv_panel, &job);
    wi_free(job.rows);
    return WISP_OK;
}

static void pack_parts(const struct wi_enc_weights *weights, struct wi_pool *pool,
                       const struct wi_enc_matrix *w, uint32_t *packed) {
    for (int i = 0; i < w->n_parts; i++) {
        const struct wi_tensor *t = w->parts[i];
        wi_pack(weights->kern, pool, t->type, t->data, wi_dtype_row_bytes(t->type, (size_t)w->k),
                w->part_n, w->k,
                packed + wi_packed_units(weights->kern, i * (w->n / w->n_parts), w->k));
    }
}

static int pack_all(struct wi_enc_weights *weights, struct wi_pool *pool, struct wisp_error *err) {
    struct wi_enc_matrix *w;
    size_t n_units = 0;
    for (int i = 0; (w = next_kept(weights, &i)) != NULL;)
        n_units += wi_packed_units(weights->kern, w->n, w->k);
    weights->units = wi_malloc64(n_units, sizeof *weights->units);
    if (!weights->units)
        return wi_err_nomem(err, "the encoder's packed weights");
    uint32_t *packed = weights->units;
    for (int i = 0; (w = next_kept(weights, &i)) != NULL;) {
        if (w == &weights->conv1 || w == &weights->conv2) {
            int rc = pack_conv(weights, pool, w, packed, err);
            if (rc != WISP_OK)
                return rc;
        } else {
            pack_parts(weights, pool, w, packed);
        }
        w->packed = packed;
        packed += wi_packed_units(weights->kern, w->n, w->k);
    }
    return WISP_OK;
}

int wi_enc_weights_create(struct wi_enc_weights **out, const struct wi_model *model,
                          const struct wi_kern *kern, struct wi_pool *pool,
                          struct wisp_error *err) {
    int n_layers = model->dims.n_audio_layer, cols = kern->tile_cols;
    struct wi_enc_weights *w = wi_calloc(1, sizeof *w);
    *out = w;
    if (!w)
        return wi_err_nomem(err, "the encoder's weights");
    w->model = model;
    w->kern = kern;
    w->part_stride = (model->dims.n_audio_state + cols - 1) / cols * cols;
    w->layers = wi_calloc((size_t)n_layers, sizeof *w->layers);
    w->qkv_bias = wi_calloc((size_t)n_layers * 3 * (size_t)w->part_stride, sizeof *w->qkv_bias);
    int rc = WISP_OK;
    if (!w->layers || !w->qkv_bias) {
        rc = wi_err_nomem(err, "the encoder's weights");
    } else {
        name_layers(w);
        rc = pack_all(w, pool, err);
    }
    if (rc != WISP_OK)
        wi_enc_weights_destroy(out);
    return rc;
}

void wi_enc_weights_release_source(struct wi_enc_weights *weights) {
    struct wi_enc_matrix *w;
    for (int i = 0; (w = next_kept(weights, &i)) != NULL;)
        for (int p = 0; p < w->n_parts; p++)
            wi_mapfile_forget(w->parts[p]->data, w->parts[p]->bytes);
}

void wi_enc_weights_destroy(struct wi_enc_weights **out) {
    struct wi_enc_weights *w = *out;
    if (!w)
        return;
    wi_free(w->layers);
    wi_free(w->qkv_bias);
    wi_free(w->units);
    wi_free(w);
    *out = NULL;
}

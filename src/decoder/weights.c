#include "decoder/weights.h"

#include <assert.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

static const char *const names[WI_N_DEC_FORMATS] = {"f32", "bf16", "int8"};

const char *wi_dec_format_name(enum wi_dec_format format) {
    return names[format];
}

int wi_dec_format_parse(enum wi_dec_format *format, const char *name, enum wi_level level,
                        struct wisp_error *err) {
    *format = level == WI_PORTABLE ? WI_DEC_F32 : WI_DEC_INT8;
    if (!name || !*name)
        return WISP_OK;
    for (int i = 0; i < WI_N_DEC_FORMATS; i++)
        if (strcmp(name, names[i]) == 0) {
            *format = (enum wi_dec_format)i;
            return WISP_OK;
        }
    return wi_err_set(err, WISP_E_ARG, "decoder weights '%s' are unknown; use one of: f32, bf16, int8",
                      name);
}

struct packer {
    const struct wi_model *model;
    const struct wi_kern *kern;
    struct wi_pool *pool;
    enum wi_panel_type type;
    uint8_t *next; /* where the next matrix will lie */
};

/* Of all matrices, which lie one after another in the order in which a step reads them. */
static size_t total_bytes(const struct wisp_dims *dims, enum wi_panel_type type,
                          enum wi_panel_type vocabulary) {
    int d = dims->n_text_state;
    size_t layer = wi_panels_size(type, 3 * wi_dec_qkv_rows(d), d) + 3 * wi_panels_size(type, d, d) +
                   wi_panels_size(type, 4 * d, d) + wi_panels_size(type, d, 4 * d);
    return (size_t)dims->n_text_layer * layer + wi_panels_size(vocabulary, dims->n_vocab, d);
}

static struct wi_panels place(struct packer *p, int n, int k) {
    struct wi_panels w = wi_panels_at(p->type, n, k, p->next);
    p->next += wi_panels_bytes(&w);
    return w;
}

/* Rows j0.. of w from a tensor [n, k]. */
static void fill(struct packer *p, const struct wi_panels *w, int j0, const struct wi_tensor *t) {
    struct wi_panel_source source = {
        .type = t->type, .data = t->data, .stride = wi_dtype_row_bytes(t->type, (size_t)w->k)};
    wi_panels_pack(p->kern, p->pool, w, j0, (int)t->dims[0], &source);
    if (!p->model->arena)
        wi_mapfile_forget(t->data, t->bytes);
}

static struct wi_panels pack(struct packer *p, const struct wi_tensor *t) {
    struct wi_panels w = place(p, (int)t->dims[0], (int)t->dims[1]);
    fill(p, &w, 0, t);
    return w;
}

/* Three matrices of n rows as one, so that a step waits once for them instead of three times; n that is
 * no multiple of a panel's rows leaves gaps. */
static void pack_qkv(struct packer *p, struct wi_dec_layer *layer, const struct wi_attn_weights *w,
                     float *bias) {
    const struct wi_linear *parts[3] = {&w->q, &w->k, &w->v};
    int n = (int)w->q.w->dims[0], rows = wi_dec_qkv_rows(n);
    layer->qkv = place(p, 3 * rows, n);
    layer->qkv_bias = bias;
    for (int i = 0; i < 3; i++) {
        fill(p, &layer->qkv, i * rows, parts[i]->w);
        if (parts[i]->b)
            memcpy(bias + i * rows, parts[i]->b, (size_t)n * sizeof *bias);
    }
}

static void pack_layer(struct packer *p, struct wi_dec_layer *to, const struct wi_block_weights *from,
                       float *qkv_bias) {
    pack_qkv(p, to, &from->attn, qkv_bias);
    to->out = pack(p, from->attn.out.w);
    to->cross_q = pack(p, from->cross.q.w);
    to->cross_out = pack(p, from->cross.out.w);
    to->mlp_in = pack(p, from->mlp_in.w);
    to->mlp_out = pack(p, from->mlp_out.w);
}

int wi_dec_weights_init(struct wi_dec_weights *w, const struct wi_model *model,
                        const struct wi_kern *kern, struct wi_pool *pool, enum wi_dec_format format,
                        struct wisp_error *err) {
    const enum wi_panel_type types[WI_N_DEC_FORMATS] = {WI_PANEL_F32, WI_PANEL_BF16, WI_PANEL_INT8};
    struct packer p = {model, kern, pool, types[format], NULL};
    int n = model->dims.n_text_layer;
    size_t bias = (size_t)(3 * wi_dec_qkv_rows(model->dims.n_text_state));
    *w = (struct wi_dec_weights){.format = format, .n_layer = n};
    w->cross = format == WI_DEC_INT8 ? kern->int8_type : p.type;
    if (format == WI_DEC_F32)
        return WISP_OK;
    size_t bytes = total_bytes(&model->dims, p.type, w->cross);
    w->data = p.next = wi_malloc_streamed(1, bytes);
    w->layers = wi_calloc((size_t)n, sizeof *w->layers);
    w->biases = wi_calloc((size_t)n * bias, sizeof *w->biases);
    if (!w->data || !w->layers || !w->biases) {
        wi_dec_weights_fini(w);
        return wi_err_nomem(err, "packed weights");
    }
    for (int i = 0; i < n; i++)
        pack_layer(&p, &w->layers[i], &model->w.dec[i], w->biases + (size_t)i * bias);
    p.type = w->cross;
    w->vocabulary = pack(&p, model->w.tok_emb);
    assert(p.next == w->data + bytes);
    return WISP_OK;
}

void wi_dec_weights_fini(struct wi_dec_weights *w) {
    wi_free(w->data);
    wi_free(w->layers);
    wi_free(w->biases);
    w->data = NULL;
    w->layers = NULL;
    w->biases = NULL;
}

size_t wi_dec_weights_bytes(const struct wi_dec_weights *w, const struct wi_model *model) {
    size_t bytes = w->layers ? wi_panels_bytes(&w->vocabulary) : model->w.tok_emb->bytes;
    for (int i = 0; i < w->n_layer; i++) {
        const struct wi_block_weights *from = &model->w.dec[i];
        const struct wi_dec_layer *to = &w->layers[i];
        if (w->layers)
            bytes += wi_panels_bytes(&to->qkv) + wi_panels_bytes(&to->out) + wi_panels_bytes(&to->cross_q) +
                     wi_panels_bytes(&to->cross_out) + wi_panels_bytes(&to->mlp_in) +
                     wi_panels_bytes(&to->mlp_out);
        else
            bytes += from->attn.q.w->bytes + from->attn.k.w->bytes + from->attn.v.w->bytes +
                     from->attn.out.w->bytes + from->cross.q.w->bytes + from->cross.out.w->bytes +
                     from->mlp_in.w->bytes + from->mlp_out.w->bytes;
    }
    return bytes;
}

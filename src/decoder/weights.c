#include "decoder/weights.h"

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
    struct wisp_error *err;
    int rc;
};

static void reserve(struct packer *p, struct wi_panels *w, int n, int k) {
    if (p->rc == WISP_OK)
        p->rc = wi_panels_init(w, p->type, n, k, p->err);
}

/* Rows j0.. of w from a tensor [n, k]. */
static void fill(struct packer *p, const struct wi_panels *w, int j0, const struct wi_tensor *t) {
    if (p->rc != WISP_OK)
        return;
    struct wi_panel_source source = {
        .type = t->type, .data = t->data, .stride = wi_dtype_row_bytes(t->type, (size_t)w->k)};
    wi_panels_pack(p->kern, p->pool, w, j0, (int)t->dims[0], &source);
    if (!p->model->arena)
        wi_mapfile_forget(t->data, t->bytes);
}

static void pack(struct packer *p, struct wi_panels *w, const struct wi_tensor *t) {
    reserve(p, w, (int)t->dims[0], (int)t->dims[1]);
    fill(p, w, 0, t);
}

/* Three matrices of n rows as one, so that a step waits once for them instead of three times; n that is
 * no multiple of a panel's rows leaves gaps. */
static void pack_qkv(struct packer *p, struct wi_dec_layer *layer, const struct wi_attn_weights *w) {
    const struct wi_linear *parts[3] = {&w->q, &w->k, &w->v};
    int n = (int)w->q.w->dims[0], rows = wi_dec_qkv_rows(n);
    reserve(p, &layer->qkv, 3 * rows, n);
    if (p->rc != WISP_OK)
        return;
    layer->qkv_bias = wi_calloc((size_t)(3 * rows), sizeof *layer->qkv_bias);
    if (!layer->qkv_bias)
        p->rc = wi_err_nomem(p->err, "packed weights");
    for (int i = 0; i < 3 && p->rc == WISP_OK; i++) {
        fill(p, &layer->qkv, i * rows, parts[i]->w);
        if (parts[i]->b)
            memcpy(layer->qkv_bias + i * rows, parts[i]->b, (size_t)n * sizeof *layer->qkv_bias);
    }
}

int wi_dec_weights_init(struct wi_dec_weights *w, const struct wi_model *model,
                        const struct wi_kern *kern, struct wi_pool *pool, enum wi_dec_format format,
                        struct wisp_error *err) {
    struct packer p = {model, kern, pool, format == WI_DEC_BF16 ? WI_PANEL_BF16 : WI_PANEL_INT8, err, WISP_OK};
    *w = (struct wi_dec_weights){.format = format, .n_layer = model->dims.n_text_layer};
    if (format == WI_DEC_F32)
        return WISP_OK;
    w->layers = wi_calloc((size_t)w->n_layer, sizeof *w->layers);
    if (!w->layers)
        return wi_err_nomem(err, "packed weights");
    for (int i = 0; i < w->n_layer; i++) {
        const struct wi_block_weights *from = &model->w.dec[i];
        struct wi_dec_layer *to = &w->layers[i];
        pack_qkv(&p, to, &from->attn);
        pack(&p, &to->out, from->attn.out.w);
        pack(&p, &to->cross_q, from->cross.q.w);
        pack(&p, &to->cross_out, from->cross.out.w);
        pack(&p, &to->mlp_in, from->mlp_in.w);
        pack(&p, &to->mlp_out, from->mlp_out.w);
    }
    pack(&p, &w->vocabulary, model->w.tok_emb);
    if (p.rc != WISP_OK)
        wi_dec_weights_fini(w);
    return p.rc;
}

void wi_dec_weights_fini(struct wi_dec_weights *w) {
    for (int i = 0; w->layers && i < w->n_layer; i++) {
        struct wi_dec_layer *layer = &w->layers[i];
        wi_panels_fini(&layer->qkv);
        wi_panels_fini(&layer->out);
        wi_panels_fini(&layer->cross_q);
        wi_panels_fini(&layer->cross_out);
        wi_panels_fini(&layer->mlp_in);
        wi_panels_fini(&layer->mlp_out);
        wi_free(layer->qkv_bias);
    }
    wi_panels_fini(&w->vocabulary);
    wi_free(w->layers);
    w->layers = NULL;
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

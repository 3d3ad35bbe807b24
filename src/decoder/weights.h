/* The decoder's weights as its steps read them: in the file's format, or packed as bf16 or int8.  Made once
 * when a model is opened, immutable afterwards, shared by all contexts; whoever made them frees them. */
#ifndef WISP_SRC_DECODER_WEIGHTS_H
#define WISP_SRC_DECODER_WEIGHTS_H

#include "base/pool.h"
#include "cpu/kern.h"
#include "model/model.h"

enum wi_dec_format {
    WI_DEC_F32,  /* exactly the file's values, products and caches in f32 */
    WI_DEC_BF16, /* rounded to bf16, as are the caches */
    /* a scale for 32 values; activations in 16 bits, but of the vocabulary and of attention to the audio in
     * 8 with a scale for 32 where the level multiplies bytes */
    WI_DEC_INT8,
    WI_N_DEC_FORMATS
};

/* Queries, keys and values are one product; each begins with a panel of its own. */
static inline int wi_dec_qkv_rows(int n_state) {
    return (n_state + WI_PANEL_ROWS - 1) / WI_PANEL_ROWS * WI_PANEL_ROWS;
}

struct wi_dec_layer {
    struct wi_panels qkv /* [3 qkv_rows, n_state] */, out, cross_q, cross_out, mlp_in, mlp_out;
    const float *qkv_bias; /* [3 qkv_rows] */
};

struct wi_dec_weights {
    enum wi_dec_format format;
    int n_layer;
    struct wi_dec_layer *layers; /* [n_layer]; NULL for f32 */
    struct wi_panels vocabulary; /* [n_vocab, n_state] */
    enum wi_panel_type cross;    /* of keys and values of the audio */
    uint8_t *data;               /* that all matrices lie in */
    float *biases;               /* [n_layer, 3 qkv_rows] */
};

const char *wi_dec_format_name(enum wi_dec_format format);

/* Format called `name`; NULL or "" = the fastest whose transcripts are those of f32: int8, and f32 at the
 * portable level, which is the reference.  Errors: ARG. */
int wi_dec_format_parse(enum wi_dec_format *format, const char *name, enum wi_level level,
                        struct wisp_error *err);

/* Pack a model's weights over the pool; pages of the file that were read only for this are given back.
 * Errors: NOMEM. */
int wi_dec_weights_init(struct wi_dec_weights *w, const struct wi_model *model,
                        const struct wi_kern *kern, struct wi_pool *pool, enum wi_dec_format format,
                        struct wisp_error *err);
void wi_dec_weights_fini(struct wi_dec_weights *w);

/* Bytes of weights that one step reads. */
size_t wi_dec_weights_bytes(const struct wi_dec_weights *w, const struct wi_model *model);

#endif

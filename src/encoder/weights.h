/* The encoder's weights as its products read them, packed when the model is opened.  Where that
 * would be several times the file (f32 products, quantised weights), and at the portable level,
 * only the convolutions are, and a product packs the rest as it goes.  Owned by whoever created
 * them, immutable, so that contexts in many threads may share them; they borrow model and kernels.
 */
#ifndef WISP_SRC_ENCODER_WEIGHTS_H
#define WISP_SRC_ENCODER_WEIGHTS_H

#include "base/pool.h"
#include "cpu/kern.h"
#include "model/model.h"

/* y = x W^T + b.  W [n, k] is made of n_parts matrices [part_n, k], one below the other, each
 * filled up with rows of 0 to n / n_parts. */
struct wi_enc_matrix {
    int n, k, n_parts, part_n;
    const struct wi_tensor *parts[3];
    const float *bias;      /* [n] or NULL */
    const uint32_t *packed; /* or NULL: multiply the parts as they are in the file */
};

struct wi_enc_layer {
    struct wi_norm attn_ln, mlp_ln;
    struct wi_enc_matrix qkv, out, mlp_in, mlp_out;
};

struct wi_enc_weights {
    const struct wi_model *model;
    const struct wi_kern *kern;
    struct wi_enc_matrix conv1,
        conv2;                   /* k = 3 taps x n_in: the taps are outermost, unlike the file */
    struct wi_enc_layer *layers; /* [n_audio_layer] */
    uint32_t *units;             /* everything packed */
    float *qkv_bias;             /* [n_audio_layer, qkv.n] */
    int part_stride;             /* columns from queries to keys to values: qkv.n / 3 */
};

int wi_enc_weights_create(struct wi_enc_weights **out, const struct wi_model *model,
                          const struct wi_kern *kern, struct wi_pool *pool, struct wisp_error *err);
/* Give back the memory of what was packed: a file's pages, or the contents of random weights, which
 * are lost. */
void wi_enc_weights_release_source(struct wi_enc_weights *weights);
void wi_enc_weights_destroy(struct wi_enc_weights **weights);

#endif

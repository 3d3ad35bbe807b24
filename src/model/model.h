/* Turns a model file or folder into dimensions, named weights in place (mmap) and a vocabulary.  The
 * struct wi_model owns the maps and every array it points to, and is immutable after opening, so that
 * contexts in many threads may share it. */
#ifndef WISP_SRC_MODEL_MODEL_H
#define WISP_SRC_MODEL_MODEL_H

#include <stddef.h>
#include <stdint.h>
#include <wisp/wisp.h>

#include "base/dtype.h"
#include "base/mapfile.h"

/* A tensor where it lies in the file (data may be unaligned), row-major, dims outermost first. */
struct wi_tensor {
    char *name; /* openai-whisper's name, e.g. "encoder.blocks.0.attn.query.weight" */
    enum wi_dtype type;
    int n_dims;
    int64_t dims[4];
    const uint8_t *data;
    size_t bytes;
};

/* y = x W^T + b:  W [n_out, n_in] in the file's type, b f32 [n_out] or NULL. */
struct wi_linear {
    const struct wi_tensor *w;
    const float *b;
};
struct wi_norm {
    const float *w, *b; /* [n_state] */
};
struct wi_attn_weights {
    struct wi_linear q, k /* no bias */, v, out; /* all [n_state, n_state] */
};
struct wi_block_weights {
    struct wi_norm attn_ln;
    struct wi_attn_weights attn;
    struct wi_norm cross_ln;           /* decoder only */
    struct wi_attn_weights cross;      /* decoder only */
    struct wi_norm mlp_ln;
    struct wi_linear mlp_in;           /* [4 n_state, n_state] */
    struct wi_linear mlp_out;          /* [n_state, 4 n_state] */
};
struct wi_weights {
    struct wi_linear conv1;            /* w dims [n_audio_state, n_mels, 3] */
    struct wi_linear conv2;            /* w dims [n_audio_state, n_audio_state, 3] */
    const float *enc_pos;              /* [n_audio_ctx, n_audio_state] */
    struct wi_block_weights *enc;      /* [n_audio_layer] */
    struct wi_norm enc_ln;
    const struct wi_tensor *tok_emb;   /* [n_vocab, n_text_state], also the output projection */
    const float *dec_pos;              /* [n_text_ctx, n_text_state] */
    struct wi_block_weights *dec;      /* [n_text_layer] */
    struct wi_norm dec_ln;
};

struct wi_vocab; /* text/vocab.h */

/* The file side of a model: what the readers fill in. */
struct wi_model {
    char *path;
    const char *container; /* "ggml", "safetensors", "memory" */
    struct wisp_dims dims;
    struct wi_mapfile *maps; /* [n_maps] */
    size_t n_maps;
    uint8_t *arena; /* "memory" models: the random weights */
    struct wi_tensor *tensors; /* [n_tensors], file order */
    size_t n_tensors;
    float *vectors; /* all f32 copies of biases, norms and positions, one block */
    struct wi_weights w;
    struct wi_vocab *vocab;
};

int wi_model_open(struct wi_model **out, const char *path, struct wisp_error *err);
int wi_model_create_random(struct wi_model **out, const struct wisp_dims *dims, uint64_t seed,
                           struct wisp_error *err);
void wi_model_close(struct wi_model **model);

#endif

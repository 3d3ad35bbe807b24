/* An encoder and a decoder on a small model of random weights, at any level and thread count, for
 * tests. A rig owns all it holds until rig_close.  Not thread-safe. */
#ifndef WISP_TESTS_UNIT_RIG_H
#define WISP_TESTS_UNIT_RIG_H

#include <stdbool.h>

#include "decoder/decoder.h"
#include "encoder/encoder.h"

struct rig {
    struct wi_model *model;
    struct wi_kern kern;
    struct wi_pool *pool;
    struct wi_enc_weights *enc_weights;
    struct wi_enc *enc;
    struct wi_dec_weights weights;
    struct wi_dec *dec;
    struct wisp_error err;
};

/* Fails the test when it cannot be made.  The same dimensions give the same weights. */
struct rig *rig_open(const struct wisp_dims *dims, enum wi_level level, int n_threads);
/* The same with decoder weights other than f32. */
struct rig *rig_open_format(const struct wisp_dims *dims, enum wi_level level,
                            enum wi_dec_format format, int n_threads);
void rig_close(struct rig *rig);

/* Whether this machine has the level. */
bool rig_has(enum wi_level level);

/* Relative L2 distance to f64 that a level may have (docs/numerics.md). */
double rig_bound(enum wi_level level);

/* Deterministic values in [-1, 1.5), the range of a log-mel; for free(). */
float *rig_mel(const struct wisp_dims *dims, unsigned seed);

/* Make the tensor's first weight infinite, for encoder and decoder. */
void rig_poison(struct rig *rig, const struct wi_tensor *t);

#endif

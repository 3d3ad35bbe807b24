/* Turns a mel window into audio features: conv stem, transformer blocks, final norm.  An encoder holds
 * its scratch memory, sized at creation, and borrows weights and pool, which must outlive it.  One
 * thread at a time may run it. */
#ifndef WISP_SRC_ENCODER_ENCODER_H
#define WISP_SRC_ENCODER_ENCODER_H

#include "base/pool.h"
#include "encoder/weights.h"

struct wi_enc;

int wi_enc_create(struct wi_enc **out, const struct wi_enc_weights *weights, struct wi_pool *pool,
                  struct wisp_error *err);
void wi_enc_destroy(struct wi_enc **enc);

/* mel [n_mels, 2 * n_audio_ctx] -> features [n_audio_ctx, n_audio_state].  `should_abort` (may be
 * NULL) is polled once a layer.  Errors: ARG (the mel is not finite), CANCELLED, INTERNAL (a non-finite
 * value: names the layer). */
int wi_enc_run(struct wi_enc *enc, const float *mel, float *features,
               bool (*should_abort)(void *user), void *user, struct wisp_error *err);

#endif

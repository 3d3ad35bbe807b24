/* The decoder's attention to the audio: keys and values of one window, packed head by head so that both
 * products of attention are products with few rows.  A struct wi_cross owns its memory; one thread at a
 * time may run it. */
#ifndef WISP_SRC_DECODER_CROSS_H
#define WISP_SRC_DECODER_CROSS_H

#include "base/pool.h"
#include "cpu/kern.h"

struct wi_cross {
    int n_layer, n_head, d_head, n_audio;
    struct wi_panels keys;   /* [n_layer, n_head, n_audio, d_head]: each head begins with a new panel */
    struct wi_panels values; /* [n_layer, n_head, d_head, n_audio] */
    float *scratch;          /* [n_threads, stride] */
    size_t stride;
};

int wi_cross_init(struct wi_cross *c, const struct wisp_dims *dims, enum wi_panel_type type,
                  int n_threads, struct wisp_error *err);
/* Bytes of keys and values that a step reads. */
size_t wi_cross_bytes(const struct wisp_dims *dims, enum wi_panel_type type);
void wi_cross_fini(struct wi_cross *c);

/* Take keys and values [n_audio, n_state] of one layer. */
void wi_cross_store(struct wi_cross *c, const struct wi_kern *kern, struct wi_pool *pool, int layer,
                    const float *keys, const float *values);

/* out[n, n_state] = attention of the queries q[n, n_state] to the audio. */
void wi_cross_attend(struct wi_cross *c, const struct wi_kern *kern, struct wi_pool *pool, int layer,
                     int n, const float *q, float *out);

#endif

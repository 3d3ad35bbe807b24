/* Turns audio features and token sequences into logits, keeping the attention keys and values of up to
 * `max_seqs` sequences.  A decoder owns its caches and scratch, sized at creation, and borrows model,
 * weights, kernels and pool.  One thread at a time may run it. */
#ifndef WISP_SRC_DECODER_DECODER_H
#define WISP_SRC_DECODER_DECODER_H

#include "base/pool.h"
#include "cpu/kern.h"
#include "decoder/weights.h"
#include "model/model.h"

enum { WI_DEC_MAX_SEQS = 16 };

struct wi_dec;

/* `weights` are the model's. */
int wi_dec_create(struct wi_dec **out, const struct wi_model *model,
                  const struct wi_dec_weights *weights, const struct wi_kern *kern,
                  struct wi_pool *pool, struct wisp_error *err);
void wi_dec_destroy(struct wi_dec **dec);

/* Cross-attention keys and values of features [n_audio_ctx, n_audio_state], once per window. */
int wi_dec_set_audio(struct wi_dec *dec, const float *features, struct wisp_error *err);

/* Forget all sequences and run the prompt tokens [n] as sequence 0.  Raw logits of the positions
 * rows[0..n_rows-1] are written to logits [n_rows, n_vocab].  1 <= n <= n_text_ctx.
 * Errors: ARG, NOMEM, INTERNAL (non-finite logits or layer: named). */
int wi_dec_prompt(struct wi_dec *dec, const int *tokens, int n, const int *rows, int n_rows,
                  float *logits, struct wisp_error *err);

/* One step of `n_seqs` sequences in one batch, all of the same length: new sequence i continues old
 * sequence parents[i] (repeats allowed) with tokens[i].  Raw logits to logits [n_seqs, n_vocab].
 * The caches reserve memory for more sequences when `n_seqs` first asks for them.
 * Errors: ARG (no prompt yet, no such parent or token, length would pass n_text_ctx; nothing has
 * changed), NOMEM (neither), INTERNAL. */
int wi_dec_step(struct wi_dec *dec, const int *tokens, const int *parents, int n_seqs, float *logits,
                struct wisp_error *err);

/* Bytes that a step reads whatever it does: weights, and keys and values of the audio; and those that it
 * reads for every token before it. */
size_t wi_dec_step_bytes(const struct wi_model *model, const struct wi_dec_weights *weights);
size_t wi_dec_position_bytes(const struct wi_model *model, const struct wi_dec_weights *weights);

/* Tokens per sequence so far, and the number of sequences. */
const struct wi_kern *wi_dec_kern(const struct wi_dec *dec);
int wi_dec_length(const struct wi_dec *dec);
int wi_dec_sequences(const struct wi_dec *dec);

#endif

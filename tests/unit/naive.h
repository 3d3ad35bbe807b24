/* Whisper's encoder and decoder in f64, written from the formulas of openai-whisper's model.py with
 * plain loops and nothing shared with the library but the weights: what encoder and decoder are
 * compared with.  Arrays are the caller's.  Thread-safe. */
#ifndef WISP_TESTS_UNIT_NAIVE_H
#define WISP_TESTS_UNIT_NAIVE_H

#include <stddef.h>

#include "model/model.h"

/* mel [n_mels, 2 n_audio_ctx] -> features [n_audio_ctx, n_state]. */
void naive_encode(const struct wi_model *m, const float *mel, double *features);

/* Logits [n, n_vocab] of every position of one sequence, without a cache. */
void naive_decode(const struct wi_model *m, const double *features, const int *tokens, int n,
                  double *logits);

/* |x - ref| / |ref| in the Euclidean norm; infinite when x has a NaN. */
double naive_distance(const float *x, const double *ref, size_t n);

#endif

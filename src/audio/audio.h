/* Turns an audio file, a pipe or memory into 16 kHz mono f32 samples, read in pieces of any size so
 * that a long file is never in memory as samples.  The reader is owned by whoever opened it.  One
 * thread at a time may use a reader. */
#ifndef WISP_SRC_AUDIO_AUDIO_H
#define WISP_SRC_AUDIO_AUDIO_H

#include <stddef.h>
#include <stdint.h>
#include <wisp/wisp.h>

#include "base/wait.h"

enum { WI_AUDIO_RATE = 16000 /* Hz */ };

struct wi_audio;

/* Open `path`; "-" is standard input.  What libsndfile cannot read goes through an installed `ffmpeg`
 * (child process, no shell).  `params` and `abort` may be NULL; `abort` is copied, and asked as long as
 * a pipe or a child process is waited for, also by wi_audio_read.  Errors: IO, FORMAT, UNSUPPORTED,
 * NOMEM, CANCELLED. */
int wi_audio_open(struct wi_audio **out, const char *path, const struct wisp_audio_params *params,
                  const struct wi_abort *abort, struct wisp_error *err);

/* Read up to `n` samples into `samples`; `*got` is 0 only at the end.  Channels are averaged.
 * Errors: CANCELLED, IO, FORMAT (the data breaks off or a decoder fails: names the second it happened at; a file
 * that ends early is an error, never a silent end). */
int wi_audio_read(struct wi_audio *audio, float *samples, size_t n, size_t *got,
                  struct wisp_error *err);

/* The length in 16 kHz samples as the container states it, 0 when it does not.  For progress only. */
uint64_t wi_audio_length_hint(const struct wi_audio *audio);

void wi_audio_close(struct wi_audio **audio);

#endif

/* The loop over 30 s windows: audio, mel, encoder, decoder, text, wired in the order of the data.  A
 * context owns its stages; a result owns all its memory until wisp_result_free.  One thread at a time
 * may use a context. */
#ifndef WISP_SRC_PIPELINE_PIPELINE_H
#define WISP_SRC_PIPELINE_PIPELINE_H

#include "audio/audio.h"
#include "base/pool.h"
#include "cpu/kern.h"
#include "decoder/decoder.h"
#include "decoder/search.h"
#include "encoder/encoder.h"
#include "mel/mel.h"
#include "model/model.h"

/* The public objects. */
struct wisp_model {
    struct wi_model *file;
    struct wi_kern kern;
    struct wi_enc_weights *enc_weights;
    struct wi_dec_weights dec_weights;
    char device[32]; /* "cpu (avx2)" */
    double load_seconds;
};

struct wisp_ctx {
    const struct wisp_model *model;
    struct wi_pool *pool;
    struct wi_enc *enc;
    struct wi_dec *dec;
    struct wi_search *search;
    float *window;   /* [n_mels, 3000] */
    float *features; /* [n_audio_ctx, n_audio_state] */
};

/* Where samples come from: fills `samples` with up to `n` of them, *got = 0 at the end. */
typedef int (*wi_sample_source)(void *source, float *samples, size_t n, size_t *got,
                                struct wisp_error *err);

/* The spectrogram of all samples of a source, followed by 30 s of silence.  Of `params`, which may be
 * NULL, only the callbacks are used. */
int wi_pipeline_mel(struct wisp_ctx *ctx, wi_sample_source read, void *source,
                    const struct wisp_params *params, struct wi_mel *mel, struct wisp_error *err);

/* The spectrogram of the first 30 s of a source, filled up with silence. */
int wi_pipeline_mel_window(struct wisp_ctx *ctx, wi_sample_source read, void *source,
                           struct wi_mel *mel, struct wisp_error *err);

/* Transcribe a finished spectrogram (openai-whisper's transcribe()).  On CANCELLED too, *out is a
 * result: of the windows that were done. */
int wi_pipeline_run(struct wisp_ctx *ctx, const struct wi_mel *mel, double mel_seconds,
                    const struct wisp_params *params, struct wisp_result **out,
                    struct wisp_error *err);

/* The result of a transcription that was stopped before its first window; returns CANCELLED. */
int wi_pipeline_stopped(struct wisp_ctx *ctx, struct wisp_result **out, struct wisp_error *err);

/* Seconds of a monotonic clock. */
double wi_now(void);

#endif

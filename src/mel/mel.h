/* Turns 16 kHz mono samples into Whisper's log-mel spectrogram of a whole file, of which 30 s windows
 * are slices.  The caller owns a struct wi_mel and releases it with wi_mel_fini.  One thread at a time
 * may feed a builder; a finished wi_mel may be read by many. */
#ifndef WISP_SRC_MEL_MEL_H
#define WISP_SRC_MEL_MEL_H

#include <stddef.h>
#include <stdint.h>
#include <wisp/wisp.h>

enum {
    WI_MEL_HOP = 160,             /* samples per frame: 10 ms */
    WI_MEL_FFT = 400,             /* window, samples: 25 ms */
    WI_MEL_BINS = WI_MEL_FFT / 2 + 1,
    WI_MEL_WINDOW_FRAMES = 3000,  /* 30 s */
};

/* The log-mel of a file followed by silence (openai-whisper's log_mel_spectrogram(): its clamp to
 * max - 8 and (x + 4) / 4 scaling are over all of it, the silence included). */
struct wi_mel {
    int n_mels;
    size_t n_frames;   /* frames of audio content = samples / 160, without the silence */
    size_t n_total;    /* (samples + silence) / 160 */
    float *data;       /* [n_total, n_mels], frame after frame */
};

struct wi_mel_builder;
int wi_mel_builder_create(struct wi_mel_builder **out, int n_mels, struct wisp_error *err);
int wi_mel_builder_feed(struct wi_mel_builder *builder, const float *samples, size_t n,
                        struct wisp_error *err);
/* End of audio: pads with `silence` samples (480000 for a file that is transcribed; what is missing to
 * 30 s for a single window), clamps, scales and hands the spectrogram over. */
int wi_mel_builder_finish(struct wi_mel_builder *builder, size_t silence, struct wi_mel *out,
                          struct wisp_error *err);
void wi_mel_builder_destroy(struct wi_mel_builder **builder);
void wi_mel_fini(struct wi_mel *mel);

/* The window of `n` <= 3000 frames that starts at frame `seek`, in the encoder's layout
 * out [n_mels, 3000]; columns from n on are the number 0.0, as the reference pads. */
void wi_mel_window(const struct wi_mel *mel, size_t seek, size_t n, float *out);

/* The Slaney mel filterbank for 16 kHz and a 400-point FFT, f32 [n_mels, WI_MEL_BINS], from its
 * formula.  `n_mels` > 0. */
void wi_mel_filterbank(int n_mels, float *out);

#endif

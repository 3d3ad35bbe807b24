/* Where decoded samples come from: libsndfile, an ffmpeg child process for what libsndfile cannot
 * read, or headerless samples.  A source is owned by the wi_audio that opened it.  One thread at a
 * time. */
#ifndef WISP_SRC_AUDIO_SOURCE_H
#define WISP_SRC_AUDIO_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <wisp/wisp.h>

#include "base/wait.h"

struct wi_source {
    int rate, channels; /* Hz; samples are interleaved */
    uint64_t frames;    /* as the container states it, 0 = unknown */
    /* Up to n frames [n, channels]; *got = 0 at the end. */
    int (*read)(struct wi_source *source, float *frames, size_t n, size_t *got,
                struct wisp_error *err);
    void (*close)(struct wi_source *source);
};

/* What the three openers read from.  `fd` stays the caller's until an opener succeeds; the source
 * closes it then. */
struct wi_input {
    int fd; /* at the beginning of the audio; a regular file except for headerless samples */
    const char *path; /* for ffmpeg; NULL when only `fd` has the bytes */
    const char *name; /* for messages: "'a.wav'" or "standard input" */
    const struct wi_abort *abort;
};

/* What messages about damaged files end with. */
#define WI_AUDIO_CURE                                                                              \
    "get it again, or keep what is whole with 'ffmpeg -i FILE FILE.wav' and use that"

/* "-" is standard input.  A pipe is copied to an unnamed temporary file, because containers need
 * seeking, unless `raw` says that it has none.  `name` and `abort` must outlive the input and its
 * source.  Errors: IO, FORMAT (empty), CANCELLED. */
int wi_input_open(struct wi_input *in, const char *path, const char *name, bool raw,
                  const struct wi_abort *abort, struct wisp_error *err);

/* UNSUPPORTED, without a text in `err`, when libsndfile does not know the format. */
int wi_source_open_sndfile(struct wi_source **out, const struct wi_input *in,
                           struct wisp_error *err);
int wi_source_open_ffmpeg(struct wi_source **out, const struct wi_input *in,
                          struct wisp_error *err);
int wi_source_open_raw(struct wi_source **out, const struct wi_input *in,
                       const struct wisp_audio_params *params, struct wisp_error *err);

/* How many bytes of audio the container in `fd` promises, and how many of them the file has.  False
 * when it promises nothing: another container, or the length that programs write into a pipe. */
bool wi_audio_promise(int fd, uint64_t *promised, uint64_t *have);

/* Where the data chunk of a WAV file in `fd` says 0 bytes although samples follow (libsndfile
 * believes the 0); 0 when it does not. */
uint64_t wi_audio_unsized_wav(int fd);

#endif

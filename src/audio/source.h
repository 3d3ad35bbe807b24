/* Where decoded samples come from: libsndfile, or an ffmpeg child process for what libsndfile cannot
 * read.  A source is owned by the wi_audio that opened it; one thread at a time. */
#ifndef WISP_SRC_AUDIO_SOURCE_H
#define WISP_SRC_AUDIO_SOURCE_H

#include <stddef.h>
#include <stdint.h>
#include <wisp/wisp.h>

struct wi_source {
    int rate, channels;    /* Hz; samples are interleaved */
    uint64_t frames;       /* as the container states it, 0 = unknown */
    /* Up to n frames [n, channels]; *got = 0 at the end. */
    int (*read)(struct wi_source *source, float *frames, size_t n, size_t *got, struct wisp_error *err);
    void (*close)(struct wi_source *source);
};

/* Both take `fd` over (closing it with the source, and on failure).  `name` is for messages and is copied
 * as far as needed. */
int wi_source_open_sndfile(struct wi_source **out, int fd, const char *name,
                           const struct wisp_audio_params *params, struct wisp_error *err);

/* `path` is what ffmpeg opens; NULL = `fd`, which is a seekable file. */
int wi_source_open_ffmpeg(struct wi_source **out, int fd, const char *path, const char *name,
                          struct wisp_error *err);

#endif

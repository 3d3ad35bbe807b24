/* Audio files for tests, written by libsndfile, and wi_audio's answer to them.  Buffers belong to
 * the caller (free).  One thread at a time. */
#ifndef WISP_TESTS_UNIT_SOUND_H
#define WISP_TESTS_UNIT_SOUND_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "audio/audio.h"

/* What wi_audio made of a file. */
struct sound {
    float *samples;
    size_t n;
    uint64_t hint;
    int rc; /* of opening or reading */
    struct wisp_error err;
};

/* Read all of it in pieces of up to `piece` samples, of random sizes; 0 = always 4096. */
struct sound sound_read(const char *path, const struct wisp_audio_params *params, size_t piece);
void sound_free(struct sound *s);

/* Write interleaved samples [n, channels] with libsndfile's `format`; false when it cannot. */
int sound_write(const char *path, int format, int rate, int channels, const float *samples,
                size_t n);

/* The file's bytes, and the other way round. */
uint8_t *bytes_read(const char *path, size_t *n);
void bytes_write(const char *path, const void *bytes, size_t n);

/* Make standard input a pipe that a child process fills with these bytes, in pieces; and undo it.
 */
struct piped {
    int saved;
    pid_t pid;
};
struct piped stdin_from(const void *bytes, size_t n);
void stdin_restore(struct piped *p);

/* Open descriptors of this process. */
int count_descriptors(void);

/* A sum of tones below 4 kHz with an amplitude of at most 0.5, at time t in seconds. */
double tones(double t);

#endif

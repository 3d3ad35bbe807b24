/* Headerless little-endian samples, from a file or straight from a pipe. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audio/source.h"
#include "base/err.h"
#include "base/mem.h"

struct raw_source {
    struct wi_source base;
    int fd;
    size_t sample_bytes; /* 2: s16; 4: f32 */
    uint64_t done;       /* frames */
    bool ended;
    const char *name; /* borrowed */
    const struct wi_abort *abort;
};

/* In place, from the last sample to the first: an s16 sample is narrower than the float it becomes.
 */
static void to_float(float *samples, size_t n, size_t sample_bytes) {
    const uint8_t *bytes = (const uint8_t *)samples;
    for (size_t i = n; i-- > 0;) {
        const uint8_t *p = bytes + i * sample_bytes;
        uint32_t word = p[0] | (uint32_t)p[1] << 8;
        if (sample_bytes == 2) {
            samples[i] = (float)(int16_t)word / 32768;
        } else {
            word |= (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
            memcpy(&samples[i], &word, sizeof word);
        }
    }
}

static int read_raw(struct wi_source *base, float *frames, size_t n, size_t *got,
                    struct wisp_error *err) {
    struct raw_source *s = (struct raw_source *)base;
    size_t frame_bytes = s->sample_bytes * (size_t)base->channels, have = 0;
    int ready;
    *got = 0;
    while (!s->ended && (have == 0 || have % frame_bytes != 0)) {
        int rc = wi_wait_readable(&s->fd, 1, &ready, s->name, s->abort, err);
        if (rc != WISP_OK)
            return rc;
        ssize_t count = read(s->fd, (uint8_t *)frames + have, n * frame_bytes - have);
        if (count < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (count < 0)
            return wi_err_errno(err, WISP_E_IO, errno, "cannot read %s", s->name);
        s->ended = count == 0;
        have += (size_t)count;
    }
    *got = have / frame_bytes;
    s->done += *got;
    if (have % frame_bytes != 0)
        return wi_err_set(
            err, WISP_E_FORMAT,
            "%s breaks off inside a sample after %.2f s (a frame is %zu bytes); check the raw "
            "format and number of channels",
            s->name, (double)s->done / base->rate, frame_bytes);
    if (s->ended && s->done == 0)
        return wi_err_set(err, WISP_E_FORMAT, "%s is empty (0 bytes); give samples", s->name);
    to_float(frames, *got * (size_t)base->channels, s->sample_bytes);
    return WISP_OK;
}

static void close_raw(struct wi_source *base) {
    close(((struct raw_source *)base)->fd);
    wi_free(base);
}

int wi_source_open_raw(struct wi_source **out, const struct wi_input *in,
                       const struct wisp_audio_params *params, struct wisp_error *err) {
    const char *format = params->raw_format ? params->raw_format : "s16";
    bool is_float = strcmp(format, "f32") == 0;
    struct stat st;
    *out = NULL;
    if (!is_float && strcmp(format, "s16") != 0)
        return wi_err_set(err, WISP_E_ARG, "raw sample format '%s' is unknown; use s16 or f32",
                          format);
    struct raw_source *s = wi_calloc(1, sizeof *s);
    if (!s)
        return wi_err_nomem(err, "the audio reader");
    s->base = (struct wi_source){.rate = params->raw_rate,
                                 .channels = params->raw_channels,
                                 .read = read_raw,
                                 .close = close_raw};
    s->fd = in->fd;
    s->name = in->name;
    s->abort = in->abort;
    s->sample_bytes = is_float ? 4 : 2;
    if (params->raw_channels > 0 && fstat(in->fd, &st) == 0 && S_ISREG(st.st_mode))
        s->base.frames = (uint64_t)st.st_size / s->sample_bytes / (uint64_t)params->raw_channels;
    *out = &s->base;
    return WISP_OK;
}

#include <fcntl.h>
#include <sndfile.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audio/source.h"
#include "base/err.h"
#include "base/mem.h"

struct sndfile_source {
    struct wi_source base;
    SNDFILE *file;
    uint64_t done; /* frames read */
    bool whole;    /* the container states its length for certain: less is an error */
    char *name;
};

static int read_frames(struct wi_source *base, float *frames, size_t n, size_t *got,
                       struct wisp_error *err) {
    struct sndfile_source *s = (struct sndfile_source *)base;
    sf_count_t count = sf_readf_float(s->file, frames, (sf_count_t)n);
    *got = count > 0 ? (size_t)count : 0;
    s->done += *got;
    double second = (double)s->done / base->rate;
    if (sf_error(s->file) != SF_ERR_NO_ERROR)
        return wi_err_set(err, WISP_E_FORMAT, "'%s' cannot be decoded after %.2f s (%s); the file is damaged",
                          s->name, second, sf_strerror(s->file));
    if (*got == 0 && s->whole && s->done < base->frames)
        return wi_err_set(err, WISP_E_FORMAT,
                          "'%s' breaks off after %.2f of %.2f s; it was not copied or written completely",
                          s->name, second, (double)base->frames / base->rate);
    return WISP_OK;
}

static void close_sndfile(struct wi_source *base) {
    struct sndfile_source *s = (struct sndfile_source *)base;
    if (s->file)
        sf_close(s->file);
    wi_free(s->name);
    wi_free(s);
}

static uint32_t le32(const uint8_t *p) {
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* A RIFF file whose data chunk promises more than the file has.  libsndfile silently takes what is
 * there, which is right for the sizes that streaming writers leave (0, or near 2^31 or 2^32). */
static int check_riff_length(int fd, const char *name, struct wisp_error *err) {
    uint8_t head[12], chunk[8];
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || pread(fd, head, 12, 0) != 12 ||
        memcmp(head, "RIFF", 4) != 0 || memcmp(head + 8, "WAVE", 4) != 0)
        return WISP_OK;
    off_t at = 12;
    while (pread(fd, chunk, 8, at) == 8) {
        off_t size = le32(chunk + 4), have = st.st_size - at - 8;
        if (memcmp(chunk, "data", 4) == 0) {
            if (size <= have || size >= 0x7fffff00)
                return WISP_OK;
            return wi_err_set(err, WISP_E_FORMAT,
                              "'%s' breaks off: its header promises %lld bytes of audio, the file has %lld; it "
                              "was not copied or written completely", name, (long long)size, (long long)have);
        }
        at += 8 + size + (size & 1);
    }
    return WISP_OK;
}

static int raw_format(const struct wisp_audio_params *params, SF_INFO *info, struct wisp_error *err) {
    const char *format = params->raw_format ? params->raw_format : "s16";
    info->format = SF_FORMAT_RAW | SF_ENDIAN_LITTLE;
    info->samplerate = params->raw_rate;
    info->channels = params->raw_channels;
    if (strcmp(format, "s16") == 0)
        info->format |= SF_FORMAT_PCM_16;
    else if (strcmp(format, "f32") == 0)
        info->format |= SF_FORMAT_FLOAT;
    else
        return wi_err_set(err, WISP_E_ARG, "raw sample format '%s' is unknown; use s16 or f32", format);
    return WISP_OK;
}

int wi_source_open_sndfile(struct wi_source **out, int fd, const char *name,
                           const struct wisp_audio_params *params, struct wisp_error *err) {
    SF_INFO info = {0};
    int rc = WISP_OK;
    *out = NULL;
    struct sndfile_source *s = wi_calloc(1, sizeof *s);
    if (s)
        s->name = wi_strdup(name);
    if (!s || !s->name)
        rc = wi_err_nomem(err, "the audio reader");
    if (rc == WISP_OK)
        rc = params && params->raw ? raw_format(params, &info, err) : check_riff_length(fd, name, err);
    if (rc != WISP_OK) {
        close(fd);
        goto fail;
    }
    s->file = sf_open_fd(fd, SFM_READ, &info, 1); /* closes fd when it fails, too */
    if (!s->file) {
        rc = wi_err_set(err, WISP_E_FORMAT, "'%s' is no audio that libsndfile knows (%s)", name,
                        sf_strerror(NULL));
        goto fail;
    }
    int container = info.format & SF_FORMAT_TYPEMASK;
    s->base = (struct wi_source){.rate = info.samplerate, .channels = info.channels,
                                 .frames = info.frames > 0 && info.frames < SF_COUNT_MAX
                                               ? (uint64_t)info.frames : 0,
                                 .read = read_frames, .close = close_sndfile};
    s->whole = container == SF_FORMAT_FLAC || container == SF_FORMAT_AIFF || container == SF_FORMAT_WAV;
    *out = &s->base;
    return WISP_OK;
fail:
    if (s)
        close_sndfile(&s->base);
    return rc;
}

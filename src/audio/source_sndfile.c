#include <errno.h>
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
    int fd;
    uint64_t at, bytes; /* position in the file and its size */
    int failed;         /* errno's value of a failed read */
    uint64_t unsized;   /* position of a size that libsndfile is to see as ffffffff; 0 = none */
    uint64_t done;      /* frames read */
    uint64_t promised, have; /* bytes of audio: by the header, and really; 0 = not known */
    bool whole;              /* the stated number of frames is exact: fewer is an error */
    const char *name;        /* borrowed */
};

/* ---------------------------------------------------------------- libsndfile's view of the file */

static sf_count_t file_length(void *user) {
    return (sf_count_t)((struct sndfile_source *)user)->bytes;
}

static sf_count_t file_tell(void *user) {
    return (sf_count_t)((struct sndfile_source *)user)->at;
}

static sf_count_t file_seek(sf_count_t offset, int whence, void *user) {
    struct sndfile_source *s = user;
    sf_count_t from = whence == SEEK_CUR   ? (sf_count_t)s->at
                      : whence == SEEK_END ? (sf_count_t)s->bytes
                                           : 0,
               to;
    if (__builtin_add_overflow(from, offset, &to) || to < 0)
        return -1;
    s->at = (uint64_t)to;
    return to;
}

static sf_count_t file_read(void *bytes, sf_count_t n, void *user) {
    struct sndfile_source *s = user;
    sf_count_t done = 0;
    while (done < n) {
        ssize_t count =
            pread(s->fd, (uint8_t *)bytes + done, (size_t)(n - done), (off_t)s->at + done);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            s->failed = errno;
        if (count <= 0)
            break;
        done += count;
    }
    for (uint64_t i = s->unsized; s->unsized > 0 && i < s->unsized + 4; i++)
        if (i >= s->at && i < s->at + (uint64_t)done)
            ((uint8_t *)bytes)[i - s->at] = 0xff;
    s->at += (uint64_t)done;
    return done;
}

/* ---------------------------------------------------------------- the source */

static int check_end(const struct sndfile_source *s, struct wisp_error *err) {
    double second = (double)s->done / s->base.rate;
    if (s->have < s->promised)
        return wi_err_set(err, WISP_E_FORMAT,
                          "%s breaks off after %.2f s: at least %llu bytes are missing at its "
                          "end; " WI_AUDIO_CURE,
                          s->name, second, (unsigned long long)(s->promised - s->have));
    if (s->whole && s->done < s->base.frames)
        return wi_err_set(err, WISP_E_FORMAT, "%s breaks off after %.2f of %.2f s; " WI_AUDIO_CURE,
                          s->name, second, (double)s->base.frames / s->base.rate);
    return WISP_OK;
}

static int read_sndfile(struct wi_source *base, float *frames, size_t n, size_t *got,
                        struct wisp_error *err) {
    struct sndfile_source *s = (struct sndfile_source *)base;
    sf_count_t count = sf_readf_float(s->file, frames, (sf_count_t)n);
    *got = count > 0 ? (size_t)count : 0;
    s->done += *got;
    if (s->failed)
        return wi_err_errno(err, WISP_E_IO, s->failed, "cannot read %s", s->name);
    if (sf_error(s->file) != SF_ERR_NO_ERROR) {
        const char *why = sf_strerror(s->file);
        return wi_err_set(err, WISP_E_FORMAT,
                          "%s cannot be decoded after %.2f s (libsndfile: %s); " WI_AUDIO_CURE,
                          s->name, (double)s->done / base->rate,
                          strncmp(why, "Error : ", 8) == 0 ? why + 8 : why);
    }
    return *got == 0 ? check_end(s, err) : WISP_OK;
}

static void close_sndfile(struct wi_source *base) {
    struct sndfile_source *s = (struct sndfile_source *)base;
    sf_close(s->file);
    close(s->fd);
    wi_free(s);
}

int wi_source_open_sndfile(struct wi_source **out, const struct wi_input *in,
                           struct wisp_error *err) {
    SF_VIRTUAL_IO io = {
        .get_filelen = file_length, .seek = file_seek, .read = file_read, .tell = file_tell};
    SF_INFO info = {0};
    struct stat st;
    *out = NULL;
    struct sndfile_source *s = wi_calloc(1, sizeof *s);
    if (!s)
        return wi_err_nomem(err, "the audio reader");
    s->name = in->name;
    if (!wi_audio_promise(in->fd, &s->promised, &s->have))
        s->promised = s->have = 0;
    s->fd = in->fd;
    s->bytes = fstat(in->fd, &st) == 0 ? (uint64_t)st.st_size : 0;
    s->unsized = wi_audio_unsized_wav(in->fd);
    s->file = sf_open_virtual(&io, SFM_READ, &info, s);
    if (!s->file) {
        int failed = s->failed;
        wi_free(s);
        return failed ? wi_err_errno(err, WISP_E_IO, failed, "cannot read %s", in->name)
                      : WISP_E_UNSUPPORTED;
    }
    s->base = (struct wi_source){
        .rate = info.samplerate,
        .channels = info.channels,
        .frames = info.frames > 0 && info.frames < SF_COUNT_MAX ? (uint64_t)info.frames : 0,
        .read = read_sndfile,
        .close = close_sndfile};
    s->whole = (info.format & SF_FORMAT_TYPEMASK) == SF_FORMAT_FLAC;
    *out = &s->base;
    return WISP_OK;
}

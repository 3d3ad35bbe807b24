#include "audio/audio.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <soxr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audio/source.h"
#include "base/err.h"
#include "base/mem.h"

enum { CHUNK = 4096 /* frames read at a time */ };

struct wi_audio {
    struct wi_source *source;
    char *name;
    float *frames; /* [CHUNK, channels] */
    float *mono;   /* [CHUNK]: not yet resampled samples are [at, n_mono) */
    size_t at, n_mono;
    uint64_t done; /* frames read */
    bool ended;    /* the source has */
    soxr_t soxr;   /* NULL when the source is at 16 kHz */
};

/* ---------------------------------------------------------------- opening */

/* Copy a pipe to an unnamed temporary file, because containers need seeking; *out is its descriptor. */
static int spool(int in, const char *name, int *out, struct wisp_error *err) {
    const char *folder = getenv("TMPDIR");
    char path[512], buf[65536];
    snprintf(path, sizeof path, "%s/wisp-XXXXXX", folder && *folder ? folder : "/tmp");
    *out = mkstemp(path);
    if (*out < 0)
        return wi_err_errno(err, WISP_E_IO, errno, "cannot make a temporary file for %s ('%s')", name, path);
    fcntl(*out, F_SETFD, FD_CLOEXEC);
    unlink(path);
    for (;;) {
        ssize_t n = read(in, buf, sizeof buf);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return wi_err_errno(err, WISP_E_IO, errno, "cannot read %s", name);
        if (n == 0)
            break;
        for (ssize_t at = 0; at < n;) {
            ssize_t written = write(*out, buf + at, (size_t)(n - at));
            if (written < 0 && errno != EINTR)
                return wi_err_errno(err, WISP_E_IO, errno, "cannot keep %s in the temporary file '%s'", name,
                                    path);
            at += written > 0 ? written : 0;
        }
    }
    return lseek(*out, 0, SEEK_SET) == 0
               ? WISP_OK : wi_err_errno(err, WISP_E_IO, errno, "cannot rewind '%s'", path);
}

/* A descriptor of the input, seekable unless it holds raw samples; *spooled says that it has no path. */
static int open_input(const char *path, bool raw, const char *name, int *fd, bool *spooled,
                      struct wisp_error *err) {
    struct stat st;
    int rc = WISP_OK;
    *spooled = false;
    bool standard_input = strcmp(path, "-") == 0;
    *fd = standard_input ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0)
        return wi_err_errno(err, WISP_E_IO, errno, "cannot open '%s'", name);
    if (fstat(*fd, &st) != 0)
        rc = wi_err_errno(err, WISP_E_IO, errno, "cannot examine '%s'", name);
    else if (S_ISDIR(st.st_mode))
        rc = wi_err_set(err, WISP_E_IO, "cannot read '%s': it is a directory; name the files in it", name);
    else if (S_ISREG(st.st_mode) && st.st_size == 0)
        rc = wi_err_set(err, WISP_E_FORMAT, "'%s' is empty (0 bytes); give a file with audio in it", name);
    if (rc == WISP_OK && !raw && (standard_input || !S_ISREG(st.st_mode))) {
        int file;
        *spooled = true;
        rc = spool(*fd, name, &file, err);
        close(*fd);
        *fd = file;
        if (rc == WISP_OK && fstat(*fd, &st) == 0 && st.st_size == 0)
            rc = wi_err_set(err, WISP_E_FORMAT, "%s is empty (0 bytes); pipe audio into it", name);
    }
    if (rc != WISP_OK && *fd >= 0)
        close(*fd);
    return rc;
}

static int open_source(struct wi_audio *a, const char *path, const struct wisp_audio_params *params,
                       struct wisp_error *err) {
    bool raw = params && params->raw, spooled;
    int fd;
    int rc = open_input(path, raw, a->name, &fd, &spooled, err);
    if (rc != WISP_OK)
        return rc;
    int again = raw ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
    struct wisp_error why = {0};
    rc = wi_source_open_sndfile(&a->source, fd, a->name, params, &why);
    bool unknown = rc == WISP_E_FORMAT && strstr(why.text, "libsndfile") && again >= 0;
    if (unknown && lseek(again, 0, SEEK_SET) == 0)
        return wi_source_open_ffmpeg(&a->source, again, spooled ? NULL : path, a->name, err);
    if (again >= 0)
        close(again);
    return rc == WISP_OK ? rc : wi_err_set(err, rc, "%s", why.text);
}

static int open_resampler(struct wi_audio *a, struct wisp_error *err) {
    int rate = a->source->rate;
    if (a->source->channels < 1 || rate < 100 || rate > 10000000)
        return wi_err_set(err, WISP_E_FORMAT, "'%s' claims %d channels at %d Hz, which is not usable audio",
                          a->name, a->source->channels, rate);
    if (rate == WI_AUDIO_RATE)
        return WISP_OK;
    soxr_error_t failed;
    soxr_quality_spec_t quality = soxr_quality_spec(SOXR_HQ, 0);
    soxr_runtime_spec_t runtime = soxr_runtime_spec(1);
    a->soxr = soxr_create(rate, WI_AUDIO_RATE, 1, &failed, NULL, &quality, &runtime);
    return a->soxr ? WISP_OK
                   : wi_err_set(err, WISP_E_NOMEM, "out of memory: cannot resample '%s': %s", a->name, failed);
}

int wi_audio_open(struct wi_audio **out, const char *path, const struct wisp_audio_params *params,
                  struct wisp_error *err) {
    *out = NULL;
    struct wi_audio *a = wi_calloc(1, sizeof *a);
    if (!a)
        return wi_err_nomem(err, "the audio reader");
    a->name = wi_strdup(strcmp(path, "-") == 0 ? "standard input" : path);
    int rc = a->name ? open_source(a, path, params, err) : wi_err_nomem(err, "the audio reader");
    if (rc == WISP_OK)
        rc = open_resampler(a, err);
    if (rc == WISP_OK) {
        a->frames = wi_malloc((size_t)CHUNK * (size_t)a->source->channels, sizeof *a->frames);
        a->mono = wi_malloc(CHUNK, sizeof *a->mono);
        if (!a->frames || !a->mono)
            rc = wi_err_nomem(err, "audio samples");
    }
    if (rc != WISP_OK)
        wi_audio_close(&a);
    *out = a;
    return rc;
}

void wi_audio_close(struct wi_audio **out) {
    struct wi_audio *a = *out;
    if (!a)
        return;
    if (a->source)
        a->source->close(a->source);
    if (a->soxr)
        soxr_delete(a->soxr);
    wi_free(a->frames);
    wi_free(a->mono);
    wi_free(a->name);
    wi_free(a);
    *out = NULL;
}

uint64_t wi_audio_length_hint(const struct wi_audio *a) {
    return a->source->frames * WI_AUDIO_RATE / (uint64_t)a->source->rate;
}

/* ---------------------------------------------------------------- reading */

/* Refill `mono` with the mean of the channels. */
static int read_chunk(struct wi_audio *a, struct wisp_error *err) {
    size_t channels = (size_t)a->source->channels, got;
    int rc = a->source->read(a->source, a->frames, CHUNK, &got, err);
    if (rc != WISP_OK)
        return rc;
    for (size_t i = 0; i < got; i++) {
        float sum = 0;
        for (size_t c = 0; c < channels; c++)
            sum += a->frames[i * channels + c];
        a->mono[i] = sum / (float)channels;
        if (!isfinite(a->mono[i]))
            return wi_err_set(err, WISP_E_FORMAT, "'%s' has a sample that is not a finite number at %.3f s",
                              a->name, (double)(a->done + i) / a->source->rate);
    }
    a->done += got;
    a->at = 0;
    a->n_mono = got;
    a->ended = got == 0;
    return WISP_OK;
}

/* Move samples from `mono` through the resampler, or its tail out of it when the source has ended. */
static int convert(struct wi_audio *a, float *out, size_t n, size_t *got, struct wisp_error *err) {
    size_t used = a->n_mono - a->at;
    if (!a->soxr) {
        *got = used < n ? used : n;
        memcpy(out, a->mono + a->at, *got * sizeof *out);
        a->at += *got;
        return WISP_OK;
    }
    soxr_error_t failed = a->ended ? soxr_process(a->soxr, NULL, 0, NULL, out, n, got)
                                   : soxr_process(a->soxr, a->mono + a->at, used, &used, out, n, got);
    if (failed)
        return wi_err_set(err, WISP_E_INTERNAL, "resampling '%s' failed: %s", a->name, failed);
    if (!a->ended)
        a->at += used;
    return WISP_OK;
}

int wi_audio_read(struct wi_audio *a, float *samples, size_t n, size_t *got, struct wisp_error *err) {
    *got = 0;
    while (*got == 0 && n > 0) {
        if (a->at == a->n_mono && !a->ended) {
            int rc = read_chunk(a, err);
            if (rc != WISP_OK)
                return rc;
        }
        int rc = convert(a, samples, n, got, err);
        if (rc != WISP_OK)
            return rc;
        if (a->ended)
            break;
    }
    return WISP_OK;
}

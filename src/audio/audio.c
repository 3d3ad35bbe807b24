#include "audio/audio.h"

#include <math.h>
#include <soxr.h>
#include <string.h>
#include <unistd.h>

#include "audio/source.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/strbuf.h"

enum {
    CHUNK = 4096,        /* frames read at a time */
    MAX_CHANNELS = 1024, /* as libsndfile */
    MIN_RATE = 100,      /* Hz */
    MAX_RATE = 10000000,
};

/* Samples lie in [-1, 1]; somewhat louder ones occur in float files.  What is beyond this is no
 * audio. */
static const float MAX_SAMPLE = 1e6f;

struct wi_audio {
    struct wi_source *source;
    char *name;    /* for messages */
    struct wi_abort abort;
    float *frames; /* [CHUNK, channels] */
    float *mono;   /* [CHUNK]: not yet resampled samples are [at, n_mono) */
    size_t at, n_mono;
    uint64_t done; /* frames read */
    bool ended;    /* the source has */
    soxr_t soxr;   /* NULL when the source is at 16 kHz */
};

/* ---------------------------------------------------------------- opening */

static int open_source(struct wi_audio *a, const char *path, const struct wisp_audio_params *params,
                       struct wisp_error *err) {
    bool raw = params && params->raw;
    struct wi_input in;
    int rc = wi_input_open(&in, path, a->name, raw, &a->abort, err);
    if (rc != WISP_OK)
        return rc;
    if (raw)
        rc = wi_source_open_raw(&a->source, &in, params, err);
    else
        rc = wi_source_open_sndfile(&a->source, &in, err);
    if (rc == WISP_E_UNSUPPORTED && !raw)
        rc = wi_source_open_ffmpeg(&a->source, &in, err);
    if (rc != WISP_OK)
        close(in.fd);
    return rc;
}

static int check_layout(const struct wi_audio *a, bool raw, struct wisp_error *err) {
    int rate = a->source->rate, channels = a->source->channels;
    if (channels >= 1 && channels <= MAX_CHANNELS && rate >= MIN_RATE && rate <= MAX_RATE)
        return WISP_OK;
    return wi_err_set(err, raw ? WISP_E_ARG : WISP_E_FORMAT,
                      "%s %s %d channels at %d Hz; wisp takes 1 to %d channels at %d to %d Hz",
                      a->name, raw ? "is said to have" : "claims to have", channels, rate,
                      MAX_CHANNELS, MIN_RATE, MAX_RATE);
}

static int open_resampler(struct wi_audio *a, struct wisp_error *err) {
    if (a->source->rate == WI_AUDIO_RATE)
        return WISP_OK;
    soxr_error_t failed;
    soxr_quality_spec_t quality = soxr_quality_spec(SOXR_HQ, 0);
    soxr_runtime_spec_t runtime = soxr_runtime_spec(1);
    a->soxr = soxr_create(a->source->rate, WI_AUDIO_RATE, 1, &failed, NULL, &quality, &runtime);
    return a->soxr ? WISP_OK : wi_err_nomem(err, "the resampler");
}

static char *message_name(const char *path) {
    struct wi_strbuf name;
    wi_strbuf_init(&name);
    if (strcmp(path, "-") == 0)
        wi_strbuf_puts(&name, "standard input");
    else
        wi_strbuf_printf(&name, "'%s'", path);
    return wi_strbuf_take(&name);
}

int wi_audio_open(struct wi_audio **out, const char *path, const struct wisp_audio_params *params,
                  const struct wi_abort *abort, struct wisp_error *err) {
    *out = NULL;
    struct wi_audio *a = wi_calloc(1, sizeof *a);
    if (!a)
        return wi_err_nomem(err, "the audio reader");
    if (abort)
        a->abort = *abort;
    a->name = message_name(path);
    int rc = a->name ? open_source(a, path, params, err) : wi_err_nomem(err, "the audio reader");
    if (rc == WISP_OK)
        rc = check_layout(a, params && params->raw, err);
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
    double length = (double)a->source->frames * WI_AUDIO_RATE / a->source->rate;
    return length < 1e18 ? (uint64_t)length : 0;
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
        if (!(fabsf(a->mono[i]) <= MAX_SAMPLE))
            return wi_err_set(
                err, WISP_E_FORMAT,
                "%s has a sample of %g at %.3f s, where samples lie in [-1, 1]; it is damaged or "
                "was converted wrongly, make it again",
                a->name, (double)a->mono[i], (double)(a->done + i) / a->source->rate);
    }
    a->done += got;
    a->at = 0;
    a->n_mono = got;
    a->ended = got == 0;
    return WISP_OK;
}

/* Move samples from `mono` through the resampler, or its tail out of it when the source has ended.
 */
static int convert(struct wi_audio *a, float *out, size_t n, size_t *got, struct wisp_error *err) {
    size_t used = a->n_mono - a->at;
    if (!a->soxr) {
        *got = used < n ? used : n;
        memcpy(out, a->mono + a->at, *got * sizeof *out);
        a->at += *got;
        return WISP_OK;
    }
    soxr_error_t failed = a->ended
                              ? soxr_process(a->soxr, NULL, 0, NULL, out, n, got)
                              : soxr_process(a->soxr, a->mono + a->at, used, &used, out, n, got);
    if (failed)
        return wi_err_set(err, WISP_E_INTERNAL, "resampling %s failed: %s", a->name, failed);
    if (!a->ended)
        a->at += used;
    return WISP_OK;
}

int wi_audio_read(struct wi_audio *a, float *samples, size_t n, size_t *got,
                  struct wisp_error *err) {
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
    /* as the reference, which goes through 16-bit samples */
    for (size_t i = 0; i < *got; i++)
        samples[i] = fminf(fmaxf(samples[i], -1.0f), 1.0f);
    return WISP_OK;
}

/* Public entry points for transcription: they check arguments and call the pipeline, nothing else. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "pipeline/pipeline.h"

void wisp_params_init(struct wisp_params *params) {
    *params = (struct wisp_params){
        .beam_size = 5,
        .best_of = 5,
        .patience = 1.0,
        .length_penalty = -1.0,
        .temperature_inc = 0.2,
        .compression_ratio_max = 2.4,
        .logprob_min = -1.0,
        .no_speech_max = 0.6,
        .condition_on_previous = true,
        .max_context = -1,
        .suppress_blank = true,
        .suppress_non_speech = true,
        .max_initial_timestamp = 1.0,
    };
}

void wisp_audio_params_init(struct wisp_audio_params *params) {
    *params = (struct wisp_audio_params){.raw_rate = 16000, .raw_channels = 1, .raw_format = "s16"};
}

/* An option that must lie in [min, max]; `nan_ok` = NAN switches it off. */
struct range {
    const char *name;
    double value, min, max;
    bool nan_ok;
};

/* A model whose windows are not 30 s runs in single stages only. */
static int check_window(const struct wisp_ctx *ctx, struct wisp_error *err) {
    int n_ctx = ctx->model->file->dims.n_audio_ctx;
    if (2 * n_ctx == WI_MEL_WINDOW_FRAMES)
        return WISP_OK;
    return wi_err_set(err, WISP_E_UNSUPPORTED,
                      "cannot transcribe with model '%s': its windows have %d audio positions and "
                      "transcription needs 1500 (30 s); use another model",
                      ctx->model->file->path, n_ctx);
}

static int check_params(const struct wisp_ctx *ctx, const struct wisp_params *p, struct wisp_error *err) {
    const struct range ranges[] = {
        {"beam size", p->beam_size, 1, WI_DEC_MAX_SEQS, false},
        {"best of", p->best_of, 1, WI_DEC_MAX_SEQS, false},
        {"patience", p->patience, 1.0 / p->beam_size, 16, false},
        {"length penalty", p->length_penalty, -INFINITY, 1, false},
        {"temperature", p->temperature, 0, 1, false},
        {"temperature increment", p->temperature_inc, 0, 1, false},
        {"compression ratio threshold", p->compression_ratio_max, -INFINITY, INFINITY, true},
        {"log probability threshold", p->logprob_min, -INFINITY, INFINITY, true},
        {"no-speech threshold", p->no_speech_max, -INFINITY, INFINITY, true},
        {"largest initial timestamp", p->max_initial_timestamp, 0, 30, true},
        {"sample length", p->sample_len, 0, ctx->model->file->dims.n_text_ctx, false},
        {"offset", p->offset, 0, 1e9, false},
        {"duration", p->duration, 0, 1e9, false},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        const struct range *r = &ranges[i];
        if (isnan(r->value) ? !r->nan_ok : r->value < r->min || r->value > r->max)
            return r->min == -INFINITY
                       ? wi_err_set(err, WISP_E_ARG, "%s %g is out of range; give at most %g", r->name,
                                    r->value, r->max)
                       : wi_err_set(err, WISP_E_ARG, "%s %g is out of range; give %g to %g", r->name,
                                    r->value, r->min, r->max);
    }
    if (p->language && strcmp(p->language, "auto") != 0 && wi_lang_find(p->language) < 0)
        return wi_err_set(err, WISP_E_ARG,
                          "no language is called '%s'; give a code like 'en', a name like 'english', or "
                          "'auto'",
                          p->language);
    if (p->task == WISP_TRANSLATE && !wi_vocab_is_multilingual(ctx->model->file->vocab))
        return wi_err_set(err, WISP_E_ARG,
                          "this model knows English only and cannot translate; use a multilingual model");
    return check_window(ctx, err);
}

/* `params`, or the defaults. */
static const struct wisp_params *params_or(const struct wisp_params *params,
                                           struct wisp_params *defaults) {
    wisp_params_init(defaults);
    return params ? params : defaults;
}

struct pcm {
    const float *samples;
    size_t n, at;
};

static int read_pcm(void *source, float *samples, size_t n, size_t *got, struct wisp_error *err) {
    struct pcm *pcm = source;
    *got = n < pcm->n - pcm->at ? n : pcm->n - pcm->at;
    for (size_t i = 0; i < *got; i++) {
        samples[i] = pcm->samples[pcm->at + i];
        if (!isfinite(samples[i]))
            return wi_err_set(err, WISP_E_FORMAT, "sample %zu (at %.3f s) is not a finite number; samples lie in [-1, 1]", pcm->at + i,
                              (double)(pcm->at + i) / WI_AUDIO_RATE);
    }
    pcm->at += *got;
    return WISP_OK;
}

static int read_audio(void *source, float *samples, size_t n, size_t *got, struct wisp_error *err) {
    return wi_audio_read(source, samples, n, got, err);
}

static int transcribe(struct wisp_ctx *ctx, wi_sample_source read, void *source,
                      const struct wisp_params *params, struct wisp_result **out,
                      struct wisp_error *err) {
    struct wi_mel mel;
    double start = wi_now();
    int rc = wi_pipeline_mel(ctx, read, source, params, &mel, err);
    if (rc == WISP_OK)
        rc = wi_pipeline_run(ctx, &mel, wi_now() - start, params, out, err);
    else if (rc == WISP_E_CANCELLED)
        rc = wi_pipeline_stopped(ctx, out, err);
    wi_mel_fini(&mel);
    return rc;
}

int wisp_transcribe_pcm(struct wisp_ctx *ctx, const float *samples, size_t n_samples,
                        const struct wisp_params *params, struct wisp_result **out,
                        struct wisp_error *err) {
    struct pcm pcm = {samples, n_samples, 0};
    struct wisp_params defaults;
    params = params_or(params, &defaults);
    *out = NULL;
    wi_err_clear(err);
    int rc = check_params(ctx, params, err);
    return rc == WISP_OK ? transcribe(ctx, read_pcm, &pcm, params, out, err) : rc;
}

int wisp_transcribe_file(struct wisp_ctx *ctx, const char *path, const struct wisp_audio_params *audio,
                         const struct wisp_params *params, struct wisp_result **out,
                         struct wisp_error *err) {
    struct wi_audio *reader = NULL;
    struct wisp_params defaults;
    params = params_or(params, &defaults);
    *out = NULL;
    wi_err_clear(err);
    int rc = check_params(ctx, params, err);
    if (rc != WISP_OK)
        return rc;
    const struct wi_abort abort = {params->should_abort, params->user};
    rc = wi_audio_open(&reader, path, audio, &abort, err);
    if (rc == WISP_OK)
        rc = transcribe(ctx, read_audio, reader, params, out, err);
    else if (rc == WISP_E_CANCELLED)
        rc = wi_pipeline_stopped(ctx, out, err);
    wi_audio_close(&reader);
    return rc;
}

/* The first 30 s of a source as the encoder takes them. */
static int one_window(struct wisp_ctx *ctx, wi_sample_source read, void *source, float *out,
                      struct wisp_error *err) {
    struct wi_mel mel = {0};
    int rc = check_window(ctx, err);
    if (rc == WISP_OK)
        rc = wi_pipeline_mel_window(ctx, read, source, &mel, err);
    if (rc == WISP_OK)
        wi_mel_window(&mel, 0, WI_MEL_WINDOW_FRAMES, out);
    wi_mel_fini(&mel);
    return rc;
}

int wisp_stage_mel_pcm(struct wisp_ctx *ctx, const float *samples, size_t n_samples, float *mel,
                       struct wisp_error *err) {
    struct pcm pcm = {samples, n_samples, 0};
    wi_err_clear(err);
    return one_window(ctx, read_pcm, &pcm, mel, err);
}

int wisp_stage_mel_file(struct wisp_ctx *ctx, const char *path, const struct wisp_audio_params *audio,
                        float *mel, struct wisp_error *err) {
    struct wi_audio *reader = NULL;
    wi_err_clear(err);
    int rc = wi_audio_open(&reader, path, audio, NULL, err);
    if (rc == WISP_OK)
        rc = one_window(ctx, read_audio, reader, mel, err);
    wi_audio_close(&reader);
    return rc;
}

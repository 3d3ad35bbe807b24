#include "pipeline/pipeline.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/mem.h"
#include "pipeline/result.h"
#include "text/strip.h"

enum { FRAMES_PER_SECOND = 100 };
static const double SECONDS_PER_TIMESTAMP = 0.02;

/* Written as the reference computes it, so that times are equal to the last bit. */
static double frame_seconds(size_t frames) {
    return (double)(frames * WI_MEL_HOP) / WI_AUDIO_RATE;
}

double wi_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

enum { WINDOW = WI_MEL_WINDOW_FRAMES * WI_MEL_HOP /* samples */ };

/* A stop is asked for, and progress reported, before every chunk. */
static int between_chunks(const struct wisp_params *p, size_t n_samples, struct wisp_error *err) {
    if (!p)
        return WISP_OK;
    if (p->on_progress)
        p->on_progress(p->user, 0, (double)n_samples / WI_AUDIO_RATE);
    return wi_abort_check(&(struct wi_abort){p->should_abort, p->user}, err);
}

/* Of up to `max_samples` samples, followed by 30 s of silence or, `filled_up`, by what is missing to
 * 30 s. */
static int build_mel(struct wisp_ctx *ctx, wi_sample_source read, void *source, size_t max_samples,
                     bool filled_up, const struct wisp_params *params, struct wi_mel *mel,
                     struct wisp_error *err) {
    enum { CHUNK = 16384 };
    struct wi_mel_builder *builder = NULL;
    size_t total = 0, got = 0;
    memset(mel, 0, sizeof *mel);
    float *samples = wi_malloc(CHUNK, sizeof *samples);
    int rc = samples ? wi_mel_builder_create(&builder, ctx->model->file->dims.n_mels, err)
                     : wi_err_nomem(err, "audio samples");
    do {
        size_t want = max_samples - total < CHUNK ? max_samples - total : CHUNK;
        if (rc == WISP_OK)
            rc = between_chunks(params, total, err);
        if (rc == WISP_OK)
            rc = read(source, samples, want, &got, err);
        if (rc == WISP_OK)
            rc = wi_mel_builder_feed(builder, samples, got, err);
        total += got;
    } while (rc == WISP_OK && got > 0 && total < max_samples);
    if (rc == WISP_OK) {
        size_t silence = !filled_up ? WINDOW : total < WINDOW ? WINDOW - total : 0;
        rc = wi_mel_builder_finish(builder, silence, mel, err);
    }
    wi_mel_builder_destroy(&builder);
    wi_free(samples);
    return rc;
}

int wi_pipeline_mel(struct wisp_ctx *ctx, wi_sample_source read, void *source,
                    const struct wisp_params *params, struct wi_mel *mel, struct wisp_error *err) {
    return build_mel(ctx, read, source, SIZE_MAX, false, params, mel, err);
}

int wi_pipeline_mel_window(struct wisp_ctx *ctx, wi_sample_source read, void *source,
                           struct wi_mel *mel, struct wisp_error *err) {
    return build_mel(ctx, read, source, WINDOW, true, NULL, mel, err);
}

/* One transcription under way. */
struct run {
    struct wisp_ctx *ctx;
    const struct wi_mel *mel;
    const struct wisp_params *params;
    const struct wi_specials *specials;
    struct wi_result_builder result;
    int lang;
    int *suppress; /* ids never sampled */
    size_t n_suppress;
    uint64_t rng;
    size_t seek, end;   /* mel frames */
    size_t prompt_from; /* tokens before this one are not a prompt for the next window */
    int *prompt;        /* [n_text_ctx] of the window */
    size_t n_prompt;
};

/* ---------------------------------------------------------------- before the first window */

/* Token ids that are never sampled: the reference's suppress_tokens="-1" and its special tokens. */
static int build_suppress(struct run *run, struct wisp_error *err) {
    const struct wi_specials *sp = run->specials;
    int *ids = NULL;
    size_t n = 0;
    if (run->params->suppress_non_speech) {
        int rc = wi_vocab_non_speech(run->ctx->model->file->vocab, &ids, &n, err);
        if (rc != WISP_OK)
            return rc;
    }
    const int never[] = {sp->transcribe, sp->translate, sp->sot, sp->sot_prev, sp->sot_lm, sp->no_speech};
    int *all = wi_realloc(ids, n + sizeof never / sizeof *never, sizeof *all);
    if (!all) {
        wi_free(ids);
        return wi_err_nomem(err, "the list of suppressed tokens");
    }
    memcpy(all + n, never, sizeof never);
    run->suppress = all;
    run->n_suppress = n + sizeof never / sizeof *never;
    return WISP_OK;
}

/* The encoder and the decoder's view of the window [seek, seek + n). */
static int listen(struct run *run, size_t seek, size_t n, struct wisp_error *err) {
    struct wisp_ctx *ctx = run->ctx;
    struct wisp_timings *t = &run->result.result->timings;
    double start = wi_now();
    wi_mel_window(run->mel, seek, n, ctx->window);
    int rc = wi_enc_run(ctx->enc, ctx->window, ctx->features, run->params->should_abort,
                        run->params->user, err);
    double encoded = wi_now();
    t->encode += encoded - start;
    if (rc == WISP_OK)
        rc = wi_dec_set_audio(ctx->dec, ctx->features, err);
    t->cross_kv += wi_now() - encoded;
    return rc;
}

static int choose_language(struct run *run, struct wisp_error *err) {
    const struct wi_vocab *vocab = run->ctx->model->file->vocab;
    const char *wanted = run->params->language;
    bool automatic = !wanted || strcmp(wanted, "auto") == 0;
    struct wisp_result *result = run->result.result;
    result->language_prob = 1;
    if (!wi_vocab_is_multilingual(vocab)) {
        run->lang = 0;
    } else if (automatic) {
        int rc = listen(run, 0, WI_MEL_WINDOW_FRAMES, err);
        if (rc == WISP_OK)
            rc = wi_search_language(run->ctx->search, &run->lang, &result->language_prob, err);
        if (rc != WISP_OK)
            return rc;
    } else {
        run->lang = wi_lang_find(wanted);
        if (run->lang < 0 || run->lang >= run->specials->n_langs)
            return wi_err_set(err, WISP_E_ARG,
                              "language '%s' is not one of this model's %d; give another one, 'auto', or "
                              "a newer model", wanted, run->specials->n_langs);
    }
    result->language = wi_lang_code(run->lang);
    return WISP_OK;
}

static int add_initial_prompt(struct run *run, struct wisp_error *err) {
    const char *text = run->params->initial_prompt;
    if (!text)
        return WISP_OK;
    size_t n;
    int *tokens;
    char *padded = wi_malloc(strlen(text) + 2, 1);
    if (!padded)
        return wi_err_nomem(err, "the initial prompt");
    strcpy(padded + 1, text);
    wi_text_strip(padded + 1);
    padded[0] = ' ';
    int rc = wi_vocab_encode(run->ctx->model->file->vocab, padded, &tokens, &n, err);
    wi_free(padded);
    if (rc != WISP_OK)
        return rc;
    rc = wi_result_add_tokens(&run->result, tokens, n, err);
    wi_free(tokens);
    run->result.n_prompt = n;
    return rc;
}

static void set_range(struct run *run) {
    const struct wisp_params *p = run->params;
    double end = p->duration > 0 ? nearbyint((p->offset + p->duration) * FRAMES_PER_SECOND) : INFINITY;
    double begin = nearbyint(p->offset * FRAMES_PER_SECOND);
    size_t n = run->mel->n_frames;
    run->seek = begin < (double)n ? (size_t)begin : n;
    run->end = end < (double)n ? (size_t)end : n;
}

/* ---------------------------------------------------------------- one window */

/* Where the reference's all_tokens[ignored:][-room:] starts, room being what a carried prompt leaves of
 * `max`: all of it counts when that is 0, and all but the first -room tokens when it is negative. */
static size_t cut_to_room(size_t ignored, size_t n_tokens, size_t carried, size_t max) {
    size_t have = n_tokens - ignored;
    if (carried < max)
        return have > max - carried ? n_tokens - (max - carried) : ignored;
    return have > carried - max ? ignored + (carried - max) : n_tokens;
}

/* The text that the window is decoded after: the initial prompt and previous text.  max_context bounds
 * the latter; where it cuts, an initial prompt that is not carried is gone too. */
static void choose_prompt(struct run *run) {
    const struct wisp_params *p = run->params;
    const struct wi_result_builder *b = &run->result;
    size_t max = (size_t)(run->ctx->model->file->dims.n_text_ctx / 2 - 1), n = b->n_tokens;
    size_t carried = p->carry_initial_prompt ? b->n_prompt : 0;
    size_t heard = run->prompt_from > b->n_prompt ? run->prompt_from : b->n_prompt;
    size_t from = p->carry_initial_prompt ? cut_to_room(heard, n, carried, max) : run->prompt_from;
    if (p->max_context >= 0 && n - heard > (size_t)p->max_context) {
        size_t bound = n - (size_t)p->max_context;
        from = from > bound ? from : bound;
    }
    size_t total = carried + n - from, skip = total > max ? total - max : 0;
    run->n_prompt = total - skip;
    for (size_t i = skip; i < total; i++)
        run->prompt[i - skip] = b->tokens[i < carried ? i : from + i - carried];
}

/* Temperatures rise until the text is neither too repetitive nor too improbable, or there is silence. */
static bool needs_fallback(const struct wisp_params *p, const struct wi_decoding *d) {
    bool improbable = d->avg_logprob < p->logprob_min;        /* false when the bound is NAN */
    bool silent = d->no_speech_prob > p->no_speech_max;
    return (d->compression_ratio > p->compression_ratio_max || improbable) && !(silent && improbable);
}

static int decode_with_fallback(struct run *run, struct wi_decoding *d, struct wisp_error *err) {
    const struct wisp_params *p = run->params;
    struct wisp_timings *t = &run->result.result->timings;
    struct wi_search_params s = {
        .lang = run->lang, .translate = p->task == WISP_TRANSLATE,
        .beam_size = p->beam_size, .best_of = p->best_of,
        .patience = p->patience, .length_penalty = p->length_penalty,
        .sample_len = p->sample_len > 0 ? p->sample_len : run->ctx->model->file->dims.n_text_ctx / 2,
        .prompt = run->prompt, .n_prompt = run->n_prompt,
        .no_timestamps = p->no_timestamps, .suppress_blank = p->suppress_blank,
        .max_initial_timestamp = p->max_initial_timestamp,
        .suppress = run->suppress, .n_suppress = run->n_suppress,
        .rng = &run->rng, .n_steps = &t->n_decoder_steps,
        .should_abort = p->should_abort, .user = p->user,
    };
    double start = wi_now();
    int rc = WISP_OK;
    for (int i = 0;; i++) {
        s.temperature = p->temperature + i * p->temperature_inc;
        rc = wi_search_run(run->ctx->search, &s, d, err);
        bool last = p->temperature_inc <= 0 || s.temperature + p->temperature_inc > 1.0 + 1e-6;
        if (rc != WISP_OK || last || !needs_fallback(p, d))
            break;
        wi_decoding_fini(d);
        t->n_fallbacks++;
    }
    t->decode += wi_now() - start;
    return rc;
}

/* Cut the window's tokens at pairs of timestamps into segments, and move on: past the window, or to the
 * last timestamp when speech goes on after it. */
static int add_segments(struct run *run, size_t size, const struct wi_decoding *d,
                        struct wisp_error *err) {
    int begin = run->specials->timestamp_begin;
    size_t n = d->n_tokens, last = 0, seek = run->seek;
    const int *t = d->tokens;
    double offset = frame_seconds(seek);
    bool single_ending = n >= 2 && t[n - 2] < begin && t[n - 1] >= begin;
    int rc = WISP_OK;

    for (size_t i = 1; i <= n && rc == WISP_OK; i++) {
        bool pair = i < n && t[i - 1] >= begin && t[i] >= begin;
        if (!pair && !(i == n && single_ending && last > 0))
            continue;
        rc = wi_result_add_segment(&run->result, (int64_t)seek,
                                   offset + (t[last] - begin) * SECONDS_PER_TIMESTAMP,
                                   offset + (t[i - 1] - begin) * SECONDS_PER_TIMESTAMP, t + last, i - last,
                                   d, err);
        last = i;
    }
    if (rc != WISP_OK)
        return rc;
    if (last > 0) {
        size_t spoken = (size_t)(t[last - 1] - begin) * 2;
        /* Without timestamp rules a pair may stand at 0.00: the reference then stays for ever. */
        run->seek += single_ending || spoken == 0 ? size : spoken;
        return WISP_OK;
    }
    double duration = frame_seconds(size);
    for (size_t i = n; i-- > 0;)
        if (t[i] >= begin) {
            if (t[i] != begin)
                duration = (t[i] - begin) * SECONDS_PER_TIMESTAMP;
            break;
        }
    run->seek += size;
    return wi_result_add_segment(&run->result, (int64_t)seek, offset, offset + duration, t, n, d, err);
}

/* No text is taken from a window that is probably silent, unless its text is probable. */
static bool should_skip(const struct wisp_params *p, const struct wi_decoding *d) {
    return d->no_speech_prob > p->no_speech_max && !(d->avg_logprob > p->logprob_min);
}

static int run_window(struct run *run, struct wisp_error *err) {
    const struct wisp_params *p = run->params;
    struct wisp_result *r = run->result.result;
    struct wi_decoding d = {0};
    size_t left = run->end - run->seek, first = r->n_segments;
    size_t size = left < WI_MEL_WINDOW_FRAMES ? left : WI_MEL_WINDOW_FRAMES;

    int rc = listen(run, run->seek, size, err);
    if (rc != WISP_OK)
        return rc;
    r->timings.n_windows++;
    choose_prompt(run);
    rc = decode_with_fallback(run, &d, err);
    if (rc == WISP_OK && should_skip(p, &d)) {
        run->seek += size;
    } else if (rc == WISP_OK) {
        rc = add_segments(run, size, &d, err);
        if (!p->condition_on_previous || p->max_context == 0 || d.temperature > 0.5)
            run->prompt_from = run->result.n_tokens;
        if (rc == WISP_OK && p->on_segments && r->n_segments > first)
            p->on_segments(p->user, r->segments + first, r->n_segments - first);
    }
    wi_decoding_fini(&d);
    return rc;
}

/* ---------------------------------------------------------------- all windows */

static int prepare(struct run *run, struct wisp_error *err) {
    int rc = build_suppress(run, err);
    if (rc == WISP_OK)
        rc = choose_language(run, err);
    if (rc == WISP_OK)
        rc = add_initial_prompt(run, err);
    run->prompt = wi_malloc((size_t)run->ctx->model->file->dims.n_text_ctx, sizeof *run->prompt);
    if (rc == WISP_OK && !run->prompt)
        rc = wi_err_nomem(err, "the prompt");
    set_range(run);
    return rc;
}

static void report_progress(const struct run *run) {
    if (run->params->on_progress)
        run->params->on_progress(run->params->user,
                                 frame_seconds(run->seek < run->end ? run->seek : run->end),
                                 frame_seconds(run->end));
}

/* What every result says about where and how it came to be. */
static void describe(const struct wisp_ctx *ctx, struct wisp_result *r) {
    r->device_mel = "cpu";
    r->device_encoder = r->device_decoder = ctx->model->device;
    r->timings.load = ctx->model->load_seconds;
}

int wi_pipeline_stopped(struct wisp_ctx *ctx, struct wisp_result **out, struct wisp_error *err) {
    struct wi_result_builder b;
    int rc = wi_result_init(&b, ctx->model->file->vocab, err);
    if (rc == WISP_OK) {
        describe(ctx, b.result);
        rc = wi_result_take(&b, out, err);
    }
    wi_result_fini(&b);
    return rc == WISP_OK ? WISP_E_CANCELLED : rc;
}

int wi_pipeline_run(struct wisp_ctx *ctx, const struct wi_mel *mel, double mel_seconds,
                    const struct wisp_params *params, struct wisp_result **out,
                    struct wisp_error *err) {
    const struct wi_vocab *vocab = ctx->model->file->vocab;
    struct run run = {.ctx = ctx, .mel = mel, .params = params, .rng = params->seed,
                      .specials = wi_vocab_specials(vocab)};
    double start = wi_now();
    int rc = wi_result_init(&run.result, vocab, err);
    if (rc == WISP_OK)
        rc = prepare(&run, err);
    if (rc == WISP_OK)
        report_progress(&run);
    while (rc == WISP_OK && run.seek < run.end && !params->detect_language_only) {
        rc = run_window(&run, err);
        if (rc == WISP_OK)
            report_progress(&run);
    }

    if (rc == WISP_OK || rc == WISP_E_CANCELLED) {
        struct wisp_result *r = run.result.result;
        r->duration = frame_seconds(mel->n_frames);
        describe(ctx, r);
        r->timings.audio_mel = mel_seconds;
        r->timings.total = mel_seconds + wi_now() - start;
        int taken = wi_result_take(&run.result, out, err);
        rc = taken == WISP_OK ? rc : taken;
    }
    wi_result_fini(&run.result);
    wi_free(run.suppress);
    wi_free(run.prompt);
    return rc;
}

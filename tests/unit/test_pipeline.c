/* Transcription through the public calls, on a small model of random weights: every threshold on
 * both of its sides, the temperatures, parts of the audio, callbacks, stopping, and arguments out
 * of range. What the text is has to be checked against the reference elsewhere. */
#include "suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <wisp/wisp.h>

enum { RATE = 16000, LONG = 65 * RATE };

static struct wisp_model *english, *multilingual;
static struct wisp_ctx *ctx, *ctx_multilingual;
static float samples[LONG]; /* noise in bursts */

static int load(void **state) {
    struct wisp_dims dims = {51864, 80, 1500, 32, 2, 1, 448, 32, 2, 1};
    uint32_t seed = 1;
    for (int i = 0; i < LONG; i++) {
        seed = seed * 1664525u + 1013904223u;
        samples[i] = ((float)(seed >> 8) / 8388608.0f - 1) * (i / RATE % 3 ? 0.2f : 0.002f);
    }
    int rc = wisp_model_create_random(&english, &dims, 3, NULL, NULL);
    dims.n_vocab = 51865;
    rc |= wisp_model_create_random(&multilingual, &dims, 4, NULL, NULL);
    rc |= wisp_ctx_create(&ctx, english, 2, NULL);
    rc |= wisp_ctx_create(&ctx_multilingual, multilingual, 2, NULL);
    return rc;
}

static int unload(void **state) {
    wisp_ctx_destroy(&ctx);
    wisp_ctx_destroy(&ctx_multilingual);
    wisp_model_close(&english);
    wisp_model_close(&multilingual);
    return 0;
}

/* Greedy, short, and without any threshold. */
static struct wisp_params quick(void) {
    struct wisp_params p;
    wisp_params_init(&p);
    p.beam_size = 1;
    p.best_of = 1;
    p.sample_len = 13; /* a timestamp, then text and two of them four times: no full windows */
    p.compression_ratio_max = p.logprob_min = p.no_speech_max = NAN;
    return p;
}

static struct wisp_result *run(struct wisp_ctx *c, size_t n, const struct wisp_params *p) {
    struct wisp_error err = {0};
    struct wisp_result *r;
    if (wisp_transcribe_pcm(c, samples, n, p, &r, &err) != WISP_OK)
        fail_msg("%s", err.text);
    return r;
}

static void assert_same_segments(const struct wisp_segment *a, const struct wisp_segment *b,
                                 size_t n) {
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(a[i].seek, b[i].seek);
        assert_true(a[i].start == b[i].start && a[i].end == b[i].end);
        assert_true(a[i].temperature == b[i].temperature && a[i].avg_logprob == b[i].avg_logprob);
        assert_int_equal(a[i].n_tokens, b[i].n_tokens);
        assert_memory_equal(a[i].tokens, b[i].tokens, a[i].n_tokens * sizeof *a[i].tokens);
        assert_string_equal(a[i].text, b[i].text);
    }
}

/* ------------------------------------------------------------------ thresholds */

/* One window: how often the temperature rose, and how many segments there are. */
static void expect(const char *what, const struct wisp_params *p, int fallbacks, bool text) {
    struct wisp_result *r = run(ctx, 5 * RATE, p);
    double temperature = p->temperature + fallbacks * p->temperature_inc;
    if (r->timings.n_fallbacks != fallbacks || (r->n_segments > 0) != text)
        fail_msg("%s: %d fallbacks, %zu segments", what, r->timings.n_fallbacks, r->n_segments);
    for (size_t i = 0; i < r->n_segments; i++)
        assert_true(fabs(r->segments[i].temperature - temperature) < 1e-12);
    wisp_result_free(&r);
}

static struct wisp_params with(double ratio, double logprob, double no_speech) {
    struct wisp_params p = quick();
    p.temperature_inc = 1;
    p.compression_ratio_max = ratio;
    p.logprob_min = logprob;
    p.no_speech_max = no_speech;
    return p;
}

static void thresholds(void **state) {
    struct wisp_params p = quick();
    struct wisp_result *first = run(ctx, 5 * RATE, &p);
    assert_true(first->n_segments > 0);
    const struct wisp_segment *s = &first->segments[0];
    double ratio = s->compression_ratio, logprob = s->avg_logprob, silence = s->no_speech_prob;
    double above = logprob + 1e-6, below = logprob - 1e-6;
    assert_true(s->temperature == 0 && ratio > 0 && logprob < 0 && silence > 0);
    wisp_result_free(&first);

    p = with(NAN, NAN, NAN);
    expect("no threshold", &p, 0, true);
    p = with(ratio, NAN, NAN);
    expect("ratio at its bound", &p, 0, true);
    p = with(ratio - 1e-6, NAN, NAN);
    expect("ratio above its bound", &p, 1, true);
    p = with(NAN, logprob, NAN);
    expect("probability at its bound", &p, 0, true);
    p = with(NAN, above, NAN);
    expect("probability below its bound", &p, 1, true);
    p = with(NAN, below, NAN);
    expect("probability above its bound", &p, 0, true);

    p = with(NAN, NAN, silence);
    expect("silence at its bound", &p, 0, true);
    p = with(NAN, NAN, silence - 1e-6 * silence);
    expect("silence", &p, 0, false);
    p = with(NAN, above, silence - 1e-6 * silence);
    expect("silence needs no fallback", &p, 0, false);
    p = with(NAN, below, silence - 1e-6 * silence);
    expect("silence, but probable text", &p, 0, true);
    p = with(NAN, above, silence);
    expect("improbable, not silent", &p, 1, true);
    p = with(ratio - 1e-6, NAN, silence / 2);
    expect("repetitive silence", &p, 1, false);
    p = with(ratio - 1e-6, above, silence / 2);
    expect("repetitive and improbable silence", &p, 0, false);
}

static void ladder(void **state) {
    static const struct {
        double first, step;
        int fallbacks;
    } cases[] = {{0, 0.2, 5},   {0.2, 0.1, 8}, {0.1, 0.3, 3}, {0, 0.4, 2},
                 {0.5, 0.2, 2}, {1, 0.2, 0},   {0, 0, 0},     {0.3, 1, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wisp_params p = with(-1, NAN, NAN); /* nothing compresses that badly */
        p.temperature = cases[i].first;
        p.temperature_inc = cases[i].step;
        p.sample_len = 3;
        expect("ladder", &p, cases[i].fallbacks, true);
    }
}

static void seeds(void **state) {
    struct wisp_params p = quick();
    p.temperature = 1;
    struct wisp_result *a = run(ctx, LONG, &p), *b = run(ctx, LONG, &p);
    p.seed = 1;
    struct wisp_result *c = run(ctx, LONG, &p);
    assert_string_equal(a->text, b->text);
    assert_string_not_equal(a->text, c->text);
    wisp_result_free(&a);
    wisp_result_free(&b);
    wisp_result_free(&c);
}

/* ------------------------------------------------------------------ parts of the audio */

static void shortest_audio(void **state) {
    static const size_t lengths[] = {0, 1, 159, 160, 161, 400};
    struct wisp_params p = quick();
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        struct wisp_result *r = run(ctx_multilingual, lengths[i], &p);
        assert_int_equal(r->timings.n_windows, lengths[i] >= 160);
        assert_true((r->n_segments > 0) == (lengths[i] >= 160));
        assert_true(r->duration == (double)(lengths[i] / 160) / 100);
        assert_non_null(r->language);
        assert_non_null(r->text);
        wisp_result_free(&r);
    }
}

/* Without previous text, a window's text depends on where it starts only: the run from the start
 * and the run from a later window's start agree from there on. */
static void parts(void **state) {
    struct wisp_params p = quick();
    p.max_context = 0;
    struct wisp_result *whole = run(ctx, LONG, &p);
    size_t n = whole->n_segments, at = 0;
    while (at < n && whole->segments[at].seek == 0)
        at++;
    assert_true(at < n);
    p.offset = (double)whole->segments[at].seek / 100;
    struct wisp_result *rest = run(ctx, LONG, &p);
    assert_int_equal(rest->n_segments, n - at);
    assert_same_segments(whole->segments + at, rest->segments, n - at);
    wisp_result_free(&rest);

    /* a part that ends within a window: the window's mel ends there too */
    p.duration = 0.5;
    rest = run(ctx, LONG, &p);
    assert_int_equal(rest->timings.n_windows, 1);
    assert_int_equal(rest->segments[0].seek, whole->segments[at].seek);
    wisp_result_free(&rest);
    p.offset = 0.29; /* times 100 is less than 29 */
    rest = run(ctx, LONG, &p);
    assert_int_equal(rest->segments[0].seek, 29);
    wisp_result_free(&rest);
    p.offset = 65;
    rest = run(ctx, LONG, &p);
    assert_int_equal(rest->n_segments, 0);
    wisp_result_free(&rest);
    wisp_result_free(&whole);
}

/* Previous text, and a prompt, change what is heard. */
static void prompts(void **state) {
    struct wisp_params p = quick();
    p.max_context = 0;
    struct wisp_result *none = run(ctx, LONG, &p), *some;
    p.initial_prompt = "abc"; /* before the first window, although no previous text is wanted */
    some = run(ctx, LONG, &p);
    assert_string_not_equal(none->text, some->text);
    p.condition_on_previous = false;
    p.max_context = -1;
    struct wisp_result *same = run(ctx, LONG, &p);
    assert_string_equal(some->text, same->text);
    wisp_result_free(&same);
    wisp_result_free(&some);
    p.condition_on_previous = true;
    p.max_context = 0;
    p.carry_initial_prompt = true; /* carried whatever the bound on previous text */
    some = run(ctx, LONG, &p);
    assert_string_not_equal(none->text, some->text);
    wisp_result_free(&some);
    p = quick();
    some = run(ctx, LONG, &p);
    assert_string_not_equal(none->text, some->text);
    assert_int_equal(none->segments[0].tokens[1],
                     some->segments[0].tokens[1]); /* the first window */
    wisp_result_free(&some);
    p.condition_on_previous = false;
    some = run(ctx, LONG, &p);
    assert_string_equal(none->text, some->text);
    wisp_result_free(&some);
    wisp_result_free(&none);
}

static void languages(void **state) {
    struct wisp_params p = quick();
    p.detect_language_only = true;
    struct wisp_result *r = run(ctx_multilingual, 5 * RATE, &p);
    assert_int_equal(r->n_segments, 0);
    assert_true(r->language_prob > 0 && r->language_prob < 1);
    p.detect_language_only = false;
    p.language = r->language;
    struct wisp_result *given = run(ctx_multilingual, 5 * RATE, &p);
    p.language = "auto";
    struct wisp_result *found = run(ctx_multilingual, 5 * RATE, &p);
    assert_true(given->language_prob == 1 && found->language_prob == r->language_prob);
    assert_string_equal(given->language, found->language);
    assert_string_equal(given->text, found->text);
    wisp_result_free(&r);
    wisp_result_free(&given);
    wisp_result_free(&found);
}

/* ------------------------------------------------------------------ callbacks */

struct log {
    size_t n_segments, n_windows;
    struct wisp_segment seen[256];
    double done, total;
    int n_reading; /* times that progress came before all audio was read */
    long polls, stop_at;
};

static void on_segments(void *user, const struct wisp_segment *segments, size_t n) {
    struct log *log = user;
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(segments[i].id, log->n_segments);
        assert_true(log->n_segments < 256);
        log->seen[log->n_segments++] = segments[i];
    }
    log->n_windows++;
}

static void on_progress(void *user, double done, double total) {
    struct log *log = user;
    assert_true(done >= log->done && done <= total);
    log->done = done;
    log->total = total;
    log->n_reading += total < 65;
}

static bool should_abort(void *user) {
    struct log *log = user;
    return ++log->polls == log->stop_at;
}

static struct wisp_params logged(struct log *log) {
    struct wisp_params p = quick();
    p.sample_len = 7;
    p.on_segments = on_segments;
    p.on_progress = on_progress;
    p.should_abort = should_abort;
    p.user = log;
    return p;
}

static void callbacks(void **state) {
    struct log log = {0};
    struct wisp_params p = logged(&log);
    struct wisp_result *r = run(ctx, LONG, &p);
    assert_int_equal(log.n_segments, r->n_segments);
    for (size_t i = 0; i < log.n_segments; i++)
        assert_int_equal(log.seen[i].seek, r->segments[i].seek);
    assert_int_equal(log.n_windows, r->timings.n_windows);
    assert_true(log.n_windows > 3); /* some did not last 30 s */
    assert_true(log.done == 65 && log.total == 65);
    assert_true(log.n_reading >= 60);
    assert_true(log.polls >= r->timings.n_decoder_steps);
    wisp_result_free(&r);
}

/* Stopped at any poll, what was done before is there, and the context works on. */
static void stopping(void **state) {
    struct log full = {0};
    struct wisp_params p = logged(&full);
    struct wisp_result *whole = run(ctx_multilingual, LONG, &p), *part;
    for (long at = 1; at <= full.polls; at += 1 + at / 6) {
        struct log log = {.stop_at = at};
        struct wisp_error err = {0};
        p.user = &log;
        assert_int_equal(wisp_transcribe_pcm(ctx_multilingual, samples, LONG, &p, &part, &err),
                         WISP_E_CANCELLED);
        assert_int_equal(err.code, WISP_E_CANCELLED);
        assert_non_null(part);
        assert_int_equal(part->n_segments, log.n_segments);
        assert_non_null(part->device_encoder);
        assert_true(at > full.n_reading || part->timings.encode == 0);
        assert_true(part->n_segments <= whole->n_segments);
        assert_same_segments(part->segments, whole->segments, part->n_segments);
        assert_true(strncmp(part->text, whole->text, strlen(part->text)) == 0);
        wisp_result_free(&part);
    }
    p.user = &full;
    full = (struct log){0};
    part = run(ctx_multilingual, LONG, &p);
    assert_string_equal(part->text, whole->text);
    wisp_result_free(&part);
    wisp_result_free(&whole);
}

static void thread_counts(void **state) {
    struct wisp_params p = quick();
    p.beam_size = 3;
    struct wisp_result *two = run(ctx, 31 * RATE, &p);
    for (int threads = 1; threads <= 3; threads += 2) {
        struct wisp_ctx *other;
        assert_int_equal(wisp_ctx_create(&other, english, threads, NULL), WISP_OK);
        struct wisp_result *r = run(other, 31 * RATE, &p);
        assert_int_equal(r->n_segments, two->n_segments);
        assert_same_segments(r->segments, two->segments, r->n_segments);
        wisp_result_free(&r);
        wisp_ctx_destroy(&other);
    }
    wisp_result_free(&two);
}

/* ------------------------------------------------------------------ arguments */

static void refused(const struct wisp_params *p, const char *word) {
    struct wisp_error err = {0};
    struct wisp_result *r = (void *)&err;
    assert_int_equal(wisp_transcribe_pcm(ctx, samples, RATE, p, &r, &err), WISP_E_ARG);
    assert_null(r);
    if (!strstr(err.text, word))
        fail_msg("'%s' does not speak of '%s'", err.text, word);
}

#define REFUSED(member, value, word)                                                               \
    do {                                                                                           \
        struct wisp_params p = quick();                                                            \
        p.member = value;                                                                          \
        refused(&p, word);                                                                         \
    } while (0)

static void no_params_are_the_defaults(void **state) {
    (void)state;
    struct wisp_params p;
    struct wisp_error err = {0};
    struct wisp_result *given = NULL, *none = NULL;
    wisp_params_init(&p);
    assert_int_equal(wisp_transcribe_pcm(ctx, samples, RATE, &p, &given, &err), WISP_OK);
    assert_int_equal(wisp_transcribe_pcm(ctx, samples, RATE, NULL, &none, &err), WISP_OK);
    assert_int_equal(none->n_segments, given->n_segments);
    assert_same_segments(none->segments, given->segments, none->n_segments);
    wisp_result_free(&given);
    wisp_result_free(&none);
}

static void arguments(void **state) {
    REFUSED(beam_size, 0, "beam");
    REFUSED(beam_size, 17, "beam");
    REFUSED(best_of, 0, "best of");
    REFUSED(best_of, 17, "best of");
    REFUSED(patience, 0.0, "patience");
    REFUSED(patience, NAN, "patience");
    REFUSED(length_penalty, 1.5, "length penalty 1.5 is out of range; give at most 1");
    REFUSED(temperature, -0.1, "temperature");
    REFUSED(temperature, 1.1, "temperature");
    REFUSED(temperature, NAN, "temperature");
    REFUSED(temperature_inc, -1, "increment");
    REFUSED(offset, -1, "offset");
    REFUSED(offset, INFINITY, "offset");
    REFUSED(duration, -1, "duration");
    REFUSED(sample_len, -1, "sample length");
    REFUSED(max_initial_timestamp, -1, "initial timestamp");
    REFUSED(task, WISP_TRANSLATE, "English only");
    REFUSED(language, "klingon", "klingon");

    struct wisp_params p = quick();
    struct wisp_error err = {0};
    struct wisp_result *r;
    p.language = "klingon";
    assert_int_equal(wisp_transcribe_pcm(ctx_multilingual, samples, RATE, &p, &r, &err),
                     WISP_E_ARG);
    assert_non_null(strstr(err.text, "klingon"));
    p.language = NULL;
    float bad[4] = {0, NAN, 0, 0};
    assert_int_equal(wisp_transcribe_pcm(ctx, bad, 4, &p, &r, &err), WISP_E_FORMAT);
    assert_non_null(strstr(err.text, "sample 1"));
    assert_null(r);
    assert_int_equal(wisp_transcribe_pcm(ctx, NULL, 0, &p, &r, NULL), WISP_OK);
    wisp_result_free(&r);
    wisp_result_free(&r);
    wisp_result_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thresholds),
        cmocka_unit_test(ladder),
        cmocka_unit_test(seeds),
        cmocka_unit_test(shortest_audio),
        cmocka_unit_test(parts),
        cmocka_unit_test(prompts),
        cmocka_unit_test(languages),
        cmocka_unit_test(callbacks),
        cmocka_unit_test(stopping),
        cmocka_unit_test(thread_counts),
        cmocka_unit_test(no_params_are_the_defaults),
        cmocka_unit_test(arguments),
    };
    return cmocka_run_group_tests(tests, load, unload);
}

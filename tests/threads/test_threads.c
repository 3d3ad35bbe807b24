/* One model, three contexts, three threads, each with a pool of two: samples, a file, and one that is
 * stopped again and again.  The results are those of a lone run, and callbacks come in the caller's
 * thread.  Built with ThreadSanitizer this is the race check of the whole library. */
#include "unit/suite.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <wisp/wisp.h>

enum { SAMPLES = 3 * 16000 };

static const struct wisp_dims tiny_dims = {
    .n_vocab = 51864, .n_mels = 80,
    .n_audio_ctx = 1500, .n_audio_state = 32, .n_audio_head = 1, .n_audio_layer = 1,
    .n_text_ctx = 448, .n_text_state = 32, .n_text_head = 1, .n_text_layer = 1,
};

struct run {
    const struct wisp_model *model;
    const char *file; /* NULL: a tone of so many hertz */
    double hertz;
    int n_threads;
    int n_stops; /* runs that are stopped before the one that counts */
    struct wisp_result *result;
    struct wisp_error err;
    int rc;
    /* what the callbacks see */
    pthread_t caller;
    long polls_left; /* until a stop */
    size_t n_segments;
    bool wrong_thread;
};

static void on_segments(void *user, const struct wisp_segment *segments, size_t n) {
    struct run *run = user;
    run->wrong_thread |= !pthread_equal(pthread_self(), run->caller) || !segments[0].text;
    run->n_segments += n;
}

static void on_progress(void *user, double done, double total) {
    struct run *run = user;
    run->wrong_thread |= !pthread_equal(pthread_self(), run->caller) || done > total;
}

static bool should_abort(void *user) {
    struct run *run = user;
    run->wrong_thread |= !pthread_equal(pthread_self(), run->caller);
    return --run->polls_left == 0;
}

static struct wisp_params quick(struct run *run) {
    struct wisp_params params;
    wisp_params_init(&params);
    params.beam_size = 2;
    params.temperature_inc = 0;
    params.sample_len = 8;
    params.no_speech_max = NAN;
    params.on_segments = on_segments;
    params.on_progress = on_progress;
    params.should_abort = should_abort;
    params.user = run;
    return params;
}

static int transcribe_once(struct run *run, struct wisp_ctx *ctx, const float *pcm) {
    const struct wisp_params params = quick(run);
    wisp_result_free(&run->result);
    run->n_segments = 0;
    return run->file
               ? wisp_transcribe_file(ctx, run->file, NULL, &params, &run->result, &run->err)
               : wisp_transcribe_pcm(ctx, pcm, SAMPLES, &params, &run->result, &run->err);
}

static void *transcribe(void *arg) {
    struct run *run = arg;
    struct wisp_ctx *ctx = NULL;
    float *pcm = malloc(SAMPLES * sizeof *pcm);
    if (!pcm)
        return NULL;
    for (int i = 0; i < SAMPLES; i++)
        pcm[i] = 0.3f * (float)sin(2 * 3.14159265358979 * run->hertz * i / 16000.0);
    run->caller = pthread_self();
    run->rc = wisp_ctx_create(&ctx, run->model, run->n_threads, &run->err);
    for (int i = 0; i < run->n_stops && run->rc == WISP_OK; i++) {
        run->polls_left = 1 + 3 * i;
        int rc = transcribe_once(run, ctx, pcm);
        run->rc = rc == WISP_E_CANCELLED && run->result ? WISP_OK : WISP_E_INTERNAL;
    }
    run->polls_left = -1;
    if (run->rc == WISP_OK)
        run->rc = transcribe_once(run, ctx, pcm);
    wisp_ctx_destroy(&ctx);
    free(pcm);
    return NULL;
}

static void assert_same_result(const struct wisp_result *a, const struct wisp_result *b) {
    assert_non_null(a);
    assert_non_null(b);
    assert_string_equal(a->text, b->text);
    assert_int_equal(a->n_segments, b->n_segments);
    for (size_t i = 0; i < a->n_segments; i++) {
        const struct wisp_segment *x = &a->segments[i], *y = &b->segments[i];
        assert_int_equal(x->n_tokens, y->n_tokens);
        if (x->n_tokens)
            assert_memory_equal(x->tokens, y->tokens, x->n_tokens * sizeof *x->tokens);
        assert_true(x->avg_logprob == y->avg_logprob);
        assert_true(x->start == y->start && x->end == y->end);
    }
}

static const char *clip; /* a WAV file */

static void contexts_share_a_model(void **state) {
    (void)state;
    enum { N = 3 };
    struct wisp_model *model;
    struct wisp_error err = {0};
    assert_int_equal(wisp_model_create_random(&model, &tiny_dims, 1, NULL, &err), WISP_OK);

    struct run alone[N] = {{.hertz = 300}, {.file = clip}, {.hertz = 1100}}, together[N];
    pthread_t threads[N];
    for (int i = 0; i < N; i++) {
        alone[i].model = model;
        alone[i].n_threads = 1;
        together[i] = alone[i];
        together[i].n_threads = 2;
        transcribe(&alone[i]);
    }
    together[2].n_stops = 4;
    for (int i = 0; i < N; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, transcribe, &together[i]), 0);
    for (int i = 0; i < N; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < N; i++) {
        if (alone[i].rc != WISP_OK || together[i].rc != WISP_OK)
            fail_msg("%s / %s", alone[i].err.text, together[i].err.text);
        assert_true(alone[i].result->n_segments > 0);
        assert_same_result(alone[i].result, together[i].result);
        assert_int_equal(together[i].n_segments, together[i].result->n_segments);
        assert_false(alone[i].wrong_thread || together[i].wrong_thread);
        wisp_result_free(&alone[i].result);
        wisp_result_free(&together[i].result);
    }
    wisp_model_close(&model);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(contexts_share_a_model)};
    if (argc != 2)
        return 2;
    clip = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}

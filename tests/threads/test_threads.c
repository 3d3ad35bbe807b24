/* One model, two contexts, two threads, each with a pool of two: the results are those of a lone run.
 * Built with ThreadSanitizer this is the race check of the whole library. */
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
    double hertz;
    int n_threads;
    struct wisp_result *result;
    struct wisp_error err;
    int rc;
};

static void *transcribe(void *arg) {
    struct run *run = arg;
    struct wisp_ctx *ctx = NULL;
    struct wisp_params params;
    float *pcm = malloc(SAMPLES * sizeof *pcm);
    if (!pcm)
        return NULL;
    for (int i = 0; i < SAMPLES; i++)
        pcm[i] = 0.3f * (float)sin(2 * 3.14159265358979 * run->hertz * i / 16000.0);

    wisp_params_init(&params);
    params.beam_size = 2;
    params.temperature_inc = 0;
    params.sample_len = 8;
    params.no_speech_max = NAN;
    run->rc = wisp_ctx_create(&ctx, run->model, run->n_threads, &run->err);
    if (run->rc == WISP_OK)
        run->rc = wisp_transcribe_pcm(ctx, pcm, SAMPLES, &params, &run->result, &run->err);
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

static void two_contexts_share_a_model(void **state) {
    (void)state;
    struct wisp_model *model;
    struct wisp_error err = {0};
    assert_int_equal(wisp_model_create_random(&model, &tiny_dims, 1, NULL, &err), WISP_OK);

    struct run alone[2] = {{.hertz = 300, .n_threads = 1}, {.hertz = 1100, .n_threads = 1}};
    struct run together[2] = {{.hertz = 300, .n_threads = 2}, {.hertz = 1100, .n_threads = 2}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        alone[i].model = together[i].model = model;
        transcribe(&alone[i]);
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, transcribe, &together[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 2; i++) {
        if (alone[i].rc != WISP_OK || together[i].rc != WISP_OK)
            fail_msg("%s / %s", alone[i].err.text, together[i].err.text);
        assert_true(alone[i].result->n_segments > 0);
        assert_same_result(alone[i].result, together[i].result);
        wisp_result_free(&alone[i].result);
        wisp_result_free(&together[i].result);
    }
    wisp_model_close(&model);
}

WISP_SUITE(cmocka_unit_test(two_contexts_share_a_model))

/* Every allocation of the library fails once, one run each: the call reports NOMEM, nothing leaks (the
 * build has AddressSanitizer) and the next run works. */
#include "unit/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "model/model.h"

enum { SAMPLES = 16000 };

static const struct wisp_dims tiny_dims = {
    .n_vocab = 51865, .n_mels = 80,
    .n_audio_ctx = 1500, .n_audio_state = 16, .n_audio_head = 1, .n_audio_layer = 1,
    .n_text_ctx = 448, .n_text_state = 16, .n_text_head = 1, .n_text_layer = 1,
};

/* A use of the whole library; returns its code. */
typedef int (*usage)(struct wisp_error *err);

static int transcribe(const struct wisp_model *model, const char *path, struct wisp_error *err) {
    static const float silence[SAMPLES];
    struct wisp_ctx *ctx = NULL;
    struct wisp_result *result = NULL;
    struct wisp_params params;

    wisp_params_init(&params);
    params.initial_prompt = "a b";
    params.sample_len = 3;
    params.temperature_inc = 1.0;
    params.beam_size = 2;
    params.best_of = 2;
    int rc = wisp_ctx_create(&ctx, model, 2, err);
    if (rc == WISP_OK)
        rc = path ? wisp_transcribe_file(ctx, path, NULL, &params, &result, err)
                  : wisp_transcribe_pcm(ctx, silence, SAMPLES, &params, &result, err);
    wisp_result_free(&result);
    wisp_ctx_destroy(&ctx);
    return rc;
}

static int random_model_and_pcm(struct wisp_error *err) {
    struct wisp_model *model = NULL;
    int rc = wisp_model_create_random(&model, &tiny_dims, 7, NULL, err);
    if (rc == WISP_OK)
        rc = transcribe(model, NULL, err);
    wisp_model_close(&model);
    return rc;
}

static const char *model_path, *audio_path; /* from the command line */

static int model_file_and_audio_file(struct wisp_error *err) {
    struct wisp_model *model = NULL;
    int rc = wisp_model_open(&model, model_path, NULL, err);
    if (rc == WISP_OK)
        rc = transcribe(model, audio_path, err);
    wisp_model_close(&model);
    return rc;
}

static long count_allocations(usage use) {
    struct wisp_error err = {0};
    wi_mem_fail_at = 0;
    wi_mem_count = 0;
    if (use(&err) != WISP_OK)
        fail_msg("without a failure: %s", err.text);
    return wi_mem_count;
}

static void every_failure_is_reported(usage use) {
    long n = count_allocations(use);
    assert_true(n > 20);
    /* All of the first 400; of the rest, evenly spread ones, so that the test stays short. */
    long stride = n > 800 ? (n - 400) / 400 + 1 : 1;
    for (long i = 1; i <= n; i += i < 400 ? 1 : stride) {
        struct wisp_error err = {0};
        wi_mem_fail_at = i;
        wi_mem_count = 0;
        int rc = use(&err);
        if (rc != WISP_E_NOMEM || !strstr(err.text, "memory"))
            fail_msg("allocation %ld of %ld failed, but the call returned %d: '%s'", i, n, rc,
                     err.text);
    }
    count_allocations(use);
}

static void pcm(void **state) {
    (void)state;
    every_failure_is_reported(random_model_and_pcm);
}

static void files(void **state) {
    (void)state;
    every_failure_is_reported(model_file_and_audio_file);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(pcm), cmocka_unit_test(files)};
    if (argc != 3) {
        fprintf(stderr, "usage: test_alloc MODEL AUDIO\n");
        return 1;
    }
    model_path = argv[1];
    audio_path = argv[2];
    return cmocka_run_group_tests(tests, NULL, NULL);
}

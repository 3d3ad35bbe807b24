/* Folders written by the `transformers` package (tools/make_hf_folders.py) against the logits that
 * it computes from them. */
#include "suite.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <wisp/wisp.h>

#include "base/mem.h"
#include "pipeline/pipeline.h"
#include "text/vocab.h"

static double item(const json_t *array, size_t i) {
    return json_number_value(json_array_get(array, i));
}

/* Logits [n_tokens, n_vocab] of the recorded mel and tokens, to free. */
static float *logits_of(const char *folder, const json_t *recorded) {
    struct wisp_error err = {0};
    struct wisp_model_params params = {.cpu = "portable"};
    struct wisp_model *model;
    struct wisp_model_info info;
    struct wisp_ctx *ctx;
    const json_t *mel = json_object_get(recorded, "mel"),
                 *ids = json_object_get(recorded, "tokens");
    size_t n_mel = json_array_size(mel), n = json_array_size(ids);
    float *input = malloc(n_mel * sizeof *input);
    int tokens[16];
    for (size_t i = 0; i < n_mel; i++)
        input[i] = (float)item(mel, i);
    for (size_t i = 0; i < n; i++)
        tokens[i] = (int)item(ids, i);
    if (wisp_model_open(&model, folder, &params, &err) || wisp_ctx_create(&ctx, model, 1, &err))
        fail_msg("%s", err.text);
    wisp_model_get_info(model, &info);
    assert_string_equal(info.container, "safetensors");
    assert_string_equal(info.weight_type, "f32");
    assert_int_equal(info.n_vocab_stored, 261);
    char *text = wi_vocab_decode(model->file->vocab, (int[]){259, 260}, 2);
    assert_string_equal(text, "hello w");
    wi_free(text);
    float *logits = malloc(n * (size_t)info.dims.n_vocab * sizeof *logits);
    if (wisp_stage_encode(ctx, input, NULL, &err) || wisp_stage_cross_kv(ctx, &err) ||
        wisp_stage_decode(ctx, tokens, n, false, logits, &err))
        fail_msg("%s", err.text);
    free(input);
    wisp_ctx_destroy(&ctx);
    wisp_model_close(&model);
    return logits;
}

static void folders_of_transformers(void **state) {
    enum { N_VOCAB = 51864 };
    json_t *recorded = json_load_file(WISP_TEST_DATA "/hf-expected.json", 0, NULL);
    assert_non_null(recorded);
    const json_t *want = json_object_get(recorded, "logits"),
                 *ids = json_object_get(recorded, "ids");
    float *single = logits_of(WISP_TEST_DATA "/hf-single", recorded);
    float *sharded = logits_of(WISP_TEST_DATA "/hf-sharded", recorded);
    double distance = 0, size = 0;
    for (size_t row = 0; row < json_array_size(want); row++)
        for (size_t i = 0; i < json_array_size(ids); i++) {
            double x = item(json_array_get(want, row), i);
            double d = single[row * N_VOCAB + (size_t)item(ids, i)] - x;
            distance += d * d;
            size += x * x;
        }
    assert_true(size > 100);
    if (!(sqrt(distance / size) < 1e-5))
        fail_msg("relative distance %g", sqrt(distance / size));
    assert_memory_equal(single, sharded, json_array_size(want) * N_VOCAB * sizeof *single);
    free(single);
    free(sharded);
    json_decref(recorded);
}

WISP_SUITE(cmocka_unit_test(folders_of_transformers))

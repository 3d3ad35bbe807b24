/* The encoder against the f64 formulas, on shapes that published models do not have too, and its
 * promises: independence of the thread count, abort, and errors that name the layer. */
#include "suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "naive.h"
#include "rig.h"

static const struct wisp_dims small = {51864, 80, 50, 64, 2, 3, 24, 64, 2, 1};

/* Heads of 128, 32, 24 and 1 values; contexts that are no multiple of any block; 128 bands. */
static const struct wisp_dims shapes[] = {
    {51864, 80, 50, 64, 2, 3, 24, 64, 2, 1}, {51865, 128, 97, 128, 1, 1, 8, 128, 1, 1},
    {51866, 80, 1, 32, 1, 2, 8, 32, 1, 1},   {51864, 80, 49, 72, 3, 1, 8, 72, 3, 1},
    {51864, 80, 131, 5, 5, 1, 8, 5, 5, 1},
};

static float *encode(struct rig *rig, const float *mel) {
    const struct wisp_dims *d = &rig->model->dims;
    float *features = malloc((size_t)d->n_audio_ctx * (size_t)d->n_audio_state * sizeof *features);
    if (wi_enc_run(rig->enc, mel, features, NULL, NULL, &rig->err) != WISP_OK)
        fail_msg("%s", rig->err.text);
    return features;
}

static void every_level_is_near_f64(void **state) {
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const struct wisp_dims *d = &shapes[i];
        size_t n = (size_t)d->n_audio_ctx * (size_t)d->n_audio_state;
        float *mel = rig_mel(d, (unsigned)i);
        double *expected = NULL;
        for (int level = 0; level < WI_N_LEVELS; level++) {
            if (!rig_has(level))
                continue;
            struct rig *rig = rig_open(d, level, 2);
            if (!expected) {
                expected = malloc(n * sizeof *expected);
                naive_encode(rig->model, mel, expected);
            }
            float *features = encode(rig, mel);
            double distance = naive_distance(features, expected, n);
            if (distance > rig_bound(level))
                fail_msg("shape %zu, %s: %.2e off", i, wi_level_name(level), distance);
            free(features);
            rig_close(rig);
        }
        free(expected);
        free(mel);
    }
}

static void thread_count_changes_no_bit(void **state) {
    size_t bytes = (size_t)small.n_audio_ctx * (size_t)small.n_audio_state * sizeof(float);
    float *mel = rig_mel(&small, 3);
    for (int level = 0; level < WI_N_LEVELS; level++) {
        float *first = NULL;
        for (int threads = 1; threads <= 5 && rig_has(level); threads++) {
            struct rig *rig = rig_open(&small, level, threads);
            float *features = encode(rig, mel);
            if (first)
                assert_memory_equal(first, features, bytes);
            else
                first = features;
            if (features != first)
                free(features);
            rig_close(rig);
        }
        free(first);
    }
    free(mel);
}

static void a_window_leaves_nothing_behind(void **state) {
    size_t bytes = (size_t)small.n_audio_ctx * (size_t)small.n_audio_state * sizeof(float);
    float *one = rig_mel(&small, 1), *two = rig_mel(&small, 2);
    struct rig *used = rig_open(&small, wi_cpu_detect(), 2),
               *fresh = rig_open(&small, wi_cpu_detect(), 2);
    float *first = encode(used, one), *second = encode(used, two), *expected = encode(fresh, two);
    assert_memory_not_equal(first, second, bytes);
    assert_memory_equal(second, expected, bytes);
    free(first);
    free(second);
    free(expected);
    free(one);
    free(two);
    rig_close(used);
    rig_close(fresh);
}

struct countdown {
    int polls, stop_at;
};

static bool count_down(void *user) {
    struct countdown *c = user;
    return ++c->polls == c->stop_at;
}

static void stops_at_the_next_layer(void **state) {
    float *mel = rig_mel(&small, 4), features[50 * 64];
    struct rig *rig = rig_open(&small, wi_cpu_detect(), 2);
    for (int stop_at = 1; stop_at <= small.n_audio_layer; stop_at++) {
        struct countdown c = {0, stop_at};
        rig->err.code = 0;
        assert_int_equal(wi_enc_run(rig->enc, mel, features, count_down, &c, &rig->err),
                         WISP_E_CANCELLED);
        assert_int_equal(c.polls, stop_at);
        assert_string_equal(rig->err.text, "stopped on request in the encoder");
    }
    struct countdown never = {0, 100};
    assert_int_equal(wi_enc_run(rig->enc, mel, features, count_down, &never, &rig->err), WISP_OK);
    assert_true(never.polls >= small.n_audio_layer);
    free(mel);
    rig_close(rig);
}

static void expect_internal(struct rig *rig, const float *mel, const char *layer) {
    float features[50 * 64];
    rig->err = (struct wisp_error){0};
    assert_int_equal(wi_enc_run(rig->enc, mel, features, NULL, NULL, &rig->err), WISP_E_INTERNAL);
    if (!strstr(rig->err.text, layer))
        fail_msg("'%s' does not name %s", rig->err.text, layer);
}

static void names_the_layer_that_is_not_finite(void **state) {
    float *mel = rig_mel(&small, 5);
    for (int level = 0; level < WI_N_LEVELS; level++) {
        if (!rig_has(level))
            continue;
        struct rig *rig = rig_open(&small, level, 2);
        const struct wi_weights *w = &rig->model->w;
        /* From the end to the start: the first layer that goes wrong is named. */
        ((float *)w->enc_ln.w)[3] = INFINITY;
        expect_internal(rig, mel, "encoder.ln_post");
        rig_poison(rig, w->enc[2].mlp_out.w);
        expect_internal(rig, mel, "encoder.blocks.2");
        rig_poison(rig, w->enc[1].attn.k.w);
        expect_internal(rig, mel, "encoder.blocks.1");
        rig_poison(rig, w->enc[0].attn.v.w);
        expect_internal(rig, mel, "encoder.blocks.0");
        rig_poison(rig, w->conv1.w);
        expect_internal(rig, mel, "encoder.conv");
        rig_close(rig);
    }
    free(mel);
}

static void refuses_a_mel_that_is_not_finite(void **state) {
    float *mel = rig_mel(&small, 6), features[50 * 64];
    struct rig *rig = rig_open(&small, wi_cpu_detect(), 1);
    mel[1234] = NAN;
    assert_int_equal(wi_enc_run(rig->enc, mel, features, NULL, NULL, &rig->err), WISP_E_ARG);
    assert_non_null(strstr(rig->err.text, "mel"));
    free(mel);
    rig_close(rig);
}

WISP_SUITE(cmocka_unit_test(every_level_is_near_f64), cmocka_unit_test(thread_count_changes_no_bit),
           cmocka_unit_test(a_window_leaves_nothing_behind),
           cmocka_unit_test(stops_at_the_next_layer),
           cmocka_unit_test(names_the_layer_that_is_not_finite),
           cmocka_unit_test(refuses_a_mel_that_is_not_finite))

#include "suite.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "model/model.h"
#include "text/vocab.h"

static struct wi_model *create(struct wisp_dims dims, uint64_t seed) {
    struct wi_model *m;
    struct wisp_error err = {0};
    if (wi_model_create_random(&m, &dims, seed, &err))
        fail_msg("%s", err.text);
    return m;
}

static struct wisp_dims small(void) {
    return (struct wisp_dims){51865, 128, 50, 64, 2, 2, 16, 64, 1, 1};
}

static void same_seed_gives_the_same_weights(void **state) {
    struct wi_model *a = create(small(), 5), *b = create(small(), 5), *c = create(small(), 6);
    size_t same = 0;
    assert_int_equal(a->n_tensors, 3 * 2 + 3 * 15 - 15 + 24 + 3 + 2);
    for (size_t i = 0; i < a->n_tensors; i++) {
        assert_string_equal(a->tensors[i].name, b->tensors[i].name);
        assert_memory_equal(a->tensors[i].data, b->tensors[i].data, a->tensors[i].bytes);
        same += memcmp(a->tensors[i].data, c->tensors[i].data, a->tensors[i].bytes) == 0;
    }
    assert_int_equal(same, 1); /* the encoder's sinusoids */
    wi_model_close(&a);
    wi_model_close(&b);
    wi_model_close(&c);
}

/* Mean and deviation as meant, no subnormal f16, every tensor different. */
static void check_matrix(const struct wi_tensor *t, double deviation) {
    double sum = 0, squares = 0;
    size_t n = t->bytes / 2;
    for (size_t i = 0; i < n; i++) {
        uint16_t half;
        memcpy(&half, t->data + 2 * i, 2);
        float x = wi_f16_to_f32(half);
        assert_true(fabsf(x) >= 0x1p-14f && fabsf(x) < 6 * deviation);
        sum += x;
        squares += (double)x * x;
    }
    assert_true(fabs(sum / (double)n) < 6 * deviation / sqrt((double)n));
    assert_true(fabs(sqrt(squares / (double)n) / deviation - 1) < 0.05);
}

static void weights_are_spread_as_meant(void **state) {
    struct wi_model *m = create(small(), 1);
    check_matrix(m->w.conv1.w, 1 / sqrt(128 * 3));
    check_matrix(m->w.enc[1].attn.v.w, 1.0 / 8);
    check_matrix(m->w.dec[0].mlp_out.w, 1.0 / 16);
    check_matrix(m->w.tok_emb, 0.05);
    double mean = 0;
    for (int i = 0; i < 4 * 64; i++)
        mean += m->w.dec[0].mlp_in.b[i] / 256;
    assert_true(fabs(mean + 0.5) < 0.1);
    /* openai-whisper's sinusoids: sin of the position itself in channel 0, cos in channel 32. */
    assert_true(fabs(m->w.enc_pos[7 * 64] - sin(7)) < 1e-6);
    assert_true(fabs(m->w.enc_pos[7 * 64 + 32] - cos(7)) < 1e-6);
    assert_true(fabs(m->w.enc_pos[7 * 64 + 31] - sin(7e-4)) < 1e-6);
    wi_model_close(&m);
}

static void text_works(void **state) {
    struct wi_model *m = create(small(), 1);
    char *text = wi_vocab_decode(m->vocab, (int[]){'H', 'i', 300, 50257, 51864}, 5);
    assert_string_equal(text, "Hi w300<|endoftext|>");
    assert_int_equal(wi_vocab_size(m->vocab), 50257);
    wi_free(text);
    wi_model_close(&m);
}

static void refuses_bad_dimensions(void **state) {
    for (int i = 0; i < 10; i++) {
        struct wisp_dims d = small();
        struct wisp_error err = {0};
        struct wisp_model *m = (void *)&err;
        memcpy((int *)&d + i, &(int){i % 2 ? -1 : INT32_MAX}, sizeof(int));
        assert_int_equal(wisp_model_create_random(&m, &d, 1, NULL, &err), WISP_E_ARG);
        assert_non_null(strstr(err.text, "cannot make a model of random weights: n_"));
        assert_null(m);
        assert_int_equal(wisp_model_create_random(&m, &d, 1, NULL, NULL), WISP_E_ARG);
    }
}

static void knows_the_published_sizes(void **state) {
    struct wisp_dims d;
    assert_true(wisp_dims_named("base", &d));
    assert_int_equal(d.n_text_state, 512);
    assert_int_equal(d.n_text_head, 8);
    assert_int_equal(d.n_vocab, 51865);
    assert_true(wisp_dims_named("large-v3", &d));
    assert_int_equal(d.n_mels, 128);
    assert_int_equal(d.n_vocab, 51866);
    assert_true(wisp_dims_named("turbo", &d));
    assert_int_equal(d.n_text_layer, 4);
    assert_true(wisp_dims_named("tiny.en", &d));
    assert_int_equal(d.n_vocab, 51864);
    assert_false(wisp_dims_named("huge", &d));
    assert_false(wisp_dims_named("", &d));
}

static void info_of_the_public_object(void **state) {
    struct wisp_model *m;
    struct wisp_model_info info;
    struct wisp_tensor_info t;
    struct wisp_dims d = small();
    struct wisp_error err;
    struct wisp_model_params params;
    size_t n = 0, n_params = 0;
    wisp_model_params_init(&params);
    params.cpu = "portable";
    assert_int_equal(wisp_model_create_random(&m, &d, 1, &params, &err), WISP_OK);
    wisp_model_get_info(m, &info);
    assert_memory_equal(&info.dims, &d, sizeof d);
    assert_string_equal(info.container, "memory");
    assert_string_equal(info.weight_type, "f16");
    assert_string_equal(info.cpu_level, "portable");
    assert_true(info.multilingual);
    assert_int_equal(info.n_languages, 99);
    assert_int_equal(info.n_vocab_stored, 50257);
    for (; wisp_model_get_tensor(m, n, &t); n++) {
        size_t product = 1;
        for (int i = 0; i < t.n_dims; i++)
            product *= (size_t)t.dims[i];
        n_params += product;
        assert_int_equal(t.bytes, product * (strcmp(t.type, "f16") ? 4 : 2));
    }
    assert_int_equal(n, info.n_tensors);
    assert_int_equal(n_params, info.n_params);
    params.cpu = "mmx";
    wisp_model_close(&m);
    assert_null(m);
    assert_int_equal(wisp_model_create_random(&m, &d, 1, &params, &err), WISP_E_ARG);
    assert_non_null(strstr(err.text, "mmx"));
}

WISP_SUITE(cmocka_unit_test(same_seed_gives_the_same_weights),
           cmocka_unit_test(weights_are_spread_as_meant), cmocka_unit_test(text_works),
           cmocka_unit_test(refuses_bad_dimensions), cmocka_unit_test(knows_the_published_sizes),
           cmocka_unit_test(info_of_the_public_object))

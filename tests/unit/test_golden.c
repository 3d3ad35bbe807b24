/* Encoder and decoder of every level against the golden tensors of an independent f64 model, when
 * $WISP_SHARED (or ../shared beside the tree) has them; otherwise skipped (77). */
#include "suite.h"

#include <math.h>
#include <stdlib.h>

#include "npy.h"

#include "decoder/decoder.h"
#include "encoder/encoder.h"

static char folder[1024];

static void *golden(const char *model, const char *name, size_t *n) {
    char path[1200];
    snprintf(path, sizeof path, "%s/golden/%s/%s", folder, model, name);
    void *data = npy_read(path, n);
    if (!data)
        fail_msg("cannot read %s", path);
    return data;
}

static double relative_l2(const float *x, const float *ref, size_t n) {
    double diff = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        diff += ((double)x[i] - ref[i]) * ((double)x[i] - ref[i]);
        size += (double)ref[i] * ref[i];
    }
    return sqrt(diff / size);
}

static void check_level(const char *name, enum wi_level level, enum wi_dec_format format) {
    struct wisp_error err = {0};
    struct wi_model *model;
    struct wi_kern kern;
    struct wi_pool *pool;
    struct wi_enc_weights *enc_weights;
    struct wi_enc *enc;
    struct wi_dec_weights weights;
    struct wi_dec *dec;
    char path[1200];
    size_t n_mel, n_features, n_tokens, n_logits;
    float *mel = golden(name, "mel.npy", &n_mel), *features = golden(name, "encoder.npy", &n_features);
    float *logits = golden(name, "logits.npy", &n_logits);
    int *tokens = golden(name, "tokens.npy", &n_tokens), rows[64];

    snprintf(path, sizeof path, "%s/golden/%s/model.bin", folder, name);
    if (wi_model_open(&model, path, &err) != WISP_OK)
        fail_msg("%s", err.text);
    wi_kern_select(&kern, level);
    assert_int_equal(wi_pool_create(&pool, 2, &err), WISP_OK);
    assert_int_equal(wi_enc_weights_create(&enc_weights, model, &kern, pool, &err), WISP_OK);
    assert_int_equal(wi_enc_create(&enc, enc_weights, pool, &err), WISP_OK);
    assert_int_equal(wi_dec_weights_init(&weights, model, &kern, pool, format, &err), WISP_OK);
    assert_int_equal(wi_dec_create(&dec, model, &weights, &kern, pool, &err), WISP_OK);
    float *got = malloc(n_features * 4), *got_logits = malloc(n_logits * 4);
    assert_int_equal(wi_enc_run(enc, mel, got, NULL, NULL, &err), WISP_OK);
    double e = relative_l2(got, features, n_features);

    assert_int_equal(wi_dec_set_audio(dec, got, &err), WISP_OK);
    for (int i = 0; i < (int)n_tokens; i++)
        rows[i] = i;
    assert_int_equal(wi_dec_prompt(dec, tokens, (int)n_tokens, rows, (int)n_tokens, got_logits, &err), 0);
    double l = relative_l2(got_logits, logits, n_logits);

    /* token by token, with a copy of the sequence beside it: the same logits */
    size_t n_vocab = n_logits / n_tokens;
    float *step = malloc(2 * n_vocab * 4);
    double s = 0;
    int first = 0;
    assert_int_equal(wi_dec_prompt(dec, tokens, 1, &first, 1, step, &err), WISP_OK);
    for (size_t i = 1; i < n_tokens; i++) {
        int pair[2] = {tokens[i], tokens[i]}, parents[2] = {i > 1, 0};
        assert_int_equal(wi_dec_step(dec, pair, parents, 2, step, &err), WISP_OK);
        s = fmax(s, relative_l2(step, logits + i * n_vocab, n_vocab));
        s = fmax(s, relative_l2(step + n_vocab, logits + i * n_vocab, n_vocab));
    }
    print_message("%s %s, decoder %s: encoder %.2e, logits %.2e, in steps %.2e\n", name,
                  wi_level_name(level), wi_dec_format_name(format), e, l, s);
    double bound = level == WI_AVX512BF16 || format != WI_DEC_F32 ? 2e-2 : 1e-4;
    assert_true(e <= (level == WI_AVX512BF16 ? 2e-2 : 1e-5));
    assert_true(l <= bound);
    assert_true(s <= bound);

    wi_dec_destroy(&dec);
    wi_enc_destroy(&enc);
    wi_enc_weights_destroy(&enc_weights);
    wi_dec_weights_fini(&weights);
    wi_pool_destroy(&pool);
    wi_model_close(&model);
    free(mel);
    free(features);
    free(logits);
    free(tokens);
    free(got);
    free(got_logits);
    free(step);
}

static void all_levels(void **state) {
    (void)state;
    for (int i = 0; i < WI_N_LEVELS; i++) {
        enum wi_level level;
        if (wi_level_parse(&level, wi_level_name(i), NULL) != WISP_OK)
            continue;
        for (int format = 0; format < WI_N_DEC_FORMATS; format++) {
            check_level("en-d64", level, format);
            check_level("multi-d128", level, format);
        }
    }
}

int main(int argc, char **argv) {
    const char *env = getenv("WISP_SHARED");
    char probe[1200];
    snprintf(folder, sizeof folder, "%s", env ? env : argc > 1 ? argv[1] : "../shared");
    snprintf(probe, sizeof probe, "%s/golden/en-d64/model.bin", folder);
    FILE *f = fopen(probe, "rb");
    if (!f)
        return 77;
    fclose(f);
    const struct CMUnitTest tests[] = {cmocka_unit_test(all_levels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "rig.h"

#include <stdlib.h>
#include <string.h>

#include "suite.h"

static int create_encoder(struct rig *rig) {
    int rc = wi_enc_weights_create(&rig->enc_weights, rig->model, &rig->kern, rig->pool, &rig->err);
    return rc == WISP_OK ? wi_enc_create(&rig->enc, rig->enc_weights, rig->pool, &rig->err) : rc;
}

struct rig *rig_open(const struct wisp_dims *dims, enum wi_level level, int n_threads) {
    return rig_open_format(dims, level, WI_DEC_F32, n_threads);
}

struct rig *rig_open_format(const struct wisp_dims *dims, enum wi_level level,
                            enum wi_dec_format format, int n_threads) {
    struct rig *rig = calloc(1, sizeof *rig);
    struct wisp_error *err = &rig->err;
    wi_kern_select(&rig->kern, level);
    if (wi_model_create_random(&rig->model, dims, 11, err) != WISP_OK ||
        wi_pool_create(&rig->pool, n_threads, err) != WISP_OK ||
        create_encoder(rig) != WISP_OK ||
        wi_dec_weights_init(&rig->weights, rig->model, &rig->kern, rig->pool, format, err) != WISP_OK ||
        wi_dec_create(&rig->dec, rig->model, &rig->weights, &rig->kern, rig->pool, err) != WISP_OK)
        fail_msg("%s", err->text);
    return rig;
}

void rig_close(struct rig *rig) {
    wi_dec_destroy(&rig->dec);
    wi_enc_destroy(&rig->enc);
    wi_dec_weights_fini(&rig->weights);
    wi_enc_weights_destroy(&rig->enc_weights);
    wi_pool_destroy(&rig->pool);
    wi_model_close(&rig->model);
    free(rig);
}

bool rig_has(enum wi_level level) {
    enum wi_level parsed;
    return wi_level_parse(&parsed, wi_level_name(level), NULL) == WISP_OK;
}

double rig_bound(enum wi_level level) {
    return level == WI_AVX512BF16 ? 2e-2 : 1e-5;
}

float *rig_mel(const struct wisp_dims *dims, unsigned seed) {
    size_t n = (size_t)dims->n_mels * 2 * (size_t)dims->n_audio_ctx;
    float *mel = malloc(n * sizeof *mel);
    uint32_t state = seed * 2654435761u + 1;
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        mel[i] = (float)(state >> 8) / 16777216.0f * 2.5f - 1;
    }
    return mel;
}

void rig_poison(struct rig *rig, const struct wi_tensor *t) {
    const uint16_t infinity = 0x7c00;
    assert_int_equal(t->type, WI_F16);
    memcpy((uint8_t *)t->data, &infinity, sizeof infinity); /* in the arena, which is writable */
    wi_enc_destroy(&rig->enc); /* its weights are copies */
    wi_enc_weights_destroy(&rig->enc_weights);
    assert_int_equal(create_encoder(rig), WISP_OK);
}

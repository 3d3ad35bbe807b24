#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "model/reader.h"

enum { MAX_HEAD = 128 }; /* values per head that the attention kernels take (struct wi_attend) */

/* What was asked for when the dimensions turned out wrong. */
struct subject {
    const char *path; /* NULL: dimensions that the caller of the library made up */
    struct wisp_error *err;
};

static int refuse(const struct subject *s, int code, const char *cure, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* FORMAT and UNSUPPORTED are about files; made-up dimensions are a bad argument. */
static int refuse(const struct subject *s, int code, const char *cure, const char *format, ...) {
    char reason[256];
    va_list ap;
    va_start(ap, format);
    vsnprintf(reason, sizeof reason, format, ap);
    va_end(ap);
    if (!s->path)
        return wi_err_set(s->err, WISP_E_ARG,
                          "cannot make a model of random weights: %s; give other dimensions",
                          reason);
    return wi_err_set(s->err, code, "cannot load model '%s': %s; %s", s->path, reason, cure);
}

static const char damaged[] = "the file is damaged or not a Whisper model, get it again";

/* Limits only keep lies from overflowing sums: they lie far above every published size. */
static int check_ranges(const struct subject *s, const struct wisp_dims *d) {
    const struct {
        const char *name;
        int value, max;
    } fields[] = {
        {"n_vocab", d->n_vocab, 1 << 24},           {"n_mels", d->n_mels, 1 << 16},
        {"n_audio_ctx", d->n_audio_ctx, 1 << 16},   {"n_audio_state", d->n_audio_state, 1 << 16},
        {"n_audio_head", d->n_audio_head, 1 << 16}, {"n_audio_layer", d->n_audio_layer, 1 << 12},
        {"n_text_ctx", d->n_text_ctx, 1 << 16},     {"n_text_state", d->n_text_state, 1 << 16},
        {"n_text_head", d->n_text_head, 1 << 16},   {"n_text_layer", d->n_text_layer, 1 << 12},
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (fields[i].value <= 0 || fields[i].value > fields[i].max)
            return refuse(s, WISP_E_FORMAT, damaged, "%s is %d, expected 1 to %d", fields[i].name,
                          fields[i].value, fields[i].max);
    return WISP_OK;
}

static int check_heads(const struct subject *s, const char *side, int n_state, int n_head) {
    if (n_state % n_head != 0)
        return refuse(s, WISP_E_FORMAT, damaged, "n_%s_state %d is no multiple of n_%s_head %d",
                      side, n_state, side, n_head);
    if (n_state / n_head > MAX_HEAD)
        return refuse(s, WISP_E_UNSUPPORTED, "use a model with smaller heads",
                      "its %s heads have %d values each and wisp computes at most %d", side,
                      n_state / n_head, MAX_HEAD);
    return WISP_OK;
}

int wi_dims_check(const struct wisp_dims *d, const char *path, struct wisp_error *err) {
    const struct subject s = {path, err};
    const char *other = "use a model with one of these";
    int rc = check_ranges(&s, d);
    if (rc == WISP_OK)
        rc = check_heads(&s, "audio", d->n_audio_state, d->n_audio_head);
    if (rc == WISP_OK)
        rc = check_heads(&s, "text", d->n_text_state, d->n_text_head);
    if (rc != WISP_OK)
        return rc;
    if (d->n_audio_state != d->n_text_state)
        return refuse(&s, WISP_E_FORMAT, damaged,
                      "n_audio_state is %d but n_text_state %d, and Whisper's are equal",
                      d->n_audio_state, d->n_text_state);
    if (d->n_mels != 80 && d->n_mels != 128)
        return refuse(&s, WISP_E_UNSUPPORTED, other,
                      "it takes %d mel bands and wisp computes 80 or 128", d->n_mels);
    if (d->n_vocab < 51864 || d->n_vocab > 51866)
        return refuse(
            &s, WISP_E_UNSUPPORTED, other,
            "it has %d token ids and wisp knows the layouts of 51864 (English-only), 51865 "
            "and 51866",
            d->n_vocab);
    if (d->n_text_ctx < 8)
        return refuse(&s, WISP_E_UNSUPPORTED, "use a model with more",
                      "n_text_ctx is %d, too short for a prompt and text (at least 8)",
                      d->n_text_ctx);
    return WISP_OK;
}

/* The published sizes: https://github.com/openai/whisper model-card.md and each model's
 * config.json. */
static const struct {
    const char *name;
    struct wisp_dims dims;
} published[] = {
    {"tiny", {51865, 80, 1500, 384, 6, 4, 448, 384, 6, 4}},
    {"tiny.en", {51864, 80, 1500, 384, 6, 4, 448, 384, 6, 4}},
    {"base", {51865, 80, 1500, 512, 8, 6, 448, 512, 8, 6}},
    {"base.en", {51864, 80, 1500, 512, 8, 6, 448, 512, 8, 6}},
    {"small", {51865, 80, 1500, 768, 12, 12, 448, 768, 12, 12}},
    {"small.en", {51864, 80, 1500, 768, 12, 12, 448, 768, 12, 12}},
    {"medium", {51865, 80, 1500, 1024, 16, 24, 448, 1024, 16, 24}},
    {"medium.en", {51864, 80, 1500, 1024, 16, 24, 448, 1024, 16, 24}},
    {"large-v1", {51865, 80, 1500, 1280, 20, 32, 448, 1280, 20, 32}},
    {"large-v2", {51865, 80, 1500, 1280, 20, 32, 448, 1280, 20, 32}},
    {"large-v3", {51866, 128, 1500, 1280, 20, 32, 448, 1280, 20, 32}},
    {"large", {51866, 128, 1500, 1280, 20, 32, 448, 1280, 20, 32}},
    {"large-v3-turbo", {51866, 128, 1500, 1280, 20, 32, 448, 1280, 20, 4}},
    {"turbo", {51866, 128, 1500, 1280, 20, 32, 448, 1280, 20, 4}},
    {"distil-small.en", {51864, 80, 1500, 768, 12, 12, 448, 768, 12, 4}},
    {"distil-medium.en", {51864, 80, 1500, 1024, 16, 24, 448, 1024, 16, 2}},
    {"distil-large-v2", {51865, 80, 1500, 1280, 20, 32, 448, 1280, 20, 2}},
    {"distil-large-v3", {51866, 128, 1500, 1280, 20, 32, 448, 1280, 20, 2}},
};

bool wisp_dims_named(const char *name, struct wisp_dims *out) {
    for (size_t i = 0; i < sizeof published / sizeof published[0]; i++)
        if (strcasecmp(published[i].name, name) == 0) {
            *out = published[i].dims;
            return true;
        }
    return false;
}

/* The ggml container that whisper.cpp writes, little-endian throughout:
 *   i32 magic "ggml"; 11 x i32 hyperparameters; i32 n_mel, n_fft, then f32 [n_mel, n_fft] filters;
 *   i32 count, then per word i32 length and bytes;
 *   to the end of the file per tensor: i32 n_dims, name length, type; i32 dims innermost first;
 * name; data.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "model/reader.h"

enum {
    GGML_MAGIC = 0x67676d6c,
    MEL_BINS = 201, /* bins of the 400-point window */
    MAX_NAME = 255
};

#define DAMAGED "the file is incomplete or damaged, get it again"

struct cursor {
    const char *path;
    const uint8_t *data;
    size_t size, at;
    struct wisp_error *err;
};

static int truncated(const struct cursor *c, const char *what) {
    return wi_err_set(c->err, WISP_E_FORMAT,
                      "cannot load model '%s': it ends at byte %zu, inside %s; " DAMAGED, c->path,
                      c->size, what);
}

static size_t left(const struct cursor *c) {
    return c->size - c->at;
}

static int read_i32(struct cursor *c, int *value, const char *what) {
    int32_t x;
    if (left(c) < sizeof x)
        return truncated(c, what);
    memcpy(&x, c->data + c->at, sizeof x);
    c->at += sizeof x;
    *value = x;
    return WISP_OK;
}

/* Other files that people have under the name of a model. */
static int check_magic(struct cursor *c) {
    int magic = 0;
    if (left(c) >= 4 && memcmp(c->data, "GGUF", 4) == 0)
        return wi_err_set(c->err, WISP_E_UNSUPPORTED,
                          "cannot load model '%s': it is a GGUF file, which is not a format of "
                          "Whisper models; give whisper.cpp's ggml .bin",
                          c->path);
    if (left(c) >= 4 && memcmp(c->data, "PK\3\4", 4) == 0)
        return wi_err_set(c->err, WISP_E_UNSUPPORTED,
                          "cannot load model '%s': it is a PyTorch checkpoint (zip); give the ggml "
                          ".bin or the Hugging Face folder of the model",
                          c->path);
    if (left(c) >= 10 && memcmp(c->data + 8, "{\"", 2) == 0)
        return wi_err_set(c->err, WISP_E_UNSUPPORTED,
                          "cannot load model '%s': it is a safetensors file; give the folder that "
                          "has it together with config.json and tokenizer.json",
                          c->path);
    int rc = read_i32(c, &magic, "its first 4 bytes");
    if (rc == WISP_OK && magic != GGML_MAGIC)
        rc = wi_err_set(
            c->err, WISP_E_FORMAT,
            "cannot load model '%s': it does not begin with the mark of a ggml file; give "
            "a ggml .bin or a Hugging Face folder",
            c->path);
    return rc;
}

static int read_dims(struct cursor *c, struct wisp_dims *d) {
    int weight_type;
    int *fields[] = {&d->n_vocab,       &d->n_audio_ctx, &d->n_audio_state, &d->n_audio_head,
                     &d->n_audio_layer, &d->n_text_ctx,  &d->n_text_state,  &d->n_text_head,
                     &d->n_text_layer,  &d->n_mels,      &weight_type};
    int rc = WISP_OK;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0] && rc == WISP_OK; i++)
        rc = read_i32(c, fields[i], "the header");
    return rc != WISP_OK ? rc : wi_dims_check(d, c->path, c->err);
}

/* The stored filterbank is not used (mel/ computes it), but must be the one that Whisper has. */
static int skip_filters(struct cursor *c, int n_mels) {
    int bands = 0, bins = 0;
    int rc = read_i32(c, &bands, "the header of the mel filters");
    if (rc == WISP_OK)
        rc = read_i32(c, &bins, "the header of the mel filters");
    if (rc != WISP_OK)
        return rc;
    if (bands != n_mels || bins != MEL_BINS)
        return wi_err_set(
            c->err, WISP_E_FORMAT,
            "cannot load model '%s': its mel filters are %d x %d, expected %d x %d; " DAMAGED,
            c->path, bands, bins, n_mels, MEL_BINS);
    size_t bytes = (size_t)bands * (size_t)bins * sizeof(float);
    if (left(c) < bytes)
        return truncated(c, "the mel filters");
    c->at += bytes;
    return WISP_OK;
}

static int read_words(struct cursor *c, const struct wisp_dims *d, struct wi_words *words) {
    int n = 0;
    int rc = read_i32(c, &n, "the vocabulary");
    if (rc != WISP_OK)
        return rc;
    if (n < 0 || n > d->n_vocab)
        return wi_err_set(
            c->err, WISP_E_FORMAT,
            "cannot load model '%s': its vocabulary claims %d words, expected 0 to %d; " DAMAGED,
            c->path, n, d->n_vocab);
    if (left(c) / 4 < (size_t)n)
        return truncated(c, "the vocabulary");
    words->bytes = wi_malloc((size_t)n, sizeof *words->bytes);
    words->lengths = wi_malloc((size_t)n, sizeof *words->lengths);
    if (!words->bytes || !words->lengths)
        return wi_err_nomem(c->err, "the vocabulary");
    for (int i = 0; i < n; i++) {
        int length = 0;
        rc = read_i32(c, &length, "the vocabulary");
        if (rc != WISP_OK)
            return rc;
        if (length < 0)
            return wi_err_set(
                c->err, WISP_E_FORMAT,
                "cannot load model '%s': word %d of its vocabulary has the length %d; " DAMAGED,
                c->path, i, length);
        if (left(c) < (size_t)length)
            return truncated(c, "the vocabulary");
        words->bytes[i] = (const char *)c->data + c->at;
        words->lengths[i] = (size_t)length;
        c->at += (size_t)length;
    }
    words->n = (size_t)n;
    return WISP_OK;
}

/* ggml.h, enum ggml_type: those that whisper.cpp writes; others are named in the error. */
static const struct {
    const char *name;
    int dtype;
} ggml_types[] = {
    [0] = {"f32", WI_F32},   [1] = {"f16", WI_F16},   [2] = {"q4_0", WI_Q4_0},
    [3] = {"q4_1", WI_Q4_1}, [6] = {"q5_0", WI_Q5_0}, [7] = {"q5_1", WI_Q5_1},
    [8] = {"q8_0", WI_Q8_0}, [9] = {"q8_1", -1},      [10] = {"q2_k", -1},
    [11] = {"q3_k", -1},     [12] = {"q4_k", -1},     [13] = {"q5_k", -1},
    [14] = {"q6_k", -1},     [15] = {"q8_k", -1},     [16] = {"iq2_xxs", -1},
    [17] = {"iq2_xs", -1},   [18] = {"iq3_xxs", -1},  [19] = {"iq1_s", -1},
    [20] = {"iq4_nl", -1},   [21] = {"iq3_s", -1},    [22] = {"iq2_s", -1},
    [23] = {"iq4_xs", -1},   [24] = {"i8", -1},       [25] = {"i16", -1},
    [26] = {"i32", -1},      [27] = {"i64", -1},      [28] = {"f64", -1},
    [29] = {"iq1_m", -1},    [30] = {"bf16", -1},     [34] = {"tq1_0", -1},
    [35] = {"tq2_0", -1},    [39] = {"mxfp4", -1},
};

static int set_type(struct cursor *c, struct wi_tensor *t, int type, int length, const char *name) {
    const size_t n = sizeof ggml_types / sizeof ggml_types[0];
    const char *known = type >= 0 && (size_t)type < n ? ggml_types[type].name : NULL;
    if (!known || ggml_types[type].dtype < 0)
        return wi_err_set(
            c->err, WISP_E_UNSUPPORTED,
            "cannot load model '%s': tensor '%.*s' has the ggml type %s (%d), and wisp "
            "reads f32, f16, q4_0, q4_1, q5_0, q5_1 and q8_0; quantize the model to one "
            "of these",
            c->path, length, name, known ? known : "unknown", type);
    t->type = (enum wi_dtype)ggml_types[type].dtype;
    return WISP_OK;
}

/* n_dims, name length, type, dims and name of the next tensor. */
static int read_tensor_header(struct cursor *c, struct wi_tensor *t, const char **name,
                              int *length) {
    size_t start = c->at;
    int type = 0, dim = 0;
    int rc = read_i32(c, &t->n_dims, "a tensor's header");
    if (rc == WISP_OK)
        rc = read_i32(c, length, "a tensor's header");
    if (rc == WISP_OK)
        rc = read_i32(c, &type, "a tensor's header");
    if (rc != WISP_OK)
        return rc;
    if (t->n_dims < 1 || t->n_dims > 4 || *length < 1 || *length > MAX_NAME)
        return wi_err_set(
            c->err, WISP_E_FORMAT,
            "cannot load model '%s': the tensor at byte %zu claims %d dimensions (1 to "
            "4) and a name of %d bytes (1 to %d); " DAMAGED,
            c->path, start, t->n_dims, *length, MAX_NAME);
    for (int i = t->n_dims - 1; i >= 0; i--) {
        rc = read_i32(c, &dim, "a tensor's header");
        if (rc != WISP_OK)
            return rc;
        t->dims[i] = dim;
    }
    if (left(c) < (size_t)*length)
        return truncated(c, "a tensor's name");
    *name = (const char *)c->data + c->at;
    c->at += (size_t)*length;
    if (!wi_is_printable(*name, (size_t)*length))
        return wi_err_set(c->err, WISP_E_FORMAT,
                          "cannot load model '%s': the name of the tensor at byte %zu is not "
                          "printable; " DAMAGED,
                          c->path, start);
    return set_type(c, t, type, *length, *name);
}

static int read_tensor(struct cursor *c, struct wi_model *m) {
    struct wi_tensor t = {0};
    const char *name = NULL;
    int length = 0;
    char shape[96];
    int rc = read_tensor_header(c, &t, &name, &length);
    if (rc != WISP_OK)
        return rc;
    if (!wi_tensor_bytes(&t, &t.bytes))
        return wi_err_set(
            c->err, WISP_E_FORMAT,
            "cannot load model '%s': tensor '%.*s' has the impossible shape %s for type "
            "%s; " DAMAGED,
            c->path, length, name, wi_dims_print(t.dims, t.n_dims, shape, sizeof shape),
            wi_dtype_name(t.type));
    if (left(c) < t.bytes)
        return wi_err_set(c->err, WISP_E_FORMAT,
                          "cannot load model '%s': tensor '%.*s' takes %zu bytes, but only %zu are "
                          "left in the file; " DAMAGED,
                          c->path, length, name, t.bytes, left(c));
    t.data = c->data + c->at;
    c->at += t.bytes;
    return wi_model_add_tensor(m, &t, name, (size_t)length, c->err);
}

int wi_ggml_read(struct wi_model *m, struct wi_words *words, struct wisp_error *err) {
    const struct wi_mapfile *map = NULL;
    m->container = "ggml";
    int rc = wi_model_add_map(m, m->path, &map, err);
    if (rc != WISP_OK)
        return rc;
    struct cursor c = {.path = m->path, .data = map->data, .size = map->size, .err = err};
    rc = check_magic(&c);
    if (rc == WISP_OK)
        rc = read_dims(&c, &m->dims);
    if (rc == WISP_OK)
        rc = skip_filters(&c, m->dims.n_mels);
    if (rc == WISP_OK)
        rc = read_words(&c, &m->dims, words);
    while (rc == WISP_OK && left(&c) > 0)
        rc = read_tensor(&c, m);
    return rc;
}

/* Models of random weights, for benchmarks and for tests at true sizes: the distributions keep
 * activations of normal size through every layer, as in a trained model. */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "model/reader.h"
#include "text/vocab.h"

enum {
    N_QUANTILES = 4096, /* values that a weight can take before scaling; a power of two */
    ALIGN = 64          /* of each tensor in the arena */
};

struct maker {
    struct wi_model *m;
    struct wisp_error *err;
    size_t bytes; /* of the arena so far */
    uint64_t seed;
    float normal[N_QUANTILES]; /* equally likely values of the standard normal distribution */
};

/* splitmix64 (Steele, Lea, Flood 2014): passes through every 64-bit value once. */
static uint64_t next(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* The middles of N_QUANTILES intervals of equal probability, by Newton's method from the one
 * before; the upper half mirrors the lower.  None lies nearer to zero than 3e-4. */
static void fill_quantiles(float *normal) {
    const double sqrt_2pi = 2.5066282746310002;
    double x = -4;
    for (int i = 0; i < N_QUANTILES / 2; i++) {
        double p = (i + 0.5) / N_QUANTILES;
        for (int step = 0; step < 8; step++)
            x -= (0.5 * erfc(-x / sqrt(2.0)) - p) * sqrt_2pi * exp(0.5 * x * x);
        normal[i] = (float)x;
        normal[N_QUANTILES - 1 - i] = (float)-x;
    }
}

static bool ends_with(const char *s, const char *end) {
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

/* First pass: a tensor for each slot, with its offset in the arena as `data` for now. */
static int plan_slot(void *user, const struct wi_slot *slot) {
    struct maker *k = user;
    struct wi_tensor t = {.type = slot->matrix ? WI_F16 : WI_F32, .n_dims = slot->n_dims};
    memcpy(t.dims, slot->dims, (size_t)slot->n_dims * sizeof t.dims[0]);
    bool fits = wi_tensor_bytes(&t, &t.bytes);
    assert(fits && "wi_dims_check bounds every dimension");
    (void)fits;
    k->bytes += (t.bytes + ALIGN - 1) / ALIGN * ALIGN;
    return wi_model_add_tensor(k->m, &t, slot->name, strlen(slot->name), k->err);
}

/* [n_out, ...] ~ N(0, scale^2) in f16.  No f16 is subnormal: those are slow to widen on some CPUs.
 */
static void fill_matrix(struct maker *k, uint8_t *data, size_t n, float scale, uint64_t *state) {
    const float smallest = 0x1p-14f;
    uint16_t values[N_QUANTILES];
    for (int i = 0; i < N_QUANTILES; i++) {
        float x = k->normal[i] * scale;
        values[i] = wi_f32_to_f16(fabsf(x) < smallest ? copysignf(smallest, x) : x);
    }
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        uint64_t r = next(state);
        uint16_t four[4];
        for (int j = 0; j < 4; j++)
            four[j] = values[r >> (16 * j) & (N_QUANTILES - 1)];
        memcpy(data + 2 * i, four, sizeof four);
    }
    for (; i < n; i++)
        memcpy(data + 2 * i, &values[next(state) & (N_QUANTILES - 1)], 2);
}

static void fill_vector(struct maker *k, uint8_t *data, size_t n, float mean, float deviation,
                        uint64_t *state) {
    for (size_t i = 0; i < n; i++) {
        float x = mean + deviation * k->normal[next(state) & (N_QUANTILES - 1)];
        memcpy(data + 4 * i, &x, sizeof x);
    }
}

/* openai-whisper model.py sinusoids(): [length, channels]. */
static void fill_sinusoids(uint8_t *data, int64_t length, int64_t channels) {
    int64_t half = channels / 2;
    double increment = log(10000.0) / (double)(half > 1 ? half - 1 : 1);
    for (int64_t t = 0; t < length; t++)
        for (int64_t c = 0; c < channels; c++) {
            double angle = (double)t * exp(-increment * (double)(c % (half > 0 ? half : 1)));
            float x = (float)(c < half ? sin(angle) : cos(angle));
            memcpy(data + 4 * (t * channels + c), &x, sizeof x);
        }
}

static void fill_tensor(struct maker *k, const struct wi_tensor *t, uint8_t *data, size_t index) {
    uint64_t state = k->seed + index * 0xd1342543de82ef95u; /* own stream for each tensor */
    size_t n = t->bytes / wi_dtype_block_bytes(t->type);
    const char *name = t->name;
    next(&state);
    if (t->type == WI_F16) {
        size_t fan_in = n / (size_t)t->dims[0];
        bool tokens = ends_with(name, "token_embedding.weight");
        fill_matrix(k, data, n, tokens ? 0.05f : 1 / sqrtf((float)fan_in), &state);
    } else if (strcmp(name, "encoder.positional_embedding") == 0) {
        fill_sinusoids(data, t->dims[0], t->dims[1]);
    } else if (ends_with(name, ".weight")) { /* of a norm */
        fill_vector(k, data, n, 1, 0.1f, &state);
    } else if (ends_with(name, "mlp.0.bias")) { /* GELU's input is mostly negative */
        fill_vector(k, data, n, -0.5f, 0.3f, &state);
    } else {
        fill_vector(k, data, n, 0, strstr(name, "conv") ? 0.02f : 0.05f, &state);
    }
}

static int fill_arena(struct maker *k) {
    struct wi_model *m = k->m;
    m->arena = wi_malloc64(k->bytes, 1);
    if (!m->arena)
        return wi_err_nomem(k->err, "the random weights");
    fill_quantiles(k->normal);
    size_t at = 0;
    for (size_t i = 0; i < m->n_tensors; i++) {
        struct wi_tensor *t = &m->tensors[i];
        fill_tensor(k, t, m->arena + at, i);
        t->data = m->arena + at;
        at += (t->bytes + ALIGN - 1) / ALIGN * ALIGN;
    }
    return WISP_OK;
}

/* 256 single bytes and then synthetic words: enough for any text to have tokens and tokens to have
 * text. */
static int create_words(struct wi_words *words, int n_vocab, struct wisp_error *err) {
    enum { MAX_WORD = 8 };
    size_t n = n_vocab > 51864 ? 50257 : 50256;
    words->bytes = wi_malloc(n, sizeof *words->bytes);
    words->lengths = wi_malloc(n, sizeof *words->lengths);
    words->block = wi_malloc(n, MAX_WORD);
    if (!words->bytes || !words->lengths || !words->block)
        return wi_err_nomem(err, "the vocabulary");
    for (size_t i = 0; i < n; i++) {
        char *word = words->block + i * MAX_WORD;
        if (i < 256)
            word[0] = (char)i;
        words->lengths[i] = i < 256 ? 1 : (size_t)snprintf(word, MAX_WORD, " w%zu", i);
        words->bytes[i] = word;
    }
    words->n = n;
    return WISP_OK;
}

/* The slots of a plan need somewhere to point. */
static int plan(struct maker *k) {
    struct wisp_dims *d = &k->m->dims;
    struct wi_weights w = {0};
    w.enc = wi_calloc((size_t)d->n_audio_layer, sizeof *w.enc);
    w.dec = wi_calloc((size_t)d->n_text_layer, sizeof *w.dec);
    int rc = w.enc && w.dec ? wi_schema_visit(d, &w, plan_slot, k)
                            : wi_err_nomem(k->err, "the table of weights");
    wi_free(w.enc);
    wi_free(w.dec);
    return rc;
}

int wi_model_create_random(struct wi_model **out, const struct wisp_dims *dims, uint64_t seed,
                           struct wisp_error *err) {
    struct wi_words words = {0};
    struct maker k = {.err = err, .seed = seed};

    *out = NULL;
    int rc = wi_dims_check(dims, NULL, err);
    if (rc != WISP_OK)
        return rc;
    k.m = wi_calloc(1, sizeof *k.m);
    if (!k.m || !(k.m->path = wi_strdup("random weights"))) {
        rc = wi_err_nomem(err, "the model");
        goto fail;
    }
    k.m->container = "memory";
    k.m->dims = *dims;
    if ((rc = plan(&k)) != WISP_OK || (rc = fill_arena(&k)) != WISP_OK ||
        (rc = create_words(&words, dims->n_vocab, err)) != WISP_OK ||
        (rc = wi_vocab_create(&k.m->vocab, words.bytes, words.lengths, words.n, dims->n_vocab,
                              err)) != WISP_OK ||
        (rc = wi_model_bind(k.m, err)) != WISP_OK)
        goto fail;
    wi_words_fini(&words);
    *out = k.m;
    return WISP_OK;

fail:
    wi_words_fini(&words);
    wi_model_close(&k.m);
    return rc;
}

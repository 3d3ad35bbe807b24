#include "model_files.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/dtype.h"

static void *need(void *p) {
    if (!p) {
        perror("model_files");
        abort();
    }
    return p;
}

void mf_add(struct mf_bytes *b, const void *data, size_t n) {
    if (b->size + n > b->capacity) {
        b->capacity = 2 * (b->size + n);
        b->data = need(realloc(b->data, b->capacity));
    }
    memcpy(b->data + b->size, data, n);
    b->size += n;
}

void mf_add_i32(struct mf_bytes *b, int32_t value) {
    mf_add(b, &value, sizeof value);
}

void mf_bytes_free(struct mf_bytes *b) {
    free(b->data);
    memset(b, 0, sizeof *b);
}

struct wisp_dims mf_tiny_dims(void) {
    return (struct wisp_dims){51864, 80, 10, 8, 2, 1, 12, 8, 2, 1};
}

static uint64_t next(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void add_tensor(struct mf_model *m, uint64_t *state, int n_dims, int64_t d0, int64_t d1,
                       int64_t d2, const char *prefix, const char *name) {
    m->tensors = need(realloc(m->tensors, (m->n_tensors + 1) * sizeof *m->tensors));
    struct mf_tensor *t = &m->tensors[m->n_tensors++];
    memset(t, 0, sizeof *t);
    snprintf(t->name, sizeof t->name, "%s.%s", prefix, name);
    t->n_dims = n_dims;
    t->dims[0] = d0;
    t->dims[1] = d1;
    t->dims[2] = d2;
    t->n = (size_t)(d0 * d1 * d2);
    t->values = need(malloc(t->n * sizeof *t->values));
    /* Multiples of 1/128 below 1: exact in f32, f16 and bf16. */
    for (size_t i = 0; i < t->n; i++)
        t->values[i] = (float)((int)(next(state) % 255) - 127) / 128;
}

static void add_linear(struct mf_model *m, uint64_t *s, const char *prefix, const char *name,
                       int n_out, int n_in, bool bias) {
    char full[64];
    snprintf(full, sizeof full, "%s.%s", prefix, name);
    add_tensor(m, s, 2, n_out, n_in, 1, full, "weight");
    if (bias)
        add_tensor(m, s, 1, n_out, 1, 1, full, "bias");
}

static void add_norm(struct mf_model *m, uint64_t *s, const char *prefix, int n) {
    add_tensor(m, s, 1, n, 1, 1, prefix, "weight");
    add_tensor(m, s, 1, n, 1, 1, prefix, "bias");
}

static void add_block(struct mf_model *m, uint64_t *s, const char *side, int i, int n, bool cross) {
    char prefix[64], part[80];
    snprintf(prefix, sizeof prefix, "%s.blocks.%d", side, i);
    for (int c = 0; c < (cross ? 2 : 1); c++) {
        snprintf(part, sizeof part, "%.40s.%s", prefix, c ? "cross_attn" : "attn");
        add_linear(m, s, part, "query", n, n, true);
        add_linear(m, s, part, "key", n, n, false);
        add_linear(m, s, part, "value", n, n, true);
        add_linear(m, s, part, "out", n, n, true);
        strcat(part, "_ln");
        add_norm(m, s, part, n);
    }
    add_linear(m, s, prefix, "mlp.0", 4 * n, n, true);
    add_linear(m, s, prefix, "mlp.2", n, 4 * n, true);
    snprintf(part, sizeof part, "%.40s.mlp_ln", prefix);
    add_norm(m, s, part, n);
}

struct mf_model mf_model_create(struct wisp_dims d, uint64_t seed) {
    struct mf_model m = {.dims = d};
    uint64_t s = seed;
    add_tensor(&m, &s, 2, d.n_audio_ctx, d.n_audio_state, 1, "encoder", "positional_embedding");
    add_tensor(&m, &s, 3, d.n_audio_state, d.n_mels, 3, "encoder.conv1", "weight");
    add_tensor(&m, &s, 2, d.n_audio_state, 1, 1, "encoder.conv1", "bias");
    add_tensor(&m, &s, 3, d.n_audio_state, d.n_audio_state, 3, "encoder.conv2", "weight");
    add_tensor(&m, &s, 2, d.n_audio_state, 1, 1, "encoder.conv2", "bias");
    for (int i = 0; i < d.n_audio_layer; i++)
        add_block(&m, &s, "encoder", i, d.n_audio_state, false);
    add_norm(&m, &s, "encoder.ln_post", d.n_audio_state);
    add_tensor(&m, &s, 2, d.n_text_ctx, d.n_text_state, 1, "decoder", "positional_embedding");
    add_tensor(&m, &s, 2, d.n_vocab, d.n_text_state, 1, "decoder.token_embedding", "weight");
    for (int i = 0; i < d.n_text_layer; i++)
        add_block(&m, &s, "decoder", i, d.n_text_state, true);
    add_norm(&m, &s, "decoder.ln", d.n_text_state);
    return m;
}

void mf_model_free(struct mf_model *m) {
    for (size_t i = 0; i < m->n_tensors; i++)
        free(m->tensors[i].values);
    free(m->tensors);
    memset(m, 0, sizeof *m);
}

struct mf_tensor *mf_find(struct mf_model *m, const char *name) {
    for (size_t i = 0; i < m->n_tensors; i++)
        if (strcmp(m->tensors[i].name, name) == 0)
            return &m->tensors[i];
    fprintf(stderr, "no tensor %s\n", name);
    abort();
}

static void add_values(struct mf_bytes *b, const struct mf_tensor *t, enum mf_type type) {
    if (type == MF_F32) {
        mf_add(b, t->values, t->n * sizeof(float));
        return;
    }
    if (type == MF_Q8_0) {
        for (size_t i = 0; i < t->n; i += 32) {
            uint16_t scale = wi_f32_to_f16(1.0f / 128);
            mf_add(b, &scale, 2);
            for (size_t j = 0; j < 32; j++)
                mf_add(b, &(int8_t){(int8_t)(t->values[i + j] * 128)}, 1);
        }
        return;
    }
    for (size_t i = 0; i < t->n; i++) {
        uint32_t bits;
        memcpy(&bits, &t->values[i], 4);
        uint16_t half = type == MF_F16 ? wi_f32_to_f16(t->values[i]) : (uint16_t)(bits >> 16);
        mf_add(b, &half, 2);
    }
}

static bool is_matrix(const struct mf_tensor *t) {
    return t->n_dims > 1 && t->dims[1] > 1 && !strstr(t->name, "positional");
}

void mf_add_ggml_tensor(struct mf_bytes *b, const struct mf_tensor *t, enum mf_type type) {
    if (!is_matrix(t))
        type = MF_F32;
    else if (t->n_dims == 3 && type == MF_Q8_0)
        type = MF_F16;
    mf_add_i32(b, t->n_dims);
    mf_add_i32(b, (int32_t)strlen(t->name));
    mf_add_i32(b, (int32_t)type);
    for (int i = t->n_dims - 1; i >= 0; i--)
        mf_add_i32(b, (int32_t)t->dims[i]);
    mf_add(b, t->name, strlen(t->name));
    add_values(b, t, type);
}

struct mf_bytes mf_ggml(const struct mf_model *m, enum mf_type type, size_t *tensors_at) {
    static const char *const words[] = {" the", "\xe2\x99", "hello", " \xf0\x9f"};
    const struct wisp_dims *d = &m->dims;
    const int header[] = {0x67676d6c,      d->n_vocab,       d->n_audio_ctx, d->n_audio_state,
                          d->n_audio_head, d->n_audio_layer, d->n_text_ctx,  d->n_text_state,
                          d->n_text_head,  d->n_text_layer,  d->n_mels,      (int)type};
    struct mf_bytes b = {0};
    for (size_t i = 0; i < sizeof header / sizeof header[0]; i++)
        mf_add_i32(&b, header[i]);
    mf_add_i32(&b, d->n_mels);
    mf_add_i32(&b, 201);
    for (int i = 0; i < d->n_mels * 201; i++)
        mf_add(&b, &(float){0.5f}, 4);
    mf_add_i32(&b, 256 + 4);
    for (int i = 0; i < 256; i++) {
        mf_add_i32(&b, 1);
        mf_add(&b, &(uint8_t){(uint8_t)i}, 1);
    }
    for (int i = 0; i < 4; i++) {
        mf_add_i32(&b, (int32_t)strlen(words[i]));
        mf_add(&b, words[i], strlen(words[i]));
    }
    for (size_t i = 0; i < m->n_tensors; i++) {
        if (tensors_at)
            tensors_at[i] = b.size;
        mf_add_ggml_tensor(&b, &m->tensors[i], type);
    }
    return b;
}

char *mf_folder(void) {
    const char *base = getenv("TMPDIR");
    char *folder = need(malloc(4096));
    snprintf(folder, 4096, "%s/wisp-test-XXXXXX", base && *base ? base : "/tmp");
    return need(mkdtemp(folder));
}

const char *mf_path(const char *folder, const char *name) {
    static char path[8192];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

void mf_folder_remove(char *folder) {
    DIR *dir = need(opendir(folder));
    struct dirent *entry;
    while ((entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            unlink(mf_path(folder, entry->d_name));
    closedir(dir);
    rmdir(folder);
    free(folder);
}

void mf_write(const char *path, const void *data, size_t n) {
    FILE *f = need(fopen(path, "wb"));
    if (fwrite(data, 1, n, f) != n || fclose(f) != 0)
        need(NULL);
}

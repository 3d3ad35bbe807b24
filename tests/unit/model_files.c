#include "model_files.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/dtype.h"

/* The vocabulary's after the single bytes. */
static const char *const words[] = {" the", "\xe2\x99", "hello", " \xf0\x9f"};

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
    char full[96];
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

/* One block of 32: f16 scale 1/128, for *_1 types a minimum of zero, and the quants. */
static void add_quants(struct mf_bytes *b, const float *values, enum mf_type type) {
    uint16_t scale = wi_f32_to_f16(1.0f / 128), minimum = 0;
    uint64_t state = b->size;
    size_t bytes = type == MF_Q8_0 ? 32 : type >= MF_Q5_0 ? 20 : 16;
    mf_add(b, &scale, 2);
    if (type == MF_Q4_1 || type == MF_Q5_1)
        mf_add(b, &minimum, 2);
    for (size_t i = 0; i < bytes; i++) {
        int8_t quant = type == MF_Q8_0 ? (int8_t)(values[i] * 128) : (int8_t)(next(&state) & 0xff);
        mf_add(b, &quant, 1);
    }
}

static void add_values(struct mf_bytes *b, const struct mf_tensor *t, enum mf_type type) {
    if (type == MF_F32) {
        mf_add(b, t->values, t->n * sizeof(float));
        return;
    }
    if (type != MF_F16 && type != MF_BF16) {
        for (size_t i = 0; i < t->n; i += 32)
            add_quants(b, t->values + i, type);
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
    else if (t->n_dims == 3 && type > MF_F16)
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

/* ------------------------------------------------------------------ Hugging Face folders */

static void replace(char *s, size_t size, const char *from, const char *to) {
    char *at = strstr(s, from);
    char rest[160];
    if (!at)
        return;
    snprintf(rest, sizeof rest, "%s%s", to, at + strlen(from));
    snprintf(at, size - (size_t)(at - s), "%s", rest);
}

const char *mf_hf_name(const char *name) {
    static const char *const changes[][2] = {
        {".positional_embedding", ".embed_positions.weight"},
        {".token_embedding", ".embed_tokens"},
        {"coder.ln_post", "coder.layer_norm"},
        {"decoder.ln.", "decoder.layer_norm."},
        {".blocks.", ".layers."},
        {".mlp_ln.", ".final_layer_norm."},
        {".mlp.0.", ".fc1."},
        {".mlp.2.", ".fc2."},
        {".cross_attn_ln.", ".encoder_attn_layer_norm."},
        {".cross_attn.", ".encoder_attn."},
        {".attn_ln.", ".self_attn_layer_norm."},
        {".attn.", ".self_attn."},
        {".query.", ".q_proj."},
        {".key.", ".k_proj."},
        {".value.", ".v_proj."},
        {".out.", ".out_proj."},
    };
    static char out[160];
    snprintf(out, sizeof out, "model.%s", name);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++)
        replace(out, sizeof out, changes[i][0], changes[i][1]);
    return out;
}

struct mf_bytes mf_with_header(const char *header, const void *data, size_t n) {
    struct mf_bytes b = {0};
    uint64_t length = strlen(header);
    mf_add(&b, &length, sizeof length);
    mf_add(&b, header, length);
    if (n > 0)
        mf_add(&b, data, n);
    return b;
}

struct mf_bytes mf_safetensors(const struct mf_model *m, size_t first, size_t end,
                               enum mf_type type) {
    struct mf_bytes data = {0}, header = {0};
    char entry[512];
    mf_add(&header, "{\"__metadata__\":{\"format\":\"pt\"}", 31);
    for (size_t i = first; i < end; i++) {
        const struct mf_tensor *t = &m->tensors[i];
        size_t begin = data.size;
        int n_dims = t->n_dims == 2 && t->dims[1] == 1 ? 1 : t->n_dims; /* ggml's bias [n, 1] */
        add_values(&data, t, type);
        int at = snprintf(entry, sizeof entry, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[",
                          mf_hf_name(t->name),
                          type == MF_F32   ? "F32"
                          : type == MF_F16 ? "F16"
                                           : "BF16");
        for (int d = 0; d < n_dims; d++)
            at += snprintf(entry + at, sizeof entry - (size_t)at, "%s%lld", d ? "," : "",
                           (long long)t->dims[d]);
        snprintf(entry + at, sizeof entry - (size_t)at, "],\"data_offsets\":[%zu,%zu]}", begin,
                 data.size);
        mf_add(&header, entry, strlen(entry));
    }
    mf_add(&header, "}   ", 5); /* padding, and the string's end */
    struct mf_bytes b = mf_with_header((const char *)header.data, data.data, data.size);
    mf_bytes_free(&data);
    mf_bytes_free(&header);
    return b;
}

char *mf_config(const struct mf_model *m) {
    char *text = need(malloc(4096));
    const struct wisp_dims *d = &m->dims;
    snprintf(text, 4096,
             "{\"model_type\": \"whisper\", \"activation_function\": \"gelu\",\n"
             "\"vocab_size\": %d, \"num_mel_bins\": %d, \"max_source_positions\": %d,\n"
             "\"d_model\": %d, \"encoder_attention_heads\": %d, \"encoder_layers\": %d,\n"
             "\"max_target_positions\": %d, \"decoder_attention_heads\": %d,\n"
             "\"decoder_layers\": %d, \"encoder_ffn_dim\": %d, \"decoder_ffn_dim\": %d,\n"
             "\"scale_embedding\": false, \"dropout\": 0.0}\n",
             d->n_vocab, d->n_mels, d->n_audio_ctx, d->n_audio_state, d->n_audio_head,
             d->n_audio_layer, d->n_text_ctx, d->n_text_head, d->n_text_layer, 4 * d->n_audio_state,
             4 * d->n_text_state);
    return text;
}

static void add_character(struct mf_bytes *b, int code) {
    char text[16];
    snprintf(text, sizeof text, "\\u%04x", code);
    mf_add(b, text, strlen(text));
}

/* One token in GPT-2's byte alphabet. */
static void add_token(struct mf_bytes *b, const char *bytes, size_t n, int id) {
    char text[32];
    mf_add(b, id ? ",\n\"" : "\"", id ? 3 : 1);
    for (size_t i = 0; i < n; i++) {
        int byte = (unsigned char)bytes[i], shifted = 0;
        for (int c = 0; c < byte; c++) /* how many lower bytes are not printable */
            shifted += c <= 32 || (c >= 127 && c <= 160) || c == 173;
        bool printable = !(byte <= 32 || (byte >= 127 && byte <= 160) || byte == 173);
        add_character(b, printable ? byte : 256 + shifted);
    }
    snprintf(text, sizeof text, "\": %d", id);
    mf_add(b, text, strlen(text));
}

char *mf_tokenizer(bool bare) {
    struct mf_bytes b = {0};
    const char *head =
        bare ? "{" : "{\"version\": \"1.0\", \"model\": {\"type\": \"BPE\", \"vocab\": {";
    mf_add(&b, head, strlen(head));
    for (int i = 0; i < 256; i++)
        add_token(&b, &(char){(char)i}, 1, i);
    for (int i = 0; i < 4; i++)
        add_token(&b, words[i], strlen(words[i]), 256 + i);
    const char *tail = bare ? "}" : "}, \"merges\": []}, \"added_tokens\": []}";
    mf_add(&b, tail, strlen(tail) + 1);
    return (char *)b.data;
}

static void write_text(const char *folder, const char *name, char *text) {
    mf_write(mf_path(folder, name), text, strlen(text));
    free(text);
}

static void write_shards(const char *folder, const struct mf_model *m, enum mf_type type, int n) {
    struct mf_bytes index = {0};
    char name[64], entry[256];
    mf_add(&index, "{\"metadata\": {}, \"weight_map\": {", 32);
    for (int s = 0; s < n; s++) {
        size_t first = m->n_tensors * (size_t)s / (size_t)n;
        size_t end = m->n_tensors * (size_t)(s + 1) / (size_t)n;
        struct mf_bytes b = mf_safetensors(m, first, end, type);
        snprintf(name, sizeof name, "model-%05d-of-%05d.safetensors", s + 1, n);
        mf_write(mf_path(folder, name), b.data, b.size);
        mf_bytes_free(&b);
        for (size_t i = first; i < end; i++) {
            snprintf(entry, sizeof entry, "%s\"%s\": \"%s\"", i ? ",\n" : "",
                     mf_hf_name(m->tensors[i].name), name);
            mf_add(&index, entry, strlen(entry));
        }
    }
    mf_add(&index, "}}", 3);
    write_text(folder, "model.safetensors.index.json", (char *)index.data);
}

void mf_write_folder(const char *folder, const struct mf_model *m, enum mf_type type,
                     int n_shards) {
    write_text(folder, "config.json", mf_config(m));
    write_text(folder, "tokenizer.json", mf_tokenizer(false));
    if (n_shards > 1) {
        write_shards(folder, m, type, n_shards);
        return;
    }
    struct mf_bytes b = mf_safetensors(m, 0, m->n_tensors, type);
    mf_write(mf_path(folder, "model.safetensors"), b.data, b.size);
    mf_bytes_free(&b);
}

/* ------------------------------------------------------------------ files */

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

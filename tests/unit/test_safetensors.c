#include "suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "model/model.h"
#include "model_files.h"
#include "text/vocab.h"

static struct wi_model *open_good(const char *path) {
    struct wisp_error err = {0};
    struct wi_model *m;
    if (wi_model_open(&m, path, &err))
        fail_msg("%s", err.text);
    return m;
}

static void expect_error(const char *path, int code, const char *word) {
    struct wisp_error err = {0};
    struct wi_model *model = (void *)&err;
    int rc = wi_model_open(&model, path, &err);
    if (rc != code || err.code != code || model || !strstr(err.text, word))
        fail_msg("wanted %d with '%s', got %d: %s", code, word, rc, err.text);
}

static void same_matrix(const struct wi_tensor *a, const struct wi_tensor *b) {
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->n_dims, b->n_dims);
    assert_memory_equal(a->dims, b->dims, sizeof a->dims);
    assert_memory_equal(a->data, b->data, a->bytes);
}

static void same_linear(const struct wi_linear *a, const struct wi_linear *b) {
    same_matrix(a->w, b->w);
    assert_true((a->b != NULL) == (b->b != NULL));
    if (a->b)
        assert_memory_equal(a->b, b->b, (size_t)a->w->dims[0] * sizeof(float));
}

static void same_norm(const struct wi_norm *a, const struct wi_norm *b, int n) {
    assert_memory_equal(a->w, b->w, (size_t)n * sizeof(float));
    assert_memory_equal(a->b, b->b, (size_t)n * sizeof(float));
}

static void same_attention(const struct wi_attn_weights *a, const struct wi_attn_weights *b) {
    same_linear(&a->q, &b->q);
    same_linear(&a->k, &b->k);
    same_linear(&a->v, &b->v);
    same_linear(&a->out, &b->out);
}

static void same_block(const struct wi_block_weights *a, const struct wi_block_weights *b, int n,
                       bool cross) {
    same_norm(&a->attn_ln, &b->attn_ln, n);
    same_attention(&a->attn, &b->attn);
    if (cross) {
        same_norm(&a->cross_ln, &b->cross_ln, n);
        same_attention(&a->cross, &b->cross);
    }
    same_norm(&a->mlp_ln, &b->mlp_ln, n);
    same_linear(&a->mlp_in, &b->mlp_in);
    same_linear(&a->mlp_out, &b->mlp_out);
}

/* Everything that the encoder and the decoder read is the same, bit for bit. */
static void same_weights(const struct wi_model *a, const struct wi_model *b) {
    const struct wisp_dims *d = &a->dims;
    size_t n = (size_t)d->n_audio_state * sizeof(float);
    assert_memory_equal(d, &b->dims, sizeof *d);
    same_linear(&a->w.conv1, &b->w.conv1);
    same_linear(&a->w.conv2, &b->w.conv2);
    assert_memory_equal(a->w.enc_pos, b->w.enc_pos, (size_t)d->n_audio_ctx * n);
    for (int i = 0; i < d->n_audio_layer; i++)
        same_block(&a->w.enc[i], &b->w.enc[i], d->n_audio_state, false);
    same_norm(&a->w.enc_ln, &b->w.enc_ln, d->n_audio_state);
    same_matrix(a->w.tok_emb, b->w.tok_emb);
    assert_memory_equal(a->w.dec_pos, b->w.dec_pos, (size_t)d->n_text_ctx * n);
    for (int i = 0; i < d->n_text_layer; i++)
        same_block(&a->w.dec[i], &b->w.dec[i], d->n_text_state, true);
    same_norm(&a->w.dec_ln, &b->w.dec_ln, d->n_text_state);
}

static void same_words(const struct wi_model *a, const struct wi_model *b) {
    assert_int_equal(wi_vocab_size(a->vocab), wi_vocab_size(b->vocab));
    for (int id = 0; id < (int)wi_vocab_size(a->vocab); id++) {
        size_t n, m;
        const char *x = wi_vocab_bytes(a->vocab, id, &n), *y = wi_vocab_bytes(b->vocab, id, &m);
        assert_int_equal(n, m);
        assert_memory_equal(x, y, n);
    }
}

/* Logits [N_TOKENS, n_vocab] at the portable level of a fixed mel and fixed tokens, to free. */
enum { N_TOKENS = 4 };

static float *logits_of(const char *path) {
    const int tokens[N_TOKENS] = {50258, 7, 300, 50364};
    struct wisp_model_params params = {.cpu = "portable"};
    struct wisp_error err = {0};
    struct wisp_model *model;
    struct wisp_model_info info;
    struct wisp_ctx *ctx;
    if (wisp_model_open(&model, path, &params, &err) || wisp_ctx_create(&ctx, model, 1, &err))
        fail_msg("%s", err.text);
    wisp_model_get_info(model, &info);
    size_t n_mel = (size_t)info.dims.n_mels * 2 * (size_t)info.dims.n_audio_ctx;
    float *mel = malloc(n_mel * sizeof *mel);
    float *logits = malloc(N_TOKENS * (size_t)info.dims.n_vocab * sizeof *logits);
    for (size_t i = 0; i < n_mel; i++)
        mel[i] = sinf((float)i);
    if (wisp_stage_encode(ctx, mel, NULL, &err) || wisp_stage_cross_kv(ctx, &err) ||
        wisp_stage_decode(ctx, tokens, N_TOKENS, false, logits, &err))
        fail_msg("%s", err.text);
    free(mel);
    wisp_ctx_destroy(&ctx);
    wisp_model_close(&model);
    return logits;
}

/* The weights are exact in f32, f16 and bf16, so every file of them must give the same bits. */
static void containers_give_the_same_logits(void **state) {
    struct wisp_dims dims = {51865, 80, 10, 8, 2, 2, 12, 8, 4, 3};
    const enum mf_type types[] = {MF_F32, MF_F16, MF_BF16};
    struct mf_model m = mf_model_create(dims, 3);
    size_t bytes = N_TOKENS * (size_t)dims.n_vocab * sizeof(float);
    float *first = NULL;
    for (int k = 0; k < 3; k++)
        for (int shards = 0; shards <= 3; shards += shards ? 2 : 1) { /* 0: ggml, which has no bf16 */
            if (shards == 0 && types[k] == MF_BF16)
                continue;
            char *folder = mf_folder(), *path = strdup(folder);
            if (shards == 0) {
                struct mf_bytes ggml = mf_ggml(&m, types[k], NULL);
                free(path);
                path = strdup(mf_path(folder, "model.bin"));
                mf_write(path, ggml.data, ggml.size);
                mf_bytes_free(&ggml);
            } else {
                mf_write_folder(folder, &m, types[k], shards);
            }
            float *logits = logits_of(path);
            first = first ? first : logits;
            assert_memory_equal(logits, first, bytes);
            if (logits != first)
                free(logits);
            free(path);
            mf_folder_remove(folder);
        }
    free(first);
    mf_model_free(&m);
}

/* ggml, one file, three shards; f32 and f16; with and without the tied projection's copy. */
static void containers_give_the_same_weights(void **state) {
    struct wisp_dims dims = {51865, 80, 10, 8, 2, 2, 12, 8, 4, 3};
    const enum mf_type types[] = {MF_F32, MF_F16};
    for (int k = 0; k < 2; k++) {
        struct mf_model m = mf_model_create(dims, 3);
        struct mf_bytes ggml = mf_ggml(&m, types[k], NULL);
        char *folders[] = {mf_folder(), mf_folder(), mf_folder()};
        mf_write(mf_path(folders[0], "model.bin"), ggml.data, ggml.size);
        mf_write_folder(folders[1], &m, types[k], 1);
        mf_write_folder(folders[2], &m, types[k], 3);
        struct wi_model *a = open_good(mf_path(folders[0], "model.bin"));
        struct wi_model *b = open_good(folders[1]), *c = open_good(folders[2]);
        assert_string_equal(b->container, "safetensors");
        same_weights(a, b);
        same_weights(a, c);
        same_words(a, b);
        assert_int_equal(c->n_maps, 3);
        wi_model_close(&a);
        wi_model_close(&b);
        wi_model_close(&c);
        for (int i = 0; i < 3; i++)
            mf_folder_remove(folders[i]);
        mf_bytes_free(&ggml);
        mf_model_free(&m);
    }
}

static void reads_bf16_and_bare_vocabularies(void **state) {
    struct mf_model m = mf_model_create(mf_tiny_dims(), 3);
    char *folder = mf_folder(), *words = mf_tokenizer(true);
    mf_write_folder(folder, &m, MF_BF16, 1);
    unlink(mf_path(folder, "tokenizer.json"));
    expect_error(folder, WISP_E_IO, "neither tokenizer.json nor vocab.json");
    mf_write(mf_path(folder, "vocab.json"), words, strlen(words));
    struct wi_model *model = open_good(folder);
    const struct mf_tensor *bias = mf_find(&m, "decoder.blocks.0.mlp.0.bias");
    assert_int_equal(model->w.tok_emb->type, WI_BF16);
    assert_memory_equal(model->w.dec[0].mlp_in.b, bias->values, bias->n * sizeof(float));
    assert_int_equal(wi_vocab_size(model->vocab), 260);
    char *text = wi_vocab_decode(model->vocab, (int[]){258, 256, 10, 0xc3, 0xa9}, 5);
    assert_string_equal(text, "hello the\n\xc3\xa9");
    wi_free(text);
    wi_model_close(&model);
    free(words);
    mf_folder_remove(folder);
    mf_model_free(&m);
}

static void tied_projection(void **state) {
    struct mf_model m = mf_model_create(mf_tiny_dims(), 3);
    char *folder = mf_folder();
    struct mf_tensor *embedding = mf_find(&m, "decoder.token_embedding.weight");
    struct mf_tensor copy = *embedding;
    copy.values = malloc(copy.n * sizeof(float));
    memcpy(copy.values, embedding->values, copy.n * sizeof(float));
    strcpy(copy.name, "proj_out.weight");
    m.tensors = realloc(m.tensors, (m.n_tensors + 1) * sizeof *m.tensors);
    m.tensors[m.n_tensors++] = copy;
    mf_write_folder(folder, &m, MF_F16, 1); /* beside the embedding */
    struct wi_model *model = open_good(folder);
    assert_int_equal(model->n_tensors, m.n_tensors - 1);
    wi_model_close(&model);

    copy.values[copy.n - 1] += 0.5f;
    mf_write_folder(folder, &m, MF_F16, 1);
    expect_error(folder, WISP_E_UNSUPPORTED, "'proj_out.weight' differs");

    embedding = mf_find(&m, "decoder.token_embedding.weight"); /* in its stead */
    free(embedding->values);
    *embedding = m.tensors[--m.n_tensors];
    mf_write_folder(folder, &m, MF_F16, 1);
    model = open_good(folder);
    assert_string_equal(model->w.tok_emb->name, "decoder.token_embedding.weight");
    wi_model_close(&model);
    mf_folder_remove(folder);
    mf_model_free(&m);
}

/* A good folder of which one file at a time is broken. */
struct fixture {
    struct mf_model m;
    struct mf_bytes good;
    char *folder;
};

static struct fixture setup(void) {
    struct fixture f;
    f.m = mf_model_create(mf_tiny_dims(), 9);
    f.good = mf_safetensors(&f.m, 0, f.m.n_tensors, MF_F16);
    f.folder = mf_folder();
    mf_write_folder(f.folder, &f.m, MF_F16, 1);
    return f;
}

static void teardown(struct fixture *f) {
    mf_model_free(&f->m);
    mf_bytes_free(&f->good);
    mf_folder_remove(f->folder);
}

static void expect_weights(struct fixture *f, const void *data, size_t n, int code,
                           const char *word) {
    mf_write(mf_path(f->folder, "model.safetensors"), data, n);
    expect_error(f->folder, code, word);
}

/* The good file with `from` in its header replaced by `to`, everything else as it was. */
static void expect_header(struct fixture *f, const char *from, const char *to, int code,
                          const char *word) {
    uint64_t length;
    memcpy(&length, f->good.data, 8);
    char *header = calloc(length + strlen(to) + 1, 1);
    memcpy(header, f->good.data + 8, length);
    char *at = strstr(header, from);
    if (!at)
        fail_msg("no %s in the header", from);
    char *rest = strdup(at + strlen(from));
    sprintf(at, "%s%s", to, rest);
    struct mf_bytes b =
        mf_with_header(header, f->good.data + 8 + length, f->good.size - 8 - length);
    expect_weights(f, b.data, b.size, code, word);
    mf_bytes_free(&b);
    free(rest);
    free(header);
}

static void refuses_every_cut(void **state) {
    struct fixture f = setup();
    uint64_t length;
    memcpy(&length, f.good.data, 8);
    expect_weights(&f, "", 0, WISP_E_FORMAT, "empty");
    for (size_t n = 1; n < 300; n++)
        expect_weights(&f, f.good.data, n, WISP_E_FORMAT, "model.safetensors");
    for (size_t n = 300; n < 8 + length + 100; n += 37)
        expect_weights(&f, f.good.data, n, WISP_E_FORMAT, "model.safetensors");
    srand(2);
    for (int i = 0; i < 100; i++)
        expect_weights(&f, f.good.data, 1 + (size_t)rand() % (f.good.size - 1), WISP_E_FORMAT,
                       "model.safetensors");
    expect_weights(&f, f.good.data, f.good.size - 1, WISP_E_FORMAT, "data_offsets");
    teardown(&f);
}

static void refuses_lies_in_the_header(void **state) {
    struct fixture f = setup();
    const uint64_t lengths[] = {UINT64_MAX, UINT64_MAX - 8, 1ull << 63, f.good.size - 7,
                                1ull << 40};
    for (int i = 0; i < 5; i++) {
        struct mf_bytes b = {0};
        mf_add(&b, f.good.data, f.good.size);
        memcpy(b.data, &lengths[i], 8);
        expect_weights(&f, b.data, b.size, WISP_E_FORMAT, "header claims");
        mf_bytes_free(&b);
    }
    /* The first tensor is encoder.positional_embedding, [10, 8] f16 = bytes 0 to 160; then conv1's
     * weight, [8, 80, 3] = 160 to 4000. */
    const char *first = "\"data_offsets\":[0,160]";
    expect_header(&f, first, "\"data_offsets\":[0,159]", WISP_E_FORMAT, "needs 160");
    expect_header(&f, first, "\"data_offsets\":[-1,159]", WISP_E_FORMAT, "embed_positions");
    expect_header(&f, first, "\"data_offsets\":[160,0]", WISP_E_FORMAT, "data_offsets");
    expect_header(&f, first, "\"data_offsets\":[0]", WISP_E_FORMAT, "data_offsets");
    expect_header(&f, first, "\"data_offsets\":[0,160,320]", WISP_E_FORMAT, "data_offsets");
    expect_header(&f, first, "\"data_offsets\":[0,1.6e2]", WISP_E_FORMAT, "data_offsets");
    expect_header(&f, first, "\"data_offsets\":\"0,160\"", WISP_E_FORMAT, "data_offsets");
    expect_header(&f, first, "\"data_offsets\":[0,9223372036854775807]", WISP_E_FORMAT, "within");
    expect_header(&f, first, "\"data_offsets\":[0,9223372036854775808]", WISP_E_FORMAT, "JSON");
    expect_header(&f, first, "\"data_offsets\":[2,162]", WISP_E_FORMAT, "2 bytes before tensor");
    expect_header(&f, "[160,4000]", "[150,3990]", WISP_E_FORMAT, "overlap");
    expect_header(&f, "[10,8]", "[10,-8]", WISP_E_FORMAT, "impossible");
    expect_header(&f, "[10,8]", "[10,0]", WISP_E_FORMAT, "impossible");
    expect_header(&f, "[10,8]", "[]", WISP_E_FORMAT, "impossible");
    expect_header(&f, "[10,8]", "[1,1,1,10,8]", WISP_E_FORMAT, "impossible");
    expect_header(&f, "[10,8]", "[4294967296,4294967296]", WISP_E_FORMAT, "impossible");
    expect_header(&f, "[10,8]", "[9223372036854775807,8]", WISP_E_FORMAT, "impossible");
    expect_header(&f, "[10,8]", "[\"10\",8]", WISP_E_FORMAT, "impossible");
    expect_header(&f, "[10,8]", "[8,10]", WISP_E_FORMAT, "shape [8, 10]");
    expect_header(&f, "\"F16\"", "\"F8_E4M3\"", WISP_E_UNSUPPORTED, "the type F8_E4M3");
    expect_header(&f, "\"F16\"", "\"I64\"", WISP_E_UNSUPPORTED, "embed_positions");
    expect_header(&f, "\"F16\"", "16", WISP_E_UNSUPPORTED, "the type ?");
    expect_header(&f, "\"F16\"", "\"F32\"", WISP_E_FORMAT, "needs 320");
    expect_header(&f, "{\"dtype\"", "[{\"dtype\"", WISP_E_FORMAT, "JSON");
    expect_header(&f, "model.encoder.conv1.weight", "model.encoder.conv9.weight", WISP_E_FORMAT,
                  "'encoder.conv1.weight' is missing");
    expect_header(&f, "model.encoder.conv1.weight", "model.encoder.embed_positions.weight",
                  WISP_E_FORMAT, "JSON");
    expect_header(&f, "model.encoder.conv1.weight", "encoder.embed_positions.weight", WISP_E_FORMAT,
                  "there twice");
    expect_header(&f, "model.encoder.conv1.weight", "a\\u001b[31mb", WISP_E_FORMAT, "printable");
    expect_header(&f, "model.encoder.conv1.weight", "", WISP_E_FORMAT, "printable");
    struct mf_bytes longer = {0};
    mf_add(&longer, f.good.data, f.good.size);
    mf_add(&longer, "xyz", 3);
    expect_weights(&f, longer.data, longer.size, WISP_E_FORMAT, "last 3 bytes belong to no tensor");
    mf_bytes_free(&longer);
    teardown(&f);
}

static void refuses_bombs(void **state) {
    struct fixture f = setup();
    enum { DEPTH = 100000, BIG = 17 << 20 };
    char *deep = malloc(BIG + 1);
    memset(deep, '[', DEPTH);
    deep[DEPTH] = '\0';
    struct mf_bytes b = mf_with_header(deep, NULL, 0);
    expect_weights(&f, b.data, b.size, WISP_E_FORMAT, "depth");
    mf_bytes_free(&b);
    memset(deep, ' ', BIG);
    deep[BIG] = '\0';
    b = mf_with_header(deep, NULL, 0);
    expect_weights(&f, b.data, b.size, WISP_E_FORMAT, "more than the 16777216");
    mf_bytes_free(&b);
    b = mf_with_header("[]", NULL, 0);
    expect_weights(&f, b.data, b.size, WISP_E_FORMAT, "not a JSON object");
    mf_bytes_free(&b);
    b = mf_with_header("{}", NULL, 0);
    expect_weights(&f, b.data, b.size, WISP_E_FORMAT, "only 0 tensors");
    mf_bytes_free(&b);
    free(deep);
    teardown(&f);
}

/* Many small values within the limit of bytes: 5 million empty objects would take a gigabyte. */
static void refuses_bombs_of_small_values(void **state) {
    enum { N = 5 << 20 };
    struct fixture f = setup();
    const char *const values[] = {"{},", "[],", "\"\",", "7,"};
    const char *const files[] = {"config.json", "tokenizer.json"};
    char *text = malloc(3 * N + 32);
    for (size_t i = 0; i < 4; i++) {
        char *at = stpcpy(text, "{\"a\":[");
        for (int j = 0; j < N; j++)
            at = stpcpy(at, values[i]);
        strcpy(at, "0]}");
        struct mf_bytes b = mf_with_header(text, NULL, 0);
        expect_weights(&f, b.data, b.size, WISP_E_FORMAT, "its header has more than the 524288");
        mf_bytes_free(&b);
        struct fixture g = setup();
        mf_write(mf_path(g.folder, files[i % 2]), text, strlen(text));
        expect_error(g.folder, WISP_E_FORMAT, "json has more than the 524288 values");
        teardown(&g);
    }
    free(text);
    teardown(&f);
}

static void refuses_nonfinite_weights(void **state) {
    const enum mf_type types[] = {MF_F32, MF_F16, MF_BF16};
    for (int i = 0; i < 3; i++) {
        struct fixture f = setup();
        mf_find(&f.m, "decoder.blocks.0.cross_attn.out.weight")->values[63] = i ? NAN : INFINITY;
        struct mf_bytes b = mf_safetensors(&f.m, 0, f.m.n_tensors, types[i]);
        expect_weights(&f, b.data, b.size, WISP_E_FORMAT,
                       "'decoder.blocks.0.cross_attn.out.weight' has a value that is NaN or "
                       "infinite (number 63");
        mf_bytes_free(&b);
        teardown(&f);
    }
}

/* config.json with `from` replaced by `to`. */
static void expect_config(struct fixture *f, const char *from, const char *to, int code,
                          const char *word) {
    char *good = mf_config(&f->m), text[4096];
    char *at = strstr(good, from);
    if (!at)
        fail_msg("no %s in config.json", from);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
    mf_write(mf_path(f->folder, "config.json"), text, strlen(text));
    expect_error(f->folder, code, word);
    free(good);
}

static void refuses_bad_configs(void **state) {
    struct fixture f = setup();
    expect_config(&f, "\"whisper\"", "\"bert\"", WISP_E_UNSUPPORTED, "model_type");
    expect_config(&f, "\"gelu\"", "\"relu\"", WISP_E_UNSUPPORTED, "activation_function");
    expect_config(&f, "false", "true", WISP_E_UNSUPPORTED, "scale_embedding");
    expect_config(&f, "\"encoder_ffn_dim\": 32", "\"encoder_ffn_dim\": 64", WISP_E_UNSUPPORTED,
                  "encoder_ffn_dim");
    expect_config(&f, "\"d_model\": 8", "\"d_model\": 8.0", WISP_E_FORMAT, "'d_model'");
    expect_config(&f, "\"d_model\": 8, ", "", WISP_E_FORMAT, "'d_model'");
    expect_config(&f, "\"d_model\": 8", "\"d_model\": -8", WISP_E_FORMAT, "n_audio_state is -8");
    expect_config(&f, "\"d_model\": 8", "\"d_model\": 99999999999", WISP_E_FORMAT, "'d_model'");
    expect_config(&f, "51864", "51865", WISP_E_FORMAT, "decoder.token_embedding.weight");
    expect_config(&f, "51864", "50000", WISP_E_UNSUPPORTED, "50000 token ids");
    expect_config(&f, "\"encoder_layers\": 1", "\"encoder_layers\": 1000000000", WISP_E_FORMAT,
                  "n_audio_layer");
    expect_config(&f, "\"encoder_layers\": 1", "\"encoder_layers\": 2", WISP_E_FORMAT,
                  "encoder.blocks.1");
    expect_config(&f, "{", "", WISP_E_FORMAT, "config.json is not valid JSON");
    unlink(mf_path(f.folder, "config.json"));
    expect_error(f.folder, WISP_E_IO, "no config.json");
    teardown(&f);
}

static void expect_tokenizer(struct fixture *f, const char *text, int code, const char *word) {
    mf_write(mf_path(f->folder, "tokenizer.json"), text, strlen(text));
    expect_error(f->folder, code, word);
}

static void refuses_bad_tokenizers(void **state) {
    struct fixture f = setup();
    expect_tokenizer(&f, "{}", WISP_E_FORMAT, "no table model.vocab");
    expect_tokenizer(&f, "{\"model\": {\"vocab\": []}}", WISP_E_FORMAT, "no table model.vocab");
    expect_tokenizer(&f, "{\"model\": {\"vocab\": {\"a\": -1}}}", WISP_E_FORMAT, "the id -1");
    expect_tokenizer(&f, "{\"model\": {\"vocab\": {\"a\": 51864}}}", WISP_E_FORMAT, "the id 51864");
    expect_tokenizer(&f, "{\"model\": {\"vocab\": {\"a\": \"1\"}}}", WISP_E_FORMAT, "the id -1");
    expect_tokenizer(&f, "{\"model\": {\"vocab\": {\"a\": 1, \"b\": 1}}}", WISP_E_FORMAT,
                     "two tokens the id 1");
    expect_tokenizer(&f, "{\"model\": {\"vocab\": {\"a b\": 7}}}", WISP_E_FORMAT, "id 7");
    expect_tokenizer(&f, "{\"model\": {\"vocab\": {\"\\u4e00\": 7}}}", WISP_E_FORMAT, "alphabet");
    expect_tokenizer(&f, "nonsense", WISP_E_FORMAT, "tokenizer.json is not valid JSON");
    unlink(mf_path(f.folder, "tokenizer.json"));
    expect_error(f.folder, WISP_E_IO, "neither tokenizer.json nor vocab.json");
    teardown(&f);
}

/* The index with every `from` replaced by `to`, of equal length. */
static void expect_index(const char *folder, const char *from, const char *to, int code,
                         const char *word) {
    char *path = strdup(mf_path(folder, "model.safetensors.index.json"));
    FILE *file = fopen(path, "rb");
    char *text = calloc(1 << 16, 1), *copy = calloc(1 << 16, 1);
    assert_true(fread(text, 1, (1 << 16) - 1, file) > 0);
    fclose(file);
    memcpy(copy, text, 1 << 16);
    for (char *at = copy; (at = strstr(at, from)); at += strlen(to))
        memcpy(at, to, strlen(to));
    assert_true(strcmp(text, copy) != 0);
    mf_write(path, copy, strlen(copy));
    expect_error(folder, code, word);
    mf_write(path, text, strlen(text));
    free(text);
    free(copy);
    free(path);
}

static void refuses_bad_shards(void **state) {
    struct mf_model m = mf_model_create(mf_tiny_dims(), 9);
    char *folder = mf_folder();
    mf_write_folder(folder, &m, MF_F16, 2);
    const char *one = "model-00001-of-00002.safetensors", *two = "model-00002-of-00002.safetensors";
    struct wi_model *model = open_good(folder);
    wi_model_close(&model);
    expect_index(folder, one, "../../../../../../etc/hostname__", WISP_E_FORMAT, "its own folder");
    expect_index(folder, one, "/etc/passwd/////////////////////", WISP_E_FORMAT, "its own folder");
    expect_index(folder, one, ".odel-00001-of-00002.safetensors", WISP_E_FORMAT, "its own folder");
    expect_index(folder, one, "model-00009-of-00002.safetensors", WISP_E_IO, "model-00009");
    expect_index(folder, one, two, WISP_E_FORMAT, "the index promises a tensor");
    expect_index(folder, "encoder.conv1.weight", "encoder.conv7.weight", WISP_E_FORMAT,
                 "do not belong together");
    expect_index(folder, "weight_map", "weight_mop", WISP_E_FORMAT, "no weight_map");
    unlink(mf_path(folder, two));
    expect_error(folder, WISP_E_IO, two);
    unlink(mf_path(folder, "model.safetensors.index.json"));
    expect_error(folder, WISP_E_IO, "neither model.safetensors nor");
    mf_write(mf_path(folder, "pytorch_model.bin"), "x", 1);
    expect_error(folder, WISP_E_IO, "safe_serialization");
    mf_folder_remove(folder);
    mf_model_free(&m);
}

#ifdef WISP_ALLOC_INJECT
/* Each allocation fails once: the call says so, and leaks nothing (the build has AddressSanitizer).
 */
static void fail_each_allocation(const char *path) {
    struct wisp_error err = {0};
    struct wi_model *model;
    long n;
    wi_mem_fail_at = wi_mem_count = 0;
    model = open_good(path);
    n = wi_mem_count;
    wi_model_close(&model);
    assert_true(n > 50);
    for (long i = 1; i <= n; i++) {
        memset(&err, 0, sizeof err);
        wi_mem_count = 0;
        wi_mem_fail_at = i;
        if (wi_model_open(&model, path, &err) != WISP_E_NOMEM || err.code != WISP_E_NOMEM || model)
            fail_msg("allocation %ld of %ld: %s", i, n, err.text);
    }
    wi_mem_fail_at = 0;
}

static void failing_allocations(void **state) {
    struct mf_model m = mf_model_create(mf_tiny_dims(), 9);
    struct mf_bytes ggml = mf_ggml(&m, MF_F16, NULL);
    char *folder = mf_folder();
    mf_write_folder(folder, &m, MF_F16, 2);
    mf_write(mf_path(folder, "model.bin"), ggml.data, ggml.size);
    fail_each_allocation(folder);
    char *path = strdup(mf_path(folder, "model.bin"));
    fail_each_allocation(path);
    free(path);
    mf_bytes_free(&ggml);
    mf_folder_remove(folder);
    mf_model_free(&m);
}
#else
static void failing_allocations(void **state) {
    skip();
}
#endif

WISP_SUITE(cmocka_unit_test(failing_allocations),
           cmocka_unit_test(containers_give_the_same_weights),
           cmocka_unit_test(containers_give_the_same_logits),
           cmocka_unit_test(reads_bf16_and_bare_vocabularies), cmocka_unit_test(tied_projection),
           cmocka_unit_test(refuses_every_cut), cmocka_unit_test(refuses_lies_in_the_header),
           cmocka_unit_test(refuses_bombs), cmocka_unit_test(refuses_bombs_of_small_values),
           cmocka_unit_test(refuses_nonfinite_weights),
           cmocka_unit_test(refuses_bad_configs), cmocka_unit_test(refuses_bad_tokenizers),
           cmocka_unit_test(refuses_bad_shards))

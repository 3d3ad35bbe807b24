#include "suite.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/model.h"
#include "model_files.h"
#include "text/vocab.h"

/* What every test starts from: a good file, its parts' places, and a folder to write to. */
struct fixture {
    struct mf_model m;
    struct mf_bytes good;
    size_t *at;
    char *folder, *path;
};

static struct fixture setup(enum mf_type type, struct wisp_dims dims) {
    struct fixture f;
    f.m = mf_model_create(dims, 7);
    f.at = calloc(f.m.n_tensors, sizeof *f.at);
    f.good = mf_ggml(&f.m, type, f.at);
    f.folder = mf_folder();
    f.path = strdup(mf_path(f.folder, "model.bin"));
    return f;
}

static void teardown(struct fixture *f) {
    mf_model_free(&f->m);
    mf_bytes_free(&f->good);
    free(f->at);
    free(f->path);
    mf_folder_remove(f->folder);
}

/* Opening must fail with `code` and a text that has `word`. */
static void expect_error(const struct fixture *f, const void *data, size_t n, int code,
                         const char *word) {
    struct wisp_error err = {0};
    struct wi_model *model = (void *)&err;
    mf_write(f->path, data, n);
    int rc = wi_model_open(&model, f->path, &err);
    if (rc != code || err.code != code || model || !strstr(err.text, word))
        fail_msg("wanted %d with '%s', got %d: %s", code, word, rc, err.text);
}

/* As expect_error, for a copy of the good file in which the i32 at `at` is `value`. */
static void expect_patched(const struct fixture *f, size_t at, int32_t value, int code,
                           const char *word) {
    uint8_t *copy = malloc(f->good.size);
    memcpy(copy, f->good.data, f->good.size);
    memcpy(copy + at, &value, sizeof value);
    expect_error(f, copy, f->good.size, code, word);
    free(copy);
}

static void check_vector(struct fixture *f, const char *name, const float *values) {
    const struct mf_tensor *t = mf_find(&f->m, name);
    assert_non_null(values);
    assert_memory_equal(values, t->values, t->n * sizeof(float));
}

static void check_model(struct fixture *f, const struct wi_model *model) {
    const struct wi_weights *w = &model->w;
    assert_memory_equal(&model->dims, &f->m.dims, sizeof model->dims);
    assert_string_equal(model->container, "ggml");
    assert_int_equal(model->n_tensors, f->m.n_tensors);
    check_vector(f, "encoder.positional_embedding", w->enc_pos);
    check_vector(f, "encoder.conv1.bias", w->conv1.b);
    check_vector(f, "encoder.blocks.0.mlp.0.bias", w->enc[0].mlp_in.b);
    check_vector(f, "encoder.ln_post.bias", w->enc_ln.b);
    check_vector(f, "decoder.positional_embedding", w->dec_pos);
    check_vector(f, "decoder.blocks.0.cross_attn_ln.weight", w->dec[0].cross_ln.w);
    check_vector(f, "decoder.blocks.0.cross_attn.value.bias", w->dec[0].cross.v.b);
    check_vector(f, "decoder.ln.weight", w->dec_ln.w);
    assert_null(w->dec[0].cross.k.b);
    assert_string_equal(w->conv2.w->name, "encoder.conv2.weight");
    assert_string_equal(w->enc[0].attn.out.w->name, "encoder.blocks.0.attn.out.weight");
    assert_string_equal(w->dec[0].mlp_out.w->name, "decoder.blocks.0.mlp.2.weight");
    assert_int_equal(w->conv1.w->n_dims, 3);
    assert_int_equal(w->conv1.w->dims[0], f->m.dims.n_audio_state);
    assert_int_equal(w->conv1.w->dims[1], f->m.dims.n_mels);
    assert_int_equal(w->conv1.w->dims[2], 3);
    assert_int_equal(w->tok_emb->dims[0], f->m.dims.n_vocab);
}

/* The token embedding lies in the model as it lies in the file. */
static void check_in_place(struct fixture *f, const struct wi_tensor *t, enum wi_dtype type) {
    size_t n = mf_find(&f->m, t->name)->n, i = 0;
    assert_int_equal(t->type, type);
    assert_int_equal(t->bytes, n / (size_t)wi_dtype_block(type) * wi_dtype_block_bytes(type));
    while (strcmp(f->m.tensors[i].name, t->name) != 0)
        i++;
    size_t header = 12 + 2 * 4 + strlen(t->name);
    assert_memory_equal(t->data, f->good.data + f->at[i] + header, t->bytes);
}

static void opens_good_files(void **state) {
    const struct {
        enum mf_type ggml;
        enum wi_dtype dtype;
    } types[] = {{MF_F32, WI_F32},   {MF_F16, WI_F16},   {MF_Q4_0, WI_Q4_0}, {MF_Q4_1, WI_Q4_1},
                 {MF_Q5_0, WI_Q5_0}, {MF_Q5_1, WI_Q5_1}, {MF_Q8_0, WI_Q8_0}};
    struct wisp_dims dims[] = {mf_tiny_dims(),
                               {51865, 80, 7, 64, 2, 2, 9, 64, 4, 1},
                               {51866, 128, 7, 32, 1, 1, 9, 32, 1, 3}};
    for (int d = 0; d < 3; d++)
        for (int i = 0; i < (d == 0 ? 2 : 7); i++) { /* rows of 8 have no blocks of 32 */
            struct fixture f = setup(types[i].ggml, dims[d]);
            struct wisp_error err = {0};
            struct wi_model *model;
            mf_write(f.path, f.good.data, f.good.size);
            if (wi_model_open(&model, f.path, &err))
                fail_msg("%s", err.text);
            check_model(&f, model);
            check_in_place(&f, model->w.tok_emb, types[i].dtype);
            assert_int_equal(wi_vocab_size(model->vocab), 260);
            wi_model_close(&model);
            assert_null(model);
            teardown(&f);
        }
}

/* Opening what is left of the file that was written last. */
static void expect_cut(const struct fixture *f, size_t n, const char *word) {
    struct wisp_error err = {0};
    struct wi_model *model;
    assert_int_equal(truncate(f->path, (off_t)n), 0);
    if (wi_model_open(&model, f->path, &err) != WISP_E_FORMAT || !strstr(err.text, word))
        fail_msg("cut at %zu: %d: %s", n, err.code, err.text);
}

/* From the end to the beginning: inside every tensor's data and at every byte of every header. */
static void refuses_every_cut(void **state) {
    struct fixture f = setup(MF_F16, mf_tiny_dims());
    size_t filters = 48 + 8, words = filters + 80 * 201 * 4, end = f.good.size;
    mf_write(f.path, f.good.data, f.good.size);
    srand(1);
    for (size_t i = f.m.n_tensors; i-- > 0; end = f.at[i]) {
        size_t header = 12 + 4 * (size_t)f.m.tensors[i].n_dims + strlen(f.m.tensors[i].name);
        size_t data = f.at[i] + header;
        expect_cut(&f, end - 1, "are left in the file");
        expect_cut(&f, data + (size_t)rand() % (end - 1 - data), "are left in the file");
        for (size_t n = data - 1; n > f.at[i]; n--)
            expect_cut(&f, n, "a tensor's");
        expect_cut(&f, f.at[i], i < 2 ? "claims 2 layers" : "is missing");
    }
    for (size_t n = f.at[0] - 1; n >= words; n--)
        expect_cut(&f, n, "inside the vocabulary");
    for (size_t n = words - 1; n > filters + 100; n -= 1 + (size_t)rand() % 100)
        expect_cut(&f, n, "inside the mel filters");
    for (size_t n = filters + 100; n > 0; n--)
        expect_cut(&f, n, "inside");
    expect_cut(&f, 0, "empty");
    teardown(&f);
}

static void refuses_lies_in_the_header(void **state) {
    static const char *const names[] = {
        "n_vocab",    "n_audio_ctx",  "n_audio_state", "n_audio_head", "n_audio_layer",
        "n_text_ctx", "n_text_state", "n_text_head",   "n_text_layer", "n_mels"};
    static const int lies[] = {0, -1, INT32_MIN, INT32_MAX};
    struct fixture f = setup(MF_F16, mf_tiny_dims());
    for (size_t i = 0; i < 10; i++)
        for (size_t j = 0; j < 4; j++)
            expect_patched(&f, 4 + 4 * i, lies[j], WISP_E_FORMAT, names[i]);
    expect_patched(&f, 0, 0x12345678, WISP_E_FORMAT, "mark of a ggml file");
    expect_patched(&f, 4, 51863, WISP_E_UNSUPPORTED, "51863 token ids");
    expect_patched(&f, 4, 51865, WISP_E_FORMAT, "decoder.token_embedding.weight");
    expect_patched(&f, 8, 11, WISP_E_FORMAT, "encoder.positional_embedding");
    expect_patched(&f, 12, 16, WISP_E_FORMAT, "n_audio_state is 16 but n_text_state 8");
    expect_patched(&f, 16, 3, WISP_E_FORMAT, "no multiple of n_audio_head 3");
    expect_patched(&f, 20, 2, WISP_E_FORMAT, "encoder.blocks.1.attn_ln.weight' is missing");
    expect_patched(&f, 20, 4096, WISP_E_FORMAT, "4097 layers");
    expect_patched(&f, 24, 4, WISP_E_UNSUPPORTED, "n_text_ctx is 4");
    expect_patched(&f, 40, 81, WISP_E_UNSUPPORTED, "81 mel bands");
    expect_patched(&f, 40, 128, WISP_E_FORMAT, "mel filters are 80 x 201, expected 128 x 201");
    expect_patched(&f, 52, 1 << 30, WISP_E_FORMAT, "mel filters");
    expect_error(&f, "GGUF\3\0\0\0", 8, WISP_E_UNSUPPORTED, "GGUF");
    expect_error(&f, "PK\3\4....", 8, WISP_E_UNSUPPORTED, "PyTorch");
    expect_error(&f, "\x20\0\0\0\0\0\0\0{\"a\":1}", 15, WISP_E_UNSUPPORTED, "safetensors");
    teardown(&f);
}

static void refuses_lies_in_the_vocabulary(void **state) {
    struct fixture f = setup(MF_F16, mf_tiny_dims());
    size_t at = 48 + 8 + 80 * 201 * 4;
    expect_patched(&f, at, -1, WISP_E_FORMAT, "claims -1 words");
    expect_patched(&f, at, 51865, WISP_E_FORMAT, "claims 51865 words");
    expect_patched(&f, at, 51864, WISP_E_FORMAT, "model.bin");
    expect_patched(&f, at + 4, -5, WISP_E_FORMAT, "word 0 of its vocabulary has the length -5");
    expect_patched(&f, at + 4, INT32_MAX, WISP_E_FORMAT, "inside the vocabulary");
    teardown(&f);
}

static void refuses_lies_in_tensors(void **state) {
    struct fixture f = setup(MF_F32, mf_tiny_dims());
    size_t at = f.at[1]; /* encoder.conv1.weight, [8, 80, 3], dims stored innermost first */
    const char *name = "'encoder.conv1.weight'";
    assert_string_equal(f.m.tensors[1].name, "encoder.conv1.weight");
    expect_patched(&f, at, 0, WISP_E_FORMAT, "claims 0 dimensions");
    expect_patched(&f, at, 5, WISP_E_FORMAT, "claims 5 dimensions");
    expect_patched(&f, at, -1, WISP_E_FORMAT, "claims -1 dimensions");
    expect_patched(&f, at + 4, 0, WISP_E_FORMAT, "name of 0 bytes");
    expect_patched(&f, at + 4, -7, WISP_E_FORMAT, "name of -7 bytes");
    expect_patched(&f, at + 4, 1 << 30, WISP_E_FORMAT, "name of");
    expect_patched(&f, at + 8, 12, WISP_E_UNSUPPORTED, "q4_k");
    expect_patched(&f, at + 8, 12, WISP_E_UNSUPPORTED, name);
    expect_patched(&f, at + 8, 4, WISP_E_UNSUPPORTED, "unknown (4)");
    expect_patched(&f, at + 8, -1, WISP_E_UNSUPPORTED, "unknown (-1)");
    expect_patched(&f, at + 8, 999, WISP_E_UNSUPPORTED, "unknown (999)");
    expect_patched(&f, at + 8, 2, WISP_E_FORMAT, "impossible shape [8, 80, 3] for type q4_0");
    expect_patched(&f, at + 12, 0, WISP_E_FORMAT, "impossible shape [8, 80, 0]");
    expect_patched(&f, at + 12, -3, WISP_E_FORMAT, "impossible shape");
    expect_patched(&f, at + 12, INT32_MAX, WISP_E_FORMAT, "are left in the file");
    expect_patched(&f, at + 20, INT32_MAX, WISP_E_FORMAT, name);
    expect_patched(&f, at + 24, 0x01020304, WISP_E_FORMAT, "not printable");
    expect_patched(&f, at + 24, 0x41424344, WISP_E_FORMAT, "encoder.conv1.weight' is missing");
    teardown(&f);
}

static void three_dims_of_2_to_31_do_not_overflow(void **state) {
    struct fixture f = setup(MF_F32, mf_tiny_dims());
    for (int i = 0; i < 3; i++)
        memcpy(f.good.data + f.at[1] + 12 + 4 * i, &(int32_t){INT32_MAX}, 4);
    expect_error(&f, f.good.data, f.good.size, WISP_E_FORMAT, "impossible shape");
    teardown(&f);
}

static void refuses_wrong_sets_of_tensors(void **state) {
    struct fixture f = setup(MF_F16, mf_tiny_dims());
    struct mf_bytes b = {0};
    size_t second = f.at[2];
    mf_add(&b, f.good.data, f.at[1]); /* without the second tensor */
    mf_add(&b, f.good.data + second, f.good.size - second);
    expect_error(&f, b.data, b.size, WISP_E_FORMAT, "'encoder.conv1.weight' is missing");
    mf_bytes_free(&b);

    mf_add(&b, f.good.data, f.good.size); /* with it twice */
    mf_add_ggml_tensor(&b, &f.m.tensors[1], MF_F16);
    expect_error(&f, b.data, b.size, WISP_E_FORMAT, "'encoder.conv1.weight' is there twice");
    mf_bytes_free(&b);

    struct mf_tensor extra = f.m.tensors[1];
    strcpy(extra.name, "encoder.conv3.weight");
    mf_add(&b, f.good.data, f.good.size);
    mf_add_ggml_tensor(&b, &extra, MF_F16);
    expect_error(&f, b.data, b.size, WISP_E_FORMAT, "'encoder.conv3.weight' does not belong");
    mf_bytes_free(&b);

    struct mf_tensor *transposed = mf_find(&f.m, "encoder.conv1.weight");
    transposed->dims[0] = 80;
    transposed->dims[1] = 8;
    b = mf_ggml(&f.m, MF_F16, NULL);
    expect_error(&f, b.data, b.size, WISP_E_FORMAT, "shape [80, 8, 3]");
    mf_bytes_free(&b);
    teardown(&f);
}

static void refuses_nonfinite_weights(void **state) {
    static const char *const names[] = {"encoder.conv1.weight", "encoder.positional_embedding",
                                        "decoder.token_embedding.weight",
                                        "decoder.blocks.0.mlp.0.bias", "decoder.ln.weight"};
    const float bad[] = {NAN, INFINITY, -INFINITY};
    const enum mf_type types[] = {MF_F32, MF_F16};
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < 5; i++) {
            struct fixture f = setup(types[k], mf_tiny_dims());
            struct mf_tensor *t = mf_find(&f.m, names[i]);
            size_t at = i == 2 ? t->n - 1 : t->n / 2;
            char where[32];
            snprintf(where, sizeof where, "number %zu of", at);
            t->values[at] = bad[i % 3];
            struct mf_bytes b = mf_ggml(&f.m, types[k], NULL);
            expect_error(&f, b.data, b.size, WISP_E_FORMAT, names[i]);
            expect_error(&f, b.data, b.size, WISP_E_FORMAT, where);
            mf_bytes_free(&b);
            teardown(&f);
        }
}

/* Block 31 of a matrix gets an infinite scale or minimum. */
static void refuses_nonfinite_scales(void **state) {
    const char *name = "decoder.blocks.0.attn.key.weight";
    const struct {
        enum mf_type type;
        size_t block, offset;
        const char *text;
    } cases[] = {{MF_Q4_0, 18, 0, "q4_0"}, {MF_Q4_1, 20, 0, "q4_1"}, {MF_Q4_1, 20, 2, "q4_1"},
                 {MF_Q5_0, 22, 0, "q5_0"}, {MF_Q5_1, 24, 2, "q5_1"}, {MF_Q8_0, 34, 0, "q8_0"}};
    struct wisp_dims wide = {51864, 80, 10, 32, 1, 1, 12, 32, 1, 1};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        struct fixture f = setup(cases[c].type, wide);
        char where[64];
        size_t i = 0;
        while (strcmp(f.m.tensors[i].name, name) != 0)
            i++;
        size_t data = f.at[i] + 12 + 8 + strlen(name);
        memcpy(f.good.data + data + 31 * cases[c].block + cases[c].offset, "\xff\x7f", 2);
        snprintf(where, sizeof where, "in the block at 992 of its %s", cases[c].text);
        expect_error(&f, f.good.data, f.good.size, WISP_E_FORMAT, name);
        expect_error(&f, f.good.data, f.good.size, WISP_E_FORMAT, where);
        teardown(&f);
    }
}

static void names_missing_files(void **state) {
    struct wisp_error err = {0};
    struct wi_model *model;
    assert_int_equal(wi_model_open(&model, "/nonexistent/x.bin", &err), WISP_E_IO);
    assert_non_null(strstr(err.text, "'/nonexistent/x.bin': there is no such file or folder"));
    assert_null(model);
    memset(&err, 0, sizeof err);
    assert_int_equal(wi_model_open(&model, "/dev/null", &err), WISP_E_IO);
    assert_non_null(strstr(err.text, "neither a file nor a folder"));
    wi_model_close(&model);
    wi_model_close(NULL);
}

WISP_SUITE(cmocka_unit_test(opens_good_files), cmocka_unit_test(refuses_every_cut),
           cmocka_unit_test(refuses_lies_in_the_header),
           cmocka_unit_test(refuses_lies_in_the_vocabulary),
           cmocka_unit_test(refuses_lies_in_tensors),
           cmocka_unit_test(three_dims_of_2_to_31_do_not_overflow),
           cmocka_unit_test(refuses_wrong_sets_of_tensors),
           cmocka_unit_test(refuses_nonfinite_weights), cmocka_unit_test(refuses_nonfinite_scales),
           cmocka_unit_test(names_missing_files))

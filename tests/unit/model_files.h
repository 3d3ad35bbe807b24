/* Writes small Whisper models with a true layout, as ggml files and as Hugging Face folders, for
 * tests that then break them.  Buffers and folders belong to the caller.  Not thread-safe. */
#ifndef WISP_TESTS_UNIT_MODEL_FILES_H
#define WISP_TESTS_UNIT_MODEL_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <wisp/wisp.h>

struct mf_tensor {
    char name[96]; /* openai-whisper's name */
    int n_dims;
    int64_t dims[3]; /* outermost first */
    size_t n;
    float *values; /* [n], exact in every type of mf_type */
};

/* Random weights of every tensor that the dimensions ask for. */
struct mf_model {
    struct wisp_dims dims;
    struct mf_tensor *tensors;
    size_t n_tensors;
};

/* ggml's numbers.  Only q8_0 holds the values; the other quantised types get random quants under
 * finite scales. */
enum mf_type {
    MF_F32 = 0,
    MF_F16 = 1,
    MF_Q4_0 = 2,
    MF_Q4_1 = 3,
    MF_Q5_0 = 6,
    MF_Q5_1 = 7,
    MF_Q8_0 = 8,
    MF_BF16 = 30
};

struct mf_bytes {
    uint8_t *data;
    size_t size, capacity;
};

/* 51864 ids, width 8, 2 heads, 1 + 1 layers, 10 audio and 12 text positions. */
struct wisp_dims mf_tiny_dims(void);
struct mf_model mf_model_create(struct wisp_dims dims, uint64_t seed);
void mf_model_free(struct mf_model *m);
struct mf_tensor *mf_find(struct mf_model *m, const char *name);

void mf_add(struct mf_bytes *b, const void *data, size_t n);
void mf_add_i32(struct mf_bytes *b, int32_t value);
/* One tensor as whisper.cpp stores it, matrices in `type`, vectors in f32. */
void mf_add_ggml_tensor(struct mf_bytes *b, const struct mf_tensor *t, enum mf_type type);
/* A whole file; its vocabulary is 256 single bytes and a few words.  tensors_at (may be NULL):
 * where each tensor's header begins, [n_tensors]. */
struct mf_bytes mf_ggml(const struct mf_model *m, enum mf_type type, size_t *tensors_at);
void mf_bytes_free(struct mf_bytes *b);

/* Hugging Face's name of a tensor, in a static buffer. */
const char *mf_hf_name(const char *name);
/* A safetensors file of the tensors first .. end-1, all in one type; and around any header. */
struct mf_bytes mf_safetensors(const struct mf_model *m, size_t first, size_t end,
                               enum mf_type type);
struct mf_bytes mf_with_header(const char *header, const void *data, size_t n);
/* Its config.json and tokenizer (the same words as in mf_ggml), as strings to free. */
char *mf_config(const struct mf_model *m);
char *mf_tokenizer(bool bare);
/* All of them in a folder; the weights in one file, or in `n_shards` > 1 with an index. */
void mf_write_folder(const char *folder, const struct mf_model *m, enum mf_type type, int n_shards);

/* A new folder under $TMPDIR, and its removal with the plain files in it. */
char *mf_folder(void);
void mf_folder_remove(char *folder);
/* folder/name in a static buffer. */
const char *mf_path(const char *folder, const char *name);
void mf_write(const char *path, const void *data, size_t n);

#endif

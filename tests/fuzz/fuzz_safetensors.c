/* Hugging Face folders.  The first byte of the input picks the file that the rest becomes:
 *   0 model.safetensors, 1 its header only (the length is right), each followed by as many zeros as
 * four bytes say; 2 config.json; 3 model.safetensors.index.json beside good shards. */
#include "fuzz_files.h"

#include <string.h>

#include "model/model.h"

/* The build makes one program of one file. */
#include "../unit/model_files.c"

enum { MAX_ZEROS = 1 << 20 };

struct folders {
    char *single, *sharded;
    struct memory_file weights, config, index;
};

/* folder/name becomes the file in memory. */
static void put(const char *folder, const char *name, const struct memory_file *file) {
    unlink(mf_path(folder, name));
    NEED(symlink(file->path, mf_path(folder, name)) == 0);
}

static struct mf_model model;
static struct folders folders;

static void clean_up(void) {
    mf_folder_remove(folders.single);
    mf_folder_remove(folders.sharded);
    mf_model_free(&model);
}

static void set_up(void) {
    model = mf_model_create((struct wisp_dims){51864, 80, 2, 2, 1, 1, 8, 2, 1, 1}, 1);
    folders.single = mf_folder();
    folders.sharded = mf_folder();
    mf_write_folder(folders.single, &model, MF_F16, 1);
    mf_write_folder(folders.sharded, &model, MF_F16, 2);
    folders.weights = memory_file_create();
    folders.config = memory_file_create();
    folders.index = memory_file_create();
    put(folders.single, "model.safetensors", &folders.weights);
    put(folders.single, "config.json", &folders.config);
    put(folders.sharded, "model.safetensors.index.json", &folders.index);
    atexit(clean_up);
}

static void set(const struct memory_file *file, const void *first, size_t n, const void *second,
                size_t m, size_t zeros) {
    memory_file_set(file, (const uint8_t *const[]){first, second}, (size_t[]){n, m},
                    (size_t[]){0, zeros});
}

static void set_good_config(void) {
    char *config = mf_config(&model);
    set(&folders.config, config, strlen(config), "", 0, 0);
    free(config);
}

/* The folder to open, NULL when the input is too short. */
static const char *prepare(const uint8_t *data, size_t size) {
    uint32_t zeros = 0;
    uint64_t length;
    int kind = data[0] % 4;
    data++;
    size--;
    if (kind == 3) {
        set(&folders.index, data, size, "", 0, 0);
        return folders.sharded;
    }
    if (kind == 2) {
        struct mf_bytes good = mf_safetensors(&model, 0, model.n_tensors, MF_F16);
        set(&folders.weights, good.data, good.size, "", 0, 0);
        set(&folders.config, data, size, "", 0, 0);
        mf_bytes_free(&good);
        return folders.single;
    }
    if (size < sizeof zeros)
        return NULL;
    memcpy(&zeros, data, sizeof zeros);
    data += sizeof zeros;
    length = size -= sizeof zeros;
    set(&folders.weights, &length, kind == 1 ? 8 : 0, data, size, zeros % MAX_ZEROS);
    set_good_config();
    return folders.single;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct wisp_error err = {0};
    struct wi_model *opened;
    if (!folders.single)
        set_up();
    const char *folder = size > 0 ? prepare(data, size) : NULL;
    if (!folder)
        return 0;
    int rc = wi_model_open(&opened, folder, &err);
    NEED((rc == WISP_OK) == (opened != NULL) && rc == err.code);
    if (opened)
        NEED(opened->w.tok_emb && opened->w.dec[0].cross.v.b && opened->w.enc[0].mlp_in.w);
    for (const char *c = err.text; *c; c++)
        NEED(*c >= ' ' && *c < 0x7f); /* nothing of the file that a terminal would obey */
    wi_model_close(&opened);
    return 0;
}

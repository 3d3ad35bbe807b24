#include "model/model.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "model/reader.h"
#include "text/vocab.h"

void wi_words_fini(struct wi_words *words) {
    wi_free(words->bytes);
    wi_free(words->lengths);
    wi_free(words->block);
    memset(words, 0, sizeof *words);
}

/* Arrays grow at powers of two, so the count tells the capacity. */
static bool is_full(size_t n) {
    return (n & (n - 1)) == 0;
}

int wi_model_add_map(struct wi_model *m, const char *path, const struct wi_mapfile **out,
                     struct wisp_error *err) {
    if (is_full(m->n_maps)) {
        struct wi_mapfile *maps = wi_realloc(m->maps, m->n_maps ? 2 * m->n_maps : 1, sizeof *maps);
        if (!maps)
            return wi_err_nomem(err, "the list of model files");
        m->maps = maps;
    }
    int rc = wi_mapfile_open(&m->maps[m->n_maps], path, err);
    if (rc == WISP_OK)
        *out = &m->maps[m->n_maps++];
    return rc;
}

int wi_model_add_tensor(struct wi_model *m, const struct wi_tensor *t, const char *name,
                        size_t length, struct wisp_error *err) {
    if (is_full(m->n_tensors)) {
        struct wi_tensor *tensors =
            wi_realloc(m->tensors, m->n_tensors ? 2 * m->n_tensors : 1, sizeof *tensors);
        if (!tensors)
            return wi_err_nomem(err, "the list of tensors");
        m->tensors = tensors;
    }
    char *copy = wi_strndup(name, length);
    if (!copy)
        return wi_err_nomem(err, "a tensor's name");
    m->tensors[m->n_tensors] = *t;
    m->tensors[m->n_tensors++].name = copy;
    return WISP_OK;
}

bool wi_tensor_bytes(const struct wi_tensor *t, size_t *bytes) {
    int64_t rows = 1;
    for (int i = 0; i < t->n_dims; i++)
        if (t->dims[i] <= 0 ||
            (i + 1 < t->n_dims && __builtin_mul_overflow(rows, t->dims[i], &rows)))
            return false;
    int64_t row = t->n_dims > 0 ? t->dims[t->n_dims - 1] : 1;
    if (row % wi_dtype_block(t->type) != 0 || row > INT64_MAX / 4)
        return false;
    int64_t total;
    if (__builtin_mul_overflow(rows, (int64_t)wi_dtype_row_bytes(t->type, (size_t)row), &total))
        return false;
    *bytes = (size_t)total;
    return true;
}

bool wi_is_printable(const char *s, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (s[i] < 0x21 || s[i] > 0x7e)
            return false;
    return n > 0;
}

const char *wi_dims_print(const int64_t *dims, int n_dims, char *buf, size_t size) {
    size_t at = (size_t)snprintf(buf, size, "[");
    for (int i = 0; i < n_dims && at < size; i++)
        at += (size_t)snprintf(buf + at, size - at, "%s%lld", i ? ", " : "", (long long)dims[i]);
    if (at < size)
        snprintf(buf + at, size - at, "]");
    return buf;
}

static int read_files(struct wi_model *m, struct wi_words *words, struct wisp_error *err) {
    struct stat st;
    if (stat(m->path, &st) != 0 && (errno == ENOENT || errno == ENOTDIR))
        return wi_err_set(
            err, WISP_E_IO,
            "cannot open model '%s': there is no such file or folder; check the path or "
            "get a model with 'wisp model pull'",
            m->path);
    if (access(m->path, R_OK) != 0)
        return wi_err_errno(err, WISP_E_IO, errno,
                            "cannot open model '%s' (check who may read it and its folder)",
                            m->path);
    if (S_ISDIR(st.st_mode))
        return wi_hf_read(m, words, err);
    if (S_ISREG(st.st_mode))
        return wi_ggml_read(m, words, err);
    return wi_err_set(
        err, WISP_E_IO,
        "cannot open model '%s': it is neither a file nor a folder; give a ggml .bin or a "
        "Hugging Face folder",
        m->path);
}

int wi_model_open(struct wi_model **out, const char *path, struct wisp_error *err) {
    struct wi_words words = {0};
    int rc = WISP_E_NOMEM;

    *out = NULL;
    struct wi_model *m = wi_calloc(1, sizeof *m);
    if (!m || !(m->path = wi_strdup(path))) {
        wi_err_nomem(err, "the model");
        goto fail;
    }
    rc = read_files(m, &words, err);
    if (rc != WISP_OK)
        goto fail;
    rc = wi_vocab_create(&m->vocab, words.bytes, words.lengths, words.n, m->dims.n_vocab, err);
    if (rc != WISP_OK)
        goto fail;
    rc = wi_model_bind(m, err);
    if (rc != WISP_OK)
        goto fail;
    wi_words_fini(&words);
    *out = m;
    return WISP_OK;

fail:
    wi_words_fini(&words);
    wi_model_close(&m);
    return rc;
}

void wi_model_close(struct wi_model **model) {
    if (!model || !*model)
        return;
    struct wi_model *m = *model;
    wi_vocab_destroy(&m->vocab);
    wi_free(m->w.enc);
    wi_free(m->w.dec);
    wi_free(m->vectors);
    for (size_t i = 0; i < m->n_tensors; i++)
        wi_free(m->tensors[i].name);
    wi_free(m->tensors);
    wi_free(m->arena);
    for (size_t i = 0; i < m->n_maps; i++)
        wi_mapfile_close(&m->maps[i]);
    wi_free(m->maps);
    wi_free(m->path);
    wi_free(m);
    *model = NULL;
}

/* Connects the named slots of a Whisper model with a file's tensors. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "model/reader.h"

struct binder {
    struct wi_model *m;
    struct wisp_error *err;
    const struct wi_tensor **sorted; /* [n_tensors] by name */
    bool *used;                      /* [n_tensors], index as in m->tensors */
    size_t n_floats;                 /* of all vectors so far */
};

static int compare_names(const void *a, const void *b) {
    const struct wi_tensor *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static const struct wi_tensor *find(const struct binder *b, const char *name) {
    struct wi_tensor key = {.name = (char *)(uintptr_t)name};
    const struct wi_tensor *p = &key;
    const struct wi_tensor **hit =
        bsearch(&p, b->sorted, b->m->n_tensors, sizeof *b->sorted, compare_names);
    return hit ? *hit : NULL;
}

static int index_tensors(struct binder *b) {
    struct wi_model *m = b->m;
    b->sorted = wi_malloc(m->n_tensors, sizeof *b->sorted);
    b->used = wi_calloc(m->n_tensors, sizeof *b->used);
    if (!b->sorted || !b->used)
        return wi_err_nomem(b->err, "the index of tensors");
    for (size_t i = 0; i < m->n_tensors; i++)
        b->sorted[i] = &m->tensors[i];
    qsort(b->sorted, m->n_tensors, sizeof *b->sorted, compare_names);
    for (size_t i = 1; i < m->n_tensors; i++)
        if (compare_names(&b->sorted[i - 1], &b->sorted[i]) == 0)
            return wi_err_set(b->err, WISP_E_FORMAT,
                              "cannot load model '%s': tensor '%s' is there twice; the file is "
                              "damaged, get it again",
                              m->path, b->sorted[i]->name);
    return WISP_OK;
}

/* Shapes agree; a vector [n] may be stored as [n, 1], as whisper.cpp does with the bias of conv1.
 */
static bool shape_fits(const struct wi_tensor *t, const struct wi_slot *slot) {
    int n = t->n_dims;
    while (n > slot->n_dims && t->dims[n - 1] == 1)
        n--;
    return n == slot->n_dims && memcmp(t->dims, slot->dims, (size_t)n * sizeof t->dims[0]) == 0;
}

static int check_finite(const struct binder *b, const struct wi_tensor *t) {
    int64_t bad = wi_tensor_find_nonfinite(t);
    if (bad < 0) {
        if (!b->m->arena) /* the pages come back when the weights are used */
            wi_mapfile_forget(t->data, t->bytes);
        return WISP_OK;
    }
    return wi_err_set(b->err, WISP_E_FORMAT,
                      "cannot load model '%s': tensor '%s' has a value that is NaN or infinite (%s "
                      "%lld of its %s data); the file is damaged, get it again",
                      b->m->path, t->name,
                      wi_dtype_block(t->type) > 1 ? "in the block at" : "number", (long long)bad,
                      wi_dtype_name(t->type));
}

/* First pass: the slot's tensor is there, of the right shape and finite.  Nothing is allocated,
 * since the dimensions are only believed once every tensor has been seen. */
static int check_slot(void *user, const struct wi_slot *slot) {
    struct binder *b = user;
    char has[96], wants[96];
    const struct wi_tensor *t = find(b, slot->name);
    if (!t)
        return wi_err_set(
            b->err, WISP_E_FORMAT,
            "cannot load model '%s': tensor '%s' is missing; the file is incomplete or "
            "its dimensions are wrong, get it again",
            b->m->path, slot->name);
    if (!shape_fits(t, slot))
        return wi_err_set(b->err, WISP_E_FORMAT,
                          "cannot load model '%s': tensor '%s' has shape %s, but the model's "
                          "dimensions ask for %s; the file is damaged, get it again",
                          b->m->path, slot->name,
                          wi_dims_print(t->dims, t->n_dims, has, sizeof has),
                          wi_dims_print(slot->dims, slot->n_dims, wants, sizeof wants));
    if (!slot->matrix && wi_dtype_block(t->type) > 1)
        return wi_err_set(b->err, WISP_E_UNSUPPORTED,
                          "cannot load model '%s': tensor '%s' is %s, and biases, norms and "
                          "positions must be f32, f16 or bf16; convert the model again",
                          b->m->path, slot->name, wi_dtype_name(t->type));
    b->used[t - b->m->tensors] = true;
    if (slot->matrix)
        *slot->where = t;
    else
        b->n_floats += t->bytes / wi_dtype_block_bytes(t->type);
    return check_finite(b, t);
}

static void widen(float *out, const struct wi_tensor *t) {
    size_t n = t->bytes / wi_dtype_block_bytes(t->type);
    if (t->type == WI_F32) {
        memcpy(out, t->data, t->bytes);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint16_t half;
        memcpy(&half, t->data + 2 * i, sizeof half);
        out[i] = t->type == WI_F16 ? wi_f16_to_f32(half) : wi_bf16_to_f32(half);
    }
}

/* Second pass: vectors become f32 in m->vectors. */
static int convert_slot(void *user, const struct wi_slot *slot) {
    struct binder *b = user;
    if (slot->matrix)
        return 0;
    const struct wi_tensor *t = find(b, slot->name);
    float *values = b->m->vectors + b->n_floats;
    widen(values, t);
    *slot->vector = values;
    b->n_floats += t->bytes / wi_dtype_block_bytes(t->type);
    return 0;
}

static int refuse_extra(const struct binder *b) {
    for (size_t i = 0; i < b->m->n_tensors; i++)
        if (!b->used[i])
            return wi_err_set(b->err, WISP_E_FORMAT,
                              "cannot load model '%s': tensor '%s' does not belong to a Whisper "
                              "model of its dimensions (%d encoder and %d decoder layers); use an "
                              "unmodified Whisper model",
                              b->m->path, b->m->tensors[i].name, b->m->dims.n_audio_layer,
                              b->m->dims.n_text_layer);
    return WISP_OK;
}

static int create_blocks(struct binder *b) {
    struct wi_model *m = b->m;
    size_t n_layers = (size_t)m->dims.n_audio_layer + (size_t)m->dims.n_text_layer;
    if (m->n_tensors < n_layers)
        return wi_err_set(
            b->err, WISP_E_FORMAT,
            "cannot load model '%s': it claims %zu layers but has only %zu tensors; the "
            "file is incomplete, get it again",
            m->path, n_layers, m->n_tensors);
    m->w.enc = wi_calloc((size_t)m->dims.n_audio_layer, sizeof *m->w.enc);
    m->w.dec = wi_calloc((size_t)m->dims.n_text_layer, sizeof *m->w.dec);
    return m->w.enc && m->w.dec ? WISP_OK : wi_err_nomem(b->err, "the table of weights");
}

int wi_model_bind(struct wi_model *m, struct wisp_error *err) {
    struct binder b = {.m = m, .err = err};
    int rc = create_blocks(&b);
    if (rc == WISP_OK)
        rc = index_tensors(&b);
    if (rc == WISP_OK)
        rc = wi_schema_visit(&m->dims, &m->w, check_slot, &b);
    if (rc == WISP_OK)
        rc = refuse_extra(&b);
    if (rc == WISP_OK) {
        m->vectors = wi_malloc64(b.n_floats, sizeof *m->vectors);
        if (!m->vectors)
            rc = wi_err_nomem(err, "biases and norms");
    }
    if (rc == WISP_OK) {
        b.n_floats = 0;
        rc = wi_schema_visit(&m->dims, &m->w, convert_slot, &b);
    }
    wi_free(b.sorted);
    wi_free(b.used);
    return rc;
}

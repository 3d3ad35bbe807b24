/* What the file readers (ggml_bin.c, hf_folder.c, random.c) hand over to model.c: dimensions,
 * tensors where they lie, and the words of the vocabulary.  The wi_model owns maps and tensors; a
 * wi_words only lives while a model is being opened.  Not thread-safe. */
#ifndef WISP_SRC_MODEL_READER_H
#define WISP_SRC_MODEL_READER_H

#include <stdbool.h>

#include "model/model.h"

/* The byte strings of the base vocabulary in the order of their ids. */
struct wi_words {
    const char **bytes; /* [n], into a map or into block */
    size_t *lengths;    /* [n] */
    size_t n;
    char *block; /* bytes that lie in no map, or NULL */
};
void wi_words_fini(struct wi_words *words);

/* Fill in an empty model from a file or folder.  On failure the caller closes the model. */
int wi_ggml_read(struct wi_model *m, struct wi_words *words, struct wisp_error *err);
int wi_hf_read(struct wi_model *m, struct wi_words *words, struct wisp_error *err);

/* Map `path` as the next of m->maps (there is room for `n_maps` of them), and return it. */
int wi_model_add_map(struct wi_model *m, const char *path, const struct wi_mapfile **out,
                     struct wisp_error *err);

/* Append a tensor; its name is copied from `name`, `length` bytes.  Errors: NOMEM. */
int wi_model_add_tensor(struct wi_model *m, const struct wi_tensor *t, const char *name,
                        size_t length, struct wisp_error *err);

/* Bytes that a tensor of t->type and t->dims takes; false when a dimension is not positive, the
 * rows are no multiple of the type's block, or the product overflows. */
bool wi_tensor_bytes(const struct wi_tensor *t, size_t *bytes);

/* Whether a name is one or more printable ASCII characters without spaces, so that messages may show it. */
bool wi_is_printable(const char *s, size_t n);

/* "[384, 80, 3]" into buf. */
const char *wi_dims_print(const int64_t *dims, int n_dims, char *buf, size_t size);

/* Whether the dimensions are positive, consistent and within what wisp computes.  `path` is the file that
 * they come from; NULL when the library's caller gave them.  Errors name the field: FORMAT, UNSUPPORTED
 * (of a file), ARG (of a caller). */
int wi_dims_check(const struct wisp_dims *dims, const char *path, struct wisp_error *err);

/* One tensor that a model of given dimensions must have. */
struct wi_slot {
    char name[96];
    int n_dims;
    int64_t dims[3];
    bool matrix;                    /* stays as it is in the file; else converted to f32 */
    const struct wi_tensor **where; /* matrices: where the reference to it goes */
    const float **vector;           /* others: where the converted values go */
};
/* Called for each slot in a fixed order; non-zero stops. */
int wi_schema_visit(const struct wisp_dims *dims, struct wi_weights *w,
                    int (*visit)(void *user, const struct wi_slot *slot), void *user);

/* Connect m->w with m->tensors: every tensor there, once, of the right shape, finite; no other
 * tensors. Creates m->vectors, m->w.enc and m->w.dec.  Errors: FORMAT (names the tensor),
 * UNSUPPORTED, NOMEM. */
int wi_model_bind(struct wi_model *m, struct wisp_error *err);

/* Index of the first value (or, in quantised types, of the first value of the block) that is NaN or
 * infinite, -1 when all are finite. */
int64_t wi_tensor_find_nonfinite(const struct wi_tensor *t);

#endif

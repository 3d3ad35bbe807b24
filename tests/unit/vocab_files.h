/* Reads the packed vocabularies of tests/data (tools/pack_vocab.py).  The caller frees them with
 * vf_free. Not thread-safe. */
#ifndef WISP_TESTS_UNIT_VOCAB_FILES_H
#define WISP_TESTS_UNIT_VOCAB_FILES_H

#include <stddef.h>

struct vf_words {
    const char **bytes; /* [n] */
    size_t *lengths;    /* [n] */
    size_t n;
    char *block;
};

/* "gpt2" or "multilingual"; prints and aborts when the file cannot be read. */
struct vf_words vf_load(const char *name);
void vf_free(struct vf_words *words);

#endif

/* The inside of a wi_vocab, shared by decoding (vocab.c) and encoding (bpe.c).  Owned by wi_vocab;
 * read-only after wi_vocab_create, so thread-safe. */
#ifndef WISP_SRC_TEXT_VOCAB_DATA_H
#define WISP_SRC_TEXT_VOCAB_DATA_H

#include <stdint.h>

#include "text/vocab.h"

struct wi_vocab {
    bool multilingual;
    struct wi_specials specials;
    size_t n;        /* stored byte strings, ids 0 .. n-1 */
    char *bytes;     /* all of them, one after the other */
    uint32_t *begin; /* [n + 1] offsets into bytes */
    int32_t *table;  /* [table_mask + 1] open-addressing hash from bytes to id, -1 = free */
    size_t table_mask;
};

/* Id of a byte string, -1 when the vocabulary lacks it (or length is 0). */
int wi_vocab_find(const struct wi_vocab *vocab, const char *bytes, size_t length);

#endif

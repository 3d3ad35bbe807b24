/* Keys and values of the decoder's self-attention for several sequences that share history.  A cached
 * token is a row; a sequence is a list of row numbers, so that sequences branch without copying.  Rows
 * that no sequence lists any more are used again, lowest first, which keeps a beam search in a small part
 * of the memory.  A head's part of the rows lies in one piece, as attention reads it.  The decoder owns its
 * cache; one thread at a time changes it, many may read. */
#ifndef WISP_SRC_DECODER_KVCACHE_H
#define WISP_SRC_DECODER_KVCACHE_H

#include <stdbool.h>
#include <wisp/wisp.h>

#include "cpu/kern.h"

struct wi_kvcache {
    int n_layer, n_ctx, n_head, d_head;
    int max_seqs;   /* sequences that memory is reserved for */
    int n_rows;     /* rows used so far, of n_ctx * max_seqs */
    int n_seqs;     /* sequences there are */
    int length;     /* tokens of every sequence */
    bool bf16;      /* keys and values; else f32 */
    uint8_t *data;  /* [n_layer, keys and values, n_head, n_ctx * max_seqs, d_head]; pages are touched as
                       rows are used */
    int *rows;      /* [max_seqs, n_ctx]: row of each token of each sequence */
    int *next_rows; /* [max_seqs, n_ctx]: the table being made by wi_kvcache_branch */
    bool *in_use;   /* [n_ctx * max_seqs]: whether a row is in the new table */
};

int wi_kvcache_init(struct wi_kvcache *c, const struct wisp_dims *dims, bool bf16, struct wisp_error *err);
void wi_kvcache_fini(struct wi_kvcache *c);

/* Start over with one sequence of n tokens in rows 0..n-1. */
void wi_kvcache_restart(struct wi_kvcache *c, int n);

/* Sequence i becomes a copy of parents[i] with one more token, in a row of its own.  Errors: NOMEM (the
 * cache is unchanged). */
int wi_kvcache_branch(struct wi_kvcache *c, const int *parents, int n, struct wisp_error *err);

/* Fill in the row of a token: key and value [n_head, d_head] of one layer. */
void wi_kvcache_store(struct wi_kvcache *c, const struct wi_kern *kern, int layer, int seq,
                      int position, const float *key, const float *value);

/* Keys and values [rows, d_head] of one head, until the next wi_kvcache_branch. */
const void *wi_kvcache_keys(const struct wi_kvcache *c, int layer, int head);
const void *wi_kvcache_values(const struct wi_kvcache *c, int layer, int head);

#endif

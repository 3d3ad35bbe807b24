/* Keys and values of the decoder's self-attention for several sequences that share history.  A cached
 * token is a row; a sequence is a list of row numbers, so that sequences branch without copying.  The
 * decoder owns its cache; one thread at a time changes it, many may read. */
#ifndef WISP_SRC_DECODER_KVCACHE_H
#define WISP_SRC_DECODER_KVCACHE_H

#include <wisp/wisp.h>

struct wi_kvcache {
    int n_layer, n_ctx, n_state;
    int max_seqs;   /* sequences that memory is reserved for */
    int n_rows;     /* rows in use, of n_ctx * max_seqs */
    int n_seqs;     /* sequences there are */
    int length;     /* tokens of every sequence */
    float **k, **v; /* [n_layer] -> [n_ctx * max_seqs, n_state]; pages are touched as rows are used */
    int *rows;      /* [max_seqs, n_ctx]: row of each token of each sequence */
    int *next_rows; /* [max_seqs, n_ctx]: the table being made by wi_kvcache_branch */
};

int wi_kvcache_init(struct wi_kvcache *c, int n_layer, int n_ctx, int n_state, struct wisp_error *err);
void wi_kvcache_fini(struct wi_kvcache *c);

/* Start over with one sequence of n tokens in rows 0..n-1. */
void wi_kvcache_restart(struct wi_kvcache *c, int n);

/* Sequence i becomes a copy of parents[i] with one more token in a new row; the new rows of sequences
 * 0..n-1 follow each other and *first is the first of them.  Errors: NOMEM (the cache is unchanged). */
int wi_kvcache_branch(struct wi_kvcache *c, const int *parents, int n, int *first,
                      struct wisp_error *err);

#endif

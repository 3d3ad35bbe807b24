#include "decoder/kvcache.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"

/* Memory for `max_seqs` sequences; the rows in use stay. */
static int reserve(struct wi_kvcache *c, int max_seqs, struct wisp_error *err) {
    size_t rows = (size_t)c->n_ctx * (size_t)max_seqs;
    for (int i = 0; i < 2 * c->n_layer; i++) {
        float **block = i < c->n_layer ? &c->k[i] : &c->v[i - c->n_layer];
        float *grown = wi_realloc(*block, rows * (size_t)c->n_state, sizeof **block);
        if (!grown)
            return wi_err_nomem(err, "the decoder's key/value cache");
        *block = grown;
    }
    int *table = wi_realloc(c->rows, rows, sizeof *table);
    if (table)
        c->rows = table;
    int *next = wi_realloc(c->next_rows, rows, sizeof *next);
    if (next)
        c->next_rows = next;
    if (!table || !next)
        return wi_err_nomem(err, "the decoder's key/value cache");
    c->max_seqs = max_seqs;
    return WISP_OK;
}

int wi_kvcache_init(struct wi_kvcache *c, int n_layer, int n_ctx, int n_state, struct wisp_error *err) {
    memset(c, 0, sizeof *c);
    c->n_layer = n_layer;
    c->n_ctx = n_ctx;
    c->n_state = n_state;
    c->k = wi_calloc((size_t)n_layer, sizeof *c->k);
    c->v = wi_calloc((size_t)n_layer, sizeof *c->v);
    if (!c->k || !c->v)
        return wi_err_nomem(err, "the decoder's key/value cache");
    return reserve(c, 1, err);
}

void wi_kvcache_fini(struct wi_kvcache *c) {
    for (int i = 0; i < c->n_layer; i++) {
        if (c->k)
            wi_free(c->k[i]);
        if (c->v)
            wi_free(c->v[i]);
    }
    wi_free(c->k);
    wi_free(c->v);
    wi_free(c->rows);
    wi_free(c->next_rows);
    memset(c, 0, sizeof *c);
}

void wi_kvcache_restart(struct wi_kvcache *c, int n) {
    c->length = c->n_rows = n;
    c->n_seqs = 1;
    for (int i = 0; i < n; i++)
        c->rows[i] = i;
}

int wi_kvcache_branch(struct wi_kvcache *c, const int *parents, int n, int *first,
                      struct wisp_error *err) {
    if (n > c->max_seqs) {
        int rc = reserve(c, n, err);
        if (rc != WISP_OK)
            return rc;
    }
    for (int i = 0; i < n; i++) {
        int *row = c->next_rows + (size_t)i * (size_t)c->n_ctx;
        memcpy(row, c->rows + (size_t)parents[i] * (size_t)c->n_ctx, (size_t)c->length * sizeof *row);
        row[c->length] = c->n_rows + i;
    }
    int *swap = c->rows;
    c->rows = c->next_rows;
    c->next_rows = swap;
    *first = c->n_rows;
    c->n_rows += n;
    c->n_seqs = n;
    c->length++;
    return WISP_OK;
}

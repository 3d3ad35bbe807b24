#include "decoder/kvcache.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"

static size_t value_bytes(const struct wi_kvcache *c) {
    return c->bf16 ? sizeof(uint16_t) : sizeof(float);
}

/* Memory for `max_seqs` sequences; the rows in use stay. */
static int reserve(struct wi_kvcache *c, int max_seqs, struct wisp_error *err) {
    size_t rows = (size_t)c->n_ctx * (size_t)max_seqs;
    for (int i = 0; i < 2 * c->n_layer; i++) {
        uint8_t **block = i < c->n_layer ? &c->k[i] : &c->v[i - c->n_layer];
        uint8_t *grown = wi_realloc(*block, rows * (size_t)c->n_state, value_bytes(c));
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
    bool *in_use = wi_realloc(c->in_use, rows, sizeof *in_use);
    if (in_use)
        c->in_use = in_use;
    if (!table || !next || !in_use)
        return wi_err_nomem(err, "the decoder's key/value cache");
    c->max_seqs = max_seqs;
    return WISP_OK;
}

int wi_kvcache_init(struct wi_kvcache *c, int n_layer, int n_ctx, int n_state, bool bf16,
                    struct wisp_error *err) {
    memset(c, 0, sizeof *c);
    c->n_layer = n_layer;
    c->n_ctx = n_ctx;
    c->n_state = n_state;
    c->bf16 = bf16;
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
    wi_free(c->in_use);
    memset(c, 0, sizeof *c);
}

void wi_kvcache_restart(struct wi_kvcache *c, int n) {
    c->length = c->n_rows = n;
    c->n_seqs = 1;
    for (int i = 0; i < n; i++)
        c->rows[i] = i;
}

/* Row numbers for the n new tokens: the lowest that no sequence's history needs. */
static void assign_rows(struct wi_kvcache *c, int n) {
    int row = 0;
    memset(c->in_use, 0, (size_t)c->n_rows * sizeof *c->in_use);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < c->length; j++)
            c->in_use[c->next_rows[(size_t)i * c->n_ctx + j]] = true;
    for (int i = 0; i < n; i++) {
        while (row < c->n_rows && c->in_use[row])
            row++;
        c->next_rows[(size_t)i * c->n_ctx + c->length] = row++;
    }
    c->n_rows = row > c->n_rows ? row : c->n_rows;
}

int wi_kvcache_branch(struct wi_kvcache *c, const int *parents, int n, struct wisp_error *err) {
    if (n > c->max_seqs) {
        int rc = reserve(c, n, err);
        if (rc != WISP_OK)
            return rc;
    }
    for (int i = 0; i < n; i++)
        memcpy(c->next_rows + (size_t)i * c->n_ctx, c->rows + (size_t)parents[i] * c->n_ctx,
               (size_t)c->length * sizeof *c->rows);
    assign_rows(c, n);
    int *swap = c->rows;
    c->rows = c->next_rows;
    c->next_rows = swap;
    c->n_seqs = n;
    c->length++;
    return WISP_OK;
}

static void put(const struct wi_kvcache *c, const struct wi_kern *kern, uint8_t *block, size_t row,
                const float *values) {
    uint8_t *to = block + row * (size_t)c->n_state * value_bytes(c);
    if (c->bf16)
        kern->to_bf16(values, (uint16_t *)(void *)to, c->n_state);
    else
        memcpy(to, values, (size_t)c->n_state * sizeof *values);
}

void wi_kvcache_store(struct wi_kvcache *c, const struct wi_kern *kern, int layer, int seq,
                      int position, const float *key, const float *value) {
    size_t row = (size_t)c->rows[(size_t)seq * c->n_ctx + position];
    put(c, kern, c->k[layer], row, key);
    put(c, kern, c->v[layer], row, value);
}

const void *wi_kvcache_keys(const struct wi_kvcache *c, int layer, int column) {
    return c->k[layer] + (size_t)column * value_bytes(c);
}

const void *wi_kvcache_values(const struct wi_kvcache *c, int layer, int column) {
    return c->v[layer] + (size_t)column * value_bytes(c);
}

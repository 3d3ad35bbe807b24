#include "decoder/kvcache.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"

/* Bytes of one head's part of a row. */
static size_t row_bytes(const struct wi_kvcache *c) {
    return (size_t)c->d_head * (c->bf16 ? sizeof(uint16_t) : sizeof(float));
}

/* Bytes of one head's keys, or values, in memory for `max_seqs` sequences. */
static size_t head_bytes(const struct wi_kvcache *c, int max_seqs) {
    return (size_t)c->n_ctx * (size_t)max_seqs * row_bytes(c);
}

/* Memory for `max_seqs` sequences; the rows in use stay. */
static int reserve(struct wi_kvcache *c, int max_seqs, struct wisp_error *err) {
    size_t rows = (size_t)c->n_ctx * (size_t)max_seqs, heads = 2 * (size_t)c->n_layer * (size_t)c->n_head;
    size_t old = head_bytes(c, c->max_seqs), new = head_bytes(c, max_seqs);
    int *table = wi_realloc(c->rows, rows, sizeof *table);
    if (table)
        c->rows = table;
    int *next = wi_realloc(c->next_rows, rows, sizeof *next);
    if (next)
        c->next_rows = next;
    bool *in_use = wi_realloc(c->in_use, rows, sizeof *in_use);
    if (in_use)
        c->in_use = in_use;
    uint8_t *data = table && next && in_use ? wi_malloc64(heads, new) : NULL;
    if (!data)
        return wi_err_nomem(err, "the decoder's key/value cache");
    for (size_t head = 0; head < heads && c->n_rows > 0; head++)
        memcpy(data + head * new, c->data + head * old, (size_t)c->n_rows * row_bytes(c));
    wi_free(c->data);
    c->data = data;
    c->max_seqs = max_seqs;
    return WISP_OK;
}

int wi_kvcache_init(struct wi_kvcache *c, const struct wisp_dims *dims, bool bf16, struct wisp_error *err) {
    *c = (struct wi_kvcache){.n_layer = dims->n_text_layer, .n_ctx = dims->n_text_ctx,
                             .n_head = dims->n_text_head,
                             .d_head = dims->n_text_state / dims->n_text_head, .bf16 = bf16};
    return reserve(c, 1, err);
}

void wi_kvcache_fini(struct wi_kvcache *c) {
    wi_free(c->data);
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

/* One head's keys (0) or values (1) of a layer. */
static uint8_t *head_rows(const struct wi_kvcache *c, int layer, int which, int head) {
    size_t index = ((size_t)layer * 2 + (size_t)which) * (size_t)c->n_head + (size_t)head;
    return c->data + index * head_bytes(c, c->max_seqs);
}

void wi_kvcache_store(struct wi_kvcache *c, const struct wi_kern *kern, int layer, int seq,
                      int position, const float *key, const float *value) {
    size_t at = (size_t)c->rows[(size_t)seq * c->n_ctx + position] * row_bytes(c);
    for (int part = 0; part < 2 * c->n_head; part++) {
        int which = part / c->n_head, head = part % c->n_head;
        const float *from = (which ? value : key) + head * c->d_head;
        uint8_t *to = head_rows(c, layer, which, head) + at;
        if (c->bf16)
            kern->to_bf16(from, (uint16_t *)(void *)to, c->d_head);
        else
            memcpy(to, from, row_bytes(c));
    }
}

const void *wi_kvcache_keys(const struct wi_kvcache *c, int layer, int head) {
    return head_rows(c, layer, 0, head);
}

const void *wi_kvcache_values(const struct wi_kvcache *c, int layer, int head) {
    return head_rows(c, layer, 1, head);
}

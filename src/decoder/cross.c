#include "decoder/cross.h"

#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

enum { QUERIES = 16 }; /* that share a pass over a head's keys and values: all beams */

static int whole_panels(int rows) {
    return (rows + WI_PANEL_ROWS - 1) / WI_PANEL_ROWS * WI_PANEL_ROWS;
}

size_t wi_cross_bytes(const struct wisp_dims *dims, enum wi_panel_type type) {
    int d_head = dims->n_text_state / dims->n_text_head;
    size_t heads = (size_t)dims->n_text_layer * (size_t)dims->n_text_head;
    return heads * (wi_panels_size(type, dims->n_audio_ctx, d_head) +
                    wi_panels_size(type, d_head, dims->n_audio_ctx));
}

int wi_cross_init(struct wi_cross *c, const struct wisp_dims *dims, enum wi_panel_type type,
                  int n_threads, struct wisp_error *err) {
    int heads = dims->n_text_layer * dims->n_text_head;
    *c = (struct wi_cross){.n_layer = dims->n_text_layer, .n_head = dims->n_text_head,
                           .d_head = dims->n_text_state / dims->n_text_head, .n_audio = dims->n_audio_ctx};
    int pad = wi_panel_pad(c->n_audio) + wi_panel_pad(c->d_head);
    c->stride = (size_t)(2 * QUERIES) * (size_t)pad + QUERIES;
    int rc = wi_panels_init(&c->keys, type, heads * whole_panels(c->n_audio), c->d_head, err);
    if (rc == WISP_OK)
        rc = wi_panels_init(&c->values, type, heads * whole_panels(c->d_head), c->n_audio, err);
    if (rc == WISP_OK) {
        c->scratch = wi_malloc64((size_t)n_threads * c->stride, sizeof *c->scratch);
        rc = c->scratch ? WISP_OK : wi_err_nomem(err, "the decoder's attention to the audio");
    }
    return rc;
}

void wi_cross_fini(struct wi_cross *c) {
    wi_panels_fini(&c->keys);
    wi_panels_fini(&c->values);
    wi_free(c->scratch);
    c->scratch = NULL;
}

void wi_cross_store(struct wi_cross *c, const struct wi_kern *kern, struct wi_pool *pool, int layer,
                    const float *keys, const float *values) {
    size_t row = (size_t)(c->n_head * c->d_head) * sizeof(float);
    for (int head = 0; head < c->n_head; head++) {
        int index = layer * c->n_head + head;
        struct wi_panel_source k = {
            .type = WI_F32, .data = (const uint8_t *)(keys + head * c->d_head), .stride = row};
        struct wi_panel_source v = {.type = WI_F32, .data = (const uint8_t *)(values + head * c->d_head),
                                    .stride = row, .transposed = true};
        wi_panels_pack(kern, pool, &c->keys, index * whole_panels(c->n_audio), c->n_audio, &k);
        wi_panels_pack(kern, pool, &c->values, index * whole_panels(c->d_head), c->d_head, &v);
    }
}

struct cross_job {
    struct wi_cross *c;
    const struct wi_kern *kern;
    int layer, n;
    const float *q;
    float *out;
};

/* out = softmax(q K^T / sqrt(d_head)) V of one head. */
static void attend_head(void *arg, int head, int thread) {
    const struct cross_job *job = arg;
    struct wi_cross *c = job->c;
    const struct wi_kern *kern = job->kern;
    int index = job->layer * c->n_head + head, d = c->n_head * c->d_head;
    size_t pad = (size_t)wi_panel_pad(c->n_audio);
    float *scores = c->scratch + (size_t)thread * c->stride, *room = scores + QUERIES * pad;
    float *scales = room + QUERIES * (pad + (size_t)wi_panel_pad(c->d_head));
    struct wi_panels keys = wi_panels_view(&c->keys, index * whole_panels(c->n_audio), c->n_audio);
    struct wi_panels values = wi_panels_view(&c->values, index * whole_panels(c->d_head), c->d_head);
    for (int q0 = 0; q0 < job->n; q0 += QUERIES) {
        int m = job->n - q0 < QUERIES ? job->n - q0 : QUERIES;
        size_t at = (size_t)q0 * (size_t)d + (size_t)(head * c->d_head);
        struct wi_panel_product g = {
            .w = &keys, .scale = 1 / sqrtf((float)c->d_head), .c = scores, .ldc = pad};
        wi_panel_set_rows(kern, &g, m, job->q + at, (size_t)d, room, scales);
        kern->panel_product(&g, 0, whole_panels(c->n_audio) / WI_PANEL_ROWS);
        for (int i = 0; i < m; i++)
            kern->softmax(scores + (size_t)i * pad, c->n_audio);
        g = (struct wi_panel_product){.w = &values, .scale = 1, .c = job->out + at, .ldc = (size_t)d};
        wi_panel_set_rows(kern, &g, m, scores, pad, room, scales);
        kern->panel_product(&g, 0, whole_panels(c->d_head) / WI_PANEL_ROWS);
    }
}

void wi_cross_attend(struct wi_cross *c, const struct wi_kern *kern, struct wi_pool *pool, int layer,
                     int n, const float *q, float *out) {
    struct cross_job job = {c, kern, layer, n, q, out};
    wi_pool_run(pool, c->n_head, attend_head, &job);
}

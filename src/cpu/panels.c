#include "cpu/panels.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "cpu/kern.h"

/* Bytes of W in one parallel item: long enough for the hardware to prefetch, and short enough that a
 * matrix of 512 x 512 is shared out evenly. */
enum { ITEM_BYTES = 32 << 10 };

static size_t block_bytes(enum wi_panel_type type) {
    static const union wi_panel_block *const b = NULL;
    static const size_t bytes[WI_N_PANEL_TYPES] = {
        [WI_PANEL_F32] = sizeof b->f32, [WI_PANEL_BF16] = sizeof b->bf16, [WI_PANEL_INT8] = sizeof b->int8};
    return bytes[type];
}

static int n_panels(const struct wi_panels *w) {
    return (w->n + WI_PANEL_ROWS - 1) / WI_PANEL_ROWS;
}

size_t wi_panels_bytes(const struct wi_panels *w) {
    return (size_t)n_panels(w) * w->panel_bytes;
}

int wi_panels_init(struct wi_panels *w, enum wi_panel_type type, int n, int k, struct wisp_error *err) {
    size_t blocks = (size_t)(wi_panel_pad(k) / WI_PANEL_BLOCK);
    *w = (struct wi_panels){.type = type, .n = n, .k = k, .panel_bytes = blocks * block_bytes(type)};
    w->data = wi_malloc64((size_t)n_panels(w), w->panel_bytes);
    return w->data ? WISP_OK : wi_err_nomem(err, "packed weights");
}

void wi_panels_fini(struct wi_panels *w) {
    wi_free(w->data);
    w->data = NULL;
}

struct pack_job {
    const struct wi_kern *kern;
    const struct wi_panels *w;
    const struct wi_panel_source *source;
    int j0, n;
};

static void pack_panel(void *arg, int item, int thread) {
    const struct pack_job *job = arg;
    struct wi_panel_source source = *job->source;
    int left = job->n - item * WI_PANEL_ROWS;
    (void)thread;
    source.data += (source.transposed ? sizeof(float) : source.stride) * (size_t)(item * WI_PANEL_ROWS);
    job->kern->panel_pack(job->w, job->j0 / WI_PANEL_ROWS + item, &source,
                          left < WI_PANEL_ROWS ? left : WI_PANEL_ROWS);
}

void wi_panels_pack(const struct wi_kern *kern, struct wi_pool *pool, const struct wi_panels *w, int j0,
                    int n, const struct wi_panel_source *source) {
    struct pack_job job = {kern, w, source, j0, n};
    wi_pool_run(pool, (n + WI_PANEL_ROWS - 1) / WI_PANEL_ROWS, pack_panel, &job);
}

struct product_job {
    const struct wi_kern *kern;
    const struct wi_panel_product *g;
    int panels; /* of one item */
};

static void product_item(void *arg, int item, int thread) {
    const struct product_job *job = arg;
    int n = n_panels(job->g->w), first = item * job->panels;
    (void)thread;
    job->kern->panel_product(job->g, first, first + job->panels < n ? first + job->panels : n);
}

void wi_panel_product_run(const struct wi_kern *kern, struct wi_pool *pool,
                          const struct wi_panel_product *g) {
    int panels = (int)((ITEM_BYTES + g->w->panel_bytes - 1) / g->w->panel_bytes);
    struct product_job job = {kern, g, panels};
    wi_pool_run(pool, (n_panels(g->w) + panels - 1) / panels, product_item, &job);
}

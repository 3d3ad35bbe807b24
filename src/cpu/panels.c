#include "cpu/panels.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "cpu/kern.h"

/* Most bytes of W in one parallel item.  Memory is fastest in long streams: a matrix is cut into as many
 * parts as there are threads, and a multiple of that when it is large.  No result depends on where it is cut:
 * an element is one thread's sum, in one order. */
enum { ITEM_BYTES = 1 << 20 };

static int n_panels(const struct wi_panels *w) {
    return (w->n + WI_PANEL_ROWS - 1) / WI_PANEL_ROWS;
}

size_t wi_panels_size(enum wi_panel_type type, int n, int k) {
    size_t panels = (size_t)((n + WI_PANEL_ROWS - 1) / WI_PANEL_ROWS);
    return panels * (size_t)(wi_panel_pad(k) / WI_PANEL_BLOCK) * wi_panel_block_bytes(type);
}

size_t wi_panels_bytes(const struct wi_panels *w) {
    return (size_t)n_panels(w) * w->panel_bytes;
}

struct wi_panels wi_panels_view(const struct wi_panels *w, int j0, int n) {
    struct wi_panels view = *w;
    view.data += (size_t)(j0 / WI_PANEL_ROWS) * w->panel_bytes;
    view.n = n;
    return view;
}

struct wi_panels wi_panels_at(enum wi_panel_type type, int n, int k, uint8_t *data) {
    size_t blocks = (size_t)(wi_panel_pad(k) / WI_PANEL_BLOCK);
    return (struct wi_panels){
        .type = type, .n = n, .k = k, .data = data, .panel_bytes = blocks * wi_panel_block_bytes(type)};
}

int wi_panels_init(struct wi_panels *w, enum wi_panel_type type, int n, int k, struct wisp_error *err) {
    *w = wi_panels_at(type, n, k, wi_malloc_streamed(1, wi_panels_size(type, n, k)));
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

void wi_panel_set_rows(const struct wi_kern *kern, struct wi_panel_product *g, int m, const float *x,
                       size_t ldx, float *room, float *scales) {
    int k = g->w->k, pad = wi_panel_pad(k);
    enum wi_panel_type type = g->w->type;
    bool as_it_is = pad == k && (type == WI_PANEL_F32 || type == WI_PANEL_BF16);
    int16_t *room16 = (int16_t *)(void *)room;
    struct wi_panel_bytes *room8 = (struct wi_panel_bytes *)(void *)room;
    g->m = m;
    g->a = as_it_is ? x : room;
    g->lda = as_it_is ? ldx : (size_t)pad;
    g->a16 = room16;
    g->a8 = room8;
    g->a_scale = scales;
    for (int i = 0; i < m && !as_it_is; i++, x += ldx) {
        size_t row = (size_t)i * (size_t)pad;
        if (type == WI_PANEL_INT8X4) {
            kern->to_int8(x, room8 + row / WI_PANEL_BLOCK, k);
        } else if (type == WI_PANEL_INT8) {
            scales[i] = kern->to_int16(x, room16 + row, k);
            memset(room16 + row + k, 0, (size_t)(pad - k) * sizeof *room16);
        } else {
            memcpy(room + row, x, (size_t)k * sizeof *room);
            memset(room + row + k, 0, (size_t)(pad - k) * sizeof *room);
        }
    }
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
    size_t threads = (size_t)wi_pool_threads(pool), n = (size_t)n_panels(g->w);
    size_t rounds = (n * g->w->panel_bytes + threads * ITEM_BYTES - 1) / (threads * ITEM_BYTES);
    int panels = (int)((n + rounds * threads - 1) / (rounds * threads));
    struct product_job job = {kern, g, panels};
    wi_pool_run(pool, ((int)n + panels - 1) / panels, product_item, &job);
}

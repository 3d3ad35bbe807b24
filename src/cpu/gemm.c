#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "cpu/kern.h"

enum {
    LINE = 64,               /* bytes of a cache line */
    ITEM_ROWS = 24,          /* rows of one parallel item: whole register blocks at every level */
    BLOCK_BYTES = 256 << 10, /* of W, which stays in a second-level cache while all rows pass */
    PACK_BYTES = 1 << 20,    /* of W packed on the way */
    MATVEC_NR = 32,          /* rows of W that a matvec may dequantise at a time */
};

static int min_int(int a, int b) {
    return a < b ? a : b;
}

static int max_int(int a, int b) {
    return a > b ? a : b;
}

static int blocks(int n, int size) {
    return (n + size - 1) / size;
}

/* Units of one row of W. */
static size_t row_units(const struct wi_kern *kern, int k) {
    return ((size_t)k * kern->value_bytes + 3) / 4;
}

size_t wi_packed_units(const struct wi_kern *kern, int n, int k) {
    return (size_t)blocks(n, kern->tile_cols) * (size_t)kern->tile_cols * row_units(kern, k);
}

size_t wi_row_stride(const struct wi_kern *kern, int k) {
    size_t bytes = (size_t)k * kern->value_bytes;
    return ((bytes + LINE - 1) / LINE + 1) * LINE / kern->value_bytes;
}

/* Columns, whole panels, whose W takes about `bytes`. */
static int columns_of(const struct wi_kern *kern, int k, size_t bytes) {
    int panels = (int)(bytes / (row_units(kern, k) * 4 * (size_t)kern->tile_cols));
    return max_int(panels, 1) * kern->tile_cols;
}

/* ------------------------------------------------------------------ packing */

struct pack_job {
    const struct wi_kern *kern;
    enum wi_dtype type;
    const uint8_t *w;
    size_t stride;
    int n, k;
    uint32_t *packed;
};

static void pack_panel(void *arg, int item, int thread) {
    const struct pack_job *job = arg;
    int cols = job->kern->tile_cols, j = item * cols;
    (void)thread;
    job->kern->pack_rows(job->type, job->w + (size_t)j * job->stride, job->stride,
                         min_int(cols, job->n - j), job->k,
                         job->packed + (size_t)j * row_units(job->kern, job->k));
}

void wi_pack(const struct wi_kern *kern, struct wi_pool *pool, enum wi_dtype type, const uint8_t *w,
             size_t stride, int n, int k, uint32_t *packed) {
    struct pack_job job = {kern, type, w, stride, n, k, packed};
    wi_pool_run(pool, blocks(n, kern->tile_cols), pack_panel, &job);
}

/* ------------------------------------------------------------------ products */

struct product_job {
    const struct wi_kern *kern;
    const struct wi_product *p;
    int block_cols, row_items;
};

/* Items of one block of columns follow each other, so that all threads use the same part of W. */
static void product_item(void *arg, int item, int thread) {
    const struct product_job *job = arg;
    const struct wi_product *p = job->p;
    int i = item % job->row_items * ITEM_ROWS, j = item / job->row_items * job->block_cols;
    (void)thread;
    job->kern->gemm(p, i, min_int(p->m, i + ITEM_ROWS), j, min_int(p->n, j + job->block_cols));
}

void wi_product_run(const struct wi_kern *kern, struct wi_pool *pool, const struct wi_product *p) {
    struct product_job job = {kern, p, columns_of(kern, p->k, BLOCK_BYTES),
                              blocks(p->m, ITEM_ROWS)};
    wi_pool_run(pool, job.row_items * blocks(p->n, job.block_cols), product_item, &job);
}

/* ------------------------------------------------------------------ weights as in the file */

int wi_gemm_work_init(struct wi_gemm_work *work, const struct wi_kern *kern, int n_threads,
                      int max_m, int max_k, struct wisp_error *err) {
    bool convert = kern->value_type == WI_BF16;
    work->stride = (size_t)max_k * MATVEC_NR;
    work->packed_units = (size_t)columns_of(kern, max_k, PACK_BYTES) * row_units(kern, max_k);
    work->packed_units = work->packed_units > PACK_BYTES / 4 ? work->packed_units : PACK_BYTES / 4;
    work->scratch = wi_malloc64((size_t)n_threads * work->stride, sizeof *work->scratch);
    work->packed = wi_malloc64(work->packed_units, sizeof *work->packed);
    work->a16 =
        convert ? wi_malloc64((size_t)max_m * wi_row_stride(kern, max_k), sizeof *work->a16) : NULL;
    if (!work->scratch || !work->packed || (convert && !work->a16)) {
        wi_gemm_work_fini(work);
        return wi_err_nomem(err, "GEMM scratch memory");
    }
    return WISP_OK;
}

void wi_gemm_work_fini(struct wi_gemm_work *work) {
    wi_free(work->scratch);
    wi_free(work->packed);
    wi_free(work->a16);
    work->scratch = NULL;
    work->packed = NULL;
    work->a16 = NULL;
}

struct convert_job {
    const struct wi_kern *kern;
    const struct wi_gemm *g;
    uint16_t *out;
    size_t stride;
};

static void convert_rows(void *arg, int item, int thread) {
    const struct convert_job *job = arg;
    const struct wi_gemm *g = job->g;
    (void)thread;
    for (int i = item * ITEM_ROWS; i < min_int(g->m, (item + 1) * ITEM_ROWS); i++) {
        uint16_t *out = job->out + (size_t)i * job->stride;
        job->kern->to_values(g->a + (size_t)i * g->lda, out, g->k);
        out[g->k] = 0; /* of an odd k: the second value of the last unit */
    }
}

void wi_gemm_run(const struct wi_kern *kern, struct wi_pool *pool, struct wi_gemm_work *work,
                 const struct wi_gemm *g) {
    if (g->m <= WI_MATVEC_ROWS) {
        wi_matvec_run(kern, pool, work, g);
        return;
    }
    struct wi_product p = {.m = g->m,
                           .k = g->k,
                           .a = g->a,
                           .lda = g->lda,
                           .w = work->packed,
                           .scale = g->scale,
                           .act = g->act,
                           .ldr = g->ldr,
                           .ldc = g->ldc};
    if (work->a16) {
        p.lda = wi_row_stride(kern, g->k); /* not of max_k: pages not touched take no memory */
        struct convert_job job = {kern, g, work->a16, p.lda};
        wi_pool_run(pool, blocks(g->m, ITEM_ROWS), convert_rows, &job);
        p.a = work->a16;
    }
    int cols = columns_of(kern, g->k, work->packed_units * 4);
    for (int j = 0; j < g->n; j += cols) {
        p.n = min_int(cols, g->n - j);
        p.bias = g->bias ? g->bias + j : NULL;
        p.residual = g->residual ? g->residual + j : NULL;
        p.c = g->c + j;
        wi_pack(kern, pool, g->w_type, g->w + (size_t)j * g->w_stride, g->w_stride, p.n, p.k,
                work->packed);
        wi_product_run(kern, pool, &p);
    }
}

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "cpu/kern.h"

enum {
    NR_MAX = 32, /* widest register block of any level */
    ROWS_PER_CONVERSION = 64,
};

/* Rows of A a cache line more than k apart: k is mostly a power of two, and then the rows that are
 * read together would all compete for one set of the cache. */
static size_t a16_stride(int k) {
    return ((size_t)k + 31) / 32 * 32 + 32;
}

int wi_gemm_work_init(struct wi_gemm_work *work, const struct wi_kern *kern, int n_threads,
                      int max_m, int max_k, struct wisp_error *err) {
    /* A packed panel [k, NR], or the row that a matvec dequantises. */
    size_t k = ((size_t)max_k + 1) & ~(size_t)1;
    work->stride = k * NR_MAX;
    work->a16 = NULL;
    work->scratch = wi_malloc64((size_t)n_threads * work->stride, sizeof *work->scratch);
    if (work->scratch && kern->level == WI_AVX512BF16)
        work->a16 = wi_malloc64((size_t)max_m * a16_stride(max_k), sizeof *work->a16);
    if (!work->scratch || (kern->level == WI_AVX512BF16 && !work->a16)) {
        wi_gemm_work_fini(work);
        return wi_err_nomem(err, "GEMM scratch memory");
    }
    return WISP_OK;
}

void wi_gemm_work_fini(struct wi_gemm_work *work) {
    wi_free(work->scratch);
    wi_free(work->a16);
    work->scratch = NULL;
    work->a16 = NULL;
}

struct gemm_job {
    const struct wi_kern *kern;
    const struct wi_gemm *g;
    struct wi_gemm_work *work;
};

static void convert_rows(void *arg, int item, int thread) {
    const struct gemm_job *job = arg;
    const struct wi_gemm *g = job->g;
    int end = (item + 1) * ROWS_PER_CONVERSION < g->m ? (item + 1) * ROWS_PER_CONVERSION : g->m;
    (void)thread;
    for (int i = item * ROWS_PER_CONVERSION; i < end; i++) {
        uint16_t *out = job->work->a16 + (size_t)i * g->lda16;
        job->kern->to_bf16(g->a + (size_t)i * g->lda, out, g->k);
        if (g->k & 1)
            out[g->k] = 0;
    }
}

static void gemm_columns(void *arg, int item, int thread) {
    const struct gemm_job *job = arg;
    int n0 = item * WI_GEMM_COLS;
    int n1 = n0 + WI_GEMM_COLS < job->g->n ? n0 + WI_GEMM_COLS : job->g->n;
    job->kern->gemm(job->g, n0, n1, job->work->scratch + (size_t)thread * job->work->stride);
}

void wi_gemm_run(const struct wi_kern *kern, struct wi_pool *pool, struct wi_gemm_work *work,
                 const struct wi_gemm *g) {
    struct wi_gemm filled = *g;
    struct gemm_job job = {kern, &filled, work};
    if (g->m <= WI_MATVEC_ROWS) {
        wi_matvec_run(kern, pool, work, g);
        return;
    }
    if (work->a16) {
        filled.a16 = work->a16;
        filled.lda16 = a16_stride(g->k); /* not max_k: pages that stay untouched take no memory */
        wi_pool_run(pool, (g->m + ROWS_PER_CONVERSION - 1) / ROWS_PER_CONVERSION, convert_rows,
                    &job);
    }
    wi_pool_run(pool, (g->n + WI_GEMM_COLS - 1) / WI_GEMM_COLS, gemm_columns, &job);
}

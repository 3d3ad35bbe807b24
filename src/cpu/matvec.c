#include "cpu/kern.h"

enum { MATVEC_COLS = 256 }; /* columns of one parallel item */

struct matvec_job {
    const struct wi_kern *kern;
    const struct wi_gemm *g;
    struct wi_gemm_work *work;
};

static void matvec_columns(void *arg, int item, int thread) {
    const struct matvec_job *job = arg;
    int n0 = item * MATVEC_COLS;
    int n1 = n0 + MATVEC_COLS < job->g->n ? n0 + MATVEC_COLS : job->g->n;
    job->kern->matvec(job->g, n0, n1, job->work->scratch + (size_t)thread * job->work->stride);
}

void wi_matvec_run(const struct wi_kern *kern, struct wi_pool *pool, struct wi_gemm_work *work,
                   const struct wi_gemm *g) {
    struct matvec_job job = {kern, g, work};
    wi_pool_run(pool, (g->n + MATVEC_COLS - 1) / MATVEC_COLS, matvec_columns, &job);
}

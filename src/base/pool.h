/* A fixed set of worker threads that run one parallel loop at a time.  The pool is owned by its
 * creator; one thread at a time may call wi_pool_run.  Results of kernels must not depend on the
 * number of threads: where a job is cut must not change a sum. */
#ifndef WISP_SRC_BASE_POOL_H
#define WISP_SRC_BASE_POOL_H

#include <wisp/wisp.h>

struct wi_pool;

/* One per online CPU, at most 8. */
int wi_default_threads(void);

/* `n_threads` >= 1 counts the caller, which works too.  Errors: NOMEM, IO (cannot start a thread). */
int wi_pool_create(struct wi_pool **out, int n_threads, struct wisp_error *err);
void wi_pool_destroy(struct wi_pool **pool);
int wi_pool_threads(const struct wi_pool *pool);

/* Call job(arg, item, thread) for every item in 0..n_items-1, each once, in any order, on any
 * thread (0 <= thread < wi_pool_threads); returns when all are done. */
void wi_pool_run(struct wi_pool *pool, int n_items, void (*job)(void *arg, int item, int thread),
                 void *arg);

#endif

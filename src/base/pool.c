#include "base/pool.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/err.h"
#include "base/mem.h"

struct worker {
    struct wi_pool *pool;
    int index; /* 1 .. n_threads-1; the caller of wi_pool_run is 0 */
    pthread_t thread;
};

struct wi_pool {
    int n_threads;
    int n_started; /* workers that exist */
    struct worker *workers;
    pthread_mutex_t mutex;
    pthread_cond_t work, done;
    /* Under the mutex: the current loop.  `round` changes when there is a new one. */
    unsigned round;
    int n_busy;
    bool quit;
    void (*job)(void *arg, int item, int thread);
    void *arg;
    int n_items;
    _Atomic int next;
};

static void run_items(struct wi_pool *pool, int thread) {
    for (;;) {
        int item = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
        if (item >= pool->n_items)
            return;
        pool->job(pool->arg, item, thread);
    }
}

static void *worker_main(void *arg) {
    struct worker *worker = arg;
    struct wi_pool *pool = worker->pool;
    unsigned seen = 0;

    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        while (!pool->quit && pool->round == seen)
            pthread_cond_wait(&pool->work, &pool->mutex);
        if (pool->quit)
            break;
        seen = pool->round;
        pthread_mutex_unlock(&pool->mutex);
        run_items(pool, worker->index);
        pthread_mutex_lock(&pool->mutex);
        if (--pool->n_busy == 0)
            pthread_cond_signal(&pool->done);
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

int wi_pool_create(struct wi_pool **out, int n_threads, struct wisp_error *err) {
    *out = NULL;
    struct wi_pool *pool = wi_calloc(1, sizeof *pool);
    if (!pool)
        return wi_err_nomem(err, "a thread pool");
    pool->n_threads = n_threads;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->done, NULL);
    pool->workers = wi_calloc((size_t)n_threads, sizeof *pool->workers);
    if (!pool->workers) {
        wi_pool_destroy(&pool);
        return wi_err_nomem(err, "a thread pool");
    }
    while (pool->n_started < n_threads - 1) {
        struct worker *worker = &pool->workers[pool->n_started];
        worker->pool = pool;
        worker->index = pool->n_started + 1;
        int rc = pthread_create(&worker->thread, NULL, worker_main, worker);
        if (rc != 0) {
            int number = worker->index + 1;
            wi_pool_destroy(&pool);
            return wi_err_errno(err, WISP_E_IO, rc, "cannot start thread %d of %d; use fewer threads",
                                number, n_threads);
        }
        pool->n_started++;
    }
    *out = pool;
    return WISP_OK;
}

void wi_pool_destroy(struct wi_pool **out) {
    struct wi_pool *pool = *out;
    if (!pool)
        return;
    pthread_mutex_lock(&pool->mutex);
    pool->quit = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
    for (int i = 0; i < pool->n_started; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->mutex);
    wi_free(pool->workers);
    wi_free(pool);
    *out = NULL;
}

int wi_pool_threads(const struct wi_pool *pool) { return pool->n_threads; }

void wi_pool_run(struct wi_pool *pool, int n_items, void (*job)(void *arg, int item, int thread),
                 void *arg) {
    pthread_mutex_lock(&pool->mutex);
    pool->job = job;
    pool->arg = arg;
    pool->n_items = n_items;
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    bool alone = pool->n_started == 0 || n_items < 2;
    if (!alone) {
        pool->round++;
        pool->n_busy = pool->n_started;
        pthread_cond_broadcast(&pool->work);
    }
    pthread_mutex_unlock(&pool->mutex);

    run_items(pool, 0);
    if (alone)
        return;
    pthread_mutex_lock(&pool->mutex);
    while (pool->n_busy > 0)
        pthread_cond_wait(&pool->done, &pool->mutex);
    pthread_mutex_unlock(&pool->mutex);
}

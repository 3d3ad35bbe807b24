#include "base/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"

/* A decoder step is some fifty loops of 10 to 100 us, and waking a sleeping thread takes about as
 * long: whoever waits looks this often before it sleeps, some 50 us. */
enum { LOOKS = 2000 };

struct worker {
    struct wi_pool *pool;
    int index; /* 1 .. n_threads-1; the caller of wi_pool_run is 0 */
    pthread_t thread;
};

/* Items are taken by adding 1 to `items`, which also holds how many there are, so that a thread that
 * comes late cannot take one of a loop that is over.  `job` and `arg` are read after an item was taken
 * and written when all were done. */
struct wi_pool {
    int n_threads;
    int n_started; /* workers that exist */
    struct worker *workers;
    void (*job)(void *arg, int item, int thread);
    void *arg;
    _Alignas(64) _Atomic uint64_t items; /* number << 32 | next */
    _Alignas(64) _Atomic uint32_t n_done;
    _Alignas(64) _Atomic int n_asleep; /* workers; counted under the mutex, as is caller_asleep */
    _Atomic bool caller_asleep, quit;
    pthread_mutex_t mutex;
    pthread_cond_t work, done;
};

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static bool has_items(uint64_t items) {
    return (uint32_t)items < items >> 32;
}

static bool all_done(struct wi_pool *pool, uint32_t n_items) {
    return atomic_load(&pool->n_done) == n_items;
}

static void run_items(struct wi_pool *pool, int thread) {
    while (has_items(atomic_load(&pool->items))) {
        uint64_t items = atomic_fetch_add(&pool->items, 1);
        if (!has_items(items))
            return;
        pool->job(pool->arg, (int)(uint32_t)items, thread);
        if (atomic_fetch_add(&pool->n_done, 1) + 1 == items >> 32 && atomic_load(&pool->caller_asleep)) {
            pthread_mutex_lock(&pool->mutex);
            pthread_cond_signal(&pool->done);
            pthread_mutex_unlock(&pool->mutex);
        }
    }
}

/* Whether there is something to do for a worker. */
static bool called(struct wi_pool *pool) {
    return has_items(atomic_load(&pool->items)) || atomic_load(&pool->quit);
}

static void wait_for_work(struct wi_pool *pool) {
    for (int i = 0; i < LOOKS; i++) {
        if (called(pool))
            return;
        relax();
    }
    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add(&pool->n_asleep, 1); /* then look: the caller publishes, then looks here */
    while (!called(pool))
        pthread_cond_wait(&pool->work, &pool->mutex);
    atomic_fetch_sub(&pool->n_asleep, 1);
    pthread_mutex_unlock(&pool->mutex);
}

static void wait_for_end(struct wi_pool *pool, uint32_t n_items) {
    for (int i = 0; i < LOOKS; i++) {
        if (all_done(pool, n_items))
            return;
        relax();
    }
    pthread_mutex_lock(&pool->mutex);
    atomic_store(&pool->caller_asleep, true);
    while (!all_done(pool, n_items))
        pthread_cond_wait(&pool->done, &pool->mutex);
    atomic_store(&pool->caller_asleep, false);
    pthread_mutex_unlock(&pool->mutex);
}

static void wake_workers(struct wi_pool *pool) {
    if (atomic_load(&pool->n_asleep) == 0)
        return;
    pthread_mutex_lock(&pool->mutex);
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
}

static void *worker_main(void *arg) {
    struct worker *worker = arg;
    struct wi_pool *pool = worker->pool;
    while (!atomic_load(&pool->quit)) {
        run_items(pool, worker->index);
        wait_for_work(pool);
    }
    return NULL;
}

int wi_default_threads(void) {
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online < 1 ? 1 : online > 8 ? 8 : (int)online;
}

int wi_pool_create(struct wi_pool **out, int n_threads, struct wisp_error *err) {
    *out = NULL;
    struct wi_pool *pool = wi_malloc64(1, sizeof *pool);
    if (!pool)
        return wi_err_nomem(err, "a thread pool");
    memset(pool, 0, sizeof *pool);
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
    atomic_store(&pool->quit, true);
    wake_workers(pool);
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
    if (pool->n_started == 0 || n_items < 2) {
        for (int i = 0; i < n_items; i++)
            job(arg, i, 0);
        return;
    }
    pool->job = job;
    pool->arg = arg;
    atomic_store(&pool->n_done, 0);
    atomic_store(&pool->items, (uint64_t)n_items << 32);
    wake_workers(pool);
    run_items(pool, 0);
    wait_for_end(pool, (uint32_t)n_items);
}

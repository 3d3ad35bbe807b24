/* The thread pool: every item once, all threads at work, results visible to the caller, one item at
 * a time per thread index.  The shared data is deliberately not atomic, so that a build with
 * ThreadSanitizer checks the pool's own ordering. */
#include "suite.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/pool.h"

/* Linked with --wrap=pthread_create: after `creations_left` threads the system has no more. */
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *),
                          void *arg);
static atomic_int creations_left = 1000;

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *),
                          void *arg) {
    return atomic_fetch_sub(&creations_left, 1) > 0
               ? __real_pthread_create(thread, attr, start, arg)
               : EAGAIN;
}

static struct wi_pool *make_pool(int n_threads) {
    struct wi_pool *pool = NULL;
    struct wisp_error err = {0};
    assert_int_equal(wi_pool_create(&pool, n_threads, &err), WISP_OK);
    assert_int_equal(wi_pool_threads(pool), n_threads);
    return pool;
}

enum { MAX_THREADS = 9, MAX_ITEMS = 20000 };

struct count_job {
    int n_threads, round;
    int *times;                   /* [n_items]: how often each item ran, written without a lock */
    long per_thread[MAX_THREADS]; /* items per thread index, written without a lock */
    atomic_flag in_use[MAX_THREADS]; /* a thread index that runs an item now */
    atomic_int faults;
};

static void count_item(void *arg, int item, int thread) {
    struct count_job *job = arg;
    if (thread < 0 || thread >= job->n_threads) {
        atomic_fetch_add(&job->faults, 1);
        return;
    }
    if (atomic_flag_test_and_set(&job->in_use[thread]))
        atomic_fetch_add(&job->faults, 1);
    job->times[item] += 1 + job->round;
    job->per_thread[thread]++;
    atomic_flag_clear(&job->in_use[thread]);
}

static void every_item_runs_once(void **state) {
    static const int sizes[] = {0, 1, 2, 3, 8, 9, 63, 1000, MAX_ITEMS};
    int *times = malloc(MAX_ITEMS * sizeof *times);
    assert_non_null(times);
    (void)state;
    for (int n_threads = 1; n_threads <= MAX_THREADS; n_threads += n_threads < 3 ? 1 : 3) {
        struct wi_pool *pool = make_pool(n_threads);
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            struct count_job job = {.n_threads = n_threads, .times = times};
            long total = 0;
            for (int i = 0; i < n_threads; i++)
                atomic_flag_clear(&job.in_use[i]);
            memset(times, 0, MAX_ITEMS * sizeof *times);
            wi_pool_run(pool, sizes[s], count_item, &job);
            for (int i = 0; i < MAX_ITEMS; i++)
                if (times[i] != (i < sizes[s]))
                    fail_msg("%d threads, item %d of %d ran %d times", n_threads, i, sizes[s],
                             times[i]);
            for (int i = 0; i < n_threads; i++)
                total += job.per_thread[i];
            assert_int_equal(total, sizes[s]);
            assert_int_equal(atomic_load(&job.faults), 0);
        }
        wi_pool_destroy(&pool);
        assert_null(pool);
    }
    free(times);
}

/* Many short loops, each with its own job on the caller's stack and reading what the last one
 * wrote: a worker that starts late, or works on in a loop that is over, shows up here. */
static void short_loops_follow_each_other(void **state) {
    enum { N = 5, ROUNDS = 20000 };
    struct wi_pool *pool = make_pool(4);
    int times[N] = {0}, want = 0;
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct count_job job = {.n_threads = 4, .round = round % 3, .times = times};
        for (int i = 0; i < 4; i++)
            atomic_flag_clear(&job.in_use[i]);
        int n = 1 + round % N;
        wi_pool_run(pool, n, count_item, &job);
        assert_int_equal(atomic_load(&job.faults), 0);
        want += 1 + round % 3; /* item 0 is in every round */
        if (times[0] != want)
            fail_msg("round %d: item 0 counts %d, not %d", round, times[0], want);
    }
    for (int i = 1; i < N; i++) {
        want = 0;
        for (int round = 0; round < ROUNDS; round++)
            want += round % N >= i ? 1 + round % 3 : 0;
        assert_int_equal(times[i], want);
    }
    wi_pool_destroy(&pool);
}

/* As many items as threads, none of which ends before all have begun: it ends only if all threads
 * work at the same time. */
static void meet(void *arg, int item, int thread) {
    (void)item;
    (void)thread;
    pthread_barrier_wait(arg);
}

static void all_threads_work_at_once(void **state) {
    (void)state;
    alarm(60); /* a pool with fewer would wait for ever */
    for (int n_threads = 1; n_threads <= 8; n_threads *= 2) {
        struct wi_pool *pool = make_pool(n_threads);
        pthread_barrier_t barrier;
        assert_int_equal(pthread_barrier_init(&barrier, NULL, (unsigned)n_threads), 0);
        for (int round = 0; round < 50; round++)
            wi_pool_run(pool, n_threads, meet, &barrier);
        pthread_barrier_destroy(&barrier);
        wi_pool_destroy(&pool);
    }
    alarm(0);
}

static void *use_own_pool(void *arg) {
    enum { N = 100 };
    int times[N] = {0}, *sum = arg;
    struct wi_pool *pool = NULL;
    struct wisp_error err = {0};
    if (wi_pool_create(&pool, 3, &err) != WISP_OK)
        return NULL;
    for (int round = 0; round < 500; round++) {
        struct count_job job = {.n_threads = 3, .times = times};
        for (int i = 0; i < 3; i++)
            atomic_flag_clear(&job.in_use[i]);
        wi_pool_run(pool, N, count_item, &job);
        *sum += atomic_load(&job.faults) ? -1000000 : 0;
    }
    for (int i = 0; i < N; i++)
        *sum += times[i];
    wi_pool_destroy(&pool);
    return NULL;
}

static void pools_do_not_disturb_each_other(void **state) {
    enum { CALLERS = 3 };
    pthread_t callers[CALLERS];
    int sums[CALLERS] = {0};
    (void)state;
    for (int i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_create(&callers[i], NULL, use_own_pool, &sums[i]), 0);
    for (int i = 0; i < CALLERS; i++) {
        pthread_join(callers[i], NULL);
        assert_int_equal(sums[i], 500 * 100);
    }
}

static void idle_pools_can_be_destroyed(void **state) {
    struct wi_pool *none = NULL;
    (void)state;
    wi_pool_destroy(&none);
    for (int i = 0; i < 200; i++) {
        struct wi_pool *pool = make_pool(1 + i % 5);
        wi_pool_destroy(&pool);
        assert_null(pool);
    }
}

/* The threads that did start are joined again (a leak is what the sanitizers see), and the text
 * says what to do. */
static void too_few_threads_are_an_error(void **state) {
    (void)state;
    for (int available = 0; available < 3; available++) {
        struct wi_pool *pool = (struct wi_pool *)state;
        struct wisp_error err = {0};
        atomic_store(&creations_left, available);
        assert_int_equal(wi_pool_create(&pool, 4, &err), WISP_E_IO);
        atomic_store(&creations_left, 1000);
        assert_null(pool);
        assert_int_equal(err.code, WISP_E_IO);
        assert_non_null(strstr(err.text, "use fewer threads"));
    }
}

WISP_SUITE(cmocka_unit_test(every_item_runs_once), cmocka_unit_test(short_loops_follow_each_other),
           cmocka_unit_test(all_threads_work_at_once),
           cmocka_unit_test(pools_do_not_disturb_each_other),
           cmocka_unit_test(idle_pools_can_be_destroyed),
           cmocka_unit_test(too_few_threads_are_an_error))

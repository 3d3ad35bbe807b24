#include "memory_read.h"

#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Several times the largest caches, in shares of the threads; the best of a few passes, as other work on
 * the machine can only slow one down. */
enum { BYTES = 256 << 20, PASSES = 8, MAX_THREADS = 256 };

struct share {
    const uint64_t *words;
    size_t n; /* a multiple of 8 */
    uint64_t sum;
};

static void *read_share(void *arg) {
    struct share *s = arg;
    uint64_t sum[8] = {0};
    for (size_t i = 0; i < s->n; i += 8)
        for (int j = 0; j < 8; j++)
            sum[j] += s->words[i + j];
    for (int j = 0; j < 8; j++)
        s->sum += sum[j];
    return NULL;
}

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds of one pass over all shares; NAN when a thread does not start. */
static double one_pass(struct share *shares, int n) {
    pthread_t threads[MAX_THREADS];
    int started = 1;
    double start = now_s();
    while (started < n && pthread_create(&threads[started], NULL, read_share, &shares[started]) == 0)
        started++;
    read_share(&shares[0]);
    for (int i = 1; i < started; i++)
        pthread_join(threads[i], NULL);
    return started == n ? now_s() - start : NAN;
}

double memory_read_gb_s(int threads) {
    struct share shares[MAX_THREADS] = {0};
    uint64_t *words = malloc(BYTES);
    double best = NAN;
    if (!words || threads < 1 || threads > MAX_THREADS) {
        free(words);
        return NAN;
    }
    memset(words, 1, BYTES); /* pages of their own, not the one page of zeros */
    size_t n = BYTES / sizeof *words / (size_t)threads / 8 * 8;
    for (int i = 0; i < threads; i++)
        shares[i] = (struct share){words + n * (size_t)i, n, 0};
    for (int pass = 0; pass < PASSES; pass++)
        best = fmin(best, one_pass(shares, threads));
    volatile uint64_t keep = shares[0].sum;
    (void)keep;
    free(words);
    return (double)(n * sizeof *words) * threads / best / 1e9;
}

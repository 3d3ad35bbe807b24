/* Speeds of the decoder's kernels, one thread, best of several. */
#include "kbench.h"

#include <stdio.h>
#include <stdlib.h>

/* Logits of one token and of five beams: a matrix larger than the caches, one thread. */
void bench_step(enum wi_dtype type) {
    enum { N = 51864, K = 512, M = 5, REPEATS = 5 };
    size_t row = wi_dtype_row_bytes(type, K), bytes = row * N;
    uint8_t *w = malloc(bytes);
    float *a = malloc(M * K * 4), *c = malloc(M * N * 4);
    double values[K], best[2] = {1e9, 1e9};
    struct wi_pool *pool;
    struct wi_gemm_work work;
    for (int j = 0; j < N; j++)
        random_row(type, w + (size_t)j * row, values, K);
    for (int i = 0; i < M * K; i++)
        a[i] = uniform(-1, 1);
    wi_pool_create(&pool, 1, NULL);
    wi_gemm_work_init(&work, &kern, 1, M, K, NULL);
    for (int rep = 0; rep < REPEATS; rep++)
        for (int i = 0; i < 2; i++) {
            struct wi_gemm g = {.m = i ? M : 1,
                                .n = N,
                                .k = K,
                                .a = a,
                                .lda = K,
                                .w_type = type,
                                .w = w,
                                .w_stride = row,
                                .scale = 1,
                                .c = c,
                                .ldc = N};
            double t = seconds();
            wi_gemm_run(&kern, pool, &work, &g);
            best[i] = min(best[i], seconds() - t);
        }
    printf("%-11s matvec %-4s 1 row %5.1f GB/s, 5 rows %5.1f GB/s\n", wi_level_name(kern.level),
           wi_dtype_name(type), 1e-9 * (double)bytes / best[0], 1e-9 * (double)bytes / best[1]);
    wi_gemm_work_fini(&work);
    wi_pool_destroy(&pool);
    free(w);
    free(a);
    free(c);
}

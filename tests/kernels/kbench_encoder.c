/* Speeds of the encoder's kernels, one thread, best of several. */
#include "kbench.h"

#include <stdio.h>
#include <stdlib.h>

/* Whisper base's shapes. */
void bench_window(void) {
    enum { M = 1500, N = 512, K = 2048, D = 64, REPEATS = 7 };
    float *a = malloc(M * K * 4), *w = malloc(N * K * 4), *c = malloc(M * N * 4);
    float *scratch = malloc(WI_ATTN_SCRATCH * 4);
    struct wi_pool *pool;
    struct wi_gemm_work work;
    double gemm[2] = {1e9, 1e9}, attention = 1e9, gelu = 1e9;
    for (int i = 0; i < M * K; i++)
        a[i] = uniform(-1, 1);
    for (int i = 0; i < N * K; i++)
        w[i] = uniform(-1, 1);
    wi_pool_create(&pool, 1, NULL);
    wi_gemm_work_init(&work, &kern, 1, M, K, NULL);
    for (int rep = 0; rep < REPEATS; rep++) {
        for (int i = 0; i < 2; i++) {
            size_t k = i ? K : N;
            struct wi_gemm g = {.m = M,
                                .n = N,
                                .k = (int)k,
                                .a = a,
                                .lda = k,
                                .w_type = WI_F32,
                                .w = (const uint8_t *)w,
                                .w_stride = k * 4,
                                .scale = 1,
                                .c = c,
                                .ldc = N};
            double t = seconds();
            wi_gemm_run(&kern, pool, &work, &g);
            gemm[i] = min(gemm[i], seconds() - t);
        }
        struct wi_attn at = {.n_q = M,
                             .n_kv = M,
                             .d_head = D,
                             .q = a,
                             .ldq = N,
                             .kt = w,
                             .ldkt = M,
                             .v = a,
                             .ldv = N,
                             .scale = 0.125f,
                             .out = c,
                             .ldo = N};
        double t = seconds();
        for (int q = 0; q < M; q += WI_ATTN_QUERIES)
            kern.attention(&at, q, q + WI_ATTN_QUERIES < M ? q + WI_ATTN_QUERIES : M, scratch);
        attention = min(attention, seconds() - t);
        t = seconds();
        kern.gelu(c, M * N);
        gelu = min(gelu, seconds() - t);
    }
    printf("%-11s gemm k 512 %5.0f, k 2048 %5.0f, attention %5.0f GFLOP/s   gelu %.2f G values/s\n",
           wi_level_name(kern.level), 2e-9 * M * N * N / gemm[0], 2e-9 * M * N * K / gemm[1],
           4e-9 * M * M * D / attention, 1e-9 * M * N / gelu);
    wi_gemm_work_fini(&work);
    wi_pool_destroy(&pool);
    free(a);
    free(w);
    free(c);
    free(scratch);
}

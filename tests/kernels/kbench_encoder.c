/* Speeds of the encoder's kernels at Whisper base's shapes, one thread.  Times are of the
 * processor, best of several, so that other programs disturb little; every figure stands beside the
 * peak, which is measured by a loop over registers in the same run. */
#include "kbench.h"

#include <stdio.h>
#include <stdlib.h>

enum { M = 1500, STATE = 512, HIDDEN = 2048, HEAD = 64, REPEATS = 9 };

static void *random_values(size_t n) {
    uint8_t *values = malloc(n * kern.value_bytes);
    for (size_t i = 0; i < n; i++) {
        float x = uniform(-1, 1);
        kern.to_values(&x, values + i * kern.value_bytes, 1);
    }
    return values;
}

/* Operations a second of the level's multiply-add on registers alone. */
static double peak(void) {
    double best = 0;
    for (int rep = 0; rep < 60; rep++) {
        double t = seconds(), flop = kern.peak(40000);
        best = max(best, flop / (seconds() - t));
    }
    return best;
}

static double gemm(struct wi_pool *pool, int n, int k) {
    size_t lda = wi_row_stride(&kern, k);
    uint8_t *a = random_values(M * lda), *c = malloc((size_t)M * (size_t)n * 4);
    uint32_t *w = random_values(wi_packed_units(&kern, n, k) * 4 / kern.value_bytes);
    struct wi_product p = {
        .m = M, .n = n, .k = k, .a = a, .lda = lda, .w = w, .scale = 1, .c = c, .ldc = (size_t)n};
    double best = 1e9;
    for (int rep = 0; rep < REPEATS; rep++) {
        double t = seconds();
        wi_product_run(&kern, pool, &p);
        best = min(best, seconds() - t);
    }
    free(a);
    free(c);
    free(w);
    return 2.0 * M * n * k / best;
}

static double attend(void) {
    uint8_t *q = random_values(M * HEAD), *out = malloc(M * HEAD * 4);
    uint32_t *k = random_values(wi_packed_units(&kern, M, HEAD) * 4 / kern.value_bytes);
    uint32_t *v = random_values(wi_packed_units(&kern, HEAD, M) * 4 / kern.value_bytes);
    float *scratch = malloc(WI_ATTEND_SCRATCH * 4);
    struct wi_attend a = {.n_q = M,
                          .n_kv = M,
                          .d_head = HEAD,
                          .q = q,
                          .ldq = HEAD,
                          .k = k,
                          .v = v,
                          .scale = 0.125f,
                          .out = out,
                          .ldo = HEAD};
    double best = 1e9;
    for (int rep = 0; rep < REPEATS; rep++) {
        double t = seconds();
        kern.attend(&a, 0, M, scratch);
        best = min(best, seconds() - t);
    }
    free(q);
    free(out);
    free(k);
    free(v);
    free(scratch);
    return 4.0 * M * M * HEAD / best;
}

/* Values a second. */
static double gelu(void) {
    float *x = malloc(M * STATE * 4);
    double best = 1e9;
    for (int rep = 0; rep < REPEATS; rep++) {
        for (int i = 0; i < M * STATE; i++)
            x[i] = uniform(-6, 3);
        double t = seconds();
        kern.gelu(x, M * STATE);
        best = min(best, seconds() - t);
    }
    free(x);
    return M * STATE / best;
}

static double norm(void) {
    float *x = malloc(M * STATE * 4), *w = calloc(STATE, 4);
    void *y = malloc(M * STATE * 4);
    double best = 1e9;
    for (int i = 0; i < M * STATE; i++)
        x[i] = uniform(-1, 1);
    for (int rep = 0; rep < REPEATS; rep++) {
        double t = seconds();
        for (int i = 0; i < M; i++)
            kern.norm_values(x + i * STATE, w, w,
                             (uint8_t *)y + (size_t)(i * STATE) * kern.value_bytes, STATE);
        best = min(best, seconds() - t);
    }
    free(x);
    free(w);
    free(y);
    return M * STATE / best;
}

static void print(const char *what, double flops, double peak_flops) {
    printf("%-11s %-24s %6.1f GFLOP/s %5.1f %%\n", wi_level_name(kern.level), what, 1e-9 * flops,
           100 * flops / peak_flops);
}

void bench_window(void) {
    static const int shapes[][2] = {
        {STATE, STATE}, {3 * STATE, STATE}, {HIDDEN, STATE}, {STATE, HIDDEN}};
    struct wi_pool *pool;
    double top = peak();
    wi_pool_create(&pool, 1, NULL);
    print("registers only", top, top);
    for (int i = 0; i < 4; i++) {
        char name[40];
        snprintf(name, sizeof name, "gemm %d x %d x %d", M, shapes[i][0], shapes[i][1]);
        print(name, gemm(pool, shapes[i][0], shapes[i][1]), top);
    }
    print("attention 1500 x 64", attend(), top);
    printf("%-11s gelu %.2f, norm %.2f G values/s\n", wi_level_name(kern.level), 1e-9 * gelu(),
           1e-9 * norm());
    wi_pool_destroy(&pool);
}

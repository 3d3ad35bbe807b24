/* Runs one kernel of one level once, in a function that a profiler can find: kcount LEVEL KERNEL.
 * count_instructions.py runs it under callgrind. */
#include "inputs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct wi_kern kern;

/* Shapes of Whisper base, few rows. */
enum { ROWS = 120, STATE = 512, HEAD = 64, QUERIES = 24, KEYS = 1500 };

static float *random_floats(size_t n) {
    float *x = malloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = uniform(-1, 1);
    return x;
}

struct inputs {
    float *x, *y, *w, *scratch; /* [ROWS, STATE]; weights or keys and values */
    uint32_t *packed, *packed_values;
};

static __attribute__((noinline)) void counted_gemm(const struct inputs *in) {
    struct wi_product p = {.m = ROWS, .n = STATE, .k = STATE, .a = in->x, .lda = STATE,
                           .w = in->packed, .bias = in->w, .scale = 1, .residual = in->y, .ldr = STATE,
                           .c = in->y, .ldc = STATE};
    kern.gemm(&p, 0, ROWS, 0, STATE);
}

static __attribute__((noinline)) void counted_attend(const struct inputs *in) {
    struct wi_attend a = {.n_q = QUERIES, .n_kv = KEYS, .d_head = HEAD, .q = in->x, .ldq = HEAD,
                          .k = in->packed, .v = in->packed_values, .scale = 0.125f, .out = in->y,
                          .ldo = HEAD};
    kern.attend(&a, 0, QUERIES, in->scratch);
}

static __attribute__((noinline)) void counted_gelu(const struct inputs *in) {
    kern.gelu(in->x, ROWS * STATE);
}

static __attribute__((noinline)) void counted_norm(const struct inputs *in) {
    for (int i = 0; i < ROWS; i++)
        kern.norm_values(in->x + i * STATE, in->w, in->w + STATE, in->y + i * STATE, STATE);
}

static __attribute__((noinline)) void counted_pack(const struct inputs *in) {
    for (int j = 0; j < STATE; j += kern.tile_cols)
        kern.pack_rows(WI_F32, (const uint8_t *)(in->w + (size_t)j * STATE), STATE * 4, kern.tile_cols,
                       STATE, in->packed + (size_t)j * STATE);
}

static const struct {
    const char *name;
    void (*run)(const struct inputs *in);
} kernels[] = {{"gemm", counted_gemm}, {"attend", counted_attend}, {"gelu", counted_gelu},
               {"norm", counted_norm}, {"pack", counted_pack}};

int main(int argc, char **argv) {
    enum wi_level level;
    size_t packed = wi_dtype_row_bytes(WI_F32, STATE * (KEYS + 64)) / 4;
    if (argc != 3 || wi_level_parse(&level, argv[1], NULL) != WISP_OK)
        return 77; /* not on this processor */
    wi_kern_select(&kern, level);
    struct inputs in = {random_floats(ROWS * STATE), random_floats(ROWS * STATE),
                        random_floats(STATE * STATE), malloc(WI_ATTEND_SCRATCH * 4),
                        (uint32_t *)(void *)random_floats(packed),
                        (uint32_t *)(void *)random_floats(packed)};
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
        if (strcmp(argv[2], kernels[i].name) == 0)
            kernels[i].run(&in);
    free(in.x);
    free(in.y);
    free(in.w);
    free(in.scratch);
    free(in.packed);
    free(in.packed_values);
    return 0;
}

/* Kernels with data to run them on: what wisp_npu_kernel_measure measures.  Everything is plain
 * data of the caller's; constant tables, thread-safe. */
#ifndef WISP_SRC_NPU_CASES_CASES_H
#define WISP_SRC_NPU_CASES_CASES_H

#include "npu/asm/build.h"

enum {
    WI_CASE_MEMORY = 0x70000,
    WI_CASE_BYTES = 65536,
    WI_CASE_VALUES = 16 * 1500,
    WI_CASE_CASCADE = 96
};

/* A run: memory and cascade before and after, and the results as numbers. */
struct wi_case_data {
    uint8_t *memory; /* [WI_CASE_BYTES] */
    uint32_t params; /* offset of the parameter block */
    float cascade[WI_CASE_CASCADE][16];
    double want[WI_CASE_VALUES], got[WI_CASE_VALUES];
    int n, row; /* values, and how many are a row */
    uint64_t seed;
};

struct wi_case {
    const char *kernel, *shape, *layout, *earlier;
    uint64_t bound;
    void (*emit)(struct wi_build *b);
    void (*before)(struct wi_case_data *d); /* fills memory, and `want` */
    void (*after)(struct wi_case_data *d);  /* reads `got` */
};

/* +-[1, 2) times 2^exponent in bf16. */
uint16_t wi_case_random_bf16(uint64_t *seed, int exponent);

/* The i-th case, NULL past the last. */
const struct wi_case *wi_case_at(size_t i);

#endif

/* y = x + r, bf16, sums in fp32: residual panels.
 *
 * Memory: x, r and y contiguous, each in a bank of its own.  n is a multiple of 64 and
 * at least 512. */
#ifndef WISP_SRC_NPU_KERNELS_ADD_H
#define WISP_SRC_NPU_KERNELS_ADD_H

#include "npu/asm/build.h"

enum { WI_ADD_STEP = 64, WI_ADD_MIN = 512 };

/* The parameter block, which p0 points to. */
struct wi_add_params {
    uint32_t x, r, y; /* addresses */
    uint32_t steps;   /* n / 64 */
};

void wi_add_emit(struct wi_build *b);

#endif

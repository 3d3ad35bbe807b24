/* y = x + r, bf16, sums in fp32: residual panels.
 *
 * Memory: each in pieces at a pitch; x and y in one bank, and y may be in the place of x, or in
 * two; r in another one (a shared one costs stalls, nothing else). */
#ifndef WISP_SRC_NPU_KERNELS_ADD_H
#define WISP_SRC_NPU_KERNELS_ADD_H

#include "npu/kernels/ops.h"

enum { WI_ADD_STEP = 64, WI_ADD_MIN = 512 }; /* elements */

/* The parameter block, which p0 points to. */
struct wi_add_params {
    uint32_t x, r, y; /* addresses */
    uint32_t steps;   /* n / 64 */
    uint32_t x_walk[3], r_walk[3], y_walk[3];
};

/* n: a multiple of 64, at least 512; pieces are multiples of 128 bytes; false: no such shape. */
bool wi_add_params(struct wi_add_params *p, int n, const struct wi_pieces *x,
                   const struct wi_pieces *r, const struct wi_pieces *y);
void wi_add_emit(struct wi_build *b);

#endif

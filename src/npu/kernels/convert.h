/* bf16 to fp32 and back, fp32 rounded to nearest, ties to even.
 *
 * Memory: both contiguous, in two banks.  n is a multiple of 32 and at least 256. */
#ifndef WISP_SRC_NPU_KERNELS_CONVERT_H
#define WISP_SRC_NPU_KERNELS_CONVERT_H

#include "npu/asm/build.h"

enum { WI_CONVERT_STEP = 32, WI_CONVERT_MIN = 256 };

/* The parameter block, which p0 points to. */
struct wi_convert_params {
    uint32_t in, out; /* addresses, multiples of 32 */
    uint32_t steps;   /* n / 32 */
};

void wi_convert_to_f32_emit(struct wi_build *b);
void wi_convert_to_bf16_emit(struct wi_build *b);

#endif

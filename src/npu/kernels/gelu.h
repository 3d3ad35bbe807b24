/* GELU in place on bf16: x Phi(x) = max(x, 0) - |x| E, E = erfc(|x| / sqrt 2) / 2 = 2^p(|x|).
 *
 * The exponent p is a polynomial of degree 4, so that E keeps its relative accuracy where it is
 * tiny; 2^p comes from the bits of a sum, as in attention.  Finite inputs; |x| counts as 12 beyond
 * that, where E has long vanished.
 *
 * Memory: x in panels of `panel` bytes at a pitch; the constants of wi_gelu_constants in another
 * bank. */
#ifndef WISP_SRC_NPU_KERNELS_GELU_H
#define WISP_SRC_NPU_KERNELS_GELU_H

#include "npu/asm/build.h"

enum { WI_GELU_STEP = 32, WI_GELU_CONSTANTS = 9 * 32 };

struct wi_gelu_params {
    uint32_t x, constants;
    uint32_t steps;   /* of 32 elements */
    uint32_t walk[3]; /* m, dn, dj */
};

/* n panels of `panel` bytes, a multiple of 64, `pitch` apart; false when that is too little or does
 * not fit. */
bool wi_gelu_params(struct wi_gelu_params *p, int n, int panel, int pitch, uint32_t x,
                    uint32_t constants);
void wi_gelu_constants(uint16_t out[WI_GELU_CONSTANTS]);

/* The routine: p0 = parameter block. */
void wi_gelu_emit(struct wi_build *b);

#endif

/* GELU in place on bf16, and a sum with it: r + x Phi(x) = r + max(x, 0) - |x| E,
 * E = erfc(|x| / sqrt 2) / 2 = 2^p(|x|), rounded once.
 *
 * The exponent p is a polynomial of degree 4, so that E keeps its relative accuracy where it is
 * tiny; 2^p comes from the bits of a sum, as in attention.  |x| counts as 12 beyond that, where E
 * has long vanished; so does a NaN, which only without a sign comes out as one.
 *
 * Memory: x in panels of `panel` bytes at a pitch; the constants of wi_gelu_constants in another
 * bank; r, bf16 in the order of x, or 64 bytes of zeros, in a third one (in theirs it costs
 * stalls, nothing else). */
#ifndef WISP_SRC_NPU_KERNELS_GELU_H
#define WISP_SRC_NPU_KERNELS_GELU_H

#include "npu/kernels/ops.h"

enum { WI_GELU_STEP = 32, WI_GELU_CONSTANTS = 9 * 32, WI_GELU_MIN = 256 };

struct wi_gelu_params {
    uint32_t x, constants, r;
    uint32_t steps;              /* of 32 elements */
    uint32_t walk[3], r_walk[3]; /* m, dn, dj */
};

struct wi_gelu_at {
    uint32_t x, constants, zeros; /* addresses, multiples of 32 */
};

/* n panels of `panel` bytes, a multiple of 64, `pitch` apart; false when that is too little or does
 * not fit.  r is 0. */
bool wi_gelu_params(struct wi_gelu_params *p, int n, int panel, int pitch,
                    const struct wi_gelu_at *at);
/* r is there, in pieces of a multiple of 64 bytes; false when that does not fit. */
bool wi_gelu_add(struct wi_gelu_params *p, const struct wi_pieces *r);
void wi_gelu_constants(uint16_t out[WI_GELU_CONSTANTS]);

/* The routine: p0 = parameter block. */
void wi_gelu_emit(struct wi_build *b);

#endif

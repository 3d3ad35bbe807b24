/* C = A B in one core's memory: bf16 operands, fp32 sums, C rounded to bf16.
 *
 * Memory, everything in tiles of 4 rows or columns so that every load is 32 consecutive bytes:
 *   A  [M/16][K/8][4] tiles of 4 rows x 8, 64 bytes each, row-major
 *   B  [N/16][K/8][4] tiles of 8 x 4 columns, 64 bytes each, row-major
 *   C  [M/16][N/16][4][4] tiles of 4 x 4 bf16, 32 bytes each, row-major
 * B shares no bank of 16 KB with A or C.  Reads run up to 1 KB past the end of A; B's wrap. */
#ifndef WISP_SRC_NPU_KERNELS_MATMUL_H
#define WISP_SRC_NPU_KERNELS_MATMUL_H

#include <stdint.h>

#include "npu/asm/build.h"

/* The parameter block, which p0 points to: what the kernel reads, in words. */
struct wi_matmul_params {
    uint32_t a, b, c;       /* addresses */
    uint32_t blocks, steps; /* of 16 x 16 elements of C; of 16 of k */
    uint32_t a_walk[5];     /* m, dn, dj, dn, dj of the d_3d */
    uint32_t b_walk[3];     /* m, dn, dj */
};

enum { WI_MATMUL_TILE = 16, WI_MATMUL_K = 16, WI_MATMUL_MIN_K = 48 };

/* m, n multiples of 16, k of 16 and at least 48, in the core's memory at 0x70000; false when
 * something is not as said here. */
bool wi_matmul_params(struct wi_matmul_params *p, int m, int k, int n, uint32_t a, uint32_t b,
                      uint32_t c);

/* The routine, for any shape: p0 = parameter block. */
void wi_matmul_emit(struct wi_build *b);

/* Row-major bf16 to tiles and back. */
void wi_matmul_pack_a(uint16_t *tiles, const uint16_t *a, int m, int k);
void wi_matmul_pack_b(uint16_t *tiles, const uint16_t *b, int k, int n);
void wi_matmul_unpack_c(uint16_t *c, const uint16_t *tiles, int m, int n);

#endif

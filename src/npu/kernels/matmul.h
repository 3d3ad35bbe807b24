/* C = A B in one core's memory, for any m, k and n: bf16 operands, fp32 sums that begin with
 * nothing, a bias or earlier sums, and end as bf16, as fp32 sums, or with a residual or GELU.
 *
 * Memory, everything in tiles of 4 rows or columns so that every access is 32 consecutive bytes;
 * M, K, N are m, k, n made multiples of 16, K at least 48:
 *   A     [M/16][K/8][4] tiles of 4 rows x 8, 64 bytes each, row-major
 *   B     [N/16][K/8][4] tiles of 8 x 4 columns, 64 bytes each, row-major
 *   C, R  [M/16][N/16][4][4] tiles of 4 x 4 bf16, 32 bytes each, row-major
 *   sums  the same of fp32, 64 bytes each
 *   bias  [N/4][2][4] fp32, every four twice
 * What lies beyond m, k and n is 0 in every input, which the packers see to, and comes out as 0:
 * so C is a bias-free residual of another product, or rows for the next one, as it is.
 *
 * Any bank will do, but accesses that meet in one cost a cycle each: apart lie A and B; R and sums
 * from both; C, where it is bf16, from B and sums, else from all.  C may take the place of R or of
 * earlier sums, C of bf16 and A share a bank.  Reads run up to 1 KB past the end of A. */
#ifndef WISP_SRC_NPU_KERNELS_MATMUL_H
#define WISP_SRC_NPU_KERNELS_MATMUL_H

#include <stdint.h>

#include "npu/asm/build.h"
#include "npu/kernels/gelu_table.h"

/* What sums begin with, and what becomes of them. */
enum wi_matmul_start { WI_MATMUL_ZERO, WI_MATMUL_BIAS, WI_MATMUL_ADD };
enum wi_matmul_end { WI_MATMUL_BF16, WI_MATMUL_SUMS, WI_MATMUL_RESIDUAL, WI_MATMUL_GELU };

/* How the tiles of 4 rows in a row of blocks begin. */
struct wi_matmul_rows {
    uint32_t shuffle[4]; /* the bias in all rows or in some */
    uint32_t product[4]; /* configuration: from that or from 0 */
};

/* The parameter block, which p0 points to, on a multiple of 32: what the kernel reads, in words. */
struct wi_matmul_params {
    uint32_t a, b, c, start, r; /* addresses; start: of the bias or of earlier sums */
    uint32_t blocks, steps;     /* of 16 x 16 elements of C; of 16 of k */
    uint32_t a_walk[5];         /* m, dn, dj, dn, dj of the d_3d */
    uint32_t b_walk[3];         /* m, dn, dj */
    uint32_t bias_walk[3], rows_walk[3];
    struct wi_gelu_table_params gelu;
    uint32_t gap[2];
    uint32_t part[16];             /* mask: rows of a tile that has some */
    struct wi_matmul_rows rows[2]; /* before the last row of blocks, and there */
};

enum { WI_MATMUL_TILE = 16, WI_MATMUL_K = 16, WI_MATMUL_MIN_K = 48 };

/* Rows or columns, and k, with what is padded. */
static inline int wi_matmul_padded(int n) {
    return (n + WI_MATMUL_TILE - 1) / WI_MATMUL_TILE * WI_MATMUL_TILE;
}
static inline int wi_matmul_padded_k(int k) {
    return k < WI_MATMUL_MIN_K ? WI_MATMUL_MIN_K
                               : (k + WI_MATMUL_K - 1) / WI_MATMUL_K * WI_MATMUL_K;
}

struct wi_matmul {
    enum wi_matmul_start start;
    enum wi_matmul_end end;
    int m, k, n;
};
struct wi_matmul_at {
    uint32_t a, b, c;
    uint32_t start;         /* of bias or earlier sums */
    uint32_t r;             /* for RESIDUAL */
    uint32_t gelu_table[2]; /* for GELU: wi_gelu_table twice, in two banks without C */
};

/* False when something is not as said here, or not in the core's memory at 0x70000. */
bool wi_matmul_params(struct wi_matmul_params *p, const struct wi_matmul *product,
                      const struct wi_matmul_at *at);

/* The routine, for any shape: p0 = parameter block. */
void wi_matmul_emit(struct wi_build *b, enum wi_matmul_start start, enum wi_matmul_end end);

/* Row-major to tiles and back. */
void wi_matmul_pack_a(uint16_t *tiles, const uint16_t *a, int m, int k);
void wi_matmul_pack_b(uint16_t *tiles, const uint16_t *b, int k, int n);
void wi_matmul_pack_c(uint16_t *tiles, const uint16_t *c, int m, int n); /* R too */
void wi_matmul_pack_sums(float *tiles, const float *sums, int m, int n);
void wi_matmul_pack_bias(float *twice, const float *bias, int n);
void wi_matmul_unpack_c(uint16_t *c, const uint16_t *tiles, int m, int n);
void wi_matmul_unpack_sums(float *sums, const float *tiles, int m, int n);

#endif

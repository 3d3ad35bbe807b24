/* The unit of work of the encoder's products: 96 rows of A, which stay, times k x 16 of W, which
 * stream by, on one core of a cascade column that splits K.
 *
 * Memory:
 *   A    k/16 panels of 3072 bytes at a pitch of 4096: [24 groups of 4 rows][2] tiles of 4 rows x 8
 *   W    1024-byte pieces at a pitch of 4096, [k/8][4] tiles of 8 x 4 columns in all
 *   bias 16 fp32 (top)
 *   R    pieces as of W: [6][4][4] tiles of 4 x 4 bf16, added to the sums; or one tile of zeros
 *   C    pieces as of W: [6][4][4] tiles of 4 x 4 bf16 (bottom)
 * Everything may share banks but C and R, which lie in two banks without A panels 0 to 3 and
 * without W. */
#ifndef WISP_SRC_NPU_KERNELS_GEMM_H
#define WISP_SRC_NPU_KERNELS_GEMM_H

#include "npu/asm/build.h"

/* A core's place in its column: sums start from the bias at the top, pass through the cascade, and
 * end as bf16 at the bottom. */
enum wi_gemm_role { WI_GEMM_TOP, WI_GEMM_MIDDLE, WI_GEMM_BOTTOM };

enum { WI_GEMM_ROWS = 96, WI_GEMM_COLUMNS = 16, WI_GEMM_PITCH = 4096 };

struct wi_gemm_params {
    uint32_t a, w, bias, c, r;
    uint32_t steps;     /* of 16 of k */
    uint32_t a_walk[5]; /* m, dn, dj, dn, dj of the d_3d, for even and for odd tiles */
    uint32_t w_walk[5];
    uint32_t r_walk[3]; /* m, dn, dj of the d */
};

struct wi_gemm_at {
    uint32_t a, w, bias, c, r; /* addresses */
    bool zeros;                /* r is one tile of zeros */
};

/* k: 64, 96 or 128. */
bool wi_gemm_params(struct wi_gemm_params *p, int k, const struct wi_gemm_at *at);

/* The routines of the roles: p0 = parameter block. */
void wi_gemm_top_emit(struct wi_build *b);
void wi_gemm_middle_emit(struct wi_build *b);
void wi_gemm_bottom_emit(struct wi_build *b);

/* Row-major bf16 [96][k] and [k][16] into memory images with the gaps left alone. */
void wi_gemm_pack_a(uint8_t *memory, const uint16_t *a, int k);
void wi_gemm_pack_w(uint8_t *memory, const uint16_t *w, int k);

#endif

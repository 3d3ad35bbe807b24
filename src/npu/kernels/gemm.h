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

/* Streamed: the same unit many times, with operands that others bring and take away, kept apart by
 * locks.  W alternates between two places, R belongs to some panels alone, C goes to a ring of 4
 * pieces, bank 3, of which a panel fills 3; biases are in pieces.
 *
 * A core's locks: who fills a place takes from FREE and gives to FULL, who empties it the other way
 * around.  C's count blocks, 2 to a piece. */
enum wi_gemm_lock {
    WI_LOCK_RING_FREE, /* 2 at the start */
    WI_LOCK_RING_FULL,
    WI_LOCK_A_FREE, /* 2 */
    WI_LOCK_A_FULL,
    WI_LOCK_R_FREE, /* 1 */
    WI_LOCK_R_FULL,
    WI_LOCK_C_FREE, /* 8 */
    WI_LOCK_C_FULL,
    WI_LOCK_NEVER = 14, /* this and the next one: always 0 */
    WI_LOCK_OWN = 48    /* as the core counts its own */
};
enum { WI_GEMM_BLOCKS = WI_GEMM_ROWS / 16, WI_GEMM_TURNS = 4, WI_GEMM_RING = 0x8000 };

struct wi_gemm_job {
    uint32_t a, w;   /* w: of the first panel */
    uint32_t end;    /* biases at the top, C at the bottom: of the first panel */
    uint32_t panels; /* at least 1 */
    uint32_t turn;   /* the first panel's */
    uint32_t steps, a_walk[5], w_walk[5];
};

/* What a panel adds, and where the next panel's turn is; they go around. */
struct wi_gemm_turn {
    uint32_t r, walk[3];
    uint32_t full; /* its lock by the core's number, the FREE one is the number before */
    int32_t take;  /* -1, or 0 where there is no R */
    uint32_t next;
};

struct wi_gemm_at {
    uint32_t a, w, bias, c, r; /* addresses */
    bool zeros;                /* r is one tile of zeros */
};

/* k: 64, 96 or 128. */
bool wi_gemm_params(struct wi_gemm_params *p, int k, const struct wi_gemm_at *at);

/* `turns` will be at address `turns_at`; of each 4 panels number `own`, -1: none, adds R at `r`,
 * others the tile of zeros at `zero`.  job's a, w, end and panels are the caller's. */
bool wi_gemm_job(struct wi_gemm_job *job, struct wi_gemm_turn turns[WI_GEMM_TURNS], int k, int own,
                 uint32_t r, uint32_t zero, uint32_t turns_at);

/* The routines of the roles: p0 = parameter block or job. */
void wi_gemm_top_emit(struct wi_build *b);
void wi_gemm_middle_emit(struct wi_build *b);
void wi_gemm_bottom_emit(struct wi_build *b);
void wi_gemm_stream_top_emit(struct wi_build *b);
void wi_gemm_stream_middle_emit(struct wi_build *b);
void wi_gemm_stream_bottom_emit(struct wi_build *b);

/* Row-major bf16 [96][k] and [k][16] into memory images with the gaps left alone. */
void wi_gemm_pack_a(uint8_t *memory, const uint16_t *a, int k);
void wi_gemm_pack_w(uint8_t *memory, const uint16_t *w, int k);

#endif

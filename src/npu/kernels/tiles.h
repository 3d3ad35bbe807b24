/* Copies, changes of layout and transposes: blocks of 128 bytes go through a permutation from one
 * place to another.  What permutation and where is data, so one routine does all of them.
 *
 * Tiles are row-major: C4 4 rows x 4 (32 bytes), A8 4 rows x 8 and B8 8 rows x 4 (64 bytes), all
 * bf16; F4 4 x 4 fp32 (64 bytes). */
#ifndef WISP_SRC_NPU_KERNELS_TILES_H
#define WISP_SRC_NPU_KERNELS_TILES_H

#include "npu/asm/build.h"

enum wi_tiles_kind {
    WI_TILES_COPY,
    WI_TILES_C4_TO_A8,     /* two pairs of C4, side by side: two A8 */
    WI_TILES_A8_TO_C4,     /* and back */
    WI_TILES_TRANSPOSE_A8, /* two A8: two B8 of their transposes */
    WI_TILES_TRANSPOSE_B8, /* two B8: two A8 */
    WI_TILES_TRANSPOSE_C4, /* four C4 */
    WI_TILES_TRANSPOSE_F4, /* two F4 */
    WI_TILES_ROWS_TO_A8,   /* 4 rows of 16 at `row` bytes from each other: two A8 */
    WI_TILES_A8_TO_ROWS,   /* and back */
    WI_TILES_KINDS
};

/* Where blocks lie: `blocks` of them `step` bytes apart, as many more `next` bytes from there on,
 * and so on.  A block is two halves of 64 bytes that are `apart` (64: neighbours), or, where the
 * kind says rows, four rows of 32 bytes that are. */
struct wi_tiles_side {
    uint32_t at;
    int blocks, step, next, apart;
};

/* The parameter block, which p0 points to. */
struct wi_tiles_params {
    uint32_t steps; /* of 2 blocks */
    uint32_t in, out, in_offset[3], out_offset[3], in_walk[3], out_walk[3];
    uint32_t mode[4];
};

/* `n` blocks, an even number; all numbers of bytes are multiples of 32.  False: no such shape. */
enum { WI_TILES_MIN = 8 };
bool wi_tiles_params(struct wi_tiles_params *p, enum wi_tiles_kind kind, int n,
                     const struct wi_tiles_side *in, const struct wi_tiles_side *out);

/* Where the blocks are.  Either is right for all of them; one costs stalls. */
enum wi_tiles_banks {
    WI_TILES_APART,    /* in and out in two banks */
    WI_TILES_IN_PLACE, /* the first half of a block in one bank, the second in another */
};

/* The routine, p0 = parameter block. */
void wi_tiles_emit(struct wi_build *b, enum wi_tiles_banks banks);

#endif

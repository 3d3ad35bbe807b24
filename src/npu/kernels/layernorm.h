/* LayerNorm in one core's memory: y = (x - mean) / sqrt(variance + epsilon) gamma + beta; bf16 x,
 * gamma and beta, fp32 statistics; finite x.  Rows may be slices of longer ones, whose statistics
 * pass from core to core as partial sums.
 *
 * Memory:
 *   x        panels of 16 features at a pitch: [rows / 4][2 pairs] of two tiles of 4 rows x 4
 *            features, 32 bytes each.  One bank or several.  Where sums are made there are three
 *            panels at least: those behind a narrower slice are 0.
 *   y        bf16 in the place of x, as tiles of 4 rows x 8, which is what products read; or fp32
 *            of its own: panels at a pitch, [rows / 4][2 pairs] of tiles of 4 rows x 8, 128 bytes
 *            each, so that a row of a tile is 8 words for a DMA to bring to its place.
 *   weights  [panel][2 pairs] of 8 beta, twice, and 8 gamma, twice: 64 bytes.  A bank without x.
 *   state    [rows / 4] of 16 fp32 partial sums of x and 16 of x squared: 128 bytes.  They become
 *            scales: 1 / deviation as two bf16 and -mean / deviation in fp32, in lanes of 4 rows x
 *            4, 128 bytes; or, for exact bf16, of 2 rows x 8, 256 bytes, so that there the sums of
 *            16 rows begin 1 KB apart.  In pieces of 1 KB at a pitch, in a bank without x or
 *            weights (a shared one costs stalls, nothing else). */
#ifndef WISP_SRC_NPU_KERNELS_LAYERNORM_H
#define WISP_SRC_NPU_KERNELS_LAYERNORM_H

#include "npu/asm/build.h"

/* z = (x - mean) / deviation times gamma: z with 16 bits of mantissa, or rounded to bf16; and the
 * former with y in fp32. */
enum wi_layernorm_grade { WI_LAYERNORM_EXACT, WI_LAYERNORM_FAST, WI_LAYERNORM_F32 };

enum { WI_LAYERNORM_PIECE = 1024 };

struct wi_layernorm_shape {
    int rows;        /* a multiple of 16 */
    int features;    /* of a whole row: 16 ... 1280, a multiple of 16 */
    int here;        /* of them in this memory, a multiple of 16; x of 16 rows: from 32 on */
    int pitch;       /* of x: bytes from panel to panel, at least 32 x rows */
    int y_pitch;     /* of y in fp32, at least 64 x rows */
    int state_pitch; /* of the state: bytes from piece to piece, at least 1024 */
    float epsilon;   /* more than 0 */
    enum wi_layernorm_grade grade;
};

struct wi_layernorm_at {
    uint32_t x, y, weights, state; /* addresses, multiples of 32; y: fp32 */
};

/* The parameter block, which p0 points to. */
struct wi_layernorm_params {
    struct wi_layernorm_at at;
    uint32_t panels, groups, steps; /* to sum; of 16 rows; of 4 rows x 16 features */
    /* m, dn, dj, and outer dn, dj: by panels within 16 rows; by 16 rows; by rows within panels */
    uint32_t sums_x_walk[3], state_walk[3];
    uint32_t x_walk[3], y_walk[3], weights_walk[3], scales_walk[5];
    uint32_t features, inverse[3]; /* bf16 bits: of 1 / features, three that add up to it */
    uint32_t floor;                /* fp32 bits of features^2 epsilon */
};

/* False: no such shape. */
bool wi_layernorm_params(struct wi_layernorm_params *p, const struct wi_layernorm_shape *shape,
                         const struct wi_layernorm_at *at);

/* Routines, p0 = parameter block. */
/* All of it, for 16 whole rows. */
void wi_layernorm_emit(struct wi_build *b, enum wi_layernorm_grade grade);
/* Sums of x.  They start from 0, from those in memory, from the cascade or from both, and go to
 * memory or the cascade. */
enum {
    WI_LAYERNORM_FROM_MEMORY = 1,
    WI_LAYERNORM_FROM_CASCADE = 2,
    WI_LAYERNORM_TO_CASCADE = 4,
    WI_LAYERNORM_SUMS = 8 /* kinds of them */
};
void wi_layernorm_emit_sums(struct wi_build *b, int which);
/* Scales from sums and in their place, for the grade that applies them. */
void wi_layernorm_emit_scales(struct wi_build *b, enum wi_layernorm_grade grade);
/* Scales for 4 x 4 lanes from the same place in the memory of the core to the south. */
void wi_layernorm_emit_scales_from_south(struct wi_build *b);
/* y, by scales. */
void wi_layernorm_emit_apply(struct wi_build *b, enum wi_layernorm_grade grade);

/* gamma and beta of `here` features into their layout, 8 x here bytes. */
void wi_layernorm_pack_weights(uint16_t *weights, const uint16_t *gamma, const uint16_t *beta,
                               int here);

#endif

/* LayerNorm of 16 rows in one core's memory: y = (x - mean) / sqrt(variance + epsilon) gamma +
 * beta; bf16 rows, gamma and beta, fp32 statistics; finite x.  Rows may be slices of longer ones,
 * whose statistics pass from core to core as partial sums.
 *
 * Memory:
 *   x        panels of 16 features at a pitch: [4 groups of 4 rows][2 pairs] of two tiles of
 *            4 rows x 4 features, 32 bytes each.  y takes their place as tiles of 4 rows x 8, which
 *            is what products read.  One bank or several.
 *   weights  [panel][2 pairs] of 8 beta, twice, and 8 gamma, twice: 64 bytes.  A bank without x.
 *   sums     [4 groups of rows] of 16 fp32 partial sums of x and 16 of x squared: 128 bytes
 *   scales   1 / deviation of 16 rows as two bf16, high parts and low parts, and fp32
 *            -mean / deviation: 128 bytes
 *   patterns scratch, 1 KB: the scales as the lanes need them.  Best in a bank without x or
 *            weights (a shared one costs stalls, nothing else). */
#ifndef WISP_SRC_NPU_KERNELS_LAYERNORM_H
#define WISP_SRC_NPU_KERNELS_LAYERNORM_H

#include "npu/asm/build.h"

/* z = (x - mean) / deviation times gamma: z with 16 bits of mantissa, or rounded to bf16. */
enum wi_layernorm_grade { WI_LAYERNORM_EXACT, WI_LAYERNORM_FAST };

struct wi_layernorm_shape {
    int features;  /* of a whole row: 16 ... 1280, a multiple of 16 */
    int here;      /* of them in this memory, a multiple of 16, from 80 on */
    int pitch;     /* bytes from panel to panel, at least 512 */
    float epsilon; /* more than 0 */
    enum wi_layernorm_grade grade;
};

struct wi_layernorm_at {
    uint32_t x, weights, sums, scales, patterns; /* addresses */
};

/* The parameter block, which p0 points to. */
struct wi_layernorm_params {
    struct wi_layernorm_at at;
    uint32_t panels, groups;             /* of rows */
    uint32_t next_panel;                 /* from the last 32 bytes of one */
    uint32_t x_walk[3], weights_walk[3]; /* m, dn, dj */
    uint32_t features, inverse[3];       /* bf16 bits: of 1 / features, three that add up to it */
    uint32_t floor;                      /* fp32 bits of features^2 epsilon */
};

/* False: no such shape. */
bool wi_layernorm_params(struct wi_layernorm_params *p, const struct wi_layernorm_shape *shape,
                         const struct wi_layernorm_at *at);

/* Routines, p0 = parameter block. */
/* All of it; x holds whole rows. */
void wi_layernorm_emit(struct wi_build *b, enum wi_layernorm_grade grade);
/* Sums of x: to memory; added to those in memory; and on a cascade column, whose top sends them,
 * the middle adds its own and sends them on, and the bottom adds its own and has those of all. */
enum wi_layernorm_sums {
    WI_LAYERNORM_SUMS,
    WI_LAYERNORM_MORE_SUMS,
    WI_LAYERNORM_TOP_SUMS,
    WI_LAYERNORM_MIDDLE_SUMS,
    WI_LAYERNORM_BOTTOM_SUMS
};
void wi_layernorm_emit_sums(struct wi_build *b, enum wi_layernorm_sums which);
void wi_layernorm_emit_scales(struct wi_build *b); /* scales from sums */
/* y over x, by scales */
void wi_layernorm_emit_apply(struct wi_build *b, enum wi_layernorm_grade grade);

/* gamma and beta of `here` features into their layout, 8 x here bytes. */
void wi_layernorm_pack_weights(uint16_t *weights, const uint16_t *gamma, const uint16_t *beta,
                               int here);

#endif

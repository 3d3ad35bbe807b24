/* What the files of LayerNorm share: sums and scales of 16 rows in registers. */
#ifndef WISP_SRC_NPU_KERNELS_LAYERNORM_PARTS_H
#define WISP_SRC_NPU_KERNELS_LAYERNORM_PARTS_H

#include "npu/kernels/layernorm.h"
#include "npu/kernels/ops.h"

enum { WI_LN_BANK_X = 1 | 2, WI_LN_BANK_STATE = 4, WI_LN_BANK_WEIGHTS = 8 };
enum {
    WI_LN_STREAM_X = 1,
    WI_LN_STREAM_Y,
    WI_LN_STREAM_WEIGHTS,
    WI_LN_STREAM_SUMS,
    WI_LN_STREAM_SCALES
};
enum { WI_LN_BF16_ONE = 0x3f80 };
#define WI_LN_AT(field) offsetof(struct wi_layernorm_params, field)

/* Configurations of the MAC unit; of 4 groups of 4 rows the sums and those of squares; scales of
 * 16 rows. */
struct wi_ln {
    struct wi_vreg lanes, sum;
    struct wi_vreg acc[8];
    struct wi_vreg scale, shift; /* x: high and low parts; bm */
};
struct wi_ln wi_ln_begin(struct wi_build *b);

/* scale and shift from acc */
void wi_ln_find_scales(struct wi_build *b, struct wi_ln *k);
/* To memory, each as often as the grade's lanes need it; the cursor moves on if it has a walk. */
void wi_ln_store_scales(struct wi_build *b, const struct wi_ln *k, enum wi_layernorm_grade grade,
                        const struct wi_cursor *to);
/* Scales as they lie there, of 4 rows after the others. */
struct wi_cursor wi_ln_scales(struct wi_build *b);

/* Where what is needed to apply them lies: parameters, which may be loaded early. */
struct wi_ln_places {
    struct wi_vreg steps;
    struct wi_cursor x, y, weights, scales;
};
struct wi_ln_places wi_ln_places(struct wi_build *b, enum wi_layernorm_grade grade);
/* The loop over all of x, by the scales in memory. */
void wi_ln_apply(struct wi_build *b, const struct wi_ln *k, const struct wi_ln_places *at,
                 enum wi_layernorm_grade grade);

#endif

/* What the forms of attention share: where things lie, and their loops. */
#ifndef WISP_SRC_NPU_KERNELS_ATTENTION_PARTS_H
#define WISP_SRC_NPU_KERNELS_ATTENTION_PARTS_H

#include "npu/kernels/attention.h"
#include "npu/kernels/ops.h"

enum {
    TILE = 64,        /* bytes of 32 bf16 or 16 fp32 */
    GROUP = 2 * TILE, /* the two tiles of 4 queries or keys in a panel of 16 d */
    PITCH = WI_ATT_PITCH,
    GROUPS = WI_ATT_QUERIES / 16,
    TILES = WI_ATT_QUERIES / 4,
    QUERY_TILE = 256,    /* bytes of scores of 4 queries */
    FAR_SCORES = 0x8000, /* from the first to the fifth piece of scores */
    PANEL = 3072,
    SRS_SHIFT = 6, /* from 13 fraction bits to bf16's 7 */
    HALF_SHIFT = 16,
    /* O's pointers: offsets to both of its tile rows fit in front and behind. */
    O_MIDDLE = 768
};

enum {
    STREAM_Q = 1,
    STREAM_K,
    STREAM_V,
    STREAM_S,
    STREAM_P,
    STREAM_O,
    STREAM_O_OUT,
    STREAM_L,
    STREAM_L_OUT,
    STREAM_C,
    STREAM_C_OUT,
    STREAM_STATUS = 255 /* that of the parameters */
};

/* vshuffle: 16-bit elements, 8 x 4 to 4 x 8; 128-bit elements 0, 2 or 1, 3 of both registers */
enum { TRANSPOSE_8x4 = 28, EVEN_128 = 8, ODD_128 = 9, ODD_64 = 7, ODD_16 = 3 };

#define STATUS_AT offsetof(struct wi_att_params, status)
#define PARAM(b, field, name)                                                                      \
    wi_k_param(b, WI_FAMILY_P, offsetof(struct wi_att_params, field), name)

static inline int o_offset(int e, int q, int half) {
    return (e ? O_MIDDLE : -O_MIDDLE) + TILE * q + 32 * half;
}

/* The first status of a head is 0; hits are added. */
void wi_att_store_status(struct wi_build *b, struct wi_vreg status);
/* All pieces of scores, `step` bytes at a time: 4 at a pitch, 2 far away. */
struct wi_vreg wi_att_walk_scores(struct wi_build *b, int step);
/* The two tiles of 16 d at a pointer, which then goes on. */
void wi_att_load_pair(struct wi_build *b, struct wi_vreg x[2], struct wi_vreg p,
                      struct wi_vreg walk, uint8_t bank, uint8_t stream);
/* O = 0, l = 0, status = 0, and 96 times these 32 bits in c. */
void wi_att_start(struct wi_build *b, uint32_t c);
/* Loops over scores of 16 or 32 keys, which are at the start of each query tile's bytes: exp2, and
 * what is added to O. */
void wi_att_exp(struct wi_build *b, int keys);
void wi_att_values(struct wi_build *b, int keys);

#endif

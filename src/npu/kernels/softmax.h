/* Softmax of rows in one core's memory: y[i] = exp(scale (x[i] - max)) / sum of those of the
 * first `valid` elements, and 0 for the others; bf16, in place. |x| < 2^100 and scale |x| < 2^28.
 *
 * Memory, of the first half of the rows in banks 0 and 1, of the others in banks 2 and 3:
 *   x      row by row at a pitch; what lies behind a row, up to wi_softmax_room, is written too, as
 *          are rows behind the last one, up to wi_softmax_rows
 *   state  scratch, WI_SOFTMAX_STATE bytes a row */
#ifndef WISP_SRC_NPU_KERNELS_SOFTMAX_H
#define WISP_SRC_NPU_KERNELS_SOFTMAX_H

#include "npu/asm/build.h"

enum { WI_SOFTMAX_ROWS = 16 /* at least */, WI_SOFTMAX_LONGEST = 1536, WI_SOFTMAX_STATE = 128 };

struct wi_softmax_shape {
    int rows;     /* 1 ... */
    int length;   /* 1 ... 1536 */
    int valid;    /* 1 ... length */
    int pitch;    /* bytes from row to row: a multiple of 32, at least the room of a row */
    double scale; /* 2^-20 ... 2^20 */
};

/* The parameter block, which p0 points to. */
struct wi_softmax_params {
    uint32_t x[2], state[2];        /* addresses */
    uint32_t rows, pairs;           /* of a row in each half */
    uint32_t steps, long_steps;     /* of 32 and of 64 elements in a row */
    uint32_t walk[3], long_walk[3]; /* m, dn, dj: through x by steps, by long steps */
    uint32_t state_walk[5]; /* m, dn, dj from row to row; outer dn, dj: for all steps of a row */
    uint32_t edge[2], pitch, beyond;            /* where valid elements end; lanes that are not */
    uint32_t fill[2], fill_steps, fill_walk[3]; /* steps without a valid element */
    uint32_t scale[2]; /* bf16 bits of scale log2(e), two that add up to it */
    uint32_t reach;    /* fp32 bits: 126 octaves below the maximum */
};

/* Bytes of a row of `length` elements and what is written behind it. */
int wi_softmax_room(int length);
/* Rows, half of them in each half of memory, of which the first `rows` are asked for. */
int wi_softmax_rows(int rows);
/* False: no such shape. */
bool wi_softmax_params(struct wi_softmax_params *p, const struct wi_softmax_shape *shape,
                       const uint32_t x[2], const uint32_t state[2]);

/* The routine: p0 = parameter block. */
void wi_softmax_emit(struct wi_build *b);

#endif

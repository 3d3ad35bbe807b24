/* GELU in place on bf16 by a table: max(x, 0) - h(|x|), where h(t) = t erfc(t / sqrt 2) / 2 is 16
 * straight lines an octave for t from 2^-9 to 8.  Faster than gelu.h, and as exact for values that
 * are not small beside others; in the far negative tail only that has its relative accuracy.
 *
 * Memory: x in panels of `panel` bytes at a pitch, in one bank or several; the table twice, in two
 * banks without x. */
#ifndef WISP_SRC_NPU_KERNELS_GELU_TABLE_H
#define WISP_SRC_NPU_KERNELS_GELU_TABLE_H

#include <stddef.h>

#include "npu/asm/build.h"

enum { WI_GELU_TABLE = 97 * 32 + 192, WI_GELU_TABLE_MIN = 160 }; /* bytes; elements */
enum { WI_GELU_TABLE_STREAM_X = 1 }; /* of its loads, for what writes x in the same routine */

/* The parameter block, which p0 points to. */
struct wi_gelu_table_params {
    uint32_t x, steps;         /* of 32 elements */
    uint32_t walk[3];          /* m, dn, dj */
    uint32_t bounds;           /* into the first table */
    uint32_t window, table[2]; /* address bits from 16 up; what is added to twice a bf16 code */
};

/* n panels of `panel` bytes, `pitch` apart, both multiples of 64; the tables' addresses, multiples
 * of 32 in one tile's memory; false: no such shape. */
bool wi_gelu_table_params(struct wi_gelu_table_params *p, int n, int panel, int pitch, uint32_t x,
                          const uint32_t table[2]);
void wi_gelu_table(uint16_t table[WI_GELU_TABLE / 2]);

/* The routine: p0 = parameter block. */
void wi_gelu_table_emit(struct wi_build *b);
/* The same as the end of another one, whose parameter block has this one's at `params`. */
void wi_gelu_table_emit_at(struct wi_build *b, size_t params);

#endif

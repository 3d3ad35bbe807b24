/* Attention of one head for scores of any size: scores in fp32 and a running maximum of each query,
 * 16 keys at a time.  Slower than attention.h, whose memory it uses, so that it can take its place
 * for a head; and the same with a reference that is found once and 2^y as a polynomial, which
 * trusts in no bits of sums.
 *
 *   S = K Q^T in fp32;  m' = max(m, S), a whole number;  a = 2^(m - m')
 *   l = a l + sum of 2^(S - m');  O = a O + V^T 2^(S - m')
 *
 * Memory as in attention.h, but
 *   s   scores of 16 keys in fp32, a query tile's 4 tiles of 4 keys x 4 queries in its 256 bytes;
 * then powers in the first 128 of them c   [96] fp32: m k   becomes a k, v, mask   of 16 keys: the
 * second half of a block of 32 begins 512 bytes later in each piece Right for |S| < 2^45; of keys
 * in the mask anything finite is. */
#ifndef WISP_SRC_NPU_KERNELS_ATTENTION_ONLINE_H
#define WISP_SRC_NPU_KERNELS_ATTENTION_ONLINE_H

#include "npu/kernels/attention.h"

enum { WI_ATT_ONLINE_KEYS = 16, WI_ATT_ONLINE_HALF = 512 };

/* Routines, p0 = parameter block.  A head: start; scores, maxima, rescale, powers, values for each
 * 16 keys; wi_att_finish_emit.  With exact powers maxima and rescale are for the first 16 keys
 * alone, if no score of a query is more than 100 octaves above those. */
void wi_att_online_start_emit(struct wi_build *b);
void wi_att_online_scores_emit(struct wi_build *b);
void wi_att_online_maxima_emit(struct wi_build *b);
void wi_att_online_rescale_emit(struct wi_build *b);
void wi_att_online_powers_emit(struct wi_build *b); /* by the bits of sums near 1663 */
void wi_att_exact_powers_emit(struct wi_build *b);  /* by a polynomial */
void wi_att_online_values_emit(struct wi_build *b);

/* All that 16 keys take. */
void wi_att_online_block_emit(struct wi_build *b);
void wi_att_exact_block_emit(struct wi_build *b);

#endif

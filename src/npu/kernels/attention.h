/* Attention of one head, 96 queries and 32 keys at a time, on one core: scores, exp2 and the
 * weighted sum of values, with the layouts of the encoder's row streams.
 *
 *   S = K Q^T + c      as 16-bit patterns of 2^n (1 + f), from the bits of sums near 1536
 *   P = 3.03 x 2^S, l += P (fp32), P in place of S as bf16
 *   O += V^T P^T       fp32
 *
 * log2(e) / sqrt(64) is part of Q.  A query's factor 3.03 x 2^(c - ..) cancels in O / l.
 *
 * Memory, at a pitch of 4096 bytes (panels of 3072 at the start of each, pieces of 1024 behind):
 *   q   4 panels: [24 groups of 4 queries][2] tiles of 8 d x 4 queries
 *   k   4 pieces of 16 d: [8 groups of 4 keys][2] tiles of 4 keys x 8 d
 *   v   4 pieces of 16 d: [4 groups of 8 keys][4] tiles of 8 keys x 4 d
 *   s   4 pieces from s on and 2 from s + 0x8000 on, of 16 queries each: [4][8] tiles of 4 keys x 4
 *       queries
 *       (what lies behind those 2, at the pitch, is read too and has to be there)
 *   o   4 panels from o on and 4 from o + 0x4000 on, of tiles of 4 d x 4 queries in fp32, 64 bytes:
 *       d-tile 2e + h, query tile t at 0x4000 h + 4096 (e / 2) + 1536 (e % 2) + 64 t
 *   l   [24] tiles of 4 partial sums x 4 queries in fp32, 16 in a piece and 8 in the next one
 *   out 4 panels: [24 groups of 4 queries][2] tiles of 4 queries x 8 d
 *   c   [6] times 16 equal fp32: 1663 - the reference score of 16 queries
 * Banks: q and k differ; v differs from o and s; k and s differ; o's two halves differ and
 * out differs from both. */
#ifndef WISP_SRC_NPU_KERNELS_ATTENTION_H
#define WISP_SRC_NPU_KERNELS_ATTENTION_H

#include "npu/asm/build.h"

enum { WI_ATT_QUERIES = 96, WI_ATT_KEYS = 32, WI_ATT_D = 64, WI_ATT_PITCH = 4096 };

/* 1024 puts sums into one binade; 512 vanishes when 16 bits are kept; 127 is bf16's bias. */
enum { WI_ATT_OFFSET = 1024 + 512 + 127 };

struct wi_att_params {
    uint32_t q, k, v, s, o, l, c, out;
    uint32_t mask[4]; /* bits: lanes of 8 keys x 4 queries that do not count */
    uint32_t status;  /* not 0 after finish: out is not to be used */
};

/* The guard.  Scores count relative to the reference of 16 queries, the largest of their scores
 * with the first 32 keys.  Results are right while they lie from 379 octaves below it to 101 above,
 * first scores from -252 to 228, and each l is at least 2^-100; whatever leaves this, NaN included,
 * sets bits of `status`.  Keys that do not count are watched too, as the mask comes later: 0 is
 * within unless the reference is below -101 or above 379.  Start clears the word; who finds it set
 * after finish repeats the head as attention_online.h does it. */

/* Routines, p0 = parameter block.  A head: start; scores, reference, values with the first 32 keys;
 * scores, values with each 32 more; finish.  The mask, where a block has fewer keys, comes before
 * its values; rows of K and V behind its keys are finite. */
void wi_att_start_emit(struct wi_build *b);     /* O = 0, l = 0, constants for the first block */
void wi_att_scores_emit(struct wi_build *b);    /* s from q and k */
void wi_att_reference_emit(struct wi_build *b); /* c from the first scores, which it then shifts */
void wi_att_mask_emit(struct wi_build *b);      /* scores of keys that do not count */
void wi_att_values_emit(struct wi_build *b);    /* exp2 of s in place; l and O go on */
void wi_att_block_emit(struct wi_build *b);     /* scores and values in one routine */
/* Scores to which c is added when they are finished: an addition of fp32, where otherwise products
 * round in sums that begin near 1663. */
void wi_att_add_scores_emit(struct wi_build *b);
void wi_att_add_block_emit(struct wi_build *b);
/* out = O / l; scores are lost. */
void wi_att_finish_emit(struct wi_build *b);

/* The first n_keys of a block count, 0 to 32. */
void wi_att_mask(struct wi_att_params *p, int n_keys);

#endif

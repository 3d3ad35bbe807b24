/* Which tokens may come next: turns a row of logits into one in which forbidden tokens are -INFINITY
 * (openai-whisper's logit filters).  A wi_rules borrows all it points to and is immutable, so that
 * threads may share it. */
#ifndef WISP_SRC_DECODER_RULES_H
#define WISP_SRC_DECODER_RULES_H

#include <stdbool.h>

#include "cpu/kern.h"
#include "text/vocab.h"

struct wi_rules {
    const struct wi_kern *kern;
    const struct wi_specials *specials;
    int n_vocab;
    const int *suppress; /* ids never sampled */
    size_t n_suppress;
    int blank;                 /* the token " ", which cannot come first; -1 = no such token or no rule */
    bool suppress_blank;       /* neither can end-of-text */
    bool timestamps;           /* the timestamp rules; false when decoding without timestamps */
    int max_initial_timestamp; /* in steps of 0.02 s; -1 = any */
};

/* Apply all rules to logits [n_vocab] of the token after sampled[0..n-1]. */
void wi_rules_apply(const struct wi_rules *rules, const int *sampled, size_t n, float *logits);

/* log(sum exp(x)) over x [n], -INFINITY when all are. */
double wi_log_sum_exp(const struct wi_kern *kern, const float *x, int n);

#endif

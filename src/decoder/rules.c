#include "decoder/rules.h"

#include <math.h>

static void forbid(float *logits, int begin, int end) {
    for (int i = begin; i < end; i++)
        logits[i] = -INFINITY;
}

double wi_log_sum_exp(const struct wi_kern *kern, const float *x, int n) {
    float max = kern->max(x, n);
    return max == -INFINITY ? -INFINITY : max + log(kern->sum_exp(x, n, max));
}

/* Timestamps come in pairs, except directly before end-of-text, and do not decrease. */
static void pair_timestamps(const struct wi_rules *rules, const int *sampled, size_t n, float *logits) {
    int begin = rules->specials->timestamp_begin;
    bool last = n >= 1 && sampled[n - 1] >= begin;
    bool before = n < 2 || sampled[n - 2] >= begin;
    if (last && before) /* a pair, or the first: text or the end follows */
        forbid(logits, begin, rules->n_vocab);
    else if (last) /* the end of a segment: a timestamp or the end follows */
        forbid(logits, 0, rules->specials->eot);

    for (size_t i = n; i-- > 0;) {
        if (sampled[i] < begin)
            continue;
        /* a new segment may start where the last one ended, but must not be empty */
        int first_allowed = last && !before ? sampled[i] : sampled[i] + 1;
        forbid(logits, begin, first_allowed < rules->n_vocab ? first_allowed : rules->n_vocab);
        break;
    }
}

static void timestamp_first(const struct wi_rules *rules, float *logits) {
    int begin = rules->specials->timestamp_begin;
    forbid(logits, 0, begin);
    if (rules->max_initial_timestamp >= 0)
        forbid(logits, begin + rules->max_initial_timestamp + 1, rules->n_vocab);
}

/* When all timestamps together are more probable than any single text token, a timestamp it is. */
static void prefer_timestamps(const struct wi_rules *rules, float *logits) {
    int begin = rules->specials->timestamp_begin;
    double timestamps = wi_log_sum_exp(rules->kern, logits + begin, rules->n_vocab - begin);
    if (timestamps > rules->kern->max(logits, begin))
        forbid(logits, 0, begin);
}

void wi_rules_apply(const struct wi_rules *rules, const int *sampled, size_t n, float *logits) {
    if (rules->suppress_blank && n == 0) {
        if (rules->blank >= 0)
            logits[rules->blank] = -INFINITY;
        logits[rules->specials->eot] = -INFINITY;
    }
    for (size_t i = 0; i < rules->n_suppress; i++)
        logits[rules->suppress[i]] = -INFINITY;
    if (!rules->timestamps)
        return;
    logits[rules->specials->no_timestamps] = -INFINITY;
    pair_timestamps(rules, sampled, n, logits);
    if (n == 0)
        timestamp_first(rules, logits);
    prefer_timestamps(rules, logits);
}

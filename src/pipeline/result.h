/* Collects segments into a wisp_result.  The builder owns everything until wi_result_take; one thread at
 * a time. */
#ifndef WISP_SRC_PIPELINE_RESULT_H
#define WISP_SRC_PIPELINE_RESULT_H

#include <wisp/wisp.h>

#include "decoder/search.h"
#include "text/vocab.h"

struct wi_result_builder {
    const struct wi_vocab *vocab;
    struct wisp_result *result;
    size_t capacity;         /* segments that fit */
    int *tokens;             /* all tokens: the initial prompt's, then those of all segments */
    size_t n_tokens, tokens_capacity;
    size_t n_prompt;         /* of the initial prompt */
};

int wi_result_init(struct wi_result_builder *b, const struct wi_vocab *vocab, struct wisp_error *err);
void wi_result_fini(struct wi_result_builder *b);

int wi_result_add_tokens(struct wi_result_builder *b, const int *tokens, size_t n,
                         struct wisp_error *err);

/* Add a segment of the window that starts at frame `seek`.  One without text or duration is emptied, as
 * the reference does, and adds no tokens. */
int wi_result_add_segment(struct wi_result_builder *b, int64_t seek, double start, double end,
                          const int *tokens, size_t n, const struct wi_decoding *d,
                          struct wisp_error *err);

/* Finish: the joined text; the result is the caller's and the builder empty. */
int wi_result_take(struct wi_result_builder *b, struct wisp_result **out, struct wisp_error *err);

#endif

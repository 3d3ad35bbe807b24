/* Turns one 30 s window into tokens: prompt, token rules, greedy or beam search or sampling at one
 * temperature (openai-whisper's DecodingTask).  A decoding owns its arrays until wi_decoding_fini; a
 * searcher owns its scratch and borrows decoder and vocabulary.  One thread at a time. */
#ifndef WISP_SRC_DECODER_SEARCH_H
#define WISP_SRC_DECODER_SEARCH_H

#include "decoder/decoder.h"
#include "text/vocab.h"

struct wi_decoding { /* openai-whisper's DecodingResult */
    int *tokens; /* sampled tokens, without end-of-text */
    size_t n_tokens;
    char *text; /* of the tokens, without white space at both ends */
    double temperature, avg_logprob, compression_ratio, no_speech_prob;
};
void wi_decoding_fini(struct wi_decoding *d);

struct wi_search_params { /* openai-whisper's DecodingOptions */
    int lang;               /* index, ignored when English-only */
    bool translate;
    double temperature;
    int beam_size;          /* used at temperature 0; 1 = greedy */
    int best_of;            /* used at temperature > 0 */
    double patience;        /* beam search ends with round(beam_size * patience) finished sequences */
    double length_penalty;  /* alpha of ((5 + length) / 6)^alpha; negative = divide by the length */
    int sample_len;         /* most tokens to sample */
    const int *prompt;      /* previous-context tokens, without <|startofprev|> */
    size_t n_prompt;
    bool no_timestamps, suppress_blank;
    double max_initial_timestamp; /* seconds; NAN = off */
    const int *suppress;    /* ids never to be sampled */
    size_t n_suppress;
    uint64_t *rng;          /* state of the sampling generator */
    int *n_steps;           /* counts decoder runs */
    bool (*should_abort)(void *user); /* may be NULL; polled once a step */
    void *user;
};

struct wi_search;
int wi_search_create(struct wi_search **out, const struct wi_vocab *vocab, struct wi_dec *dec,
                     const struct wisp_dims *dims, struct wisp_error *err);
void wi_search_destroy(struct wi_search **search);

/* The decoder must have been given the window's audio.  Errors: NOMEM, CANCELLED, INTERNAL. */
int wi_search_run(struct wi_search *search, const struct wi_search_params *params,
                  struct wi_decoding *out, struct wisp_error *err);

/* Language of the window: index and probability of the most probable one. */
int wi_search_language(struct wi_search *search, int *lang, double *prob, struct wisp_error *err);

#endif

#include "pipeline/result.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "text/strip.h"

int wi_result_init(struct wi_result_builder *b, const struct wi_vocab *vocab, struct wisp_error *err) {
    memset(b, 0, sizeof *b);
    b->vocab = vocab;
    b->result = wi_calloc(1, sizeof *b->result);
    return b->result ? WISP_OK : wi_err_nomem(err, "the result");
}

void wi_result_fini(struct wi_result_builder *b) {
    wisp_result_free(&b->result);
    wi_free(b->tokens);
    memset(b, 0, sizeof *b);
}

void wisp_result_free(struct wisp_result **out) {
    struct wisp_result *r = out ? *out : NULL;
    if (!r)
        return;
    for (size_t i = 0; i < r->n_segments; i++) {
        wi_free((void *)(uintptr_t)r->segments[i].text);
        wi_free((void *)(uintptr_t)r->segments[i].tokens);
    }
    wi_free(r->segments);
    wi_free(r->text);
    wi_free(r);
    *out = NULL;
}

/* Grow *array of `size`-byte elements so that `need` fit. */
static int grow(void **array, size_t *capacity, size_t need, size_t size, struct wisp_error *err) {
    if (need <= *capacity)
        return WISP_OK;
    size_t wanted = need + need / 2 + 16;
    void *grown = wi_realloc(*array, wanted, size);
    if (!grown)
        return wi_err_nomem(err, "the transcript");
    *array = grown;
    *capacity = wanted;
    return WISP_OK;
}

int wi_result_add_tokens(struct wi_result_builder *b, const int *tokens, size_t n,
                         struct wisp_error *err) {
    void *array = b->tokens;
    int rc = grow(&array, &b->tokens_capacity, b->n_tokens + n, sizeof *tokens, err);
    b->tokens = array;
    if (rc == WISP_OK && n > 0) {
        memcpy(b->tokens + b->n_tokens, tokens, n * sizeof *tokens);
        b->n_tokens += n;
    }
    return rc;
}

/* Text of the tokens below end-of-text. */
static char *text_of(const struct wi_vocab *vocab, const int *tokens, size_t n) {
    int eot = wi_vocab_specials(vocab)->eot;
    int *plain = wi_malloc(n, sizeof *plain);
    size_t n_plain = 0;
    if (!plain)
        return NULL;
    for (size_t i = 0; i < n; i++)
        if (tokens[i] < eot)
            plain[n_plain++] = tokens[i];
    char *text = wi_vocab_decode(vocab, plain, n_plain);
    wi_free(plain);
    return text;
}

/* *blank = whether the text is only white space. */
static int is_blank(const char *text, bool *blank, struct wisp_error *err) {
    char *copy = wi_strdup(text);
    if (!copy)
        return wi_err_nomem(err, "the transcript");
    wi_text_strip(copy);
    *blank = *copy == '\0';
    wi_free(copy);
    return WISP_OK;
}

int wi_result_add_segment(struct wi_result_builder *b, int64_t seek, double start, double end,
                          const int *tokens, size_t n, const struct wi_decoding *d,
                          struct wisp_error *err) {
    struct wisp_result *r = b->result;
    bool blank = false;
    void *array = r->segments;
    int rc = grow(&array, &b->capacity, r->n_segments + 1, sizeof *r->segments, err);
    r->segments = array;
    if (rc != WISP_OK)
        return rc;
    char *text = text_of(b->vocab, tokens, n);
    int *copy = wi_malloc(n, sizeof *copy);
    if (!text || !copy)
        rc = wi_err_nomem(err, "the transcript");
    if (rc == WISP_OK)
        rc = is_blank(text, &blank, err);
    if (rc == WISP_OK && (blank || start == end)) {
        text[0] = '\0';
        n = 0;
    }
    if (rc == WISP_OK)
        rc = wi_result_add_tokens(b, tokens, n, err);
    if (rc != WISP_OK) {
        wi_free(text);
        wi_free(copy);
        return rc;
    }
    memcpy(copy, tokens, n * sizeof *copy);
    r->segments[r->n_segments] = (struct wisp_segment){
        .id = (int)r->n_segments, .seek = seek, .start = start, .end = end,
        .text = text, .tokens = copy, .n_tokens = n,
        .temperature = d->temperature, .avg_logprob = d->avg_logprob,
        .compression_ratio = d->compression_ratio, .no_speech_prob = d->no_speech_prob,
    };
    r->n_segments++;
    return WISP_OK;
}

int wi_result_take(struct wi_result_builder *b, struct wisp_result **out, struct wisp_error *err) {
    b->result->text = wi_vocab_decode(b->vocab, b->tokens + b->n_prompt, b->n_tokens - b->n_prompt);
    if (!b->result->text)
        return wi_err_nomem(err, "the transcript");
    *out = b->result;
    b->result = NULL;
    return WISP_OK;
}

#include "decoder/search.h"

#include <assert.h>
#include <math.h>
#include <string.h>
#include <zlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "decoder/rules.h"
#include "text/strip.h"
#include "text/vocab_data.h"

/* A sequence of sampled tokens with the sum of their log probabilities. */
struct seq {
    int *tokens; /* [sample capacity] */
    int n;
    float sum;
};

struct wi_search {
    const struct wi_vocab *vocab;
    const struct wi_specials *specials;
    struct wi_dec *dec;
    const struct wi_kern *kern;
    int n_vocab, n_ctx;
    float *logits; /* [WI_DEC_MAX_SEQS, n_vocab] */
    int *prompt;   /* [n_ctx]: the initial tokens */
    int n_prompt, sot_index;
    struct seq live[WI_DEC_MAX_SEQS], next[WI_DEC_MAX_SEQS]; /* each [n_ctx] tokens */
    int *live_tokens; /* what they point into */
    struct wi_rules rules;
};

/* A finished or given-up sequence; the best of them is the result. */
struct finished {
    struct seq *seqs;
    int n, max;
};

void wi_decoding_fini(struct wi_decoding *d) {
    wi_free(d->tokens);
    wi_free(d->text);
    memset(d, 0, sizeof *d);
}

int wi_search_create(struct wi_search **out, const struct wi_vocab *vocab, struct wi_dec *dec,
                     const struct wisp_dims *dims, struct wisp_error *err) {
    *out = NULL;
    struct wi_search *s = wi_calloc(1, sizeof *s);
    if (!s)
        return wi_err_nomem(err, "the search");
    s->vocab = vocab;
    s->specials = wi_vocab_specials(vocab);
    s->dec = dec;
    s->kern = wi_dec_kern(dec);
    s->n_vocab = dims->n_vocab;
    s->n_ctx = dims->n_text_ctx;
    s->logits = wi_malloc((size_t)WI_DEC_MAX_SEQS * (size_t)s->n_vocab, sizeof *s->logits);
    s->prompt = wi_malloc((size_t)s->n_ctx, sizeof *s->prompt);
    s->live_tokens = wi_malloc((size_t)2 * WI_DEC_MAX_SEQS * (size_t)s->n_ctx, sizeof *s->live_tokens);
    if (!s->logits || !s->prompt || !s->live_tokens) {
        wi_search_destroy(&s);
        return wi_err_nomem(err, "the search");
    }
    for (int i = 0; i < WI_DEC_MAX_SEQS; i++) {
        s->live[i].tokens = s->live_tokens + (size_t)(2 * i) * (size_t)s->n_ctx;
        s->next[i].tokens = s->live_tokens + (size_t)(2 * i + 1) * (size_t)s->n_ctx;
    }
    *out = s;
    return WISP_OK;
}

void wi_search_destroy(struct wi_search **out) {
    struct wi_search *s = *out;
    if (!s)
        return;
    wi_free(s->logits);
    wi_free(s->prompt);
    wi_free(s->live_tokens);
    wi_free(s);
    *out = NULL;
}

/* ---------------------------------------------------------------- what goes in */

/* <|startofprev|> previous text <|startoftranscript|> language task <|notimestamps|> */
static void build_prompt(struct wi_search *s, const struct wi_search_params *p) {
    const struct wi_specials *sp = s->specials;
    size_t max = (size_t)(s->n_ctx / 2 - 1), n = p->n_prompt < max ? p->n_prompt : max;
    s->n_prompt = 0;
    if (n > 0) {
        s->prompt[s->n_prompt++] = sp->sot_prev;
        memcpy(s->prompt + 1, p->prompt + p->n_prompt - n, n * sizeof *s->prompt);
        s->n_prompt += (int)n;
    }
    s->sot_index = s->n_prompt;
    s->prompt[s->n_prompt++] = sp->sot;
    if (wi_vocab_is_multilingual(s->vocab)) {
        s->prompt[s->n_prompt++] = sp->lang_begin + p->lang;
        s->prompt[s->n_prompt++] = p->translate ? sp->translate : sp->transcribe;
    }
    if (p->no_timestamps)
        s->prompt[s->n_prompt++] = sp->no_timestamps;
}

static void set_rules(struct wi_search *s, const struct wi_search_params *p) {
    s->rules = (struct wi_rules){
        .kern = s->kern, .specials = s->specials, .n_vocab = s->n_vocab,
        .suppress = p->suppress, .n_suppress = p->n_suppress,
        .blank = wi_vocab_find(s->vocab, " ", 1), .suppress_blank = p->suppress_blank,
        .timestamps = !p->no_timestamps,
        .max_initial_timestamp =
            isnan(p->max_initial_timestamp) ? -1 : (int)nearbyint(p->max_initial_timestamp / 0.02),
    };
}

/* Run the prompt; the logits after it are in row 0, and *no_speech is the probability of
 * <|nospeech|> where the transcript starts. */
static int run_prompt(struct wi_search *s, double *no_speech, struct wisp_error *err) {
    int rows[2] = {s->n_prompt - 1, s->sot_index};
    int rc = wi_dec_prompt(s->dec, s->prompt, s->n_prompt, rows, 2, s->logits, err);
    if (rc == WISP_OK) {
        const float *at_sot = s->logits + s->n_vocab;
        *no_speech = exp(at_sot[s->specials->no_speech] - wi_log_sum_exp(s->kern, at_sot, s->n_vocab));
    }
    return rc;
}

/* ---------------------------------------------------------------- sequences */

static void copy_seq(struct seq *dst, const struct seq *src) {
    memcpy(dst->tokens, src->tokens, (size_t)src->n * sizeof *src->tokens);
    dst->n = src->n;
    dst->sum = src->sum;
}

static int finished_init(struct finished *f, int max, int capacity, struct wisp_error *err) {
    f->n = 0;
    f->max = max;
    f->seqs = wi_calloc((size_t)max, sizeof *f->seqs);
    int *tokens = wi_malloc((size_t)max * (size_t)capacity, sizeof *tokens);
    if (!f->seqs || !tokens) {
        wi_free(f->seqs);
        wi_free(tokens);
        f->seqs = NULL;
        return wi_err_nomem(err, "the sequences of the search");
    }
    for (int i = 0; i < max; i++)
        f->seqs[i].tokens = tokens + (size_t)i * (size_t)capacity;
    return WISP_OK;
}

static void finished_fini(struct finished *f) {
    if (f->seqs)
        wi_free(f->seqs[0].tokens);
    wi_free(f->seqs);
}

static void finish(struct finished *f, const struct seq *seq, float sum) {
    assert(f->n < f->max);
    copy_seq(&f->seqs[f->n], seq);
    f->seqs[f->n++].sum = sum;
}

/* ---------------------------------------------------------------- one step */

/* Uniform in [0, 1) from splitmix64 (Steele, Lea, Flood 2014). */
static double next_uniform(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

/* The `count` largest of logits [n] in descending order, equal ones in order of their ids. */
static void top(const struct wi_kern *kern, const float *logits, int n, int count, int *ids) {
    enum { STRIDE = 256 }; /* of which mostly none is large enough */
    int filled = 0;
    for (int i = 0; i < n; i++) {
        int left = n - i < STRIDE ? n - i : STRIDE;
        if (filled == count && i % STRIDE == 0 && !(kern->max(logits + i, left) > logits[ids[count - 1]])) {
            i += left - 1;
            continue;
        }
        if (filled == count && !(logits[i] > logits[ids[count - 1]]))
            continue;
        int at = filled < count ? filled++ : count - 1;
        for (; at > 0 && logits[i] > logits[ids[at - 1]]; at--)
            ids[at] = ids[at - 1];
        ids[at] = i;
    }
}

static int argmax(const struct wi_kern *kern, const float *x, int n) {
    int best = 0;
    top(kern, x, n, 1, &best);
    return best;
}

/* A token drawn with probability softmax(logits / temperature). */
static int sample(const struct wi_kern *kern, const float *logits, int n, double temperature, uint64_t *rng) {
    double max = kern->max(logits, n), total = 0, at = 0;
    for (int i = 0; i < n; i++)
        total += exp((logits[i] - max) / temperature);
    double target = next_uniform(rng) * total;
    int last = 0;
    for (int i = 0; i < n; i++) {
        if (logits[i] == -INFINITY)
            continue;
        at += exp((logits[i] - max) / temperature);
        last = i;
        if (at > target)
            break;
    }
    return last;
}

struct candidate {
    int source; /* live sequence */
    int token;
    float score;
};

/* Stable, descending. */
static void sort_candidates(struct candidate *c, int n) {
    for (int i = 1; i < n; i++) {
        struct candidate x = c[i];
        int j = i;
        for (; j > 0 && x.score > c[j - 1].score; j--)
            c[j] = c[j - 1];
        c[j] = x;
    }
}

static int abort_requested(const struct wi_search_params *p, struct wisp_error *err) {
    if (p->should_abort && p->should_abort(p->user))
        return wi_err_set(err, WISP_E_CANCELLED, "stopped on request in the decoder");
    return WISP_OK;
}

/* Continue `n` sequences next[i] = live[parents[i]] + one token: they become live, and the logits after
 * them are computed unless the text context is full. */
static int advance(struct wi_search *s, const struct wi_search_params *p, const int *parents, int n,
                   bool *full, struct wisp_error *err) {
    int tokens[WI_DEC_MAX_SEQS];
    for (int i = 0; i < n; i++) {
        struct seq swap = s->live[i];
        s->live[i] = s->next[i];
        s->next[i] = swap;
        tokens[i] = s->live[i].tokens[s->live[i].n - 1];
    }
    *full = s->n_prompt + s->live[0].n > s->n_ctx;
    if (*full)
        return WISP_OK;
    ++*p->n_steps;
    int rc = abort_requested(p, err);
    return rc == WISP_OK ? wi_dec_step(s->dec, tokens, parents, n, s->logits, err) : rc;
}

/* next[to] = live[from] + token. */
static void extend(struct wi_search *s, int to, int from, int token, float sum) {
    copy_seq(&s->next[to], &s->live[from]);
    s->next[to].tokens[s->next[to].n++] = token;
    s->next[to].sum = sum;
}

/* ---------------------------------------------------------------- the searches */

/* Independent sequences, each taking its most probable token (temperature 0) or a random one.  All
 * start from the one row of logits after the prompt.  Sequences that ended leave the batch. */
static int search_independent(struct wi_search *s, const struct wi_search_params *p, int n,
                              struct finished *f, struct wisp_error *err) {
    int n_live = n, rc = WISP_OK;
    bool full = false;
    for (int i = 0; i < n; i++)
        s->live[i].n = 0, s->live[i].sum = 0;
    for (int step = 0; step < p->sample_len && n_live > 0 && !full && rc == WISP_OK; step++) {
        int parents[WI_DEC_MAX_SEQS], n_next = 0;
        for (int i = 0; i < n_live; i++) {
            float *logits = s->logits + (size_t)(step ? i : 0) * (size_t)s->n_vocab;
            struct seq *seq = &s->live[i];
            if (step || i == 0)
                wi_rules_apply(&s->rules, seq->tokens, (size_t)seq->n, logits);
            int token = p->temperature > 0 ? sample(s->kern, logits, s->n_vocab, p->temperature, p->rng)
                                           : argmax(s->kern, logits, s->n_vocab);
            float sum = seq->sum + (float)(logits[token] - wi_log_sum_exp(s->kern, logits, s->n_vocab));
            if (token == s->specials->eot) {
                finish(f, seq, sum);
            } else {
                extend(s, n_next, i, token, sum);
                parents[n_next++] = step ? i : 0;
            }
        }
        n_live = n_next;
        if (n_live > 0 && step + 1 < p->sample_len)
            rc = advance(s, p, parents, n_live, &full, err);
        else if (n_live > 0)
            for (int i = 0; i < n_live; i++)
                copy_seq(&s->live[i], &s->next[i]);
    }
    for (int i = 0; rc == WISP_OK && i < n_live; i++)
        finish(f, &s->live[i], s->live[i].sum);
    return rc;
}

/* The beam + 1 best continuations of every live sequence, best first. */
static int collect(struct wi_search *s, int n_live, int beam, struct candidate *c) {
    int n = 0, ids[WI_DEC_MAX_SEQS + 1];
    for (int i = 0; i < n_live; i++) {
        float *logits = s->logits + (size_t)i * (size_t)s->n_vocab;
        wi_rules_apply(&s->rules, s->live[i].tokens, (size_t)s->live[i].n, logits);
        double total = wi_log_sum_exp(s->kern, logits, s->n_vocab);
        top(s->kern, logits, s->n_vocab, beam + 1, ids);
        for (int j = 0; j <= beam; j++)
            c[n++] = (struct candidate){i, ids[j], s->live[i].sum + (float)(logits[ids[j]] - total)};
    }
    sort_candidates(c, n);
    return n;
}

/* Beam search with patience (arXiv:2204.05424): over when round(beam * patience) sequences ended.  The
 * reference starts with `beam` equal sequences whose equal continuations merge; starting with one is
 * the same. */
static int search_beam(struct wi_search *s, const struct wi_search_params *p, struct finished *f,
                       struct wisp_error *err) {
    struct candidate candidates[WI_DEC_MAX_SEQS * (WI_DEC_MAX_SEQS + 1)];
    int beam = p->beam_size, wanted = (int)nearbyint(beam * p->patience), n_live = 1, rc = WISP_OK;
    bool full = false;
    s->live[0].n = 0;
    s->live[0].sum = 0;
    for (int step = 0; step < p->sample_len && !full; step++) {
        int n = collect(s, n_live, beam, candidates), parents[WI_DEC_MAX_SEQS], n_next = 0;
        for (int i = 0; i < n && n_next < beam; i++) {
            const struct candidate *c = &candidates[i];
            if (c->token != s->specials->eot) {
                extend(s, n_next, c->source, c->token, c->score);
                parents[n_next++] = c->source;
            } else if (f->n < wanted) {
                finish(f, &s->live[c->source], c->score);
            }
        }
        n_live = n_next;
        if (f->n >= wanted || step + 1 == p->sample_len) {
            for (int i = 0; i < n_live; i++)
                copy_seq(&s->live[i], &s->next[i]);
            break;
        }
        rc = advance(s, p, parents, n_live, &full, err);
        if (rc != WISP_OK)
            return rc;
    }
    /* Too few ended: add the most probable unfinished ones. */
    for (int left = n_live; f->n < beam && left > 0; left--) {
        int best = 0;
        for (int i = 1; i < n_live; i++)
            if (s->live[i].sum > s->live[best].sum)
                best = i;
        finish(f, &s->live[best], s->live[best].sum);
        s->live[best].sum = -INFINITY;
    }
    return rc;
}

/* The index with the best length-normalised score, the first of equals. */
static int rank(const struct finished *f, double alpha) {
    int best = 0;
    double best_score = -INFINITY;
    for (int i = 0; i < f->n; i++) {
        double n = f->seqs[i].n, penalty = alpha < 0 ? (n > 0 ? n : 1) : pow((5 + n) / 6, alpha);
        double score = f->seqs[i].sum / penalty;
        if (score > best_score) {
            best_score = score;
            best = i;
        }
    }
    return best;
}

/* ---------------------------------------------------------------- what comes out */

/* UTF-8 bytes over their zlib size, as the reference's compression_ratio(). */
static int compression_ratio(const char *text, double *ratio, struct wisp_error *err) {
    uLong n = (uLong)strlen(text);
    uLongf packed = compressBound(n);
    Bytef *buf = wi_malloc(packed, 1);
    if (!buf)
        return wi_err_nomem(err, "the compressed text");
    int rc = compress(buf, &packed, (const Bytef *)text, n);
    wi_free(buf);
    if (rc != Z_OK)
        return wi_err_nomem(err, "zlib's state");
    *ratio = (double)n / (double)packed;
    return WISP_OK;
}

static int fill_decoding(struct wi_search *s, const struct seq *seq, struct wi_decoding *out,
                         struct wisp_error *err) {
    out->n_tokens = (size_t)seq->n;
    out->tokens = wi_malloc(out->n_tokens, sizeof *out->tokens);
    out->text = wi_vocab_decode(s->vocab, seq->tokens, out->n_tokens);
    if (!out->tokens || !out->text)
        return wi_err_nomem(err, "the tokens of a window");
    memcpy(out->tokens, seq->tokens, out->n_tokens * sizeof *out->tokens);
    wi_text_strip(out->text);
    out->avg_logprob = seq->sum / (seq->n + 1.0);
    return compression_ratio(out->text, &out->compression_ratio, err);
}

int wi_search_run(struct wi_search *s, const struct wi_search_params *p, struct wi_decoding *out,
                  struct wisp_error *err) {
    bool beam_search = p->temperature == 0 && p->beam_size > 1;
    int n = p->temperature > 0 ? p->best_of : 1;
    int max = beam_search ? (int)nearbyint(p->beam_size * p->patience) + p->beam_size : n;
    struct finished f = {0};

    memset(out, 0, sizeof *out);
    out->temperature = p->temperature;
    build_prompt(s, p);
    set_rules(s, p);
    ++*p->n_steps;
    int rc = abort_requested(p, err);
    if (rc == WISP_OK)
        rc = run_prompt(s, &out->no_speech_prob, err);
    if (rc == WISP_OK)
        rc = finished_init(&f, max, s->n_ctx, err);
    if (rc == WISP_OK)
        rc = beam_search ? search_beam(s, p, &f, err) : search_independent(s, p, n, &f, err);
    if (rc == WISP_OK)
        rc = fill_decoding(s, &f.seqs[rank(&f, p->length_penalty)], out, err);
    finished_fini(&f);
    if (rc != WISP_OK)
        wi_decoding_fini(out);
    return rc;
}

int wi_search_language(struct wi_search *s, int *lang, double *prob, struct wisp_error *err) {
    const struct wi_specials *sp = s->specials;
    int row = 0;
    int rc = wi_dec_prompt(s->dec, &sp->sot, 1, &row, 1, s->logits, err);
    if (rc != WISP_OK)
        return rc;
    const float *languages = s->logits + sp->lang_begin;
    *lang = argmax(s->kern, languages, sp->n_langs);
    *prob = exp(languages[*lang] - wi_log_sum_exp(s->kern, languages, sp->n_langs));
    return WISP_OK;
}

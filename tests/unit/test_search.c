/* The search against a plain transcription of openai-whisper's DecodingTask that keeps whole token
 * sequences, copies of equal beams included, and runs every one of them through the decoder from
 * its start. And what the reference leaves to chance: sampling follows its distribution and its
 * seed. */
#include "suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "decoder/rules.h"
#include "decoder/search.h"
#include "rig.h"
#include "text/vocab_data.h"

enum { CTX = 40, MAX_BEAM = 16, MAX_CANDIDATES = MAX_BEAM * (MAX_BEAM + 1), MAX_DONE = 64 };

static const struct wisp_dims small = {51864, 80, 12, 32, 1, 1, CTX, 32, 2, 1};
static const struct wisp_dims multilingual = {51866, 80, 12, 32, 1, 1, CTX, 32, 2, 1};

struct fixture {
    struct rig *rig;
    struct wi_search *search;
    const struct wi_vocab *vocab;
    const struct wi_specials *specials;
    int n_vocab;
    float *logits;  /* [n_vocab] */
    int *forbidden; /* [n_vocab]; few tokens stay, so that end-of-text comes often */
    size_t n_forbidden;
};

static uint32_t next(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static struct fixture open(const struct wisp_dims *dims) {
    struct fixture f = {.rig = rig_open(dims, WI_PORTABLE, 2), .n_vocab = dims->n_vocab};
    struct rig *rig = f.rig;
    float features[12 * 32];
    uint32_t state = 5;
    for (int i = 0; i < 12 * 32; i++)
        features[i] = (float)next(&state) / 8388608.0f - 1;
    f.vocab = rig->model->vocab;
    f.specials = wi_vocab_specials(f.vocab);
    f.logits = malloc((size_t)f.n_vocab * sizeof *f.logits);
    f.forbidden = malloc((size_t)f.n_vocab * sizeof *f.forbidden);
    if (wi_search_create(&f.search, f.vocab, rig->dec, dims, &rig->err) != WISP_OK ||
        wi_dec_set_audio(rig->dec, features, &rig->err) != WISP_OK)
        fail_msg("%s", rig->err.text);
    return f;
}

static void close(struct fixture *f) {
    wi_search_destroy(&f->search);
    rig_close(f->rig);
    free(f->logits);
    free(f->forbidden);
}

/* Forbid all but end-of-text, `n` random text tokens and the first 60 timestamps. */
static void allow_few(struct fixture *f, int n, uint32_t *state) {
    const struct wi_specials *s = f->specials;
    bool *allowed = calloc((size_t)f->n_vocab, sizeof *allowed);
    allowed[s->eot] = true;
    for (int i = 0; i < n; i++)
        allowed[next(state) % (uint32_t)s->eot] = true;
    for (int i = 0; i < 60; i++)
        allowed[s->timestamp_begin + i] = true;
    f->n_forbidden = 0;
    for (int i = 0; i < f->n_vocab; i++)
        if (!allowed[i])
            f->forbidden[f->n_forbidden++] = i;
    free(allowed);
}

/* ------------------------------------------------------------------ the plain way */

struct plain_seq {
    int tokens[CTX + 2], n; /* prompt and samples */
    float sum;
};

struct plain {
    struct fixture *f;
    const struct wi_search_params *p;
    struct wi_rules rules;
    int n_prompt, sot;
    double no_speech;
    struct plain_seq done[MAX_DONE];
    int n_done;
};

static void add(struct plain_seq *s, int token) {
    s->tokens[s->n++] = token;
}

/* get_initial_tokens(). */
static struct plain_seq initial_tokens(struct plain *q) {
    const struct wi_specials *s = q->f->specials;
    struct plain_seq seq = {.n = 0};
    size_t max = CTX / 2 - 1, skip = q->p->n_prompt > max ? q->p->n_prompt - max : 0;
    if (q->p->n_prompt > 0)
        add(&seq, s->sot_prev);
    for (size_t i = skip; i < q->p->n_prompt; i++)
        add(&seq, q->p->prompt[i]);
    q->sot = seq.n;
    add(&seq, s->sot);
    if (wi_vocab_is_multilingual(q->f->vocab)) {
        add(&seq, s->lang_begin + q->p->lang);
        add(&seq, q->p->translate ? s->translate : s->transcribe);
    }
    if (q->p->no_timestamps)
        add(&seq, s->no_timestamps);
    q->n_prompt = seq.n;
    return seq;
}

/* Logits after the sequence, with all that is forbidden at -INFINITY, and log(sum(exp)) of them. */
static double filtered(struct plain *q, const struct plain_seq *s) {
    struct rig *rig = q->f->rig;
    if (wi_dec_prompt(rig->dec, s->tokens, s->n, (int[]){s->n - 1}, 1, q->f->logits, &rig->err) !=
        WISP_OK)
        fail_msg("%s", rig->err.text);
    wi_rules_apply(&q->rules, s->tokens + q->n_prompt, (size_t)(s->n - q->n_prompt), q->f->logits);
    return wi_log_sum_exp(&q->f->rig->kern, q->f->logits, q->f->n_vocab);
}

static int best_of_row(const float *x, int n) {
    int best = 0;
    for (int i = 1; i < n; i++)
        best = x[i] > x[best] ? i : best;
    return best;
}

static void plain_greedy(struct plain *q) {
    struct plain_seq s = initial_tokens(q);
    for (int i = 0; i < q->p->sample_len && s.n <= CTX; i++) {
        double total = filtered(q, &s);
        int token = best_of_row(q->f->logits, q->f->n_vocab);
        s.sum += (float)(q->f->logits[token] - total);
        if (token == q->f->specials->eot)
            break;
        add(&s, token);
    }
    q->done[q->n_done++] = s;
}

/* scores[sequence] = sum, as in a dict: an equal sequence takes the old one's place. */
static void put(struct plain_seq *dict, int *n, const struct plain_seq *s) {
    for (int i = 0; i < *n; i++)
        if (dict[i].n == s->n &&
            memcmp(dict[i].tokens, s->tokens, (size_t)s->n * sizeof *s->tokens) == 0) {
            dict[i] = *s;
            return;
        }
    dict[(*n)++] = *s;
}

/* The index of the largest of x [n] that is not among taken[0..n_taken-1], the first of equals. */
static int best_but(const float *x, int n, const int *taken, int n_taken) {
    int best = -1;
    for (int i = 0; i < n; i++) {
        bool skip = best >= 0 && !(x[i] > x[best]);
        for (int j = 0; j < n_taken && !skip; j++)
            skip = taken[j] == i;
        best = skip ? best : i;
    }
    return best;
}

/* The beam + 1 best continuations of one beam, forbidden ones too when there are no others. */
static void extend(struct plain *q, const struct plain_seq *beam, struct plain_seq *dict, int *n) {
    double total = filtered(q, beam);
    int taken[MAX_BEAM + 1];
    for (int i = 0; i <= q->p->beam_size; i++) {
        taken[i] = best_but(q->f->logits, q->f->n_vocab, taken, i);
        struct plain_seq s = *beam;
        s.sum += (float)(q->f->logits[taken[i]] - total);
        add(&s, taken[i]);
        put(dict, n, &s);
    }
}

static int by_sum(const struct plain_seq *dict, int n, const bool *taken) {
    int best = -1;
    for (int i = 0; i < n; i++)
        if (!taken[i] && (best < 0 || dict[i].sum > dict[best].sum))
            best = i;
    return best;
}

static void plain_beam(struct plain *q) {
    static struct plain_seq beams[MAX_BEAM], dict[MAX_CANDIDATES];
    int beam = q->p->beam_size, wanted = (int)nearbyint(beam * q->p->patience),
        eot = q->f->specials->eot;
    for (int i = 0; i < beam; i++)
        beams[i] = initial_tokens(q);
    for (int step = 0; step < q->p->sample_len && q->n_done < wanted && beams[0].n <= CTX; step++) {
        bool taken[MAX_CANDIDATES] = {false};
        int n = 0, kept = 0;
        for (int i = 0; i < beam; i++)
            extend(q, &beams[i], dict, &n);
        while (kept < beam) {
            int i = by_sum(dict, n, taken);
            assert_true(i >= 0);
            taken[i] = true;
            if (dict[i].tokens[dict[i].n - 1] != eot) {
                beams[kept++] = dict[i];
            } else if (q->n_done < wanted) {
                q->done[q->n_done] = dict[i];
                q->done[q->n_done++].n--;
            }
        }
    }
    bool taken[MAX_BEAM] = {false};
    for (int left = beam; left > 0 && q->n_done < beam; left--) {
        int i = by_sum(beams, beam, taken);
        taken[i] = true;
        q->done[q->n_done++] = beams[i];
    }
}

/* The result that the reference would choose. */
static const struct plain_seq *plain_run(struct plain *q) {
    const struct wi_search_params *p = q->p;
    struct fixture *f = q->f;
    struct plain_seq start = initial_tokens(q);
    const struct plain_seq *best = NULL;
    double best_score = 0;
    q->rules = (struct wi_rules){
        .kern = &f->rig->kern,
        .specials = f->specials,
        .n_vocab = f->n_vocab,
        .suppress = p->suppress,
        .n_suppress = p->n_suppress,
        .blank = wi_vocab_find(f->vocab, " ", 1),
        .suppress_blank = p->suppress_blank,
        .timestamps = !p->no_timestamps,
        .max_initial_timestamp =
            isnan(p->max_initial_timestamp) ? -1 : (int)lround(p->max_initial_timestamp / 0.02)};
    if (wi_dec_prompt(f->rig->dec, start.tokens, start.n, &q->sot, 1, f->logits, &f->rig->err) !=
        WISP_OK)
        fail_msg("%s", f->rig->err.text);
    double total = wi_log_sum_exp(&f->rig->kern, f->logits, f->n_vocab);
    q->no_speech = exp(f->logits[f->specials->no_speech] - total);
    if (p->beam_size > 1)
        plain_beam(q);
    else
        plain_greedy(q);
    for (int i = 0; i < q->n_done; i++) {
        double n = q->done[i].n - q->n_prompt;
        double score =
            q->done[i].sum / (p->length_penalty < 0 ? n : pow((5 + n) / 6, p->length_penalty));
        if (!best || score > best_score) {
            best = &q->done[i];
            best_score = score;
        }
    }
    return best;
}

/* ------------------------------------------------------------------ comparisons */

static void compare(struct fixture *f, const struct wi_search_params *p, int case_number) {
    static struct plain q;
    struct wi_decoding d;
    struct wisp_error err = {0};
    q = (struct plain){.f = f, .p = p};
    const struct plain_seq *expected = plain_run(&q);
    size_t n = (size_t)(expected->n - q.n_prompt);
    if (wi_search_run(f->search, p, &d, &err) != WISP_OK)
        fail_msg("case %d: %s", case_number, err.text);
    if (d.n_tokens != n ||
        memcmp(d.tokens, expected->tokens + q.n_prompt, n * sizeof *d.tokens) != 0)
        fail_msg("case %d: other tokens than the plain way (%zu, expected %zu)", case_number,
                 d.n_tokens, n);
    double logprob = expected->sum / (double)(n + 1);
    if (fabs(d.avg_logprob - logprob) > 1e-5 || fabs(d.no_speech_prob - q.no_speech) > 1e-7)
        fail_msg("case %d: avg_logprob %g, expected %g; no_speech_prob %g, expected %g",
                 case_number, d.avg_logprob, logprob, d.no_speech_prob, q.no_speech);
    wi_decoding_fini(&d);
}

/* Options of all kinds, 0 <= i < many. */
static struct wi_search_params options(struct fixture *f, uint32_t *state, const int *prompt) {
    static const int beams[] = {1, 2, 3, 5, 5, 16}, lengths[] = {1, 2, 7, 20, 20, 100};
    static const double patiences[] = {0.5, 1, 1, 2.5}, alphas[] = {-1, -1, 0, 0.6, 1};
    static uint64_t rng;
    static int steps;
    allow_few(f, 1 + (int)(next(state) % 12), state);
    return (struct wi_search_params){
        .lang = (int)(next(state) % 99),
        .translate = next(state) % 4 == 0,
        .beam_size = beams[next(state) % 6],
        .best_of = 1,
        .patience = patiences[next(state) % 4],
        .length_penalty = alphas[next(state) % 5],
        .sample_len = lengths[next(state) % 6],
        .prompt = prompt,
        .n_prompt = next(state) % 3 == 0 ? next(state) % 30 : 0,
        .no_timestamps = next(state) % 2,
        .suppress_blank = true,
        .max_initial_timestamp = next(state) % 2 ? NAN : 0.2,
        .suppress = f->forbidden,
        .n_suppress = f->n_forbidden,
        .rng = &rng,
        .n_steps = &steps,
    };
}

static void as_the_plain_way(const struct wisp_dims *dims, int n_cases) {
    struct fixture f = open(dims);
    uint32_t state = 17;
    int prompt[30];
    for (int i = 0; i < 30; i++)
        prompt[i] = (int)(next(&state) % 50000);
    for (int i = 0; i < n_cases; i++) {
        struct wi_search_params p = options(&f, &state, prompt);
        if (i % 3 == 0) { /* sequences of many lengths to rank */
            p.beam_size = 3;
            p.patience = i % 2 ? 0.4 : 2.5;
            p.length_penalty = 0.2 * (i % 5);
            p.sample_len = 8;
            p.no_timestamps = true;
        }
        compare(&f, &p, i);
    }
    close(&f);
}

static void english(void **state) {
    as_the_plain_way(&small, 80);
}
static void many_languages(void **state) {
    as_the_plain_way(&multilingual, 20);
}

/* ------------------------------------------------------------------ sampling */

static struct wi_search_params sampling(struct fixture *f, uint64_t *rng, int *steps) {
    return (struct wi_search_params){.temperature = 0.7,
                                     .beam_size = 5,
                                     .best_of = 1,
                                     .patience = 1,
                                     .length_penalty = -1,
                                     .sample_len = 1,
                                     .no_timestamps = true,
                                     .suppress_blank = true,
                                     .max_initial_timestamp = NAN,
                                     .suppress = f->forbidden,
                                     .n_suppress = f->n_forbidden,
                                     .rng = rng,
                                     .n_steps = steps};
}

static struct wi_decoding draw(struct fixture *f, const struct wi_search_params *p) {
    struct wi_decoding d;
    struct wisp_error err = {0};
    if (wi_search_run(f->search, p, &d, &err) != WISP_OK)
        fail_msg("%s", err.text);
    return d;
}

/* First tokens come as often as softmax(logits / temperature) says. */
static void samples_follow_the_distribution(void **test) {
    enum { DRAWS = 1200 };
    struct fixture f = open(&small);
    uint32_t state = 3;
    uint64_t rng = 42;
    int steps = 0, *counts = calloc((size_t)f.n_vocab, sizeof *counts);
    allow_few(&f, 6, &state);
    struct wi_search_params p = sampling(&f, &rng, &steps);
    for (int i = 0; i < DRAWS; i++) {
        struct wi_decoding d = draw(&f, &p);
        assert_int_equal(d.n_tokens, 1);
        counts[d.tokens[0]]++;
        wi_decoding_fini(&d);
    }
    assert_int_equal(steps, DRAWS);

    struct plain q = {.f = &f, .p = &p};
    q.rules = (struct wi_rules){.kern = &f.rig->kern,
                                .specials = f.specials,
                                .n_vocab = f.n_vocab,
                                .suppress = p.suppress,
                                .n_suppress = p.n_suppress,
                                .blank = -1,
                                .suppress_blank = true};
    struct plain_seq start = initial_tokens(&q);
    filtered(&q, &start);
    for (int i = 0; i < f.n_vocab; i++)
        f.logits[i] /= 0.7f;
    double total = wi_log_sum_exp(&f.rig->kern, f.logits, f.n_vocab), chi2 = 0;
    int kinds = 0, allowed = 0;
    for (int i = 0; i < f.n_vocab; i++) {
        double expected = DRAWS * exp(f.logits[i] - total);
        allowed += expected > 0;
        kinds += counts[i] > 0;
        chi2 +=
            expected > 0 ? (counts[i] - expected) * (counts[i] - expected) / expected : counts[i];
    }
    assert_true(kinds > 5);
    /* mean allowed - 1, variance twice that: six deviations */
    if (chi2 > allowed - 1 + 6 * sqrt(2.0 * (allowed - 1)))
        fail_msg("chi-square %g over %d tokens", chi2, allowed);
    free(counts);
    close(&f);
}

/* The best of n is the most probable of the n that single draws from the same generator give. */
static void best_of_is_the_best(void **test) {
    struct fixture f = open(&small);
    uint32_t state = 4;
    int steps = 0;
    allow_few(&f, 9, &state);
    for (uint64_t seed = 0; seed < 10; seed++) {
        uint64_t one_by_one = seed, together = seed;
        struct wi_search_params p = sampling(&f, &one_by_one, &steps);
        double best = -INFINITY;
        for (int i = 0; i < 5; i++) {
            struct wi_decoding d = draw(&f, &p);
            best = fmax(best, d.avg_logprob);
            wi_decoding_fini(&d);
        }
        p.rng = &together;
        p.best_of = 5;
        struct wi_decoding d = draw(&f, &p);
        assert_true(d.avg_logprob == best);
        assert_true(together == one_by_one);
        assert_true(d.temperature == 0.7);
        wi_decoding_fini(&d);
    }
    close(&f);
}

static void seeds_decide(void **test) {
    struct fixture f = open(&small);
    uint32_t state = 4;
    int steps = 0, different = 0;
    allow_few(&f, 9, &state);
    for (uint64_t seed = 0; seed < 6; seed++) {
        uint64_t a = seed, b = seed, c = seed + 1;
        struct wi_search_params p = sampling(&f, &a, &steps);
        p.sample_len = 100;
        p.best_of = 3;
        p.no_timestamps = false;
        struct wi_decoding first = draw(&f, &p), second, third;
        p.rng = &b;
        second = draw(&f, &p);
        p.rng = &c;
        third = draw(&f, &p);
        assert_int_equal(first.n_tokens, second.n_tokens);
        assert_memory_equal(first.tokens, second.tokens, first.n_tokens * sizeof *first.tokens);
        assert_true(first.avg_logprob == second.avg_logprob);
        different += first.n_tokens != third.n_tokens ||
                     memcmp(first.tokens, third.tokens, first.n_tokens * sizeof *first.tokens) != 0;
        wi_decoding_fini(&first);
        wi_decoding_fini(&second);
        wi_decoding_fini(&third);
    }
    assert_true(different > 0);
    close(&f);
}

/* ------------------------------------------------------------------ the rest */

static bool count_down(void *user) {
    return (*(int *)user)-- == 0;
}

static void stops_at_every_step(void **test) {
    struct fixture f = open(&small);
    uint32_t state = 8;
    uint64_t rng = 0;
    int steps = 0, stop;
    allow_few(&f, 9, &state);
    for (int beam = 1; beam <= 5; beam += 4) {
        struct wi_search_params p = sampling(&f, &rng, &steps);
        struct wisp_error err = {0};
        struct wi_decoding d;
        p.temperature = 0;
        p.beam_size = beam;
        p.sample_len = 6;
        p.should_abort = count_down;
        p.user = &stop;
        int n = 0, rc;
        do {
            stop = n++;
            err.code = 0;
            rc = wi_search_run(f.search, &p, &d, &err);
            assert_true(rc == WISP_OK || (rc == WISP_E_CANCELLED && !d.tokens && !d.text));
        } while (rc != WISP_OK);
        assert_true(n > 2);
        wi_decoding_fini(&d);
    }
    close(&f);
}

/* When not one token is allowed there is no text, but an end. */
static void nothing_allowed(void **test) {
    struct fixture f = open(&small);
    uint64_t rng = 0;
    int steps = 0;
    f.n_forbidden = (size_t)f.n_vocab;
    for (int i = 0; i < f.n_vocab; i++)
        f.forbidden[i] = i;
    for (int i = 0; i < 6; i++) {
        struct wi_search_params p = sampling(&f, &rng, &steps);
        p.no_timestamps = i % 2;
        p.temperature = i < 2 ? 1 : 0;
        p.beam_size = i < 4 ? 1 : 5;
        p.sample_len = 5;
        struct wi_decoding d = draw(&f, &p);
        assert_true(d.n_tokens <= 5);
        wi_decoding_fini(&d);
    }
    close(&f);
}

static void most_probable_language(void **test) {
    struct fixture f = open(&multilingual);
    struct wisp_error err = {0};
    int lang = -1;
    double prob = 0, total = 0;
    assert_int_equal(wi_search_language(f.search, &lang, &prob, &err), WISP_OK);
    wi_dec_prompt(f.rig->dec, &f.specials->sot, 1, (int[]){0}, 1, f.logits, &err);
    const float *l = f.logits + f.specials->lang_begin;
    assert_int_equal(f.specials->n_langs, 100);
    assert_int_equal(lang, best_of_row(l, 100));
    for (int i = 0; i < 100; i++)
        total += exp(l[i] - l[lang]);
    assert_true(fabs(prob - 1 / total) < 1e-6);
    close(&f);
}

WISP_SUITE(cmocka_unit_test(english), cmocka_unit_test(many_languages),
           cmocka_unit_test(samples_follow_the_distribution), cmocka_unit_test(best_of_is_the_best),
           cmocka_unit_test(seeds_decide), cmocka_unit_test(stops_at_every_step),
           cmocka_unit_test(nothing_allowed), cmocka_unit_test(most_probable_language))

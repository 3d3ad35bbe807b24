/* The decoder against the f64 formulas, whatever way the tokens came in: one prompt, single steps,
 * or a tree of sequences that share history.  And its promises: independence of the thread count,
 * limits, and errors that name the layer. */
#include "suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "naive.h"
#include "rig.h"

static const struct wisp_dims small = {51864, 80, 37, 64, 1, 1, 24, 64, 2, 2};

/* Heads of 128, 24 and 1 values, one audio position, and more prompt than a matvec takes. */
static const struct wisp_dims shapes[] = {
    {51864, 80, 37, 64, 1, 1, 24, 64, 2, 2},
    {51865, 80, 97, 128, 1, 1, 8, 128, 1, 1},
    {51866, 80, 1, 72, 1, 1, 60, 72, 3, 1},
    {51864, 80, 50, 5, 1, 1, 8, 5, 5, 1},
};

static void check(struct rig *rig, int rc) {
    if (rc != WISP_OK)
        fail_msg("%s", rig->err.text);
}

/* Deterministic tokens [n], and features [n_audio_ctx, n_state] in both precisions, for free(). */
static int *make_tokens(int n, int n_vocab, unsigned seed) {
    int *tokens = malloc((size_t)n * sizeof *tokens);
    for (int i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        tokens[i] = (int)(seed >> 8) % n_vocab;
    }
    return tokens;
}

static float *make_features(const struct wisp_dims *d, unsigned seed, double **exact) {
    size_t n = (size_t)d->n_audio_ctx * (size_t)d->n_audio_state;
    float *x = malloc(n * sizeof *x);
    *exact = malloc(n * sizeof **exact);
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        (*exact)[i] = x[i] = (float)(seed >> 8) / 8388608.0f - 1;
    }
    return x;
}

/* docs/numerics.md */
static double bound(const struct rig *rig) {
    return rig->weights.format == WI_DEC_F32 ? rig_bound(rig->kern.level) : 2e-2;
}

static void expect_near(const char *what, const struct rig *rig, const float *x, const double *ref,
                        size_t n) {
    double distance = naive_distance(x, ref, n);
    if (!(distance <= bound(rig)))
        fail_msg("%s at %s with %s weights: %.2e off", what, wi_level_name(rig->kern.level),
                 wi_dec_format_name(rig->weights.format), distance);
}

/* All tokens as one prompt, and one after another. */
static void check_shape(const struct wisp_dims *d, enum wi_level level, enum wi_dec_format format,
                        const double *expected, const int *tokens, const float *features) {
    size_t n_vocab = (size_t)d->n_vocab, n = (size_t)d->n_text_ctx;
    int *rows = malloc(n * sizeof *rows), parent = 0;
    float *logits = malloc(n * n_vocab * sizeof *logits);
    struct rig *rig = rig_open_format(d, level, format, 2);
    for (int i = 0; i < d->n_text_ctx; i++)
        rows[i] = i;
    check(rig, wi_dec_set_audio(rig->dec, features, &rig->err));
    check(rig, wi_dec_prompt(rig->dec, tokens, (int)n, rows, (int)n, logits, &rig->err));
    assert_int_equal(wi_dec_length(rig->dec), n);
    expect_near("prompt", rig, logits, expected, n * n_vocab);

    for (size_t i = 0; i < n; i++) {
        int rc = i ? wi_dec_step(rig->dec, tokens + i, &parent, 1, logits, &rig->err)
                   : wi_dec_prompt(rig->dec, tokens, 1, rows, 1, logits, &rig->err);
        check(rig, rc);
        expect_near("step", rig, logits, expected + i * n_vocab, n_vocab);
    }
    rig_close(rig);
    free(rows);
    free(logits);
}

static void every_level_is_near_f64(void **state) {
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const struct wisp_dims *d = &shapes[i];
        double *exact,
            *expected = malloc((size_t)d->n_text_ctx * (size_t)d->n_vocab * sizeof *expected);
        float *features = make_features(d, (unsigned)i, &exact);
        int *tokens = make_tokens(d->n_text_ctx, d->n_vocab, 7);
        struct rig *rig = rig_open(d, WI_PORTABLE, 1);
        naive_decode(rig->model, exact, tokens, d->n_text_ctx, expected);
        rig_close(rig);
        for (int level = 0; level < WI_N_LEVELS; level++)
            for (int format = 0; format < WI_N_DEC_FORMATS && rig_has(level); format++)
                check_shape(d, level, format, expected, tokens, features);
        free(exact);
        free(expected);
        free(features);
        free(tokens);
    }
}

/* Sequences that a search would keep: their whole history, to be run alone. */
struct tree {
    int n_seqs;
    int tokens[WI_DEC_MAX_SEQS][24];
};

static void grow(struct tree *tree, const int *tokens, const int *parents, int n, int at) {
    struct tree old = *tree;
    for (int i = 0; i < n; i++) {
        memcpy(tree->tokens[i], old.tokens[parents[i]], sizeof tree->tokens[i]);
        tree->tokens[i][at] = tokens[i];
    }
    tree->n_seqs = n;
}

static void check_branches(enum wi_dec_format format) {
    enum { PROMPT = 3 };
    static const int widths[] = {5, 16, 1, 16, 2, 7, 7,  3,  16, 16, 16,
                                 5, 1,  2, 3,  4, 5, 16, 16, 16, 16};
    size_t n_vocab = (size_t)small.n_vocab;
    double *exact, *expected = malloc(24 * n_vocab * sizeof *expected);
    float *features = make_features(&small, 9, &exact);
    float *logits = malloc(WI_DEC_MAX_SEQS * n_vocab * sizeof *logits);
    struct rig *rig = rig_open_format(&small, wi_cpu_detect(), format, 2);
    struct tree tree = {.n_seqs = 1};
    int *prompt = make_tokens(PROMPT, small.n_vocab, 1), last = PROMPT - 1;
    memcpy(tree.tokens[0], prompt, PROMPT * sizeof *prompt);
    check(rig, wi_dec_set_audio(rig->dec, features, &rig->err));
    check(rig, wi_dec_prompt(rig->dec, prompt, PROMPT, &last, 1, logits, &rig->err));

    for (int at = PROMPT; at < small.n_text_ctx; at++) {
        int n = widths[at - PROMPT], parents[WI_DEC_MAX_SEQS];
        int *tokens = make_tokens(n, small.n_vocab, 100 + (unsigned)at);
        for (int i = 0; i < n; i++)
            parents[i] = tokens[i] % tree.n_seqs;
        check(rig, wi_dec_step(rig->dec, tokens, parents, n, logits, &rig->err));
        grow(&tree, tokens, parents, n, at);
        assert_int_equal(wi_dec_length(rig->dec), at + 1);
        /* one of them each time, the last round all */
        for (int i = at % n; i < n; i += at + 1 < small.n_text_ctx ? n : 5) {
            naive_decode(rig->model, exact, tree.tokens[i], at + 1, expected);
            expect_near("branch", rig, logits + (size_t)i * n_vocab,
                        expected + (size_t)at * n_vocab, n_vocab);
        }
        free(tokens);
    }
    rig_close(rig);
    free(exact);
    free(expected);
    free(features);
    free(logits);
    free(prompt);
}

static void branches_equal_lone_sequences(void **state) {
    for (int format = 0; format < WI_N_DEC_FORMATS; format++)
        check_branches(format);
}

/* Prompt of 20 tokens and a step of 5 sequences: logits [1 + 5, n_vocab] for free(). */
static float *run(struct rig *rig, const float *features) {
    size_t n_vocab = (size_t)rig->model->dims.n_vocab;
    float *logits = malloc(6 * n_vocab * sizeof *logits);
    int *tokens = make_tokens(20, rig->model->dims.n_vocab, 2), parents[5] = {0}, last = 19;
    check(rig, wi_dec_set_audio(rig->dec, features, &rig->err));
    check(rig, wi_dec_prompt(rig->dec, tokens, 20, &last, 1, logits, &rig->err));
    check(rig, wi_dec_step(rig->dec, tokens, parents, 5, logits + n_vocab, &rig->err));
    free(tokens);
    return logits;
}

static void thread_count_changes_no_bit(void **state) {
    size_t bytes = 6 * (size_t)small.n_vocab * sizeof(float);
    double *exact;
    float *features = make_features(&small, 3, &exact);
    for (int i = 0; i < WI_N_LEVELS * WI_N_DEC_FORMATS; i++) {
        float *first = NULL;
        enum wi_level level = i / WI_N_DEC_FORMATS;
        for (int threads = 1; threads <= 5 && rig_has(level); threads++) {
            struct rig *rig = rig_open_format(&small, level, i % WI_N_DEC_FORMATS, threads);
            float *logits = run(rig, features);
            if (first)
                assert_memory_equal(first, logits, bytes);
            else
                first = logits;
            if (logits != first)
                free(logits);
            rig_close(rig);
        }
        free(first);
    }
    free(features);
    free(exact);
}

static void a_window_leaves_nothing_behind(void **state) {
    size_t bytes = 6 * (size_t)small.n_vocab * sizeof(float);
    double *exact[2];
    float *one = make_features(&small, 4, &exact[0]), *two = make_features(&small, 5, &exact[1]);
    struct rig *used = rig_open_format(&small, wi_cpu_detect(), WI_DEC_INT8, 2),
               *fresh = rig_open_format(&small, wi_cpu_detect(), WI_DEC_INT8, 2);
    float *first = run(used, one), *second = run(used, two), *expected = run(fresh, two);
    assert_memory_not_equal(first, second, bytes);
    assert_memory_equal(second, expected, bytes);
    free(first);
    free(second);
    free(expected);
    free(one);
    free(two);
    free(exact[0]);
    free(exact[1]);
    rig_close(used);
    rig_close(fresh);
}

static void gives_the_rows_that_were_asked_for(void **state) {
    size_t n_vocab = (size_t)small.n_vocab;
    double *exact;
    float *features = make_features(&small, 6, &exact), *all = malloc(5 * n_vocab * sizeof *all);
    float *some = malloc(3 * n_vocab * sizeof *some);
    int *tokens = make_tokens(5, small.n_vocab, 3), order[5] = {0, 1, 2, 3, 4},
        chosen[3] = {4, 0, 4};
    struct rig *rig = rig_open(&small, wi_cpu_detect(), 2);
    check(rig, wi_dec_set_audio(rig->dec, features, &rig->err));
    check(rig, wi_dec_prompt(rig->dec, tokens, 5, order, 5, all, &rig->err));
    check(rig, wi_dec_prompt(rig->dec, tokens, 5, chosen, 3, some, &rig->err));
    for (int i = 0; i < 3; i++)
        assert_memory_equal(some + (size_t)i * n_vocab, all + (size_t)chosen[i] * n_vocab,
                            n_vocab * sizeof *all);
    rig_close(rig);
    free(features);
    free(exact);
    free(all);
    free(some);
    free(tokens);
}

static void expect_refusal(struct rig *rig, int rc, const char *words) {
    assert_int_equal(rc, WISP_E_ARG);
    if (!strstr(rig->err.text, words))
        fail_msg("'%s' does not say '%s'", rig->err.text, words);
    rig->err = (struct wisp_error){0};
}

static void limits_are_errors(void **state) {
    struct rig *rig = rig_open(&small, wi_cpu_detect(), 1);
    struct wi_dec *dec = rig->dec;
    double *exact;
    float *features = make_features(&small, 8, &exact);
    float *logits = malloc(2 * (size_t)small.n_vocab * sizeof *logits);
    int *tokens = make_tokens(25, small.n_vocab, 4), last = 22, bad[2] = {-1, small.n_vocab};
    int pair[2] = {1, 2}, parents[2] = {0, 0}, crossed[2] = {0, 2}, negative[2] = {-1, 0};
    check(rig, wi_dec_set_audio(dec, features, &rig->err));
    expect_refusal(rig, wi_dec_step(dec, pair, parents, 2, logits, &rig->err), "no prompt");
    expect_refusal(rig, wi_dec_prompt(dec, tokens, 0, &last, 1, logits, &rig->err), "give 1 to 24");
    expect_refusal(rig, wi_dec_prompt(dec, tokens, 25, &last, 1, logits, &rig->err),
                   "give 1 to 24");
    for (int i = 0; i < 2; i++)
        expect_refusal(rig, wi_dec_prompt(dec, bad + i, 1, parents, 1, logits, &rig->err),
                       "ids are 0 to 51863");

    check(rig, wi_dec_prompt(dec, tokens, 23, &last, 1, logits, &rig->err));
    expect_refusal(rig, wi_dec_step(dec, bad, parents, 2, logits, &rig->err), "ids are 0 to 51863");
    expect_refusal(rig, wi_dec_step(dec, pair, crossed, 2, logits, &rig->err), "sequence 2");
    expect_refusal(rig, wi_dec_step(dec, pair, negative, 2, logits, &rig->err), "sequence -1");
    assert_int_equal(wi_dec_length(dec), 23); /* what was refused changed nothing */
    check(rig, wi_dec_step(dec, pair, parents, 2, logits, &rig->err));
    expect_refusal(rig, wi_dec_step(dec, pair, parents, 2, logits, &rig->err), "24 of 24");
    rig_close(rig);
    free(features);
    free(exact);
    free(logits);
    free(tokens);
}

static void expect_internal(struct rig *rig, const float *features, const char *layer) {
    float *logits = malloc((size_t)small.n_vocab * sizeof *logits);
    int tokens[2] = {1, 2}, last = 1;
    rig->err = (struct wisp_error){0};
    int rc = wi_dec_set_audio(rig->dec, features, &rig->err);
    if (rc == WISP_OK)
        rc = wi_dec_prompt(rig->dec, tokens, 2, &last, 1, logits, &rig->err);
    assert_int_equal(rc, WISP_E_INTERNAL);
    if (!strstr(rig->err.text, layer))
        fail_msg("'%s' does not name %s", rig->err.text, layer);
    free(logits);
}

static void names_the_layer_that_is_not_finite(void **state) {
    double *exact;
    float *features = make_features(&small, 10, &exact);
    for (int level = 0; level < WI_N_LEVELS; level++) {
        if (!rig_has(level))
            continue;
        struct rig *rig = rig_open(&small, level, 2);
        const struct wi_weights *w = &rig->model->w;
        /* From the end to the start: the first layer that goes wrong is named. */
        rig_poison(rig, w->tok_emb); /* token 0: in the projection only, as no input has it */
        expect_internal(rig, features, "decoder.token_embedding");
        rig_poison(rig, w->dec[1].mlp_out.w);
        expect_internal(rig, features, "decoder.blocks.1");
        rig_poison(rig, w->dec[0].attn.v.w);
        expect_internal(rig, features, "decoder.blocks.0");
        rig_poison(rig, w->dec[1].cross.k.w);
        expect_internal(rig, features, "decoder.blocks.1.cross_attn");
        rig_close(rig);
    }
    free(features);
    free(exact);
}

/* Packed weights were finite when they were packed: what goes wrong comes from elsewhere. */
static void names_the_layer_with_packed_weights(void **state) {
    double *exact;
    float *features = make_features(&small, 10, &exact);
    for (int i = 0; i < WI_N_LEVELS * WI_N_DEC_FORMATS; i++) {
        enum wi_level level = i / WI_N_DEC_FORMATS;
        if (!rig_has(level))
            continue;
        struct rig *rig = rig_open_format(&small, level, i % WI_N_DEC_FORMATS, 2);
        const struct wi_weights *w = &rig->model->w;
        ((float *)(uintptr_t)w->dec_ln.b)[5] = INFINITY;
        expect_internal(rig, features, "decoder.token_embedding");
        ((float *)(uintptr_t)w->dec[1].mlp_ln.w)[63] = NAN;
        expect_internal(rig, features, "decoder.blocks.1");
        ((float *)(uintptr_t)w->dec[0].attn.v.b)[3] = -INFINITY;
        if (i % WI_N_DEC_FORMATS == WI_DEC_F32) /* else the bias was packed too */
            expect_internal(rig, features, "decoder.blocks.0");
        rig_close(rig);
    }
    free(features);
    free(exact);
}

WISP_SUITE(cmocka_unit_test(every_level_is_near_f64),
           cmocka_unit_test(branches_equal_lone_sequences),
           cmocka_unit_test(thread_count_changes_no_bit),
           cmocka_unit_test(a_window_leaves_nothing_behind),
           cmocka_unit_test(gives_the_rows_that_were_asked_for),
           cmocka_unit_test(limits_are_errors),
           cmocka_unit_test(names_the_layer_that_is_not_finite),
           cmocka_unit_test(names_the_layer_with_packed_weights))

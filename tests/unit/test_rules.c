/* The token rules against openai-whisper's logit filters, recorded by tools/record_rules.py. */
#include "suite.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/mem.h"
#include "decoder/rules.h"
#include "text/vocab_data.h"
#include "vocab_files.h"

enum { FIRST_VOCAB = 51864, N_LAYOUTS = 3, MAX_VOCAB = 51866, MAX_SAMPLED = 64 };

static struct wi_kern kern;
static struct wi_vocab *vocabs[N_LAYOUTS];
static float logits[MAX_VOCAB];

static int load(void **state) {
    for (int i = 0; i < N_LAYOUTS; i++) {
        struct vf_words words = vf_load(i == 0 ? "gpt2" : "multilingual");
        struct wisp_error err = {0};
        int rc =
            wi_vocab_create(&vocabs[i], words.bytes, words.lengths, words.n, FIRST_VOCAB + i, &err);
        vf_free(&words);
        if (rc != WISP_OK)
            return -1;
    }
    return 0;
}

static int unload(void **state) {
    for (int i = 0; i < N_LAYOUTS; i++)
        wi_vocab_destroy(&vocabs[i]);
    return 0;
}

/* As make_logits() of the recorder: multiples of 2^-20 in [-8, 8), the timestamps lifted. */
static void make_logits(int n, uint32_t seed, float lift, int timestamp_begin) {
    for (int i = 0; i < n; i++) {
        uint32_t x = (uint32_t)i * 0x9e3779b1u + seed;
        x = (x ^ x >> 16) * 0x85ebca6bu;
        x = (x ^ x >> 13) * 0xc2b2ae35u;
        x ^= x >> 16;
        logits[i] = (float)(x >> 8) * 0x1p-20f - 8;
        if (i >= timestamp_begin)
            logits[i] += lift;
    }
}

/* How many logits are finite, and the CRC-32 of their bitmap. */
static int count_allowed(int n, uint32_t *crc) {
    static uint8_t bits[(MAX_VOCAB + 7) / 8];
    int count = 0;
    memset(bits, 0, sizeof bits);
    for (int i = 0; i < n; i++)
        if (isfinite(logits[i])) {
            bits[i / 8] |= (uint8_t)(0x80 >> i % 8);
            count++;
        }
    *crc = (uint32_t)crc32(0, bits, (uInt)((n + 7) / 8));
    return count;
}

/* Ids never sampled; for wi_free. */
static int *suppressed(const struct wi_vocab *v, bool symbols, size_t *n) {
    const struct wi_specials *s = wi_vocab_specials(v);
    const int never[] = {s->transcribe, s->translate, s->sot, s->sot_prev, s->sot_lm, s->no_speech};
    int *ids = NULL;
    *n = 0;
    if (symbols)
        assert_int_equal(wi_vocab_non_speech(v, &ids, n, NULL), WISP_OK);
    ids = wi_realloc(ids, *n + sizeof never / sizeof *never, sizeof *ids);
    assert_non_null(ids);
    memcpy(ids + *n, never, sizeof never);
    *n += sizeof never / sizeof *never;
    return ids;
}

static bool is_true(const json_t *object, const char *key) {
    return json_is_true(json_object_get(object, key));
}

static void check_case(size_t index, const json_t *c) {
    int n_vocab = (int)json_integer_value(json_object_get(c, "n_vocab"));
    const struct wi_vocab *v = vocabs[n_vocab - FIRST_VOCAB];
    const struct wi_specials *s = wi_vocab_specials(v);
    const json_t *list = json_object_get(c, "sampled"), *initial = json_object_get(c, "initial");
    int sampled[MAX_SAMPLED];
    size_t n = json_array_size(list), n_suppress;
    assert_in_range(n, 0, MAX_SAMPLED);
    for (size_t i = 0; i < n; i++)
        sampled[i] = (int)json_integer_value(json_array_get(list, i));
    int *suppress = suppressed(v, is_true(c, "symbols"), &n_suppress);
    const struct wi_rules rules = {
        .kern = &kern,
        .specials = s,
        .n_vocab = n_vocab,
        .suppress = suppress,
        .n_suppress = n_suppress,
        .blank = wi_vocab_find(v, " ", 1),
        .suppress_blank = is_true(c, "blank"),
        .timestamps = is_true(c, "timestamps"),
        .max_initial_timestamp =
            json_is_null(initial) ? -1 : (int)lround(json_number_value(initial) / 0.02),
    };
    make_logits(n_vocab, (uint32_t)json_integer_value(json_object_get(c, "seed")),
                (float)json_number_value(json_object_get(c, "lift")), s->timestamp_begin);
    wi_rules_apply(&rules, sampled, n, logits);
    wi_free(suppress);

    uint32_t crc, expected = (uint32_t)json_integer_value(json_object_get(c, "crc"));
    int allowed = count_allowed(n_vocab, &crc);
    if (allowed != json_integer_value(json_object_get(c, "allowed")) || crc != expected) {
        char *text = json_dumps(c, JSON_COMPACT);
        fail_msg("case %zu allows %d tokens, crc %u: %s", index, allowed, crc, text);
    }
}

static void as_the_reference(void **state) {
    json_error_t error;
    json_t *cases = json_load_file(WISP_TEST_DATA "/rules.json", 0, &error);
    if (!cases)
        fail_msg("rules.json: %s", error.text);
    assert_true(json_array_size(cases) > 400);
    for (size_t i = 0; i < json_array_size(cases); i++)
        check_case(i, json_array_get(cases, i));
    json_decref(cases);
}

/* What the recording cannot have: a row without any allowed token, and a vocabulary without " ". */
static void extremes(void **state) {
    const struct wi_specials *s = wi_vocab_specials(vocabs[0]);
    struct wi_rules rules = {.kern = &kern,
                             .specials = s,
                             .n_vocab = FIRST_VOCAB,
                             .blank = -1,
                             .suppress_blank = true,
                             .timestamps = true,
                             .max_initial_timestamp = 50};
    uint32_t crc;
    for (int i = 0; i < FIRST_VOCAB; i++)
        logits[i] = -INFINITY;
    wi_rules_apply(&rules, NULL, 0, logits);
    assert_int_equal(count_allowed(FIRST_VOCAB, &crc), 0);

    rules.timestamps = false;
    make_logits(FIRST_VOCAB, 1, 0, s->timestamp_begin);
    wi_rules_apply(&rules, NULL, 0, logits);
    assert_int_equal(count_allowed(FIRST_VOCAB, &crc), FIRST_VOCAB - 1); /* all but end-of-text */

    /* Nothing may follow <|30.00|> in pairs but the end and ids that no rule speaks of. */
    rules.timestamps = true;
    make_logits(FIRST_VOCAB, 1, -100, s->timestamp_begin);
    wi_rules_apply(&rules, (int[]){s->timestamp_begin, 1, s->timestamp_begin + 1500}, 3, logits);
    assert_true(isfinite(logits[s->eot]) && isfinite(logits[s->timestamp_begin + 1500]));
    assert_false(isfinite(logits[s->timestamp_begin + 1499]) || isfinite(logits[1]));
}

static void check_log_sum_exp(void) {
    const float nothing[] = {-INFINITY, -INFINITY}, huge[] = {3e38f, 3e38f, -INFINITY};
    static float equal[MAX_VOCAB];
    assert_true(wi_log_sum_exp(&kern, nothing, 2) == -INFINITY);
    assert_true(wi_log_sum_exp(&kern, nothing, 0) == -INFINITY);
    assert_true(fabs(wi_log_sum_exp(&kern, huge, 3) - (double)3e38f) <= 1e31);
    for (int i = 0; i < MAX_VOCAB; i++)
        equal[i] = -1234.5f;
    assert_true(fabs(wi_log_sum_exp(&kern, equal, MAX_VOCAB) - (-1234.5 + log(MAX_VOCAB))) < 1e-9);
    make_logits(MAX_VOCAB, 7, 0, MAX_VOCAB);
    double sum = 0;
    for (int i = 0; i < MAX_VOCAB; i++)
        sum += exp(logits[i]);
    assert_true(fabs(wi_log_sum_exp(&kern, logits, MAX_VOCAB) - log(sum)) < 1e-6);
}

static void log_sum_exp(void **state) {
    for (int level = 0; level < WI_N_LEVELS; level++) {
        enum wi_level got;
        if (wi_level_parse(&got, wi_level_name(level), NULL) != WISP_OK)
            continue;
        wi_kern_select(&kern, got);
        check_log_sum_exp();
    }
}

int main(void) {
    wi_kern_select(&kern, wi_cpu_detect());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_the_reference),
        cmocka_unit_test(extremes),
        cmocka_unit_test(log_sum_exp),
    };
    return cmocka_run_group_tests(tests, load, unload);
}

/* The tokenizer against what openai-whisper's does, recorded by tools/record_tokenizer.py. */
#include "suite.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/unicode.h"
#include "text/utf8.h"
#include "text/vocab.h"
#include "vocab_files.h"

static json_t *recorded;

static int load(void **state) {
    json_error_t error;
    recorded = json_load_file(WISP_TEST_DATA "/tokenizer.json", 0, &error);
    if (!recorded)
        fprintf(stderr, "tokenizer.json: %s\n", error.text);
    return recorded ? 0 : -1;
}

static int unload(void **state) {
    json_decref(recorded);
    return 0;
}

static struct wi_vocab *create(const char *name, int n_vocab) {
    struct vf_words words = vf_load(name);
    struct wisp_error err = {0};
    struct wi_vocab *v;
    if (wi_vocab_create(&v, words.bytes, words.lengths, words.n, n_vocab, &err))
        fail_msg("%s", err.text);
    vf_free(&words);
    return v;
}

static void layouts(void **state) {
    static const char *const names[] = {"51864", "51865", "51866"};
    for (int i = 0; i < 3; i++) {
        json_t *want = json_object_get(json_object_get(recorded, "layouts"), names[i]);
        struct wi_vocab *v;
        assert_int_equal(wi_vocab_create(&v, NULL, NULL, 0, 51864 + i, NULL), WISP_OK);
        const struct wi_specials *s = wi_vocab_specials(v);
        const struct {
            const char *name;
            int value;
        } fields[] = {{"eot", s->eot},
                      {"sot", s->sot},
                      {"lang_begin", s->lang_begin},
                      {"n_langs", s->n_langs},
                      {"translate", s->translate},
                      {"transcribe", s->transcribe},
                      {"sot_lm", s->sot_lm},
                      {"sot_prev", s->sot_prev},
                      {"no_speech", s->no_speech},
                      {"no_timestamps", s->no_timestamps},
                      {"timestamp_begin", s->timestamp_begin}};
        for (size_t f = 0; f < sizeof fields / sizeof fields[0]; f++)
            assert_int_equal(fields[f].value,
                             json_integer_value(json_object_get(want, fields[f].name)));
        assert_int_equal(wi_vocab_is_multilingual(v),
                         json_is_true(json_object_get(want, "multilingual")));
        assert_int_equal(s->timestamp_begin + 1500, 51864 + i - 1); /* <|30.00|> is the last id */
        wi_vocab_destroy(&v);
        assert_null(v);
    }
}

static void languages(void **state) {
    json_t *list = json_object_get(recorded, "languages"), *pair, *code;
    const char *name;
    size_t i;
    json_array_foreach(list, i, pair) {
        assert_string_equal(wi_lang_code((int)i), json_string_value(json_array_get(pair, 0)));
        assert_string_equal(wi_lang_name((int)i), json_string_value(json_array_get(pair, 1)));
    }
    assert_int_equal(i, 100);
    assert_null(wi_lang_code(100));
    assert_null(wi_lang_name(-1));
    json_object_foreach(json_object_get(recorded, "aliases"), name, code) {
        char upper[32] = "";
        for (size_t k = 0; name[k]; k++)
            upper[k] = (char)toupper((unsigned char)name[k]);
        int index = wi_lang_find(name);
        assert_string_equal(wi_lang_code(index), json_string_value(code));
        assert_int_equal(wi_lang_find(upper), index);
        assert_int_equal(wi_lang_find(json_string_value(code)), index);
    }
    assert_int_equal(wi_lang_find("klingon"), -1);
    assert_int_equal(wi_lang_find(""), -1);
    assert_int_equal(wi_lang_find("e"), -1);
}

static void replacement_of_broken_utf8(void **state) {
    json_t *pair;
    size_t i;
    json_array_foreach(json_object_get(recorded, "replace"), i, pair) {
        const char *hex = json_string_value(json_array_get(pair, 0));
        char bytes[64];
        size_t n = strlen(hex) / 2;
        for (size_t k = 0; k < n; k++)
            sscanf(hex + 2 * k, "%2hhx", (unsigned char *)&bytes[k]);
        struct wi_strbuf s;
        wi_strbuf_init(&s);
        wi_utf8_add_replaced(&s, bytes, n);
        char *text = wi_strbuf_take(&s);
        if (strcmp(text, json_string_value(json_array_get(pair, 1))) != 0)
            fail_msg("bytes %s became '%s'", hex, text);
        wi_free(text);
    }
    assert_true(i > 250);
}

static void check_ids(const char *what, const int *ids, size_t n, const json_t *want) {
    bool same = n == json_array_size(want);
    for (size_t i = 0; same && i < n; i++)
        same = ids[i] == json_integer_value(json_array_get(want, i));
    if (same)
        return;
    fprintf(stderr, "got:");
    for (size_t i = 0; i < n; i++)
        fprintf(stderr, " %d", ids[i]);
    char *text = json_dumps(want, 0);
    fail_msg("%s: wanted %s", what, text);
}

static void encoding(const char *name, int n_vocab) {
    struct wi_vocab *v = create(name, n_vocab);
    json_t *pair, *all = json_object_get(json_object_get(recorded, name), "encode");
    size_t i;
    json_array_foreach(all, i, pair) {
        const char *text = json_string_value(json_array_get(pair, 0));
        struct wisp_error err = {0};
        int *ids;
        size_t n;
        if (wi_vocab_encode(v, text, &ids, &n, &err))
            fail_msg("%s", err.text);
        check_ids(text, ids, n, json_array_get(pair, 1));
        char *back = wi_vocab_decode(v, ids, n);
        assert_string_equal(back, text);
        wi_free(back);
        wi_free(ids);
    }
    assert_true(i > 300);
    wi_vocab_destroy(&v);
}

static void encoding_gpt2(void **state) {
    encoding("gpt2", 51864);
}
static void encoding_multilingual(void **state) {
    encoding("multilingual", 51865);
}

static void decoding(const char *name, int n_vocab) {
    struct wi_vocab *v = create(name, n_vocab);
    json_t *pair;
    size_t i;
    json_array_foreach(json_object_get(json_object_get(recorded, name), "decode"), i, pair) {
        json_t *list = json_array_get(pair, 0);
        int ids[32];
        size_t n = json_array_size(list);
        for (size_t k = 0; k < n; k++)
            ids[k] = (int)json_integer_value(json_array_get(list, k));
        char *text = wi_vocab_decode(v, ids, n);
        assert_string_equal(text, json_string_value(json_array_get(pair, 1)));
        wi_free(text);
    }
    assert_true(i >= 100);
    wi_vocab_destroy(&v);
}

static void decoding_gpt2(void **state) {
    decoding("gpt2", 51864);
}
static void decoding_multilingual(void **state) {
    decoding("multilingual", 51866);
}

static void special_ids_are_spelled(void **state) {
    struct wi_vocab *v = create("gpt2", 51864);
    const int ids[] = {50257, 15496, 50258, 50363, 11, -1, 995, 60000, 188, 50356, 50256, 50362};
    char *text = wi_vocab_decode(v, ids, sizeof ids / sizeof ids[0]);
    size_t length = 9;
    /* 50363 is <|0.00|>; 188 is the byte 0 */
    assert_string_equal(text, "<|startoftranscript|>Hello<|en|>, world\xef\xbf\xbd<|su|>"
                              "<|endoftext|><|notimestamps|>");
    assert_non_null(wi_vocab_bytes(v, 50256, &length));
    assert_int_equal(length, 0);
    wi_free(text);
    text = wi_vocab_decode(v, NULL, 0);
    assert_string_equal(text, "");
    wi_free(text);
    wi_vocab_destroy(&v);
}

static void non_speech(void **state) {
    static const char *const names[] = {"gpt2", "multilingual"};
    for (int i = 0; i < 2; i++) {
        struct wi_vocab *v = create(names[i], 51864 + i);
        int *ids;
        size_t n;
        assert_int_equal(wi_vocab_non_speech(v, &ids, &n, NULL), WISP_OK);
        check_ids(names[i], ids, n,
                  json_object_get(json_object_get(recorded, names[i]), "non_speech"));
        wi_free(ids);
        wi_vocab_destroy(&v);
    }
}

/* A vocabulary that lacks symbols, and one that has only bytes. */
static void small_vocabularies(void **state) {
    const char *words[] = {"(", "a", "b", "ab", "", "abab", " -"};
    const size_t lengths[] = {1, 1, 1, 2, 0, 4, 2};
    struct wisp_error err = {0};
    struct wi_vocab *v;
    int *ids;
    size_t n;
    assert_int_equal(wi_vocab_create(&v, words, lengths, 7, 51864, NULL), WISP_OK);
    assert_int_equal(wi_vocab_non_speech(v, &ids, &n, NULL), WISP_OK);
    assert_int_equal(n, 2);
    assert_int_equal(ids[0], 0);
    assert_int_equal(ids[1], 6);
    wi_free(ids);
    assert_int_equal(wi_vocab_encode(v, "ababab", &ids, &n, NULL), WISP_OK);
    assert_int_equal(n, 2);
    assert_int_equal(ids[0], 5);
    assert_int_equal(ids[1], 3);
    wi_free(ids);
    assert_int_equal(wi_vocab_encode(v, "abc", &ids, &n, &err), WISP_E_FORMAT);
    assert_non_null(strstr(err.text, "0x63"));
    assert_null(ids);
    wi_vocab_destroy(&v);

    assert_int_equal(wi_vocab_create(&v, words, lengths, 7, 6, &err), WISP_E_FORMAT);
    assert_null(v);
}

static void a_vocabulary_of_bytes(void **state) {
    char bytes[256];
    const char *words[256];
    size_t lengths[256], n;
    struct wi_vocab *v;
    int *ids;
    for (int i = 0; i < 256; i++) {
        bytes[i] = (char)i;
        words[i] = &bytes[i];
        lengths[i] = 1;
    }
    assert_int_equal(wi_vocab_create(&v, words, lengths, 256, 51864, NULL), WISP_OK);
    assert_int_equal(wi_vocab_encode(v, "h\xc3\xa9\xff", &ids, &n, NULL), WISP_OK);
    const int want[] = {'h', 0xc3, 0xa9, 0xef, 0xbf, 0xbd}; /* the stray byte becomes U+FFFD */
    assert_int_equal(n, 6);
    assert_memory_equal(ids, want, sizeof want);
    wi_free(ids);
    assert_int_equal(wi_vocab_non_speech(v, &ids, &n, NULL), WISP_OK);
    for (size_t i = 0; i < n; i++)
        assert_true(ids[i] != ' ' && ids[i] != '-' && ids[i] != '\'' && ids[i] < 0x80);
    assert_int_equal(n, strlen("\"#()*+/:;<=>@[\\]^_`{|}~"));
    wi_free(ids);
    wi_vocab_destroy(&v);
}

/* Merging must not be quadratic: a second is a thousand times what it takes. */
static void long_texts_are_quick(void **state) {
    struct wi_vocab *v = create("gpt2", 51864);
    enum { N = 1 << 20 };
    char *text = malloc(N + 1);
    for (int i = 0; i < N; i++)
        text[i] = "abcdefgh"[(unsigned)i * 2654435761u >> 29];
    text[N] = '\0';
    int *ids;
    size_t n;
    assert_int_equal(wi_vocab_encode(v, text, &ids, &n, NULL), WISP_OK);
    assert_true(n > N / 8 && n < N);
    char *back = wi_vocab_decode(v, ids, n);
    assert_string_equal(back, text);
    wi_free(back);
    wi_free(ids);
    free(text);
    wi_vocab_destroy(&v);
}

#ifdef WISP_ALLOC_INJECT
static int use_vocabulary(struct wisp_error *err) {
    const char *words[] = {"a", "b", "ab", "(", " "};
    const size_t lengths[] = {1, 1, 2, 1, 1};
    struct wi_vocab *v;
    int *ids = NULL, *suppressed = NULL;
    size_t n;
    int rc = wi_vocab_create(&v, words, lengths, 5, 51864, err);
    if (rc != WISP_OK)
        return rc;
    rc = wi_vocab_encode(v, "abba (ab)", &ids, &n, err) == WISP_E_FORMAT ? WISP_OK : WISP_E_NOMEM;
    if (rc == WISP_OK)
        rc = wi_vocab_non_speech(v, &suppressed, &n, err);
    if (rc == WISP_OK) {
        char *text = wi_vocab_decode(v, (int[]){0, 2, 1}, 3);
        rc = text ? WISP_OK : WISP_E_NOMEM;
        wi_free(text);
    }
    wi_free(suppressed);
    wi_vocab_destroy(&v);
    return rc;
}

static void failing_allocations(void **state) {
    wi_mem_fail_at = wi_mem_count = 0;
    assert_int_equal(use_vocabulary(NULL), WISP_OK);
    long n = wi_mem_count;
    assert_true(n > 100);
    for (long i = 1; i <= n; i++) {
        wi_mem_count = 0;
        wi_mem_fail_at = i;
        assert_int_equal(use_vocabulary(NULL), WISP_E_NOMEM);
    }
    wi_mem_fail_at = 0;
}
#else
static void failing_allocations(void **state) {
    skip();
}
#endif

static void character_classes(void **state) {
    assert_int_equal(wi_unicode_class('a'), WI_CHAR_LETTER);
    assert_int_equal(wi_unicode_class(0x2ebe1), WI_CHAR_OTHER);
    assert_int_equal(wi_unicode_class(0x1c89), WI_CHAR_LETTER); /* new in Unicode 16 */
    assert_int_equal(wi_unicode_class(0x2160), WI_CHAR_NUMBER);
    assert_int_equal(wi_unicode_class(0x301), WI_CHAR_OTHER);
    assert_int_equal(wi_unicode_class(0x85), WI_CHAR_SPACE);
    assert_int_equal(wi_unicode_class(0x200b), WI_CHAR_OTHER);
    assert_int_equal(wi_unicode_class(0x10ffff), WI_CHAR_OTHER);
    assert_int_equal(wi_unicode_class(UINT32_MAX), WI_CHAR_OTHER);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layouts),
        cmocka_unit_test(languages),
        cmocka_unit_test(replacement_of_broken_utf8),
        cmocka_unit_test(encoding_gpt2),
        cmocka_unit_test(encoding_multilingual),
        cmocka_unit_test(decoding_gpt2),
        cmocka_unit_test(decoding_multilingual),
        cmocka_unit_test(special_ids_are_spelled),
        cmocka_unit_test(non_speech),
        cmocka_unit_test(small_vocabularies),
        cmocka_unit_test(a_vocabulary_of_bytes),
        cmocka_unit_test(long_texts_are_quick),
        cmocka_unit_test(character_classes),
        cmocka_unit_test(failing_allocations),
    };
    return cmocka_run_group_tests(tests, load, unload);
}

#include "text/vocab.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "text/utf8.h"
#include "text/vocab_data.h"

enum {
    ENGLISH_BASE = 50256,      /* ranks in gpt2.tiktoken */
    MULTILINGUAL_BASE = 50257, /* ranks in multilingual.tiktoken */
    ENGLISH_VOCAB = 51864,
    MULTILINGUAL_VOCAB = 51865 /* with 99 languages; 51866 with 100 */
};

/* openai-whisper tokenizer.py get_encoding(): the specials follow the base ranks in this order. The
 * English-only layout has the language ids too, but nothing uses them. */
static struct wi_specials layout(int n_vocab) {
    struct wi_specials s;
    s.eot = n_vocab > ENGLISH_VOCAB ? MULTILINGUAL_BASE : ENGLISH_BASE;
    s.sot = s.eot + 1;
    s.lang_begin = s.sot + 1;
    s.n_langs = n_vocab > MULTILINGUAL_VOCAB ? 100 : 99;
    s.translate = s.lang_begin + s.n_langs;
    s.transcribe = s.translate + 1;
    s.sot_lm = s.translate + 2;
    s.sot_prev = s.translate + 3;
    s.no_speech = s.translate + 4;
    s.no_timestamps = s.translate + 5;
    s.timestamp_begin = s.translate + 6;
    return s;
}

static uint64_t hash_bytes(const char *bytes, size_t length) {
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < length; i++)
        h = (h ^ (uint8_t)bytes[i]) * 0x100000001b3u;
    return h ^ h >> 32;
}

/* Slot of a byte string, or the free slot where it belongs.  The table is at most half full. */
static size_t find_slot(const struct wi_vocab *v, const char *bytes, size_t length) {
    size_t slot = (size_t)hash_bytes(bytes, length) & v->table_mask;
    for (;; slot = (slot + 1) & v->table_mask) {
        int32_t id = v->table[slot];
        if (id < 0)
            return slot;
        size_t n = v->begin[id + 1] - v->begin[id];
        if (n == length && memcmp(v->bytes + v->begin[id], bytes, n) == 0)
            return slot;
    }
}

int wi_vocab_find(const struct wi_vocab *vocab, const char *bytes, size_t length) {
    return length > 0 ? vocab->table[find_slot(vocab, bytes, length)] : -1;
}

static int copy_bytes(struct wi_vocab *v, const char *const *bytes, const size_t *lengths,
                      struct wisp_error *err) {
    size_t total = 0;
    for (size_t i = 0; i < v->n; i++)
        if (__builtin_add_overflow(total, lengths[i], &total) || total > INT32_MAX)
            return wi_err_set(err, WISP_E_FORMAT,
                              "the vocabulary is longer than 2 GB; the model file is damaged");
    v->bytes = wi_malloc(total, 1);
    v->begin = wi_malloc(v->n + 1, sizeof *v->begin);
    if (!v->bytes || !v->begin)
        return wi_err_nomem(err, "the vocabulary");
    size_t at = 0;
    for (size_t i = 0; i < v->n; i++) {
        v->begin[i] = (uint32_t)at;
        if (lengths[i] > 0)
            memcpy(v->bytes + at, bytes[i], lengths[i]);
        at += lengths[i];
    }
    v->begin[v->n] = (uint32_t)at;
    return WISP_OK;
}

static int build_table(struct wi_vocab *v, struct wisp_error *err) {
    size_t slots = 16;
    while (slots < 2 * v->n)
        slots *= 2;
    v->table = wi_malloc(slots, sizeof *v->table);
    if (!v->table)
        return wi_err_nomem(err, "the vocabulary's index");
    v->table_mask = slots - 1;
    memset(v->table, 0xff, slots * sizeof *v->table); /* -1 everywhere */
    for (size_t id = 0; id < v->n; id++) {
        size_t length = v->begin[id + 1] - v->begin[id];
        size_t slot = find_slot(v, v->bytes + v->begin[id], length);
        if (length > 0 && v->table[slot] < 0) /* of equal strings the lowest rank counts */
            v->table[slot] = (int32_t)id;
    }
    return WISP_OK;
}

int wi_vocab_create(struct wi_vocab **out, const char *const *bytes, const size_t *lengths,
                    size_t n, int n_vocab, struct wisp_error *err) {
    *out = NULL;
    if (n_vocab < 0 || n > (size_t)n_vocab)
        return wi_err_set(
            err, WISP_E_FORMAT,
            "the vocabulary has %zu entries but the model only %d token ids; the model "
            "file is damaged or its tokenizer belongs to another model",
            n, n_vocab);
    struct wi_vocab *v = wi_calloc(1, sizeof *v);
    if (!v)
        return wi_err_nomem(err, "the vocabulary");
    v->multilingual = n_vocab > ENGLISH_VOCAB;
    v->specials = layout(n_vocab);
    /* Files from some converters list special tokens as text; those ids never print. */
    v->n = n < (size_t)v->specials.eot ? n : (size_t)v->specials.eot;
    int rc = copy_bytes(v, bytes, lengths, err);
    if (rc == WISP_OK)
        rc = build_table(v, err);
    if (rc != WISP_OK)
        wi_vocab_destroy(&v);
    *out = v;
    return rc;
}

void wi_vocab_destroy(struct wi_vocab **vocab) {
    if (!vocab || !*vocab)
        return;
    wi_free((*vocab)->bytes);
    wi_free((*vocab)->begin);
    wi_free((*vocab)->table);
    wi_free(*vocab);
    *vocab = NULL;
}

bool wi_vocab_is_multilingual(const struct wi_vocab *vocab) {
    return vocab->multilingual;
}

const struct wi_specials *wi_vocab_specials(const struct wi_vocab *vocab) {
    return &vocab->specials;
}

size_t wi_vocab_size(const struct wi_vocab *vocab) {
    return vocab->n;
}

const char *wi_vocab_bytes(const struct wi_vocab *vocab, int id, size_t *length) {
    if (id < 0 || (size_t)id >= vocab->n) {
        *length = 0;
        return "";
    }
    *length = vocab->begin[id + 1] - vocab->begin[id];
    return vocab->bytes + vocab->begin[id];
}

/* "<|en|>" and the like. */
static void add_special(struct wi_strbuf *out, const struct wi_specials *s, int id) {
    static const char *const after_languages[] = {"translate",   "transcribe", "startoflm",
                                                  "startofprev", "nospeech",   "notimestamps"};
    const char *name = id == s->eot         ? "endoftext"
                       : id == s->sot       ? "startoftranscript"
                       : id < s->translate ? wi_lang_code(id - s->lang_begin)
                                            : after_languages[id - s->translate];
    wi_strbuf_printf(out, "<|%s|>", name);
}

char *wi_vocab_decode(const struct wi_vocab *vocab, const int *ids, size_t n) {
    struct wi_strbuf raw, text;
    wi_strbuf_init(&raw);
    wi_strbuf_init(&text);
    for (size_t i = 0; i < n; i++) {
        size_t length;
        const char *bytes = wi_vocab_bytes(vocab, ids[i], &length);
        if (ids[i] >= vocab->specials.eot && ids[i] < vocab->specials.timestamp_begin)
            add_special(&raw, &vocab->specials, ids[i]);
        else
            wi_strbuf_add(&raw, bytes, length);
    }
    wi_utf8_add_replaced(&text, raw.data, raw.len);
    if (raw.failed)
        text.failed = true;
    wi_strbuf_fini(&raw);
    return wi_strbuf_take(&text);
}

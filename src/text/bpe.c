/* Text to token ids as tiktoken does it: GPT-2's pattern cuts the text into pieces, and within a
 * piece the pair of neighbours with the lowest rank merges until no pair is in the vocabulary. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "text/unicode.h"
#include "text/utf8.h"
#include "text/vocab_data.h"

/* ------------------------------------------------------------------ pieces */

struct scanner {
    const char *text; /* valid UTF-8 */
    size_t n;
};

/* Class and length of the character at `at` < n. */
static enum wi_char_class class_at(const struct scanner *s, size_t at, size_t *length) {
    uint32_t code;
    *length = wi_utf8_next(s->text + at, s->n - at, &code);
    return wi_unicode_class(code);
}

/* End of the run of `class` that begins at `at`; `*last` is where its last character begins. */
static size_t run_end(const struct scanner *s, size_t at, enum wi_char_class class, size_t *last) {
    size_t length;
    while (at < s->n && class_at(s, at, &length) == class) {
        *last = at;
        at += length;
    }
    return at;
}

/* 's|'t|'re|'ve|'m|'ll|'d */
static size_t contraction(const struct scanner *s, size_t at) {
    static const char *const endings[] = {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        size_t length = strlen(endings[i]);
        if (s->n - at >= length && memcmp(s->text + at, endings[i], length) == 0)
            return length;
    }
    return 0;
}

/* Length of the piece at `at` < n, by the alternatives of
 * 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static size_t piece_length(const struct scanner *s, size_t at) {
    size_t length = contraction(s, at), last = at;
    if (length > 0)
        return length;
    size_t first = s->text[at] == ' ' && at + 1 < s->n ? at + 1 : at;
    enum wi_char_class class = class_at(s, first, &length);
    if (class != WI_CHAR_SPACE)
        return run_end(s, first, class, &last) - at;
    size_t end = run_end(s, at, WI_CHAR_SPACE, &last);
    /* White space before a word leaves its last character to the word. */
    return (end < s->n && last > at ? last : end) - at;
}

/* ------------------------------------------------------------------ merging */

enum { NONE = -1 };

struct symbol {            /* a run of bytes that is one token */
    int32_t begin, length; /* length 0: swallowed by the one before */
    int32_t previous, next;
};

struct merge { /* of a symbol with the one after it */
    int32_t rank, symbol, length;
};

struct merger {
    const struct wi_vocab *vocab;
    const char *text;       /* of the piece */
    struct symbol *symbols; /* [bytes of the text] */
    struct merge *heap;     /* [3 * bytes of the text], the lowest rank first */
    size_t n_heap;
};

/* Equal ranks are equal bytes; the leftmost goes first. */
static bool before(const struct merge *a, const struct merge *b) {
    return a->rank != b->rank ? a->rank < b->rank : a->symbol < b->symbol;
}

static void push(struct merger *m, struct merge item) {
    size_t i = m->n_heap++;
    for (; i > 0 && before(&item, &m->heap[(i - 1) / 2]); i = (i - 1) / 2)
        m->heap[i] = m->heap[(i - 1) / 2];
    m->heap[i] = item;
}

static struct merge pop(struct merger *m) {
    struct merge top = m->heap[0], item = m->heap[--m->n_heap];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= m->n_heap)
            break;
        if (child + 1 < m->n_heap && before(&m->heap[child + 1], &m->heap[child]))
            child++;
        if (!before(&m->heap[child], &item))
            break;
        m->heap[i] = m->heap[child];
        i = child;
    }
    m->heap[i] = item;
    return top;
}

/* Consider merging symbol i with the next one. */
static void offer(struct merger *m, int32_t i) {
    if (i == NONE || m->symbols[i].next == NONE)
        return;
    int32_t length = m->symbols[i].length + m->symbols[m->symbols[i].next].length;
    int id = wi_vocab_find(m->vocab, m->text + m->symbols[i].begin, (size_t)length);
    if (id >= 0)
        push(m, (struct merge){id, i, length});
}

/* Cut a piece of `n` bytes into tokens; they are left linked from symbol 0. */
static void merge_piece(struct merger *m, const char *piece, size_t n) {
    m->text = piece;
    m->n_heap = 0;
    for (int32_t i = 0; i < (int32_t)n; i++)
        m->symbols[i] = (struct symbol){i, 1, i - 1, i + 1 < (int32_t)n ? i + 1 : NONE};
    for (int32_t i = 0; i < (int32_t)n; i++)
        offer(m, i);
    /* Each merge takes one symbol away and offers two, so n + 2 n entries are enough. */
    while (m->n_heap > 0) {
        struct merge best = pop(m);
        struct symbol *left = &m->symbols[best.symbol];
        if (left->length == 0 || left->next == NONE ||
            left->length + m->symbols[left->next].length != best.length)
            continue; /* one of the two has been merged since */
        struct symbol *right = &m->symbols[left->next];
        left->length = best.length;
        right->length = 0;
        left->next = right->next;
        if (left->next != NONE)
            m->symbols[left->next].previous = best.symbol;
        offer(m, left->previous);
        offer(m, best.symbol);
    }
}

static int lookup(const struct merger *m, const char *bytes, size_t n, int *id,
                  struct wisp_error *err) {
    *id = wi_vocab_find(m->vocab, bytes, n);
    if (*id >= 0)
        return WISP_OK;
    return wi_err_set(
        err, WISP_E_FORMAT,
        "cannot turn the text into tokens: the model's vocabulary has none for the byte "
        "0x%02x; use a model with a complete vocabulary or another text",
        (unsigned)(uint8_t)bytes[0]);
}

static int encode_piece(struct merger *m, const char *piece, size_t length, int *out, size_t *n,
                        struct wisp_error *err) {
    int whole = wi_vocab_find(m->vocab, piece, length);
    if (whole >= 0) {
        out[(*n)++] = whole;
        return WISP_OK;
    }
    merge_piece(m, piece, length);
    for (int32_t i = 0; i != NONE; i = m->symbols[i].next) {
        const struct symbol *s = &m->symbols[i];
        int rc = lookup(m, piece + s->begin, (size_t)s->length, &out[*n], err);
        if (rc != WISP_OK)
            return rc;
        (*n)++;
    }
    return WISP_OK;
}

/* Valid UTF-8 to ids; `out` has room for one id per byte. */
static int encode_valid(const struct wi_vocab *vocab, const struct scanner *s, int *out, size_t *n,
                        struct wisp_error *err) {
    struct merger m = {.vocab = vocab};
    int rc = WISP_OK;
    m.symbols = wi_malloc(s->n, sizeof *m.symbols);
    m.heap = wi_malloc(s->n, 3 * sizeof *m.heap);
    if (!m.symbols || !m.heap)
        rc = wi_err_nomem(err, "the tokenizer's working space");
    for (size_t at = 0, length; at < s->n && rc == WISP_OK; at += length) {
        length = piece_length(s, at);
        assert(length > 0);
        rc = encode_piece(&m, s->text + at, length, out, n, err);
    }
    wi_free(m.symbols);
    wi_free(m.heap);
    return rc;
}

int wi_vocab_encode(const struct wi_vocab *vocab, const char *text, int **out, size_t *n,
                    struct wisp_error *err) {
    struct wi_strbuf valid;
    int rc = WISP_OK;
    *out = NULL;
    *n = 0;
    if (strlen(text) > INT32_MAX / 4)
        return wi_err_set(err, WISP_E_ARG, "the text is longer than 512 MB; give a shorter one");
    wi_strbuf_init(&valid);
    wi_utf8_add_replaced(&valid, text, strlen(text));
    *out = wi_malloc(valid.len, sizeof **out);
    if (valid.failed || !*out) {
        rc = wi_err_nomem(err, "the tokens of a text");
    } else {
        struct scanner s = {valid.data, valid.len};
        rc = encode_valid(vocab, &s, *out, n, err);
    }
    wi_strbuf_fini(&valid);
    if (rc != WISP_OK) {
        wi_free(*out);
        *out = NULL;
        *n = 0;
    }
    return rc;
}

/* ------------------------------------------------------------------ symbols that are not speech */

/* Characters that are suppressed even where they are several tokens: then the first one, which
 * stands for a part of U+2640 to U+267F.  Unlike the reference this asks that the token holds two
 * bytes of the character at least, so that a vocabulary of bare bytes keeps its space and its byte
 * 0xe2. */
static const char *const music[] = {"♩", "♪", "♫", "♬", "♭", "♮", "♯"};

static const char *const symbols[] = {
    "\"",  "#",  "(",  ")",   "*",   "+",   "/",   ":",  ";",   "<",  "=",   ">",
    "@",   "[",  "\\", "]",   "^",   "_",   "`",   "{",  "|",   "}",  "~",   "「",
    "」",  "『", "』", "<<",  ">>",  "<<<", ">>>", "--", "---", "-(", "-[",  "('",
    "(\"", "((", "))", "(((", ")))", "[[",  "]]",  "{{", "}}",  "♪♪", "♪♪♪",
};

struct id_list {
    int ids[2 * (sizeof symbols / sizeof symbols[0] + sizeof music / sizeof music[0]) + 2];
    size_t n;
};

/* Add the token of prefix + symbol if it is one token, or the first one if that is allowed. */
static int add_symbol(const struct wi_vocab *vocab, struct id_list *list, const char *prefix,
                      const char *symbol, bool first, struct wisp_error *err) {
    char text[16];
    int *ids;
    size_t n, length;
    struct wisp_error lacking = {0};
    strcpy(text, prefix);
    strcat(text, symbol);
    int rc = wi_vocab_encode(vocab, text, &ids, &n, &lacking);
    if (rc == WISP_E_FORMAT)
        return WISP_OK; /* nothing to suppress */
    if (rc != WISP_OK)
        return wi_err_set(err, rc, "%s", lacking.text);
    wi_vocab_bytes(vocab, ids[0], &length);
    if (n == 1 || (first && length >= strlen(prefix) + 2))
        list->ids[list->n++] = ids[0];
    wi_free(ids);
    return WISP_OK;
}

static int compare_ids(const void *a, const void *b) {
    const int *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

int wi_vocab_non_speech(const struct wi_vocab *vocab, int **out, size_t *n,
                        struct wisp_error *err) {
    struct id_list list = {.n = 0};
    *out = NULL;
    *n = 0;
    /* Hyphens and quotes are allowed between words, not before one. */
    int rc = add_symbol(vocab, &list, " ", "-", false, err);
    if (rc == WISP_OK)
        rc = add_symbol(vocab, &list, " ", "'", false, err);
    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0] && rc == WISP_OK; i++) {
        rc = add_symbol(vocab, &list, "", symbols[i], false, err);
        if (rc == WISP_OK)
            rc = add_symbol(vocab, &list, " ", symbols[i], false, err);
    }
    for (size_t i = 0; i < sizeof music / sizeof music[0] && rc == WISP_OK; i++) {
        rc = add_symbol(vocab, &list, "", music[i], true, err);
        if (rc == WISP_OK)
            rc = add_symbol(vocab, &list, " ", music[i], true, err);
    }
    if (rc != WISP_OK)
        return rc;
    qsort(list.ids, list.n, sizeof list.ids[0], compare_ids);
    *out = wi_malloc(list.n, sizeof **out);
    if (!*out)
        return wi_err_nomem(err, "the list of suppressed tokens");
    for (size_t i = 0; i < list.n; i++)
        if (i == 0 || list.ids[i] != list.ids[i - 1])
            (*out)[(*n)++] = list.ids[i];
    return WISP_OK;
}

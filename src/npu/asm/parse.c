#include "npu/asm/parse.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "npu/asm/prog.h"

/* A range of text that is being read; `p` moves. */
struct text {
    const char *p, *end;
};

static bool is_space(char c) {
    return c == ' ' || c == '\t';
}

static bool is_word_char(char c) {
    return wi_asm_is_label_char(c);
}

static void skip_space(struct text *t) {
    while (t->p < t->end && is_space(*t->p))
        t->p++;
}

/* The word at t->p, which may be empty; t->p moves behind it. */
static struct text next_word(struct text *t) {
    struct text word = {t->p, t->p};
    while (t->p < t->end && is_word_char(*t->p))
        t->p++;
    word.end = t->p;
    return word;
}

/* For messages: at most 40 characters of what is there. */
static int shown(const char *p, const char *end) {
    return end - p < 40 ? (int)(end - p) : 40;
}

/* ------------------------------------------------------------------ fields */

/* Why text is not the instruction that it was compared with, and how far it was: of several the
 * farthest counts. */
struct mismatch {
    const char *at;
    char reason[200];
};

static bool differs(struct mismatch *m, const char *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static bool differs(struct mismatch *m, const char *at, const char *format, ...) {
    if (!m->at || at > m->at) {
        va_list ap;
        va_start(ap, format);
        vsnprintf(m->reason, sizeof m->reason, format, ap);
        va_end(ap);
        m->at = at;
    }
    return false;
}

/* A decimal or 0x number with its sign, of at most 33 bits. */
static bool parse_number(struct text *t, int64_t *value) {
    const char *p = t->p;
    bool minus = p < t->end && *p == '-';
    int base = 10;
    p += minus;
    if (t->end - p > 2 && p[0] == '0' && p[1] == 'x') {
        base = 16;
        p += 2;
    }
    const char *digits = p;
    for (*value = 0; p < t->end; p++) {
        int digit = *p >= '0' && *p <= '9'   ? *p - '0'
                    : *p >= 'a' && *p <= 'f' ? *p - 'a' + 10
                    : *p >= 'A' && *p <= 'F' ? *p - 'A' + 10
                                             : 99;
        if (digit >= base)
            break;
        *value = *value * base + digit;
        if (*value > 1ll << 33)
            return false;
    }
    if (p == digits || (p < t->end && is_word_char(*p)))
        return false;
    *value = minus ? -*value : *value;
    t->p = p;
    return true;
}

static bool parse_register(struct text *t, const struct wi_isa_info *info, unsigned id, int i,
                           int32_t *value, struct mismatch *m) {
    const char *at = t->p;
    struct text word = next_word(t);
    enum wi_reg reg = wi_isa_reg_find(word.p, (size_t)(word.end - word.p));
    if (reg == WI_REG_NONE)
        return differs(m, at, "'%.*s' is no register", shown(at, word.end > at ? word.end : t->end),
                       at);
    if (!wi_isa_fits(id, (unsigned)i, reg))
        return differs(m, at, "%s cannot stand here in '%s'", wi_isa_reg_info(reg)->name,
                       info->text);
    *value = (int32_t)reg;
    return true;
}

static bool parse_immediate(struct text *t, const struct wi_isa_info *info, unsigned id, int i,
                            int32_t *value, struct wi_asm_ref *ref, struct mismatch *m) {
    const struct wi_isa_field *f = &info->field[i];
    const char *at = t->p;
    int64_t n, min, max;
    if (f->width >= 20 && t->p < t->end && wi_asm_is_label_start(*t->p)) {
        struct text word = next_word(t);
        *ref = (struct wi_asm_ref){word.p, (size_t)(word.end - word.p), info->slot, i};
        *value = 0;
        return true;
    }
    if (!parse_number(t, &n))
        return differs(m, at, "'%.*s' is no number", shown(at, t->end), at);
    wi_isa_imm_range(f, &min, &max);
    if (f->width == 32 && n > max && n <= UINT32_MAX)
        n -= 1ll << 32; /* 0xffffffff is -1 */
    if (n % f->scale)
        return differs(m, at, "%lld is no multiple of %d", (long long)n, f->scale);
    if (!wi_isa_fits(id, (unsigned)i, n))
        return differs(m, at, "%lld is not in %lld..%lld", (long long)n, (long long)min,
                       (long long)max);
    *value = (int32_t)n;
    return true;
}

static int field_called(const struct wi_isa_info *info, char letter) {
    for (int i = 0; i < info->n_fields; i++)
        if (info->field[i].letter == letter)
            return i;
    return -1;
}

/* Read field `i`, which may have been read before: then both must agree. */
static bool parse_field(struct text *t, struct wi_isa_op *op, int i, bool again,
                        struct wi_asm_ref *ref, struct mismatch *m) {
    const struct wi_isa_info *info = wi_isa_info(op->id);
    const char *at = t->p;
    int32_t value = 0;
    bool ok = info->field[i].class ? parse_register(t, info, op->id, i, &value, m)
                                   : parse_immediate(t, info, op->id, i, &value, ref, m);
    if (ok && again && value != op->v[i])
        return differs(m, at, "operands %c of '%s' must be the same", info->field[i].letter,
                       info->text);
    op->v[i] = value;
    return ok;
}

/* ------------------------------------------------------------------ operations */

/* The next piece of an instruction's text: a word or one other character; spaces are skipped. */
static struct text next_piece(const char **template) {
    struct text piece;
    *template += strspn(*template, " ");
    piece.p = piece.end = *template;
    if (is_word_char(*piece.p))
        while (is_word_char(*piece.end))
            piece.end++;
    else if (*piece.p)
        piece.end++;
    *template = piece.end;
    return piece;
}

static bool parse_literal(struct text *t, struct text piece, struct mismatch *m) {
    size_t len = (size_t)(piece.end - piece.p);
    bool word = is_word_char(*piece.p);
    const char *at = t->p;
    struct text there = word ? next_word(t) : (struct text){at, at < t->end ? at + 1 : at};
    if ((size_t)(there.end - there.p) != len || memcmp(there.p, piece.p, len) != 0) {
        if (at == t->end)
            return differs(m, at, "'%.*s' is missing at the end", (int)len, piece.p);
        return differs(m, at, "'%.*s' should be '%.*s'",
                       shown(at, there.end > at ? there.end : at + 1), at, (int)len, piece.p);
    }
    t->p = there.end;
    return true;
}

/* Whether the text behind the mnemonic is that of op->id. */
static bool matches(struct text t, struct wi_isa_op *op, struct wi_asm_ref *ref,
                    struct mismatch *m) {
    const struct wi_isa_info *info = wi_isa_info(op->id);
    const char *template = info->text + strcspn(info->text, " ");
    unsigned seen = 0;
    for (;;) {
        struct text piece = next_piece(&template);
        skip_space(&t);
        if (piece.p == piece.end)
            break;
        int i = piece.end - piece.p == 1 ? field_called(info, *piece.p) : -1;
        if (i < 0 ? !parse_literal(&t, piece, m) : !parse_field(&t, op, i, seen >> i & 1, ref, m))
            return false;
        seen |= i < 0 ? 0 : 1u << i;
    }
    return t.p == t.end || differs(m, t.p, "'%.*s' is too much", shown(t.p, t.end), t.p);
}

/* A slot's NOP by its name. */
static bool parse_nop(enum wi_slot *slot, struct text word) {
    size_t len = (size_t)(word.end - word.p);
    for (unsigned s = 0; s < WI_N_SLOTS; s++) {
        const char *name = wi_isa_slot_info(s)->nop;
        *slot = (enum wi_slot)s;
        if (strlen(name) == len && memcmp(name, word.p, len) == 0)
            return true;
    }
    return false;
}

static struct text trim(const char *text, size_t len) {
    struct text t = {text, text + len};
    skip_space(&t);
    while (t.end > t.p && is_space(t.end[-1]))
        t.end--;
    return t;
}

int wi_asm_parse_op(struct wi_isa_op *op, enum wi_slot *slot, struct wi_asm_ref *ref,
                    const char *text, size_t len, struct wisp_error *err) {
    struct text t = trim(text, len);
    struct text mnemonic = next_word(&t);
    size_t n = (size_t)(mnemonic.end - mnemonic.p);
    struct mismatch m = {NULL, ""};
    memset(op, 0, sizeof *op);
    *ref = (struct wi_asm_ref){0};
    if (t.p == t.end && parse_nop(slot, mnemonic))
        return WISP_OK;
    unsigned id = wi_isa_find(mnemonic.p, n, 0);
    if (!id)
        return wi_err_set(err, WISP_E_FORMAT, "there is no instruction '%.*s'",
                          shown(mnemonic.p, n ? mnemonic.end : t.end), mnemonic.p);
    for (; id; id = wi_isa_find(mnemonic.p, n, id)) {
        memset(op, 0, sizeof *op);
        *ref = (struct wi_asm_ref){0};
        op->id = (uint16_t)id;
        *slot = wi_isa_info(id)->slot;
        if (matches(t, op, ref, &m))
            return WISP_OK;
    }
    return wi_err_set(err, WISP_E_FORMAT, "%.*s: %s", (int)n, mnemonic.p, m.reason);
}

/* ------------------------------------------------------------------ bundles */

/* "lda, st" for a set of slots. */
static void list_slots(unsigned slots, char *out, size_t size) {
    size_t at = 0;
    out[0] = '\0';
    for (unsigned s = 0; s < WI_N_SLOTS; s++)
        if (slots >> s & 1)
            at += (size_t)snprintf(out + at, size - at, "%s%s", at ? ", " : "",
                                   wi_isa_slot_info(s)->name);
}

static int no_format(unsigned slots, struct wisp_error *err) {
    char have[64], more[64];
    int format = wi_isa_format_for(slots, 0);
    list_slots(slots, have, sizeof have);
    if (format < 0)
        return wi_err_set(err, WISP_E_FORMAT, "the slots %s cannot stand in one bundle", have);
    list_slots(wi_isa_format_info((unsigned)format)->slots & ~slots, more, sizeof more);
    return wi_err_set(err, WISP_E_FORMAT,
                      "no bundle has just the slots %s; the smallest with them needs NOPs for %s",
                      have, more);
}

int wi_asm_parse_bundle(struct wi_isa_bundle *b, struct wi_asm_ref *ref, const char *text,
                        size_t len, struct wisp_error *err) {
    const char *end = text + len;
    unsigned slots = 0;
    memset(b, 0, sizeof *b);
    *ref = (struct wi_asm_ref){0};
    for (;; text++) { /* behind the semicolon */
        struct wi_isa_op op;
        struct wi_asm_ref op_ref;
        enum wi_slot slot;
        const char *semicolon = memchr(text, ';', (size_t)(end - text));
        const char *stop = semicolon ? semicolon : end;
        int rc = wi_asm_parse_op(&op, &slot, &op_ref, text, (size_t)(stop - text), err);
        if (rc != WISP_OK)
            return rc;
        if (slots >> slot & 1)
            return wi_err_set(err, WISP_E_FORMAT, "two operations for slot %s",
                              wi_isa_slot_info(slot)->name);
        slots |= 1u << slot;
        b->op[slot] = op;
        if (op_ref.name)
            *ref = op_ref; /* only lng has fields for labels */
        text = stop;
        if (!semicolon)
            break;
    }
    int format = wi_isa_format_exact(slots);
    if (format < 0)
        return no_format(slots, err);
    b->format = (uint8_t)format;
    b->size = wi_isa_format_info((unsigned)format)->bytes;
    return WISP_OK;
}

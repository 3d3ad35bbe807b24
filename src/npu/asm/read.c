#include "npu/asm/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "npu/asm/parse.h"

/* A bundle whose address is not known yet. */
struct fixup {
    struct wi_isa_bundle bundle;
    struct wi_asm_ref ref;
    size_t section, offset; /* of its bytes */
    int line;
    uint8_t expected[WI_ISA_MAX_BYTES]; /* the line's bytes column */
    bool has_expected;
};

struct reader {
    struct wi_asm_prog *prog;
    const char *name;
    int line;
    size_t total;         /* bytes so far */
    struct fixup *fixups; /* [n_fixups] */
    size_t n_fixups, fixup_capacity;
    int *label_lines; /* [of prog->labels] */
    size_t label_line_capacity;
    struct wisp_error *err;
};

/* A line, or the rest of one. */
struct line {
    const char *p, *end;
};

static int broken(struct reader *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int broken(struct reader *r, const char *format, ...) {
    char reason[600];
    va_list ap;
    va_start(ap, format);
    vsnprintf(reason, sizeof reason, format, ap);
    va_end(ap);
    return wi_err_set(r->err, WISP_E_FORMAT, "%.200s:%d: %s", r->name, r->line, reason);
}

static void skip_space(struct line *l) {
    while (l->p < l->end && (*l->p == ' ' || *l->p == '\t'))
        l->p++;
}

static int shown(const char *p, const char *end) {
    return end - p < 40 ? (int)(end - p) : 40;
}

/* ------------------------------------------------------------------ pieces of lines */

static int hex_digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* A decimal or 0x number up to 2^32 - 1. */
static bool take_number(struct line *l, uint32_t *value) {
    const char *p = l->p;
    int base = 10;
    uint64_t n = 0;
    if (l->end - p > 2 && p[0] == '0' && p[1] == 'x') {
        base = 16;
        p += 2;
    }
    const char *digits = p;
    for (; p < l->end && hex_digit(*p) >= 0 && hex_digit(*p) < base; p++) {
        n = n * (uint64_t)base + (uint64_t)hex_digit(*p);
        if (n > UINT32_MAX)
            return false;
    }
    if (p == digits || (p < l->end && wi_asm_is_label_char(*p)))
        return false;
    *value = (uint32_t)n;
    l->p = p;
    skip_space(l);
    return true;
}

static bool take_char(struct line *l, char c) {
    if (l->p == l->end || *l->p != c)
        return false;
    l->p++;
    skip_space(l);
    return true;
}

/* "1f40:" with something behind it. */
static bool take_offset(struct line *l, uint32_t *offset) {
    const char *p = l->p;
    uint64_t n = 0;
    for (; p < l->end && hex_digit(*p) >= 0 && p - l->p < 8; p++)
        n = n << 4 | (unsigned)hex_digit(*p);
    if (p == l->p || p == l->end || *p != ':' || p + 1 == l->end)
        return false;
    *offset = (uint32_t)n;
    l->p = p + 1;
    skip_space(l);
    return true;
}

/* A word of 2..32 hexadecimal digits, an even number: the bytes column.  No mnemonic looks like
 * that. */
static size_t take_bytes(struct line *l, uint8_t bytes[WI_ISA_MAX_BYTES]) {
    const char *p = l->p;
    size_t n = 0;
    for (; l->end - p >= 2 && hex_digit(p[0]) >= 0 && hex_digit(p[1]) >= 0 && n < WI_ISA_MAX_BYTES;
         p += 2)
        bytes[n++] = (uint8_t)(hex_digit(p[0]) << 4 | hex_digit(p[1]));
    if (n == 0 || (p < l->end && *p != ' ' && *p != '\t'))
        return 0;
    l->p = p;
    skip_space(l);
    return n;
}

static struct line take_word(struct line *l) {
    struct line word = {l->p, l->p};
    while (l->p < l->end && wi_asm_is_label_char(*l->p))
        l->p++;
    word.end = l->p;
    skip_space(l);
    return word;
}

static bool word_is(struct line word, const char *text) {
    size_t n = strlen(text);
    return (size_t)(word.end - word.p) == n && memcmp(word.p, text, n) == 0;
}

/* ------------------------------------------------------------------ sections and labels */

/* The section that bytes go to. */
static int current(struct reader *r, struct wi_asm_section **s) {
    int rc = WISP_OK;
    if (r->prog->n_sections == 0) {
        rc = wi_asm_prog_add_section(r->prog, ".text", 0, true, r->err);
        r->prog->bare = true;
    }
    *s = rc == WISP_OK ? &r->prog->sections[r->prog->n_sections - 1] : NULL;
    return rc;
}

static int add_bytes(struct reader *r, const uint8_t *bytes, size_t n) {
    struct wi_asm_section *s;
    int rc = current(r, &s);
    if (rc != WISP_OK)
        return rc;
    r->total += n;
    if (r->total > WI_ASM_MAX_BYTES)
        return broken(r, "more than %d MB in all", WI_ASM_MAX_BYTES >> 20);
    static const uint8_t zeros[4096];
    if (bytes)
        wi_strbuf_add(&s->bytes, bytes, n);
    for (size_t k; !bytes && n && !s->bytes.failed; n -= k) {
        k = n < sizeof zeros ? n : sizeof zeros;
        wi_strbuf_add(&s->bytes, zeros, k);
    }
    return s->bytes.failed ? wi_err_nomem(r->err, "a section") : WISP_OK;
}

/* A label `offset` bytes into the current section. */
static int add_label(struct reader *r, struct line word, uint32_t offset) {
    char name[WI_ASM_MAX_NAME + 1];
    size_t n = (size_t)(word.end - word.p);
    if (n > WI_ASM_MAX_NAME)
        return broken(r, "a label of more than %d characters", WI_ASM_MAX_NAME);
    memcpy(name, word.p, n);
    name[n] = '\0';
    int rc = wi_asm_prog_add_label(r->prog, name, r->prog->n_sections - 1, offset, r->err);
    if (rc != WISP_OK)
        return rc;
    if (r->prog->n_labels > r->label_line_capacity) {
        size_t capacity = 2 * r->prog->n_labels;
        int *lines = wi_realloc(r->label_lines, capacity, sizeof *lines);
        if (!lines)
            return wi_err_nomem(r->err, "a label");
        r->label_lines = lines;
        r->label_line_capacity = capacity;
    }
    r->label_lines[r->prog->n_labels - 1] = r->line;
    return WISP_OK;
}

/* "name:" */
static int read_label(struct reader *r, struct line word) {
    struct wi_asm_section *s;
    int rc = current(r, &s);
    return rc == WISP_OK ? add_label(r, word, (uint32_t)s->bytes.len) : rc;
}

/* .label NAME, ADDRESS */
static int read_label_at(struct reader *r, struct line *l) {
    struct line word = take_word(l);
    struct wi_asm_section *s;
    uint32_t address;
    if (word.end == word.p || !wi_asm_is_label_start(*word.p) || !take_char(l, ',') ||
        !take_number(l, &address))
        return broken(r, "a label is written 'NAME:' or '.label NAME, ADDRESS'");
    int rc = current(r, &s);
    return rc == WISP_OK ? add_label(r, word, address - s->address) : rc;
}

static int read_section(struct reader *r, struct line *l) {
    char name[WI_ASM_MAX_NAME + 1];
    struct line word = take_word(l);
    uint32_t address = 0;
    bool ok =
        word.end > word.p && take_char(l, ',') && take_number(l, &address) && take_char(l, ',');
    struct line kind = ok ? take_word(l) : (struct line){l->p, l->p};
    if (!word_is(kind, "code") && !word_is(kind, "data"))
        return broken(r, "a section is written '.section NAME, ADDRESS, code' or 'data'");
    snprintf(name, sizeof name, "%.*s", (int)(word.end - word.p), word.p);
    if (r->prog->bare)
        return broken(r, ".section must stand before the first bytes");
    return wi_asm_prog_add_section(r->prog, name, address, word_is(kind, "code"), r->err);
}

/* ------------------------------------------------------------------ lines that make bytes */

/* What a line says about itself before its text. */
struct claim {
    bool has_offset;
    uint32_t offset;
    size_t n; /* bytes */
    uint8_t bytes[WI_ISA_MAX_BYTES];
};

static int check_offset(struct reader *r, const struct claim *claim) {
    struct wi_asm_section *s;
    int rc = current(r, &s);
    if (rc != WISP_OK || !claim->has_offset)
        return rc;
    if (r->prog->bare && s->bytes.len == 0)
        s->address = claim->offset; /* a listing of raw bytes says where it begins */
    if (claim->offset != s->address + (uint32_t)s->bytes.len)
        return broken(r, "this is at 0x%x, not at 0x%x as the line says",
                      s->address + (uint32_t)s->bytes.len, claim->offset);
    return WISP_OK;
}

static int check_bytes(struct reader *r, const uint8_t *expected, size_t n_expected,
                       const uint8_t *bytes, size_t n) {
    char hex[2 * WI_ISA_MAX_BYTES + 1] = "";
    if (!n_expected || (n_expected == n && memcmp(expected, bytes, n) == 0))
        return WISP_OK;
    for (size_t i = 0; i < n && i < WI_ISA_MAX_BYTES; i++)
        snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    return broken(r,
                  "the text gives %s, which is not what the bytes column says; correct one or "
                  "leave the column out",
                  hex);
}

static int read_bytes(struct reader *r, struct line *l, const struct claim *claim) {
    uint8_t bytes[256];
    size_t n = 0;
    do {
        const char *at = l->p;
        uint32_t value;
        if (!take_number(l, &value) || value > 255)
            return broken(r, "'%.*s' is no byte", shown(at, l->end), at);
        if (n == sizeof bytes)
            return broken(r, "more than %zu bytes in one line", sizeof bytes);
        bytes[n++] = (uint8_t)value;
    } while (take_char(l, ','));
    int rc = check_bytes(r, claim->bytes, claim->n, bytes, n);
    return rc == WISP_OK ? add_bytes(r, bytes, n) : rc;
}

static int read_zeros(struct reader *r, struct line *l) {
    uint32_t n;
    if (!take_number(l, &n) || n > WI_ASM_MAX_BYTES)
        return broken(r, "'%.*s' is no number of bytes", shown(l->p, l->end), l->p);
    return add_bytes(r, NULL, n);
}

static int add_fixup(struct reader *r, const struct wi_isa_bundle *b, const struct wi_asm_ref *ref,
                     const struct claim *claim) {
    if (r->n_fixups == r->fixup_capacity) {
        size_t capacity = 2 * r->n_fixups + 16;
        struct fixup *fixups = wi_realloc(r->fixups, capacity, sizeof *fixups);
        if (!fixups)
            return wi_err_nomem(r->err, "a reference");
        r->fixups = fixups;
        r->fixup_capacity = capacity;
    }
    struct fixup *f = &r->fixups[r->n_fixups++];
    size_t section = r->prog->n_sections - 1;
    *f = (struct fixup){.bundle = *b, .ref = *ref, .section = section, .line = r->line};
    f->offset = r->prog->sections[section].bytes.len;
    f->has_expected = claim->n > 0;
    memcpy(f->expected, claim->bytes, sizeof f->expected);
    return claim->n && claim->n != b->size
               ? broken(r, "the bundle has %d bytes, the bytes column %zu", b->size, claim->n)
               : WISP_OK;
}

static int read_bundle(struct reader *r, struct line *l, const struct claim *claim) {
    struct wi_isa_bundle b;
    struct wi_asm_ref ref;
    struct wisp_error reason = {0};
    uint8_t bytes[WI_ISA_MAX_BYTES];
    if (wi_asm_parse_bundle(&b, &ref, l->p, (size_t)(l->end - l->p), &reason) != WISP_OK)
        return broken(r, "%s", reason.text);
    l->p = l->end;
    int rc = WISP_OK;
    size_t n = (size_t)wi_isa_pack(&b, bytes);
    if (ref.name)
        rc = add_fixup(r, &b, &ref, claim);
    else
        rc = check_bytes(r, claim->bytes, claim->n, bytes, n);
    return rc == WISP_OK ? add_bytes(r, bytes, n) : rc;
}

/* ------------------------------------------------------------------ lines */

static int read_entry(struct reader *r, struct line *l) {
    return take_number(l, &r->prog->entry) ? WISP_OK
                                           : broken(r, "an entry is written '.entry ADDRESS'");
}

static int read_object(struct reader *r) {
    r->prog->relocatable = true;
    return WISP_OK;
}

/* A line that makes bytes, or a directive. */
static int read_statement(struct reader *r, struct line *l, const struct claim *claim) {
    struct line rest = *l, word = take_word(&rest);
    bool directive = word.end > word.p && *word.p == '.';
    int rc;
    if (word_is(word, ".section"))
        rc = read_section(r, &rest);
    else if (word_is(word, ".entry"))
        rc = read_entry(r, &rest);
    else if (word_is(word, ".label"))
        rc = read_label_at(r, &rest);
    else if (word_is(word, ".object"))
        rc = read_object(r);
    else if ((rc = check_offset(r, claim)) != WISP_OK)
        return rc;
    else if (word_is(word, ".byte"))
        rc = read_bytes(r, &rest, claim);
    else if (word_is(word, ".zero"))
        rc = read_zeros(r, &rest);
    else if (directive)
        rc = broken(r, "there is no directive '%.*s'", shown(word.p, word.end), word.p);
    else
        return read_bundle(r, l, claim);
    return rc == WISP_OK && rest.p != rest.end
               ? broken(r, "'%.*s' is too much", shown(rest.p, rest.end), rest.p)
               : rc;
}

/* Cut comments and white space off. */
static struct line cut(struct line l) {
    for (const char *p = l.p; p + 1 < l.end; p++)
        if (p[0] == '/' && p[1] == '/') {
            l.end = p;
            break;
        }
    skip_space(&l);
    while (l.end > l.p && strchr(" \t\r", l.end[-1]))
        l.end--;
    return l;
}

static int read_line(struct reader *r, struct line l) {
    struct claim claim = {0};
    if (memchr(l.p, '\0', (size_t)(l.end - l.p)))
        return broken(r, "a NUL byte; this is no assembler text");
    l = cut(l);
    if (l.p == l.end)
        return WISP_OK;
    struct line rest = l, word = take_word(&rest);
    if (word.end > word.p && rest.p + 1 == rest.end && *rest.p == ':' &&
        wi_asm_is_label_start(*word.p))
        return read_label(r, word);
    claim.has_offset = take_offset(&l, &claim.offset);
    if (claim.has_offset)
        claim.n = take_bytes(&l, claim.bytes);
    return read_statement(r, &l, &claim);
}

/* ------------------------------------------------------------------ labels to addresses */

/* Order of label numbers by name, then by line. */
struct named {
    const char *name;
    size_t label;
    int line;
};

static int compare_named(const void *a, const void *b) {
    const struct named *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : x->line - y->line;
}

static int compare_text(const char *name, const struct wi_asm_ref *ref) {
    int order = strncmp(name, ref->name, ref->len);
    return order ? order : name[ref->len] != '\0';
}

static const struct named *find_label(const struct named *names, size_t n,
                                      const struct wi_asm_ref *ref) {
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (compare_text(names[middle].name, ref) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && compare_text(names[low].name, ref) == 0 ? &names[low] : NULL;
}

static uint32_t address_of(const struct reader *r, const struct wi_asm_label *label) {
    return r->prog->sections[label->section].address + (uint32_t)label->offset;
}

static int resolve(struct reader *r, struct fixup *f, const struct named *names, size_t n) {
    const struct named *named = find_label(names, n, &f->ref);
    uint8_t bytes[WI_ISA_MAX_BYTES];
    r->line = f->line;
    if (!named)
        return broken(r, "there is no label '%.*s'", shown(f->ref.name, f->ref.name + f->ref.len),
                      f->ref.name);
    const struct wi_asm_label *label = &r->prog->labels[named->label];
    struct wi_isa_op *op = &f->bundle.op[f->ref.slot];
    op->v[f->ref.field] = (int32_t)address_of(r, label);
    int size = wi_isa_pack(&f->bundle, bytes);
    if (!size)
        return broken(r, "label '%s' is at 0x%x, which this operand cannot hold", label->name,
                      (uint32_t)op->v[f->ref.field]);
    memcpy(r->prog->sections[f->section].bytes.data + f->offset, bytes, (size_t)size);
    return check_bytes(r, f->expected, f->has_expected ? (size_t)size : 0, bytes, (size_t)size);
}

/* Two labels of one name, unless they name one address: the listing of sections that overlap has a
 * line for it in each. */
static bool is_double(const struct reader *r, const struct named *a, const struct named *b) {
    const struct wi_asm_label *x = &r->prog->labels[a->label], *y = &r->prog->labels[b->label];
    return strcmp(a->name, b->name) == 0 &&
           (x->section == y->section || address_of(r, x) != address_of(r, y));
}

/* Every name for one address, and every label inside its section or at its end. */
static int check_labels(struct reader *r, const struct named *names, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const struct wi_asm_label *label = &r->prog->labels[names[i].label];
        r->line = names[i].line;
        if (i && is_double(r, &names[i - 1], &names[i]))
            return broken(r, "label '%s' is there since line %d", names[i].name, names[i - 1].line);
        if (label->offset > r->prog->sections[label->section].bytes.len)
            return broken(r, "label '%s' is outside of its section", names[i].name);
    }
    return WISP_OK;
}

static int resolve_all(struct reader *r) {
    size_t n = r->prog->n_labels;
    struct named *names = wi_malloc(n + 1, sizeof *names);
    if (!names)
        return wi_err_nomem(r->err, "the labels");
    for (size_t i = 0; i < n; i++)
        names[i] = (struct named){r->prog->labels[i].name, i, r->label_lines[i]};
    qsort(names, n, sizeof *names, compare_named);
    int rc = check_labels(r, names, n);
    for (size_t i = 0; i < r->n_fixups && rc == WISP_OK; i++)
        rc = resolve(r, &r->fixups[i], names, n);
    wi_free(names);
    return rc;
}

int wi_asm_read(struct wi_asm_prog *prog, const char *text, size_t size, const char *name,
                struct wisp_error *err) {
    struct reader r = {.prog = prog, .name = name, .err = err};
    int rc = WISP_OK;
    for (const char *p = text, *end = text + size; p < end && rc == WISP_OK;) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        const char *stop = newline ? newline : end;
        r.line++;
        rc = read_line(&r, (struct line){p, stop});
        p = stop + 1;
    }
    if (rc == WISP_OK)
        rc = resolve_all(&r);
    if (rc == WISP_OK)
        wi_asm_prog_sort(prog);
    wi_free(r.fixups);
    wi_free(r.label_lines);
    return rc;
}

#include "npu/image/mlir.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

enum { NAME = 64, MAX_COLS = 4 };

static const char SEQUENCE[] = "aiex.runtime_sequence", NPU[] = "aiex.npu.";

/* A line at a time of a copy that ends in NUL. */
struct reader {
    const char *line, *end; /* end: of the line */
    int number;
};

static bool next_line(struct reader *r) {
    const char *from = r->number ? r->end + (*r->end == '\n') : r->line;
    r->number++;
    r->line = from;
    r->end = from + strcspn(from, "\n");
    return *from != '\0';
}

/* Where `what` ends in the line; NULL when it does not occur. */
static const char *after(const struct reader *r, const char *what) {
    const char *at = strstr(r->line, what);
    return at && at + strlen(what) <= r->end ? at + strlen(what) : NULL;
}

static int bad(const struct reader *r, const char *what, struct wisp_error *err) {
    return wi_err_set(err, WISP_E_FORMAT, "line %d of the mlir file %s", r->number, what);
}

/* "key = number" of an operation's attributes. */
static bool attribute(const struct reader *r, const char *key, uint64_t *value) {
    const char *at = NULL;
    size_t n = strlen(key);
    const char *brace = strchr(r->line, '{');
    for (const char *p = brace; p && p < r->end && !at; p++)
        if (strncmp(p, key, n) == 0 && !isalnum((unsigned char)p[-1]) && p[-1] != '_' &&
            strncmp(p + n, " = ", 3) == 0)
            at = p + n + 3;
    if (!at || (!isdigit((unsigned char)*at) && *at != '-'))
        return false;
    *value = (uint64_t)strtoll(at, NULL, 0);
    return true;
}

/* ---------------------------------------------------------------- constants */

struct constant {
    char name[NAME]; /* without @ or % */
    uint32_t *words;
    size_t n, max;
};

struct constants {
    struct constant *list;
    size_t n, max;
};

static struct constant *add_constant(struct constants *all) {
    if (!wi_grow(&all->list, &all->max, all->n + 1, sizeof *all->list))
        return NULL;
    struct constant *c = &all->list[all->n++];
    memset(c, 0, sizeof *c);
    return c;
}

static void copy_name(char out[NAME], const char *from) {
    size_t n = 0;
    for (; n + 1 < NAME && (isalnum((unsigned char)from[n]) || from[n] == '_'); n++)
        out[n] = from[n];
    out[n] = '\0';
}

static const struct constant *find(const struct constants *all, const char *name) {
    for (size_t i = all->n; i-- > 0;) /* names of values are given anew; the last counts */
        if (strcmp(all->list[i].name, name) == 0)
            return &all->list[i];
    return NULL;
}

/* memref.global "private" constant @NAME : memref<8xi32> = dense<[1, -2]> */
static int read_global(const struct reader *r, struct constants *all, struct wisp_error *err) {
    const char *name = after(r, "@"), *list = after(r, "dense<");
    struct constant *c = name && list ? add_constant(all) : NULL;
    if (!name || !list)
        return bad(r, "has no name or no values", err);
    if (!c)
        return wi_err_nomem(err, "a constant");
    copy_name(c->name, name);
    bool brackets = *list == '[';
    list += brackets;
    while (list < r->end && *list != '>' && *list != ']') {
        char *end;
        long long v = strtoll(list, &end, 0);
        if (end == list || v < INT32_MIN || v > UINT32_MAX)
            return bad(r, "has a value that is no 32-bit number", err);
        if (!wi_grow(&c->words, &c->max, c->n + 1, sizeof *c->words))
            return wi_err_nomem(err, "a constant");
        c->words[c->n++] = (uint32_t)v;
        list = end + strspn(end, ", ");
    }
    return WISP_OK;
}

/* %0 = memref.get_global @NAME: a second name for the same words. */
static int read_value(const struct reader *r, struct constants *all, struct wisp_error *err) {
    char name[NAME], value[NAME];
    const char *percent = after(r, "%"), *at = after(r, "@");
    if (!percent || !at)
        return bad(r, "names no constant", err);
    copy_name(value, percent);
    copy_name(name, at);
    const struct constant *from = find(all, name);
    if (!from)
        return bad(r, "names a constant that is not there", err);
    size_t n = from->n, index = (size_t)(from - all->list);
    struct constant *c = add_constant(all);
    if (!c || !wi_grow(&c->words, &c->max, n + 1, sizeof *c->words))
        return wi_err_nomem(err, "a constant");
    memcpy(c->name, value, NAME);
    if (n)
        memcpy(c->words, all->list[index].words, n * sizeof *c->words);
    c->n = n;
    return WISP_OK;
}

/* ---------------------------------------------------------------- operations */

/* An absolute address, or an offset in the tile that row and column name. */
static bool address_of(const struct reader *r, uint32_t *address) {
    uint64_t a, row, col;
    if (!attribute(r, "address", &a))
        return false;
    if (attribute(r, "row", &row) && attribute(r, "column", &col))
        a |= WI_TILE_ADDR(col, row, 0);
    *address = (uint32_t)a;
    return a <= UINT32_MAX;
}

static int read_block(const struct reader *r, const struct constants *all, struct wi_cfg *cfg,
                      struct wisp_error *err) {
    char name[NAME];
    uint32_t address;
    const char *percent = after(r, "(%");
    if (!percent || !address_of(r, &address))
        return bad(r, "has no value or no address", err);
    copy_name(name, percent);
    const struct constant *c = find(all, name);
    if (!c)
        return bad(r, "names a value that is not there", err);
    wi_cfg_block(cfg, address, c->words, (uint32_t)c->n);
    return WISP_OK;
}

static int read_write(const struct reader *r, bool masked, struct wi_cfg *cfg,
                      struct wisp_error *err) {
    uint32_t address;
    uint64_t value, mask = 0;
    if (!address_of(r, &address) || !attribute(r, "value", &value) ||
        (masked && !attribute(r, "mask", &mask)))
        return bad(r, "lacks an address, a value or a mask", err);
    if (masked)
        wi_cfg_mask_write(cfg, address, (uint32_t)mask, (uint32_t)value);
    else
        wi_cfg_write(cfg, address, (uint32_t)value);
    return WISP_OK;
}

static int read_patch(const struct reader *r, struct wi_cfg *cfg, struct wisp_error *err) {
    uint64_t address, arg, offset;
    if (!attribute(r, "addr", &address) || !attribute(r, "arg_idx", &arg) ||
        !attribute(r, "arg_plus", &offset))
        return bad(r, "lacks an address, an argument or an offset", err);
    wi_cfg_patch(cfg, (uint32_t)address, (uint32_t)arg, offset);
    return WISP_OK;
}

static int read_sync(const struct reader *r, struct wi_cfg *cfg, struct wisp_error *err) {
    uint64_t channel, col, cols, direction, row, rows;
    if (!attribute(r, "channel", &channel) || !attribute(r, "column", &col) ||
        !attribute(r, "column_num", &cols) || !attribute(r, "direction", &direction) ||
        !attribute(r, "row", &row) || !attribute(r, "row_num", &rows))
        return bad(r, "lacks a number", err);
    wi_cfg_wait(cfg, (struct wi_cfg_tokens){.mm2s = direction & 1,
                                            .channel = (uint8_t)channel,
                                            .col = (uint8_t)col,
                                            .row = (uint8_t)row,
                                            .n_cols = (uint8_t)cols,
                                            .n_rows = (uint8_t)rows});
    return WISP_OK;
}

static int read_operation(const struct reader *r, const char *name, const struct constants *all,
                          struct wi_cfg *cfg, struct wisp_error *err) {
    char what[NAME];
    copy_name(what, name);
    if (strcmp(what, "blockwrite") == 0)
        return read_block(r, all, cfg, err);
    if (strcmp(what, "write32") == 0 || strcmp(what, "maskwrite32") == 0)
        return read_write(r, *what == 'm', cfg, err);
    if (strcmp(what, "address_patch") == 0)
        return read_patch(r, cfg, err);
    if (strcmp(what, "sync") == 0)
        return read_sync(r, cfg, err);
    return wi_err_set(err, WISP_E_UNSUPPORTED,
                      "line %d of the mlir file has the operation %s%s, which is not known",
                      r->number, NPU, what);
}

static int read_lines(struct wi_cfg *cfg, const char *text, struct constants *all,
                      struct wisp_error *err) {
    struct reader r = {.line = text};
    int rc = WISP_OK;
    while (rc == WISP_OK && next_line(&r)) {
        const char *operation = after(&r, NPU);
        if (after(&r, "memref.global"))
            rc = read_global(&r, all, err);
        else if (after(&r, "memref.get_global"))
            rc = read_value(&r, all, err);
        else if (operation)
            rc = read_operation(&r, operation, all, cfg, err);
    }
    return rc == WISP_OK && cfg->failed ? wi_err_nomem(err, "an instruction stream") : rc;
}

bool wi_mlir_is(const uint8_t *text, size_t size) {
    for (size_t i = 0; i + sizeof SEQUENCE - 1 <= size; i++)
        if (text[i] == 'a' && memcmp(text + i, SEQUENCE, sizeof SEQUENCE - 1) == 0)
            return true;
    return false;
}

int wi_mlir_read(struct wi_insts *insts, const uint8_t *text, size_t size, struct wisp_error *err) {
    struct constants all = {0};
    char *copy = wi_strndup((const char *)text, size);
    int rc = copy ? read_lines(&insts->cfg, copy, &all, err) : wi_err_nomem(err, "an mlir file");
    insts->n_cols = MAX_COLS;
    for (size_t i = 0; i < all.n; i++)
        wi_free(all.list[i].words);
    wi_free(all.list);
    wi_free(copy);
    return rc;
}

#include "npu/image/insts.h"

#include <ctype.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "npu/image/words.h"

/* Operations of TXN 0.1, layout as aie-rt and mlir-aie (AIETargetNPU.cpp) write it; all fields are
 * words, 64-bit ones low word first. */
enum {
    TXN_WRITE = 0x00,      /* op, 0, register, register high, value, size */
    TXN_BLOCK = 0x01,      /* op, tile, register, size, words... */
    TXN_MASK_WRITE = 0x03, /* op, 0, register, register high, value, mask, size */
    TXN_MASK_POLL = 0x04,  /* the same */
    TXN_NOP = 0x05,        /* op */
    TXN_WAIT = 0x80, /* op, size, direction | row << 8 | col << 16, rows << 8 | cols << 16 | channel
                        << 24 */
    TXN_PATCH = 0x81, /* op, size, 0, 0, 0, 0, register, high, argument, high, offset, high */
};
enum {
    TXN_HEADER = 4,
    WRITE_WORDS = 6,
    BLOCK_WORDS = 4,
    MASK_WORDS = 7,
    WAIT_WORDS = 4,
    PATCH_WORDS = 12
};

/* The older form: 17 words that are the same in every file, then operations. */
static const uint32_t OLDER_PREAMBLE[] = {
    0x00000011, 0x01000405, 0x01000100, 0x0b590100, 0x000055ff, 0x00000001,
    0x00000010, 0x314e5a5f, 0x635f5f31, 0x676e696c, 0x39354e5f, 0x6e693131,
    0x5f727473, 0x64726f77, 0x00004573, 0x07bd9630, 0x000055ff};
enum { PREAMBLE_WORDS = sizeof OLDER_PREAMBLE / sizeof OLDER_PREAMBLE[0] };
enum {
    OLDER_WRITE = 2, /* op, offset in the tile, value */
    OLDER_WAIT = 3,  /* op, cols << 16 | rows << 8 | channel << 24 */
    OLDER_BD = 6,    /* op, 0, length, byte offset, words 2..7 of a shim descriptor */
};

void wi_insts_init(struct wi_insts *insts) {
    memset(insts, 0, sizeof *insts);
    wi_cfg_init(&insts->cfg);
}

void wi_insts_fini(struct wi_insts *insts) {
    wi_cfg_fini(&insts->cfg);
}

/* ---------------------------------------------------------------- reading TXN */

static int bad_op(const char *what, size_t at, struct wisp_error *err) {
    return wi_err_set(err, WISP_E_FORMAT, "the instruction stream's operation at word %zu %s", at,
                      what);
}

/* Words of the operation at w[0..left); 0 when its opcode is unknown. */
static size_t op_words(const uint32_t *w, size_t left) {
    switch (w[0]) {
    case TXN_WRITE: return WRITE_WORDS;
    case TXN_BLOCK: return left < BLOCK_WORDS || w[3] < 4 * BLOCK_WORDS ? BLOCK_WORDS : w[3] / 4;
    case TXN_MASK_WRITE:
    case TXN_MASK_POLL: return MASK_WORDS;
    case TXN_NOP: return 1;
    case TXN_WAIT: return WAIT_WORDS;
    case TXN_PATCH: return PATCH_WORDS;
    default: return 0;
    }
}

/* The word in which an operation states its own size in bytes; 0 when it does not. */
static size_t size_word(uint32_t op) {
    switch (op) {
    case TXN_WRITE: return 5;
    case TXN_BLOCK: return 3;
    case TXN_MASK_WRITE:
    case TXN_MASK_POLL: return 6;
    case TXN_WAIT:
    case TXN_PATCH: return 1;
    default: return 0;
    }
}

static struct wi_cfg_tokens unpack_tokens(uint32_t from, uint32_t span) {
    return (struct wi_cfg_tokens){
        .mm2s = from & 1,
        .row = (uint8_t)(from >> 8),
        .col = (uint8_t)(from >> 16),
        .n_rows = (uint8_t)(span >> 8),
        .n_cols = (uint8_t)(span >> 16),
        .channel = (uint8_t)(span >> 24),
    };
}

/* Fields that have to be 0: all of PATCH's unused words, high halves of registers. */
static bool has_stray_bits(const uint32_t *w) {
    switch (w[0]) {
    case TXN_WRITE:
    case TXN_MASK_WRITE:
    case TXN_MASK_POLL: return w[1] || w[3];
    case TXN_BLOCK: return w[1] && w[1] != ((w[2] >> 25) | (w[2] >> 20 & 31) << 8);
    case TXN_WAIT: return w[2] & 0xff0000fe || w[3] & 0xff;
    case TXN_PATCH: return w[2] || w[3] || w[4] || w[5] || w[7] || w[9];
    default: return false;
    }
}

static void add_op(struct wi_cfg *cfg, const uint32_t *w) {
    switch (w[0]) {
    case TXN_WRITE: wi_cfg_write(cfg, w[2], w[4]); break;
    case TXN_BLOCK: wi_cfg_block(cfg, w[2], w + BLOCK_WORDS, w[3] / 4 - BLOCK_WORDS); break;
    case TXN_MASK_WRITE: wi_cfg_mask_write(cfg, w[2], w[5], w[4]); break;
    case TXN_MASK_POLL:
        wi_cfg_add(cfg, (struct wi_cfg_op){
                            .kind = WI_CFG_MASK_POLL, .addr = w[2], .value = w[4], .mask = w[5]});
        break;
    case TXN_NOP: wi_cfg_nop(cfg, NULL, 0); break;
    case TXN_WAIT: wi_cfg_wait(cfg, unpack_tokens(w[2], w[3])); break;
    case TXN_PATCH: wi_cfg_patch(cfg, w[6], w[8], w[10] | (uint64_t)w[11] << 32); break;
    }
}

static int read_txn(struct wi_insts *insts, const uint32_t *w, size_t n, struct wisp_error *err) {
    if (w[0] != (1 << 8 | WI_TXN_GENERATION << 16 | WI_TXN_ROWS << 24) ||
        w[1] >> 8 != WI_TXN_MEM_ROWS)
        return wi_err_set(
            err, WISP_E_UNSUPPORTED,
            "the instruction stream's version %u.%u, generation %u, %u rows is not that of "
            "this chip (0.1, %d, %d)",
            w[0] & 255, w[0] >> 8 & 255, w[0] >> 16 & 255, w[0] >> 24, WI_TXN_GENERATION,
            WI_TXN_ROWS);
    if (w[3] != 4 * n)
        return wi_err_set(err, WISP_E_FORMAT,
                          "the instruction stream states %u bytes; there are %zu", w[3], 4 * n);
    insts->n_cols = (int)(w[1] & 255);
    size_t at = TXN_HEADER;
    for (uint32_t i = 0; i < w[2]; i++) {
        size_t words = at < n ? op_words(w + at, n - at) : 1;
        if (words == 0)
            return wi_err_set(
                err, WISP_E_UNSUPPORTED,
                "the instruction stream's operation 0x%02x at word %zu is none that is "
                "known to run on this chip",
                w[at], at);
        if (at >= n || words > n - at)
            return bad_op("is cut off", at, err);
        if (size_word(w[at]) && w[at + size_word(w[at])] != 4 * words)
            return bad_op("has a wrong size", at, err);
        if (has_stray_bits(w + at))
            return bad_op("has bits set that mean nothing", at, err);
        add_op(&insts->cfg, w + at);
        at += words;
    }
    if (at != n)
        return wi_err_set(
            err, WISP_E_FORMAT,
            "the instruction stream states %u operations, which end at word %zu of %zu", w[2], at,
            n);
    return WISP_OK;
}

/* ---------------------------------------------------------------- reading the older form */

static int read_older_bd(struct wi_cfg *cfg, const uint32_t *w, size_t at, struct wisp_error *err) {
    enum { SHIM_BD = 0x1d000, BD_BYTES = 0x20 };
    uint32_t col = w[0] >> 16 & 255, arg = w[0] >> 4 & 15, bd = w[0] & 15;
    uint32_t addr = WI_TILE_ADDR(col, 0, SHIM_BD + BD_BYTES * bd);
    uint32_t words[8] = {w[2], 0};
    if (w[1] != 0)
        return bad_op("has an address increment", at, err);
    memcpy(words + 2, w + 4, 6 * sizeof *words);
    wi_cfg_block(cfg, addr, words, 8);
    wi_cfg_patch(cfg, addr + 4, arg, w[3]);
    return WISP_OK;
}

static int read_older(struct wi_insts *insts, const uint32_t *w, size_t n, struct wisp_error *err) {
    int rc = WISP_OK;
    insts->older = true;
    for (size_t at = PREAMBLE_WORDS, words = 0; at < n && rc == WISP_OK; at += words) {
        uint32_t op = w[at] >> 24, col = w[at] >> 16 & 255, row = w[at] >> 8 & 255;
        words = op == OLDER_WRITE ? 3 : op == OLDER_WAIT ? 2 : op == OLDER_BD ? 10 : 0;
        if (words == 0)
            return wi_err_set(
                err, WISP_E_UNSUPPORTED,
                "the older instruction stream has an unknown operation 0x%02x at word %zu", op, at);
        if (words > n - at)
            return bad_op("is cut off", at, err);
        if (op == OLDER_WRITE)
            wi_cfg_write(&insts->cfg, WI_TILE_ADDR(col, row, w[at + 1]), w[at + 2]);
        else if (op == OLDER_WAIT)
            wi_cfg_wait(&insts->cfg, unpack_tokens((w[at] & 1) | row << 8 | col << 16, w[at + 1]));
        else
            rc = read_older_bd(&insts->cfg, w + at, at, err);
    }
    return rc;
}

int wi_insts_read(struct wi_insts *insts, const uint8_t *data, size_t size,
                  struct wisp_error *err) {
    uint32_t *w = wi_words_load(data, size);
    size_t n = size / 4;
    int rc;
    if (!w)
        return wi_err_nomem(err, "an instruction stream");
    if (size % 4 != 0 || n < TXN_HEADER)
        rc = wi_err_set(err, WISP_E_FORMAT, "%zu bytes are not an instruction stream", size);
    else if (n >= PREAMBLE_WORDS && memcmp(w, OLDER_PREAMBLE, sizeof OLDER_PREAMBLE) == 0)
        rc = read_older(insts, w, n, err);
    else
        rc = read_txn(insts, w, n, err);
    wi_free(w);
    return rc == WISP_OK && insts->cfg.failed ? wi_err_nomem(err, "an instruction stream") : rc;
}

/* ---------------------------------------------------------------- writing */

static void put_op(const struct wi_cfg *cfg, const struct wi_cfg_op *op, struct wi_strbuf *out) {
    const struct wi_cfg_tokens *t = &op->tokens;
    uint32_t poll = op->kind == WI_CFG_MASK_POLL ? TXN_MASK_POLL : TXN_MASK_WRITE;
    const uint32_t write[WRITE_WORDS] = {TXN_WRITE, 0, op->addr, 0, op->value, 4 * WRITE_WORDS};
    const uint32_t mask[MASK_WORDS] = {poll, 0, op->addr, 0, op->value, op->mask, 4 * MASK_WORDS};
    const uint32_t block[BLOCK_WORDS] = {TXN_BLOCK, 0, op->addr, 4 * (BLOCK_WORDS + op->n_words)};
    const uint32_t wait[WAIT_WORDS] = {
        TXN_WAIT, 4 * WAIT_WORDS, t->mm2s | (uint32_t)t->row << 8 | (uint32_t)t->col << 16,
        (uint32_t)t->n_rows << 8 | (uint32_t)t->n_cols << 16 | (uint32_t)t->channel << 24};
    const uint32_t patch[PATCH_WORDS] = {TXN_PATCH,
                                         4 * PATCH_WORDS,
                                         0,
                                         0,
                                         0,
                                         0,
                                         op->addr,
                                         0,
                                         op->arg,
                                         0,
                                         (uint32_t)op->offset,
                                         (uint32_t)(op->offset >> 32)};
    switch (op->kind) {
    case WI_CFG_NOP: wi_word_put(out, TXN_NOP); break;
    case WI_CFG_WRITE: wi_words_put(out, write, WRITE_WORDS); break;
    case WI_CFG_MASK_WRITE:
    case WI_CFG_MASK_POLL: wi_words_put(out, mask, MASK_WORDS); break;
    case WI_CFG_PATCH: wi_words_put(out, patch, PATCH_WORDS); break;
    case WI_CFG_WAIT: wi_words_put(out, wait, WAIT_WORDS); break;
    case WI_CFG_BLOCK:
        wi_words_put(out, block, BLOCK_WORDS);
        wi_words_put(out, wi_cfg_words(cfg, op), op->n_words);
    }
}

int wi_insts_write(const struct wi_insts *insts, struct wi_strbuf *out, struct wisp_error *err) {
    const struct wi_cfg *cfg = &insts->cfg;
    struct wi_strbuf ops;
    wi_strbuf_init(&ops);
    for (size_t i = 0; i < cfg->n_ops; i++)
        put_op(cfg, &cfg->ops[i], &ops);
    const uint32_t header[TXN_HEADER] = {1 << 8 | WI_TXN_GENERATION << 16 | WI_TXN_ROWS << 24,
                                         (uint32_t)insts->n_cols | WI_TXN_MEM_ROWS << 8,
                                         (uint32_t)cfg->n_ops,
                                         (uint32_t)(4 * TXN_HEADER + ops.len)};
    wi_words_put(out, header, TXN_HEADER);
    if (ops.len)
        wi_strbuf_add(out, ops.data, ops.len);
    bool failed = ops.failed || out->failed, too_long = ops.len > UINT32_MAX - 4 * TXN_HEADER;
    wi_strbuf_fini(&ops);
    if (failed)
        return wi_err_nomem(err, "an instruction stream");
    return too_long ? wi_err_set(err, WISP_E_ARG, "an instruction stream has at most 4 GB")
                    : WISP_OK;
}

/* ---------------------------------------------------------------- text */

static int hex_digit(uint8_t c) {
    return isdigit(c) ? c - '0' : isxdigit(c) ? tolower(c) - 'a' + 10 : -1;
}

bool wi_insts_from_hex(const uint8_t *text, size_t n, uint8_t **out, size_t *size) {
    struct wi_strbuf bytes;
    bool valid = true;
    wi_strbuf_init(&bytes);
    for (size_t i = 0; i < n && valid;) {
        uint32_t word = 0;
        int digits = 0;
        for (; i < n && hex_digit(text[i]) >= 0; i++, digits++)
            word = word << 4 | (uint32_t)hex_digit(text[i]);
        valid = digits == 8 && (i == n || isspace(text[i]));
        if (valid)
            wi_word_put(&bytes, word);
        while (i < n && isspace(text[i]))
            i++;
    }
    *size = bytes.len;
    valid = valid && bytes.len > 0;
    *out = valid && !bytes.failed ? (uint8_t *)wi_strbuf_take(&bytes) : NULL;
    wi_strbuf_fini(&bytes);
    return valid;
}

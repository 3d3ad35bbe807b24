#include "npu/image/cdo.h"

#include "base/err.h"
#include "npu/image/words.h"

/* Commands: those that the loader in XRT's aie-pdi-transform accepts; it refuses all others.  A
 * command word is opcode | payload words << 16, with 1 ("general") as the opcode's high byte and
 * nothing in bits 31:24. */
enum {
    MAGIC = 0x004f4443, /* "CDO\0" */
    VERSION = 0x0200,
    LONG = 255, /* payload words: the next word has the number */
    MASK_WRITE = 0x0102,
    WRITE = 0x0103,
    DMA_WRITE = 0x0105,
    MASK_WRITE64 = 0x0107,
    WRITE64 = 0x0108,
    NOP = 0x0111,
};

/* ---------------------------------------------------------------- reading */

/* A payload that is too short, too long, or has an address of more than 32 bits. */
static int bad_payload(const char *command, size_t n, size_t at, struct wisp_error *err) {
    return wi_err_set(err, WISP_E_FORMAT,
                      "the CDO's %s at word %zu has %zu words or an address that cannot be",
                      command, at, n);
}

static int read_command(struct wi_cfg *cfg, uint32_t opcode, const uint32_t *p, size_t n, size_t at,
                        struct wisp_error *err) {
    switch (opcode) {
    case NOP: wi_cfg_nop(cfg, p, (uint32_t)n); return WISP_OK;
    case WRITE:
        if (n != 2)
            return bad_payload("WRITE", n, at, err);
        wi_cfg_write(cfg, p[0], p[1]);
        return WISP_OK;
    case MASK_WRITE:
        if (n != 3)
            return bad_payload("MASK_WRITE", n, at, err);
        wi_cfg_mask_write(cfg, p[0], p[1], p[2]);
        return WISP_OK;
    case DMA_WRITE:
        if (n < 3 || n - 2 > WI_CDO_MAX_BLOCK || p[0] != 0)
            return bad_payload("DMA_WRITE", n, at, err);
        wi_cfg_block(cfg, p[1], p + 2, (uint32_t)(n - 2));
        return WISP_OK;
    case WRITE64:
        if (n != 3 || p[0] != 0)
            return bad_payload("WRITE64", n, at, err);
        wi_cfg_write(cfg, p[1], p[2]);
        return WISP_OK;
    case MASK_WRITE64:
        if (n != 4 || p[0] != 0)
            return bad_payload("MASK_WRITE64", n, at, err);
        wi_cfg_mask_write(cfg, p[1], p[2], p[3]);
        return WISP_OK;
    default:
        return wi_err_set(
            err, WISP_E_UNSUPPORTED,
            "the CDO's command 0x%04x at word %zu is none that this chip's loader knows", opcode,
            at);
    }
}

static int check_header(const uint32_t *w, size_t n, struct wisp_error *err) {
    if (n < WI_CDO_HEADER_WORDS || w[0] != WI_CDO_HEADER_WORDS - 1 || w[1] != MAGIC)
        return wi_err_set(err, WISP_E_FORMAT, "there is no CDO header");
    if (w[2] != VERSION)
        return wi_err_set(err, WISP_E_UNSUPPORTED, "the CDO's version is 0x%04x, not 0x%04x", w[2],
                          VERSION);
    if (w[4] != wi_words_checksum(w, 4))
        return wi_err_set(err, WISP_E_FORMAT, "the CDO header's checksum is wrong");
    if (w[3] > n - WI_CDO_HEADER_WORDS)
        return wi_err_set(err, WISP_E_FORMAT, "the CDO states %u words of commands; there are %zu",
                          w[3], n - WI_CDO_HEADER_WORDS);
    return WISP_OK;
}

int wi_cdo_read(struct wi_cfg *cfg, const uint32_t *words, size_t n, struct wisp_error *err) {
    int rc = check_header(words, n, err);
    size_t at = WI_CDO_HEADER_WORDS, end = rc == WISP_OK ? at + words[3] : 0;
    while (rc == WISP_OK && at < end) {
        size_t first = at + 1, length = words[at] >> 16;
        if (length > LONG)
            return wi_err_set(
                err, WISP_E_FORMAT,
                "the CDO's command word 0x%08x at word %zu has bits beyond its length", words[at],
                at);
        if (length == LONG && first < end)
            length = words[first++];
        if (length > end - first)
            return wi_err_set(err, WISP_E_FORMAT,
                              "the CDO's command at word %zu is longer than what is left", at);
        rc = read_command(cfg, words[at] & 0xffff, words + first, length, at, err);
        at = first + length;
    }
    return rc == WISP_OK && cfg->failed ? wi_err_nomem(err, "the commands of a CDO") : rc;
}

/* ---------------------------------------------------------------- writing */

/* Payload words of an operation. */
static int payload_length(const struct wi_cfg_op *op, size_t *n, struct wisp_error *err) {
    switch (op->kind) {
    case WI_CFG_NOP: *n = op->n_words; return WISP_OK;
    case WI_CFG_WRITE: *n = 2; return WISP_OK;
    case WI_CFG_MASK_WRITE: *n = 3; return WISP_OK;
    case WI_CFG_BLOCK:
        *n = 2 + (size_t)op->n_words;
        if (op->n_words > 0 && op->n_words <= WI_CDO_MAX_BLOCK)
            return WISP_OK;
        return wi_err_set(err, WISP_E_ARG,
                          "a block of %u words to 0x%08x does not fit a CDO command", op->n_words,
                          op->addr);
    default: return wi_err_set(err, WISP_E_ARG, "a CDO has no command that waits or patches");
    }
}

int wi_cdo_length(const struct wi_cfg *cfg, size_t *n, struct wisp_error *err) {
    *n = WI_CDO_HEADER_WORDS;
    for (size_t i = 0; i < cfg->n_ops; i++) {
        size_t length = 0;
        int rc = payload_length(&cfg->ops[i], &length, err);
        if (rc != WISP_OK)
            return rc;
        *n += length + (length < LONG ? 1 : 2);
    }
    return WISP_OK;
}

static void put_command(struct wi_strbuf *out, uint32_t opcode, size_t length) {
    wi_word_put(out, opcode | (uint32_t)(length < LONG ? length : LONG) << 16);
    if (length >= LONG)
        wi_word_put(out, (uint32_t)length);
}

static void put_op(const struct wi_cfg *cfg, const struct wi_cfg_op *op, struct wi_strbuf *out) {
    const uint32_t write[] = {op->addr, op->value}, masked[] = {op->addr, op->mask, op->value};
    const uint32_t address[] = {0, op->addr};
    switch (op->kind) {
    case WI_CFG_WRITE:
        put_command(out, WRITE, 2);
        wi_words_put(out, write, 2);
        break;
    case WI_CFG_MASK_WRITE:
        put_command(out, MASK_WRITE, 3);
        wi_words_put(out, masked, 3);
        break;
    case WI_CFG_BLOCK:
        put_command(out, DMA_WRITE, 2 + (size_t)op->n_words);
        wi_words_put(out, address, 2);
        wi_words_put(out, wi_cfg_words(cfg, op), op->n_words);
        break;
    default:
        put_command(out, NOP, op->n_words);
        wi_words_put(out, wi_cfg_words(cfg, op), op->n_words);
    }
}

int wi_cdo_write(const struct wi_cfg *cfg, struct wi_strbuf *out, struct wisp_error *err) {
    size_t n;
    int rc = wi_cdo_length(cfg, &n, err);
    if (rc != WISP_OK)
        return rc;
    uint32_t header[WI_CDO_HEADER_WORDS] = {WI_CDO_HEADER_WORDS - 1, MAGIC, VERSION,
                                            (uint32_t)(n - WI_CDO_HEADER_WORDS)};
    header[4] = wi_words_checksum(header, 4);
    wi_words_put(out, header, WI_CDO_HEADER_WORDS);
    for (size_t i = 0; i < cfg->n_ops; i++)
        put_op(cfg, &cfg->ops[i], out);
    return out->failed ? wi_err_nomem(err, "a CDO") : WISP_OK;
}

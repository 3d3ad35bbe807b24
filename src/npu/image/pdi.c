#include "npu/image/pdi.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "npu/image/cdo.h"
#include "npu/image/words.h"

/* Words of the header.  Names and layout: bootgen's versal image header tables; a file has a bus
 * width pattern, an image header table (IHT), an image header (IH) and a partition header (PH). */
enum {
    IHT = 4,
    IHT_WORDS = 32,
    IHT_IMAGES = IHT + 1,
    IHT_PARTITIONS = IHT + 3,
    IHT_ID = IHT + 10,
    IH = 36,
    IH_WORDS = 16,
    PH = 52,
    PH_WORDS = 32,
    PH_ENCRYPTED_LENGTH = PH,       /* rounded up to 4 words */
    PH_UNENCRYPTED_LENGTH = PH + 1, /* CDO header and commands */
    PH_TOTAL_LENGTH = PH + 2,       /* rounded up to 4 words */
    PH_DATA_OFFSET = PH + 8,        /* in words: WI_PDI_HEADER_WORDS */
    PH_TRANSFORM_TYPE = PH + 28,
    PH_TRANSFORM_LENGTH = PH + 29, /* bytes of the command zone */
    PH_TRANSFORM_MARK = PH + 30,
};
static const uint32_t BUS_WIDTH[4] = {0xdd, 0x11223344, 0x55667788, 0x99aabbcc};
enum { IDENTIFICATION = 0x50504449 }; /* "IDPP" */

static void set_checksum(uint32_t *structure, size_t n) {
    structure[n - 1] = wi_words_checksum(structure, n - 1);
}

void wi_pdi_init(struct wi_pdi *pdi) {
    uint32_t *h = pdi->header;
    memset(pdi, 0, sizeof *pdi);
    wi_cfg_init(&pdi->cfg);
    memcpy(h, BUS_WIDTH, sizeof BUS_WIDTH);
    h[IHT] = 0x40000; /* version 4.0 */
    h[IHT_IMAGES] = h[IHT_PARTITIONS] = 1;
    h[IHT + 2] = IH;
    h[IHT + 4] = PH;
    h[IHT + 6] = 0x14ca8093; /* id code */
    h[IHT_ID] = IDENTIFICATION;
    h[IHT + 11] = IHT_WORDS | IH_WORDS << 8 | PH_WORDS << 16;
    h[IHT + 12] = IH_WORDS + PH_WORDS;
    h[IHT + 17] = 1; /* extended id code */
    set_checksum(h + IHT, IHT_WORDS);
    h[IH] = PH;
    h[IH + 1] = 1;          /* partition */
    h[IH + 4] = 0x5f656961; /* "aie_image" */
    h[IH + 5] = 0x67616d69;
    h[IH + 6] = 0x65;
    h[IH + 8] = 0x1c000000; /* image id */
    set_checksum(h + IH, IH_WORDS);
    h[PH + 6] = h[PH + 7] = UINT32_MAX; /* load address: none */
    h[PH_DATA_OFFSET] = WI_PDI_HEADER_WORDS;
    h[PH + 9] = 0x02000006; /* attributes: CDO */
    h[PH + 10] = 1;         /* section */
}

void wi_pdi_fini(struct wi_pdi *pdi) {
    wi_cfg_fini(&pdi->cfg);
}

/* ---------------------------------------------------------------- reading */

static int check_structure(const uint32_t *structure, size_t n, const char *name,
                           struct wisp_error *err) {
    if (structure[n - 1] == wi_words_checksum(structure, n - 1))
        return WISP_OK;
    return wi_err_set(err, WISP_E_FORMAT, "the PDI's %s has a wrong checksum", name);
}

/* What tells the loader that a PDI is transformed (type 1), with the length of its commands. */
static uint32_t mark(uint32_t length) {
    return (0x8866 | 1 << 8 | (length & 0xffff) << 16) | length >> 16;
}

static int check_header(const uint32_t *h, struct wisp_error *err) {
    uint32_t partition[PH_WORDS];
    if (memcmp(h, BUS_WIDTH, sizeof BUS_WIDTH) != 0 || h[IHT_ID] != IDENTIFICATION)
        return wi_err_set(err, WISP_E_FORMAT, "this is not a PDI");
    if (h[IHT_IMAGES] != 1 || h[IHT_PARTITIONS] != 1 || h[PH_DATA_OFFSET] != WI_PDI_HEADER_WORDS)
        return wi_err_set(
            err, WISP_E_UNSUPPORTED,
            "the PDI has %u images with %u partitions at word %u; images for this chip "
            "have one each, at word %d",
            h[IHT_IMAGES], h[IHT_PARTITIONS], h[PH_DATA_OFFSET], WI_PDI_HEADER_WORDS);
    if (h[PH_TRANSFORM_TYPE] > 1 ||
        h[PH_TRANSFORM_MARK] != (h[PH_TRANSFORM_TYPE] ? mark(h[PH_TRANSFORM_LENGTH]) : 0) ||
        (!h[PH_TRANSFORM_TYPE] && h[PH_TRANSFORM_LENGTH]))
        return wi_err_set(err, WISP_E_FORMAT, "the PDI's words on its transformation disagree");
    /* The transforming tool leaves the checksum as it was before. */
    memcpy(partition, h + PH, sizeof partition);
    memset(partition + 28, 0, 3 * sizeof *partition);
    int rc = check_structure(h + IHT, IHT_WORDS, "image header table", err);
    if (rc == WISP_OK)
        rc = check_structure(h + IH, IH_WORDS, "image header", err);
    return rc == WISP_OK ? check_structure(partition, PH_WORDS, "partition header", err) : rc;
}

/* A transformed PDI has its commands in groups {opcode, count, arguments of each} and the words of
 * all blocks behind them. */
struct zones {
    const uint32_t *commands, *data;
    size_t n_commands, n_data;
};
enum {
    GROUP_MASK_WRITE = 2,
    GROUP_WRITE = 3,
    GROUP_BLOCK = 5,
    GROUP_WRITE64 = 7,
    GROUP_MASK_WRITE64 = 8
};

/* p: {0, address, offset in the data in bytes, words | 1 << 16 when they are all zero}. */
static int add_block(struct wi_pdi *pdi, const struct zones *z, const uint32_t *p,
                     struct wisp_error *err) {
    size_t n = p[3] & 0xffff, from = p[2] / 4, have = 0;
    bool zero = p[3] >> 16 & 1;
    if (p[0] != 0 || n == 0 || p[2] % 4 != 0 || p[3] >> 17 || (!zero && from > z->n_data))
        return wi_err_set(err, WISP_E_FORMAT, "a block of the transformed PDI cannot be");
    if (!zero)
        have = z->n_data - from < n ? z->n_data - from : n;
    /* The tool cuts the file too early by the CDO header. */
    if (!zero && n - have > WI_CDO_HEADER_WORDS)
        return wi_err_set(err, WISP_E_FORMAT, "the transformed PDI ends inside a block");
    uint32_t *words = wi_calloc(n, sizeof *words);
    if (!words)
        return wi_err_nomem(err, "a block of a PDI");
    if (have > 0)
        memcpy(words, z->data + from, have * sizeof *words);
    wi_cfg_block(&pdi->cfg, p[1], words, (uint32_t)n);
    wi_free(words);
    pdi->missing_words += zero ? 0 : n - have;
    return WISP_OK;
}

/* One command of a group; returns the number of its words, 0 for an unknown opcode. */
static size_t group_arguments(uint32_t opcode) {
    switch (opcode) {
    case GROUP_WRITE: return 2;
    case GROUP_MASK_WRITE: return 3;
    case GROUP_WRITE64: return 3;
    case GROUP_MASK_WRITE64: return 4;
    case GROUP_BLOCK: return 4;
    default: return 0;
    }
}

static int add_grouped(struct wi_pdi *pdi, const struct zones *z, uint32_t opcode,
                       const uint32_t *p, struct wisp_error *err) {
    if ((opcode == GROUP_WRITE64 || opcode == GROUP_MASK_WRITE64) && p[0] != 0)
        return wi_err_set(err, WISP_E_FORMAT, "the PDI has an address of more than 32 bits");
    switch (opcode) {
    case GROUP_WRITE: wi_cfg_write(&pdi->cfg, p[0], p[1]); break;
    case GROUP_MASK_WRITE: wi_cfg_mask_write(&pdi->cfg, p[0], p[1], p[2]); break;
    case GROUP_WRITE64: wi_cfg_write(&pdi->cfg, p[1], p[2]); break;
    case GROUP_MASK_WRITE64: wi_cfg_mask_write(&pdi->cfg, p[1], p[2], p[3]); break;
    default: return add_block(pdi, z, p, err);
    }
    return WISP_OK;
}

static int read_groups(struct wi_pdi *pdi, const struct zones *z, struct wisp_error *err) {
    int rc = WISP_OK;
    for (size_t at = 0; at < z->n_commands;) {
        uint32_t opcode = z->commands[at];
        size_t words = group_arguments(opcode), left = z->n_commands - at;
        if (words == 0 || left < 2 || z->commands[at + 1] > (left - 2) / words)
            return wi_err_set(
                err, WISP_E_FORMAT,
                "the transformed PDI has a bad group (%u) at word %zu of its commands", opcode, at);
        uint32_t count = z->commands[at + 1];
        at += 2;
        for (uint32_t i = 0; i < count && rc == WISP_OK; i++, at += words)
            rc = add_grouped(pdi, z, opcode, z->commands + at, err);
        if (rc != WISP_OK)
            return rc;
    }
    return pdi->cfg.failed ? wi_err_nomem(err, "the commands of a PDI") : WISP_OK;
}

static int read_transformed(struct wi_pdi *pdi, const uint32_t *words, size_t n,
                            struct wisp_error *err) {
    const size_t begin = WI_PDI_HEADER_WORDS + WI_CDO_HEADER_WORDS;
    size_t length = pdi->header[PH_TRANSFORM_LENGTH] / 4;
    if (n < begin || length > n - begin || pdi->header[PH_TRANSFORM_LENGTH] % 4 != 0)
        return wi_err_set(err, WISP_E_FORMAT, "the transformed PDI's commands do not fit the file");
    struct zones z = {words + begin, words + begin + length, length, n - begin - length};
    return read_groups(pdi, &z, err);
}

static int read_words(struct wi_pdi *pdi, const uint32_t *words, size_t n, struct wisp_error *err) {
    if (n < WI_PDI_HEADER_WORDS)
        return wi_err_set(err, WISP_E_FORMAT, "the PDI is shorter than its header");
    memcpy(pdi->header, words, sizeof pdi->header);
    int rc = check_header(words, err);
    if (rc != WISP_OK)
        return rc;
    pdi->transformed = pdi->header[PH_TRANSFORM_TYPE] == 1;
    if (pdi->transformed)
        return read_transformed(pdi, words, n, err);
    if (words[PH_TOTAL_LENGTH] != n - WI_PDI_HEADER_WORDS)
        return wi_err_set(err, WISP_E_FORMAT,
                          "the PDI states %u words behind its header; there are %zu",
                          words[PH_TOTAL_LENGTH], n - WI_PDI_HEADER_WORDS);
    return wi_cdo_read(&pdi->cfg, words + WI_PDI_HEADER_WORDS, n - WI_PDI_HEADER_WORDS, err);
}

int wi_pdi_read(struct wi_pdi *pdi, const uint8_t *data, size_t size, struct wisp_error *err) {
    uint32_t *words = wi_words_load(data, size);
    if (!words)
        return wi_err_nomem(err, "a PDI");
    int rc = size % 4 == 0 ? read_words(pdi, words, size / 4, err)
                           : wi_err_set(err, WISP_E_FORMAT,
                                        "a PDI consists of 4-byte words; "
                                        "the last one is cut off");
    wi_free(words);
    return rc;
}

/* ---------------------------------------------------------------- writing */

int wi_pdi_write(const struct wi_pdi *pdi, struct wi_strbuf *out, struct wisp_error *err) {
    uint32_t header[WI_PDI_HEADER_WORDS];
    size_t n, padded;
    if (pdi->transformed)
        return wi_err_set(err, WISP_E_UNSUPPORTED,
                          "a transformed PDI is read only; the driver takes the plain form too");
    int rc = wi_cdo_length(&pdi->cfg, &n, err);
    if (rc != WISP_OK)
        return rc;
    padded = (n + 3) / 4 * 4;
    memcpy(header, pdi->header, sizeof header);
    header[PH_ENCRYPTED_LENGTH] = header[PH_TOTAL_LENGTH] = (uint32_t)padded;
    header[PH_UNENCRYPTED_LENGTH] = (uint32_t)n;
    set_checksum(header + PH, PH_WORDS);
    wi_words_put(out, header, WI_PDI_HEADER_WORDS);
    rc = wi_cdo_write(&pdi->cfg, out, err);
    for (; n < padded; n++)
        wi_word_put(out, 0);
    return rc == WISP_OK && out->failed ? wi_err_nomem(err, "a PDI") : rc;
}

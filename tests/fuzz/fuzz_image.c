/* NPU images of every kind.  What is read as a CDO's commands or as an instruction stream can be
 * written again, in the same length where the writer uses the reader's form. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "npu/image/cdo.h"
#include "npu/image/insts.h"
#include "npu/image/mlir.h"
#include "npu/image/pdi.h"
#include "npu/image/words.h"
#include "npu/image/xclbin.h"

#define NEED(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

/* The input as the commands behind a good header. */
static void commands(const uint8_t *data, size_t size) {
    struct wisp_error err = {0};
    struct wi_cfg cfg;
    struct wi_strbuf out;
    uint32_t *words = wi_words_load(data, size), *cdo;
    size_t n = size / 4;
    cdo = wi_calloc(WI_CDO_HEADER_WORDS + n, sizeof *cdo);
    NEED(words && cdo);
    const uint32_t header[] = {4, 0x004f4443, 0x200, (uint32_t)n};
    memcpy(cdo, header, sizeof header);
    cdo[4] = wi_words_checksum(cdo, 4);
    memcpy(cdo + WI_CDO_HEADER_WORDS, words, 4 * n);
    wi_cfg_init(&cfg);
    wi_strbuf_init(&out);
    if (wi_cdo_read(&cfg, cdo, WI_CDO_HEADER_WORDS + n, &err) == WISP_OK) {
        NEED(wi_cdo_write(&cfg, &out, &err) == WISP_OK);
        NEED(out.len <= 4 * (WI_CDO_HEADER_WORDS + n)); /* 64-bit writes become shorter */
    }
    wi_strbuf_fini(&out);
    wi_cfg_fini(&cfg);
    wi_free(words);
    wi_free(cdo);
}

static void insts(const uint8_t *data, size_t size) {
    struct wisp_error err = {0};
    struct wi_insts stream;
    struct wi_strbuf out;
    wi_insts_init(&stream);
    wi_strbuf_init(&out);
    if (wi_insts_read(&stream, data, size, &err) == WISP_OK) {
        NEED(wi_insts_write(&stream, &out, &err) == WISP_OK);
        NEED(stream.older || out.len == size);
    }
    wi_strbuf_fini(&out);
    wi_insts_fini(&stream);
}

static void mlir(const uint8_t *data, size_t size) {
    struct wisp_error err = {0};
    struct wi_insts stream;
    struct wi_strbuf out;
    wi_insts_init(&stream);
    wi_strbuf_init(&out);
    if (wi_mlir_read(&stream, data, size, &err) == WISP_OK)
        NEED(wi_insts_write(&stream, &out, &err) == WISP_OK);
    wi_strbuf_fini(&out);
    wi_insts_fini(&stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct wisp_error err = {0};
    struct wi_xclbin x;
    struct wi_pdi pdi;
    uint8_t *bytes;
    size_t n;
    commands(data, size);
    insts(data, size);
    mlir(data, size);
    if (wi_insts_from_hex(data, size, &bytes, &n) && bytes) {
        insts(bytes, n);
        wi_free(bytes);
    }
    if (wi_xclbin_read(&x, data, size, &err) == WISP_OK)
        wi_xclbin_fini(&x);
    wi_pdi_init(&pdi);
    (void)wi_pdi_read(&pdi, data, size, &err);
    wi_pdi_fini(&pdi);
    return 0;
}

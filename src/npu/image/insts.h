/* Instruction streams: what the controller executes when a command is submitted.  The current form
 * (TXN, version 0.1) is read and written; the older form without a header is read.  A struct
 * wi_insts owns its operations until wi_insts_fini.  No state, so thread-safe. */
#ifndef WISP_SRC_NPU_IMAGE_INSTS_H
#define WISP_SRC_NPU_IMAGE_INSTS_H

#include <wisp/wisp.h>

#include "base/strbuf.h"
#include "npu/image/cfg.h"

enum { WI_TXN_GENERATION = 3, WI_TXN_ROWS = 6, WI_TXN_MEM_ROWS = 1 }; /* of this chip */

struct wi_insts {
    struct wi_cfg cfg;
    int n_cols; /* of the partition; 0 in the older form, which does not say */
    bool older; /* was read from the older form */
};

void wi_insts_init(struct wi_insts *insts);
void wi_insts_fini(struct wi_insts *insts);

/* Fill initialised `insts` from a stream of either form, binary.  Errors: FORMAT (names the word),
 * UNSUPPORTED (an operation or a version of other chips, by number), NOMEM. */
int wi_insts_read(struct wi_insts *insts, const uint8_t *data, size_t size, struct wisp_error *err);

/* Append as TXN 0.1.  Errors: ARG (more than 4 GB, NOPs with words), NOMEM. */
int wi_insts_write(const struct wi_insts *insts, struct wi_strbuf *out, struct wisp_error *err);

/* Text of one hexadecimal word per line, as the older tools leave it, to bytes; *size bytes that
 * the caller frees with wi_free.  Returns false when the text is something else.  Errors: NOMEM
 * (true, *out NULL). */
bool wi_insts_from_hex(const uint8_t *text, size_t n, uint8_t **out, size_t *size);

#endif

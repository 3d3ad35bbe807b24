/* What lists of commands say, in words: registers by name, descriptors, routes, locks decoded. Text
 * is appended to a buffer of the caller.  No state, so thread-safe. */
#ifndef WISP_SRC_NPU_IMAGE_LISTING_H
#define WISP_SRC_NPU_IMAGE_LISTING_H

#include <jansson.h>

#include "base/strbuf.h"
#include "npu/image/cfg.h"

/* Every operation on a line of its own; a block of descriptors has a line for each. */
void wi_list_text(const struct wi_cfg *cfg, struct wi_strbuf *out);

/* An array with an object for each operation: op, col, row, register, offset (in the tile) and what
 * belongs to it: value, mask, words, means.  NULL when out of memory. */
json_t *wi_list_json(const struct wi_cfg *cfg);

/* What a core's program memory holds once a list has run: `program` [WI_LIST_PROGRAM_BYTES] starts
 * as zeros; returns the end of what was written, 0 when that core has no program. */
enum { WI_LIST_PROGRAM_BYTES = 16384 };
size_t wi_list_program(const struct wi_cfg *cfg, int col, int row, uint8_t *program);

#endif

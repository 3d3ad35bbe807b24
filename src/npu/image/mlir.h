/* The run-time sequence of an `npu_insts.mlir`, which mlir-aie leaves beside a design, as
 * operations. Only the operations of the lowered form are read: block writes of constants, writes,
 * masked writes, address patches and waits.  No state, so thread-safe. */
#ifndef WISP_SRC_NPU_IMAGE_MLIR_H
#define WISP_SRC_NPU_IMAGE_MLIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <wisp/wisp.h>

#include "npu/image/insts.h"

/* Whether the text has a run-time sequence. */
bool wi_mlir_is(const uint8_t *text, size_t size);

/* Fill initialised `insts`.  Errors: FORMAT (names the line), UNSUPPORTED (an operation that is not
 * known, by name), NOMEM. */
int wi_mlir_read(struct wi_insts *insts, const uint8_t *text, size_t size, struct wisp_error *err);

#endif

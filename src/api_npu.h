/* What the public NPU calls share behind wisp_npu.h's opaque types, which are immutable once made.
 */
#ifndef WISP_SRC_API_NPU_H
#define WISP_SRC_API_NPU_H

#include <wisp/wisp_npu.h>

#include "npu/asm/prog.h"

struct wisp_npu_program {
    struct wi_asm_prog prog;
};

/* Append an image's i-th design as a PDI.  Errors: ARG (it has none such), NOMEM. */
struct wi_strbuf;
int wi_api_image_pdi(const struct wisp_npu_image *image, size_t i, struct wi_strbuf *out,
                     struct wisp_error *err);
bool wi_api_image_is_insts(const struct wisp_npu_image *image);

#endif

/* What the public NPU calls share behind wisp_npu.h's opaque types, which are immutable once made.
 */
#ifndef WISP_SRC_API_NPU_H
#define WISP_SRC_API_NPU_H

#include <wisp/wisp_npu.h>

#include "npu/asm/prog.h"

struct wisp_npu_program {
    struct wi_asm_prog prog;
};

/* The bytes of an image's i-th design, borrowed; false when it has none such. */
bool wi_api_image_pdi(const struct wisp_npu_image *image, size_t i, const uint8_t **pdi,
                      size_t *size);
bool wi_api_image_is_insts(const struct wisp_npu_image *image);

#endif

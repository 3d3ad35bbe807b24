/* What the public NPU calls share: the program behind wisp_npu.h's opaque type.  Immutable once
 * made. */
#ifndef WISP_SRC_API_NPU_H
#define WISP_SRC_API_NPU_H

#include <wisp/wisp_npu.h>

#include "npu/asm/prog.h"

struct wisp_npu_program {
    struct wi_asm_prog prog;
};

#endif

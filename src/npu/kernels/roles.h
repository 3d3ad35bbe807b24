/* What the cores of a column run: one program for each place in the cascade, with all routines of
 * an encoder layer.  Constant tables, thread-safe. */
#ifndef WISP_SRC_NPU_KERNELS_ROLES_H
#define WISP_SRC_NPU_KERNELS_ROLES_H

#include "npu/asm/link.h"
#include "npu/kernels/gemm.h"

/* The routines, in the order of struct wi_linked; the last one is the bottom's alone. */
enum wi_role_routine {
    WI_ROLE_GEMM,
    WI_ROLE_ATTENTION_START,
    WI_ROLE_ATTENTION_SCORES,
    WI_ROLE_ATTENTION_REFERENCE,
    WI_ROLE_ATTENTION_MASK,
    WI_ROLE_ATTENTION_VALUES,
    WI_ROLE_ATTENTION_FINISH,
    WI_ROLE_GELU,
    WI_ROLE_LAYERNORM_SUMS,
    WI_ROLE_LAYERNORM_APPLY,
    WI_ROLE_LAYERNORM_F32,
    WI_ROLE_LAYERNORM_SCALES,
    WI_ROLE_ROUTINES
};

/* Memory is left for lock code and what else comes; residuals are the GEMM unit's. */
enum { WI_ROLE_BYTES = 14336 };

const struct wi_routine *wi_role_routines(enum wi_gemm_role role, int *n);

#endif

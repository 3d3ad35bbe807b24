#include "npu/kernels/roles.h"

#include "npu/kernels/attention.h"
#include "npu/kernels/gelu.h"
#include "npu/kernels/layernorm.h"

static void layernorm_top_sums(struct wi_build *b) {
    wi_layernorm_emit_sums(b, WI_LAYERNORM_TO_CASCADE);
}
static void layernorm_middle_sums(struct wi_build *b) {
    wi_layernorm_emit_sums(b, WI_LAYERNORM_FROM_CASCADE | WI_LAYERNORM_TO_CASCADE);
}
static void layernorm_bottom_sums(struct wi_build *b) {
    wi_layernorm_emit_sums(b, WI_LAYERNORM_FROM_CASCADE);
}
static void layernorm_scales(struct wi_build *b) {
    wi_layernorm_emit_scales(b, WI_LAYERNORM_FAST);
}
static void layernorm_apply(struct wi_build *b) {
    wi_layernorm_emit_apply(b, WI_LAYERNORM_FAST);
}
static void layernorm_f32(struct wi_build *b) {
    wi_layernorm_emit_apply(b, WI_LAYERNORM_F32);
}

#define ROUTINES(gemm, sums)                                                                       \
    {                                                                                              \
        [WI_ROLE_GEMM] = {"gemm", gemm},                                                           \
        [WI_ROLE_ATTENTION_START] = {"attention-start", wi_att_start_emit},                        \
        [WI_ROLE_ATTENTION_SCORES] = {"attention-scores", wi_att_scores_emit},                     \
        [WI_ROLE_ATTENTION_REFERENCE] = {"attention-reference", wi_att_reference_emit},            \
        [WI_ROLE_ATTENTION_MASK] = {"attention-mask", wi_att_mask_emit},                           \
        [WI_ROLE_ATTENTION_VALUES] = {"attention-values", wi_att_values_emit},                     \
        [WI_ROLE_ATTENTION_FINISH] = {"attention-finish", wi_att_finish_emit},                     \
        [WI_ROLE_GELU] = {"gelu", wi_gelu_emit},                                                   \
        [WI_ROLE_LAYERNORM_SUMS] = {"layernorm-sums", sums},                                       \
        [WI_ROLE_LAYERNORM_APPLY] = {"layernorm-apply", layernorm_apply},                          \
        [WI_ROLE_LAYERNORM_F32] = {"layernorm-f32", layernorm_f32},                                \
        [WI_ROLE_LAYERNORM_SCALES] = {"layernorm-scales", layernorm_scales},                       \
    }

const struct wi_routine *wi_role_routines(enum wi_gemm_role role, int *n) {
    static const struct wi_routine routines[][WI_ROLE_ROUTINES] = {
        [WI_GEMM_TOP] = ROUTINES(wi_gemm_top_emit, layernorm_top_sums),
        [WI_GEMM_MIDDLE] = ROUTINES(wi_gemm_middle_emit, layernorm_middle_sums),
        [WI_GEMM_BOTTOM] = ROUTINES(wi_gemm_bottom_emit, layernorm_bottom_sums)};
    *n = role == WI_GEMM_BOTTOM ? WI_ROLE_ROUTINES : WI_ROLE_LAYERNORM_SCALES;
    return routines[role];
}

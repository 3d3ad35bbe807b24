#include "npu/kernels/roles.h"

#include <string.h>

#include "npu/kernels/attention.h"
#include "npu/kernels/gelu.h"
#include "npu/kernels/layernorm.h"
#include "npu/kernels/ops.h"

enum { STREAM_UNIT = 1, STREAM_KEPT, PIECE = WI_ROLE_UNIT_BYTES / 4 };

/* ---------------------------------------------------------------- units and locks */

static void take_head(struct wi_build *b, struct wi_vreg unit) {
    struct wi_vreg head = wi_build_const(b, WI_FAMILY_P, WI_ROLE_HEAD, "head");
    for (int i = 0; i < WI_ROLE_HEAD_BYTES; i += 32) {
        struct wi_vreg w = wi_build_reg(b, WI_FAMILY_W, "head");
        wi_build_load(b, w, wi_k_at(unit, i, WI_ANY_BANK, STREAM_UNIT));
        wi_build_store(b, w, wi_k_at(head, i, WI_ANY_BANK, STREAM_KEPT));
    }
}

static void take(struct wi_build *b) {
    take_head(b, wi_fixed(WI_REG_P));
}

static void take_with_biases(struct wi_build *b) {
    const struct wi_walk pieces = {.n = PIECE / 32, .step = 32, .next = WI_GEMM_PITCH + 32 - PIECE};
    struct wi_vreg unit = wi_build_reg(b, WI_FAMILY_P, "unit");
    struct wi_vreg bias = wi_build_const(b, WI_FAMILY_P, WI_ROLE_BIAS, "biases");
    struct wi_vreg steps = wi_build_const(b, WI_FAMILY_R, 2 * PIECE / 32, "steps");
    struct wi_vreg third = wi_build_const(b, WI_FAMILY_M, 2 * WI_GEMM_PITCH, "two pieces");
    struct wi_vreg from = wi_k_walk_2d(b, "unit", pieces), to = wi_k_walk_2d(b, "biases", pieces);
    WI_OP(b, MOV, wi_r(unit), wi_r(wi_fixed(WI_REG_P)));
    take_head(b, wi_fixed(WI_REG_P));
    WI_OP(b, PADDA_POST, wi_r(unit), wi_r(third));
    wi_build_loop(b, (struct wi_loop){.name = "biases", .steps = steps});
    struct wi_vreg w = wi_build_reg(b, WI_FAMILY_W, "biases");
    wi_build_load(b, w, wi_k_walk(unit, from, WI_ANY_BANK, STREAM_UNIT));
    wi_build_store(b, w, wi_k_walk(bias, to, WI_ANY_BANK, STREAM_KEPT));
    wi_build_end_loop(b);
}

/* p0 = 64 n + lock: the lock, and n. */
static void lock_of(struct wi_build *b, struct wi_vreg *lock, struct wi_vreg *n) {
    struct wi_vreg p = wi_build_reg(b, WI_FAMILY_R, "params");
    struct wi_vreg mask = wi_build_const(b, WI_FAMILY_R, 63, "63");
    struct wi_vreg right = wi_build_const(b, WI_FAMILY_R, -6, "right by 6");
    *lock = wi_build_reg(b, WI_FAMILY_R, "lock");
    *n = wi_build_reg(b, WI_FAMILY_R, "n");
    WI_OP(b, MOV, wi_r(p), wi_r(wi_fixed(WI_REG_P)));
    WI_OP(b, AND, wi_r(*lock), wi_r(p), wi_r(mask));
    WI_OP(b, LSHL, wi_r(*n), wi_r(p), wi_r(right));
}

static void acquire(struct wi_build *b) {
    struct wi_vreg lock, n, zero = wi_build_const(b, WI_FAMILY_R, 0, "0");
    struct wi_vreg take = wi_build_reg(b, WI_FAMILY_R, "-n");
    lock_of(b, &lock, &n);
    WI_OP(b, SUB, wi_r(take), wi_r(zero), wi_r(n));
    wi_build_acquire(b, wi_r(lock), take, 0);
}

static void release(struct wi_build *b) {
    struct wi_vreg lock, n;
    lock_of(b, &lock, &n);
    wi_build_release(b, wi_r(lock), n, 0);
}

struct wi_resident wi_role_resident(void) {
    return (struct wi_resident){.unit = WI_ROLE_RING,
                                .commands = WI_ROLE_HEAD,
                                .full = WI_LOCK_OWN + WI_LOCK_RING_FULL,
                                .free = WI_LOCK_OWN + WI_LOCK_RING_FREE};
}

bool wi_role_gemm_head(struct wi_role_gemm_head *head, const struct wi_role_gemm *job,
                       const struct wi_linked *linked) {
    const uint32_t place[2] = {WI_ROLE_RING, WI_ROLE_RING + WI_GEMM_RING};
    const uint32_t at = WI_ROLE_HEAD, zero = at + offsetof(struct wi_role_gemm_head, zero);
    memset(head, 0, sizeof *head);
    head->job.a = WI_ROLE_A + (uint32_t)job->a * WI_ROLE_A_OTHER;
    head->job.w = place[!job->place];
    head->job.end = job->role == WI_GEMM_BOTTOM ? WI_ROLE_C : WI_ROLE_BIAS;
    head->job.panels = (uint32_t)job->panels;
    if (job->panels < 1 || job->panels > WI_ROLE_MAX_PANELS ||
        !wi_gemm_job(&head->job, head->turns, job->k, job->own, WI_ROLE_R, zero,
                     at + offsetof(struct wi_role_gemm_head, turns)))
        return false;
    head->commands[0] = (struct wi_command){linked->at[WI_ROLE_ACQUIRE].address,
                                            WI_ROLE_LOCK(WI_LOCK_A_FULL, 1), 1};
    head->commands[1] = (struct wi_command){linked->at[WI_ROLE_GEMM].address,
                                            at + offsetof(struct wi_role_gemm_head, job), 1};
    head->commands[2] = (struct wi_command){linked->at[WI_ROLE_RELEASE].address,
                                            WI_ROLE_LOCK(WI_LOCK_A_FREE, 1), 1};
    head->commands[3] =
        (struct wi_command){.params = place[(job->place + job->panels + 1) % 2], .times = 1};
    return true;
}

/* ---------------------------------------------------------------- the routines */

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

#define ROUTINES(take, gemm, sums, scales)                                                         \
    {                                                                                              \
        [WI_ROLE_TAKE] = {"take", take}, [WI_ROLE_ACQUIRE] = {"acquire", acquire},                 \
        [WI_ROLE_RELEASE] = {"release", release}, [WI_ROLE_GEMM] = {"gemm", gemm},                 \
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
        [WI_ROLE_LAYERNORM_SCALES] = {"layernorm-scales", scales},                                 \
    }

const struct wi_routine *wi_role_routines(enum wi_gemm_role role, int *n) {
    static const struct wi_routine routines[][WI_ROLE_ROUTINES] = {
        [WI_GEMM_TOP] = ROUTINES(take_with_biases, wi_gemm_stream_top_emit, layernorm_top_sums,
                                 wi_layernorm_emit_scales_from_south),
        [WI_GEMM_MIDDLE] = ROUTINES(take, wi_gemm_stream_middle_emit, layernorm_middle_sums,
                                    wi_layernorm_emit_scales_from_south),
        [WI_GEMM_BOTTOM] =
            ROUTINES(take, wi_gemm_stream_bottom_emit, layernorm_bottom_sums, layernorm_scales)};
    *n = WI_ROLE_ROUTINES;
    return routines[role];
}

#include "npu/kernels/add.h"

#include "npu/kernels/ops.h"

enum { BANK_X = 1, BANK_R = 2, STREAM_X = 1, STREAM_R, STREAM_Y };

void wi_add_emit(struct wi_build *b) {
#define AT(field) offsetof(struct wi_add_params, field)
    struct wi_vreg px = wi_k_param(b, WI_FAMILY_P, AT(x), "x");
    struct wi_vreg pr = wi_k_param(b, WI_FAMILY_P, AT(r), "r");
    struct wi_vreg py = wi_k_param(b, WI_FAMILY_P, AT(y), "y");
    struct wi_vreg steps = wi_k_param(b, WI_FAMILY_R, AT(steps), "steps");
    struct wi_vreg conf = wi_build_const(b, WI_FAMILY_R, WI_MAC_TILE, "addition");
    wi_k_round_even(b);

    wi_build_loop(b, (struct wi_loop){.name = "add", .steps = steps});
    for (int i = 0; i < WI_ADD_STEP / 16; i++) {
        struct wi_vreg x = wi_k_bm(b, "x"), r = wi_k_bm(b, "r"), y = wi_k_bm(b, "y");
        struct wi_vreg narrow = wi_build_reg(b, WI_FAMILY_W, "r in bf16");
        wi_build_load_f32(b, x, wi_k_next(px, 32, BANK_X, STREAM_X));
        wi_build_load(b, narrow, wi_k_next(pr, 32, BANK_R, STREAM_R));
        wi_k_widen(b, r, narrow);
        wi_k_add(b, y, x, r, conf);
        wi_build_store_bf16(b, y, wi_k_next(py, 32, WI_FREE_BANK, STREAM_Y));
    }
    wi_build_end_loop(b);
}

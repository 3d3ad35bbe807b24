#include "npu/kernels/add.h"

enum { BANK_X = 1, BANK_R = 2, STREAM_X = 1, STREAM_R, STREAM_Y };
enum { BYTES = 2 * WI_ADD_STEP };

bool wi_add_params(struct wi_add_params *p, int n, const struct wi_pieces *x,
                   const struct wi_pieces *r, const struct wi_pieces *y) {
    if (n < WI_ADD_MIN || n % WI_ADD_STEP)
        return false;
    *p = (struct wi_add_params){
        .x = x->at, .r = r->at, .y = y->at, .steps = (uint32_t)(n / WI_ADD_STEP)};
    return wi_walk_pieces(p->x_walk, x, BYTES) && wi_walk_pieces(p->r_walk, r, BYTES) &&
           wi_walk_pieces(p->y_walk, y, BYTES);
}

/* ---------------------------------------------------------------- the kernel */

#define AT(field) offsetof(struct wi_add_params, field)

void wi_add_emit(struct wi_build *b) {
    const struct wi_cursor at_x = wi_k_cursor(b, AT(x), AT(x_walk));
    const struct wi_cursor at_r = wi_k_cursor(b, AT(r), AT(r_walk));
    const struct wi_cursor at_y = wi_k_cursor(b, AT(y), AT(y_walk));
    struct wi_vreg steps = wi_k_param(b, WI_FAMILY_R, AT(steps), "steps");
    struct wi_vreg conf = wi_build_const(b, WI_FAMILY_R, WI_MAC_TILE, "addition");
    wi_k_round_even(b);

    wi_build_loop(b, (struct wi_loop){.name = "add", .steps = steps});
    for (int i = WI_ADD_STEP / 16 - 1; i >= 0; i--) {
        struct wi_vreg x = wi_k_bm(b, "x"), r = wi_k_bm(b, "r"), y = wi_k_bm(b, "y");
        struct wi_vreg narrow = wi_build_reg(b, WI_FAMILY_W, "r in bf16");
        wi_build_load_f32(b, x, wi_k_from(&at_x, 32 * i, BANK_X, STREAM_X));
        wi_build_load(b, narrow, wi_k_from(&at_r, 32 * i, BANK_R, STREAM_R));
        wi_k_widen(b, r, narrow);
        wi_k_add(b, y, x, r, conf);
        wi_build_store_bf16(b, y, wi_k_from(&at_y, 32 * i, BANK_X, STREAM_Y));
    }
    wi_build_end_loop(b);
}

#include "npu/kernels/add.h"

#include "npu/kernels/ops.h"

enum { BANK_X = 1, BANK_R = 2, STREAM_X = 1, STREAM_R, STREAM_Y };
enum { BYTES = 2 * WI_ADD_STEP };

static bool set_side(uint32_t *at, uint32_t walk[3], const struct wi_add_side *s) {
    if (s->piece <= 0 || s->piece % BYTES || s->pitch % 32 || s->pitch < s->piece || s->at % 32)
        return false;
    *at = s->at;
    walk[0] = (uint32_t)(s->pitch - s->piece + BYTES);
    walk[1] = (uint32_t)s->piece / BYTES - 1;
    walk[2] = BYTES;
    return true;
}

bool wi_add_params(struct wi_add_params *p, int n, const struct wi_add_side *x,
                   const struct wi_add_side *r, const struct wi_add_side *y) {
    if (n < WI_ADD_MIN || n % WI_ADD_STEP)
        return false;
    p->steps = (uint32_t)(n / WI_ADD_STEP);
    return set_side(&p->x, p->x_walk, x) && set_side(&p->r, p->r_walk, r) &&
           set_side(&p->y, p->y_walk, y);
}

/* ---------------------------------------------------------------- the kernel */

#define AT(field) offsetof(struct wi_add_params, field)

/* Where a step's elements are; the first 16 are accessed last. */
struct side {
    struct wi_vreg p, walk;
    uint8_t bank, stream;
};

static struct side side(struct wi_build *b, size_t at, size_t walk, uint8_t bank, uint8_t stream) {
    return (struct side){wi_k_param(b, WI_FAMILY_P, at, "elements"),
                         wi_k_param_walk(b, WI_FAMILY_D, walk, "walk"), bank, stream};
}

static struct wi_mem mem(const struct side *s, int i) {
    return i ? wi_k_at(s->p, 32 * i, s->bank, s->stream)
             : wi_k_walk(s->p, s->walk, s->bank, s->stream);
}

void wi_add_emit(struct wi_build *b) {
    const struct side x_side = side(b, AT(x), AT(x_walk), BANK_X, STREAM_X);
    const struct side r_side = side(b, AT(r), AT(r_walk), BANK_R, STREAM_R);
    const struct side y_side = side(b, AT(y), AT(y_walk), BANK_X, STREAM_Y);
    struct wi_vreg steps = wi_k_param(b, WI_FAMILY_R, AT(steps), "steps");
    struct wi_vreg conf = wi_build_const(b, WI_FAMILY_R, WI_MAC_TILE, "addition");
    wi_k_round_even(b);

    wi_build_loop(b, (struct wi_loop){.name = "add", .steps = steps});
    for (int i = WI_ADD_STEP / 16 - 1; i >= 0; i--) {
        struct wi_vreg x = wi_k_bm(b, "x"), r = wi_k_bm(b, "r"), y = wi_k_bm(b, "y");
        struct wi_vreg narrow = wi_build_reg(b, WI_FAMILY_W, "r in bf16");
        wi_build_load_f32(b, x, mem(&x_side, i));
        wi_build_load(b, narrow, mem(&r_side, i));
        wi_k_widen(b, r, narrow);
        wi_k_add(b, y, x, r, conf);
        wi_build_store_bf16(b, y, mem(&y_side, i));
    }
    wi_build_end_loop(b);
}

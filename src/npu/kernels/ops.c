#include "npu/kernels/ops.h"

enum { STREAM_PARAMS = 255 };

static struct wi_mem param_at(size_t offset) {
    return wi_k_at(wi_fixed(WI_REG_P), (int32_t)offset, WI_ANY_BANK, STREAM_PARAMS);
}

struct wi_vreg wi_k_param(struct wi_build *b, enum wi_family family, size_t offset,
                          const char *name) {
    struct wi_vreg r = wi_build_reg(b, family, name);
    wi_build_load(b, r, param_at(offset));
    return r;
}

struct wi_vreg wi_k_param_walk(struct wi_build *b, enum wi_family family, size_t offset,
                               const char *name) {
    static const struct {
        enum wi_family field;
        bool outer;
    } fields[] = {{WI_FAMILY_M, false},
                  {WI_FAMILY_DN, false},
                  {WI_FAMILY_DJ, false},
                  {WI_FAMILY_DN, true},
                  {WI_FAMILY_DJ, true}};
    struct wi_vreg d = wi_build_reg(b, family, name);
    bool outer = family == WI_FAMILY_D3;
    for (size_t i = 0; i < (outer ? 5 : 3); i++)
        wi_build_load(b, wi_dim(d, fields[i].field, fields[i].outer), param_at(offset + 4 * i));
    wi_build_set(b, wi_dim(d, WI_FAMILY_DC, false), 0);
    if (outer)
        wi_build_set(b, wi_dim(d, WI_FAMILY_DC, true), 0);
    return d;
}

static struct wi_vreg make_walk(struct wi_build *b, enum wi_family family, const char *name,
                                struct wi_walk w) {
    struct wi_vreg d = wi_build_reg(b, family, name);
    wi_build_set(b, wi_dim(d, WI_FAMILY_M, false), w.next);
    wi_build_set(b, wi_dim(d, WI_FAMILY_DN, false), w.n - 1);
    wi_build_set(b, wi_dim(d, WI_FAMILY_DJ, false), w.step);
    wi_build_set(b, wi_dim(d, WI_FAMILY_DC, false), 0);
    if (family == WI_FAMILY_D3) {
        wi_build_set(b, wi_dim(d, WI_FAMILY_DN, true), w.n_outer - 1);
        wi_build_set(b, wi_dim(d, WI_FAMILY_DJ, true), w.outer);
        wi_build_set(b, wi_dim(d, WI_FAMILY_DC, true), 0);
    }
    return d;
}

struct wi_vreg wi_k_walk_2d(struct wi_build *b, const char *name, struct wi_walk walk) {
    return make_walk(b, WI_FAMILY_D, name, walk);
}

struct wi_vreg wi_k_walk_3d(struct wi_build *b, const char *name, struct wi_walk walk) {
    return make_walk(b, WI_FAMILY_D3, name, walk);
}

bool wi_walk_pieces(uint32_t walk[3], const struct wi_pieces *a, int step) {
    if (a->piece <= 0 || a->piece % step || a->pitch < a->piece || a->pitch % 32 || a->at % 32)
        return false;
    walk[0] = (uint32_t)(a->pitch - a->piece + step);
    walk[1] = (uint32_t)(a->piece / step - 1);
    walk[2] = (uint32_t)step;
    return true;
}

struct wi_cursor wi_k_cursor(struct wi_build *b, size_t p_offset, size_t walk_offset) {
    return (struct wi_cursor){wi_k_param(b, WI_FAMILY_P, p_offset, "elements"),
                              wi_k_param_walk(b, WI_FAMILY_D, walk_offset, "walk")};
}

struct wi_vreg wi_k_and(struct wi_build *b, struct wi_vreg x, struct wi_vreg mask) {
    struct wi_vreg d = wi_k_x(b, "bits");
    WI_OP(b, VBAND, wi_r(d), wi_r(x), wi_r(mask));
    return d;
}

struct wi_vreg wi_k_larger_s16(struct wi_build *b, struct wi_vreg x, struct wi_vreg y) {
    struct wi_vreg d = wi_k_x(b, "larger"), mask = wi_build_reg(b, WI_FAMILY_R, "mask");
    WI_OP(b, VMAX_LT_S16, wi_r(d), wi_r(mask), wi_r(x), wi_r(y));
    return d;
}

struct wi_vreg wi_k_smaller_s16(struct wi_build *b, struct wi_vreg x, struct wi_vreg y) {
    struct wi_vreg d = wi_k_x(b, "smaller"), mask = wi_build_reg(b, WI_FAMILY_R, "mask");
    WI_OP(b, VMIN_GE_S16, wi_r(d), wi_r(mask), wi_r(x), wi_r(y));
    return d;
}

struct wi_vreg wi_k_fill(struct wi_build *b, uint16_t value, const char *name) {
    struct wi_vreg r = wi_build_const(b, WI_FAMILY_R, (int16_t)value, name), x = wi_k_x(b, name);
    WI_OP(b, VBCST_16, wi_r(x), wi_r(r));
    return x;
}

struct wi_vreg wi_k_split(struct wi_build *b, struct wi_vreg v, struct wi_vreg *rest,
                          struct wi_vreg sum) {
    struct wi_vreg x = wi_k_x(b, "parts"), part = wi_k_bm(b, "part"), left = wi_k_bm(b, "rest");
    wi_k_narrow(b, wi_low(x), v);
    wi_k_widen(b, part, wi_low(x));
    wi_k_sub(b, left, v, part, sum);
    wi_k_narrow(b, wi_high(x), left);
    if (rest) {
        part = wi_k_bm(b, "part");
        *rest = wi_k_bm(b, "rest");
        wi_k_widen(b, part, wi_high(x));
        wi_k_sub(b, *rest, left, part, sum);
    }
    return x;
}

struct wi_vreg wi_k_narrow_twice(struct wi_build *b, struct wi_vreg v) {
    struct wi_vreg x = wi_k_x(b, "rounded");
    wi_k_narrow(b, wi_low(x), v);
    wi_k_narrow(b, wi_high(x), v);
    return x;
}

struct wi_vreg wi_k_add_neighbours(struct wi_build *b, struct wi_vreg x, struct wi_vreg high,
                                   struct wi_vreg even, struct wi_vreg odd, struct wi_vreg sum) {
    struct wi_vreg u = wi_k_bm(b, "even"), v = wi_k_bm(b, "odd"), out = wi_k_bm(b, "sum");
    wi_k_shuffle(b, u, x, high, even);
    wi_k_shuffle(b, v, x, high, odd);
    wi_k_add(b, out, u, v, sum);
    return out;
}

void wi_k_exp2(struct wi_build *b, const struct wi_exp2 *e, struct wi_vreg g, struct wi_vreg whole,
               struct wi_vreg h, struct wi_vreg power[2]) {
    for (int half = 0; half < 2; half++) {
        struct wi_vreg own = wi_k_x(b, "1 + f of a half"), square = wi_k_bm(b, "square");
        power[half] = wi_k_bm(b, "power");
        WI_OP(b, VSEL_16, wi_r(own), wi_r(h), wi_r(e->zero),
              wi_r(half ? e->low_lanes : e->high_lanes));
        wi_k_mul(b, square, g, own, e->lanes);
        wi_k_mac(b, power[half], square, whole, half ? e->c_high : e->c_low, e->lanes);
    }
}

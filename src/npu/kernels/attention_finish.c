#include "npu/kernels/attention_parts.h"

enum {
    RECIPROCALS = 512,      /* bytes of 1 / l in a piece */
    HALF_LEAST_SUM = 0x0d80 /* 2^-100, high half of fp32 */
};

struct finish {
    struct wi_vreg sum, lanes; /* configurations */
    struct wi_vreg o[2], walk_o[2], out, walk_out, r, walk_r;
    struct wi_vreg transpose;
};

/* 1 / v in two bf16, within 2^-14: an estimate from v's bits and two Newton steps, y + y (1 - v y).
 */
static struct wi_vreg reciprocal(struct wi_build *b, const struct finish *f, struct wi_vreg v,
                                 struct wi_vreg bits, struct wi_vreg magic, struct wi_vreg one) {
    struct wi_vreg y = wi_k_x(b, "y"), next = wi_k_bm(b, "y");
    struct wi_vreg parts = wi_k_split(b, v, NULL, f->sum), one_f32 = wi_k_bm(b, "1");
    wi_k_widen(b, one_f32, wi_low(one));
    WI_OP(b, VSUB_16, wi_r(y), wi_r(magic), wi_r(bits));
    for (int i = 0; i < 2; i++) {
        struct wi_vreg h = wi_k_bm(b, "1 - v y"), left = wi_k_x(b, "1 - v y, 1");
        wi_k_msc(b, h, one_f32, parts, y, f->lanes);
        wi_k_narrow(b, wi_low(left), h);
        WI_OP(b, VMOV_W, wi_r(wi_high(left)), wi_r(wi_low(one)));
        next = wi_k_bm(b, "y");
        wi_k_mul(b, next, left, y, f->lanes);
        y = wi_k_x(b, "y");
        if (i == 0) {
            wi_k_narrow(b, wi_low(y), next);
            wi_k_narrow(b, wi_high(y), next);
        }
    }
    return wi_k_split(b, next, NULL, f->sum);
}

/* The high halves of 16 sums, twice; those below 2^-100, or negative, count as hits. */
static struct wi_vreg bits_of_sums(struct wi_build *b, struct wi_vreg v, struct wi_vreg shift,
                                   struct wi_vreg least, struct wi_vreg status) {
    struct wi_vreg bits = wi_k_x(b, "bits"), mask = wi_build_reg(b, WI_FAMILY_R, "too small");
    WI_OP(b, VSRS_S16_S32_W, wi_r(wi_low(bits)), wi_r(v), wi_r(shift));
    WI_OP(b, VSRS_S16_S32_W, wi_r(wi_high(bits)), wi_r(v), wi_r(shift));
    WI_OP(b, VLT_S16, wi_r(mask), wi_r(bits), wi_r(least));
    WI_OP(b, OR, wi_r(status), wi_r(status), wi_r(mask));
    return bits;
}

/* 1 / l, 16 queries a step, in place of scores: a tile is 4 times 4 queries' high parts and 4 times
 * their low parts, in bf16; 8 of them in a piece. */
static void emit_reciprocals(struct wi_build *b, const struct finish *f) {
    struct wi_vreg n = wi_build_const(b, WI_FAMILY_R, WI_ATT_QUERIES / 16, "groups of queries");
    struct wi_vreg in = PARAM(b, l, "l"), out = PARAM(b, s, "1 / l");
    struct wi_vreg walk_in =
        wi_k_walk_2d(b, "walk of l", (struct wi_walk){1024 / 32, 32, 0, 0, PITCH + 32 - 1024});
    struct wi_vreg walk_out = wi_k_walk_2d(
        b, "walk of 1 / l", (struct wi_walk){RECIPROCALS / 32, 32, 0, 0, PITCH + 32 - RECIPROCALS});
    struct wi_vreg even = wi_build_const(b, WI_FAMILY_R, EVEN_128, "even quarters");
    struct wi_vreg odd = wi_build_const(b, WI_FAMILY_R, ODD_128, "odd quarters");
    struct wi_vreg magic = wi_k_fill(b, 0x7ef3, "estimate of 1 / l");
    struct wi_vreg one = wi_k_fill(b, 0x3f80, "1");
    struct wi_vreg shift = wi_build_const(b, WI_FAMILY_S, HALF_SHIFT, "shift to bf16");
    struct wi_vreg least = wi_k_fill(b, HALF_LEAST_SUM, "2^-100");
    struct wi_vreg status = wi_k_param(b, WI_FAMILY_R, STATUS_AT, "status");
    wi_build_loop(b, (struct wi_loop){.name = "1 / l", .steps = n, .apart = true});
    struct wi_vreg l[4], two[2];
    for (int i = 0; i < 4; i++) {
        l[i] = wi_k_x(b, "l");
        wi_build_load(b, wi_low(l[i]), wi_k_walk(in, walk_in, 2, STREAM_L));
        wi_build_load(b, wi_high(l[i]), wi_k_walk(in, walk_in, 2, STREAM_L));
    }
    for (int i = 0; i < 2; i++) {
        two[i] = wi_k_x(b, "two partial sums");
        wi_k_move(b, two[i], wi_k_add_neighbours(b, l[2 * i], l[2 * i + 1], even, odd, f->sum));
    }
    struct wi_vreg sum = wi_k_add_neighbours(b, two[0], two[1], even, odd, f->sum);
    struct wi_vreg bits = bits_of_sums(b, sum, shift, least, status);
    struct wi_vreg r = reciprocal(b, f, sum, bits, magic, one);
    for (int i = 0; i < 4; i++)
        for (int part = 0; part < 2; part++) {
            struct wi_vreg x = wi_k_x(b, "1 / l");
            WI_OP(b, VEXTBCST_64_IMM, wi_r(x), wi_r(r), wi_i(4 * part + i));
            wi_build_store(b, wi_low(x), wi_k_walk(out, walk_out, 2, STREAM_L_OUT));
        }
    wi_build_end_loop(b);
    wi_att_store_status(b, status);
}

/* 4 d of 4 queries times 1 / l, rounded. */
static void scale_tile(struct wi_build *b, const struct finish *f, struct wi_vreg to,
                       struct wi_mem at, struct wi_vreg high, struct wi_vreg low) {
    struct wi_vreg o = wi_k_bm(b, "o"), product = wi_k_bm(b, "o / l");
    wi_k_load_x(b, o, at);
    struct wi_vreg parts = wi_k_split(b, o, NULL, f->sum);
    wi_k_mul(b, product, parts, high, f->lanes);
    wi_k_mac(b, product, product, parts, low, f->lanes);
    wi_k_narrow(b, to, product);
}

/* 16 d of 4 queries. */
static void finish_step(struct wi_build *b, const struct finish *f) {
    static const uint8_t banks[2] = {2, 4};
    struct wi_vreg high = wi_k_x(b, "1 / l"), low = wi_k_x(b, "1 / l"), y[2];
    for (int half = 1; half >= 0; half--)
        wi_build_load(b, half ? wi_high(low) : wi_low(low), wi_k_at(f->r, 32, 8, STREAM_L));
    wi_build_load(b, wi_high(high), wi_k_at(f->r, 0, 8, STREAM_L));
    wi_build_load(b, wi_low(high), wi_k_walk(f->r, f->walk_r, 8, STREAM_L));
    for (int e = 0; e < 2; e++) {
        struct wi_vreg x = wi_k_x(b, "8 d");
        for (int h = 0; h < 2; h++)
            scale_tile(b, f, h ? wi_high(x) : wi_low(x),
                       wi_k_at(f->o[h], o_offset(e, 0, 0), banks[h], STREAM_O), high, low);
        y[e] = wi_k_x(b, "8 d of 4 queries");
        wi_k_shuffle(b, y[e], x, x, f->transpose);
    }
    for (int h = 0; h < 2; h++)
        WI_OP(b, PADDA_2D, wi_r(f->o[h]), wi_r(f->walk_o[h]));
    for (int i = 3; i >= 0; i--)
        wi_build_store(b, i % 2 ? wi_high(y[i / 2]) : wi_low(y[i / 2]),
                       i ? wi_k_at(f->out, 32 * i, 1, STREAM_O_OUT)
                         : wi_k_walk(f->out, f->walk_out, 1, STREAM_O_OUT));
}

/* From tile to tile of queries: behind the last one all panels go on. */
static void emit_quotients(struct wi_build *b, struct finish *f) {
    const int tiles = WI_ATT_QUERIES / 4, panels = WI_ATT_D / 16, ahead = (panels - 1) * PITCH;
    const struct wi_walk walk_o = {.n = panels, .step = PITCH, .next = TILE - ahead};
    struct wi_vreg n = wi_build_const(b, WI_FAMILY_R, tiles * panels, "steps");
    struct wi_vreg far =
        wi_build_const(b, WI_FAMILY_M, 0x4000 + O_MIDDLE, "to the other half of O");
    for (int h = 0; h < 2; h++) {
        f->o[h] = PARAM(b, o, "O");
        f->walk_o[h] = wi_k_walk_2d(b, "walk of O", walk_o);
    }
    WI_OP(b, PADDA_INC, wi_r(f->o[0]), wi_i(O_MIDDLE));
    WI_OP(b, PADDA_POST, wi_r(f->o[1]), wi_r(far));
    f->out = PARAM(b, out, "output");
    f->walk_out =
        wi_k_walk_2d(b, "walk of output", (struct wi_walk){panels, PITCH, 0, 0, GROUP - ahead});
    f->r = PARAM(b, s, "1 / l");
    f->walk_r = wi_k_walk_3d(
        b, "walk of 1 / l",
        (struct wi_walk){panels, 0, RECIPROCALS / TILE, TILE, PITCH + TILE - RECIPROCALS});
    f->transpose = wi_build_const(b, WI_FAMILY_R, TRANSPOSE_8x4, "transpose");
    wi_build_loop(b, (struct wi_loop){.name = "o / l", .steps = n, .overrun = true});
    finish_step(b, f);
    wi_build_end_loop(b);
}

void wi_att_finish_emit(struct wi_build *b) {
    struct finish f = {.sum = wi_build_const(b, WI_FAMILY_R, WI_MAC_TILE, "addition"),
                       .lanes = wi_build_const(b, WI_FAMILY_R, WI_MAC_LANES, "product of lanes")};
    wi_k_round_even(b);
    emit_reciprocals(b, &f);
    emit_quotients(b, &f);
}

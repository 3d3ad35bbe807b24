#include "npu/kernels/attention_parts.h"

enum {
    BLOCKS = 12, /* of 8 queries */
    PANELS = WI_ATT_D / 16,
    FIRST_CONSTANT = 0x44c00000, /* 1536: scores as they are */
    /* 1663 - reference as a float: 1024, and in its bits 13 to 0 what is more */
    CONSTANT_BASE = 0x44800000 + ((WI_ATT_OFFSET - 1024) << 13),
    /* The guard's: high halves of fp32, of 8 octaves each, and to nearest. */
    HALF_OF_START = 0x44c0,       /* 1536: within the window */
    HALF_LEAST = 0x44a1,          /* of sums from 1284 on: y = -379 */
    HALF_BEYOND = 0x44dd,         /* of sums from 1764 on: y = 101 */
    LOWEST_REFERENCE = -128 * 128 /* so that 127 - reference is less than 256 */
};

void wi_att_store_status(struct wi_build *b, struct wi_vreg status) {
    struct wi_vreg p0 = wi_fixed(WI_REG_P);
    wi_build_store(b, status, wi_k_at(p0, (int32_t)STATUS_AT, WI_ANY_BANK, STREAM_STATUS));
}

/* ---------------------------------------------------------------- scores */

struct wi_vreg wi_att_walk_scores(struct wi_build *b, int step) {
    int last = 1024 - step;
    return wi_k_walk_3d(
        b, "walk of scores",
        (struct wi_walk){1024 / step, step, 4, PITCH - last, FAR_SCORES - 3 * PITCH - last});
}

/* How sums come to lie near 1663: they begin there; or c is added to the finished ones, for which
 * there is more room in steps of 32 d than of 16. */
enum constant { BEGIN_AT_C, ADD_C };

struct scores {
    enum constant how;
    struct wi_vreg pq, pk, ps, pc, walk_q, walk_k, walk_s, walk_c;
    struct wi_vreg tile, shift;
    struct wi_vreg cm[8], acc[8][2];    /* tiles of 4 keys x 4 queries, and their pairs */
    struct wi_vreg most, least, halves; /* x, of high halves of sums; s: shift to these */
};

void wi_att_load_pair(struct wi_build *b, struct wi_vreg x[2], struct wi_vreg p,
                      struct wi_vreg walk, uint8_t bank, uint8_t stream) {
    x[0] = wi_k_x(b, stream == STREAM_K ? "keys" : "queries");
    x[1] = wi_k_x(b, stream == STREAM_K ? "keys" : "queries");
    wi_build_load(b, wi_high(x[1]), wi_k_at(p, TILE + 32, bank, stream));
    wi_build_load(b, wi_low(x[1]), wi_k_at(p, TILE, bank, stream));
    wi_build_load(b, wi_high(x[0]), wi_k_at(p, 32, bank, stream));
    wi_build_load(b, wi_low(x[0]), wi_k_walk(p, walk, bank, stream));
}

/* The largest and the least high half of sums in each lane. */
static void watch_pair(struct wi_build *b, const struct scores *s, int i) {
    struct wi_vreg x = wi_k_x(b, "high halves");
    struct wi_vreg mask[2] = {wi_build_reg(b, WI_FAMILY_R, "mask"),
                              wi_build_reg(b, WI_FAMILY_R, "mask")};
    WI_OP(b, VSRS_S16_S32_X, wi_r(x), wi_r(s->cm[i]), wi_r(s->halves));
    WI_OP(b, VMAX_LT_S16, wi_r(s->most), wi_r(mask[0]), wi_r(x), wi_r(s->most));
    WI_OP(b, VMIN_GE_S16, wi_r(s->least), wi_r(mask[1]), wi_r(x), wi_r(s->least));
}

/* 16 d of 32 keys and 8 queries; the first ones of a block begin its sums. */
static void scores_of_panel(struct wi_build *b, const struct scores *s, struct wi_vreg c,
                            int panel) {
    struct wi_vreg q[2][2], k[2];
    for (int j = 0; j < 2; j++)
        wi_att_load_pair(b, q[j], s->pq, s->walk_q, 2, STREAM_Q);
    for (int i = 0; i < 8; i++) {
        wi_att_load_pair(b, k, s->pk, s->walk_k, 1, STREAM_K);
        for (int d = 0; d < 2; d++)
            for (int j = 0; j < 2; j++) {
                struct wi_vreg acc = s->acc[i][j];
                if (s->how == ADD_C && panel == 0 && d == 0)
                    wi_k_mac_from_zero(b, acc, k[d], q[j][d], s->tile);
                else
                    wi_k_mac(b, acc, acc, k[d], q[j][d], s->tile);
                if (s->how == BEGIN_AT_C && d == 0)
                    WI_FIRST_OP(b, VMAC_F, wi_r(acc), wi_r(c), wi_r(k[d]), wi_r(q[j][d]),
                                wi_r(s->tile));
            }
    }
}

static int panels_a_step(enum constant how) {
    return how == ADD_C ? 2 : 1;
}

static void scores_step(struct wi_build *b, const struct scores *s) {
    struct wi_vreg c = wi_k_bm(b, "constant");
    wi_build_when(b, WI_FIRST_STEP);
    wi_build_load(b, wi_high(c), wi_k_at(s->pc, 32, WI_FREE_BANK, STREAM_C));
    wi_build_load(b, wi_low(c), wi_k_walk(s->pc, s->walk_c, WI_FREE_BANK, STREAM_C));
    wi_build_when(b, WI_EVERY_STEP);
    for (int panel = 0; panel < panels_a_step(s->how); panel++)
        scores_of_panel(b, s, c, panel);
    wi_build_when(b, WI_LAST_STEP);
    for (int i = 0; s->how == ADD_C && i < 16; i++)
        wi_k_add(b, s->acc[i % 8][i / 8], s->acc[i % 8][i / 8], c, s->tile);
    for (int j = 0; j < 2; j++)
        for (int i = 0; i < 8; i++)
            wi_build_store_s16(b, s->acc[i][j], s->shift, wi_k_walk(s->ps, s->walk_s, 2, STREAM_S));
    for (int i = 0; i < 8; i++)
        watch_pair(b, s, i);
}

/* Lanes whose sums left the window, to the status. */
static void report_hits(struct wi_build *b, const struct scores *s) {
    struct wi_vreg mask[2], status = wi_k_param(b, WI_FAMILY_R, STATUS_AT, "status");
    for (int i = 0; i < 2; i++)
        mask[i] = wi_build_reg(b, WI_FAMILY_R, "outside");
    WI_OP(b, VLT_S16, wi_r(mask[0]), wi_r(s->least), wi_r(wi_k_fill(b, HALF_LEAST, "least")));
    WI_OP(b, VGE_S16, wi_r(mask[1]), wi_r(s->most), wi_r(wi_k_fill(b, HALF_BEYOND, "beyond")));
    for (int i = 0; i < 2; i++)
        WI_OP(b, OR, wi_r(status), wi_r(status), wi_r(mask[i]));
    wi_att_store_status(b, status);
}

static void emit_scores(struct wi_build *b, enum constant how) {
    struct scores s = {.how = how, .pq = PARAM(b, q, "Q"), .pk = PARAM(b, k, "K")};
    struct wi_vreg n = wi_build_const(b, WI_FAMILY_R, PANELS / panels_a_step(how), "steps");
    struct wi_vreg blocks = wi_build_const(b, WI_FAMILY_R, BLOCKS, "blocks");
    int ahead = (PANELS - 1) * PITCH; /* from the first to the last 16 d */
    s.walk_q = wi_k_walk_3d(b, "walk of Q",
                            (struct wi_walk){2, GROUP, PANELS, PITCH - GROUP, GROUP - ahead});
    s.walk_k = wi_k_walk_3d(
        b, "walk of K", (struct wi_walk){8, GROUP, PANELS, PITCH - 7 * GROUP, -7 * GROUP - ahead});
    s.tile = wi_build_const(b, WI_FAMILY_R, WI_MAC_TILE, "tile product");
    s.pc = PARAM(b, c, "constants");
    s.walk_c =
        wi_k_walk_2d(b, "walk of constants", (struct wi_walk){.n = 2, .step = 0, .next = TILE});
    s.ps = PARAM(b, s, "scores");
    s.walk_s = wi_att_walk_scores(b, 32);
    s.shift = wi_build_const(b, WI_FAMILY_S, SRS_SHIFT, "shift of scores");
    wi_k_round_even(b);
    for (int i = 0; i < 8; i++) {
        s.cm[i] = wi_build_reg(b, WI_FAMILY_CM, "scores");
        s.acc[i][0] = wi_low(s.cm[i]);
        s.acc[i][1] = wi_high(s.cm[i]);
    }
    s.halves = wi_build_const(b, WI_FAMILY_S, HALF_SHIFT, "shift to high halves");
    s.most = wi_k_fill(b, HALF_OF_START, "most");
    s.least = wi_k_fill(b, HALF_OF_START, "least");
    wi_build_loop(b, (struct wi_loop){"scores", n, blocks, .overrun = true});
    scores_step(b, &s);
    wi_build_end_loop(b);
    report_hits(b, &s);
    wi_build_cut(b);
}

/* ---------------------------------------------------------------- exponential */

struct exponential {
    struct wi_exp2 exp2;
    struct wi_vreg exponent, fraction, one; /* x */
    struct wi_vreg tile;                    /* r: configuration */
};

/* x = patterns of 32 scores: (1 + c) 2^s in fp32 of its low and high 16. */
static void exp_pair(struct wi_build *b, const struct exponential *e, struct wi_vreg x,
                     struct wi_vreg p[2]) {
    struct wi_vreg g = wi_k_x(b, "2^n (1 + f)"), whole = wi_k_x(b, "2^n"), f = wi_k_x(b, "f");
    struct wi_vreg h = wi_k_x(b, "1 + f"), mask = wi_build_reg(b, WI_FAMILY_R, "mask");
    WI_OP(b, VMAX_LT_S16, wi_r(g), wi_r(mask), wi_r(x), wi_r(e->exp2.zero));
    WI_OP(b, VBAND, wi_r(whole), wi_r(g), wi_r(e->exponent));
    WI_OP(b, VBAND, wi_r(f), wi_r(g), wi_r(e->fraction));
    WI_OP(b, VBOR, wi_r(h), wi_r(f), wi_r(e->one));
    wi_k_exp2(b, &e->exp2, g, whole, h, p);
}

struct exp_at {
    int keys;
    struct wi_vreg in, out, walk_in, walk_out; /* scores, powers */
    struct wi_vreg l_in, l_out, walk_l[2];
};

/* The i-th 32 bytes of a query tile, in this order.  16 keys leave half of the bytes out. */
static struct wi_mem score_at(const struct exp_at *at, int i, bool out) {
    struct wi_vreg p = out ? at->out : at->in;
    int n = at->keys / 4;
    uint8_t stream = out ? STREAM_P : STREAM_S;
    if (at->keys == WI_ATT_KEYS || i == n - 1)
        return wi_k_walk(p, out ? at->walk_out : at->walk_in, 2, stream);
    return wi_k_at(p, 32 * (i - (n - 1)), 2, stream);
}

/* 4 queries: pairs of tiles, their sum onto l. */
static void exp_step(struct wi_build *b, const struct exponential *e, const struct exp_at *at) {
    struct wi_vreg sum[2] = {wi_k_bm(b, "l"), {0, 0, 0}};
    wi_build_load(b, wi_low(sum[0]), wi_k_walk(at->l_in, at->walk_l[0], 2, STREAM_L));
    wi_build_load(b, wi_high(sum[0]), wi_k_walk(at->l_in, at->walk_l[0], 2, STREAM_L));
    for (int i = 0; i < at->keys / 8; i++) {
        struct wi_vreg x = wi_k_x(b, "scores"), p[2];
        wi_build_load(b, wi_low(x), score_at(at, 2 * i, false));
        wi_build_load(b, wi_high(x), score_at(at, 2 * i + 1, false));
        exp_pair(b, e, x, p);
        sum[0] = wi_k_sum(b, sum[0], p[0], e->tile);
        sum[1] = i ? wi_k_sum(b, sum[1], p[1], e->tile) : p[1];
        wi_build_store_bf16(b, p[0], score_at(at, 2 * i, true));
        wi_build_store_bf16(b, p[1], score_at(at, 2 * i + 1, true));
    }
    sum[0] = wi_k_sum(b, sum[0], sum[1], e->tile);
    wi_build_store(b, wi_low(sum[0]), wi_k_walk(at->l_out, at->walk_l[1], 2, STREAM_L_OUT));
    wi_build_store(b, wi_high(sum[0]), wi_k_walk(at->l_out, at->walk_l[1], 2, STREAM_L_OUT));
}

static struct exp_at exp_at(struct wi_build *b, int keys) {
    int step = keys == WI_ATT_KEYS ? 32 : QUERY_TILE;
    struct exp_at at = {.keys = keys, .in = PARAM(b, s, "scores"), .out = PARAM(b, s, "powers")};
    at.l_in = PARAM(b, l, "l");
    at.l_out = PARAM(b, l, "l");
    at.walk_in = wi_att_walk_scores(b, step);
    at.walk_out = wi_att_walk_scores(b, step);
    for (int i = 0; i < 2; i++)
        at.walk_l[i] =
            wi_k_walk_2d(b, "walk of l",
                         (struct wi_walk){.n = 1024 / 32, .step = 32, .next = PITCH + 32 - 1024});
    if (keys < WI_ATT_KEYS) {
        WI_OP(b, PADDA_INC, wi_r(at.in), wi_i(8 * keys - 32));
        WI_OP(b, PADDA_INC, wi_r(at.out), wi_i(8 * keys - 32));
    }
    return at;
}

void wi_att_exp(struct wi_build *b, int keys) {
    struct exponential e;
    struct wi_exp2 *two = &e.exp2;
    two->zero = wi_k_fill(b, 0, "0");
    e.exponent = wi_k_fill(b, 0xff80, "exponent");
    e.fraction = wi_k_fill(b, 0x007f, "fraction");
    e.one = wi_k_fill(b, 0x3f80, "1");
    struct wi_vreg c = wi_k_fill(b, WI_EXP2_C, "c");
    struct wi_vreg n = wi_build_const(b, WI_FAMILY_R, TILES, "tiles of queries");
    struct exp_at at = exp_at(b, keys);
    two->low_lanes = wi_build_const(b, WI_FAMILY_R, 0xffff, "low lanes");
    two->high_lanes = wi_build_const(b, WI_FAMILY_R, -0x10000, "high lanes");
    two->lanes = wi_build_const(b, WI_FAMILY_R, WI_MAC_LANES, "product of lanes");
    e.tile = wi_build_const(b, WI_FAMILY_R, WI_MAC_TILE, "addition");
    two->c_low = wi_k_x(b, "c, 0");
    two->c_high = wi_k_x(b, "0, c");
    WI_OP(b, VSEL_16, wi_r(two->c_low), wi_r(c), wi_r(two->zero), wi_r(two->high_lanes));
    WI_OP(b, VSEL_16, wi_r(two->c_high), wi_r(c), wi_r(two->zero), wi_r(two->low_lanes));
    wi_build_loop(b, (struct wi_loop){.name = "exp", .steps = n, .overrun = true});
    exp_step(b, &e, &at);
    wi_build_end_loop(b);
}

/* ---------------------------------------------------------------- weighted values */

struct values {
    struct wi_vreg pp, pv, walk_p, walk_v;
    struct wi_vreg in[2], out[2], walk_in[2], walk_out[2]; /* O, by the half of its d-tiles */
    struct wi_vreg tile, transpose;
    struct wi_vreg p[2][4]; /* [query tile][8 keys] */
    int n;                  /* of 8 keys */
};

/* From the first to the last 32 bytes of the powers of 8 queries. */
static int last_power(int n) {
    return QUERY_TILE + TILE * n - 32;
}

/* The powers of 8 queries; the pointer is at the last 32 bytes.  Two of the pieces share a bank
 * with half of O, which has no free cycle then. */
static void load_powers(struct wi_build *b, const struct values *v) {
    wi_build_when(b, WI_FIRST_STEP);
    for (int q = 0; q < 2; q++)
        for (int k = 0; k < v->n; k++)
            for (int half = 0; half < 2; half++) {
                struct wi_vreg to = half ? wi_high(v->p[q][k]) : wi_low(v->p[q][k]);
                int offset = QUERY_TILE * q + TILE * k + 32 * half - last_power(v->n);
                wi_build_load(b, to,
                              offset ? wi_k_at(v->pp, offset, 4, STREAM_S)
                                     : wi_k_walk(v->pp, v->walk_p, 4, STREAM_S));
            }
    wi_build_when(b, WI_EVERY_STEP);
}

/* 8 keys of 4 d-tiles; the pointer is at the third.  Order: its own comes last and moves it. */
static void load_values(struct wi_build *b, const struct values *v, struct wi_vreg t[4]) {
    for (int i = 0; i < 4; i++)
        t[i] = wi_k_x(b, "values");
    for (int i = 0; i < 4; i++)
        for (int half = 0; half < 2; half++)
            if (i != 2 || half)
                wi_build_load(b, half ? wi_high(t[i]) : wi_low(t[i]),
                              wi_k_at(v->pv, TILE * (i - 2) + 32 * half, 1, STREAM_V));
    wi_build_load(b, wi_low(t[2]), wi_k_walk(v->pv, v->walk_v, 1, STREAM_V));
}

/* 16 d of 8 queries. */
static void values_step(struct wi_build *b, const struct values *v) {
    static const uint8_t banks[2] = {2, 4};
    struct wi_vreg acc[4][2];
    for (int d = 0; d < 4; d++)
        for (int q = 0; q < 2; q++) {
            acc[d][q] = wi_k_bm(b, "o");
            for (int half = 0; half < 2; half++)
                wi_build_load(
                    b, half ? wi_high(acc[d][q]) : wi_low(acc[d][q]),
                    wi_k_at(v->in[d % 2], o_offset(d / 2, q, half), banks[d % 2], STREAM_O));
        }
    for (int h = 0; h < 2; h++)
        WI_OP(b, PADDS_2D, wi_r(v->in[h]), wi_r(v->walk_in[h]));
    for (int k = 0; k < v->n; k++) {
        struct wi_vreg t[4];
        load_values(b, v, t);
        for (int d = 0; d < 4; d++) {
            struct wi_vreg turned = wi_k_x(b, "values turned");
            WI_OP(b, VSHUFFLE, wi_r(turned), wi_r(t[d]), wi_r(t[d]), wi_r(v->transpose));
            for (int q = 0; q < 2; q++) {
                struct wi_vreg sum = wi_k_bm(b, "o");
                wi_k_mac(b, sum, acc[d][q], turned, v->p[q][k], v->tile);
                acc[d][q] = sum;
            }
        }
    }
    for (int d = 0; d < 4; d++)
        for (int q = 0; q < 2; q++)
            for (int half = 0; half < 2; half++)
                wi_build_store(
                    b, half ? wi_high(acc[d][q]) : wi_low(acc[d][q]),
                    wi_k_at(v->out[d % 2], o_offset(d / 2, q, half), banks[d % 2], STREAM_O_OUT));
    for (int h = 0; h < 2; h++)
        WI_OP(b, PADDS_2D, wi_r(v->out[h]), wi_r(v->walk_out[h]));
}

void wi_att_values(struct wi_build *b, int keys) {
    const int steps = WI_ATT_D / 16;
    struct values v = {.pp = PARAM(b, s, "powers"), .pv = PARAM(b, v, "V"), .n = keys / 8};
    struct wi_vreg n = wi_build_const(b, WI_FAMILY_R, steps, "steps");
    struct wi_vreg blocks = wi_build_const(b, WI_FAMILY_R, BLOCKS, "blocks");
    int ahead = (steps - 1) * PITCH, back = 256 * (v.n - 1);
    struct wi_walk walk_o = {.n = steps, .step = PITCH, .next = 2 * TILE - ahead};
    for (int h = 0; h < 2; h++) {
        v.in[h] = PARAM(b, o, "O");
        v.out[h] = PARAM(b, o, "O");
        v.walk_in[h] = wi_k_walk_2d(b, "walk of O", walk_o);
        v.walk_out[h] = wi_k_walk_2d(b, "walk of O", walk_o);
    }
    struct wi_vreg far =
        wi_build_const(b, WI_FAMILY_M, 0x4000 + O_MIDDLE, "to the other half of O");
    for (int h = 0; h < 2; h++) {
        struct wi_vreg p[2] = {v.in[h], v.out[h]};
        for (int i = 0; i < 2; i++)
            if (h)
                WI_OP(b, PADDA_POST, wi_r(p[i]), wi_r(far));
            else
                WI_OP(b, PADDA_INC, wi_r(p[i]), wi_i(O_MIDDLE));
    }
    v.walk_v = wi_k_walk_3d(b, "walk of V",
                            (struct wi_walk){v.n, 256, steps, PITCH - back, -back - ahead});
    v.walk_p = wi_att_walk_scores(b, 2 * QUERY_TILE);
    v.tile = wi_build_const(b, WI_FAMILY_R, WI_MAC_TILE, "tile product");
    v.transpose = wi_build_const(b, WI_FAMILY_R, TRANSPOSE_8x4, "transpose");
    WI_OP(b, PADDA_INC, wi_r(v.pp), wi_i(last_power(v.n)));
    WI_OP(b, PADDA_INC, wi_r(v.pv), wi_i(2 * TILE));
    for (int i = 0; i < 2 * v.n; i++)
        v.p[i % 2][i / 2] = wi_k_x(b, "powers");
    wi_build_loop(b, (struct wi_loop){"values", n, blocks, .overrun = true});
    load_powers(b, &v);
    values_step(b, &v);
    wi_build_end_loop(b);
}

void wi_att_scores_emit(struct wi_build *b) {
    emit_scores(b, BEGIN_AT_C);
}

void wi_att_add_scores_emit(struct wi_build *b) {
    emit_scores(b, ADD_C);
}

void wi_att_values_emit(struct wi_build *b) {
    wi_k_round_even(b);
    wi_att_exp(b, WI_ATT_KEYS);
    wi_att_values(b, WI_ATT_KEYS);
}

void wi_att_add_block_emit(struct wi_build *b) {
    emit_scores(b, ADD_C);
    wi_att_exp(b, WI_ATT_KEYS);
    wi_att_values(b, WI_ATT_KEYS);
}

void wi_att_block_emit(struct wi_build *b) {
    emit_scores(b, BEGIN_AT_C);
    wi_att_exp(b, WI_ATT_KEYS);
    wi_att_values(b, WI_ATT_KEYS);
}

/* ---------------------------------------------------------------- what scores go through */

/* 32 keys of 4 queries a step, in place: 4 pairs of tiles, of which pair 0 is stored last. */
struct pass {
    struct wi_vreg p, walk;
};

static struct pass pass(struct wi_build *b) {
    return (struct pass){PARAM(b, s, "scores"), wi_att_walk_scores(b, 256)};
}

static struct wi_vreg load_scores(struct wi_build *b, const struct pass *p, int pair) {
    struct wi_vreg x = wi_k_x(b, "scores");
    wi_k_load_x(b, x, wi_k_at(p->p, TILE * pair, 2, STREAM_S));
    return x;
}

static void store_scores(struct wi_build *b, const struct pass *p, int pair, struct wi_vreg x) {
    struct wi_mem first = wi_k_walk(p->p, p->walk, 2, STREAM_P);
    wi_build_store(b, wi_high(x), wi_k_at(p->p, TILE * pair + 32, 2, STREAM_P));
    wi_build_store(b, wi_low(x), pair ? wi_k_at(p->p, TILE * pair, 2, STREAM_P) : first);
}

void wi_att_mask(struct wi_att_params *p, int n_keys) {
    for (int i = 0; i < 4; i++) {
        int lanes = 4 * (n_keys - 8 * i); /* that count, of 8 keys x 4 queries */
        p->mask[i] = lanes <= 0 ? UINT32_MAX : lanes >= 32 ? 0 : UINT32_MAX << lanes;
    }
}

void wi_att_mask_emit(struct wi_build *b) {
    struct wi_vreg n = wi_build_const(b, WI_FAMILY_R, WI_ATT_QUERIES / 4, "tiles of queries");
    struct wi_vreg zero = wi_k_fill(b, 0, "0"), mask[4];
    for (size_t i = 0; i < 4; i++)
        mask[i] = wi_k_param(b, WI_FAMILY_R, offsetof(struct wi_att_params, mask) + 4 * i, "mask");
    struct pass p = pass(b);
    wi_build_loop(b, (struct wi_loop){.name = "mask", .steps = n, .apart = true});
    for (int i = 3; i >= 0; i--) {
        struct wi_vreg x = load_scores(b, &p, i), masked = wi_k_x(b, "masked");
        WI_OP(b, VSEL_16, wi_r(masked), wi_r(x), wi_r(zero), wi_r(mask[i]));
        store_scores(b, &p, i, masked);
    }
    wi_build_end_loop(b);
}

/* ---------------------------------------------------------------- start and reference */

void wi_att_start(struct wi_build *b, uint32_t constant) {
    struct wi_vreg zero = wi_k_fill(b, 0, "0"), first = wi_k_x(b, "first constant");
    wi_att_store_status(b, wi_build_const(b, WI_FAMILY_R, 0, "status"));
    struct wi_vreg n = wi_build_const(b, WI_FAMILY_R, WI_ATT_QUERIES * WI_ATT_D / 32, "steps");
    struct wi_vreg halves = wi_build_const(b, WI_FAMILY_R, 2 * GROUPS, "halves of groups");
    struct wi_vreg o = PARAM(b, o, "O"), l = PARAM(b, l, "l"), c = PARAM(b, c, "constants");
    struct wi_vreg walk_o =
        wi_k_walk_2d(b, "walk of O", (struct wi_walk){PANEL / 32, 32, 0, 0, PITCH + 32 - PANEL});
    struct wi_vreg walk_l =
        wi_k_walk_2d(b, "walk of l", (struct wi_walk){1024 / 32, 32, 0, 0, PITCH + 32 - 1024});
    WI_OP(b, VBCST_32, wi_r(first),
          wi_r(wi_build_const(b, WI_FAMILY_R, (int32_t)constant, "first constant")));
    wi_build_loop(b, (struct wi_loop){.name = "O = 0", .steps = n});
    for (int i = 0; i < 4; i++)
        wi_build_store(b, wi_low(zero), wi_k_walk(o, walk_o, 4, STREAM_O));
    wi_build_end_loop(b);
    wi_build_loop(b, (struct wi_loop){.name = "l = 0", .steps = halves});
    for (int i = 0; i < 4; i++)
        wi_build_store(b, wi_low(zero), wi_k_walk(l, walk_l, 4, STREAM_L));
    wi_build_store(b, wi_low(first), wi_k_next(c, 32, 4, STREAM_C));
    wi_build_end_loop(b);
}

void wi_att_start_emit(struct wi_build *b) {
    wi_att_start(b, FIRST_CONSTANT);
}

static struct wi_vreg larger(struct wi_build *b, struct wi_vreg u, struct wi_vreg v) {
    struct wi_vreg most = wi_k_x(b, "largest"), mask = wi_build_reg(b, WI_FAMILY_R, "mask");
    WI_OP(b, VMAX_LT_S16, wi_r(most), wi_r(mask), wi_r(u), wi_r(v));
    return most;
}

/* c of 16 queries from the largest of 32 scores of theirs for each of 32 lanes: 1663 - reference,
 * of which a score's unit, 2^-7 octaves, is bit 6. */
static void store_constant(struct wi_build *b, struct wi_vreg most, const struct wi_vreg fold[5],
                           struct wi_vreg base, struct wi_vreg shift, struct wi_vreg lane,
                           struct wi_vreg pc) {
    struct wi_vreg ref = wi_build_reg(b, WI_FAMILY_R, "reference"), c = wi_k_x(b, "constant");
    struct wi_vreg scaled = wi_build_reg(b, WI_FAMILY_R, "reference");
    struct wi_vreg bits = wi_build_reg(b, WI_FAMILY_R, "constant's bits");
    for (int i = 0; i < 5; i++) {
        struct wi_vreg other = wi_k_x(b, "other lanes");
        wi_k_shuffle(b, other, most, most, fold[i]);
        most = larger(b, most, other);
    }
    WI_OP(b, VEXTRACT_S16, wi_r(ref), wi_r(most), wi_r(lane));
    WI_OP(b, LSHL, wi_r(scaled), wi_r(ref), wi_r(shift));
    WI_OP(b, SUB, wi_r(bits), wi_r(base), wi_r(scaled));
    WI_OP(b, VBCST_32, wi_r(c), wi_r(bits));
    for (int i = 0; i < 2; i++)
        wi_build_store(b, wi_low(c), wi_k_next(pc, 32, 4, STREAM_C));
}

static void emit_constants(struct wi_build *b) {
    /* halves, then every second of 8, 4, 2 and 1 scores */
    static const int folds[] = {WI_HIGH_HALVES, ODD_128, ODD_64, WI_ODD_32, ODD_16};
    struct wi_vreg fold[5], groups = wi_build_const(b, WI_FAMILY_R, GROUPS, "groups of queries");
    struct wi_vreg base = wi_build_const(b, WI_FAMILY_R, CONSTANT_BASE, "1663");
    struct wi_vreg shift = wi_build_const(b, WI_FAMILY_R, SRS_SHIFT, "shift of scores");
    struct wi_vreg lane = wi_build_const(b, WI_FAMILY_R, 0, "lane");
    struct wi_vreg pc = PARAM(b, c, "constants");
    struct wi_vreg lowest = wi_k_fill(b, LOWEST_REFERENCE & 0xffff, "lowest reference");
    struct wi_vreg p = PARAM(b, s, "scores"), most = {0, 0, 0};
    struct wi_vreg walk =
        wi_k_walk_2d(b, "walk of scores", (struct wi_walk){4, PITCH, 0, 0, FAR_SCORES - 3 * PITCH});
    for (int i = 0; i < 5; i++)
        fold[i] = wi_build_const(b, WI_FAMILY_R, folds[i], "fold");
    wi_build_loop(b, (struct wi_loop){.name = "reference", .steps = groups, .apart = true});
    for (int i = 15; i >= 0; i--) { /* pairs of tiles of a piece; the first one moves the pointer */
        struct wi_vreg x = wi_k_x(b, "scores");
        wi_build_load(b, wi_high(x), wi_k_at(p, TILE * i + 32, 2, STREAM_S));
        wi_build_load(b, wi_low(x),
                      i ? wi_k_at(p, TILE * i, 2, STREAM_S) : wi_k_walk(p, walk, 2, STREAM_S));
        most = larger(b, i < 15 ? most : lowest, x);
    }
    store_constant(b, most, fold, base, shift, lane, pc);
    wi_build_end_loop(b);
}

/* What c brings, added to scores made without it: 32 keys of 4 queries a step.  Those that would
 * be below 0 become 0, as the sum of 16 bits may not hold them. */
static void emit_shift(struct wi_build *b) {
    struct wi_vreg n = wi_build_const(b, WI_FAMILY_R, WI_ATT_QUERIES / 4, "tiles of queries");
    struct wi_vreg shift = wi_build_const(b, WI_FAMILY_S, SRS_SHIFT, "shift of scores");
    struct wi_vreg pc = PARAM(b, c, "constants"), c = wi_k_bm(b, "constant");
    struct wi_vreg add = wi_k_x(b, "constant as a score"), least = wi_k_x(b, "becomes 0");
    struct wi_vreg zero = wi_k_fill(b, 0, "0");
    struct wi_vreg walk_c =
        wi_k_walk_2d(b, "walk of constants", (struct wi_walk){4, 0, 0, 0, TILE});
    struct pass p = pass(b);
    wi_build_loop(b, (struct wi_loop){.name = "shift", .steps = n, .apart = true});
    wi_build_load(b, wi_high(c), wi_k_at(pc, 32, 4, STREAM_C));
    wi_build_load(b, wi_low(c), wi_k_walk(pc, walk_c, 4, STREAM_C));
    WI_OP(b, VSRS_S16_S32_W, wi_r(wi_low(add)), wi_r(c), wi_r(shift));
    WI_OP(b, VSRS_S16_S32_W, wi_r(wi_high(add)), wi_r(c), wi_r(shift));
    WI_OP(b, VSUB_16, wi_r(least), wi_r(zero), wi_r(add));
    for (int i = 3; i >= 0; i--) {
        struct wi_vreg x = load_scores(b, &p, i), shifted = wi_k_x(b, "shifted");
        WI_OP(b, VADD_16, wi_r(shifted), wi_r(larger(b, x, least)), wi_r(add));
        store_scores(b, &p, i, shifted);
    }
    wi_build_end_loop(b);
}

void wi_att_reference_emit(struct wi_build *b) {
    emit_constants(b);
    emit_shift(b);
}

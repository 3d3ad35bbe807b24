#include "npu/kernels/layernorm.h"

#include <string.h>

#include "base/dtype.h"
#include "npu/kernels/layernorm_parts.h"

enum { MAX_FEATURES = 1280, MIN_PANELS = 3, MIN_STEPS = 6, GROUP = 16 };
enum { ROW_GROUP = 128, WEIGHTS = 128, SUMS = 512 }; /* bytes: of 4 rows; of a panel; of 16 rows */

/* Where a core sees its own memory and that of the one below, which has other banks. */
enum { OWN = 0x70000, SOUTH = 0x40000, BANK_SOUTH = 1 };

static uint32_t bits_of(float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

/* v's nearest bf16, which v loses. */
static uint32_t take_bf16(double *v) {
    uint16_t part = wi_f32_to_bf16((float)*v);
    *v -= (double)wi_bf16_to_f32(part);
    return part;
}

/* n accesses `step` apart, then `next` from the first one on. */
static void set_walk(uint32_t walk[3], int n, int step, int next) {
    walk[0] = (uint32_t)(next - (n - 1) * step);
    walk[1] = (uint32_t)n - 1;
    walk[2] = (uint32_t)step;
}

/* Bytes of the scales of 4 rows. */
static int scales_bytes(enum wi_layernorm_grade grade) {
    return grade == WI_LAYERNORM_EXACT ? 256 : 128;
}

/* Whether whole pieces, or a part of one, hold so much. */
static bool fits_pieces(const struct wi_layernorm_shape *s, int bytes) {
    return s->state_pitch == WI_LAYERNORM_PIECE || bytes <= WI_LAYERNORM_PIECE ||
           bytes % WI_LAYERNORM_PIECE == 0;
}

/* Through the scales of all rows, from piece to piece, and back to the first. */
static void set_scales_walk(uint32_t walk[5], const struct wi_layernorm_shape *s) {
    int bytes = scales_bytes(s->grade), all = s->rows / 4 * bytes;
    bool pieces = s->state_pitch > WI_LAYERNORM_PIECE && all > WI_LAYERNORM_PIECE;
    int piece = pieces ? WI_LAYERNORM_PIECE : all, n = all / piece, last = piece - bytes;
    set_walk(walk, piece / bytes, bytes, -(n - 1) * s->state_pitch);
    walk[3] = (uint32_t)n - 1;
    walk[4] = (uint32_t)(s->state_pitch - last);
}

static bool is_shape(const struct wi_layernorm_shape *s) {
    int panels = s->here / 16, steps = panels * (s->rows / 4);
    bool f32 = s->grade == WI_LAYERNORM_F32;
    return s->rows > 0 && s->rows % GROUP == 0 && s->features >= s->here &&
           s->features <= MAX_FEATURES && s->features % 16 == 0 && s->here % 16 == 0 &&
           panels > 0 && steps >= MIN_STEPS && s->pitch >= 32 * s->rows && s->pitch % 32 == 0 &&
           (!f32 || (s->y_pitch >= 64 * s->rows && s->y_pitch % 32 == 0)) &&
           s->state_pitch >= WI_LAYERNORM_PIECE && s->state_pitch % 32 == 0 &&
           fits_pieces(s, s->rows / 4 * scales_bytes(s->grade)) && s->epsilon > 0;
}

bool wi_layernorm_params(struct wi_layernorm_params *p, const struct wi_layernorm_shape *s,
                         const struct wi_layernorm_at *at) {
    if (!is_shape(s))
        return false;
    int panels = s->here / 16, groups = s->rows / GROUP, rows = s->rows / 4;
    int sums_panels = panels > MIN_PANELS ? panels : MIN_PANELS;
    int step = 4 * scales_bytes(s->grade);
    bool f32 = s->grade == WI_LAYERNORM_F32;
    *p = (struct wi_layernorm_params){.at = *at,
                                      .panels = (uint32_t)sums_panels,
                                      .groups = (uint32_t)groups,
                                      .steps = (uint32_t)(panels * rows)};
    /* the last of 16 accesses of 32 bytes moves on */
    set_walk(p->sums_x_walk, sums_panels, s->pitch, SUMS);
    p->sums_x_walk[0] -= SUMS - 32;
    p->sums_x_walk[2] -= SUMS - 32;
    set_walk(p->state_walk, WI_LAYERNORM_PIECE / step, step, s->state_pitch);
    set_scales_walk(p->scales_walk, s);
    set_walk(p->x_walk, rows, ROW_GROUP, s->pitch);
    set_walk(p->y_walk, rows, f32 ? 2 * ROW_GROUP : ROW_GROUP, f32 ? s->y_pitch : s->pitch);
    set_walk(p->weights_walk, rows, 0, WEIGHTS);
    double inverse = 1.0 / s->features, features = s->features;
    for (int i = 0; i < 3; i++)
        p->inverse[i] = take_bf16(&inverse);
    p->floor = bits_of((float)(features * features * s->epsilon));
    p->features = take_bf16(&features);
    return true;
}

void wi_layernorm_pack_weights(uint16_t *weights, const uint16_t *gamma, const uint16_t *beta,
                               int here) {
    for (int i = 0; i < here; i++)
        for (int copy = 0; copy < 2; copy++) {
            weights[i / 8 * 32 + copy * 8 + i % 8] = beta[i];
            weights[i / 8 * 32 + 16 + copy * 8 + i % 8] = gamma[i];
        }
}

struct wi_ln wi_ln_begin(struct wi_build *b) {
    wi_k_round_even(b);
    struct wi_ln k = {.lanes = wi_build_const(b, WI_FAMILY_R, WI_MAC_LANES, "lanes"),
                      .sum = wi_build_const(b, WI_FAMILY_R, WI_MAC_TILE, "sum")};
    for (int i = 0; i < 8; i++)
        k.acc[i] = wi_k_bm(b, "sum");
    return k;
}

/* ---------------------------------------------------------------- sums */

struct sums {
    const struct wi_ln *k;
    struct wi_vreg px, ones;
    struct wi_mem last; /* of a panel's accesses, which leads to the next one */
    int which;
    struct wi_cursor earlier; /* sums that a block starts from */
};

/* Sums of 16 rows at a time; the pointer is at their last 32 bytes. */
static struct wi_cursor sums_cursor(struct wi_build *b) {
    struct wi_cursor c = wi_k_cursor(b, WI_LN_AT(at.state), WI_LN_AT(state_walk));
    WI_OP(b, PADDB_INC, wi_r(c.p), wi_i(SUMS - 32));
    return c;
}

static struct wi_mem sums_at(const struct wi_cursor *c, int i) {
    return wi_k_from(c, 32 * (i - 15), WI_LN_BANK_STATE, WI_LN_STREAM_SUMS);
}

static struct wi_vreg sums_part(const struct wi_vreg acc[8], int i) {
    return i % 2 ? wi_high(acc[i / 2]) : wi_low(acc[i / 2]);
}

static void load_sums(struct wi_build *b, const struct wi_vreg acc[8], const struct wi_cursor *c) {
    for (int i = 0; i < 16; i++)
        wi_build_load(b, sums_part(acc, i), sums_at(c, i));
}

static void store_sums(struct wi_build *b, const struct wi_vreg acc[8], const struct wi_cursor *c) {
    for (int i = 0; i < 16; i++)
        wi_build_store(b, sums_part(acc, i), sums_at(c, i));
}

/* What a block of 16 rows starts from is in the accumulators, but a second part in `more`. */
static void start_block(struct wi_build *b, const struct sums *s, struct wi_vreg more[8]) {
    if (s->which & WI_LAYERNORM_FROM_CASCADE)
        for (int i = 0; i < 8; i++) {
            WI_OP(b, VMOV_SCD, wi_r(s->k->acc[i]));
            more[i] = wi_k_bm(b, "earlier sums");
        }
    if (s->which & WI_LAYERNORM_FROM_MEMORY)
        load_sums(b, s->which & WI_LAYERNORM_FROM_CASCADE ? more : s->k->acc, &s->earlier);
}

/* acc += x y; in the first step of a block acc is what that starts from. */
static void add_first(struct wi_build *b, const struct sums *s, int i, struct wi_vreg x,
                      struct wi_vreg y, const struct wi_vreg more[8]) {
    const int both = WI_LAYERNORM_FROM_MEMORY | WI_LAYERNORM_FROM_CASCADE;
    struct wi_vreg acc = s->k->acc[i];
    wi_k_mac(b, acc, acc, x, y, s->k->lanes);
    if ((s->which & both) == both)
        WI_FIRST_OP(b, VADDMAC_F, wi_r(acc), wi_r(more[i]), wi_r(x), wi_r(y), wi_r(s->k->lanes));
    else if (!(s->which & both))
        WI_FIRST_OP(b, VMUL_F, wi_r(acc), wi_r(x), wi_r(y), wi_r(s->k->lanes));
}

/* A panel of 16 rows. */
static void add_panel(struct wi_build *b, const struct sums *s, const struct wi_vreg more[8]) {
    for (int i = 0; i < 8; i++) {
        struct wi_vreg x = wi_k_x(b, "pair");
        int to = i / 2 * 2;
        wi_build_load(b, wi_low(x), wi_k_next(s->px, 32, WI_LN_BANK_X, WI_LN_STREAM_X));
        wi_build_load(b, wi_high(x),
                      i < 7 ? wi_k_next(s->px, 32, WI_LN_BANK_X, WI_LN_STREAM_X) : s->last);
        for (int j = 0; j < 2; j++)
            if (i % 2 == 0)
                add_first(b, s, to + j, x, j ? x : s->ones, more);
            else
                wi_k_mac(b, s->k->acc[to + j], s->k->acc[to + j], x, j ? x : s->ones, s->k->lanes);
    }
}

static struct sums begin_sums(struct wi_build *b, const struct wi_ln *k, int which) {
    return (struct sums){.k = k,
                         .px = wi_k_param(b, WI_FAMILY_P, WI_LN_AT(at.x), "x"),
                         .ones = wi_k_fill(b, WI_LN_BF16_ONE, "ones"),
                         .which = which};
}

void wi_layernorm_emit_sums(struct wi_build *b, int which) {
    struct wi_ln k = wi_ln_begin(b);
    struct sums s = begin_sums(b, &k, which);
    struct wi_vreg panels = wi_k_param(b, WI_FAMILY_R, WI_LN_AT(panels), "panels"), more[8];
    struct wi_vreg groups = wi_k_param(b, WI_FAMILY_R, WI_LN_AT(groups), "groups");
    struct wi_cursor to = {{0, 0, 0}, {0, 0, 0}};
    s.last = wi_k_walk(s.px, wi_k_param_walk(b, WI_FAMILY_D, WI_LN_AT(sums_x_walk), "walk of x"),
                       WI_LN_BANK_X, WI_LN_STREAM_X);
    if (which & WI_LAYERNORM_FROM_MEMORY)
        s.earlier = sums_cursor(b);
    if (!(which & WI_LAYERNORM_TO_CASCADE))
        to = sums_cursor(b);
    wi_build_loop(b, (struct wi_loop){"layernorm sums", panels, groups, .overrun = true});
    wi_build_when(b, WI_FIRST_STEP);
    start_block(b, &s, more);
    wi_build_when(b, WI_EVERY_STEP);
    add_panel(b, &s, more);
    wi_build_when(b, WI_LAST_STEP);
    if (which & WI_LAYERNORM_TO_CASCADE)
        for (int i = 0; i < 8; i++)
            WI_OP(b, VMOV_MCD, wi_r(k.acc[i]));
    else
        store_sums(b, k.acc, &to);
    wi_build_end_loop(b);
}

/* ---------------------------------------------------------------- scales */

void wi_layernorm_emit_scales(struct wi_build *b, enum wi_layernorm_grade grade) {
    struct wi_ln k = wi_ln_begin(b);
    struct wi_vreg groups = wi_k_param(b, WI_FAMILY_R, WI_LN_AT(groups), "groups");
    const struct wi_cursor from = sums_cursor(b);
    const struct wi_cursor to = wi_k_cursor(b, WI_LN_AT(at.state), WI_LN_AT(state_walk));
    wi_build_loop(b, (struct wi_loop){.name = "layernorm scales", .steps = groups, .apart = true});
    load_sums(b, k.acc, &from);
    wi_ln_find_scales(b, &k);
    wi_ln_store_scales(b, &k, grade, &to);
    wi_build_end_loop(b);
}

/* A step is 4 rows. */
void wi_layernorm_emit_scales_from_south(struct wi_build *b) {
    struct wi_vreg others = wi_k_param(b, WI_FAMILY_R, WI_LN_AT(x_walk[1]), "steps but one");
    struct wi_vreg steps = wi_build_reg(b, WI_FAMILY_R, "steps");
    struct wi_vreg south = wi_build_const(b, WI_FAMILY_M, SOUTH - OWN, "to the south");
    const struct wi_cursor from = wi_ln_scales(b), to = wi_ln_scales(b);
    WI_OP(b, ADD_NC, wi_r(steps), wi_r(others), wi_i(1));
    WI_OP(b, PADDB_POST, wi_r(from.p), wi_r(south));
    wi_build_loop(b, (struct wi_loop){.name = "layernorm copy", .steps = steps});
    for (int i = 3; i >= 0; i--) {
        struct wi_vreg w = wi_build_reg(b, WI_FAMILY_W, "scales");
        wi_build_load(b, w, wi_k_from(&from, 32 * i, BANK_SOUTH, WI_LN_STREAM_SUMS));
        wi_build_store(b, w, wi_k_from(&to, 32 * i, WI_LN_BANK_STATE, WI_LN_STREAM_SCALES));
    }
    wi_build_end_loop(b);
}

/* ---------------------------------------------------------------- apply, and all of it */

void wi_layernorm_emit_apply(struct wi_build *b, enum wi_layernorm_grade grade) {
    struct wi_ln k = wi_ln_begin(b);
    const struct wi_ln_places at = wi_ln_places(b, grade);
    wi_ln_apply(b, &k, &at, grade);
}

void wi_layernorm_emit(struct wi_build *b, enum wi_layernorm_grade grade) {
    struct wi_ln k = wi_ln_begin(b);
    struct sums s = begin_sums(b, &k, 0);
    struct wi_vreg panels = wi_k_param(b, WI_FAMILY_R, WI_LN_AT(panels), "panels");
    struct wi_vreg next = wi_k_param(b, WI_FAMILY_M, WI_LN_AT(sums_x_walk[2]), "next panel");
    s.last = (struct wi_mem){s.px, WI_MODE_POST, 0, next, WI_LN_BANK_X, WI_LN_STREAM_X};
    for (int i = 0; i < 8; i++)
        WI_OP(b, VCLR_F, wi_r(k.acc[i]));
    wi_build_loop(b, (struct wi_loop){.name = "layernorm sums", .steps = panels});
    add_panel(b, &s, NULL);
    wi_build_end_loop(b);
    const struct wi_ln_places at = wi_ln_places(b, grade);
    const struct wi_cursor to = {wi_k_param(b, WI_FAMILY_P, WI_LN_AT(at.state), "scales"),
                                 {0, 0, 0}};
    wi_ln_find_scales(b, &k);
    wi_build_cut(b);
    wi_ln_store_scales(b, &k, grade, &to);
    wi_ln_apply(b, &k, &at, grade);
}

/* Vectors: the mv slot (lanes, permutations, moves) and the vec slot (products and accumulators).
 */
#include "npu/emu/impl.h"

static uint64_t pair(const struct wi_emu_core *core, unsigned at) {
    return core->w[at] | (uint64_t)core->w[at + 1] << 32;
}

/* A scalar operand of as many bits as lanes have: 64-bit lanes take a pair. */
static uint64_t element(const struct wi_emu_core *core, const struct uop *u) {
    return u->bits == 64 ? pair(core, u->x) : core->w[u->x];
}

static const uint8_t *source(struct wi_emu_core *core, unsigned at, uint32_t buf[32]) {
    return mov_source(core, at, 16, buf);
}

static void land_mask(struct wi_emu_core *core, const struct uop *u, uint64_t mask) {
    land32(core, u->k_stage, u->k, (uint32_t)mask);
    if (u->bits == 8)
        land32(core, u->k_stage, u->k + 1u, (uint32_t)(mask >> 32));
}

/* ------------------------------------------------------------------ lanes */

EXEC(lanes) {
    uint32_t a[32], b[32];
    uint64_t select = u->bits == 8 ? pair(core, u->x) : core->w[u->x];
    const uint8_t *pa = source(core, u->a, a), *pb = source(core, u->b, b);
    uint8_t *d = u->words ? land_mov(core, u) : NULL;
    uint64_t mask = wi_emu_lanes(u->op, u->bits, sign_of(core, u), d, pa, pb, select);
    if (u->k_stage)
        land_mask(core, u, mask);
}

EXEC(lanes_bf16) {
    uint32_t a[32], b[32];
    const uint8_t *pa = source(core, u->a, a), *pb = source(core, u->b, b);
    uint8_t *d = u->words ? land_mov(core, u) : NULL;
    land_mask(core, u, wi_emu_lanes_bf16(u->op, d, pa, pb));
}

EXEC(logic) { /* op: 0 and, 1 or */
    uint32_t a[32], b[32], r[16], s[16];
    memcpy(r, source(core, u->a, a), 64);
    memcpy(s, source(core, u->b, b), 64);
    for (int i = 0; i < 16; i++)
        r[i] = u->op ? r[i] | s[i] : r[i] & s[i];
    memcpy(land_mov(core, u), r, 64);
}

/* ------------------------------------------------------------------ permutations */

static void shuffle(struct wi_emu_core *core, uint8_t *d, const uint8_t *a, const uint8_t *b,
                    unsigned mode) {
    if ((mode & 63) < WI_EMU_SHUFFLES)
        core->kern->permute(d, a, b, core->shuffles.from[mode & 63]);
    else
        wi_emu_shuffle(&core->shuffles, d, a, b, mode);
}

EXEC(shuffle) {
    uint32_t a[32], b[32];
    const uint8_t *pa = source(core, u->a, a), *pb = source(core, u->b, b);
    shuffle(core, land_mov(core, u), pa, pb, core->w[u->x]);
}

EXEC(broadcast) {
    wi_emu_broadcast(land_mov(core, u), element(core, u), u->bits);
}

EXEC(broadcast_shuffle) {
    static const uint8_t zero[64];
    uint8_t v[64];
    wi_emu_broadcast(v, element(core, u), u->bits);
    shuffle(core, land_mov(core, u), v, zero, core->w[AT_R + 29]);
}

EXEC(extract_broadcast) {
    uint32_t a[32];
    unsigned lane = u->immediate ? (unsigned)u->imm : core->w[u->x];
    wi_emu_broadcast(land_mov(core, u), wi_emu_extract(source(core, u->a, a), lane, u->bits),
                     u->bits);
}

EXEC(extract) {
    uint32_t a[32];
    uint64_t v = wi_emu_extract(source(core, u->a, a), core->w[u->x], u->bits);
    if (u->bits < 32 && sign_of(core, u))
        v = u->bits == 8 ? (uint64_t)(int8_t)v : (uint64_t)(int16_t)v;
    land32(core, u->d_stage, u->d, (uint32_t)v & u->keep);
    if (u->bits == 64)
        land32(core, u->d_stage, u->d + 1u, (uint32_t)(v >> 32));
}

EXEC(insert) {
    uint32_t a[32];
    wi_emu_insert(land_mov(core, u), source(core, u->a, a), core->w[AT_R + 29], element(core, u),
                  u->bits);
}

EXEC(push_lo) {
    uint32_t b[32];
    wi_emu_push_lo(land_mov(core, u), source(core, u->b, b), element(core, u), u->bits);
}

EXEC(push_hi) {
    uint32_t a[32];
    wi_emu_push_hi(land_mov(core, u), source(core, u->a, a), element(core, u), u->bits);
}

EXEC(shift) {
    uint32_t a[32], b[32];
    const uint8_t *pa = source(core, u->a, a), *pb = source(core, u->b, b);
    wi_emu_shift(land_mov(core, u), pa, pb, core->w[u->x]);
}

EXEC(shift_align) {
    uint32_t a[32], b[32], step = core->w[u->g];
    const uint8_t *pa = source(core, u->a, a), *pb = source(core, u->b, b);
    if (step > 4)
        wi_emu_stop_fault(core, u, "a pre-shift of %u", step);
    else
        wi_emu_shift_align(land_mov(core, u), pa, step, pb, core->w[u->x]);
}

/* ------------------------------------------------------------------ moves and conversions of the
 * mv slot */

EXEC(move) {
    uint32_t buf[32];
    const uint8_t *s = u->bypass_s ? mov_source(core, u->s, u->words, buf) : bytes_at(core, u->s);
    copy_words(land_mov(core, u), s, u->words);
}

EXEC(conv_fp32) {
    uint32_t buf[32];
    const uint8_t *s = u->bypass_s ? mov_source(core, u->s, 8, buf) : bytes_at(core, u->s);
    wi_emu_conv_fp32(land_mov(core, u), s);
}

EXEC(ups) {
    uint32_t shift = core->w[u->x];
    struct wi_emu_widths w = {(uint8_t)(32u * u->words / u->bits), u->from, u->bits};
    if (shift > 31) {
        wi_emu_stop_fault(core, u, "a negative shift");
        return;
    }
    wi_emu_ups_vector((uint8_t *)land(core, u->d_stage, u->d, u->words)->v, bytes_at(core, u->s), w,
                      (int)shift, core->w[AT_CR + CR_SAT], sign_of(core, u));
}

/* ------------------------------------------------------------------ the vec slot */

enum { FLOAT_CONF = 28, SHAPE_BITS = 0xfe }; /* what compiled code passes to float sums */

/* The result of an accumulator operation whose accumulators were sampled in this step. */
static struct landing *land_acc(struct wi_emu_core *core, const struct uop *u) {
    unsigned from_now = u->d_stage - (u->acc_stage - 1u);
    struct landing *l = land(core, from_now, u->d, u->words);
    if (u->bypass_d)
        core->ring[(core->t + from_now) % RING].vec = l;
    return l;
}

static void late_float(struct wi_emu_core *core, struct late *l) {
    const struct uop *u = l->u;
    struct wi_emu_fmac f = {
        .acc1 = u->op >= 1 && !(l->conf & WI_EMU_CONF_ZERO_ACC) ? &core->w[u->u] : NULL,
        .acc2 = u->op >= 2 ? &core->w[u->v] : NULL,
        .x = (const uint16_t *)(const void *)l->x,
        .y = (const uint16_t *)(const void *)l->y,
        .elementwise = l->value[0],
        .neg_mul = l->conf & WI_EMU_CONF_NEG_MUL,
        .neg_acc1 = l->conf & WI_EMU_CONF_NEG_ACC1,
        .neg_acc2 = l->conf & WI_EMU_CONF_NEG_ACC2,
    };
    if (u->mask)
        wi_emu_fmac_sparse(land_acc(core, u)->v, &f, l->mask);
    else
        core->kern->fmac(land_acc(core, u)->v, &f);
}

static void late_float_sum(struct wi_emu_core *core, struct late *l) {
    static const uint32_t zero[16];
    const struct uop *u = l->u;
    const uint32_t *a = l->conf & WI_EMU_CONF_ZERO_ACC ? zero : &core->w[u->u];
    core->kern->fadd(land_acc(core, u)->v, a, &core->w[u->v], l->conf & WI_EMU_CONF_NEG_ACC1,
                     l->conf & WI_EMU_CONF_NEG_ACC2);
}

static void late_float_neg(struct wi_emu_core *core, struct late *l) {
    uint32_t *d = land_acc(core, l->u)->v;
    for (int i = 0; i < 16; i++)
        d[i] = wi_emu_fp32_neg(core->w[l->u->u + i]);
}

static void late_int(struct wi_emu_core *core, struct late *l) {
    const struct uop *u = l->u;
    uint32_t a[32], b[32];
    const struct landing *fresh = core->ring[(core->t + 1) % RING].vec;
    const uint8_t *acc1 = u->op >= 1 ? bypassed(core, fresh, u->u, 32, a) : NULL;
    const uint8_t *acc2 = u->op >= 2 ? bypassed(core, fresh, u->v, 32, b) : NULL;
    const struct wi_emu_shape *shape = u->immediate ? NULL : wi_emu_shape(l->conf & 0xff);
    wi_emu_mac_int(shape, (uint8_t *)land_acc(core, u)->v, acc1, acc2, shape ? l->x : NULL, l->y,
                   u->mask ? l->mask : NULL, l->conf);
}

static void late_move(struct wi_emu_core *core, struct late *l) {
    struct landing *d = land_acc(core, l->u);
    if (l->u->s)
        memcpy(d->v, &core->w[l->u->s], 4u * l->u->words);
    else
        memset(d->v, 0, 4u * l->u->words);
}

static void sample_xy(struct wi_emu_core *core, const struct uop *u, struct late *l) {
    copy_words(l->x, bytes_at(core, u->a), u->wide ? 32 : 16);
    memcpy(l->y, bytes_at(core, u->b), 64);
    if (!u->mask)
        return;
    if (!u->wide)
        memset(l->x + 64, 0, 64);
    memcpy(l->mask, bytes_at(core, u->mask), 16);
}

/* op: number of accumulators; conf: flips of the configuration's signs; bits 32: float. */
EXEC(mac) {
    uint32_t conf = core->w[u->x];
    const struct wi_emu_shape *shape = wi_emu_shape(conf);
    bool is_float = u->bits == 32;
    if (!shape || shape->is_float != is_float || shape->is_sparse != (u->mask != 0)) {
        wi_emu_stop_fault(core, u, "configuration 0x%x has no documented meaning here", conf);
        return;
    }
    struct late *l = wi_emu_late(core, u->acc_stage, u, is_float ? late_float : late_int);
    l->conf = conf ^ u->conf;
    l->value[0] = shape->channels > 1;
    sample_xy(core, u, l);
}

EXEC(acc_sum) { /* immediate: no products */
    uint32_t conf = core->w[u->x];
    bool is_float = u->bits == 32;
    if (is_float ? (conf & SHAPE_BITS) != FLOAT_CONF
                 : (conf >> 1 & 3) > 1 || conf & WI_EMU_CONF_NEG_MUL) {
        wi_emu_stop_fault(core, u, "configuration 0x%x has no documented meaning here", conf);
        return;
    }
    if (is_float && u->op < 2 && conf != FLOAT_CONF)
        wi_emu_stop_fault(core, u, "configuration 0x%x has no documented meaning here", conf);
    struct late *l = wi_emu_late(core, u->acc_stage, u,
                                 !is_float   ? late_int
                                 : u->op < 2 ? late_float_neg
                                             : late_float_sum);
    l->conf = conf ^ u->conf;
}

EXEC(acc_move) {
    wi_emu_late(core, u->acc_stage, u, late_move);
}

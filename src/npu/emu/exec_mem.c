/* Loads, stores and pointer arithmetic. */
#include "npu/emu/impl.h"

enum { ADDRESS = 0xfffff };

static struct wi_emu_dim dim(const struct wi_emu_core *core, unsigned n) {
    return (struct wi_emu_dim){core->w[AT_DN + n], core->w[AT_DJ + n], core->w[AT_DC + n]};
}

static uint32_t step_dims(struct wi_emu_core *core, const struct uop *u, uint32_t p) {
    struct wi_emu_dim lo = dim(core, u->m), hi = {0, 0, 0};
    uint32_t m = core->w[AT_M + u->m];
    if (u->form == FORM_3D)
        hi = dim(core, u->m + 4u);
    p = u->form == FORM_3D ? wi_emu_step_3d(p, m, &lo, &hi) : wi_emu_step_2d(p, m, &lo);
    land32(core, 1, AT_DC + u->m, lo.count);
    if (u->form == FORM_3D)
        land32(core, 1, AT_DC + u->m + 4u, hi.count);
    return p;
}

/* The effective address; updates the pointer. */
static uint32_t address(struct wi_emu_core *core, const struct uop *u) {
    uint32_t p = core->w[u->p], next;
    switch (u->form) {
    case FORM_OFF:
    case FORM_SP: return (p + (uint32_t)u->imm) & ADDRESS;
    case FORM_IDX: return (p + core->w[u->m]) & ADDRESS;
    case FORM_INC: next = p + (uint32_t)u->imm; break;
    case FORM_POST: next = p + core->w[u->m]; break;
    case FORM_2D:
    case FORM_3D: next = step_dims(core, u, p); break;
    default: return p;
    }
    land32(core, 1, u->p, next & ADDRESS);
    return p;
}

EXEC(padd) {
    address(core, u);
}

/* ------------------------------------------------------------------ loads */

/* Steps from the memory stage to landing. */
static unsigned after_load(const struct uop *u) {
    return u->d_stage - (u->mem_stage - 1u);
}

static void load(struct wi_emu_core *core, const struct uop *u, unsigned size,
                 void (*loaded)(struct wi_emu_core *, const struct uop *, const uint8_t *)) {
    struct access *a = wi_emu_access_load(core, u, u->mem_stage);
    a->address = address(core, u);
    a->size = (uint16_t)size;
    a->loaded = loaded;
}

static void loaded_scalar(struct wi_emu_core *core, const struct uop *u, const uint8_t *m) {
    uint32_t v = 0;
    memcpy(&v, m, u->bits / 8u);
    if (u->sign == SIGN_SIGNED && u->bits < 32)
        v = u->bits == 8 ? (uint32_t)(int8_t)v : (uint32_t)(int16_t)v;
    land32(core, after_load(u), u->d, v & u->keep);
}

static void loaded_vector(struct wi_emu_core *core, const struct uop *u, const uint8_t *m) {
    copy_words(land(core, after_load(u), u->d, u->words)->v, m, u->words);
}

/* The upper half is not defined: it gets what memory has after power-up. */
static void loaded_128(struct wi_emu_core *core, const struct uop *u, const uint8_t *m) {
    struct landing *l = land(core, after_load(u), u->d, 8);
    memcpy(l->v, m, 16);
    wi_emu_poison((uint8_t *)l->v + 16, 16);
}

static void loaded_conv(struct wi_emu_core *core, const struct uop *u, const uint8_t *m) {
    wi_emu_conv_fp32((uint8_t *)land(core, after_load(u), u->d, 16)->v, m);
}

EXEC(load) {
    load(core, u, u->bits / 8u, loaded_scalar);
}

EXEC(load_vector) {
    load(core, u, 4u * u->words, loaded_vector);
}

EXEC(load_128) {
    load(core, u, 16, loaded_128);
}

EXEC(load_conv) {
    load(core, u, 32, loaded_conv);
}

/* Unpacking and up-shifting read their control registers late; from there on a stage s of the load
 * is stage s - mem_stage + 1 of its loading step. */
static struct late *later(struct wi_emu_core *core, const struct uop *u, unsigned stage,
                          const uint8_t *m, void (*exec)(struct wi_emu_core *, struct late *)) {
    struct late *l = wi_emu_late(core, stage - u->mem_stage + 1u, u, exec);
    memcpy(l->x, m, 32);
    return l;
}

static void late_unpack(struct wi_emu_core *core, struct late *l) {
    const struct uop *u = l->u;
    struct landing *d = land(core, u->d_stage - (u->late_stage - 1u), u->d, 16);
    wi_emu_unpack((uint8_t *)d->v, l->x, u->from, sign_of(core, u));
}

static void loaded_unpack(struct wi_emu_core *core, const struct uop *u, const uint8_t *m) {
    later(core, u, u->late_stage, m, late_unpack);
}

EXEC(load_unpack) {
    load(core, u, 32, loaded_unpack);
}

static void late_unpack_register(struct wi_emu_core *core, struct late *l) {
    memcpy(l->x, bytes_at(core, l->u->s), 32);
    late_unpack(core, l);
}

EXEC(unpack) {
    wi_emu_late(core, u->late_stage, u, late_unpack_register);
}

static void late_ups_saturate(struct wi_emu_core *core, struct late *l) {
    const struct uop *u = l->u;
    struct wi_emu_widths w = {(uint8_t)(256 / u->from), u->from, u->bits};
    struct landing *d = land(core, u->d_stage - u->late_stage, u->d, u->words);
    wi_emu_ups_vector((uint8_t *)d->v, l->x, w, (int)l->value[0], core->w[AT_CR + CR_SAT],
                      l->value[1]);
}

/* The shift and the sign are sampled one stage before the saturation mode. */
static void late_ups_shift(struct wi_emu_core *core, struct late *l) {
    uint32_t shift = core->w[l->u->x], sign = sign_of(core, l->u);
    if (shift > 31)
        wi_emu_stop_fault(core, l->u, "a negative shift");
    struct late *next = wi_emu_late(core, 2, l->u, late_ups_saturate);
    memcpy(next->x, l->x, 32);
    next->value[0] = shift & 31;
    next->value[1] = sign;
}

static void loaded_ups(struct wi_emu_core *core, const struct uop *u, const uint8_t *m) {
    later(core, u, u->late_stage, m, late_ups_shift);
}

EXEC(load_ups) {
    load(core, u, 32, loaded_ups);
}

/* Four look-ups of 64 bits; the last one of the list lands the result that the others fill too. */
static void loaded_lut(struct wi_emu_core *core, const struct uop *u, const uint8_t *m) {
    struct step *s = &core->ring[(core->t + after_load(u)) % RING];
    for (unsigned i = 0; i < s->n_vectors; i++)
        if (s->vector[i].at == u->d && s->vector[i].words < 8) {
            memcpy(s->vector[i].v + s->vector[i].words, m, 8);
            s->vector[i].words += 2;
            return;
        }
    memcpy(land(core, after_load(u), u->d, 2)->v, m, 8);
}

EXEC(load_lut) {
    for (unsigned lane = 0; lane < 4; lane++) {
        struct access *a = wi_emu_access_load(core, u, u->mem_stage);
        a->address =
            wi_emu_lut_address(core->w[u->s + lane + (u->op ? 4u : 0)], lane, u->bits) & ADDRESS;
        a->size = 8;
        a->loaded = loaded_lut;
    }
}

/* ------------------------------------------------------------------ stores */

static struct access *store(struct wi_emu_core *core, const struct uop *u, unsigned size) {
    struct access *a = wi_emu_access_store(core, u, u->mem_stage);
    a->address = address(core, u);
    a->size = (uint16_t)size;
    return a;
}

EXEC(store) {
    memcpy(store(core, u, 4)->data, bytes_at(core, u->s), 4);
}

EXEC(store_vector) {
    copy_words(store(core, u, 4u * u->s_words)->data, bytes_at(core, u->s), u->s_words);
}

EXEC(store_conv) {
    unsigned mode = core->w[AT_CR + CR_RND];
    if (!wi_emu_rnd_valid(mode))
        wi_emu_stop_fault(core, u, "crRnd is %u", mode);
    core->kern->conv_bf16(store(core, u, 32)->data, bytes_at(core, u->s), mode);
}

EXEC(store_pack) {
    wi_emu_pack(store(core, u, 32)->data, bytes_at(core, u->s), u->from, core->w[AT_CR + CR_SAT],
                sign_of(core, u));
}

/* sN holds six bits; the datapath has four guard bits for shifts to the left. */
static bool srs_operands(struct wi_emu_core *core, const struct uop *u, int *shift) {
    *shift = (int)(core->w[u->x] ^ 32) - 32;
    unsigned mode = core->w[AT_CR + CR_RND];
    if (*shift < -4)
        wi_emu_stop_fault(core, u, "a shift of %d", *shift);
    else if (!wi_emu_rnd_valid(mode))
        wi_emu_stop_fault(core, u, "crRnd is %u", mode);
    return !core->faulted;
}

static void shift_round(struct wi_emu_core *core, const struct uop *u, uint8_t *d, unsigned lanes) {
    int shift;
    struct wi_emu_widths w = {(uint8_t)lanes, u->from, u->bits};
    if (srs_operands(core, u, &shift))
        wi_emu_srs_vector(d, bytes_at(core, u->s), w, shift, core->w[AT_CR + CR_RND],
                          core->w[AT_CR + CR_SAT], sign_of(core, u));
}

EXEC(store_srs) {
    shift_round(core, u, store(core, u, 32)->data, 256u / u->bits);
}

EXEC(srs) {
    shift_round(core, u, (uint8_t *)land(core, u->d_stage, u->d, u->words)->v,
                32u * u->words / u->bits);
}

/* Part-word stores read memory at stage 5, their data at 7 and write at 11. */
static void late_part_store(struct wi_emu_core *core, struct late *l) {
    const struct uop *u = l->u;
    struct access *a = wi_emu_access_store(core, u, u->store_stage - u->late_stage + 1u);
    a->address = l->value[0];
    a->size = u->bits / 8;
    memcpy(a->data, bytes_at(core, u->s), u->bits / 8u);
}

EXEC(store_part) {
    load(core, u, u->bits / 8u, NULL);
    struct step *s = &core->ring[(core->t + u->mem_stage - 1u) % RING];
    wi_emu_late(core, u->late_stage, u, late_part_store)->value[0] =
        s->load[s->n_loads - 1].address;
}

/* ------------------------------------------------------------------ conversions of the store slot
 */

EXEC(conv_bf16) {
    unsigned mode = core->w[AT_CR + CR_RND];
    if (!wi_emu_rnd_valid(mode))
        wi_emu_stop_fault(core, u, "crRnd is %u", mode);
    core->kern->conv_bf16((uint8_t *)land(core, u->d_stage, u->d, 8)->v, bytes_at(core, u->s),
                          mode);
}

EXEC(floor) {
    wi_emu_floor_vector((uint8_t *)land(core, u->d_stage, u->d, 16)->v, bytes_at(core, u->s),
                        (int)(core->w[u->x] ^ 32) - 32);
}

EXEC(pack) {
    wi_emu_pack((uint8_t *)land(core, u->d_stage, u->d, 8)->v, bytes_at(core, u->s), u->from,
                core->w[AT_CR + CR_SAT], sign_of(core, u));
}

/* Registers by number and by name, and the text of a core's state. */
#include "npu/emu/impl.h"

#include <stdarg.h>
#include <stdio.h>

bool wi_emu_reg_place(unsigned reg, uint16_t *at, uint16_t *words, uint32_t *keep) {
    const struct wi_isa_reg_info *r = wi_isa_reg_info(reg);
    unsigned n = r->number;
    int where;
    switch (r->family) {
    case WI_FAMILY_R: where = AT_R + (int)n; break;
    case WI_FAMILY_L: where = AT_R + 16 + 2 * (int)n; break;
    case WI_FAMILY_P: where = AT_P + (int)n; break;
    case WI_FAMILY_M: where = AT_M + (int)n; break;
    case WI_FAMILY_DN: where = AT_DN + (int)n; break;
    case WI_FAMILY_DJ: where = AT_DJ + (int)n; break;
    case WI_FAMILY_DC: where = AT_DC + (int)n; break;
    case WI_FAMILY_S: where = AT_S + (int)n; break;
    case WI_FAMILY_SP: where = AT_SP; break;
    case WI_FAMILY_LR: where = AT_LR; break;
    case WI_FAMILY_LS: where = AT_LS; break;
    case WI_FAMILY_LE: where = AT_LE; break;
    case WI_FAMILY_LC: where = AT_LC; break;
    case WI_FAMILY_DP: where = AT_DP; break;
    case WI_FAMILY_CORE_ID: where = AT_CORE_ID; break;
    case WI_FAMILY_CR: where = AT_CR + (int)n; break;
    case WI_FAMILY_SR: where = AT_SR + (int)n; break;
    case WI_FAMILY_W: where = AT_X + 8 * (int)n; break;
    case WI_FAMILY_X: where = AT_X + 16 * (int)n; break;
    case WI_FAMILY_Y: where = AT_X + 32 * ((int)n + 2); break;
    case WI_FAMILY_Q: where = AT_Q + 4 * (int)n; break;
    case WI_FAMILY_QX: where = AT_X + 16 * (int)n; break; /* its mask is at AT_Q + 4 * number */
    case WI_FAMILY_AM: where = AT_CM + 8 * (int)n; break;
    case WI_FAMILY_BM: where = AT_CM + 16 * (int)n; break;
    case WI_FAMILY_CM: where = AT_CM + 32 * (int)n; break;
    default: return false;
    }
    unsigned bits = r->family == WI_FAMILY_QX ? 512 : r->bits;
    *at = (uint16_t)where;
    *words = (uint16_t)((bits + 31) / 32);
    *keep = bits >= 32 ? UINT32_MAX : (1u << bits) - 1;
    if (where == AT_CR + CR_RND)
        *keep = 15;
    else if (where == AT_CR + CR_SAT)
        *keep = 3;
    else if (r->family == WI_FAMILY_CR && n != CR_F2F_MASK && n != CR_F2I_MASK && n != CR_FP_MASK)
        *keep = 1;
    return true;
}

static bool find(const char *name, uint16_t *at, uint16_t *words, uint32_t *keep) {
    unsigned reg = wi_isa_reg_find(name, strlen(name));
    return reg != WI_REG_NONE && wi_emu_reg_place(reg, at, words, keep);
}

size_t wi_emu_core_get(const struct wi_emu_core *core, const char *name, uint8_t value[160]) {
    uint16_t at, words;
    uint32_t keep;
    if (!find(name, &at, &words, &keep))
        return 0;
    memcpy(value, &core->w[at], 4u * words);
    return 4u * words;
}

size_t wi_emu_core_set(struct wi_emu_core *core, const char *name, const uint8_t value[160]) {
    uint16_t at, words;
    uint32_t keep;
    if (!find(name, &at, &words, &keep))
        return 0;
    memcpy(&core->w[at], value, 4u * words);
    if (words == 1)
        core->w[at] &= keep;
    return 4u * words;
}

struct text {
    char *buf;
    size_t size, len;
};

static void put(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct text *t, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    bool room = t->len < t->size;
    int n = vsnprintf(room ? t->buf + t->len : NULL, room ? t->size - t->len : 0, format, ap);
    va_end(ap);
    t->len += n > 0 ? (size_t)n : 0;
}

/* The highest word first, as one number. */
static void put_words(struct text *t, const uint32_t *w, unsigned words) {
    for (unsigned i = words; i-- > 0;)
        put(t, "%08x", w[i]);
    put(t, "\n");
}

static bool shown(const struct wi_isa_reg_info *r) {
    switch (r->family) { /* one name for each place */
    case WI_FAMILY_L:
    case WI_FAMILY_W:
    case WI_FAMILY_Y:
    case WI_FAMILY_QX:
    case WI_FAMILY_AM:
    case WI_FAMILY_BM: return false;
    default: return true;
    }
}

/* A bundle issued n steps ago is at stage n + 1 in the step to come. */
static void dump_flights(struct text *t, const struct wi_emu_core *core) {
    unsigned begun = core->begun;
    for (unsigned n = 1; n <= LOADED_AT; n++) {
        const struct flight *f = &core->flights[(core->t - n) % RING];
        unsigned kinds = core->kinds >> KIND_BITS * (n - 1) & ((1u << KIND_BITS) - 1);
        for (unsigned port = 0; port < 2 && n >= LOAD_AT && n + begun <= LOADED_AT; port++)
            if (kinds & (KIND_LOAD_A << port)) {
                put(t, "in %u: word %u ", LOADED_AT - n, f->load[port]->d);
                put_words(t, (const uint32_t *)(const void *)f->data[port], 8);
            }
        if (kinds & KIND_PRODUCT && n + begun >= SUM_AT && n + begun <= SUMMED_AT) {
            put(t, "in %u: word %u ", SUMMED_AT - n, f->product->d);
            put_words(t, f->sum, 16);
        }
    }
}

size_t wi_emu_core_dump(const struct wi_emu_core *core, char *buf, size_t size) {
    struct text t = {buf, size, 0};
    put(&t, "cycle %llu bundle %llu pc 0x%04x\n", (unsigned long long)core->count.cycles,
        (unsigned long long)core->count.bundles, core->pc);
    for (unsigned reg = 1; reg < WI_N_REGS; reg++) {
        const struct wi_isa_reg_info *r = wi_isa_reg_info(reg);
        uint16_t at, words;
        uint32_t keep;
        if (!shown(r) || !wi_emu_reg_place(reg, &at, &words, &keep))
            continue;
        put(&t, "%s ", r->name);
        put_words(&t, &core->w[at], words);
    }
    dump_flights(&t, core);
    for (unsigned i = 0; i < RING; i++) {
        const struct step *s = &core->ring[(core->t + i) % RING];
        for (unsigned k = 0; k < s->n_scalars; k++)
            put(&t, "in %u: word %u %08x\n", i, s->scalar[k].at, s->scalar[k].v);
        for (unsigned k = 0; k < s->n_vectors; k++) {
            put(&t, "in %u: word %u ", i, s->vector[k].at);
            put_words(&t, s->vector[k].v, s->vector[k].words);
        }
    }
    return t.len;
}

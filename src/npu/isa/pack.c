#include "npu/isa/isa.h"

#include <string.h>

/* ------------------------------------------------------------------ fields */

void wi_isa_imm_range(const struct wi_isa_field *f, int64_t *min, int64_t *max) {
    int64_t size = (int64_t)1 << f->width;
    *min = f->sign == 'u' ? 0 : f->sign == 'n' ? -size : -size / 2;
    *max = f->sign == 'u' ? size - 1 : f->sign == 'n' ? -1 : size / 2 - 1;
    *min *= f->scale;
    *max *= f->scale;
}

/* The bits that stand for `value`; false when none do. */
static bool field_code(const struct wi_isa_field *f, int64_t value, uint64_t *code) {
    if (f->class) {
        int c = value > 0 && value < WI_N_REGS ? wi_isa_class_code(f->class, (unsigned)value) : -1;
        *code = (uint64_t)c;
        return c >= 0;
    }
    int64_t min, max;
    wi_isa_imm_range(f, &min, &max);
    *code = (uint64_t)(value / f->scale) & ((1ull << f->width) - 1);
    return value >= min && value <= max && value % f->scale == 0;
}

bool wi_isa_fits(unsigned id, unsigned i, int64_t value) {
    const struct wi_isa_info *info = wi_isa_info(id);
    uint64_t code;
    return info && i < info->n_fields && field_code(&info->field[i], value, &code);
}

static uint64_t spread(const struct wi_isa_field *f, uint64_t code) {
    uint64_t word = 0;
    for (int i = f->n_pieces - 1; i >= 0; i--) {
        word |= (code & ((1ull << f->piece[i].width) - 1)) << f->piece[i].lsb;
        code >>= f->piece[i].width;
    }
    return word;
}

static bool pack_word(const struct wi_isa_op *op, enum wi_slot slot, uint64_t *word) {
    const struct wi_isa_info *info = wi_isa_info(op->id);
    uint64_t code;
    if (op->id == WI_OP_NOP) {
        *word = wi_isa_slot_info(slot)->nop_word;
        return true;
    }
    if (!info || info->slot != slot)
        return false;
    *word = info->value;
    for (int i = 0; i < info->n_fields; i++) {
        if (!field_code(&info->field[i], op->v[i], &code))
            return false;
        *word |= spread(&info->field[i], code);
    }
    return true;
}

/* ------------------------------------------------------------------ bundles */

int wi_isa_format_exact(unsigned slots) {
    for (unsigned i = 0; i < WI_N_FORMATS; i++)
        if (wi_isa_format_info(i)->slots == slots)
            return (int)i;
    return -1;
}

int wi_isa_format_for(unsigned slots, int min_bytes) {
    for (unsigned i = 0; i < WI_N_FORMATS; i++) { /* in the order of size */
        const struct wi_isa_format_info *f = wi_isa_format_info(i);
        if (f->bytes >= min_bytes && (slots & ~f->slots) == 0)
            return (int)i;
    }
    return -1;
}

static void or_bits(uint8_t *bytes, unsigned lsb, uint64_t word) {
    for (word <<= lsb % 8, bytes += lsb / 8; word; word >>= 8)
        *bytes++ |= (uint8_t)word;
}

int wi_isa_pack(const struct wi_isa_bundle *b, uint8_t out[WI_ISA_MAX_BYTES]) {
    const struct wi_isa_format_info *f = wi_isa_format_info(b->format);
    uint64_t word;
    if (!f)
        return 0;
    memset(out, 0, WI_ISA_MAX_BYTES);
    or_bits(out, 0, f->value);
    for (unsigned slot = 0; slot < WI_N_SLOTS; slot++) {
        bool there = f->slots >> slot & 1;
        if (!there && b->op[slot].id != WI_OP_NOP)
            return 0;
        if (there && !pack_word(&b->op[slot], (enum wi_slot)slot, &word))
            return 0;
        if (there)
            or_bits(out, f->lsb[slot], word);
    }
    return f->bytes;
}

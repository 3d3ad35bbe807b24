#include "npu/isa/isa.h"

#include <string.h>

#include "npu/isa/tables.h"

int wi_isa_size(uint8_t first_byte) {
    static const uint8_t sizes[16] = {16, 2, 16, 8, 16, 6, 16, 12, 16, 4, 16, 10, 16, 6, 16, 14};
    return sizes[first_byte & 15];
}

/* ------------------------------------------------------------------ slot words */

static uint32_t field_bits(const struct wi_isa_field *f, uint64_t word) {
    uint64_t bits = 0;
    for (int i = 0; i < f->n_pieces; i++)
        bits = bits << f->piece[i].width |
               (word >> f->piece[i].lsb & ((1ull << f->piece[i].width) - 1));
    return (uint32_t)bits;
}

/* The value of a field; false when its code is no register of its class. */
static bool unpack_field(const struct wi_isa_field *f, uint64_t word, int32_t *value) {
    uint32_t bits = field_bits(f, word);
    if (f->class) {
        *value = (int32_t)wi_isa_class_reg(f->class, bits);
        return *value != WI_REG_NONE;
    }
    int64_t n = bits;
    if (f->sign == 'n' || (f->sign == 's' && bits >> (f->width - 1)))
        n -= (int64_t)1 << f->width;
    *value = (int32_t)(n * f->scale);
    return true;
}

static bool unpack_as(struct wi_isa_op *op, const struct wi_isa_info *info, uint64_t word) {
    memset(op, 0, sizeof *op);
    for (int i = 0; i < info->n_fields; i++)
        if (!unpack_field(&info->field[i], word, &op->v[i]))
            return false;
    return true;
}

/* Decode the word of a slot.  Patterns overlap: the one with most fixed bits whose registers exist
 * is meant. */
static bool unpack_word(struct wi_isa_op *op, enum wi_slot slot, uint64_t word, bool *stray) {
    if (word == wi_isa_slot_info(slot)->nop_word)
        return true;
    int n;
    const uint16_t *candidate = wi_isa_candidates(slot, word, &n);
    for (int i = 0; i < n; i++) {
        const struct wi_isa_info *info = wi_isa_info(candidate[i]);
        if ((word & info->mask) != info->value || !unpack_as(op, info, word))
            continue;
        op->id = candidate[i];
        *stray = *stray || (word & info->ignored);
        return true;
    }
    return false;
}

/* ------------------------------------------------------------------ bundles */

/* `width` <= 42 bits from bit `lsb` of a buffer with 8 bytes to spare. */
static uint64_t bits_at(const uint8_t *bytes, unsigned lsb, unsigned width) {
    uint64_t word = 0;
    for (unsigned i = 8; i-- > 0;)
        word = word << 8 | bytes[lsb / 8 + i];
    return word >> lsb % 8 & ((1ull << width) - 1);
}

static int find_format(int size, uint64_t low) {
    for (unsigned i = 0; i < WI_N_FORMATS; i++) {
        const struct wi_isa_format_info *f = wi_isa_format_info(i);
        if (f->bytes == size && (low & f->mask) == f->value)
            return (int)i;
    }
    return -1;
}

int wi_isa_unpack(struct wi_isa_bundle *out, const uint8_t *bytes, size_t n) {
    uint8_t padded[WI_ISA_MAX_BYTES + 8] = {0};
    memset(out, 0, sizeof *out);
    if (n == 0)
        return WI_ISA_TRUNCATED;
    int size = wi_isa_size(bytes[0]);
    out->size = (uint8_t)size;
    if (n < (size_t)size)
        return WI_ISA_TRUNCATED;
    memcpy(padded, bytes, (size_t)size);
    uint64_t low = bits_at(padded, 0, 32) | bits_at(padded, 32, 32) << 32;
    uint64_t high = bits_at(padded, 64, 32) | bits_at(padded, 96, 32) << 32;
    int format = find_format(size, low);
    if (format < 0)
        return WI_ISA_UNKNOWN;
    const struct wi_isa_format_info *f = wi_isa_format_info((unsigned)format);
    out->format = (uint8_t)format;
    out->stray = (low & f->filler[0]) || (high & f->filler[1]);
    for (int i = 0; i < f->n_slots; i++) {
        enum wi_slot slot = f->order[i];
        uint64_t word = bits_at(padded, f->lsb[slot], wi_isa_slot_info(slot)->bits);
        if (!unpack_word(&out->op[slot], slot, word, &out->stray))
            return WI_ISA_UNKNOWN;
    }
    return size;
}

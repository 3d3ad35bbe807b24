/* Looks for NaN and infinity: every weight is tested when a model is opened, so this runs at memory
 * speed. */
#include <string.h>

#include "model/reader.h"

/* Floats in 64-bit words: with the exponent masked, adding one unit of the exponent's lowest bit
 * carries into the sign bit only if all exponent bits were set. */
struct exponent {
    uint64_t mask, unit, carry;
};
static const struct exponent f32 = {0x7f8000007f800000u, 0x0080000000800000u, 0x8000000080000000u};
static const struct exponent f16 = {0x7c007c007c007c00u, 0x0400040004000400u, 0x8000800080008000u};
static const struct exponent bf16 = {0x7f807f807f807f80u, 0x0080008000800080u, 0x8000800080008000u};

static bool word_is_finite(const struct exponent *e, uint64_t word) {
    return (((word & e->mask) + e->unit) & e->carry) == 0;
}

/* Whole words only, `n` of them. */
static bool words_are_finite(const struct exponent *e, const uint8_t *data, size_t n) {
    const uint64_t mask = e->mask, unit = e->unit;
    uint64_t any = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t word;
        memcpy(&word, data + 8 * i, sizeof word);
        any |= (word & mask) + unit;
    }
    return (any & e->carry) == 0;
}

/* First non-finite value of `n`, -1 if none. */
static int64_t find_float(const struct exponent *e, size_t size, const uint8_t *data, size_t n) {
    enum { CHUNK = 4096 };
    size_t bytes = n * size, at = 0;
    for (; at + CHUNK <= bytes; at += CHUNK)
        if (!words_are_finite(e, data + at, CHUNK / 8))
            break;
    for (; at < bytes; at += size) {
        uint64_t word = 0;
        memcpy(&word, data + at, size);
        if (!word_is_finite(e, word))
            return (int64_t)(at / size);
    }
    return -1;
}

/* First block with a non-finite scale or minimum, as the index of its first value. */
static int64_t find_scale(const uint8_t *data, size_t bytes, size_t block_bytes, bool minimum) {
    for (size_t at = 0; at < bytes; at += block_bytes) {
        uint64_t word = 0;
        memcpy(&word, data + at, minimum ? 4 : 2);
        if (!word_is_finite(&f16, word))
            return (int64_t)(at / block_bytes * 32);
    }
    return -1;
}

int64_t wi_tensor_find_nonfinite(const struct wi_tensor *t) {
    switch (t->type) {
    case WI_F32: return find_float(&f32, 4, t->data, t->bytes / 4);
    case WI_F16: return find_float(&f16, 2, t->data, t->bytes / 2);
    case WI_BF16: return find_float(&bf16, 2, t->data, t->bytes / 2);
    case WI_Q4_1:
    case WI_Q5_1: return find_scale(t->data, t->bytes, wi_dtype_block_bytes(t->type), true);
    default: return find_scale(t->data, t->bytes, wi_dtype_block_bytes(t->type), false);
    }
}

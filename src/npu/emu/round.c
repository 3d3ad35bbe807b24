/* Rounding, saturation and the conversions built on them: SRS, UPS, pack, unpack, bf16. */
#include "npu/emu/value.h"

#include <string.h>

bool wi_emu_rnd_valid(unsigned mode) {
    return mode <= WI_EMU_RND_SYM_CEIL ||
           (mode >= WI_EMU_RND_NEG_INF && mode <= WI_EMU_RND_CONV_ODD);
}

/* The two number formats differ only in what the sign says about the direction. */
static bool increments(unsigned mode, bool direction, bool lsb, bool guard, bool sticky) {
    bool nearest = mode >= WI_EMU_RND_NEG_INF;
    bool convergent = mode == WI_EMU_RND_CONV_EVEN || mode == WI_EMU_RND_CONV_ODD;
    bool other = mode & 1; /* ceil, sym ceil, pos inf, sym inf, conv odd */
    bool det = (convergent ? lsb : direction) != other;
    return nearest ? guard && (det || sticky) : det && (guard || sticky);
}

static bool symmetric(unsigned mode) {
    return mode == WI_EMU_RND_SYM_FLOOR || mode == WI_EMU_RND_SYM_CEIL ||
           mode == WI_EMU_RND_SYM_ZERO || mode == WI_EMU_RND_SYM_INF;
}

bool wi_emu_round_up(unsigned mode, bool negative, bool lsb, bool guard, bool sticky) {
    return increments(mode, symmetric(mode) && negative, lsb, guard, sticky);
}

bool wi_emu_round_up_magnitude(unsigned mode, bool negative, bool lsb, bool guard, bool sticky) {
    return increments(mode, !symmetric(mode) && negative, lsb, guard, sticky);
}

struct wi_emu_range wi_emu_range(unsigned bits, bool is_signed, bool symmetric_range) {
    if (!is_signed)
        return (struct wi_emu_range){0, (int64_t)((UINT64_C(1) << bits) - 1)};
    int64_t max = (int64_t)((UINT64_C(1) << (bits - 1)) - 1);
    return (struct wi_emu_range){symmetric_range ? -max : -max - 1, max};
}

static int64_t clamp(int64_t v, struct wi_emu_range r) {
    return v < r.min ? r.min : v > r.max ? r.max : v;
}

static int64_t wrap(int64_t v, unsigned bits, bool is_signed) {
    uint64_t up = (uint64_t)v << (64 - bits);
    return is_signed ? (int64_t)up >> (64 - bits) : (int64_t)(up >> (64 - bits));
}

/* value >> shift, rounded; shift 0..63. */
static int64_t shift_round(int64_t value, unsigned shift, unsigned mode) {
    if (shift == 0)
        return value;
    int64_t kept = value >> shift;
    uint64_t lost = (uint64_t)value << (64 - shift);
    bool guard = lost >> 63, sticky = lost << 1;
    return kept + wi_emu_round_up(mode, value < 0, kept & 1, guard, sticky);
}

int64_t wi_emu_srs(int64_t value, int shift, unsigned mode, unsigned sat, bool is_signed,
                   unsigned out_bits) {
    struct wi_emu_range range = wi_emu_range(out_bits, is_signed, sat & 2);
    if (shift < 0) {
        /* The four guard bits of the datapath: nothing is lost and nothing overflows before
         * saturation. */
        int64_t far = INT64_MAX >> -shift;
        if ((sat & 1) && (value > far || value < -far))
            return value < 0 ? range.min : range.max;
        value = (int64_t)((uint64_t)value << -shift);
    } else {
        value = shift_round(value, (unsigned)shift, mode);
    }
    return sat & 1 ? clamp(value, range) : wrap(value, out_bits, is_signed);
}

static int64_t load_lane(const uint8_t *v, unsigned lane, unsigned bits, bool is_signed) {
    uint64_t raw = 0;
    if (bits == 4)
        raw = v[lane / 2] >> (lane % 2 * 4) & 15;
    else
        memcpy(&raw, v + lane * bits / 8, bits / 8);
    return bits == 64 ? (int64_t)raw : wrap((int64_t)raw, bits, is_signed);
}

/* 4-bit lanes are stored in order, the low nibble first. */
static void store_lane(uint8_t *v, unsigned lane, unsigned bits, int64_t value) {
    if (bits > 4)
        memcpy(v + lane * bits / 8, &value, bits / 8);
    else if (lane % 2)
        v[lane / 2] = (uint8_t)((v[lane / 2] & 15) | (value & 15) << 4);
    else
        v[lane / 2] = (uint8_t)(value & 15);
}

void wi_emu_srs_vector(uint8_t *d, const uint8_t *acc, struct wi_emu_widths w, int shift,
                       unsigned mode, unsigned sat, bool is_signed) {
    uint8_t out[64];
    for (unsigned i = 0; i < w.lanes; i++)
        store_lane(out, i, w.to,
                   wi_emu_srs(load_lane(acc, i, w.from, true), shift, mode, sat, is_signed, w.to));
    memcpy(d, out, w.lanes * w.to / 8u);
}

/* Lanes of an accumulator are signed, so the result saturates to their signed range. */
static int64_t ups(int64_t value, int shift, unsigned sat, unsigned out_bits) {
    struct wi_emu_range range = wi_emu_range(out_bits, true, sat & 2);
    int64_t far_max = range.max >> shift, far_min = -far_max - 1;
    if ((sat & 1) && (value > far_max || value < far_min))
        return value < 0 ? range.min : range.max;
    int64_t v = (int64_t)((uint64_t)value << shift);
    return sat & 1 ? clamp(v, range) : v;
}

void wi_emu_ups_vector(uint8_t *acc, const uint8_t *s, struct wi_emu_widths w, int shift,
                       unsigned sat, bool is_signed) {
    uint8_t in[64];
    memcpy(in, s, w.lanes * w.from / 8u);
    for (unsigned i = 0; i < w.lanes; i++)
        store_lane(acc, i, w.to, ups(load_lane(in, i, w.from, is_signed), shift, sat, w.to));
}

void wi_emu_pack(uint8_t d[32], const uint8_t s[64], unsigned in_bits, unsigned sat,
                 bool is_signed) {
    uint8_t out[32];
    struct wi_emu_range range = wi_emu_range(in_bits / 2, is_signed, sat & 2);
    for (unsigned i = 0; i < 512 / in_bits; i++) {
        int64_t v = load_lane(s, i, in_bits, is_signed);
        store_lane(out, i, in_bits / 2, sat & 1 ? clamp(v, range) : v);
    }
    memcpy(d, out, sizeof out);
}

void wi_emu_unpack(uint8_t d[64], const uint8_t s[32], unsigned in_bits, bool is_signed) {
    uint8_t in[32];
    memcpy(in, s, sizeof in);
    for (unsigned i = 0; i < 256 / in_bits; i++)
        store_lane(d, i, in_bits * 2, load_lane(in, i, in_bits, is_signed));
}

uint16_t wi_emu_bf16_from_fp32(uint32_t f, unsigned mode) {
    uint32_t kept = f >> 16, magnitude = f & 0x7fffffff;
    if (magnitude > 0x7f800000) /* NaN: kept, with a payload bit if the upper ones are all 0 */
        return (uint16_t)(kept & 0x7f ? kept : kept | 1);
    bool up = wi_emu_round_up_magnitude(mode, f >> 31, kept & 1, f >> 15 & 1, f & 0x7fff);
    return (uint16_t)(kept + up); /* a carry out of the mantissa may reach infinity */
}

void wi_emu_conv_bf16(uint8_t d[32], const uint8_t s[64], unsigned mode) {
    uint32_t in[16];
    uint16_t out[16];
    memcpy(in, s, sizeof in);
    for (int i = 0; i < 16; i++)
        out[i] = wi_emu_bf16_from_fp32(in[i], mode);
    memcpy(d, out, sizeof out);
}

void wi_emu_conv_fp32(uint8_t d[64], const uint8_t s[32]) {
    uint16_t in[16];
    uint32_t out[16];
    memcpy(in, s, sizeof in);
    for (int i = 0; i < 16; i++)
        out[i] = (uint32_t)in[i] << 16;
    memcpy(d, out, sizeof out);
}

int32_t wi_emu_floor_bf16(uint16_t v, int shift) {
    int exponent = v >> 7 & 0xff;
    int64_t mantissa = (v & 0x7f) | (exponent ? 0x80 : 0);
    bool negative = v >> 15;
    if (exponent == 255 && (v & 0x7f))
        return INT32_MAX;
    int at = (exponent ? exponent : 1) - 127 - 7 + shift; /* |v| 2^shift = mantissa 2^at */
    if (mantissa && at > 31)
        return negative ? INT32_MIN : INT32_MAX;
    if (negative)
        mantissa = -mantissa;
    int64_t r = at >= 0 ? mantissa * (INT64_C(1) << at) : mantissa >> (at < -63 ? 63 : -at);
    return (int32_t)clamp(r, wi_emu_range(32, true, false));
}

void wi_emu_floor_vector(uint8_t d[64], const uint8_t s[32], int shift) {
    uint16_t in[16];
    int32_t out[16];
    memcpy(in, s, sizeof in);
    for (int i = 0; i < 16; i++)
        out[i] = wi_emu_floor_bf16(in[i], shift);
    memcpy(d, out, sizeof out);
}

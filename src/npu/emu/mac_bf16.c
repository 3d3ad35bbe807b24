/* Floating-point arithmetic of the vector unit in integers: every term is aligned to the largest
 * exponent with one rounding of its own, the terms are added exactly and the sum is rounded once.
 * All roundings are to nearest, ties to even, at 2^-23 of the largest exponent's binade. */
#include "npu/emu/value.h"

#include <string.h>

enum {
    WIDTH = 23,
    ACC_BIAS = 128
}; /* fraction bits; how an fp32 exponent relates to a product's */

struct term { /* +-mantissa * 2^(exponent - constant); exponent 0 and mantissa 0: zero */
    int64_t mantissa;
    int exponent;
};

struct specials {
    bool nan, plus_inf, minus_inf;
};

/* value / 2^by, to nearest even; value >= 0. */
static int64_t shift_even(int64_t value, int by) {
    if (by <= 0)
        return value;
    if (by > 40)
        return 0;
    int64_t kept = value >> by, lost = value & ((INT64_C(1) << by) - 1),
            half = INT64_C(1) << (by - 1);
    return kept + (lost > half || (lost == half && (kept & 1)));
}

static void note_infinity(struct specials *s, bool negative) {
    if (negative)
        s->minus_inf = true;
    else
        s->plus_inf = true;
}

static struct term product(uint16_t a, uint16_t b, struct specials *s) {
    int ea = a >> 7 & 0xff, eb = b >> 7 & 0xff, ma = a & 0x7f, mb = b & 0x7f;
    bool zero = !(a & 0x7fff) || !(b & 0x7fff), negative = (a ^ b) >> 15;
    if ((ea == 255 && ma) || (eb == 255 && mb) || ((ea == 255 || eb == 255) && zero))
        s->nan = true;
    else if (ea == 255 || eb == 255)
        note_infinity(s, negative);
    if (zero)
        return (struct term){0, 0};
    int64_t m = (int64_t)(ma | (ea ? 0x80 : 0)) * (mb | (eb ? 0x80 : 0));
    return (struct term){(negative ? -m : m) * 512, (ea ? ea : 1) + (eb ? eb : 1) + 1};
}

static struct term accumulator(uint32_t q, struct specials *s) {
    int e = q >> 23 & 0xff;
    int64_t m = q & 0x7fffff;
    if (e == 255 && m)
        s->nan = true;
    else if (e == 255)
        note_infinity(s, q >> 31);
    if (e == 0 && m == 0)
        return (struct term){0, 0};
    m |= e ? 0x800000 : 0;
    return (struct term){q >> 31 ? -m : m, (e ? e : 1) + ACC_BIAS};
}

struct sum { /* sign, unbiased-by-nothing fp32 exponent (may be out of range) and 23 fraction bits
              */
    bool negative, zero;
    int exponent;
    uint32_t fraction;
};

static struct sum add_terms(const struct term *t, unsigned n) {
    int top = 0;
    int64_t total = 0;
    for (unsigned i = 0; i < n; i++)
        top = t[i].exponent > top ? t[i].exponent : top;
    for (unsigned i = 0; i < n; i++) {
        int64_t m = t[i].mantissa;
        int64_t aligned = shift_even(m < 0 ? -m : m, top - t[i].exponent);
        total += m < 0 ? -aligned : aligned;
    }
    if (total == 0)
        return (struct sum){.zero = true};
    uint64_t magnitude = (uint64_t)(total < 0 ? -total : total);
    int lead = 63 - __builtin_clzll(magnitude), exponent = top - ACC_BIAS + lead - WIDTH;
    int64_t m = lead > WIDTH ? shift_even((int64_t)magnitude, lead - WIDTH)
                             : (int64_t)(magnitude << (WIDTH - lead));
    if (m >> (WIDTH + 1)) /* rounded up to the next power of two; the fraction is 0 */
        exponent++;
    return (struct sum){total < 0, false, exponent, (uint32_t)m & 0x7fffff};
}

static uint32_t fp32(bool negative, uint32_t exponent, uint32_t fraction) {
    return (uint32_t)negative << 31 | exponent << 23 | fraction;
}

static bool overflows(struct sum s) {
    return !s.zero && s.exponent >= 255;
}

/* `payload`: a NaN shows the bits of the sum. */
static uint32_t finish(struct sum s, struct specials special, bool payload, bool keep_sign) {
    bool tiny = !s.zero && s.exponent <= 0;
    if (special.nan)
        return fp32(s.negative, 255, (payload && !overflows(s) ? s.fraction : 0) | 1);
    if (special.plus_inf || special.minus_inf)
        return fp32(special.minus_inf, 255, 0);
    if (overflows(s))
        return fp32(s.negative, 255, 0);
    if (s.zero || tiny)
        return fp32(tiny && keep_sign && s.negative, 0, 0);
    return fp32(s.negative, (uint32_t)s.exponent, s.fraction);
}

uint32_t wi_emu_mac_lane(unsigned n, const uint16_t *a, const uint16_t *b, unsigned n_acc,
                         const uint32_t *acc) {
    struct term t[18];
    struct specials of_products = {false, false, false};
    bool all_zero = true;
    for (unsigned i = 0; i < n; i++) {
        t[i] = product(a[i], b[i], &of_products);
        all_zero = all_zero && t[i].mantissa == 0;
    }
    struct specials s = of_products;
    for (unsigned i = 0; i < n_acc; i++)
        t[n + i] = accumulator(acc[i], &s);
    bool only_acc =
        n_acc == 1 && all_zero && !of_products.nan && (acc[0] & 0x7fffffff) > 0x7f800000;
    if (only_acc)
        return acc[0];
    s.nan = s.nan || (s.plus_inf && s.minus_inf);
    return finish(add_terms(t, n + n_acc), s, true, false);
}

uint32_t wi_emu_fp32_add(uint32_t a, uint32_t b) {
    struct specials s = {false, false, false};
    struct term t[2] = {accumulator(a, &s), accumulator(b, &s)};
    bool operand_nan = s.nan;
    s.nan = s.nan || (s.plus_inf && s.minus_inf);
    return finish(add_terms(t, 2), s, operand_nan, true);
}

uint32_t wi_emu_fp32_neg(uint32_t a) {
    uint32_t magnitude = a & 0x7fffffff;
    if (magnitude > 0x7f800000)
        return 0x7f800001;
    return (~a & 0x80000000) | (magnitude < 0x00800000 ? 0 : magnitude);
}

static unsigned accumulators(uint32_t acc[2], const struct wi_emu_fmac *f, int lane) {
    unsigned n = 0;
    if (f->acc1)
        acc[n++] = f->acc1[lane] ^ (f->neg_acc1 ? 0x80000000u : 0);
    if (f->acc2)
        acc[n++] = f->acc2[lane] ^ (f->neg_acc2 ? 0x80000000u : 0);
    return n;
}

static void fmac_portable(uint32_t d[16], const struct wi_emu_fmac *f) {
    uint32_t out[16];
    for (int lane = 0; lane < 16; lane++) {
        uint16_t a[8], b[8];
        uint32_t acc[2];
        unsigned n = f->elementwise ? 2 : 8;
        for (unsigned k = 0; k < n; k++) {
            unsigned xi = f->elementwise ? (unsigned)lane + 16 * k : (unsigned)lane / 4 * 8 + k;
            unsigned yi = f->elementwise ? xi : k * 4 + (unsigned)lane % 4;
            a[k] = f->x[xi];
            b[k] = (uint16_t)(f->y[yi] ^ (f->neg_mul ? 0x8000 : 0));
        }
        unsigned n_acc = accumulators(acc, f, lane);
        out[lane] = wi_emu_mac_lane(n, a, b, n_acc, acc);
    }
    memcpy(d, out, sizeof out);
}

void wi_emu_fmac_sparse(uint32_t d[16], const struct wi_emu_fmac *f, const uint8_t mask[16]) {
    static const struct wi_emu_shape shape = {.y_bits = 16, .inner = 16, .cols = 4};
    int8_t dense[32];
    uint32_t out[16];
    wi_emu_sparse_select(&shape, dense, mask);
    for (int lane = 0; lane < 16; lane++) {
        uint16_t a[8], b[8];
        uint32_t acc[2];
        unsigned n = 0;
        for (int q = 0; q < 8; q++) {
            int at = q * 4 + lane % 4;
            if (dense[at] < 0)
                continue;
            a[n] = f->x[lane / 4 * 16 + dense[at]];
            b[n++] = (uint16_t)(f->y[at] ^ (f->neg_mul ? 0x8000 : 0));
        }
        unsigned n_acc = accumulators(acc, f, lane);
        out[lane] = wi_emu_mac_lane(n, a, b, n_acc, acc);
    }
    memcpy(d, out, sizeof out);
}

static void fadd_portable(uint32_t d[16], const uint32_t a[16], const uint32_t b[16], bool neg_a,
                          bool neg_b) {
    for (int i = 0; i < 16; i++)
        d[i] = wi_emu_fp32_add(a[i] ^ (neg_a ? 0x80000000u : 0), b[i] ^ (neg_b ? 0x80000000u : 0));
}

static void permute_portable(uint8_t d[64], const uint8_t s1[64], const uint8_t s2[64],
                             const uint8_t from[64]) {
    uint8_t both[128], out[64];
    memcpy(both, s1, 64);
    memcpy(both + 64, s2, 64);
    for (int i = 0; i < 64; i++)
        out[i] = both[from[i]];
    memcpy(d, out, 64);
}

const struct wi_emu_kern wi_emu_kern_portable = {
    .name = "portable",
    .fmac = fmac_portable,
    .fadd = fadd_portable,
    .permute = permute_portable,
    .conv_bf16 = wi_emu_conv_bf16,
};

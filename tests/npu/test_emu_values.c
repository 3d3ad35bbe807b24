/* The emulator's arithmetic against plain formulas that are written another way: exact integers
 * (__int128), doubles, loops over single lanes; and facts of the documents as literals. */
#include "unit/suite.h"

#include <math.h>
#include <string.h>

#include "cpu/levels.h"
#include "npu/emu/value.h"

static uint64_t seed = 0x243f6a8885a308d3u;

static uint32_t rnd(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 16);
}

static void random_bytes(void *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)p)[i] = (uint8_t)rnd();
}

static const unsigned modes[] = {0, 1, 2, 3, 8, 9, 10, 11, 12, 13};
enum { MODES = sizeof modes / sizeof *modes };

/* ------------------------------------------------------------------ rounding */

/* n / 2^s in the words of the table: floor, ceil, toward and away from zero; nearest with ties to
 * -inf, +inf, zero, away, even, odd. */
static __int128 divide(__int128 n, int s, unsigned mode) {
    __int128 d = (__int128)1 << s, q = n / d, r = n % d;
    if (r < 0) { /* q = floor */
        r += d;
        q--;
    }
    if (r == 0)
        return q;
    bool tie = 2 * r == d, over = 2 * r > d;
    switch (mode) {
    case 0: return q;
    case 1: return q + 1;
    case 2: return n < 0 ? q + 1 : q;
    case 3: return n < 0 ? q : q + 1;
    case 8: return q + over;
    case 9: return q + (over || tie);
    case 10: return q + (over || (tie && n < 0));
    case 11: return q + (over || (tie && n > 0));
    case 12: return q + (over || (tie && q % 2 != 0));
    default: return q + (over || (tie && q % 2 == 0));
    }
}

static void srs_against_division(void **state) {
    (void)state;
    for (int i = 0; i < 400000; i++) {
        int64_t v = (int64_t)((uint64_t)rnd() << 32 | rnd()) >> rnd() % 64;
        int shift = (int)(rnd() % 36) - 4;
        if (rnd() % 3 == 0 && shift > 0)
            v = (int64_t)((uint64_t)v << shift) | INT64_C(1) << (shift - 1); /* ties */
        unsigned mode = modes[rnd() % MODES], sat = rnd() % 4, bits = 8u << rnd() % 3;
        bool is_signed = rnd() % 2;
        __int128 q = shift < 0 ? (__int128)v * (1 << -shift) : divide(v, shift, mode);
        __int128 max = ((__int128)1 << (is_signed ? bits - 1 : bits)) - 1;
        __int128 min = !is_signed ? 0 : sat & 2 ? -max : -max - 1;
        if (sat & 1)
            q = q > max ? max : q < min ? min : q;
        uint64_t got = (uint64_t)wi_emu_srs(v, shift, mode, sat, is_signed, bits);
        uint64_t mask = (UINT64_C(1) << bits) - 1;
        if ((got & mask) != ((uint64_t)q & mask))
            fail_msg("srs(%lld, %d) mode %u sat %u signed %d bits %u", (long long)v, shift, mode,
                     sat, is_signed, bits);
    }
}

static double bf16_value(uint16_t v) {
    uint32_t bits = (uint32_t)v << 16;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

static double fp32_value(uint32_t bits) {
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

static uint32_t fp32_bits(float f) {
    uint32_t bits;
    memcpy(&bits, &f, 4);
    return bits;
}

/* Conversion picks one of the two bf16 around a value; which one is told by their distances. */
static void bf16_conversion_in_every_mode(void **state) {
    (void)state;
    for (int i = 0; i < 300000; i++) {
        uint32_t f = rnd();
        if (rnd() % 4 == 0)
            f = (f & 0xffff0000) | 0x8000;
        if (rnd() % 4 == 0)
            f &= 0x80ffffff; /* small and subnormal */
        if ((f & 0x7fffffff) >= 0x7f7f0000)
            continue;
        uint16_t inner = (uint16_t)(f >> 16),
                 outer = (uint16_t)(inner + 1); /* toward and away from zero */
        double v = fp32_value(f), a = fabs(bf16_value(inner) - v), b = fabs(bf16_value(outer) - v);
        bool negative = f >> 31, exact = (f & 0xffff) == 0;
        for (int m = 0; m < MODES; m++) {
            uint16_t down = negative ? outer : inner, up = negative ? inner : outer, expect = inner;
            uint16_t nearest = a < b ? inner : outer, even = inner & 1 ? outer : inner,
                     odd = inner & 1 ? inner : outer;
            uint16_t ties[] = {down, up, inner, outer, even, odd},
                     directed[] = {down, up, inner, outer};
            if (!exact)
                expect = modes[m] < 8 ? directed[modes[m]] : a == b ? ties[modes[m] - 8] : nearest;
            if (wi_emu_bf16_from_fp32(f, modes[m]) != expect)
                fail_msg("0x%08x in mode %u: 0x%04x", f, modes[m],
                         wi_emu_bf16_from_fp32(f, modes[m]));
        }
    }
    /* recorded facts: infinities are exact, NaNs stay NaNs, the magnitude's carry reaches infinity
     */
    assert_int_equal(wi_emu_bf16_from_fp32(0x7f800000, 0), 0x7f80);
    assert_int_equal(wi_emu_bf16_from_fp32(0xff800000, 12), 0xff80);
    assert_int_equal(wi_emu_bf16_from_fp32(0x7f800001, 0), 0x7f81);
    assert_int_equal(wi_emu_bf16_from_fp32(0xffc01234, 0), 0xffc0);
    assert_int_equal(wi_emu_bf16_from_fp32(0x7f7fffff, 12), 0x7f80);
    assert_int_equal(wi_emu_bf16_from_fp32(0xbf800001, 0),
                     0xbf81); /* floor of a negative value: away from zero */
}

static void floor_of_bf16(void **state) {
    (void)state;
    for (unsigned v = 0; v < 65536; v++)
        for (int shift = -32; shift < 32; shift++) {
            double x = bf16_value((uint16_t)v), y = floor(ldexp(x, shift));
            int32_t expect = isnan(x)       ? INT32_MAX
                             : y >= 0x1p31  ? INT32_MAX
                             : y <= -0x1p31 ? INT32_MIN
                                            : (int32_t)y;
            if (wi_emu_floor_bf16((uint16_t)v, shift) != expect)
                fail_msg("0x%04x * 2^%d: %d, not %d", v, shift,
                         wi_emu_floor_bf16((uint16_t)v, shift), expect);
        }
    assert_int_equal(wi_emu_floor_bf16(0x8001, 0), -1); /* a negative subnormal */
}

static void ups_and_back(void **state) {
    (void)state;
    static const struct wi_emu_widths widths[] = {
        {16, 16, 32}, {32, 8, 32}, {16, 16, 64}, {8, 32, 64}, {32, 16, 32}};
    for (int i = 0; i < 20000; i++) {
        struct wi_emu_widths w = widths[rnd() % 5];
        uint8_t s[64], acc[128], back[64];
        int shift = (int)(rnd() % 32);
        bool is_signed = rnd() % 2;
        random_bytes(s, sizeof s);
        wi_emu_ups_vector(acc, s, w, shift, 1, is_signed);
        for (unsigned k = 0; k < w.lanes; k++) {
            int64_t v = 0, r = 0;
            memcpy(&v, s + k * w.from / 8, w.from / 8);
            if (is_signed)
                v = (int64_t)((uint64_t)v << (64 - w.from)) >> (64 - w.from);
            memcpy(&r, acc + k * w.to / 8, w.to / 8);
            __int128 e = (__int128)v * ((__int128)1 << shift), max = ((__int128)1 << (w.to - 1)) - 1;
            e = e > max ? max : e < -max - 1 ? -max - 1 : e;
            if (w.to == 32)
                r = (int32_t)r;
            assert_true(r == (int64_t)e);
        }
        if (shift < 8 && is_signed) {
            struct wi_emu_widths down = {w.lanes, w.to, w.from};
            wi_emu_srs_vector(back, acc, down, shift, 0, 0, true);
            assert_memory_equal(back, s, w.lanes * w.from / 8u);
        }
    }
}

static void pack_and_unpack(void **state) {
    (void)state;
    for (int i = 0; i < 20000; i++) {
        uint8_t s[64], d[32], w[64];
        unsigned sat = rnd() % 4;
        bool is_signed = rnd() % 2;
        random_bytes(s, sizeof s);
        wi_emu_pack(d, s, 16, sat, is_signed);
        for (int k = 0; k < 32; k++) {
            uint16_t u = (uint16_t)(s[2 * k] | s[2 * k + 1] << 8);
            int v = is_signed ? (int16_t)u : u, lo = is_signed ? (sat & 2 ? -127 : -128) : 0,
                hi = is_signed ? 127 : 255;
            if (sat & 1)
                v = v < lo ? lo : v > hi ? hi : v;
            assert_int_equal(d[k], (uint8_t)v);
        }
        wi_emu_pack(d, s, 8, 0, is_signed);
        for (int k = 0; k < 32; k++)
            assert_int_equal(d[k], (s[2 * k] & 15) | (s[2 * k + 1] & 15) << 4);
        wi_emu_unpack(w, d, 4, true);
        for (int k = 0; k < 64; k++)
            assert_int_equal((int8_t)w[k], ((d[k / 2] >> (k % 2 * 4) & 15) ^ 8) - 8);
    }
}

/* ------------------------------------------------------------------ lanes */

static int64_t lane(const uint8_t *v, int i, unsigned bits, bool is_signed) {
    int64_t r = 0;
    memcpy(&r, v + (unsigned)i * bits / 8, bits / 8);
    return is_signed ? (int64_t)((uint64_t)r << (64 - bits)) >> (64 - bits) : r;
}

static void lanes_one_by_one(void **state) {
    (void)state;
    for (int n = 0; n < 60000; n++) {
        enum wi_emu_lane_op op = (enum wi_emu_lane_op)(rnd() % WI_EMU_LANE_OPS);
        unsigned bits = 8u << rnd() % 3;
        bool is_signed = rnd() % 2;
        uint8_t a[64], b[64], d[64] = {0};
        uint64_t mask = (uint64_t)rnd() << 32 | rnd();
        random_bytes(a, 64);
        random_bytes(b, 64);
        if (rnd() % 2)
            memcpy(b + 16, a + 16, 32); /* equal lanes */
        if (rnd() % 4 == 0)
            memset(b, 0, 16);
        uint64_t m = wi_emu_lanes(op, bits, is_signed, d, a, b, mask);
        for (int i = 0; i < (int)(512 / bits); i++) {
            int64_t x = lane(a, i, bits, is_signed), y = lane(b, i, bits, is_signed), r = 0;
            int c = 0;
            bool select = mask >> i & 1;
            switch (op) {
            case WI_EMU_ADD: r = x + y; break;
            case WI_EMU_SUB: r = x - y; break;
            case WI_EMU_ADDSUB: r = select ? x - y : x + y; break;
            case WI_EMU_SEL: r = select ? y : x; break;
            case WI_EMU_ABS_GTZ: r = y < 0 ? -y : y, c = y > 0; break;
            case WI_EMU_NEG_GTZ: r = -y, c = y > 0; break;
            case WI_EMU_BNEG_LTZ: r = -1 - y, c = y < 0; break;
            case WI_EMU_SUB_LT: r = x - y, c = x < y; break;
            case WI_EMU_SUB_GE: r = x - y, c = x >= y; break;
            case WI_EMU_MAXDIFF_LT: r = x > y ? x - y : 0, c = x < y; break;
            case WI_EMU_MAX_LT: r = x > y ? x : y, c = x < y; break;
            case WI_EMU_MIN_GE: r = x < y ? x : y, c = x >= y; break;
            case WI_EMU_LT: c = x < y; break;
            case WI_EMU_GE: c = x >= y; break;
            default: c = y == 0; break;
            }
            bool has_result = op < WI_EMU_LT;
            int64_t keep = (int64_t)((UINT64_C(1) << bits) - 1);
            if ((has_result && (lane(d, i, bits, false) & keep) != (r & keep)) ||
                (int)(m >> i & 1) != c)
                fail_msg("op %d on %u bits, signed %d: %lld, %lld", op, bits, is_signed,
                         (long long)x, (long long)y);
        }
    }
}

/* Sign and magnitude order, -0 below +0, a NaN makes every comparison false and max and min their
 * first operand [hw xdna-emu]. */
static void bf16_order(void **state) {
    (void)state;
    static const uint16_t interesting[] = {0,      0x8000, 1,      0x8001, 0x3f80, 0xbf80,
                                           0x7f80, 0xff80, 0x7fc0, 0xffc0, 0x7f81};
    enum { N = sizeof interesting / sizeof *interesting };
    for (int i = 0; i < N * N + 2000; i++) {
        uint16_t x = i < N * N ? interesting[i / N] : (uint16_t)rnd(),
                 y = i < N * N ? interesting[i % N] : (uint16_t)rnd();
        uint16_t a[32], b[32], d[32];
        for (int k = 0; k < 32; k++)
            a[k] = x, b[k] = y;
        double u = bf16_value(x), v = bf16_value(y);
        bool nan = isnan(u) || isnan(v), below = u < v || (u == v && signbit(u) && !signbit(v));
        uint64_t all = 0xffffffff;
        assert_true(wi_emu_lanes_bf16(WI_EMU_LT, NULL, (uint8_t *)a, (uint8_t *)b) ==
                    (!nan && below ? all : 0));
        assert_true(wi_emu_lanes_bf16(WI_EMU_GE, NULL, (uint8_t *)a, (uint8_t *)b) ==
                    (!nan && !below ? all : 0));
        wi_emu_lanes_bf16(WI_EMU_MAX_LT, (uint8_t *)d, (uint8_t *)a, (uint8_t *)b);
        assert_int_equal(d[7], !nan && below ? y : x);
        wi_emu_lanes_bf16(WI_EMU_MIN_GE, (uint8_t *)d, (uint8_t *)a, (uint8_t *)b);
        assert_int_equal(d[7], !nan && !below ? y : x);
    }
}

/* ------------------------------------------------------------------ permutations */

/* By rows and columns, each as the document says it. */
static void shuffles_are_transposes(void **state) {
    (void)state;
    struct wi_emu_shuffles t;
    uint8_t s[128], d[64];
    wi_emu_shuffles_init(&t);
    for (int i = 0; i < 128; i++)
        s[i] = (uint8_t)i;
    wi_emu_shuffle(&t, d, s, s + 64, 29); /* T16_4x8: out[c * 4 + r] = in[r * 8 + c] */
    for (int r = 0; r < 4; r++)
        for (int c = 0; c < 8; c++)
            assert_int_equal(d[2 * (c * 4 + r)], 2 * (r * 8 + c));
    wi_emu_shuffle(&t, d, s, s + 64, 34); /* T32_4x4 */
    for (int r = 0; r < 4; r++)
        for (int c = 0; c < 4; c++)
            assert_int_equal(d[4 * (c * 4 + r) + 3], 4 * (r * 4 + c) + 3);
    for (int half = 0; half < 2; half++) {
        wi_emu_shuffle(&t, d, s, s + 64, 2 + (unsigned)half); /* de-interleaves 16-bit pairs */
        for (int i = 0; i < 32; i++)
            assert_int_equal(d[2 * i], 4 * i + 2 * half);
        wi_emu_shuffle(&t, d, s, s + 64, 20 + (unsigned)half); /* interleaves bytes of s1 and s2 */
        for (int i = 0; i < 64; i++)
            assert_int_equal(d[i], 32 * half + i / 2 + 64 * (i % 2));
        wi_emu_shuffle(&t, d, s, s + 64,
                       10 + (unsigned)half); /* low, high 256-bit halves together */
        assert_memory_equal(d, s + 32 * half, 32);
        assert_memory_equal(d + 32, s + 64 + 32 * half, 32);
        wi_emu_shuffle(&t, d, s, s + 64, 22 + (unsigned)half);
        assert_memory_equal(d, s + 64 * half, 64);
    }
    wi_emu_shuffle(&t, d, s, s + 64, 24); /* T16_16x4: the first of each four 16-bit elements */
    for (int i = 0; i < 16; i++)
        assert_int_equal(d[2 * i], 8 * i);
    wi_emu_shuffle(&t, d, s, s + 64, 38); /* swaps the halves of words */
    assert_int_equal(d[0], 2);
    assert_int_equal(d[3], 1);
    wi_emu_shuffle(&t, d, s, s + 64, 46); /* T8_8x4 in blocks of 32 bytes */
    for (int r = 0; r < 8; r++)
        for (int c = 0; c < 4; c++)
            assert_int_equal(d[32 + c * 8 + r], 32 + r * 4 + c);
    wi_emu_shuffle(&t, d, s + 5, s + 64, 50);
    assert_int_equal(d[0], 5);
    for (int i = 1; i < 64; i++)
        assert_int_equal(d[i], 0);
    /* a transpose and its transpose are the identity; all modes move whole bytes once */
    static const unsigned pairs[][2] = {{28, 29}, {34, 34}, {35, 35}, {36, 37}, {38, 38},
                                        {39, 39}, {40, 41}, {42, 43}, {44, 45}, {46, 47}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        uint8_t e[64];
        wi_emu_shuffle(&t, d, s, s, pairs[i][0]);
        wi_emu_shuffle(&t, e, d, d, pairs[i][1]);
        assert_memory_equal(e, s, 64);
    }
    for (unsigned m = 0; m < WI_EMU_SHUFFLES; m++) {
        bool seen[128] = {false};
        for (int i = 0; i < 64; i++) {
            assert_false(seen[t.from[m][i]]);
            seen[t.from[m][i]] = true;
        }
    }
}

static void shifts_pushes_and_lanes(void **state) {
    (void)state;
    uint8_t s[192] = {0}, d[64], e[64];
    random_bytes(s, 128);
    for (unsigned n = 0; n < 128; n++) {
        wi_emu_shift(d, s, s + 64, n);
        assert_memory_equal(d, s + n, 64);
    }
    for (unsigned step = 0; step < 5; step++) {
        static const unsigned by[] = {0, 4, 8, 16, 32};
        uint8_t first[128] = {0};
        memcpy(first, s + by[step], 64 - by[step]);
        memcpy(first + 64, s + 64, 64);
        wi_emu_shift_align(d, s, step, s + 64, 3);
        assert_memory_equal(d, first + 3, 64);
    }
    wi_emu_push_lo(d, s, 0xaabb, 16);
    assert_int_equal(d[0] | d[1] << 8, 0xaabb);
    assert_memory_equal(d + 2, s, 62);
    wi_emu_push_hi(d, s, 0xaabbccdd, 32);
    assert_memory_equal(d, s + 4, 60);
    assert_int_equal(d[63], 0xaa);
    wi_emu_broadcast(d, 0x1122334455667788, 64);
    assert_int_equal(d[56], 0x88);
    wi_emu_insert(e, d, 9, 0xee, 64); /* lane 9 of 8 is lane 1 */
    assert_true(wi_emu_extract(e, 1, 64) == 0xee);
    assert_true(wi_emu_extract(e, 0, 64) == 0x1122334455667788);
    assert_true(wi_emu_extract(e, 3, 16) == 0x1122);
}

static void look_up_addresses(void **state) {
    (void)state;
    assert_int_equal(wi_emu_lut_address(0x1000, 0, 16), 0x1000);
    assert_int_equal(wi_emu_lut_address(0x1000, 1, 16), 0x1010);
    assert_int_equal(wi_emu_lut_address(0x1007, 0, 16), 0x1002);
    assert_int_equal(wi_emu_lut_address(0x101c, 3, 16), 0x101e);
    assert_int_equal(wi_emu_lut_address(0x101c, 2, 64), 0x1008);
}

/* ------------------------------------------------------------------ scalar */

static void scalar_unit(void **state) {
    (void)state;
    for (int i = 0; i < 200000; i++) {
        uint32_t a = rnd(), b = rnd() % 3 ? rnd() : a;
        bool c = rnd() % 2;
        uint64_t sum = (uint64_t)a + b + c;
        struct wi_emu_alu r = wi_emu_adc(a, b, c);
        assert_true(r.value == (uint32_t)sum && r.carry == (sum > UINT32_MAX));
        r = wi_emu_sbc(a, b, c);
        assert_true(r.value == a - b - c && r.carry == (a < (uint64_t)b + c));
    }
    assert_int_equal(wi_emu_lshl(0x80000001, -1), 0x40000000);
    assert_int_equal(wi_emu_ashl(0x80000001, -1), 0xc0000000);
    assert_int_equal(wi_emu_lshl(1, 33), 2);
    assert_int_equal(wi_emu_clz(0), 32);
    assert_int_equal(wi_emu_clb(0xffffffff), 32);
    assert_int_equal(wi_emu_clb(0xf0000000), 4);
    for (int i = 0; i < 10000; i++) { /* 32 steps divide */
        uint32_t n = rnd() >> rnd() % 32, d = (rnd() >> rnd() % 32) | 1;
        struct wi_emu_div s = {0, n};
        for (int k = 0; k < 32; k++)
            s = wi_emu_divs(s.quotient, s.remainder, d);
        assert_int_equal(s.quotient, n / d);
        assert_int_equal(s.remainder, n % d);
    }
}

/* Addresses of nested loops, told as loops. */
static void addresses_of_dimensions(void **state) {
    (void)state;
    uint32_t p = 0x70000;
    struct wi_emu_dim lo = {3, 4, 0}, hi = {2, 100, 0};
    for (int outer = 0; outer < 2; outer++) {
        for (int row = 0; row < 3; row++)
            for (int i = 0; i < 4; i++) {
                assert_int_equal(p, 0x70000 + outer * 1000 + row * 112 + i * 4);
                p = wi_emu_step_3d(p, 1000 - 2 * 112 - 12, &lo, &hi);
            }
    }
    lo = (struct wi_emu_dim){7, 2, 0};
    p = 0xffffe;
    p = wi_emu_step_2d(p, 0, &lo);
    assert_int_equal(p, 0); /* 20 bits */
}

/* ------------------------------------------------------------------ products */

static void integer_products(void **state) {
    (void)state;
    static const struct {
        uint32_t conf;
        int m, k, n, xb, yb, acc;
    } shapes[] = {
        {0x000, 4, 16, 8, 8, 4, 32},  {0x008, 4, 8, 8, 8, 8, 32},   {0x010, 4, 4, 8, 16, 8, 32},
        {0x018, 4, 2, 8, 16, 16, 32}, {0x002, 4, 2, 4, 32, 16, 64}, {0x012, 2, 8, 8, 16, 8, 64},
        {0x032, 4, 8, 4, 16, 8, 64},  {0x01a, 2, 4, 8, 16, 16, 64}, {0x03a, 4, 4, 4, 16, 16, 64}};
    assert_int_equal(wi_emu_shape(776)->rows, 4); /* 776: int8 x int8, both signed */
    for (int i = 0; i < 20000; i++) {
        int s = (int)(rnd() % 9);
        uint8_t x[64], y[64], acc1[128], acc2[128], d[128];
        uint32_t flags = rnd() & (WI_EMU_CONF_SIGN_X | WI_EMU_CONF_SIGN_Y | WI_EMU_CONF_ZERO_ACC |
                                  WI_EMU_CONF_NEG_MUL | WI_EMU_CONF_NEG_ACC1 |
                                  WI_EMU_CONF_NEG_ACC2 | WI_EMU_CONF_SHIFT16);
        uint32_t conf = shapes[s].conf | flags;
        random_bytes(x, 64);
        random_bytes(y, 64);
        random_bytes(acc1, 128);
        random_bytes(acc2, 128);
        wi_emu_mac_int(wi_emu_shape(conf), d, acc1, acc2, x, y, NULL, conf);
        for (int r = 0; r < shapes[s].m; r++)
            for (int c = 0; c < shapes[s].n; c++) {
                __int128 sum = 0;
                for (int k = 0; k < shapes[s].k; k++) {
                    int yi = k * shapes[s].n + c;
                    int64_t xv = lane(x, r * shapes[s].k + k, (unsigned)shapes[s].xb,
                                      flags & WI_EMU_CONF_SIGN_X);
                    int64_t yv = shapes[s].yb == 4 ? y[yi / 2] >> (yi % 2 * 4) & 15
                                                   : lane(y, yi, (unsigned)shapes[s].yb,
                                                          flags & WI_EMU_CONF_SIGN_Y);
                    if (shapes[s].yb == 4 && (flags & WI_EMU_CONF_SIGN_Y) && yv > 7)
                        yv -= 16;
                    sum += (__int128)xv * yv;
                }
                int at = r * shapes[s].n + c, bits = shapes[s].acc;
                int64_t a1 = 0, a2 = 0;
                memcpy(&a1, acc1 + at * bits / 8, (size_t)bits / 8);
                memcpy(&a2, acc2 + at * bits / 8, (size_t)bits / 8);
                if (bits == 32)
                    a1 = (int32_t)a1;
                a1 = flags & WI_EMU_CONF_SHIFT16 ? a1 >> 16 : a1;
                sum = flags & WI_EMU_CONF_NEG_MUL ? -sum : sum;
                if (!(flags & WI_EMU_CONF_ZERO_ACC))
                    sum += flags & WI_EMU_CONF_NEG_ACC1 ? -(__int128)a1 : a1;
                sum += flags & WI_EMU_CONF_NEG_ACC2 ? -(__int128)a2 : a2;
                int64_t got = 0, expect = (int64_t)sum;
                memcpy(&got, d + at * bits / 8, (size_t)bits / 8);
                if (bits == 32)
                    got = (int32_t)got, expect = (int32_t)expect;
                if (got != expect)
                    fail_msg("shape 0x%x flags 0x%x lane %d,%d", shapes[s].conf, flags, r, c);
            }
    }
    assert_null(wi_emu_shape(0x1c | 1 << 16)); /* negation of single products */
    assert_null(wi_emu_shape(0x06));
}

/* Sparse y equals the dense product with the zeros filled in. */
static void sparse_products_equal_dense_ones(void **state) {
    (void)state;
    const struct wi_emu_shape *s = wi_emu_shape(1 << 3 | 5 << 5);
    assert_true(s && s->is_sparse);
    for (int i = 0; i < 3000; i++) {
        uint8_t x[128] = {0}, y[64], mask[16] = {0}, d[128];
        int8_t dense[16][8] = {{0}};
        random_bytes(x, 64); /* 4 x 16 */
        for (int c = 0; c < 8; c++)
            for (int g = 0; g < 4; g++) {
                int k0 = (int)(rnd() % 4), k1 = (int)(rnd() % 4);
                int lo = k0 < k1 ? k0 : k1, hi = k0 < k1 ? k1 : k0;
                int8_t v0 = (int8_t)rnd(), v1 = (int8_t)rnd();
                int nibble = g + 4 * c;
                y[(2 * g) * 8 + c] = y[(2 * g + 1) * 8 + c] =
                    0x55; /* what the mask does not select */
                mask[nibble / 2] |= (uint8_t)((1 << lo | 1 << hi) << (nibble % 2 * 4));
                if (lo != hi) {
                    y[2 * g * 8 + c] = (uint8_t)v0, y[(2 * g + 1) * 8 + c] = (uint8_t)v1;
                    dense[4 * g + lo][c] = v0, dense[4 * g + hi][c] = v1;
                } else { /* a single element sits in the first place if it can */
                    y[(2 * g + (lo > 1)) * 8 + c] = (uint8_t)v0;
                    dense[4 * g + lo][c] = v0;
                }
            }
        uint32_t conf = 1u << 3 | 5u << 5 | WI_EMU_CONF_SIGN_X | WI_EMU_CONF_SIGN_Y;
        wi_emu_mac_int(s, d, NULL, NULL, x, y, mask, conf);
        for (int r = 0; r < 4; r++)
            for (int c = 0; c < 8; c++) {
                int32_t sum = 0, got;
                for (int k = 0; k < 16; k++)
                    sum += (int8_t)x[r * 16 + k] * dense[k][c];
                memcpy(&got, d + 4 * (r * 8 + c), 4);
                assert_int_equal(got, sum);
            }
    }
}

/* Rounds to nearest even multiples of 2^-n with exact integers: v is m * 2^e. */
static __int128 quanta(__int128 m, int e, int quantum) {
    int s = quantum - e;
    if (s <= 0)
        return m * ((__int128)1 << -s);
    if (s > 100)
        return 0;
    return divide(m < 0 ? -m : m, s, 12) * (m < 0 ? -1 : 1);
}

/* A finite float as mantissa * 2^exponent, by way of frexp. */
static int split(double v, int bits, __int128 *m) {
    int e;
    double f = frexp(v, &e);
    *m = (__int128)ldexp(f, bits);
    return e - bits;
}

/* The model of the MAC, from real values: the quantum is 2^-23 of the largest binade, where a
 * product's binade is that of its operands' exponents (it may be twice as large), and a subnormal's
 * is the smallest normal one. */
static int binade(double v) {
    int e;
    frexp(v, &e);
    return e - 1 < -126 ? -126 : e - 1;
}

static uint32_t mac_model(int n, const uint16_t *a, const uint16_t *b, int n_acc,
                          const uint32_t *acc) {
    int top = -100000;
    for (int i = 0; i < n; i++)
        if (bf16_value(a[i]) != 0 && bf16_value(b[i]) != 0) {
            int e = binade(bf16_value(a[i])) + binade(bf16_value(b[i])) + 0;
            top = e > top ? e : top;
        }
    int top_acc = -100000;
    for (int i = 0; i < n_acc; i++)
        if (fp32_value(acc[i]) != 0)
            top_acc = binade(fp32_value(acc[i])) > top_acc ? binade(fp32_value(acc[i])) : top_acc;
    /* in the model's units a product has one exponent step more than an accumulator of its binade
     */
    int quantum = (top > top_acc ? top : top_acc) - 23;
    __int128 sum = 0, m;
    for (int i = 0; i < n; i++) {
        double p = bf16_value(a[i]) * bf16_value(b[i]);
        if (p != 0) {
            int e = split(p, 40, &m);
            sum += quanta(m, e, quantum);
        }
    }
    for (int i = 0; i < n_acc; i++)
        if (fp32_value(acc[i]) != 0) {
            int e = split(fp32_value(acc[i]), 40, &m);
            sum += quanta(m, e, quantum);
        }
    double r = ldexp((double)(int64_t)sum, quantum); /* exact: |sum| < 2^53 */
    if (r == 0)
        return 0;
    int e;
    frexp(r, &e);
    double ulp = ldexp(1, e - 24), q = nearbyint(r / ulp) * ulp;
    if (fabs(q) < 0x1p-126)
        return 0;
    if (fabs(q) >= 0x1p128)
        return q < 0 ? 0xff800000 : 0x7f800000;
    return fp32_bits((float)q);
}

static uint16_t random_bf16(int style) {
    uint16_t sign = (uint16_t)(rnd() % 2 << 15), m = (uint16_t)(rnd() % 5 ? rnd() % 128 : 0);
    unsigned e;
    switch (style) {
    case 0: e = 120 + rnd() % 16; break;
    case 1: e = rnd() % 255; break;
    case 2: e = rnd() % 3; break;
    case 3: e = 100 + rnd() % 60; break;
    case 4: e = 62 + rnd() % 4; break;   /* products around the smallest normal number */
    case 5: e = 186 + rnd() % 8; break;  /* around the largest */
    default: e = 74 + rnd() % 4; break;  /* products around 2^-103 */
    }
    return rnd() % 9 == 0 ? sign : (uint16_t)(sign | e << 7 | m);
}

static uint32_t random_fp32(int style) {
    uint32_t low = rnd() % 4 ? rnd() & 0xffff : rnd() % 3 * 0x7fff;
    return (uint32_t)random_bf16(style) << 16 | low;
}

static void bf16_products_against_exact_sums(void **state) {
    (void)state;
    for (int i = 0; i < 300000; i++) {
        uint16_t a[8], b[8];
        uint32_t acc[2];
        int style = (int)(rnd() % 6), n = rnd() % 2 ? 8 : 2, n_acc = (int)(rnd() % 3);
        for (int k = 0; k < n; k++)
            a[k] = random_bf16(style), b[k] = random_bf16(rnd() % 2 ? style : (int)(rnd() % 5));
        for (int k = 0; k < n_acc; k++)
            acc[k] = random_fp32(rnd() % 2 ? style : (int)(rnd() % 5));
        uint32_t got = wi_emu_mac_lane((unsigned)n, a, b, (unsigned)n_acc, acc);
        uint32_t expect = mac_model(n, a, b, n_acc, acc);
        if (got != expect)
            fail_msg("case %d: 0x%08x, not 0x%08x (n %d, accumulators %d, style %d)", i, got,
                     expect, n, n_acc, style);
    }
}

/* Corner cases as the document words them. */
static void bf16_product_corners(void **state) {
    (void)state;
    uint16_t one = 0x3f80, inf = 0x7f80, ninf = 0xff80, nan = 0x7fc0, zero = 0;
    uint32_t acc = 0x3f800000, acc_nan = 0x7fc01234, acc_ninf = 0xff800000;
    assert_int_equal(wi_emu_mac_lane(1, &inf, &one, 1, &acc), 0x7f800000);
    assert_int_equal(wi_emu_mac_lane(1, &ninf, &one, 1, &acc), 0xff800000);
    assert_true((wi_emu_mac_lane(1, &inf, &zero, 0, NULL) & 0x7fffffff) > 0x7f800000);
    assert_true((wi_emu_mac_lane(1, &nan, &one, 1, &acc) & 0x7f800001) == 0x7f800001);
    assert_true((wi_emu_mac_lane(1, &inf, &one, 1, &acc_ninf) & 0x7fffffff) > 0x7f800000);
    assert_int_equal(wi_emu_mac_lane(1, &zero, &one, 1, &acc_nan), acc_nan); /* passes through */
    /* an underflow loses its sign; an exact zero is +0 */
    uint16_t tiny = 0x2000, ntiny = 0xa000;                                  /* 2^-63 */
    assert_int_equal(wi_emu_mac_lane(1, &tiny, &tiny, 0, NULL), 0x00800000); /* 2^-126 */
    uint16_t half = 0x1f80;
    assert_int_equal(wi_emu_mac_lane(1, &half, &ntiny, 0, NULL), 0);
    uint32_t minus = 0xbf800000;
    assert_int_equal(wi_emu_mac_lane(1, &one, &one, 1, &minus), 0);
    /* subnormal inputs take part: 2^-133 * 2^127 */
    uint16_t sub = 0x0001, big = 0x7f00;
    assert_int_equal(wi_emu_mac_lane(1, &sub, &big, 0, NULL), fp32_bits(0x1p-6f));
    /* each small term is rounded away on its own: 1 + 8 * 2^-25 stays 1 */
    uint16_t a[8] = {0x3f80, 0x3300, 0x3300, 0x3300,
                     0x3300, 0x3300, 0x3300, 0x3300}; /* 0x3300 = 2^-25 */
    uint16_t b[8] = {0x3f80, 0x3f80, 0x3f80, 0x3f80, 0x3f80, 0x3f80, 0x3f80, 0x3f80};
    assert_int_equal(wi_emu_mac_lane(8, a, b, 0, NULL), 0x3f800000);
}

static void fp32_sums(void **state) {
    (void)state;
    for (int i = 0; i < 300000; i++) {
        int style = (int)(rnd() % 4);
        uint32_t v[2] = {random_fp32(style), random_fp32(rnd() % 2 ? style : (int)(rnd() % 4))};
        uint32_t got = wi_emu_fp32_add(v[0], v[1]), expect = mac_model(0, NULL, NULL, 2, v);
        if (expect == 0) { /* subnormal sums become zero with their sign, exact zeros are +0 */
            double exact = fp32_value(v[0]) + fp32_value(v[1]);
            expect = exact < 0 ? 0x80000000 : 0;
        }
        if (got != expect)
            fail_msg("0x%08x + 0x%08x: 0x%08x, not 0x%08x", v[0], v[1], got, expect);
    }
    assert_int_equal(wi_emu_fp32_add(0x80000000, 0x80000000), 0);
    assert_true((wi_emu_fp32_add(0x7f800000, 0xff800000) & 0x7fffffff) == 0x7f800001);
    /* measured: +Inf + -NaN(0x46 << 16) shows the datapath's sum, 0xff8c after narrowing */
    assert_int_equal(wi_emu_fp32_add(0x7f800000, 0xffc60000) >> 16, 0xff8c);
    assert_int_equal(wi_emu_fp32_neg(0x7fc00000), 0x7f800001);
    assert_int_equal(wi_emu_fp32_neg(0x3f800000), 0xbf800000);
    assert_int_equal(wi_emu_fp32_neg(0), 0x80000000);
}

/* All levels that this machine has give the same bits. */
static void levels_agree(void **state) {
    (void)state;
    struct wi_emu_shuffles shuffles;
    wi_emu_shuffles_init(&shuffles);
    for (int i = 0; i < 30000; i++) {
        uint16_t x[32], y[32];
        uint32_t a[16], b[16], expect[16], got[16];
        int sx = (int)(rnd() % 7), sy = rnd() % 2 ? sx : (int)(rnd() % 7);
        for (int k = 0; k < 32; k++)
            x[k] = random_bf16(sx), y[k] = random_bf16(sy);
        for (int k = 0; k < 16; k++)
            a[k] = random_fp32(sx), b[k] = random_fp32((int)(rnd() % 7));
        if (rnd() % 8 == 0)
            x[rnd() % 32] = rnd() % 2 ? 0x7f80 : 0xffc1;
        if (rnd() % 8 == 0)
            a[rnd() % 16] = rnd() % 2 ? 0xff800000 : 0x7fc00001;
        struct wi_emu_fmac f = {rnd() % 4 ? a : NULL,
                                rnd() % 4 ? NULL : b,
                                x,
                                y,
                                rnd() % 2,
                                rnd() % 2,
                                rnd() % 2,
                                rnd() % 2};
        bool na = rnd() % 2, nb = rnd() % 2;
        unsigned mode = rnd() % WI_EMU_SHUFFLES, rounding = modes[rnd() % MODES];
        for (enum wi_level level = WI_PORTABLE; level <= wi_cpu_detect(); level++) {
            const struct wi_emu_kern *k = wi_emu_kern_of(level), *p = &wi_emu_kern_portable;
            p->fmac(expect, &f);
            k->fmac(got, &f);
            assert_memory_equal(got, expect, 64);
            p->fadd(expect, a, b, na, nb);
            k->fadd(got, a, b, na, nb);
            assert_memory_equal(got, expect, 64);
            p->permute((uint8_t *)expect, (uint8_t *)a, (uint8_t *)b, shuffles.from[mode]);
            k->permute((uint8_t *)got, (uint8_t *)a, (uint8_t *)b, shuffles.from[mode]);
            assert_memory_equal(got, expect, 64);
            p->conv_bf16((uint8_t *)expect, (uint8_t *)a, rounding);
            k->conv_bf16((uint8_t *)got, (uint8_t *)a, rounding);
            assert_memory_equal(got, expect, 32);
        }
    }
}

WISP_SUITE(cmocka_unit_test(srs_against_division), cmocka_unit_test(bf16_conversion_in_every_mode),
           cmocka_unit_test(floor_of_bf16), cmocka_unit_test(ups_and_back),
           cmocka_unit_test(pack_and_unpack), cmocka_unit_test(lanes_one_by_one),
           cmocka_unit_test(bf16_order), cmocka_unit_test(shuffles_are_transposes),
           cmocka_unit_test(shifts_pushes_and_lanes), cmocka_unit_test(look_up_addresses),
           cmocka_unit_test(scalar_unit), cmocka_unit_test(addresses_of_dimensions),
           cmocka_unit_test(integer_products), cmocka_unit_test(sparse_products_equal_dense_ones),
           cmocka_unit_test(bf16_products_against_exact_sums),
           cmocka_unit_test(bf16_product_corners), cmocka_unit_test(fp32_sums),
           cmocka_unit_test(levels_agree))

/* Configuration words of the vector unit, and integer products. */
#include "npu/emu/value.h"

#include <string.h>

/* amode, bmode, variant: bits 7:1 of the word. */
#define CONF(a, b, v) ((a) | (b) << 2 | (v) << 4)

static const struct wi_emu_shape shapes[128] = {
    /* x, y, acc bits; channels, rows, inner, cols; float, sparse, convolution */
    [CONF(0, 0, 0)] = {8, 4, 32, 1, 4, 16, 8, false, false, false},
    [CONF(0, 1, 0)] = {8, 8, 32, 1, 4, 8, 8, false, false, false},
    [CONF(0, 1, 1)] = {8, 8, 32, 32, 1, 2, 1, false, false, false},
    [CONF(0, 1, 2)] = {8, 8, 32, 8, 4, 4, 1, false, false, true},
    [CONF(0, 1, 3)] = {8, 8, 32, 4, 8, 8, 1, false, false, true},
    [CONF(0, 1, 4)] = {8, 8, 32, 1, 32, 8, 1, false, false, true},
    [CONF(0, 1, 5)] = {8, 8, 32, 1, 4, 16, 8, false, true, false},
    [CONF(0, 2, 0)] = {16, 8, 32, 1, 4, 4, 8, false, false, false},
    [CONF(0, 2, 1)] = {16, 8, 32, 2, 4, 4, 4, false, false, false},
    [CONF(0, 3, 0)] = {16, 16, 32, 1, 4, 2, 8, false, false, false},
    [CONF(0, 3, 1)] = {16, 16, 32, 32, 1, 1, 1, false, false, false},
    [CONF(1, 0, 0)] = {32, 16, 64, 1, 4, 2, 4, false, false, false},
    [CONF(1, 2, 0)] = {16, 8, 64, 1, 2, 8, 8, false, false, false},
    [CONF(1, 2, 1)] = {16, 8, 64, 1, 4, 8, 4, false, false, false},
    [CONF(1, 2, 2)] = {16, 8, 64, 1, 2, 16, 8, false, true, false},
    [CONF(1, 3, 0)] = {16, 16, 64, 1, 2, 4, 8, false, false, false},
    [CONF(1, 3, 1)] = {16, 16, 64, 1, 4, 4, 4, false, false, false},
    [CONF(1, 3, 2)] = {16, 16, 64, 16, 1, 2, 1, false, false, false},
    [CONF(1, 3, 3)] = {16, 16, 64, 1, 16, 4, 1, false, false, true},
    [CONF(1, 3, 5)] = {16, 16, 64, 1, 2, 8, 8, false, true, false},
    [CONF(2, 3, 0)] = {16, 16, 32, 1, 4, 8, 4, true, false, false},
    [CONF(2, 3, 1)] = {16, 16, 32, 16, 1, 2, 1, true, false, false},
    [CONF(2, 3, 2)] = {16, 16, 32, 1, 4, 16, 4, true, true, false},
};

/* Negation of single products, which only complex shapes use, and bits without a name. */
enum { CONF_UNKNOWN = 0xff << 16 | 3 << 14 };

const struct wi_emu_shape *wi_emu_shape(uint32_t conf) {
    if (conf & (CONF_UNKNOWN | 0xff000000u))
        return NULL;
    const struct wi_emu_shape *s = &shapes[conf >> 1 & 0x7f];
    return s->rows ? s : NULL;
}

/* Four mask bits choose at most two of four dense rows.  The first compressed row of a pair can
 * stand for rows 0..2, the second for 1..3; more than two bits choose nothing. */
static void select_two(unsigned mask, int8_t *first, int8_t *second) {
    static const int8_t chosen[16][2] = {{-1, -1}, {0, -1},  {1, -1},  {0, 1},  {-1, 2}, {0, 2},
                                         {1, 2},   {-1, -1}, {-1, 3},  {0, 3},  {1, 3},  {-1, -1},
                                         {2, 3},   {-1, -1}, {-1, -1}, {-1, -1}};
    *first = chosen[mask][0];
    *second = chosen[mask][1];
}

/* The mask has a bit per dense byte of y, columns outermost; a 16-bit element is selected by
 * either. */
static unsigned group_mask(const uint8_t mask[16], unsigned group, unsigned y_bits) {
    if (y_bits == 8)
        return mask[group / 2] >> (group % 2 * 4) & 15;
    unsigned m = mask[group] | mask[group] >> 1;
    return (m & 1) | (m >> 1 & 2) | (m >> 2 & 4) | (m >> 3 & 8);
}

void wi_emu_sparse_select(const struct wi_emu_shape *s, int8_t *k, const uint8_t mask[16]) {
    unsigned groups = s->inner / 4u;
    for (unsigned g = 0; g < groups; g++)
        for (unsigned c = 0; c < s->cols; c++) {
            int8_t two[2];
            select_two(group_mask(mask, g + groups * c, s->y_bits), &two[0], &two[1]);
            for (unsigned i = 0; i < 2; i++)
                k[(2 * g + i) * s->cols + c] = (int8_t)(two[i] < 0 ? -1 : two[i] + 4 * (int)g);
        }
}

enum { ELEMENTS = 128 }; /* most of one operand: a sparse x of bytes, a dense y of [16][8] */

static void load_elements(int32_t *e, const uint8_t *v, unsigned n, unsigned bits, bool is_signed) {
    switch (bits) {
    case 4:
        for (unsigned i = 0; i < n; i++) {
            int32_t nibble = v[i / 2] >> (i % 2 * 4) & 15;
            e[i] = is_signed ? (nibble ^ 8) - 8 : nibble;
        }
        break;
    case 8:
        for (unsigned i = 0; i < n; i++)
            e[i] = is_signed ? (int8_t)v[i] : v[i];
        break;
    case 16:
        for (unsigned i = 0; i < n; i++) {
            uint16_t h;
            memcpy(&h, v + 2 * i, 2);
            e[i] = is_signed ? (int16_t)h : h;
        }
        break;
    default: memcpy(e, v, n * 4); break;
    }
}

static void expand_sparse(const struct wi_emu_shape *s, int32_t *dense, const int32_t *y,
                          const uint8_t mask[16]) {
    int8_t k[64];
    wi_emu_sparse_select(s, k, mask);
    memset(dense, 0, sizeof *dense * ELEMENTS);
    for (unsigned i = 0; i < s->inner / 2u * s->cols; i++)
        if (k[i] >= 0)
            dense[(unsigned)k[i] * s->cols + i % s->cols] = y[i];
}

/* 32-bit x may be unsigned, so it is widened by its own sign. */
static int64_t widen(int32_t v, const struct wi_emu_shape *s, uint32_t conf) {
    return s->x_bits == 32 && !(conf & WI_EMU_CONF_SIGN_X) ? (int64_t)(uint32_t)v : v;
}

static void products(const struct wi_emu_shape *s, int64_t *sum, const int32_t *x, const int32_t *y,
                     uint32_t conf) {
    unsigned ch = s->channels, n = (unsigned)s->cols * ch;
    for (unsigned r = 0; r < s->rows; r++)
        for (unsigned k = 0; k < s->inner; k++)
            for (unsigned i = 0; i < n; i++) {
                unsigned at = s->is_convolution ? r + k : r * s->inner + k;
                sum[r * n + i] += widen(x[at * ch + i % ch], s, conf) * y[k * n + i];
            }
}

/* The common case, one channel and narrow elements: rows of y times scalars of x. */
static void products_narrow(const struct wi_emu_shape *s, int64_t *sum, const int32_t *x,
                            const int32_t *y) {
    unsigned cols = s->cols;
    for (unsigned r = 0; r < s->rows; r++)
        for (unsigned k = 0; k < s->inner; k++)
            for (unsigned c = 0; c < cols; c++)
                sum[r * cols + c] += (int64_t)x[r * s->inner + k] * y[k * cols + c];
}

static void multiply(const struct wi_emu_shape *s, int64_t sum[32], const uint8_t *xb,
                     const uint8_t *yb, const uint8_t *sparse, uint32_t conf) {
    int32_t x[ELEMENTS], y[ELEMENTS], dense[ELEMENTS];
    unsigned x_bytes = s->is_sparse ? 128 : 64,
             ny = s->inner * s->cols * s->channels / (s->is_sparse ? 2u : 1u);
    unsigned nx = s->is_convolution ? (s->rows + s->inner - 1u) * s->channels
                                    : (unsigned)s->rows * s->inner * s->channels;
    if (nx > x_bytes * 8 / s->x_bits)
        nx = x_bytes * 8 / s->x_bits;
    load_elements(x, xb, nx, s->x_bits, conf & WI_EMU_CONF_SIGN_X);
    load_elements(y, yb, ny, s->y_bits, conf & WI_EMU_CONF_SIGN_Y);
    if (s->is_sparse)
        expand_sparse(s, dense, y, sparse);
    if (s->channels == 1 && !s->is_convolution && s->x_bits < 32)
        products_narrow(s, sum, x, s->is_sparse ? dense : y);
    else
        products(s, sum, x, s->is_sparse ? dense : y, conf);
}

static int64_t load_acc(const uint8_t *acc, unsigned lane, unsigned bits) {
    int64_t v = 0;
    int32_t w;
    if (bits == 64) {
        memcpy(&v, acc + 8 * lane, 8);
        return v;
    }
    memcpy(&w, acc + 4 * lane, 4);
    return w;
}

void wi_emu_mac_int(const struct wi_emu_shape *s, uint8_t d[128], const uint8_t *acc1,
                    const uint8_t *acc2, const uint8_t *x, const uint8_t y[64],
                    const uint8_t *sparse, uint32_t conf) {
    int64_t sum[32] = {0};
    unsigned bits = conf >> 1 & 3 ? 64 : 32;
    if (x)
        multiply(s, sum, x, y, sparse, conf);
    for (unsigned i = 0; i < 1024 / bits; i++) {
        uint64_t v = (uint64_t)sum[i];
        if (conf & WI_EMU_CONF_NEG_MUL)
            v = 0 - v;
        if (acc1 && !(conf & WI_EMU_CONF_ZERO_ACC)) {
            int64_t a = load_acc(acc1, i, bits) >> (conf & WI_EMU_CONF_SHIFT16 ? 16 : 0);
            v = conf & WI_EMU_CONF_NEG_ACC1 ? v - (uint64_t)a : v + (uint64_t)a;
        }
        if (acc2) {
            uint64_t a = (uint64_t)load_acc(acc2, i, bits);
            v = conf & WI_EMU_CONF_NEG_ACC2 ? v - a : v + a;
        }
        memcpy(d + i * bits / 8, &v, bits / 8);
    }
}

/* Moving bytes and lanes: shuffles, shifts, pushes, broadcasts, insertion, look-up addresses. */
#include "npu/emu/value.h"

#include <string.h>

/* Every mode transposes a matrix of rows x cols elements of `bits`; half 1 returns the upper 512
 * bits of a 1024-bit result (the mode numbers are the instruction's). */
static const struct transpose {
    uint16_t bits;
    uint8_t rows, cols, half;
} modes[WI_EMU_SHUFFLES] = {
    {8, 64, 2, 0},  {8, 64, 2, 1},  {16, 32, 2, 0}, {16, 32, 2, 1}, {32, 16, 2, 0}, {32, 16, 2, 1},
    {64, 8, 2, 0},  {64, 8, 2, 1},  {128, 4, 2, 0}, {128, 4, 2, 1}, {256, 2, 2, 0}, {256, 2, 2, 1},
    {128, 2, 4, 0}, {128, 2, 4, 1}, {64, 2, 8, 0},  {64, 2, 8, 1},  {32, 2, 16, 0}, {32, 2, 16, 1},
    {16, 2, 32, 0}, {16, 2, 32, 1}, {8, 2, 64, 0},  {8, 2, 64, 1},  {512, 1, 2, 0}, {512, 1, 2, 1},
    {16, 16, 4, 0}, {16, 16, 4, 1}, {16, 4, 16, 0}, {16, 4, 16, 1}, {16, 8, 4, 0},  {16, 4, 8, 0},
    {32, 8, 4, 0},  {32, 8, 4, 1},  {32, 4, 8, 0},  {32, 4, 8, 1},  {32, 4, 4, 0},  {8, 8, 8, 0},
    {8, 16, 4, 0},  {8, 4, 16, 0},  {16, 1, 2, 0},  {16, 4, 4, 0},  {16, 4, 2, 0},  {16, 2, 4, 0},
    {16, 8, 2, 0},  {16, 2, 8, 0},  {16, 16, 2, 0}, {16, 2, 16, 0}, {8, 8, 4, 0},   {8, 4, 8, 0},
};

enum { FLIP = 38 }; /* the exception: swaps the halves of each 32-bit word */

/* The input byte at byte i of the result. */
static unsigned source_byte(unsigned mode, unsigned i) {
    const struct transpose *t = &modes[mode];
    if (mode == FLIP)
        return i ^ 2;
    unsigned bytes = t->bits / 8u, block = bytes * t->rows * t->cols;
    i += 64u * t->half;
    unsigned element = i % block / bytes;
    unsigned col = element / t->rows, row = element % t->rows;
    return i / block * block + (row * t->cols + col) * bytes + i % bytes;
}

void wi_emu_shuffles_init(struct wi_emu_shuffles *t) {
    for (unsigned m = 0; m < WI_EMU_SHUFFLES; m++)
        for (unsigned i = 0; i < 64; i++)
            t->from[m][i] = (uint8_t)source_byte(m, i);
}

void wi_emu_shuffle(const struct wi_emu_shuffles *t, uint8_t d[64], const uint8_t s1[64],
                    const uint8_t s2[64], unsigned mode) {
    mode &= 63;
    if (mode >= WI_EMU_SHUFFLES) {
        uint8_t first = s1[0];
        memset(d, 0, 64);
        d[0] = first;
        return;
    }
    wi_emu_kern_portable.permute(d, s1, s2, t->from[mode]);
}

void wi_emu_shift(uint8_t d[64], const uint8_t s1[64], const uint8_t s2[64], unsigned bytes) {
    uint8_t both[128 + 128] = {0};
    memcpy(both, s1, 64);
    memcpy(both + 64, s2, 64);
    memcpy(d, both + (bytes < 128 ? bytes : 128), 64);
}

void wi_emu_shift_align(uint8_t d[64], const uint8_t s1[64], unsigned step, const uint8_t s2[64],
                        unsigned bytes) {
    static const uint8_t amounts[] = {0, 4, 8, 16, 32};
    uint8_t first[64 + 32] = {0};
    memcpy(first, s1, 64);
    wi_emu_shift(d, first + amounts[step], s2, bytes);
}

void wi_emu_push_lo(uint8_t d[64], const uint8_t s[64], uint64_t v, unsigned bits) {
    memmove(d + bits / 8, s, 64 - bits / 8);
    memcpy(d, &v, bits / 8);
}

void wi_emu_push_hi(uint8_t d[64], const uint8_t s[64], uint64_t v, unsigned bits) {
    memmove(d, s + bits / 8, 64 - bits / 8);
    memcpy(d + 64 - bits / 8, &v, bits / 8);
}

void wi_emu_broadcast(uint8_t d[64], uint64_t v, unsigned bits) {
    for (unsigned at = 0; at < 64; at += bits / 8)
        memcpy(d + at, &v, bits / 8);
}

/* Lane indices wrap at the number of lanes. */
static unsigned lane_at(unsigned lane, unsigned bits) {
    return lane % (512 / bits) * (bits / 8);
}

void wi_emu_insert(uint8_t d[64], const uint8_t s[64], unsigned lane, uint64_t v, unsigned bits) {
    memmove(d, s, 64);
    memcpy(d + lane_at(lane, bits), &v, bits / 8);
}

uint64_t wi_emu_extract(const uint8_t s[64], unsigned lane, unsigned bits) {
    uint64_t v = 0;
    memcpy(&v, s + lane_at(lane, bits), bits / 8);
    return v;
}

uint32_t wi_emu_lut_address(uint32_t a, unsigned lane, unsigned granularity) {
    a &= ~(2 * granularity / 8 - 1);
    return (a & ~31u) | (a & 31) >> 1 | (lane & 1 ? 16 : 0);
}

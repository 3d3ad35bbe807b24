/* Element-wise integer arithmetic, selection and comparison on 512 bits. */
#include "npu/emu/value.h"

#include <string.h>

#define LANE int8_t
#define UNSIGNED uint8_t
#define NAME lanes_s8
#include "npu/emu/lanes_template.inc"
#define LANE uint8_t
#define UNSIGNED uint8_t
#define NAME lanes_u8
#include "npu/emu/lanes_template.inc"
#define LANE int16_t
#define UNSIGNED uint16_t
#define NAME lanes_s16
#include "npu/emu/lanes_template.inc"
#define LANE uint16_t
#define UNSIGNED uint16_t
#define NAME lanes_u16
#include "npu/emu/lanes_template.inc"
#define LANE int32_t
#define UNSIGNED uint32_t
#define NAME lanes_s32
#include "npu/emu/lanes_template.inc"
#define LANE uint32_t
#define UNSIGNED uint32_t
#define NAME lanes_u32
#include "npu/emu/lanes_template.inc"

uint64_t wi_emu_lanes(enum wi_emu_lane_op op, unsigned bits, bool is_signed, uint8_t *d,
                      const uint8_t *a, const uint8_t *b, uint64_t mask) {
    switch (bits) {
    case 8: return (is_signed ? lanes_s8 : lanes_u8)(op, d, a, b, mask);
    case 16: return (is_signed ? lanes_s16 : lanes_u16)(op, d, a, b, mask);
    default: return (is_signed ? lanes_s32 : lanes_u32)(op, d, a, b, mask);
    }
}

/* Integers that order as the bf16 values do; -0 becomes -1, just below +0. */
static int32_t order(uint16_t v) {
    int32_t magnitude = v & 0x7fff;
    return v >> 15 ? -1 - magnitude : magnitude;
}

static bool is_nan(uint16_t v) {
    return (v & 0x7fff) > 0x7f80;
}

uint64_t wi_emu_lanes_bf16(enum wi_emu_lane_op op, uint8_t *d, const uint8_t *pa,
                           const uint8_t *pb) {
    uint16_t a[32], b[32], r[32];
    uint64_t m = 0;
    bool less = op == WI_EMU_LT || op == WI_EMU_MAX_LT;
    memcpy(a, pa, sizeof a);
    memcpy(b, pb, sizeof b);
    for (int i = 0; i < 32; i++) {
        bool ordered = !is_nan(a[i]) && !is_nan(b[i]);
        bool holds = ordered && (less ? order(a[i]) < order(b[i]) : order(a[i]) >= order(b[i]));
        r[i] = holds ? b[i] : a[i];
        m |= (uint64_t)holds << i;
    }
    if (d)
        memcpy(d, r, sizeof r);
    return m;
}

/* The scalar unit and the address generators. */
#include "npu/emu/value.h"

struct wi_emu_alu wi_emu_adc(uint32_t a, uint32_t b, bool carry) {
    uint64_t sum = (uint64_t)a + b + carry;
    return (struct wi_emu_alu){(uint32_t)sum, sum >> 32};
}

struct wi_emu_alu wi_emu_sbc(uint32_t a, uint32_t b, bool borrow) {
    uint64_t difference = (uint64_t)a - b - borrow;
    return (struct wi_emu_alu){(uint32_t)difference, difference >> 63};
}

uint32_t wi_emu_lshl(uint32_t a, int32_t by) {
    return by >= 0 ? a << (by & 31) : a >> (-(uint32_t)by & 31);
}

uint32_t wi_emu_ashl(uint32_t a, int32_t by) {
    return by >= 0 ? a << (by & 31) : (uint32_t)((int32_t)a >> (-(uint32_t)by & 31));
}

uint32_t wi_emu_clz(uint32_t a) {
    return a ? (uint32_t)__builtin_clz(a) : 32;
}

uint32_t wi_emu_clb(uint32_t a) {
    return wi_emu_clz(a >> 31 ? ~a : a);
}

struct wi_emu_div wi_emu_divs(uint32_t quotient, uint32_t a, uint32_t b) {
    uint32_t t = a << 1 | quotient >> 31;
    bool fits = t >= b;
    return (struct wi_emu_div){fits ? t - b : t, quotient << 1 | fits};
}

uint32_t wi_emu_step_2d(uint32_t p, uint32_t m, struct wi_emu_dim *lo) {
    bool last = lo->count >= lo->size;
    lo->count = last ? 0 : (lo->count + 1) & WI_EMU_ADDRESS;
    return (p + (last ? m : lo->stride)) & WI_EMU_ADDRESS;
}

/* An outer step replaces the inner step of its access. */
uint32_t wi_emu_step_3d(uint32_t p, uint32_t m, struct wi_emu_dim *lo, struct wi_emu_dim *hi) {
    if (lo->count < lo->size)
        return wi_emu_step_2d(p, m, lo);
    lo->count = 0;
    return wi_emu_step_2d(p, m, hi);
}

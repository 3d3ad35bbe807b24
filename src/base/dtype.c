#include "base/dtype.h"

#include <assert.h>

static const struct {
    const char *name;
    int block;
    size_t bytes;
} dtypes[WI_N_DTYPES] = {
    [WI_F32] = {"f32", 1, 4},    [WI_F16] = {"f16", 1, 2},    [WI_BF16] = {"bf16", 1, 2},
    [WI_Q4_0] = {"q4_0", 32, 18}, [WI_Q4_1] = {"q4_1", 32, 20}, [WI_Q5_0] = {"q5_0", 32, 22},
    [WI_Q5_1] = {"q5_1", 32, 24}, [WI_Q8_0] = {"q8_0", 32, 34},
};

const char *wi_dtype_name(enum wi_dtype type) { return dtypes[type].name; }
int wi_dtype_block(enum wi_dtype type) { return dtypes[type].block; }
size_t wi_dtype_block_bytes(enum wi_dtype type) { return dtypes[type].bytes; }

size_t wi_dtype_row_bytes(enum wi_dtype type, size_t n) {
    assert(n % (size_t)dtypes[type].block == 0);
    return n / (size_t)dtypes[type].block * dtypes[type].bytes;
}

uint16_t wi_f32_to_bf16(float f) {
    uint32_t bits;
    memcpy(&bits, &f, 4);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

uint16_t wi_f32_to_f16(float f) {
    uint32_t bits;
    memcpy(&bits, &f, 4);
    uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00);
    if (magnitude >= 0x477ff000u) /* rounds to 65536 or more */
        return (uint16_t)(sign | 0x7c00);
    if (magnitude < 0x38800000u) { /* below 2^-14: subnormal; adding 0.5 rounds at bit 2^-24 */
        float g;
        memcpy(&g, &magnitude, 4);
        g += 0.5f;
        memcpy(&magnitude, &g, 4);
        return (uint16_t)(sign | (magnitude - 0x3f000000u));
    }
    magnitude += 0xfff + (magnitude >> 13 & 1) - 0x38000000u;
    return (uint16_t)(sign | magnitude >> 13);
}

/* The number formats that weights come in, as ggml and safetensors lay them out (little-endian).  Plain
 * facts about formats: nothing is owned, everything is thread-safe. */
#ifndef WISP_SRC_BASE_DTYPE_H
#define WISP_SRC_BASE_DTYPE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum wi_dtype {
    WI_F32,
    WI_F16,
    WI_BF16,
    WI_Q4_0, /* 32 values: f16 scale d, 16 bytes of nibbles; x = d * (q - 8) */
    WI_Q4_1, /* f16 scale d, f16 minimum m, 16 bytes; x = d * q + m */
    WI_Q5_0, /* f16 scale d, 32 high bits, 16 bytes; x = d * (q - 16) */
    WI_Q5_1, /* f16 scale d, f16 minimum m, 32 high bits, 16 bytes; x = d * q + m */
    WI_Q8_0, /* f16 scale d, 32 int8; x = d * q */
    WI_N_DTYPES
};

/* "f32", "q5_0" ... */
const char *wi_dtype_name(enum wi_dtype type);
/* Values per block (1 or 32) and bytes per block. */
int wi_dtype_block(enum wi_dtype type);
size_t wi_dtype_block_bytes(enum wi_dtype type);
/* Bytes of a row of `n` values; n must be a multiple of the block. */
size_t wi_dtype_row_bytes(enum wi_dtype type, size_t n);

/* f16 to f32, exactly. */
static inline float wi_f16_to_f32(uint16_t h) {
    /* Shift exponent and mantissa into place and let one multiplication rebias the exponent, which
     * also makes subnormals right; infinities and NaNs keep an all-ones exponent. */
    uint32_t magnitude = (uint32_t)(h & 0x7fff) << 13;
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    float f;
    if (magnitude >= 0x0f800000u) {
        magnitude |= 0x7f800000u;
        memcpy(&f, &magnitude, 4);
    } else {
        memcpy(&f, &magnitude, 4);
        f *= 0x1p112f;
        memcpy(&magnitude, &f, 4);
    }
    magnitude |= sign;
    memcpy(&f, &magnitude, 4);
    return f;
}

static inline float wi_bf16_to_f32(uint16_t b) {
    uint32_t bits = (uint32_t)b << 16;
    float f;
    memcpy(&f, &bits, 4);
    return f;
}

/* f32 to f16 and bf16, nearest even; NaN stays NaN. */
uint16_t wi_f32_to_f16(float f);
uint16_t wi_f32_to_bf16(float f);

#endif

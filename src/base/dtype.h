/* The number formats that weights come in, as ggml and safetensors lay them out (little-endian).  Plain
 * facts about formats: nothing is owned, everything is thread-safe. */
#ifndef WISP_SRC_BASE_DTYPE_H
#define WISP_SRC_BASE_DTYPE_H

#include <stddef.h>
#include <stdint.h>

enum wi_dtype {
    WI_F32,
    WI_F16,
    WI_BF16,
    WI_Q4_0, /* 32 values: f16 scale, 16 bytes of nibbles; x = d * (q - 8) */
    WI_Q4_1, /* f16 scale, f16 minimum, 16 bytes; x = d * q + m */
    WI_Q5_0, /* f16 scale, 32 high bits, 16 bytes; x = d * (q - 16) */
    WI_Q5_1, /* f16 scale, f16 minimum, 32 high bits, 16 bytes; x = d * q + m */
    WI_Q8_0, /* f16 scale, 32 int8; x = d * q */
    WI_N_DTYPES
};

/* "f32", "q5_0" ... */
const char *wi_dtype_name(enum wi_dtype type);
/* Values per block (1 or 32) and bytes per block. */
int wi_dtype_block(enum wi_dtype type);
size_t wi_dtype_block_bytes(enum wi_dtype type);
/* Bytes of a row of `n` values; n must be a multiple of the block. */
size_t wi_dtype_row_bytes(enum wi_dtype type, size_t n);

#endif

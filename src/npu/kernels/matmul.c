#include "npu/kernels/matmul.h"

#include <stddef.h>

#include "npu/kernels/ops.h"

/* C may share a bank with A, B with nothing. */
enum { BANK = 16384, BANK_A = 1, BANK_B = 2, BANK_C = 1, STREAM_A = 1, STREAM_B, STREAM_C };
enum { WINDOW_END = 0x80000 };

/* The banks of a matrix as a set, 0 when it does not lie in the core's memory. */
static unsigned banks_of(uint32_t address, int elements) {
    uint32_t end = address + 2 * (uint32_t)elements;
    unsigned banks = 0;
    if (address < WINDOW_END - 4 * BANK || address >= end || end > WINDOW_END)
        return 0;
    for (uint32_t at = address / BANK; at <= (end - 1) / BANK; at++)
        banks |= 1u << at % 4;
    return banks;
}

bool wi_matmul_params(struct wi_matmul_params *p, int m, int k, int n, uint32_t a, uint32_t b,
                      uint32_t c) {
    if (m < 16 || n < 16 || m % 16 || n % 16 || k % 16 || k < WI_MATMUL_MIN_K)
        return false;
    unsigned in_a = banks_of(a, m * k), in_b = banks_of(b, k * n), in_c = banks_of(c, m * n);
    if (!in_a || !in_b || !in_c || (in_b & (in_a | in_c)))
        return false;
    uint32_t row = 32 * (uint32_t)k; /* bytes of A for 16 rows, of B for 16 columns */
    uint32_t wide = (uint32_t)n / 16;
    *p = (struct wi_matmul_params){
        .a = a,
        .b = b,
        .c = c,
        .blocks = (uint32_t)m / 16 * wide,
        .steps = (uint32_t)k / WI_MATMUL_K,
        /* through 16 rows, back to their start for every block of columns, on to the next rows */
        .a_walk = {32, row / 32 - 1, 32, wide - 1, 32 - row},
        /* through all columns, again for the next rows */
        .b_walk = {32 - row * wide, row * wide / 32 - 1, 32}};
    return true;
}

/* ---------------------------------------------------------------- the kernel */

static struct wi_vreg load_tile(struct wi_build *b, struct wi_vreg p, struct wi_vreg d,
                                uint8_t bank, uint8_t stream) {
    struct wi_vreg x = wi_k_x(b, stream == STREAM_A ? "a" : "b");
    wi_build_load(b, wi_low(x), wi_k_walk(p, d, bank, stream));
    wi_build_load(b, wi_high(x), wi_k_walk(p, d, bank, stream));
    return x;
}

void wi_matmul_emit(struct wi_build *b) {
#define AT(field) offsetof(struct wi_matmul_params, field)
    struct wi_vreg steps = wi_k_param(b, WI_FAMILY_R, AT(steps), "steps");
    struct wi_vreg blocks = wi_k_param(b, WI_FAMILY_R, AT(blocks), "blocks");
    struct wi_vreg pa = wi_k_param(b, WI_FAMILY_P, AT(a), "A");
    struct wi_vreg walk_a = wi_k_param_walk(b, WI_FAMILY_D3, AT(a_walk), "walk of A");
    struct wi_vreg pb = wi_k_param(b, WI_FAMILY_P, AT(b), "B");
    struct wi_vreg walk_b = wi_k_param_walk(b, WI_FAMILY_D, AT(b_walk), "walk of B");
    struct wi_vreg pc = wi_k_param(b, WI_FAMILY_P, AT(c), "C");
    struct wi_vreg tile = wi_build_const(b, WI_FAMILY_R, WI_MAC_TILE, "tile product");
    struct wi_vreg acc[4][4];
    for (int i = 0; i < 16; i++)
        acc[i / 4][i % 4] = wi_k_bm(b, "sum");
    wi_k_round_even(b);

    wi_build_loop(b, (struct wi_loop){"matmul", steps, blocks, .overrun = true});
    for (int k = 0; k < WI_MATMUL_K / 8; k++) {
        struct wi_vreg cols[4];
        for (int i = 0; i < 4; i++) {
            struct wi_vreg rows = load_tile(b, pa, walk_a, BANK_A, STREAM_A);
            for (int j = 0; j < 4; j++) {
                if (i == 0)
                    cols[j] = load_tile(b, pb, walk_b, BANK_B, STREAM_B);
                if (k == 0)
                    wi_k_mac_from_zero(b, acc[i][j], rows, cols[j], tile);
                else
                    wi_k_mac(b, acc[i][j], acc[i][j], rows, cols[j], tile);
            }
        }
    }
    wi_build_when(b, WI_LAST_STEP);
    for (int i = 0; i < 16; i++)
        wi_build_store_bf16(b, acc[i / 4][i % 4], wi_k_next(pc, 32, BANK_C, STREAM_C));
    wi_build_end_loop(b);
}

/* ---------------------------------------------------------------- packing */

void wi_matmul_pack_a(uint16_t *tiles, const uint16_t *a, int m, int k) {
    for (int i = 0; i < m; i++)
        for (int c = 0; c < k; c++)
            tiles[((i / 16 * (k / 8) + c / 8) * 4 + i % 16 / 4) * 32 + i % 4 * 8 + c % 8] =
                a[i * k + c];
}

void wi_matmul_pack_b(uint16_t *tiles, const uint16_t *b, int k, int n) {
    for (int r = 0; r < k; r++)
        for (int j = 0; j < n; j++)
            tiles[((j / 16 * (k / 8) + r / 8) * 4 + j % 16 / 4) * 32 + r % 8 * 4 + j % 4] =
                b[r * n + j];
}

void wi_matmul_unpack_c(uint16_t *c, const uint16_t *tiles, int m, int n) {
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++)
            c[i * n + j] =
                tiles[((i / 16 * (n / 16) + j / 16) * 16 + i % 16 / 4 * 4 + j % 16 / 4) * 16 +
                      i % 4 * 4 + j % 4];
}

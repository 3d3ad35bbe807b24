#include <math.h>

#include "npu/cases/impl.h"
#include "npu/kernels/gelu_table.h"
#include "npu/kernels/gemm.h"
#include "npu/kernels/matmul.h"

/* ---------------------------------------------------------------- matmul */

enum {
    SIDE = 64,
    LONG_K = 192,
    MATMUL_VALUES = SIDE * SIDE,
    MATMUL_B = 0x4000,
    MATMUL_C = 0x2000,
    MATMUL_START = 0x8000,
    MATMUL_R = 0xc000,
    MATMUL_LONG_B = 0x8000,
    MATMUL_LONG_C = 0x6000,
    MATMUL_SUMS = 0xc000,
    MATMUL_GELU = 0x6000,
    MATMUL_GELU_2 = 0xc000,
    MATMUL_PARAMS = 0x7c00,
    MATMUL_PARAMS_2 = 0xbc00
};

/* A and C of bf16 in bank 0, B in bank 1, bias and sums in bank 2, R and C of fp32 in bank
 * 3. */
static struct wi_matmul_at matmul_at(const struct wi_matmul *x) {
    const uint32_t m = WI_CASE_MEMORY;
    struct wi_matmul_at at = {.a = m,
                              .b = m + MATMUL_B,
                              .c = m + (x->end == WI_MATMUL_SUMS ? MATMUL_SUMS : MATMUL_C),
                              .start = m + MATMUL_START,
                              .r = m + MATMUL_R,
                              .gelu_table = {m + MATMUL_GELU, m + MATMUL_GELU_2}};
    if (x->k == LONG_K) {
        at.b = m + MATMUL_LONG_B;
        at.c = m + MATMUL_LONG_C;
    }
    return at;
}

static void *at_address(struct wi_case_data *d, uint32_t address) {
    return d->memory + (address - WI_CASE_MEMORY);
}

/* What the sums begin with, in memory and in `want`. */
static void matmul_start(struct wi_case_data *d, const struct wi_matmul *x, uint32_t address) {
    float start[MATMUL_VALUES] = {0};
    int n = x->start == WI_MATMUL_BIAS ? SIDE : x->start == WI_MATMUL_ADD ? MATMUL_VALUES : 0;
    for (int i = 0; i < n; i++)
        start[i] = (float)(1.2345 * from_bf16(random_bf16(d, 0)));
    for (int i = 0; i < MATMUL_VALUES; i++)
        d->want[i] = start[n == SIDE ? i % SIDE : i];
    if (x->start == WI_MATMUL_BIAS)
        wi_matmul_pack_bias(at_address(d, address), start, SIDE);
    if (x->start == WI_MATMUL_ADD)
        wi_matmul_pack_sums(at_address(d, address), start, SIDE, SIDE);
}

static void matmul_end(struct wi_case_data *d, const struct wi_matmul *x,
                       const struct wi_matmul_at *at) {
    uint16_t r[MATMUL_VALUES];
    if (x->end == WI_MATMUL_RESIDUAL) {
        fill(d, r, MATMUL_VALUES, 0);
        wi_matmul_pack_c(at_address(d, at->r), r, SIDE, SIDE);
        for (int i = 0; i < MATMUL_VALUES; i++)
            d->want[i] += from_bf16(r[i]);
    }
    if (x->end == WI_MATMUL_GELU) {
        wi_gelu_table(at_address(d, at->gelu_table[0]));
        wi_gelu_table(at_address(d, at->gelu_table[1]));
        for (int i = 0; i < MATMUL_VALUES; i++)
            d->want[i] = 0.5 * d->want[i] * erfc(-d->want[i] / sqrt(2));
    }
}

static void matmul_before(struct wi_case_data *d, enum wi_matmul_start start,
                          enum wi_matmul_end end, int k) {
    uint16_t a[SIDE * LONG_K], b[LONG_K * SIDE];
    const struct wi_matmul x = {start, end, SIDE, k, SIDE};
    const struct wi_matmul_at at = matmul_at(&x);
    struct wi_matmul_params params;
    wi_matmul_params(&params, &x, &at);
    fill(d, a, SIDE * k, 0);
    fill(d, b, k * SIDE, -3);
    wi_matmul_pack_a(at_address(d, at.a), a, SIDE, k);
    wi_matmul_pack_b(at_address(d, at.b), b, k, SIDE);
    d->params = start == WI_MATMUL_BIAS ? MATMUL_PARAMS_2 : MATMUL_PARAMS;
    memcpy(d->memory + d->params, &params, sizeof params);
    d->n = MATMUL_VALUES;
    d->row = SIDE;
    matmul_start(d, &x, at.start);
    for (int i = 0; i < d->n; i++)
        for (int e = 0; e < k; e++)
            d->want[i] += from_bf16(a[i / SIDE * k + e]) * from_bf16(b[e * SIDE + i % SIDE]);
    matmul_end(d, &x, &at);
}

static void matmul_after_bf16(struct wi_case_data *d, uint32_t offset) {
    uint16_t c[MATMUL_VALUES];
    wi_matmul_unpack_c(c, (const uint16_t *)(const void *)(d->memory + offset), SIDE, SIDE);
    for (int i = 0; i < d->n; i++)
        d->got[i] = from_bf16(c[i]);
}

static void matmul_after(struct wi_case_data *d) {
    matmul_after_bf16(d, MATMUL_C);
}

static void matmul_after_long(struct wi_case_data *d) {
    matmul_after_bf16(d, MATMUL_LONG_C);
}

static void matmul_after_sums(struct wi_case_data *d) {
    float c[MATMUL_VALUES];
    wi_matmul_unpack_sums(c, (const float *)(const void *)(d->memory + MATMUL_SUMS), SIDE, SIDE);
    for (int i = 0; i < d->n; i++)
        d->got[i] = c[i];
}

#define MATMUL(name, start, end, k)                                                                \
    static void name##_emit(struct wi_build *b) {                                                  \
        wi_matmul_emit(b, start, end);                                                             \
    }                                                                                              \
    static void name##_before(struct wi_case_data *d) {                                            \
        matmul_before(d, start, end, k);                                                           \
    }
MATMUL(plain, WI_MATMUL_ZERO, WI_MATMUL_BF16, SIDE)
MATMUL(plain_long, WI_MATMUL_ZERO, WI_MATMUL_BF16, LONG_K)
MATMUL(bias, WI_MATMUL_BIAS, WI_MATMUL_BF16, SIDE)
MATMUL(bias_gelu, WI_MATMUL_BIAS, WI_MATMUL_GELU, SIDE)
MATMUL(bias_residual, WI_MATMUL_BIAS, WI_MATMUL_RESIDUAL, SIDE)
MATMUL(add_sums, WI_MATMUL_ADD, WI_MATMUL_SUMS, SIDE)

/* ---------------------------------------------------------------- GEMM unit */

enum {
    GEMM_K = 128,
    GEMM_W = 0x8c00,
    GEMM_C = 0xcc00,
    GEMM_BIAS = 0x7d00,
    GEMM_PARAMS = 0x7c00,
    GEMM_R = 0x4c00
};
enum { GEMM_VALUES = WI_GEMM_ROWS * WI_GEMM_COLUMNS };

/* Where C4 tiles have an element, in elements. */
static int c4_element(int row, int column) {
    return (row / 16 * 16 + row % 16 / 4 * 4 + column / 4) * 16 + row % 4 * 4 + column % 4;
}

/* Sums start from what the cascade brings; the top has its bias instead. */
static void gemm_before(struct wi_case_data *d) {
    uint16_t a[WI_GEMM_ROWS * GEMM_K], w[GEMM_K * WI_GEMM_COLUMNS];
    float bias[WI_GEMM_COLUMNS];
    struct wi_gemm_params params;
    const struct wi_gemm_at where = {.a = WI_CASE_MEMORY,
                                     .w = WI_CASE_MEMORY + GEMM_W,
                                     .bias = WI_CASE_MEMORY + GEMM_BIAS,
                                     .c = WI_CASE_MEMORY + GEMM_C,
                                     .r = WI_CASE_MEMORY + GEMM_R,
                                     .zeros = true};
    wi_gemm_params(&params, GEMM_K, &where);
    memset(d->memory + GEMM_R, 0, 32);
    fill(d, a, WI_GEMM_ROWS * GEMM_K, 0);
    fill(d, w, GEMM_K * WI_GEMM_COLUMNS, -3);
    wi_gemm_pack_a(d->memory, a, GEMM_K);
    wi_gemm_pack_w(d->memory + GEMM_W, w, GEMM_K);
    for (int i = 0; i < WI_GEMM_COLUMNS; i++)
        bias[i] = (float)from_bf16(random_bf16(d, 0));
    memcpy(d->memory + GEMM_BIAS, bias, sizeof bias);
    memcpy(d->memory + GEMM_PARAMS, &params, sizeof params);
    d->params = GEMM_PARAMS;
    d->n = GEMM_VALUES;
    d->row = WI_GEMM_COLUMNS;
    for (int i = 0; i < d->n; i++) {
        int row = i / WI_GEMM_COLUMNS, column = i % WI_GEMM_COLUMNS, at = c4_element(row, column);
        d->want[i] = d->cascade[at / 16][at % 16] = bias[column];
        for (int k = 0; k < GEMM_K; k++)
            d->want[i] +=
                from_bf16(a[row * GEMM_K + k]) * from_bf16(w[k * WI_GEMM_COLUMNS + column]);
    }
}

static void gemm_after_cascade(struct wi_case_data *d) {
    for (int i = 0; i < d->n; i++) {
        int at = c4_element(i / WI_GEMM_COLUMNS, i % WI_GEMM_COLUMNS);
        d->got[i] = d->cascade[at / 16][at % 16];
    }
}

static void gemm_after_memory(struct wi_case_data *d) {
    for (int i = 0; i < d->n; i++) {
        uint32_t byte = 2 * (uint32_t)c4_element(i / WI_GEMM_COLUMNS, i % WI_GEMM_COLUMNS);
        d->got[i] = from_bf16(bf16_at(d, GEMM_C + byte / 1024 * WI_GEMM_PITCH + byte % 1024));
    }
}

/* ---------------------------------------------------------------- the cases */

/* Bounds: products / 128 a cycle. */
const struct wi_case wi_cases_products[] = {
    {"matmul", "64x64x64", "tiles, bf16 to bf16",
     "64x64x64: about 49 ms scalar, 0.21 to 0.39 ms vectorised", SIDE *SIDE *SIDE / 128, plain_emit,
     plain_before, matmul_after},
    {"matmul-long", "64x192x64", "tiles, bf16 to bf16", NULL, SIDE *LONG_K *SIDE / 128,
     plain_long_emit, plain_long_before, matmul_after_long},
    {"matmul-bias", "64x64x64", "tiles, bf16 to bf16; fp32 bias", NULL, SIDE *SIDE *SIDE / 128,
     bias_emit, bias_before, matmul_after},
    {"matmul-gelu", "64x64x64", "tiles, bf16 to bf16; fp32 bias; table in 2 banks", NULL,
     SIDE *SIDE *SIDE / 128 + MATMUL_VALUES / 32 * 14, bias_gelu_emit, bias_gelu_before,
     matmul_after},
    {"matmul-residual", "64x64x64", "tiles, bf16 to bf16; fp32 bias, bf16 residual", NULL,
     SIDE *SIDE *SIDE / 128, bias_residual_emit, bias_residual_before, matmul_after},
    {"matmul-sums", "64x64x64", "tiles, bf16 onto fp32 sums", NULL, SIDE *SIDE *SIDE / 128,
     add_sums_emit, add_sums_before, matmul_after_sums},
    {"gemm-top", "96x128x16", "A panels, W pieces, bias; cascade out", NULL,
     GEMM_VALUES *GEMM_K / 128, wi_gemm_top_emit, gemm_before, gemm_after_cascade},
    {"gemm-middle", "96x128x16", "A panels, W pieces; cascade in and out", NULL,
     GEMM_VALUES *GEMM_K / 128, wi_gemm_middle_emit, gemm_before, gemm_after_cascade},
    {"gemm-bottom", "96x128x16", "A panels, W pieces; cascade in, bf16 out", NULL,
     GEMM_VALUES *GEMM_K / 128, wi_gemm_bottom_emit, gemm_before, gemm_after_memory},
    {0}};

#include "npu_cases.h"

#include <math.h>
#include <string.h>

#include "base/dtype.h"
#include "npu/kernels/add.h"
#include "npu/kernels/attention.h"
#include "npu/kernels/attention_online.h"
#include "npu/kernels/convert.h"
#include "npu/kernels/gelu.h"
#include "npu/kernels/gelu_table.h"
#include "npu/kernels/gemm.h"
#include "npu/kernels/layernorm.h"
#include "npu/kernels/matmul.h"
#include "npu/kernels/softmax.h"
#include "npu/kernels/tiles.h"

/* ---------------------------------------------------------------- numbers */

static uint32_t next_bits(uint64_t *seed) { /* xorshift64 */
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return (uint32_t)(*seed >> 16);
}

static uint32_t random_bits(struct wi_case_data *d) {
    return next_bits(&d->seed);
}

static double from_bf16(uint16_t v) {
    return wi_bf16_to_f32(v);
}

uint16_t wi_case_random_bf16(uint64_t *seed, int exponent) {
    uint32_t bits = next_bits(seed);
    return (uint16_t)((bits & 0x807f) | (uint32_t)(127 + exponent) << 7);
}

static uint16_t random_bf16(struct wi_case_data *d, int exponent) {
    return wi_case_random_bf16(&d->seed, exponent);
}

static void fill(struct wi_case_data *d, uint16_t *v, int n, int exponent) {
    for (int i = 0; i < n; i++)
        v[i] = random_bf16(d, exponent);
}

static uint16_t bf16_at(const struct wi_case_data *d, uint32_t offset) {
    uint16_t v;
    memcpy(&v, d->memory + offset, 2);
    return v;
}

static void put_bf16(struct wi_case_data *d, uint32_t offset, uint16_t v) {
    memcpy(d->memory + offset, &v, 2);
}

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

/* ---------------------------------------------------------------- GELU */

enum {
    GELU_PANELS = 4,
    GELU_PANEL = 3072,
    GELU_PITCH = 4096,
    GELU_TABLE = 0x4000,
    GELU_PARAMS = 0x8000,
    GELU_TABLE_2 = 0xc000,
    GELU_R = 0x8000,
    GELU_ADD_TABLE = 0xfc00,
    GELU_ADD_PARAMS = 0xec00
};
enum { GELU_VALUES = GELU_PANELS * GELU_PANEL / 2, GELU_ADD_VALUES = 2 * GELU_VALUES };

static uint32_t gelu_at(int i) {
    uint32_t byte = 2 * (uint32_t)i;
    return byte / GELU_PANEL * GELU_PITCH + byte % GELU_PANEL;
}

/* Mean -2, half of the values below -3, as hidden layers have them. */
static void gelu_fill(struct wi_case_data *d, int n) {
    d->params = GELU_PARAMS;
    d->n = n;
    d->row = 64;
    for (int i = 0; i < d->n; i++) {
        double u = random_bits(d) / 0x1p32, x = i % 2 ? -6 + 3 * u : -3 + 5 * u;
        float f = (float)x;
        uint32_t bits;
        memcpy(&bits, &f, 4);
        put_bf16(d, gelu_at(i), (uint16_t)(bits >> 16));
        x = from_bf16((uint16_t)(bits >> 16));
        d->want[i] = 0.5 * x * erfc(-x / sqrt(2));
    }
}

static void gelu_begin(struct wi_case_data *d, struct wi_gelu_params *params, int panels,
                       uint32_t constants, uint32_t r) {
    const struct wi_gelu_at at = {WI_CASE_MEMORY, WI_CASE_MEMORY + constants, WI_CASE_MEMORY + r};
    wi_gelu_params(params, panels, GELU_PANEL, GELU_PITCH, &at);
    wi_gelu_constants((uint16_t *)(void *)(d->memory + constants));
    memset(d->memory + r, 0, 64);
    gelu_fill(d, panels * GELU_PANEL / 2);
}

static void gelu_before(struct wi_case_data *d) {
    struct wi_gelu_params params;
    gelu_begin(d, &params, GELU_PANELS, GELU_TABLE, GELU_TABLE_2);
    memcpy(d->memory + GELU_PARAMS, &params, sizeof params);
}

/* A slice of 96 x 128, and positions added to it. */
static void gelu_add_before(struct wi_case_data *d) {
    struct wi_gelu_params params;
    gelu_begin(d, &params, 8, GELU_ADD_TABLE, GELU_R);
    wi_gelu_add(&params, &(struct wi_pieces){WI_CASE_MEMORY + GELU_R, GELU_PANEL, GELU_PITCH});
    memcpy(d->memory + GELU_ADD_PARAMS, &params, sizeof params);
    d->params = GELU_ADD_PARAMS;
    for (int i = 0; i < d->n; i++) {
        uint16_t r = random_bf16(d, -2);
        put_bf16(d, GELU_R + gelu_at(i), r);
        d->want[i] += from_bf16(r);
    }
}

/* x + r of a slice likewise. */
static void add_before(struct wi_case_data *d) {
    const struct wi_pieces x = {WI_CASE_MEMORY, GELU_PANEL, GELU_PITCH};
    const struct wi_pieces r = {WI_CASE_MEMORY + GELU_R, GELU_PANEL, GELU_PITCH};
    struct wi_add_params params;
    d->params = GELU_ADD_PARAMS;
    d->n = GELU_ADD_VALUES;
    d->row = 64;
    wi_add_params(&params, d->n, &x, &r, &x);
    memcpy(d->memory + d->params, &params, sizeof params);
    for (int i = 0; i < d->n; i++) {
        uint16_t a = random_bf16(d, 0), b = random_bf16(d, 0);
        put_bf16(d, gelu_at(i), a);
        put_bf16(d, GELU_R + gelu_at(i), b);
        d->want[i] = from_bf16(a) + from_bf16(b);
    }
}

static void gelu_table_before(struct wi_case_data *d) {
    static const uint32_t at[] = {WI_CASE_MEMORY + GELU_TABLE, WI_CASE_MEMORY + GELU_TABLE_2};
    struct wi_gelu_table_params params;
    wi_gelu_table_params(&params, GELU_PANELS, GELU_PANEL, GELU_PITCH, WI_CASE_MEMORY, at);
    wi_gelu_table((uint16_t *)(void *)(d->memory + GELU_TABLE));
    wi_gelu_table((uint16_t *)(void *)(d->memory + GELU_TABLE_2));
    memcpy(d->memory + GELU_PARAMS, &params, sizeof params);
    gelu_fill(d, GELU_VALUES);
}

static void gelu_after(struct wi_case_data *d) {
    for (int i = 0; i < d->n; i++)
        d->got[i] = from_bf16(bf16_at(d, gelu_at(i)));
}

/* ---------------------------------------------------------------- softmax */

enum { SM_LENGTH = 1500, SM_VALUES = WI_SOFTMAX_ROWS * SM_LENGTH, SM_PITCH = 3072 };
enum { SM_HIGH = 0x8000, SM_STATE = 0x6000, SM_PARAMS = 0xf000 };

static uint32_t softmax_at(int row, int i) {
    return (uint32_t)(row / 8 * SM_HIGH + row % 8 * SM_PITCH + 2 * i);
}

/* Scores of 64 products each, as attention has them; the scale is 1 / 8. */
static void softmax_before(struct wi_case_data *d) {
    static const uint32_t x[2] = {WI_CASE_MEMORY, WI_CASE_MEMORY + SM_HIGH};
    static const uint32_t state[2] = {WI_CASE_MEMORY + SM_STATE,
                                      WI_CASE_MEMORY + SM_HIGH + SM_STATE};
    const struct wi_softmax_shape shape = {WI_SOFTMAX_ROWS, SM_LENGTH, SM_LENGTH, SM_PITCH, 0.125};
    struct wi_softmax_params params;
    wi_softmax_params(&params, &shape, x, state);
    memcpy(d->memory + SM_PARAMS, &params, sizeof params);
    d->params = SM_PARAMS;
    d->n = SM_VALUES;
    d->row = SM_LENGTH;
    for (int row = 0; row < WI_SOFTMAX_ROWS; row++) {
        double sum = 0, *want = d->want + row * SM_LENGTH;
        for (int i = 0; i < SM_LENGTH; i++) {
            uint16_t v = random_bf16(d, 3);
            put_bf16(d, softmax_at(row, i), v);
            sum += want[i] = exp(shape.scale * from_bf16(v));
        }
        for (int i = 0; i < SM_LENGTH; i++)
            want[i] /= sum;
    }
}

static void softmax_after(struct wi_case_data *d) {
    for (int i = 0; i < SM_VALUES; i++)
        d->got[i] = from_bf16(bf16_at(d, softmax_at(i / SM_LENGTH, i % SM_LENGTH)));
}

/* ---------------------------------------------------------------- LayerNorm */

enum { LN_ROWS = 16, LN_FEATURES = 512, LN_VALUES = LN_ROWS * LN_FEATURES, LN_PITCH = 512 };
enum { LN_SCALES = 0x8c00, LN_PARAMS = 0xb800, LN_WEIGHTS = 0xc000, LS_WEIGHTS = 0xcc00 };

/* Bytes from the first element: a pair of tiles of 4 rows x 4 before, a tile of 4 rows x 8 after.
 */
static uint32_t ln_at(int pitch, int row, int c, bool after) {
    int in_pair = after ? row % 4 * 16 + c % 8 * 2 : c % 8 / 4 * 32 + row % 4 * 8 + c % 4 * 2;
    return (uint32_t)(c / 16 * pitch + row / 4 * 128 + c % 16 / 8 * 64 + in_pair);
}

struct ln_row {
    double mean, scale; /* scale: 1 / deviation */
};

static struct ln_row ln_measure(const uint16_t *x, int n) {
    double mean = 0, variance = 0;
    for (int c = 0; c < n; c++)
        mean += from_bf16(x[c]) / n;
    for (int c = 0; c < n; c++)
        variance += pow(from_bf16(x[c]) - mean, 2) / n;
    return (struct ln_row){mean, 1 / sqrt(variance + (double)1e-5f)};
}

/* Parameters and weights of rows of `features`, and how far y is from `want`, made by `row`. */
static void ln_begin(struct wi_case_data *d, const struct wi_layernorm_shape *shape,
                     struct wi_layernorm_at at, uint16_t gamma[], uint16_t beta[]) {
    struct wi_layernorm_params params;
    at.x = WI_CASE_MEMORY;
    uint32_t weights = shape->here == LN_FEATURES ? LN_WEIGHTS : LS_WEIGHTS;
    at.weights = WI_CASE_MEMORY + weights;
    at.state = WI_CASE_MEMORY + LN_SCALES;
    wi_layernorm_params(&params, shape, &at);
    fill(d, gamma, shape->here, 0);
    fill(d, beta, shape->here, -2);
    wi_layernorm_pack_weights((uint16_t *)(void *)(d->memory + weights), gamma, beta, shape->here);
    memcpy(d->memory + LN_PARAMS, &params, sizeof params);
    d->params = LN_PARAMS;
    d->n = shape->rows * shape->here;
    d->row = shape->here;
}

static void ln_row_before(struct wi_case_data *d, int pitch, int row, const uint16_t *x,
                          const uint16_t *gamma, const uint16_t *beta, struct ln_row r) {
    for (int c = 0; c < d->row; c++) {
        put_bf16(d, ln_at(pitch, row, c, false), x[c]);
        d->want[row * d->row + c] =
            (from_bf16(x[c]) - r.mean) * r.scale * from_bf16(gamma[c]) + from_bf16(beta[c]);
    }
}

static void ln_before(struct wi_case_data *d, enum wi_layernorm_grade grade) {
    const struct wi_layernorm_shape shape = {.rows = LN_ROWS,
                                             .features = LN_FEATURES,
                                             .here = LN_FEATURES,
                                             .pitch = LN_PITCH,
                                             .state_pitch = WI_LAYERNORM_PIECE,
                                             .epsilon = 1e-5f,
                                             .grade = grade};
    uint16_t gamma[LN_FEATURES], beta[LN_FEATURES], x[LN_FEATURES];
    ln_begin(d, &shape, (struct wi_layernorm_at){0}, gamma, beta);
    for (int r = 0; r < LN_ROWS; r++) {
        fill(d, x, LN_FEATURES, r - LN_ROWS / 2);
        ln_row_before(d, LN_PITCH, r, x, gamma, beta, ln_measure(x, LN_FEATURES));
    }
}

static void ln_exact_before(struct wi_case_data *d) {
    ln_before(d, WI_LAYERNORM_EXACT);
}
static void ln_fast_before(struct wi_case_data *d) {
    ln_before(d, WI_LAYERNORM_FAST);
}

static void ln_after(struct wi_case_data *d) {
    for (int i = 0; i < d->n; i++)
        d->got[i] = from_bf16(bf16_at(d, ln_at(LN_PITCH, i / LN_FEATURES, i % LN_FEATURES, true)));
}

static void ln_exact(struct wi_build *b) {
    wi_layernorm_emit(b, WI_LAYERNORM_EXACT);
}
static void ln_fast(struct wi_build *b) {
    wi_layernorm_emit(b, WI_LAYERNORM_FAST);
}

/* ---------------------------------------------------------------- LayerNorm of a slice */

/* What a core of a column has; fp32 y of as many rows as a piece of state has. */
enum { LS_ROWS = 96, LS_HERE = 128, LS_PITCH = 4096, LS_Y = 0x8000, LS_F32_ROWS = 32 };

static const struct wi_layernorm_shape ls_shape = {.rows = LS_ROWS,
                                                   .features = LN_FEATURES,
                                                   .here = LS_HERE,
                                                   .pitch = LS_PITCH,
                                                   .state_pitch = LS_PITCH,
                                                   .epsilon = 1e-5f,
                                                   .grade = WI_LAYERNORM_FAST};

static uint32_t ls_state(int row) {
    return LN_SCALES + (uint32_t)(row / 32 * LS_PITCH + row % 32 / 4 * 128);
}

static float f32_at(const struct wi_case_data *d, uint32_t offset) {
    float v;
    memcpy(&v, d->memory + offset, 4);
    return v;
}

/* Sums of x, then of x^2. */
static void ls_sums_before(struct wi_case_data *d) {
    uint16_t gamma[LS_HERE], beta[LS_HERE], x[LS_HERE];
    ln_begin(d, &ls_shape, (struct wi_layernorm_at){0}, gamma, beta);
    for (int r = 0; r < LS_ROWS; r++) {
        double sum[2] = {0};
        fill(d, x, LS_HERE, 0);
        ln_row_before(d, LS_PITCH, r, x, gamma, beta, (struct ln_row){0, 1});
        for (int c = 0; c < LS_HERE; c++) {
            sum[0] += from_bf16(x[c]);
            sum[1] += from_bf16(x[c]) * from_bf16(x[c]);
        }
        for (int i = 0; i < 8; i++) {
            float *above = &d->cascade[r / 4 * 2 + i / 4][r % 4 * 4 + i % 4];
            *above = (float)from_bf16(random_bf16(d, 3));
            sum[i / 4] += *above;
        }
        d->want[r] = sum[0];
        d->want[LS_ROWS + r] = sum[1];
    }
    d->n = 2 * LS_ROWS;
    d->row = LS_ROWS;
}

static void ls_sums_after(struct wi_case_data *d) {
    for (int i = 0; i < d->n; i++) {
        const float *lanes = &d->cascade[i % LS_ROWS / 4 * 2 + i / LS_ROWS][i % 4 * 4];
        d->got[i] = (double)lanes[0] + (double)lanes[1] + (double)lanes[2] + (double)lanes[3];
    }
}

/* 1 / deviation, then -mean / deviation. */
static void ls_scales_before(struct wi_case_data *d) {
    uint16_t gamma[LS_HERE], beta[LS_HERE], x[LN_FEATURES];
    ln_begin(d, &ls_shape, (struct wi_layernorm_at){0}, gamma, beta);
    for (int r = 0; r < LS_ROWS; r++) {
        float sum[2][4] = {{0}};
        fill(d, x, LN_FEATURES, r % 16 - 8);
        for (int c = 0; c < LN_FEATURES; c++) {
            sum[0][c % 4] += (float)from_bf16(x[c]);
            sum[1][c % 4] += (float)(from_bf16(x[c]) * from_bf16(x[c]));
        }
        for (uint32_t i = 0; i < 2; i++)
            memcpy(d->memory + ls_state(r) + 64 * i + (uint32_t)r % 4 * 16, sum[i], 16);
        struct ln_row row = ln_measure(x, LN_FEATURES);
        d->want[r] = row.scale;
        d->want[LS_ROWS + r] = -row.mean * row.scale;
    }
    d->n = 2 * LS_ROWS;
    d->row = LS_ROWS;
}

static void ls_scales_after(struct wi_case_data *d) {
    for (int r = 0; r < LS_ROWS; r++) {
        uint32_t lane = ls_state(r) + (uint32_t)r % 4 * 8;
        d->got[r] = from_bf16(bf16_at(d, lane)) + from_bf16(bf16_at(d, lane + 32));
        d->got[LS_ROWS + r] = f32_at(d, ls_state(r) + 64 + (uint32_t)r % 4 * 16);
    }
}

static void ls_put_scale(struct wi_case_data *d, int row, struct ln_row r) {
    uint32_t at = ls_state(row), quarter = (uint32_t)row % 4;
    uint16_t high = wi_f32_to_bf16((float)r.scale);
    uint16_t low = wi_f32_to_bf16((float)(r.scale - from_bf16(high)));
    float shift = (float)(-r.mean * r.scale);
    for (uint32_t i = 0; i < 4; i++) {
        put_bf16(d, at + quarter * 8 + 2 * i, high);
        put_bf16(d, at + 32 + quarter * 8 + 2 * i, low);
        memcpy(d->memory + at + 64 + quarter * 16 + 4 * i, &shift, 4);
    }
}

static void ls_before(struct wi_case_data *d, int rows, enum wi_layernorm_grade grade) {
    uint16_t gamma[LS_HERE], beta[LS_HERE], x[LS_HERE];
    struct wi_layernorm_shape shape = ls_shape;
    shape.rows = rows;
    shape.y_pitch = LS_PITCH;
    shape.grade = grade;
    ln_begin(d, &shape, (struct wi_layernorm_at){.y = WI_CASE_MEMORY + LS_Y}, gamma, beta);
    for (int r = 0; r < rows; r++) {
        fill(d, x, LS_HERE, r % 16 - 8);
        struct ln_row row = ln_measure(x, LS_HERE);
        ls_put_scale(d, r, row);
        ln_row_before(d, LS_PITCH, r, x, gamma, beta, row);
    }
}

static void ls_apply_before(struct wi_case_data *d) {
    ls_before(d, LS_ROWS, WI_LAYERNORM_FAST);
}
static void ls_f32_before(struct wi_case_data *d) {
    ls_before(d, LS_F32_ROWS, WI_LAYERNORM_F32);
}

static void ls_apply_after(struct wi_case_data *d) {
    for (int i = 0; i < d->n; i++)
        d->got[i] = from_bf16(bf16_at(d, ln_at(LS_PITCH, i / LS_HERE, i % LS_HERE, true)));
}

static void ls_f32_after(struct wi_case_data *d) {
    for (int i = 0; i < d->n; i++) {
        uint32_t row = (uint32_t)(i / LS_HERE), c = (uint32_t)(i % LS_HERE);
        d->got[i] = f32_at(d, LS_Y + c / 16 * LS_PITCH + row / 4 * 256 + c % 16 / 8 * 128 +
                                  row % 4 * 32 + c % 8 * 4);
    }
}

static void ls_emit_sums(struct wi_build *b) {
    wi_layernorm_emit_sums(b, WI_LAYERNORM_FROM_CASCADE | WI_LAYERNORM_TO_CASCADE);
}
static void ls_emit_scales(struct wi_build *b) {
    wi_layernorm_emit_scales(b, WI_LAYERNORM_FAST);
}
static void ls_emit_apply(struct wi_build *b) {
    wi_layernorm_emit_apply(b, WI_LAYERNORM_FAST);
}
static void ls_emit_f32(struct wi_build *b) {
    wi_layernorm_emit_apply(b, WI_LAYERNORM_F32);
}

/* ---------------------------------------------------------------- moves */

enum { MOVE_OUT = 0x4000, MOVE_PARAMS = 0xc000, MOVE_VALUES = 4096, Q_VALUES = 96 * 64 };

static void move_begin(struct wi_case_data *d, const void *params, size_t n_bytes, int n) {
    memcpy(d->memory + MOVE_PARAMS, params, n_bytes);
    d->params = MOVE_PARAMS;
    d->n = n;
    d->row = 64;
}

static void move_values(struct wi_case_data *d) {
    for (int i = 0; i < d->n; i++) {
        uint16_t v = random_bf16(d, 0);
        put_bf16(d, 2 * (uint32_t)i, v);
        d->want[i] = from_bf16(v);
    }
}

static void copy_before(struct wi_case_data *d) {
    const struct wi_tiles_side in = {WI_CASE_MEMORY, 64, 128, 8192, 64};
    const struct wi_tiles_side out = {WI_CASE_MEMORY + MOVE_OUT, 64, 128, 8192, 64};
    struct wi_tiles_params params;
    wi_tiles_params(&params, WI_TILES_COPY, 64, &in, &out);
    move_begin(d, &params, sizeof params, MOVE_VALUES);
    move_values(d);
}

static void bf16_after(struct wi_case_data *d) {
    for (int i = 0; i < d->n; i++)
        d->got[i] = from_bf16(bf16_at(d, MOVE_OUT + 2 * (uint32_t)i));
}

/* Two panels of 16 of 64 features in each of two banks; want: queries side by side, got: the same
 * from tiles of 8 x 4. */
static uint32_t q_at(int query, int c, bool after) {
    int tile = c / 32 * 0x4000 + c % 32 / 16 * 0x1000 + query / 4 * 128 + c % 16 / 8 * 64;
    return (uint32_t)(tile + (after ? c % 8 * 8 + query % 4 * 2 : query % 4 * 16 + c % 8 * 2));
}

static void q_before(struct wi_case_data *d) {
    const struct wi_tiles_side q = {WI_CASE_MEMORY, 48, 64, 4096, 0x4000};
    struct wi_tiles_params params;
    wi_tiles_params(&params, WI_TILES_TRANSPOSE_A8, 96, &q, &q);
    move_begin(d, &params, sizeof params, Q_VALUES);
    for (int i = 0; i < d->n; i++) {
        uint16_t v = random_bf16(d, 0);
        put_bf16(d, q_at(i / 64, i % 64, false), v);
        d->want[i] = from_bf16(v);
    }
}

static void q_after(struct wi_case_data *d) {
    for (int i = 0; i < d->n; i++)
        d->got[i] = from_bf16(bf16_at(d, q_at(i / 64, i % 64, true)));
}

static const struct wi_convert_params conversion = {WI_CASE_MEMORY, WI_CASE_MEMORY + MOVE_OUT,
                                                    MOVE_VALUES / WI_CONVERT_STEP};

static void to_f32_before(struct wi_case_data *d) {
    move_begin(d, &conversion, sizeof conversion, MOVE_VALUES);
    move_values(d);
}

static void to_f32_after(struct wi_case_data *d) {
    for (int i = 0; i < d->n; i++) {
        float v;
        memcpy(&v, d->memory + MOVE_OUT + 4 * i, 4);
        d->got[i] = v;
    }
}

static void to_bf16_before(struct wi_case_data *d) {
    move_begin(d, &conversion, sizeof conversion, MOVE_VALUES);
    for (int i = 0; i < d->n; i++) {
        float v = (float)(random_bits(d) / 0x1p32 - 0.5);
        memcpy(d->memory + 4 * i, &v, 4);
        d->want[i] = v;
    }
}

static void tiles_apart(struct wi_build *b) {
    wi_tiles_emit(b, WI_TILES_APART);
}
static void tiles_in_place(struct wi_build *b) {
    wi_tiles_emit(b, WI_TILES_IN_PLACE);
}

/* ---------------------------------------------------------------- attention block */

enum {
    ONLINE_BOUND = 2 * (WI_ATT_QUERIES * WI_ATT_ONLINE_KEYS * WI_ATT_D / 128),
    QUERIES = WI_ATT_QUERIES,
    KEYS = WI_ATT_KEYS,
    D = WI_ATT_D,
    PITCH = WI_ATT_PITCH,
    ATT_V = 0x0c00,
    ATT_S = 0x4c00,
    ATT_O = 0x8000,
    ATT_K = 0x8c00,
    ATT_L = 0xec00,
    ATT_C = 0xfe00,
    ATT_PARAMS = 0xff80
};

static void att_pack(struct wi_case_data *d, uint16_t q[QUERIES][D], uint16_t k[KEYS][D],
                     uint16_t v[KEYS][D]) {
    for (uint32_t c = 0; c < D; c++) {
        uint32_t piece = c / 16 * PITCH, half = c % 16 / 8 * 64;
        for (uint32_t i = 0; i < QUERIES; i++)
            put_bf16(d, piece + i / 4 * 128 + half + c % 8 * 8 + i % 4 * 2, q[i][c]);
        for (uint32_t i = 0; i < KEYS; i++) {
            put_bf16(d, ATT_K + piece + i / 4 * 128 + half + i % 4 * 16 + c % 8 * 2, k[i][c]);
            put_bf16(d, ATT_V + piece + i / 8 * 256 + c % 16 / 4 * 64 + i % 8 * 8 + c % 4 * 2,
                     v[i][c]);
        }
    }
}

static uint32_t att_o(uint32_t c, uint32_t q) {
    uint32_t tile = c / 4, e = tile / 2;
    return ATT_O + tile % 2 * 0x4000 + e / 2 * PITCH + e % 2 * 1536 + q / 4 * 64 + c % 4 * 16 +
           q % 4 * 4;
}

static void att_softmax(struct wi_case_data *d, int n_keys, uint16_t q[QUERIES][D],
                        uint16_t k[KEYS][D], uint16_t v[KEYS][D]) {
    for (int i = 0; i < QUERIES; i++) {
        double weight[KEYS], sum = 0;
        for (int key = 0; key < n_keys; key++) {
            double s = 0;
            for (int c = 0; c < D; c++)
                s += from_bf16(q[i][c]) * from_bf16(k[key][c]);
            sum += weight[key] = exp2(s);
        }
        for (int c = 0; c < D; c++) {
            d->want[i * D + c] = 0;
            for (int key = 0; key < n_keys; key++)
                d->want[i * D + c] += weight[key] / sum * from_bf16(v[key][c]);
        }
    }
}

/* c: the constant of each query, or its maximum so far. */
static void att_begin(struct wi_case_data *d, int n_keys, float c) {
    uint16_t q[QUERIES][D], k[KEYS][D], v[KEYS][D];
    const float zero = 0;
    const struct wi_att_params params = {.q = WI_CASE_MEMORY,
                                         .k = WI_CASE_MEMORY + ATT_K,
                                         .v = WI_CASE_MEMORY + ATT_V,
                                         .s = WI_CASE_MEMORY + ATT_S,
                                         .o = WI_CASE_MEMORY + ATT_O,
                                         .l = WI_CASE_MEMORY + ATT_L,
                                         .c = WI_CASE_MEMORY + ATT_C};
    fill(d, q[0], QUERIES * D, -3);
    fill(d, k[0], KEYS * D, 0);
    fill(d, v[0], KEYS * D, 0);
    att_pack(d, q, k, v);
    for (uint32_t i = 0; i < QUERIES; i++)
        memcpy(d->memory + ATT_C + 4 * i, &c, 4);
    for (uint32_t i = 0; i < 4 * QUERIES; i++)
        memcpy(d->memory + ATT_L + i / 256 * PITCH + i % 256 * 4, &zero, 4);
    for (uint32_t i = 0; i < QUERIES * D; i++)
        memcpy(d->memory + att_o(i % D, i / D), &zero, 4);
    memcpy(d->memory + ATT_PARAMS, &params, sizeof params);
    d->params = ATT_PARAMS;
    d->n = QUERIES * D;
    d->row = D;
    att_softmax(d, n_keys, q, k, v);
}

static void att_before(struct wi_case_data *d) {
    att_begin(d, KEYS, WI_ATT_OFFSET);
}

static void online_before(struct wi_case_data *d) {
    att_begin(d, WI_ATT_ONLINE_KEYS, -0x1p126f);
}

static void exact_before(struct wi_case_data *d) {
    att_begin(d, WI_ATT_ONLINE_KEYS, 0);
}

/* O / l */
static void att_after(struct wi_case_data *d) {
    for (uint32_t q = 0; q < QUERIES; q++) {
        double l = 0;
        for (uint32_t r = 0; r < 4; r++) {
            float part;
            uint32_t at = q / 4 * 64 + r * 16 + q % 4 * 4;
            memcpy(&part, d->memory + ATT_L + at / 1024 * PITCH + at % 1024, 4);
            l += part;
        }
        for (uint32_t c = 0; c < D; c++) {
            float o;
            memcpy(&o, d->memory + att_o(c, q), 4);
            d->got[q * D + c] = o / l;
        }
    }
}

static uint32_t att_s(uint32_t q, uint32_t key) {
    uint32_t piece = q / 16, at = piece < 4 ? piece * PITCH : 0x8000 + (piece - 4) * PITCH;
    return ATT_S + at + q % 16 / 4 * 256 + key / 4 * 32 + key % 4 * 8 + q % 4 * 2;
}

/* Scores of the first keys, 7 bits behind the point, as their 16-bit patterns. */
static void scores_before(struct wi_case_data *d, int n_keys) {
    struct wi_att_params params = {.s = WI_CASE_MEMORY + ATT_S, .c = WI_CASE_MEMORY + ATT_C};
    wi_att_mask(&params, n_keys);
    memcpy(d->memory + ATT_PARAMS, &params, sizeof params);
    d->params = ATT_PARAMS;
    d->n = QUERIES * KEYS;
    d->row = KEYS;
    for (uint32_t i = 0; i < QUERIES * KEYS; i++) {
        int score = (int)(random_bits(d) % 4096) - 2048;
        put_bf16(d, att_s(i / KEYS, i % KEYS), (uint16_t)score);
        d->want[i] = (int)(i % KEYS) < n_keys ? score : 0;
    }
}

static void mask_before(struct wi_case_data *d) {
    scores_before(d, 1500 % KEYS);
}

static void reference_before(struct wi_case_data *d) {
    enum { GROUP = 16 * KEYS };
    scores_before(d, KEYS);
    for (double *group = d->want; group < d->want + d->n; group += GROUP) {
        double most = group[0];
        for (int i = 1; i < GROUP; i++)
            most = fmax(most, group[i]);
        for (int i = 0; i < GROUP; i++)
            group[i] += 127 * 128 - most;
    }
}

static void scores_after(struct wi_case_data *d) {
    for (uint32_t i = 0; i < QUERIES * KEYS; i++)
        d->got[i] = (int16_t)bf16_at(d, att_s(i / KEYS, i % KEYS));
}

static void finish_before(struct wi_case_data *d) {
    const struct wi_att_params params = {.s = WI_CASE_MEMORY + ATT_S,
                                         .o = WI_CASE_MEMORY + ATT_O,
                                         .l = WI_CASE_MEMORY + ATT_L,
                                         .out = WI_CASE_MEMORY};
    float l[QUERIES] = {0};
    for (uint32_t i = 0; i < 4 * QUERIES; i++) {
        float part = (float)(1 + random_bits(d) / 0x1p32);
        memcpy(d->memory + ATT_L + i / 256 * PITCH + i % 256 * 4, &part, 4);
        l[i / 16 * 4 + i % 4] += part;
    }
    for (uint32_t i = 0; i < QUERIES * D; i++) {
        float o = (float)(random_bits(d) / 0x1p32 - 0.5);
        memcpy(d->memory + att_o(i % D, i / D), &o, 4);
        d->want[i] = (double)o / l[i / D];
    }
    memcpy(d->memory + ATT_PARAMS, &params, sizeof params);
    d->params = ATT_PARAMS;
    d->n = QUERIES * D;
    d->row = D;
}

static void finish_after(struct wi_case_data *d) {
    for (uint32_t i = 0; i < QUERIES * D; i++)
        d->got[i] = from_bf16(bf16_at(d, i % D / 16 * PITCH + i / D / 4 * 128 + i % 16 / 8 * 64 +
                                             i / D % 4 * 16 + i % 8 * 2));
}

/* ---------------------------------------------------------------- all of them */

/* Bounds: products / 128 a cycle; attention also 12 cycles per 64 powers and
 * at its end 4 stores and conversions per 16, of its reference loads and stores; GELU 20 per 32,
 * by table 14; LayerNorm 4 per 64 for sums and 12, 8 or, in fp32, 16 for y. */
static const struct wi_case cases[] = {
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
    {"gelu", "6144 elements", "in place in 4 panels, bf16", "1024 elements: 1.52 ms",
     GELU_VALUES / 32 * 20, wi_gelu_emit, gelu_before, gelu_after},
    {"gelu-add", "96x128", "in place in 8 panels, bf16; r likewise", NULL,
     GELU_ADD_VALUES / 32 * 20, wi_gelu_emit, gelu_add_before, gelu_after},
    {"gelu-table", "6144 elements", "in place in 4 panels, bf16; table in 2 banks",
     "1024 elements: 1.52 ms", GELU_VALUES / 32 * 14, wi_gelu_table_emit, gelu_table_before,
     gelu_after},
    {"layernorm", "16x512", "pairs of 4x4 tiles to 4x8 in place, bf16", "1024 elements: 0.83 ms",
     LN_VALUES / 64 * (4 + 12), ln_exact, ln_exact_before, ln_after},
    {"layernorm-fast", "16x512", "pairs of 4x4 tiles to 4x8 in place, bf16",
     "1024 elements: 0.83 ms", LN_VALUES / 64 * (4 + 8), ln_fast, ln_fast_before, ln_after},
    {"layernorm-sums", "96x128", "pairs of 4x4 tiles; cascade in and out", NULL,
     LS_ROWS *LS_HERE / 64 * 4, ls_emit_sums, ls_sums_before, ls_sums_after},
    {"layernorm-scales", "96 rows", "sums to scales in place", NULL, 0, ls_emit_scales,
     ls_scales_before, ls_scales_after},
    {"layernorm-apply", "96x128", "pairs of 4x4 tiles to 4x8 in place, bf16", NULL,
     LS_ROWS *LS_HERE / 64 * 8, ls_emit_apply, ls_apply_before, ls_apply_after},
    {"layernorm-f32", "32x128", "pairs of 4x4 tiles to 4x8, bf16 to fp32", NULL,
     LS_F32_ROWS *LS_HERE / 64 * 16, ls_emit_f32, ls_f32_before, ls_f32_after},
    {"softmax", "16x1500", "rows in place, 8 in each half of memory, bf16",
     "1024 elements: 1.54 ms", WI_SOFTMAX_ROWS / 2 * (24 * (4 + 8) + 47 * 16), wi_softmax_emit,
     softmax_before, softmax_after},
    {"copy", "8 KB", "blocks of 128 bytes to another bank", NULL, MOVE_VALUES / 16, tiles_apart,
     copy_before, bf16_after},
    {"transpose", "96x64", "4x8 tiles to 8x4 in place, in 2 banks, bf16", NULL, Q_VALUES / 16,
     tiles_in_place, q_before, q_after},
    {"add", "96x128", "in place in 8 panels, bf16; r likewise", NULL, GELU_ADD_VALUES / 8,
     wi_add_emit, add_before, gelu_after},
    {"to-f32", "4096 elements", "bf16 to fp32, in 2 banks", NULL, MOVE_VALUES / 8,
     wi_convert_to_f32_emit, to_f32_before, to_f32_after},
    {"to-bf16", "4096 elements", "fp32 to bf16, in 2 banks", NULL, MOVE_VALUES / 8,
     wi_convert_to_bf16_emit, to_bf16_before, bf16_after},
    {"attention", "96 queries, 32 keys, d 64", "Q, K, V in panels and pieces; O, l in fp32", NULL,
     2 * (QUERIES * KEYS * D / 128) + QUERIES *KEYS / 64 * 12, wi_att_block_emit, att_before,
     att_after},
    {"attention-add", "96 queries, 32 keys, d 64",
     "the same, the constant added to scores by vadd.f", NULL,
     2 * (QUERIES * KEYS * D / 128) + QUERIES *KEYS / 16 + QUERIES *KEYS / 64 * 12,
     wi_att_add_block_emit, att_before, att_after},
    {"attention-online", "96 queries, 16 keys, d 64", "the same with fp32 scores, running maxima",
     NULL,
     ONLINE_BOUND + QUERIES *KEYS / 2 / 64 * (22 + 12) + QUERIES *D / 16 * 4 + QUERIES / 8 * 61,
     wi_att_online_block_emit, online_before, att_after},
    {"attention-exact", "96 queries, 16 keys, d 64",
     "the same with fp32 scores, 2^y by a polynomial", NULL,
     ONLINE_BOUND + QUERIES *KEYS / 2 / 64 * 50, wi_att_exact_block_emit, exact_before, att_after},
    {"attention-ref", "96 queries, 32 keys", "scores in place, constants", NULL,
     QUERIES *KEYS / 16 + QUERIES *KEYS / 16 + QUERIES / 4 * 2, wi_att_reference_emit,
     reference_before, scores_after},
    {"attention-mask", "96 queries, 32 keys", "scores in place", NULL, QUERIES *KEYS / 16,
     wi_att_mask_emit, mask_before, scores_after},
    {"attention-finish", "96 queries, d 64", "O, l in fp32 to panels of bf16", NULL,
     QUERIES *D / 16 * 4, wi_att_finish_emit, finish_before, finish_after},
};

const struct wi_case *wi_case_at(size_t i) {
    return i < sizeof cases / sizeof *cases ? &cases[i] : NULL;
}

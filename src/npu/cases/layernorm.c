#include <math.h>

#include "npu/cases/impl.h"
#include "npu/kernels/layernorm.h"

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

/* ---------------------------------------------------------------- the cases */

/* Bounds: 4 cycles per 64 for sums, and 12, 8 or, in fp32, 16 for y. */
const struct wi_case wi_cases_layernorm[] = {
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
    {0}};

#include <math.h>

#include "npu/cases/impl.h"
#include "npu/kernels/add.h"
#include "npu/kernels/gelu.h"
#include "npu/kernels/gelu_table.h"
#include "npu/kernels/softmax.h"

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

/* ---------------------------------------------------------------- the cases */

/* Bounds of GELU: 20 cycles per 32, by table 14. */
const struct wi_case wi_cases_rows[] = {
    {"gelu", "6144 elements", "in place in 4 panels, bf16", "1024 elements: 1.52 ms",
     GELU_VALUES / 32 * 20, wi_gelu_emit, gelu_before, gelu_after},
    {"gelu-add", "96x128", "in place in 8 panels, bf16; r likewise", NULL,
     GELU_ADD_VALUES / 32 * 20, wi_gelu_emit, gelu_add_before, gelu_after},
    {"gelu-table", "6144 elements", "in place in 4 panels, bf16; table in 2 banks",
     "1024 elements: 1.52 ms", GELU_VALUES / 32 * 14, wi_gelu_table_emit, gelu_table_before,
     gelu_after},
    {"add", "96x128", "in place in 8 panels, bf16; r likewise", NULL, GELU_ADD_VALUES / 8,
     wi_add_emit, add_before, gelu_after},
    {"softmax", "16x1500", "rows in place, 8 in each half of memory, bf16",
     "1024 elements: 1.54 ms", WI_SOFTMAX_ROWS / 2 * (24 * (4 + 8) + 47 * 16), wi_softmax_emit,
     softmax_before, softmax_after},
    {0}};

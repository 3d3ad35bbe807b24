#include "npu/cases/impl.h"
#include "npu/kernels/convert.h"
#include "npu/kernels/tiles.h"

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

/* ---------------------------------------------------------------- the cases */

const struct wi_case wi_cases_moves[] = {
    {"copy", "8 KB", "blocks of 128 bytes to another bank", NULL, MOVE_VALUES / 16, tiles_apart,
     copy_before, bf16_after},
    {"transpose", "96x64", "4x8 tiles to 8x4 in place, in 2 banks, bf16", NULL, Q_VALUES / 16,
     tiles_in_place, q_before, q_after},
    {"to-f32", "4096 elements", "bf16 to fp32, in 2 banks", NULL, MOVE_VALUES / 8,
     wi_convert_to_f32_emit, to_f32_before, to_f32_after},
    {"to-bf16", "4096 elements", "fp32 to bf16, in 2 banks", NULL, MOVE_VALUES / 8,
     wi_convert_to_bf16_emit, to_bf16_before, bf16_after},
    {0}};

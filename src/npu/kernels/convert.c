#include "npu/kernels/convert.h"

#include "npu/kernels/ops.h"

enum { BANK_IN = 1, BANK_OUT = 2, STREAM_IN = 1, STREAM_OUT };

static void emit(struct wi_build *b, bool widens) {
#define AT(field) offsetof(struct wi_convert_params, field)
    struct wi_vreg in = wi_k_param(b, WI_FAMILY_P, AT(in), "in");
    struct wi_vreg out = wi_k_param(b, WI_FAMILY_P, AT(out), "out");
    struct wi_vreg steps = wi_k_param(b, WI_FAMILY_R, AT(steps), "steps");
    const struct wi_mem from = wi_k_next(in, 32, BANK_IN, STREAM_IN);
    const struct wi_mem to = wi_k_next(out, 32, BANK_OUT, STREAM_OUT);
    wi_k_round_even(b);
    wi_build_loop(b, (struct wi_loop){.name = "convert", .steps = steps});
    for (int i = 0; i < WI_CONVERT_STEP / 16; i++) {
        struct wi_vreg v = wi_k_bm(b, "values");
        if (widens) {
            wi_build_load_f32(b, v, from);
            wi_build_store(b, wi_low(v), to);
            wi_build_store(b, wi_high(v), to);
        } else {
            wi_build_load(b, wi_low(v), from);
            wi_build_load(b, wi_high(v), from);
            wi_build_store_bf16(b, v, to);
        }
    }
    wi_build_end_loop(b);
}

void wi_convert_to_f32_emit(struct wi_build *b) {
    emit(b, true);
}

void wi_convert_to_bf16_emit(struct wi_build *b) {
    emit(b, false);
}

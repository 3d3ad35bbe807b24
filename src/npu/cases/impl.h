/* What the files of cases share.  Each has a table that ends with an empty row. */
#ifndef WISP_SRC_NPU_CASES_IMPL_H
#define WISP_SRC_NPU_CASES_IMPL_H

#include <string.h>

#include "base/dtype.h"
#include "npu/cases/cases.h"

extern const struct wi_case wi_cases_products[], wi_cases_rows[], wi_cases_layernorm[],
    wi_cases_moves[], wi_cases_attention[];

/* The next 32 bits of a generator. */
uint32_t wi_case_random(uint64_t *seed);

static inline uint32_t random_bits(struct wi_case_data *d) {
    return wi_case_random(&d->seed);
}
static inline double from_bf16(uint16_t v) {
    return wi_bf16_to_f32(v);
}
static inline uint16_t random_bf16(struct wi_case_data *d, int exponent) {
    return wi_case_random_bf16(&d->seed, exponent);
}
static inline void fill(struct wi_case_data *d, uint16_t *v, int n, int exponent) {
    for (int i = 0; i < n; i++)
        v[i] = random_bf16(d, exponent);
}
static inline uint16_t bf16_at(const struct wi_case_data *d, uint32_t offset) {
    uint16_t v;
    memcpy(&v, d->memory + offset, 2);
    return v;
}
static inline void put_bf16(struct wi_case_data *d, uint32_t offset, uint16_t v) {
    memcpy(d->memory + offset, &v, 2);
}

#endif

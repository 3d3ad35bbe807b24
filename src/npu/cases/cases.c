#include "npu/cases/impl.h"

uint32_t wi_case_random(uint64_t *seed) { /* xorshift64 */
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return (uint32_t)(*seed >> 16);
}

uint16_t wi_case_random_bf16(uint64_t *seed, int exponent) {
    uint32_t bits = wi_case_random(seed);
    return (uint16_t)((bits & 0x807f) | (uint32_t)(127 + exponent) << 7);
}

const struct wi_case *wi_case_at(size_t i) {
    static const struct wi_case *const tables[] = {
        wi_cases_products, wi_cases_rows, wi_cases_layernorm, wi_cases_moves, wi_cases_attention};
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (const struct wi_case *c = tables[t]; c->kernel; c++)
            if (i-- == 0)
                return c;
    return NULL;
}

#include "inputs.h"

#include "unit/suite.h"

#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static uint64_t rng_state = 88172645463325252ull;

uint32_t rng(void) { /* splitmix64 */
    uint64_t z = (rng_state += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return (uint32_t)(z >> 32);
}

float uniform(float lo, float hi) {
    return lo + (hi - lo) * (float)(rng() >> 8) * 0x1p-24f;
}

float any_nan(void) {
    uint32_t bits = 0x7f800001u | (rng() & 0x807fffffu);
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

void *guarded_alloc(struct guarded *g, size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t data = (bytes + page - 1) / page * page;
    g->map_bytes = data + page;
    g->map = mmap(NULL, g->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(g->map != MAP_FAILED);
    assert_int_equal(mprotect(g->map + data, page, PROT_NONE), 0);
    return g->map + data - bytes;
}

void guarded_free(struct guarded *g) {
    munmap(g->map, g->map_bytes);
}

float *padded(struct guarded *g, int rows, int cols) {
    size_t n = (size_t)(rows - 1) * (size_t)(cols + PAD) + (size_t)cols;
    float *x = guarded_alloc(g, n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = NAN;
    return x;
}

void random_row(enum wi_dtype type, uint8_t *dst, double *values, int n) {
    int block = wi_dtype_block(type);
    for (int i = 0; i < n; i += block) {
        float x = uniform(-1, 1), d = uniform(0.001f, 0.01f), m = uniform(-0.1f, 0.1f);
        uint16_t dh = wi_f32_to_f16(d), mh = wi_f32_to_f16(m);
        double dd = wi_f16_to_f32(dh), mm = wi_f16_to_f32(mh);
        uint8_t *p = dst + (size_t)(i / block) * wi_dtype_block_bytes(type);
        uint32_t high = rng();
        uint16_t h;
        switch (type) {
        case WI_F32:
            memcpy(p, &x, 4);
            values[i] = x;
            break;
        case WI_F16:
            h = wi_f32_to_f16(x);
            memcpy(p, &h, 2);
            values[i] = wi_f16_to_f32(h);
            break;
        case WI_BF16:
            h = wi_f32_to_bf16(x);
            memcpy(p, &h, 2);
            values[i] = wi_bf16_to_f32(h);
            break;
        default: {
            bool q5 = type == WI_Q5_0 || type == WI_Q5_1, min = type == WI_Q4_1 || type == WI_Q5_1;
            memcpy(p, &dh, 2);
            uint8_t *q = p + 2;
            if (min) {
                memcpy(q, &mh, 2);
                q += 2;
            }
            if (q5) {
                memcpy(q, &high, 4);
                q += 4;
            }
            for (int j = 0; j < 32; j++) {
                if (type == WI_Q8_0) {
                    q[j] = (uint8_t)rng();
                    values[i + j] = (float)(dd * (int8_t)q[j]);
                    continue;
                }
                if (j < 16)
                    q[j] = (uint8_t)rng();
                int v = j < 16 ? q[j] & 15 : q[j - 16] >> 4;
                if (q5)
                    v |= (int)(high >> j & 1) << 4;
                values[i + j] = min ? (double)(float)(dd * v) + mm : dd * (v - (q5 ? 16 : 8));
            }
        }
        }
    }
}

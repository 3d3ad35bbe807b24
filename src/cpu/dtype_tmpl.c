/* Weights to f32 and f32 to bf16, one part of kern_tmpl.c. */

INLINE float f16_at(const uint8_t *p) {
    uint16_t h;
    memcpy(&h, p, 2);
    return wi_f16_to_f32(h);
}

INLINE void dequant_q8(const uint8_t *restrict src, float *restrict dst, int n) {
    for (int i = 0; i < n; i += 32, src += 34) {
        float d = f16_at(src);
        for (int j = 0; j < 32; j++)
            dst[i + j] = d * (float)(int8_t)src[2 + j];
    }
}

#ifndef LOAD_U8
INLINE vi load_u8(const uint8_t *p) {
    vi x;
    for (int i = 0; i < VLEN; i++)
        x[i] = p[i];
    return x;
}
#define LOAD_U8(p) load_u8(p)
#endif

/* q4_0, q4_1, q5_0, q5_1: value j < 16 of 32 is in the low half of byte j of 16, value j + 16 in
 * its high half; the fifth bits are in one word.  d * (q - zero) and d * q + m: each as its format
 * defines it, so that the value is exact. */
INLINE void dequant_q45(const uint8_t *restrict src, float *restrict dst, int n, bool five,
                        bool has_min) {
    const int zero = five ? 16 : 8, header = has_min ? 4 : 2, quants = header + (five ? 4 : 0);
    vu bit; /* of lane i: 1 << i */
    for (int i = 0; i < VLEN; i++)
        bit[i] = 1u << i;
    for (int i = 0; i < n; i += 32, src += quants + 16) {
        float d = f16_at(src), m = has_min ? f16_at(src + 2) : 0;
        uint32_t high = 0;
        if (five)
            memcpy(&high, src + header, sizeof high);
        for (int j = 0; j < 16; j += VLEN) {
            vi q[2] = {LOAD_U8(src + quants + j)};
            q[1] = q[0] >> 4;
            q[0] &= 15;
            for (int half = 0; half < 2; half++) {
                if (five)
                    q[half] |= (vi)((bit & high >> (j + 16 * half)) == bit) & 16;
                if (!has_min)
                    q[half] -= zero;
                vf x = __builtin_convertvector(q[half], vf) * d;
                store(dst + i + j + 16 * half, has_min ? x + m : x);
            }
        }
    }
}

#ifndef LOAD_F16
/* As wi_f16_to_f32. */
INLINE vf load_f16(const uint8_t *p) {
    vs halves;
    memcpy(&halves, p, sizeof halves);
    vu h = __builtin_convertvector(halves, vu), magnitude = (h & 0x7fff) << 13;
    vf x = blend((vi)(magnitude >= 0x0f800000), (vf)(magnitude | 0x7f800000),
                 (vf)magnitude * 0x1p112f);
    return (vf)((vu)x | (h & 0x8000) << 16);
}
#define LOAD_F16(p) load_f16(p)
#endif

static void SUFFIX(dequant)(enum wi_dtype type, const uint8_t *restrict src, float *restrict dst,
                            int n) {
    switch (type) {
    case WI_F32: memcpy(dst, src, (size_t)n * 4); break;
    case WI_F16: {
        int i = 0;
        for (; i + VLEN <= n; i += VLEN)
            store(dst + i, LOAD_F16(src + 2 * i));
        for (; i < n; i++)
            dst[i] = f16_at(src + 2 * i);
        break;
    }
    case WI_BF16:
        for (int i = 0; i < n; i++) {
            uint16_t b;
            memcpy(&b, src + 2 * i, 2);
            dst[i] = wi_bf16_to_f32(b);
        }
        break;
    case WI_Q4_0: dequant_q45(src, dst, n, false, false); break;
    case WI_Q4_1: dequant_q45(src, dst, n, false, true); break;
    case WI_Q5_0: dequant_q45(src, dst, n, true, false); break;
    case WI_Q5_1: dequant_q45(src, dst, n, true, true); break;
    case WI_Q8_0: dequant_q8(src, dst, n); break;
    case WI_N_DTYPES: break;
    }
}

/* Nearest even: half a unit less one is added, and one more where the last bit that stays is odd.
 * NaN gets its quiet bit, which is among those that stay. */
INLINE vs bf16_v(vf x) {
    vu u = (vu)x;
    vu rounded = u + 0x7fff + (u >> 16 & 1);
    return __builtin_convertvector((vu)blend(x == x, (vf)rounded, (vf)(u | 0x400000)) >> 16, vs);
}

static void SUFFIX(to_bf16)(const float *src, uint16_t *dst, int n) {
    int i = 0;
    for (; i + VLEN <= n; i += VLEN) {
        vs b = bf16_v(load(src + i));
        memcpy(dst + i, &b, sizeof b);
    }
    if (i < n) {
        vs b = bf16_v(load_part(src + i, n - i));
        memcpy(dst + i, &b, (size_t)(n - i) * sizeof *dst);
    }
}

/* Vectors of VLEN floats, exp and GELU on them; one part of kern_tmpl.c. */

typedef float vf __attribute__((vector_size(4 * VLEN)));
typedef int32_t vi __attribute__((vector_size(4 * VLEN)));
typedef uint32_t vu __attribute__((vector_size(4 * VLEN)));
typedef uint16_t vs __attribute__((vector_size(2 * VLEN)));
typedef float vf_unaligned __attribute__((vector_size(4 * VLEN), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))

/* A loop over registers: constant bounds of at most 16. */
#ifdef __clang__
#define UNROLLED _Pragma("clang loop unroll(full)")
#else
#define UNROLLED _Pragma("GCC unroll 16")
#endif

INLINE vf load(const float *p) {
    return *(const vf_unaligned *)p;
}
INLINE void store(float *p, vf x) {
    *(vf_unaligned *)p = x;
}
INLINE vf splat(float x) {
    return x - (vf){0};
}
INLINE vf blend(vi mask, vf a, vf b) {
    return (vf)((mask & (vi)a) | (~mask & (vi)b));
}

#ifdef SUM_LANES
INLINE float sum_lanes(vf x) {
    return SUM_LANES(x);
}
INLINE float max_lanes(vf x) {
    return MAX_LANES(x);
}
#else
INLINE float sum_lanes(vf x) {
    float total = 0;
    for (int i = 0; i < VLEN; i++)
        total += x[i];
    return total;
}

/* Of a vector without NaN. */
INLINE float max_lanes(vf x) {
    float max = x[0];
    for (int i = 1; i < VLEN; i++)
        max = x[i] > max ? x[i] : max;
    return max;
}
#endif

/* exp(x) for x <= 88: 2^n e^r with |r| <= ln(2)/2 and the Taylor polynomial of degree 7, whose
 * truncation error is 0.3466^8/8! = 5e-9; at most 2.5 x 2^-24 with all
 * roundings (kcheck --accuracy).  Below -87.33 the
 * result is 0 (no denormals); NaN stays NaN. */
INLINE vf exp_v(vf x) {
    const vf magic = splat(0x1.8p23f); /* adding it rounds to an integer in the low mantissa bits */
    vf t = x * 1.44269504f + magic;
    vf n = t - magic;
    vf r = x - n * 0x1.62e4p-1f; /* ln 2 in two parts: the first has 12 bits, n * it is exact */
    r = r - n * 0x1.7f7d1cp-20f;
    vf p = splat(1 / 5040.0f);
    p = p * r + 1 / 720.0f;
    p = p * r + 1 / 120.0f;
    p = p * r + 1 / 24.0f;
    p = p * r + 1 / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
#ifdef SCALE2
    return blend(x < -87.33f, splat(0), SCALE2(p, n));
#else
    vf y = (vf)((vu)p + ((vu)t << 23)); /* wraps below -87.33 */
    y = blend(x < -87.33f, splat(0), y);
    return blend(x == x, y, x);
#endif
}

/* GELU x Phi(x) through the tail Q = erfc(|x| / sqrt 2) / 2, so that large negative x keeps its
 * relative accuracy: erfc(y) = exp(-y^2) t P(t), t = 1 / (1 + 0.4 y), P from tools/fit_erfcx.py
 * with relative error 4e-8 on y <= 7.5; beyond that exp(-y^2) < 4e-25. */
INLINE vf gelu_v(vf x) {
    vf z = (vf)((vi)x & 0x7fffffff) * 0.707106781f;
    vf t = 1.0f / (1.0f + 0.4f * z);
    vf p = splat(0.0346375443f);
    p = p * t - 0.107240036f;
    p = p * t + 0.013452203f;
    p = p * t + 0.171562538f;
    p = p * t + 0.0196491666f;
    p = p * t + 0.220184326f;
    p = p * t + 0.194672376f;
    p = p * t + 0.227514833f;
    p = p * t + 0.225567088f;
    /* not -z^2: z is rounded, and its error would count twice */
    vf tail = 0.5f * p * t * exp_v(-0.5f * (x * x));
    vf phi = blend(x < 0.0f, tail, 1.0f - tail);
    /* -INFINITY * 0 would be NaN; GELU's limit there is 0 */
    return blend(x < -1e4f, splat(-0.0f), x * phi);
}

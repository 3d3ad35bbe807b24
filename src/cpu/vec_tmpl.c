/* Vectors of VLEN floats, exp and GELU on them; one part of kern_tmpl.c. */

typedef float vf __attribute__((vector_size(4 * VLEN)));
typedef int32_t vi __attribute__((vector_size(4 * VLEN)));
typedef uint32_t vu __attribute__((vector_size(4 * VLEN)));
typedef uint16_t vs __attribute__((vector_size(2 * VLEN)));
typedef uint8_t vb __attribute__((vector_size(VLEN)));
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
/* VLEN values of the product's type. */
INLINE void store_values(value *p, vf x) {
#ifdef BF16_PRODUCTS
    _mm256_storeu_si256((__m256i *)(void *)p, (__m256i)_mm512_cvtneps_pbh((__m512)x));
#else
    store(p, x);
#endif
}
/* n floats or units; of `usual` many, a constant, without a call. */
INLINE void copy_row(void *dst, const void *src, int n, int usual) {
    if (n == usual)
        memcpy(dst, src, (size_t)usual * sizeof(float));
    else
        memcpy(dst, src, (size_t)n * sizeof(float));
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

/* The larger of two; either, if one is NaN. */
#ifdef MAX2
INLINE vf max_v(vf a, vf b) {
    return MAX2(a, b);
}
#else
INLINE vf max_v(vf a, vf b) {
    return blend(a > b, a, b);
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

#ifdef BF16_PRODUCTS
/* exp(scale s - max) and GELU for results that are rounded to bf16 (relative error up to 2^-8): few
 * terms, coefficients from tools/fit_kernels.py. */

/* 2^t for t <= 127 with a relative error of 8e-5. */
INLINE vf exp2_coarse(vf t) {
    __m512 n = _mm512_roundscale_ps((__m512)t, _MM_FROUND_TO_NEAREST_INT);
    vf f = t - (vf)n;
    vf p = splat(0.0551716842f);
    p = p * f + 0.242611122f;
    p = p * f + 0.693260982f;
    p = p * f + 0.999928074f;
    return (vf)_mm512_scalef_ps((__m512)p, n);
}

INLINE vf exp_weight(vf s, float scale, float max) {
    const float log2e = 1.44269504f;
    return exp2_coarse(s * (scale * log2e) - max * log2e);
}

/* As gelu_v: relative error 3e-4 where |GELU(x)| > 1e-30. */
INLINE vf gelu_coarse(vf x) {
    vf z = (vf)((vi)x & 0x7fffffff);
    vf t = (vf)_mm512_rcp14_ps((__m512)(z * (0.35f * 0.707106781f) + 1.0f));
    vf p = splat(0.537142462f);
    p = p * t - 0.306209114f;
    p = p * t + 0.429139556f;
    p = p * t + 0.136556293f;
    p = p * t + 0.203360988f;
    /* at least -200: the square of a large x is infinite; NaN stays, as the second operand */
    vf e = (vf)_mm512_max_ps((__m512)splat(-200.0f), (__m512)(x * x * -0.721347520f));
    vf tail = p * t * 0.5f * exp2_coarse(e);
    return x * blend(x < 0.0f, tail, 1.0f - tail);
}
#define EXP_WEIGHT(s, scale, max) exp_weight(s, scale, max)
#define GELU_VALUES(x) gelu_coarse(x)
#elif defined MAX2
/* exp(scale s - max) for scale s <= max: exp_v without what a weight does not need.  t takes one
 * rounding, which costs a weight of 2^t less the smaller it is; coefficients of degree 6 from
 * tools/fit_kernels.py, relative error 2e-9.  Far below -126 the result is 0 or 2^-126; NaN stays. */
INLINE vf exp_weight(vf s, float scale, float max) {
    const float log2e = 1.44269504f;
    const vf magic = splat(0x1.8p23f + 127); /* the low bits of t + magic are the exponent of 2^n */
    vf t = s * (scale * log2e) - max * log2e;
#ifndef SCALE2
    t = max_v(splat(-126), t); /* NaN is the second operand, which is kept */
#endif
    vf rounded = t + magic, n = rounded - magic, f = t - n;
    vf p = splat(0.000153458512f);
    p = p * f + 0.00133999316f;
    p = p * f + 0.0096184888f;
    p = p * f + 0.0555032878f;
    p = p * f + 0.240226469f;
    p = p * f + 0.693147206f;
    p = p * f + 1.0f;
#ifdef SCALE2
    return SCALE2(p, n);
#else
    return p * (vf)((vu)rounded << 23);
#endif
}
#define EXP_WEIGHT(s, scale, max) exp_weight(s, scale, max)
#define GELU_VALUES(x) gelu_v(x)
#else
#define EXP_WEIGHT(s, scale, max) exp_v((s) * (scale) - (max))
#define GELU_VALUES(x) gelu_v(x)
#endif

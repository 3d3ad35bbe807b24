/* bf16 products and sums with AVX2 and FMA: the method of kern_avx512.c, four doubles at a time. */
#include "npu/emu/value.h"

#include <immintrin.h>
#include <string.h>

enum { MAGIC = 1023 + 52 - 278, NO_EXPONENT = -4096 };

static __m256i load(const void *p) {
    return _mm256_loadu_si256(p);
}

static __m256i exponents16(__m256i v) {
    __m256i e = _mm256_and_si256(_mm256_srli_epi16(v, 7), _mm256_set1_epi16(0xff));
    __m256i zero =
        _mm256_cmpeq_epi16(_mm256_and_si256(v, _mm256_set1_epi16(0x7fff)), _mm256_setzero_si256());
    e = _mm256_max_epi16(e, _mm256_set1_epi16(1));
    return _mm256_blendv_epi8(e, _mm256_set1_epi16(NO_EXPONENT), zero);
}

static bool any_special16(const uint16_t *p) { /* 32 words */
    __m256i e = _mm256_set1_epi16(0x7f80);
    __m256i a = _mm256_cmpeq_epi16(_mm256_and_si256(load(p), e), e);
    __m256i b = _mm256_cmpeq_epi16(_mm256_and_si256(load(p + 16), e), e);
    return _mm256_movemask_epi8(_mm256_or_si256(a, b));
}

static bool any_special32(const uint32_t *p) { /* 16 lanes */
    __m256i e = _mm256_set1_epi32(0x7f800000);
    __m256i a = _mm256_cmpeq_epi32(_mm256_and_si256(load(p), e), e);
    __m256i b = _mm256_cmpeq_epi32(_mm256_and_si256(load(p + 8), e), e);
    return _mm256_movemask_epi8(_mm256_or_si256(a, b));
}

/* E of 16 lanes. */
struct exponents {
    int32_t e[16];
};

static void include_acc(struct exponents *t, const uint32_t *acc) {
    for (int i = 0; i < 16; i += 8) {
        __m256i q = load(acc + i);
        __m256i e = _mm256_and_si256(_mm256_srli_epi32(q, 23), _mm256_set1_epi32(0xff));
        __m256i zero = _mm256_cmpeq_epi32(_mm256_and_si256(q, _mm256_set1_epi32(INT32_MAX)),
                                          _mm256_setzero_si256());
        e = _mm256_add_epi32(_mm256_max_epi32(e, _mm256_set1_epi32(1)), _mm256_set1_epi32(128));
        e = _mm256_max_epi32(_mm256_andnot_si256(zero, e), load(t->e + i));
        _mm256_storeu_si256((__m256i *)(t->e + i), e);
    }
}

static void set_products(struct exponents *t, __m256i sums) {
    sums = _mm256_add_epi16(sums, _mm256_set1_epi16(1));
    __m256i lo = _mm256_cvtepi16_epi32(_mm256_castsi256_si128(sums));
    __m256i hi = _mm256_cvtepi16_epi32(_mm256_extracti128_si256(sums, 1));
    __m256i one = _mm256_set1_epi32(1);
    _mm256_storeu_si256((__m256i *)t->e, _mm256_max_epi32(lo, one));
    _mm256_storeu_si256((__m256i *)(t->e + 8), _mm256_max_epi32(hi, one));
}

static void matrix_exponents(struct exponents *t, const uint16_t *x, const uint16_t *y) {
    uint16_t ex[32];
    uint64_t ey[8]; /* four columns of one k */
    for (int i = 0; i < 2; i++) {
        _mm256_storeu_si256((__m256i *)ex + i, exponents16(load(x + 16 * i)));
        _mm256_storeu_si256((__m256i *)ey + i, exponents16(load(y + 16 * i)));
    }
    /* the four rows' exponent of k, each over its four lanes */
    __m256i spread = _mm256_setr_epi8(0, 1, 0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3, 2, 3, 4, 5, 4, 5, 4,
                                      5, 4, 5, 6, 7, 6, 7, 6, 7, 6, 7);
    __m256i top = _mm256_set1_epi16(2 * NO_EXPONENT);
    for (int k = 0; k < 8; k++) {
        uint64_t rows = ex[k] | (uint64_t)ex[8 + k] << 16 | (uint64_t)ex[16 + k] << 32 |
                        (uint64_t)ex[24 + k] << 48;
        __m256i xs = _mm256_shuffle_epi8(_mm256_set1_epi64x((long long)rows), spread);
        top = _mm256_max_epi16(top, _mm256_add_epi16(xs, _mm256_set1_epi64x((long long)ey[k])));
    }
    set_products(t, top);
}

static void widen(double d[32], const uint16_t *v, bool negate) {
    __m128i sign = _mm_set1_epi32(negate ? INT32_MIN : 0);
    for (int i = 0; i < 32; i += 4) {
        __m128i f =
            _mm_slli_epi32(_mm_cvtepu16_epi32(_mm_loadl_epi64((const __m128i *)(v + i))), 16);
        _mm256_storeu_pd(d + i, _mm256_cvtps_pd(_mm_castsi128_ps(_mm_xor_si128(f, sign))));
    }
}

static __m256i bits(__m256d v) {
    return _mm256_castpd_si256(v);
}

static __m256d magic(const int32_t *e) {
    __m256i b = _mm256_cvtepu32_epi64(
        _mm_add_epi32(_mm_loadu_si128((const __m128i *)e), _mm_set1_epi32(MAGIC)));
    return _mm256_castsi256_pd(
        _mm256_or_si256(_mm256_slli_epi64(b, 52), _mm256_set1_epi64x(1ll << 51)));
}

static __m256i acc_term(const uint32_t *acc, bool negate, __m256d c) {
    __m128i q = _mm_xor_si128(_mm_loadu_si128((const __m128i *)acc),
                              _mm_set1_epi32(negate ? INT32_MIN : 0));
    return _mm256_sub_epi64(bits(_mm256_add_pd(_mm256_cvtps_pd(_mm_castsi128_ps(q)), c)), bits(c));
}

static __m128 narrow(__m256i total, __m256d c, bool keep_sign) {
    __m256d v = _mm256_sub_pd(_mm256_castsi256_pd(total), c), sign = _mm256_set1_pd(-0.0);
    __m256d least = _mm256_set1_pd(0x1.ffffffp-127); /* as in kern_avx512.c */
    __m256d normal = _mm256_cmp_pd(_mm256_andnot_pd(sign, v), least, _CMP_GE_OQ);
    return _mm256_cvtpd_ps(_mm256_and_pd(v, keep_sign ? _mm256_or_pd(normal, sign) : normal));
}

static void fmac(uint32_t d[16], const struct wi_emu_fmac *f) {
    struct exponents t;
    double x[32], y[32];
    if (any_special16(f->x) || any_special16(f->y) || (f->acc1 && any_special32(f->acc1)) ||
        (f->acc2 && any_special32(f->acc2))) {
        wi_emu_kern_portable.fmac(d, f);
        return;
    }
    if (f->elementwise)
        set_products(
            &t, _mm256_max_epi16(
                    _mm256_add_epi16(exponents16(load(f->x)), exponents16(load(f->y))),
                    _mm256_add_epi16(exponents16(load(f->x + 16)), exponents16(load(f->y + 16)))));
    else
        matrix_exponents(&t, f->x, f->y);
    if (f->acc1)
        include_acc(&t, f->acc1);
    if (f->acc2)
        include_acc(&t, f->acc2);
    widen(x, f->x, false);
    widen(y, f->y, f->neg_mul);
    for (int i = 0; i < 16; i += 4) {
        __m256d c = magic(t.e + i);
        __m256i sum = bits(c);
        if (f->elementwise) {
            for (int k = 0; k < 32; k += 16)
                sum = _mm256_add_epi64(
                    sum, _mm256_sub_epi64(bits(_mm256_fmadd_pd(_mm256_loadu_pd(x + i + k),
                                                               _mm256_loadu_pd(y + i + k), c)),
                                          bits(c)));
        } else {
            __m256i all = _mm256_setzero_si256();
            for (int k = 0; k < 8; k++)
                all = _mm256_add_epi64(all, bits(_mm256_fmadd_pd(_mm256_broadcast_sd(x + 2 * i + k),
                                                                 _mm256_loadu_pd(y + 4 * k), c)));
            /* eight times C, one of them stays */
            sum = _mm256_sub_epi64(all, _mm256_sub_epi64(_mm256_slli_epi64(sum, 3), sum));
        }
        if (f->acc1)
            sum = _mm256_add_epi64(sum, acc_term(f->acc1 + i, f->neg_acc1, c));
        if (f->acc2)
            sum = _mm256_add_epi64(sum, acc_term(f->acc2 + i, f->neg_acc2, c));
        _mm_storeu_ps((float *)d + i, narrow(sum, c, false));
    }
}

static void fadd(uint32_t d[16], const uint32_t p[16], const uint32_t q[16], bool neg_p,
                 bool neg_q) {
    struct exponents t;
    if (any_special32(p) || any_special32(q)) {
        wi_emu_kern_portable.fadd(d, p, q, neg_p, neg_q);
        return;
    }
    for (int i = 0; i < 16; i++)
        t.e[i] = 1;
    include_acc(&t, p);
    include_acc(&t, q);
    for (int i = 0; i < 16; i += 4) {
        __m256d c = magic(t.e + i);
        __m256i sum = _mm256_add_epi64(bits(c), acc_term(p + i, neg_p, c));
        sum = _mm256_add_epi64(sum, acc_term(q + i, neg_q, c));
        _mm_storeu_ps((float *)d + i, narrow(sum, c, true));
    }
}

static void permute(uint8_t d[64], const uint8_t s1[64], const uint8_t s2[64],
                    const uint8_t from[64]) {
    wi_emu_kern_portable.permute(d, s1, s2, from);
}

static void conv_bf16(uint8_t d[32], const uint8_t s[64], unsigned mode) {
    wi_emu_conv_bf16(d, s, mode);
}

const struct wi_emu_kern wi_emu_kern_avx2 = {
    .name = "avx2",
    .fmac = fmac,
    .fadd = fadd,
    .permute = permute,
    .conv_bf16 = conv_bf16,
};

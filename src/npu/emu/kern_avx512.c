/* bf16 products and sums with AVX-512.  The rule (mac_bf16.c) rounds every term to a multiple of
 * one quantum and then adds exactly.  In doubles that is one fused operation per term: with C = 1.5
 * * 2^52 quanta, fma(x, y, C) is C plus x*y rounded to nearest even quanta, and the bits of such
 * sums add as integers, because a term is at most 2^25 quanta.  Exceptional operands take the
 * portable way. */
#include "npu/emu/value.h"

#include <immintrin.h>
#include <string.h>

/* The biased exponent of a quantum's magic constant: E is the aligned exponent of mac_bf16.c, whose
 * quantum is 2^(E - 278). */
enum { MAGIC = 1023 + 52 - 278, NO_EXPONENT = -4096 };

static __m512i words(const uint16_t *p) {
    return _mm512_loadu_si512(p);
}

static __m512i exponents16(__m512i v) {
    __m512i e = _mm512_and_si512(_mm512_srli_epi16(v, 7), _mm512_set1_epi16(0xff));
    __mmask32 zero = _mm512_testn_epi16_mask(v, _mm512_set1_epi16(0x7fff));
    e = _mm512_max_epi16(e, _mm512_set1_epi16(1));
    return _mm512_mask_mov_epi16(e, zero, _mm512_set1_epi16(NO_EXPONENT));
}

static bool special16(__m512i v) {
    __m512i e = _mm512_set1_epi16(0x7f80);
    return _mm512_cmpeq_epi16_mask(_mm512_and_si512(v, e), e);
}

static bool special32(__m512i v) {
    __m512i e = _mm512_set1_epi32(0x7f800000);
    return _mm512_cmpeq_epi32_mask(_mm512_and_si512(v, e), e);
}

/* Aligned exponents of an accumulator, as those of products. */
static __m512i exponents32(__m512i q) {
    __m512i e = _mm512_and_si512(_mm512_srli_epi32(q, 23), _mm512_set1_epi32(0xff));
    __mmask16 zero = _mm512_testn_epi32_mask(q, _mm512_set1_epi32(0x7fffffff));
    e = _mm512_add_epi32(_mm512_max_epi32(e, _mm512_set1_epi32(1)), _mm512_set1_epi32(128));
    return _mm512_mask_mov_epi32(e, zero, _mm512_setzero_si512());
}

static __m512i max_products(__m512i pair_sums) { /* two products per lane -> E of 16 lanes */
    __m256i m = _mm256_max_epi16(_mm512_castsi512_si256(pair_sums),
                                 _mm512_extracti64x4_epi64(pair_sums, 1));
    return _mm512_cvtepi16_epi32(_mm256_add_epi16(m, _mm256_set1_epi16(1)));
}

/* Lanes 0..7 and 8..15 as doubles. */
struct half {
    __m512d lo, hi;
};

static struct half doubles(__m512i fp32) {
    __m512 f = _mm512_castsi512_ps(fp32);
    return (struct half){_mm512_cvtps_pd(_mm512_castps512_ps256(f)),
                         _mm512_cvtps_pd(_mm256_castsi256_ps(_mm512_extracti64x4_epi64(fp32, 1)))};
}

static __m512d magic(__m256i e) {
    __m512i bits = _mm512_cvtepu32_epi64(_mm256_add_epi32(e, _mm256_set1_epi32(MAGIC)));
    return _mm512_castsi512_pd(
        _mm512_or_si512(_mm512_slli_epi64(bits, 52), _mm512_set1_epi64(1ll << 51)));
}

static struct half magics(__m512i e) {
    e = _mm512_max_epi32(e, _mm512_set1_epi32(1));
    return (struct half){magic(_mm512_castsi512_si256(e)), magic(_mm512_extracti64x4_epi64(e, 1))};
}

static __m512i bits(__m512d v) {
    return _mm512_castpd_si512(v);
}

/* Back to fp32, one rounding; below the normal range: zero, with the sign if keep_sign. */
static __m256 narrow(__m512i total, __m512d c, bool keep_sign) {
    __m512d v = _mm512_sub_pd(_mm512_castsi512_pd(total), c);
    /* 2^-126 - 2^-151: from here on 24 bits round to the smallest normal number */
    __m512d least = _mm512_set1_pd(0x1.ffffffp-127);
    __mmask8 normal = _mm512_cmp_pd_mask(_mm512_abs_pd(v), least, _CMP_GE_OQ);
    __m256 f = _mm512_cvtpd_ps(v);
    if (!keep_sign)
        return _mm256_maskz_mov_ps(normal, f);
    __m256 sign = _mm256_and_ps(f, _mm256_castsi256_ps(_mm256_set1_epi32(INT32_MIN)));
    return _mm256_mask_mov_ps(sign, normal, f);
}

static void store(uint32_t d[16], __m512i lo, __m512i hi, struct half c, bool keep_sign) {
    __m512d both = _mm512_castpd256_pd512(_mm256_castps_pd(narrow(lo, c.lo, keep_sign)));
    both = _mm512_insertf64x4(both, _mm256_castps_pd(narrow(hi, c.hi, keep_sign)), 1);
    _mm512_storeu_pd(d, both); /* at once, as it will be loaded */
}

struct accs { /* the accumulators, signs applied; zero if absent */
    __m512i q[2];
    unsigned n;
    bool special;
};

static void take_acc(struct accs *a, const uint32_t *acc, bool negate) {
    if (!acc)
        return;
    __m512i q = _mm512_loadu_si512(acc);
    a->special = a->special || special32(q);
    a->q[a->n++] = negate ? _mm512_xor_si512(q, _mm512_set1_epi32(INT32_MIN)) : q;
}

/* totals += acc rounded to quanta - C: adding C once per further term takes it off once. */
static void add_acc(__m512i *lo, __m512i *hi, struct half c, __m512i q) {
    struct half v = doubles(q);
    *lo = _mm512_add_epi64(*lo, _mm512_sub_epi64(bits(_mm512_add_pd(v.lo, c.lo)), bits(c.lo)));
    *hi = _mm512_add_epi64(*hi, _mm512_sub_epi64(bits(_mm512_add_pd(v.hi, c.hi)), bits(c.hi)));
}

static __m512i widen16(__m256i h) { /* 16 bf16 as fp32 */
    return _mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16);
}

static __m512i matrix_exponents(__m512i ex, __m512i ey) {
    /* word w of step s: product k = 2s + (w >> 4) of lane w & 15 */
    static const uint16_t x0[32] = {0, 0, 0, 0, 8, 8, 8, 8, 16, 16, 16, 16, 24, 24, 24, 24,
                                    1, 1, 1, 1, 9, 9, 9, 9, 17, 17, 17, 17, 25, 25, 25, 25};
    static const uint16_t y0[32] = {0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3,
                                    4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7};
    __m512i ix = words(x0), iy = words(y0), top = _mm512_set1_epi16(2 * NO_EXPONENT);
    for (int s = 0; s < 4; s++) {
        __m512i sum =
            _mm512_add_epi16(_mm512_permutexvar_epi16(ix, ex), _mm512_permutexvar_epi16(iy, ey));
        top = _mm512_max_epi16(top, sum);
        ix = _mm512_add_epi16(ix, _mm512_set1_epi16(2));
        iy = _mm512_add_epi16(iy, _mm512_set1_epi16(8));
    }
    return max_products(top);
}

static void matrix_products(__m512i *lo, __m512i *hi, struct half c, __m512i x, __m512i y) {
    struct half rows01 = doubles(widen16(_mm512_castsi512_si256(x)));
    struct half rows23 = doubles(widen16(_mm512_extracti64x4_epi64(x, 1)));
    struct half k03 = doubles(widen16(_mm512_castsi512_si256(y)));
    struct half k47 = doubles(widen16(_mm512_extracti64x4_epi64(y, 1)));
    __m512d cols[4] = {k03.lo, k03.hi, k47.lo, k47.hi};
    __m512i pick = _mm512_setr_epi64(0, 0, 0, 0, 8, 8, 8, 8);
    __m512i sum_lo = _mm512_setzero_si512(), sum_hi = sum_lo;
    for (int k = 0; k < 8; k++) {
        __m512d y_k = k % 2 ? _mm512_shuffle_f64x2(cols[k / 2], cols[k / 2], 0xee)
                            : _mm512_shuffle_f64x2(cols[k / 2], cols[k / 2], 0x44);
        __m512i at = _mm512_add_epi64(pick, _mm512_set1_epi64(k));
        __m512d x01 = _mm512_permutex2var_pd(rows01.lo, at, rows01.hi);
        __m512d x23 = _mm512_permutex2var_pd(rows23.lo, at, rows23.hi);
        sum_lo = _mm512_add_epi64(sum_lo, bits(_mm512_fmadd_pd(x01, y_k, c.lo)));
        sum_hi = _mm512_add_epi64(sum_hi, bits(_mm512_fmadd_pd(x23, y_k, c.hi)));
    }
    /* eight times C in the sums, one of them stays: bits of C have 51 low zeros, 7C = 8C - C */
    *lo = _mm512_sub_epi64(sum_lo, _mm512_sub_epi64(_mm512_slli_epi64(bits(c.lo), 3), bits(c.lo)));
    *hi = _mm512_sub_epi64(sum_hi, _mm512_sub_epi64(_mm512_slli_epi64(bits(c.hi), 3), bits(c.hi)));
}

static void pair_products(__m512i *lo, __m512i *hi, struct half c, __m512i x, __m512i y) {
    struct half x0 = doubles(widen16(_mm512_castsi512_si256(x)));
    struct half x1 = doubles(widen16(_mm512_extracti64x4_epi64(x, 1)));
    struct half y0 = doubles(widen16(_mm512_castsi512_si256(y)));
    struct half y1 = doubles(widen16(_mm512_extracti64x4_epi64(y, 1)));
    *lo = _mm512_sub_epi64(_mm512_add_epi64(bits(_mm512_fmadd_pd(x0.lo, y0.lo, c.lo)),
                                            bits(_mm512_fmadd_pd(x1.lo, y1.lo, c.lo))),
                           bits(c.lo));
    *hi = _mm512_sub_epi64(_mm512_add_epi64(bits(_mm512_fmadd_pd(x0.hi, y0.hi, c.hi)),
                                            bits(_mm512_fmadd_pd(x1.hi, y1.hi, c.hi))),
                           bits(c.hi));
}

static void fmac(uint32_t d[16], const struct wi_emu_fmac *f) {
    __m512i x = words(f->x), y = words(f->y), lo, hi;
    struct accs a = {.n = 0, .special = special16(x) || special16(y)};
    take_acc(&a, f->acc1, f->neg_acc1);
    take_acc(&a, f->acc2, f->neg_acc2);
    if (a.special) {
        wi_emu_kern_portable.fmac(d, f);
        return;
    }
    if (f->neg_mul)
        y = _mm512_xor_si512(y, _mm512_set1_epi16(INT16_MIN));
    __m512i ex = exponents16(x), ey = exponents16(y);
    __m512i e = f->elementwise ? max_products(_mm512_add_epi16(ex, ey)) : matrix_exponents(ex, ey);
    for (unsigned i = 0; i < a.n; i++)
        e = _mm512_max_epi32(e, exponents32(a.q[i]));
    struct half c = magics(e);
    if (f->elementwise)
        pair_products(&lo, &hi, c, x, y);
    else
        matrix_products(&lo, &hi, c, x, y);
    for (unsigned i = 0; i < a.n; i++)
        add_acc(&lo, &hi, c, a.q[i]);
    store(d, lo, hi, c, false);
}

static void fadd(uint32_t d[16], const uint32_t p[16], const uint32_t q[16], bool neg_p,
                 bool neg_q) {
    struct accs a = {.n = 0, .special = false};
    take_acc(&a, p, neg_p);
    take_acc(&a, q, neg_q);
    if (a.special) {
        wi_emu_kern_portable.fadd(d, p, q, neg_p, neg_q);
        return;
    }
    struct half c = magics(_mm512_max_epi32(exponents32(a.q[0]), exponents32(a.q[1])));
    __m512i lo = bits(c.lo), hi = bits(c.hi);
    add_acc(&lo, &hi, c, a.q[0]);
    add_acc(&lo, &hi, c, a.q[1]);
    store(d, lo, hi, c, true);
}

static void permute(uint8_t d[64], const uint8_t s1[64], const uint8_t s2[64],
                    const uint8_t from[64]) {
    /* without byte permutes across the register: each byte from its 16-bit word */
    __m512i a = _mm512_loadu_si512(s1), b = _mm512_loadu_si512(s2), f = _mm512_loadu_si512(from);
    __m512i odd = _mm512_set1_epi16(1);
    __m512i even_at = _mm512_and_si512(f, _mm512_set1_epi16(0xff)),
            odd_at = _mm512_srli_epi16(f, 8);
    __m512i w0 = _mm512_permutex2var_epi16(a, _mm512_srli_epi16(even_at, 1), b);
    __m512i w1 = _mm512_permutex2var_epi16(a, _mm512_srli_epi16(odd_at, 1), b);
    __m512i b0 = _mm512_srlv_epi16(w0, _mm512_slli_epi16(_mm512_and_si512(even_at, odd), 3));
    __m512i b1 = _mm512_srlv_epi16(w1, _mm512_slli_epi16(_mm512_and_si512(odd_at, odd), 3));
    __m512i r =
        _mm512_or_si512(_mm512_and_si512(b0, _mm512_set1_epi16(0xff)), _mm512_slli_epi16(b1, 8));
    _mm512_storeu_si512(d, r);
}

static void conv_bf16(uint8_t d[32], const uint8_t s[64], unsigned mode) {
    __m512i v = _mm512_loadu_si512(s);
    if (mode != WI_EMU_RND_CONV_EVEN || special32(v)) {
        wi_emu_conv_bf16(d, s, mode);
        return;
    }
    __m512i lsb = _mm512_and_si512(_mm512_srli_epi32(v, 16), _mm512_set1_epi32(1));
    v = _mm512_add_epi32(v, _mm512_add_epi32(lsb, _mm512_set1_epi32(0x7fff)));
    _mm256_storeu_si256((__m256i *)d, _mm512_cvtepi32_epi16(_mm512_srli_epi32(v, 16)));
}

const struct wi_emu_kern wi_emu_kern_avx512 = {
    .name = "avx512",
    .fmac = fmac,
    .fadd = fadd,
    .permute = permute,
    .conv_bf16 = conv_bf16,
};

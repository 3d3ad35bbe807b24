/* AVX-512 with vdpbf16ps: GEMM inputs rounded to bf16, sums in f32; the other kernels as avx512. */
#include <immintrin.h>

#define VLEN 16
#define MR 12
#define NV 2
#define SUFFIX(name) name##_avx512bf16
#define LOAD_F16(p) ((vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)(p))))
/* GCC 12 widens by halves, and narrows lane by lane. */
#define WIDEN(x) ((vu)_mm512_cvtepu16_epi32((__m256i)(x)))
#define LOW_BYTES(x) ((vb)_mm512_cvtepi32_epi8((__m512i)(x)))
#define LOAD_U8(p) ((vi)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(p))))
#define BF16_PRODUCTS
#define SUM_LANES(x) _mm512_reduce_add_ps((__m512)(x))
#define MAX_LANES(x) _mm512_reduce_max_ps((__m512)(x))
#define SCALE2(p, n) ((vf)_mm512_scalef_ps((__m512)(p), (__m512)(n)))
#define LOAD_PAIRS(p)                                                                              \
    ((vpairs)_mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)(p))))
#define DOT_PAIRS(acc, a, b)                                                                       \
    ((vi)_mm512_dpwssd_epi32((__m512i)(acc), (__m512i)(a), (__m512i)(b)))
#define DOT_BYTES(acc, w, a)                                                                       \
    ((vi)_mm512_dpbusd_epi32((__m512i)(acc), (__m512i)(w), (__m512i)(a)))
#define MAX2(a, b) ((vf)_mm512_max_ps((__m512)(a), (__m512)(b)))
#define KEEP_VECTOR(x) __asm__("" : "+v"(x))

#include "cpu/kern_tmpl.c"

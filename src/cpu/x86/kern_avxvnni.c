/* As avx2, with the products of int8 weights by AVX-VNNI: on CPUs that have no AVX-512. */
#include <immintrin.h>

#define SUFFIX(name) name##_avxvnni
#define DOT_PAIRS(acc, a, b)                                                                       \
    ((vi)_mm256_dpwssd_avx_epi32((__m256i)(acc), (__m256i)(a), (__m256i)(b)))
#define DOT_BYTES(acc, w, a)                                                                       \
    ((vi)_mm256_dpbusd_avx_epi32((__m256i)(acc), (__m256i)(w), (__m256i)(a)))

#include "cpu/x86/kern_avx2.c"

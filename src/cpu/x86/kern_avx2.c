/* AVX2, FMA and F16C: 6 x 16 accumulators take 12 of the 16 registers.  kern_avxvnni.c is made of
 * it too, with a name, DOT_PAIRS and DOT_BYTES of its own. */
#include <immintrin.h>
#include <stdint.h>

#define VLEN 8
#define MR 6
#define NV 2
#ifndef SUFFIX
#define SUFFIX(name) name##_avx2
#endif
#define LOAD_F16(p) ((vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(p))))
#define LOAD_U8(p) ((vi)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(p))))
/* The lowest byte of each lane; the compiler would take them one by one. */
static inline int64_t low_bytes(__m256i x) {
    const __m256i first = _mm256_set1_epi32(0x0c080400); /* of 4 lanes, in each of 4 places */
    x = _mm256_shuffle_epi8(x, first);
    return _mm_cvtsi128_si64(_mm_unpacklo_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1)));
}
#define LOW_BYTES(x) ((vb)low_bytes((__m256i)(x)))
#define LOAD_PAIRS(p)                                                                              \
    ((vpairs)_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(p))))
#ifndef DOT_PAIRS
#define DOT_PAIRS(acc, a, b)                                                                       \
    ((vi)_mm256_add_epi32((__m256i)(acc), _mm256_madd_epi16((__m256i)(a), (__m256i)(b))))
#endif
#define MAX2(a, b) ((vf)_mm256_max_ps((__m256)(a), (__m256)(b)))
#define KEEP_VECTOR(x) __asm__("" : "+x"(x))

#include "cpu/kern_tmpl.c"

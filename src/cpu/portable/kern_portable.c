/* The reference level: no instruction beyond the compiler's default, no fused multiply-add. */
#define VLEN 4
#define MR 6
#define NV 2
#define SUFFIX(name) name##_portable
#ifdef __SSE2__ /* part of x86-64 */
#include <emmintrin.h>
#define DOT_PAIRS(acc, a, b)                                                                       \
    ((vi)_mm_add_epi32((__m128i)(acc), _mm_madd_epi16((__m128i)(a), (__m128i)(b))))
#endif

#if defined(__x86_64__)
#define KEEP_VECTOR(x) __asm__("" : "+x"(x))
#else
#define KEEP_VECTOR(x) __asm__("" : "+m"(x))
#endif

#include "cpu/kern_tmpl.c"

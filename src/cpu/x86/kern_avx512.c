/* AVX-512 F, BW, DQ, VL: 12 x 32 accumulators take 24 of the 32 registers. */
#include <immintrin.h>

#define VLEN 16
#define MR 12
#define NV 2
#define SUFFIX(name) name##_avx512
#define LOAD_F16(p) ((vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)(p))))

#include "cpu/kern_tmpl.c"

/* AVX-512 with vdpbf16ps: GEMM inputs rounded to bf16, sums in f32; the other kernels as avx512. */
#include <immintrin.h>

#define VLEN 16
#define MR 12
#define NV 2
#define SUFFIX(name) name##_avx512bf16
#define LOAD_F16(p) ((vf)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)(p))))
#define BF16_PRODUCTS

#include "cpu/kern_tmpl.c"

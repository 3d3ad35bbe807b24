/* What the levels' files export to select.c: one constant table each.  Constant data, thread-safe.
 */
#ifndef WISP_SRC_CPU_LEVELS_H
#define WISP_SRC_CPU_LEVELS_H

#include "cpu/kern.h"

extern const struct wi_kern wi_kern_portable;
extern const struct wi_kern wi_kern_avx2;
extern const struct wi_kern wi_kern_avxvnni;
extern const struct wi_kern wi_kern_avx512;
extern const struct wi_kern wi_kern_avx512bf16;

/* CPU features that levels need, in the order that `wisp doctor` shows. */
enum wi_cpu_feature {
    WI_CPU_AVX2,
    WI_CPU_FMA,
    WI_CPU_F16C,
    WI_CPU_AVX512F,
    WI_CPU_AVX512BW,
    WI_CPU_AVX512DQ,
    WI_CPU_AVX512VL,
    WI_CPU_AVX512BF16,
    WI_CPU_AVX512VNNI,
    WI_CPU_AVXVNNI,
    WI_N_CPU_FEATURES
};

/* Bit mask of the features that the CPU has and whose registers the OS saves (CPUID, XCR0). */
unsigned wi_cpu_features(void);
const char *wi_cpu_feature_name(enum wi_cpu_feature feature);

#endif

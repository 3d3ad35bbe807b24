#include "cpu/levels.h"

static const char *const feature_names[WI_N_CPU_FEATURES] = {
    [WI_CPU_AVX2] = "AVX2",
    [WI_CPU_FMA] = "FMA",
    [WI_CPU_F16C] = "F16C",
    [WI_CPU_AVX512F] = "AVX-512 F",
    [WI_CPU_AVX512BW] = "AVX-512 BW",
    [WI_CPU_AVX512DQ] = "AVX-512 DQ",
    [WI_CPU_AVX512VL] = "AVX-512 VL",
    [WI_CPU_AVX512BF16] = "AVX-512 BF16",
    [WI_CPU_AVX512VNNI] = "AVX-512 VNNI",
    [WI_CPU_AVXVNNI] = "AVX-VNNI",
};

const char *wi_cpu_feature_name(enum wi_cpu_feature feature) {
    return feature_names[feature];
}

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

/* Register sets whose state the OS saves: bits of XCR0 (Intel SDM volume 1, chapter 13). */
static uint64_t read_xcr0(void) {
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

unsigned wi_cpu_features(void) {
    unsigned a, b, c, d, features = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE))
        return 0;
    uint64_t saved = read_xcr0();
    bool ymm = (saved & 0x06) == 0x06; /* XMM, upper halves of YMM */
    bool zmm = (saved & 0xe6) == 0xe6; /* and mask registers, ZMM 0-15, ZMM 16-31 */
    if (!ymm)
        return 0;
    features |= (c & bit_FMA ? 1u : 0) << WI_CPU_FMA;
    features |= (c & bit_F16C ? 1u : 0) << WI_CPU_F16C;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
        return features;
    features |= (b & bit_AVX2 ? 1u : 0) << WI_CPU_AVX2;
    if (zmm) {
        features |= (b & bit_AVX512F ? 1u : 0) << WI_CPU_AVX512F;
        features |= (b & bit_AVX512BW ? 1u : 0) << WI_CPU_AVX512BW;
        features |= (b & bit_AVX512DQ ? 1u : 0) << WI_CPU_AVX512DQ;
        features |= (b & bit_AVX512VL ? 1u : 0) << WI_CPU_AVX512VL;
        features |= (c & bit_AVX512VNNI ? 1u : 0) << WI_CPU_AVX512VNNI;
    }
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d)) {
        features |= (a >> 4 & 1) << WI_CPU_AVXVNNI;
        if (zmm)
            features |= (a >> 5 & 1) << WI_CPU_AVX512BF16;
    }
    return features;
}
#else
unsigned wi_cpu_features(void) {
    return 0;
}
#endif

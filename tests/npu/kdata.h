/* What kernels are tried on, and how far they are off. */
#ifndef WISP_TESTS_NPU_KDATA_H
#define WISP_TESTS_NPU_KDATA_H

#include <stdint.h>

/* Normal; skewed: mean -2, half of them in [-6, -3); extreme: normal times powers of 2 from -20 to
 * 20, which differ within a row; one value; half of them 0, as where a mask was. */
enum kdata_kind {
    KDATA_NORMAL,
    KDATA_SKEWED,
    KDATA_EXTREME,
    KDATA_CONSTANT,
    KDATA_MASKED,
    KDATA_KINDS
};
const char *kdata_name(enum kdata_kind kind);
double kdata_normal(uint64_t *seed);
void kdata_row(uint16_t *row, int n, enum kdata_kind kind, uint64_t *seed);

/* Errors in ulp of max(|y|, 2^-8 of the row's largest |y|). */
struct kdata_error {
    double median, worst, correlation;
};
struct kdata_error kdata_measure(const uint16_t *got, const double *y, int rows, int n);
struct kdata_error kdata_measure_f32(const float *got, const double *y, int rows, int n);

#endif

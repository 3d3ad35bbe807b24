#include "unit/suite.h"

#include "kdata.h"

#include <math.h>
#include <stdlib.h>

#include "krig.h"

const char *kdata_name(enum kdata_kind kind) {
    static const char *const names[] = {"normal", "skewed", "extreme", "constant", "masked"};
    return names[kind];
}

static double uniform(uint64_t *seed) {
    return (krig_random(seed) + 0.5) / 4294967296.0;
}

double kdata_normal(uint64_t *seed) {
    double radius = sqrt(-2 * log(uniform(seed)));
    return radius * cos(2 * 3.14159265358979323846 * uniform(seed));
}

static double value(int i, enum kdata_kind kind, uint64_t *seed) {
    switch (kind) {
    case KDATA_SKEWED: return i % 2 ? -6 + 3 * uniform(seed) : 0.5 + kdata_normal(seed);
    case KDATA_EXTREME: return ldexp(kdata_normal(seed), (int)(krig_random(seed) % 41) - 20);
    case KDATA_MASKED: return i % 2 ? kdata_normal(seed) : 0;
    default: return kdata_normal(seed);
    }
}

void kdata_row(uint16_t *row, int n, enum kdata_kind kind, uint64_t *seed) {
    for (int i = 0; i < n; i++)
        row[i] = kind == KDATA_CONSTANT && i > 0 ? row[0] : krig_bf16((float)value(i, kind, seed));
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double ulp(double y) {
    int e;
    frexp(y, &e);
    return ldexp(1, e - 8);
}

static double correlation(const float *got, const double *y, int n) {
    double gy = 0, gg = 0, yy = 0;
    for (int i = 0; i < n; i++) {
        double g = got[i];
        gy += g * y[i];
        gg += g * g;
        yy += y[i] * y[i];
    }
    return gy / sqrt(gg * yy);
}

struct kdata_error kdata_measure_f32(const float *got, const double *y, int rows, int n) {
    double *error = malloc((size_t)(rows * n) * sizeof *error);
    assert_non_null(error);
    for (int r = 0; r < rows; r++) {
        double most = 0;
        for (int i = r * n; i < (r + 1) * n; i++)
            most = fmax(most, fabs(y[i]));
        for (int i = r * n; i < (r + 1) * n; i++)
            error[i] = fabs((double)got[i] - y[i]) / ulp(fmax(fabs(y[i]), most / 256));
    }
    qsort(error, (size_t)(rows * n), sizeof *error, by_value);
    struct kdata_error e = {error[rows * n / 2], error[rows * n - 1],
                            correlation(got, y, rows * n)};
    free(error);
    return e;
}

struct kdata_error kdata_measure(const uint16_t *got, const double *y, int rows, int n) {
    float *wide = malloc((size_t)(rows * n) * sizeof *wide);
    assert_non_null(wide);
    for (int i = 0; i < rows * n; i++)
        wide[i] = krig_f32(got[i]);
    struct kdata_error e = kdata_measure_f32(wide, y, rows, n);
    free(wide);
    return e;
}

/* LayerNorm for its tests: data, plain C in the chip's arithmetic, and f64. */
#ifndef WISP_TESTS_NPU_LNREF_H
#define WISP_TESTS_NPU_LNREF_H

#include "kdata.h"
#include "npu/kernels/layernorm.h"

enum { LNREF_ROWS = 96, LNREF_FEATURES = 1280, LNREF_GRADES = 3 };
#define LNREF_EPSILON 1e-5f

struct lnref {
    struct wi_layernorm_shape shape;         /* of whole rows */
    uint16_t x[LNREF_ROWS * LNREF_FEATURES]; /* [rows][features] */
    float y[LNREF_ROWS * LNREF_FEATURES];    /* what a kernel made of it, bf16 widened */
    uint16_t gamma[LNREF_FEATURES], beta[LNREF_FEATURES];
};
const char *lnref_grade(enum wi_layernorm_grade grade);

/* Data in the densest memory, the pitches of which may be changed. */
void lnref_fill(struct lnref *p, int rows, int features, enum wi_layernorm_grade grade,
                enum kdata_kind kind);

/* A row's sums, as the lanes of a core have them: features 0 to 3 of every 4. */
struct lnref_sums {
    float x[4], squares[4];
};
/* Add n features; the first ones also to `more`, if any. */
void lnref_add(struct lnref_sums *sums, const struct lnref_sums *more, const uint16_t *x, int n);
/* y of a row of which these are the sums. */
void lnref_row(const struct lnref *p, int row, const struct lnref_sums *sums, float *y);
void lnref_compare(const struct lnref *p, int row, const float *y);

/* y in f64, [rows][features], and how far p->y is from it. */
void lnref_exact(const struct lnref *p, double *y);
struct kdata_error lnref_measure(const struct lnref *p);

#endif

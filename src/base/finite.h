/* Looking for infinities and NaNs.  Pure functions, thread-safe. */
#ifndef WISP_SRC_BASE_FINITE_H
#define WISP_SRC_BASE_FINITE_H

#include <stdbool.h>
#include <stddef.h>

/* Whether all n values are finite. */
bool wi_all_finite(const float *x, size_t n);

#endif

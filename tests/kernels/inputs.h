/* Inputs of the kernel test: random numbers (the same in every run), weights, and memory that ends
 * at a guard page.  Allocations belong to their struct guarded.  For one thread. */
#ifndef WISP_TESTS_KERNELS_INPUTS_H
#define WISP_TESTS_KERNELS_INPUTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cpu/kern.h"

extern struct wi_kern kern; /* of the level under test */

uint32_t rng(void);
float uniform(float lo, float hi);
/* A NaN with any sign and payload. */
float any_nan(void);

/* Memory whose last byte is followed by a page without access: a read or write past it crashes. */
struct guarded {
    uint8_t *map;
    size_t map_bytes;
};
void *guarded_alloc(struct guarded *g, size_t bytes);
void guarded_free(struct guarded *g);

/* Guarded rows with PAD values between them; all NaN, which a kernel must neither read nor
 * overwrite. */
enum { PAD = 3 };
float *padded(struct guarded *g, int rows, int cols);

/* n random values of a type at dst; their exact values in f64 by the format's definition. */
void random_row(enum wi_dtype type, uint8_t *dst, double *values, int n);

void check_attention(void); /* of the level under test */
void check_panels(void);

#endif

/* Micro-benchmarks of the level under test; they print their figures. */
#ifndef WISP_TESTS_KERNELS_KBENCH_H
#define WISP_TESTS_KERNELS_KBENCH_H

#include "inputs.h"

/* Of this thread. */
double seconds(void);
double min(double a, double b);
double max(double a, double b);

void bench(void);
void bench_window(void);               /* the encoder's kernels */
void bench_step(enum wi_dtype type);   /* the decoder's, with weights of a type */

#endif

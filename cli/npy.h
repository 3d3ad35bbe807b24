/* Writes a matrix of f32 as NumPy's NPY format, version 1.0.  The stream and the values stay the
 * caller's; write errors stay in the stream's error state.  Thread-safe on different streams. */
#ifndef WISP_CLI_NPY_H
#define WISP_CLI_NPY_H

#include <stddef.h>
#include <stdio.h>

/* `values` is [rows, columns]. */
void npy_write_f32(FILE *f, const float *values, size_t rows, size_t columns);

#endif

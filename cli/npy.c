#include "npy.h"

#include <string.h>

/* numpy.lib.format: magic, version 1.0, length of the header, then the header as a Python
 * dictionary, padded with spaces and ended by a newline so that the data begins at a multiple
 * of 64. */
void npy_write_f32(FILE *f, const float *values, size_t rows, size_t columns) {
    enum { PREFIX = 10, ALIGN = 64 };
    char dict[160];
    int n =
        snprintf(dict, sizeof dict,
                 "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %zu), }", rows, columns);
    int total = (PREFIX + n + 1 + ALIGN - 1) / ALIGN * ALIGN;
    int header = total - PREFIX;
    fwrite("\x93NUMPY\x01\x00", 1, 8, f);
    fputc(header & 0xff, f);
    fputc(header >> 8, f);
    fprintf(f, "%s%*s\n", dict, header - n - 1, "");
    fwrite(values, sizeof *values, rows * columns, f); /* little-endian: x86 */
}

/* Reading the NPY files of golden tensors: little-endian f32 or i32, C order.  The data is to be free'd. */
#ifndef WISP_TESTS_UNIT_NPY_H
#define WISP_TESTS_UNIT_NPY_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The values of a file of 4-byte elements and their number; NULL when it is not there or another type. */
static inline void *npy_read(const char *path, size_t *n) {
    unsigned char head[10];
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    void *data = NULL;
    if (fread(head, 1, 10, f) == 10 && memcmp(head, "\x93NUMPY\x01", 7) == 0) {
        long start = 10 + head[8] + 256 * head[9];
        fseek(f, 0, SEEK_END);
        *n = (size_t)(ftell(f) - start) / 4;
        data = malloc(*n * 4);
        fseek(f, start, SEEK_SET);
        if (data && fread(data, 4, *n, f) != *n) {
            free(data);
            data = NULL;
        }
    }
    fclose(f);
    return data;
}

#endif

/* Operands of the products into the level's units, one part of kern_tmpl.c. */

/* Values of each row that are packed at a time: whole blocks of every format. */
enum { CHUNK = 64 };

static void SUFFIX(to_values)(const float *src, void *dst, int n) {
#ifdef BF16_PRODUCTS
    SUFFIX(to_bf16)(src, dst, n);
#else
    memcpy(dst, src, (size_t)n * sizeof *src);
#endif
}

/* panel[n_units, NR] from `cols` rows of units. */
static void interleave_rows(const uint32_t (*rows)[CHUNK / UNIT_VALUES], int n_units,
                            uint32_t *panel) {
    for (int u = 0; u < n_units; u++, panel += NR)
        for (int j = 0; j < NR; j++)
            panel[j] = rows[j][u];
}

static void SUFFIX(pack_rows)(enum wi_dtype type, const uint8_t *src, size_t stride, int cols,
                              int k, uint32_t *panel) {
    float values[CHUNK];
    uint32_t units[NR][CHUNK / UNIT_VALUES];
    memset(units, 0, sizeof units);
    for (int p = 0; p < k; p += CHUNK) {
        int n = k - p < CHUNK ? k - p : CHUNK, n_units = (n + UNIT_VALUES - 1) / UNIT_VALUES;
        size_t offset = wi_dtype_row_bytes(type, (size_t)p);
        for (int j = 0; j < cols; j++) {
            const uint8_t *row = src + (size_t)j * stride + offset;
            value *out = (value *)(void *)units[j];
            if (n % UNIT_VALUES)
                out[n] = 0;
            if (type == VALUE_TYPE) {
                memcpy(out, row, (size_t)n * sizeof *out);
            } else {
                SUFFIX(dequant)(type, row, values, n);
                SUFFIX(to_values)(values, out, n);
            }
        }
        interleave_rows(units, n_units, panel);
        panel += n_units * NR;
    }
}

/* Of two rows, the second may be missing: units (a[c], b[c]). */
INLINE void pair_rows(const value *a, const value *b, int n, uint32_t *units) {
#ifdef BF16_PRODUCTS
    for (int c = 0; c < n; c++)
        units[c] = a[c] | (b ? (uint32_t)b[c] << 16 : 0);
#else
    copy_row(units, a, n, NR);
#endif
}

static void SUFFIX(pack_columns)(const void *src, size_t ld, int k, int cols, uint32_t *panel) {
    const value *row = src;
    for (int p = 0; p < k; p += UNIT_VALUES, row += UNIT_VALUES * ld, panel += NR) {
        pair_rows(row, UNIT_VALUES == 2 && p + 1 < k ? row + ld : NULL, cols, panel);
        memset(panel + cols, 0, (size_t)(NR - cols) * sizeof *panel);
    }
}

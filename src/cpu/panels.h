/* Matrices laid out for products of few rows, which read every weight once and are bound by memory: the
 * decoder's weights and its cross-attention keys and values.  What wi_panels_init made is released by
 * wi_panels_fini; panels may be packed by several threads at once, and read by any number. */
#ifndef WISP_SRC_CPU_PANELS_H
#define WISP_SRC_CPU_PANELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <wisp/wisp.h>

#include "base/dtype.h"
#include "base/pool.h"

/* INT8 is multiplied by int16, INT8X4 by int8: only levels that multiply bytes by bytes have it
 * (`int8_type` of their table). */
enum wi_panel_type { WI_PANEL_F32, WI_PANEL_BF16, WI_PANEL_INT8, WI_PANEL_INT8X4, WI_N_PANEL_TYPES };

enum {
    WI_PANEL_ROWS = 16,  /* of W in a panel: the lanes of a 512-bit register */
    WI_PANEL_BLOCK = 32, /* columns of W in a block, as in ggml's formats */
};

/* Of 16 rows x 32 columns: one, two or four neighbouring columns of all rows, then the next ones.  Rows and
 * columns beyond the matrix are 0. */
union wi_panel_block {
    float f32[WI_PANEL_BLOCK][WI_PANEL_ROWS];
    uint16_t bf16[WI_PANEL_BLOCK / 2][WI_PANEL_ROWS][2];
    struct {
        uint16_t scale[WI_PANEL_ROWS]; /* f16, in units of 2^-10: largest weight 8190 */
        int8_t q[WI_PANEL_BLOCK / 2][WI_PANEL_ROWS][2];
    } int8;
    struct {
        uint16_t scale[WI_PANEL_ROWS];
        uint8_t q[WI_PANEL_BLOCK / 4][WI_PANEL_ROWS][4]; /* + 128, as the instruction wants one side unsigned */
    } int8x4;
};
#define WI_PANEL_SCALE_UNIT 0x1p-10f

static inline size_t wi_panel_block_bytes(enum wi_panel_type type) {
    const union wi_panel_block *block = NULL;
    return type == WI_PANEL_F32    ? sizeof block->f32
           : type == WI_PANEL_BF16 ? sizeof block->bf16
           : type == WI_PANEL_INT8 ? sizeof block->int8
                                   : sizeof block->int8x4;
}

/* W [n, k] in panels of 16 rows, each ceil(k / 32) blocks. */
struct wi_panels {
    enum wi_panel_type type;
    int n, k;
    uint8_t *data;
    size_t panel_bytes;
};

/* Where W comes from: rows of a weight format, or the columns of a f32 matrix. */
struct wi_panel_source {
    enum wi_dtype type;
    const uint8_t *data; /* maybe unaligned */
    size_t stride;       /* bytes from row to row */
    bool transposed;     /* f32 only: W[j, p] is at data + p * stride + 4 j */
};

/* 32 values of a row of A, for INT8X4. */
struct wi_panel_bytes {
    int8_t q[WI_PANEL_BLOCK];
    float scale;
    int32_t offset; /* -128 times the sum of q */
};

/* c[m, n] = residual + act((a[m, k] W^T + bias) * scale).  Rows of A are padded with 0 to a multiple of 32:
 * f32, int16 in units of a_scale[i], or blocks of int8, as the type of w asks. */
struct wi_panel_product {
    const struct wi_panels *w;
    int m;
    const float *a;
    const int16_t *a16;
    const float *a_scale; /* [m] */
    const struct wi_panel_bytes *a8;
    size_t lda; /* in values, of a8 too */
    const float *bias;    /* [n] or NULL */
    float scale;
    bool gelu;
    const float *residual; /* [m, n], row stride ldr, or NULL; may be c */
    size_t ldr;
    float *c; /* [m, n], row stride ldc */
    size_t ldc;
};

static inline int wi_panel_pad(int k) {
    return (k + WI_PANEL_BLOCK - 1) / WI_PANEL_BLOCK * WI_PANEL_BLOCK;
}
size_t wi_panels_bytes(const struct wi_panels *w);
/* The same of W [n, k] that is not there. */
size_t wi_panels_size(enum wi_panel_type type, int n, int k);

/* W [n, k] in wi_panels_size() bytes that belong to somebody else. */
struct wi_panels wi_panels_at(enum wi_panel_type type, int n, int k, uint8_t *data);

/* Rows j0.. (a multiple of 16) to j0 + n - 1 as a matrix of their own, which owns nothing. */
struct wi_panels wi_panels_view(const struct wi_panels *w, int j0, int n);

/* Room for W [n, k].  Errors: NOMEM. */
int wi_panels_init(struct wi_panels *w, enum wi_panel_type type, int n, int k, struct wisp_error *err);
void wi_panels_fini(struct wi_panels *w);

struct wi_kern;

/* Fill in rows j0.. (a multiple of 16) to j0 + n - 1 from the first n rows of a source, over the pool. */
void wi_panels_pack(const struct wi_kern *kern, struct wi_pool *pool, const struct wi_panels *w, int j0,
                    int n, const struct wi_panel_source *source);

/* Give a product its rows x[m, k], converted or padded into `room` where the type of w or its k asks for
 * it: wi_panel_pad(k) floats a row; scales: [m]. */
void wi_panel_set_rows(const struct wi_kern *kern, struct wi_panel_product *g, int m, const float *x,
                       size_t ldx, float *room, float *scales);

/* A product over the pool; the result depends neither on the number of threads nor on m. */
void wi_panel_product_run(const struct wi_kern *kern, struct wi_pool *pool,
                          const struct wi_panel_product *g);

#endif

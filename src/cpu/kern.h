/* The CPU kernels: one table of functions per instruction-set level, of which the best available
 * (or a forced) one is selected.  Tables are constant data; a selected copy belongs to whoever
 * selected. Kernels are pure functions of their arguments, so they are thread-safe. */
#ifndef WISP_SRC_CPU_KERN_H
#define WISP_SRC_CPU_KERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <wisp/wisp.h>

#include "base/dtype.h"
#include "base/pool.h"
#include "cpu/panels.h"

enum wi_level { WI_PORTABLE, WI_AVX2, WI_AVXVNNI, WI_AVX512, WI_AVX512BF16, WI_N_LEVELS };

enum wi_activation { WI_LINEAR, WI_GELU };

/* Products multiply values of their level's type (f32, or bf16 with sums in f32; `value_type` of
 * the table).  Activations are rows of values; weights are packed into panels of 32-bit units, see
 * gemm_tmpl.c, and belong to the level that packed them. */

/* C[m, n] = residual + act((A[m, k] W[n, k]^T + bias) * scale) with packed W. */
struct wi_product {
    int m, n, k;
    const void *a; /* [m, k] values, row stride lda values; of bf16 and an odd k one more is read */
    size_t lda;
    const uint32_t *w; /* wi_packed_units(kern, n, k) units */
    const float *bias; /* [n] or NULL */
    float scale;
    enum wi_activation act;
    const float *residual; /* [m, n], row stride ldr, or NULL; may be c */
    size_t ldr;
    void *c; /* [m, n], row stride ldc, of values or of f32 */
    size_t ldc;
    bool values;
};

/* The same with W as in a file, and A and C of f32. */
struct wi_gemm {
    int m, n, k;
    const float *a; /* [m, k], row stride lda */
    size_t lda;
    enum wi_dtype w_type;
    const uint8_t *w; /* [n, k] rows in the file's format, w_stride bytes apart, maybe unaligned */
    size_t w_stride;
    const float *bias; /* [n] or NULL */
    float scale;
    enum wi_activation act;
    const float *residual; /* [m, n], row stride ldr, or NULL; may be c */
    size_t ldr;
    float *c; /* [m, n], row stride ldc */
    size_t ldc;
};

enum {
    WI_MATVEC_ROWS = 16, /* most rows of a matvec */
    WI_HEAD_MAX = 128,   /* largest d_head */
};

/* One head: out[i] = softmax(scale * q[i] K^T) V with values of the products' type. */
struct wi_attend {
    int n_q, n_kv, d_head; /* d_head <= WI_HEAD_MAX */
    const void *q;         /* [n_q, d_head], row stride ldq */
    size_t ldq;
    const uint32_t *k; /* pack_rows of [n_kv, d_head] */
    const uint32_t *v; /* pack_columns of [n_kv, d_head] */
    float scale;
    void *out; /* [n_q, d_head], row stride ldo */
    size_t ldo;
};

/* One query of one head over rows of a cache: out = softmax(scale * q K^T) V. */
struct wi_attn_rows {
    int n_kv, d_head;
    const float *q;    /* [d_head] */
    const void *k, *v; /* f32 or bf16 [.., d_head], row stride ld values */
    bool bf16;
    size_t ld;
    const int *rows; /* [n_kv]: the row of k and v that key j lies in; NULL = j */
    float scale;
    float *out; /* [d_head] */
};

enum {
    WI_ATTEND_SCRATCH = 10240, /* floats; struct attend_scratch in attend_tmpl.c */
};

struct wi_kern {
    enum wi_level level;
    int tile_cols;            /* columns of a panel */
    enum wi_dtype value_type; /* of what products multiply: WI_F32 or WI_BF16 */
    size_t value_bytes;
    enum wi_panel_type int8_type; /* of int8 matrices that may be multiplied by int8: INT8X4 if it has that */
#define WI_KERN(name, ret, params) ret(*name) params;
#include "cpu/kern_list.def"
#undef WI_KERN
};

const char *wi_level_name(enum wi_level level);

/* Best level that CPUID and XCR0 allow. */
enum wi_level wi_cpu_detect(void);

/* Level called `name`; NULL or "" = $WISP_CPU, else the best.  Errors: ARG (unknown or unavailable,
 * with the list of what is available). */
int wi_level_parse(enum wi_level *level, const char *name, struct wisp_error *err);

/* The table of an available level. */
void wi_kern_select(struct wi_kern *out, enum wi_level level);

/* Units of an operand [n, k] of products in panels. */
size_t wi_packed_units(const struct wi_kern *kern, int n, int k);

/* Values between rows that products read: a cache line more than k, since k is mostly a power of
 * two, and then the rows that are read together would all compete for one set of the cache. */
size_t wi_row_stride(const struct wi_kern *kern, int k);

/* Pack W [n, k] of a file's type, rows `stride` bytes apart, over the pool. */
void wi_pack(const struct wi_kern *kern, struct wi_pool *pool, enum wi_dtype type, const uint8_t *w,
             size_t stride, int n, int k, uint32_t *packed);

/* Run a product over the pool.  Results do not depend on the number of threads. */
void wi_product_run(const struct wi_kern *kern, struct wi_pool *pool, const struct wi_product *p);

/* Working memory of GEMMs up to a size; owned by whoever initialised it, used by one thread at a
 * time (which may share the work out over a pool). */
struct wi_gemm_work {
    float *scratch; /* [n_threads, stride]: of matvec */
    size_t stride;
    uint32_t *packed; /* W, as many columns as fit */
    size_t packed_units;
    uint16_t *a16; /* [max_m, max_k and padding] at bf16 levels: A converted */
};
int wi_gemm_work_init(struct wi_gemm_work *work, const struct wi_kern *kern, int n_threads,
                      int max_m, int max_k, struct wisp_error *err);
void wi_gemm_work_fini(struct wi_gemm_work *work);

/* For at most WI_MATVEC_ROWS rows. */
void wi_matvec_run(const struct wi_kern *kern, struct wi_pool *pool, struct wi_gemm_work *work,
                   const struct wi_gemm *g);

/* For any number: a matvec when that does, else a product with W packed on the way. */
void wi_gemm_run(const struct wi_kern *kern, struct wi_pool *pool, struct wi_gemm_work *work,
                 const struct wi_gemm *g);

#endif

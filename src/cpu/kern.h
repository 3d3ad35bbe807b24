/* The CPU kernels: one table of functions per instruction-set level, of which the best available (or a
 * forced) one is selected.  Tables are constant data; a selected copy belongs to whoever selected.
 * Kernels are pure functions of their arguments, so they are thread-safe. */
#ifndef WISP_SRC_CPU_KERN_H
#define WISP_SRC_CPU_KERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <wisp/wisp.h>

#include "base/dtype.h"
#include "base/pool.h"

enum wi_level { WI_PORTABLE, WI_AVX2, WI_AVX512, WI_AVX512BF16, WI_N_LEVELS };

enum wi_activation { WI_LINEAR, WI_GELU };

/* C[m, n] = residual + act((A[m, k] W[n, k]^T + bias) * scale), all f32 but W. */
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
    WI_GEMM_COLS = 96,   /* columns of one parallel item; also the packed panel */
    WI_MATVEC_ROWS = 16, /* most rows of a matvec: WI_DEC_MAX_SEQS */
};

/* One head: out[i] = softmax(scale * q[i] K^T) V over the keys that query i may see. */
struct wi_attn {
    int n_q, n_kv, d_head; /* d_head <= 128 */
    const float *q;        /* [n_q, d_head], row stride ldq */
    size_t ldq;
    const float *k, *v; /* [.., d_head], row stride ldkv */
    size_t ldkv;
    const int *rows; /* [n_kv]: row of k and v that key j lies in; NULL = j */
    bool causal;     /* query i sees keys 0 .. n_kv - n_q + i */
    float scale;
    float *out; /* [n_q, d_head], row stride ldo */
    size_t ldo;
};

enum { WI_ATTN_SCRATCH = 64 * 1024 }; /* floats */

struct wi_kern {
    enum wi_level level;
#define WI_KERN(name, ret, params) ret(*name) params;
#include "cpu/kern_list.def"
#undef WI_KERN
};

const char *wi_level_name(enum wi_level level);

/* Best level that CPUID and XCR0 allow. */
enum wi_level wi_cpu_detect(void);

/* Level called `name`; NULL or "" = $WISP_CPU, else the best.  Errors: ARG (unknown or unavailable, with
 * the list of what is available). */
int wi_level_parse(enum wi_level *level, const char *name, struct wisp_error *err);

/* Fill the table for a level: portable first, then every level up to it overrides what it has. */
void wi_kern_select(struct wi_kern *out, enum wi_level level);

/* Floats of scratch that each thread needs for a GEMM or matvec with this k. */
size_t wi_gemm_scratch(int k);

/* Run a GEMM (or a matvec when m allows) over the pool.  scratch: [wi_pool_threads][stride] floats,
 * stride >= wi_gemm_scratch(g->k).  Results do not depend on the number of threads. */
void wi_gemm_run(const struct wi_kern *kern, struct wi_pool *pool, const struct wi_gemm *g,
                 float *scratch, size_t stride);

#endif

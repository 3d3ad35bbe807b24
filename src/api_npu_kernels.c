/* Measuring the library's kernels on an emulated core. */
#include <wisp/wisp_npu.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "base/err.h"
#include "base/mem.h"
#include "npu/cases/cases.h"
#include "npu/cases/column.h"
#include "npu/emu/core.h"
#include "npu/isa/isa.h"

enum { BASE = 256, MAX_CYCLES = 10 * 1000 * 1000, DRAIN = 16 };

/* Behind the cases, which run on one core, comes the column. */
static bool is_column(size_t i) {
    return !wi_case_at(i) && (i == 0 || wi_case_at(i - 1));
}

const char *wisp_npu_kernel_name(size_t i) {
    const struct wi_case *c = wi_case_at(i);
    return c ? c->kernel : is_column(i) ? "column-gemm" : NULL;
}

void wisp_npu_kernel_run_fini(struct wisp_npu_kernel_run *run) {
    wi_free(run->program);
    wi_free(run->before);
    wi_free(run->after);
    memset(run, 0, sizeof *run);
}

/* ---------------------------------------------------------------- the run */

/* The cascade above has everything ready, the one below takes everything. */
struct bench {
    struct wi_case_data data;
    float out[WI_CASE_CASCADE][16];
    int n_in, n_out;
};

static bool in_ready(void *host) {
    return ((struct bench *)host)->n_in < WI_CASE_CASCADE;
}
static void in_get(void *host, uint8_t value[64]) {
    struct bench *b = host;
    memcpy(value, b->data.cascade[b->n_in++], 64);
}
static bool out_ready(void *host) {
    return ((struct bench *)host)->n_out < WI_CASE_CASCADE;
}
static void out_put(void *host, const uint8_t value[64]) {
    struct bench *b = host;
    memcpy(b->out[b->n_out++], value, 64);
}

static void set(struct wi_emu_core *core, const char *name, uint32_t value) {
    uint8_t v[160] = {0};
    for (int i = 0; i < 4; i++)
        v[i] = (uint8_t)(value >> 8 * i);
    wi_emu_core_set(core, name, v);
}

/* NOPs, where the routine returns to. */
static void load_return(struct wi_emu_core *core) {
    struct wi_isa_bundle nop = {.format = (uint8_t)wi_isa_format_for(0, WI_ISA_MAX_BYTES)};
    uint8_t bytes[WI_ISA_MAX_BYTES];
    wi_isa_pack(&nop, bytes);
    for (uint32_t at = 0; at < BASE; at += sizeof bytes)
        wi_emu_core_load(core, at, bytes, sizeof bytes);
}

static int call(struct bench *b, const struct wi_code *code, struct wisp_npu_kernel_run *out,
                struct wisp_error *err) {
    const struct wi_emu_port port = {.host = b,
                                     .cascade_in_ready = in_ready,
                                     .cascade_get = in_get,
                                     .cascade_out_ready = out_ready,
                                     .cascade_put = out_put};
    struct wi_emu_core *core;
    int rc = wi_emu_core_create(&core, WI_PORTABLE, err);
    if (rc != WISP_OK)
        return rc;
    wi_emu_core_map(core, WI_EMU_OWN, b->data.memory);
    wi_emu_core_connect(core, &port);
    load_return(core);
    wi_emu_core_load(core, BASE, (const uint8_t *)code->bytes.data, code->bytes.len);
    set(core, "p0", WI_CASE_MEMORY + b->data.params);
    set(core, "lr", 0);
    wi_emu_core_set_pc(core, BASE);
    wi_emu_core_break(core, 0, true);
    enum wi_emu_stop stop = wi_emu_core_run(core, MAX_CYCLES);
    struct wi_emu_counters counters = wi_emu_core_counters(core);
    if (stop != WI_EMU_BREAK)
        rc = wi_err_set(err, WISP_E_INTERNAL, "the kernel does not return: %s",
                        wi_emu_core_fault(core));
    wi_emu_core_break(core, 0, false); /* the last stores reach memory */
    wi_emu_core_run(core, counters.cycles + DRAIN);
    out->cycles = counters.cycles;
    out->bundles = counters.bundles;
    for (int i = 0; i < WISP_NPU_STALLS; i++)
        out->stalls[i] = counters.stalls[i];
    if (b->n_out)
        memcpy(b->data.cascade, b->out, sizeof b->out);
    wi_emu_core_destroy(&core);
    return rc;
}

/* ---------------------------------------------------------------- errors */

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* In bf16 ulp of a value or of 2^-8 of the largest in its row. */
static void row_errors(const double *want, const double *got, int n, double *error) {
    double largest = 0;
    for (int i = 0; i < n; i++)
        largest = fmax(largest, fabs(want[i]));
    for (int i = 0; i < n; i++) {
        double size = fmax(fabs(want[i]), largest / 256);
        error[i] = size > 0 ? fabs(got[i] - want[i]) / exp2(floor(log2(size)) - 7) : 0;
    }
}

/* Of n values in rows of `row`. */
static int measure_errors(const double *want, const double *got, int n, int row,
                          struct wisp_npu_kernel_run *out, struct wisp_error *err) {
    double xy = 0, xx = 0, yy = 0, *error = wi_malloc((size_t)n, sizeof *error);
    if (!error)
        return wi_err_nomem(err, "the errors of a kernel");
    for (int i = 0; i < n; i += row)
        row_errors(want + i, got + i, row, error + i);
    qsort(error, (size_t)n, sizeof *error, by_value);
    for (int i = 0; i < n; i++) {
        xy += got[i] * want[i];
        xx += got[i] * got[i];
        yy += want[i] * want[i];
    }
    out->ulp_median = error[n / 2];
    out->ulp_max = error[n - 1];
    out->correlation = xy / sqrt(xx * yy);
    wi_free(error);
    return WISP_OK;
}

/* ---------------------------------------------------------------- the whole */

static int copy(uint8_t **to, const void *from, size_t n, struct wisp_error *err) {
    *to = wi_malloc(n, 1);
    if (!*to)
        return wi_err_nomem(err, "the memory of a kernel");
    memcpy(*to, from, n);
    return WISP_OK;
}

static int make_code(const struct wi_case *c, struct wi_code *code, struct wisp_error *err) {
    struct wi_build *build;
    int rc = wi_build_create(&build, err);
    if (rc != WISP_OK)
        return rc;
    c->emit(build);
    rc = wi_build_finish(build, WI_PIPELINED, BASE, code, err);
    wi_build_destroy(&build);
    return rc;
}

static int measure(const struct wi_case *c, const struct wi_code *code, struct bench *b,
                   struct wisp_npu_kernel_run *out, struct wisp_error *err) {
    b->data.seed = 0x9e3779b97f4a7c15u;
    wi_emu_poison(b->data.memory, WI_CASE_BYTES);
    c->before(&b->data);
    int rc = copy(&out->before, b->data.memory, WI_CASE_BYTES, err);
    if (rc == WISP_OK)
        rc = copy(&out->program, code->bytes.data, code->bytes.len, err);
    if (rc == WISP_OK)
        rc = call(b, code, out, err);
    if (rc == WISP_OK)
        rc = copy(&out->after, b->data.memory, WI_CASE_BYTES, err);
    if (rc == WISP_OK) {
        c->after(&b->data);
        rc = measure_errors(b->data.want, b->data.got, b->data.n, b->data.row, out, err);
    }
    out->program_bytes = code->bytes.len;
    out->memory_bytes = WI_CASE_BYTES;
    out->program_address = BASE;
    out->params = WI_CASE_MEMORY + b->data.params;
    out->limit = code->loops[0].limit;
    return rc;
}

/* ---------------------------------------------------------------- the column */

enum {
    TOKENS = WI_COLUMN_TOKENS,
    WIDTH = WI_COLUMN_K,
    X_VALUES = TOKENS * WI_COLUMN_N,
    STEADY_JOBS = 3
};

struct column {
    uint16_t a[TOKENS * WIDTH], x[X_VALUES], w[STEADY_JOBS][WIDTH * WI_COLUMN_N];
    float bias[STEADY_JOBS][WI_COLUMN_N];
    double want[X_VALUES], got[X_VALUES];
    struct wi_column_programs programs;
};

static void fill_bf16(uint16_t *v, size_t n, int exponent, uint64_t *seed) {
    for (size_t i = 0; i < n; i++)
        v[i] = wi_case_random_bf16(seed, exponent);
}

static void fill_column(struct column *c) {
    uint64_t seed = 0x9e3779b97f4a7c15u;
    fill_bf16(c->a, TOKENS * WIDTH, 0, &seed);
    fill_bf16(c->x, X_VALUES, 0, &seed);
    for (int job = 0; job < STEADY_JOBS; job++) {
        fill_bf16(c->w[job], WIDTH * WI_COLUMN_N, -4, &seed);
        for (int i = 0; i < WI_COLUMN_N; i++)
            c->bias[job][i] = wi_bf16_to_f32(wi_case_random_bf16(&seed, 0));
    }
    for (int i = 0; i < X_VALUES; i++) {
        const uint16_t *row = c->a + i / WI_COLUMN_N * WIDTH;
        int n = i % WI_COLUMN_N;
        c->want[i] = (double)c->bias[0][n] + (double)wi_bf16_to_f32(c->x[i]);
        for (int k = 0; k < WIDTH; k++)
            c->want[i] += (double)wi_bf16_to_f32(row[k]) *
                          (double)wi_bf16_to_f32(c->w[0][k * WI_COLUMN_N + n]);
    }
}

/* One job for its results, more for the time of one among others. */
static int run_column(struct column *c, struct wisp_npu_kernel_run *out, struct wisp_error *err) {
    struct wi_column_work work = {1, 1, c->a, c->x, c->w[0], c->bias[0]};
    struct wi_column_time time;
    int rc = copy(&out->before, c->x, sizeof c->x, err);
    if (rc == WISP_OK)
        rc = wi_column_work_run(&work, &c->programs, NULL, &time, err);
    for (int i = 0; i < X_VALUES; i++)
        c->got[i] = (double)wi_bf16_to_f32(c->x[i]);
    if (rc == WISP_OK)
        rc = measure_errors(c->want, c->got, X_VALUES, WI_COLUMN_N, out, err);
    if (rc == WISP_OK)
        rc = copy(&out->after, c->x, sizeof c->x, err);
    work.jobs = STEADY_JOBS;
    if (rc == WISP_OK)
        rc = wi_column_work_run(&work, &c->programs, NULL, &time, err);
    out->cycles = out->bundles = time.cycles;
    for (int i = 0; i < WISP_NPU_STALLS; i++) {
        out->stalls[i] = time.waits[0][i];
        out->bundles -= time.waits[0][i];
    }
    return rc;
}

/* Program and stalls are those of the bottom core, bundles the cycles that it does not wait, memory
 * before and after X, row-major. */
static int measure_column(struct wisp_npu_kernel_run *out, struct wisp_error *err) {
    struct column *c = wi_calloc(1, sizeof *c);
    if (!c)
        return wi_err_nomem(err, "the data of a column");
    *out = (struct wisp_npu_kernel_run){.kernel = "column-gemm",
                                        .shape = "96x512x512",
                                        .layout = "4 cores on the array, bf16; a job among others",
                                        .limit = "vec",
                                        .bound = X_VALUES / 128 * (WIDTH / WI_COLUMN_ROWS),
                                        .memory_bytes = sizeof c->x};
    fill_column(c);
    int rc = wi_column_link(&c->programs, err);
    if (rc == WISP_OK) {
        const struct wi_strbuf *bottom = &c->programs.of[WI_GEMM_BOTTOM].bytes;
        out->program_bytes = bottom->len;
        rc = copy(&out->program, bottom->data, bottom->len, err);
    }
    if (rc == WISP_OK)
        rc = run_column(c, out, err);
    wi_column_programs_fini(&c->programs);
    wi_free(c);
    return rc;
}

int wisp_npu_kernel_measure(struct wisp_npu_kernel_run *out, size_t i, struct wisp_error *err) {
    const struct wi_case *c = wi_case_at(i);
    struct wi_code code;
    memset(out, 0, sizeof *out);
    wi_err_clear(err);
    if (is_column(i)) {
        int rc = measure_column(out, err);
        if (rc != WISP_OK)
            wisp_npu_kernel_run_fini(out);
        return rc;
    }
    if (!c)
        return wi_err_set(err, WISP_E_ARG, "there is no kernel %zu", i);
    *out = (struct wisp_npu_kernel_run){.kernel = c->kernel,
                                        .shape = c->shape,
                                        .layout = c->layout,
                                        .bound = c->bound,
                                        .earlier = c->earlier};
    int rc = make_code(c, &code, err);
    if (rc != WISP_OK)
        return rc;
    struct bench *b = wi_calloc(1, sizeof *b);
    if (b)
        b->data.memory = wi_malloc(WI_CASE_BYTES, 1);
    rc = b && b->data.memory ? measure(c, &code, b, out, err)
                             : wi_err_nomem(err, "the memory of a core");
    if (b)
        wi_free(b->data.memory);
    wi_free(b);
    wi_code_fini(&code);
    if (rc != WISP_OK)
        wisp_npu_kernel_run_fini(out);
    return rc;
}

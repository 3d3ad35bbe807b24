/* Measuring the library's kernels on an emulated core. */
#include <wisp/wisp_npu.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "npu/emu/core.h"
#include "npu/isa/isa.h"
#include "npu_cases.h"

enum { BASE = 256, MAX_CYCLES = 10 * 1000 * 1000, DRAIN = 16 };

const char *wisp_npu_kernel_name(size_t i) {
    const struct wi_case *c = wi_case_at(i);
    return c ? c->kernel : NULL;
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
static void row_errors(const struct wi_case_data *d, int row, double *error) {
    double largest = 0;
    for (int i = 0; i < d->row; i++)
        largest = fmax(largest, fabs(d->want[row * d->row + i]));
    for (int i = 0; i < d->row; i++) {
        double want = d->want[row * d->row + i], size = fmax(fabs(want), largest / 256);
        error[row * d->row + i] =
            size > 0 ? fabs(d->got[row * d->row + i] - want) / exp2(floor(log2(size)) - 7) : 0;
    }
}

static int measure_errors(const struct wi_case_data *d, struct wisp_npu_kernel_run *out,
                          struct wisp_error *err) {
    double xy = 0, xx = 0, yy = 0, *error = wi_malloc((size_t)d->n, sizeof *error);
    if (!error)
        return wi_err_nomem(err, "the errors of a kernel");
    for (int row = 0; row < d->n / d->row; row++)
        row_errors(d, row, error);
    qsort(error, (size_t)d->n, sizeof *error, by_value);
    for (int i = 0; i < d->n; i++) {
        xy += d->got[i] * d->want[i];
        xx += d->got[i] * d->got[i];
        yy += d->want[i] * d->want[i];
    }
    out->ulp_median = error[d->n / 2];
    out->ulp_max = error[d->n - 1];
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
        rc = measure_errors(&b->data, out, err);
    }
    out->program_bytes = code->bytes.len;
    out->memory_bytes = WI_CASE_BYTES;
    out->program_address = BASE;
    out->params = WI_CASE_MEMORY + b->data.params;
    out->limit = code->loops[0].limit;
    return rc;
}

int wisp_npu_kernel_measure(struct wisp_npu_kernel_run *out, size_t i, struct wisp_error *err) {
    const struct wi_case *c = wi_case_at(i);
    struct wi_code code;
    memset(out, 0, sizeof *out);
    wi_err_clear(err);
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

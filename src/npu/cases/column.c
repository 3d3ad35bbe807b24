#include "npu/cases/column.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"

enum { MAX_JOBS = 8, MATRIX = WI_COLUMN_TOKENS * WI_COLUMN_K, WEIGHTS = WI_COLUMN_K * WI_COLUMN_N };
enum { MEM = 1, BOTTOM = 2, RUN_LIMIT = 1000 * 1000, JOB_LIMIT = 1000 * 1000 };
enum { C_TRANSFERS = WI_COLUMN_PANELS * WI_COLUMN_PANEL_BYTES / 1024 };

/* ---------------------------------------------------------------- time */

struct wait {
    uint64_t start, end;
    int row, cause;
};

struct watch {
    int transfers;
    uint64_t job_end[MAX_JOBS + 1];
    struct wait *waits;
    size_t n, max;
    bool failed;
};

static void add_wait(struct watch *w, const struct wi_array_span *s) {
    int cause = 0;
    while (cause < WI_EMU_STALLS &&
           strcmp(s->what, wi_emu_stall_name((enum wi_emu_stall)cause)) != 0)
        cause++;
    if (cause == WI_EMU_STALLS)
        return;
    w->failed |= !wi_grow(&w->waits, &w->max, w->n + 1, sizeof *w->waits);
    if (!w->failed)
        w->waits[w->n++] = (struct wait){s->start, s->end, s->row - BOTTOM, cause};
}

static void see(void *user, const struct wi_array_span *s) {
    struct watch *w = user;
    if (s->col != 0 || s->row < BOTTOM)
        return;
    if (s->lane == WI_LANE_MM2S && s->row == BOTTOM && s->channel == 0 &&
        strcmp(s->what, "transfer") == 0 && ++w->transfers % C_TRANSFERS == 0)
        w->job_end[w->transfers / C_TRANSFERS] = s->end;
    if (s->lane == WI_LANE_CORE)
        add_wait(w, s);
}

static struct wi_column_time time_of(const struct watch *w, int job) {
    uint64_t from = w->job_end[job], to = w->job_end[job + 1];
    struct wi_column_time time = {.cycles = to - from};
    for (size_t i = 0; i < w->n; i++) {
        const struct wait *x = &w->waits[i];
        uint64_t start = x->start > from ? x->start : from, end = x->end < to ? x->end : to;
        if (start < end)
            time.waits[x->row][x->cause] += end - start;
    }
    return time;
}

/* ---------------------------------------------------------------- the run */

struct run {
    const struct wi_column_work *work;
    struct wi_array *array;
    struct wi_cfg load, insts;
    uint8_t *stream; /* [rows][jobs] x WI_COLUMN_JOB_BYTES */
    uint8_t *slab;
    uint64_t address[WI_COLUMN_ROWS];
};

static int add_streams(struct run *r, const struct wi_column_programs *programs,
                       struct wisp_error *err) {
    int jobs = r->work->jobs;
    for (int row = 0; row < WI_COLUMN_ROWS; row++) {
        size_t size = (size_t)jobs * WI_COLUMN_JOB_BYTES;
        uint8_t *stream = r->stream + (size_t)row * size;
        for (int job = 0; job < jobs; job++)
            if (!wi_column_stream(stream + job * WI_COLUMN_JOB_BYTES, programs, row, job,
                                  r->work->w + (size_t)job * WEIGHTS,
                                  r->work->bias + job * WI_COLUMN_N))
                return wi_err_set(err, WISP_E_INTERNAL, "a job that no core does");
        r->address[row] = ((uint64_t)row + 1) << 32;
        int rc = wi_array_add_memory(r->array, r->address[row], stream, size, err);
        if (rc != WISP_OK)
            return rc;
    }
    return WISP_OK;
}

static int load(struct run *r, const struct wi_column_programs *programs, struct wisp_error *err) {
    struct wi_plan plan = {.cfg = &r->load}, insts = {.cfg = &r->insts};
    wi_column_load(&plan, programs, r->work->cols, r->work->jobs);
    for (int col = 0; col < r->work->cols; col++) {
        const struct wi_at mem = {col, MEM};
        wi_column_pack_a(r->slab, r->work->a + col * MATRIX);
        wi_plan_bytes(&plan, mem, WI_MAP_DATA_MEM, WI_COLUMN_A, r->slab, WI_COLUMN_SLAB);
        wi_column_pack_x(r->slab, r->work->x + col * MATRIX);
        wi_plan_bytes(&plan, mem, WI_MAP_DATA_MEM, WI_COLUMN_X, r->slab, WI_COLUMN_SLAB);
    }
    wi_column_run(&insts, r->work->jobs);
    if (plan.err.code || insts.err.code)
        return wi_err_set(err, WISP_E_INTERNAL, "%s%s", plan.err.text, insts.err.text);
    if (r->load.failed || r->insts.failed)
        return wi_err_nomem(err, "a design");
    return wi_array_load(r->array, &r->load, err);
}

static int stopped(const struct run *r, enum wi_array_status status, struct wisp_error *err) {
    return status == WI_ARRAY_DONE
               ? WISP_OK
               : wi_err_set(err, WISP_E_DEVICE, "the array stopped: %s", wi_array_reason(r->array));
}

static int read_x(struct run *r, int col, struct wisp_error *err) {
    for (uint32_t i = 0; i < WI_COLUMN_SLAB; i += 4) {
        uint32_t at = wi_map_offset(WI_TILE_MEM, WI_MAP_DATA_MEM, 0, (WI_COLUMN_X + i) / 4), word;
        if (!wi_array_read(r->array, WI_TILE_ADDR(col, MEM, at), &word))
            return wi_err_set(err, WISP_E_INTERNAL, "a memory tile that cannot be read");
        memcpy(r->slab + i, &word, 4);
    }
    wi_column_unpack_x(r->work->x + col * MATRIX, r->slab);
    return WISP_OK;
}

static int run(struct run *r, struct watch *watch, struct wisp_error *err) {
    int jobs = r->work->jobs;
    wi_array_trace(r->array, see, watch);
    wi_array_start(r->array, &r->insts, r->address, WI_COLUMN_ROWS);
    int rc = stopped(r, wi_array_run(r->array, RUN_LIMIT), err);
    if (rc == WISP_OK) /* cores wait for the next unit then */
        rc = stopped(r, wi_array_idle(r->array, (uint64_t)jobs * JOB_LIMIT), err);
    wi_array_trace(r->array, NULL, NULL);
    if (rc == WISP_OK && watch->failed)
        rc = wi_err_nomem(err, "the waits of cores");
    if (rc == WISP_OK && watch->transfers != jobs * C_TRANSFERS)
        rc = wi_err_set(err, WISP_E_DEVICE, "the array stopped after %d of %d pieces",
                        watch->transfers, jobs * C_TRANSFERS);
    for (int col = 0; rc == WISP_OK && col < r->work->cols; col++)
        rc = read_x(r, col, err);
    return rc;
}

int wi_column_work_run(const struct wi_column_work *work, const struct wi_column_programs *programs,
                       const struct wi_array_params *params, struct wi_column_time *time,
                       struct wisp_error *err) {
    struct wi_array_params defaults;
    struct run r = {.work = work};
    struct watch watch = {.transfers = 0};
    memset(time, 0, sizeof *time);
    if (work->cols < 1 || work->cols > WI_COLUMN_COLS || work->jobs < 1 || work->jobs > MAX_JOBS)
        return wi_err_set(err, WISP_E_ARG, "%d columns and %d jobs; 1 to %d and 1 to %d are there",
                          work->cols, work->jobs, WI_COLUMN_COLS, MAX_JOBS);
    wi_array_params_init(&defaults);
    wi_cfg_init(&r.load);
    wi_cfg_init(&r.insts);
    r.stream = wi_malloc((size_t)WI_COLUMN_ROWS * (size_t)work->jobs, WI_COLUMN_JOB_BYTES);
    r.slab = wi_malloc(WI_COLUMN_SLAB, 1);
    int rc = r.stream && r.slab
                 ? wi_array_create(&r.array, params ? params : &defaults, WI_PORTABLE, err)
                 : wi_err_nomem(err, "the streams of an array");
    if (rc == WISP_OK)
        rc = add_streams(&r, programs, err);
    if (rc == WISP_OK)
        rc = load(&r, programs, err);
    if (rc == WISP_OK)
        rc = run(&r, &watch, err);
    if (rc == WISP_OK)
        *time = time_of(&watch, work->jobs > 1 ? work->jobs - 2 : 0);
    wi_free(watch.waits);
    wi_array_destroy(&r.array);
    wi_cfg_fini(&r.load);
    wi_cfg_fini(&r.insts);
    wi_free(r.stream);
    wi_free(r.slab);
    return rc;
}

/* The emulated array as a device.  It keeps its own copy of every buffer, so that a sync that is
 * forgotten shows, as it does on hardware. */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "cpu/kern.h"
#include "npu/device/device.h"
#include "npu/emu/array.h"
#include "npu/emu/timing.h"
#include "npu/image/insts.h"
#include "npu/image/pdi.h"

enum { PAGE = 4096, MAX_ARGUMENTS = 64 };
static const uint64_t FIRST_ADDRESS = 0x80000000; /* where host memory begins for this chip (XRT) */

struct emu {
    struct wi_array *array;
    uint64_t next_address, max_cycles;
    struct wi_insts insts;
    uint64_t args[MAX_ARGUMENTS];
    bool loaded, running;
    uint64_t started, spent; /* array cycles at submission, and until it ended */
    enum wisp_npu_status status;
    void (*trace)(void *user, const struct wisp_npu_span *span);
    void *trace_user;
};

struct buffer {
    uint64_t address;
    size_t size;
    uint8_t *host, *device;
};

static void emu_close(void *dev) {
    struct emu *e = dev;
    if (!e)
        return;
    wi_array_destroy(&e->array);
    wi_insts_fini(&e->insts);
    wi_free(e);
}

static int emu_open(void **dev, const struct wisp_npu_device_params *p, struct wisp_error *err) {
    struct wi_array_params params;
    enum wi_level level;
    int rc = wi_level_parse(&level, p->cpu, err);
    struct emu *e = *dev = wi_calloc(1, sizeof *e);
    if (!e)
        return wi_err_nomem(err, "an emulated device");
    wi_insts_init(&e->insts);
    e->next_address = FIRST_ADDRESS;
    e->max_cycles = p->max_cycles;
    wi_array_params_init(&params);
    params.n_threads = p->n_threads;
    params.start_at_load = p->start_at_load;
    params.all_read_rate = p->all_read_rate;
    params.all_write_rate = p->all_write_rate;
    params.jitter = p->jitter;
    if (p->read_rate)
        params.read_rate = p->read_rate;
    if (p->write_rate)
        params.write_rate = p->write_rate;
    if (p->read_latency)
        params.read_latency = p->read_latency;
    if (p->scatter_cycles)
        params.scatter_cycles = p->scatter_cycles;
    if (rc == WISP_OK)
        rc = wi_array_create(&e->array, &params, level, err);
    if (rc != WISP_OK) {
        emu_close(e);
        *dev = NULL;
    }
    return rc;
}

static void emu_caps(const void *dev, struct wisp_npu_caps *caps) {
    (void)dev;
    *caps = (struct wisp_npu_caps){.name = "emu",
                                   .emulated = true,
                                   .n_cols = WI_ARRAY_COLS,
                                   .n_cores = WI_ARRAY_COLS * (WI_ARRAY_ROWS - 2),
                                   .clock_khz = WI_T_CLOCK_KHZ,
                                   .max_arguments = MAX_ARGUMENTS};
}

static int emu_load(void *dev, const uint8_t *bytes, size_t size, struct wisp_error *err) {
    struct emu *e = dev;
    struct wi_pdi pdi;
    wi_pdi_init(&pdi);
    int rc = wi_pdi_read(&pdi, bytes, size, err);
    if (rc == WISP_OK)
        rc = wi_array_load(e->array, &pdi.cfg, err);
    e->loaded = rc == WISP_OK;
    e->running = false;
    e->status = rc == WISP_OK ? WISP_NPU_DONE : WISP_NPU_FAULT;
    e->started = e->spent = 0;
    wi_pdi_fini(&pdi);
    return rc;
}

/* ------------------------------------------------------------------ buffers */

static void emu_buffer_destroy(void *dev, void *buffer) {
    struct emu *e = dev;
    struct buffer *b = buffer;
    if (!b)
        return;
    wi_array_remove_memory(e->array, b->address);
    wi_free(b->host);
    wi_free(b->device);
    wi_free(b);
}

static int emu_buffer_create(void *dev, void **buffer, size_t size, struct wisp_error *err) {
    struct emu *e = dev;
    struct buffer *b = *buffer = wi_calloc(1, sizeof *b);
    if (!b)
        return wi_err_nomem(err, "a buffer");
    b->address = e->next_address;
    b->size = size;
    b->host = wi_calloc(size + 1, 1);
    b->device = wi_malloc(size + 1, 1);
    int rc = b->host && b->device ? wi_array_add_memory(e->array, b->address, b->device, size, err)
                                  : wi_err_nomem(err, "a buffer");
    if (rc != WISP_OK) {
        emu_buffer_destroy(dev, b);
        *buffer = NULL;
        return rc;
    }
    wi_emu_poison(b->device, size);
    /* a page between buffers belongs to none */
    e->next_address += (size + 2 * PAGE - 1) / PAGE * PAGE;
    return WISP_OK;
}

static void *emu_buffer_data(void *buffer) {
    return ((struct buffer *)buffer)->host;
}

static int emu_sync(void *dev, void *buffer, bool to_device, size_t offset, size_t size,
                    struct wisp_error *err) {
    struct buffer *b = buffer;
    (void)dev;
    if (offset > b->size || size > b->size - offset)
        return wi_err_set(err, WISP_E_ARG, "%zu bytes at %zu are not in a buffer of %zu bytes",
                          size, offset, b->size);
    if (to_device)
        memcpy(b->device + offset, b->host + offset, size);
    else
        memcpy(b->host + offset, b->device + offset, size);
    return WISP_OK;
}

/* ------------------------------------------------------------------ running */

static int emu_submit(void *dev, const uint8_t *insts, size_t size,
                      const struct wi_dev_argument *args, size_t n_args, struct wisp_error *err) {
    struct emu *e = dev;
    if (!e->loaded)
        return wi_err_set(err, WISP_E_ARG, "no design is loaded");
    if (e->running)
        return wi_err_set(err, WISP_E_ARG, "the last submission has not been waited for");
    if (n_args > MAX_ARGUMENTS)
        return wi_err_set(err, WISP_E_ARG, "a submission has at most %d buffers", MAX_ARGUMENTS);
    wi_insts_fini(&e->insts);
    wi_insts_init(&e->insts);
    int rc = wi_insts_read(&e->insts, insts, size, err);
    for (size_t i = 0; i < n_args; i++) {
        const struct buffer *b = args[i].buffer;
        e->args[i] = b ? b->address + args[i].offset : WI_ARRAY_NO_ARGUMENT;
    }
    if (rc != WISP_OK)
        return rc;
    e->started = wi_array_cycles(e->array);
    wi_array_start(e->array, &e->insts.cfg, e->args, n_args);
    e->running = true;
    return WISP_OK;
}

static int emu_wait(void *dev, double seconds, struct wisp_error *err) {
    static const enum wisp_npu_status statuses[] = {[WI_ARRAY_DONE] = WISP_NPU_DONE,
                                                    [WI_ARRAY_LIMIT] = WISP_NPU_LIMIT,
                                                    [WI_ARRAY_DEADLOCK] = WISP_NPU_DEADLOCK,
                                                    [WI_ARRAY_FAULT] = WISP_NPU_FAULT};
    struct emu *e = dev;
    double cycles = seconds * 1e3 * WI_T_CLOCK_KHZ;
    uint64_t limit = cycles < 1e18 ? (uint64_t)cycles : UINT64_MAX;
    if (!e->running)
        return wi_err_set(err, WISP_E_ARG, "nothing was submitted");
    if (e->max_cycles && limit > e->max_cycles)
        limit = e->max_cycles;
    e->status = statuses[wi_array_run(e->array, limit)];
    e->spent = wi_array_cycles(e->array) - e->started;
    e->running = e->status == WISP_NPU_LIMIT;
    if (e->status == WISP_NPU_DONE)
        return WISP_OK;
    return wi_err_set(err, e->running ? WISP_E_TIMEOUT : WISP_E_DEVICE, "%s",
                      wi_array_reason(e->array));
}

/* ------------------------------------------------------------------ what was seen */

static void emu_report(const void *dev, struct wisp_npu_report *r) {
    const struct emu *e = dev;
    *r = (struct wisp_npu_report){
        .status = e->status, .cycles = e->spent, .us = (double)e->spent * 1e3 / WI_T_CLOCK_KHZ};
    const char *reason = wi_array_reason(e->array);
    size_t n = strlen(reason);
    memcpy(r->reason, reason, n < sizeof r->reason ? n : sizeof r->reason - 1);
    if (!wi_array_guilty(e->array, &r->col, &r->row))
        r->col = r->row = -1;
}

static bool emu_tile(const void *dev, int i, struct wisp_npu_tile *t) {
    const struct emu *e = dev;
    struct wi_emu_counters n;
    int col = i / 4, row = 2 + i % 4;
    if (i < 0 || col >= WI_ARRAY_COLS)
        return false;
    *t = (struct wisp_npu_tile){.col = col, .row = row};
    if (wi_array_core_counters(e->array, col, row, &n)) {
        t->cycles = n.cycles;
        t->busy = n.bundles;
        for (int k = 0; k < WISP_NPU_STALLS; k++)
            t->stalls[k] = n.stalls[k];
    }
    return true;
}

static bool emu_channel(const void *dev, int i, struct wisp_npu_channel *out) {
    enum { PER_TILE = 12 };
    const struct emu *e = dev;
    struct wi_array_channel c;
    for (int tile = 0; tile < WI_ARRAY_TILES; tile++)
        for (int k = 0; k < PER_TILE; k++) {
            int col = tile / WI_ARRAY_ROWS, row = tile % WI_ARRAY_ROWS;
            if (!wi_array_channel(e->array, col, row, k % 2, k / 2, &c) || i-- != 0)
                continue;
            *out = (struct wisp_npu_channel){.col = col,
                                             .row = row,
                                             .mm2s = k % 2,
                                             .channel = k / 2,
                                             .words = c.words,
                                             .descriptors = c.descriptors,
                                             .tasks = c.tasks,
                                             .lock = c.lock,
                                             .stream = c.stream,
                                             .memory = c.memory};
            return true;
        }
    return false;
}

static int emu_explain(const void *dev, char **text, struct wisp_error *err) {
    const struct emu *e = dev;
    struct wi_strbuf s;
    wi_strbuf_init(&s);
    wi_array_explain(e->array, &s);
    wi_strbuf_puts(&s, "");
    *text = wi_strbuf_take(&s);
    return *text ? WISP_OK : wi_err_nomem(err, "an explanation");
}

static void on_span(void *user, const struct wi_array_span *s) {
    static const enum wisp_npu_lane lanes[] = {[WI_LANE_CORE] = WISP_NPU_LANE_CORE,
                                               [WI_LANE_S2MM] = WISP_NPU_LANE_S2MM,
                                               [WI_LANE_MM2S] = WISP_NPU_LANE_MM2S,
                                               [WI_LANE_CONTROLLER] = WISP_NPU_LANE_CONTROLLER};
    struct emu *e = user;
    e->trace(e->trace_user, &(struct wisp_npu_span){.lane = lanes[s->lane],
                                                    .col = s->col,
                                                    .row = s->row,
                                                    .channel = s->channel,
                                                    .what = s->what,
                                                    .descriptor = s->descriptor,
                                                    .start = s->start,
                                                    .end = s->end});
}

static void emu_trace(void *dev, void (*fn)(void *, const struct wisp_npu_span *), void *user) {
    struct emu *e = dev;
    e->trace = fn;
    e->trace_user = user;
    wi_array_trace(e->array, fn ? on_span : NULL, e);
}

const struct wi_dev_ops wi_dev_emu = {.name = "emu",
                                      .open = emu_open,
                                      .close = emu_close,
                                      .caps = emu_caps,
                                      .load = emu_load,
                                      .buffer_create = emu_buffer_create,
                                      .buffer_destroy = emu_buffer_destroy,
                                      .buffer_data = emu_buffer_data,
                                      .sync = emu_sync,
                                      .submit = emu_submit,
                                      .wait = emu_wait,
                                      .report = emu_report,
                                      .tile = emu_tile,
                                      .channel = emu_channel,
                                      .explain = emu_explain,
                                      .trace = emu_trace};

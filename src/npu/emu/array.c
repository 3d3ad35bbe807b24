/* The array's life and its loop: which unit is stepped in which cycle. */
#include "npu/emu/array_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

enum { CORE_BYTES = 64 * 1024, MEM_BYTES = 512 * 1024 };

void wi_array_params_init(struct wi_array_params *p) {
    *p = (struct wi_array_params){.read_rate = WI_T_READ_RATE,
                                  .write_rate = WI_T_WRITE_RATE,
                                  .read_latency = WI_T_READ_LATENCY,
                                  .scatter_cycles = 1};
}

struct wi_tile *wi_arr_tile(const struct wi_array *a, int col, int row) {
    bool there = col >= 0 && col < WI_ARRAY_COLS && row >= 0 && row < WI_ARRAY_ROWS;
    return there ? (struct wi_tile *)&a->tile[col * WI_ARRAY_ROWS + row] : NULL;
}

void wi_arr_fault(struct wi_array *a, const struct wi_tile *t, const char *format, ...) {
    va_list args;
    int n = 0;
    if (a->failed)
        return;
    a->failed = true;
    a->guilty = t ? t->index : -1;
    if (t)
        n = snprintf(a->reason, sizeof a->reason, "(%d,%d) ", t->col, t->row);
    va_start(args, format);
    vsnprintf(a->reason + n, sizeof a->reason - (size_t)n, format, args);
    va_end(args);
}

/* ------------------------------------------------------------------ making */

static void init_tile(struct wi_array *a, int i) {
    struct wi_tile *t = &a->tile[i];
    t->array = a;
    t->index = i;
    t->col = i / WI_ARRAY_ROWS;
    t->row = i % WI_ARRAY_ROWS;
    t->kind = wi_tile_kind(t->row);
    t->n_channels = t->kind == WI_TILE_MEM ? 6 : 2;
    t->n_locks = t->kind == WI_TILE_MEM ? 64 : 16;
    t->memory_bytes = t->kind == WI_TILE_MEM ? MEM_BYTES : t->kind == WI_TILE_CORE ? CORE_BYTES : 0;
}

/* wi_emu_poison is careful; what it fills is repeated. */
static void poison(uint8_t *memory, size_t n) {
    size_t done = n < CORE_BYTES / 16 ? n : CORE_BYTES / 16;
    wi_emu_poison(memory, done);
    for (; done < n; done *= 2)
        memcpy(memory + done, memory, done < n - done ? done : n - done);
}

static void power_up_tile(struct wi_tile *t) {
    for (int i = 0; i < 2 * t->n_channels; i++) {
        struct channel *c = &t->channel[i % 2][i / 2];
        memset(c, 0, sizeof *c);
        c->tile = t;
        c->mm2s = i % 2;
        c->number = (uint8_t)(i / 2);
        wi_arr_channel_reset(c);
    }
    t->due = NEVER;
    memset(t->lock, 0, sizeof t->lock);
    memset(t->bd, 0, sizeof t->bd);
    t->mux = t->demux = t->cascade = 0;
    t->used_cycle = NEVER;
    wi_arr_switch_reset(t);
    poison(t->memory, t->memory_bytes);
}

static void power_up(struct wi_array *a) {
    a->failed = a->started = a->over = false;
    a->reason[0] = '\0';
    a->guilty = -1;
    a->now = 0;
    a->linked = 0;
    a->controller = (struct controller){.next = NEVER};
    for (int i = 0; i < WI_ARRAY_TILES; i++) {
        a->wake[i] = 0;
        power_up_tile(&a->tile[i]);
    }
    for (int i = 0; i < N_CORES; i++)
        wi_arr_core_power_up(&a->core[i]);
}

static int allocate(struct wi_array *a, enum wi_level level, struct wisp_error *err) {
    int rc = WISP_OK;
    for (int i = 0; i < WI_ARRAY_TILES; i++) {
        init_tile(a, i);
        a->tile[i].memory = wi_malloc(a->tile[i].memory_bytes + 1, 1);
        if (!a->tile[i].memory)
            return wi_err_nomem(err, "an emulated array");
    }
    for (int i = 0; i < N_CORES && rc == WISP_OK; i++)
        rc = wi_arr_core_init(a, i, level, err);
    int threads = a->params.n_threads ? a->params.n_threads : wi_default_threads();
    return rc == WISP_OK ? wi_pool_create(&a->pool, threads, err) : rc;
}

int wi_array_create(struct wi_array **out, const struct wi_array_params *params,
                    enum wi_level level, struct wisp_error *err) {
    struct wi_array *a = *out = wi_calloc(1, sizeof *a);
    if (!a)
        return wi_err_nomem(err, "an emulated array");
    a->params = *params;
    int rc = allocate(a, level, err);
    if (rc == WISP_OK)
        power_up(a);
    else
        wi_array_destroy(out);
    return rc;
}

void wi_array_destroy(struct wi_array **array) {
    struct wi_array *a = *array;
    if (!a)
        return;
    for (int i = 0; i < WI_ARRAY_TILES; i++)
        wi_free(a->tile[i].memory);
    for (int i = 0; i < N_CORES; i++)
        wi_emu_core_destroy(&a->core[i].core);
    wi_pool_destroy(&a->pool);
    wi_free(a);
    *array = NULL;
}

int wi_array_add_memory(struct wi_array *a, uint64_t address, uint8_t *data, size_t size,
                        struct wisp_error *err) {
    for (int i = 0; i < a->n_memories; i++) {
        const struct memory *m = &a->memory[i];
        if (address < m->address + m->size && m->address < address + size)
            return wi_err_set(err, WISP_E_ARG, "host memory at 0x%llx overlaps another buffer",
                              (unsigned long long)address);
    }
    if (a->n_memories == MAX_MEMORIES)
        return wi_err_set(err, WISP_E_ARG, "an emulated array has at most %d buffers",
                          MAX_MEMORIES);
    a->memory[a->n_memories++] = (struct memory){address, size, data};
    return WISP_OK;
}

void wi_array_remove_memory(struct wi_array *a, uint64_t address) {
    for (int i = 0; i < a->n_memories; i++)
        if (a->memory[i].address == address)
            a->memory[i] = a->memory[--a->n_memories];
    for (int col = 0; col < WI_ARRAY_COLS; col++)
        for (int i = 0; i < 4; i++)
            wi_arr_tile(a, col, 0)->channel[i % 2][i / 2].memory = NULL;
}

/* ------------------------------------------------------------------ a cycle */

/* By turns, so that none is always first. */
static void step_channels(struct wi_tile *t, uint64_t now) {
    int n = 2 * t->n_channels, first = (int)(n == 4 ? now & 3 : (uint32_t)now % 12);
    for (int i = 0; i < n; i++) {
        int at = first + i < n ? first + i : first + i - n;
        if (t->next[at] <= now)
            wi_arr_channel_step(&t->channel[at % 2][at / 2], now);
    }
    t->due = NEVER;
    for (int i = 0; i < n; i++)
        t->due = earlier(t->due, t->next[i]);
}

static void step_tile(struct wi_tile *t, uint64_t now) {
    uint64_t *wake = &t->array->wake[t->index];
    *wake = NEVER; /* what is changed on the way may set it again */
    uint64_t next = wi_arr_switch_step(t, now);
    if (t->due <= now)
        step_channels(t, now);
    *wake = earlier(*wake, earlier(next, t->due));
}

/* All of a cycle but cores that run alone; true when cores have run. */
static bool step(struct wi_array *a, uint64_t end) {
    bool ran = a->controller.next == a->now;
    for (int i = 0; i < N_CORES; i++)
        if (a->sync[i] <= a->now) {
            wi_arr_core_attempt(&a->core[i], a->now, end);
            ran = true;
        }
    if (a->controller.next == a->now) {
        wi_arr_control_step(a);
        for (int i = 0; i < N_CORES; i++) /* those that it has started */
            wi_arr_core_ahead(&a->core[i], end);
    }
    for (int i = 0; i < WI_ARRAY_TILES; i++)
        if (a->wake[i] <= a->now)
            step_tile(&a->tile[i], a->now);
    for (int i = 0; i < N_CORES; i++)
        if (a->released[i] <= a->now)
            wi_arr_core_releases(&a->core[i], a->now);
    return ran;
}

/* The next cycle in which anything but a core that runs alone can happen. */
static uint64_t next_cycle(const struct wi_array *a) {
    uint64_t next = a->controller.next;
    for (int i = 0; i < WI_ARRAY_TILES; i++)
        next = earlier(next, a->wake[i]);
    for (int i = 0; i < N_CORES; i++)
        next = earlier(next, earlier(a->sync[i], a->released[i]));
    return next;
}

/* ------------------------------------------------------------------ a window of cycles */

struct ahead {
    struct wi_array *array;
    uint64_t end;
    uint8_t first[WI_ARRAY_COLS + 1]; /* columns of each group, which share memories */
};

static void run_group(void *arg, int item, int thread) {
    struct ahead *w = arg;
    (void)thread;
    for (int i = 4 * w->first[item]; i < 4 * w->first[item + 1]; i++)
        wi_arr_core_ahead(&w->array->core[i], w->end);
}

/* Cores that see each other's memory run in one thread and in one order. */
static void run_ahead(struct wi_array *a, uint64_t end) {
    struct ahead w = {.array = a, .end = end};
    int n = 0, busy = 0;
    for (int col = 0; col < WI_ARRAY_COLS; col++)
        if (!(a->linked >> col & 1))
            w.first[n++] = (uint8_t)col;
    w.first[n] = WI_ARRAY_COLS;
    for (int i = 0; i < N_CORES; i++)
        busy += a->core[i].state == CORE_RUN;
    if (busy > 1 && n > 1 && wi_pool_threads(a->pool) > 1)
        wi_pool_run(a->pool, n, run_group, &w);
    else
        for (int i = 0; i < n; i++)
            run_group(&w, i, 0);
}

/* Faults of cores: the earliest is told. */
static void look_at_cores(struct wi_array *a) {
    struct emu_core *guilty = NULL;
    for (int i = 0; i < N_CORES; i++) {
        struct emu_core *c = &a->core[i];
        if ((c->faulted || c->unanswered) &&
            (!guilty || wi_arr_core_cycle(c) < wi_arr_core_cycle(guilty)))
            guilty = c;
        if (c->neighbours >> WI_EMU_WEST & 1)
            a->linked |= 1u << c->tile->col;
    }
    if (guilty)
        wi_arr_fault(a, guilty->tile, "core: %s",
                     guilty->faulted
                         ? wi_emu_core_fault(guilty->core)
                         : "a non-blocking stream operation, which the array does not model");
}

static void run_window(struct wi_array *a, uint64_t end) {
    uint64_t start = a->now;
    run_ahead(a, end);
    look_at_cores(a);
    while (a->now < end && !a->failed) {
        uint64_t next = next_cycle(a);
        if (next >= end) {
            a->now = end;
            break;
        }
        a->now = next > a->now ? next : a->now;
        if (step(a, end))
            look_at_cores(a);
        if (a->over)
            break; /* nothing is left of this cycle, and cores are where they are */
        a->now++;
    }
    wi_arr_core_conflicts(a, start, a->now);
}

static bool cores_run(const struct wi_array *a) {
    for (int i = 0; i < N_CORES; i++)
        if (a->core[i].state == CORE_RUN)
            return true;
    return false;
}

/* The timeline's spans that are not over yet. */
static void show_open_spans(struct wi_array *a) {
    for (int i = 0; i < N_CORES; i++)
        wi_arr_core_show(&a->core[i]);
    for (int i = 0; i < WI_ARRAY_TILES; i++)
        for (int k = 0; k < 2 * a->tile[i].n_channels; k++) {
            struct channel *c = &a->tile[i].channel[k % 2][k / 2];
            enum channel_stall stall = c->stall;
            wi_arr_channel_stall(c, STALL_NONE, a->now);
            wi_arr_channel_stall(c, stall, a->now);
        }
}

/* Run until `is_over`, nothing can move any more (false), or `limit`. */
static bool run_until(struct wi_array *a, bool (*is_over)(const struct wi_array *),
                      uint64_t limit) {
    a->over = false;
    while (!a->failed && !is_over(a) && a->now < limit) {
        uint64_t next = next_cycle(a);
        bool run = cores_run(a);
        if (next == NEVER && !run)
            return false;
        if (!run)
            a->now = earlier(next > a->now ? next : a->now, limit);
        uint64_t window = next > a->now + WI_T_WINDOW ? WI_T_WINDOW_IDLE : WI_T_WINDOW;
        uint64_t end = earlier(a->now + window, limit);
        if (a->controller.next > a->now)
            end = earlier(end, a->controller.next);
        run_window(a, end > a->now ? end : a->now + 1);
    }
    return true;
}

static bool never_over(const struct wi_array *a) {
    (void)a;
    return false;
}

/* ------------------------------------------------------------------ loading */

static void load_op(struct wi_array *a, const struct wi_cfg *cfg, const struct wi_cfg_op *op) {
    switch (op->kind) {
    case WI_CFG_NOP: break;
    case WI_CFG_WRITE: wi_arr_write(a, op->addr, op->value); break;
    case WI_CFG_MASK_WRITE: wi_arr_mask_write(a, op->addr, op->mask, op->value); break;
    case WI_CFG_BLOCK: wi_arr_block(a, op->addr, wi_cfg_words(cfg, op), op->n_words); break;
    default: wi_arr_fault(a, NULL, "a load command waits or patches, which no loader does");
    }
}

int wi_array_load(struct wi_array *a, const struct wi_cfg *cfg, struct wisp_error *err) {
    power_up(a);
    a->in_load = true;
    for (size_t i = 0; i < cfg->n_ops && !a->failed; i++)
        load_op(a, cfg, &cfg->ops[i]);
    a->in_load = false;
    for (int i = 0; i < WI_ARRAY_TILES && !a->failed; i++)
        wi_arr_switch_routes(&a->tile[i]);
    wi_arr_core_cascades(a);
    if (a->params.start_at_load && !a->failed) {
        wi_arr_core_start_all(a, false);
        run_until(a, never_over, WI_T_LAUNCH);
    }
    return a->failed ? wi_err_set(err, WISP_E_DEVICE, "%s", a->reason) : WISP_OK;
}

/* ------------------------------------------------------------------ running */

static bool stream_is_over(const struct wi_array *a) {
    return !a->controller.cfg;
}

static enum wi_array_status deadlock(struct wi_array *a) {
    struct wi_strbuf text;
    wi_strbuf_init(&text);
    wi_array_explain(a, &text);
    snprintf(a->reason, sizeof a->reason, "nothing can move any more: %s",
             text.data ? text.data : "");
    char *end = strchr(a->reason, '\n');
    if (end)
        *end = '\0';
    wi_strbuf_fini(&text);
    return WI_ARRAY_DEADLOCK;
}

void wi_array_start(struct wi_array *a, const struct wi_cfg *insts, const uint64_t *args,
                    size_t n_args) {
    if (a->failed)
        return;
    a->reason[0] = '\0';
    a->guilty = -1;
    wi_arr_control_start(a, insts, args, n_args);
    wi_arr_core_start_all(a, true);
}

enum wi_array_status wi_array_run(struct wi_array *a, uint64_t limit) {
    bool moves = run_until(a, stream_is_over, limit < NEVER - a->now ? a->now + limit : NEVER);
    if (a->trace)
        show_open_spans(a);
    if (a->failed)
        return WI_ARRAY_FAULT;
    if (stream_is_over(a))
        return WI_ARRAY_DONE;
    if (!moves)
        return deadlock(a);
    snprintf(a->reason, sizeof a->reason, "the instruction stream has not ended after %llu cycles",
             (unsigned long long)limit);
    return WI_ARRAY_LIMIT;
}

enum wi_array_status wi_array_idle(struct wi_array *a, uint64_t limit) {
    bool moves = run_until(a, never_over, limit < NEVER - a->now ? a->now + limit : NEVER);
    if (a->trace)
        show_open_spans(a);
    return a->failed ? WI_ARRAY_FAULT : moves ? WI_ARRAY_LIMIT : WI_ARRAY_DONE;
}

/* ------------------------------------------------------------------ asked from outside */

const char *wi_array_reason(const struct wi_array *a) {
    return a->reason;
}

bool wi_array_guilty(const struct wi_array *a, int *col, int *row) {
    if (a->guilty < 0)
        return false;
    *col = a->guilty / WI_ARRAY_ROWS;
    *row = a->guilty % WI_ARRAY_ROWS;
    return true;
}

uint64_t wi_array_cycles(const struct wi_array *a) {
    return a->now;
}

bool wi_array_core_counters(const struct wi_array *a, int col, int row,
                            struct wi_emu_counters *out) {
    const struct wi_tile *t = wi_arr_tile(a, col, row);
    if (!t || !t->core)
        return false;
    *out = wi_arr_core_count(t->core);
    return out->cycles > 0;
}

bool wi_array_channel(const struct wi_array *a, int col, int row, bool mm2s, int channel,
                      struct wi_array_channel *out) {
    const struct wi_tile *t = wi_arr_tile(a, col, row);
    if (!t || channel < 0 || channel >= t->n_channels)
        return false;
    const struct channel *c = &t->channel[mm2s][channel];
    *out = c->count_of;
    uint64_t open = a->now - c->stalled_since;
    out->lock += c->stall == STALL_LOCK ? open : 0;
    out->stream += c->stall == STALL_STREAM ? open : 0;
    out->memory += c->stall == STALL_MEMORY ? open : 0;
    return true;
}

void wi_array_trace(struct wi_array *a, void (*fn)(void *, const struct wi_array_span *),
                    void *user) {
    a->trace = fn;
    a->trace_user = user;
}

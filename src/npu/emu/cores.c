/* The compute tiles' cores: their port, running ahead of the array, and memory banks.
 *
 * A core runs alone up to its next acquire, stream or cascade operation, which happens only when
 * the array's time has come to that cycle.  Releases are kept and take effect at their cycle. Which
 * banks the core used in which cycle is kept too, for the DMA channels that come later; cycles that
 * it loses to them or to other cores are taken at its next memory access. */
#include "npu/emu/array_impl.h"

#include <string.h>

#include "base/err.h"

static const int NORTH_IN = 0, WEST_IN = 1; /* of the cascade register's input bit */

uint64_t wi_arr_core_cycle(const struct emu_core *c) {
    return c->base + wi_emu_core_counters(c->core).cycles;
}

static void add_counters(struct wi_emu_counters *a, const struct wi_emu_counters *b) {
    a->cycles += b->cycles;
    a->bundles += b->bundles;
    for (int i = 0; i < WI_EMU_STALLS; i++)
        a->stalls[i] += b->stalls[i];
}

struct wi_emu_counters wi_arr_core_count(const struct emu_core *c) {
    struct wi_emu_counters n = wi_emu_core_counters(c->core);
    add_counters(&n, &c->before);
    return n;
}

/* ------------------------------------------------------------------ locks */

/* The tile and lock that a core means by an id: south, west, north, own. */
static struct wi_tile *tile_of_lock(const struct emu_core *c, unsigned *id) {
    const struct wi_tile *t = c->tile;
    struct wi_tile *there = NULL;
    switch (*id / 16) {
    case WI_EMU_SOUTH: there = wi_arr_tile(c->array, t->col, t->row - 1); break;
    case WI_EMU_WEST: there = wi_arr_tile(c->array, t->col - 1, t->row); break;
    case WI_EMU_NORTH: there = wi_arr_tile(c->array, t->col, t->row + 1); break;
    default: there = c->tile;
    }
    *id %= 16;
    return there && there->kind == WI_TILE_CORE ? there : NULL;
}

static int acquire(void *host, unsigned id, int32_t value, uint64_t cycle) {
    struct emu_core *c = host;
    struct wi_tile *t = tile_of_lock(c, &id);
    if (!t || value < -LOCK_MAX || value > LOCK_MAX)
        return -1;
    if (!c->attempt)
        return 0;
    uint64_t now = c->base + cycle;
    struct lock *lock = &t->lock[id];
    int r = wi_arr_acquire(lock, value, true, now);
    if (r > 0) {
        wi_arr_lock_changed(t, lock, now + 1); /* another may wait for this lower value */
        return 1;
    }
    c->wait_lock = lock;
    c->wait_tile = t;
    c->wait_value = value;
    c->wait_until = r < 0 ? now + 1 : now < lock->late_until ? lock->late_until : NEVER;
    return 0;
}

/* Tell the array when the next one takes effect. */
static void note_release(struct emu_core *c) {
    c->array->released[c - c->array->core] =
        c->n_releases ? c->release[c->release_head].cycle : NEVER;
}

static int release(void *host, unsigned id, int32_t value, uint64_t cycle) {
    struct emu_core *c = host;
    struct wi_tile *t = tile_of_lock(c, &id);
    if (!t || value < -LOCK_MAX || value > LOCK_MAX || c->n_releases == RELEASES)
        return -1;
    c->release[(c->release_head + c->n_releases++) % RELEASES] = (struct release){
        .cycle = c->base + cycle, .tile = t, .id = (uint8_t)id, .value = (int8_t)value};
    note_release(c);
    return 0;
}

void wi_arr_core_releases(struct emu_core *c, uint64_t now) {
    while (c->n_releases && c->release[c->release_head].cycle <= now) {
        const struct release *r = &c->release[c->release_head];
        if (!wi_arr_release(r->tile, r->id, r->value, false, now, "the core"))
            c->array->guilty = c->tile->index;
        c->release_head = (c->release_head + 1) % RELEASES;
        c->n_releases--;
    }
    note_release(c);
}

/* ------------------------------------------------------------------ streams and cascade */

/* Whether the question can be answered: only in the cycle that the array has come to. */
static bool may_ask(struct emu_core *c) {
    if (!c->attempt)
        c->asked++;
    return c->attempt;
}

static bool stream_in_ready(void *host) {
    struct emu_core *c = host;
    return may_ask(c) && fifo_ready(&c->in, c->array->now);
}

static uint32_t stream_get(void *host, bool *tlast) {
    struct emu_core *c = host;
    struct word w = fifo_pop(&c->in, c->array->now);
    *tlast = w.last;
    wi_arr_wake(c->tile, c->array->now + 1);
    return w.v;
}

static bool stream_out_ready(void *host) {
    struct emu_core *c = host;
    return may_ask(c) && fifo_has_room(&c->out, c->array->now);
}

static void stream_put(void *host, uint32_t word, bool tlast) {
    struct emu_core *c = host;
    fifo_push(&c->out, (struct word){word, tlast}, c->array->now);
    wi_arr_wake(c->tile, c->array->now + 1);
}

static bool cascade_in_ready(void *host) {
    struct emu_core *c = host;
    return may_ask(c) && c->n_cascade && c->cascade_ready[c->cascade_head] <= c->array->now;
}

static void cascade_get(void *host, uint8_t value[64]) {
    struct emu_core *c = host;
    memcpy(value, c->cascade[c->cascade_head], 64);
    c->cascade_head = (uint8_t)((c->cascade_head + 1) % WI_T_CASCADE_WORDS);
    c->n_cascade--;
    c->cascade_popped = c->array->now + 1;
    if (c->previous)
        wi_arr_core_wake(c->previous, c->array->now + 1);
}

static bool cascade_out_ready(void *host) {
    struct emu_core *c = host;
    if (!may_ask(c) || !c->next)
        return false;
    const struct emu_core *n = c->next;
    return n->n_cascade + (n->cascade_popped == c->array->now + 1) < WI_T_CASCADE_WORDS;
}

static void cascade_put(void *host, const uint8_t value[64]) {
    struct emu_core *c = host, *n = c->next;
    unsigned at = (n->cascade_head + n->n_cascade++) % WI_T_CASCADE_WORDS;
    memcpy(n->cascade[at], value, 64);
    n->cascade_ready[at] = c->array->now + 1;
    wi_arr_core_wake(n, c->array->now + 1);
}

/* Whose cascade comes in and where this one's goes: both ends must say so. */
void wi_arr_core_cascades(struct wi_array *a) {
    for (int i = 0; i < N_CORES; i++)
        a->core[i].next = a->core[i].previous = NULL;
    for (int i = 0; i < N_CORES; i++) {
        struct emu_core *c = &a->core[i];
        bool east = c->tile->cascade >> 1 & 1;
        struct wi_tile *t = east ? wi_arr_tile(a, c->tile->col + 1, c->tile->row)
                                 : wi_arr_tile(a, c->tile->col, c->tile->row - 1);
        if (!t || !t->core || (int)(t->cascade & 1) != (east ? WEST_IN : NORTH_IN))
            continue;
        c->next = t->core;
        t->core->previous = c;
    }
}

/* ------------------------------------------------------------------ memory banks */

static unsigned arbitrate(void *host, enum wi_emu_window window, unsigned banks, uint64_t cycle) {
    struct emu_core *c = host;
    uint32_t at = (uint32_t)(c->base + cycle);
    struct use *u = &c->use[at % USE_RING];
    if (u->cycle != at)
        *u = (struct use){at, 0};
    u->banks |= banks << (N_BANKS * window);
    c->neighbours |= 1u << window;
    unsigned debt = c->debt;
    c->debt = 0;
    return debt;
}

static uint32_t used_by(const struct wi_tile *t, enum wi_emu_window window, uint64_t cycle) {
    if (!t || !t->core || !(t->core->neighbours >> window & 1))
        return 0;
    const struct use *u = &t->core->use[cycle % USE_RING];
    return u->cycle == (uint32_t)cycle ? u->banks >> (N_BANKS * window) & 0xff : 0;
}

/* The cores that see a tile's memory, and as which window. */
enum { VIEWERS = 4 };
static void viewers(const struct wi_tile *t, struct wi_tile *tiles[VIEWERS]) {
    tiles[WI_EMU_SOUTH] = wi_arr_tile(t->array, t->col, t->row + 1);
    tiles[WI_EMU_WEST] = wi_arr_tile(t->array, t->col + 1, t->row);
    tiles[WI_EMU_NORTH] = wi_arr_tile(t->array, t->col, t->row - 1);
    tiles[WI_EMU_OWN] = wi_arr_tile(t->array, t->col, t->row);
}

uint32_t wi_arr_core_banks(const struct wi_tile *t, uint64_t cycle) {
    struct wi_tile *tiles[VIEWERS];
    uint32_t banks = 0;
    viewers(t, tiles);
    for (int w = 0; w < VIEWERS; w++)
        banks |= used_by(tiles[w], (enum wi_emu_window)w, cycle);
    return banks;
}

void wi_arr_core_lose(struct wi_tile *t, unsigned bank, uint64_t cycle) {
    struct wi_tile *tiles[VIEWERS];
    viewers(t, tiles);
    for (int w = 0; w < VIEWERS; w++)
        if (used_by(tiles[w], (enum wi_emu_window)w, cycle) >> bank & 1)
            tiles[w]->core->debt++;
}

/* Cores that want one bank in one cycle take turns; which loses changes from cycle to cycle. */
static void conflicts_in(const struct wi_tile *t, uint64_t from, uint64_t to) {
    struct wi_tile *tiles[VIEWERS];
    viewers(t, tiles);
    for (uint64_t cycle = from; cycle < to; cycle++) {
        uint32_t seen = 0;
        for (unsigned i = 0; i < VIEWERS; i++) {
            unsigned w = (i + (unsigned)cycle) % VIEWERS;
            uint32_t banks = used_by(tiles[w], (enum wi_emu_window)w, cycle);
            if (banks & seen)
                tiles[w]->core->debt++;
            seen |= banks;
        }
    }
}

void wi_arr_core_conflicts(struct wi_array *a, uint64_t from, uint64_t to) {
    for (int i = 0; i < N_CORES; i++) {
        struct wi_tile *t = a->core[i].tile, *tiles[VIEWERS];
        int n = 0;
        viewers(t, tiles);
        for (int w = 0; w < VIEWERS; w++)
            n += tiles[w] && tiles[w]->core && (tiles[w]->core->neighbours >> w & 1);
        if (n > 1)
            conflicts_in(t, from, to);
    }
}

/* ------------------------------------------------------------------ running */

static void set_state(struct emu_core *c, enum core_state state) {
    struct wi_array *a = c->array;
    c->state = state;
    a->sync[c - a->core] = state == CORE_SYNC ? wi_arr_core_cycle(c) : NEVER;
}

static void span(struct emu_core *c, const char *what, uint64_t start, uint64_t end) {
    if (end > start)
        wi_arr_span(c->array, (struct wi_array_span){WI_LANE_CORE, c->tile->col, c->tile->row, 0,
                                                     what, -1, start, end});
}

/* For the timeline: what a core is doing, up to now. */
void wi_arr_core_show(struct emu_core *c) {
    bool waits = c->state == CORE_WAIT;
    uint64_t end = c->state == CORE_DONE ? wi_arr_core_cycle(c) : c->array->now;
    if (c->state == CORE_OFF)
        return;
    span(c, waits ? wi_emu_stall_name(wi_emu_core_blocked(c->core)) : "running", c->span_start,
         end);
    c->span_start = end;
}

/* What a run has ended with. */
static void after_run(struct emu_core *c, enum wi_emu_stop stop) {
    if (c->asked > (stop == WI_EMU_BLOCKED))
        c->unanswered = true; /* a non-blocking operation that ran ahead */
    c->asked = 0;
    switch (stop) {
    case WI_EMU_DONE: set_state(c, CORE_DONE); break;
    case WI_EMU_BLOCKED: set_state(c, CORE_SYNC); break;
    case WI_EMU_FAULT:
        c->faulted = true;
        set_state(c, CORE_OFF);
        break;
    default: set_state(c, CORE_RUN);
    }
}

void wi_arr_core_ahead(struct emu_core *c, uint64_t end) {
    if (c->state == CORE_RUN && wi_arr_core_cycle(c) < end)
        after_run(c, wi_emu_core_run(c->core, end - c->base));
}

static void blocked(struct emu_core *c, uint64_t now) {
    if (wi_emu_core_blocked(c->core) != WI_EMU_STALL_LOCK) {
        c->wait_lock = NULL;
        c->wait_until = NEVER;
        if (wi_emu_core_blocked(c->core) == WI_EMU_STALL_CASCADE_IN && c->n_cascade)
            c->wait_until = c->cascade_ready[c->cascade_head];
        if (wi_emu_core_blocked(c->core) == WI_EMU_STALL_STREAM_IN && c->in.count)
            c->wait_until = fifo_head(&c->in)->ready;
    }
    if (c->state != CORE_WAIT) {
        span(c, "running", c->span_start, now);
        c->span_start = now;
    }
    c->state = CORE_WAIT;
    c->array->sync[c - c->array->core] = c->wait_until;
}

void wi_arr_core_attempt(struct emu_core *c, uint64_t now, uint64_t end) {
    enum core_state was = c->state;
    wi_emu_core_wait(c->core, now - c->base);
    c->attempt = true;
    enum wi_emu_stop stop = wi_emu_core_run(c->core, now + 1 - c->base);
    c->attempt = false;
    c->asked = 0;
    if (stop == WI_EMU_BLOCKED) {
        blocked(c, now);
        return;
    }
    if (was == CORE_WAIT) {
        span(c, wi_emu_stall_name(wi_emu_core_blocked(c->core)), c->span_start, now);
        c->span_start = now;
    }
    after_run(c, stop);
    wi_arr_core_ahead(c, end);
}

void wi_arr_core_wake(struct emu_core *c, uint64_t at) {
    uint64_t *sync = &c->array->sync[c - c->array->core];
    if (c->state == CORE_WAIT && at < *sync)
        *sync = at;
}

/* ------------------------------------------------------------------ starting and stopping */

enum { ENABLE = 1, RESET = 2 };

static void map_windows(struct emu_core *c) {
    const struct wi_tile *t = c->tile;
    struct wi_tile *south = wi_arr_tile(c->array, t->col, t->row - 1);
    struct wi_tile *west = wi_arr_tile(c->array, t->col - 1, t->row);
    struct wi_tile *north = wi_arr_tile(c->array, t->col, t->row + 1);
    wi_emu_core_map(c->core, WI_EMU_OWN, t->memory);
    wi_emu_core_map(c->core, WI_EMU_SOUTH, south->kind == WI_TILE_CORE ? south->memory : NULL);
    wi_emu_core_map(c->core, WI_EMU_WEST, west ? west->memory : NULL);
    wi_emu_core_map(c->core, WI_EMU_NORTH, north ? north->memory : NULL);
}

int wi_arr_core_init(struct wi_array *a, int n, enum wi_level level, struct wisp_error *err) {
    struct emu_core *c = &a->core[n];
    c->array = a;
    c->tile = wi_arr_tile(a, n / 4, WI_TILE_FIRST_CORE + n % 4);
    c->tile->core = c;
    return wi_emu_core_create(&c->core, level, err);
}

/* Back to power-up: in reset, disabled, program poisoned. */
void wi_arr_core_power_up(struct emu_core *c) {
    const struct wi_emu_port port = {.host = c,
                                     .acquire = acquire,
                                     .release = release,
                                     .stream_in_ready = stream_in_ready,
                                     .stream_get = stream_get,
                                     .stream_out_ready = stream_out_ready,
                                     .stream_put = stream_put,
                                     .cascade_in_ready = cascade_in_ready,
                                     .cascade_get = cascade_get,
                                     .cascade_out_ready = cascade_out_ready,
                                     .cascade_put = cascade_put,
                                     .arbitrate = arbitrate};
    struct wi_emu_core *core = c->core;
    struct wi_tile *tile = c->tile;
    struct wi_array *array = c->array;
    memset(c, 0, sizeof *c);
    c->core = core;
    c->tile = tile;
    c->array = array;
    c->ctrl = RESET;
    c->in.depth = WI_T_CORE_IN_WORDS;
    c->out.depth = WI_T_CORE_OUT_WORDS;
    wi_emu_core_reset(c->core);
    wi_emu_core_connect(c->core, &port);
    map_windows(c);
    wi_emu_core_load(c->core, 0, tile->memory, WI_EMU_PROGRAM_BYTES); /* poisoned just before */
    set_state(c, CORE_OFF);
    note_release(c);
    for (int i = 0; i < USE_RING; i++)
        c->use[i].cycle = UINT32_MAX;
}

static void pause(struct emu_core *c) {
    wi_arr_core_show(c);
    set_state(c, CORE_OFF);
}

/* Go on at the array's time. */
static void resume(struct emu_core *c) {
    c->base = c->array->now - wi_emu_core_counters(c->core).cycles;
    c->span_start = c->array->now;
    set_state(c, CORE_RUN);
}

static void settle(struct emu_core *c) {
    bool runs = (c->ctrl & ENABLE) && !(c->ctrl & RESET) && c->array->started;
    if (runs && c->state == CORE_OFF)
        resume(c);
    else if (!runs)
        pause(c);
}

void wi_arr_core_control(struct emu_core *c, uint32_t value) {
    bool enters_reset = (value & RESET) && !(c->ctrl & RESET);
    if (c->state == CORE_DONE && (value & ENABLE) && !(c->ctrl & ENABLE))
        set_state(c, CORE_OFF); /* enabling it again goes on behind `done` */
    c->ctrl = value;
    if (enters_reset) {
        struct wi_emu_counters n = wi_emu_core_counters(c->core);
        pause(c);
        add_counters(&c->before, &n);
        wi_emu_core_reset(c->core);
    }
    settle(c);
}

/* Cores that are enabled but held in reset are let go by the firmware when a design is started. [hw
 * xdna-emu, core reset mechanism] */
void wi_arr_core_start_all(struct wi_array *a, bool from_reset) {
    a->started = true;
    for (int i = 0; i < N_CORES; i++) {
        struct emu_core *c = &a->core[i];
        if (from_reset && (c->ctrl & ENABLE))
            c->ctrl &= ~(uint32_t)RESET;
        settle(c);
    }
}

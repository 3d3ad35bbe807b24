/* Time: what lands, is sampled and accesses memory in which step, and which bundle comes next. */
#include "npu/emu/impl.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"

enum {
    PC_MASK = WI_EMU_PROGRAM_BYTES - 1,
    LOOP_DISTANCE =
        7,      /* bundles from the last write of LS, LE, LC to the one at LE [doc llvm-aie] */
    DRAIN = 11, /* last stage at which anything happens: part-word stores */
    LE_RESET = 0xfffff,
    PER_WINDOW = 8, /* physical banks */
    ALIGN = 64
};

/* ------------------------------------------------------------------ making and looking */

int wi_emu_core_create(struct wi_emu_core **out, enum wi_level level, struct wisp_error *err) {
    *out = NULL;
    /* zeroed lazily by the system: most of a core is the decoded form of code that it never has */
    char *block = wi_calloc(1, sizeof(struct wi_emu_core) + ALIGN);
    if (!block)
        return wi_err_nomem(err, "an emulated core");
    struct wi_emu_core *core = (void *)(block + (ALIGN - (uintptr_t)block % ALIGN));
    core->block = block;
    core->kern = wi_emu_kern_of(level);
    wi_emu_shuffles_init(&core->shuffles);
    wi_emu_poison(core->program, sizeof core->program);
    wi_emu_core_reset(core);
    *out = core;
    return WISP_OK;
}

void wi_emu_core_destroy(struct wi_emu_core **core) {
    if (*core)
        wi_free((*core)->block);
    *core = NULL;
}

void wi_emu_core_reset(struct wi_emu_core *core) {
    uint32_t id = core->w[AT_CORE_ID];
    memset(core->w, 0, sizeof core->w);
    for (int i = 0; i < RING; i++)
        core->ring[i] = (struct step){.scalar = core->scalars[i],
                                      .vector = core->vectors[i],
                                      .late = core->lates[i],
                                      .load = core->loads[i],
                                      .store = core->stores[i]};
    core->w[AT_CORE_ID] = id;
    core->w[AT_LE] = LE_RESET;
    core->w[AT_CR + CR_MCD_EN] = core->w[AT_CR + CR_SCD_EN] = 1;
    core->t = LOOP_DISTANCE; /* so that "never" (0) is long ago */
    core->pc = core->delay = 0;
    core->loop_set = 0;
    core->done = core->faulted = core->resumed = core->traced = false;
    core->waits = false;
    core->count = (struct wi_emu_counters){0};
    core->fault[0] = '\0';
}

void wi_emu_core_map(struct wi_emu_core *core, enum wi_emu_window window, uint8_t *memory) {
    core->window[window] = memory;
}

void wi_emu_core_connect(struct wi_emu_core *core, const struct wi_emu_port *port) {
    core->port = *port;
}

void wi_emu_poison(uint8_t *memory, size_t n) {
    for (size_t i = 0; i < n; i++)
        memory[i] = i & 1 ? 0x7f : 0xbd; /* bf16 0x7fbd and fp32 0x7fbd7fbd are NaNs */
}

bool wi_emu_core_load(struct wi_emu_core *core, uint32_t address, const uint8_t *bytes, size_t n) {
    if (address > WI_EMU_PROGRAM_BYTES || n > WI_EMU_PROGRAM_BYTES - address)
        return false;
    memcpy(core->program + address, bytes, n);
    for (int i = 0; i < WI_EMU_PROGRAM_BYTES / 2; i++)
        if (core->bundles[i].size) /* reading leaves untouched pages alone */
            core->bundles[i].size = 0;
    return true;
}

void wi_emu_core_break(struct wi_emu_core *core, uint32_t address, bool on) {
    uint32_t i = (address & PC_MASK) / 2;
    uint8_t bit = (uint8_t)(1 << i % 8), old = core->breaks[i / 8];
    core->breaks[i / 8] = on ? old | bit : old & (uint8_t)~bit;
    core->n_breaks += (unsigned)(core->breaks[i / 8] != old) * (on ? 1 : -1u);
}

void wi_emu_core_trace(struct wi_emu_core *core, void (*fn)(void *, const struct wi_emu_core *),
                       void *user) {
    core->trace = fn;
    core->trace_user = user;
}

struct wi_emu_counters wi_emu_core_counters(const struct wi_emu_core *core) {
    return core->count;
}

uint32_t wi_emu_core_pc(const struct wi_emu_core *core) {
    return core->pc;
}

void wi_emu_core_set_pc(struct wi_emu_core *core, uint32_t pc) {
    core->pc = pc;
}

const char *wi_emu_core_fault(const struct wi_emu_core *core) {
    return core->fault;
}

enum wi_emu_stall wi_emu_core_blocked(const struct wi_emu_core *core) {
    return core->blocked;
}

const char *wi_emu_stall_name(enum wi_emu_stall stall) {
    static const char *const names[] = {"memory",     "lock",       "stream_in",
                                        "stream_out", "cascade_in", "cascade_out"};
    return names[stall];
}

/* ------------------------------------------------------------------ faults */

void wi_emu_stop_fault(struct wi_emu_core *core, const struct uop *u, const char *format, ...) {
    if (core->faulted)
        return;
    va_list ap;
    int n = snprintf(core->fault, sizeof core->fault, "0x%04x: ", core->pc);
    if (u)
        n += snprintf(core->fault + n, sizeof core->fault - (size_t)n,
                      "%s: ", wi_isa_info(u->id)->text);
    va_start(ap, format);
    if ((size_t)n < sizeof core->fault)
        vsnprintf(core->fault + n, sizeof core->fault - (size_t)n, format, ap);
    va_end(ap);
    core->faulted = true;
}

/* ------------------------------------------------------------------ work for later steps */

static struct step *step_of_stage(struct wi_emu_core *core, unsigned stage) {
    return &core->ring[(core->t + stage - 1) % RING];
}

/* Room was counted for the worst mix of operations (impl.h); a table with longer latencies would
 * need more. */
static bool full(struct wi_emu_core *core, const struct uop *u, unsigned n, unsigned max) {
    if (n < max)
        return false;
    wi_emu_stop_fault(core, u, "more operations in flight than the emulator keeps");
    return true;
}

struct late *wi_emu_late(struct wi_emu_core *core, unsigned stage, const struct uop *u,
                         void (*exec)(struct wi_emu_core *, struct late *)) {
    struct step *s = step_of_stage(core, stage);
    unsigned at = full(core, u, s->n_late, LATE_OPS) ? LATE_OPS - 1 : s->n_late++;
    s->late[at].exec = exec;
    s->late[at].u = u;
    return &s->late[at];
}

struct access *wi_emu_access_load(struct wi_emu_core *core, const struct uop *u, unsigned stage) {
    struct step *s = step_of_stage(core, stage);
    unsigned at = full(core, u, s->n_loads, ACCESSES) ? ACCESSES - 1 : s->n_loads++;
    s->load[at].u = u;
    return &s->load[at];
}

struct access *wi_emu_access_store(struct wi_emu_core *core, const struct uop *u, unsigned stage) {
    struct step *s = step_of_stage(core, stage);
    unsigned at = full(core, u, s->n_stores, ACCESSES) ? ACCESSES - 1 : s->n_stores++;
    s->store[at].u = u;
    return &s->store[at];
}

void wi_emu_branch(struct wi_emu_core *core, const struct uop *u, uint32_t target) {
    if (core->delay) {
        wi_emu_stop_fault(core, u, "a branch in a delay slot");
        return;
    }
    core->delay = WI_ISA_N_DELAY_SLOTS + 1;
    core->target = target;
}

/* ------------------------------------------------------------------ one step */

static void land_all(struct wi_emu_core *core, struct step *s) {
    for (unsigned i = 0; i < s->n_vectors; i++)
        copy_words(core->w + s->vector[i].at, s->vector[i].v, s->vector[i].words);
    for (unsigned i = 0; i < s->n_scalars; i++)
        core->w[s->scalar[i].at] = s->scalar[i].v;
    s->n_vectors = s->n_scalars = 0;
    s->mov = s->vec = NULL;
}

static void run_late(struct wi_emu_core *core, struct step *s) {
    for (unsigned i = 0; i < s->n_late; i++)
        s->late[i].exec(core, &s->late[i]);
    s->n_late = 0;
}

static uint8_t *memory_at(struct wi_emu_core *core, const struct access *a) {
    unsigned window = (a->address >> 16) - (WI_EMU_WINDOW_BASE >> 16);
    uint32_t at = a->address & (WI_EMU_WINDOW_BYTES - 1);
    if (window >= WI_EMU_WINDOWS || !core->window[window])
        wi_emu_stop_fault(core, a->u, "no memory at 0x%05x", a->address);
    else if (at & (a->size - 1u))
        wi_emu_stop_fault(core, a->u, "address 0x%05x is not aligned to %u bytes", a->address,
                          a->size);
    else
        return core->window[window] + at;
    return NULL;
}

/* Requests of one memory cycle, per physical bank of all windows. */
struct banks {
    uint32_t once, twice, thrice; /* bit 8 * window + bank: asked for at least so often */
};

static void request(struct banks *b, uint32_t address, unsigned size) {
    unsigned window = (address >> 16) - (WI_EMU_WINDOW_BASE >> 16), pair = address >> 14 & 3;
    uint32_t banks = size > 16 ? 3u : 1u << (address >> 4 & 1);
    banks <<= (PER_WINDOW * window + 2 * pair) & 31;
    b->thrice |= b->twice & banks;
    b->twice |= b->once & banks;
    b->once |= banks;
}

void wi_emu_stall_cycles(struct wi_emu_core *core, enum wi_emu_stall cause, uint64_t cycles) {
    core->count.stalls[cause] += cycles;
    core->count.cycles += cycles;
}

static void arbitrate(struct wi_emu_core *core, uint32_t banks) {
    for (unsigned w = 0; w < WI_EMU_WINDOWS; w++) {
        unsigned mine = banks >> (PER_WINDOW * w) & 0xff;
        if (mine)
            wi_emu_stall_cycles(core, WI_EMU_STALL_MEMORY,
                                core->port.arbitrate(core->port.host, w, mine, core->count.cycles));
    }
}

/* Loads come before stores; every request beyond the first of a bank costs a cycle. */
static void access_memory(struct wi_emu_core *core, struct step *s) {
    struct banks b = {0, 0, 0};
    for (unsigned i = 0; i < s->n_loads; i++) {
        struct access *a = &s->load[i];
        const uint8_t *m = memory_at(core, a);
        request(&b, a->address, a->size);
        if (m && a->loaded)
            a->loaded(core, a->u, m);
    }
    for (unsigned i = 0; i < s->n_stores; i++) {
        struct access *a = &s->store[i];
        uint8_t *m = memory_at(core, a);
        request(&b, a->address, a->size);
        if (m)
            memcpy(m, a->data, a->size);
    }
    if (b.twice)
        wi_emu_stall_cycles(core, WI_EMU_STALL_MEMORY, b.thrice ? 2 : 1);
    if (core->port.arbitrate)
        arbitrate(core, b.once);
    s->n_loads = s->n_stores = 0;
}

static bool ready(struct wi_emu_core *core, bool (*is_ready)(void *), enum wi_emu_stall cause) {
    if (is_ready && is_ready(core->port.host))
        return true;
    core->blocked = cause;
    return false;
}

/* Whether everything that the bundle waits for is there.  Acquiring comes last, because it takes
 * the lock. */
static bool may_issue(struct wi_emu_core *core, const struct bundle *b) {
    const struct wi_emu_port *p = &core->port;
    if ((b->blocking & BLOCK_STREAM_IN) && !ready(core, p->stream_in_ready, WI_EMU_STALL_STREAM_IN))
        return false;
    if ((b->blocking & BLOCK_STREAM_OUT) &&
        !ready(core, p->stream_out_ready, WI_EMU_STALL_STREAM_OUT))
        return false;
    if ((b->blocking & BLOCK_CASCADE_IN) &&
        !ready(core, p->cascade_in_ready, WI_EMU_STALL_CASCADE_IN))
        return false;
    if ((b->blocking & BLOCK_CASCADE_OUT) &&
        !ready(core, p->cascade_out_ready, WI_EMU_STALL_CASCADE_OUT))
        return false;
    if (!(b->blocking & BLOCK_ACQUIRE))
        return true;
    core->blocked = WI_EMU_STALL_LOCK;
    core->waits = false;
    b->op[b->n_ops].exec(core, &b->op[b->n_ops]);
    return !core->waits && !core->faulted;
}

/* The address after a bundle: the end of delay slots, the back edge of a loop, or the next one. */
static void advance(struct wi_emu_core *core, const struct bundle *b) {
    uint32_t next = core->pc + b->size;
    if (core->pc == core->w[AT_LE] && core->w[AT_LC]) {
        if (core->t - core->loop_set < LOOP_DISTANCE)
            wi_emu_stop_fault(core, NULL,
                              "LS, LE or LC was set less than %d bundles before the loop's end",
                              LOOP_DISTANCE);
        if (core->delay)
            wi_emu_stop_fault(core, NULL, "a loop's end in a delay slot");
        if (--core->w[AT_LC]) {
            next = core->w[AT_LS];
            if (b->part_store)
                wi_emu_stop_fault(core, NULL,
                                  "a part-word store at a loop's end is lost on the back edge");
        }
    }
    if (core->delay && --core->delay == 0)
        next = core->target;
    core->pc = next;
}

static const struct bundle *fetch(struct wi_emu_core *core) {
    if (core->pc >= WI_EMU_PROGRAM_BYTES || core->pc & 1) {
        wi_emu_stop_fault(core, NULL, "not an address of program memory");
        return NULL;
    }
    struct bundle *b = &core->bundles[core->pc / 2];
    return b->size || wi_emu_decode(core, b, core->pc) ? b : NULL;
}

/* The rest of the pipeline without new bundles; takes no cycles of its own. */
static void drain(struct wi_emu_core *core) {
    for (int i = 0; i < DRAIN + 1; i++) {
        struct step *s = &core->ring[core->t % RING];
        land_all(core, s);
        run_late(core, s);
        access_memory(core, s);
        core->t++;
    }
}

/* Everything of one step up to its bundle; false: stopped or blocked before the bundle. */
static bool begin_step(struct wi_emu_core *core, struct step *s) {
    land_all(core, s);
    run_late(core, s);
    core->now = fetch(core);
    return core->now && !core->faulted;
}

static void end_step(struct wi_emu_core *core, struct step *s, const struct bundle *b) {
    if (b->sets_loop)
        core->loop_set = core->t;
    core->count.bundles++;
    core->count.cycles++;
    access_memory(core, s);
    if (core->faulted)
        return; /* pc stays at the guilty bundle, or at the one during which an access failed */
    advance(core, b);
    core->t++;
}

static bool stops_here(struct wi_emu_core *core) {
    if (core->n_breaks && !core->resumed &&
        core->breaks[core->pc / 16 % sizeof core->breaks] >> (core->pc / 2 % 8) & 1) {
        core->resumed = true;
        return true;
    }
    core->resumed = false;
    if (core->trace && !core->traced)
        core->trace(core->trace_user, core);
    core->traced = true; /* a bundle that must wait is shown once */
    return false;
}

enum wi_emu_stop wi_emu_core_run(struct wi_emu_core *core, uint64_t until) {
    while (core->count.cycles < until) {
        if (core->done)
            return WI_EMU_DONE;
        struct step *s = &core->ring[core->t % RING];
        if (core->faulted || !begin_step(core, s))
            return WI_EMU_FAULT;
        if ((core->n_breaks || core->trace) && stops_here(core))
            return WI_EMU_BREAK;
        const struct bundle *b = core->now;
        if (b->blocking && !may_issue(core, b))
            return core->faulted ? WI_EMU_FAULT : WI_EMU_BLOCKED;
        for (unsigned i = 0; i < b->n_ops; i++)
            b->op[i].exec(core, &b->op[i]);
        core->traced = false;
        end_step(core, s, b);
        if (core->done)
            drain(core);
    }
    return core->faulted ? WI_EMU_FAULT : core->done ? WI_EMU_DONE : WI_EMU_RUNNING;
}

void wi_emu_core_wait(struct wi_emu_core *core, uint64_t cycle) {
    if (cycle > core->count.cycles)
        wi_emu_stall_cycles(core, core->blocked, cycle - core->count.cycles);
}

/* Making a core and looking at it. */
#include "npu/emu/impl.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"

enum {
    LE_RESET = 0xfffff,
    ALIGN = 1024,
    LONG_AGO = 16 /* steps, so that "never" (0) is long ago */
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
    core->engine = wi_emu_engine_of(level);
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
    memset(core->ring, 0, sizeof core->ring);
    for (int i = 0; i < RING; i++) {
        core->ring[i].late = core->lates[i];
        core->ring[i].store = core->stores[i];
        for (int k = 0; k < LATE_VECTORS; k++)
            core->ring[i].vector[k].v = core->vectors[i][k];
    }
    core->w[AT_CORE_ID] = id;
    core->w[AT_LE] = LE_RESET;
    core->w[AT_CR + CR_MCD_EN] = core->w[AT_CR + CR_SCD_EN] = 1;
    core->t = LONG_AGO;
    core->pc = core->delay = 0;
    core->loop_set = 0;
    core->done = core->faulted = core->resumed = core->traced = false;
    core->waits = core->begun = false;
    core->kinds = 0;
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
    static const uint8_t nan[] = {0xbd, 0x7f}; /* bf16 0x7fbd; fp32 0x7fbd7fbd is one, too */
    size_t done = n < sizeof nan ? n : sizeof nan;
    memcpy(memory, nan, done);
    for (size_t more; done < n; done += more) { /* a copy of what there is, whole pairs at a time */
        more = n - done < done ? n - done : done;
        memcpy(memory + done, memory, more);
    }
}

static bool in_flight(const struct wi_emu_core *core) {
    for (int i = 0; i < RING; i++)
        if (core->ring[i].any)
            return true;
    return core->kinds != 0;
}

bool wi_emu_core_load(struct wi_emu_core *core, uint32_t address, const uint8_t *bytes, size_t n) {
    if (address > WI_EMU_PROGRAM_BYTES || n > WI_EMU_PROGRAM_BYTES - address)
        return false;
    memcpy(core->program + address, bytes, n);
    for (int i = 0; i < WI_EMU_PROGRAM_BYTES / 2; i++)
        if (core->bundles[i].size) /* reading leaves untouched pages alone */
            core->bundles[i].size = 0;
    if (!in_flight(core))
        core->n_uops = 0;
    return true;
}

void wi_emu_core_break(struct wi_emu_core *core, uint32_t address, bool on) {
    uint32_t i = address % WI_EMU_PROGRAM_BYTES / 2;
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

/* ------------------------------------------------------------------ running */

enum wi_emu_stop wi_emu_core_run(struct wi_emu_core *core, uint64_t until) {
    return core->engine->run(core, until);
}

void wi_emu_core_wait(struct wi_emu_core *core, uint64_t cycle) {
    if (cycle <= core->count.cycles)
        return;
    core->count.stalls[core->blocked] += cycle - core->count.cycles;
    core->count.cycles = cycle;
}

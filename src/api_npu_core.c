/* Public entry points for one emulated core on a bench. */
#include <wisp/wisp_npu.h>

#include <stdio.h>
#include <string.h>

#include "api_npu.h"
#include "base/err.h"
#include "base/mem.h"
#include "cpu/kern.h"
#include "npu/emu/core.h"

enum {
    LOCKS = 64,
    LOCK_MAX = 63,
    MEMORY_BASE = WI_EMU_WINDOW_BASE + WI_EMU_OWN * WI_EMU_WINDOW_BYTES
};

struct wisp_npu_core {
    struct wi_emu_core *emu;
    int32_t lock[LOCKS];
    uint8_t memory[WI_EMU_WINDOW_BYTES];
    void (*trace)(void *user, const struct wisp_npu_core *core);
    void *trace_user;
};

static int acquire(void *host, unsigned id, int32_t value, uint64_t cycle) {
    int32_t *lock = &((struct wisp_npu_core *)host)->lock[id];
    if (value < 0 ? *lock < -(int64_t)value : *lock != value)
        return 0;
    *lock += value < 0 ? value : -value;
    return 1;
}

static int release(void *host, unsigned id, int32_t value, uint64_t cycle) {
    int32_t *lock = &((struct wisp_npu_core *)host)->lock[id];
    int64_t next = (int64_t)*lock + value;
    if (next < 0 || next > LOCK_MAX)
        return -1;
    *lock = (int32_t)next;
    return 0;
}

int wisp_npu_core_create(struct wisp_npu_core **out, const char *cpu, struct wisp_error *err) {
    enum wi_level level;
    wi_err_clear(err);
    *out = NULL;
    int rc = wi_level_parse(&level, cpu, err);
    if (rc != WISP_OK)
        return rc;
    struct wisp_npu_core *core = wi_calloc(1, sizeof *core);
    if (!core)
        return wi_err_nomem(err, "an emulated core");
    rc = wi_emu_core_create(&core->emu, level, err);
    if (rc != WISP_OK) {
        wi_free(core);
        return rc;
    }
    wi_emu_poison(core->memory, sizeof core->memory);
    wi_emu_core_map(core->emu, WI_EMU_OWN, core->memory);
    wi_emu_core_connect(
        core->emu, &(struct wi_emu_port){.host = core, .acquire = acquire, .release = release});
    *out = core;
    return WISP_OK;
}

void wisp_npu_core_destroy(struct wisp_npu_core **core) {
    if (!core || !*core)
        return;
    wi_emu_core_destroy(&(*core)->emu);
    wi_free(*core);
    *core = NULL;
}

static int in_memory(uint32_t address, size_t size, struct wisp_error *err) {
    if (address >= MEMORY_BASE && address - MEMORY_BASE <= WI_EMU_WINDOW_BYTES &&
        size <= WI_EMU_WINDOW_BYTES - (address - MEMORY_BASE))
        return WISP_OK;
    return wi_err_set(err, WISP_E_ARG,
                      "%zu bytes at 0x%x are not in the core's data memory, which is 0x%x..0x%x",
                      size, address, MEMORY_BASE, MEMORY_BASE + WI_EMU_WINDOW_BYTES - 1);
}

int wisp_npu_core_write(struct wisp_npu_core *core, uint32_t address, const void *bytes,
                        size_t size, struct wisp_error *err) {
    wi_err_clear(err);
    int rc = in_memory(address, size, err);
    if (rc == WISP_OK && size)
        memcpy(core->memory + (address - MEMORY_BASE), bytes, size);
    return rc;
}

int wisp_npu_core_read(const struct wisp_npu_core *core, uint32_t address, void *bytes, size_t size,
                       struct wisp_error *err) {
    wi_err_clear(err);
    int rc = in_memory(address, size, err);
    if (rc == WISP_OK && size)
        memcpy(bytes, core->memory + (address - MEMORY_BASE), size);
    return rc;
}

int wisp_npu_core_load(struct wisp_npu_core *core, const struct wisp_npu_program *program,
                       struct wisp_error *err) {
    struct wisp_npu_section s;
    wi_err_clear(err);
    if (program->prog.relocatable)
        return wi_err_set(err, WISP_E_UNSUPPORTED,
                          "an object file's addresses are not final: link it into a program first");
    for (size_t i = 0; wisp_npu_program_section(program, i, &s); i++) {
        if (s.code && !wi_emu_core_load(core->emu, s.address, s.bytes, s.size))
            return wi_err_set(
                err, WISP_E_ARG,
                "section %s, %zu bytes at 0x%x, does not fit into the core's %d KB of "
                "program memory",
                s.name, s.size, s.address, WI_EMU_PROGRAM_BYTES / 1024);
        if (s.code)
            continue;
        int rc = wisp_npu_core_write(core, s.address, s.bytes, s.size, err);
        if (rc != WISP_OK)
            return rc;
    }
    wi_emu_core_set_pc(core->emu, wi_asm_prog_entry(&program->prog));
    return WISP_OK;
}

int wisp_npu_core_set(struct wisp_npu_core *core, const char *name, uint32_t value,
                      struct wisp_error *err) {
    uint8_t bytes[160];
    wi_err_clear(err);
    if (strcmp(name, "pc") == 0) {
        wi_emu_core_set_pc(core->emu, value);
        return WISP_OK;
    }
    if (wi_emu_core_get(core->emu, name, bytes) != sizeof value)
        return wi_err_set(err, WISP_E_ARG, "'%s' is no register of at most 32 bits", name);
    memcpy(bytes, &value, sizeof value);
    wi_emu_core_set(core->emu, name, bytes);
    return WISP_OK;
}

int wisp_npu_core_get(const struct wisp_npu_core *core, const char *name, uint32_t *value,
                      struct wisp_error *err) {
    uint8_t bytes[160];
    wi_err_clear(err);
    *value = wi_emu_core_pc(core->emu);
    if (strcmp(name, "pc") == 0)
        return WISP_OK;
    if (wi_emu_core_get(core->emu, name, bytes) != sizeof *value)
        return wi_err_set(err, WISP_E_ARG, "'%s' is no register of at most 32 bits", name);
    memcpy(value, bytes, sizeof *value);
    return WISP_OK;
}

int wisp_npu_core_set_lock(struct wisp_npu_core *core, unsigned id, int value,
                           struct wisp_error *err) {
    wi_err_clear(err);
    if (id >= LOCKS || value < 0 || value > LOCK_MAX)
        return wi_err_set(err, WISP_E_ARG, "lock %u = %d: both must be 0..63", id, value);
    core->lock[id] = value;
    return WISP_OK;
}

int wisp_npu_core_break(struct wisp_npu_core *core, uint32_t address, struct wisp_error *err) {
    wi_err_clear(err);
    if (address >= WI_EMU_PROGRAM_BYTES || address & 1)
        return wi_err_set(err, WISP_E_ARG, "0x%x is not an even address of program memory",
                          address);
    wi_emu_core_break(core->emu, address, true);
    return WISP_OK;
}

const char *wisp_npu_stall_name(int stall) {
    return stall >= 0 && stall < WI_EMU_STALLS ? wi_emu_stall_name((enum wi_emu_stall)stall) : NULL;
}

const char *wisp_npu_status_name(enum wisp_npu_status status) {
    static const char *const names[] = {"done", "breakpoint", "limit", "deadlock", "fault"};
    return names[status];
}

void wisp_npu_core_run(struct wisp_npu_core *core, uint64_t max_cycles,
                       struct wisp_npu_result *result) {
    static const enum wisp_npu_status statuses[] = {[WI_EMU_RUNNING] = WISP_NPU_LIMIT,
                                                    [WI_EMU_DONE] = WISP_NPU_DONE,
                                                    [WI_EMU_BLOCKED] = WISP_NPU_DEADLOCK,
                                                    [WI_EMU_BREAK] = WISP_NPU_BREAK,
                                                    [WI_EMU_FAULT] = WISP_NPU_FAULT};
    _Static_assert((int)WISP_NPU_STALLS == (int)WI_EMU_STALLS, "the public count of stall causes");
    uint64_t now = wi_emu_core_counters(core->emu).cycles;
    uint64_t until = max_cycles > UINT64_MAX - now ? UINT64_MAX : now + max_cycles;
    enum wi_emu_stop stop = wi_emu_core_run(core->emu, until);
    struct wi_emu_counters c = wi_emu_core_counters(core->emu);
    *result = (struct wisp_npu_result){.status = statuses[stop],
                                       .cycles = c.cycles,
                                       .bundles = c.bundles,
                                       .pc = wi_emu_core_pc(core->emu)};
    memcpy(result->stalls, c.stalls, sizeof result->stalls);
    char *reason = result->reason;
    size_t room = sizeof result->reason;
    if (stop == WI_EMU_FAULT)
        snprintf(reason, room, "%s", wi_emu_core_fault(core->emu));
    else if (stop == WI_EMU_BLOCKED)
        snprintf(reason, room, "0x%04x: waits for ever (%s)", result->pc,
                 wi_emu_stall_name(wi_emu_core_blocked(core->emu)));
    else if (stop == WI_EMU_RUNNING)
        snprintf(reason, room, "0x%04x: still running after %llu cycles", result->pc,
                 (unsigned long long)max_cycles);
    else if (stop == WI_EMU_BREAK)
        snprintf(reason, room, "0x%04x: breakpoint", result->pc);
}

int wisp_npu_core_state(const struct wisp_npu_core *core, char **text, size_t *size,
                        struct wisp_error *err) {
    wi_err_clear(err);
    *size = wi_emu_core_dump(core->emu, NULL, 0);
    *text = wi_malloc(*size + 1, 1);
    if (!*text)
        return wi_err_nomem(err, "the state of a core");
    wi_emu_core_dump(core->emu, *text, *size + 1);
    return WISP_OK;
}

static void trace(void *user, const struct wi_emu_core *emu) {
    struct wisp_npu_core *core = user;
    (void)emu;
    core->trace(core->trace_user, core);
}

void wisp_npu_core_trace(struct wisp_npu_core *core,
                         void (*fn)(void *user, const struct wisp_npu_core *core), void *user) {
    core->trace = fn;
    core->trace_user = user;
    wi_emu_core_trace(core->emu, fn ? trace : NULL, core);
}

/* Registers of tiles: from addresses to units.  What has no meaning for results is accepted, what
 * has and is not modelled stops the array. */
#include "npu/emu/array_impl.h"

#include <stdio.h>
#include <string.h>

enum { CTRL_RESET = 1 << 1 };

static void fault_at(struct wi_tile *t, struct wi_map_reg reg, const char *what) {
    char name[80];
    wi_map_print(t->kind, wi_map_offset(t->kind, reg.id, reg.index, reg.word), name, sizeof name);
    wi_arr_fault(t->array, t, "%s: %s", name, what);
}

/* ------------------------------------------------------------------ writing */

static void write_descriptor(struct wi_tile *t, struct wi_map_reg reg, uint32_t value) {
    const struct channel *user = wi_arr_descriptor_user(t, reg.index);
    char name[32], text[120];
    if (user) {
        wi_arr_channel_name(user, name, sizeof name);
        snprintf(text, sizeof text,
                 "is written while %s uses it; the chip would hang or mix the two", name);
        fault_at(t, reg, text);
    } else {
        t->bd[reg.index][reg.word] = value;
    }
}

static void write_channel_control(struct wi_tile *t, struct wi_map_reg reg, bool mm2s,
                                  uint32_t value) {
    enum {
        CONTROLLER = 0xff00,
        FOT = 3 << 16,
        COMPRESS = 1 << 4,
        OUT_OF_ORDER = 1 << 3,
        OLD_ENABLE = 1
    };
    struct channel *c = &t->channel[mm2s][reg.index];
    uint32_t known = CONTROLLER | FOT | OLD_ENABLE | (t->kind == WI_TILE_SHIM ? 0 : CTRL_RESET);
    if (value & COMPRESS && t->kind != WI_TILE_SHIM)
        known |= COMPRESS; /* descriptors decide; those that compress are refused */
    if (value & ~known) {
        fault_at(t, reg,
                 value & OUT_OF_ORDER ? "out-of-order descriptors are not modelled"
                                      : "a bit is set that is not modelled");
        return;
    }
    if ((value & FOT) > 1 << 16) {
        fault_at(t, reg, "finish on TLAST with counts is not modelled");
        return;
    }
    c->ctrl = value;
    bool reset = t->kind != WI_TILE_SHIM && (value & CTRL_RESET);
    if (reset)
        wi_arr_channel_reset(c);
    c->reset = reset;
}

static void write_lock(struct wi_tile *t, struct wi_map_reg reg, uint32_t value) {
    struct lock *lock = &t->lock[reg.index];
    if (value > LOCK_MAX) {
        fault_at(t, reg, "a lock's value is 0 to 63");
        return;
    }
    *lock = (struct lock){.value = (uint8_t)value};
    wi_arr_lock_changed(t, lock, t->array->now);
}

static void write_switch(struct wi_tile *t, struct wi_map_reg reg, uint32_t value) {
    switch (reg.id) {
    case WI_MAP_MASTER: t->sw.master[reg.index].ctrl = value; break;
    case WI_MAP_SLAVE: t->sw.slave[reg.index].ctrl = value; break;
    default: t->sw.slave[reg.index].slot[reg.word] = value; return;
    }
    if (!t->array->in_load)
        wi_arr_switch_routes(t);
    wi_arr_wake(t, t->array->now);
}

static void write_memory_control(struct wi_tile *t, struct wi_map_reg reg, uint32_t value) {
    enum { ZERO = 1, INTERLEAVE = 2 };
    if (t->kind == WI_TILE_MEM && !(value & INTERLEAVE))
        fault_at(t, reg, "bit 1 is cleared, which turns the banks' interleaving off");
    else if (value & ZERO)
        memset(t->memory, 0, t->memory_bytes);
}

/* A trace that is started would send packets that do not come. */
static void write_events(struct wi_tile *t, struct wi_map_reg reg, uint32_t value) {
    enum { TRACE_CONTROL = 0xd0 / 4, START_EVENTS = 0x7f << 16 };
    if (reg.word == TRACE_CONTROL && (value & START_EVENTS))
        fault_at(t, reg, "event traces are not modelled");
}

static void write_register(struct wi_tile *t, struct wi_map_reg reg, uint32_t value) {
    switch (reg.id) {
    case WI_MAP_DATA_MEM: memcpy(t->memory + 4 * reg.word, &value, 4); break;
    case WI_MAP_PROGRAM_MEM:
        wi_emu_core_load(t->core->core, 4 * reg.word, (const uint8_t *)&value, 4);
        break;
    case WI_MAP_BD: write_descriptor(t, reg, value); break;
    case WI_MAP_S2MM_CTRL: write_channel_control(t, reg, false, value); break;
    case WI_MAP_MM2S_CTRL: write_channel_control(t, reg, true, value); break;
    case WI_MAP_S2MM_QUEUE: wi_arr_channel_push(&t->channel[0][reg.index], value); break;
    case WI_MAP_MM2S_QUEUE: wi_arr_channel_push(&t->channel[1][reg.index], value); break;
    case WI_MAP_LOCK: write_lock(t, reg, value); break;
    case WI_MAP_MASTER:
    case WI_MAP_SLAVE:
    case WI_MAP_SLOT: write_switch(t, reg, value); break;
    case WI_MAP_MUX: t->mux = value; break;
    case WI_MAP_DEMUX: t->demux = value; break;
    case WI_MAP_CORE_CTRL: wi_arr_core_control(t->core, value); break;
    case WI_MAP_CASCADE:
        t->cascade = value;
        if (!t->array->in_load)
            wi_arr_core_cascades(t->array);
        break;
    case WI_MAP_ZERO_DATA: write_memory_control(t, reg, value); break;
    case WI_MAP_EVENTS:
    case WI_MAP_EVENTS_MEM: write_events(t, reg, value); break;
    case WI_MAP_PROCESSOR_BUS: break; /* a core that uses it is stopped */
    case WI_MAP_CORE_ENABLE_EVENT:
    case WI_MAP_CORE_RESET_EVENT:
    case WI_MAP_CORE_DEBUG:
    case WI_MAP_MERGE:
        if (value)
            fault_at(t, reg, "is not modelled");
        break;
    /* Who watches the array, and what happens after errors, which stop it here. */
    case WI_MAP_PERF_MEM:
    case WI_MAP_PERF_CORE:
    case WI_MAP_ERROR_HALT:
    case WI_MAP_SWITCH_EVENT:
    case WI_MAP_LOCK_EVENT:
    case WI_MAP_DMA_EVENT:
    case WI_MAP_LOCK_OVERFLOW:
    case WI_MAP_LOCK_UNDERFLOW:
    case WI_MAP_INTERRUPT_1:
    case WI_MAP_INTERRUPT_2:
    case WI_MAP_UPSIZER: break; /* the last: towards programmable logic, of which there is none */
    default: fault_at(t, reg, "writing it is not modelled");
    }
}

/* ------------------------------------------------------------------ reading */

/* Enabled, in reset, done, and what it waits for. [doc AM025, core_status] */
static uint32_t core_status(const struct emu_core *c) {
    enum {
        DONE = 1 << 20,
        CASCADE_IN = 1 << 14,
        CASCADE_OUT = 1 << 15,
        IN = 1 << 10,
        OUT = 1 << 12
    };
    enum { LOCK_SOUTH = 1 << 6 };
    uint32_t status = (c->ctrl & 3) | (c->state == CORE_DONE ? DONE : 0);
    if (c->state != CORE_WAIT)
        return status;
    switch (wi_emu_core_blocked(c->core)) {
    case WI_EMU_STALL_STREAM_IN: return status | IN;
    case WI_EMU_STALL_STREAM_OUT: return status | OUT;
    case WI_EMU_STALL_CASCADE_IN: return status | CASCADE_IN;
    case WI_EMU_STALL_CASCADE_OUT: return status | CASCADE_OUT;
    default: break;
    }
    int south = c->wait_tile->row < c->tile->row, west = c->wait_tile->col < c->tile->col;
    int north = c->wait_tile->row > c->tile->row;
    return status | (uint32_t)LOCK_SOUTH << (south ? 0 : west ? 1 : north ? 2 : 3);
}

static bool read_register(const struct wi_tile *t, struct wi_map_reg reg, uint32_t *value) {
    switch (reg.id) {
    case WI_MAP_DATA_MEM: memcpy(value, t->memory + 4 * reg.word, 4); return true;
    case WI_MAP_BD: *value = t->bd[reg.index][reg.word]; return true;
    case WI_MAP_S2MM_CTRL: *value = t->channel[0][reg.index].ctrl; return true;
    case WI_MAP_MM2S_CTRL: *value = t->channel[1][reg.index].ctrl; return true;
    case WI_MAP_S2MM_STATUS: *value = wi_arr_channel_status(&t->channel[0][reg.index]); return true;
    case WI_MAP_MM2S_STATUS: *value = wi_arr_channel_status(&t->channel[1][reg.index]); return true;
    case WI_MAP_LOCK: *value = t->lock[reg.index].value; return true;
    case WI_MAP_MASTER: *value = t->sw.master[reg.index].ctrl; return true;
    case WI_MAP_SLAVE: *value = t->sw.slave[reg.index].ctrl; return true;
    case WI_MAP_SLOT: *value = t->sw.slave[reg.index].slot[reg.word]; return true;
    case WI_MAP_MUX: *value = t->mux; return true;
    case WI_MAP_DEMUX: *value = t->demux; return true;
    case WI_MAP_CORE_CTRL: *value = t->core->ctrl; return true;
    case WI_MAP_CORE_STATUS: *value = core_status(t->core); return true;
    case WI_MAP_CASCADE: *value = t->cascade; return true;
    /* accepted and not kept */
    case WI_MAP_EVENTS:
    case WI_MAP_EVENTS_MEM:
    case WI_MAP_PERF_MEM:
    case WI_MAP_PERF_CORE:
    case WI_MAP_ERROR_HALT:
    case WI_MAP_PROCESSOR_BUS:
    case WI_MAP_INTERRUPT_1:
    case WI_MAP_INTERRUPT_2:
    case WI_MAP_UPSIZER: *value = 0; return true;
    default: return false;
    }
}

/* ------------------------------------------------------------------ by address */

static struct wi_tile *find(struct wi_array *a, uint32_t address, struct wi_map_reg *reg) {
    struct wi_tile *t = wi_arr_tile(a, wi_addr_col(address), wi_addr_row(address));
    uint32_t offset = address & WI_TILE_OFFSET_MASK;
    if (!t) {
        wi_arr_fault(a, NULL, "address 0x%08x is of tile (%d,%d), which is not in the array",
                     address, wi_addr_col(address), wi_addr_row(address));
        return NULL;
    }
    *reg = wi_map_find(t->kind, offset);
    if (reg->id != WI_MAP_NONE && offset % 4 == 0)
        return t;
    wi_arr_fault(a, t, "no register is known at 0x%05x", offset);
    return NULL;
}

void wi_arr_write(struct wi_array *a, uint32_t address, uint32_t value) {
    struct wi_map_reg reg;
    struct wi_tile *t = find(a, address, &reg);
    if (t)
        write_register(t, reg, value);
}

void wi_arr_mask_write(struct wi_array *a, uint32_t address, uint32_t mask, uint32_t value) {
    struct wi_map_reg reg;
    uint32_t old = 0;
    struct wi_tile *t = find(a, address, &reg);
    if (!t || !mask)
        return;
    if (!read_register(t, reg, &old))
        fault_at(t, reg, "a masked write is not modelled");
    else
        write_register(t, reg, (old & ~mask) | (value & mask));
}

void wi_arr_block(struct wi_array *a, uint32_t address, const uint32_t *words, size_t n) {
    struct wi_map_reg reg;
    struct wi_tile *t = find(a, address, &reg);
    if (t && reg.id == WI_MAP_DATA_MEM && 4 * ((size_t)reg.word + n) <= t->memory_bytes) {
        memcpy(t->memory + 4 * reg.word, words, 4 * n);
        return;
    }
    if (t && reg.id == WI_MAP_PROGRAM_MEM &&
        wi_emu_core_load(t->core->core, 4 * reg.word, (const uint8_t *)words, 4 * n))
        return;
    for (size_t i = 0; t && i < n && !a->failed; i++) {
        uint32_t at = address + 4 * (uint32_t)i;
        if (words[i] == 0 && wi_map_find(t->kind, at & WI_TILE_OFFSET_MASK).id == WI_MAP_NONE)
            continue; /* between descriptors of compute tiles, which have 6 of 8 words */
        wi_arr_write(a, at, words[i]);
    }
}

bool wi_array_read(struct wi_array *a, uint32_t address, uint32_t *value) {
    struct wi_tile *t = wi_arr_tile(a, wi_addr_col(address), wi_addr_row(address));
    struct wi_map_reg reg = {WI_MAP_NONE, 0, 0};
    if (t)
        reg = wi_map_find(t->kind, address & WI_TILE_OFFSET_MASK);
    return reg.id != WI_MAP_NONE && address % 4 == 0 && read_register(t, reg, value);
}

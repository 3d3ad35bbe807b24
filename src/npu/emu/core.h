/* One AIE2 core: program bytes, registers and memory windows in; exact cycles, stalls and memory
 * out.  The pipeline is exposed as the chip's is: results land after their stage, early readers see
 * old values, stalls freeze everything.  What no document says stops the core with the
 * instruction's name and address.
 *
 * The caller owns the memory windows and everything behind the port; the core owns its registers,
 * program and decoded program.  Calls allocate nothing after wi_emu_core_create.  Different cores
 * may run in different threads; one core is used by one thread at a time, with its port's functions
 * called in that thread. */
#ifndef WISP_SRC_NPU_EMU_CORE_H
#define WISP_SRC_NPU_EMU_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <wisp/wisp.h>

#include "cpu/kern.h"

enum {
    WI_EMU_PROGRAM_BYTES = 16 * 1024,
    WI_EMU_WINDOW_BYTES = 64 * 1024,
    WI_EMU_WINDOW_BASE = 0x40000, /* of the first window; they follow each other */
};

/* Windows of data memory, in the order of their addresses. */
enum wi_emu_window { WI_EMU_SOUTH, WI_EMU_WEST, WI_EMU_NORTH, WI_EMU_OWN, WI_EMU_WINDOWS };

enum wi_emu_stop {
    WI_EMU_RUNNING, /* the cycle asked for is reached */
    WI_EMU_DONE,    /* `done` was executed */
    WI_EMU_BLOCKED, /* waits for `blocked`: run again when that may have changed */
    WI_EMU_BREAK,   /* a breakpoint's bundle is next */
    WI_EMU_FAULT    /* wi_emu_core_fault says what and where */
};

/* What stalls the core; also the index of its cycle counters. */
enum wi_emu_stall {
    WI_EMU_STALL_MEMORY,
    WI_EMU_STALL_LOCK,
    WI_EMU_STALL_STREAM_IN,
    WI_EMU_STALL_STREAM_OUT,
    WI_EMU_STALL_CASCADE_IN,
    WI_EMU_STALL_CASCADE_OUT,
    WI_EMU_STALLS
};

/* The core's surroundings.  A NULL function: nothing is there (never ready; a lock operation is a
 * fault). */
struct wi_emu_port {
    void *host;
    /* The core's lock ids: 0..15 south, 16..31 west, 32..47 north, 48..63 own.  acquire returns 1
     * when it took the lock and 0 when it must wait; release returns 0 on success.  Negative: the
     * lock does not exist or would leave 0..63, which is a fault.  `cycle` is the core's. */
    int (*acquire)(void *host, unsigned id, int32_t value, uint64_t cycle);
    int (*release)(void *host, unsigned id, int32_t value, uint64_t cycle);
    /* Streams and cascade: `ready` asks whether one word can move now; get and put follow only
     * after it. */
    bool (*stream_in_ready)(void *host);
    uint32_t (*stream_get)(void *host, bool *tlast);
    bool (*stream_out_ready)(void *host);
    void (*stream_put)(void *host, uint32_t word, bool tlast);
    bool (*cascade_in_ready)(void *host);
    void (*cascade_get)(void *host, uint8_t value[64]);
    bool (*cascade_out_ready)(void *host);
    void (*cascade_put)(void *host, const uint8_t value[64]);
    /* The core accesses these physical banks of a window (bit n: bank n) in `cycle`; returns the
     * cycles it loses to others.  NULL: none. */
    unsigned (*arbitrate)(void *host, enum wi_emu_window window, unsigned banks, uint64_t cycle);
    void (*event)(void *host, unsigned number, uint64_t cycle); /* NULL: ignored */
};

struct wi_emu_core;

/* A core in reset with poisoned program memory, no windows and no port.  Errors: NOMEM. */
int wi_emu_core_create(struct wi_emu_core **out, enum wi_level level, struct wisp_error *err);
void wi_emu_core_destroy(struct wi_emu_core **core);

/* Back to the state after reset: registers, pipeline, counters; program, windows, port and
 * breakpoints stay. */
void wi_emu_core_reset(struct wi_emu_core *core);

/* 64 KB of memory that the core sees in a window, NULL: the window is absent. */
void wi_emu_core_map(struct wi_emu_core *core, enum wi_emu_window window, uint8_t *memory);
void wi_emu_core_connect(struct wi_emu_core *core, const struct wi_emu_port *port);

/* Fill memory as it is after power-up here: a pattern that is NaN in bf16 and fp32. */
void wi_emu_poison(uint8_t *memory, size_t n);

/* Write program memory; false if it does not fit.  Bundles are decoded when first executed; loading
 * again and again while operations are under way ends in a fault, as their decoded form must stay. */
bool wi_emu_core_load(struct wi_emu_core *core, uint32_t address, const uint8_t *bytes, size_t n);

/* Run until the cycle counter is at least `until` or something else happens. */
enum wi_emu_stop wi_emu_core_run(struct wi_emu_core *core, uint64_t until);

/* While blocked: let the cycle counter go on to `cycle`, counted as stalls of the cause. */
void wi_emu_core_wait(struct wi_emu_core *core, uint64_t cycle);

/* Stop before the bundle at this address (even, < 16 KB); run again to execute it. */
void wi_emu_core_break(struct wi_emu_core *core, uint32_t address, bool on);

/* Called before every bundle while set (NULL: not); the core is consistent with what the bundle
 * will see. */
void wi_emu_core_trace(struct wi_emu_core *core,
                       void (*fn)(void *user, const struct wi_emu_core *core), void *user);

struct wi_emu_counters {
    uint64_t cycles, bundles;
    uint64_t stalls[WI_EMU_STALLS]; /* cycles = bundles + their sum */
};
struct wi_emu_counters wi_emu_core_counters(const struct wi_emu_core *core);
uint32_t wi_emu_core_pc(const struct wi_emu_core *core); /* of the next bundle */
void wi_emu_core_set_pc(struct wi_emu_core *core, uint32_t pc);
const char *wi_emu_core_fault(const struct wi_emu_core *core); /* "" if none */
enum wi_emu_stall wi_emu_core_blocked(const struct wi_emu_core *core);
const char *wi_emu_stall_name(enum wi_emu_stall stall); /* "lock" */

/* Bits of a register by its assembler name (r0, p3, wl2, x0, bml1, cm0, crRnd ...), little-endian;
 * returns the number of bytes (at most 160), 0 if there is no such register.  Setting takes as
 * many. */
size_t wi_emu_core_get(const struct wi_emu_core *core, const char *name, uint8_t value[160]);
size_t wi_emu_core_set(struct wi_emu_core *core, const char *name, const uint8_t value[160]);

/* All registers and, of those, what is in flight, as text of one fact per line; like snprintf. */
size_t wi_emu_core_dump(const struct wi_emu_core *core, char *buf, size_t size);

#endif

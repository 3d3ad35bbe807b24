/* A core on a bench for tests: programs as text, one bundle a line, each made 16 bytes long, so
 * that line n is at address 16 n; 64 KB of poisoned memory in its own window; locks, a stream and a
 * cascade in arrays. */
#ifndef WISP_TESTS_NPU_RIG_H
#define WISP_TESTS_NPU_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "npu/emu/core.h"

enum { RIG_BASE = 0x70000, RIG_QUEUE = 16 };

struct rig {
    struct wi_emu_core *core;
    uint8_t memory[WI_EMU_WINDOW_BYTES];
    int32_t locks[64];
    unsigned long acquires;
    uint32_t in[RIG_QUEUE], out[RIG_QUEUE];
    bool out_last[RIG_QUEUE];
    unsigned n_in, at_in, n_out, room_out;
    uint8_t cascade_in[RIG_QUEUE][64], cascade_out[RIG_QUEUE][64];
    unsigned n_cascade_in, at_cascade_in, n_cascade_out, room_cascade_out;
};

/* Asserts what fails.  Levels as in cpu/kern.h. */
void rig_init(struct rig *rig, enum wi_level level);
void rig_fini(struct rig *rig);
/* Assemble lines into program memory at 0; empty lines are NOPs.  Returns the number of lines. */
unsigned rig_program(struct rig *rig, const char *text);
/* rig_program and run to `done` in at most 100000 cycles. */
struct wi_emu_counters rig_run(struct rig *rig, const char *text);
uint32_t rig_get(const struct rig *rig, const char *reg);
void rig_set(struct rig *rig, const char *reg, uint32_t value);
void rig_get_vector(const struct rig *rig, const char *reg, void *value);
void rig_set_vector(struct rig *rig, const char *reg, const void *value);
uint32_t rig_word(const struct rig *rig, uint32_t address);
void rig_set_word(struct rig *rig, uint32_t address, uint32_t value);

/* The bytes of one bundle of text, at least 16 of them; asserts that it parses. */
void rig_assemble(uint8_t out[16], const char *line, size_t len);

/* Reproducible random bits. */
uint32_t rig_random(uint64_t *seed);

#endif

/* A bench for kernels: a routine from the builder on an emulated core with its own memory, and the
 * chip's arithmetic once more in plain C, written from the documents and not from the emulator. */
#ifndef WISP_TESTS_NPU_KRIG_H
#define WISP_TESTS_NPU_KRIG_H

#include <stdint.h>

#include "npu/asm/build.h"
#include "npu/emu/core.h"

enum { KRIG_MEMORY = 0x70000, KRIG_BASE = 256, KRIG_CASCADE = 128 };

struct krig {
    struct wi_emu_core *core;
    uint8_t memory[WI_EMU_WINDOW_BYTES];
    /* what the cascade brings and takes, 16 fp32 each */
    float cascade_in[KRIG_CASCADE][16], cascade_out[KRIG_CASCADE][16];
    int n_cascade_in, at_cascade_in, n_cascade_out;
};
void krig_init(struct krig *rig);
void krig_fini(struct krig *rig);

/* A kernel's code, finished as `how` says and passed by the checker; asserts what fails. */
void krig_build(struct wi_code *code, void (*emit)(struct wi_build *b), enum wi_schedule how);
/* Both forms, by enum wi_schedule. */
void krig_build_both(struct wi_code code[2], void (*emit)(struct wi_build *b));
/* What a test of one kernel sets up, both forms and a rig, and gives back. */
void krig_open(struct krig *rig, struct wi_code code[2], void (*emit)(struct wi_build *b));
void krig_close(struct krig *rig, struct wi_code code[2]);
/* Assert that a program has no hazard. */
void krig_check(const struct wi_code *code);

/* Call the code with p0 = `params` on the memory as it is: cycles from its first bundle to the one
 * behind the last delay slot of its return; stored data is in memory afterwards. */
struct wi_emu_counters krig_run(struct krig *rig, const struct wi_code *code, uint32_t params);

float krig_f32(uint16_t bf16);
uint32_t krig_bits(float v);
uint16_t krig_bf16(float v); /* nearest, ties to even */
/* acc + sum of a[i] b[i] as the MAC unit computes it, aie2-isa 11.3; finite values. */
float krig_mac(float acc, int n, const uint16_t *a, const uint16_t *b);
/* acc + a0 b0 + a1 b1 likewise: two terms of a lane. */
float krig_mac2(float acc, uint16_t a0, uint16_t a1, uint16_t b0, uint16_t b1);
float krig_add(float a, float b); /* as vadd.f */
/* acc + acc2 + sum of a[i] b[i], as vaddmac.f */
float krig_addmac(float acc, float acc2, int n, const uint16_t *a, const uint16_t *b);

/* GELU as wi_gelu_table's table has it */
uint16_t krig_gelu_table(uint16_t x, const uint16_t *table);

uint32_t krig_random(uint64_t *seed);
uint16_t krig_random_bf16(uint64_t *seed); /* +-[0.5, 4) */

#endif

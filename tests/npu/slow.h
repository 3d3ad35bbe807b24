/* A second engine for straight-line programs, slow and plain: every operand is looked up in the
 * whole history of writes by the rule of the document, instead of keeping registers that change in
 * time.  Only part of the instructions are known to it. */
#ifndef WISP_TESTS_NPU_SLOW_H
#define WISP_TESTS_NPU_SLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "npu/isa/isa.h"

enum { SLOW_BUNDLES = 64, SLOW_WRITES = 2048 };

struct slow_write {
    int t, stage; /* issued with bundle t, readable after that stage */
    uint8_t bypass, unit;
    uint8_t data[32];
};

struct slow {
    uint8_t initial[WI_N_UNITS][32]; /* units of isa.h, little-endian from byte 0 */
    struct slow_write write[SLOW_WRITES];
    int n_writes;
    bool tie;        /* two writes landed in one register in one cycle: illegal */
    bool misaligned; /* or outside memory */
    uint8_t *memory; /* 64 KB at 0x70000 */
};

unsigned slow_unit_bytes(unsigned unit);

/* Whether the engine knows the instruction. */
bool slow_knows(unsigned id);

/* Run n bundles and let them finish. */
void slow_run(struct slow *s, const struct wi_isa_bundle *bundles, int n);

/* The value of a unit after everything has landed. */
void slow_final(const struct slow *s, unsigned unit, uint8_t data[32]);

#endif

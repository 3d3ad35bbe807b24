/* The derived form of the tables, shared by derive.c, which makes it, and the functions of isa.h.
 * Constant data, thread-safe. */
#ifndef WISP_SRC_NPU_ISA_TABLES_H
#define WISP_SRC_NPU_ISA_TABLES_H

#include "npu/isa/isa.h"

enum { WI_INDEX_BITS = 8 };

/* Ports that depend on a register, in the place of an enum wi_port. */
enum wi_port_rule {
    WI_RULE_DST_A = WI_N_PORTS,
    WI_RULE_DST_M,
    WI_RULE_SRC_S,
    WI_RULE_SRC_V,
    WI_RULE_DST_V
};

struct wi_isa_port_rule {
    uint8_t port; /* enum wi_port or enum wi_port_rule */
    uint8_t first, last;
    bool weak;
};

struct wi_isa_timing {
    struct wi_isa_timing_info info;
    uint8_t n_ports;
    struct wi_isa_port_rule port[WI_ISA_MAX_PORTS];
};

const struct wi_isa_timing *wi_isa_timing(unsigned timing);

/* Instructions of `slot` that a word can be, most fixed bits first. */
const uint16_t *wi_isa_candidates(enum wi_slot slot, uint64_t word, int *n);

struct wi_isa_class {
    uint8_t bits;
    uint8_t reg[512];         /* by code; 0 = none */
    uint16_t code[WI_N_REGS]; /* by register; code + 1, 0 = none */
};

#endif

/* Ports of the stream switches: a master is an output, a slave an input.  Constant tables,
 * thread-safe. */
#ifndef WISP_SRC_NPU_ISA_SWITCH_H
#define WISP_SRC_NPU_ISA_SWITCH_H

#include <stddef.h>

#include "npu/isa/map.h"

enum wi_switch_side { WI_SWITCH_SLAVE, WI_SWITCH_MASTER };

/* What is at the other side of a port.  TRACE of compute tiles: 0 core, 1 memory module. */
enum wi_switch_end {
    WI_SWITCH_CORE,
    WI_SWITCH_DMA,
    WI_SWITCH_CTRL, /* control packets, completion tokens */
    WI_SWITCH_FIFO,
    WI_SWITCH_SOUTH,
    WI_SWITCH_WEST,
    WI_SWITCH_NORTH,
    WI_SWITCH_EAST,
    WI_SWITCH_TRACE,
    WI_SWITCH_NONE
};
struct wi_switch_port {
    enum wi_switch_end kind; /* NONE: there is no such port */
    int number;              /* among those of its kind */
};

/* The `index`-th port of a tile's switch, in the order of the registers, and back (-1: none such).
 */
struct wi_switch_port wi_switch_port(enum wi_tile_kind tile, enum wi_switch_side side, int index);
int wi_switch_port_index(enum wi_tile_kind tile, enum wi_switch_side side, enum wi_switch_end kind,
                         int number);

/* "south3"; "none0" when there is no such port.  Like snprintf. */
int wi_switch_port_print(struct wi_switch_port port, char *buf, size_t size);

/* Bits of a switch's registers (aie-rt, xaiemlgbl_params.h). */
enum {
    WI_SWITCH_ENABLE_BIT = 31,
    WI_SWITCH_PACKET_BIT = 30,
    WI_MASTER_DROP_BIT = 7,      /* packets: the header stays behind */
    WI_MASTER_SLAVE_MASK = 0x1f, /* circuit: the slave that it takes from */
    WI_MASTER_ARBITER_MASK = 7,  /* packets */
    WI_MASTER_MSEL_LSB = 3,      /* packets: 4 bits, which selectors it takes */
    WI_SLOT_ENABLE_BIT = 8,
    WI_SLOT_ID_LSB = 24,   /* 5 bits */
    WI_SLOT_MASK_LSB = 16, /* 5 bits */
    WI_SLOT_MSEL_LSB = 4,  /* 2 bits */
    WI_SLOT_ARBITER_MASK = 7
};

#endif

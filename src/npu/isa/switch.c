#include "npu/isa/switch.h"

#include <stdio.h>

/* Runs of ports in the order of their registers (AM025; aie-rt, xaiemlgbl_reginit.c). */
struct run {
    enum wi_switch_end kind;
    int count;
};
enum { MAX_RUNS = 9 };

static const struct run runs[3][2][MAX_RUNS] = {
    [WI_TILE_CORE][WI_SWITCH_MASTER] = {{WI_SWITCH_CORE, 1},
                                        {WI_SWITCH_DMA, 2},
                                        {WI_SWITCH_CTRL, 1},
                                        {WI_SWITCH_FIFO, 1},
                                        {WI_SWITCH_SOUTH, 4},
                                        {WI_SWITCH_WEST, 4},
                                        {WI_SWITCH_NORTH, 6},
                                        {WI_SWITCH_EAST, 4}},
    [WI_TILE_CORE][WI_SWITCH_SLAVE] = {{WI_SWITCH_CORE, 1},
                                       {WI_SWITCH_DMA, 2},
                                       {WI_SWITCH_CTRL, 1},
                                       {WI_SWITCH_FIFO, 1},
                                       {WI_SWITCH_SOUTH, 6},
                                       {WI_SWITCH_WEST, 4},
                                       {WI_SWITCH_NORTH, 4},
                                       {WI_SWITCH_EAST, 4},
                                       {WI_SWITCH_TRACE, 2}},
    [WI_TILE_MEM][WI_SWITCH_MASTER] = {{WI_SWITCH_DMA, 6},
                                       {WI_SWITCH_CTRL, 1},
                                       {WI_SWITCH_SOUTH, 4},
                                       {WI_SWITCH_NORTH, 6}},
    [WI_TILE_MEM][WI_SWITCH_SLAVE] = {{WI_SWITCH_DMA, 6},
                                      {WI_SWITCH_CTRL, 1},
                                      {WI_SWITCH_SOUTH, 6},
                                      {WI_SWITCH_NORTH, 4},
                                      {WI_SWITCH_TRACE, 1}},
    [WI_TILE_SHIM][WI_SWITCH_MASTER] = {{WI_SWITCH_CTRL, 1},
                                        {WI_SWITCH_FIFO, 1},
                                        {WI_SWITCH_SOUTH, 6},
                                        {WI_SWITCH_WEST, 4},
                                        {WI_SWITCH_NORTH, 6},
                                        {WI_SWITCH_EAST, 4}},
    [WI_TILE_SHIM][WI_SWITCH_SLAVE] = {{WI_SWITCH_CTRL, 1},
                                       {WI_SWITCH_FIFO, 1},
                                       {WI_SWITCH_SOUTH, 8},
                                       {WI_SWITCH_WEST, 4},
                                       {WI_SWITCH_NORTH, 4},
                                       {WI_SWITCH_EAST, 4},
                                       {WI_SWITCH_TRACE, 1}},
};

struct wi_switch_port wi_switch_port(enum wi_tile_kind tile, enum wi_switch_side side, int index) {
    for (int i = 0; index >= 0 && i < MAX_RUNS; i++) {
        const struct run *r = &runs[tile][side][i];
        if (index < r->count)
            return (struct wi_switch_port){r->kind, index};
        index -= r->count;
    }
    return (struct wi_switch_port){WI_SWITCH_NONE, 0};
}

int wi_switch_port_index(enum wi_tile_kind tile, enum wi_switch_side side, enum wi_switch_end kind,
                         int number) {
    int first = 0;
    for (int i = 0; i < MAX_RUNS; i++) {
        const struct run *r = &runs[tile][side][i];
        if (r->count && r->kind == kind)
            return number >= 0 && number < r->count ? first + number : -1;
        first += r->count;
    }
    return -1;
}

int wi_switch_port_print(struct wi_switch_port port, char *buf, size_t size) {
    static const char *const names[] = {
        [WI_SWITCH_CORE] = "core",   [WI_SWITCH_DMA] = "dma",     [WI_SWITCH_CTRL] = "ctrl",
        [WI_SWITCH_FIFO] = "fifo",   [WI_SWITCH_SOUTH] = "south", [WI_SWITCH_WEST] = "west",
        [WI_SWITCH_NORTH] = "north", [WI_SWITCH_EAST] = "east",   [WI_SWITCH_TRACE] = "trace",
        [WI_SWITCH_NONE] = "none",
    };
    return snprintf(buf, size, "%s%d", names[port.kind], port.number);
}

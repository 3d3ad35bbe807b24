/* What a design is said with: registers, circuits, descriptors, locks and memory of tiles, as a
 * list of load commands.  The first mistake (a port, lock or number that there is not) is kept,
 * with the tile's name, and nothing more is added. */
#ifndef WISP_SRC_NPU_ARRAY_PLAN_H
#define WISP_SRC_NPU_ARRAY_PLAN_H

#include <wisp/wisp.h>

#include "npu/image/cfg.h"
#include "npu/isa/bd.h"
#include "npu/isa/switch.h"

struct wi_at {
    int col, row;
};

struct wi_plan {
    struct wi_cfg *cfg; /* what is added to; borrowed */
    struct wisp_error err;
};

void wi_plan_reg(struct wi_plan *p, struct wi_at at, enum wi_map_id id, uint32_t index,
                 uint32_t value);
void wi_plan_bytes(struct wi_plan *p, struct wi_at at, enum wi_map_id id, uint32_t offset,
                   const void *bytes, size_t n_bytes);
/* A circuit from one port of a switch to another. */
struct wi_end {
    enum wi_switch_end kind;
    int number;
};
void wi_plan_route(struct wi_plan *p, struct wi_at at, struct wi_end from, struct wi_end to);

/* A descriptor: words of 32 bits, in up to 4 dimensions of `count` elements (0: none, or the rest)
 * `step` words apart; executions follow each other `iter_step` words apart and begin again after
 * `iter`.  Locks: by their number in the tile, with what is taken before and given after. */
struct wi_transfer {
    uint32_t base, words;
    struct {
        uint32_t count, step;
    } d[4];
    uint32_t iter, iter_step;
    bool locked;
    int take, n_take, give, n_give;
    int next; /* descriptor, -1: none */
};
void wi_plan_transfer(struct wi_plan *p, struct wi_at at, int bd, const struct wi_transfer *t);

/* Start a channel with a descriptor, `times` times. */
enum wi_direction { WI_TO_MEMORY, WI_TO_STREAM };
void wi_plan_start(struct wi_plan *p, struct wi_at at, enum wi_direction direction, int channel,
                   int bd, int times);
void wi_plan_lock(struct wi_plan *p, struct wi_at at, int lock, int value);

#endif

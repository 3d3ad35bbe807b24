/* An emulated array for tests: designs by register names instead of addresses, host buffers,
 * programs as text.  Asserts what fails. */
#ifndef WISP_TESTS_NPU_ARRAY_RIG_H
#define WISP_TESTS_NPU_ARRAY_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "npu/emu/array.h"
#include "npu/isa/bd.h"
#include "npu/isa/map.h"
#include "npu/isa/switch.h"

enum { AR_BUFFERS = 8, AR_ADDRESS = 0x10000 };

struct array_rig {
    struct wi_array *array;
    struct wi_cfg load, insts; /* what is added to by the calls below, `to` says which */
    uint64_t address[AR_BUFFERS];
    size_t n_buffers;
};

/* Of a test program, with default parameters: between the two of a group's fixture. */
extern struct array_rig rig;
int ar_setup(void **state);
int ar_teardown(void **state);

void ar_init(struct array_rig *r, const struct wi_array_params *params); /* NULL: defaults */
void ar_fini(struct array_rig *r);
void ar_clear(struct array_rig *r); /* a new design; buffers are forgotten */

/* Argument n_buffers of the stream. */
void ar_buffer(struct array_rig *r, void *data, size_t size);

struct ar_tile {
    int col, row;
};

void ar_write(struct wi_cfg *to, struct ar_tile t, enum wi_map_id id, uint32_t index,
              uint32_t value);
/* A valid descriptor of consecutive words. */
struct wi_bd ar_plain(uint32_t base, uint32_t words);
void ar_bd(struct wi_cfg *to, struct ar_tile t, uint32_t n, const struct wi_bd *bd);
void ar_queue(struct wi_cfg *to, struct ar_tile t, bool mm2s, uint32_t channel, uint32_t bd,
              uint32_t times, bool token);
/* A circuit in one switch. */
void ar_route(struct wi_cfg *to, struct ar_tile t, enum wi_switch_end from, int from_n,
              enum wi_switch_end end, int end_n);
/* Circuits from the shim's MM2S `channel` by lane up to a DMA channel of the tile, and back down to
 * the shim's S2MM `channel`. */
void ar_route_up(struct wi_cfg *to, struct ar_tile t, int shim_channel, int lane, int channel);
void ar_route_down(struct wi_cfg *to, struct ar_tile t, int channel, int lane, int shim_channel);
/* Tokens of the shim reach the controller; Controller_ID 15 on both S2MM channels. */
void ar_tokens(struct wi_cfg *to, int col);
/* A shim descriptor over `words` of buffer `arg`. */
void ar_shim_bd(struct wi_cfg *to, int col, uint32_t n, uint32_t arg, uint64_t offset,
                uint32_t words);
void ar_wait(struct wi_cfg *to, int col, uint8_t channel);
/* Lines of bundles as tests/npu/rig.h has them, at 0; the core is enabled. */
void ar_program(struct wi_cfg *to, struct ar_tile t, const char *text);

void ar_load(struct array_rig *r);
enum wi_array_status ar_run(struct array_rig *r, uint64_t limit);
void ar_run_to_end(struct array_rig *r); /* fails with the reason when it is not done */
uint32_t ar_read(struct array_rig *r, struct ar_tile t, enum wi_map_id id, uint32_t index,
                 uint32_t word);

#endif

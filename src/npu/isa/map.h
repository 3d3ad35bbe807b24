/* The address map of tiles: which register an offset is.  Constant tables, thread-safe. */
#ifndef WISP_SRC_NPU_ISA_MAP_H
#define WISP_SRC_NPU_ISA_MAP_H

#include <stddef.h>
#include <stdint.h>

/* Rows of the array: 0 shim, 1 memory, 2 to 5 compute tiles. */
enum wi_tile_kind { WI_TILE_SHIM, WI_TILE_MEM, WI_TILE_CORE };
enum { WI_TILE_ROWS = 6, WI_TILE_FIRST_CORE = 2, WI_TILE_BYTES = 1 << 20 };

static inline enum wi_tile_kind wi_tile_kind(int row) {
    return row == 0 ? WI_TILE_SHIM : row == 1 ? WI_TILE_MEM : WI_TILE_CORE;
}

enum wi_map_id {
    WI_MAP_NONE,
#define ID(name) WI_MAP_##name,
#include "npu/isa/aie2_map.def"
};

/* One 32-bit register: word `word` of the `index`-th group of `id`. */
struct wi_map_reg {
    enum wi_map_id id; /* NONE: nothing is known at that offset */
    uint32_t index, word;
};

struct wi_map_reg wi_map_find(enum wi_tile_kind kind, uint32_t offset);

/* The offset of a register; UINT32_MAX when tiles of that kind have none such. */
uint32_t wi_map_offset(enum wi_tile_kind kind, enum wi_map_id id, uint32_t index, uint32_t word);

/* "bd3.5", "core control", "data memory + 0x400", "0x12345" when nothing is known, like snprintf. */
int wi_map_print(enum wi_tile_kind kind, uint32_t offset, char *buf, size_t size);

#endif

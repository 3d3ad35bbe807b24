/* Any design on the emulated array: it ends by itself or at a limit, and says why.  An input is a
 * list of records of 8 bytes: tile (column, 4 * row), unit, index, word, and a value of 4; the unit
 * 0xff separates what is loaded from what the controller does, 0xfe patches in an address. */
#include <stdlib.h>
#include <string.h>

#include "npu/emu/array.h"
#include "npu/isa/map.h"

enum { RECORD = 8, HOST = 4096, CYCLES = 45000, SEPARATOR = 0xff, PATCH = 0xfe };

static const enum wi_map_id units[] = {
    WI_MAP_BD,     WI_MAP_S2MM_QUEUE, WI_MAP_MM2S_QUEUE, WI_MAP_S2MM_CTRL,   WI_MAP_MM2S_CTRL,
    WI_MAP_LOCK,   WI_MAP_MASTER,     WI_MAP_SLAVE,      WI_MAP_SLOT,        WI_MAP_MUX,
    WI_MAP_DEMUX,  WI_MAP_CORE_CTRL,  WI_MAP_CASCADE,    WI_MAP_PROGRAM_MEM, WI_MAP_DATA_MEM,
    WI_MAP_EVENTS, WI_MAP_MERGE,      WI_MAP_ZERO_DATA,  WI_MAP_LOCK_REQUEST};
enum { N_UNITS = sizeof units / sizeof *units };

static void add(struct wi_cfg *cfg, const uint8_t *r) {
    int col = r[0] % 4, row = r[0] / 4 % 6;
    uint32_t value;
    memcpy(&value, r + 4, 4);
    enum wi_map_id id = r[1] == PATCH ? WI_MAP_BD : units[r[1] % N_UNITS];
    uint32_t offset = wi_map_offset(wi_tile_kind(row), id, r[2], r[1] == PATCH ? 1 : r[3]);
    if (offset == UINT32_MAX)
        return;
    if (r[1] == PATCH)
        wi_cfg_patch(cfg, WI_TILE_ADDR(col, row, offset), r[3] % 3, value % (2 * HOST));
    else
        wi_cfg_write(cfg, WI_TILE_ADDR(col, row, offset), value);
}

static struct wi_array *make(uint8_t host[HOST]) {
    struct wi_array *array;
    struct wi_array_params params;
    wi_array_params_init(&params);
    params.n_threads = 1;
    if (wi_array_create(&array, &params, WI_PORTABLE, NULL) != WISP_OK ||
        wi_array_add_memory(array, 0x1000, host, HOST, NULL) != WISP_OK)
        abort();
    return array;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct wi_array *array;
    static uint8_t host[HOST];
    static const uint64_t args[2] = {0x1000, 0x1000 + HOST / 2};
    struct wi_cfg load, run;
    struct wi_strbuf why;
    if (!array)
        array = make(host);
    wi_cfg_init(&load);
    wi_cfg_init(&run);
    bool loading = true;
    for (size_t i = 0; i + RECORD <= size && i < 200 * RECORD; i += RECORD)
        if (data[i + 1] == SEPARATOR)
            loading = false;
        else
            add(loading ? &load : &run, data + i);
    wi_cfg_wait(&run, (struct wi_cfg_tokens){.n_cols = 1, .n_rows = 1});
    if (wi_array_load(array, &load, NULL) == WISP_OK) {
        wi_array_start(array, &run, args, 2);
        if (wi_array_run(array, CYCLES) != WI_ARRAY_DONE && !*wi_array_reason(array))
            abort();
    }
    wi_strbuf_init(&why);
    wi_array_explain(array, &why);
    wi_strbuf_fini(&why);
    wi_cfg_fini(&load);
    wi_cfg_fini(&run);
    return 0;
}

/* Designs of any kind on the emulated array: register writes, patches and waits at random, run for
 * a while.  Whatever they are, the run ends with a status, a reason where it is no success, and the
 * same cycles on two threads of the host. */
#include <stdlib.h>
#include <string.h>

#include "npu/array_rig.h"

#define NEED(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

enum {
    HOST_ADDRESS = 0x10000,
    HOST_BYTES = 4096,
    LIMIT = 50000 /* 30 500 are the launch */,
    WORDS = 64
};

struct input {
    const uint8_t *p, *end;
};

static uint32_t take(struct input *in, int bytes) {
    uint32_t x = 0;
    for (int i = 0; i < bytes && in->p < in->end; i++)
        x |= (uint32_t)*in->p++ << 8 * i;
    return x;
}

/* Registers that matter come up often: of a random tile, by name, else any offset. */
static uint32_t take_address(struct input *in) {
    static const enum wi_map_id ids[] = {
        WI_MAP_BD,         WI_MAP_S2MM_CTRL, WI_MAP_S2MM_QUEUE,  WI_MAP_MM2S_CTRL,
        WI_MAP_MM2S_QUEUE, WI_MAP_LOCK,      WI_MAP_MASTER,      WI_MAP_SLAVE,
        WI_MAP_SLOT,       WI_MAP_CORE_CTRL, WI_MAP_PROGRAM_MEM, WI_MAP_DATA_MEM,
        WI_MAP_MUX,        WI_MAP_DEMUX,     WI_MAP_TILE_CTRL,   WI_MAP_CASCADE};
    uint32_t where = take(in, 1), what = take(in, 1), index = take(in, 1);
    int col = (int)(where & 3), row = (int)(where >> 2) % WI_TILE_ROWS;
    uint32_t offset = UINT32_MAX;
    if (what < 240)
        offset = wi_map_offset(wi_tile_kind(row), ids[what % 16], index >> 3, index & 7);
    if (offset == UINT32_MAX)
        offset = take(in, 3) & WI_TILE_OFFSET_MASK;
    return WI_TILE_ADDR(col, row, offset);
}

/* Small numbers come up often. */
static uint32_t take_value(struct input *in) {
    uint32_t kind = take(in, 1);
    return kind < 128 ? kind : take(in, 4);
}

static void take_op(struct input *in, struct wi_cfg *cfg, bool loading) {
    uint32_t kind = take(in, 1), address, words[8];
    switch (kind % (loading ? 3 : 6)) {
    case 0: {
        address = take_address(in);
        wi_cfg_write(cfg, address, take_value(in));
        break;
    }
    case 1: {
        address = take_address(in);
        uint32_t mask = take_value(in);
        wi_cfg_mask_write(cfg, address, mask, take_value(in));
        break;
    }
    case 2:
        address = take_address(in);
        for (int i = 0; i < 8; i++)
            words[i] = take_value(in);
        wi_cfg_block(cfg, address, words, 1 + (kind >> 5));
        break;
    case 3: wi_cfg_patch(cfg, take_address(in), take(in, 1) & 3, take_value(in)); break;
    case 4:
        wi_cfg_wait(cfg, (struct wi_cfg_tokens){.mm2s = (uint8_t)(kind >> 7),
                                                .channel = (uint8_t)take(in, 1),
                                                .col = (uint8_t)(take(in, 1) & 7),
                                                .row = (uint8_t)(take(in, 1) & 7),
                                                .n_cols = (uint8_t)(take(in, 1) & 7),
                                                .n_rows = (uint8_t)(take(in, 1) & 7)});
        break;
    default:
        address = take_address(in);
        uint32_t mask = take_value(in);
        wi_cfg_add(cfg, (struct wi_cfg_op){.kind = WI_CFG_MASK_POLL,
                                           .addr = address,
                                           .mask = mask,
                                           .value = take_value(in) & mask});
    }
}

/* ---------------------------------------------------------------- a design that works */

static struct wi_bd part(uint32_t base, uint32_t free_lock, uint32_t full_lock) {
    struct wi_bd bd = ar_plain(base, WORDS);
    bd.v[WI_BD_ACQ] = 1;
    bd.v[WI_BD_ACQ_ID] = free_lock;
    bd.v[WI_BD_ACQ_VALUE] = -1;
    bd.v[WI_BD_REL_ID] = full_lock;
    bd.v[WI_BD_REL_VALUE] = 1;
    return bd;
}

/* From host memory into a tile and back, again and again, with two locks; in a compute tile a
 * program changes a word in between. */
static void add_loop(struct wi_cfg *load, struct ar_tile t) {
    uint32_t first = t.row == 1 ? 64 : 0, base = t.row == 1 ? 0x20000 : 0;
    bool core = t.row > 1;
    struct wi_bd in = part(base, first, first + 1), out = part(base, first + 1 + core, first);
    ar_write(load, t, WI_MAP_LOCK, 0, 1);
    ar_bd(load, t, 0, &in);
    ar_bd(load, t, 1, &out);
    ar_queue(load, t, false, 0, 0, 4, false);
    ar_queue(load, t, true, 0, 1, 4, false);
    ar_route_up(load, t, 0, 1, 0);
    ar_route_down(load, t, 0, 1, 0);
    ar_tokens(load, t.col);
    if (core)
        ar_program(load, t,
                   "movxm r0, #-1\nmovxm p1, #458752\nmovx r4, #1\n\n" /* lines 0..3 */
                   "acq #49, r0\nlda r2, [p1, #0]\n\n\n\n\n\n\nadd r2, r2, #3\n"
                   "st r2, [p1, #0]\n\n\n\n\n\n\n\n\nrel #50, r4\njnz r4, #64\n\n\n\n\n\n");
}

static void add_transfers(struct wi_cfg *insts, int col) {
    struct ar_tile shim = {col, 0};
    ar_shim_bd(insts, col, 0, 0, 0, 2 * WORDS);
    ar_shim_bd(insts, col, 1, 1, 0, 2 * WORDS);
    ar_queue(insts, shim, false, 0, 1, 1, true);
    ar_queue(insts, shim, true, 0, 0, 1, false);
}

/* ---------------------------------------------------------------- runs */

struct outcome {
    enum wi_array_status status;
    uint64_t cycles;
    char reason[512];
    uint8_t host[HOST_BYTES];
};

static void run(struct wi_array *array, const struct wi_cfg *load, const struct wi_cfg *insts,
                struct outcome *o) {
    const uint64_t args[] = {HOST_ADDRESS, HOST_ADDRESS + 1024, WI_ARRAY_NO_ARGUMENT};
    struct wisp_error err = {0};
    struct wi_strbuf text;
    memset(o, 0, sizeof *o);
    NEED(wi_array_add_memory(array, HOST_ADDRESS, o->host, HOST_BYTES, &err) == WISP_OK);
    o->status = WI_ARRAY_FAULT;
    if (wi_array_load(array, load, &err) == WISP_OK) {
        wi_array_start(array, insts, args, sizeof args / sizeof args[0]);
        o->status = wi_array_run(array, LIMIT);
        strncpy(o->reason, wi_array_reason(array), sizeof o->reason - 1);
        NEED(o->reason[0] || o->status == WI_ARRAY_DONE || o->status == WI_ARRAY_LIMIT);
        o->cycles = wi_array_cycles(array);
        wi_strbuf_init(&text);
        wi_array_explain(array, &text);
        wi_strbuf_fini(&text);
    } else {
        NEED(err.text[0]);
        strncpy(o->reason, err.text, sizeof o->reason - 1);
    }
    wi_array_remove_memory(array, HOST_ADDRESS);
}

static struct wi_array *array_of(int n_threads) {
    struct wi_array_params params;
    struct wi_array *array;
    wi_array_params_init(&params);
    params.n_threads = n_threads;
    NEED(wi_array_create(&array, &params, WI_PORTABLE, NULL) == WISP_OK);
    return array;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct wi_array *arrays[2];
    static struct outcome outcomes[2];
    struct input in = {data, data + size};
    struct wi_cfg load, insts;
    if (!arrays[0]) {
        arrays[0] = array_of(1);
        arrays[1] = array_of(2);
    }
    wi_cfg_init(&load);
    wi_cfg_init(&insts);
    uint32_t base = take(&in, 1), n = take(&in, 1);
    struct ar_tile t = {(int)(base & 3), 1 + (int)(base >> 2) % 5};
    bool works = base < 192;
    if (works)
        add_loop(&load, t);
    for (; n > 0 && in.p < in.end; n--)
        take_op(&in, &load, true);
    if (works)
        add_transfers(&insts, t.col);
    while (in.p < in.end && insts.n_ops < 256)
        take_op(&in, &insts, false);
    if (works)
        ar_wait(&insts, t.col, 0);
    for (int i = 0; i < 2; i++)
        run(arrays[i], &load, &insts, &outcomes[i]);
    NEED(memcmp(&outcomes[0], &outcomes[1], sizeof outcomes[0]) == 0);
    NEED(size > 2 || !works || outcomes[0].status == WI_ARRAY_DONE);
    wi_cfg_fini(&load);
    wi_cfg_fini(&insts);
    return 0;
}

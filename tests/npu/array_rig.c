#include "unit/suite.h"

#include <stdio.h>
#include <string.h>

#include "array_rig.h"
#include "rig.h"

void ar_init(struct array_rig *r, const struct wi_array_params *params) {
    struct wi_array_params defaults;
    wi_array_params_init(&defaults);
    memset(r, 0, sizeof *r);
    wi_cfg_init(&r->load);
    wi_cfg_init(&r->insts);
    assert_int_equal(wi_array_create(&r->array, params ? params : &defaults, WI_PORTABLE, NULL),
                     WISP_OK);
}

void ar_fini(struct array_rig *r) {
    wi_cfg_fini(&r->load);
    wi_cfg_fini(&r->insts);
    wi_array_destroy(&r->array);
}

void ar_clear(struct array_rig *r) {
    wi_cfg_fini(&r->load);
    wi_cfg_fini(&r->insts);
    while (r->n_buffers)
        wi_array_remove_memory(r->array, r->address[--r->n_buffers]);
}

struct array_rig rig;

int ar_setup(void **state) {
    (void)state;
    ar_init(&rig, NULL);
    return 0;
}

int ar_teardown(void **state) {
    (void)state;
    ar_clear(&rig);
    ar_fini(&rig);
    return 0;
}

void ar_buffer(struct array_rig *r, void *data, size_t size) {
    uint64_t address = AR_ADDRESS;
    if (r->n_buffers)
        address = r->address[r->n_buffers - 1] + 0x10000000;
    assert_int_equal(wi_array_add_memory(r->array, address, data, size, NULL), WISP_OK);
    r->address[r->n_buffers++] = address;
}

static uint32_t address_of(struct ar_tile t, enum wi_map_id id, uint32_t index, uint32_t word) {
    uint32_t offset = wi_map_offset(wi_tile_kind(t.row), id, index, word);
    assert_true(offset != UINT32_MAX);
    return WI_TILE_ADDR(t.col, t.row, offset);
}

void ar_write(struct wi_cfg *to, struct ar_tile t, enum wi_map_id id, uint32_t index,
              uint32_t value) {
    wi_cfg_write(to, address_of(t, id, index, 0), value);
}

struct wi_bd ar_plain(uint32_t base, uint32_t words) {
    struct wi_bd bd = {{0}};
    bd.v[WI_BD_BASE] = base;
    bd.v[WI_BD_LENGTH] = words;
    bd.v[WI_BD_VALID] = 1;
    return bd;
}

void ar_bd(struct wi_cfg *to, struct ar_tile t, uint32_t n, const struct wi_bd *bd) {
    uint32_t words[WI_BD_MAX_WORDS];
    enum wi_bd_field field;
    enum wi_tile_kind kind = wi_tile_kind(t.row);
    if (!wi_bd_pack(kind, bd, words, &field))
        fail_msg("%s does not fit", wi_bd_field_name(field));
    wi_cfg_block(to, address_of(t, WI_MAP_BD, n, 0), words, (uint32_t)wi_bd_words(kind));
}

void ar_queue(struct wi_cfg *to, struct ar_tile t, bool mm2s, uint32_t channel, uint32_t bd,
              uint32_t times, bool token) {
    ar_write(to, t, mm2s ? WI_MAP_MM2S_QUEUE : WI_MAP_S2MM_QUEUE, channel,
             bd | (times - 1) << 16 | (uint32_t)token << 31);
}

void ar_route(struct wi_cfg *to, struct ar_tile t, enum wi_switch_end from, int from_n,
              enum wi_switch_end end, int end_n) {
    enum wi_tile_kind kind = wi_tile_kind(t.row);
    int slave = wi_switch_port_index(kind, WI_SWITCH_SLAVE, from, from_n);
    int master = wi_switch_port_index(kind, WI_SWITCH_MASTER, end, end_n);
    assert_true(slave >= 0 && master >= 0);
    ar_write(to, t, WI_MAP_MASTER, (uint32_t)master, 0x80000000u | (uint32_t)slave);
    ar_write(to, t, WI_MAP_SLAVE, (uint32_t)slave, 0x80000000u);
}

void ar_route_up(struct wi_cfg *to, struct ar_tile t, int shim_channel, int lane, int channel) {
    struct ar_tile shim = {t.col, 0};
    ar_route(to, shim, WI_SWITCH_SOUTH, shim_channel ? 7 : 3, WI_SWITCH_NORTH, lane);
    wi_cfg_mask_write(to, address_of(shim, WI_MAP_MUX, 0, 0), shim_channel ? 0xc000 : 0xc00,
                      shim_channel ? 0x4000 : 0x400);
    for (int row = 1; row < t.row; row++)
        ar_route(to, (struct ar_tile){t.col, row}, WI_SWITCH_SOUTH, lane, WI_SWITCH_NORTH, lane);
    ar_route(to, t, WI_SWITCH_SOUTH, lane, WI_SWITCH_DMA, channel);
}

void ar_route_down(struct wi_cfg *to, struct ar_tile t, int channel, int lane, int shim_channel) {
    struct ar_tile shim = {t.col, 0};
    ar_route(to, t, WI_SWITCH_DMA, channel, WI_SWITCH_SOUTH, lane);
    for (int row = t.row - 1; row > 0; row--)
        ar_route(to, (struct ar_tile){t.col, row}, WI_SWITCH_NORTH, lane, WI_SWITCH_SOUTH, lane);
    ar_route(to, shim, WI_SWITCH_NORTH, lane, WI_SWITCH_SOUTH, 2 + shim_channel);
    wi_cfg_mask_write(to, address_of(shim, WI_MAP_DEMUX, 0, 0), shim_channel ? 0xc0 : 0x30,
                      shim_channel ? 0x40 : 0x10);
}

void ar_tokens(struct wi_cfg *to, int col) {
    struct ar_tile shim = {col, 0};
    ar_write(to, shim, WI_MAP_MASTER, 2, 0xc0000045); /* as mlir-aie writes it */
    ar_write(to, shim, WI_MAP_SLAVE, 0, 0xc0000000);
    ar_write(to, shim, WI_MAP_SLOT, 0, 0x0f1f0135);
    for (uint32_t i = 0; i < 2; i++)
        ar_write(to, shim, WI_MAP_S2MM_CTRL, i, 15 << 8);
}

void ar_shim_bd(struct wi_cfg *to, int col, uint32_t n, uint32_t arg, uint64_t offset,
                uint32_t words) {
    struct ar_tile shim = {col, 0};
    struct wi_bd bd = {{0}};
    bd.v[WI_BD_LENGTH] = words;
    bd.v[WI_BD_BURST] = 2;
    bd.v[WI_BD_AXI_CACHE] = 2;
    bd.v[WI_BD_VALID] = 1;
    ar_bd(to, shim, n, &bd);
    wi_cfg_patch(to, address_of(shim, WI_MAP_BD, n, 1), arg, offset);
}

void ar_wait(struct wi_cfg *to, int col, uint8_t channel) {
    wi_cfg_wait(to, (struct wi_cfg_tokens){
                        .channel = channel, .col = (uint8_t)col, .n_cols = 1, .n_rows = 1});
}

void ar_program(struct wi_cfg *to, struct ar_tile t, const char *text) {
    for (uint32_t at = 0; *text; at += 16) {
        size_t len = strcspn(text, "\n");
        uint8_t bytes[16];
        uint32_t words[4];
        rig_assemble(bytes, text, len);
        memcpy(words, bytes, 16);
        wi_cfg_block(to, address_of(t, WI_MAP_PROGRAM_MEM, 0, at / 4), words, 4);
        text += len + (text[len] == '\n');
    }
    ar_write(to, t, WI_MAP_CORE_CTRL, 0, 1);
}

void ar_load(struct array_rig *r) {
    struct wisp_error err = {0};
    if (wi_array_load(r->array, &r->load, &err) != WISP_OK)
        fail_msg("load: %s", err.text);
}

enum wi_array_status ar_run(struct array_rig *r, uint64_t limit) {
    wi_array_start(r->array, &r->insts, r->address, r->n_buffers);
    return wi_array_run(r->array, limit);
}

void ar_run_to_end(struct array_rig *r) {
    enum wi_array_status status = ar_run(r, 10000000);
    struct wi_strbuf why;
    if (status == WI_ARRAY_DONE)
        return;
    wi_strbuf_init(&why);
    wi_array_explain(r->array, &why);
    fail_msg("status %d: %s\n%s", status, wi_array_reason(r->array), why.data ? why.data : "");
}

uint32_t ar_read(struct array_rig *r, struct ar_tile t, enum wi_map_id id, uint32_t index,
                 uint32_t word) {
    uint32_t value = 0;
    assert_true(wi_array_read(r->array, address_of(t, id, index, word), &value));
    return value;
}

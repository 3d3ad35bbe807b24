/* The address map against addresses of images that run on the chip (mlir-aie's, decoded), and
 * itself: no two registers at one offset. */
#include "unit/suite.h"

#include <string.h>

#include "npu/isa/map.h"
#include "npu/isa/switch.h"

static void addresses_of_running_images(void **state) {
    (void)state;
    static const struct {
        enum wi_tile_kind kind;
        uint32_t offset;
        const char *text;
    } cases[] = {
        {WI_TILE_CORE, 0x32000, "core control"},
        {WI_TILE_CORE, 0x1d000, "bd0.0"},
        {WI_TILE_CORE, 0x1d0a4, "bd5.1"},
        {WI_TILE_CORE, 0x1de04, "s2mm0 queue"},
        {WI_TILE_CORE, 0x1de0c, "s2mm1 queue"},
        {WI_TILE_CORE, 0x1de10, "mm2s0 control"},
        {WI_TILE_CORE, 0x1f0f0, "lock15"},
        {WI_TILE_CORE, 0x3f004, "master 1"},
        {WI_TILE_CORE, 0x3f118, "slave 6"},
        {WI_TILE_CORE, 0x20010, "program memory + 0x10"},
        {WI_TILE_CORE, 0x0a400, "data memory + 0xa400"},
        {WI_TILE_MEM, 0xa0300, "bd24.0"},
        {WI_TILE_MEM, 0xc03f0, "lock63"},
        {WI_TILE_MEM, 0xa065c, "mm2s5 queue"},
        {WI_TILE_MEM, 0xb0030, "master 12"},
        {WI_TILE_SHIM, 0x1d024, "bd1.1"},
        {WI_TILE_SHIM, 0x1d214, "mm2s0 queue"},
        {WI_TILE_SHIM, 0x1d204, "s2mm0 queue"},
        {WI_TILE_SHIM, 0x1f000, "mux"},
        {WI_TILE_SHIM, 0x3f200, "slave 0 slots.0"},
        {WI_TILE_SHIM, 0x00000, "0x00000"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[64];
        wi_map_print(cases[i].kind, cases[i].offset, text, sizeof text);
        assert_string_equal(text, cases[i].text);
    }
}

static void offsets_come_back(void **state) {
    (void)state;
    for (int kind = WI_TILE_SHIM; kind <= WI_TILE_CORE; kind++)
        for (uint32_t offset = 0; offset < WI_TILE_BYTES; offset += 4) {
            struct wi_map_reg r = wi_map_find(kind, offset);
            if (r.id != WI_MAP_NONE)
                assert_int_equal(wi_map_offset(kind, r.id, r.index, r.word), offset);
        }
}

static const struct {
    enum wi_tile_kind kind;
    uint32_t offset, count, stride, words;
} rows[] = {
#define REG(kind, name, offset, count, stride, words, text)                                        \
    {WI_TILE_##kind, offset, count, stride, words},
#include "npu/isa/aie2_map.def"
};

static void registers_do_not_overlap(void **state) {
    (void)state;
    static uint8_t taken[3][WI_TILE_BYTES / 4];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (uint32_t n = 0; n < rows[i].count; n++)
            for (uint32_t w = 0; w < rows[i].words; w++)
                assert_int_equal(
                    taken[rows[i].kind][(rows[i].offset + n * rows[i].stride) / 4 + w]++, 0);
}

/* Connections of a running design: the index of each port is in its registers' addresses. */
static void ports_of_running_images(void **state) {
    (void)state;
    static const struct {
        enum wi_tile_kind tile;
        enum wi_switch_side side;
        uint32_t offset;
        const char *name;
    } cases[] = {
        {WI_TILE_SHIM, WI_SWITCH_MASTER, 0x3f034, "north1"},
        {WI_TILE_SHIM, WI_SWITCH_SLAVE, 0x3f114, "south3"},
        {WI_TILE_SHIM, WI_SWITCH_MASTER, 0x3f010, "south2"},
        {WI_TILE_SHIM, WI_SWITCH_SLAVE, 0x3f138, "north0"},
        {WI_TILE_SHIM, WI_SWITCH_MASTER, 0x3f008, "south0"},
        {WI_TILE_SHIM, WI_SWITCH_SLAVE, 0x3f100, "ctrl0"},
        {WI_TILE_MEM, WI_SWITCH_MASTER, 0xb0030, "north1"},
        {WI_TILE_MEM, WI_SWITCH_SLAVE, 0xb0120, "south1"},
        {WI_TILE_MEM, WI_SWITCH_MASTER, 0xb001c, "south0"},
        {WI_TILE_MEM, WI_SWITCH_SLAVE, 0xb0134, "north0"},
        {WI_TILE_CORE, WI_SWITCH_MASTER, 0x3f004, "dma0"},
        {WI_TILE_CORE, WI_SWITCH_SLAVE, 0x3f118, "south1"},
        {WI_TILE_CORE, WI_SWITCH_MASTER, 0x3f014, "south0"},
        {WI_TILE_CORE, WI_SWITCH_SLAVE, 0x3f104, "dma0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct wi_map_reg reg = wi_map_find(cases[i].tile, cases[i].offset);
        char name[16];
        assert_int_equal(reg.id, cases[i].side == WI_SWITCH_MASTER ? WI_MAP_MASTER : WI_MAP_SLAVE);
        wi_switch_port_print(wi_switch_port(cases[i].tile, cases[i].side, (int)reg.index), name,
                             sizeof name);
        assert_string_equal(name, cases[i].name);
    }
}

/* As many as there are registers, and each found again. */
static void ports_come_back(void **state) {
    (void)state;
    static const int counts[3][2] = {
        [WI_TILE_CORE] = {25, 23}, [WI_TILE_MEM] = {18, 17}, [WI_TILE_SHIM] = {23, 22}};
    for (int tile = 0; tile < 3; tile++)
        for (int side = 0; side < 2; side++) {
            int n = 0;
            for (struct wi_switch_port p;
                 (p = wi_switch_port(tile, side, n)).kind != WI_SWITCH_NONE; n++)
                assert_int_equal(wi_switch_port_index(tile, side, p.kind, p.number), n);
            assert_int_equal(n, counts[tile][side]);
        }
    assert_int_equal(wi_switch_port_index(WI_TILE_MEM, WI_SWITCH_MASTER, WI_SWITCH_EAST, 0), -1);
    assert_int_equal(wi_switch_port_index(WI_TILE_MEM, WI_SWITCH_MASTER, WI_SWITCH_SOUTH, 4), -1);
}

WISP_SUITE(cmocka_unit_test(ports_of_running_images), cmocka_unit_test(ports_come_back),
           cmocka_unit_test(addresses_of_running_images), cmocka_unit_test(offsets_come_back),
           cmocka_unit_test(registers_do_not_overlap))

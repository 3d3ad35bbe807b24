/* DMA descriptors against those of a running design (mlir-aie's matmul, whose source says what they
 * are), and random ones there and back. */
#include "unit/suite.h"

#include <stdlib.h>
#include <string.h>

#include "npu/isa/bd.h"

static void descriptors_of_a_running_design(void **state) {
    (void)state;
    static const struct {
        enum wi_tile_kind kind;
        uint32_t words[8];
        const char *text;
    } cases[] = {
        {WI_TILE_CORE,
         {0x08400800, 0, 0, 0, 0, 0x0e043fe0},
         "2048 words at 0x8400, acquire lock0 >= 1, release lock1 +1, then bd1"},
        {WI_TILE_CORE,
         {0x0a400800, 0, 0, 0, 0, 0x06043fe0},
         "2048 words at 0xa400, acquire lock0 >= 1, release lock1 +1, then bd0"},
        {WI_TILE_CORE,
         {0x02400800, 0, 0, 0, 0, 0x26049fe5},
         "2048 words at 0x2400, acquire lock5 >= 1, release lock4 +1, then bd4"},
        {WI_TILE_SHIM,
         {0x800, 0, 0, 0, 0x80000000, 0x02000000, 0, 0x02000000},
         "2048 words at 0x0, burst 256"},
        {WI_TILE_MEM, {0x800, 0x20000, 0, 0, 0, 0, 0, 0x80000000}, "2048 words at 0x80000"},
        /* 4 rows of 16 words, 64 words apart */
        {WI_TILE_MEM,
         {64, 0x20100, 16 << 17, 63, 0, 0, 0, 0x80000000},
         "64 words at 0x80400, dims *x64 16x1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct wi_bd bd;
        char text[256];
        assert_true(wi_bd_unpack(cases[i].kind, cases[i].words, &bd));
        wi_bd_print(cases[i].kind, &bd, text, sizeof text);
        assert_string_equal(text, cases[i].text);
    }
}

static void random_words_come_back(void **state) {
    (void)state;
    srand(7);
    for (int round = 0; round < 30000; round++) {
        enum wi_tile_kind kind = (enum wi_tile_kind)(round % 3);
        uint32_t words[WI_BD_MAX_WORDS] = {0}, back[WI_BD_MAX_WORDS], known[WI_BD_MAX_WORDS] = {0};
        struct wi_bd bd, all;
        enum wi_bd_field field;
        for (int i = 0; i < wi_bd_words(kind); i++)
            words[i] = (uint32_t)rand() << 16 ^ (uint32_t)rand();
        bool complete = wi_bd_unpack(kind, words, &bd);
        assert_true(wi_bd_pack(kind, &bd, back, &field));
        /* the bits that no field has are those that packing all ones leaves out */
        memset(known, 0xff, (size_t)wi_bd_words(kind) * 4);
        wi_bd_unpack(kind, known, &all);
        assert_true(wi_bd_pack(kind, &all, known, &field));
        bool stray = false;
        for (int i = 0; i < WI_BD_MAX_WORDS; i++) {
            assert_int_equal(back[i], words[i] & known[i]);
            stray |= (words[i] & ~known[i]) != 0;
        }
        assert_int_equal(complete, !stray);
    }
}

static void values_that_do_not_fit_are_refused(void **state) {
    (void)state;
    uint32_t words[WI_BD_MAX_WORDS];
    enum wi_bd_field field;
    static const struct {
        enum wi_tile_kind kind;
        enum wi_bd_field field;
        int64_t fits, not ;
    } cases[] = {
        {WI_TILE_CORE, WI_BD_LENGTH, 16383, 16384},
        {WI_TILE_MEM, WI_BD_LENGTH, 131071, 131072},
        {WI_TILE_SHIM, WI_BD_LENGTH, 0xffffffff, 0x100000000},
        {WI_TILE_SHIM, WI_BD_BASE, 0x3fffffffffff, 0x400000000000},
        {WI_TILE_CORE, WI_BD_ACQ_VALUE, -64, -65},
        {WI_TILE_MEM, WI_BD_REL_VALUE, 63, 64},
        {WI_TILE_CORE, WI_BD_WRAP0, 255, 256},
        {WI_TILE_CORE, WI_BD_NEXT, 15, -1},
        {WI_TILE_CORE, WI_BD_WRAP2, 0, 1},
        {WI_TILE_SHIM, WI_BD_COMPRESS, 0, 1},
        {WI_TILE_MEM, WI_BD_NEXT, 47, 64},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct wi_bd bd = {{0}};
        bd.v[cases[i].field] = cases[i].fits;
        assert_true(wi_bd_pack(cases[i].kind, &bd, words, &field));
        bd.v[cases[i].field] = cases[i].not ;
        assert_false(wi_bd_pack(cases[i].kind, &bd, words, &field));
        assert_int_equal(field, cases[i].field);
        assert_non_null(wi_bd_field_name(field));
    }
}

WISP_SUITE(cmocka_unit_test(descriptors_of_a_running_design),
           cmocka_unit_test(random_words_come_back),
           cmocka_unit_test(values_that_do_not_fit_are_refused))

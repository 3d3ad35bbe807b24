/* Copies, changes of layout, transposes and conversions: the scheduled programs, the same one
 * operation at a time, and what they mean, element by element. */
#include "unit/suite.h"

#include <string.h>

#include "krig.h"
#include "npu/kernels/convert.h"
#include "npu/kernels/tiles.h"

enum { IN = 0, OUT = 0x4000, PARAMS = 0xc000, BLOCK = 128, BANKS = 2, BANK = 0x4000 };

static struct wi_code tiles[2][BANKS], convert[2][2]; /* [how][..] */
static struct krig rig;
static uint8_t before[WI_EMU_WINDOW_BYTES], want[WI_EMU_WINDOW_BYTES];

static void emit_apart(struct wi_build *b) {
    wi_tiles_emit(b, WI_TILES_APART);
}
static void emit_in_place(struct wi_build *b) {
    wi_tiles_emit(b, WI_TILES_IN_PLACE);
}

static int setup(void **state) {
    (void)state;
    for (int how = 0; how < 2; how++) {
        enum wi_schedule h = how ? WI_SERIAL : WI_PIPELINED;
        krig_build(&tiles[how][WI_TILES_APART], emit_apart, h);
        krig_build(&tiles[how][WI_TILES_IN_PLACE], emit_in_place, h);
        krig_build(&convert[how][0], wi_convert_to_f32_emit, h);
        krig_build(&convert[how][1], wi_convert_to_bf16_emit, h);
    }
    krig_init(&rig);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        wi_code_fini(&tiles[i / 2][i % 2]);
        wi_code_fini(&convert[i / 2][i % 2]);
    }
    krig_fini(&rig);
    return 0;
}

/* ---------------------------------------------------------------- what is meant */

/* Where element (row, column) of tile t lies: bytes from the start of a block. */
static int c4(int t, int row, int column) {
    return 32 * t + 8 * row + 2 * column;
}
static int a8(int t, int row, int column) {
    return 64 * t + 16 * row + 2 * column;
}
static int b8(int t, int row, int column) {
    return 64 * t + 8 * row + 2 * column;
}

/* The byte of an input block that becomes byte `to` of the output block. */
static int source(enum wi_tiles_kind kind, int to) {
    int tile = to / 64, element = to % 64 / 2, half = to % 2;
    int row8 = element / 8, column8 = element % 8, row4 = element / 4, column4 = element % 4;
    switch (kind) {
    case WI_TILES_COPY: return to;
    case WI_TILES_C4_TO_A8: return c4(2 * tile + column8 / 4, row8, column8 % 4) + half;
    case WI_TILES_A8_TO_C4: return a8(tile, row4 % 4, row4 / 4 * 4 + column4) + half;
    case WI_TILES_TRANSPOSE_A8: return a8(tile, column4, row4) + half;
    case WI_TILES_TRANSPOSE_B8: return b8(tile, column8, row8) + half;
    case WI_TILES_TRANSPOSE_C4: return c4(to / 32, column4, row4 % 4) + half;
    case WI_TILES_TRANSPOSE_F4: return 64 * tile + to % 16 / 4 * 16 + to % 64 / 16 * 4 + to % 4;
    case WI_TILES_ROWS_TO_A8: return row8 * 32 + tile * 16 + column8 * 2 + half;
    default: /* A8_TO_ROWS */ return a8(to % 32 / 16, to / 32, to % 16 / 2) + half;
    }
}

/* Bytes from the start of a side to byte `at` of block i. */
static int place(const struct wi_tiles_side *s, bool rows, int i, int at) {
    int block = i / s->blocks * s->next + i % s->blocks * s->step;
    return block + (rows ? at / 32 * s->apart + at % 32 : at / 64 * s->apart + at % 64);
}

static struct wi_emu_counters run(const struct wi_tiles_params *p, int how,
                                  enum wi_tiles_banks banks) {
    memcpy(rig.memory, before, sizeof before);
    memcpy(rig.memory + PARAMS, p, sizeof *p);
    return krig_run(&rig, &tiles[how][banks], KRIG_MEMORY + PARAMS);
}

static struct wi_emu_counters all_agree(enum wi_tiles_kind kind, int n,
                                        const struct wi_tiles_side *in,
                                        const struct wi_tiles_side *out,
                                        enum wi_tiles_banks banks) {
    struct wi_tiles_params p;
    struct wi_emu_counters c = {0};
    uint64_t seed = 7 + (uint64_t)kind;
    assert_true(wi_tiles_params(&p, kind, n, in, out));
    for (size_t i = 0; i < sizeof before; i++)
        before[i] = (uint8_t)krig_random(&seed);
    memcpy(want, before, sizeof want);
    memcpy(want + PARAMS, &p, sizeof p);
    for (int i = 0; i < n; i++)
        for (int at = 0; at < BLOCK; at++)
            want[(out->at & 0xffff) + place(out, kind == WI_TILES_A8_TO_ROWS, i, at)] =
                before[(in->at & 0xffff) +
                       place(in, kind == WI_TILES_ROWS_TO_A8, i, source(kind, at))];
    for (int how = 1; how >= 0; how--) {
        c = run(&p, how, banks);
        assert_memory_equal(rig.memory, want, sizeof want);
    }
    return c;
}

/* ---------------------------------------------------------------- tests */

static void kinds_and_shapes(void **state) {
    (void)state;
    static const int shapes[][3] = {{8, 8, 0}, {10, 1, 256}, {24, 8, 1536}, {100, 100, 0}};
    for (int kind = 0; kind < WI_TILES_KINDS; kind++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            int per = shapes[i][1], next = shapes[i][2];
            struct wi_tiles_side in = {KRIG_MEMORY + IN, per, 128, next, 64}, out = in;
            out.at = KRIG_MEMORY + OUT;
            if (kind == WI_TILES_ROWS_TO_A8 || kind == WI_TILES_A8_TO_ROWS) {
                struct wi_tiles_side *rows = kind == WI_TILES_ROWS_TO_A8 ? &in : &out;
                *rows = (struct wi_tiles_side){rows->at, per, 32, 4 * 32 * per, 32 * per};
            }
            all_agree((enum wi_tiles_kind)kind, shapes[i][0], &in, &out, WI_TILES_APART);
        }
}

/* Q of an attention pass: a tile in each of two banks at a time, panels of 3072 bytes. */
static void in_place(void **state) {
    (void)state;
    const struct wi_tiles_side q = {KRIG_MEMORY, 48, 64, 4096, BANK};
    struct wi_emu_counters c = all_agree(WI_TILES_TRANSPOSE_A8, 4 * 48, &q, &q, WI_TILES_IN_PLACE);
    print_message("384 tiles of Q in place: %lu cycles, %lu stalled\n", (unsigned long)c.cycles,
                  (unsigned long)c.stalls[WI_EMU_STALL_MEMORY]);
    assert_true(c.cycles <= 850);
    for (int kind = 0; kind < WI_TILES_ROWS_TO_A8; kind++) {
        const struct wi_tiles_side panels = {KRIG_MEMORY, 24, 128, 4096, 64};
        all_agree((enum wi_tiles_kind)kind, 4 * 24, &panels, &panels, WI_TILES_APART);
    }
}

static void bad_shapes_are_refused(void **state) {
    (void)state;
    struct wi_tiles_params p;
    const struct wi_tiles_side good = {KRIG_MEMORY, 8, 128, 1024, 64};
    const struct wi_tiles_side bad[] = {{KRIG_MEMORY + 16, 8, 128, 1024, 64},
                                        {KRIG_MEMORY, 0, 128, 1024, 64},
                                        {KRIG_MEMORY, 8, 120, 1024, 64},
                                        {KRIG_MEMORY, 8, 128, 1000, 64},
                                        {KRIG_MEMORY, 8, 128, 1024, 60}};
    assert_true(wi_tiles_params(&p, WI_TILES_COPY, 8, &good, &good));
    assert_false(wi_tiles_params(&p, WI_TILES_COPY, 6, &good, &good));
    assert_false(wi_tiles_params(&p, WI_TILES_COPY, 9, &good, &good));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(wi_tiles_params(&p, WI_TILES_COPY, 8, &bad[i], &good));
        assert_false(wi_tiles_params(&p, WI_TILES_COPY, 8, &good, &bad[i]));
    }
}

static struct wi_emu_counters run_convert(int how, bool narrows, int n) {
    const struct wi_convert_params p = {KRIG_MEMORY + IN, KRIG_MEMORY + OUT,
                                        (uint32_t)n / WI_CONVERT_STEP};
    memcpy(rig.memory, before, sizeof before);
    memcpy(rig.memory + PARAMS, &p, sizeof p);
    return krig_run(&rig, &convert[how][narrows], KRIG_MEMORY + PARAMS);
}

static void want_converted(bool narrows, int n) {
    for (int i = 0; i < n; i++) {
        uint16_t narrow;
        float wide;
        if (narrows) {
            memcpy(&wide, before + IN + 4 * i, 4);
            narrow = krig_bf16(wide);
            memcpy(want + OUT + 2 * i, &narrow, 2);
        } else {
            memcpy(&narrow, before + IN + 2 * i, 2);
            wide = krig_f32(narrow);
            memcpy(want + OUT + 4 * i, &wide, 4);
        }
    }
}

/* Finite values, subnormal ones included. */
static void conversions(void **state) {
    (void)state;
    static const int sizes[] = {256, 288, 1024, 4096};
    uint64_t seed = 11;
    for (size_t i = 0; i < sizeof before; i += 2) {
        uint16_t v = (uint16_t)krig_random(&seed);
        v = (v & 0x7f80) == 0x7f80 ? v & 0x80ff : v;
        memcpy(before + i, &v, 2);
    }
    for (int narrows = 0; narrows < 2; narrows++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            for (int how = 0; how < 2; how++) {
                run_convert(how, narrows, sizes[i]);
                memcpy(want, rig.memory, OUT);
                memcpy(want + OUT, before + OUT, sizeof want - OUT);
                memcpy(want + PARAMS, rig.memory + PARAMS, sizeof(struct wi_convert_params));
                want_converted(narrows, sizes[i]);
                assert_memory_equal(rig.memory, want, sizeof want);
            }
}

/* Every finite bf16 and infinity, widened; and where fp32 is rounded, every point in the middle
 * between two of them, and its neighbours. */
static void every_bf16(void **state) {
    (void)state;
    enum { N = 4096 };
    for (int first = 0; first < 65536; first += N)
        for (int bits = 0x7fff; bits <= 0x8001; bits++)
            for (int narrows = 0; narrows < 2; narrows++) {
                for (uint32_t i = 0; i < N; i++) {
                    uint16_t v = (uint16_t)((uint32_t)first + i);
                    v = (v & 0x7f80) == 0x7f80 ? v & 0xff80 : v;
                    uint32_t wide =
                        (uint32_t)v << 16 | ((v & 0x7f80) == 0x7f80 ? 0 : (uint32_t)bits);
                    if (narrows)
                        memcpy(before + IN + 4 * i, &wide, 4);
                    else
                        memcpy(before + IN + 2 * i, &v, 2);
                }
                run_convert(0, narrows, N);
                memcpy(want + OUT, before + OUT, sizeof want - OUT);
                want_converted(narrows, N);
                assert_memory_equal(rig.memory + OUT, want + OUT, narrows ? 2 * N : 4 * N);
            }
}

/* Budgets: what was reached is not lost. */
static void budgets(void **state) {
    (void)state;
    const struct wi_tiles_side in = {KRIG_MEMORY + IN, 64, 128, 8192, 64};
    const struct wi_tiles_side out = {KRIG_MEMORY + OUT, 64, 128, 8192, 64};
    struct wi_emu_counters c = all_agree(WI_TILES_COPY, 64, &in, &out, WI_TILES_APART);
    print_message("copy of 8 KB: %lu cycles, %zu bytes\n", (unsigned long)c.cycles,
                  tiles[0][0].bytes.len);
    assert_true(c.cycles <= 310);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tiles[0][i].loops[0].cycles, 8);
        assert_int_equal(tiles[0][i].loops[0].bound, 8);
        assert_true(tiles[0][i].loops[0].min_steps * 2 <= WI_TILES_MIN);
        assert_true(tiles[0][i].bytes.len <= 700);
        c = run_convert(0, i, 4096);
        print_message("%s, 4096 values: %lu cycles, %zu bytes\n", i ? "to bf16" : "to fp32",
                      (unsigned long)c.cycles, convert[0][i].bytes.len);
        assert_int_equal(convert[0][i].loops[0].cycles, 4);
        assert_true(convert[0][i].loops[0].min_steps * WI_CONVERT_STEP <= WI_CONVERT_MIN);
        assert_true(c.cycles <= 560);
        assert_true(convert[0][i].bytes.len <= 500);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(kinds_and_shapes),
                                       cmocka_unit_test(in_place),
                                       cmocka_unit_test(bad_shapes_are_refused),
                                       cmocka_unit_test(conversions),
                                       cmocka_unit_test(every_bf16),
                                       cmocka_unit_test(budgets)};
    return cmocka_run_group_tests(tests, setup, teardown);
}

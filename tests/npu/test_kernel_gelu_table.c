/* GELU by table: the scheduled program, the same one operation at a time, plain C with the chip's
 * arithmetic, and erfc in f64. */
#include "unit/suite.h"

#include <math.h>
#include <string.h>

#include "kdata.h"
#include "krig.h"
#include "npu/kernels/gelu_table.h"

enum { ROWS = 16, ROW = 512, MAX = ROWS * ROW };
enum { X = 0, TABLE_0 = 0x8000, TABLE_1 = 0xc000, PARAMS = 0xb000 };

static struct wi_code code[2];
static struct krig rig;

static int setup(void **state) {
    (void)state;
    krig_open(&rig, code, wi_gelu_table_emit);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    krig_close(&rig, code);
    return 0;
}

static uint16_t host_gelu(uint16_t x) {
    static uint16_t table[WI_GELU_TABLE / 2];
    if (!table[0])
        wi_gelu_table(table);
    return krig_gelu_table(x, table);
}

struct problem {
    int panels, panel, pitch; /* bytes */
    uint16_t x[MAX], y[MAX];
};

static void copy_panels(struct problem *p, bool in) {
    for (int i = 0; i < p->panels; i++) {
        uint8_t *chip = rig.memory + X + i * p->pitch;
        if (in)
            memcpy(chip, p->x + i * p->panel / 2, (size_t)p->panel);
        else
            memcpy(p->y + i * p->panel / 2, chip, (size_t)p->panel);
    }
}

static struct wi_emu_counters run(struct problem *p, int how) {
    const uint32_t tables[] = {KRIG_MEMORY + TABLE_0, KRIG_MEMORY + TABLE_1};
    struct wi_gelu_table_params params;
    assert_true(
        wi_gelu_table_params(&params, p->panels, p->panel, p->pitch, KRIG_MEMORY + X, tables));
    wi_emu_poison(rig.memory, sizeof rig.memory);
    wi_gelu_table((uint16_t *)(void *)(rig.memory + TABLE_0));
    wi_gelu_table((uint16_t *)(void *)(rig.memory + TABLE_1));
    memcpy(rig.memory + PARAMS, &params, sizeof params);
    copy_panels(p, true);
    struct wi_emu_counters c = krig_run(&rig, &code[how], KRIG_MEMORY + PARAMS);
    copy_panels(p, false);
    return c;
}

/* Memory after both programs is the same, and y is the host's, bit for bit. */
static void all_agree(struct problem *p) {
    static uint8_t memory[WI_EMU_WINDOW_BYTES];
    run(p, 0);
    for (int i = 0; i < p->panels * p->panel / 2; i++)
        if (p->y[i] != host_gelu(p->x[i]))
            fail_msg("gelu(0x%04x) is 0x%04x, not 0x%04x", p->x[i], p->y[i], host_gelu(p->x[i]));
    memcpy(memory, rig.memory, sizeof memory);
    run(p, 1);
    assert_memory_equal(memory, rig.memory, sizeof memory);
}

static void shapes(void **state) {
    (void)state;
    static struct problem p;
    static const int shapes[][3] = {{1, 320, 320},   {5, 64, 64},      {5, 64, 128},
                                    {1, 384, 384},   {2, 192, 4096},   {4, 3072, 4096},
                                    {5, 3072, 4096}, {1, 16384, 16384}};
    uint64_t seed = 5;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        p.panels = shapes[i][0];
        p.panel = shapes[i][1];
        p.pitch = shapes[i][2];
        kdata_row(p.x, MAX, KDATA_SKEWED, &seed);
        all_agree(&p);
    }
}

static void every_finite_bf16(void **state) {
    (void)state;
    static struct problem p = {.panels = 1, .panel = 2 * MAX, .pitch = 2 * MAX};
    for (int first = 0; first < 65536; first += MAX) {
        for (int i = 0; i < MAX; i++)
            p.x[i] = (uint16_t)(((first + i) & 0x7f80) == 0x7f80 ? 0 : first + i);
        all_agree(&p);
    }
}

static void bad_shapes_are_refused(void **state) {
    (void)state;
    const uint32_t good[] = {0x70000, 0x74000}, odd[] = {16, 0}, apart[] = {0x70000, 0x80000};
    struct wi_gelu_table_params p;
    assert_true(wi_gelu_table_params(&p, 1, 320, 320, 0, good));
    assert_false(wi_gelu_table_params(&p, 0, 320, 320, 0, good));
    assert_false(wi_gelu_table_params(&p, 1, 256, 256, 0, good));
    assert_false(wi_gelu_table_params(&p, 1, 352, 384, 0, good));
    assert_false(wi_gelu_table_params(&p, 2, 320, 256, 0, good));
    assert_false(wi_gelu_table_params(&p, 2, 320, 352, 0, good));
    assert_false(wi_gelu_table_params(&p, 1, 320, 320, 0, odd));
    assert_false(wi_gelu_table_params(&p, 1, 320, 320, 0, apart));
}

/* ---------------------------------------------------------------- accuracy */

static double gelu(double x) {
    return x / 2 * erfc(-x / sqrt(2));
}

static void accuracy(void **state) {
    (void)state;
    static struct problem p = {.panels = 1, .panel = 2 * MAX, .pitch = 2 * MAX};
    static double y[MAX];
    for (int kind = 0; kind < KDATA_KINDS; kind++) {
        uint64_t seed = 99 + (uint64_t)kind;
        for (int r = 0; r < ROWS; r++)
            kdata_row(p.x + r * ROW, ROW, (enum kdata_kind)kind, &seed);
        run(&p, 0);
        for (int i = 0; i < MAX; i++)
            y[i] = gelu(krig_f32(p.x[i]));
        struct kdata_error e = kdata_measure(p.y, y, ROWS, ROW);
        print_message("gelu by table, %s: median %.3f, worst %.2f ulp, 1 - correlation %.1e\n",
                      kdata_name((enum kdata_kind)kind), e.median, e.worst, 1 - e.correlation);
        assert_true(e.median < 0.26);
        assert_true(e.worst < 1.4);
        assert_true(e.correlation > 0.999998);
    }
}

/* In ulp of the result itself, and absolutely. */
static void by_range(void **state) {
    (void)state;
    static const struct {
        double from, to, ulp, error;
    } ranges[] = {{-8, -4, 1e9, 1e-5},  {-4, -3, 4, 3e-5}, {-3, 0, 1.7, 1e-3},
                  {0, 1, 0.55, 2.1e-3}, {1, 8, 0.6, 0.02}, {8, 1e38, 0.01, 0}};
    for (size_t k = 0; k < sizeof ranges / sizeof *ranges; k++) {
        double worst = 0, most = 0;
        for (int v = 0; v < 65536; v++) {
            double x = krig_f32((uint16_t)v), y = gelu(x), error;
            if (!(x >= ranges[k].from && x < ranges[k].to) || fabs(x) < 1e-30)
                continue;
            error = fabs(krig_f32(host_gelu((uint16_t)v)) - y);
            most = fmax(most, x < 8 ? error : 0);
            worst = fmax(worst, error / exp2(floor(log2(fabs(y))) - 7));
        }
        print_message("gelu by table, [%g, %g): at most %.2f ulp, %.1e\n", ranges[k].from,
                      ranges[k].to, worst, most);
        assert_true(worst <= ranges[k].ulp);
        assert_true(most <= ranges[k].error);
    }
}

/* Budgets: what was reached is not lost. */
static void budgets(void **state) {
    (void)state;
    static struct problem p = {.panels = 1, .panel = 2 * MAX, .pitch = 2 * MAX};
    uint64_t seed = 3;
    kdata_row(p.x, MAX, KDATA_NORMAL, &seed);
    struct wi_emu_counters c = run(&p, 0);
    print_message("gelu by table: %.3f cycles an element, %lu stalled, %zu bytes\n",
                  (double)c.cycles / MAX, (unsigned long)c.stalls[WI_EMU_STALL_MEMORY],
                  code[0].bytes.len);
    assert_int_equal(code[0].loops[0].cycles, 14);
    assert_int_equal(code[0].loops[0].bound, 14);
    assert_true(code[0].loops[0].min_steps * 32 <= WI_GELU_TABLE_MIN);
    assert_int_equal(c.stalls[WI_EMU_STALL_MEMORY], 0);
    assert_true((double)c.cycles / MAX <= 0.446);
    assert_true(code[0].bytes.len <= 700);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes),   cmocka_unit_test(every_finite_bf16),
        cmocka_unit_test(accuracy), cmocka_unit_test(bad_shapes_are_refused),
        cmocka_unit_test(by_range), cmocka_unit_test(budgets)};
    return cmocka_run_group_tests(tests, setup, teardown);
}

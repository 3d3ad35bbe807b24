/* Softmax: the scheduled program, the same one operation at a time, plain C with the chip's
 * arithmetic, and exp in f64. */
#include "unit/suite.h"

#include <math.h>
#include <string.h>

#include "kdata.h"
#include "krig.h"
#include "npu/kernels/softmax.h"

enum { ROWS = WI_SOFTMAX_ROWS, MOST_ROWS = 48, LONGEST = WI_SOFTMAX_LONGEST };
enum { HIGH = 0x8000, GAP = 0x6000, PARAMS = 0xff00 };

static struct wi_code code[2];
static struct krig rig;
static uint16_t input[MOST_ROWS][LONGEST], want[MOST_ROWS][LONGEST];

static int setup(void **state) {
    (void)state;
    krig_open(&rig, code, wi_softmax_emit);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    krig_close(&rig, code);
    return 0;
}

/* ---------------------------------------------------------------- plain C */

static uint16_t minus(uint16_t v) {
    return v ^ 0x8000;
}

/* v as two bf16; the first is cut off or rounded. */
static void split(uint16_t part[2], double v, bool cut) {
    part[0] = cut ? (uint16_t)(krig_bits((float)v) >> 16) : krig_bf16((float)v);
    double rest = v - krig_f32(part[0]);
    part[1] = cut ? (uint16_t)(krig_bits((float)rest) >> 16) : krig_bf16((float)rest);
}

/* 3.03 x 2^(n + f), 0 below the reach. */
static float host_power(uint16_t x, const uint16_t scale[2], float c, float limit) {
    uint32_t bits = krig_bits(krig_mac2(c, x, x, scale[0], scale[1]));
    uint16_t g = krig_f32(x) < limit ? 0 : (uint16_t)((bits + 31 + (bits >> 6 & 1)) >> 6);
    uint16_t whole = g & 0xff80, h = (g & 0x7f) | 0x3f80, c2 = 0x4002;
    return krig_mac(krig_mac(0, 1, &g, &h), 1, &whole, &c2);
}

/* y + y (1 - v y) */
static float newton(const uint16_t v[2], uint16_t y) {
    uint16_t rest = krig_bf16(krig_mac2(1, minus(v[0]), minus(v[1]), y, y)), half = y - 0x80;
    return krig_mac2(krig_f32(y), rest, rest, half, half);
}

static void host_factor(uint16_t factor[2], float sum) {
    uint16_t v[2], y = (uint16_t)(0x7ef3 - krig_bf16(sum));
    split(v, sum, false);
    y = krig_bf16(newton(v, y));
    y = krig_bf16(newton(v, y));
    split(factor, newton(v, y), false);
}

/* The least bf16 not below v. */
static float round_up(float v) {
    uint16_t cut = (uint16_t)(krig_bits(v) >> 16);
    return krig_f32(cut) < v ? krig_f32(v > 0 ? cut + 1 : cut) : krig_f32(cut);
}

static void host_row(uint16_t *y, const uint16_t *x, const struct wi_softmax_shape *s) {
    const double octaves = s->scale * 1.4426950408889634;
    float lane[16] = {0}, power[LONGEST];
    uint16_t scale[2], factor[2], most = x[0];
    const uint16_t half = 0x3f00;
    for (int i = 1; i < s->valid; i++)
        most = krig_f32(x[i]) > krig_f32(most) ? x[i] : most;
    split(scale, octaves, true);
    float c = krig_mac2(1663, minus(most), minus(most), scale[0], scale[1]);
    float limit = round_up(krig_mac2((float)(-126 / octaves), most, most, half, half));
    for (int i = 0; i < s->valid; i++) {
        power[i] = host_power(x[i], scale, c, limit);
        lane[i % 16] = krig_add(lane[i % 16], power[i]);
    }
    for (int n = 8; n > 0; n /= 2)
        for (int i = 0; i < n; i++)
            lane[i] = krig_add(lane[2 * i], lane[2 * i + 1]);
    host_factor(factor, lane[0]);
    for (int i = 0; i < s->length; i++) {
        uint16_t p = i < s->valid ? krig_bf16(power[i]) : 0;
        y[i] = krig_bf16(krig_mac2(0, p, p, factor[0], factor[1]));
    }
}

/* ---------------------------------------------------------------- runs */

static uint8_t *row_at(int row, const struct wi_softmax_shape *s) {
    int half = wi_softmax_rows(s->rows) / 2;
    return rig.memory + row / half * HIGH + row % half * s->pitch;
}

static struct wi_emu_counters run(int how, const struct wi_softmax_shape *s) {
    static const uint32_t x[2] = {KRIG_MEMORY, KRIG_MEMORY + HIGH};
    static const uint32_t state[2] = {KRIG_MEMORY + GAP, KRIG_MEMORY + HIGH + GAP};
    struct wi_softmax_params params;
    assert_true(wi_softmax_params(&params, s, x, state));
    wi_emu_poison(rig.memory, sizeof rig.memory);
    for (int row = 0; row < s->rows; row++)
        memcpy(row_at(row, s), input[row], 2 * (size_t)s->length);
    memcpy(rig.memory + PARAMS, &params, sizeof params);
    return krig_run(&rig, &code[how], KRIG_MEMORY + PARAMS);
}

static void rows_are_the_hosts(const struct wi_softmax_shape *s) {
    for (int row = 0; row < s->rows; row++) {
        uint16_t got;
        host_row(want[row], input[row], s);
        for (int i = 0; i < s->length; i++) {
            memcpy(&got, row_at(row, s) + 2 * i, 2);
            if (got != want[row][i])
                fail_msg("%d of %d, scale %g: row %d, %d is 0x%04x, not 0x%04x", s->valid,
                         s->length, s->scale, row, i, got, want[row][i]);
        }
    }
}

/* Both programs; what lies between rows stays. */
static void check(const struct wi_softmax_shape *s) {
    static uint8_t first[sizeof rig.memory], poison[LONGEST];
    int room = wi_softmax_room(s->length), rows = wi_softmax_rows(s->rows);
    int state_end = GAP + rows / 2 * WI_SOFTMAX_STATE;
    for (int how = 0; how < 2; how++) {
        run(how, s);
        rows_are_the_hosts(s);
        if (how == 0)
            memcpy(first, rig.memory, sizeof first);
    }
    assert_memory_equal(rig.memory, first, sizeof first);
    wi_emu_poison(rig.memory, sizeof rig.memory);
    memcpy(poison, rig.memory, sizeof poison);
    for (int row = 0; row < rows; row++) {
        const uint8_t *gap = first + (row_at(row, s) - rig.memory) + room;
        for (int i = 0; i < s->pitch - room; i++)
            assert_int_equal(gap[i], row_at(row, s)[room + i]);
    }
    assert_memory_equal(first + state_end, rig.memory + state_end, (size_t)(HIGH - state_end));
}

static void fill(int length, enum kdata_kind kind, uint64_t seed) {
    for (int row = 0; row < MOST_ROWS; row++)
        kdata_row(input[row], length, kind, &seed);
}

/* ---------------------------------------------------------------- tests */

static struct wi_softmax_shape shape_of(int length, int valid, int gap, double scale) {
    return (struct wi_softmax_shape){ROWS, length, valid, wi_softmax_room(length) + gap, scale};
}

static void lengths(void **state) {
    (void)state;
    static const int edges[] = {1, 15, 16, 17, 31, 32, 33, 640, 704, 705, 1472, 1473, 1500, 1536};
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) {
        int n = edges[i], gap = n > 1472 ? 0 : i % 2 ? 32 : 64;
        const int valid[] = {
            n, 1, (n + 1) / 2, n > 1 ? n - 1 : 1, n > 32 ? 32 : 1, n > 33 ? 33 : 1};
        fill(n, KDATA_NORMAL, i + 1);
        for (size_t v = 0; v < sizeof valid / sizeof *valid; v++) {
            struct wi_softmax_shape s = shape_of(n, valid[v], gap, v % 2 ? 3.7 : 0.125);
            if (v == i % 2) {
                check(&s);
                continue;
            }
            run(0, &s);
            rows_are_the_hosts(&s);
        }
    }
}

/* Rows that were not asked for are others' poison. */
static void numbers_of_rows(void **state) {
    (void)state;
    static const int rows[] = {1, 2, 15, 16, 17, 18, 31, 32, 47, 48};
    fill(300, KDATA_NORMAL, 5);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct wi_softmax_shape s = shape_of(300, i % 2 ? 300 : 129, 0, 1);
        s.rows = rows[i];
        check(&s);
    }
}

static void every_valid_length(void **state) {
    (void)state;
    fill(97, KDATA_SKEWED, 3);
    for (int valid = 1; valid <= 97; valid++) {
        struct wi_softmax_shape s = shape_of(97, valid, 0, 1);
        run(0, &s);
        rows_are_the_hosts(&s);
    }
}

/* Every kind at scales that keep all, some and only the largest. */
static void scales(void **state) {
    (void)state;
    static const double scale[] = {0x1p-20, 0.125, 1, 40, 0x1p20};
    for (int kind = 0; kind < KDATA_KINDS; kind++)
        for (size_t i = 0; i < sizeof scale / sizeof *scale; i++) {
            struct wi_softmax_shape s = shape_of(100, 89, 0, scale[i]);
            if (kind == KDATA_EXTREME && scale[i] > 40)
                continue; /* |x| scale up to 2^42 */
            fill(100, (enum kdata_kind)kind, i + 7);
            check(&s);
        }
}

/* Numbers far from 0, whose neighbours lie up to more than the reach apart, so that the limit is
 * rounded in every way. */
static void far_from_zero(void **state) {
    (void)state;
    static const float from[] = {-0x1p24f, -70000, -300, 300, 70000, 0x1p24f};
    static const double scale[] = {1, 2.3, 5, 7.7};
    for (size_t k = 0; k < sizeof from / sizeof *from; k++)
        for (size_t j = 0; j < sizeof scale / sizeof *scale; j++) {
            struct wi_softmax_shape s = shape_of(200, 200, 0, scale[j]);
            for (int row = 0; row < ROWS; row++)
                for (int i = 0; i < 200; i++)
                    input[row][i] = (uint16_t)(krig_bf16(from[k]) + (i * 7 + row) % 90 - 45);
            check(&s);
        }
}

static void exact_row(double *y, const uint16_t *x, const struct wi_softmax_shape *s) {
    double most = krig_f32(x[0]), sum = 0;
    for (int i = 0; i < s->valid; i++)
        most = fmax(most, krig_f32(x[i]));
    for (int i = 0; i < s->length; i++)
        sum += y[i] = i < s->valid ? exp(s->scale * (krig_f32(x[i]) - most)) : 0;
    for (int i = 0; i < s->length; i++)
        y[i] /= sum;
}

/* Of 16 rows of 1500. */
static struct kdata_error measure(const struct wi_softmax_shape *s) {
    static uint16_t got[ROWS * 1500];
    static double exact[ROWS * 1500];
    for (int row = 0; row < ROWS; row++) {
        memcpy(got + 1500 * row, row_at(row, s), 3000);
        exact_row(exact + 1500 * row, input[row], s);
    }
    return kdata_measure(got, exact, ROWS, 1500);
}

static void accuracy(void **state) {
    (void)state;
    for (int kind = 0; kind < KDATA_KINDS; kind++) {
        bool masked = kind == KDATA_MASKED; /* by the valid length, not by zeros */
        struct wi_softmax_shape s = shape_of(1500, masked ? 750 : 1500, 0, 1);
        fill(1500, masked ? KDATA_NORMAL : (enum kdata_kind)kind, 11);
        run(0, &s);
        struct kdata_error e = measure(&s);
        print_message("softmax, %s: %.2f ulp, at most %.2f, 1 - correlation %.1e\n",
                      kdata_name((enum kdata_kind)kind), e.median, e.worst, 1 - e.correlation);
        assert_true(e.median < 0.65 && e.worst < 2.2);
        assert_true(1 - e.correlation < 5e-6);
    }
}

/* Rows of two to four values, one of them in every second to 512th place. */
static void ties(void **state) {
    (void)state;
    static const double steps[] = {0.1, 0.3, 0.5, 0.7, 0.77, 1, 1.3, 2};
    double worst = 0;
    for (size_t k = 0; k < sizeof steps / sizeof *steps; k++)
        for (int every = 2; every <= 512; every *= 4) {
            struct wi_softmax_shape s = shape_of(1500, 1500, 0, 1);
            for (int i = 0; i < ROWS * 1500; i++) {
                int row = i / 1500, at = i % 1500;
                double x = at % every ? -steps[k] * (row % 4 + at % 3) : 0;
                input[row][at] = krig_bf16((float)x);
            }
            run(0, &s);
            worst = fmax(worst, 1 - measure(&s).correlation);
        }
    print_message("softmax, ties: 1 - correlation %.1e\n", worst);
    assert_true(worst < 7e-6);
}

static void shapes_that_are_not(void **state) {
    (void)state;
    static const struct wi_softmax_shape bad[] = {
        {0, 100, 100, 3072, 1},  {16, 0, 0, 3072, 1},     {16, 1537, 1, 4096, 1},
        {16, 100, 0, 3072, 1},   {16, 100, 101, 3072, 1}, {16, 1500, 9, 3008, 1},
        {16, 100, 9, 3073, 1},   {16, 100, 9, 3072, 0},   {16, 100, 9, 3072, -1},
        {16, 100, 9, 3072, NAN}, {16, 100, 9, 3072, 1e9}, {16, 100, 9, 3072, 0x1p-21}};
    static const uint32_t at[2] = {0, 0};
    struct wi_softmax_params p;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(wi_softmax_params(&p, &bad[i], at, at));
}

static void budgets(void **state) {
    (void)state;
    struct wi_softmax_shape s = shape_of(1500, 1500, 0, 0.125);
    fill(1500, KDATA_NORMAL, 1);
    struct wi_emu_counters c = run(0, &s);
    double each = (double)c.cycles / (ROWS * 1500);
    print_message("softmax: %lu cycles, %.4f an element, %lu of them stalls, %zu bytes\n",
                  (unsigned long)c.cycles, each, (unsigned long)c.stalls[WI_EMU_STALL_MEMORY],
                  code[0].bytes.len);
    static const struct {
        int cycles, min_steps; /* of a row: 5 long ones, 10 others at least */
    } loops[] = {{4, 8}, {4, 8}, {6, 5}, {10, 16}, {16, 10}, {25, 16}, {10, 5}};
    assert_int_equal(code[0].n_loops, sizeof loops / sizeof *loops);
    for (int i = 0; i < code[0].n_loops; i++) {
        const struct wi_loop_report *r = &code[0].loops[i];
        assert_int_equal(r->cycles, loops[i].cycles);
        assert_true(r->min_steps <= loops[i].min_steps);
        assert_true(r->tries < 100 * 1000); /* else known.def is out of date */
    }
    assert_int_equal(c.cycles, 10085);
    assert_true(code[0].bytes.len <= 6000);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(lengths),
                                       cmocka_unit_test(numbers_of_rows),
                                       cmocka_unit_test(every_valid_length),
                                       cmocka_unit_test(scales),
                                       cmocka_unit_test(far_from_zero),
                                       cmocka_unit_test(accuracy),
                                       cmocka_unit_test(ties),
                                       cmocka_unit_test(shapes_that_are_not),
                                       cmocka_unit_test(budgets)};
    return cmocka_run_group_tests(tests, setup, teardown);
}

/* GELU: the scheduled program, the same one operation at a time, plain C with the chip's
 * arithmetic, and erfc in f64, for every finite bf16. */
#include "unit/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kdata.h"
#include "krig.h"
#include "npu/kernels/gelu.h"

enum { X = 0, BANK = 0x4000, CONSTANTS = 0x4000, PARAMS = 0x8000, PANEL = 3072, PITCH = 4096 };
enum { ZEROS = 0xc000, R = 0x8c00 };

static struct wi_code code[2];
static struct krig rig;

static int setup(void **state) {
    (void)state;
    krig_open(&rig, code, wi_gelu_emit);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    krig_close(&rig, code);
    return 0;
}

/* ---------------------------------------------------------------- plain C */

static uint16_t pattern(float sum) {
    uint32_t bits = krig_bits(sum);
    return (uint16_t)((bits + 31 + (bits >> 6 & 1)) >> 6);
}

static uint16_t host_gelu_add(uint16_t x, uint16_t r) {
    const uint16_t one = 0x3f80, two = 0x4000, sign = 0x8000;
    const uint16_t c1 = krig_bf16(-1.109375f / 2), c2 = krig_bf16(-0.51171875f / 2);
    const uint16_t c3 = krig_bf16(-0.025634765625f / 2), c4 = krig_bf16(0.001312255859375f / 4);
    const float base = 1024 + 512 + 127 - 1.00843294f - 1.5849625f; /* log2(3) */
    uint16_t a = x & 0x7fff, t = a < 0x4140 ? a : 0x4140;
    float square = krig_mac2(0, t, t, t, t);
    uint16_t hi = krig_bf16(square), lo = krig_bf16(krig_add(square, -krig_f32(hi)));
    uint16_t t3 = krig_bf16(krig_mac2(0, hi, lo, t, t)),
             t4 = krig_bf16(krig_mac2(0, hi, lo, hi, lo));
    float p = krig_mac2(krig_mac2(base, t, t, c1, c1), hi, lo, c2, c2);
    p = krig_mac2(p, t3, t4, c3, c4);
    uint16_t g = pattern(p), e = krig_bf16(krig_mac2(0, g, g & 0xff80, (g & 0x7f) | one, two));
    const uint16_t minus_t = t ^ sign;
    return krig_bf16(krig_addmac(x & sign ? 0 : krig_f32(x), krig_f32(r), 1, &minus_t, &e));
}

static uint16_t host_gelu(uint16_t x) {
    return host_gelu_add(x, 0);
}

static double exact_gelu(double x) {
    return 0.5 * x * erfc(-x / sqrt(2));
}

/* ---------------------------------------------------------------- runs */

static bool set_params(struct wi_gelu_params *p, int n, int panel, int pitch) {
    const struct wi_gelu_at at = {KRIG_MEMORY + X, KRIG_MEMORY + CONSTANTS, KRIG_MEMORY + ZEROS};
    return wi_gelu_params(p, n, panel, pitch, &at);
}

static struct wi_emu_counters run_params(int how, const struct wi_gelu_params *params) {
    wi_gelu_constants((uint16_t *)(void *)(rig.memory + CONSTANTS));
    memset(rig.memory + ZEROS, 0, 64);
    memcpy(rig.memory + PARAMS, params, sizeof *params);
    return krig_run(&rig, &code[how], KRIG_MEMORY + PARAMS);
}

static struct wi_emu_counters run(int how, int n, int panel, int pitch) {
    struct wi_gelu_params params;
    assert_true(set_params(&params, n, panel, pitch));
    return run_params(how, &params);
}

/* Bytes to the i-th element of pieces at a pitch. */
static int place(int i, int piece, int pitch) {
    return 2 * i / piece * pitch + 2 * i % piece;
}

static uint16_t at(int i) {
    uint16_t v;
    memcpy(&v, rig.memory + X + 2 * i, 2);
    return v;
}

struct range {
    double from, to, bound, worst;
};

/* Errors in ulp of the result, by ranges of x. */
static void measure(struct range *r, int n, double x, double y) {
    double want = exact_gelu(x);
    for (int i = 0; i < n; i++)
        if (x >= r[i].from && x < r[i].to && fabs(want) > 1e-37) {
            double error = fabs(y - want) / exp2(floor(log2(fabs(want))) - 7);
            r[i].worst = error > r[i].worst ? error : r[i].worst;
        }
}

static void every_finite_bf16(void **state) {
    (void)state;
    struct range ranges[] = {{-6.5, -6, 6, 0}, {-6, -3, 4, 0},  {-3, 0, 3, 0},
                             {0, 1, 3, 0},     {1, 3, 0.75, 0}, {3, 1e38, 0.51, 0}};
    const int n_ranges = sizeof ranges / sizeof *ranges, n = BANK / 2 - 256;
    for (int first = 0; first < 65536; first += n) {
        wi_emu_poison(rig.memory, sizeof rig.memory);
        for (int i = 0; i < n; i++) {
            uint16_t x = (uint16_t)(first + i);
            x = (x & 0x7f80) == 0x7f80 ? 0 : x;
            memcpy(rig.memory + X + 2 * i, &x, 2);
        }
        run(0, 1, 2 * n, 2 * n);
        for (int i = 0; i < n; i++) {
            uint16_t x = (uint16_t)(first + i);
            x = (x & 0x7f80) == 0x7f80 ? 0 : x;
            if (at(i) != host_gelu(x))
                fail_msg("gelu of 0x%04x is 0x%04x, not 0x%04x", x, at(i), host_gelu(x));
            measure(ranges, n_ranges, krig_f32(x), krig_f32(at(i)));
        }
    }
    for (int i = 0; i < n_ranges; i++) {
        print_message("gelu of [%g, %g): at most %.2f ulp\n", ranges[i].from, ranges[i].to,
                      ranges[i].worst);
        assert_true(ranges[i].worst < ranges[i].bound);
    }
}

/* Infinities, and what NaNs become: |x| counts as 12, so that only max(x, 0) is left of x. */
static void infinities(void **state) {
    (void)state;
    static const uint16_t in[] = {0x7f80, 0xff80, 0x7fc0, 0xffc0};
    for (int how = 0; how < 2; how++) {
        wi_emu_poison(rig.memory, sizeof rig.memory);
        for (int i = 0; i < WI_GELU_MIN; i++)
            memcpy(rig.memory + X + 2 * i, &in[i % 4], 2);
        run(how, 1, 2 * WI_GELU_MIN, 2 * WI_GELU_MIN);
        for (int i = 0; i < WI_GELU_MIN; i += 4) {
            assert_int_equal(at(i), 0x7f80);
            assert_int_equal(at(i + 1), host_gelu(0xc140));
            assert_true(isnan(krig_f32(at(i + 2))));
            assert_int_equal(at(i + 3), host_gelu(0xc140));
        }
    }
}

/* Panels with gaps; what lies in the gaps stays. */
static void panels(void **state) {
    (void)state;
    static uint8_t memory[WI_EMU_WINDOW_BYTES];
    for (int how = 0; how < 2; how++) {
        uint64_t seed = 9;
        wi_emu_poison(rig.memory, sizeof rig.memory);
        for (int i = 0; i < 4 * PITCH / 2; i++) {
            uint16_t x = krig_random_bf16(&seed);
            if (2 * i % PITCH < PANEL)
                memcpy(rig.memory + X + 2 * i, &x, 2);
        }
        memcpy(memory, rig.memory, sizeof memory);
        run(how, 4, PANEL, PITCH);
        for (int i = 0; i < 4 * PITCH / 2; i++) {
            uint16_t x;
            memcpy(&x, memory + X + 2 * i, 2);
            assert_int_equal(at(i), 2 * i % PITCH < PANEL ? host_gelu(x) : x);
        }
    }
}

/* Panels and r in pieces, as a core has them: 3 KB of x, r in the gaps of 1 KB between panels. */
static void sums_with_r(void **state) {
    (void)state;
    static const struct {
        int panels, panel, pitch, piece, r_pitch;
    } shapes[] = {{1, 3072, 3072, 1024, 4096},
                  {4, 3072, 4096, 3072, 3072},
                  {3, 192, 4096, 64, 96},
                  {2, 256, 256, 512, 512},
                  {8, 64, 96, 128, 160}};
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++)
        for (int how = 0; how < 2; how++) {
            struct wi_gelu_params params;
            uint16_t x[BANK / 2], r[BANK / 2];
            int n = shapes[k].panels * shapes[k].panel / 2;
            uint64_t seed = 9 + k;
            wi_emu_poison(rig.memory, sizeof rig.memory);
            kdata_row(x, n, KDATA_SKEWED, &seed);
            kdata_row(r, n, KDATA_NORMAL, &seed);
            for (int i = 0; i < n; i++) {
                memcpy(rig.memory + X + place(i, shapes[k].panel, shapes[k].pitch), &x[i], 2);
                memcpy(rig.memory + R + place(i, shapes[k].piece, shapes[k].r_pitch), &r[i], 2);
            }
            assert_true(set_params(&params, shapes[k].panels, shapes[k].panel, shapes[k].pitch));
            assert_true(wi_gelu_add(
                &params, &(struct wi_pieces){KRIG_MEMORY + R, shapes[k].piece, shapes[k].r_pitch}));
            run_params(how, &params);
            for (int i = 0; i < n; i++) {
                uint16_t y;
                memcpy(&y, rig.memory + X + place(i, shapes[k].panel, shapes[k].pitch), 2);
                assert_int_equal(y, host_gelu_add(x[i], r[i]));
            }
        }
}

/* Rows of all kinds, and the same with a sum, against f64. */
static void accuracy(void **state) {
    (void)state;
    enum { ROWS = 16, ROW = 384, N = ROWS * ROW };
    static uint16_t x[N], r[N], y[N];
    static double want[N];
    for (int sum = 0; sum < 2; sum++)
        for (int kind = 0; kind < KDATA_KINDS; kind++) {
            struct wi_gelu_params params;
            uint64_t seed = 99 + (uint64_t)kind;
            for (int i = 0; i < ROWS; i++) {
                kdata_row(x + i * ROW, ROW, (enum kdata_kind)kind, &seed);
                kdata_row(r + i * ROW, ROW, KDATA_NORMAL, &seed);
            }
            memcpy(rig.memory + X, x, sizeof x);
            memcpy(rig.memory + R, r, sizeof r);
            assert_true(set_params(&params, 1, 2 * N, 2 * N));
            assert_true(!sum ||
                        wi_gelu_add(&params, &(struct wi_pieces){KRIG_MEMORY + R, 2 * N, 2 * N}));
            run_params(0, &params);
            for (int i = 0; i < N; i++)
                want[i] = exact_gelu(krig_f32(x[i])) + (sum ? krig_f32(r[i]) : 0);
            memcpy(y, rig.memory + X, sizeof y);
            struct kdata_error e = kdata_measure(y, want, ROWS, ROW);
            print_message("gelu%s, %s: median %.3f, worst %.2f ulp, 1 - correlation %.1e\n",
                          sum ? " and a sum" : "", kdata_name((enum kdata_kind)kind), e.median,
                          e.worst, 1 - e.correlation);
            assert_true(e.median < 0.5);
            assert_true(e.worst < (sum ? 150 : 2.5));
            assert_true(e.correlation > 0.999998);
        }
}

static void small_sizes(void **state) {
    (void)state;
    struct wi_gelu_params p;
    assert_false(set_params(&p, 1, 448, 448));
    assert_false(set_params(&p, 4, 100, 128));
    assert_false(set_params(&p, 4, 256, 128));
    assert_false(set_params(&p, 4, 256, 272));
    assert_false(set_params(&p, 0, 512, 512));
    assert_true(set_params(&p, 1, 512, 512));
    assert_false(wi_gelu_add(&p, &(struct wi_pieces){0, 96, 128}));
    assert_false(wi_gelu_add(&p, &(struct wi_pieces){0, 128, 64}));
    assert_false(wi_gelu_add(&p, &(struct wi_pieces){0, 128, 136}));
    for (int how = 0; how < 2; how++) {
        wi_emu_poison(rig.memory, sizeof rig.memory);
        for (int i = 0; i < 256; i++) {
            uint16_t x = (uint16_t)(0x3f00 + i);
            memcpy(rig.memory + X + 2 * i, &x, 2);
        }
        run(how, 1, 512, 512);
        for (int i = 0; i < 256; i++)
            assert_int_equal(at(i), host_gelu((uint16_t)(0x3f00 + i)));
    }
}

static void budgets(void **state) {
    (void)state;
    wi_emu_poison(rig.memory, sizeof rig.memory);
    memset(rig.memory, 0x3f, 0x4000);
    struct wi_emu_counters c = run(0, 4, PANEL, PITCH);
    double each = (double)c.cycles / (4 * PANEL / 2);
    print_message("gelu: %.4f cycles an element, %d of at least %d for 32, %zu bytes\n", each,
                  code[0].loops[0].cycles, code[0].loops[0].bound, code[0].bytes.len);
    assert_int_equal(c.cycles, 3929);
    assert_int_equal(c.stalls[WI_EMU_STALL_MEMORY], 0);
    assert_int_equal(code[0].loops[0].tries, 0); /* else known.def is out of date */
    assert_int_equal(code[0].loops[0].bound, 20);
    assert_int_equal(code[0].loops[0].cycles, 20);
    assert_true(code[0].loops[0].min_steps <= 8);
    assert_int_equal(code[0].bytes.len, 1440);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_finite_bf16),
                                       cmocka_unit_test(infinities),
                                       cmocka_unit_test(panels),
                                       cmocka_unit_test(sums_with_r),
                                       cmocka_unit_test(accuracy),
                                       cmocka_unit_test(small_sizes),
                                       cmocka_unit_test(budgets)};
    return cmocka_run_group_tests(tests, setup, teardown);
}

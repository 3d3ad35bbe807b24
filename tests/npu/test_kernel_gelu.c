/* GELU: the scheduled program, the same one operation at a time, plain C with the chip's
 * arithmetic, and erfc in f64, for every finite bf16. */
#include "unit/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "krig.h"
#include "npu/kernels/gelu.h"

enum { X = 0, BANK = 0x4000, CONSTANTS = 0x4000, PARAMS = 0x8000, PANEL = 3072, PITCH = 4096 };

static struct wi_code code[2];
static struct krig rig;

static int setup(void **state) {
    (void)state;
    krig_build_both(code, wi_gelu_emit);
    krig_init(&rig);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    wi_code_fini(&code[0]);
    wi_code_fini(&code[1]);
    krig_fini(&rig);
    return 0;
}

/* ---------------------------------------------------------------- plain C */

static uint16_t pattern(float sum) {
    uint32_t bits = krig_bits(sum);
    return (uint16_t)((bits + 31 + (bits >> 6 & 1)) >> 6);
}

static uint16_t host_gelu(uint16_t x) {
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
    return krig_bf16(krig_mac2(x & sign ? 0 : krig_f32(x), t ^ sign, 0, e, 0));
}

static double exact_gelu(double x) {
    return 0.5 * x * erfc(-x / sqrt(2));
}

/* ---------------------------------------------------------------- runs */

static struct wi_emu_counters run(int how, int n, int panel, int pitch) {
    struct wi_gelu_params params;
    assert_true(wi_gelu_params(&params, n, panel, pitch, KRIG_MEMORY + X, KRIG_MEMORY + CONSTANTS));
    wi_gelu_constants((uint16_t *)(void *)(rig.memory + CONSTANTS));
    memcpy(rig.memory + PARAMS, &params, sizeof params);
    return krig_run(&rig, &code[how], KRIG_MEMORY + PARAMS);
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

static void small_sizes(void **state) {
    (void)state;
    struct wi_gelu_params p;
    assert_false(wi_gelu_params(&p, 1, 448, 448, 0, 0));
    assert_false(wi_gelu_params(&p, 4, 100, 128, 0, 0));
    assert_false(wi_gelu_params(&p, 4, 256, 128, 0, 0));
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
    assert_true(each <= 0.65);
    assert_int_equal(code[0].loops[0].tries, 0); /* else known.def is out of date */
    assert_int_equal(code[0].loops[0].bound, 19);
    assert_int_equal(code[0].loops[0].cycles, 20);
    assert_true(code[0].loops[0].min_steps <= 8);
    assert_true(code[0].bytes.len <= 1800);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_finite_bf16),
                                       cmocka_unit_test(panels), cmocka_unit_test(small_sizes),
                                       cmocka_unit_test(budgets)};
    return cmocka_run_group_tests(tests, setup, teardown);
}

/* Loops whose values live longer than a step: several steps become one where the author allows it,
 * and what they compute stays the same. */
#include "unit/suite.h"

#include <string.h>

#include "krig.h"
#include "npu/kernels/ops.h"

enum { IN = 0, OUT = 0x4000, SUM = 0x8000, PARAMS = 0xc000, MOST = 64 };
enum { BANK_IN = 1, BANK_OUT = 2, STREAM_IN = 1, STREAM_OUT, STREAM_SUM };

struct params {
    uint32_t in, out, sum, steps;
};

static int multiple;

/* A step: 32 numbers to 16 of r(x^2 + y^2) (x + y), and all x^2 + y^2 in a sum that goes on. */
static void emit(struct wi_build *b) {
#define AT(field) offsetof(struct params, field)
    struct wi_vreg in = wi_k_param(b, WI_FAMILY_P, AT(in), "in");
    struct wi_vreg out = wi_k_param(b, WI_FAMILY_P, AT(out), "out");
    struct wi_vreg end = wi_k_param(b, WI_FAMILY_P, AT(sum), "sum");
    struct wi_vreg steps = wi_k_param(b, WI_FAMILY_R, AT(steps), "steps");
    struct wi_vreg lanes = wi_build_const(b, WI_FAMILY_R, WI_MAC_LANES, "lanes");
    struct wi_vreg plain = wi_build_const(b, WI_FAMILY_R, WI_MAC_TILE, "plain sum");
    struct wi_vreg sum = wi_k_bm(b, "sum");
    WI_OP(b, VCLR_F, wi_r(sum));
    wi_k_round_even(b);

    wi_build_loop(b, (struct wi_loop){.name = "cube", .steps = steps, .multiple = multiple});
    struct wi_vreg x = wi_k_x(b, "x"), square = wi_k_bm(b, "square"), cube = wi_k_bm(b, "cube");
    wi_build_load(b, wi_low(x), wi_k_next(in, 32, BANK_IN, STREAM_IN));
    wi_build_load(b, wi_high(x), wi_k_next(in, 32, BANK_IN, STREAM_IN));
    wi_k_mul(b, square, x, x, lanes);
    wi_k_add(b, sum, sum, square, plain);
    wi_k_mul(b, cube, wi_k_narrow_twice(b, square), x, lanes);
    wi_build_store_bf16(b, cube, wi_k_next(out, 32, BANK_OUT, STREAM_OUT));
    wi_build_end_loop(b);
    wi_build_store_bf16(b, sum, wi_k_at(end, 0, WI_ANY_BANK, STREAM_SUM));
}

/* Loads and stores alone: nothing lives long. */
static void emit_copy(struct wi_build *b) {
    struct wi_vreg in = wi_k_param(b, WI_FAMILY_P, AT(in), "in");
    struct wi_vreg out = wi_k_param(b, WI_FAMILY_P, AT(out), "out");
    struct wi_vreg steps = wi_k_param(b, WI_FAMILY_R, AT(steps), "steps");
    wi_build_loop(b, (struct wi_loop){.name = "copy", .steps = steps, .multiple = multiple});
    for (int i = 0; i < 8; i++) {
        struct wi_vreg w = wi_build_reg(b, WI_FAMILY_W, "w");
        wi_build_load(b, w, wi_k_next(in, 32, BANK_IN, STREAM_IN));
        wi_build_store(b, w, wi_k_next(out, 32, BANK_OUT, STREAM_OUT));
    }
    wi_build_end_loop(b);
}

static struct krig rig;

static uint16_t value(uint32_t byte) {
    uint16_t v;
    memcpy(&v, rig.memory + byte, 2);
    return v;
}

static void run(const struct wi_code *code, int steps) {
    const struct params params = {KRIG_MEMORY + IN, KRIG_MEMORY + OUT, KRIG_MEMORY + SUM,
                                  (uint32_t)steps};
    uint64_t seed = 7;
    wi_emu_poison(rig.memory, sizeof rig.memory);
    for (uint32_t i = 0; i < 32 * MOST; i++) {
        uint16_t v = krig_random_bf16(&seed);
        memcpy(rig.memory + IN + 2 * i, &v, 2);
    }
    memcpy(rig.memory + PARAMS, &params, sizeof params);
    krig_run(&rig, code, KRIG_MEMORY + PARAMS);
}

static void is_the_hosts(int steps) {
    float sum[16] = {0};
    for (uint32_t s = 0; s < (uint32_t)steps; s++)
        for (uint32_t i = 0; i < 16; i++) {
            uint16_t x = value(IN + 64 * s + 2 * i), y = value(IN + 64 * s + 32 + 2 * i);
            float square = krig_mac2(0, x, y, x, y);
            uint16_t r = krig_bf16(square);
            sum[i] = krig_add(sum[i], square);
            assert_int_equal(value(OUT + 32 * s + 2 * i), krig_bf16(krig_mac2(0, r, r, x, y)));
        }
    for (uint32_t i = 0; i < 16; i++)
        assert_int_equal(value(SUM + 2 * i), krig_bf16(sum[i]));
    assert_int_equal(value(OUT + 32 * (uint32_t)steps), value(OUT + 32 * MOST)); /* poison */
}

static struct wi_loop_report build(struct wi_code *code, void (*what)(struct wi_build *b), int of) {
    multiple = of;
    krig_build(code, what, WI_PIPELINED);
    return code->loops[0];
}

/* Every number of steps that is a multiple, from the least on. */
static void several_steps_at_once(void **state) {
    (void)state;
    static const int multiples[] = {0, 1, 2, 3, 4, 6, 8, 16}, times[] = {1, 1, 2, 1, 4, 2, 4, 4};
    krig_init(&rig);
    for (size_t i = 0; i < sizeof multiples / sizeof *multiples; i++) {
        struct wi_code code;
        struct wi_loop_report r = build(&code, emit, multiples[i]);
        print_message("multiples of %d: %d steps in %d bundles, bound %d (%s), at least %d\n",
                      multiples[i], r.times, r.cycles, r.bound, r.limit, r.min_steps);
        assert_int_equal(r.times, times[i]);
        for (int steps = r.min_steps; steps <= MOST - r.times; steps += r.times) {
            run(&code, steps);
            is_the_hosts(steps);
        }
        wi_code_fini(&code);
    }
    krig_fini(&rig);
}

static void it_pays(void **state) {
    (void)state;
    struct wi_code one, four;
    struct wi_loop_report r = build(&one, emit, 0);
    assert_string_equal(r.limit, "recurrence"); /* x, whose register the next step waits for */
    assert_int_equal(r.cycles, 11);
    r = build(&four, emit, 4);
    assert_int_equal(r.cycles, 16);
    assert_int_equal(r.bound, 16);
    wi_code_fini(&one);
    wi_code_fini(&four);
}

static void where_nothing_lives_long_a_step_stays(void **state) {
    (void)state;
    struct wi_code code;
    struct wi_loop_report r = build(&code, emit_copy, 8);
    assert_int_equal(r.times, 1);
    assert_int_equal(r.cycles, 8);
    wi_code_fini(&code);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(several_steps_at_once),
                                       cmocka_unit_test(it_pays),
                                       cmocka_unit_test(where_nothing_lives_long_a_step_stays)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

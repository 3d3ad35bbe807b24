/* Sums of bf16: the scheduled program, the same one operation at a time, plain C, and f64. */
#include "unit/suite.h"

#include <string.h>

#include "kdata.h"
#include "krig.h"
#include "npu/kernels/add.h"

enum { X = 0, R = 0x4000, Y = 0x8000, PARAMS = 0xc000, MAX = 8192 };

static struct wi_code code[2];
static struct krig rig;

static int setup(void **state) {
    (void)state;
    krig_open(&rig, code, wi_add_emit);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    krig_close(&rig, code);
    return 0;
}

/* Three arrays of n elements, in pieces. */
struct problem {
    int n;
    struct wi_pieces side[3];
    uint16_t x[MAX], r[MAX], y[MAX];
};

static uint8_t *element(const struct wi_pieces *s, int i) {
    return rig.memory + (s->at - KRIG_MEMORY) + 2 * i / s->piece * s->pitch + 2 * i % s->piece;
}

static struct problem contiguous(int n) {
    return (struct problem){.n = n,
                            .side = {{KRIG_MEMORY + X, 2 * n, 2 * n},
                                     {KRIG_MEMORY + R, 2 * n, 2 * n},
                                     {KRIG_MEMORY + Y, 2 * n, 2 * n}}};
}

static struct wi_emu_counters run(struct problem *p, int how) {
    struct wi_add_params params;
    assert_true(wi_add_params(&params, p->n, &p->side[0], &p->side[1], &p->side[2]));
    wi_emu_poison(rig.memory, sizeof rig.memory);
    memcpy(rig.memory + PARAMS, &params, sizeof params);
    for (int i = 0; i < p->n; i++) {
        memcpy(element(&p->side[0], i), &p->x[i], 2);
        memcpy(element(&p->side[1], i), &p->r[i], 2);
    }
    struct wi_emu_counters c = krig_run(&rig, &code[how], KRIG_MEMORY + PARAMS);
    for (int i = 0; i < p->n; i++)
        memcpy(&p->y[i], element(&p->side[2], i), 2);
    return c;
}

static void all_agree(struct problem *p) {
    static uint8_t memory[WI_EMU_WINDOW_BYTES];
    uint64_t seed = (uint64_t)p->n;
    for (int i = 0; i < p->n; i++) {
        p->x[i] = krig_random_bf16(&seed);
        p->r[i] = krig_random_bf16(&seed);
    }
    run(p, WI_PIPELINED);
    for (int i = 0; i < p->n; i++)
        assert_int_equal(p->y[i], krig_bf16(krig_add(krig_f32(p->x[i]), krig_f32(p->r[i]))));
    memcpy(memory, rig.memory, sizeof memory);
    run(p, WI_SERIAL);
    assert_memory_equal(memory, rig.memory, sizeof memory);
}

static void sums_are_the_hosts(void **state) {
    (void)state;
    for (int n = WI_ADD_MIN; n <= MAX; n += 1088) {
        struct problem p = contiguous(n);
        all_agree(&p);
    }
}

/* A panel of 3 KB and r in the gaps of 1 KB between panels, in place; the smallest pieces. */
static void pieces(void **state) {
    (void)state;
    static const struct wi_pieces sides[][3] = {
        {{KRIG_MEMORY + X, 3072, 4096},
         {KRIG_MEMORY + R + 3072, 1024, 4096},
         {KRIG_MEMORY + X, 3072, 4096}},
        {{KRIG_MEMORY + X, 128, 160}, {KRIG_MEMORY + R, 256, 288}, {KRIG_MEMORY + Y, 128, 1024}}};
    static const int n[] = {1536, 768};
    for (int i = 0; i < 2; i++) {
        struct problem p = {.n = n[i]};
        memcpy(p.side, sides[i], sizeof p.side);
        all_agree(&p);
    }
}

static void bad_shapes_are_refused(void **state) {
    (void)state;
    static const struct wi_pieces good = {KRIG_MEMORY, 1024, 4096};
    static const struct wi_pieces bad[] = {{KRIG_MEMORY, 1000, 4096},
                                           {KRIG_MEMORY, 0, 4096},
                                           {KRIG_MEMORY, 1024, 992},
                                           {KRIG_MEMORY, 1024, 1040},
                                           {KRIG_MEMORY + 16, 1024, 1024}};
    struct wi_add_params p;
    assert_true(wi_add_params(&p, 512, &good, &good, &good));
    assert_false(wi_add_params(&p, 448, &good, &good, &good));
    assert_false(wi_add_params(&p, 544, &good, &good, &good));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(wi_add_params(&p, 512, &bad[i], &good, &good));
        assert_false(wi_add_params(&p, 512, &good, &bad[i], &good));
        assert_false(wi_add_params(&p, 512, &good, &good, &bad[i]));
    }
}

/* The sum is exact but for fp32's last bits: half an ulp is the result's rounding. */
static void accuracy(void **state) {
    (void)state;
    static double want[MAX];
    for (int kind = 0; kind < KDATA_KINDS; kind++) {
        struct problem p = contiguous(MAX);
        uint64_t seed = 7 + (uint64_t)kind;
        for (int row = 0; row < 16; row++) {
            kdata_row(p.x + row * 512, 512, (enum kdata_kind)kind, &seed);
            kdata_row(p.r + row * 512, 512, (enum kdata_kind)kind, &seed);
        }
        run(&p, WI_PIPELINED);
        for (int i = 0; i < MAX; i++)
            want[i] = krig_f32(p.x[i]) + (double)krig_f32(p.r[i]);
        struct kdata_error e = kdata_measure(p.y, want, 16, 512);
        print_message("add, %s: median %.3f, worst %.2f ulp, 1 - correlation %.1e\n",
                      kdata_name((enum kdata_kind)kind), e.median, e.worst, 1 - e.correlation);
        assert_true(e.worst <= 0.501);
        assert_true(e.correlation > 0.999997);
    }
}

static void budgets(void **state) {
    (void)state;
    struct problem p = contiguous(MAX);
    struct wi_emu_counters c = run(&p, WI_PIPELINED);
    print_message("add: %lu cycles for %d, %d of at least %d for 64, %zu bytes\n",
                  (unsigned long)c.cycles, MAX, code[0].loops[0].cycles, code[0].loops[0].bound,
                  code[0].bytes.len);
    assert_int_equal(c.cycles, 1059);
    assert_int_equal(code[0].loops[0].cycles, code[0].loops[0].bound);
    assert_true(code[0].loops[0].min_steps <= WI_ADD_MIN / WI_ADD_STEP);
    assert_int_equal(code[0].bytes.len, 416);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(sums_are_the_hosts),
                                       cmocka_unit_test(pieces),
                                       cmocka_unit_test(bad_shapes_are_refused),
                                       cmocka_unit_test(accuracy), cmocka_unit_test(budgets)};
    return cmocka_run_group_tests(tests, setup, teardown);
}

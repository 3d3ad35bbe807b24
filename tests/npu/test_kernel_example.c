/* The worked example of docs/npu-kernels.md: c = a + b in bf16. */
#include "unit/suite.h"

#include <string.h>

#include "krig.h"
#include "npu/kernels/ops.h"

/* ---------------------------------------------------------------- the kernel */

/* What the caller writes to tile memory; p0 points to it. */
struct sum_params {
    uint32_t a, b, c; /* addresses, multiples of 32 */
    uint32_t steps;   /* of 16 elements */
};

/* Three banks, so that no two accesses of a cycle meet; three streams, as the arrays do not
 * overlap. */
enum { BANK_A = 1, BANK_B = 2, BANK_C = 4 };
enum { STREAM_A = 1, STREAM_B, STREAM_C };

static void emit_sum(struct wi_build *b) {
#define AT(field) offsetof(struct sum_params, field)
    struct wi_vreg steps = wi_k_param(b, WI_FAMILY_R, AT(steps), "steps");
    struct wi_vreg pa = wi_k_param(b, WI_FAMILY_P, AT(a), "a");
    struct wi_vreg pb = wi_k_param(b, WI_FAMILY_P, AT(b), "b");
    struct wi_vreg pc = wi_k_param(b, WI_FAMILY_P, AT(c), "c");
    struct wi_vreg plain = wi_build_const(b, WI_FAMILY_R, WI_MAC_TILE, "plain sum");
    struct wi_vreg x = wi_k_bm(b, "x"), y = wi_k_bm(b, "y"), sum = wi_k_bm(b, "sum");
    wi_k_round_even(b);

    wi_build_loop(b, (struct wi_loop){.name = "sum", .steps = steps, .overrun = true});
    wi_build_load_f32(b, x, wi_k_next(pa, 32, BANK_A, STREAM_A));
    wi_build_load_f32(b, y, wi_k_next(pb, 32, BANK_B, STREAM_B));
    wi_k_add(b, sum, x, y, plain);
    wi_build_store_bf16(b, sum, wi_k_next(pc, 32, BANK_C, STREAM_C));
    wi_build_end_loop(b);
}

/* ---------------------------------------------------------------- its test */

enum { A = KRIG_MEMORY, BANK = 0x4000, PARAMS = KRIG_MEMORY + 3 * BANK, MAX = 2048 };

static struct krig rig;
static uint16_t a[MAX], b[MAX];

static uint8_t *bank(int i) {
    return rig.memory + i * BANK;
}

static struct wi_emu_counters run(const struct wi_code *code, int n) {
    struct sum_params params = {A, A + BANK, A + 2 * BANK, (uint32_t)n / 16};
    wi_emu_poison(rig.memory, sizeof rig.memory);
    memcpy(bank(0), a, (size_t)n * sizeof *a);
    memcpy(bank(1), b, (size_t)n * sizeof *b);
    memcpy(bank(3), &params, sizeof params);
    return krig_run(&rig, code, PARAMS);
}

static void sums(void **state) {
    (void)state;
    static uint8_t memory[WI_EMU_WINDOW_BYTES];
    struct wi_code pipelined, serial;
    uint64_t seed = 1;
    krig_init(&rig);
    krig_build(&pipelined, emit_sum, WI_PIPELINED);
    krig_build(&serial, emit_sum, WI_SERIAL);
    int least = 16 * pipelined.loops[0].min_steps;
    const int sizes[] = {least, least + 16, 1024, MAX};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        for (int i = 0; i < sizes[s]; i++) {
            a[i] = krig_random_bf16(&seed);
            b[i] = krig_random_bf16(&seed);
        }
        run(&serial, sizes[s]);
        memcpy(memory, rig.memory, sizeof memory);
        struct wi_emu_counters counters = run(&pipelined, sizes[s]);
        assert_memory_equal(memory, rig.memory, sizeof memory);
        for (int i = 0; i < sizes[s]; i++) {
            uint16_t c;
            memcpy(&c, bank(2) + 2 * i, sizeof c);
            assert_int_equal(c, krig_bf16(krig_add(krig_f32(a[i]), krig_f32(b[i]))));
        }
        assert_true(counters.cycles <= (uint64_t)sizes[s] / 16 * 2 + 60);
    }
    assert_int_equal(pipelined.loops[0].cycles, 2);
    print_message("sum: %d cycles for 16 elements, at least %d steps, %zu bytes\n",
                  pipelined.loops[0].cycles, pipelined.loops[0].min_steps, pipelined.bytes.len);
    wi_code_fini(&pipelined);
    wi_code_fini(&serial);
    krig_fini(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(sums)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

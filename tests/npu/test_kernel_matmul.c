/* The matmul kernel: the scheduled program, the same one operation at a time, and plain C. */
#include "unit/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "krig.h"
#include "npu/kernels/matmul.h"

enum {
    A = KRIG_MEMORY,
    B = KRIG_MEMORY + 0x4000,
    C = KRIG_MEMORY + 0x8000,
    PARAMS = KRIG_MEMORY + 0xf000
};
enum { MAX = 64 * 192 };

static struct wi_code pipelined, serial;
static struct krig rig;

static int setup(void **state) {
    (void)state;
    krig_build(&pipelined, wi_matmul_emit, WI_PIPELINED);
    krig_build(&serial, wi_matmul_emit, WI_SERIAL);
    krig_init(&rig);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    wi_code_fini(&pipelined);
    wi_code_fini(&serial);
    krig_fini(&rig);
    return 0;
}

struct problem {
    int m, k, n;
    uint32_t at_a, at_b, at_c;
    uint16_t a[MAX], b[MAX], c[MAX];
};

/* As the chip computes: sums of 8 products onto an fp32 sum, in the order of k. */
static void host_matmul(struct problem *p, uint16_t *c, double *worst) {
    uint16_t column[8];
    *worst = 0;
    for (int i = 0; i < p->m; i++)
        for (int j = 0; j < p->n; j++) {
            float sum = 0;
            double exact = 0, size = 0;
            for (int k = 0; k < p->k; k += 8) {
                for (int e = 0; e < 8; e++) {
                    column[e] = p->b[(k + e) * p->n + j];
                    double t = (double)krig_f32(p->a[i * p->k + k + e]) * krig_f32(column[e]);
                    exact += t;
                    size += fabs(t);
                }
                sum = krig_mac(sum, 8, &p->a[i * p->k + k], column);
            }
            c[i * p->n + j] = krig_bf16(sum);
            /* half an ulp of the result and, of the sum, an ulp of fp32 for each term and step */
            double bound = fabs(exact) / 256 + size * p->k * 0x1p-23;
            double error = fabs(krig_f32(c[i * p->n + j]) - exact) / bound;
            *worst = error > *worst ? error : *worst;
        }
}

static struct wi_emu_counters run(struct problem *p, const struct wi_code *code) {
    struct wi_matmul_params params;
    static uint16_t tiles[MAX];
    assert_true(wi_matmul_params(&params, p->m, p->k, p->n, p->at_a, p->at_b, p->at_c));
    wi_emu_poison(rig.memory, sizeof rig.memory);
    wi_matmul_pack_a((uint16_t *)(void *)(rig.memory + p->at_a - A), p->a, p->m, p->k);
    wi_matmul_pack_b((uint16_t *)(void *)(rig.memory + p->at_b - A), p->b, p->k, p->n);
    memcpy(rig.memory + PARAMS - A, &params, sizeof params);
    struct wi_emu_counters counters = krig_run(&rig, code, PARAMS);
    memcpy(tiles, rig.memory + p->at_c - A, 2 * (size_t)(p->m * p->n));
    wi_matmul_unpack_c(p->c, tiles, p->m, p->n);
    return counters;
}

static void fill(struct problem *p, int m, int k, int n, uint64_t seed) {
    p->m = m;
    p->k = k;
    p->n = n;
    bool large = m * k > 8192 || k * n > 8192; /* of more than a bank: A and C in two, B in two */
    p->at_a = A;
    p->at_b = large ? C : B;
    p->at_c = large ? A + 0x6000 : C;
    for (int i = 0; i < m * k; i++)
        p->a[i] = krig_random_bf16(&seed);
    for (int i = 0; i < k * n; i++)
        p->b[i] = krig_random_bf16(&seed);
}

/* Memory after both programs is the same, and C is the host's, bit for bit. */
static void all_agree(int m, int k, int n) {
    static struct problem p;
    static uint16_t c[MAX], by_pipeline[MAX];
    static uint8_t memory[WI_EMU_WINDOW_BYTES];
    double worst;
    fill(&p, m, k, n, 0x9e3779b97f4a7c15u + (uint64_t)(m * 65536 + k * 256 + n));
    host_matmul(&p, c, &worst);
    assert_true(worst < 1);
    run(&p, &pipelined);
    memcpy(by_pipeline, p.c, sizeof p.c);
    memcpy(memory, rig.memory, sizeof memory);
    run(&p, &serial);
    assert_memory_equal(memory, rig.memory, sizeof memory);
    for (int i = 0; i < m * n; i++)
        if (by_pipeline[i] != c[i])
            fail_msg("%d x %d x %d: C[%d] is 0x%04x, not 0x%04x", m, k, n, i, by_pipeline[i], c[i]);
}

static void shapes(void **state) {
    (void)state;
    static const int shapes[][3] = {{16, 48, 16},  {16, 48, 32},  {32, 48, 16},  {64, 64, 64},
                                    {48, 80, 96},  {16, 512, 16}, {32, 256, 32}, {128, 64, 16},
                                    {16, 64, 128}, {80, 96, 48},  {64, 192, 64}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        all_agree(shapes[i][0], shapes[i][1], shapes[i][2]);
}

static void bad_shapes_are_refused(void **state) {
    (void)state;
    struct wi_matmul_params p;
    assert_false(wi_matmul_params(&p, 0, 64, 64, A, B, C));
    assert_false(wi_matmul_params(&p, 64, 32, 64, A, B, C));
    assert_false(wi_matmul_params(&p, 24, 64, 64, A, B, C));
    assert_false(wi_matmul_params(&p, 64, 64, 8, A, B, C));
    assert_false(wi_matmul_params(&p, 64, 72, 64, A, B, C));
    assert_false(wi_matmul_params(&p, 160, 64, 64, A, B, C));
    assert_false(wi_matmul_params(&p, 64, 64, 64, A, B, B + 0x2000));
    assert_false(wi_matmul_params(&p, 64, 64, 64, A, A + 0x2000, C));
    assert_false(wi_matmul_params(&p, 64, 64, 64, A, B, KRIG_MEMORY + 0xf000));
    assert_false(wi_matmul_params(&p, 64, 64, 64, 0, B, C));
}

/* Budgets: what was reached is not lost. */
static void budgets(void **state) {
    (void)state;
    static struct problem p;
    fill(&p, 64, 64, 64, 1);
    struct wi_emu_counters c = run(&p, &pipelined);
    print_message("matmul 64x64x64: %lu cycles of at least 2048, %zu bytes\n",
                  (unsigned long)c.cycles, pipelined.bytes.len);
    assert_int_equal(pipelined.loops[0].cycles, 32);
    assert_int_equal(pipelined.loops[0].bound, 32);
    assert_int_equal(pipelined.loops[0].tries, 0); /* else known.def is out of date */
    assert_true(c.cycles <= 2110);
    assert_int_equal(c.stalls[WI_EMU_STALL_MEMORY], 0);
    fill(&p, 64, 192, 64, 1);
    c = run(&p, &pipelined);
    print_message("matmul 64x192x64: %lu cycles of at least 6144\n", (unsigned long)c.cycles);
    assert_true(c.cycles <= 6210);
    assert_int_equal(c.stalls[WI_EMU_STALL_MEMORY], 0);
    assert_true(pipelined.bytes.len <= 1500);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(shapes),
                                       cmocka_unit_test(bad_shapes_are_refused),
                                       cmocka_unit_test(budgets)};
    return cmocka_run_group_tests(tests, setup, teardown);
}

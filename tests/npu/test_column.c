/* GEMM jobs of cascade columns on the emulated array, with the role programs, descriptors and locks
 * of the encoder: results bit for bit those of plain C with the chip's order of sums, and what a
 * job takes. */
#include "unit/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "krig.h"
#include "npu/cases/column.h"

enum { ROWS = WI_COLUMN_TOKENS, K = WI_COLUMN_K, N = WI_COLUMN_N, K_ROW = K / WI_COLUMN_ROWS };
enum { COLS = WI_COLUMN_COLS, JOBS = 3, BOUND = WI_COLUMN_PANELS * 1536 };

static struct wi_column_programs programs;

static int link_programs(void **state) {
    struct wisp_error err = {0};
    (void)state;
    if (wi_column_link(&programs, &err) != WISP_OK)
        fail_msg("%s", err.text);
    return 0;
}

static int unlink_programs(void **state) {
    (void)state;
    wi_column_programs_fini(&programs);
    return 0;
}

/* Each column's own A and X; weights and biases of each job. */
static struct problem {
    uint16_t a[COLS][ROWS * K], x[COLS][ROWS * N], w[JOBS][K * N];
    float bias[JOBS][N];
} problem;

static void fill(struct problem *p, uint64_t seed) {
    for (int col = 0; col < COLS; col++)
        for (int i = 0; i < ROWS * K; i++) {
            p->a[col][i] = krig_random_bf16(&seed);
            p->x[col][i] = krig_random_bf16(&seed);
        }
    for (int job = 0; job < JOBS; job++) {
        for (int i = 0; i < K * N; i++)
            p->w[job][i] = (uint16_t)(krig_random_bf16(&seed) - (4 << 7)); /* / 16 */
        for (int i = 0; i < N; i++)
            p->bias[job][i] = krig_f32(krig_random_bf16(&seed)) * 1.2345f;
    }
}

/* The chain from the top down; the core whose features a column is among adds X with its second 8
 * of k. */
static uint16_t host_element(const struct problem *p, int job, const uint16_t *a, uint16_t x,
                             int row, int n) {
    float sum = p->bias[job][n];
    for (int r = WI_COLUMN_ROWS - 1; r >= 0; r--)
        for (int k = r * K_ROW; k < (r + 1) * K_ROW; k += 8) {
            uint16_t w[8];
            for (int e = 0; e < 8; e++)
                w[e] = p->w[job][(k + e) * N + n];
            bool owns = n / K_ROW == r && k % K_ROW == 8;
            sum = krig_addmac(sum, owns ? krig_f32(x) : 0, 8, a + row * K + k, w);
        }
    return krig_bf16(sum);
}

static struct wi_column_time run(struct problem *p, uint16_t *x, int cols, int jobs) {
    const struct wi_column_work work = {cols, jobs, p->a[0], x, p->w[0], p->bias[0]};
    struct wi_column_time time;
    struct wisp_error err = {0};
    memcpy(x, p->x, sizeof p->x);
    if (wi_column_work_run(&work, &programs, NULL, &time, &err) != WISP_OK)
        fail_msg("%s", err.text);
    return time;
}

/* All rows, or each `step`-th. */
static void jobs_are_the_hosts(int cols, int jobs, int step) {
    static uint16_t got[COLS][ROWS * N];
    fill(&problem, 11 + (uint64_t)jobs);
    run(&problem, got[0], cols, jobs);
    for (int col = 0; col < cols; col++)
        for (int i = 0; i < ROWS * N; i += (i + 1) % N ? 1 : 1 + (step - 1) * N) {
            uint16_t want = problem.x[col][i];
            for (int job = 0; job < jobs; job++)
                want = host_element(&problem, job, problem.a[col], want, i / N, i % N);
            if (got[col][i] != want)
                fail_msg("column %d: X[%d][%d] is 0x%04x, not 0x%04x", col, i / N, i % N,
                         got[col][i], want);
        }
}

static void one_column(void **state) {
    (void)state;
    jobs_are_the_hosts(1, 1, 1);
    jobs_are_the_hosts(1, JOBS, 5);
}

static void four_columns(void **state) {
    (void)state;
    jobs_are_the_hosts(COLS, 2, 9);
}

/* Against f64 of the bf16 operands: the sums' error and the result's rounding. */
static void accuracy(void **state) {
    (void)state;
    static uint16_t got[COLS][ROWS * N];
    double worst = 0;
    fill(&problem, 5);
    run(&problem, got[0], 1, 1);
    for (int i = 0; i < ROWS * N; i++) {
        double y = problem.bias[0][i % N] + (double)krig_f32(problem.x[0][i]), size;
        for (int k = 0; k < K; k++)
            y += (double)krig_f32(problem.a[0][i / N * K + k]) *
                 (double)krig_f32(problem.w[0][k * N + i % N]);
        size = exp2(floor(log2(fmax(fabs(y), 0.25))) - 7);
        worst = fmax(worst, fabs((double)krig_f32(got[0][i]) - y) / size);
    }
    print_message("worst error %.3f ulp\n", worst);
    assert_true(worst < 0.52);
}

static void budget(int cols, uint64_t cycles) {
    static uint16_t x[COLS][ROWS * N];
    fill(&problem, 7);
    struct wi_column_time t = run(&problem, x[0], cols, JOBS);
    print_message("%d columns: a job takes %lu cycles, %.1f a panel of at least 1536, %.1f %%\n",
                  cols, (unsigned long)t.cycles, (double)t.cycles / WI_COLUMN_PANELS,
                  100.0 * BOUND / (double)t.cycles);
    for (int row = WI_COLUMN_ROWS - 1; row >= 0; row--) {
        print_message("row %d waits", row);
        for (int i = 0; i < WI_EMU_STALLS; i++)
            print_message(", %s %lu", wi_emu_stall_name((enum wi_emu_stall)i),
                          (unsigned long)t.waits[row][i]);
        print_message("\n");
    }
    assert_int_equal(t.cycles, cycles);
}

static void budgets(void **state) {
    (void)state;
    budget(1, 52549);
    budget(COLS, 52549);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_column), cmocka_unit_test(four_columns),
                                       cmocka_unit_test(accuracy), cmocka_unit_test(budgets)};
    return cmocka_run_group_tests(tests, link_programs, unlink_programs);
}

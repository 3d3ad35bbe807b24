/* The GEMM unit on a cascade column: cores run one after the other, each with what the one above
 * sent; the scheduled programs, the same one operation at a time, and plain C. */
#include "unit/suite.h"

#include <stdlib.h>
#include <string.h>

#include "krig.h"
#include "npu/kernels/gemm.h"

enum { ROWS = WI_GEMM_ROWS, COLUMNS = WI_GEMM_COLUMNS, MAX_K = 128, TILES = 96, ROLES = 3 };
enum { PARAMS = 0x7c00, C = 0xcc00, BIAS = 0x7d00, R = 0x4c00, PIECE = 1024 };

static struct wi_code code[2][ROLES];
static struct krig rig;

static int setup(void **state) {
    (void)state;
    for (int how = 0; how < 2; how++) {
        krig_build(&code[how][WI_GEMM_TOP], wi_gemm_top_emit, (enum wi_schedule)how);
        krig_build(&code[how][WI_GEMM_MIDDLE], wi_gemm_middle_emit, (enum wi_schedule)how);
        krig_build(&code[how][WI_GEMM_BOTTOM], wi_gemm_bottom_emit, (enum wi_schedule)how);
    }
    krig_init(&rig);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    for (int i = 0; i < 2 * ROLES; i++)
        wi_code_fini(&code[i / ROLES][i % ROLES]);
    krig_fini(&rig);
    return 0;
}

/* A column of three cores with k of its own each. */
struct problem {
    int k;
    uint16_t a[ROLES][ROWS * MAX_K], w[ROLES][MAX_K * COLUMNS];
    float bias[COLUMNS];
    uint16_t r[ROLES][ROWS * COLUMNS]; /* of cores without one: zeros */
    bool has_r[ROLES];
};

static void fill(struct problem *p, int k, uint64_t seed) {
    p->k = k;
    for (int r = 0; r < ROLES; r++) {
        for (int i = 0; i < ROWS * k; i++)
            p->a[r][i] = krig_random_bf16(&seed);
        for (int i = 0; i < k * COLUMNS; i++)
            p->w[r][i] = krig_random_bf16(&seed);
    }
    for (int r = 0; r < ROLES; r++) {
        p->has_r[r] = r != k / 32 % ROLES;
        for (int i = 0; i < ROWS * COLUMNS; i++)
            p->r[r][i] = p->has_r[r] ? krig_random_bf16(&seed) : 0;
    }
    for (int i = 0; i < COLUMNS; i++)
        p->bias[i] = krig_f32(krig_random_bf16(&seed)) * 1.2345f;
}

static float host_element(const struct problem *p, int row, int column) {
    float sum = p->bias[column];
    for (int r = 0; r < ROLES; r++)
        for (int k = 0; k < p->k; k += 8) {
            uint16_t w[8];
            for (int e = 0; e < 8; e++)
                w[e] = p->w[r][(k + e) * COLUMNS + column];
            float more = k == 8 ? krig_f32(p->r[r][row * COLUMNS + column]) : 0;
            sum = krig_addmac(sum, more, 8, &p->a[r][row * p->k + k], w);
        }
    return sum;
}

/* Where tiles of 4 x 4 in pieces have an element. */
static int c4_byte(int row, int column) {
    int tile = row / 16 * 16 + row % 16 / 4 * 4 + column / 4;
    int byte = 32 * tile + row % 4 * 8 + column % 4 * 2;
    return byte / PIECE * WI_GEMM_PITCH + byte % PIECE;
}

/* Run one core with A at `a` and W at `w`; returns its cycles. */
static struct wi_emu_counters run_core(const struct problem *p, enum wi_gemm_role role, int how,
                                       uint32_t a, uint32_t w) {
    struct wi_gemm_params params;
    const struct wi_gemm_at at = {KRIG_MEMORY + a, KRIG_MEMORY + w, KRIG_MEMORY + BIAS,
                                  KRIG_MEMORY + C, KRIG_MEMORY + R, !p->has_r[role]};
    assert_true(wi_gemm_params(&params, p->k, &at));
    wi_emu_poison(rig.memory, sizeof rig.memory);
    wi_gemm_pack_a(rig.memory + a, p->a[role], p->k);
    wi_gemm_pack_w(rig.memory + w, p->w[role], p->k);
    memcpy(rig.memory + PARAMS, &params, sizeof params);
    memcpy(rig.memory + BIAS, p->bias, sizeof p->bias);
    for (int i = 0; p->has_r[role] && i < ROWS * COLUMNS; i++)
        memcpy(rig.memory + R + c4_byte(i / COLUMNS, i % COLUMNS), &p->r[role][i], 2);
    if (!p->has_r[role])
        memset(rig.memory + R, 0, 32);
    rig.n_cascade_out = 0;
    struct wi_emu_counters c = krig_run(&rig, &code[how][role], KRIG_MEMORY + PARAMS);
    assert_int_equal(rig.n_cascade_out, role == WI_GEMM_BOTTOM ? 0 : TILES);
    assert_int_equal(rig.at_cascade_in, rig.n_cascade_in);
    memcpy(rig.cascade_in, rig.cascade_out, sizeof rig.cascade_in);
    rig.n_cascade_in = rig.n_cascade_out;
    rig.at_cascade_in = 0;
    return c;
}

static void column_is_the_hosts(int k, int how, uint32_t a, uint32_t w) {
    static struct problem p;
    fill(&p, k, 77 + (uint64_t)k);
    rig.n_cascade_in = rig.at_cascade_in = 0;
    for (int role = 0; role < ROLES; role++)
        run_core(&p, (enum wi_gemm_role)role, how, a, w);
    for (int row = 0; row < ROWS; row++)
        for (int column = 0; column < COLUMNS; column++) {
            uint16_t got, want = krig_bf16(host_element(&p, row, column));
            memcpy(&got, rig.memory + C + c4_byte(row, column), 2);
            if (got != want)
                fail_msg("k %d: C[%d][%d] is 0x%04x, not 0x%04x", k, row, column, got, want);
        }
}

/* A in banks 0, 1 or 2, 3; W in the gaps behind the panels of bank 0 or 2. */
static void columns(void **state) {
    (void)state;
    for (int how = 0; how < 2; how++)
        for (int k = 64; k <= 128; k += 32)
            for (uint32_t half = 0; half < 2; half++)
                column_is_the_hosts(k, how, half ? 0x8000 : 0, half ? 0x0c00 : 0x8c00);
}

static void other_k_is_refused(void **state) {
    (void)state;
    struct wi_gemm_params p;
    const struct wi_gemm_at at = {0, 0, 0, 0, 0, true};
    assert_false(wi_gemm_params(&p, 32, &at));
    assert_false(wi_gemm_params(&p, 100, &at));
    assert_false(wi_gemm_params(&p, 160, &at));
}

static void budgets(void **state) {
    (void)state;
    static const char *const names[] = {"top", "middle", "bottom"};
    static struct problem p;
    fill(&p, 128, 1);
    rig.n_cascade_in = rig.at_cascade_in = 0;
    for (int role = 0; role < ROLES; role++) {
        struct wi_emu_counters c = run_core(&p, (enum wi_gemm_role)role, 0, 0, 0x8c00);
        print_message("%s 96x128x16: %lu cycles of at least 1536, %zu bytes\n", names[role],
                      (unsigned long)c.cycles, code[0][role].bytes.len);
        assert_int_equal(code[0][role].loops[0].cycles, 32);
        assert_int_equal(code[0][role].loops[0].tries, 0); /* else known.def is out of date */
        assert_true(c.cycles <= 1605);
        assert_int_equal(c.cycles, c.bundles);
        assert_true(code[0][role].bytes.len <= 2200);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns), cmocka_unit_test(other_k_is_refused), cmocka_unit_test(budgets)};
    return cmocka_run_group_tests(tests, setup, teardown);
}

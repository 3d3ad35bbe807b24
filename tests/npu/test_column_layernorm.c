/* LayerNorm of a column on the emulated array: the role programs of four cores take a unit of
 * commands each, sums go down the cascade, scales come back up from core to core by locks, and y is
 * bit for bit that of plain C. */
#include "unit/suite.h"

#include <string.h>

#include "krig.h"
#include "lnref.h"
#include "npu/array/column.h"
#include "npu/emu/array.h"
#include "npu/isa/map.h"

enum { ROWS = WI_COLUMN_TOKENS, CORES = WI_COLUMN_ROWS, FIRST = WI_TILE_FIRST_CORE };
enum { FEATURES = 512, SLICE = FEATURES / CORES, PANELS = SLICE / 16 };
/* x where A of every second job is, state in the place of R, weights behind the head of the unit
 * that brings the commands: three banks. */
enum { X = WI_ROLE_A + WI_ROLE_A_OTHER, STATE = WI_ROLE_R, WEIGHTS = WI_ROLE_RING + WI_GEMM_PITCH };
enum { SCALES_FULL = 8, BUDGET = 4942 }; /* a lock; cycles of the top, the last to end */

struct unit {
    struct wi_command commands[6];
    uint8_t gap[128 - 6 * sizeof(struct wi_command)];
    struct wi_layernorm_params params;
};
_Static_assert(sizeof(struct unit) <= WI_ROLE_HEAD_BYTES, "a unit's head");

static struct wi_column_programs programs;
static struct lnref problem;

static int setup(void **state) {
    struct wisp_error err = {0};
    (void)state;
    if (wi_column_link(&programs, &err) != WISP_OK)
        fail_msg("%s", err.text);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    wi_column_programs_fini(&programs);
    return 0;
}

/* What row r of the cores does: the bottom, 0, makes scales for all. */
static struct unit unit_of(int r) {
    const struct wi_linked *program = &programs.of[wi_column_role(r)];
    struct wi_layernorm_shape shape = problem.shape;
    const struct wi_layernorm_at at = {.x = X, .weights = WEIGHTS, .state = STATE};
    const uint32_t params = WI_ROLE_HEAD + offsetof(struct unit, params);
    const uint32_t from_below = 64 + SCALES_FULL; /* the lock as the core above sees it */
    struct unit u;
    int n = 0;
    memset(&u, 0, sizeof u);
    shape.here = SLICE;
    shape.pitch = shape.state_pitch = WI_GEMM_PITCH;
    assert_true(wi_layernorm_params(&u.params, &shape, &at));
#define DO(routine, p) u.commands[n++] = (struct wi_command){program->at[routine].address, p, 1}
    DO(WI_ROLE_LAYERNORM_SUMS, params);
    if (r > 0)
        DO(WI_ROLE_ACQUIRE, from_below);
    DO(WI_ROLE_LAYERNORM_SCALES, params);
    DO(WI_ROLE_RELEASE, WI_ROLE_LOCK(SCALES_FULL, 1));
    DO(WI_ROLE_LAYERNORM_APPLY, params);
    u.commands[n] = (struct wi_command){0, WI_ROLE_RING + WI_GEMM_RING, 1};
    return u;
}

static int element(int row, int c, bool in) {
    int at = c / 16 * WI_GEMM_PITCH + row / 4 * 128 + c % 16 / 8 * 64;
    return at + (in ? c % 8 / 4 * 32 + row % 4 * 8 + c % 4 * 2 : row % 4 * 16 + c % 8 * 2);
}

/* A core's memory with its slice, and the unit as if it had come by the ring. */
static void load_core(struct wi_plan *p, int r) {
    static uint8_t memory[WI_EMU_WINDOW_BYTES];
    const struct wi_at at = {0, FIRST + r};
    const struct wi_linked *program = &programs.of[wi_column_role(r)];
    const struct unit u = unit_of(r);
    memset(memory, 0, sizeof memory);
    memcpy(memory + WI_ROLE_RING - WI_ROLE_MEMORY, &u, sizeof u);
    wi_layernorm_pack_weights((uint16_t *)(void *)(memory + WEIGHTS - WI_ROLE_MEMORY),
                              problem.gamma + SLICE * r, problem.beta + SLICE * r, SLICE);
    for (int i = 0; i < ROWS * SLICE; i++)
        memcpy(memory + X - WI_ROLE_MEMORY + element(i / SLICE, i % SLICE, true),
               &problem.x[i / SLICE * FEATURES + SLICE * r + i % SLICE], 2);
    wi_plan_bytes(p, at, WI_MAP_DATA_MEM, 0, memory, sizeof memory);
    wi_plan_bytes(p, at, WI_MAP_PROGRAM_MEM, 0, program->bytes.data, program->bytes.len);
    wi_plan_lock(p, at, WI_LOCK_RING_FULL, 1);
    wi_plan_reg(p, at, WI_MAP_CORE_CTRL, 0, 1);
}

static uint16_t read_bf16(struct wi_array *array, int r, int byte) {
    uint32_t word = 0, at = wi_map_offset(WI_TILE_CORE, WI_MAP_DATA_MEM, 0, (uint32_t)byte / 4);
    assert_true(wi_array_read(array, WI_TILE_ADDR(0, FIRST + r, at), &word));
    return (uint16_t)(byte % 4 ? word >> 16 : word);
}

static void read_y(struct wi_array *array) {
    for (int i = 0; i < ROWS * FEATURES; i++) {
        int c = i % FEATURES, at = X - WI_ROLE_MEMORY + element(i / FEATURES, c % SLICE, false);
        problem.y[i] = krig_f32(read_bf16(array, c / SLICE, at));
    }
}

/* Until all cores wait for the next unit, which does not come. */
static void run(struct wi_array *array) {
    struct wi_cfg load;
    struct wi_plan plan = {&load, {0}};
    struct wisp_error err = {0};
    wi_cfg_init(&load);
    for (int r = 0; r < CORES; r++)
        load_core(&plan, r);
    if (plan.err.code || wi_array_load(array, &load, &err) != WISP_OK)
        fail_msg("%s%s", plan.err.text, err.text);
    if (wi_array_idle(array, 100000) != WI_ARRAY_DONE)
        fail_msg("%s", wi_array_reason(array));
    wi_cfg_fini(&load);
    read_y(array);
}

/* The cascade's order of sums: the top has the last slice. */
static void compare(void) {
    static float y[FEATURES];
    for (int row = 0; row < ROWS; row++) {
        struct lnref_sums sums = {{0}, {0}};
        for (int r = CORES - 1; r >= 0; r--)
            lnref_add(&sums, NULL, problem.x + row * FEATURES + SLICE * r, SLICE);
        lnref_row(&problem, row, &sums, y);
        lnref_compare(&problem, row, y);
    }
}

/* From the unit to the last y, and what of it each core waits. */
static void print_times(const struct wi_array *array) {
    for (int r = CORES - 1; r >= 0; r--) {
        struct wi_emu_counters c;
        assert_true(wi_array_core_counters(array, 0, FIRST + r, &c));
        print_message("row %d: %lu cycles", r, (unsigned long)c.cycles);
        for (int i = 0; i < WI_EMU_STALLS; i++)
            print_message(", %s %lu", wi_emu_stall_name((enum wi_emu_stall)i),
                          (unsigned long)c.stalls[i]);
        print_message("\n");
        assert_true(r < CORES - 1 || c.cycles == BUDGET);
    }
}

static void a_column(void **state) {
    (void)state;
    struct wi_array_params params;
    struct wi_array *array;
    wi_array_params_init(&params);
    params.start_at_load = true;
    assert_int_equal(wi_array_create(&array, &params, WI_PORTABLE, NULL), WISP_OK);
    for (int kind = 0; kind < KDATA_KINDS; kind++) {
        lnref_fill(&problem, ROWS, FEATURES, WI_LAYERNORM_FAST, (enum kdata_kind)kind);
        run(array);
        compare();
    }
    print_times(array);
    wi_array_destroy(&array);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_column)};
    return cmocka_run_group_tests(tests, setup, teardown);
}

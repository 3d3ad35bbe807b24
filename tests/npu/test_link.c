/* The programs of the three roles: they fit, the checker passes them, and a list of commands does
 * what its routines do. */
#include "unit/suite.h"

#include <string.h>

#include "krig.h"
#include "npu/asm/check.h"
#include "npu/kernels/add.h"
#include "npu/kernels/gelu.h"
#include "npu/kernels/roles.h"

enum { COMMANDS = 0xf000, SCRATCH = 0xf100, PARAMS = 0xf200, TABLE = 0x4000 };
enum { X = 0, R = 0x8000, N = 1024 };

static void link_routines(struct wi_linked *linked, const struct wi_routine *routines, int n) {
    struct wisp_error err = {0};
    if (wi_link(linked, routines, n, KRIG_MEMORY + COMMANDS, KRIG_MEMORY + SCRATCH, &err) !=
        WISP_OK)
        fail_msg("%s", err.text);
}

static void check(const struct wi_linked *linked) {
    uint32_t entries[WI_LINK_MAX + 1] = {0};
    struct wi_check_report report;
    struct wisp_error err = {0};
    for (int i = 0; i < linked->n; i++)
        entries[i + 1] = linked->at[i].address;
    assert_int_equal(wi_check(&report, (const uint8_t *)linked->bytes.data, linked->bytes.len, 0,
                              entries, (size_t)linked->n + 1, &err),
                     WISP_OK);
    assert_int_equal(report.n_hazards, 0);
    wi_check_report_fini(&report);
}

static void roles_fit(void **state) {
    (void)state;
    static const char *const names[] = {"top", "middle", "bottom"};
    for (int role = WI_GEMM_TOP; role <= WI_GEMM_BOTTOM; role++) {
        struct wi_linked linked;
        int n;
        const struct wi_routine *routines = wi_role_routines((enum wi_gemm_role)role, &n);
        link_routines(&linked, routines, n);
        check(&linked);
        print_message("%s: %zu bytes; dispatcher %u", names[role], linked.bytes.len,
                      linked.dispatcher_bytes);
        for (int i = 0; i < linked.n; i++)
            print_message(", %s %u", linked.at[i].name, linked.at[i].bytes);
        print_message("\n");
        assert_int_equal(linked.n, n);
        assert_true(linked.bytes.len <= WI_ROLE_BYTES);
        wi_linked_fini(&linked);
    }
}

/* x + r, GELU of it, + r again: what one routine stores the next one reads. */
enum { ADD, GELU };
static const struct wi_routine add_and_gelu[] = {{"add", wi_add_emit}, {"gelu", wi_gelu_emit}};

static void commands_are_worked_off(void **state) {
    (void)state;
    static struct krig rig;
    struct wi_linked linked;
    struct wi_gelu_params gelu;
    uint16_t x[N], r[N], once[N], twice[N];
    uint64_t seed = 3;
    krig_init(&rig);
    link_routines(&linked, add_and_gelu, 2);
    const struct wi_add_params add = {KRIG_MEMORY + X, KRIG_MEMORY + R, KRIG_MEMORY + X,
                                      N / WI_ADD_STEP};
    const struct wi_command commands[] = {{linked.at[ADD].address, KRIG_MEMORY + PARAMS},
                                          {linked.at[GELU].address, KRIG_MEMORY + PARAMS + 64},
                                          {linked.at[ADD].address, KRIG_MEMORY + PARAMS},
                                          {0, 0}};
    wi_gelu_constants((uint16_t *)(void *)(rig.memory + TABLE));
    assert_true(wi_gelu_params(&gelu, 1, 2 * N, 2 * N, KRIG_MEMORY + X, KRIG_MEMORY + TABLE));
    memcpy(rig.memory + COMMANDS, commands, sizeof commands);
    memcpy(rig.memory + PARAMS, &add, sizeof add);
    memcpy(rig.memory + PARAMS + 64, &gelu, sizeof gelu);
    for (int i = 0; i < N; i++) {
        x[i] = krig_random_bf16(&seed);
        r[i] = krig_random_bf16(&seed);
    }
    memcpy(rig.memory + X, x, sizeof x);
    memcpy(rig.memory + R, r, sizeof r);
    assert_true(
        wi_emu_core_load(rig.core, 0, (const uint8_t *)linked.bytes.data, linked.bytes.len));
    enum wi_emu_stop stop = wi_emu_core_run(rig.core, 100 * 1000);
    if (stop != WI_EMU_DONE)
        fail_msg("stopped with %d: %s", stop, wi_emu_core_fault(rig.core));
    memcpy(twice, rig.memory + X, sizeof twice);
    /* each alone, on the same data */
    memcpy(rig.memory + X, x, sizeof x);
    for (int i = 0; i < 3; i++) {
        struct wi_code code;
        krig_build(&code, i == 1 ? wi_gelu_emit : wi_add_emit, WI_SERIAL);
        krig_run(&rig, &code, commands[i].params);
        wi_code_fini(&code);
    }
    memcpy(once, rig.memory + X, sizeof once);
    assert_memory_equal(once, twice, sizeof once);
    assert_memory_not_equal(once, x, sizeof x);
    wi_linked_fini(&linked);
    krig_fini(&rig);
}

static void too_much_is_refused(void **state) {
    (void)state;
    struct wi_routine many[WI_LINK_MAX + 1];
    struct wi_linked linked;
    struct wisp_error err = {0};
    int n;
    for (int i = 0; i <= WI_LINK_MAX; i++)
        many[i] = wi_role_routines(WI_GEMM_TOP, &n)[WI_ROLE_ATTENTION_VALUES];
    assert_int_equal(wi_link(&linked, many, 5, 0, 0, &err), WISP_E_UNSUPPORTED);
    err.code = 0;
    assert_int_equal(wi_link(&linked, many, WI_LINK_MAX + 1, 0, 0, &err), WISP_E_UNSUPPORTED);
}

WISP_SUITE(cmocka_unit_test(roles_fit), cmocka_unit_test(commands_are_worked_off),
           cmocka_unit_test(too_much_is_refused))

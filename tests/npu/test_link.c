/* The programs of the three roles: they fit, the checker passes them, and lists of commands do what
 * their routines do. */
#include "unit/suite.h"

#include <string.h>

#include "krig.h"
#include "npu/asm/check.h"
#include "npu/kernels/add.h"
#include "npu/kernels/gelu.h"
#include "npu/kernels/roles.h"

enum { X = 0, R = 0x8000, N = 1024, PARAMS = 0x7000, TABLE = 0x4000, ZEROS = 0xc000 };

static void link_routines(struct wi_linked *linked, const struct wi_routine *routines, int n) {
    struct wisp_error err = {0};
    const struct wi_resident resident = wi_role_resident();
    if (wi_link(linked, routines, n, &resident, &err) != WISP_OK)
        fail_msg("%s", err.text);
}

static void check(const struct wi_linked *linked) {
    uint32_t entries[WI_LINK_MAX + 1] = {0};
    struct wi_check_report report;
    struct wisp_error err = {0};
    char text[2000];
    for (int i = 0; i < linked->n; i++)
        entries[i + 1] = linked->at[i].address;
    assert_int_equal(wi_check(&report, (const uint8_t *)linked->bytes.data, linked->bytes.len, 0,
                              entries, (size_t)linked->n + 1, &err),
                     WISP_OK);
    for (size_t i = 0; i < report.n_findings; i++)
        if (wi_check_is_hazard(report.findings[i].rule)) {
            wi_check_print(&report.findings[i], text, sizeof text);
            fail_msg("%s", text);
        }
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

/* x + r and GELU of it, then three times + r: what one routine stores the next one reads. */
enum { TAKE, ADD, GELU, UNITS = 2 };

/* Who brings the units, to one place of the ring and the other. */
struct ring {
    struct krig rig;
    struct wi_command unit[UNITS][4];
    int n_given, n_freed;
};

static uint8_t *place(struct ring *r, int unit) {
    return r->rig.memory + (WI_ROLE_RING - KRIG_MEMORY) + unit % 2 * WI_GEMM_RING;
}

static int give_unit(void *host, unsigned id, int32_t value, uint64_t cycle) {
    struct ring *r = host;
    (void)cycle;
    assert_int_equal(id, WI_LOCK_OWN + WI_LOCK_RING_FULL);
    assert_int_equal(value, -1);
    if (r->n_given == UNITS)
        return 0;
    memcpy(place(r, r->n_given), r->unit[r->n_given], sizeof *r->unit);
    r->n_given++;
    return 1;
}

static int unit_is_freed(void *host, unsigned id, int32_t value, uint64_t cycle) {
    struct ring *r = host;
    (void)cycle;
    assert_int_equal(id, WI_LOCK_OWN + WI_LOCK_RING_FREE);
    assert_int_equal(value, 1);
    wi_emu_poison(place(r, r->n_freed++), sizeof *r->unit);
    return 0;
}

static void commands_are_worked_off(void **state) {
    (void)state;
    static struct ring ring;
    struct krig *rig = &ring.rig;
    int n;
    const struct wi_routine routines[] = {wi_role_routines(WI_GEMM_MIDDLE, &n)[WI_ROLE_TAKE],
                                          {"add", wi_add_emit},
                                          {"gelu", wi_gelu_emit}};
    struct wi_linked linked;
    struct wi_gelu_params gelu;
    uint16_t x[N], r[N], once[N], resident[N];
    uint64_t seed = 3;
    krig_init(rig);
    link_routines(&linked, routines, 3);
    check(&linked);
    struct wi_add_params add;
    const struct wi_pieces at_x = {KRIG_MEMORY + X, 2 * N, 2 * N};
    const struct wi_pieces at_r = {KRIG_MEMORY + R, 2 * N, 2 * N};
    assert_true(wi_add_params(&add, N, &at_x, &at_r, &at_x));
    const uint32_t at_add = KRIG_MEMORY + PARAMS, at_gelu = at_add + 64;
    const struct wi_command first[] = {{linked.at[ADD].address, at_add, 1},
                                       {linked.at[GELU].address, at_gelu, 1},
                                       {0, WI_ROLE_RING + WI_GEMM_RING, 1}};
    const struct wi_command second[] = {{linked.at[ADD].address, at_add, 3}, {0, WI_ROLE_RING, 1}};
    memcpy(ring.unit[0], first, sizeof first);
    memcpy(ring.unit[1], second, sizeof second);
    wi_gelu_constants((uint16_t *)(void *)(rig->memory + TABLE));
    const struct wi_gelu_at at = {KRIG_MEMORY + X, KRIG_MEMORY + TABLE, KRIG_MEMORY + ZEROS};
    memset(rig->memory + ZEROS, 0, 64);
    assert_true(wi_gelu_params(&gelu, 1, 2 * N, 2 * N, &at));
    memcpy(rig->memory + PARAMS, &add, sizeof add);
    memcpy(rig->memory + PARAMS + 64, &gelu, sizeof gelu);
    for (int i = 0; i < N; i++) {
        x[i] = krig_random_bf16(&seed);
        r[i] = krig_random_bf16(&seed);
    }
    memcpy(rig->memory + X, x, sizeof x);
    memcpy(rig->memory + R, r, sizeof r);
    wi_emu_core_connect(
        rig->core,
        &(struct wi_emu_port){.host = &ring, .acquire = give_unit, .release = unit_is_freed});
    assert_true(
        wi_emu_core_load(rig->core, 0, (const uint8_t *)linked.bytes.data, linked.bytes.len));
    enum wi_emu_stop stop = wi_emu_core_run(rig->core, 100 * 1000);
    if (stop != WI_EMU_BLOCKED) /* it waits for the next unit */
        fail_msg("stopped with %d: %s", stop, wi_emu_core_fault(rig->core));
    assert_int_equal(ring.n_freed, UNITS);
    memcpy(resident, rig->memory + X, sizeof resident);
    /* each alone, on the same data */
    memcpy(rig->memory + X, x, sizeof x);
    for (int i = 0; i < 5; i++) {
        struct wi_code code;
        krig_build(&code, i == 1 ? wi_gelu_emit : wi_add_emit, WI_SERIAL);
        krig_run(rig, &code, i == 1 ? at_gelu : at_add);
        wi_code_fini(&code);
    }
    memcpy(once, rig->memory + X, sizeof once);
    assert_memory_equal(once, resident, sizeof once);
    assert_memory_not_equal(once, x, sizeof x);
    wi_linked_fini(&linked);
    krig_fini(rig);
}

static void too_much_is_refused(void **state) {
    (void)state;
    int n;
    struct wi_routine many[WI_LINK_MAX + 1];
    const struct wi_resident resident = wi_role_resident();
    struct wi_linked linked;
    struct wisp_error err = {0};
    for (int i = 0; i <= WI_LINK_MAX; i++)
        many[i] = wi_role_routines(WI_GEMM_TOP, &n)[WI_ROLE_ATTENTION_VALUES];
    assert_int_equal(wi_link(&linked, many, 8, &resident, &err), WISP_E_UNSUPPORTED);
    err.code = 0;
    assert_int_equal(wi_link(&linked, many, WI_LINK_MAX + 1, &resident, &err), WISP_E_UNSUPPORTED);
}

WISP_SUITE(cmocka_unit_test(roles_fit), cmocka_unit_test(commands_are_worked_off),
           cmocka_unit_test(too_much_is_refused))

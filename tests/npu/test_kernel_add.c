/* Sums of bf16: the scheduled program, the same one operation at a time, and plain C. */
#include "unit/suite.h"

#include <string.h>

#include "krig.h"
#include "npu/kernels/add.h"

enum { X = 0, R = 0x4000, Y = 0x8000, PARAMS = 0xc000 };

static void sums_are_the_hosts(void **state) {
    (void)state;
    static struct krig rig;
    krig_init(&rig);
    for (int how = 0; how < 2; how++) {
        struct wi_code code;
        krig_build(&code, wi_add_emit, (enum wi_schedule)how);
        for (int n = WI_ADD_MIN; n <= 8192; n += 1088) {
            struct wi_add_params p = {KRIG_MEMORY + X, KRIG_MEMORY + R, KRIG_MEMORY + Y,
                                      (uint32_t)(n / WI_ADD_STEP)};
            uint16_t x[8192], r[8192], y[8192];
            uint64_t seed = (uint64_t)n;
            for (int i = 0; i < n; i++) {
                x[i] = krig_random_bf16(&seed);
                r[i] = krig_random_bf16(&seed);
            }
            wi_emu_poison(rig.memory, sizeof rig.memory);
            memcpy(rig.memory + X, x, 2 * (size_t)n);
            memcpy(rig.memory + R, r, 2 * (size_t)n);
            memcpy(rig.memory + PARAMS, &p, sizeof p);
            struct wi_emu_counters c = krig_run(&rig, &code, KRIG_MEMORY + PARAMS);
            memcpy(y, rig.memory + Y, 2 * (size_t)n);
            for (int i = 0; i < n; i++)
                assert_int_equal(y[i], krig_bf16(krig_add(krig_f32(x[i]), krig_f32(r[i]))));
            if (how == WI_PIPELINED)
                assert_true(c.cycles <= (unsigned)n / 8 + 32);
        }
        if (how == WI_PIPELINED) {
            print_message("add: %d cycles of at least %d for 64, %zu bytes\n", code.loops[0].cycles,
                          code.loops[0].bound, code.bytes.len);
            assert_int_equal(code.loops[0].cycles, code.loops[0].bound);
            assert_true(code.loops[0].min_steps <= WI_ADD_MIN / WI_ADD_STEP);
        }
        wi_code_fini(&code);
    }
    krig_fini(&rig);
}

WISP_SUITE(cmocka_unit_test(sums_are_the_hosts))

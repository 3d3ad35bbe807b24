/* When things happen in an emulated core, fact by fact.  The sources in brackets are those of
 * docs/npu-proof.md. */
#include "unit/suite.h"

#include <stdio.h>
#include <string.h>

#include "npu/isa/isa.h"
#include "rig.h"

#define NOPS1 "\n"
#define NOPS2 NOPS1 NOPS1
#define NOPS4 NOPS2 NOPS2
#define NOPS6 NOPS4 NOPS2
#define DRAIN NOPS6 NOPS6 "done\n"

static struct rig rig;

static int setup(void **state) {
    (void)state;
    rig_init(&rig, WI_PORTABLE);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    rig_fini(&rig);
    return 0;
}

/* `first`, then n NOPs, then `second` and the rest of the pipeline; a line each. */
static struct wi_emu_counters apart(const char *first, int n, const char *second) {
    char text[1024] = "";
    strcat(strcat(text, first), "\n");
    for (int i = 0; i < n; i++)
        strcat(text, "\n");
    strcat(strcat(strcat(text, second), "\n"), DRAIN);
    return rig_run(&rig, text);
}

/* Load to use: 7 bundles [doc llvm-aie II_LDA; array reference 9.1 #6]; six see the old value. */
static void a_load_is_seen_after_seven_bundles(void **state) {
    (void)state;
    rig_set_word(&rig, RIG_BASE, 42);
    rig_set(&rig, "p0", RIG_BASE);
    rig_set(&rig, "r1", 7);
    apart("lda r1, [p0, #0]", 5, "mov r2, r1");
    assert_int_equal(rig_get(&rig, "r2"), 7);
    wi_emu_core_reset(rig.core);
    rig_set(&rig, "p0", RIG_BASE);
    rig_set(&rig, "r1", 7);
    apart("lda r1, [p0, #0]", 6, "mov r2, r1");
    assert_int_equal(rig_get(&rig, "r2"), 42);
}

/* Scalar results: 1, mul 2, mov.d3 4 bundles [doc]. */
static void scalar_latencies(void **state) {
    (void)state;
    static const struct {
        const char *producer;
        int distance;
    } cases[] = {
        {"add r1, r2, r3", 1},      {"mul r1, r2, r3", 2},   {"mov.d1 r1, r2", 2},
        {"mov.d3 r1, r2", 4},       {"mov.d6 r1, r2", 7},    {"movx r1, #5", 1},
        {"mova r1, #5", 1},         {"lda r1, [p0, #0]", 7}, {"vextract.s32 r1, x0, r16", 2},
        {"divs r1, r31, r2, r3", 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int early = 0; early < 2; early++) {
            int n = cases[i].distance - 1 - early;
            if (n < 0)
                continue;
            wi_emu_core_reset(rig.core);
            rig_set(&rig, "p0", RIG_BASE);
            rig_set(&rig, "r1", 0x1234);
            rig_set(&rig, "r2", 3);
            rig_set(&rig, "r3", 5);
            apart(cases[i].producer, n, "mov r9, r1");
            if ((rig_get(&rig, "r9") == 0x1234) != (early == 1))
                fail_msg("%s at distance %d", cases[i].producer, n + 1);
        }
}

static void set_lanes(const char *reg, uint32_t value) {
    uint32_t v[32];
    for (int i = 0; i < 32; i++)
        v[i] = value;
    rig_set_vector(&rig, reg, v);
}

static uint32_t lane0(const char *reg) {
    uint32_t v[40];
    rig_get_vector(&rig, reg, v);
    return v[0];
}

/* Distances between vector instructions: producer of x1/bm1/cm1, consumer that copies it to
 * x9/bml8/cm8. [doc llvm-aie itineraries; isa 5.2] */
static void vector_latencies(void **state) {
    (void)state;
    static const struct {
        const char *what, *producer, *consumer, *to;
        int distance;
    } cases[] = {
        {"simple vector to simple vector, bypass", "vadd.32 x1, x2, x3", "vbor x9, x1, x1", "x9",
         1},
        {"vmov x to x, bypass", "vmov x1, x2", "vmov x9, x1", "x9", 1},
        {"simple vector to MAC, none", "vadd.32 x1, x2, x3", "vmul cm8, x1, x5, r0", "cm8", 2},
        {"load to vector", "vlda wl1, [p0, #0]", "vmov wl9, wl1", "wl9", 7},
        {"load B to vector", "vldb wl1, [p0, #0]", "vmov wl9, wl1", "wl9", 7},
        {"load to float accumulator operand, sampled at 3", "vlda amll1, [p0, #0]",
         "vadd.f bml8, bml1, bml7, r1", "bml8", 5},
        {"vconv to an accumulator operand: next bundle", "vconv.fp32.bf16 bml1, wl2",
         "vadd.f bml8, bml1, bml7, r1", "bml8", 0},
        {"vmac.f to vmac.f", "vmul.f bml1, x2, x3, r1", "vmac.f bml8, bml1, x7, x7, r1", "bml8", 4},
        {"vadd.f to vadd.f", "vadd.f bml1, bml2, bml2, r1", "vadd.f bml8, bml1, bml7, r1", "bml8",
         4},
        {"vmac.f to vmov", "vmul.f bml1, x2, x3, r1", "vmov x9, bml1", "x9", 6},
        {"vmac.f to vconv", "vmul.f bml1, x2, x3, r1", "vconv.bf16.fp32 wl9, bml1", "wl9", 6},
        {"vclr bm", "vclr bml1", "vmov x9, bml1", "x9", 6},
        {"vmac to vmac, VEC bypass", "vmul cm1, x2, x3, r0", "vmac cm8, cm1, x7, x7, r0", "cm8", 2},
        {"vmac to vmov", "vmul cm1, x2, x3, r0", "vmov x9, bml1", "x9", 5},
        {"vclr cm", "vclr cm1", "vmov x9, bml1", "x9", 5},
        {"vups to vmov", "vups.s32.s16 bml1, wl2, s0", "vmov x9, bml1", "x9", 3},
        {"vups to MAC accumulator", "vups.s32.s8 cm1, wl2, s0", "vmac cm8, cm1, x7, x7, r0", "cm8",
         1},
        {"vlda.ups to vmov", "vlda.ups.s32.s16 bml1, s0, [p0, #0]", "vmov x9, bml1", "x9", 9},
        {"vsrs", "vsrs.s16.s32 wl1, bml2, s0", "vmov wl9, wl1", "wl9", 4},
        {"vconv.bf16", "vconv.bf16.fp32 wl1, bml2", "vmov wl9, wl1", "wl9", 2},
        {"vpack", "vpack.s8.s16 wl1, x2", "vmov wl9, wl1", "wl9", 2},
        {"vunpack", "vunpack.s16.s8 x1, wl2", "vmov x9, x1", "x9", 7},
        {"vmov wh: no bypass", "vmov wh1, wl2", "vmov x9, x1", "x9", 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int early = 0; early < 2; early++) {
            int n = cases[i].distance - 1 - early;
            if (n < 0)
                continue;
            wi_emu_core_reset(rig.core);
            rig_set(&rig, "p0", RIG_BASE);
            rig_set(&rig, "r0", 776);
            rig_set(&rig, "r1", 28);
            for (int k = 0; k < 8; k++)
                rig_set_word(&rig, RIG_BASE + 4u * (unsigned)k, 0x3f803f80);
            set_lanes("x1", 0x02020202);
            set_lanes("cm1", 0x41414141);
            set_lanes("x2", 0x3f013f01);
            set_lanes("x3", 0x3f803f80);
            set_lanes("x5", 0x01010101);
            set_lanes("cm2", 0x00334455);
            apart(cases[i].producer, 30, cases[i].consumer); /* what a late consumer sees */
            uint32_t late = lane0(cases[i].to);
            wi_emu_core_reset(rig.core);
            rig_set(&rig, "p0", RIG_BASE);
            rig_set(&rig, "r0", 776);
            rig_set(&rig, "r1", 28);
            set_lanes("x1", 0x02020202);
            set_lanes("cm1", 0x41414141);
            set_lanes("x2", 0x3f013f01);
            set_lanes("x3", 0x3f803f80);
            set_lanes("x5", 0x01010101);
            set_lanes("cm2", 0x00334455);
            apart(cases[i].producer, n, cases[i].consumer);
            bool fresh = lane0(cases[i].to) == late;
            /* wh1 is not in lane 0 */
            if (strcmp(cases[i].what, "vmov wh: no bypass") == 0) {
                uint32_t v[16];
                rig_get_vector(&rig, "x9", v);
                fresh = v[8] == 0x3f013f01;
            }
            if (fresh != (early == 0))
                fail_msg("%s at distance %d: %s", cases[i].what, n + 1,
                         fresh ? "new value" : "old value");
        }
}

/* Of two writes the one that lands later wins, whatever the program's order [isa 5.1]. */
static void the_later_landing_wins(void **state) {
    (void)state;
    rig_set_word(&rig, RIG_BASE, 42);
    rig_set(&rig, "p0", RIG_BASE);
    apart("lda r1, [p0, #0]", 2, "movx r1, #5"); /* lands at 4, the load at 7 */
    assert_int_equal(rig_get(&rig, "r1"), 42);
}

/* A pointer update is seen by the next bundle [isa 4.2]. */
static void pointer_updates_take_one_bundle(void **state) {
    (void)state;
    rig_set_word(&rig, RIG_BASE + 4, 99);
    rig_set(&rig, "p0", RIG_BASE);
    rig_run(&rig, "padda [p0], #4\nlda r1, [p0, #0]\n" DRAIN);
    assert_int_equal(rig_get(&rig, "r1"), 99);
}

/* Memory order: stores and loads at stage 5, converting stores at 7, part words store at 11; in one
 * memory cycle loads come first [isa 7, 18]. */
static void loads_see_stores_by_memory_stage(void **state) {
    (void)state;
    static const struct {
        const char *store;
        int distance; /* from store to the first load that sees it */
    } cases[] = {{"st r1, [p0, #0]", 1},
                 {"vst.conv.bf16.fp32 bml0, [p0, #0]", 3},
                 {"vst.srs.s16.s32 bml0, s0, [p0, #0]", 3},
                 {"st.s8 r1, [p0, #0]", 7},
                 {"st.s16 r1, [p0, #0]", 7},
                 {"vst.pack.s8.s16 x0, [p0, #0]", 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int early = 0; early < 2; early++) {
            int n = cases[i].distance - 1 - early;
            char both[128];
            wi_emu_core_reset(rig.core);
            rig_set(&rig, "p0", RIG_BASE);
            rig_set_word(&rig, RIG_BASE, 0xabababab);
            set_lanes("x0", 0x00110011);
            set_lanes("cm0", 0x3f800000);
            rig_set(&rig, "r1", 0x11);
            if (n >= 0) {
                apart(cases[i].store, n, "lda r2, [p0, #0]");
            } else { /* the same bundle: part-word stores are in the load slot, but their distance
                        is 7 */
                snprintf(both, sizeof both, "lda r2, [p0, #0]; %s\n" DRAIN, cases[i].store);
                rig_run(&rig, both);
            }
            if ((rig_get(&rig, "r2") == 0xabababab) != (early == 1))
                fail_msg("%s at distance %d: 0x%x", cases[i].store, n + 1, rig_get(&rig, "r2"));
        }
}

/* Part-word stores sample their data at stage 7: a later bundle's result is what is stored
 * [isa 5.2]. */
static void part_words_are_sampled_late(void **state) {
    (void)state;
    rig_set(&rig, "p0", RIG_BASE);
    rig_set(&rig, "r1", 1);
    apart("st.s8 r1, [p0, #0]", 4,
          "movx r1, #2"); /* visible from step 6 on: stage 7 of the store */
    assert_int_equal(rig_word(&rig, RIG_BASE) & 0xff, 2);
    wi_emu_core_reset(rig.core);
    rig_set(&rig, "p0", RIG_BASE);
    rig_set(&rig, "r1", 1);
    apart("st.s8 r1, [p0, #0]", 5, "movx r1, #2");
    assert_int_equal(rig_word(&rig, RIG_BASE) & 0xff, 1);
}

/* A branch has five delay slots [doc]; jl's lr points behind them and can be read after 4. */
static void five_delay_slots(void **state) {
    (void)state;
    rig_run(&rig, "jl #192\nmovx r1, #1\nmovx r2, #2\nmovx r3, #3\nmovx r4, #4\nmovx r5, #5\n"
                  "movx r6, #6\ndone\n" NOPS4 "mov r10, lr; movx r7, #7\nret lr\n" NOPS4 "\n"
                  "movx r8, #8\n");
    for (uint32_t i = 1; i <= 7; i++) {
        char name[8];
        snprintf(name, sizeof name, "r%u", i);
        assert_int_equal(rig_get(&rig, name), i);
    }
    assert_int_equal(rig_get(&rig, "r8"), 0);
    assert_int_equal(rig_get(&rig, "r10"), 6 * 16);
}

/* Hardware loops run max(1, LC) times and cost nothing [hw xdna-emu; isa 6.2]. */
static void loop_trips(void **state) {
    (void)state;
    static const uint32_t trips[] = {0, 1, 2, 3, 100};
    for (size_t i = 0; i < sizeof trips / sizeof *trips; i++) {
        wi_emu_core_reset(rig.core);
        rig_set(&rig, "r1", trips[i]);
        struct wi_emu_counters c = rig_run(
            &rig, "movxm LS, #160\nmovxm LE, #176\nmov LC, r1\n" NOPS6 "\n" /* body: lines 10, 11 */
                  "add r2, r2, #1\nadd r3, r3, #1\ndone\n");
        uint32_t runs = trips[i] ? trips[i] : 1;
        assert_int_equal(rig_get(&rig, "r2"), runs);
        assert_int_equal(rig_get(&rig, "r3"), runs);
        assert_int_equal(rig_get(&rig, "LC"), 0);
        assert_int_equal(c.cycles, 10 + 2 * runs + 1);
        assert_int_equal(c.bundles, c.cycles);
    }
}

/* What no document says is refused. */
static void unproven_behaviour_stops(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"movxm LS, #64\nmovxm LE, #80\nmovx LC, #3\n\n\n\n\ndone\n", "less than 7 bundles"},
        {"j #0\nj #0\n", "delay slot"},
        {"vldb.compr.reset [p0]\n", "no document"},
        {"lda.tm r0, [p0]\n", "no document"},
        {"mov r0, srFPFlags\n", "not modelled"},
        {"vmac cm0, cm0, x0, x0, r0\n\n", NULL}, /* configuration 0 is 8x4 bits */
        {"vmac.f bml0, bml0, x0, x0, r0\n\n", "configuration 0x0"},
        {"vadd.f bml0, bml0, bml1, r0\n", "configuration 0x0"},
        {"lda r0, [p0, #0]\n" NOPS6, "no memory at 0x00000"},
        {"padda [p1], #2\nlda r0, [p1, #0]\n" NOPS6, NULL},
        {"acq #64, r0\n", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (!cases[i].says)
            continue;
        wi_emu_core_reset(rig.core);
        rig_program(&rig, cases[i].text);
        assert_int_equal(wi_emu_core_run(rig.core, 1000), WI_EMU_FAULT);
        if (!strstr(wi_emu_core_fault(rig.core), cases[i].says))
            fail_msg("'%s' says: %s", cases[i].text, wi_emu_core_fault(rig.core));
    }
}

/* LC may be set 7 bundles before the loop's last one and not later [doc llvm-aie]. */
static void loops_are_set_up_seven_bundles_before(void **state) {
    (void)state;
    static const char *const text[] = {
        "movxm LS, #144\nmovxm LE, #144\nmov LC, r1\n" NOPS6 "add r2, r2, #1\ndone\n",
        "movxm LS, #128\nmovxm LE, #128\nmov LC, r1\n" NOPS4 "\nadd r2, r2, #1\ndone\n"};
    for (int late = 0; late < 2; late++) {
        wi_emu_core_reset(rig.core);
        rig_set(&rig, "r1", 3);
        rig_program(&rig, text[late]);
        assert_int_equal(wi_emu_core_run(rig.core, 1000), late ? WI_EMU_FAULT : WI_EMU_DONE);
    }
}

/* A part-word store in a loop's last bundle is lost on silicon [hw xdna-emu]: refused. */
static void part_word_store_at_the_loop_end(void **state) {
    (void)state;
    rig_set(&rig, "p0", RIG_BASE);
    rig_set(&rig, "r1", 2);
    rig_program(&rig, "movxm LS, #160\nmovxm LE, #176\nmov LC, r1\n" NOPS6
                      "\n\nst.s8 r0, [p0, #0]\n" DRAIN);
    assert_int_equal(wi_emu_core_run(rig.core, 1000), WI_EMU_FAULT);
    assert_non_null(strstr(wi_emu_core_fault(rig.core), "part-word store"));
}

/* Bank conflicts: bank = 2 * (a >> 14 & 3) + (a >> 4 & 1); 256 bits take both banks of a pair; one
 * cycle per conflict [hw ignite-xdna for load pairs, xdna-emu for load and store]. */
static void bank_conflicts(void **state) {
    (void)state;
    static const struct {
        const char *bundle;
        uint32_t p0, p1;
        unsigned stalls;
    } cases[] = {
        {"vlda wl0, [p0, #0]; vldb wl1, [p1, #0]", 0, 0x40, 1},
        {"vlda wl0, [p0, #0]; vldb wl1, [p1, #0]", 0, 0x4000, 0},
        {"lda r0, [p0, #0]; vldb.128 wl1, [p1], m0", 0, 0x10, 0}, /* sibling banks */
        {"lda r0, [p0, #0]; vldb.128 wl1, [p1], m0", 0, 0x20, 1},
        {"lda r0, [p0, #0]; vldb.128 wl1, [p1], m0", 0x3ff0, 0x4010, 0},
        {"lda r0, [p0, #0]; st r1, [p1, #0]", 0, 0x20, 1},
        {"lda r0, [p0, #0]; st r1, [p1, #0]", 0, 0x10, 0},
        {"vlda wl0, [p0, #0]; vst wl1, [p1, #0]", 0x8000, 0x8020, 1},
        {"vlda wl0, [p0, #0]; vst wl1, [p1, #0]", 0x8000, 0xc020, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256];
        wi_emu_core_reset(rig.core);
        rig_set(&rig, "p0", RIG_BASE + cases[i].p0);
        rig_set(&rig, "p1", RIG_BASE + cases[i].p1);
        snprintf(text, sizeof text, "%s\n" DRAIN, cases[i].bundle);
        struct wi_emu_counters c = rig_run(&rig, text);
        if (c.stalls[WI_EMU_STALL_MEMORY] != cases[i].stalls)
            fail_msg("%s at 0x%x 0x%x: %u stalls", cases[i].bundle, cases[i].p0, cases[i].p1,
                     (unsigned)c.stalls[WI_EMU_STALL_MEMORY]);
        assert_int_equal(c.cycles, c.bundles + cases[i].stalls);
    }
}

/* A converting store acts at stage 7: it meets the load that is issued two bundles later. */
static void converting_stores_conflict_at_their_own_stage(void **state) {
    (void)state;
    for (int n = 0; n < 4; n++) {
        wi_emu_core_reset(rig.core);
        rig_set(&rig, "p0", RIG_BASE);
        struct wi_emu_counters c =
            apart("vst.conv.bf16.fp32 bml0, [p0, #0]", n, "vlda wl0, [p0, #32]");
        assert_int_equal(c.stalls[WI_EMU_STALL_MEMORY], n == 1);
    }
}

/* The measured loop: 24 + 9 * 1000 = 9024 cycles [hw xdna-emu 2026-07-02]: 24 bundles around, 9 in
 * the body. */
static void measured_loop_of_9024_cycles(void **state) {
    (void)state;
    rig_set(&rig, "r1", 1000);
    struct wi_emu_counters c =
        rig_run(&rig, "movxm LS, #240\nmovxm LE, #368\nmov LC, r1\n" NOPS6 NOPS6
                      "add r2, r2, #1\n" NOPS6 NOPS1 "add r3, r3, #1\n" NOPS6 NOPS2 "done\n");
    assert_int_equal(c.cycles, 24 + 9 * 1000);
    assert_int_equal(rig_get(&rig, "r2"), 1000);
}

/* Every completed acquire or release costs a cycle [hw xdna-emu 2026-06-07]; a denied one waits. */
static void locks_cost_a_cycle_and_wait(void **state) {
    (void)state;
    rig.locks[49] = 1;
    rig_set(&rig, "r0", (uint32_t)-1);
    rig_set(&rig, "r1", 1);
    struct wi_emu_counters c = rig_run(&rig, "acq #49, r0\n" NOPS4 "rel #48, r1\n" NOPS4 "done\n");
    assert_int_equal(rig.locks[49], 0);
    assert_int_equal(rig.locks[48], 1);
    assert_int_equal(c.stalls[WI_EMU_STALL_LOCK], 2);
    assert_int_equal(c.cycles, 11 + 2);
    wi_emu_core_reset(rig.core);
    rig_set(&rig, "r0", (uint32_t)-1);
    rig_set(&rig, "r1", 1);
    assert_int_equal(wi_emu_core_run(rig.core, 1000), WI_EMU_BLOCKED);
    assert_int_equal(wi_emu_core_blocked(rig.core), WI_EMU_STALL_LOCK);
    assert_int_equal(wi_emu_core_run(rig.core, 1000), WI_EMU_BLOCKED);
    rig.locks[49] = 1;
    wi_emu_core_wait(rig.core, 500);
    assert_int_equal(wi_emu_core_run(rig.core, 1000), WI_EMU_DONE);
    assert_int_equal(wi_emu_core_counters(rig.core).cycles, 500 + 11 + 2);
    assert_int_equal(wi_emu_core_counters(rig.core).stalls[WI_EMU_STALL_LOCK], 500 + 2);
}

/* v < 0: at least -v; v > 0: exactly v, which leaves 0 [doc am025; isa 16]. */
static void lock_values(void **state) {
    (void)state;
    rig.locks[50] = 3;
    rig_set(&rig, "r0", (uint32_t)-2);
    rig_set(&rig, "r1", 1);
    rig_run(&rig, "acq #50, r0\n" NOPS4 "acq #50, r1\n" NOPS4 "done\n");
    assert_int_equal(rig.locks[50], 0);
}

/* A stall freezes everything: distances count bundles, not cycles [hw xdna-emu]. */
static void stalls_freeze_the_pipeline(void **state) {
    (void)state;
    rig_set_word(&rig, RIG_BASE, 42);
    rig_set(&rig, "p0", RIG_BASE);
    rig_set(&rig, "r1", 7);
    rig_set(&rig, "r0", (uint32_t)-1);
    rig_program(&rig, "lda r1, [p0, #0]\n\nacq #49, r0\n\n\n\nmov r2, r1\nmov r3, r1\n" DRAIN);
    assert_int_equal(wi_emu_core_run(rig.core, 1000), WI_EMU_BLOCKED);
    wi_emu_core_wait(rig.core, 400);
    rig.locks[49] = 1;
    assert_int_equal(wi_emu_core_run(rig.core, 1000), WI_EMU_DONE);
    assert_int_equal(rig_get(&rig, "r2"), 7);
    assert_int_equal(rig_get(&rig, "r3"), 42);
}

/* Streams: 32 bits, a read lands after 7; blocking forms wait, others report [doc]. */
static void streams(void **state) {
    (void)state;
    rig.in[0] = 11;
    rig.n_in = 1;
    rig_set(&rig, "r5", 77);
    rig_run(&rig, "mov r1, SS\n" NOPS6 "mov r2, r1\nmov.nb r3, SS\nmov.tlast ms, r5\n" NOPS6 NOPS2
                  "mov r4, srSS0\n" DRAIN);
    assert_int_equal(rig_get(&rig, "r2"), 11);
    assert_int_equal(rig_get(&rig, "r4"), 0);
    assert_int_equal(rig.n_out, 1);
    assert_int_equal(rig.out[0], 77);
    assert_true(rig.out_last[0]);
    wi_emu_core_reset(rig.core);
    assert_int_equal(wi_emu_core_run(rig.core, 1000), WI_EMU_BLOCKED);
    assert_int_equal(wi_emu_core_blocked(rig.core), WI_EMU_STALL_STREAM_IN);
}

/* Cascade: 512 bits at once, stalls when empty or full [doc am020]. */
static void cascade(void **state) {
    (void)state;
    memset(rig.cascade_in[0], 0x5a, 64);
    rig.n_cascade_in = 1;
    rig_run(&rig, "vmov x1, SCD\n" NOPS6 "vmov x2, x1; vmov MCD, x1\n" DRAIN);
    assert_int_equal(lane0("x2"), 0x5a5a5a5a);
    assert_memory_equal(rig.cascade_out[0], rig.cascade_in[0], 64);
    wi_emu_core_reset(rig.core);
    assert_int_equal(wi_emu_core_run(rig.core, 1000), WI_EMU_BLOCKED);
    assert_int_equal(wi_emu_core_blocked(rig.core), WI_EMU_STALL_CASCADE_IN);
    wi_emu_core_reset(rig.core);
    rig.n_cascade_in = 2;
    rig.room_cascade_out = 1;
    assert_int_equal(wi_emu_core_run(rig.core, 1000), WI_EMU_BLOCKED);
    assert_int_equal(wi_emu_core_blocked(rig.core), WI_EMU_STALL_CASCADE_OUT);
}

static void breakpoints_stop_before_their_bundle(void **state) {
    (void)state;
    rig_program(&rig, "movx r1, #1\nmovx r2, #2\nmovx r3, #3\ndone\n");
    wi_emu_core_break(rig.core, 32, true);
    assert_int_equal(wi_emu_core_run(rig.core, 1000), WI_EMU_BREAK);
    assert_int_equal(wi_emu_core_pc(rig.core), 32);
    assert_int_equal(rig_get(&rig, "r2"), 2);
    assert_int_equal(rig_get(&rig, "r3"), 0);
    assert_int_equal(wi_emu_core_run(rig.core, 1000), WI_EMU_DONE);
    assert_int_equal(rig_get(&rig, "r3"), 3);
}

/* Mode registers after reset: 0 but the cascade enables, LE [array reference 3.5: CR 0x1800]. */
static void reset_values(void **state) {
    (void)state;
    assert_int_equal(rig_get(&rig, "crMCDEn"), 1);
    assert_int_equal(rig_get(&rig, "crSCDEn"), 1);
    assert_int_equal(rig_get(&rig, "crRnd"), 0);
    assert_int_equal(rig_get(&rig, "crSat"), 0);
    assert_int_equal(rig_get(&rig, "LE"), 0xfffff);
    assert_int_equal(rig_get(&rig, "LC"), 0);
}

/* Every instruction but the thirty or fewer without a known meaning can be decoded: the emulator
 * has no row that it merely believes to know.  A bundle of it stops, if at all, for another reason.
 */
static void every_known_row_has_a_meaning(void **state) {
    (void)state;
    unsigned unknown = 0;
    for (unsigned id = 1; id < WI_N_OPS; id++) {
        const struct wi_isa_info *info = wi_isa_info(id);
        struct wi_isa_bundle b = {.format = (uint8_t)wi_isa_format_for(1u << info->slot, 16)};
        uint8_t bytes[WI_ISA_MAX_BYTES];
        b.op[info->slot].id = (uint16_t)id;
        for (int i = 0; i < info->n_fields; i++) {
            const struct wi_isa_field *f = &info->field[i];
            for (unsigned code = 0; f->class != WI_CLASS_NONE && !b.op[info->slot].v[i]; code++)
                b.op[info->slot].v[i] = wi_isa_class_reg(f->class, code);
            if (f->class == WI_CLASS_NONE && f->sign == 'n')
                b.op[info->slot].v[i] = -(int32_t)f->scale;
        }
        assert_int_equal(wi_isa_pack(&b, bytes), 16);
        wi_emu_core_reset(rig.core);
        wi_emu_core_load(rig.core, 0, bytes, 16);
        wi_emu_core_run(rig.core, 1);
        bool refused = strstr(wi_emu_core_fault(rig.core), "no document says");
        if (refused != (info->semantics == WI_SEM_NONE))
            fail_msg("%s: %s", info->name, wi_emu_core_fault(rig.core));
        unknown += refused;
    }
    assert_true(unknown <= 30);
}

#define TIMED(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
WISP_SUITE(TIMED(a_load_is_seen_after_seven_bundles), TIMED(scalar_latencies),
           TIMED(vector_latencies), TIMED(the_later_landing_wins),
           TIMED(pointer_updates_take_one_bundle), TIMED(loads_see_stores_by_memory_stage),
           TIMED(part_words_are_sampled_late), TIMED(five_delay_slots), TIMED(loop_trips),
           TIMED(unproven_behaviour_stops), TIMED(part_word_store_at_the_loop_end),
           TIMED(loops_are_set_up_seven_bundles_before), TIMED(bank_conflicts),
           TIMED(converting_stores_conflict_at_their_own_stage),
           TIMED(measured_loop_of_9024_cycles), TIMED(locks_cost_a_cycle_and_wait),
           TIMED(lock_values), TIMED(stalls_freeze_the_pipeline), TIMED(streams), TIMED(cascade),
           TIMED(breakpoints_stop_before_their_bundle), TIMED(reset_values),
           TIMED(every_known_row_has_a_meaning))

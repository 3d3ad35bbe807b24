/* Locks in routines: somebody else owns a buffer before it is acquired and after it is released,
 * and spoils it then.  Scheduled and one operation at a time the routines take and give the same.
 */
#include "unit/suite.h"

#include <string.h>

#include "krig.h"
#include "npu/kernels/ops.h"

enum {
    IN = 0,
    OUT = 0x4000,
    BYTES = 256,
    PARTS = BYTES / 64,
    ROUNDS = 6,
    EVENTS = 4 * ROUNDS,
    MOVES = 3000
};
enum { IN_FULL = 48, IN_FREE, OUT_FREE, OUT_FULL };
enum { STREAM_IN = 1, STREAM_OUT, STREAM_OTHER };

/* The other side of the locks. */
struct other {
    struct krig *rig;
    uint8_t in[ROUNDS][BYTES], out[ROUNDS][BYTES];
    int n_in, n_out, n_events;
    unsigned event[EVENTS];
};

static int acquired(void *host, unsigned id, int32_t value, uint64_t cycle) {
    struct other *o = host;
    (void)cycle;
    assert_int_equal(value, -1);
    assert_true(o->n_events < EVENTS);
    o->event[o->n_events++] = id;
    if (id == IN_FULL)
        memcpy(o->rig->memory + IN, o->in[o->n_in++], BYTES);
    if (id == OUT_FREE)
        memset(o->rig->memory + OUT, 0x11, BYTES);
    return 1;
}

static int released(void *host, unsigned id, int32_t value, uint64_t cycle) {
    struct other *o = host;
    (void)cycle;
    assert_int_equal(value, 1);
    assert_true(o->n_events < EVENTS);
    o->event[o->n_events++] = id;
    if (id == IN_FREE)
        wi_emu_poison(o->rig->memory + IN, BYTES);
    if (id == OUT_FULL) {
        memcpy(o->out[o->n_out++], o->rig->memory + OUT, BYTES);
        wi_emu_poison(o->rig->memory + OUT, BYTES);
    }
    return 0;
}

static bool always(void *host) {
    (void)host;
    return true;
}
static void cascade_get(void *host, uint8_t value[64]) {
    (void)host;
    memset(value, 0, 64);
}
static void cascade_put(void *host, const uint8_t value[64]) {
    (void)host;
    (void)value;
}

struct names {
    struct wi_vreg in, out, other, take, give, sum, tile;
};

static struct names begin(struct wi_build *b) {
    struct names n = {.in = wi_build_const(b, WI_FAMILY_P, KRIG_MEMORY + IN, "in"),
                      .out = wi_build_const(b, WI_FAMILY_P, KRIG_MEMORY + OUT, "out"),
                      .other = wi_build_const(b, WI_FAMILY_P, KRIG_MEMORY + 0x8000, "other"),
                      .take = wi_build_const(b, WI_FAMILY_R, -1, "take"),
                      .give = wi_build_const(b, WI_FAMILY_R, 1, "give"),
                      .sum = wi_k_bm(b, "sum"),
                      .tile = wi_build_const(b, WI_FAMILY_R, WI_MAC_TILE, "sums")};
    wi_k_round_even(b);
    return n;
}

/* 16 fp32 of the buffer, plus what the cascade brings, as bf16; beside it what no lock guards. */
static void part(struct wi_build *b, const struct names *n, int32_t step, bool cascade) {
    struct wi_vreg v = wi_k_bm(b, "v"), other = wi_k_x(b, "other");
    if (cascade)
        WI_OP(b, VMOV_SCD, wi_r(n->sum));
    wi_build_load(b, wi_low(v), wi_k_next(n->in, 32, 1, STREAM_IN));
    wi_build_load(b, wi_high(v), wi_k_next(n->in, step, 1, STREAM_IN));
    wi_build_load(b, wi_low(other), wi_k_next(n->other, 32, 4, STREAM_OTHER));
    if (cascade)
        wi_k_add(b, v, v, n->sum, n->tile);
    wi_build_store_bf16(b, v, wi_k_next(n->out, step < 0 ? 0 : step, 2, STREAM_OUT));
    if (cascade)
        WI_OP(b, VMOV_MCD, wi_r(v));
}

static void take(struct wi_build *b, const struct names *n, uint8_t in, uint8_t out) {
    wi_build_acquire(b, wi_i(IN_FULL), n->take, in);
    wi_build_acquire(b, wi_r(wi_build_const(b, WI_FAMILY_R, OUT_FREE, "lock")), n->take, out);
}

static void give(struct wi_build *b, const struct names *n, uint8_t in, uint8_t out) {
    wi_build_release(b, wi_i(IN_FREE), n->give, in);
    wi_build_release(b, wi_r(wi_build_const(b, WI_FAMILY_R, OUT_FULL, "lock")), n->give, out);
}

static void one_round(struct wi_build *b, const struct names *n, struct wi_vreg steps) {
    wi_build_set(b, n->in, KRIG_MEMORY + IN);
    wi_build_set(b, n->out, KRIG_MEMORY + OUT);
    take(b, n, STREAM_IN, STREAM_OUT);
    wi_build_loop(b, (struct wi_loop){.name = "parts", .steps = steps, .apart = true});
    part(b, n, 32, true);
    wi_build_end_loop(b);
    give(b, n, STREAM_IN, STREAM_OUT);
}

/* Locks around a loop. */
static void around(struct wi_build *b) {
    struct names n = begin(b);
    for (int round = 0; round < ROUNDS; round++)
        one_round(b, &n, wi_build_const(b, WI_FAMILY_R, PARTS, "parts"));
}

/* Locks around a loop that is repeated with them: what drains meets what fills the next one. */
static void repeated(struct wi_build *b) {
    struct names n = begin(b);
    struct wi_vreg rounds = wi_build_const(b, WI_FAMILY_R, ROUNDS, "rounds");
    struct wi_vreg steps = wi_build_const(b, WI_FAMILY_R, PARTS, "parts");
    wi_build_repeat(b, rounds);
    one_round(b, &n, steps);
    wi_build_end_repeat(b);
}

/* Locks in each step of a loop, of one stream each or of all. */
static void inside(struct wi_build *b, uint8_t in, uint8_t out, bool cascade) {
    struct names n = begin(b);
    struct wi_vreg rounds = wi_build_const(b, WI_FAMILY_R, ROUNDS, "rounds");
    wi_build_loop(b, (struct wi_loop){.name = "rounds", .steps = rounds, .moves = MOVES});
    take(b, &n, in, out);
    part(b, &n, -32, cascade);
    give(b, &n, in, out);
    wi_build_end_loop(b);
}
static void inside_streams(struct wi_build *b) {
    inside(b, STREAM_IN, STREAM_OUT, false);
}
static void inside_all(struct wi_build *b) {
    inside(b, 0, 0, true);
}

static void same(void (*emit)(struct wi_build *b), int parts) {
    static struct krig rig;
    static struct other other[2];
    krig_init(&rig);
    for (int how = 0; how < 2; how++) {
        struct wi_code code;
        uint64_t seed = 5;
        struct other *o = &other[how];
        memset(o, 0, sizeof *o);
        o->rig = &rig;
        for (size_t i = 0; i < sizeof o->in / 4; i++) {
            float v = (float)krig_random(&seed) / 1e6f;
            memcpy(o->in[0] + 4 * i, &v, 4);
        }
        wi_emu_poison(rig.memory, 0x8000);
        wi_emu_core_connect(rig.core, &(struct wi_emu_port){.host = o,
                                                            .acquire = acquired,
                                                            .release = released,
                                                            .cascade_in_ready = always,
                                                            .cascade_get = cascade_get,
                                                            .cascade_out_ready = always,
                                                            .cascade_put = cascade_put});
        krig_build(&code, emit, (enum wi_schedule)how);
        struct wi_emu_counters c = krig_run(&rig, &code, 0);
        print_message("%lu cycles, %lu bundles\n", (unsigned long)c.cycles,
                      (unsigned long)c.bundles);
        wi_code_fini(&code);
        assert_int_equal(c.stalls[WI_EMU_STALL_LOCK], EVENTS); /* each costs a cycle */
        assert_int_equal(o->n_events, EVENTS);
        for (int i = 0; i < ROUNDS * parts * 16; i++) {
            int round = i / (parts * 16), at = i % (parts * 16);
            float v;
            uint16_t got, want;
            memcpy(&v, o->in[round] + 4 * at, 4);
            memcpy(&got, o->out[round] + 2 * at, 2);
            want = krig_bf16(v);
            assert_int_equal(got, want);
        }
    }
    assert_memory_equal(other[0].event, other[1].event, sizeof other[0].event);
    krig_fini(&rig);
}

static void around_a_loop(void **state) {
    (void)state;
    same(around, PARTS);
}

static void around_a_repeated_loop(void **state) {
    (void)state;
    same(repeated, PARTS);
}

static void inside_a_loop(void **state) {
    (void)state;
    same(inside_streams, 1);
    same(inside_all, 1);
}

/* ---------------------------------------------------------------- distances */

static uint8_t stored_to, given;

static void store_and_release(struct wi_build *b) {
    struct wi_vreg p = wi_build_const(b, WI_FAMILY_P, KRIG_MEMORY, "p");
    struct wi_vreg give = wi_build_const(b, WI_FAMILY_R, 1, "give");
    struct wi_vreg sum = wi_k_bm(b, "sum");
    WI_OP(b, VCLR_F, wi_r(sum));
    wi_build_store_bf16(b, sum, wi_k_at(p, 0, 1, stored_to));
    wi_build_release(b, wi_i(OUT_FULL), give, given);
}

static int bundles(uint8_t stored, uint8_t released_of) {
    struct wi_code code;
    stored_to = stored;
    given = released_of;
    krig_build(&code, store_and_release, WI_PIPELINED); /* the checker has no complaint */
    int n = code.n_bundles;
    wi_code_fini(&code);
    return n;
}

/* A lock waits as long as the margin says for what it guards, for other data until that is in
 * memory. */
static void other_data_delay_a_release_less(void **state) {
    (void)state;
    assert_int_equal(bundles(STREAM_OUT, 0), bundles(STREAM_OUT, STREAM_OUT));
    assert_int_equal(bundles(STREAM_OTHER, STREAM_OUT), bundles(STREAM_OUT, STREAM_OUT) - 4);
}

WISP_SUITE(cmocka_unit_test(around_a_loop), cmocka_unit_test(around_a_repeated_loop),
           cmocka_unit_test(inside_a_loop), cmocka_unit_test(other_data_delay_a_release_less))

/* Random routines: scheduled and one operation at a time they end with equal memory, and the
 * checker passes both.  The programs mix lines and loops, with and without blocks, some repeated.
 */
#include "unit/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "krig.h"
#include "npu/asm/ir.h"
#include "npu/kernels/ops.h"

enum {
    MIN_STEPS = 32,
    PROGRAMS = 600,
    MOVES = 3000,
    N_X = 4,
    N_BM = 3,
    N_R = 4,
    STREAM_IN = 1,
    STREAM_PLACE,
    STREAM_OUT
};

static uint64_t seed;
static struct wi_vreg x[N_X], bm[N_BM], r[N_R], conf, tile, shift, in, place, out, end;

static unsigned draw(unsigned n) {
    return krig_random(&seed) % n;
}

/* An x: one of those that live on, or a fresh one that is worked out here and now. */
static struct wi_vreg any_x(struct wi_build *b) {
    if (draw(3))
        return x[draw(N_X)];
    struct wi_vreg t = wi_k_x(b, "t");
    if (draw(2)) {
        wi_build_load(b, wi_low(t), wi_k_next(in, draw(4) ? 0 : 32, 1, STREAM_IN));
        wi_build_load(b, wi_high(t), wi_k_at(in, 64, 1, STREAM_IN));
    } else {
        WI_OP(b, VADD_32, wi_r(t), wi_r(x[draw(N_X)]), wi_r(x[draw(N_X)]));
    }
    return t;
}

static struct wi_vreg any_bm(struct wi_build *b) {
    if (draw(3))
        return bm[draw(N_BM)];
    struct wi_vreg t = wi_k_bm(b, "t");
    switch (draw(3)) {
    case 0: wi_k_mul(b, t, any_x(b), any_x(b), conf); break;
    case 1:
        wi_build_load(b, wi_low(t), wi_k_next(in, draw(4) ? 0 : 32, 1, STREAM_IN));
        wi_build_load(b, wi_high(t), wi_k_at(in, 0, 1, STREAM_IN));
        break;
    default: wi_build_load_f32(b, t, wi_k_next(in, draw(4) ? 0 : 32, 1, STREAM_IN));
    }
    return t;
}

/* A value that lives for long, beside few other operations. */
static void long_life(struct wi_build *b) {
    struct wi_vreg t = wi_k_x(b, "t"), square = wi_k_bm(b, "square"), cube = wi_k_bm(b, "cube");
    wi_build_load(b, wi_low(t), wi_k_next(in, 32, 1, STREAM_IN));
    wi_build_load(b, wi_high(t), wi_k_at(in, 0, 1, STREAM_IN));
    wi_k_mul(b, square, t, t, conf);
    wi_k_mul(b, cube, wi_k_narrow_twice(b, square), t, conf);
    wi_build_store_bf16(b, cube, wi_k_next(out, 32, 4, STREAM_OUT));
}

enum { STORE_X = 7, STORE_BM, LONG_LIFE = 13, KINDS = 15 };

static void random_op(struct wi_build *b, unsigned kind) {
    struct wi_vreg dx = x[draw(N_X)], da = bm[draw(N_BM)], dr = r[draw(N_R)];
    switch (kind) {
    case 0: WI_OP(b, VADD_16, wi_r(dx), wi_r(any_x(b)), wi_r(any_x(b))); break;
    case 1: WI_OP(b, VBAND, wi_r(dx), wi_r(any_x(b)), wi_r(any_x(b))); break;
    case 2: WI_OP(b, VSHUFFLE, wi_r(dx), wi_r(any_x(b)), wi_r(any_x(b)), wi_r(shift)); break;
    case 3:
    case 4: wi_k_mac(b, da, any_bm(b), any_x(b), any_x(b), conf); break;
    case 5: WI_OP(b, VADD_F, wi_r(da), wi_r(any_bm(b)), wi_r(any_bm(b)), wi_r(tile)); break;
    case 6:
        wi_build_load(b, draw(2) ? wi_low(dx) : wi_high(dx),
                      wi_k_next(in, draw(4) ? 0 : 32, 1, STREAM_IN));
        break;
    case STORE_X: wi_build_store(b, wi_low(any_x(b)), wi_k_next(out, 32, 4, STREAM_OUT)); break;
    case STORE_BM: wi_build_store_bf16(b, any_bm(b), wi_k_next(out, 32, 4, STREAM_OUT)); break;
    case 9: WI_OP(b, ADD, wi_r(dr), wi_r(r[draw(N_R)]), wi_r(r[draw(N_R)])); break;
    case 10: WI_OP(b, MUL, wi_r(dr), wi_r(r[draw(N_R)]), wi_r(r[draw(N_R)])); break;
    case 11: WI_OP(b, VBCST_32, wi_r(dx), wi_r(r[draw(N_R)])); break;
    case 12: WI_OP(b, VCONV_BF16_FP32, wi_r(wi_low(dx)), wi_r(any_bm(b))); break;
    case LONG_LIFE: long_life(b); break;
    default: /* in place */
        wi_build_load(b, wi_low(dx), wi_k_at(place, 0, 2, STREAM_PLACE));
        wi_build_store(b, wi_high(dx), wi_k_next(place, 32, 2, STREAM_PLACE));
    }
}

/* Each has a bank to itself: a loop stays within 16 KB. */
static void rewind_pointers(struct wi_build *b) {
    wi_build_set(b, in, KRIG_MEMORY);
    wi_build_set(b, place, KRIG_MEMORY + 0x4000);
    wi_build_set(b, out, KRIG_MEMORY + 0x8000);
}

/* Most loops that may overrun leave nothing behind but what they store: those that do. */
static unsigned kind_in(const struct wi_loop *loop) {
    static const unsigned stores[] = {STORE_X, STORE_BM, LONG_LIFE};
    return loop->overrun && draw(8) ? stores[draw(3)] : draw(KINDS);
}

static void random_loop(struct wi_build *b) {
    rewind_pointers(b);
    int n_steps = (int)(MIN_STEPS + draw(5));
    struct wi_vreg steps = wi_build_const(b, WI_FAMILY_R, n_steps, "steps");
    struct wi_vreg blocks = {0, 0, 0};
    bool nested = draw(3) == 0;
    if (nested)
        blocks = wi_build_const(b, WI_FAMILY_R, (int32_t)(1 + draw(2)), "blocks");
    int multiple = draw(2) ? n_steps & -n_steps : 0;
    struct wi_loop loop = {"random", steps, blocks, .moves = MOVES, .multiple = multiple};
    struct wi_vreg outer_in = in;
    loop.overrun = !nested && draw(2);
    if (loop.overrun && draw(4)) /* a pointer that nobody needs behind the loop */
        in = wi_build_const(b, WI_FAMILY_P, KRIG_MEMORY, "in");
    wi_build_loop(b, loop);
    for (unsigned n = 2 + draw(12); n > 0; n--) {
        wi_build_when(b, nested && draw(3) == 0 ? WI_FIRST_STEP + draw(2) : WI_EVERY_STEP);
        random_op(b, kind_in(&loop));
    }
    wi_build_end_loop(b);
    in = outer_in;
}

static void start(struct wi_build *b) {
    static const int32_t words[] = {0x3f803f00, 0x40003e80, -0x3f7fc0f0, 0x3fc03f10};
    in = wi_build_reg(b, WI_FAMILY_P, "in");
    place = wi_build_reg(b, WI_FAMILY_P, "place");
    out = wi_build_reg(b, WI_FAMILY_P, "out");
    rewind_pointers(b);
    end = wi_build_const(b, WI_FAMILY_P, KRIG_MEMORY + 0xc000, "end");
    conf = wi_build_const(b, WI_FAMILY_R, WI_MAC_LANES, "lanes");
    tile = wi_build_const(b, WI_FAMILY_R, WI_MAC_TILE, "tile");
    shift = wi_build_const(b, WI_FAMILY_R, 29, "mode");
    for (int i = 0; i < N_R; i++)
        r[i] = wi_build_const(b, WI_FAMILY_R, words[i], "r");
    for (int i = 0; i < N_X; i++) {
        x[i] = wi_k_x(b, "x");
        WI_OP(b, VBCST_32, wi_r(x[i]), wi_r(r[i]));
    }
    for (int i = 0; i < N_BM; i++) {
        bm[i] = wi_k_bm(b, "bm");
        WI_OP(b, VCLR_F, wi_r(bm[i]));
    }
}

static void finish(struct wi_build *b) {
    for (int i = 0; i < N_R; i++)
        wi_build_store(b, r[i], wi_k_next(end, 4, 8, STREAM_OUT + 1));
    for (int i = 4 * N_R; i < 32; i += 4)
        wi_build_store(b, r[0], wi_k_next(end, 4, 8, STREAM_OUT + 1));
    for (int i = 0; i < N_X; i++) {
        wi_build_store(b, wi_low(x[i]), wi_k_next(end, 32, 8, STREAM_OUT + 1));
        wi_build_store(b, wi_high(x[i]), wi_k_next(end, 32, 8, STREAM_OUT + 1));
    }
    for (int i = 0; i < N_BM; i++) {
        wi_build_store(b, wi_low(bm[i]), wi_k_next(end, 32, 8, STREAM_OUT + 1));
        wi_build_store(b, wi_high(bm[i]), wi_k_next(end, 32, 8, STREAM_OUT + 1));
    }
}

static uint64_t program_seed;

static void random_part(struct wi_build *b) {
    for (unsigned k = draw(10); k > 0; k--)
        random_op(b, draw(KINDS));
    if (draw(3))
        random_loop(b);
}

static void random_repetition(struct wi_build *b) {
    struct wi_vreg times = wi_build_const(b, WI_FAMILY_R, (int32_t)(1 + draw(3)), "times");
    wi_build_repeat(b, times);
    for (unsigned n = 1 + draw(2); n > 0; n--)
        random_part(b);
    wi_build_end_repeat(b);
}

static void emit(struct wi_build *b) {
    seed = program_seed;
    start(b);
    for (unsigned n = 1 + draw(3); n > 0; n--) {
        if (draw(3))
            random_part(b);
        else
            random_repetition(b);
    }
    finish(b);
}

static bool enough_steps(const struct wi_code *code) {
    for (int i = 0; i < code->n_loops; i++)
        if (code->loops[i].min_steps > MIN_STEPS)
            return false;
    return true;
}

/* False: the source has no schedule under the builder's rules, with the reason in err. */
static bool build(struct wi_code *code, enum wi_schedule how, long moves, struct wisp_error *err) {
    struct wi_build *b;
    assert_int_equal(wi_build_create(&b, err), WISP_OK);
    b->moves = moves;
    emit(b);
    bool ok = wi_build_finish(b, how, KRIG_BASE, code, err) == WISP_OK;
    wi_build_destroy(&b);
    return ok;
}

static void fill(struct krig *rig) {
    uint64_t s = 1;
    for (size_t i = 0; i < sizeof rig->memory; i += 2) {
        uint16_t v = krig_random_bf16(&s);
        memcpy(rig->memory + i, &v, 2);
    }
}

static void scheduled_equals_serial(void **state) {
    (void)state;
    static struct krig rig;
    static uint8_t memory[WI_EMU_WINDOW_BYTES];
    const char *asked = getenv("WISP_TEST_PROGRAMS"); /* more, for a long run */
    int programs = asked ? atoi(asked) : PROGRAMS, refused = 0, unrolled = 0, ahead = 0;
    krig_init(&rig);
    for (int i = 0; i < programs; i++) {
        struct wi_code code[2];
        struct wisp_error err = {0};
        program_seed = 0x9e3779b97f4a7c15u * (uint64_t)(i + 1);
        if (!build(&code[0], WI_PIPELINED, 0, &err)) {
            if (err.code != WISP_E_UNSUPPORTED)
                fail_msg("program %d: %s", i, err.text);
            refused++;
            continue;
        }
        if (!enough_steps(&code[0])) {
            wi_code_fini(&code[0]);
            refused++;
            continue;
        }
        for (int k = 0; k < code[0].n_loops; k++) {
            const struct wi_loop_report *loop = &code[0].loops[k];
            unrolled += loop->times > 1;
            ahead += loop->min_steps < loop->stages * loop->times; /* without blocks */
        }
        if (!build(&code[1], WI_SERIAL, 0, &err))
            fail_msg("program %d: %s", i, err.text);
        for (int how = 0; how < 2; how++) {
            krig_check(&code[how]);
            fill(&rig);
            krig_run(&rig, &code[how], 0);
            if (how == 0)
                memcpy(memory, rig.memory, sizeof memory);
            wi_code_fini(&code[how]);
        }
        for (size_t k = 0; k < sizeof memory; k++)
            if (memory[k] != rig.memory[k])
                fail_msg("program %d: memory differs at 0x%zx", i, KRIG_MEMORY + k);
    }
    print_message("%d programs, %d without a schedule, %d loops of several steps at once, %d that "
                  "run ahead of the last one\n",
                  programs, refused, unrolled, ahead);
    assert_true(unrolled >= programs / 40);
    assert_true(ahead >= programs / 20);
    /* loops of a few bundles with every slot taken have no room for their branches */
    assert_true(refused <= programs / 6);
    krig_fini(&rig);
}

/* A search of its own: fewer cycles or as many in shorter steps, and the same results. */
static void longer_searches_shorten_steps(void **state) {
    (void)state;
    static struct krig rig;
    static uint8_t memory[WI_EMU_WINDOW_BYTES];
    int stages = 0, shorter = 0;
    krig_init(&rig);
    for (int i = 0; i < PROGRAMS / 10; i++) {
        struct wi_code code[2];
        struct wisp_error err = {0};
        program_seed = 0x9e3779b97f4a7c15u * (uint64_t)(i + 1);
        if (!build(&code[0], WI_PIPELINED, 0, &err))
            continue;
        if (!build(&code[1], WI_PIPELINED, 8 * MOVES, &err))
            fail_msg("program %d: %s", i, err.text);
        for (int k = 0; k < code[0].n_loops; k++) {
            const struct wi_loop_report *quick = &code[0].loops[k], *longer = &code[1].loops[k];
            assert_true(longer->cycles <= quick->cycles);
            if (longer->cycles < quick->cycles)
                continue;
            assert_true(longer->stages <= quick->stages);
            stages += quick->stages;
            shorter += quick->stages - longer->stages;
        }
        bool enough = enough_steps(&code[0]) && enough_steps(&code[1]);
        for (int k = 0; k < 2; k++) {
            if (enough) {
                krig_check(&code[k]);
                fill(&rig);
                krig_run(&rig, &code[k], 0);
                if (k == 0)
                    memcpy(memory, rig.memory, sizeof memory);
            }
            wi_code_fini(&code[k]);
        }
        if (enough)
            assert_memory_equal(memory, rig.memory, sizeof memory);
    }
    print_message("%d stages less of %d\n", shorter, stages);
    assert_true(shorter > stages / 30);
    krig_fini(&rig);
}

static unsigned wait, body;

/* A load at the end of a line, a loop of few bundles, and a conversion that shares the load's port
 * when the loop has run once, twice or more. */
static void emit_short_loop(struct wi_build *b) {
    struct wi_vreg p = wi_build_const(b, WI_FAMILY_P, KRIG_MEMORY, "p");
    struct wi_vreg sum = wi_k_bm(b, "sum"), n = wi_build_const(b, WI_FAMILY_R, 0, "n");
    struct wi_vreg loaded = wi_build_reg(b, WI_FAMILY_W, "w"),
                   rounded = wi_build_reg(b, WI_FAMILY_W, "w");
    struct wi_vreg one = wi_build_const(b, WI_FAMILY_R, 1, "one");
    struct wi_vreg steps = wi_build_const(b, WI_FAMILY_R, 8, "steps");
    WI_OP(b, VCLR_F, wi_r(sum));
    for (unsigned i = 0; i < wait; i++)
        WI_OP(b, PADDA_INC, wi_r(p), wi_i(32));
    wi_build_load(b, loaded, wi_k_at(p, 0, 1, STREAM_IN));
    wi_build_loop(b, (struct wi_loop){.name = "short", .steps = steps});
    for (unsigned i = 0; i < body; i++)
        WI_OP(b, ADD, wi_r(n), wi_r(n), wi_r(one));
    wi_build_end_loop(b);
    wi_k_narrow(b, rounded, sum);
    wi_build_store(b, rounded, wi_k_next(p, 32, 1, STREAM_OUT));
    wi_build_store(b, loaded, wi_k_next(p, 32, 1, STREAM_OUT));
    wi_build_store(b, n, wi_k_next(p, 4, 1, STREAM_OUT));
}

/* The checker follows every number of steps. */
static void ports_are_free_after_loops_of_few_bundles(void **state) {
    (void)state;
    for (body = 1; body <= 6; body++)
        for (wait = 0; wait <= 16; wait++) {
            struct wi_code code;
            krig_build(&code, emit_short_loop, WI_PIPELINED);
            wi_code_fini(&code);
        }
}

WISP_SUITE(cmocka_unit_test(scheduled_equals_serial),
           cmocka_unit_test(longer_searches_shorten_steps),
           cmocka_unit_test(ports_are_free_after_loops_of_few_bundles))

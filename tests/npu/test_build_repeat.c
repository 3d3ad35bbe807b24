/* Lines and loops that a routine repeats: scheduled and one operation at a time they leave the
 * memory that plain C leaves, however few operations they have. */
#include "unit/suite.h"

#include <string.h>

#include "krig.h"
#include "npu/kernels/ops.h"

enum { IN = 0, OUT = 0x4000, PARAMS = 0xc000, STEPS = 9, MOST = 7, BYTES = 0x400 };
enum { BANK_IN = 1, BANK_OUT = 2, STREAM_IN = 1, STREAM_OUT };

struct params {
    uint32_t in, out, times, again, steps;
};

static struct krig rig;

struct names {
    struct wi_vreg in, out, times, again, steps, sum, mask;
};

static struct names begin(struct wi_build *b) {
#define AT(field) offsetof(struct params, field)
    return (struct names){.in = wi_k_param(b, WI_FAMILY_P, AT(in), "in"),
                          .out = wi_k_param(b, WI_FAMILY_P, AT(out), "out"),
                          .times = wi_k_param(b, WI_FAMILY_R, AT(times), "times"),
                          .again = wi_k_param(b, WI_FAMILY_R, AT(again), "again"),
                          .steps = wi_k_param(b, WI_FAMILY_R, AT(steps), "steps"),
                          .mask = wi_build_const(b, WI_FAMILY_R, 0x0ff00ff0, "mask"),
                          .sum = wi_build_const(b, WI_FAMILY_R, 1, "sum")};
}

static struct wi_vreg next(struct wi_build *b, const struct names *n) {
    struct wi_vreg word = wi_build_reg(b, WI_FAMILY_R, "word");
    wi_build_load(b, word, wi_k_next(n->in, 4, BANK_IN, STREAM_IN));
    return word;
}

static void put(struct wi_build *b, const struct names *n) {
    wi_build_store(b, n->sum, wi_k_next(n->out, 4, BANK_OUT, STREAM_OUT));
}

/* One operation beside the count of times. */
static void emit_short(struct wi_build *b) {
    struct names n = begin(b);
    wi_build_repeat(b, n.times);
    WI_OP(b, ADD, wi_r(n.sum), wi_r(n.sum), wi_r(n.mask));
    wi_build_end_repeat(b);
    put(b, &n);
}

static int plain_short(uint32_t *out, const uint32_t *in, uint32_t times, uint32_t again) {
    (void)in;
    (void)again;
    out[0] = 1 + times * 0x0ff00ff0u;
    return 1;
}

/* What a time leaves the next one needs at once; then the same for fewer operations. */
static void emit_chain(struct wi_build *b) {
    struct names n = begin(b);
    wi_build_repeat(b, n.times);
    WI_OP(b, MUL, wi_r(n.sum), wi_r(n.sum), wi_r(next(b, &n)));
    put(b, &n);
    wi_build_end_repeat(b);
    wi_build_repeat(b, n.again);
    WI_OP(b, XOR, wi_r(n.sum), wi_r(n.sum), wi_r(n.mask));
    put(b, &n);
    wi_build_end_repeat(b);
    put(b, &n);
}

static int plain_chain(uint32_t *out, const uint32_t *in, uint32_t times, uint32_t again) {
    uint32_t sum = 1;
    int n = 0;
    for (uint32_t i = 0; i < times; i++)
        out[n++] = sum *= *in++;
    for (uint32_t i = 0; i < again; i++)
        out[n++] = sum ^= 0x0ff00ff0u;
    out[n++] = sum;
    return n;
}

/* Two loops and a line on either side. */
static void emit_loops(struct wi_build *b) {
    struct names n = begin(b);
    struct wi_vreg all = wi_build_const(b, WI_FAMILY_R, 0, "all");
    wi_build_repeat(b, n.times);
    WI_OP(b, AND, wi_r(n.sum), wi_r(next(b, &n)), wi_r(n.mask));
    wi_build_loop(b, (struct wi_loop){.name = "products", .steps = n.steps});
    struct wi_vreg product = wi_build_reg(b, WI_FAMILY_R, "product");
    WI_OP(b, MUL, wi_r(product), wi_r(next(b, &n)), wi_r(n.mask));
    WI_OP(b, ADD, wi_r(n.sum), wi_r(n.sum), wi_r(product));
    put(b, &n);
    wi_build_end_loop(b);
    WI_OP(b, XOR, wi_r(all), wi_r(all), wi_r(n.sum));
    wi_build_loop(b, (struct wi_loop){.name = "sums", .steps = n.again});
    WI_OP(b, ADD, wi_r(all), wi_r(all), wi_r(n.mask));
    wi_build_end_loop(b);
    WI_OP(b, ADD, wi_r(n.sum), wi_r(n.sum), wi_r(all));
    put(b, &n);
    wi_build_end_repeat(b);
}

static int plain_loops(uint32_t *out, const uint32_t *in, uint32_t times, uint32_t again) {
    uint32_t all = 0;
    int n = 0;
    for (uint32_t i = 0; i < times; i++) {
        uint32_t sum = *in++ & 0x0ff00ff0u;
        for (int step = 0; step < STEPS; step++)
            out[n++] = sum += *in++ * 0x0ff00ff0u;
        all = (all ^ sum) + again * 0x0ff00ff0u;
        out[n++] = sum + all;
    }
    return n;
}

static int wait, busy;

/* A sum at the end and a conversion at the start that share a port some bundles apart, and scalar
 * operations where the branch could be. */
static void emit_ports(struct wi_build *b) {
    struct names n = begin(b);
    struct wi_vreg plain = wi_build_const(b, WI_FAMILY_R, WI_MAC_TILE, "plain sum");
    struct wi_vreg lanes = wi_build_const(b, WI_FAMILY_R, WI_MAC_LANES, "lanes");
    struct wi_vreg sum = wi_k_bm(b, "sum"), other = wi_k_bm(b, "other");
    struct wi_vreg x = wi_k_x(b, "x"), product = wi_k_bm(b, "product");
    struct wi_vreg rounded = wi_build_reg(b, WI_FAMILY_W, "rounded");
    WI_OP(b, VCLR_F, wi_r(sum));
    WI_OP(b, VCLR_F, wi_r(other));
    wi_build_repeat(b, n.times);
    wi_k_narrow(b, rounded, other);
    for (int i = 0; i < wait; i++)
        WI_OP(b, ADD, wi_r(n.sum), wi_r(n.sum), wi_r(n.mask));
    WI_OP(b, VBCST_32, wi_r(x), wi_r(n.sum));
    wi_k_mul(b, product, x, x, lanes);
    wi_k_add(b, sum, sum, product, plain);
    for (int i = 0; i < busy; i++)
        WI_OP(b, ADD, wi_r(n.sum), wi_r(n.sum), wi_r(n.mask));
    wi_build_end_repeat(b);
    wi_build_store_bf16(b, sum, wi_k_next(n.out, 32, BANK_OUT, STREAM_OUT));
    wi_build_store(b, rounded, wi_k_next(n.out, 32, BANK_OUT, STREAM_OUT));
}

/* The checker follows the branch back. */
static void ports_are_free_next_time(void **state) {
    (void)state;
    for (wait = 0; wait <= 16; wait++)
        for (busy = 0; busy <= 10; busy++) {
            struct wi_code code;
            krig_build(&code, emit_ports, WI_PIPELINED);
            wi_code_fini(&code);
        }
}

static uint64_t run(const struct wi_code *code, uint32_t times, uint32_t again) {
    uint64_t seed = 3;
    const struct params params = {KRIG_MEMORY + IN, KRIG_MEMORY + OUT, times, again, STEPS};
    for (int i = 0; i < BYTES; i += 4) {
        uint32_t word = krig_random(&seed);
        memcpy(rig.memory + IN + i, &word, 4);
    }
    memset(rig.memory + OUT, 0x55, BYTES);
    memcpy(rig.memory + PARAMS, &params, sizeof params);
    return krig_run(&rig, code, KRIG_MEMORY + PARAMS).cycles;
}

static void same(void (*emit)(struct wi_build *),
                 int (*plain)(uint32_t *, const uint32_t *, uint32_t, uint32_t)) {
    struct wi_code code[2];
    krig_init(&rig);
    krig_build_both(code, emit);
    for (int how = 0; how < 2; how++)
        for (uint32_t i = 0; i < MOST * MOST; i++) {
            uint32_t in[BYTES / 4], want[BYTES / 4], times = 1 + i % MOST, again = 1 + i / MOST;
            memset(want, 0x55, sizeof want);
            run(&code[how], times, again);
            memcpy(in, rig.memory + IN, sizeof in);
            assert_true(plain(want, in, times, again) <= BYTES / 4);
            assert_memory_equal(rig.memory + OUT, want, sizeof want);
        }
    wi_code_fini(&code[0]);
    wi_code_fini(&code[1]);
    krig_fini(&rig);
}

static void few_operations(void **state) {
    (void)state;
    same(emit_short, plain_short);
}
static void chains(void **state) {
    (void)state;
    same(emit_chain, plain_chain);
}
static void loops(void **state) {
    (void)state;
    same(emit_loops, plain_loops);
}

/* Each time takes as long as any other, and less than by itself. */
static void cycles(void **state) {
    (void)state;
    struct wi_code code;
    uint64_t one, two, three;
    krig_init(&rig);
    krig_build(&code, emit_loops, WI_PIPELINED);
    one = run(&code, 1, MOST);
    two = run(&code, 2, MOST);
    three = run(&code, 3, MOST);
    print_message("%lu cycles, then %lu\n", (unsigned long)one, (unsigned long)(two - one));
    assert_int_equal(three - two, two - one);
    assert_int_equal(two - one, 58);
    assert_true(two - one < one);
    wi_code_fini(&code);
    krig_fini(&rig);
}

/* ---------------------------------------------------------------- refused */

static void inside_another(struct wi_build *b, struct wi_vreg n) {
    wi_build_repeat(b, n);
    wi_build_repeat(b, n);
    wi_build_end_repeat(b);
    wi_build_end_repeat(b);
}
static void inside_loop(struct wi_build *b, struct wi_vreg n) {
    wi_build_loop(b, (struct wi_loop){.name = "loop", .steps = n});
    wi_build_repeat(b, n);
    wi_build_end_repeat(b);
    wi_build_end_loop(b);
}
static void without_end(struct wi_build *b, struct wi_vreg n) {
    wi_build_repeat(b, n);
}
static void without_start(struct wi_build *b, struct wi_vreg n) {
    (void)n;
    wi_build_end_repeat(b);
}

static void what_cannot_be_is_refused(void **state) {
    (void)state;
    static const struct {
        void (*emit)(struct wi_build *, struct wi_vreg);
        const char *text;
    } cases[] = {{inside_another, "a repetition inside of a loop or of another one"},
                 {inside_loop, "a repetition inside of a loop or of another one"},
                 {without_end, "a repetition without an end"},
                 {without_start, "the end of a repetition that has no start"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct wi_build *b;
        struct wi_code code;
        struct wisp_error err = {0};
        assert_int_equal(wi_build_create(&b, &err), WISP_OK);
        cases[i].emit(b, wi_build_const(b, WI_FAMILY_R, 4, "n"));
        assert_int_equal(wi_build_finish(b, WI_PIPELINED, KRIG_BASE, &code, &err),
                         WISP_E_UNSUPPORTED);
        assert_string_equal(err.text, cases[i].text);
        wi_build_destroy(&b);
    }
}

WISP_SUITE(cmocka_unit_test(few_operations), cmocka_unit_test(chains), cmocka_unit_test(loops),
           cmocka_unit_test(cycles), cmocka_unit_test(ports_are_free_next_time),
           cmocka_unit_test(what_cannot_be_is_refused))

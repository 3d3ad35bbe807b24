/* LayerNorm of whole rows: the scheduled program, the same one operation at a time, plain C with
 * the chip's arithmetic, and f64. */
#include "unit/suite.h"

#include <string.h>

#include "krig.h"
#include "lnref.h"

enum { ROWS = 16, GRADES = 2 }; /* the grades of whole rows */
enum { X = 0, STATE = 0xb000, PARAMS = 0xb800, WEIGHTS = 0xc000 };

static struct krig rig;
static struct wi_code code[GRADES][2]; /* [grade][how] */

static void emit_exact(struct wi_build *b) {
    wi_layernorm_emit(b, WI_LAYERNORM_EXACT);
}
static void emit_fast(struct wi_build *b) {
    wi_layernorm_emit(b, WI_LAYERNORM_FAST);
}

static int setup(void **state) {
    (void)state;
    krig_build_both(code[WI_LAYERNORM_EXACT], emit_exact);
    krig_build_both(code[WI_LAYERNORM_FAST], emit_fast);
    krig_init(&rig);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++)
        wi_code_fini(&code[i / 2][i % 2]);
    krig_fini(&rig);
    return 0;
}

/* ---------------------------------------------------------------- runs */

static uint16_t *element(int row, int c, bool in) {
    int at = c / 16 * ROWS * 32 + row / 4 * 128 + c % 16 / 8 * 64;
    at += in ? c % 8 / 4 * 32 + row % 4 * 8 + c % 4 * 2 : row % 4 * 16 + c % 8 * 2;
    return (uint16_t *)(void *)(rig.memory + X + at);
}

static struct wi_emu_counters run(struct lnref *p, int how) {
    struct wi_layernorm_params params;
    const struct wi_layernorm_at at = {
        .x = KRIG_MEMORY + X, .weights = KRIG_MEMORY + WEIGHTS, .state = KRIG_MEMORY + STATE};
    int n = p->shape.features;
    wi_emu_poison(rig.memory, sizeof rig.memory);
    assert_true(wi_layernorm_params(&params, &p->shape, &at));
    memcpy(rig.memory + PARAMS, &params, sizeof params);
    memset(rig.memory + X, 0, 3 * ROWS * 32); /* panels behind narrow rows */
    for (int i = 0; i < ROWS * n; i++)
        *element(i / n, i % n, true) = p->x[i];
    wi_layernorm_pack_weights((uint16_t *)(void *)(rig.memory + WEIGHTS), p->gamma, p->beta, n);
    struct wi_emu_counters c = krig_run(&rig, &code[p->shape.grade][how], KRIG_MEMORY + PARAMS);
    for (int i = 0; i < ROWS * n; i++)
        p->y[i] = krig_f32(*element(i / n, i % n, false));
    return c;
}

/* Memory after both programs is the same, and y is the host's, bit for bit. */
static void all_agree(int features, enum wi_layernorm_grade grade, enum kdata_kind kind) {
    static struct lnref p;
    static float y[LNREF_FEATURES];
    static uint8_t memory[WI_EMU_WINDOW_BYTES];
    lnref_fill(&p, ROWS, features, grade, kind);
    run(&p, 0);
    for (int r = 0; r < ROWS; r++) {
        struct lnref_sums sums = {{0}, {0}};
        lnref_add(&sums, NULL, p.x + r * features, features);
        lnref_row(&p, r, &sums, y);
        lnref_compare(&p, r, y);
    }
    memcpy(memory, rig.memory, sizeof memory);
    run(&p, 1);
    assert_memory_equal(memory, rig.memory, sizeof memory);
}

static void shapes(void **state) {
    (void)state;
    static const int features[] = {32, 48, 64, 80, 384, 400, 512, 768, 1024, 1264, 1280};
    for (size_t i = 0; i < sizeof features / sizeof *features; i++)
        for (int grade = 0; grade < GRADES; grade++)
            all_agree(features[i], (enum wi_layernorm_grade)grade, KDATA_NORMAL);
    for (int kind = 0; kind < KDATA_KINDS; kind++)
        for (int grade = 0; grade < GRADES; grade++)
            all_agree(512, (enum wi_layernorm_grade)grade, (enum kdata_kind)kind);
}

/* Rounding y costs half an ulp; fast: z's costs as much of z gamma, which beta may cancel. */
static void accuracy(void **state) {
    (void)state;
    static struct lnref p;
    for (int grade = 0; grade < GRADES; grade++)
        for (int kind = 0; kind < KDATA_KINDS; kind++) {
            lnref_fill(&p, ROWS, 512, (enum wi_layernorm_grade)grade, (enum kdata_kind)kind);
            run(&p, 0);
            struct kdata_error e = lnref_measure(&p);
            print_message("layernorm %s, %s: median %.3f, worst %.2f ulp, 1 - correlation %.1e\n",
                          lnref_grade((enum wi_layernorm_grade)grade),
                          kdata_name((enum kdata_kind)kind), e.median, e.worst, 1 - e.correlation);
            assert_true(e.median < (grade ? 0.4 : 0.3));
            if (kind != KDATA_CONSTANT)
                assert_true(e.worst < (grade ? 64 : 0.6));
            assert_true(e.correlation > 0.999995);
        }
}

/* The variance is a difference of sums that a mean of many deviations makes large. */
static void large_means(void **state) {
    (void)state;
    static struct lnref p;
    static const struct { double mean, worst; } cases[] = {{10, 0.6}, {100, 8}, {-1000, 64}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t seed = 5;
        lnref_fill(&p, ROWS, 512, WI_LAYERNORM_EXACT, KDATA_NORMAL);
        for (int k = 0; k < ROWS * 512; k++)
            p.x[k] = krig_bf16((float)(cases[i].mean + kdata_normal(&seed)));
        run(&p, 0);
        struct kdata_error e = lnref_measure(&p);
        print_message("layernorm exact, mean %g: median %.3f, worst %.2f ulp\n", cases[i].mean,
                      e.median, e.worst);
        assert_true(e.worst < cases[i].worst);
    }
}

/* Budgets: what was reached is not lost. */
static void budgets(void **state) {
    (void)state;
    static struct lnref p;
    static const struct {
        int step, bound;
        unsigned long cycles;
        size_t bytes;
    } most[GRADES] = {{12, 12, 2306, 2336}, {8, 8, 1775, 2032}};
    for (int grade = 0; grade < GRADES; grade++) {
        const struct wi_code *c0 = &code[grade][0];
        lnref_fill(&p, ROWS, 512, (enum wi_layernorm_grade)grade, KDATA_NORMAL);
        struct wi_emu_counters c = run(&p, 0);
        print_message(
            "layernorm 16 x 512, %s: %lu cycles, %.3f an element, %lu stalled, %zu bytes\n",
            grade ? "fast" : "exact", (unsigned long)c.cycles, (double)c.cycles / 8192,
            (unsigned long)c.stalls[WI_EMU_STALL_MEMORY], c0->bytes.len);
        assert_int_equal(c0->loops[0].cycles, 16);
        assert_int_equal(c0->loops[1].cycles, most[grade].step);
        assert_int_equal(c0->loops[1].bound, most[grade].bound);
        assert_int_equal(c0->loops[1].tries, 0); /* else known.def is out of date */
        assert_true(c0->loops[0].min_steps <= 2);
        assert_true(c0->loops[1].min_steps <= 6);
        assert_int_equal(c.cycles, most[grade].cycles);
        assert_int_equal(c0->bytes.len, most[grade].bytes);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(shapes), cmocka_unit_test(accuracy),
                                       cmocka_unit_test(large_means), cmocka_unit_test(budgets)};
    return cmocka_run_group_tests(tests, setup, teardown);
}

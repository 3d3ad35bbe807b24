/* LayerNorm in parts, on slices of rows: every part scheduled, the same one operation at a time,
 * and plain C with the chip's arithmetic. */
#include "unit/suite.h"

#include <math.h>
#include <string.h>

#include "krig.h"
#include "lnref.h"

enum { CORES = 4, UNITS = 3 };
enum { FROM_MEMORY = WI_LAYERNORM_FROM_MEMORY, FROM_CASCADE = WI_LAYERNORM_FROM_CASCADE };
enum { TO_CASCADE = WI_LAYERNORM_TO_CASCADE };
/* x and y of a slice; y in fp32 goes from Y on. */
enum { X = 0, Y = 0x4000, WEIGHTS = 0xbc00, STATE = 0xc000, PARAMS = 0xf000 };

static struct krig rig;
/* [which][how] */
static struct wi_code sums[WI_LAYERNORM_SUMS][2], scales[LNREF_GRADES][2], apply[LNREF_GRADES][2];
static int emit_which;

static void emit_sums(struct wi_build *b) {
    wi_layernorm_emit_sums(b, emit_which);
}
static void emit_scales(struct wi_build *b) {
    wi_layernorm_emit_scales(b, (enum wi_layernorm_grade)emit_which);
}
static void emit_apply(struct wi_build *b) {
    wi_layernorm_emit_apply(b, (enum wi_layernorm_grade)emit_which);
}

static int setup(void **state) {
    (void)state;
    for (emit_which = 0; emit_which < WI_LAYERNORM_SUMS; emit_which++)
        krig_build_both(sums[emit_which], emit_sums);
    for (emit_which = 0; emit_which < LNREF_GRADES; emit_which++) {
        krig_build_both(scales[emit_which], emit_scales);
        krig_build_both(apply[emit_which], emit_apply);
    }
    krig_init(&rig);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    for (int how = 0; how < 2; how++) {
        for (int i = 0; i < WI_LAYERNORM_SUMS; i++)
            wi_code_fini(&sums[i][how]);
        for (int i = 0; i < LNREF_GRADES; i++) {
            wi_code_fini(&scales[i][how]);
            wi_code_fini(&apply[i][how]);
        }
    }
    krig_fini(&rig);
    return 0;
}

/* ---------------------------------------------------------------- runs */

static bool serial_too = true;

/* The program and the same one operation at a time leave equal memory and send the same on. */
static struct wi_emu_counters run_both(const struct wi_code code[2]) {
    static struct krig before, serial;
    if (!serial_too)
        return krig_run(&rig, &code[WI_PIPELINED], KRIG_MEMORY + PARAMS);
    before = rig;
    krig_run(&rig, &code[WI_SERIAL], KRIG_MEMORY + PARAMS);
    serial = rig;
    rig = before;
    struct wi_emu_counters c = krig_run(&rig, &code[WI_PIPELINED], KRIG_MEMORY + PARAMS);
    assert_memory_equal(rig.memory, serial.memory, sizeof rig.memory);
    assert_memory_equal(rig.cascade_out, serial.cascade_out, sizeof rig.cascade_out);
    assert_int_equal(rig.n_cascade_out, serial.n_cascade_out);
    assert_int_equal(rig.at_cascade_in, serial.at_cascade_in);
    return c;
}

static uint8_t *element(const struct wi_layernorm_shape *s, int row, int c, bool in) {
    int rest = c / 16 * s->pitch + row / 4 * 128 + c % 16 / 8 * 64;
    if (in)
        return rig.memory + X + rest + c % 8 / 4 * 32 + row % 4 * 8 + c % 4 * 2;
    if (s->grade != WI_LAYERNORM_F32)
        return rig.memory + X + rest + row % 4 * 16 + c % 8 * 2;
    return rig.memory + Y + c / 16 * s->y_pitch + row / 4 * 256 + c % 16 / 8 * 128 + row % 4 * 32 +
           c % 8 * 4;
}

/* A slice of n features from the first on; all memory but the state is new. */
static void put(const struct lnref *p, int first, int n) {
    struct wi_layernorm_shape s = p->shape;
    struct wi_layernorm_params params;
    const struct wi_layernorm_at at = {KRIG_MEMORY + X, KRIG_MEMORY + Y, KRIG_MEMORY + WEIGHTS,
                                       KRIG_MEMORY + STATE};
    s.here = n;
    assert_true(wi_layernorm_params(&params, &s, &at));
    wi_emu_poison(rig.memory, WEIGHTS);
    for (int i = n / 16; i < 3; i++) /* what belongs to a narrow slice */
        memset(rig.memory + X + i * s.pitch, 0, (size_t)s.rows * 32);
    memcpy(rig.memory + PARAMS, &params, sizeof params);
    for (int r = 0; r < s.rows; r++)
        for (int c = 0; c < n; c++)
            memcpy(element(&s, r, c, true), &p->x[r * s.features + first + c], 2);
    wi_layernorm_pack_weights((uint16_t *)(void *)(rig.memory + WEIGHTS), p->gamma + first,
                              p->beta + first, n);
}

static void get(struct lnref *p, int first, int n) {
    for (int r = 0; r < p->shape.rows; r++)
        for (int c = 0; c < n; c++) {
            const uint8_t *at = element(&p->shape, r, c, false);
            float *y = &p->y[r * p->shape.features + first + c];
            uint16_t narrow;
            memcpy(&narrow, at, 2);
            if (p->shape.grade == WI_LAYERNORM_F32)
                memcpy(y, at, 4);
            else
                *y = krig_f32(narrow);
        }
}

static void cascade_on(void) {
    memcpy(rig.cascade_in, rig.cascade_out, sizeof rig.cascade_in);
    rig.n_cascade_in = rig.n_cascade_out;
    rig.at_cascade_in = rig.n_cascade_out = 0;
}

/* A column: each core has `n` slices of these widths, one after the other.  Sums of all but the
 * last one stay with it; the last one's go on with them. */
struct column {
    int n, width[UNITS];
};

static int column_width(const struct column *c) {
    int width = 0;
    for (int i = 0; i < c->n; i++)
        width += c->width[i];
    return width;
}

static void column_sums(const struct lnref *p, const struct column *c) {
    rig.n_cascade_in = rig.n_cascade_out = rig.at_cascade_in = 0;
    for (int core = 0, first = 0; core < CORES; core++) {
        wi_emu_poison(rig.memory + STATE, PARAMS - STATE);
        for (int i = 0; i < c->n; first += c->width[i++]) {
            bool last = i == c->n - 1;
            int which = (i ? FROM_MEMORY : 0) | (last && core ? FROM_CASCADE : 0) |
                        (last && core < CORES - 1 ? TO_CASCADE : 0);
            put(p, first, c->width[i]);
            run_both(sums[which]);
            assert_int_equal(rig.n_cascade_out, which & TO_CASCADE ? p->shape.rows / 2 : 0);
            assert_int_equal(rig.at_cascade_in, which & FROM_CASCADE ? p->shape.rows / 2 : 0);
            if (last)
                cascade_on();
        }
    }
}

static void column_apply(struct lnref *p, const struct column *c) {
    for (int core = 0, first = 0; core < CORES; core++)
        for (int i = 0; i < c->n; first += c->width[i++]) {
            put(p, first, c->width[i]);
            run_both(apply[p->shape.grade]);
            get(p, first, c->width[i]);
        }
}

static void host_column(const struct lnref *p, const struct column *c, int row, float *y) {
    struct lnref_sums all = {{0}, {0}};
    const uint16_t *x = p->x + row * p->shape.features;
    for (int core = 0; core < CORES; core++) {
        struct lnref_sums own = {{0}, {0}};
        for (int i = 0; i < c->n; x += c->width[i++])
            if (i < c->n - 1)
                lnref_add(&own, NULL, x, c->width[i]);
            else
                lnref_add(&all, &own, x, c->width[i]);
    }
    lnref_row(p, row, &all, y);
}

static void run_column(struct lnref *p, const struct column *c) {
    static float y[LNREF_FEATURES];
    column_sums(p, c);
    run_both(scales[p->shape.grade]);
    column_apply(p, c);
    for (int row = 0; row < p->shape.rows; row++) {
        host_column(p, c, row, y);
        lnref_compare(p, row, y);
    }
}

static void all_agree(int rows, const struct column *c, enum wi_layernorm_grade grade,
                      enum kdata_kind kind) {
    static struct lnref p;
    lnref_fill(&p, rows, CORES * column_width(c), grade, kind);
    run_column(&p, c);
}

/* ---------------------------------------------------------------- shapes */

/* What cores of a column have of 384, 512, 768, 1024 and 1280 features. */
static const struct column models[] = {
    {1, {96}}, {1, {128}}, {2, {128, 64}}, {2, {128, 128}}, {3, {128, 128, 64}}};
enum { MODELS = sizeof models / sizeof *models };

static void widths_of_models(void **state) {
    (void)state;
    for (int i = 0; i < MODELS; i++)
        for (int grade = 0; grade < LNREF_GRADES; grade++)
            all_agree(grade == WI_LAYERNORM_F32 ? 32 : 96, &models[i],
                      (enum wi_layernorm_grade)grade, KDATA_SKEWED);
}

static void kinds_of_data(void **state) {
    (void)state;
    for (int kind = 0; kind < KDATA_KINDS; kind++)
        for (int grade = 0; grade < LNREF_GRADES; grade++)
            all_agree(16, &models[1], (enum wi_layernorm_grade)grade, (enum kdata_kind)kind);
}

/* The least and more of each width, with every number of rows; 16 rows x 16 are too few steps. */
static void edges(void **state) {
    (void)state;
    static const struct column narrow[] = {{1, {16}}, {1, {32}},     {1, {48}},
                                           {1, {64}}, {2, {16, 64}}, {2, {48, 32}}};
    for (int i = 0; i < 6; i++)
        for (int rows = narrow[i].width[0] == 16 ? 32 : 16; rows <= 96; rows += 16)
            for (int grade = 0; grade < LNREF_GRADES; grade++)
                all_agree(rows, &narrow[i], (enum wi_layernorm_grade)grade, KDATA_NORMAL);
}

/* Panels and pieces of state with gaps between them, as a core's memory has them. */
static void gaps(void **state) {
    (void)state;
    static struct lnref p;
    static const struct {
        int rows, pitch, y_pitch, state_pitch;
        enum wi_layernorm_grade grade;
    } cases[] = {{96, 4096, 0, 2048, WI_LAYERNORM_FAST},
                 {64, 4096, 0, 1056, WI_LAYERNORM_FAST},
                 {96, 3104, 0, 1056, WI_LAYERNORM_EXACT},
                 {48, 3072, 0, 2048, WI_LAYERNORM_EXACT},
                 {32, 1056, 3072, 4096, WI_LAYERNORM_F32}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lnref_fill(&p, cases[i].rows, CORES * 96, cases[i].grade, KDATA_NORMAL);
        p.shape.pitch = cases[i].pitch;
        p.shape.y_pitch = cases[i].y_pitch;
        p.shape.state_pitch = cases[i].state_pitch;
        run_column(&p, &models[0]);
    }
}

static void bad_shapes_are_refused(void **state) {
    (void)state;
    const struct wi_layernorm_shape good = {.rows = 96,
                                            .features = 512,
                                            .here = 128,
                                            .pitch = 4096,
                                            .y_pitch = 6144,
                                            .state_pitch = 4096,
                                            .epsilon = LNREF_EPSILON,
                                            .grade = WI_LAYERNORM_F32};
    const struct wi_layernorm_at at = {0};
    struct wi_layernorm_params p;
    struct wi_layernorm_shape s[18];
    for (size_t i = 0; i < sizeof s / sizeof *s; i++)
        s[i] = good;
    s[0].rows = 0;
    s[1].rows = 24;
    s[2].features = 1296;
    s[3].features = 520;
    s[4].features = 112;
    s[5].here = s[5].rows = 16;
    s[6].here = 120;
    s[7].pitch = 3040;
    s[8].pitch = 4104;
    s[9].y_pitch = 6112;
    s[10].y_pitch = 6152;
    s[11].state_pitch = 992;
    s[12].state_pitch = 1032;
    s[13].epsilon = 0;
    s[14].rows = 48; /* a piece and a half */
    s[15].here = 0;
    s[16].rows = -16;
    s[17].epsilon = -1;
    assert_true(wi_layernorm_params(&p, &good, &at));
    for (size_t i = 0; i < sizeof s / sizeof *s; i++)
        if (wi_layernorm_params(&p, &s[i], &at))
            fail_msg("shape %zu was accepted", i);
    s[14].state_pitch = WI_LAYERNORM_PIECE;
    assert_true(wi_layernorm_params(&p, &s[14], &at));
}

/* ---------------------------------------------------------------- from core to core */

/* What comes from the south is its state, and nothing else. */
static void scales_from_south(void **state) {
    (void)state;
    static const struct {
        int rows, state_pitch;
    } cases[] = {{16, 1024}, {32, 4096}, {48, 1024}, {64, 1056}, {96, 2048}};
    static uint8_t south[WI_EMU_WINDOW_BYTES], want[WI_EMU_WINDOW_BYTES];
    struct wi_code code[2];
    krig_build_both(code, wi_layernorm_emit_scales_from_south);
    wi_emu_core_map(rig.core, WI_EMU_SOUTH, south);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static struct lnref p;
        uint64_t seed = i + 1;
        lnref_fill(&p, cases[i].rows, 512, WI_LAYERNORM_FAST, KDATA_NORMAL);
        p.shape.state_pitch = cases[i].state_pitch;
        put(&p, 0, 64);
        for (size_t k = 0; k < sizeof south; k++)
            south[k] = (uint8_t)krig_random(&seed);
        memcpy(want, rig.memory, sizeof want);
        for (int group = 0; group < cases[i].rows / 4; group++) {
            int at = STATE + group / 8 * cases[i].state_pitch + group % 8 * 128;
            memcpy(want + at, south + at, 128);
        }
        struct wi_emu_counters c = run_both(code);
        assert_memory_equal(rig.memory, want, sizeof want);
        if (i == 4) {
            print_message("layernorm's scales of 96 rows from the south: %lu cycles, %zu bytes\n",
                          (unsigned long)c.cycles, code[0].bytes.len);
            assert_int_equal(c.cycles, 118);
            assert_int_equal(code[0].bytes.len, 208);
        }
    }
    wi_code_fini(&code[0]);
    wi_code_fini(&code[1]);
}

/* ---------------------------------------------------------------- accuracy */

/* fp32: what remains are the errors of scales, 2^-17, and of z, 2^-17. */
static void accuracy(void **state) {
    (void)state;
    static struct lnref p;
    static const struct {
        double median, worst;
    } most[LNREF_GRADES] = {{0.3, 0.7}, {0.4, 64}, {0.002, 0.5}};
    serial_too = false;
    for (int i = 0; i < MODELS; i++)
        for (int grade = 0; grade < LNREF_GRADES; grade++)
            for (int kind = 0; kind < KDATA_KINDS; kind++) {
                int features = CORES * column_width(&models[i]);
                lnref_fill(&p, 16, features, (enum wi_layernorm_grade)grade, (enum kdata_kind)kind);
                run_column(&p, &models[i]);
                struct kdata_error e = lnref_measure(&p);
                print_message("layernorm %d, %s, %s: median %.4f, worst %.3f ulp, 1 - correlation "
                              "%.1e\n",
                              features, lnref_grade(p.shape.grade),
                              kdata_name((enum kdata_kind)kind), e.median, e.worst,
                              1 - e.correlation);
                assert_true(e.median < most[grade].median);
                assert_true(e.worst < (kind == KDATA_CONSTANT ? 0.001 : most[grade].worst));
                assert_true(e.correlation > 0.999995);
            }
    serial_too = true;
}

/* ---------------------------------------------------------------- budgets */

/* On a slice of the encoder: 96 rows of 128 features; fp32 of as many rows as a piece of state has.
 */
static void budgets(void **state) {
    (void)state;
    static struct lnref p;
    const struct {
        const char *name;
        const struct wi_code *code;
        int rows, steps; /* steps: that its shapes have at least */
        unsigned long cycles;
        size_t bytes;
    } parts[] = {
        {"sums, top", sums[TO_CASCADE], 96, 3, 796, 768},
        {"sums, middle", sums[TO_CASCADE | FROM_CASCADE], 96, 3, 798, 816},
        {"sums, bottom", sums[FROM_CASCADE], 96, 3, 798, 864},
        {"more sums", sums[FROM_MEMORY], 96, 3, 1600, 1120},
        {"more sums, middle", sums[FROM_MEMORY | FROM_CASCADE | TO_CASCADE], 96, 3, 1186, 944},
        {"scales", scales[WI_LAYERNORM_FAST], 96, 1, 1186, 992},
        {"apply, exact", apply[WI_LAYERNORM_EXACT], 96, 6, 2363, 1040},
        {"apply, fast", apply[WI_LAYERNORM_FAST], 96, 6, 1594, 880},
        {"apply, fp32", apply[WI_LAYERNORM_F32], 32, 6, 3300, 432}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        lnref_fill(&p, parts[i].rows, 512, WI_LAYERNORM_FAST, KDATA_NORMAL);
        p.shape.pitch = parts[i].rows == 96 ? 3072 : 1024;
        put(&p, 0, 128);
        rig.n_cascade_in = rig.n_cascade_out = rig.at_cascade_in = 0;
        if (strstr(parts[i].name, "middle") || strstr(parts[i].name, "bottom"))
            rig.n_cascade_in = 48;
        struct wi_emu_counters c = run_both(parts[i].code);
        print_message("layernorm's %s, %d x 128: %lu cycles, %lu stalled, %zu bytes\n",
                      parts[i].name, parts[i].rows, (unsigned long)c.cycles,
                      (unsigned long)c.stalls[WI_EMU_STALL_MEMORY], parts[i].code->bytes.len);
        assert_true(parts[i].code->loops[0].min_steps <= parts[i].steps);
        assert_int_equal(c.cycles, parts[i].cycles);
        assert_int_equal(parts[i].code->bytes.len, parts[i].bytes);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(widths_of_models),
                                       cmocka_unit_test(kinds_of_data),
                                       cmocka_unit_test(edges),
                                       cmocka_unit_test(gaps),
                                       cmocka_unit_test(scales_from_south),
                                       cmocka_unit_test(accuracy),
                                       cmocka_unit_test(bad_shapes_are_refused),
                                       cmocka_unit_test(budgets)};
    return cmocka_run_group_tests(tests, setup, teardown);
}

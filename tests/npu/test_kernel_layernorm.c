/* LayerNorm: the scheduled program, the same one operation at a time, plain C with the chip's
 * arithmetic, and f64. */
#include "unit/suite.h"

#include <math.h>
#include <string.h>

#include "kdata.h"
#include "krig.h"
#include "npu/kernels/layernorm.h"

enum { ROWS = 16, MAX = 1280, GRADES = 2, SUMS_KINDS = 5 };
enum {
    X = 0,
    SUMS = 0xb000,
    SCALES = 0xb200,
    PATTERNS = 0xb400,
    PARAMS = 0xb800,
    WEIGHTS = 0xc000
};
#define EPSILON 1e-5f

static struct krig rig;

/* [how][grade] */
static struct wi_code whole[2][GRADES], apply[2][GRADES], sums[2][SUMS_KINDS], scales[2];

static void emit_exact(struct wi_build *b) {
    wi_layernorm_emit(b, WI_LAYERNORM_EXACT);
}
static void emit_fast(struct wi_build *b) {
    wi_layernorm_emit(b, WI_LAYERNORM_FAST);
}
static void emit_apply_exact(struct wi_build *b) {
    wi_layernorm_emit_apply(b, WI_LAYERNORM_EXACT);
}
static void emit_apply_fast(struct wi_build *b) {
    wi_layernorm_emit_apply(b, WI_LAYERNORM_FAST);
}
static void emit_sums(struct wi_build *b) {
    wi_layernorm_emit_sums(b, WI_LAYERNORM_SUMS);
}
static void emit_more_sums(struct wi_build *b) {
    wi_layernorm_emit_sums(b, WI_LAYERNORM_MORE_SUMS);
}
static void emit_top_sums(struct wi_build *b) {
    wi_layernorm_emit_sums(b, WI_LAYERNORM_TOP_SUMS);
}
static void emit_middle_sums(struct wi_build *b) {
    wi_layernorm_emit_sums(b, WI_LAYERNORM_MIDDLE_SUMS);
}
static void emit_bottom_sums(struct wi_build *b) {
    wi_layernorm_emit_sums(b, WI_LAYERNORM_BOTTOM_SUMS);
}
static void (*const emit_kinds_of_sums[])(struct wi_build *) = {
    emit_sums, emit_more_sums, emit_top_sums, emit_middle_sums, emit_bottom_sums};

static int setup(void **state) {
    (void)state;
    for (int how = 0; how < 2; how++) {
        enum wi_schedule h = how ? WI_SERIAL : WI_PIPELINED;
        krig_build(&whole[how][0], emit_exact, h);
        krig_build(&whole[how][1], emit_fast, h);
        krig_build(&apply[how][0], emit_apply_exact, h);
        krig_build(&apply[how][1], emit_apply_fast, h);
        for (int i = 0; i < SUMS_KINDS; i++)
            krig_build(&sums[how][i], emit_kinds_of_sums[i], h);
        krig_build(&scales[how], wi_layernorm_emit_scales, h);
    }
    krig_init(&rig);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    for (int how = 0; how < 2; how++) {
        for (int i = 0; i < 2; i++) {
            wi_code_fini(&whole[how][i]);
            wi_code_fini(&apply[how][i]);
        }
        for (int i = 0; i < SUMS_KINDS; i++)
            wi_code_fini(&sums[how][i]);
        wi_code_fini(&scales[how]);
    }
    krig_fini(&rig);
    return 0;
}

/* ---------------------------------------------------------------- plain C */

struct parts {
    uint16_t p[3];
};

static struct parts split(float v) {
    struct parts s;
    for (int i = 0; i < 3; i++) {
        s.p[i] = krig_bf16(v);
        v = krig_add(v, -krig_f32(s.p[i]));
    }
    return s;
}

static uint16_t negative(uint16_t bf16) {
    return bf16 ^ 0x8000;
}

/* acc + a b + c d */
static float mac2(float acc, uint16_t a, uint16_t b, uint16_t c, uint16_t d) {
    return krig_mac2(acc, a, c, b, d);
}

static float from_bits(uint32_t bits) {
    float v;
    memcpy(&v, &bits, 4);
    return v;
}

/* features / sqrt(v) as emit_scales() computes it. */
static float host_root(float v, uint16_t features) {
    uint32_t bits = krig_bits(v), q = bits >> 17, rest = bits & 0x1ffff;
    q += rest > 0x10000 || (rest == 0x10000 && q & 1);
    uint16_t y = (uint16_t)(0x5f37 - q), quarter = y - 0x100, half = y - 0x80;
    struct parts p = split(v);
    uint16_t u = krig_bf16(mac2(0, p.p[0], y, p.p[1], y));
    uint16_t g = krig_bf16(mac2(1.5f, negative(u), quarter, negative(u), quarter));
    y = krig_bf16(mac2(0, g, half, g, half));
    half = y - 0x80;
    struct parts w = split(mac2(0, p.p[0], y, p.p[1], y));
    uint16_t h = krig_bf16(mac2(0.5f, negative(w.p[0]), half, negative(w.p[1]), half));
    float wide = mac2(0, features, half, features, half);
    uint16_t wb = krig_bf16(wide);
    uint16_t more = krig_bf16(mac2(0, wb, 0x3ec0, wb, 0x3ec0));
    return mac2(wide, h, wb, krig_bf16(mac2(0, h, h, h, h)), more);
}

struct row_scale {
    uint16_t high, low;
    float shift;
};

static struct row_scale host_scale(float sum, float squares, const struct wi_layernorm_params *p) {
    struct parts s = split(sum), q = split(squares);
    uint16_t d = (uint16_t)p->features, twice = krig_bf16(krig_add(sum, sum));
    float v = mac2(from_bits(p->floor), q.p[0], d, q.p[1], d);
    v = mac2(v, negative(s.p[0]), s.p[0], negative(s.p[1]), s.p[1]);
    v = mac2(v, q.p[2], d, 0, d);
    v = mac2(v, negative(s.p[1]), twice, negative(s.p[2]), twice);
    v = v < from_bits(p->floor) ? from_bits(p->floor) : v;
    struct parts r = split(host_root(v, d));
    uint16_t i[3];
    for (int k = 0; k < 3; k++)
        i[k] = (uint16_t)p->inverse[k];
    float mean = mac2(0, s.p[0], i[0], s.p[1], i[0]);
    mean = mac2(mean, s.p[0], i[1], s.p[1], i[1]);
    mean = mac2(mean, s.p[2], i[0], s.p[0], i[2]);
    struct parts m = split(mean);
    float shift = 0;
    for (int k = 0; k < 3; k++)
        shift = mac2(shift, negative(m.p[k]), r.p[0], negative(m.p[k]), r.p[1]);
    return (struct row_scale){r.p[0], r.p[1], shift};
}

/* Sums of a row, in lanes: features 0 to 3 of every 4. */
struct lane_sums {
    float s[4], q[4];
};

static void host_add(struct lane_sums *l, const uint16_t *x, int n) {
    for (int c = 0; c < n; c += 8)
        for (int f = 0; f < 4; f++) {
            uint16_t a = x[c + f], b = x[c + 4 + f];
            l->s[f] = mac2(l->s[f], a, 0x3f80, b, 0x3f80);
            l->q[f] = mac2(l->q[f], a, a, b, b);
        }
}

static float fold(const float s[4]) {
    return krig_add(krig_add(s[0], s[1]), krig_add(s[2], s[3]));
}

/* Of slices, each summed by itself and added to those before it. */
static struct lane_sums host_cascade(const uint16_t *x, const int *cuts, int n) {
    struct lane_sums total = {{0}, {0}};
    for (int i = 0; i < n; i++) {
        struct lane_sums own = {{0}, {0}};
        host_add(&own, x + cuts[i], cuts[i + 1] - cuts[i]);
        for (int f = 0; f < 4; f++) {
            total.s[f] = i ? krig_add(total.s[f], own.s[f]) : own.s[f];
            total.q[f] = i ? krig_add(total.q[f], own.q[f]) : own.q[f];
        }
    }
    return total;
}

struct problem {
    struct wi_layernorm_shape shape;
    uint16_t x[ROWS * MAX], gamma[MAX], beta[MAX], y[ROWS * MAX];
};

/* A core each for features cuts[0] to cuts[1], cuts[1] to cuts[2] ... */
static void host_column(const struct problem *p, const int *cuts, int cores, uint16_t *y) {
    const struct wi_layernorm_at at = {0};
    struct wi_layernorm_params params;
    int n = p->shape.features;
    assert_true(wi_layernorm_params(&params, &p->shape, &at));
    for (int r = 0; r < ROWS; r++) {
        struct lane_sums l = host_cascade(p->x + r * n, cuts, cores);
        struct row_scale s = host_scale(fold(l.s), fold(l.q), &params);
        for (int c = 0; c < n; c++) {
            float z = mac2(s.shift, p->x[r * n + c], s.high, p->x[r * n + c], s.low);
            struct parts zp = split(z);
            uint16_t low = p->shape.grade == WI_LAYERNORM_EXACT ? zp.p[1] : 0;
            float v = mac2(krig_f32(p->beta[c]), zp.p[0], p->gamma[c], low, p->gamma[c]);
            y[r * n + c] = krig_bf16(v);
        }
    }
}

static void host_layernorm(const struct problem *p, uint16_t *y) {
    const int all[] = {0, p->shape.features};
    host_column(p, all, 1, y);
}

/* ---------------------------------------------------------------- runs */

static uint16_t *element(int pitch, int row, int c, bool in) {
    int at = c / 16 * pitch + row / 4 * 128 + c % 16 / 8 * 64;
    at += in ? c % 8 / 4 * 32 + row % 4 * 8 + c % 4 * 2 : row % 4 * 16 + c % 8 * 2;
    return (uint16_t *)(void *)(rig.memory + X + at);
}

static void put(const struct problem *p, int first, int n) {
    struct wi_layernorm_shape s = p->shape;
    struct wi_layernorm_params params;
    const struct wi_layernorm_at at = {KRIG_MEMORY + X, KRIG_MEMORY + WEIGHTS, KRIG_MEMORY + SUMS,
                                       KRIG_MEMORY + SCALES, KRIG_MEMORY + PATTERNS};
    s.here = n;
    assert_true(wi_layernorm_params(&params, &s, &at));
    memcpy(rig.memory + PARAMS, &params, sizeof params);
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < n; c++)
            *element(s.pitch, r, c, true) = p->x[r * s.features + first + c];
    wi_layernorm_pack_weights((uint16_t *)(void *)(rig.memory + WEIGHTS), p->gamma + first,
                              p->beta + first, n);
}

static void get(struct problem *p, int first, int n) {
    for (int r = 0; r < ROWS; r++)
        for (int c = 0; c < n; c++)
            p->y[r * p->shape.features + first + c] = *element(p->shape.pitch, r, c, false);
}

static struct wi_emu_counters run(struct problem *p, int how) {
    wi_emu_poison(rig.memory, sizeof rig.memory);
    put(p, 0, p->shape.features);
    struct wi_emu_counters c = krig_run(&rig, &whole[how][p->shape.grade], KRIG_MEMORY + PARAMS);
    get(p, 0, p->shape.features);
    return c;
}

static void fill(struct problem *p, int features, enum wi_layernorm_grade grade,
                 enum kdata_kind kind) {
    uint64_t seed = 77 + (uint64_t)features * 8 + kind;
    p->shape = (struct wi_layernorm_shape){features, features, ROWS * 32, EPSILON, grade};
    for (int r = 0; r < ROWS; r++)
        kdata_row(p->x + r * features, features, kind, &seed);
    for (int c = 0; c < features; c++) {
        p->gamma[c] = krig_bf16((float)(1 + 0.3 * kdata_normal(&seed)));
        p->beta[c] = krig_bf16((float)(0.3 * kdata_normal(&seed)));
    }
}

static void compare(const struct problem *p, const uint16_t *y) {
    for (int i = 0; i < ROWS * p->shape.features; i++)
        if (p->y[i] != y[i])
            fail_msg("%d features: row %d, element %d is 0x%04x, not 0x%04x", p->shape.features,
                     i / p->shape.features, i % p->shape.features, p->y[i], y[i]);
}

/* Memory after both programs is the same, and y is the host's, bit for bit. */
static void all_agree(int features, enum wi_layernorm_grade grade, enum kdata_kind kind) {
    static struct problem p;
    static uint16_t y[ROWS * MAX];
    static uint8_t memory[WI_EMU_WINDOW_BYTES];
    fill(&p, features, grade, kind);
    host_layernorm(&p, y);
    run(&p, 0);
    compare(&p, y);
    memcpy(memory, rig.memory, sizeof memory);
    run(&p, 1);
    assert_memory_equal(memory, rig.memory, sizeof memory);
}

static void shapes(void **state) {
    (void)state;
    static const int features[] = {80, 96, 384, 400, 512, 768, 1024, 1264, 1280};
    for (size_t i = 0; i < sizeof features / sizeof *features; i++)
        for (int grade = 0; grade < GRADES; grade++)
            all_agree(features[i], (enum wi_layernorm_grade)grade, KDATA_NORMAL);
    for (int kind = 0; kind < KDATA_KINDS; kind++)
        for (int grade = 0; grade < GRADES; grade++)
            all_agree(512, (enum wi_layernorm_grade)grade, (enum kdata_kind)kind);
}

static void bad_shapes_are_refused(void **state) {
    (void)state;
    static const struct wi_layernorm_shape bad[] = {
        {64, 64, 512, EPSILON, WI_LAYERNORM_EXACT},   {64, 64, 512, EPSILON, WI_LAYERNORM_FAST},
        {512, 520, 512, EPSILON, WI_LAYERNORM_FAST},  {512, 504, 512, EPSILON, WI_LAYERNORM_FAST},
        {512, 512, 480, EPSILON, WI_LAYERNORM_FAST},  {512, 512, 520, EPSILON, WI_LAYERNORM_FAST},
        {1296, 512, 512, EPSILON, WI_LAYERNORM_FAST}, {512, 512, 512, 0, WI_LAYERNORM_FAST}};
    const struct wi_layernorm_at at = {0};
    struct wi_layernorm_params p;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(wi_layernorm_params(&p, &bad[i], &at));
}

enum { CORES = 4 };

/* Sums of the slices, by way of memory or the cascade. */
static void run_sums(const struct problem *p, const int *cuts, int how, bool cascade) {
    for (int s = 0; s < CORES; s++) {
        enum wi_layernorm_sums which = cascade ? s == 0           ? WI_LAYERNORM_TOP_SUMS
                                                 : s == CORES - 1 ? WI_LAYERNORM_BOTTOM_SUMS
                                                                  : WI_LAYERNORM_MIDDLE_SUMS
                                       : s     ? WI_LAYERNORM_MORE_SUMS
                                               : WI_LAYERNORM_SUMS;
        put(p, cuts[s], cuts[s + 1] - cuts[s]);
        rig.n_cascade_out = 0;
        krig_run(&rig, &sums[how][which], KRIG_MEMORY + PARAMS);
        assert_int_equal(rig.n_cascade_out, cascade && s < CORES - 1 ? 8 : 0);
        assert_int_equal(rig.at_cascade_in, rig.n_cascade_in);
        memcpy(rig.cascade_in, rig.cascade_out, sizeof rig.cascade_in);
        rig.n_cascade_in = rig.n_cascade_out;
        rig.at_cascade_in = 0;
    }
}

/* y of every slice by the scales of all. */
static void run_apply(struct problem *p, const int *cuts, int how) {
    static uint8_t scales_of_all[PARAMS - SUMS];
    memcpy(scales_of_all, rig.memory + SUMS, sizeof scales_of_all);
    for (int s = 0; s < CORES; s++) {
        memcpy(rig.memory + SUMS, scales_of_all, sizeof scales_of_all);
        put(p, cuts[s], cuts[s + 1] - cuts[s]);
        krig_run(&rig, &apply[how][p->shape.grade], KRIG_MEMORY + PARAMS);
        get(p, cuts[s], cuts[s + 1] - cuts[s]);
    }
}

/* Four cores with a part of the features each: by way of memory what one core with all of them
 * gives, by the cascade sums of sums. */
static void slices(void **state) {
    (void)state;
    static struct problem p;
    static uint16_t y[ROWS * MAX];
    static const int cuts[][CORES + 1] = {
        {0, 128, 256, 384, 512}, {0, 96, 192, 288, 384}, {0, 80, 160, 240, 512}};
    for (int i = 0; i < 12; i++) {
        int how = i / 3 % 2;
        bool cascade = i >= 6;
        const int *cut = cuts[i % 3];
        fill(&p, cut[CORES], (enum wi_layernorm_grade)(i % 2), KDATA_SKEWED);
        p.shape.pitch = i % 3 == 2 ? 1024 : 4096;
        if (cascade)
            host_column(&p, cut, CORES, y);
        else
            host_layernorm(&p, y);
        run_sums(&p, cut, how, cascade);
        krig_run(&rig, &scales[how], KRIG_MEMORY + PARAMS);
        run_apply(&p, cut, how);
        compare(&p, y);
    }
}

/* ---------------------------------------------------------------- accuracy */

static void reference(const struct problem *p, double *y) {
    int n = p->shape.features;
    for (int r = 0; r < ROWS; r++) {
        double mean = 0, variance = 0;
        for (int c = 0; c < n; c++)
            mean += krig_f32(p->x[r * n + c]) / (double)n;
        for (int c = 0; c < n; c++)
            variance += pow(krig_f32(p->x[r * n + c]) - mean, 2) / n;
        for (int c = 0; c < n; c++)
            y[r * n + c] = (krig_f32(p->x[r * n + c]) - mean) / sqrt(variance + (double)EPSILON) *
                               krig_f32(p->gamma[c]) +
                           krig_f32(p->beta[c]);
    }
}

/* Rounding y costs half an ulp; fast: z's costs as much of z gamma, which beta may cancel. */
static void accuracy(void **state) {
    (void)state;
    static struct problem p;
    static double y[ROWS * MAX];
    for (int grade = 0; grade < GRADES; grade++)
        for (int kind = 0; kind < KDATA_KINDS; kind++) {
            fill(&p, 512, (enum wi_layernorm_grade)grade, (enum kdata_kind)kind);
            run(&p, 0);
            reference(&p, y);
            struct kdata_error e = kdata_measure(p.y, y, ROWS, 512);
            print_message("layernorm %s, %s: median %.3f, worst %.2f ulp, 1 - correlation %.1e\n",
                          grade ? "fast" : "exact", kdata_name((enum kdata_kind)kind), e.median,
                          e.worst, 1 - e.correlation);
            assert_true(e.median < (grade ? 0.4 : 0.3));
            if (kind != KDATA_CONSTANT)
                assert_true(e.worst < (grade ? 64 : 0.6));
            assert_true(e.correlation > 0.999995);
        }
}

/* The variance is a difference of sums that a mean of many deviations makes large. */
static void large_means(void **state) {
    (void)state;
    static struct problem p;
    static double y[ROWS * MAX];
    static const struct { double mean, worst; } cases[] = {{10, 0.6}, {100, 8}, {-1000, 64}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t seed = 5;
        fill(&p, 512, WI_LAYERNORM_EXACT, KDATA_NORMAL);
        for (int k = 0; k < ROWS * 512; k++)
            p.x[k] = krig_bf16((float)(cases[i].mean + kdata_normal(&seed)));
        run(&p, 0);
        reference(&p, y);
        struct kdata_error e = kdata_measure(p.y, y, ROWS, 512);
        print_message("layernorm exact, mean %g: median %.3f, worst %.2f ulp\n", cases[i].mean,
                      e.median, e.worst);
        assert_true(e.worst < cases[i].worst);
    }
}

/* Budgets: what was reached is not lost. */
static void budgets(void **state) {
    (void)state;
    static struct problem p;
    static const struct {
        int step, bound;
        unsigned long cycles;
        size_t bytes;
    } most[GRADES] = {{12, 12, 2330, 2900}, {10, 10, 2070, 2600}};
    for (int grade = 0; grade < GRADES; grade++) {
        const struct wi_code *code = &whole[0][grade];
        fill(&p, 512, (enum wi_layernorm_grade)grade, KDATA_NORMAL);
        struct wi_emu_counters c = run(&p, 0);
        print_message(
            "layernorm 16 x 512, %s: %lu cycles, %.3f an element, %lu stalled, %zu bytes\n",
            grade ? "fast" : "exact", (unsigned long)c.cycles, (double)c.cycles / 8192,
            (unsigned long)c.stalls[WI_EMU_STALL_MEMORY], code->bytes.len);
        assert_int_equal(code->loops[0].cycles, 16);
        assert_int_equal(code->loops[1].cycles, most[grade].step);
        assert_int_equal(code->loops[1].bound, most[grade].bound);
        assert_true(grade || code->loops[1].tries == 0); /* else known.def is out of date */
        assert_true(code->loops[0].min_steps <= 5);
        assert_true(code->loops[1].min_steps <= 5);
        assert_true(c.cycles <= most[grade].cycles);
        assert_true(code->bytes.len <= most[grade].bytes);
    }
}

/* The parts, on a slice of the encoder: 16 rows of 128 features. */
static void budgets_of_parts(void **state) {
    (void)state;
    static struct problem p;
    const struct {
        const char *name;
        const struct wi_code *code;
        unsigned long cycles;
        size_t bytes;
    } parts[] = {{"sums", &sums[0][WI_LAYERNORM_SUMS], 165, 500},
                 {"sums, top", &sums[0][WI_LAYERNORM_TOP_SUMS], 160, 500},
                 {"scales", &scales[0], 190, 850},
                 {"apply, exact", &apply[0][WI_LAYERNORM_EXACT], 490, 1850},
                 {"apply, fast", &apply[0][WI_LAYERNORM_FAST], 430, 1600}};
    fill(&p, 512, WI_LAYERNORM_EXACT, KDATA_NORMAL);
    put(&p, 0, 128);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct wi_emu_counters c = krig_run(&rig, parts[i].code, KRIG_MEMORY + PARAMS);
        print_message("layernorm's %s, 16 x 128: %lu cycles, %zu bytes\n", parts[i].name,
                      (unsigned long)c.cycles, parts[i].code->bytes.len);
        assert_true(c.cycles <= parts[i].cycles);
        assert_true(parts[i].code->bytes.len <= parts[i].bytes);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes),          cmocka_unit_test(bad_shapes_are_refused),
        cmocka_unit_test(slices),          cmocka_unit_test(accuracy),
        cmocka_unit_test(large_means),     cmocka_unit_test(budgets),
        cmocka_unit_test(budgets_of_parts)};
    return cmocka_run_group_tests(tests, setup, teardown);
}

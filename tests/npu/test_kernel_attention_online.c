/* The forms of attention for scores of any size: the scheduled programs, the same one operation at
 * a time, plain C with the chip's arithmetic, and softmax in f64 where the fast form gives up. */
#include "unit/suite.h"

#include <math.h>
#include <string.h>

#include "attrig.h"
#include "npu/kernels/attention_online.h"

enum { FEW = WI_ATT_ONLINE_KEYS };
enum {
    START,
    SCORES,
    MAXIMA,
    RESCALE,
    POWERS,
    EXACT,
    VALUES,
    FINISH,
    BLOCK,
    EXACT_BLOCK,
    ROUTINES
};
static struct wi_code code[ROUTINES][2];
static struct wi_code fast[5]; /* start, scores, reference, values, finish */
static struct krig rig;
static struct att_problem problem;

static int setup(void **state) {
    (void)state;
    static void (*const emit[ROUTINES])(struct wi_build *) = {
        [START] = wi_att_online_start_emit,   [SCORES] = wi_att_online_scores_emit,
        [MAXIMA] = wi_att_online_maxima_emit, [RESCALE] = wi_att_online_rescale_emit,
        [POWERS] = wi_att_online_powers_emit, [EXACT] = wi_att_exact_powers_emit,
        [VALUES] = wi_att_online_values_emit, [FINISH] = wi_att_finish_emit,
        [BLOCK] = wi_att_online_block_emit,   [EXACT_BLOCK] = wi_att_exact_block_emit};
    for (int i = 0; i < ROUTINES; i++)
        krig_build_both(code[i], emit[i]);
    static void (*const fast_emit[5])(struct wi_build *) = {wi_att_start_emit, wi_att_scores_emit,
                                                            wi_att_reference_emit,
                                                            wi_att_values_emit, wi_att_finish_emit};
    for (int i = 0; i < 5; i++)
        krig_build(&fast[i], fast_emit[i], WI_PIPELINED);
    krig_init(&rig);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    for (int i = 0; i < 2 * ROUTINES; i++)
        wi_code_fini(&code[i / 2][i % 2]);
    for (int i = 0; i < 5; i++)
        wi_code_fini(&fast[i]);
    krig_fini(&rig);
    return 0;
}

/* ---------------------------------------------------------------- plain C */

static float host_score(const struct att_problem *p, int q, int key) {
    float sum = 0;
    for (int d = 0; d < D; d += 8)
        sum = krig_mac(sum, 8, &p->k[key][d], &p->q[q][d]);
    return sum;
}

static float whole(float v) {
    return krig_add(krig_add(v, 12582912), -12582912);
}

/* 1663 + y, or 1536 + y, but at least what makes a power 0, or 2^-126. */
static float host_sum(float y, bool exact) {
    return exact ? fmaxf(krig_add(y, 1536), 1410) : fmaxf(krig_add(y, 1663), 1536);
}

static uint16_t host_pattern(float sum) {
    uint32_t bits = krig_bits(sum);
    return (uint16_t)((bits + 31 + (bits >> 6 & 1)) >> 6);
}

static float scaled(float v, uint16_t a) {
    uint16_t high = krig_bf16(v), low = krig_bf16(krig_add(v, -krig_f32(high)));
    return krig_mac2(0, high, low, a, a);
}

/* m, and what it makes of l and O. */
static void host_maximum(struct att_problem *p, int q, const float score[FEW]) {
    float most = p->m[q], before = most;
    for (int key = 0; key < FEW; key++)
        most = fmaxf(most, score[key]);
    float near = whole(most);
    p->m[q] = krig_add(near, whole(krig_add(most, -near)));
    uint16_t a = host_pattern(host_sum(krig_add(before, -p->m[q]), false));
    for (int r = 0; r < 4; r++)
        p->l[q / 4][r][q % 4] = scaled(p->l[q / 4][r][q % 4], a);
    for (int d = 0; d < D; d++)
        p->o[d][q] = scaled(p->o[d][q], a);
}

/* 2^y: a cubic, to whose exponent the whole part is added. */
static uint16_t host_exact_power(float y) {
    static const float c2 = 0x1.f011b2p-3f, c1 = 0x1.62f73ap-1f;
    const uint16_t c3 = 0x3d61;
    float sum = host_sum(y, true), top = whole(sum);
    uint16_t f = krig_bf16(krig_add(sum, -top));
    uint16_t t = krig_bf16(krig_mac(c2, 1, &f, &c3)), u = krig_bf16(krig_mac(c1, 1, &f, &t));
    return (uint16_t)(krig_bf16(krig_mac(1, 1, &f, &u)) + host_pattern(top));
}

static void host_exact(struct att_problem *p, int q, int n, uint16_t power[KEYS],
                       const float score[FEW]) {
    for (int key = 0; key < FEW; key++) {
        float *l = &p->l[q / 4][key % 4][q % 4];
        power[key] = key < n ? host_exact_power(krig_add(score[key], -p->m[q])) : 0;
        *l = krig_add(*l, krig_f32(power[key]));
    }
}

/* 16 keys, of which the first n count. */
static void host_block(struct att_problem *p, int first, int n, bool running, bool exact,
                       uint16_t power[QUERIES][KEYS]) {
    for (int q = 0; q < QUERIES; q++) {
        float score[FEW];
        for (int key = 0; key < FEW; key++)
            score[key] = key < n ? host_score(p, q, first + key) : -0x1p126f;
        if (running)
            host_maximum(p, q, score);
        if (exact)
            host_exact(p, q, n, power[q], score);
        for (int key = 0; key < FEW && !exact; key++)
            power[q][key] = host_pattern(host_sum(krig_add(score[key], -p->m[q]), false));
    }
    if (!exact)
        att_host_exp(p, FEW, power);
    att_host_values(p, first, FEW, power);
}

/* ---------------------------------------------------------------- a head */

static uint64_t run(int routine, int how) {
    return krig_run(&rig, &code[routine][how], KRIG_MEMORY + PARAMS).cycles;
}

/* 16 keys of those loaded, of which the first n count. */
static void aim(int half, int n) {
    struct wi_att_params params = att_params(&rig);
    params.k = KRIG_MEMORY + K + (uint32_t)half * WI_ATT_ONLINE_HALF;
    params.v = KRIG_MEMORY + V + (uint32_t)half * WI_ATT_ONLINE_HALF;
    wi_att_mask(&params, n);
    att_set_params(&rig, &params);
}

static void m_is(const struct att_problem *p) {
    assert_memory_equal(rig.memory + C, p->m, sizeof p->m);
}

/* All of it, exact: with powers by the polynomial and the maxima of the first 16 keys; compared
 * after every block. */
static uint64_t head(struct att_problem *p, bool exact, int how) {
    static uint16_t power[QUERIES][KEYS];
    att_load(&rig, p);
    for (int q = 0; q < QUERIES; q++)
        p->m[q] = -0x1p126f;
    memset(p->l, 0, sizeof p->l);
    memset(p->o, 0, sizeof p->o);
    uint64_t cycles = run(START, how);
    for (int key = 0; key < p->n_keys; key += FEW) {
        int n = p->n_keys - key < FEW ? p->n_keys - key : FEW;
        bool running = !exact || key == 0;
        att_load_keys(&rig, p, key / KEYS);
        aim(key / FEW % 2, n);
        host_block(p, key, n, running, exact, power);
        cycles += run(SCORES, how);
        for (int i = MAXIMA; running && i <= RESCALE; i++)
            cycles += run(i, how);
        cycles += run(exact ? EXACT : POWERS, how) + run(VALUES, how);
        m_is(p);
        att_memory_is(&rig, p, FEW, power);
    }
    att_host_finish(p);
    cycles += run(FINISH, how);
    att_out_is(&rig, p);
    assert_false(p->hit);
    assert_int_equal(att_params(&rig).status, 0);
    return cycles;
}

/* ---------------------------------------------------------------- tests */

static void every_number_of_keys(void **state) {
    (void)state;
    static const int n_keys[] = {1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63};
    static uint8_t memory[sizeof rig.memory];
    for (size_t i = 0; i < sizeof n_keys / sizeof *n_keys; i++)
        for (int exact = 0; exact < 2; exact++) {
            att_fill(&problem, 20 + i);
            problem.n_keys = n_keys[i];
            head(&problem, exact, WI_PIPELINED);
            memcpy(memory, rig.memory, sizeof memory);
            head(&problem, exact, WI_SERIAL);
            assert_memory_equal(memory, rig.memory, sizeof memory);
        }
}

/* What the fast form says of a head of whole blocks. */
static uint32_t fast_status(const struct att_problem *p) {
    att_load(&rig, p);
    krig_run(&rig, &fast[0], KRIG_MEMORY + PARAMS);
    for (int block = 0; block < p->n_keys / KEYS; block++) {
        att_load_keys(&rig, p, block);
        for (int i = 1; i < 4; i++)
            if (i != 2 || block == 0)
                krig_run(&rig, &fast[i], KRIG_MEMORY + PARAMS);
    }
    krig_run(&rig, &fast[4], KRIG_MEMORY + PARAMS);
    return att_params(&rig).status;
}

static void right_where_the_fast_form_is_not(struct att_problem *p, const char *name) {
    if (fast_status(p) == 0)
        fail_msg("%s: no status", name);
    head(p, false, WI_PIPELINED);
    struct att_error e = att_measure(p);
    if (!(e.worst < 0.012 && e.ulp.correlation > 0.99999))
        fail_msg("%s: %.5f, %.7f", name, e.worst, e.ulp.correlation);
}

/* What the fast form's guard refuses: here it is right. */
static void hostile_scores(void **state) {
    (void)state;
    static const struct hostile {
        const char *name;
        int key, query; /* query -1: all */
        float score;
    } cases[] = {{"108 octaves up", 40, -1, 108},
                 {"a wrap to small ones", 33, -1, 200},
                 {"a wrap to large ones", 63, -1, 500},
                 {"above the binade", 50, -1, 700},
                 {"far above it", 50, -1, 0x1p20f},
                 {"very far above it", 50, -1, 0x1p44f},
                 {"of one query", 47, 95, 108},
                 {"386 octaves down", 40, -1, -386},
                 {"a wrap", 32, 50, -500},
                 {"below the binade", 63, -1, -700},
                 {"negative sums", 40, 3, -0x1p12f},
                 {"far below", 40, -1, -0x1p40f},
                 {"first keys, up", 3, -1, 0x1p30f},
                 {"first keys, down", 31, 60, -0x1p44f}};
    for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
        const struct hostile *c = &cases[n];
        att_fill(&problem, 60 + n);
        problem.n_keys = 64;
        problem.k[c->key][0] = krig_bf16(c->score);
        for (int q = 0; q < QUERIES; q++)
            problem.q[q][0] = c->query < 0 || c->query == q ? 0x3f80 : 0;
        for (int i = 0; i < 64 * D; i++) {
            uint16_t *k = &problem.k[i / D][i % D];
            *k = krig_bf16(krig_f32(*k) * (i % D ? 0.1f : i / D == c->key));
        }
        right_where_the_fast_form_is_not(&problem, c->name);
    }
}

/* A query whose scores are all far below those of its group. */
static void one_low_query(void **state) {
    (void)state;
    static const float below[] = {110, 300, 2000}; /* fp32 scores keep 13 bits of the rest */
    for (size_t i = 0; i < sizeof below / sizeof *below; i++) {
        att_fill(&problem, 90 + i);
        problem.n_keys = 64;
        for (int key = 0; key < problem.n_keys; key++)
            problem.k[key][0] = krig_bf16(below[i]);
        for (int q = 0; q < QUERIES; q++)
            problem.q[q][0] = q == 37 ? 0x8000 : 0x3f80;
        right_where_the_fast_form_is_not(&problem, "a low query");
    }
}

/* Scores that grow or fall from key to key by `step` octaves, and differ by as much from query to
 * query: every block brings another maximum, or none. */
static void ramps(void **state) {
    (void)state;
    static const float steps[] = {0.25f, -0.25f, 3, -3, 40, -40, 0x1p20f, -0x1p20f};
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        att_fill(&problem, 80 + i);
        problem.n_keys = 200;
        for (int key = 0; key < MAX_KEYS; key++) {
            problem.k[key][0] = krig_bf16(steps[i] * (float)key);
            problem.k[key][1] = krig_bf16(steps[i]);
        }
        for (int q = 0; q < QUERIES; q++) {
            problem.q[q][0] = 0x3f80;
            problem.q[q][1] = krig_bf16((float)(q * 7 % 96 - 48));
        }
        head(&problem, false, WI_PIPELINED);
        struct att_error e = att_measure(&problem);
        if (!(e.worst < 0.012 && e.ulp.correlation > 0.99999))
            fail_msg("%g: %.5f, %.7f", steps[i], e.worst, e.ulp.correlation);
    }
}

static void accuracy(void **state) {
    (void)state;
    for (int kind = 0; kind < KDATA_KINDS; kind++)
        for (int exact = 0; exact < 2; exact++) {
            att_fill_kind(&problem, (enum kdata_kind)kind, 31);
            problem.n_keys = kind == KDATA_MASKED ? 749 : 1500;
            uint64_t cycles = head(&problem, exact, WI_PIPELINED);
            struct att_error e = att_measure(&problem);
            print_message("%s, %s: %.2f ulp, at most %.0f, %.5f of the row's largest, "
                          "1 - correlation %.1e, %lu cycles\n",
                          exact ? "exact" : "online", kdata_name((enum kdata_kind)kind),
                          e.ulp.median, e.ulp.worst, e.worst, 1 - e.ulp.correlation,
                          (unsigned long)cycles);
            assert_true(e.worst < 0.01);
            assert_true(1 - e.ulp.correlation < 5e-6);
        }
}

static void budgets(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int bound;
        size_t cycles, bytes;
    } limits[ROUTINES] = {[START] = {"start", 828, 856, 208},
                          [SCORES] = {"scores", 768, 811, 1552},
                          [MAXIMA] = {"maxima", 732, 867, 1696},
                          [RESCALE] = {"rescale", 1536, 2012, 1024},
                          [POWERS] = {"powers", 816, 946, 1536},
                          [EXACT] = {"exact powers", 1200, 1415, 2112},
                          [VALUES] = {"values", 768, 1231, 2016},
                          [BLOCK] = {"online block", 4620, 5856, 7760},
                          [EXACT_BLOCK] = {"exact block", 2736, 3457, 5664}};
    for (int i = 0; i < ROUTINES; i++) {
        if (!limits[i].name)
            continue;
        att_fill(&problem, 1);
        att_load(&rig, &problem);
        att_load_keys(&rig, &problem, 0);
        uint64_t cycles = run(i, WI_PIPELINED);
        print_message("%s of 16 keys: %lu cycles of at least %d, %zu bytes\n", limits[i].name,
                      (unsigned long)cycles, limits[i].bound, code[i][0].bytes.len);
        assert_true(cycles <= limits[i].cycles);
        assert_true(code[i][0].bytes.len <= limits[i].bytes);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_number_of_keys),
                                       cmocka_unit_test(hostile_scores),
                                       cmocka_unit_test(one_low_query),
                                       cmocka_unit_test(ramps),
                                       cmocka_unit_test(accuracy),
                                       cmocka_unit_test(budgets)};
    return cmocka_run_group_tests(tests, setup, teardown);
}

/* An attention block: the scheduled program, the same one operation at a time, plain C with the
 * chip's arithmetic, and softmax in f64. */
#include "unit/suite.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "krig.h"
#include "npu/kernels/attention.h"

enum {
    QUERIES = WI_ATT_QUERIES,
    KEYS = WI_ATT_KEYS,
    D = WI_ATT_D,
    PITCH = WI_ATT_PITCH,
    BLOCKS = 6, /* of the tests with given constants */
    MAX_KEYS = 1504
};
/* Q in the panels of bank 0, O in those of banks 2 and 3; K, V in gaps of banks 2 and 0; scores in
 * gaps of banks 1 and 3; the rest in gaps of bank 3 */
enum {
    Q = 0,
    O = 0x8000,
    K = 0x8c00,
    V = 0x0c00,
    S = 0x4c00,
    L = 0xec00,
    C = 0xfe00,
    PARAMS = 0xff80
};

enum { BLOCK, START, SCORES, REFERENCE, MASK, VALUES, FINISH, ROUTINES };
static struct wi_code code[ROUTINES][2];
static struct krig rig;

static int setup(void **state) {
    (void)state;
    static void (*const emit[ROUTINES])(struct wi_build *) = {
        [BLOCK] = wi_att_block_emit,   [START] = wi_att_start_emit,
        [SCORES] = wi_att_scores_emit, [REFERENCE] = wi_att_reference_emit,
        [MASK] = wi_att_mask_emit,     [VALUES] = wi_att_values_emit,
        [FINISH] = wi_att_finish_emit};
    for (int i = 0; i < ROUTINES; i++) {
        krig_build_both(code[i], emit[i]);
    }
    krig_init(&rig);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    for (int i = 0; i < 2 * ROUTINES; i++)
        wi_code_fini(&code[i / 2][i % 2]);
    krig_fini(&rig);
    return 0;
}

static struct problem {
    uint16_t q[QUERIES][D], k[MAX_KEYS][D], v[MAX_KEYS][D];
    int n_keys;
    bool hit; /* a sum or an l left its window */
    float c[QUERIES / 16];
    float l[QUERIES / 4][4][4]; /* partial sums x queries */
    float o[D][QUERIES];
    uint16_t out[QUERIES][D];
} problem;

/* Scores within some +-10 octaves of the reference. */
static void fill(struct problem *p, uint64_t seed) {
    memset(p, 0, sizeof *p);
    p->n_keys = BLOCKS * KEYS;
    for (int i = 0; i < QUERIES * D; i++)
        p->q[i / D][i % D] = krig_bf16(krig_f32(krig_random_bf16(&seed)) * 0.21f);
    for (int i = 0; i < MAX_KEYS * D; i++) {
        p->k[i / D][i % D] = krig_bf16(krig_f32(krig_random_bf16(&seed)) * 0.93f);
        p->v[i / D][i % D] = krig_random_bf16(&seed);
    }
    for (int g = 0; g < QUERIES / 16; g++)
        p->c[g] = WI_ATT_OFFSET - 0.5f * (float)(g - 3);
}

/* ---------------------------------------------------------------- memory */

static void put16(int at, uint16_t v) {
    memcpy(rig.memory + at, &v, 2);
}

static int o_at(int d, int q) {
    int tile = d / 4, e = tile / 2;
    return O + tile % 2 * 0x4000 + e / 2 * PITCH + e % 2 * 1536 + q / 4 * 64 + d % 4 * 16 +
           q % 4 * 4;
}

static int s_at(int q, int key) {
    int piece = q / 16, at = piece < 4 ? S + piece * PITCH : S + 0x8000 + (piece - 4) * PITCH;
    return at + q % 16 / 4 * 256 + key / 4 * 32 + key % 4 * 8 + q % 4 * 2;
}

static void load_keys(const struct problem *p, int block) {
    for (int key = 0; key < KEYS; key++)
        for (int d = 0; d < D; d++) {
            put16(K + d / 16 * PITCH + key / 4 * 128 + d % 16 / 8 * 64 + key % 4 * 16 + d % 8 * 2,
                  p->k[block * KEYS + key][d]);
            put16(V + d / 16 * PITCH + key / 8 * 256 + d % 16 / 4 * 64 + key % 8 * 8 + d % 4 * 2,
                  p->v[block * KEYS + key][d]);
        }
}

static void load(const struct problem *p) {
    struct wi_att_params params = {KRIG_MEMORY + Q,
                                   KRIG_MEMORY + K,
                                   KRIG_MEMORY + V,
                                   KRIG_MEMORY + S,
                                   KRIG_MEMORY + O,
                                   KRIG_MEMORY + L,
                                   KRIG_MEMORY + C,
                                   KRIG_MEMORY + Q,
                                   {0},
                                   0};
    wi_emu_poison(rig.memory, sizeof rig.memory);
    memcpy(rig.memory + PARAMS, &params, sizeof params);
    memcpy(rig.memory + L, p->l, 1024);
    memcpy(rig.memory + L + PITCH, p->l + 16, sizeof p->l - 1024);
    for (int q = 0; q < QUERIES; q++)
        for (int d = 0; d < D; d++) {
            put16(Q + d / 16 * PITCH + q / 4 * 128 + d % 16 / 8 * 64 + d % 8 * 8 + q % 4 * 2,
                  p->q[q][d]);
            memcpy(rig.memory + o_at(d, q), &p->o[d][q], 4);
        }
    for (int g = 0; g < QUERIES / 16; g++)
        for (int i = 0; i < 16; i++)
            memcpy(rig.memory + C + 64 * g + 4 * i, &p->c[g], 4);
}

/* ---------------------------------------------------------------- plain C */

/* The low 16 bits of a sum's pattern / 2^6, to nearest even.  The window is kept by the pattern's
 * high half, 8 octaves each: 1280 to 1760 and half of that more. */
static uint16_t host_score(struct problem *p, int q, int key) {
    float sum = p->c[q / 16];
    for (int d = 0; d < D; d += 8)
        sum = krig_mac(sum, 8, &p->k[key][d], &p->q[q][d]);
    uint32_t bits = krig_bits(sum), high = krig_bf16(sum);
    p->hit |= high <= krig_bf16(1280) || high > krig_bf16(1760) || sum < 0;
    return (uint16_t)((bits + 31 + (bits >> 6 & 1)) >> 6);
}

static float host_power(uint16_t score) {
    const uint16_t c = 0x4002; /* 2.03125 */
    uint16_t g = (int16_t)score > 0 ? score : 0, power = g & 0xff80, h = (g & 0x7f) | 0x3f80;
    return krig_mac(krig_mac(0, 1, &g, &h), 1, &power, &c);
}

static void host_scores(struct problem *p, int block, uint16_t score[QUERIES][KEYS]) {
    for (int q = 0; q < QUERIES; q++)
        for (int key = 0; key < KEYS; key++)
            score[q][key] = host_score(p, q, block * KEYS + key);
}

/* In place of scores: powers. */
static void host_values(struct problem *p, int block, uint16_t power[QUERIES][KEYS]) {
    for (int q = 0; q < QUERIES; q++) {
        float exact[KEYS];
        for (int key = 0; key < KEYS; key++) {
            exact[key] = host_power(power[q][key]);
            power[q][key] = krig_bf16(exact[key]);
        }
        for (int r = 0; r < 4; r++) { /* tiles of 4 keys, the even and the odd ones apart */
            float *l = &p->l[q / 4][r][q % 4], odd = exact[4 + r];
            for (int key = r; key < KEYS; key += 8) {
                *l = krig_add(*l, exact[key]);
                odd = key > r ? krig_add(odd, exact[key + 4]) : odd;
            }
            *l = krig_add(*l, odd);
        }
        for (int d = 0; d < D; d++)
            for (int key = 0; key < KEYS; key += 8) {
                uint16_t v[8];
                for (int e = 0; e < 8; e++)
                    v[e] = p->v[block * KEYS + key + e][d];
                p->o[d][q] = krig_mac(p->o[d][q], 8, v, &power[q][key]);
            }
    }
}

static void host_block(struct problem *p, int block, uint16_t power[QUERIES][KEYS]) {
    host_scores(p, block, power);
    host_values(p, block, power);
}

/* The largest score of 16 queries, from scores as they are, and what that makes of them; those that
 * are 127 octaves below it become 0. */
static void host_reference(struct problem *p, uint16_t score[QUERIES][KEYS]) {
    for (int g = 0; g < QUERIES / 16; g++) {
        int most = -128 * 128;
        for (int i = 0; i < 16 * KEYS; i++) {
            int s = (int16_t)score[16 * g + i / KEYS][i % KEYS];
            most = s > most ? s : most;
        }
        p->c[g] = WI_ATT_OFFSET - (float)most / 128;
        for (int i = 0; i < 16 * KEYS; i++) {
            uint16_t *s = &score[16 * g + i / KEYS][i % KEYS];
            int shifted = (int16_t)*s + 127 * 128 - most;
            *s = shifted > 0 ? (uint16_t)shifted : 0;
        }
    }
}

static void host_mask(uint16_t score[QUERIES][KEYS], int n_keys) {
    for (int q = 0; q < QUERIES; q++)
        for (int key = n_keys; key < KEYS; key++)
            score[q][key] = 0;
}

/* 1 / l: an estimate from the bits, y + y (1 - l y) twice; high and low part. */
static void host_reciprocal(float l, uint16_t part[2]) {
    const uint16_t one = 0x3f80,
                   l_parts[2] = {krig_bf16(l), krig_bf16(krig_add(l, -krig_f32(krig_bf16(l))))};
    uint16_t y = (uint16_t)(0x7ef3 - l_parts[0]);
    for (int i = 0; i < 2; i++) {
        const uint16_t minus_l[2] = {l_parts[0] ^ 0x8000, l_parts[1] ^ 0x8000}, twice[2] = {y, y};
        const uint16_t left[2] = {krig_bf16(krig_mac(1, 2, minus_l, twice)), one};
        float next = krig_mac(0, 2, left, twice);
        part[0] = y = krig_bf16(next);
        part[1] = krig_bf16(krig_add(next, -krig_f32(y)));
    }
}

static void host_finish(struct problem *p) {
    for (int q = 0; q < QUERIES; q++) {
        float l[4];
        uint16_t r[2];
        for (int i = 0; i < 4; i++)
            l[i] = p->l[q / 4][i][q % 4];
        float sum = krig_add(krig_add(l[0], l[1]), krig_add(l[2], l[3]));
        p->hit |= sum < 0x1p-100f;
        host_reciprocal(sum, r);
        for (int d = 0; d < D; d++) {
            float o = p->o[d][q];
            uint16_t high = krig_bf16(o),
                     parts[2] = {high, krig_bf16(krig_add(o, -krig_f32(high)))};
            float product = krig_mac(0, 2, parts, (uint16_t[]){r[0], r[0]});
            p->out[q][d] = krig_bf16(krig_mac(product, 2, parts, (uint16_t[]){r[1], r[1]}));
        }
    }
}

static int out_at(int q, int d) {
    return Q + d / 16 * PITCH + q / 4 * 128 + d % 16 / 8 * 64 + q % 4 * 16 + d % 8 * 2;
}

static void out_is(const struct problem *p) {
    for (int q = 0; q < QUERIES; q++)
        for (int d = 0; d < D; d++)
            if (memcmp(rig.memory + out_at(q, d), &p->out[q][d], 2) != 0)
                fail_msg("output of query %d, d %d", q, d);
}

static void memory_is(const struct problem *p, uint16_t power[QUERIES][KEYS]) {
    for (int q = 0; q < QUERIES; q++) {
        for (int key = 0; key < KEYS; key++)
            if (memcmp(rig.memory + s_at(q, key), &power[q][key], 2) != 0)
                fail_msg("P of query %d, key %d", q, key);
        for (int d = 0; d < D; d++)
            if (memcmp(rig.memory + o_at(d, q), &p->o[d][q], 4) != 0)
                fail_msg("O of query %d, d %d", q, d);
    }
    assert_memory_equal(rig.memory + L, p->l, 1024);
    assert_memory_equal(rig.memory + L + PITCH, p->l + 16, sizeof p->l - 1024);
}

/* ---------------------------------------------------------------- tests */

static void blocks_are_the_hosts(void **state) {
    (void)state;
    static uint16_t power[QUERIES][KEYS];
    for (int how = 0; how < 2; how++) {
        fill(&problem, 1);
        load(&problem);
        for (int block = 0; block < 2; block++) {
            load_keys(&problem, block);
            krig_run(&rig, &code[BLOCK][how], KRIG_MEMORY + PARAMS);
            host_block(&problem, block, power);
            memory_is(&problem, power);
        }
    }
}

/* Scores far below the reference become 0, those far above do not overflow. */
static void extreme_scores(void **state) {
    (void)state;
    static uint16_t power[QUERIES][KEYS];
    fill(&problem, 3);
    for (int i = 0; i < KEYS * D; i++)
        problem.k[i / D][i % D] =
            krig_bf16(krig_f32(problem.k[i / D][i % D]) * (i / D % 2 ? 7.0f : 0.0f));
    load(&problem);
    load_keys(&problem, 0);
    krig_run(&rig, &code[BLOCK][0], KRIG_MEMORY + PARAMS);
    host_block(&problem, 0, power);
    memory_is(&problem, power);
}

/* Row sums and O of many sizes, the output as well as the estimate of 1 / l in f64. */
static void finish_is_the_hosts(void **state) {
    (void)state;
    static uint8_t memory[sizeof rig.memory];
    uint64_t seed = 11;
    for (int size = -100; size <= 100; size += 50) {
        fill(&problem, 7);
        for (int i = 0; i < 4 * QUERIES; i++)
            problem.l[i / 16][i % 16 / 4][i % 4] =
                ldexpf(1 + (float)krig_random(&seed) / 0x1p32f, size + i % 4 * (i % 16 / 4));
        for (int i = 0; i < D * QUERIES; i++)
            problem.o[i / QUERIES][i % QUERIES] =
                ldexpf((float)krig_random(&seed) / 0x1p32f - 0.5f, size + 6);
        host_finish(&problem);
        for (int how = 0; how < 2; how++) {
            load(&problem);
            krig_run(&rig, &code[FINISH][how], KRIG_MEMORY + PARAMS);
            out_is(&problem);
            if (how)
                assert_memory_equal(rig.memory, memory, sizeof memory);
            memcpy(memory, rig.memory, sizeof memory);
        }
        for (int q = 0; q < QUERIES; q++) {
            double l = 0, largest = 0;
            for (int i = 0; i < 4; i++)
                l += problem.l[q / 4][i][q % 4];
            for (int d = 0; d < D; d++)
                largest = fmax(largest, fabs(problem.o[d][q] / l));
            for (int d = 0; d < D; d++) {
                double want = problem.o[d][q] / l;
                double ulp = ldexp(1, ilogb(fmax(fabs(want), largest / 256)) - 7);
                assert_true(fabs(krig_f32(problem.out[q][d]) - want) <= 0.51 * ulp);
            }
        }
    }
}

/* Result of all blocks against f64: the largest error relative to the row's largest value, and the
 * correlation. */
static void compare(const struct problem *p, double *worst, double *correlation) {
    double xy = 0, xx = 0, yy = 0;
    *worst = 0;
    for (int q = 0; q < QUERIES; q++) {
        double weight[MAX_KEYS], sum = 0, want[D], largest = 0;
        for (int key = 0; key < p->n_keys; key++) {
            double s = 0;
            for (int d = 0; d < D; d++)
                s += (double)krig_f32(p->q[q][d]) * krig_f32(p->k[key][d]);
            sum += weight[key] = exp2(s);
        }
        for (int d = 0; d < D; d++) {
            want[d] = 0;
            for (int key = 0; key < p->n_keys; key++)
                want[d] += weight[key] / sum * krig_f32(p->v[key][d]);
            largest = fabs(want[d]) > largest ? fabs(want[d]) : largest;
        }
        for (int d = 0; d < D; d++) {
            double got = krig_f32(p->out[q][d]), error = fabs(got - want[d]) / largest;
            *worst = error > *worst ? error : *worst;
            xy += got * want[d];
            xx += got * got;
            yy += want[d] * want[d];
        }
    }
    *correlation = xy / sqrt(xx * yy);
}

static void softmax_in_f64(void **state) {
    (void)state;
    static uint16_t power[QUERIES][KEYS];
    double worst, correlation;
    fill(&problem, 5);
    load(&problem);
    for (int block = 0; block < BLOCKS; block++) {
        load_keys(&problem, block);
        krig_run(&rig, &code[BLOCK][0], KRIG_MEMORY + PARAMS);
        host_block(&problem, block, power);
        memory_is(&problem, power);
    }
    krig_run(&rig, &code[FINISH][0], KRIG_MEMORY + PARAMS);
    host_finish(&problem);
    out_is(&problem);
    compare(&problem, &worst, &correlation);
    print_message("attention: largest error %.5f of the row's largest, correlation %.7f\n", worst,
                  correlation);
    assert_true(worst < 0.008);
    assert_true(correlation > 0.999995);
}

/* Assert that what a routine makes of memory is the same in both schedules, and leave it there. */
static void step(int routine) {
    static uint8_t before[sizeof rig.memory], after[sizeof rig.memory];
    memcpy(before, rig.memory, sizeof before);
    krig_run(&rig, &code[routine][1], KRIG_MEMORY + PARAMS);
    memcpy(after, rig.memory, sizeof after);
    memcpy(rig.memory, before, sizeof before);
    krig_run(&rig, &code[routine][0], KRIG_MEMORY + PARAMS);
    assert_memory_equal(rig.memory, after, sizeof after);
}

static uint32_t status(void) {
    struct wi_att_params params;
    memcpy(&params, rig.memory + PARAMS, sizeof params);
    return params.status;
}

static void set_mask(int n_keys) {
    struct wi_att_params params;
    memcpy(&params, rig.memory + PARAMS, sizeof params);
    wi_att_mask(&params, n_keys);
    memcpy(rig.memory + PARAMS, &params, sizeof params);
}

/* All of it on the core, from what earlier work left in memory; equal to the host's after every
 * block. */
static uint64_t whole(struct problem *p, bool serial_too) {
    static const int routines[] = {START, SCORES, REFERENCE, MASK, VALUES};
    static uint16_t score[QUERIES][KEYS];
    load(p);
    for (int i = 0; i < 0x8000; i += 4) /* O, l and c are somebody else's */
        memset(rig.memory + O + i, 0x42, i % PITCH < 3072 ? 4 : 0);
    memset(rig.memory + L, 0x42, 1024);
    memset(rig.memory + C, 0x42, sizeof p->c * 16);
    for (int g = 0; g < QUERIES / 16; g++)
        p->c[g] = 1536;
    uint64_t cycles = 0;
    for (int key = 0; key < p->n_keys; key += KEYS) {
        int here = p->n_keys - key < KEYS ? p->n_keys - key : KEYS;
        load_keys(p, key / KEYS);
        set_mask(here);
        host_scores(p, key / KEYS, score);
        if (key == 0)
            host_reference(p, score);
        host_mask(score, here);
        host_values(p, key / KEYS, score);
        for (int i = 0; i < 5; i++) {
            bool once = routines[i] == START || routines[i] == REFERENCE;
            if ((once && key > 0) || (routines[i] == MASK && here == KEYS))
                continue;
            if (serial_too)
                step(routines[i]);
            else
                cycles += krig_run(&rig, &code[routines[i]][0], KRIG_MEMORY + PARAMS).cycles;
        }
        memory_is(p, score);
        for (int i = 0; i < QUERIES; i++)
            assert_memory_equal(rig.memory + C + 4 * i, &p->c[i / 16], 4);
    }
    host_finish(p);
    if (serial_too)
        step(FINISH);
    else
        cycles += krig_run(&rig, &code[FINISH][0], KRIG_MEMORY + PARAMS).cycles;
    out_is(p);
    assert_false(p->hit);
    assert_int_equal(status(), 0);
    return cycles;
}

static void every_number_of_keys(void **state) {
    (void)state;
    static const int n_keys[] = {1, 3, 4, 5, 7, 8, 9, 16, 23, 24, 25, 31, 32, 33, 60, 64, 92};
    for (size_t i = 0; i < sizeof n_keys / sizeof *n_keys; i++) {
        fill(&problem, 20 + i);
        problem.n_keys = n_keys[i];
        whole(&problem, true);
    }
}

/* 1500 keys: normal ones, scores that hardly differ, some that decide alone, and values of one
 * sign; scores shifted by 60 octaves either way as references take them. */
static void whole_attention(void **state) {
    (void)state;
    static const struct {
        const char *name;
        float scale, bias;
        bool positive;
        double worst, correlation; /* asserted */
    } sets[] = {{"normal", 1, 0, false, 0.008, 0.999995},
                {"flat", 0.05f, 0, false, 0.008, 0.999995},
                {"peaked", 4, 0, false, 0.008, 0.999995},
                {"positive values", 1, 0, true, 0.008, 0.999995},
                {"high scores", 1, 60, false, 0.008, 0.999995},
                {"low scores", 1, -60, false, 0.008, 0.999995}};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        double worst, correlation;
        fill(&problem, 40 + i);
        problem.n_keys = 1500;
        for (int j = 0; j < MAX_KEYS * D; j++) {
            uint16_t *k = &problem.k[j / D][j % D], *v = &problem.v[j / D][j % D];
            *k = krig_bf16(krig_f32(*k) * sets[i].scale);
            *v &= sets[i].positive ? 0x7fff : 0xffff;
        }
        for (int j = 0; sets[i].bias != 0 && j < MAX_KEYS; j++)
            problem.k[j][0] = krig_bf16(sets[i].bias);
        for (int j = 0; sets[i].bias != 0 && j < QUERIES; j++)
            problem.q[j][0] = 0x3f80;
        uint64_t cycles = whole(&problem, false);
        compare(&problem, &worst, &correlation);
        print_message("%s: largest error %.5f of the row's largest, correlation %.7f, %lu cycles\n",
                      sets[i].name, worst, correlation, (unsigned long)cycles);
        assert_true(cycles <= 47 * 3950 + 5000);
        assert_true(worst < sets[i].worst);
        assert_true(correlation > sets[i].correlation);
    }
}

/* A head of all keys, whatever its scores are. */
static uint32_t status_of(const struct problem *p, int how) {
    load(p);
    krig_run(&rig, &code[START][how], KRIG_MEMORY + PARAMS);
    for (int block = 0; block < p->n_keys / KEYS; block++) {
        load_keys(p, block);
        krig_run(&rig, &code[SCORES][how], KRIG_MEMORY + PARAMS);
        if (block == 0)
            krig_run(&rig, &code[REFERENCE][how], KRIG_MEMORY + PARAMS);
        krig_run(&rig, &code[VALUES][how], KRIG_MEMORY + PARAMS);
    }
    krig_run(&rig, &code[FINISH][how], KRIG_MEMORY + PARAMS);
    return status();
}

/* Scores near 0 and one key's that is not, for all queries or one: the status tells whether the
 * result is right. */
static void guard(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int key, query; /* KEYS and up: not of the first block; -1: all queries */
        float score;
        bool hit;
    } cases[] = {{"none", 0, -1, 0, false},
                 {"99 octaves up", 40, -1, 99, false},
                 {"103 octaves up", 40, -1, 103, true},
                 {"a wrap to small ones", 33, -1, 200, true},
                 {"a wrap to large ones", 63, -1, 500, true},
                 {"above the binade", 50, -1, 700, true},
                 {"far above it", 50, -1, 0x1p20f, true},
                 {"of one query", 47, 95, 103, true},
                 {"of another", 47, 0, 103, true},
                 {"infinite", 40, -1, INFINITY, true},
                 {"not a number", 40, 17, NAN, true},
                 {"376 octaves down", 40, -1, -376, false},
                 {"382 octaves down", 40, -1, -382, true},
                 {"a wrap", 32, 50, -500, true},
                 {"below the binade", 63, -1, -700, true},
                 {"negative sums", 40, 3, -0x1p12f, true},
                 {"far below", 40, -1, -0x1p40f, true},
                 {"minus infinity", 40, 9, -INFINITY, true},
                 {"first keys, 226 octaves up", 3, -1, 226, false},
                 {"first keys, 230 up", 3, -1, 230, true},
                 {"first keys, 254 down", 31, 60, -254, true},
                 {"first keys, 251 down", 31, 60, -251, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fill(&problem, 60 + i);
        problem.n_keys = 64;
        problem.k[cases[i].key][0] = krig_bf16(cases[i].score);
        for (int q = 0; q < QUERIES; q++)
            problem.q[q][0] = cases[i].query < 0 || cases[i].query == q ? 0x3f80 : 0;
        for (int key = 0; key < problem.n_keys; key++)
            for (int d = key == cases[i].key ? 1 : 0; d < D; d++)
                problem.k[key][d] = d > 0 ? krig_bf16(krig_f32(problem.k[key][d]) * 0.02f) : 0;
        for (int how = 0; how < 2; how++)
            if ((status_of(&problem, how) != 0) != cases[i].hit)
                fail_msg("%s: status %#x", cases[i].name, status());
        if (!cases[i].hit)
            whole(&problem, false);
    }
}

/* A query whose scores are all far below its group's: its l is too small. */
static void guard_of_sums(void **state) {
    (void)state;
    static const struct {
        float below;
        bool hit;
    } cases[] = {{90, false}, {110, true}, {140, true}, {300, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int query = 0; query < QUERIES; query += 19) {
            fill(&problem, 90 + i);
            problem.n_keys = KEYS;
            for (int key = 0; key < KEYS; key++)
                problem.k[key][0] = krig_bf16(cases[i].below);
            for (int q = 0; q < QUERIES; q++)
                problem.q[q][0] = q == query ? 0 : 0x3f80;
            problem.q[query][0] = 0x8000;
            for (int how = 0; how < 2; how++)
                assert_int_equal(status_of(&problem, how) != 0, cases[i].hit);
            if (!cases[i].hit)
                whole(&problem, false);
        }
}

static void budgets(void **state) {
    (void)state;
    static const int cycles[] = {33, 24, 32}, bounds[] = {32, 24, 32};
    static const struct {
        const char *name;
        int bound;
        size_t cycles, bytes;
    } limits[ROUTINES] = {
        [START] = {"start", 768 + 60, 900, 256},           [SCORES] = {"scores", 1536, 1665, 1872},
        [REFERENCE] = {"reference", 192 + 240, 1000, 592}, [MASK] = {"mask", 192, 480, 208},
        [VALUES] = {"values", 576 + 1536, 2300, 3600},     [FINISH] = {"finish", 1536, 2200, 1536}};
    fill(&problem, 1);
    load(&problem);
    load_keys(&problem, 0);
    struct wi_emu_counters c = krig_run(&rig, &code[BLOCK][0], KRIG_MEMORY + PARAMS);
    print_message("attention block: %lu cycles of at least 3648, %lu of them stalls, %zu bytes\n",
                  (unsigned long)c.cycles, (unsigned long)c.stalls[WI_EMU_STALL_MEMORY],
                  code[BLOCK][0].bytes.len);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(code[BLOCK][0].loops[i].cycles, cycles[i]);
        assert_int_equal(code[BLOCK][0].loops[i].bound, bounds[i]);
        assert_int_equal(code[BLOCK][0].loops[i].tries, 0); /* else known.def is out of date */
    }
    assert_true(c.cycles <= 3936);
    assert_true(code[BLOCK][0].bytes.len <= 5360);
    for (int i = START; i < ROUTINES; i++) {
        load(&problem);
        c = krig_run(&rig, &code[i][0], KRIG_MEMORY + PARAMS);
        print_message("attention %s: %lu cycles of at least %d, %zu bytes\n", limits[i].name,
                      (unsigned long)c.cycles, limits[i].bound, code[i][0].bytes.len);
        assert_true(c.cycles <= limits[i].cycles);
        assert_true(code[i][0].bytes.len <= limits[i].bytes);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(blocks_are_the_hosts),
                                       cmocka_unit_test(extreme_scores),
                                       cmocka_unit_test(finish_is_the_hosts),
                                       cmocka_unit_test(softmax_in_f64),
                                       cmocka_unit_test(every_number_of_keys),
                                       cmocka_unit_test(whole_attention),
                                       cmocka_unit_test(guard),
                                       cmocka_unit_test(guard_of_sums),
                                       cmocka_unit_test(budgets)};
    return cmocka_run_group_tests(tests, setup, teardown);
}

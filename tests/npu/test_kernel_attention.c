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
    BLOCKS = 6
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

enum { BLOCK, FINISH, ROUTINES };
static struct wi_code code[ROUTINES][2];
static struct krig rig;

static int setup(void **state) {
    (void)state;
    static void (*const emit[ROUTINES])(struct wi_build *) = {
        [BLOCK] = wi_att_block_emit, [FINISH] = wi_att_finish_emit};
    for (int i = 0; i < ROUTINES; i++) {
        krig_build(&code[i][0], emit[i], WI_PIPELINED);
        krig_build(&code[i][1], emit[i], WI_SERIAL);
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
    uint16_t q[QUERIES][D], k[BLOCKS * KEYS][D], v[BLOCKS * KEYS][D];
    float c[QUERIES / 16];
    float l[QUERIES / 4][4][4]; /* partial sums x queries */
    float o[D][QUERIES];
    uint16_t out[QUERIES][D];
} problem;

/* Scores within some +-10 octaves of the reference. */
static void fill(struct problem *p, uint64_t seed) {
    memset(p, 0, sizeof *p);
    for (int i = 0; i < QUERIES * D; i++)
        p->q[i / D][i % D] = krig_bf16(krig_f32(krig_random_bf16(&seed)) * 0.21f);
    for (int i = 0; i < BLOCKS * KEYS * D; i++) {
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
    struct wi_att_params params = {KRIG_MEMORY + Q, KRIG_MEMORY + K, KRIG_MEMORY + V,
                                   KRIG_MEMORY + S, KRIG_MEMORY + O, KRIG_MEMORY + L,
                                   KRIG_MEMORY + C, KRIG_MEMORY + Q};
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

/* The low 16 bits of a sum's pattern / 2^6, to nearest even. */
static uint16_t host_score(const struct problem *p, int q, int key) {
    float sum = p->c[q / 16];
    uint32_t bits;
    for (int d = 0; d < D; d += 8)
        sum = krig_mac(sum, 8, &p->k[key][d], &p->q[q][d]);
    memcpy(&bits, &sum, 4);
    return (uint16_t)((bits + 31 + (bits >> 6 & 1)) >> 6);
}

static float host_power(uint16_t score) {
    const uint16_t two = 0x4000;
    uint16_t g = (int16_t)score > 0 ? score : 0, power = g & 0xff80, h = (g & 0x7f) | 0x3f80;
    return krig_mac(krig_mac(0, 1, &g, &h), 1, &power, &two);
}

static void host_block(struct problem *p, int block, uint16_t power[QUERIES][KEYS]) {
    for (int q = 0; q < QUERIES; q++) {
        float exact[KEYS];
        for (int key = 0; key < KEYS; key++) {
            exact[key] = host_power(host_score(p, q, block * KEYS + key));
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
        host_reciprocal(krig_add(krig_add(l[0], l[1]), krig_add(l[2], l[3])), r);
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
        double weight[BLOCKS * KEYS], sum = 0, want[D], largest = 0;
        for (int key = 0; key < BLOCKS * KEYS; key++) {
            double s = 0;
            for (int d = 0; d < D; d++)
                s += (double)krig_f32(p->q[q][d]) * krig_f32(p->k[key][d]);
            sum += weight[key] = exp2(s);
        }
        for (int d = 0; d < D; d++) {
            want[d] = 0;
            for (int key = 0; key < BLOCKS * KEYS; key++)
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

static void budgets(void **state) {
    (void)state;
    static const int cycles[] = {32, 24, 32};
    fill(&problem, 1);
    load(&problem);
    load_keys(&problem, 0);
    struct wi_emu_counters c = krig_run(&rig, &code[BLOCK][0], KRIG_MEMORY + PARAMS);
    print_message("attention block: %lu cycles of at least 3648, %lu of them stalls, %zu bytes\n",
                  (unsigned long)c.cycles, (unsigned long)c.stalls[WI_EMU_STALL_MEMORY],
                  code[BLOCK][0].bytes.len);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(code[BLOCK][0].loops[i].cycles, cycles[i]);
        assert_int_equal(code[BLOCK][0].loops[i].bound, cycles[i]);
        assert_int_equal(code[BLOCK][0].loops[i].tries, 0); /* else known.def is out of date */
    }
    assert_true(c.cycles <= 3870);
    assert_true(code[BLOCK][0].bytes.len <= 5300);
    c = krig_run(&rig, &code[FINISH][0], KRIG_MEMORY + PARAMS);
    print_message("attention finish: %lu cycles of at least 1536, %zu bytes\n",
                  (unsigned long)c.cycles, code[FINISH][0].bytes.len);
    assert_int_equal(code[FINISH][0].loops[1].cycles, 16);
    assert_true(c.cycles <= 2300);
    assert_true(code[FINISH][0].bytes.len <= 2048);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(blocks_are_the_hosts),
                                       cmocka_unit_test(extreme_scores),
                                       cmocka_unit_test(finish_is_the_hosts),
                                       cmocka_unit_test(softmax_in_f64), cmocka_unit_test(budgets)};
    return cmocka_run_group_tests(tests, setup, teardown);
}

#include "unit/suite.h"

#include "attrig.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void att_fill(struct att_problem *p, uint64_t seed) {
    memset(p, 0, sizeof *p);
    p->n_keys = 6 * KEYS;
    for (int i = 0; i < QUERIES * D; i++)
        p->q[i / D][i % D] = krig_bf16(krig_f32(krig_random_bf16(&seed)) * 0.21f);
    for (int i = 0; i < MAX_KEYS * D; i++) {
        p->k[i / D][i % D] = krig_bf16(krig_f32(krig_random_bf16(&seed)) * 0.93f);
        p->v[i / D][i % D] = krig_random_bf16(&seed);
    }
    for (int g = 0; g < QUERIES / 16; g++)
        p->c[g] = WI_ATT_OFFSET - 0.5f * (float)(g - 3);
}

static double rms(const uint16_t *v, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += pow(krig_f32(v[i]), 2);
    return sqrt(sum / n);
}

void att_fill_kind(struct att_problem *p, enum kdata_kind kind, uint64_t seed) {
    memset(p, 0, sizeof *p);
    kdata_row(p->q[0], QUERIES * D, kind, &seed);
    for (int key = 0; key < MAX_KEYS; key++) {
        kdata_row(p->k[key], D, kind == KDATA_MASKED ? KDATA_NORMAL : kind, &seed);
        kdata_row(p->v[key], D, kind == KDATA_MASKED ? KDATA_NORMAL : kind, &seed);
    }
    double scale = 3 / sqrt(D) / rms(p->q[0], QUERIES * D) / rms(p->k[0], MAX_KEYS * D);
    for (int i = 0; i < QUERIES * D; i++)
        p->q[i / D][i % D] = krig_bf16((float)(krig_f32(p->q[i / D][i % D]) * scale));
}

/* ---------------------------------------------------------------- memory */

static void put16(struct krig *rig, int at, uint16_t v) {
    memcpy(rig->memory + at, &v, 2);
}

int att_o_at(int d, int q) {
    int tile = d / 4, e = tile / 2;
    return O + tile % 2 * 0x4000 + e / 2 * PITCH + e % 2 * 1536 + q / 4 * 64 + d % 4 * 16 +
           q % 4 * 4;
}

int att_s_at(int q, int key) {
    int piece = q / 16, at = piece < 4 ? S + piece * PITCH : S + 0x8000 + (piece - 4) * PITCH;
    return at + q % 16 / 4 * 256 + key / 4 * 32 + key % 4 * 8 + q % 4 * 2;
}

void att_load_keys(struct krig *rig, const struct att_problem *p, int block) {
    for (int key = 0; key < KEYS; key++)
        for (int d = 0; d < D; d++) {
            put16(rig,
                  K + d / 16 * PITCH + key / 4 * 128 + d % 16 / 8 * 64 + key % 4 * 16 + d % 8 * 2,
                  p->k[block * KEYS + key][d]);
            put16(rig,
                  V + d / 16 * PITCH + key / 8 * 256 + d % 16 / 4 * 64 + key % 8 * 8 + d % 4 * 2,
                  p->v[block * KEYS + key][d]);
        }
}

struct wi_att_params att_params(const struct krig *rig) {
    struct wi_att_params params;
    memcpy(&params, rig->memory + PARAMS, sizeof params);
    return params;
}

void att_set_params(struct krig *rig, const struct wi_att_params *params) {
    memcpy(rig->memory + PARAMS, params, sizeof *params);
}

void att_load(struct krig *rig, const struct att_problem *p) {
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
    wi_emu_poison(rig->memory, sizeof rig->memory);
    att_set_params(rig, &params);
    memcpy(rig->memory + L, p->l, 1024);
    memcpy(rig->memory + L + PITCH, p->l + 16, sizeof p->l - 1024);
    for (int q = 0; q < QUERIES; q++)
        for (int d = 0; d < D; d++) {
            put16(rig, Q + d / 16 * PITCH + q / 4 * 128 + d % 16 / 8 * 64 + d % 8 * 8 + q % 4 * 2,
                  p->q[q][d]);
            memcpy(rig->memory + att_o_at(d, q), &p->o[d][q], 4);
        }
    for (int g = 0; g < QUERIES / 16; g++)
        for (int i = 0; i < 16; i++)
            memcpy(rig->memory + C + 64 * g + 4 * i, &p->c[g], 4);
}

/* ---------------------------------------------------------------- plain C */

float att_host_power(uint16_t score) {
    const uint16_t c = 0x4002; /* 2.03125 */
    uint16_t g = (int16_t)score > 0 ? score : 0, power = g & 0xff80, h = (g & 0x7f) | 0x3f80;
    return krig_mac(krig_mac(0, 1, &g, &h), 1, &power, &c);
}

void att_host_exp(struct att_problem *p, int n, uint16_t power[QUERIES][KEYS]) {
    for (int q = 0; q < QUERIES; q++) {
        float exact[KEYS];
        for (int key = 0; key < n; key++) {
            exact[key] = att_host_power(power[q][key]);
            power[q][key] = krig_bf16(exact[key]);
        }
        for (int r = 0; r < 4; r++) { /* tiles of 4 keys, the even and the odd ones apart */
            float *l = &p->l[q / 4][r][q % 4], odd = exact[4 + r];
            for (int key = r; key < n; key += 8) {
                *l = krig_add(*l, exact[key]);
                odd = key > r ? krig_add(odd, exact[key + 4]) : odd;
            }
            *l = krig_add(*l, odd);
        }
    }
}

void att_host_values(struct att_problem *p, int first, int n, uint16_t power[QUERIES][KEYS]) {
    for (int q = 0; q < QUERIES; q++)
        for (int d = 0; d < D; d++)
            for (int key = 0; key < n; key += 8) {
                uint16_t v[8];
                for (int e = 0; e < 8; e++)
                    v[e] = p->v[first + key + e][d];
                p->o[d][q] = krig_mac(p->o[d][q], 8, v, &power[q][key]);
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

void att_host_finish(struct att_problem *p) {
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

void att_out_is(const struct krig *rig, const struct att_problem *p) {
    for (int q = 0; q < QUERIES; q++)
        for (int d = 0; d < D; d++)
            if (memcmp(rig->memory + out_at(q, d), &p->out[q][d], 2) != 0)
                fail_msg("output of query %d, d %d", q, d);
}

void att_memory_is(const struct krig *rig, const struct att_problem *p, int n,
                   uint16_t power[QUERIES][KEYS]) {
    for (int q = 0; q < QUERIES; q++) {
        for (int key = 0; key < n; key++)
            if (memcmp(rig->memory + att_s_at(q, key), &power[q][key], 2) != 0)
                fail_msg("P of query %d, key %d", q, key);
        for (int d = 0; d < D; d++)
            if (memcmp(rig->memory + att_o_at(d, q), &p->o[d][q], 4) != 0)
                fail_msg("O of query %d, d %d", q, d);
    }
    assert_memory_equal(rig->memory + L, p->l, 1024);
    assert_memory_equal(rig->memory + L + PITCH, p->l + 16, sizeof p->l - 1024);
}

/* A row of attention; returns its largest magnitude. */
static double exact_row(const struct att_problem *p, int q, double want[D]) {
    static double score[MAX_KEYS];
    double most = -INFINITY, sum = 0, largest = 0;
    for (int key = 0; key < p->n_keys; key++) {
        score[key] = 0;
        for (int d = 0; d < D; d++)
            score[key] += (double)krig_f32(p->q[q][d]) * krig_f32(p->k[key][d]);
        most = fmax(most, score[key]);
    }
    for (int key = 0; key < p->n_keys; key++)
        sum += exp2(score[key] - most);
    for (int d = 0; d < D; d++) {
        want[d] = 0;
        for (int key = 0; key < p->n_keys; key++)
            want[d] += exp2(score[key] - most) / sum * krig_f32(p->v[key][d]);
        largest = fmax(largest, fabs(want[d]));
    }
    return largest;
}

struct att_error att_measure(const struct att_problem *p) {
    static double want[QUERIES][D];
    struct att_error e = {0, {0, 0, 0}};
    for (int q = 0; q < QUERIES; q++) {
        double largest = exact_row(p, q, want[q]);
        for (int d = 0; d < D; d++)
            e.worst = fmax(e.worst, fabs(krig_f32(p->out[q][d]) - want[q][d]) / largest);
    }
    e.ulp = kdata_measure(p->out[0], want[0], QUERIES, D);
    return e;
}

#include <math.h>

#include "npu/cases/impl.h"
#include "npu/kernels/attention.h"
#include "npu/kernels/attention_online.h"

/* ---------------------------------------------------------------- attention block */

enum {
    ONLINE_BOUND = 2 * (WI_ATT_QUERIES * WI_ATT_ONLINE_KEYS * WI_ATT_D / 128),
    QUERIES = WI_ATT_QUERIES,
    KEYS = WI_ATT_KEYS,
    D = WI_ATT_D,
    PITCH = WI_ATT_PITCH,
    ATT_V = 0x0c00,
    ATT_S = 0x4c00,
    ATT_O = 0x8000,
    ATT_K = 0x8c00,
    ATT_L = 0xec00,
    ATT_C = 0xfe00,
    ATT_PARAMS = 0xff80
};

static void att_pack(struct wi_case_data *d, uint16_t q[QUERIES][D], uint16_t k[KEYS][D],
                     uint16_t v[KEYS][D]) {
    for (uint32_t c = 0; c < D; c++) {
        uint32_t piece = c / 16 * PITCH, half = c % 16 / 8 * 64;
        for (uint32_t i = 0; i < QUERIES; i++)
            put_bf16(d, piece + i / 4 * 128 + half + c % 8 * 8 + i % 4 * 2, q[i][c]);
        for (uint32_t i = 0; i < KEYS; i++) {
            put_bf16(d, ATT_K + piece + i / 4 * 128 + half + i % 4 * 16 + c % 8 * 2, k[i][c]);
            put_bf16(d, ATT_V + piece + i / 8 * 256 + c % 16 / 4 * 64 + i % 8 * 8 + c % 4 * 2,
                     v[i][c]);
        }
    }
}

static uint32_t att_o(uint32_t c, uint32_t q) {
    uint32_t tile = c / 4, e = tile / 2;
    return ATT_O + tile % 2 * 0x4000 + e / 2 * PITCH + e % 2 * 1536 + q / 4 * 64 + c % 4 * 16 +
           q % 4 * 4;
}

static void att_softmax(struct wi_case_data *d, int n_keys, uint16_t q[QUERIES][D],
                        uint16_t k[KEYS][D], uint16_t v[KEYS][D]) {
    for (int i = 0; i < QUERIES; i++) {
        double weight[KEYS], sum = 0;
        for (int key = 0; key < n_keys; key++) {
            double s = 0;
            for (int c = 0; c < D; c++)
                s += from_bf16(q[i][c]) * from_bf16(k[key][c]);
            sum += weight[key] = exp2(s);
        }
        for (int c = 0; c < D; c++) {
            d->want[i * D + c] = 0;
            for (int key = 0; key < n_keys; key++)
                d->want[i * D + c] += weight[key] / sum * from_bf16(v[key][c]);
        }
    }
}

/* c: the constant of each query, or its maximum so far. */
static void att_begin(struct wi_case_data *d, int n_keys, float c) {
    uint16_t q[QUERIES][D], k[KEYS][D], v[KEYS][D];
    const float zero = 0;
    const struct wi_att_params params = {.q = WI_CASE_MEMORY,
                                         .k = WI_CASE_MEMORY + ATT_K,
                                         .v = WI_CASE_MEMORY + ATT_V,
                                         .s = WI_CASE_MEMORY + ATT_S,
                                         .o = WI_CASE_MEMORY + ATT_O,
                                         .l = WI_CASE_MEMORY + ATT_L,
                                         .c = WI_CASE_MEMORY + ATT_C};
    fill(d, q[0], QUERIES * D, -3);
    fill(d, k[0], KEYS * D, 0);
    fill(d, v[0], KEYS * D, 0);
    att_pack(d, q, k, v);
    for (uint32_t i = 0; i < QUERIES; i++)
        memcpy(d->memory + ATT_C + 4 * i, &c, 4);
    for (uint32_t i = 0; i < 4 * QUERIES; i++)
        memcpy(d->memory + ATT_L + i / 256 * PITCH + i % 256 * 4, &zero, 4);
    for (uint32_t i = 0; i < QUERIES * D; i++)
        memcpy(d->memory + att_o(i % D, i / D), &zero, 4);
    memcpy(d->memory + ATT_PARAMS, &params, sizeof params);
    d->params = ATT_PARAMS;
    d->n = QUERIES * D;
    d->row = D;
    att_softmax(d, n_keys, q, k, v);
}

static void att_before(struct wi_case_data *d) {
    att_begin(d, KEYS, WI_ATT_OFFSET);
}

static void online_before(struct wi_case_data *d) {
    att_begin(d, WI_ATT_ONLINE_KEYS, -0x1p126f);
}

static void exact_before(struct wi_case_data *d) {
    att_begin(d, WI_ATT_ONLINE_KEYS, 0);
}

/* O / l */
static void att_after(struct wi_case_data *d) {
    for (uint32_t q = 0; q < QUERIES; q++) {
        double l = 0;
        for (uint32_t r = 0; r < 4; r++) {
            float part;
            uint32_t at = q / 4 * 64 + r * 16 + q % 4 * 4;
            memcpy(&part, d->memory + ATT_L + at / 1024 * PITCH + at % 1024, 4);
            l += part;
        }
        for (uint32_t c = 0; c < D; c++) {
            float o;
            memcpy(&o, d->memory + att_o(c, q), 4);
            d->got[q * D + c] = o / l;
        }
    }
}

static uint32_t att_s(uint32_t q, uint32_t key) {
    uint32_t piece = q / 16, at = piece < 4 ? piece * PITCH : 0x8000 + (piece - 4) * PITCH;
    return ATT_S + at + q % 16 / 4 * 256 + key / 4 * 32 + key % 4 * 8 + q % 4 * 2;
}

/* Scores of the first keys, 7 bits behind the point, as their 16-bit patterns. */
static void scores_before(struct wi_case_data *d, int n_keys) {
    struct wi_att_params params = {.s = WI_CASE_MEMORY + ATT_S, .c = WI_CASE_MEMORY + ATT_C};
    wi_att_mask(&params, n_keys);
    memcpy(d->memory + ATT_PARAMS, &params, sizeof params);
    d->params = ATT_PARAMS;
    d->n = QUERIES * KEYS;
    d->row = KEYS;
    for (uint32_t i = 0; i < QUERIES * KEYS; i++) {
        int score = (int)(random_bits(d) % 4096) - 2048;
        put_bf16(d, att_s(i / KEYS, i % KEYS), (uint16_t)score);
        d->want[i] = (int)(i % KEYS) < n_keys ? score : 0;
    }
}

static void mask_before(struct wi_case_data *d) {
    scores_before(d, 1500 % KEYS);
}

static void reference_before(struct wi_case_data *d) {
    enum { GROUP = 16 * KEYS };
    scores_before(d, KEYS);
    for (double *group = d->want; group < d->want + d->n; group += GROUP) {
        double most = group[0];
        for (int i = 1; i < GROUP; i++)
            most = fmax(most, group[i]);
        for (int i = 0; i < GROUP; i++)
            group[i] += 127 * 128 - most;
    }
}

static void scores_after(struct wi_case_data *d) {
    for (uint32_t i = 0; i < QUERIES * KEYS; i++)
        d->got[i] = (int16_t)bf16_at(d, att_s(i / KEYS, i % KEYS));
}

static void finish_before(struct wi_case_data *d) {
    const struct wi_att_params params = {.s = WI_CASE_MEMORY + ATT_S,
                                         .o = WI_CASE_MEMORY + ATT_O,
                                         .l = WI_CASE_MEMORY + ATT_L,
                                         .out = WI_CASE_MEMORY};
    float l[QUERIES] = {0};
    for (uint32_t i = 0; i < 4 * QUERIES; i++) {
        float part = (float)(1 + random_bits(d) / 0x1p32);
        memcpy(d->memory + ATT_L + i / 256 * PITCH + i % 256 * 4, &part, 4);
        l[i / 16 * 4 + i % 4] += part;
    }
    for (uint32_t i = 0; i < QUERIES * D; i++) {
        float o = (float)(random_bits(d) / 0x1p32 - 0.5);
        memcpy(d->memory + att_o(i % D, i / D), &o, 4);
        d->want[i] = (double)o / l[i / D];
    }
    memcpy(d->memory + ATT_PARAMS, &params, sizeof params);
    d->params = ATT_PARAMS;
    d->n = QUERIES * D;
    d->row = D;
}

static void finish_after(struct wi_case_data *d) {
    for (uint32_t i = 0; i < QUERIES * D; i++)
        d->got[i] = from_bf16(bf16_at(d, i % D / 16 * PITCH + i / D / 4 * 128 + i % 16 / 8 * 64 +
                                             i / D % 4 * 16 + i % 8 * 2));
}

/* ---------------------------------------------------------------- the cases */

/* Bounds: products / 128 a cycle, 12 cycles per 64 powers; at the end 4 stores and conversions per
 * 16; of the reference loads and stores. */
const struct wi_case wi_cases_attention[] = {
    {"attention", "96 queries, 32 keys, d 64", "Q, K, V in panels and pieces; O, l in fp32", NULL,
     2 * (QUERIES * KEYS * D / 128) + QUERIES *KEYS / 64 * 12, wi_att_block_emit, att_before,
     att_after},
    {"attention-add", "96 queries, 32 keys, d 64",
     "the same, the constant added to scores by vadd.f", NULL,
     2 * (QUERIES * KEYS * D / 128) + QUERIES *KEYS / 16 + QUERIES *KEYS / 64 * 12,
     wi_att_add_block_emit, att_before, att_after},
    {"attention-online", "96 queries, 16 keys, d 64", "the same with fp32 scores, running maxima",
     NULL,
     ONLINE_BOUND + QUERIES *KEYS / 2 / 64 * (22 + 12) + QUERIES *D / 16 * 4 + QUERIES / 8 * 61,
     wi_att_online_block_emit, online_before, att_after},
    {"attention-exact", "96 queries, 16 keys, d 64",
     "the same with fp32 scores, 2^y by a polynomial", NULL,
     ONLINE_BOUND + QUERIES *KEYS / 2 / 64 * 50, wi_att_exact_block_emit, exact_before, att_after},
    {"attention-ref", "96 queries, 32 keys", "scores in place, constants", NULL,
     QUERIES *KEYS / 16 + QUERIES *KEYS / 16 + QUERIES / 4 * 2, wi_att_reference_emit,
     reference_before, scores_after},
    {"attention-mask", "96 queries, 32 keys", "scores in place", NULL, QUERIES *KEYS / 16,
     wi_att_mask_emit, mask_before, scores_after},
    {"attention-finish", "96 queries, d 64", "O, l in fp32 to panels of bf16", NULL,
     QUERIES *D / 16 * 4, wi_att_finish_emit, finish_before, finish_after},
    {0}};

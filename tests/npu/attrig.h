/* Attention on a rig: a head's numbers, where they lie in memory, and the parts of it in plain C
 * that all forms have. */
#ifndef WISP_TESTS_NPU_ATTRIG_H
#define WISP_TESTS_NPU_ATTRIG_H

#include "kdata.h"
#include "krig.h"
#include "npu/kernels/attention.h"

enum {
    QUERIES = WI_ATT_QUERIES,
    KEYS = WI_ATT_KEYS,
    D = WI_ATT_D,
    PITCH = WI_ATT_PITCH,
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

struct att_problem {
    uint16_t q[QUERIES][D], k[MAX_KEYS][D], v[MAX_KEYS][D];
    int n_keys;
    bool hit;                          /* a sum or an l left its window */
    float c[QUERIES / 16], m[QUERIES]; /* constants of 16 queries; maxima */
    float l[QUERIES / 4][4][4];        /* partial sums x queries */
    float o[D][QUERIES];
    uint16_t out[QUERIES][D];
};

/* Scores within some +-10 octaves of the reference. */
void att_fill(struct att_problem *p, uint64_t seed);
/* Inputs of a kind: queries as one row, keys and values each as one; scores of 3 octaves rms where
 * they are normal.  Masked is normal too: by the number of keys. */
void att_fill_kind(struct att_problem *p, enum kdata_kind kind, uint64_t seed);

int att_o_at(int d, int q);
int att_s_at(int q, int key); /* of 16 bits */
/* All but keys, which `att_load_keys` puts there: 32 of a block. */
void att_load(struct krig *rig, const struct att_problem *p);
void att_load_keys(struct krig *rig, const struct att_problem *p, int block);
struct wi_att_params att_params(const struct krig *rig);
void att_set_params(struct krig *rig, const struct wi_att_params *params);

/* (1 + c) 2^y of a score's bits. */
float att_host_power(uint16_t score);
/* Powers of n keys from the first on, in place of scores; l and O go on. */
void att_host_exp(struct att_problem *p, int n, uint16_t power[QUERIES][KEYS]);
void att_host_values(struct att_problem *p, int first, int n, uint16_t power[QUERIES][KEYS]);
void att_host_finish(struct att_problem *p);

/* Assert that memory has these. */
void att_out_is(const struct krig *rig, const struct att_problem *p);
void att_memory_is(const struct krig *rig, const struct att_problem *p, int n,
                   uint16_t power[QUERIES][KEYS]);

/* Against softmax in f64: the largest error relative to the row's largest value, and in ulp. */
struct att_error {
    double worst;
    struct kdata_error ulp;
};
struct att_error att_measure(const struct att_problem *p);

#endif

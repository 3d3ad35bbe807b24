/* What instructions read, write and occupy, and when.  The expectations are the classes of the
 * instruction set's document (distances of tight code in compiled programs among them), written
 * here by hand and not taken from the tables. */
#include "unit/suite.h"

#include <stdio.h>
#include <string.h>

#include "npu/isa/isa.h"

enum {
    R = WI_REG_R,
    L = WI_REG_L,
    P = WI_REG_P,
    M = WI_REG_M,
    DN = WI_REG_DN,
    DJ = WI_REG_DJ,
    DC = WI_REG_DC,
    D = WI_REG_D,
    D3 = WI_REG_D3,
    S = WI_REG_S,
    W = WI_REG_W,
    X = WI_REG_X,
    Y = WI_REG_Y,
    Q = WI_REG_Q,
    QX = WI_REG_QX,
    QWH = WI_REG_QWH,
    QWL = WI_REG_QWL,
    AM = WI_REG_AM,
    BM = WI_REG_BM,
    CM = WI_REG_CM
};
#define OP(id, ...)                                                                                \
    {                                                                                              \
        WI_OP_##id, {                                                                              \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

/* ------------------------------------------------------------------ distances */

/* The largest distance in bundles that anything `user` reads demands from what `maker` writes
 * there; -99 when they share nothing. */
static int distance(const struct wi_isa_op *maker, const struct wi_isa_op *user) {
    struct wi_isa_access w[WI_ISA_MAX_ACCESSES], r[WI_ISA_MAX_ACCESSES];
    int n_w = wi_isa_accesses(maker, w), n_r = wi_isa_accesses(user, r), most = -99;
    for (int i = 0; i < n_w; i++)
        for (int k = 0; k < n_r; k++) {
            bool both = wi_isa_overlap(w[i].unit, w[i].n_units, r[k].unit, r[k].n_units);
            int d = w[i].stage - r[k].stage + 1 - (w[i].bypass && w[i].bypass == r[k].bypass);
            if (w[i].write && !r[k].write && both && d > most)
                most = d;
        }
    return most;
}

static const struct {
    int distance;
    struct wi_isa_op maker, user;
} pairs[] = {
    /* scalar */
    {1, OP(ADD, R, R + 1, R + 2), OP(SUB, R + 3, R, R + 4)},
    {1, OP(ADD, R, R + 1, R + 2), OP(ADC, R + 3, R + 4, R + 4)}, /* the carry */
    {2, OP(MUL, R, R + 1, R + 2), OP(SUB, R + 3, R, R + 4)},
    {1, OP(DIVS, R, R, R + 2), OP(DIVS, R, R, R + 2)},
    {2, OP(MOV_D1, R, R + 1), OP(SUB, R + 3, R, R + 4)},
    {7, OP(MOV_D6, R, R + 1), OP(SUB, R + 3, R, R + 4)},
    {1, OP(PADDA_POST, P, M), OP(LDA_OFF, R, P, 0)},
    {1, OP(MOV_IMM, WI_REG_CR + 6, 12), OP(VCONV_BF16_FP32, W, BM)}, /* crRnd */
    {4, OP(JL, 0), OP(RET, 0)},
    /* loads */
    {7, OP(LDA_OFF, R, P, 0), OP(ADD, R + 1, R, R + 2)},
    {7, OP(LDA_OFF, P + 1, P, 0), OP(LDA_OFF, R, P + 1, 0)},
    {1, OP(LDA_INC, R, P, 4), OP(LDA_OFF, R + 1, P, 0)}, /* the pointer */
    {7, OP(VLDA_OFF, W, P, 0), OP(VMAC_F, BM, BM, X, X + 1, R)},
    {7, OP(VLDB_INC, W + 1, P, 32), OP(VADD_32, X + 1, X, X)},
    {7, OP(VLDB_4X16_LO, W, W + 2), OP(VSHUFFLE, X + 1, X, X, R)},
    {7, OP(VLDB_UNPACK_S16_S8_POST, X, P, M), OP(VADD_16, X + 1, X, X)},
    {1, OP(VUNPACK_S16_S8, X, W + 4), OP(VUNPACK_S16_S8, X + 1, W)}, /* source sampled at 7 */
    {5, OP(VLDA_AM_OFF, AM, P, 0), OP(VMAC_F, BM + 3, BM, X, X + 1, R)},
    {7, OP(VLDA_AM_OFF, AM, P, 0), OP(VST_AM_OFF, AM, P, 0)},
    {5, OP(VLDA_CONV_FP32_BF16_OFF, BM, P, 0), OP(VADD_F, BM + 2, BM, BM + 4, R)},
    {7, OP(VLDA_UPS_S32_S16_OFF, BM, S, P, 0), OP(VMAC, CM + 1, CM, X, X + 1, R)},
    {9, OP(VLDA_UPS_S32_S16_OFF, BM, S, P, 0), OP(VST_AM_OFF, AM, P, 0)},
    {-5, OP(MOV, S, R), OP(VLDA_UPS_S32_S16_OFF, BM, S, P, 0)}, /* the shift is sampled at 7 */
    {-5, OP(ADD, R, R + 1, R + 2),
     OP(ST_S8_OFF, R, P, 0)},                          /* so is what a part-word store stores */
    {1, OP(LDA_2D, R, P, D), OP(LDA_2D, R + 1, P, D)}, /* the counter */
    {1, OP(LDA_3D, R, P, D3), OP(MOV, R + 1, DC + 4)},
    {7, OP(VMOV_SCD, X), OP(VADD_32, X + 1, X, X)},
    {7, OP(MOV_SS, R), OP(ADD, R + 1, R, R)},
    /* vectors in the mv slot */
    {1, OP(VADD_32, X, X + 1, X + 2), OP(VSUB_32, X + 3, X, X + 4)}, /* bypass */
    {2, OP(VADD_32, X, X + 1, X + 2), OP(VMAC_F, BM, BM, X, X + 5, R)},
    {2, OP(VADD_32, X, X + 1, X + 2), OP(VST_OFF, W, P, 0)},
    {2, OP(VLT_S32, R + 16, X, X), OP(VSEL_32, X, X, X, R + 16)},
    {2, OP(VEXTRACT_S32, R, X, R + 16), OP(ADD, R + 1, R, R)},
    {1, OP(VMOV_W, W, W + 2), OP(VADD_32, X + 1, X, X)},     /* wl is on the bypass */
    {2, OP(VMOV_W, W + 1, W + 2), OP(VADD_32, X + 1, X, X)}, /* wh is not */
    {2, OP(VMOV_X, BM, X), OP(VMOV_X, X, BM)},
    {1, OP(VMOV_X, X, X + 1), OP(VMOV_X, X + 2, X)},
    {0, OP(VCONV_FP32_BF16, BM, W), OP(VADD_F, BM + 2, BM, BM + 4, R)},
    {1, OP(VSHUFFLE, X, X + 1, X + 2, R), OP(VCONV_FP32_BF16, BM, W)},
    {2, OP(VSHUFFLE, X, X + 1, X + 2, R), OP(VCONV_FP32_BF16, BM, W + 1)},
    {3, OP(VUPS_S32_S16_W2B, BM, W, S), OP(VST_AM_OFF, AM, P, 0)},
    {1, OP(VUPS_S32_S16_W2B, BM, W, S), OP(VMAC, CM + 1, CM, X, X + 1, R)},
    /* conversions in the st slot */
    {2, OP(VCONV_BF16_FP32, W, BM), OP(VST_OFF, W, P, 0)},
    {2, OP(VFLOOR_S32_BF16_W, X, W + 4, S), OP(VADD_32, X + 1, X, X)},
    {2, OP(VPACK_S8_S16, W, X + 1), OP(VST_OFF, W, P, 0)},
    {4, OP(VSRS_S16_S32_W, W, BM, S), OP(VST_OFF, W, P, 0)},
    {4, OP(VSRSM_S16_S32, W, BM, S), OP(VADD_16, X + 1, X, X)},
    /* the MAC unit */
    {2, OP(VMAC, CM, CM, X, X + 1, R), OP(VMAC, CM, CM, X, X + 1, R)},
    {5, OP(VMAC, CM, CM, X, X + 1, R), OP(VST_AM_OFF, AM, P, 0)},
    {5, OP(VMUL, CM, X, X + 1, R), OP(VSRS_S16_S32_W, W, BM, S)},
    {2, OP(VMUL, CM, X, X + 1, R), OP(VADDMAC, CM + 1, CM, X, X + 1, R)},
    {2, OP(VCLR, CM), OP(VMAC, CM, CM, X, X + 1, R)},
    {3, OP(VMOV_D, CM, CM + 1), OP(VMOV_D, CM + 2, CM)},
    {4, OP(VMAC_F, BM, BM, X, X + 1, R), OP(VMAC_F, BM, BM, X, X + 1, R)},
    {4, OP(VMUL_F, BM, X, X + 1, R), OP(VADD_F, BM + 1, BM, BM + 2, R)},
    {4, OP(VADDMAC_F, BM, BM + 1, X, X + 1, R), OP(VADDMAC_F, BM, BM + 1, X, X + 1, R)},
    {6, OP(VMAC_F, BM, BM, X, X + 1, R), OP(VCONV_BF16_FP32, W, BM)},
    {6, OP(VSUB_F, BM, BM + 1, BM + 2, R), OP(VST_CONV_BF16_FP32_OFF, BM, P, 0)},
    {6, OP(VCLR_F, BM), OP(VMOV_X, X, BM)},
    {1, OP(MOV_IMM, R, 28), OP(VADD_F, BM, BM + 1, BM + 2, R)},
    {2, OP(VADD_32, X, X + 1, X + 2), OP(VMUL, CM, X + 3, X, R)},
    {-99, OP(VMAC_F, BM, BM, X, X + 1, R), OP(VMAC_F, BM + 1, BM + 1, X, X + 1, R)},
};

static void test_distances(void **state) {
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char maker[80], user[80];
        wi_isa_print_op(&pairs[i].maker, WI_SLOT_ALU, NULL, maker, sizeof maker);
        wi_isa_print_op(&pairs[i].user, WI_SLOT_ALU, NULL, user, sizeof user);
        int d = distance(&pairs[i].maker, &pairs[i].user);
        if (d != pairs[i].distance)
            fail_msg("'%s' -> '%s': %d, not %d", maker, user, d, pairs[i].distance);
    }
}

/* ------------------------------------------------------------------ ports */

static const char *ports_of(struct wi_isa_op op) {
    static char text[200];
    struct wi_isa_port_use use[WI_ISA_MAX_PORTS];
    int n = wi_isa_ports(&op, use);
    text[0] = '\0';
    for (int i = 0; i < n; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s%s@%d..%d", i ? " " : "",
                 use[i].weak ? "~" : "", wi_isa_port_name(use[i].port), use[i].first, use[i].last);
    return text;
}

#define assert_ports(expected, ...)                                                                \
    assert_string_equal(ports_of((struct wi_isa_op)OP(__VA_ARGS__)), expected)

static void test_ports(void **state) {
    assert_ports("", PADDA_POST, P, M);
    assert_ports("R_WX@1..1", ADD, R, R, R);
    assert_ports("R_WX@2..2", MUL, R, R, R);
    assert_ports("SEMAPHORE@2..5", ACQ, R, R);
    assert_ports("R_WA@1..1", MOVA, R, 0);
    assert_ports("DJ_WM@1..1", MOVA, DJ, 0);
    assert_ports("RS_WM@1..1", MOV_IMM, R, 0);
    assert_ports("RS_WM@1..1 DN_WM@1..1", MOV_IMM, DN, 0);
    assert_ports("P_RM@1..1 RS_WM@1..1", MOV, S, R);
    assert_ports("P_RM@1..1 RS_WM@1..1 P_WM@1..1 M_WM@1..1 DJ_WM@1..1 DN_WM@1..1 DC_WM@1..1", MOV,
                 WI_REG_LC, R);
    assert_ports("~PWS@1..1 LOAD_A@2..2 R_WA@7..7", LDA_OFF, R, P, 0);
    assert_ports("~PWS@1..1 LOAD_A@2..2 P_WM@7..7", LDA_OFF, P, P, 0);
    assert_ports("~PWS@1..1 LOAD_A@2..2", LDA_Q_OFF, Q, P, 0);
    assert_ports("~PWS@1..1 LOAD_A@2..2 W_WA@7..7", VLDA_OFF, W, P, 0);
    assert_ports("~PWS@1..1 LOAD_A@2..2 CM_WM@7..7", VLDA_AM_OFF, AM, P, 0);
    assert_ports("~PWS@1..1", VLDB_OFF, W, P, 0);
    assert_ports("~PWS@1..1 W_RS@1..1 LOAD_A@2..2", VLDB_4X16_LO, W, W);
    assert_ports("~PWS@1..1 R_RV@1..1 P_RM@1..1 STORE@2..2", ST_OFF, R, P, 0);
    assert_ports("~PWS@1..1 W_RS@1..1 STORE@2..2", VST_OFF, W, P, 0);
    assert_ports("~PWS@1..1 CM_RM@1..1 STORE@2..2", VST_AM_OFF, AM, P, 0);
    assert_ports("CM_RM@1..1 STORE@2..2 ~PWS@3..3", VST_CONV_BF16_FP32_OFF, BM, P, 0);
    assert_ports("PWS@1..7 LOAD_A@2..2 R_WA@7..7 R_RV@7..7 STORE@8..8", ST_S8_OFF, R, P, 0);
    assert_ports("CM_RM@1..1 W_WA@2..2", VCONV_BF16_FP32, W, BM);
    assert_ports("W_RS@1..1 W_WA@2..2", VFLOOR_S32_BF16_W, X, W, S);
    assert_ports("CM_RM@1..1 W_WA@2..2", VFLOOR_S32_BF16_AM, X, AM, S);
    assert_ports("CM_RM@1..1 W_WM@2..2", VMOV_W, W, AM);
    assert_ports("CM_WM@2..2", VMOV_W, AM, W);
    assert_ports("W_WM@2..2", VMOV_X, X, X);
    assert_ports("CM_RM@1..1 CM_WM@2..2", VMOV_CM, CM, CM);
    assert_ports("R_RV@1..1 CM_WA@6..6", VMAC_F, BM, BM, X, X, R);
    assert_ports("R_RV@1..1 CM_RM@3..3 CM_WA@5..5", VADD, CM, CM, CM, R);
}

/* ------------------------------------------------------------------ storage */

static bool share(unsigned a, unsigned b) {
    struct wi_isa_range x[2], y[2];
    int n = wi_isa_units(a, x), m = wi_isa_units(b, y);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < m; k++)
            if (wi_isa_overlap(x[i].unit, x[i].n_units, y[k].unit, y[k].n_units))
                return true;
    return false;
}

/* The 32-bit, 20-bit, 128-bit or 256-bit parts that a register consists of, as a list of registers.
 */
static int parts_of(unsigned reg, unsigned out[8]) {
    const struct wi_isa_reg_info *r = wi_isa_reg_info(reg);
    unsigned n = r->number;
    int count = 0;
#define ADD(part) out[count++] = (unsigned)(part)
    switch (r->family) {
    case WI_FAMILY_L:
        ADD(R + 16 + 2 * n);
        ADD(R + 17 + 2 * n);
        break;
    case WI_FAMILY_D3:
        ADD(DN + n + 4);
        ADD(DJ + n + 4);
        ADD(DC + n + 4); /* fall through */
    case WI_FAMILY_D:
        ADD(M + n);
        ADD(DN + n);
        ADD(DJ + n);
        ADD(DC + n);
        break;
    case WI_FAMILY_QX: ADD(Q + n); /* fall through */
    case WI_FAMILY_X:
        ADD(W + 2 * n);
        ADD(W + 2 * n + 1);
        break;
    case WI_FAMILY_Y:
        for (unsigned i = 0; i < 4; i++)
            ADD(W + 4 * (n + 2) + i);
        break;
    case WI_FAMILY_QWH:
        ADD(Q + n);
        ADD(W + 2 * n + 1);
        break;
    case WI_FAMILY_QWL:
        ADD(Q + n);
        ADD(W + 2 * n);
        break;
    case WI_FAMILY_BM:
        ADD(AM + 2 * n);
        ADD(AM + 2 * n + 1);
        break;
    case WI_FAMILY_CM:
        for (unsigned i = 0; i < 4; i++)
            ADD(AM + 4 * n + i);
        break;
    default: ADD(reg);
    }
#undef ADD
    return count;
}

static void test_shared_storage(void **state) {
    for (unsigned a = 1; a < WI_N_REGS; a++)
        for (unsigned b = 1; b < WI_N_REGS; b++) {
            unsigned x[8], y[8];
            int n = parts_of(a, x), m = parts_of(b, y);
            bool common = false;
            for (int i = 0; i < n; i++)
                for (int k = 0; k < m; k++)
                    common = common || x[i] == y[k];
            if (share(a, b) != common)
                fail_msg("%s and %s", wi_isa_reg_info(a)->name, wi_isa_reg_info(b)->name);
        }
    assert_string_equal(wi_isa_reg_info(BM + 17)->name, "bmh8");
    assert_string_equal(wi_isa_reg_info(AM + 34)->name, "amhl8");
    assert_string_equal(wi_isa_reg_info(Y)->name, "y2");
    assert_string_equal(wi_isa_reg_info(L + 7)->name, "l7");
    assert_true(share(QX, X) && share(QWL, QWH) && !share(W + 7, W + 6));
}

WISP_SUITE(cmocka_unit_test(test_distances), cmocka_unit_test(test_ports),
           cmocka_unit_test(test_shared_storage))

/* Bundles of bytes to operations ready to run.  What an instruction means is found by its mnemonic
 * and slot in the table below; where its operands are, and when, comes from the instruction set's
 * tables. */
#include "npu/emu/impl.h"

#define NEG_MUL WI_EMU_CONF_NEG_MUL
#define NEG_ACC1 WI_EMU_CONF_NEG_ACC1
#define NEG_ACC2 WI_EMU_CONF_NEG_ACC2
#define NO_SIGN SIGN_UNSIGNED
#define SIGNED SIGN_SIGNED

/* Lanes of 8, 16 and 32 bits, of the sign that the control register gives, and signed. */
#define LANES(name, op)                                                                            \
    {name ".d8", wi_emu_x_lanes, op, 8, 0, CR_VADD_SIGN, 0},                                       \
        {name ".d16", wi_emu_x_lanes, op, 16, 0, CR_VADD_SIGN, 0},                                 \
        {name ".d32", wi_emu_x_lanes, op, 32, 0, CR_VADD_SIGN, 0},                                 \
        {name ".s8", wi_emu_x_lanes, op, 8, 0, SIGNED, 0},                                         \
        {name ".s16", wi_emu_x_lanes, op, 16, 0, SIGNED, 0}, {                                     \
        name ".s32", wi_emu_x_lanes, op, 32, 0, SIGNED, 0                                          \
    }
#define PLAIN_LANES(name, op)                                                                      \
    {name "8", wi_emu_x_lanes, op, 8, 0, SIGNED, 0},                                               \
        {name "16", wi_emu_x_lanes, op, 16, 0, SIGNED, 0}, {                                       \
        name "32", wi_emu_x_lanes, op, 32, 0, SIGNED, 0                                            \
    }
#define SIZES(name, fn)                                                                            \
    {name "8", fn, 0, 8, 0, NO_SIGN, 0}, {name "16", fn, 0, 16, 0, NO_SIGN, 0},                    \
        {name "32", fn, 0, 32, 0, NO_SIGN, 0}, {                                                   \
        name "64", fn, 0, 64, 0, NO_SIGN, 0                                                        \
    }
/* Conversions of a width: to bits, from bits; "d" takes its sign from a control register. */
#define WIDTHS(name, fn, to, from, cr)                                                             \
    {name ".d" #to ".d" #from, fn, 0, to, from, cr, 0}, {                                          \
        name ".s" #to ".s" #from, fn, 0, to, from, SIGNED, 0                                       \
    }
#define SRS(name, fn, to, from)                                                                    \
    {name ".d" #to ".s" #from, fn, 0, to, from, CR_SRS_SIGN, 0}, {                                 \
        name ".s" #to ".s" #from, fn, 0, to, from, SIGNED, 0                                       \
    }
#define UPS(name, fn, to, from)                                                                    \
    {name ".s" #to ".d" #from, fn, 0, to, from, CR_UPS_SIGN, 0}, {                                 \
        name ".s" #to ".s" #from, fn, 0, to, from, SIGNED, 0                                       \
    }
#define SCALAR(name, fn)                                                                           \
    { name, fn, 0, 0, 0, NO_SIGN, 0 }

struct meaning {
    const char *mnemonic; /* without .2d and .3d */
    void (*exec)(struct wi_emu_core *, const struct uop *);
    uint8_t op, bits, from, sign;
    uint32_t conf;
};

static const struct meaning alu[] = {SCALAR("abs", wi_emu_x_abs),
                                     SCALAR("adc", wi_emu_x_adc),
                                     SCALAR("add", wi_emu_x_add),
                                     SCALAR("and", wi_emu_x_and),
                                     SCALAR("ashl", wi_emu_x_ashl),
                                     SCALAR("clb", wi_emu_x_clb),
                                     SCALAR("clz", wi_emu_x_clz),
                                     SCALAR("divs", wi_emu_x_divs),
                                     SCALAR("done", wi_emu_x_done),
                                     SCALAR("eq", wi_emu_x_eq),
                                     SCALAR("eqz", wi_emu_x_eqz),
                                     SCALAR("event", wi_emu_x_event),
                                     SCALAR("extend.s16", wi_emu_x_ext_s16),
                                     SCALAR("extend.s8", wi_emu_x_ext_s8),
                                     SCALAR("extend.u16", wi_emu_x_ext_u16),
                                     SCALAR("extend.u8", wi_emu_x_ext_u8),
                                     SCALAR("ge", wi_emu_x_ge),
                                     SCALAR("geu", wi_emu_x_geu),
                                     SCALAR("j", wi_emu_x_jump),
                                     SCALAR("jl", wi_emu_x_call),
                                     SCALAR("jnzd", wi_emu_x_jnzd),
                                     SCALAR("lshl", wi_emu_x_lshl),
                                     SCALAR("lt", wi_emu_x_lt),
                                     SCALAR("ltu", wi_emu_x_ltu),
                                     SCALAR("movx", wi_emu_x_mov_imm),
                                     SCALAR("mul", wi_emu_x_mul),
                                     SCALAR("ne", wi_emu_x_ne),
                                     SCALAR("nez", wi_emu_x_nez),
                                     SCALAR("or", wi_emu_x_or),
                                     SCALAR("ret", wi_emu_x_ret),
                                     SCALAR("sbc", wi_emu_x_sbc),
                                     SCALAR("sel.eqz", wi_emu_x_sel_eqz),
                                     SCALAR("sel.nez", wi_emu_x_sel_nez),
                                     SCALAR("sub", wi_emu_x_sub),
                                     SCALAR("xor", wi_emu_x_xor),
                                     SCALAR("acq", wi_emu_x_acquire),
                                     {"acq.cond", wi_emu_x_acquire, 1, 0, 0, NO_SIGN, 0},
                                     SCALAR("rel", wi_emu_x_release),
                                     {"rel.cond", wi_emu_x_release, 1, 0, 0, NO_SIGN, 0},
                                     {0}};

static const struct meaning lng[] = {
    SCALAR("j", wi_emu_x_jump),        SCALAR("jl", wi_emu_x_call),
    SCALAR("jz", wi_emu_x_jump_z),     {"jnz", wi_emu_x_jump_z, 1, 0, 0, NO_SIGN, 0},
    SCALAR("movxm", wi_emu_x_mov_imm), {0}};

static const struct meaning mv[] = {
    SCALAR("add.nc", wi_emu_x_add_nc),
    SCALAR("mov", wi_emu_x_mov),
    SCALAR("mov.d1", wi_emu_x_mov),
    SCALAR("mov.d2", wi_emu_x_mov),
    SCALAR("mov.d3", wi_emu_x_mov),
    SCALAR("mov.d4", wi_emu_x_mov),
    SCALAR("mov.d5", wi_emu_x_mov),
    SCALAR("mov.d6", wi_emu_x_mov),
    LANES("vabs_gtz", WI_EMU_ABS_GTZ),
    LANES("vbneg_ltz", WI_EMU_BNEG_LTZ),
    LANES("vge", WI_EMU_GE),
    LANES("vlt", WI_EMU_LT),
    LANES("vmax_lt", WI_EMU_MAX_LT),
    LANES("vmaxdiff_lt", WI_EMU_MAXDIFF_LT),
    LANES("vmin_ge", WI_EMU_MIN_GE),
    LANES("vsub_ge", WI_EMU_SUB_GE),
    LANES("vsub_lt", WI_EMU_SUB_LT),
    PLAIN_LANES("vadd.", WI_EMU_ADD),
    PLAIN_LANES("vsub.", WI_EMU_SUB),
    PLAIN_LANES("vaddsub.", WI_EMU_ADDSUB),
    PLAIN_LANES("vsel.", WI_EMU_SEL),
    PLAIN_LANES("veqz.", WI_EMU_EQZ),
    PLAIN_LANES("vneg_gtz", WI_EMU_NEG_GTZ),
    {"vge.bf16", wi_emu_x_lanes_bf16, WI_EMU_GE, 16, 0, NO_SIGN, 0},
    {"vlt.bf16", wi_emu_x_lanes_bf16, WI_EMU_LT, 16, 0, NO_SIGN, 0},
    {"vmax_lt.bf16", wi_emu_x_lanes_bf16, WI_EMU_MAX_LT, 16, 0, NO_SIGN, 0},
    {"vmin_ge.bf16", wi_emu_x_lanes_bf16, WI_EMU_MIN_GE, 16, 0, NO_SIGN, 0},
    SCALAR("vband", wi_emu_x_logic),
    {"vbor", wi_emu_x_logic, 1, 0, 0, NO_SIGN, 0},
    SIZES("vbcst.", wi_emu_x_broadcast),
    SIZES("vbcstshfl.", wi_emu_x_broadcast_shuffle),
    SIZES("vextbcst.", wi_emu_x_extract_broadcast),
    SIZES("vinsert.", wi_emu_x_insert),
    SIZES("vpush.lo.", wi_emu_x_push_lo),
    SIZES("vpush.hi.", wi_emu_x_push_hi),
    {"vextract.d8", wi_emu_x_extract, 0, 8, 0, CR_VADD_SIGN, 0},
    {"vextract.d16", wi_emu_x_extract, 0, 16, 0, CR_VADD_SIGN, 0},
    {"vextract.d32", wi_emu_x_extract, 0, 32, 0, CR_VADD_SIGN, 0},
    {"vextract.d64", wi_emu_x_extract, 0, 64, 0, CR_VADD_SIGN, 0},
    {"vextract.s8", wi_emu_x_extract, 0, 8, 0, SIGNED, 0},
    {"vextract.s16", wi_emu_x_extract, 0, 16, 0, SIGNED, 0},
    {"vextract.s32", wi_emu_x_extract, 0, 32, 0, SIGNED, 0},
    {"vextract.s64", wi_emu_x_extract, 0, 64, 0, SIGNED, 0},
    SCALAR("vshift", wi_emu_x_shift),
    SCALAR("vshift.align", wi_emu_x_shift_align),
    SCALAR("vshuffle", wi_emu_x_shuffle),
    SCALAR("vmov", wi_emu_x_move),
    SCALAR("vconv.fp32.bf16", wi_emu_x_conv_fp32),
    SRS("vsrsm", wi_emu_x_srs, 16, 32),
    SRS("vsrsm", wi_emu_x_srs, 32, 64),
    UPS("vups", wi_emu_x_ups, 32, 16),
    UPS("vups", wi_emu_x_ups, 32, 8),
    UPS("vups", wi_emu_x_ups, 64, 16),
    UPS("vups", wi_emu_x_ups, 64, 32),
    {0}};

static const struct meaning lda[] = {{"lda", wi_emu_x_load, 0, 32, 0, NO_SIGN, 0},
                                     {"lda.s8", wi_emu_x_load, 0, 8, 0, SIGNED, 0},
                                     {"lda.s16", wi_emu_x_load, 0, 16, 0, SIGNED, 0},
                                     {"lda.u8", wi_emu_x_load, 0, 8, 0, NO_SIGN, 0},
                                     {"lda.u16", wi_emu_x_load, 0, 16, 0, NO_SIGN, 0},
                                     SCALAR("mov", wi_emu_x_stream_get),
                                     {"mov.nb", wi_emu_x_stream_get, 1, 0, 0, NO_SIGN, 0},
                                     SCALAR("mova", wi_emu_x_mov_imm),
                                     SCALAR("padda", wi_emu_x_padd),
                                     {"st.s16", wi_emu_x_store_part, 0, 16, 0, NO_SIGN, 0},
                                     {"st.s8", wi_emu_x_store_part, 0, 8, 0, NO_SIGN, 0},
                                     SCALAR("vlda", wi_emu_x_load_vector),
                                     SCALAR("vlda.128", wi_emu_x_load_128),
                                     SCALAR("vlda.conv.fp32.bf16", wi_emu_x_load_conv),
                                     UPS("vlda.ups", wi_emu_x_load_ups, 32, 16),
                                     UPS("vlda.ups", wi_emu_x_load_ups, 32, 8),
                                     UPS("vlda.ups", wi_emu_x_load_ups, 64, 16),
                                     UPS("vlda.ups", wi_emu_x_load_ups, 64, 32),
                                     SCALAR("vmov", wi_emu_x_cascade_get),
                                     {"vmov.hi", wi_emu_x_cascade_get, 1, 0, 0, NO_SIGN, 0},
                                     SCALAR("vmov.lo", wi_emu_x_cascade_get),
                                     {0}};

static const struct meaning ldb[] = {
    SCALAR("paddb", wi_emu_x_padd),
    SCALAR("vldb", wi_emu_x_load_vector),
    SCALAR("vldb.128", wi_emu_x_load_128),
    WIDTHS("vldb.unpack", wi_emu_x_load_unpack, 16, 8, CR_UNPACK_SIGN),
    WIDTHS("vldb.unpack", wi_emu_x_load_unpack, 8, 4, CR_UNPACK_SIGN),
    WIDTHS("vunpack", wi_emu_x_unpack, 16, 8, CR_UNPACK_SIGN),
    WIDTHS("vunpack", wi_emu_x_unpack, 8, 4, CR_UNPACK_SIGN),
    {"vldb.4x16.hi", wi_emu_x_load_lut, 1, 16, 0, NO_SIGN, 0},
    {"vldb.4x16.lo", wi_emu_x_load_lut, 0, 16, 0, NO_SIGN, 0},
    {"vldb.4x32.hi", wi_emu_x_load_lut, 1, 32, 0, NO_SIGN, 0},
    {"vldb.4x32.lo", wi_emu_x_load_lut, 0, 32, 0, NO_SIGN, 0},
    {"vldb.4x64.hi", wi_emu_x_load_lut, 1, 64, 0, NO_SIGN, 0},
    {"vldb.4x64.lo", wi_emu_x_load_lut, 0, 64, 0, NO_SIGN, 0},
    {0}};

static const struct meaning st[] = {SCALAR("mov", wi_emu_x_stream_put),
                                    {"mov.tlast", wi_emu_x_stream_put, 0, 1, 0, NO_SIGN, 0},
                                    {"mov.nb", wi_emu_x_stream_put, 1, 0, 0, NO_SIGN, 0},
                                    {"mov.nb.tlast", wi_emu_x_stream_put, 1, 1, 0, NO_SIGN, 0},
                                    SCALAR("padds", wi_emu_x_padd),
                                    SCALAR("st", wi_emu_x_store),
                                    SCALAR("vst", wi_emu_x_store_vector),
                                    SCALAR("vst.128", wi_emu_x_store_vector),
                                    SCALAR("vst.conv.bf16.fp32", wi_emu_x_store_conv),
                                    WIDTHS("vst.pack", wi_emu_x_store_pack, 4, 8, CR_PACK_SIGN),
                                    WIDTHS("vst.pack", wi_emu_x_store_pack, 8, 16, CR_PACK_SIGN),
                                    WIDTHS("vpack", wi_emu_x_pack, 4, 8, CR_PACK_SIGN),
                                    WIDTHS("vpack", wi_emu_x_pack, 8, 16, CR_PACK_SIGN),
                                    SRS("vst.srs", wi_emu_x_store_srs, 8, 32),
                                    SRS("vst.srs", wi_emu_x_store_srs, 16, 32),
                                    SRS("vst.srs", wi_emu_x_store_srs, 16, 64),
                                    SRS("vst.srs", wi_emu_x_store_srs, 32, 64),
                                    SRS("vsrs", wi_emu_x_srs, 8, 32),
                                    SRS("vsrs", wi_emu_x_srs, 16, 32),
                                    SRS("vsrs", wi_emu_x_srs, 16, 64),
                                    SRS("vsrs", wi_emu_x_srs, 32, 64),
                                    SCALAR("vconv.bf16.fp32", wi_emu_x_conv_bf16),
                                    SCALAR("vfloor.s32.bf16", wi_emu_x_floor),
                                    SCALAR("vmov", wi_emu_x_cascade_put),
                                    {0}};

/* op: number of accumulators; bits 32: float. */
#define MAC(name, n, flips)                                                                        \
    {name, wi_emu_x_mac, n, 64, 0, NO_SIGN, flips}, {                                              \
        name ".f", wi_emu_x_mac, n, 32, 0, NO_SIGN, flips                                          \
    }
#define SUM(name, n, flips)                                                                        \
    {name, wi_emu_x_acc_sum, n, 64, 0, NO_SIGN, flips}, {                                          \
        name ".f", wi_emu_x_acc_sum, n, 32, 0, NO_SIGN, flips                                      \
    }
static const struct meaning vec[] = {MAC("vmul", 0, 0),
                                     MAC("vnegmul", 0, NEG_MUL),
                                     MAC("vmac", 1, 0),
                                     MAC("vmsc", 1, NEG_MUL),
                                     MAC("vnegmac", 1, NEG_ACC1 | NEG_MUL),
                                     MAC("vnegmsc", 1, NEG_MUL) /* as measured: a - P */,
                                     MAC("vaddmac", 2, 0),
                                     MAC("vaddmsc", 2, NEG_MUL),
                                     MAC("vsubmac", 2, NEG_ACC2),
                                     MAC("vsubmsc", 2, NEG_ACC2 | NEG_MUL),
                                     SUM("vadd", 2, 0),
                                     SUM("vsub", 2, NEG_ACC2),
                                     SUM("vnegsub", 2, NEG_ACC1),
                                     SUM("vnegadd", 2, NEG_ACC1 | NEG_ACC2),
                                     SUM("vneg", 1, NEG_ACC1),
                                     SCALAR("vclr", wi_emu_x_acc_move),
                                     SCALAR("vmov.d", wi_emu_x_acc_move),
                                     {0}};

static const struct meaning *const tables[WI_N_SLOTS] = {
    [WI_SLOT_ALU] = alu, [WI_SLOT_MV] = mv, [WI_SLOT_LNG] = lng, [WI_SLOT_LDA] = lda,
    [WI_SLOT_LDB] = ldb, [WI_SLOT_ST] = st, [WI_SLOT_VEC] = vec};

/* ------------------------------------------------------------------ finding the meaning */

/* The mnemonic of a text, without the parts that only tell the form of the address. */
static void mnemonic(char out[32], const char *text) {
    size_t n = 0;
    while (*text && *text != ' ' && n < 31) {
        if (strncmp(text, ".2d", 3) == 0 || strncmp(text, ".3d", 3) == 0)
            text += 3;
        else
            out[n++] = *text++;
    }
    out[n] = '\0';
}

static const struct meaning *find_meaning(const struct wi_isa_info *info) {
    char name[32];
    mnemonic(name, info->text);
    for (const struct meaning *m = tables[info->slot]; m && m->mnemonic; m++)
        if (strcmp(m->mnemonic, name) == 0)
            return m;
    return NULL;
}

static int field(const struct wi_isa_info *info, char letter) {
    for (int i = 0; i < info->n_fields; i++)
        if (info->field[i].letter == letter)
            return i;
    return -1;
}

static enum form address_form(const struct wi_isa_info *info) {
    const char *open = strchr(info->text, '[');
    int m = field(info, 'm');
    if (!open || strncmp(open, "[sp], ", 6) == 0)
        return open ? FORM_INC : FORM_NONE;
    if (strncmp(open, "[sp, ", 5) == 0)
        return FORM_SP;
    if (strncmp(open, "[p, ", 4) == 0)
        return open[4] == '#' ? FORM_OFF : FORM_IDX;
    if (strncmp(open, "[p], ", 5) != 0)
        return FORM_PLAIN;
    if (m < 0)
        return FORM_INC;
    return info->field[m].class == WI_CLASS_D    ? FORM_2D
           : info->field[m].class == WI_CLASS_D3 ? FORM_3D
                                                 : FORM_POST;
}

/* ------------------------------------------------------------------ operands */

/* The place that a letter's register goes to in a uop. */
static uint16_t *place(struct uop *u, char letter, unsigned class) {
    switch (letter) {
    case 'd': return &u->d;
    case 'k': return &u->k;
    case 'a': return &u->a;
    case 'b': return &u->b;
    case 'u': return &u->u;
    case 'v': return &u->v;
    case 's': return &u->s;
    case 'g': return &u->g;
    case 'p': return &u->p;
    case 'j': return &u->m;
    case 'm': return class == WI_CLASS_M ? &u->m : &u->x;
    default: return &u->x; /* c config, e mask, h shift, n lane, r element */
    }
}

static bool take_field(struct uop *u, const struct wi_isa_field *f, int32_t value) {
    uint16_t at, words;
    uint32_t keep;
    if (f->class == WI_CLASS_NONE) {
        u->imm = value;
        u->immediate = true;
        return true;
    }
    if (f->class == WI_CLASS_D || f->class == WI_CLASS_D3) {
        u->m = wi_isa_reg_info((unsigned)value)->number;
        return true;
    }
    if (!wi_emu_reg_place((unsigned)value, &at, &words, &keep))
        return false;
    *place(u, f->letter, f->class) = at;
    if (f->letter == 'd') {
        u->words = words;
        u->keep = keep;
    } else if (f->letter == 's') {
        u->s_words = words;
    }
    if (f->class == WI_CLASS_QX)
        u->mask = (uint16_t)(AT_Q + 4 * wi_isa_reg_info((unsigned)value)->number);
    u->wide = u->wide || f->class == WI_CLASS_Y;
    return true;
}

static void take_stages(struct uop *u, const struct wi_isa_op *op, const struct wi_isa_info *info) {
    struct wi_isa_access access[WI_ISA_MAX_ACCESSES];
    int n = wi_isa_accesses(op, access);
    for (int i = 0; i < n; i++) {
        const struct wi_isa_access *a = &access[i];
        char letter = a->field < 0 ? 0 : info->field[a->field].letter;
        bool returns = letter == 0 && a->write && a->unit == WI_UNIT_LR;
        if (a->write && (letter == 'd' || returns)) {
            u->d_stage = a->stage;
            u->bypass_d = a->bypass != WI_BYPASS_NONE;
        } else if (a->write && letter == 'k') {
            u->k_stage = a->stage;
        } else if (!a->write && (letter == 'u' || letter == 'v' ||
                                 (letter == 's' && info->slot == WI_SLOT_VEC))) {
            u->acc_stage = a->stage;
        } else if (!a->write && a->stage > 1 && (letter == 's' || letter == 'h')) {
            u->late_stage = a->stage;
        } else if (!a->write && a->stage > 1 && a->unit == WI_UNIT_CR + CR_UNPACK_SIGN) {
            u->late_stage = a->stage;
        }
        if (!a->write && letter == 's')
            u->bypass_s = a->bypass != WI_BYPASS_NONE;
    }
}

enum { ACC_STAGE = 3, UNPACK_STAGE = 7 }; /* where the table has no operand to say so */

static void defaults(struct uop *u, const struct wi_isa_info *info) {
    if (info->slot == WI_SLOT_VEC && !u->acc_stage)
        u->acc_stage = ACC_STAGE;
    if (!u->late_stage)
        u->late_stage = UNPACK_STAGE;
    if (field(info, 'b') < 0) /* single sources are the second one of lane operations */
        u->b = u->a;
    if (field(info, 'u') < 0) /* "vaddmac d, d, v": tied */
        u->u = u->d;
    if (u->form == FORM_SP || (u->form == FORM_INC && field(info, 'p') < 0))
        u->p = AT_SP;
}

/* What one mnemonic tells apart by its operands. */
static void variants(struct uop *u, const struct wi_isa_info *info) {
    switch (u->id) {
    case WI_OP_MOV_CNTR: u->exec = wi_emu_x_mov_cntr; break;
    case WI_OP_MOV_IMM: u->exec = wi_emu_x_mov_imm; break;
    case WI_OP_MOVX_CR: u->exec = wi_emu_x_mov_cr; break;
    case WI_OP_MOV_MS_TLASTR:
    case WI_OP_MOV_MS_NB_TLASTR: u->bits = 2; break;
    case WI_OP_VMOV_HI_SCD: u->d += 16; break;
    default: break;
    }
    if (u->exec == wi_emu_x_store && u->s_words > 1) /* a q */
        u->exec = wi_emu_x_store_vector;
    if (u->exec == wi_emu_x_store_vector)
        u->s_words = strstr(info->text, ".128") ? 4 : u->s_words;
    if (u->exec == wi_emu_x_load && u->words > 1)
        u->exec = wi_emu_x_load_vector;
    if (u->exec == wi_emu_x_acc_sum)
        u->immediate = true;
}

static unsigned blocks_on(const struct uop *u) {
    if (u->exec == wi_emu_x_acquire)
        return BLOCK_ACQUIRE;
    if (u->exec == wi_emu_x_stream_get)
        return u->op ? 0 : BLOCK_STREAM_IN;
    if (u->exec == wi_emu_x_stream_put)
        return u->op ? 0 : BLOCK_STREAM_OUT;
    if (u->exec == wi_emu_x_cascade_get)
        return BLOCK_CASCADE_IN;
    return u->exec == wi_emu_x_cascade_put ? BLOCK_CASCADE_OUT : 0;
}

/* Status registers other than the carry and the streams' success are not modelled: none may be
 * read. */
static bool reads_unknown_status(const struct uop *u) {
    bool status = u->exec == wi_emu_x_mov && u->s >= AT_SR && u->s < AT_SR + 10;
    return status && u->s != AT_SR + SR_CARRY && u->s != AT_SR + SR_MS0 && u->s != AT_SR + SR_SS0;
}

static bool decode_op(struct wi_emu_core *core, struct uop *u, const struct wi_isa_op *op,
                      unsigned slot) {
    const struct wi_isa_info *info = wi_isa_info(op->id);
    const struct meaning *m = info->semantics == WI_SEM_NONE ? NULL : find_meaning(info);
    const struct wi_isa_timing_info *timing = wi_isa_timing_info(info->timing);
    *u = (struct uop){.id = op->id, .slot = (uint8_t)slot};
    if (!m) {
        wi_emu_stop_fault(core, u, "no document says what this instruction does");
        return false;
    }
    u->exec = m->exec;
    u->op = m->op;
    u->bits = m->bits;
    u->from = m->from;
    u->sign = m->sign;
    u->conf = m->conf;
    u->form = (uint8_t)address_form(info);
    u->mem_stage = timing->mem_stage[0];
    u->store_stage = timing->mem_stage[1];
    for (int i = 0; i < info->n_fields; i++)
        if (!take_field(u, &info->field[i], op->v[i])) {
            wi_emu_stop_fault(core, u, "a register that the emulator does not have");
            return false;
        }
    take_stages(u, op, info);
    defaults(u, info);
    variants(u, info);
    if (reads_unknown_status(u)) {
        wi_emu_stop_fault(core, u, "this status register is not modelled");
        return false;
    }
    return true;
}

bool wi_emu_decode(struct wi_emu_core *core, struct bundle *b, uint32_t pc) {
    struct wi_isa_bundle raw;
    int size = wi_isa_unpack(&raw, core->program + pc, WI_EMU_PROGRAM_BYTES - pc);
    if (size <= 0) {
        wi_emu_stop_fault(core, NULL, "no instruction: %02x %02x %02x %02x ...", core->program[pc],
                          core->program[(pc + 1) % WI_EMU_PROGRAM_BYTES],
                          core->program[(pc + 2) % WI_EMU_PROGRAM_BYTES],
                          core->program[(pc + 3) % WI_EMU_PROGRAM_BYTES]);
        return false;
    }
    struct uop acquire = {0};
    *b = (struct bundle){0};
    for (unsigned slot = 0; slot < WI_N_SLOTS; slot++) {
        struct uop u;
        if (raw.op[slot].id == WI_OP_NOP)
            continue;
        if (!decode_op(core, &u, &raw.op[slot], slot))
            return false;
        b->blocking |= (uint8_t)blocks_on(&u);
        b->sets_loop = b->sets_loop || (u.d_stage && u.d >= AT_LS && u.d <= AT_LC);
        b->part_store = b->part_store || u.exec == wi_emu_x_store_part;
        if (u.exec == wi_emu_x_acquire)
            acquire = u;
        else
            b->op[b->n_ops++] = u;
    }
    if (b->blocking & BLOCK_ACQUIRE)
        b->op[b->n_ops] = acquire;
    b->size = (uint8_t)size;
    return true;
}

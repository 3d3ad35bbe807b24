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
    {name ".d8", X_lanes, op, 8, 0, CR_VADD_SIGN, 0},                                              \
        {name ".d16", X_lanes, op, 16, 0, CR_VADD_SIGN, 0},                                        \
        {name ".d32", X_lanes, op, 32, 0, CR_VADD_SIGN, 0},                                        \
        {name ".s8", X_lanes, op, 8, 0, SIGNED, 0}, {name ".s16", X_lanes, op, 16, 0, SIGNED, 0},  \
    {                                                                                              \
        name ".s32", X_lanes, op, 32, 0, SIGNED, 0                                                 \
    }
#define PLAIN_LANES(name, op)                                                                      \
    {name "8", X_lanes, op, 8, 0, SIGNED, 0}, {name "16", X_lanes, op, 16, 0, SIGNED, 0}, {        \
        name "32", X_lanes, op, 32, 0, SIGNED, 0                                                   \
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
    uint8_t family, op, bits, from, sign;
    uint16_t conf;
};

static const struct meaning alu[] = {SCALAR("abs", X_abs),
                                     SCALAR("adc", X_adc),
                                     SCALAR("add", X_add),
                                     SCALAR("and", X_and),
                                     SCALAR("ashl", X_ashl),
                                     SCALAR("clb", X_clb),
                                     SCALAR("clz", X_clz),
                                     SCALAR("divs", X_divs),
                                     SCALAR("done", X_done),
                                     SCALAR("eq", X_eq),
                                     SCALAR("eqz", X_eqz),
                                     SCALAR("event", X_event),
                                     SCALAR("extend.s16", X_ext_s16),
                                     SCALAR("extend.s8", X_ext_s8),
                                     SCALAR("extend.u16", X_ext_u16),
                                     SCALAR("extend.u8", X_ext_u8),
                                     SCALAR("ge", X_ge),
                                     SCALAR("geu", X_geu),
                                     SCALAR("j", X_jump),
                                     SCALAR("jl", X_call),
                                     SCALAR("jnzd", X_jnzd),
                                     SCALAR("lshl", X_lshl),
                                     SCALAR("lt", X_lt),
                                     SCALAR("ltu", X_ltu),
                                     SCALAR("movx", X_mov_imm),
                                     SCALAR("mul", X_mul),
                                     SCALAR("ne", X_ne),
                                     SCALAR("nez", X_nez),
                                     SCALAR("or", X_or),
                                     SCALAR("ret", X_ret),
                                     SCALAR("sbc", X_sbc),
                                     SCALAR("sel.eqz", X_sel_eqz),
                                     SCALAR("sel.nez", X_sel_nez),
                                     SCALAR("sub", X_sub),
                                     SCALAR("xor", X_xor),
                                     SCALAR("acq", X_acquire),
                                     {"acq.cond", X_acquire, 1, 0, 0, NO_SIGN, 0},
                                     SCALAR("rel", X_release),
                                     {"rel.cond", X_release, 1, 0, 0, NO_SIGN, 0},
                                     {0}};

static const struct meaning lng[] = {
    SCALAR("j", X_jump),        SCALAR("jl", X_call),
    SCALAR("jz", X_jump_z),     {"jnz", X_jump_z, 1, 0, 0, NO_SIGN, 0},
    SCALAR("movxm", X_mov_imm), {0}};

static const struct meaning mv[] = {
    SCALAR("add.nc", X_add_nc),
    SCALAR("mov", X_mov),
    SCALAR("mov.d1", X_mov),
    SCALAR("mov.d2", X_mov),
    SCALAR("mov.d3", X_mov),
    SCALAR("mov.d4", X_mov),
    SCALAR("mov.d5", X_mov),
    SCALAR("mov.d6", X_mov),
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
    {"vge.bf16", X_lanes_bf16, WI_EMU_GE, 16, 0, NO_SIGN, 0},
    {"vlt.bf16", X_lanes_bf16, WI_EMU_LT, 16, 0, NO_SIGN, 0},
    {"vmax_lt.bf16", X_lanes_bf16, WI_EMU_MAX_LT, 16, 0, NO_SIGN, 0},
    {"vmin_ge.bf16", X_lanes_bf16, WI_EMU_MIN_GE, 16, 0, NO_SIGN, 0},
    SCALAR("vband", X_logic),
    {"vbor", X_logic, 1, 0, 0, NO_SIGN, 0},
    SIZES("vbcst.", X_broadcast),
    SIZES("vbcstshfl.", X_broadcast_shuffle),
    SIZES("vextbcst.", X_extract_broadcast),
    SIZES("vinsert.", X_insert),
    SIZES("vpush.lo.", X_push_lo),
    SIZES("vpush.hi.", X_push_hi),
    {"vextract.d8", X_extract, 0, 8, 0, CR_VADD_SIGN, 0},
    {"vextract.d16", X_extract, 0, 16, 0, CR_VADD_SIGN, 0},
    {"vextract.d32", X_extract, 0, 32, 0, CR_VADD_SIGN, 0},
    {"vextract.d64", X_extract, 0, 64, 0, CR_VADD_SIGN, 0},
    {"vextract.s8", X_extract, 0, 8, 0, SIGNED, 0},
    {"vextract.s16", X_extract, 0, 16, 0, SIGNED, 0},
    {"vextract.s32", X_extract, 0, 32, 0, SIGNED, 0},
    {"vextract.s64", X_extract, 0, 64, 0, SIGNED, 0},
    SCALAR("vshift", X_shift),
    SCALAR("vshift.align", X_shift_align),
    SCALAR("vshuffle", X_shuffle),
    SCALAR("vmov", X_move),
    SCALAR("vconv.fp32.bf16", X_conv_fp32),
    SRS("vsrsm", X_srs, 16, 32),
    SRS("vsrsm", X_srs, 32, 64),
    UPS("vups", X_ups, 32, 16),
    UPS("vups", X_ups, 32, 8),
    UPS("vups", X_ups, 64, 16),
    UPS("vups", X_ups, 64, 32),
    {0}};

static const struct meaning lda[] = {{"lda", X_load, 0, 32, 0, NO_SIGN, 0},
                                     {"lda.s8", X_load, 0, 8, 0, SIGNED, 0},
                                     {"lda.s16", X_load, 0, 16, 0, SIGNED, 0},
                                     {"lda.u8", X_load, 0, 8, 0, NO_SIGN, 0},
                                     {"lda.u16", X_load, 0, 16, 0, NO_SIGN, 0},
                                     SCALAR("mov", X_stream_get),
                                     {"mov.nb", X_stream_get, 1, 0, 0, NO_SIGN, 0},
                                     SCALAR("mova", X_mov_imm),
                                     SCALAR("padda", X_padd),
                                     {"st.s16", X_store_part, 0, 16, 0, NO_SIGN, 0},
                                     {"st.s8", X_store_part, 0, 8, 0, NO_SIGN, 0},
                                     SCALAR("vlda", X_load_vector),
                                     SCALAR("vlda.128", X_load_128),
                                     SCALAR("vlda.conv.fp32.bf16", X_load_conv),
                                     UPS("vlda.ups", X_load_ups, 32, 16),
                                     UPS("vlda.ups", X_load_ups, 32, 8),
                                     UPS("vlda.ups", X_load_ups, 64, 16),
                                     UPS("vlda.ups", X_load_ups, 64, 32),
                                     SCALAR("vmov", X_cascade_get),
                                     {"vmov.hi", X_cascade_get, 1, 0, 0, NO_SIGN, 0},
                                     SCALAR("vmov.lo", X_cascade_get),
                                     {0}};

static const struct meaning ldb[] = {SCALAR("paddb", X_padd),
                                     SCALAR("vldb", X_load_vector),
                                     SCALAR("vldb.128", X_load_128),
                                     WIDTHS("vldb.unpack", X_load_unpack, 16, 8, CR_UNPACK_SIGN),
                                     WIDTHS("vldb.unpack", X_load_unpack, 8, 4, CR_UNPACK_SIGN),
                                     WIDTHS("vunpack", X_unpack, 16, 8, CR_UNPACK_SIGN),
                                     WIDTHS("vunpack", X_unpack, 8, 4, CR_UNPACK_SIGN),
                                     {"vldb.4x16.hi", X_load_lut, 1, 16, 0, NO_SIGN, 0},
                                     {"vldb.4x16.lo", X_load_lut, 0, 16, 0, NO_SIGN, 0},
                                     {"vldb.4x32.hi", X_load_lut, 1, 32, 0, NO_SIGN, 0},
                                     {"vldb.4x32.lo", X_load_lut, 0, 32, 0, NO_SIGN, 0},
                                     {"vldb.4x64.hi", X_load_lut, 1, 64, 0, NO_SIGN, 0},
                                     {"vldb.4x64.lo", X_load_lut, 0, 64, 0, NO_SIGN, 0},
                                     {0}};

static const struct meaning st[] = {SCALAR("mov", X_stream_put),
                                    {"mov.tlast", X_stream_put, 0, 1, 0, NO_SIGN, 0},
                                    {"mov.nb", X_stream_put, 1, 0, 0, NO_SIGN, 0},
                                    {"mov.nb.tlast", X_stream_put, 1, 1, 0, NO_SIGN, 0},
                                    SCALAR("padds", X_padd),
                                    SCALAR("st", X_store),
                                    SCALAR("vst", X_store_vector),
                                    SCALAR("vst.128", X_store_vector),
                                    SCALAR("vst.conv.bf16.fp32", X_store_conv),
                                    WIDTHS("vst.pack", X_store_pack, 4, 8, CR_PACK_SIGN),
                                    WIDTHS("vst.pack", X_store_pack, 8, 16, CR_PACK_SIGN),
                                    WIDTHS("vpack", X_pack, 4, 8, CR_PACK_SIGN),
                                    WIDTHS("vpack", X_pack, 8, 16, CR_PACK_SIGN),
                                    SRS("vst.srs", X_store_srs, 8, 32),
                                    SRS("vst.srs", X_store_srs, 16, 32),
                                    SRS("vst.srs", X_store_srs, 16, 64),
                                    SRS("vst.srs", X_store_srs, 32, 64),
                                    SRS("vsrs", X_srs, 8, 32),
                                    SRS("vsrs", X_srs, 16, 32),
                                    SRS("vsrs", X_srs, 16, 64),
                                    SRS("vsrs", X_srs, 32, 64),
                                    SCALAR("vconv.bf16.fp32", X_conv_bf16),
                                    SCALAR("vfloor.s32.bf16", X_floor),
                                    SCALAR("vmov", X_cascade_put),
                                    {0}};

/* op: number of accumulators; bits 32: float. */
#define MAC(name, n, flips)                                                                        \
    {name, X_mac, n, 64, 0, NO_SIGN, flips}, {                                                     \
        name ".f", X_mac, n, 32, 0, NO_SIGN, flips                                                 \
    }
#define SUM(name, n, flips)                                                                        \
    {name, X_acc_sum, n, 64, 0, NO_SIGN, flips}, {                                                 \
        name ".f", X_acc_sum, n, 32, 0, NO_SIGN, flips                                             \
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
                                     SCALAR("vclr", X_acc_move),
                                     SCALAR("vmov.d", X_acc_move),
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
        u->words = (uint8_t)words;
        u->keep = keep;
    } else if (f->letter == 's') {
        u->s_words = (uint8_t)words;
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
    case WI_OP_MOV_CNTR: u->family = X_mov_cntr; break;
    case WI_OP_MOV_IMM: u->family = X_mov_imm; break;
    case WI_OP_MOVX_CR: u->family = X_mov_cr; break;
    case WI_OP_MOV_MS_TLASTR:
    case WI_OP_MOV_MS_NB_TLASTR: u->bits = 2; break;
    case WI_OP_VMOV_HI_SCD: u->d += 16; break;
    default: break;
    }
    if (u->family == X_store && u->s_words > 1) /* a q */
        u->family = X_store_vector;
    if (u->family == X_store_vector)
        u->s_words = strstr(info->text, ".128") ? 4 : u->s_words;
    if (u->family == X_load && u->words > 1)
        u->family = X_load_vector;
    if (u->family == X_acc_sum)
        u->immediate = true;
    bool product = u->family == X_mac && u->bits == 32 && !u->mask && !u->wide;
    if (product && u->acc_stage == SUM_AT && u->d_stage == SUMMED_AT && !u->bypass_d)
        u->family = X_mac_float;
    bool load = u->family == X_load_vector && u->words == 8;
    if (load && u->mem_stage == LOAD_AT && u->d_stage == LOADED_AT)
        u->family = info->slot == WI_SLOT_LDA ? X_load_a : X_load_b;
}

static unsigned kind_of(const struct uop *u) {
    switch (u->family) {
    case X_load_a: return KIND_LOAD_A;
    case X_load_b: return KIND_LOAD_B;
    case X_mac_float: return KIND_PRODUCT;
    default: return 0;
    }
}

static unsigned blocks_on(const struct uop *u) {
    if (u->family == X_acquire)
        return BLOCK_ACQUIRE;
    if (u->family == X_stream_get)
        return u->op ? 0 : BLOCK_STREAM_IN;
    if (u->family == X_stream_put)
        return u->op ? 0 : BLOCK_STREAM_OUT;
    if (u->family == X_cascade_get)
        return BLOCK_CASCADE_IN;
    return u->family == X_cascade_put ? BLOCK_CASCADE_OUT : 0;
}

/* Status registers other than the carry and the streams' success are not modelled: none may be
 * read. */
static bool reads_unknown_status(const struct uop *u) {
    bool status = u->family == X_mov && u->s >= AT_SR && u->s < AT_SR + 10;
    return status && u->s != AT_SR + SR_CARRY && u->s != AT_SR + SR_MS0 && u->s != AT_SR + SR_SS0;
}

static bool decode_op(struct wi_emu_core *core, struct uop *u, const struct wi_isa_op *op) {
    const struct wi_isa_info *info = wi_isa_info(op->id);
    const struct meaning *m = info->semantics == WI_SEM_NONE ? NULL : find_meaning(info);
    const struct wi_isa_timing_info *timing = wi_isa_timing_info(info->timing);
    *u = (struct uop){.id = op->id};
    if (!m) {
        wi_emu_stop_fault(core, u, "no document says what this instruction does");
        return false;
    }
    u->family = m->family;
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
    u->after_load = (uint8_t)(u->d_stage - u->mem_stage + 1);
    defaults(u, info);
    variants(u, info);
    if (reads_unknown_status(u)) {
        wi_emu_stop_fault(core, u, "this status register is not modelled");
        return false;
    }
    return true;
}

/* Whether `other` samples at issue what `op` writes for the next step. */
static bool reads_next(const struct wi_isa_op *other, const struct wi_isa_op *op) {
    struct wi_isa_access written[WI_ISA_MAX_ACCESSES], read[WI_ISA_MAX_ACCESSES];
    int n_written = wi_isa_accesses(op, written), n_read = wi_isa_accesses(other, read);
    for (int i = 0; i < n_written; i++)
        for (int k = 0; k < n_read && written[i].write && written[i].stage == 1; k++)
            if (!read[k].write &&
                wi_isa_overlap(written[i].unit, written[i].n_units, read[k].unit, read[k].n_units))
                return true;
    return false;
}

static bool sets_loop(const struct uop *u) {
    return u->d_stage && u->d >= AT_LS && u->d <= AT_LC;
}

/* What may be written at once: operations run in the order of the slots, and a loop's end looks at
 * LC after them. */
static void write_at_once(struct uop *u, unsigned slot, const struct wi_isa_bundle *raw) {
    u->at_once = !sets_loop(u);
    for (unsigned other = slot + 1; other < WI_N_SLOTS; other++)
        if (raw->op[other].id != WI_OP_NOP && reads_next(&raw->op[other], &raw->op[slot]))
            u->at_once = false;
    u->d_at_once = u->at_once && u->d_stage == 1;
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
    struct uop *op = core->uops + core->n_uops;
    if (core->n_uops + WI_N_SLOTS > UOPS) {
        wi_emu_stop_fault(core, NULL, "more decoded bundles than the emulator keeps");
        return false;
    }
    *b = (struct bundle){.first = (uint16_t)core->n_uops};
    for (unsigned slot = 0; slot < WI_N_SLOTS; slot++) {
        struct uop u;
        if (raw.op[slot].id == WI_OP_NOP)
            continue;
        if (!decode_op(core, &u, &raw.op[slot]))
            return false;
        b->blocking |= (uint8_t)blocks_on(&u);
        u.exec = core->engine->exec[u.family];
        write_at_once(&u, slot, &raw);
        b->kinds |= (uint8_t)kind_of(&u);
        b->sets_loop = b->sets_loop || sets_loop(&u);
        b->part_store = b->part_store || u.family == X_store_part;
        if (u.family == X_acquire)
            acquire = u;
        else
            op[b->n_ops++] = u;
    }
    if (b->blocking & BLOCK_ACQUIRE)
        op[b->n_ops] = acquire;
    core->n_uops += b->n_ops + (b->blocking & BLOCK_ACQUIRE ? 1u : 0u);
    b->size = (uint8_t)size;
    return true;
}

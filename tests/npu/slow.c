#include "slow.h"

#include <stdlib.h>
#include <string.h>

#include "npu/emu/value.h"

enum { BASE = 0x70000, TAIL = 16, INPUT = 160 };

struct op {
    const struct wi_isa_op *op;
    const struct wi_isa_info *info;
    int u; /* the bundle that it stands in */
    struct wi_isa_access access[WI_ISA_MAX_ACCESSES];
    int n, mem, mem2, last; /* accesses; stages of memory; the stage of the last sample */
    uint8_t in[WI_ISA_MAX_ACCESSES][INPUT];
    uint32_t address;
    uint8_t loaded[32], stored[32];
    unsigned store_size;
};

unsigned slow_unit_bytes(unsigned unit) {
    const uint8_t q[] = {WI_UNIT_W + 2, WI_UNIT_W + 5, WI_UNIT_W + 8, WI_UNIT_W + 11};
    if (memchr(q, (int)unit, sizeof q))
        return 16;
    return unit >= WI_UNIT_W ? 32 : 4;
}

/* ------------------------------------------------------------------ the history */

static bool visible(const struct slow_write *w, int when, unsigned bypass) {
    bool same = bypass != WI_BYPASS_NONE && bypass == w->bypass;
    return when >= w->t + w->stage + (same ? 0 : 1);
}

/* The unit as a bundle issued at u sees it at `stage`: of the visible writes the one that lands
 * last. */
static void look_up(const struct slow *s, unsigned unit, int when, unsigned bypass,
                    uint8_t data[32]) {
    const struct slow_write *best = NULL;
    for (int i = 0; i < s->n_writes; i++) {
        const struct slow_write *w = &s->write[i];
        if (w->unit == unit && visible(w, when, bypass) &&
            (!best || w->t + w->stage > best->t + best->stage))
            best = w;
    }
    memcpy(data, best ? best->data : s->initial[unit], 32);
}

void slow_final(const struct slow *s, unsigned unit, uint8_t data[32]) {
    look_up(s, unit, 1 << 20, WI_BYPASS_NONE, data);
}

static void put_unit(struct slow *s, int t, int stage, unsigned bypass, unsigned unit,
                     const uint8_t *data) {
    for (int i = 0; i < s->n_writes; i++)
        if (s->write[i].unit == unit && s->write[i].t + s->write[i].stage == t + stage)
            s->tie = true;
    if (s->n_writes == SLOW_WRITES) {
        s->tie = true;
        return;
    }
    struct slow_write *w = &s->write[s->n_writes++];
    *w = (struct slow_write){t, stage, (uint8_t)bypass, (uint8_t)unit, {0}};
    memcpy(w->data, data, slow_unit_bytes(unit));
}

/* ------------------------------------------------------------------ operands */

static char letter(const struct op *o, int i) {
    return o->access[i].field < 0 ? 0 : o->info->field[o->access[i].field].letter;
}

static bool reads(const struct op *o, char c) {
    for (int i = 0; i < o->n; i++)
        if (!o->access[i].write && letter(o, i) == c)
            return true;
    return false;
}

static const uint8_t *source(const struct op *o, char c) {
    for (int i = 0; i < o->n; i++)
        if (!o->access[i].write && letter(o, i) == c)
            return o->in[i];
    return o->in[0];
}

static uint32_t source32(const struct op *o, char c) {
    uint32_t v;
    memcpy(&v, source(o, c), 4);
    return v;
}

static uint32_t control(const struct op *o, unsigned unit) {
    uint32_t v = 0;
    for (int i = 0; i < o->n; i++)
        if (!o->access[i].write && o->access[i].field < 0 && o->access[i].unit == unit)
            memcpy(&v, o->in[i], 4);
    return v;
}

static int32_t immediate(const struct op *o, char c) {
    for (int i = 0; i < o->info->n_fields; i++)
        if (o->info->field[i].letter == c)
            return o->op->v[i];
    return 0;
}

/* Write a value to what letter c (0: the carry) names. */
static void put(struct slow *s, const struct op *o, char c, const void *value) {
    const uint8_t *bytes = value;
    for (int i = 0; i < o->n; i++) {
        const struct wi_isa_access *a = &o->access[i];
        bool is_carry = a->field < 0 && a->unit == WI_UNIT_SR;
        if (!a->write || (c ? letter(o, i) != c : !is_carry))
            continue;
        for (unsigned k = 0; k < a->n_units; k++) {
            put_unit(s, o->u, a->stage, a->bypass, a->unit + k, bytes);
            bytes += slow_unit_bytes(a->unit + k);
        }
        return;
    }
}

static void put32(struct slow *s, const struct op *o, char c, uint32_t v) {
    put(s, o, c, &v);
}

static void put64(struct slow *s, const struct op *o, char c, uint64_t v) {
    put(s, o, c, &v);
}

/* ------------------------------------------------------------------ addresses */

/* Of a d or d_3d operand: m dn dj dc, then dn dj dc of the second dimension. */
static void step_dims(struct slow *s, struct op *o, uint32_t p) {
    uint32_t d[8] = {0};
    memcpy(d, source(o, 'm'), sizeof d);
    struct wi_emu_dim lo = {d[1], d[2], d[3]}, hi = {d[4], d[5], d[6]};
    bool two = strstr(o->info->text, ".3d");
    put32(s, o, 'p', two ? wi_emu_step_3d(p, d[0], &lo, &hi) : wi_emu_step_2d(p, d[0], &lo));
    for (int i = 0, n = 0; i < o->n; i++)
        if (o->access[i].write && letter(o, i) == 'm') {
            uint8_t count[32] = {0};
            memcpy(count, n++ ? &hi.count : &lo.count, 4);
            put_unit(s, o->u, o->access[i].stage, WI_BYPASS_NONE, o->access[i].unit, count);
        }
}

static void form_address(struct slow *s, struct op *o) {
    const char *open = strchr(o->info->text, '[');
    if (!open)
        return;
    uint32_t p = source32(o, 'p'), i = (uint32_t)immediate(o, 'i');
    o->address = p;
    if (strncmp(open, "[p, #", 5) == 0)
        o->address = (p + i) & 0xfffff;
    else if (strncmp(open, "[p, j", 5) == 0)
        o->address = (p + source32(o, 'j')) & 0xfffff;
    else if (strncmp(open, "[p], #", 6) == 0)
        put32(s, o, 'p', (p + i) & 0xfffff);
    else if (strstr(o->info->text, ".2d") || strstr(o->info->text, ".3d"))
        step_dims(s, o, p);
    else if (strncmp(open, "[p], m", 6) == 0)
        put32(s, o, 'p', (p + source32(o, 'm')) & 0xfffff);
}

static uint8_t *memory(struct slow *s, uint32_t address, unsigned size) {
    if (address < BASE || address + size > BASE + 0x10000 || address % size) {
        s->misaligned = true;
        return s->memory;
    }
    return s->memory + (address - BASE);
}

/* ------------------------------------------------------------------ meanings */

enum meaning {
    M_NONE,
    M_ADD,
    M_SUB,
    M_XOR,
    M_MUL,
    M_LT,
    M_ASHL,
    M_SEL,
    M_MOV,
    M_PADD,
    M_LDA,
    M_LDA_S8,
    M_ST,
    M_ST_S8,
    M_ST_S16,
    M_VLD,
    M_VLD_128,
    M_VLD_CONV,
    M_VLD_UNPACK,
    M_VLD_UPS,
    M_VST,
    M_VST_CONV,
    M_VST_SRS,
    M_VST_PACK,
    M_LANES,
    M_VBAND,
    M_VBOR,
    M_VEXTBCST,
    M_VINSERT,
    M_VPUSH_LO,
    M_VPUSH_HI,
    M_VSHIFT,
    M_VSHUFFLE,
    M_VMOV,
    M_VBCST,
    M_VEXTRACT,
    M_VCONV,
    M_VUPS,
    M_VSRS,
    M_VCONVB,
    M_VPACK,
    M_VUNPACK,
    M_VFLOOR,
    M_VMUL,
    M_VMAC,
    M_VMSC,
    M_VADDMAC,
    M_VMULF,
    M_VNEGMULF,
    M_VMACF,
    M_VMSCF,
    M_VADDMACF,
    M_VADDF,
    M_VSUBF,
    M_VNEGF,
    M_VCLR,
    M_VMOVD
};

/* By mnemonic, without what tells the form of the address. */
static const struct {
    const char *mnemonic;
    enum meaning m;
} meanings[] = {{"add", M_ADD},
                {"sub", M_SUB},
                {"xor", M_XOR},
                {"mul", M_MUL},
                {"lt", M_LT},
                {"ashl", M_ASHL},
                {"sel.nez", M_SEL},
                {"mov.d1", M_MOV},
                {"mov.d3", M_MOV},
                {"mov.d6", M_MOV},
                {"padda", M_PADD},
                {"paddb", M_PADD},
                {"padds", M_PADD},
                {"lda", M_LDA},
                {"lda.s8", M_LDA_S8},
                {"st", M_ST},
                {"st.s8", M_ST_S8},
                {"st.s16", M_ST_S16},
                {"vlda", M_VLD},
                {"vldb", M_VLD},
                {"vlda.128", M_VLD_128},
                {"vldb.128", M_VLD_128},
                {"vlda.conv.fp32.bf16", M_VLD_CONV},
                {"vlda.ups.s32.s16", M_VLD_UPS},
                {"vldb.unpack.s16.s8", M_VLD_UNPACK},
                {"vst", M_VST},
                {"vst.conv.bf16.fp32", M_VST_CONV},
                {"vst.srs.s16.s32", M_VST_SRS},
                {"vst.pack.s8.s16", M_VST_PACK},
                {"vband", M_VBAND},
                {"vbor", M_VBOR},
                {"vshift", M_VSHIFT},
                {"vshuffle", M_VSHUFFLE},
                {"vmov", M_VMOV},
                {"vbcst.8", M_VBCST},
                {"vbcst.16", M_VBCST},
                {"vbcst.32", M_VBCST},
                {"vextract.s16", M_VEXTRACT},
                {"vextbcst.16", M_VEXTBCST},
                {"vinsert.32", M_VINSERT},
                {"vpush.lo.32", M_VPUSH_LO},
                {"vpush.hi.16", M_VPUSH_HI},
                {"vconv.fp32.bf16", M_VCONV},
                {"vups.s32.s16", M_VUPS},
                {"vsrs.s16.s32", M_VSRS},
                {"vsrsm.s16.s32", M_VSRS},
                {"vconv.bf16.fp32", M_VCONVB},
                {"vpack.s8.s16", M_VPACK},
                {"vunpack.s16.s8", M_VUNPACK},
                {"vfloor.s32.bf16", M_VFLOOR},
                {"vmul", M_VMUL},
                {"vmac", M_VMAC},
                {"vmsc", M_VMSC},
                {"vaddmac", M_VADDMAC},
                {"vmul.f", M_VMULF},
                {"vnegmul.f", M_VNEGMULF},
                {"vmac.f", M_VMACF},
                {"vmsc.f", M_VMSCF},
                {"vaddmac.f", M_VADDMACF},
                {"vadd.f", M_VADDF},
                {"vsub.f", M_VSUBF},
                {"vneg.f", M_VNEGF},
                {"vclr", M_VCLR},
                {"vmov.d", M_VMOVD}};

/* Lane by lane; behind the name "8", ".16", ".s32", ".d8" or ".bf16". */
static const struct {
    const char *name;
    enum wi_emu_lane_op op;
} lane_names[] = {{"vadd.", WI_EMU_ADD},
                  {"vsub.", WI_EMU_SUB},
                  {"vaddsub.", WI_EMU_ADDSUB},
                  {"vsel.", WI_EMU_SEL},
                  {"vabs_gtz", WI_EMU_ABS_GTZ},
                  {"vneg_gtz", WI_EMU_NEG_GTZ},
                  {"vbneg_ltz", WI_EMU_BNEG_LTZ},
                  {"vsub_lt", WI_EMU_SUB_LT},
                  {"vsub_ge", WI_EMU_SUB_GE},
                  {"vmaxdiff_lt", WI_EMU_MAXDIFF_LT},
                  {"vmax_lt", WI_EMU_MAX_LT},
                  {"vmin_ge", WI_EMU_MIN_GE},
                  {"vlt", WI_EMU_LT},
                  {"vge", WI_EMU_GE},
                  {"veqz.", WI_EMU_EQZ}};

struct lanes {
    enum wi_emu_lane_op op;
    unsigned bits;
    char sign; /* s, d, or b of bf16 */
};

static bool find_lanes(const char *text, struct lanes *l) {
    for (size_t i = 0; i < sizeof lane_names / sizeof *lane_names; i++) {
        size_t n = strlen(lane_names[i].name);
        if (strncmp(text, lane_names[i].name, n) != 0)
            continue;
        text += n + (text[n] == '.');
        *l = (struct lanes){lane_names[i].op, 0, 's'};
        if (*text == 's' || *text == 'd' || *text == 'b')
            l->sign = *text++;
        l->bits = (unsigned)strtoul(l->sign == 'b' ? text + 1 : text, NULL, 10);
        return l->bits && (l->sign != 'b' || strncmp(text, "f16", 3) == 0);
    }
    return false;
}

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

static enum meaning meaning_of(const struct wi_isa_info *info) {
    char name[32];
    struct lanes lanes;
    mnemonic(name, info->text);
    bool stack = strstr(info->text, "[sp");
    for (int i = 0; i < info->n_fields; i++) /* sparse operands */
        stack = stack || info->field[i].class == WI_CLASS_QX || info->field[i].class == WI_CLASS_Q;
    if (stack || strstr(info->text, "CD")) /* nor the cascade */
        return M_NONE;
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++)
        if (strcmp(name, meanings[i].mnemonic) == 0)
            return meanings[i].m;
    return info->slot == WI_SLOT_MV && find_lanes(info->text, &lanes) ? M_LANES : M_NONE;
}

bool slow_knows(unsigned id) {
    return meaning_of(wi_isa_info(id)) != M_NONE;
}

static unsigned result_bytes(const struct op *o) {
    for (int i = 0; i < o->n; i++)
        if (o->access[i].write && letter(o, i) == 'd')
            return o->access[i].n_units * slow_unit_bytes(o->access[i].unit);
    return 0;
}

static void put_carry(struct slow *s, const struct op *o, struct wi_emu_alu r) {
    put32(s, o, 'd', r.value);
    put32(s, o, 0, r.carry);
}

static void scalar(struct slow *s, const struct op *o, enum meaning m) {
    uint32_t a = source32(o, 'a');
    uint32_t b = reads(o, 'b') ? source32(o, 'b') : (uint32_t)immediate(o, 'i');
    switch (m) {
    case M_ADD: put_carry(s, o, wi_emu_adc(a, b, false)); break;
    case M_SUB: put_carry(s, o, wi_emu_sbc(a, b, false)); break;
    case M_XOR: put32(s, o, 'd', a ^ b); break;
    case M_MUL: put32(s, o, 'd', a * b); break;
    case M_LT: put32(s, o, 'd', (int32_t)a < (int32_t)b); break;
    case M_ASHL: put32(s, o, 'd', wi_emu_ashl(a, (int32_t)b)); break;
    case M_SEL: put32(s, o, 'd', control(o, WI_UNIT_R + 27) ? a : b); break;
    default: put32(s, o, 'd', source32(o, 's')); break;
    }
}

static int shift_of(const struct op *o) {
    return (int)(source32(o, 'h') ^ 32) - 32;
}

static uint32_t rounding(const struct op *o) {
    return control(o, WI_UNIT_CR + 6);
}

static uint32_t saturation(const struct op *o) {
    return control(o, WI_UNIT_CR + 9);
}

static void lanes(struct slow *s, const struct op *o) {
    struct lanes l;
    uint8_t d[64] = {0};
    uint64_t select = 0, mask;
    find_lanes(o->info->text, &l);
    const uint8_t *a = source(o, 'a'), *b = source(o, reads(o, 'b') ? 'b' : 'a');
    memcpy(&select, source(o, 'e'), l.bits == 8 ? 8 : 4);
    bool is_signed = l.sign == 's' || (l.sign == 'd' && control(o, WI_UNIT_CR));
    mask = l.sign == 'b' ? wi_emu_lanes_bf16(l.op, d, a, b)
                         : wi_emu_lanes(l.op, l.bits, is_signed, d, a, b, select);
    put(s, o, 'd', d);
    if (l.bits == 8) /* a pair of registers */
        put64(s, o, 'k', mask);
    else
        put32(s, o, 'k', (uint32_t)mask);
}

static unsigned lane_of(const struct op *o) {
    return reads(o, 'n') ? source32(o, 'n') : (unsigned)immediate(o, 'n');
}

static unsigned bits_of(const struct op *o) { /* "vbcst.16" */
    return (unsigned)strtoul(strchr(o->info->text, '.') + 1, NULL, 10);
}

static void mv_slot(struct slow *s, const struct op *o, enum meaning m) {
    uint8_t d[128];
    struct wi_emu_shuffles shuffles;
    const uint8_t *a = source(o, 'a'), *b = source(o, 'b'), *x = source(o, 's');
    struct wi_emu_widths up = {(uint8_t)(result_bytes(o) / 4), 16, 32};
    switch (m) {
    case M_LANES: lanes(s, o); return;
    case M_VBAND:
    case M_VBOR:
        for (int i = 0; i < 64; i++)
            d[i] = m == M_VBOR ? a[i] | b[i] : a[i] & b[i];
        break;
    case M_VEXTBCST: wi_emu_broadcast(d, wi_emu_extract(a, lane_of(o), 16), 16); break;
    case M_VINSERT: wi_emu_insert(d, a, control(o, WI_UNIT_R + 29), source32(o, 'r'), 32); break;
    case M_VPUSH_LO: wi_emu_push_lo(d, b, source32(o, 'r'), 32); break;
    case M_VPUSH_HI: wi_emu_push_hi(d, a, source32(o, 'r'), 16); break;
    case M_VSHIFT: wi_emu_shift(d, a, b, source32(o, 'h')); break;
    case M_VSHUFFLE:
        wi_emu_shuffles_init(&shuffles);
        wi_emu_shuffle(&shuffles, d, a, b, source32(o, 'm'));
        break;
    case M_VBCST: wi_emu_broadcast(d, source32(o, 'r'), bits_of(o)); break;
    case M_VEXTRACT:
        put32(s, o, 'd', (uint32_t)(int16_t)wi_emu_extract(a, source32(o, 'n'), 16));
        return;
    case M_VCONV: wi_emu_conv_fp32(d, x); break;
    case M_VUPS: wi_emu_ups_vector(d, x, up, shift_of(o), saturation(o), true); break;
    default: memcpy(d, x, result_bytes(o)); break;
    }
    put(s, o, 'd', d);
}

static void st_slot(struct slow *s, const struct op *o, enum meaning m) {
    uint8_t d[128];
    struct wi_emu_widths down = {(uint8_t)(result_bytes(o) / 2), 32, 16};
    const uint8_t *x = source(o, 's');
    switch (m) {
    case M_VSRS:
        wi_emu_srs_vector(d, x, down, shift_of(o), rounding(o), saturation(o), true);
        break;
    case M_VCONVB: wi_emu_conv_bf16(d, x, rounding(o)); break;
    case M_VPACK: wi_emu_pack(d, x, 16, saturation(o), true); break;
    case M_VUNPACK: wi_emu_unpack(d, x, 8, true); break;
    default: wi_emu_floor_vector(d, x, shift_of(o)); break;
    }
    put(s, o, 'd', d);
}

static void float_slot(uint32_t d[32], enum meaning m, const uint32_t *u, const uint32_t *v,
                       const uint8_t *x, const uint8_t *y, uint32_t conf) {
    bool one = m == M_VMACF || m == M_VMSCF, two = m == M_VADDMACF;
    struct wi_emu_fmac f = {.acc1 = one || two ? u : NULL,
                            .acc2 = two ? v : NULL,
                            .x = (const uint16_t *)(const void *)x,
                            .y = (const uint16_t *)(const void *)y,
                            .elementwise = conf == 60,
                            .neg_mul = m == M_VMSCF || m == M_VNEGMULF};
    if (m == M_VADDF || m == M_VSUBF)
        wi_emu_kern_portable.fadd(d, u, v, false, m == M_VSUBF);
    else if (m == M_VNEGF)
        for (int i = 0; i < 16; i++)
            d[i] = wi_emu_fp32_neg(u[i]);
    else
        wi_emu_kern_portable.fmac(d, &f);
}

static void vec_slot(struct slow *s, const struct op *o, enum meaning m) {
    uint8_t d[128] = {0}, x[64], y[64];
    uint32_t u[32], v[32], conf = source32(o, 'c');
    memcpy(u, source(o, m == M_VMOVD ? 's' : reads(o, 'u') ? 'u' : 'd'), 128);
    memcpy(v, source(o, 'v'), 128);
    memcpy(x, source(o, 'a'), 64);
    memcpy(y, source(o, 'b'), 64);
    if (m == M_VMOVD)
        memcpy(d, u, 128);
    else if (m >= M_VMULF && m <= M_VNEGF)
        float_slot((uint32_t *)(void *)d, m, u, v, x, y, conf);
    else if (m != M_VCLR)
        wi_emu_mac_int(wi_emu_shape(conf), d, m == M_VMUL ? NULL : (uint8_t *)u,
                       m == M_VADDMAC ? (uint8_t *)v : NULL, x, y, NULL,
                       conf ^ (m == M_VMSC ? WI_EMU_CONF_NEG_MUL : 0));
    put(s, o, 'd', d);
}

/* What is stored, once its operands are sampled. */
static void store_data(struct op *o, enum meaning m) {
    struct wi_emu_widths down = {16, 32, 16};
    const uint8_t *x = source(o, 's');
    o->store_size = m == M_ST ? 4 : m == M_ST_S8 ? 1 : m == M_ST_S16 ? 2 : 32;
    if (m == M_VST_CONV)
        wi_emu_conv_bf16(o->stored, x, rounding(o));
    else if (m == M_VST_SRS)
        wi_emu_srs_vector(o->stored, x, down, shift_of(o), rounding(o), saturation(o), true);
    else if (m == M_VST_PACK)
        wi_emu_pack(o->stored, x, 16, saturation(o), true);
    else
        memcpy(o->stored, x, o->store_size);
}

static void finish_load(struct slow *s, struct op *o, enum meaning m) {
    uint8_t d[128];
    struct wi_emu_widths up = {16, 16, 32};
    int32_t byte = (int8_t)o->loaded[0];
    switch (m) {
    case M_LDA_S8: put(s, o, 'd', &byte); return;
    case M_VLD_CONV: wi_emu_conv_fp32(d, o->loaded); break;
    case M_VLD_UNPACK: wi_emu_unpack(d, o->loaded, 8, true); break;
    case M_VLD_128: memset(d, 0, 32), memcpy(d, o->loaded, 16); break;
    case M_VLD_UPS: wi_emu_ups_vector(d, o->loaded, up, shift_of(o), saturation(o), true); break;
    default: memcpy(d, o->loaded, 32); break;
    }
    put(s, o, 'd', d);
}

/* ------------------------------------------------------------------ time */

static bool is_load(enum meaning m) {
    return m == M_LDA || m == M_LDA_S8 || (m >= M_VLD && m <= M_VLD_UPS);
}

static bool is_store(enum meaning m) {
    return (m >= M_ST && m <= M_ST_S16) || (m >= M_VST && m <= M_VST_PACK);
}

static void sample(struct slow *s, struct op *o, int now) {
    for (int i = 0; i < o->n; i++) {
        const struct wi_isa_access *a = &o->access[i];
        uint8_t *to = o->in[i];
        if (a->write || o->u + a->stage - 1 != now)
            continue;
        for (unsigned k = 0; k < a->n_units; k++) {
            uint8_t data[32];
            look_up(s, a->unit + k, o->u + a->stage, a->bypass, data);
            memcpy(to, data, slow_unit_bytes(a->unit + k));
            to += slow_unit_bytes(a->unit + k);
        }
    }
}

static void compute(struct slow *s, struct op *o, enum meaning m) {
    if (m == M_PADD)
        return;
    if (is_store(m))
        store_data(o, m);
    else if (m <= M_MOV)
        scalar(s, o, m);
    else if (m <= M_VUPS)
        mv_slot(s, o, m);
    else if (m <= M_VFLOOR)
        st_slot(s, o, m);
    else
        vec_slot(s, o, m);
}

static int max(int a, int b) {
    return a > b ? a : b;
}

static void start(struct op *o, const struct wi_isa_op *op, int u) {
    memset(o, 0, sizeof *o);
    o->op = op;
    o->info = wi_isa_info(op->id);
    o->u = u;
    o->n = wi_isa_accesses(op, o->access);
    const struct wi_isa_timing_info *t = wi_isa_timing_info(o->info->timing);
    o->mem = t->mem_stage[0];
    o->mem2 = t->mem_stage[1] ? t->mem_stage[1] : t->mem_stage[0];
    o->last = 1;
    for (int i = 0; i < o->n; i++) { /* exception masks have no part in results */
        bool mask = o->access[i].unit >= WI_UNIT_CR + 1 && o->access[i].unit <= WI_UNIT_CR + 3;
        if (!o->access[i].write && !mask)
            o->last = max(o->last, o->access[i].stage);
    }
}

static void step(struct slow *s, struct op *ops, int n, int now) {
    for (int i = 0; i < n; i++)
        sample(s, &ops[i], now);
    for (int i = 0; i < n; i++) {
        struct op *o = &ops[i];
        enum meaning m = meaning_of(o->info);
        if (o->u == now)
            form_address(s, o);
        if (o->u + o->last - 1 == now && !is_load(m))
            compute(s, o, m);
    }
    for (int i = 0; i < n; i++) {
        struct op *o = &ops[i];
        enum meaning m = meaning_of(o->info);
        unsigned size = m == M_LDA ? 4 : m == M_LDA_S8 ? 1 : m == M_VLD_128 ? 16 : 32;
        if (is_load(m) && o->u + o->mem - 1 == now)
            memcpy(o->loaded, memory(s, o->address, size), size);
        if (is_load(m) && o->u + max(o->mem, o->last) - 1 == now)
            finish_load(s, o, m);
    }
    for (int i = 0; i < n; i++) {
        struct op *o = &ops[i];
        if (is_store(meaning_of(o->info)) && o->u + o->mem2 - 1 == now)
            memcpy(memory(s, o->address, o->store_size), o->stored, o->store_size);
    }
}

void slow_run(struct slow *s, const struct wi_isa_bundle *bundles, int n) {
    static struct op ops[SLOW_BUNDLES * WI_N_SLOTS];
    int n_ops = 0;
    for (int u = 0; u < n; u++)
        for (int slot = 0; slot < WI_N_SLOTS; slot++)
            if (bundles[u].op[slot].id != WI_OP_NOP)
                start(&ops[n_ops++], &bundles[u].op[slot], u);
    for (int now = 0; now < n + TAIL && !s->tie && !s->misaligned; now++)
        step(s, ops, n_ops, now);
}

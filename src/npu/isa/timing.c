#include "npu/isa/isa.h"

#include "npu/isa/tables.h"

int wi_isa_units(unsigned reg, struct wi_isa_range out[2]) {
    const struct wi_isa_reg_info *r = wi_isa_reg_info(reg);
    if (!r || reg == WI_REG_NONE)
        return 0;
    out[0] = (struct wi_isa_range){r->unit, r->n_units};
    if (r->family != WI_FAMILY_QWL)
        return 1;
    out[1] = (struct wi_isa_range){(uint8_t)(r->unit + 2), 1}; /* the mask lies behind wh */
    return 2;
}

/* The register that a use is about. */
static unsigned use_reg(const struct wi_isa_op *op, const struct wi_isa_use *use) {
    if (use->field < 0)
        return use->reg;
    unsigned reg = (unsigned)op->v[use->field];
    if (use->part == WI_PART_ALL)
        return reg;
    unsigned n = wi_isa_reg_info(reg)->number; /* of a d or d_3d */
    return WI_REG_DC + n + (use->part == WI_PART_DC_HIGH ? 4 : 0);
}

static bool is_x_or_wl(unsigned reg) {
    const struct wi_isa_reg_info *r = wi_isa_reg_info(reg);
    return r->family == WI_FAMILY_X || (r->family == WI_FAMILY_W && r->number % 2 == 0);
}

int wi_isa_accesses(const struct wi_isa_op *op, struct wi_isa_access out[WI_ISA_MAX_ACCESSES]) {
    const struct wi_isa_info *info = wi_isa_info(op->id);
    int n = 0;
    for (int i = 0; info && i < info->n_uses; i++) {
        const struct wi_isa_use *use = &info->use[i];
        unsigned reg = use_reg(op, use);
        struct wi_isa_range range[2];
        uint8_t bypass = use->bypass;
        if (bypass == WI_BYPASS_MOV_X)
            bypass = is_x_or_wl(reg) ? WI_BYPASS_MOV : WI_BYPASS_NONE;
        int n_ranges = wi_isa_units(reg, range);
        for (int r = 0; r < n_ranges && n < WI_ISA_MAX_ACCESSES; r++)
            out[n++] = (struct wi_isa_access){range[r].unit, range[r].n_units, use->write,
                                              use->stage,    bypass,           use->field};
    }
    return n;
}

/* ------------------------------------------------------------------ ports */

#define P(port) (1u << WI_PORT_##port)

/* Scalar files' own ports; none for r and s, all for single registers, as the vendor's tables have
 * it. */
static uint32_t file_port(unsigned family) {
    switch (family) {
    case WI_FAMILY_R:
    case WI_FAMILY_L:
    case WI_FAMILY_S: return 0;
    case WI_FAMILY_P: return P(P_WM);
    case WI_FAMILY_M: return P(M_WM);
    case WI_FAMILY_DJ: return P(DJ_WM);
    case WI_FAMILY_DN: return P(DN_WM);
    case WI_FAMILY_DC: return P(DC_WM);
    default: return P(P_WM) | P(M_WM) | P(DJ_WM) | P(DN_WM) | P(DC_WM);
    }
}

enum file { SCALAR, VECTOR, ACCUMULATOR, MASK };

static enum file file_of(unsigned family) {
    switch (family) {
    case WI_FAMILY_W:
    case WI_FAMILY_X: return VECTOR;
    case WI_FAMILY_AM:
    case WI_FAMILY_BM:
    case WI_FAMILY_CM: return ACCUMULATOR;
    case WI_FAMILY_Q: return MASK;
    default: return SCALAR;
    }
}

static uint32_t dst_a(unsigned family) {
    switch (file_of(family)) {
    case VECTOR: return P(W_WA);
    case ACCUMULATOR: return P(CM_WM);
    case MASK: return 0;
    default: break;
    }
    uint32_t own = file_port(family);
    return own & (own - 1) || !own ? own | P(R_WA)
                                   : own; /* all of them, r's, or the file's alone */
}

static uint32_t src_s(unsigned family) {
    static const uint32_t ports[] = {
        [SCALAR] = P(R_RV) | P(P_RM), [VECTOR] = P(W_RS), [ACCUMULATOR] = P(CM_RM)};
    return family == WI_FAMILY_Q ? 0 : ports[file_of(family)];
}

/* The family of the register in field i, NONE when there is none. */
static unsigned family_of(const struct wi_isa_op *op, const struct wi_isa_info *info, int i) {
    bool reg = i < info->n_fields && info->field[i].class;
    return reg ? wi_isa_reg_info((unsigned)op->v[i])->family : WI_FAMILY_NONE;
}

/* The set of ports that a rule stands for.  The result is field 0 and the source field 1; a store
 * has no result. */
static uint32_t rule_ports(unsigned rule, const struct wi_isa_op *op,
                           const struct wi_isa_info *info) {
    unsigned dst = family_of(op, info, 0);
    unsigned src = info->kind == WI_KIND_STORE ? dst : family_of(op, info, 1);
    switch (rule) {
    case WI_RULE_DST_A: return dst_a(dst);
    case WI_RULE_DST_M: return P(RS_WM) | file_port(dst);
    case WI_RULE_SRC_S: return src_s(src);
    case WI_RULE_SRC_V: return file_of(src) == ACCUMULATOR ? P(CM_RM) : 0;
    default: return file_of(dst) == ACCUMULATOR ? P(CM_WM) : P(W_WM); /* DST_V */
    }
}

int wi_isa_ports(const struct wi_isa_op *op, struct wi_isa_port_use out[WI_ISA_MAX_PORTS]) {
    const struct wi_isa_info *info = wi_isa_info(op->id);
    if (!info || op->id == WI_OP_NOP)
        return 0;
    const struct wi_isa_timing *t = wi_isa_timing(info->timing);
    int n = 0;
    for (int i = 0; i < t->n_ports; i++) {
        const struct wi_isa_port_rule *rule = &t->port[i];
        uint32_t set =
            rule->port < WI_N_PORTS ? 1u << rule->port : rule_ports(rule->port, op, info);
        for (uint8_t port = 0; port < WI_N_PORTS && n < WI_ISA_MAX_PORTS; port++)
            if (set >> port & 1)
                out[n++] = (struct wi_isa_port_use){port, rule->first, rule->last, rule->weak};
    }
    return n;
}

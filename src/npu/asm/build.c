#include "npu/asm/build.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "npu/asm/ir.h"

int wi_build_create(struct wi_build **out, struct wisp_error *err) {
    struct wi_build *b = wi_calloc(1, sizeof *b);
    *out = b;
    if (!b || !wi_grow(&b->regs, &b->max_regs, 1, sizeof *b->regs) ||
        !wi_grow(&b->regions, &b->max_regions, 1, sizeof *b->regions)) {
        wi_build_destroy(out);
        return wi_err_nomem(err, "a builder");
    }
    memset(b->regs, 0, sizeof *b->regs);
    memset(b->regions, 0, sizeof *b->regions);
    b->n_regs = b->n_regions = 1;
    return WISP_OK;
}

void wi_build_destroy(struct wi_build **build) {
    struct wi_build *b = *build;
    if (!b)
        return;
    wi_free(b->regs);
    wi_free(b->ops);
    wi_free(b->regions);
    wi_free(b);
    *build = NULL;
}

void wi_code_fini(struct wi_code *code) {
    wi_strbuf_fini(&code->bytes);
    memset(code, 0, sizeof *code);
}

/* ---------------------------------------------------------------- registers */

static uint8_t units_of(enum wi_family family) {
    for (unsigned reg = 1; reg < WI_N_REGS; reg++)
        if (wi_isa_reg_info(reg)->family == family)
            return wi_isa_reg_info(reg)->n_units;
    return 0;
}

struct wi_vreg wi_build_reg(struct wi_build *b, enum wi_family family, const char *name) {
    const struct wi_vreg none = {0, 0, 0};
    if (b->n_regs >= WI_IR_MAX_REGS)
        wi_err_set(&b->err, WISP_E_UNSUPPORTED, "a routine with more than %d virtual registers",
                   WI_IR_MAX_REGS - 1);
    else if (!wi_grow(&b->regs, &b->max_regs, b->n_regs + 1, sizeof *b->regs))
        wi_err_nomem(&b->err, "a virtual register");
    if (b->err.code)
        return none;
    b->regs[b->n_regs] = (struct wi_ir_reg){.name = name,
                                            .family = (uint8_t)family,
                                            .n_units = units_of(family),
                                            .first_region = -1,
                                            .last_region = -1,
                                            .number = -1};
    return (struct wi_vreg){(int16_t)b->n_regs++, 0, (uint8_t)family};
}

struct wi_vreg wi_fixed(enum wi_reg reg) {
    return (struct wi_vreg){(int16_t)-reg, 0, wi_isa_reg_info(reg)->family};
}

static struct wi_vreg half(struct wi_vreg r, unsigned which) {
    switch (r.family) {
    case WI_FAMILY_X: return (struct wi_vreg){r.id, (uint8_t)(r.at + which), WI_FAMILY_W};
    case WI_FAMILY_BM: return (struct wi_vreg){r.id, (uint8_t)(r.at + which), WI_FAMILY_AM};
    default: /* CM */ return (struct wi_vreg){r.id, (uint8_t)(r.at + 2 * which), WI_FAMILY_BM};
    }
}

struct wi_vreg wi_low(struct wi_vreg r) {
    return half(r, 0);
}

struct wi_vreg wi_high(struct wi_vreg r) {
    return half(r, 1);
}

/* Units of a d: m dn dj dc; of a d_3d: these and dn dj dc of the outer dimension. */
struct wi_vreg wi_dim(struct wi_vreg d, enum wi_family field, bool outer) {
    unsigned at = field == WI_FAMILY_M    ? 0
                  : field == WI_FAMILY_DN ? 1
                  : field == WI_FAMILY_DJ ? 2
                                          : 3;
    return (struct wi_vreg){d.id, (uint8_t)(outer ? at + 3 : at), (uint8_t)field};
}

/* The first register of a family. */
static unsigned family_base(unsigned family) {
    for (unsigned reg = 1; reg < WI_N_REGS; reg++)
        if (wi_isa_reg_info(reg)->family == family)
            return reg;
    return WI_REG_NONE;
}

enum wi_reg wi_ir_physical(const struct wi_build *b, struct wi_vreg r, int number) {
    if (r.id < 0)
        return (enum wi_reg) - r.id;
    unsigned whole = b->regs[r.id].family, n = (unsigned)number;
    if (whole == WI_FAMILY_D3 && r.family != whole)
        n += r.at >= 4 ? 4 : 0;
    else if (r.family == WI_FAMILY_W && whole == WI_FAMILY_X)
        n = 2 * n + r.at;
    else if (r.family == WI_FAMILY_AM && whole != WI_FAMILY_AM)
        n = n * b->regs[r.id].n_units + r.at;
    else if (r.family == WI_FAMILY_BM && whole == WI_FAMILY_CM)
        n = 2 * n + r.at / 2;
    return (enum wi_reg)(family_base(r.family) + n);
}

/* ---------------------------------------------------------------- operations */

static struct wi_ir_op *new_op(struct wi_build *b) {
    if (b->err.code)
        return NULL;
    if (!wi_grow(&b->ops, &b->max_ops, b->n_ops + 1, sizeof *b->ops)) {
        wi_err_nomem(&b->err, "an operation");
        return NULL;
    }
    struct wi_ir_op *op = &b->ops[b->n_ops++];
    memset(op, 0, sizeof *op);
    op->when = (uint8_t)b->when;
    b->regions[b->n_regions - 1].n_ops++;
    return op;
}

static void copy_args(struct wi_arg *to, unsigned id, const struct wi_arg *args) {
    memcpy(to, args, wi_isa_info(id)->n_fields * sizeof *to);
}

void wi_build_op(struct wi_build *b, enum wi_opcode id, const struct wi_arg *args) {
    struct wi_ir_op *op = new_op(b);
    if (!op)
        return;
    op->id[op->n_alts++] = (uint16_t)id;
    copy_args(op->arg, id, args);
}

void wi_build_first(struct wi_build *b, enum wi_opcode id, const struct wi_arg *args) {
    if (b->err.code)
        return;
    struct wi_ir_op *op = &b->ops[b->n_ops - 1];
    op->first_id = (uint16_t)id;
    copy_args(op->first_arg, id, args);
}

void wi_build_when(struct wi_build *b, enum wi_when when) {
    b->when = when;
}

/* Memory instructions by mode. */
struct forms {
    uint16_t id[WI_N_MODES];
};
#define FORMS(name)                                                                                \
    {                                                                                              \
        {                                                                                          \
            [WI_MODE_OFF] = WI_OP_##name##_OFF, [WI_MODE_IDX] = WI_OP_##name##_IDX,                \
            [WI_MODE_INC] = WI_OP_##name##_INC, [WI_MODE_POST] = WI_OP_##name##_POST,              \
            [WI_MODE_2D] = WI_OP_##name##_2D, [WI_MODE_3D] = WI_OP_##name##_3D                     \
        }                                                                                          \
    }

static const struct forms lda = FORMS(LDA), vlda = FORMS(VLDA), vlda_am = FORMS(VLDA_AM),
                          vlda_conv = FORMS(VLDA_CONV_FP32_BF16), vldb = FORMS(VLDB),
                          st = FORMS(ST), vst = FORMS(VST), vst_am = FORMS(VST_AM),
                          vst_conv = FORMS(VST_CONV_BF16_FP32), vst_srs = FORMS(VST_SRS_S16_S32);

/* Fields of a memory instruction: the register, perhaps a shift, the pointer, the rest. */
static void memory_op(struct wi_build *b, const struct forms *const forms[], int n_forms,
                      const struct wi_arg *data, int n_data, struct wi_mem mem) {
    struct wi_ir_op *op = new_op(b);
    if (!op)
        return;
    bool imm = mem.mode == WI_MODE_OFF || mem.mode == WI_MODE_INC;
    memcpy(op->arg, data, (size_t)n_data * sizeof *data);
    op->arg[n_data] = wi_r(mem.p);
    op->arg[n_data + 1] = imm ? wi_i(mem.imm) : wi_r(mem.m);
    op->banks = mem.banks ? mem.banks : WI_ANY_BANK;
    op->stream = mem.stream;
    for (int i = 0; i < n_forms; i++) {
        uint16_t id = forms[i]->id[mem.mode];
        if (!imm || wi_isa_fits(id, (unsigned)n_data + 1, mem.imm))
            op->id[op->n_alts++] = id;
    }
    if (op->n_alts == 0)
        wi_err_set(&b->err, WISP_E_UNSUPPORTED, "%s cannot have the offset %d",
                   wi_isa_info(forms[0]->id[mem.mode])->name, mem.imm);
}

void wi_build_load(struct wi_build *b, struct wi_vreg dst, struct wi_mem mem) {
    const struct wi_arg data = wi_r(dst);
    if (dst.family == WI_FAMILY_W)
        memory_op(b, (const struct forms *const[]){&vlda, &vldb}, 2, &data, 1, mem);
    else
        memory_op(b, (const struct forms *const[]){dst.family == WI_FAMILY_AM ? &vlda_am : &lda}, 1,
                  &data, 1, mem);
}

void wi_build_load_b(struct wi_build *b, struct wi_vreg dst, struct wi_mem mem) {
    memory_op(b, (const struct forms *const[]){&vldb}, 1, &(struct wi_arg){.reg = dst}, 1, mem);
}

void wi_build_load_f32(struct wi_build *b, struct wi_vreg bm, struct wi_mem mem) {
    memory_op(b, (const struct forms *const[]){&vlda_conv}, 1, &(struct wi_arg){.reg = bm}, 1, mem);
}

void wi_build_store(struct wi_build *b, struct wi_vreg src, struct wi_mem mem) {
    const struct forms *f = src.family == WI_FAMILY_W    ? &vst
                            : src.family == WI_FAMILY_AM ? &vst_am
                                                         : &st;
    memory_op(b, &f, 1, &(struct wi_arg){.reg = src}, 1, mem);
}

void wi_build_store_bf16(struct wi_build *b, struct wi_vreg bm, struct wi_mem mem) {
    memory_op(b, (const struct forms *const[]){&vst_conv}, 1, &(struct wi_arg){.reg = bm}, 1, mem);
}

void wi_build_store_s16(struct wi_build *b, struct wi_vreg bm, struct wi_vreg shift,
                        struct wi_mem mem) {
    const struct wi_arg data[] = {wi_r(bm), wi_r(shift)};
    memory_op(b, (const struct forms *const[]){&vst_srs}, 1, data, 2, mem);
}

/* Whether instruction `id` can write registers of that family to its field 0, by any of them. */
static bool can_name(unsigned id, struct wi_vreg r) {
    unsigned class = wi_isa_info(id)->field[0].class;
    unsigned reg = r.id < 0 ? (unsigned)-r.id : family_base(r.family);
    return wi_isa_class_code(class, reg) >= 0;
}

void wi_build_set(struct wi_build *b, struct wi_vreg dst, int32_t value) {
    static const uint16_t ids[] = {WI_OP_MOVA, WI_OP_MOVX, WI_OP_MOV_IMM, WI_OP_MOVXM};
    struct wi_ir_op *op = new_op(b);
    if (!op)
        return;
    op->arg[0] = wi_r(dst);
    op->arg[1] = wi_i(value);
    for (int i = 0; i < WI_IR_ALTS; i++)
        if (can_name(ids[i], dst) && wi_isa_fits(ids[i], 1, value))
            op->id[op->n_alts++] = ids[i];
}

struct wi_vreg wi_build_const(struct wi_build *b, enum wi_family family, int32_t value,
                              const char *name) {
    struct wi_vreg r = wi_build_reg(b, family, name);
    wi_build_set(b, r, value);
    return r;
}

static void lock_op(struct wi_build *b, bool by_number, enum wi_opcode number, enum wi_opcode reg,
                    const struct wi_arg args[2], uint8_t stream) {
    wi_build_op(b, by_number ? number : reg, args);
    if (!b->err.code)
        b->ops[b->n_ops - 1].stream = stream;
}

void wi_build_acquire(struct wi_build *b, struct wi_arg lock, struct wi_vreg value,
                      uint8_t stream) {
    const struct wi_arg args[] = {lock, wi_r(value)};
    lock_op(b, lock.kind == WI_ARG_IMM, WI_OP_ACQ_IMM, WI_OP_ACQ, args, stream);
}

void wi_build_release(struct wi_build *b, struct wi_arg lock, struct wi_vreg value,
                      uint8_t stream) {
    const struct wi_arg args[] = {lock, wi_r(value)};
    lock_op(b, lock.kind == WI_ARG_IMM, WI_OP_REL_IMM, WI_OP_REL, args, stream);
}

/* ---------------------------------------------------------------- regions */

static struct wi_ir_region *new_region(struct wi_build *b) {
    if (b->err.code)
        return NULL;
    if (!wi_grow(&b->regions, &b->max_regions, b->n_regions + 1, sizeof *b->regions)) {
        wi_err_nomem(&b->err, "a loop");
        return NULL;
    }
    struct wi_ir_region *r = &b->regions[b->n_regions++];
    *r = (struct wi_ir_region){.first_op = (int)b->n_ops};
    return r;
}

/* What sets up the hardware loop, the count of blocks and the address of the next one belongs to
 * the straight line before. */
void wi_build_loop(struct wi_build *b, struct wi_loop loop) {
    int32_t number = (int32_t)b->n_regions;
    struct wi_vreg again = {0, 0, 0}, count = {0, 0, 0}, shift = {0, 0, 0}, steps = loop.steps;
    if (loop.multiple > 1 && !loop.blocks.id && !loop.apart) {
        shift = wi_build_const(b, WI_FAMILY_R, 0, loop.name);
        steps = wi_build_reg(b, WI_FAMILY_R, loop.name);
        WI_OP(b, LSHL, wi_r(steps), wi_r(loop.steps), wi_r(shift));
    }
    wi_build_op(b, WI_OP_MOVXM,
                (const struct wi_arg[]){wi_r(wi_fixed(WI_REG_LS)),
                                        {.kind = WI_ARG_LOOP_START, .imm = number}});
    wi_build_op(b, WI_OP_MOVXM,
                (const struct wi_arg[]){wi_r(wi_fixed(WI_REG_LE)),
                                        {.kind = WI_ARG_LOOP_LAST, .imm = number}});
    wi_build_op(b, WI_OP_ADD_NC,
                (const struct wi_arg[]){wi_r(wi_fixed(WI_REG_LC)),
                                        wi_r(steps),
                                        {.kind = WI_ARG_LOOP_PEELED, .imm = number}});
    if (loop.blocks.id) {
        again = wi_build_reg(b, WI_FAMILY_P, loop.name);
        count = wi_build_reg(b, WI_FAMILY_R, loop.name);
        wi_build_op(
            b, WI_OP_MOVXM,
            (const struct wi_arg[]){wi_r(again), {.kind = WI_ARG_LOOP_AGAIN, .imm = number}});
        WI_OP(b, ADD_NC, wi_r(count), wi_r(loop.blocks), wi_i(-1));
    }
    struct wi_ir_region *r = new_region(b);
    if (!r)
        return;
    r->is_loop = true;
    r->loop = loop;
    r->again = again;
    r->count = count;
    r->shift = shift;
}

void wi_build_between(struct wi_build *b) {
    bool blocks = b->regions[b->n_regions - 1].loop.blocks.id != 0;
    struct wi_ir_region *r = blocks ? new_region(b) : NULL;
    b->when = WI_EVERY_STEP;
    if (r)
        r->between = true;
    else
        wi_err_set(&b->err, WISP_E_UNSUPPORTED,
                   "operations between blocks of a loop that has none");
}

void wi_build_end_loop(struct wi_build *b) {
    b->when = WI_EVERY_STEP;
    new_region(b);
}

void wi_build_cut(struct wi_build *b) {
    new_region(b);
}

void wi_build_repeat(struct wi_build *b, struct wi_vreg times) {
    const struct wi_ir_region *last = &b->regions[b->n_regions - 1];
    if (b->times.id || last->is_loop || last->between)
        wi_err_set(&b->err, WISP_E_UNSUPPORTED, "a repetition inside of a loop or of another one");
    struct wi_ir_region *r = new_region(b);
    if (!r)
        return;
    r->repeat = true;
    b->times = times;
    WI_OP(b, ADD_NC, wi_r(times), wi_r(times), wi_i(-1));
}

void wi_build_end_repeat(struct wi_build *b) {
    if (!b->times.id)
        wi_err_set(&b->err, WISP_E_UNSUPPORTED, "the end of a repetition that has no start");
    struct wi_ir_region *r = new_region(b);
    if (!r)
        return;
    r->repeated = b->times;
    b->times = (struct wi_vreg){0, 0, 0};
}

/* ---------------------------------------------------------------- timing facts */

struct wi_isa_op wi_ir_sample(const struct wi_build *b, unsigned id, const struct wi_arg *args) {
    const struct wi_isa_info *info = wi_isa_info(id);
    struct wi_isa_op op = {.id = (uint16_t)id};
    for (int i = 0; i < info->n_fields; i++)
        op.v[i] = info->field[i].class ? (int32_t)wi_ir_physical(b, args[i].reg, 0) : args[i].imm;
    return op;
}

/* Sticky status bits, which no operation of a kernel reads, are left out. */
static int add_accesses(const struct wi_build *b, unsigned id, const struct wi_arg *args,
                        uint8_t when, struct wi_ir_access *out) {
    struct wi_isa_op op = wi_ir_sample(b, id, args);
    struct wi_isa_access a[WI_ISA_MAX_ACCESSES];
    int n = wi_isa_accesses(&op, a), n_out = 0;
    for (int i = 0; i < n; i++) {
        struct wi_vreg r = a[i].field >= 0 ? args[a[i].field].reg : (struct wi_vreg){0, 0, 0};
        int base = WI_IR_FIXED;
        if (r.id > 0) {
            struct wi_isa_range whole[2];
            struct wi_vreg all = {r.id, 0, b->regs[r.id].family};
            wi_isa_units(wi_ir_physical(b, all, 0), whole);
            base = 8 * r.id - whole[0].unit;
        }
        for (int u = a[i].unit; u < a[i].unit + a[i].n_units; u++)
            if (r.id > 0 || u < WI_UNIT_SR || u > WI_UNIT_SR_LAST)
                out[n_out++] =
                    (struct wi_ir_access){base + u, a[i].write, a[i].stage, a[i].bypass, when};
    }
    return n_out;
}

int wi_ir_accesses(const struct wi_build *b, const struct wi_ir_op *op,
                   struct wi_ir_access out[WI_IR_MAX_ACCESSES]) {
    int n = add_accesses(b, op->id[0], op->arg, op->when, out);
    if (op->first_id)
        n += add_accesses(b, op->first_id, op->first_arg, WI_FIRST_STEP, out + n);
    return n;
}

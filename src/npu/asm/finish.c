/* From a routine in the builder to code. */
#include <limits.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "npu/asm/layout.h"

/* ---------------------------------------------------------------- registers of long life */

/* Units of registers that the source names: nothing else is put there. */
static void see_fixed(const struct wi_arg *arg, bool fixed[WI_N_UNITS]) {
    struct wi_isa_range range[2];
    int n = wi_isa_units((unsigned)-arg->reg.id, range);
    for (int i = 0; i < n; i++)
        for (int u = 0; u < range[i].n_units; u++)
            fixed[range[i].unit + u] = true;
}

static bool is_fixed(const struct wi_build *b, size_t reg, int number,
                     const bool fixed[WI_N_UNITS]) {
    struct wi_isa_range range[2];
    struct wi_vreg whole = {(int16_t)reg, 0, b->regs[reg].family};
    int n = wi_isa_units(wi_ir_physical(b, whole, number), range);
    for (int u = 0; n > 0 && u < range[0].n_units; u++)
        if (fixed[range[0].unit + u])
            return true;
    return false;
}

/* Registers that the class of every field which names them has. */
static void allow(struct wi_build *b, const struct wi_arg *arg, unsigned class, bool *no) {
    struct wi_ir_reg *r = &b->regs[arg->reg.id];
    struct wi_vreg whole = {arg->reg.id, 0, r->family};
    for (int n = 0; n < 32; n++) {
        bool exists = wi_isa_reg_info(wi_ir_physical(b, whole, n)) &&
                      wi_isa_reg_info(wi_ir_physical(b, whole, n))->family == r->family;
        no[n] |= !exists || wi_isa_class_code(class, wi_ir_physical(b, arg->reg, n)) < 0;
    }
}

static void see_args(struct wi_build *b, unsigned id, const struct wi_arg *args, int region,
                     bool (*no)[32], bool fixed[WI_N_UNITS]) {
    const struct wi_isa_info *info = wi_isa_info(id);
    for (int i = 0; i < info->n_fields; i++) {
        if (args[i].kind == WI_ARG_REG && args[i].reg.id < 0)
            see_fixed(&args[i], fixed);
        if (args[i].kind != WI_ARG_REG || args[i].reg.id <= 0)
            continue;
        struct wi_ir_reg *r = &b->regs[args[i].reg.id];
        r->first_region = r->first_region < 0 ? region : r->first_region;
        r->last_region = region;
        allow(b, &args[i], info->field[i].class, no[args[i].reg.id]);
    }
}

/* What is repeated may need next time what it was given before. */
static void keep_for_repeats(struct wi_build *b) {
    int begin = 0;
    for (int region = 0; region < (int)b->n_regions; region++) {
        begin = b->regions[region].repeat ? region : begin;
        for (size_t i = 1; b->regions[region].repeated.id && i < b->n_regs; i++) {
            struct wi_ir_reg *r = &b->regs[i];
            if (r->first_region >= 0 && r->first_region < begin && r->last_region >= begin &&
                r->last_region < region)
                r->last_region = region;
        }
    }
}

/* Where each register is used and which it may be. */
static int see_registers(struct wi_build *b) {
    bool(*no)[32] = wi_calloc(b->n_regs, sizeof *no);
    bool fixed[WI_N_UNITS] = {[WI_UNIT_R + 30] = true, [WI_UNIT_R + 31] = true}; /* the caller's */
    if (!no)
        return wi_err_nomem(&b->err, "the registers of a routine");
    for (int region = 0; region < (int)b->n_regions; region++) {
        const struct wi_ir_region *r = &b->regions[region];
        for (int i = r->first_op; i < r->first_op + r->n_ops; i++) {
            const struct wi_ir_op *op = &b->ops[i];
            for (int k = 0; k < op->n_alts; k++)
                see_args(b, op->id[k], op->arg, region, no, fixed);
            if (op->first_id)
                see_args(b, op->first_id, op->first_arg, region, no, fixed);
        }
        if (r->repeated.id) {
            const struct wi_arg jnz[] = {wi_r(r->repeated), wi_i(0)};
            see_args(b, WI_OP_JNZ, jnz, region, no, fixed);
        }
        if (r->is_loop && r->loop.blocks.id) { /* of instructions that the layout adds */
            const struct wi_arg jnzd[] = {wi_r(r->count), wi_r(r->count), wi_r(r->again)};
            const struct wi_arg steps[] = {wi_r(r->count), wi_r(r->loop.steps), wi_i(0)};
            see_args(b, WI_OP_JNZD, jnzd, region, no, fixed);
            see_args(b, WI_OP_ADD_NC, steps, region, no, fixed);
        }
    }
    keep_for_repeats(b);
    for (size_t i = 1; i < b->n_regs; i++)
        for (int n = 0; n < 32; n++)
            if (!no[i][n] && b->regs[i].first_region >= 0 && !is_fixed(b, i, n, fixed))
                b->regs[i].allowed[b->regs[i].n_allowed++] = (uint8_t)n;
    wi_free(no);
    return WISP_OK;
}

static bool overlap(const struct wi_build *b, const struct wi_ir_reg *x, int number,
                    const struct wi_ir_reg *y) {
    if (y->number < 0 || x->first_region > y->last_region || y->first_region > x->last_region)
        return false;
    struct wi_isa_range rx[2], ry[2];
    struct wi_vreg vx = {(int16_t)(x - b->regs), 0, x->family};
    struct wi_vreg vy = {(int16_t)(y - b->regs), 0, y->family};
    wi_isa_units(wi_ir_physical(b, vx, number), rx);
    wi_isa_units(wi_ir_physical(b, vy, y->number), ry);
    return wi_isa_overlap(rx[0].unit, rx[0].n_units, ry[0].unit, ry[0].n_units);
}

static bool give_number(struct wi_build *b, struct wi_ir_reg *r) {
    for (int i = 0; i < r->n_allowed; i++) {
        bool free = true;
        for (size_t k = 1; free && k < b->n_regs; k++)
            free = &b->regs[k] == r || !overlap(b, r, r->allowed[i], &b->regs[k]);
        if (free) {
            r->number = r->allowed[i];
            return true;
        }
    }
    return false;
}

/* Registers that live from one region to another, the choosy ones first. */
static int place_long_lived(struct wi_build *b) {
    for (int most = 1; most <= 32; most++)
        for (size_t i = 1; i < b->n_regs; i++) {
            struct wi_ir_reg *r = &b->regs[i];
            bool is_long = r->first_region != r->last_region;
            if (is_long && r->n_allowed == most && !give_number(b, r))
                return wi_err_set(&b->err, WISP_E_UNSUPPORTED,
                                  "no register is left for '%s'; fewer of its kind must live at "
                                  "once",
                                  r->name);
        }
    return WISP_OK;
}

int wi_ir_bound(struct wi_build *b, int number) {
    struct wi_sched s;
    if (see_registers(b) != WISP_OK || place_long_lived(b) != WISP_OK)
        return INT_MAX;
    int rc = wi_sched_init(&s, b, &b->regions[number], number, &b->err), bound = INT_MAX;
    if (rc == WISP_OK) {
        wi_sched_bound(&s);
        bound = s.bound;
    }
    wi_sched_fini(&s);
    return bound;
}

/* ---------------------------------------------------------------- regions */

static void keep_numbers(struct wi_build *b, const struct wi_sched *s) {
    for (size_t v = 0; v < s->n_values; v++)
        b->regs[s->values[v].reg].number = s->number[v];
}

static int schedule(struct wi_build *b, struct wi_sched *s, int number, enum wi_schedule how) {
    const struct wi_ir_region *region = &b->regions[number];
    int rc = wi_sched_init(s, b, region, number, &b->err);
    if (rc != WISP_OK)
        return rc;
    if (how == WI_SERIAL) {
        wi_sched_serial(s);
        bool fits = wi_sched_color(s);
        rc = s->failed ? wi_err_nomem(&b->err, "a schedule")
             : fits    ? WISP_OK
                       : wi_err_set(&b->err, WISP_E_UNSUPPORTED,
                                    "the source keeps more values than there are registers");
    } else {
        rc = region->is_loop ? wi_sched_loop(s, &region->loop, &b->err) : wi_sched_line(s, &b->err);
    }
    if (rc == WISP_OK)
        keep_numbers(b, s);
    return rc;
}

static void report(const struct wi_build *b, const struct wi_sched *s, int number,
                   struct wi_code *out) {
    const struct wi_ir_region *region = &b->regions[number];
    if (!region->is_loop || out->n_loops == WI_BUILD_MAX_LOOPS)
        return;
    struct wi_loop_report *r = &out->loops[out->n_loops++];
    *r = (struct wi_loop_report){.name = region->loop.name,
                                 .cycles = s->cycles,
                                 .bound = s->bound,
                                 .limit = s->limit,
                                 .times = region->times ? region->times : 1,
                                 .tries = s->tries};
    wi_layout_measure(s, number, &r->stages, &r->min_steps);
    r->min_steps *= r->times;
    if (b->scheduled)
        b->scheduled(b->user, s, region->loop.name);
}

static int lay_out(struct wi_build *b, struct wi_layout *l, enum wi_schedule how,
                   struct wi_code *out) {
    int rc = WISP_OK;
    for (int i = 0; rc == WISP_OK && i < (int)b->n_regions; i++) {
        const struct wi_ir_region *region = &b->regions[i];
        struct wi_sched s;
        if (region->between) /* laid out with its loop */
            continue;
        if (region->repeat)
            rc = wi_layout_repeat(l, &b->err);
        if (region->repeated.id)
            rc = wi_layout_end_repeat(l, region->repeated, &b->err);
        if (rc == WISP_OK)
            rc = schedule(b, &s, i, how);
        if (rc == WISP_OK) {
            report(b, &s, i, out);
            rc = region->is_loop ? wi_layout_loop(l, &s, i, &b->err)
                                 : wi_layout_line(l, &s, &b->err);
        }
        wi_sched_fini(&s);
    }
    return rc;
}

int wi_build_finish(struct wi_build *b, enum wi_schedule how, uint32_t base, struct wi_code *out,
                    struct wisp_error *err) {
    struct wi_layout l = {.b = b};
    memset(out, 0, sizeof *out);
    wi_strbuf_init(&out->bytes);
    int rc = b->err.code;
    if (rc == WISP_OK && b->times.id)
        rc = wi_err_set(&b->err, WISP_E_UNSUPPORTED, "a repetition without an end");
    if (rc == WISP_OK && how == WI_PIPELINED)
        rc = wi_unroll_loops(b);
    if (rc == WISP_OK)
        rc = see_registers(b);
    if (rc == WISP_OK)
        rc = place_long_lived(b);
    l.places = wi_calloc(b->n_regions, sizeof *l.places);
    if (rc == WISP_OK && !l.places)
        rc = wi_err_nomem(&b->err, "a layout");
    if (rc == WISP_OK)
        rc = lay_out(b, &l, how, out);
    if (rc == WISP_OK)
        rc = wi_layout_end(&l, &b->err);
    if (rc == WISP_OK)
        rc = wi_layout_encode(&l, base, out, &b->err);
    wi_layout_fini(&l);
    if (rc != WISP_OK) {
        wi_code_fini(out);
        return wi_err_set(err, rc, "%s", b->err.text);
    }
    return rc;
}

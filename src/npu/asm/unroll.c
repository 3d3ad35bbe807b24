/* Several steps of a loop as one.  A value has one register, so the next step's waits until this
 * one's has been read: where values live longer than the rest of a step takes, or where a step does
 * not fill its last bundle, steps with registers of their own take fewer bundles each. */
#include <limits.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "npu/asm/sched.h"

/* ---------------------------------------------------------------- registers of a step */

static void used(const struct wi_arg *arg, bool *own) {
    for (int i = 0; i < WI_ISA_MAX_FIELDS; i++)
        if (arg[i].kind == WI_ARG_REG && arg[i].reg.id > 0)
            own[arg[i].reg.id] = false;
}

/* Those that nothing but the loop uses: what goes on from step to step begins before it. */
static void find_own(const struct wi_build *b, const struct wi_ir_region *loop, bool *own) {
    for (size_t i = 1; i < b->n_regs; i++)
        own[i] = true;
    for (int i = 0; i < (int)b->n_ops; i++)
        if (i < loop->first_op || i >= loop->first_op + loop->n_ops) {
            used(b->ops[i].arg, own);
            used(b->ops[i].first_arg, own);
        }
}

/* [n_regs]: of own ones a new one, of others the same; NULL: out of memory. */
static int16_t *rename_own(struct wi_build *b, const bool *own, size_t n_regs) {
    int16_t *names = wi_malloc(n_regs, sizeof *names);
    for (size_t i = 0; names && i < n_regs; i++) {
        struct wi_ir_reg r = b->regs[i];
        names[i] = own[i] ? wi_build_reg(b, (enum wi_family)r.family, r.name).id : (int16_t)i;
    }
    return names;
}

static void rename_args(struct wi_arg *arg, const int16_t *names) {
    for (int i = 0; i < WI_ISA_MAX_FIELDS; i++)
        if (arg[i].kind == WI_ARG_REG && arg[i].reg.id > 0)
            arg[i].reg.id = names[arg[i].reg.id];
}

/* ---------------------------------------------------------------- a loop */

/* The steps that the hardware counts are fewer by a shift, which the line before the loop has. */
static void set_shift(struct wi_build *b, int number, int times) {
    const struct wi_ir_region *line = &b->regions[number - 1];
    int bits = 31 - __builtin_clz((unsigned)times);
    for (int i = line->first_op; i < line->first_op + line->n_ops; i++)
        if (b->ops[i].arg[0].reg.id == b->regions[number].shift.id &&
            b->ops[i].arg[1].kind == WI_ARG_IMM)
            b->ops[i].arg[1].imm = -bits;
}

static bool make_room(struct wi_build *b, int number, size_t added) {
    struct wi_ir_region *loop = &b->regions[number];
    size_t end = (size_t)(loop->first_op + loop->n_ops);
    if (!wi_grow(&b->ops, &b->max_ops, b->n_ops + added, sizeof *b->ops))
        return false;
    memmove(b->ops + end + added, b->ops + end, (b->n_ops - end) * sizeof *b->ops);
    b->n_ops += added;
    loop->n_ops += (int)added;
    for (int i = number + 1; i < (int)b->n_regions; i++)
        b->regions[i].first_op += (int)added;
    return true;
}

/* Errors in b->err. */
static void unroll(struct wi_build *b, int number, int times) {
    int n = b->regions[number].n_ops, first = b->regions[number].first_op;
    size_t n_regs = b->n_regs;
    bool *own = wi_calloc(n_regs, sizeof *own);
    if (own)
        find_own(b, &b->regions[number], own);
    bool ok = own && make_room(b, number, (size_t)(n * (times - 1)));
    for (int step = 1; ok && step < times; step++) {
        int16_t *names = rename_own(b, own, n_regs);
        ok = names != NULL;
        for (int i = 0; ok && i < n; i++) {
            struct wi_ir_op *op = &b->ops[first + n * step + i];
            *op = b->ops[first + i];
            rename_args(op->arg, names);
        }
        wi_free(names);
    }
    if (!ok)
        wi_err_nomem(&b->err, "steps of a loop");
    b->regions[number].times = times;
    set_shift(b, number, times);
    wi_free(own);
}

/* ---------------------------------------------------------------- how often */

static void *copy_of(const void *v, size_t n, size_t size) {
    void *copy = wi_malloc(n, size);
    if (copy)
        memcpy(copy, v, n * size);
    return copy;
}

/* The least bundles of so many steps; INT_MAX: they cannot be one. */
static int bound_of(const struct wi_build *b, int number, int times) {
    struct wi_build c = *b;
    int bound = INT_MAX;
    c.regs = copy_of(b->regs, c.max_regs = b->n_regs, sizeof *b->regs);
    c.ops = copy_of(b->ops, c.max_ops = b->n_ops, sizeof *b->ops);
    c.regions = copy_of(b->regions, c.max_regions = b->n_regions, sizeof *b->regions);
    if (c.regs && c.ops && c.regions && times > 1)
        unroll(&c, number, times);
    if (c.regs && c.ops && c.regions && c.err.code == WISP_OK)
        bound = wi_ir_bound(&c, number);
    wi_free(c.regs);
    wi_free(c.ops);
    wi_free(c.regions);
    return bound;
}

/* The fewest steps that together take the fewest bundles each. */
static int best_times(const struct wi_build *b, int number) {
    int multiple = b->regions[number].loop.multiple, best = 1;
    long least = bound_of(b, number, 1);
    for (int times = 2; times <= WI_UNROLL_MOST && multiple % times == 0; times *= 2) {
        long bound = bound_of(b, number, times);
        if (bound < INT_MAX && bound * best < least * times) {
            least = bound;
            best = times;
        }
    }
    return best;
}

int wi_unroll_loops(struct wi_build *b) {
    for (int i = 0; b->err.code == WISP_OK && i < (int)b->n_regions; i++)
        if (b->regions[i].shift.id) {
            int times = best_times(b, i);
            if (times > 1)
                unroll(b, i, times);
        }
    return b->err.code;
}

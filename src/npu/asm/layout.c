#include "npu/asm/layout.h"

#include <limits.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

enum {
    BRANCH = 1 + WI_ISA_N_DELAY_SLOTS, /* rows from a branch to where it takes effect */
    LOOP_SETUP = 7                     /* rows from a write of LC to the loop's last one */
};

/* Which of a step's operations a row has. */
enum part {
    PART_FILL,  /* from the first step on */
    PART_BLOCK, /* between two blocks */
    PART_INNER, /* what every step does */
    PART_DRAIN  /* of steps before the end */
};

/* A loop's row of steps in time.  Times are relative to the start of a block's first step. */
struct timeline {
    const struct wi_sched *s;
    const struct wi_ir_region *region;
    int cycles, last; /* time of the last operation */
    /* Without blocks: */
    int fill; /* bundles before the hardware loop */
    int more; /* what is added to the number of steps for LC */
    /* With blocks: */
    int special; /* the first time between blocks that differs from inner steps */
    int peeled;  /* bundles between blocks outside the hardware loop, a multiple of cycles */
};

static const struct wi_ir_op *op_of(const struct wi_sched *s, int op) {
    return &s->b->ops[s->first_op + op];
}

/* ---------------------------------------------------------------- one row */

static int32_t value_of(const struct wi_build *b, const struct wi_arg *arg) {
    if (arg->kind != WI_ARG_REG)
        return arg->kind == WI_ARG_IMM ? arg->imm : 0;
    int number = arg->reg.id > 0 ? b->regs[arg->reg.id].number : 0;
    return (int32_t)wi_ir_physical(b, arg->reg, number);
}

static void put(const struct wi_build *b, struct wi_row *row, unsigned id,
                const struct wi_arg *args, const struct wi_ir_op *memory) {
    const struct wi_isa_info *info = wi_isa_info(id);
    struct wi_isa_op *op = &row->op[info->slot];
    op->id = (uint16_t)id;
    for (int i = 0; i < info->n_fields; i++) {
        op->v[i] = value_of(b, &args[i]);
        if (args[i].kind > WI_ARG_IMM)
            row->fix[info->slot] = (struct wi_fix){args[i].kind, (uint8_t)i, (int16_t)args[i].imm};
    }
    row->banks[info->slot] = memory ? memory->banks : 0;
    row->stream[info->slot] = memory ? memory->stream : 0;
}

static bool belongs(const struct timeline *t, const struct wi_ir_op *op, enum part part, int step) {
    bool blocks = t->region && t->region->loop.blocks.id;
    if (part == PART_FILL && step < 0)
        return false;
    if (part == PART_DRAIN && step >= 0)
        return false;
    if (op->when == WI_EVERY_STEP || !blocks)
        return true;
    return part != PART_INNER && step == (op->when == WI_FIRST_STEP ? 0 : -1);
}

/* The row at a time; `step` of its operations counts from the start of the block. */
static void fill_row(const struct timeline *t, struct wi_row *row, enum part part, int time) {
    const struct wi_sched *s = t->s;
    memset(row, 0, sizeof *row);
    for (int i = 0; i < s->n_ops; i++) {
        const struct wi_ir_op *op = op_of(s, i);
        int late = time - s->time[i];
        if ((t->cycles ? late % t->cycles : late) != 0)
            continue;
        int step = t->cycles ? late / t->cycles : 0;
        if (!belongs(t, op, part, step))
            continue;
        if (op->first_id && step == 0 && (part == PART_FILL || part == PART_BLOCK))
            put(s->b, row, op->first_id, op->first_arg, op);
        else
            put(s->b, row, op->id[s->chosen[i]], op->arg, op);
    }
}

static bool add_rows(const struct timeline *t, struct wi_rows *rows, enum part part, int from,
                     int to) {
    if (to <= from)
        return true;
    if (!wi_grow(&rows->v, &rows->max, rows->n + (size_t)(to - from), sizeof *rows->v))
        return false;
    for (int time = from; time < to; time++)
        fill_row(t, &rows->v[rows->n++], part, time);
    return true;
}

/* ---------------------------------------------------------------- lines */

static int last_time(const struct wi_sched *s) {
    int last = 0;
    for (int i = 0; i < s->n_ops; i++)
        last = s->time[i] > last ? s->time[i] : last;
    return last;
}

int wi_layout_line(struct wi_layout *l, const struct wi_sched *s, struct wisp_error *err) {
    struct timeline t = {.s = s};
    struct wi_rows rows = {NULL, 0, 0};
    int n = s->n_ops ? last_time(s) + 1 : 0;
    bool ok =
        add_rows(&t, &rows, PART_INNER, 0, n) &&
        wi_rows_join(l, rows.v, (int)rows.n, l->repeating ? (int)l->rows.n : (int)rows.n, -1) >= 0;
    wi_free(rows.v);
    return ok ? WISP_OK : wi_err_nomem(err, "rows");
}

/* ---------------------------------------------------------------- loops */

/* The times in which blocks differ from inner steps, and that of the last operation of all steps.
 */
struct special {
    int first, last, every;
};

static struct special find_special(const struct timeline *t) {
    const struct wi_sched *s = t->s;
    struct special x = {INT_MAX, INT_MIN, 0};
    for (int i = 0; i < s->n_ops; i++) {
        const struct wi_ir_op *op = op_of(s, i);
        int at = s->time[i] - (op->when == WI_LAST_STEP ? t->cycles : 0);
        if (op->when == WI_EVERY_STEP)
            x.every = s->time[i] > x.every ? s->time[i] : x.every;
        if (op->when == WI_EVERY_STEP && !op->first_id)
            continue;
        x.first = at < x.first ? at : x.first;
        x.last = at > x.last ? at : x.last;
    }
    if (x.first > x.last)
        x.first = x.last = 0;
    if (!t->region->loop.overrun && x.first > 0)
        x.first = 0; /* what comes before it would be done once too often */
    return x;
}

/* Whether some operation takes a slot of a set at a time of every step. */
static bool takes_slot(const struct timeline *t, int time, unsigned slots) {
    for (int i = 0; i < t->s->n_ops; i++)
        if ((time - t->s->time[i]) % t->cycles == 0 &&
            slots >> wi_isa_info(op_of(t->s, i)->id[t->s->chosen[i]])->slot & 1)
            return true;
    return false;
}

/* How much of a block stays outside the hardware loop, and where that begins: there must be room
 * for two branches, in free slots, and the hardware loop begins when all steps that overlap there
 * have begun. */
static void peel(struct timeline *t) {
    const unsigned alu = 1u << WI_SLOT_ALU | 1u << WI_SLOT_LNG, both = alu | 1u << WI_SLOT_MV;
    struct special x = find_special(t);
    for (int earlier = 0; earlier < t->cycles; earlier++) {
        t->special = x.first - earlier;
        t->peeled = t->cycles;
        while (t->peeled < 2 * BRANCH || t->special + t->peeled - BRANCH <= x.last ||
               t->special + t->peeled - BRANCH <= x.every - t->cycles ||
               t->special + t->peeled < BRANCH)
            t->peeled += t->cycles;
        if (!takes_slot(t, t->special - BRANCH, alu) &&
            !takes_slot(t, t->special + t->peeled - 2 * BRANCH, both))
            return;
    }
}

/* Whether an operation may be done for steps that there are not: it only reads memory, and what it
 * writes is not read behind the loop. */
static bool leaves_nothing(const struct wi_sched *s, const struct wi_ir_op *op, int number) {
    struct wi_ir_access a[WI_IR_MAX_ACCESSES];
    int n = wi_ir_accesses(s->b, op, a);
    for (int i = 0; i < n; i++) {
        int unit = a[i].key - WI_IR_FIXED;
        bool status = unit >= WI_UNIT_SR && unit <= WI_UNIT_SR_LAST;
        if (a[i].write && !status && (unit >= 0 || s->b->regs[a[i].key / 8].last_region != number))
            return false;
    }
    return wi_only_registers(op->id[0]);
}

/* The hardware loop begins when all steps that overlap there have begun, and ends when there are no
 * more of them to begin; or, where loads may overrun, when an operation that must not be done once
 * too often has been done for the last step: the loop itself is what drains the operations before,
 * and takes as long as code for it would. */
static void overlap(struct timeline *t, int number) {
    int stages = t->last / t->cycles + 1, first = t->last + 1;
    t->fill = (stages - 1) * t->cycles;
    t->more = 1 - stages;
    for (int i = 0; i < t->s->n_ops; i++)
        if (t->s->time[i] < first && !leaves_nothing(t->s, op_of(t->s, i), number))
            first = t->s->time[i];
    int drained = (t->last + t->cycles - first) / t->cycles - 1; /* steps behind the loop */
    if (!t->region->loop.overrun || drained >= stages - 1)
        return;
    t->fill = t->last - t->cycles + 1;
    t->more = drained > 0 ? -drained : 0;
}

static struct timeline timeline_of(const struct wi_sched *s, int number) {
    struct timeline t = {.s = s, .region = &s->b->regions[number], .cycles = s->cycles};
    t.last = last_time(s);
    if (t.region->loop.blocks.id)
        peel(&t);
    else
        overlap(&t, number);
    return t;
}

void wi_layout_measure(const struct wi_sched *s, int number, int *stages, int *min_steps) {
    struct timeline t = timeline_of(s, number);
    *stages = t.last / t.cycles + 1;
    *min_steps = t.region->loop.blocks.id ? t.peeled / t.cycles + 1 : 1 - t.more;
}

/* The rows of a loop that follow each other: fill, hardware loop, rest; n_fill and n_rest tell
 * where. */
struct parts {
    struct wi_rows rows;
    int n_fill, peeled;
};

static bool simple_parts(const struct timeline *t, struct parts *p) {
    p->n_fill = t->fill;
    p->peeled = t->more;
    /* the drain's times are relative to the end of the last step's first stage */
    return add_rows(t, &p->rows, PART_FILL, 0, t->fill) &&
           add_rows(t, &p->rows, PART_INNER, t->fill, t->fill + t->cycles) &&
           add_rows(t, &p->rows, PART_DRAIN, t->fill + t->more * t->cycles,
                    t->last - t->cycles + 1);
}

/* Between blocks: `far` rows lead from the branch behind the hardware loop back into it. */
static bool block_parts(const struct timeline *t, struct parts *p, struct wi_rows *far) {
    int inner = t->special + t->peeled - BRANCH;
    p->n_fill = inner;
    p->peeled = -t->peeled / t->cycles;
    return add_rows(t, &p->rows, PART_FILL, 0, inner) &&
           add_rows(t, &p->rows, PART_INNER, inner, inner + t->cycles) &&
           add_rows(t, &p->rows, PART_INNER, inner + t->cycles, inner + t->cycles + BRANCH) &&
           add_rows(t, &p->rows, PART_DRAIN, t->special, t->last - t->cycles + 1) &&
           add_rows(t, far, PART_BLOCK, t->special, inner);
}

/* Put an operation into the first of some rows where it disturbs nothing: which one; -1: none. */
static int squeeze_op(const struct wi_build *b, struct wi_row *rows, int n, int from, int to,
                      unsigned id, const struct wi_arg *args, const struct wi_ir_op *memory) {
    for (int at = from; at < to && at < n; at++) {
        struct wi_row alone;
        memset(&alone, 0, sizeof alone);
        put(b, &alone, id, args, memory);
        bool ok = true;
        for (int i = 0; ok && i < n; i++)
            ok = i <= at ? !wi_rows_clash(&rows[i], &alone, at - i)
                         : !wi_rows_clash(&alone, &rows[i], i - at);
        if (ok) {
            put(b, &rows[at], id, args, memory);
            return at;
        }
    }
    return -1;
}

static bool squeeze(const struct wi_build *b, struct wi_row *rows, int n, int from, int to,
                    unsigned id, const struct wi_arg *args) {
    return squeeze_op(b, rows, n, from, to, id, args, NULL) >= 0;
}

static int add_branches(struct wi_layout *l, struct parts *p, struct wi_row *far, int n_far,
                        const struct timeline *t, int number, struct wisp_error *err) {
    const struct wi_ir_region *r = t->region;
    const struct wi_arg again[] = {wi_r(r->count), wi_r(r->count), wi_r(r->again)};
    const struct wi_arg steps[] = {wi_r(wi_fixed(WI_REG_LC)),
                                   wi_r(r->loop.steps),
                                   {.kind = WI_ARG_LOOP_PEELED, .imm = number}};
    const struct wi_arg start[] = {{.kind = WI_ARG_LOOP_START, .imm = number}};
    int tail = p->n_fill + t->cycles;
    bool ok = squeeze(l->b, p->rows.v + tail, BRANCH, 0, 1, WI_OP_JNZD, again) &&
              squeeze(l->b, far, n_far, n_far - BRANCH, n_far - BRANCH + 1, WI_OP_J, start) &&
              squeeze(l->b, far, n_far, 0, n_far + t->cycles - LOOP_SETUP, WI_OP_ADD_NC, steps);
    return ok ? WISP_OK
              : wi_err_set(err, WISP_E_UNSUPPORTED,
                           "loop '%s' leaves no room for the branches between blocks",
                           r->loop.name);
}

/* The first of the far rows behind all operations of a block's last step. */
static int behind_last_step(const struct timeline *t) {
    int last = t->special - 1;
    for (int i = 0; i < t->s->n_ops; i++)
        if (op_of(t->s, i)->when == WI_LAST_STEP && t->s->time[i] - t->cycles > last)
            last = t->s->time[i] - t->cycles;
    return last + 1 - t->special;
}

/* What comes between blocks: among the far rows, seen with the rows before and behind them. */
static int add_between(struct wi_layout *l, const struct parts *p, struct wi_row *far, int n_far,
                       const struct timeline *t, const struct wi_ir_region *r,
                       struct wisp_error *err) {
    int pre = p->n_fill + t->cycles + BRANCH, n = pre + n_far + t->cycles;
    int at = pre + behind_last_step(t);
    struct wi_row *rows = wi_malloc((size_t)n, sizeof *rows);
    if (!rows)
        return wi_err_nomem(err, "rows");
    memcpy(rows, p->rows.v, (size_t)pre * sizeof *rows);
    memcpy(rows + pre, far, (size_t)n_far * sizeof *rows);
    memcpy(rows + pre + n_far, p->rows.v + p->n_fill, (size_t)t->cycles * sizeof *rows);
    for (int i = r->first_op; at >= 0 && i < r->first_op + r->n_ops; i++) {
        const struct wi_ir_op *op = &l->b->ops[i];
        at = squeeze_op(l->b, rows, n, at, pre + n_far, op->id[0], op->arg, op);
    }
    memcpy(far, rows + pre, (size_t)n_far * sizeof *rows);
    wi_free(rows);
    return at >= 0 ? WISP_OK
                   : wi_err_set(err, WISP_E_UNSUPPORTED,
                                "between the blocks of loop '%s' is no room for all operations",
                                t->region->loop.name);
}

/* What runs ahead of the last step must be harmless. */
static int check_overrun(const struct timeline *t, struct wisp_error *err) {
    for (int i = 0; i < t->s->n_ops; i++) {
        if (t->s->time[i] < t->special && op_of(t->s, i)->when == WI_EVERY_STEP &&
            !wi_only_registers(op_of(t->s, i)->id[0]))
            return wi_err_set(err, WISP_E_UNSUPPORTED,
                              "loop '%s' would store ahead of its last step", t->region->loop.name);
    }
    return WISP_OK;
}

int wi_layout_loop(struct wi_layout *l, const struct wi_sched *s, int number,
                   struct wisp_error *err) {
    struct timeline t = timeline_of(s, number);
    struct parts p = {{NULL, 0, 0}, 0, 0};
    struct wi_places *places = &l->places[number];
    size_t n_far = l->far.n;
    bool blocks = t.region->loop.blocks.id != 0;
    bool ok = blocks ? block_parts(&t, &p, &l->far) : simple_parts(&t, &p);
    int rc = ok ? WISP_OK : wi_err_nomem(err, "rows");
    if (rc == WISP_OK && !wi_isa_fits(WI_OP_ADD_NC, 2, p.peeled))
        rc = wi_err_set(err, WISP_E_UNSUPPORTED, "too many steps of loop '%s' overlap",
                        t.region->loop.name);
    if (rc == WISP_OK && blocks)
        rc = check_overrun(&t, err);
    if (rc == WISP_OK && blocks)
        rc = add_branches(l, &p, l->far.v + n_far, (int)(l->far.n - n_far), &t, number, err);
    if (rc == WISP_OK && s->b->regions[number + 1].between)
        rc = add_between(l, &p, l->far.v + n_far, (int)(l->far.n - n_far), &t,
                         &s->b->regions[number + 1], err);
    if (rc == WISP_OK) {
        int last = p.n_fill + t.cycles - 1;
        p.rows.v[p.n_fill].aligned = true;
        p.rows.v[last].aligned = p.rows.v[last].full = true;
        if (blocks)
            l->far.v[n_far].aligned = true;
        int at = wi_rows_join(l, p.rows.v, (int)p.rows.n, p.n_fill, last);
        *places = (struct wi_places){at + p.n_fill, at + last, (int)n_far, p.peeled};
        l->barrier = (size_t)(at + last + 1 + (blocks ? BRANCH : 0));
        rc = at < 0 ? wi_err_nomem(err, "rows") : WISP_OK;
    }
    wi_free(p.rows.v);
    return rc;
}

/* ---------------------------------------------------------------- repetition */

int wi_row_landing(const struct wi_row *row) {
    int most = 0;
    for (unsigned s = 0; s < WI_N_SLOTS; s++) {
        struct wi_isa_access a[WI_ISA_MAX_ACCESSES];
        int n = row->op[s].id ? wi_isa_accesses(&row->op[s], a) : 0;
        for (int i = 0; i < n; i++)
            if (a[i].write && (a[i].unit < WI_UNIT_SR || a[i].unit > WI_UNIT_SR_LAST))
                most = a[i].stage > most ? a[i].stage : most;
    }
    return most;
}

/* Empty rows up to n of them in all. */
static bool pad_rows(struct wi_layout *l, size_t n) {
    if (n <= l->rows.n)
        return true;
    if (!wi_grow(&l->rows.v, &l->rows.max, n, sizeof *l->rows.v))
        return false;
    memset(l->rows.v + l->rows.n, 0, (n - l->rows.n) * sizeof *l->rows.v);
    l->rows.n = n;
    return true;
}

/* The row at which all results of the rows so far have landed. */
static size_t landed(const struct wi_layout *l, size_t n) {
    for (size_t i = 0; i < l->rows.n; i++)
        if (i + (size_t)wi_row_landing(&l->rows.v[i]) > n)
            n = i + (size_t)wi_row_landing(&l->rows.v[i]);
    return n > l->rows.n ? n : l->rows.n;
}

/* Nothing in it waits for what is done once, before it. */
int wi_layout_repeat(struct wi_layout *l, struct wisp_error *err) {
    size_t n = landed(l, l->barrier);
    if (!pad_rows(l, n + 1))
        return wi_err_nomem(err, "rows");
    l->rows.v[n].aligned = true;
    l->barrier = l->repeat = n;
    l->repeating = true;
    return WISP_OK;
}

/* Whether the last rows, with a branch and its delay slots behind them, lead to the first ones. */
static bool can_repeat(const struct wi_layout *l, const struct wi_row *branch) {
    return l->rows.n >= l->barrier + BRANCH && wi_rows_follow(l, l->repeat) &&
           wi_rows_fit(l, branch, 1, (int)l->rows.n - BRANCH);
}

int wi_layout_end_repeat(struct wi_layout *l, struct wi_vreg times, struct wisp_error *err) {
    const struct wi_arg args[] = {wi_r(times), wi_i(0)};
    struct wi_row branch;
    bool ok = true;
    memset(&branch, 0, sizeof branch);
    put(l->b, &branch, WI_OP_JNZ, args, NULL);
    branch.fix[WI_SLOT_LNG] = (struct wi_fix){WI_ARG_ROW, 1, (int16_t)l->repeat};
    while (ok && !can_repeat(l, &branch))
        ok = pad_rows(l, l->rows.n + 1);
    if (!ok || wi_rows_join(l, &branch, 1, BRANCH, -1) < 0)
        return wi_err_nomem(err, "rows");
    l->barrier = l->rows.n;
    l->repeating = false;
    return WISP_OK;
}

/* ---------------------------------------------------------------- the end */

/* `ret lr` where its delay slots end with the last row, no earlier than the last result lands. */
int wi_layout_end(struct wi_layout *l, struct wisp_error *err) {
    struct wi_row ret;
    memset(&ret, 0, sizeof ret);
    ret.op[WI_SLOT_ALU].id = WI_OP_RET;
    size_t n = l->rows.n, end = landed(l, l->barrier + BRANCH);
    while (end - BRANCH < n && (l->rows.v[end - BRANCH].op[WI_SLOT_ALU].id ||
                                l->rows.v[end - BRANCH].op[WI_SLOT_LNG].id))
        end++;
    if (!wi_grow(&l->rows.v, &l->rows.max, end + l->far.n, sizeof *l->rows.v))
        return wi_err_nomem(err, "rows");
    memset(l->rows.v + n, 0, (end - n) * sizeof *l->rows.v);
    l->rows.v[end - BRANCH].op[WI_SLOT_ALU] = ret.op[WI_SLOT_ALU];
    if (l->far.n)
        memcpy(l->rows.v + end, l->far.v, l->far.n * sizeof *l->rows.v);
    for (size_t i = 0; i < l->b->n_regions; i++)
        l->places[i].again += (int)end;
    l->rows.n = end + l->far.n;
    return WISP_OK;
}

void wi_layout_fini(struct wi_layout *l) {
    wi_free(l->rows.v);
    wi_free(l->far.v);
    wi_free(l->places);
}

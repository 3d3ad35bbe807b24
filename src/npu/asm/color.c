/* Registers for values whose times are known: two values may share a register when every read of
 * each sees its own value, though loads may be under way to a register that is still being read. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "npu/asm/sched.h"

enum { MAX_STEPS = 400 }; /* of the search */

/* A value's unit in time, of the step 0. */
struct span {
    int first, last_landing, last_read; /* INT_MIN: never */
};

struct coloring {
    struct wi_sched *s;
    struct span *spans;         /* [n_values][8] */
    bool *clash;                /* [n_values][n_values][8][8]: of units */
    struct wi_isa_range *range; /* [n_values][32]: units by number */
    int *blocked;               /* [n_values][32]: reasons why it cannot take that number */
    long steps;
};

static int touch_time(const struct wi_sched *s, const struct wi_touch *t) {
    return s->time[t->op] + t->at;
}

static struct span span_of(const struct wi_sched *s, const struct wi_value *v, int unit) {
    struct span span = {INT_MAX, INT_MIN, INT_MIN};
    for (int i = 0; i < v->n_touches; i++) {
        const struct wi_touch *t = &s->touches[v->first_touch + i];
        int at = touch_time(s, t);
        if (t->unit != unit)
            continue;
        if (t->write) {
            span.first = at < span.first ? at : span.first;
            span.last_landing = at > span.last_landing ? at : span.last_landing;
        } else {
            span.last_read = at > span.last_read ? at : span.last_read;
        }
    }
    return span;
}

static bool is_read(const struct wi_sched *s, const struct wi_value *v, int unit) {
    for (int i = 0; i < v->n_touches; i++) {
        const struct wi_touch *t = &s->touches[v->first_touch + i];
        if (t->unit == unit && !t->write)
            return true;
    }
    return false;
}

/* Whether a write of v's unit, `shift` bundles later than in step 0, comes too early for u: it is
 * seen by a read of u, or lands before u has landed.  Where nobody reads u, it must also issue
 * later, or it would look like a mistake to others. */
static bool overtakes(const struct wi_sched *s, const struct wi_value *u, int uu,
                      const struct wi_value *v, int vu, int shift) {
    bool unread = !is_read(s, u, uu);
    for (int i = 0; i < u->n_touches; i++) {
        const struct wi_touch *r = &s->touches[u->first_touch + i];
        for (int k = 0; k < v->n_touches && r->unit == uu; k++) {
            const struct wi_touch *w = &s->touches[v->first_touch + k];
            if (w->unit != vu || !w->write)
                continue;
            int seen = s->time[w->op] + shift + wi_sees(w, r);
            int landed = touch_time(s, w) + shift;
            if (r->write ? landed <= touch_time(s, r) : seen <= s->time[r->op])
                return true;
            if (unread && s->time[w->op] + shift <= s->time[r->op])
                return true;
        }
    }
    return false;
}

/* The first instance of v that lands after u in the same register must not disturb u. */
static bool disturbs(const struct coloring *c, int a, int ua, int b, int ub) {
    const struct wi_sched *s = c->s;
    const struct wi_value *u = &s->values[a], *v = &s->values[b];
    int first_u = c->spans[8 * a + ua].first, first_v = c->spans[8 * b + ub].first, shift = 0;
    if (s->cycles == 0)
        return first_v == first_u || (first_v > first_u && overtakes(s, u, ua, v, ub, 0));
    while (first_v + shift > first_u)
        shift -= s->cycles;
    while (first_v + shift < first_u)
        shift += s->cycles;
    return first_v + shift == first_u || overtakes(s, u, ua, v, ub, shift);
}

static bool units_clash(const struct coloring *c, int a, int ua, int b, int ub) {
    const struct wi_value *u = &c->s->values[a], *v = &c->s->values[b];
    if (c->spans[8 * a + ua].first == INT_MAX && c->spans[8 * a + ua].last_read == INT_MIN)
        return false; /* not used */
    if (c->spans[8 * b + ub].first == INT_MAX && c->spans[8 * b + ub].last_read == INT_MIN)
        return false;
    if (u->carried || v->carried)
        return true;
    return disturbs(c, a, ua, b, ub) || disturbs(c, b, ub, a, ua);
}

static bool *clash_at(const struct coloring *c, int a, int ua, int b, int ub) {
    return &c->clash[(((size_t)a * c->s->n_values + (size_t)b) * 8 + (size_t)ua) * 8 + (size_t)ub];
}

static void find_clashes(struct coloring *c) {
    int n = (int)c->s->n_values;
    for (int a = 0; a < n; a++)
        for (int u = 0; u < c->s->values[a].n_units; u++)
            c->spans[8 * a + u] = span_of(c->s, &c->s->values[a], u);
    for (int a = 0; a < n; a++)
        for (int b = 0; b < n; b++) {
            const struct wi_value *u = &c->s->values[a], *v = &c->s->values[b];
            for (int i = 0; a < b && u->file == v->file && i < u->n_units; i++)
                for (int k = 0; k < v->n_units; k++)
                    *clash_at(c, a, i, b, k) = *clash_at(c, b, k, a, i) =
                        units_clash(c, a, i, b, k);
        }
}

/* Whether two values clash when they begin at these units. */
static bool registers_clash(const struct coloring *c, int a, struct wi_isa_range ra, int b,
                            struct wi_isa_range rb) {
    for (int u = 0; u < ra.n_units; u++) {
        int k = ra.unit + u - rb.unit;
        if (k >= 0 && k < rb.n_units && *clash_at(c, a, u, b, k))
            return true;
    }
    return false;
}

/* Give a register or take it back; others that clash with that are told. */
static void take(struct coloring *c, int v, int number, bool on) {
    const struct wi_sched *s = c->s;
    struct wi_isa_range r = c->range[32 * v + number];
    s->number[v] = on ? number : -1;
    for (int o = 0; o < (int)s->n_values; o++) {
        const struct wi_ir_reg *reg = &s->b->regs[s->values[o].reg];
        for (int i = 0; o != v && s->values[o].file == s->values[v].file && i < reg->n_allowed;
             i++) {
            int m = 32 * o + reg->allowed[i];
            if (wi_isa_overlap(r.unit, r.n_units, c->range[m].unit, c->range[m].n_units) &&
                registers_clash(c, v, r, o, c->range[m]))
                c->blocked[m] += on ? 1 : -1;
        }
    }
}

static void find_ranges(struct coloring *c) {
    for (int v = 0; v < (int)c->s->n_values; v++) {
        const struct wi_ir_reg *reg = &c->s->b->regs[c->s->values[v].reg];
        struct wi_vreg whole = {(int16_t)c->s->values[v].reg, 0, reg->family};
        for (int i = 0; i < reg->n_allowed; i++) {
            int m = 32 * v + reg->allowed[i];
            struct wi_isa_range range[2];
            wi_isa_units(wi_ir_physical(c->s->b, whole, reg->allowed[i]), range);
            c->range[m] = range[0];
            for (int u = 0; u < range[0].n_units; u++)
                c->blocked[m] += c->s->taken[range[0].unit + u];
        }
    }
}

/* The value without a register that has the fewest left; -1: all have one. */
static int next_value(const struct coloring *c) {
    int best = -1, best_n = INT_MAX;
    for (int v = 0; v < (int)c->s->n_values; v++) {
        const struct wi_ir_reg *reg = &c->s->b->regs[c->s->values[v].reg];
        int n = c->s->number[v] < 0 ? 0 : INT_MAX;
        for (int i = 0; n != INT_MAX && i < reg->n_allowed; i++)
            n += c->blocked[32 * v + reg->allowed[i]] == 0;
        if (n < best_n) {
            best_n = n;
            best = v;
        }
    }
    return best;
}

static bool color(struct coloring *c) {
    int v = next_value(c);
    if (v < 0)
        return true;
    const struct wi_ir_reg *reg = &c->s->b->regs[c->s->values[v].reg];
    for (int i = 0; i < reg->n_allowed; i++) {
        if (c->blocked[32 * v + reg->allowed[i]])
            continue;
        if (++c->steps > MAX_STEPS)
            return false;
        take(c, v, reg->allowed[i], true);
        if (color(c))
            return true;
        take(c, v, reg->allowed[i], false);
    }
    return false;
}

bool wi_sched_color(struct wi_sched *s) {
    size_t n = s->n_values;
    struct coloring c = {.s = s};
    c.spans = wi_calloc(8 * n + 1, sizeof *c.spans);
    c.clash = wi_calloc(64 * n * n + 1, sizeof *c.clash);
    c.range = wi_calloc(32 * n + 1, sizeof *c.range);
    c.blocked = wi_calloc(32 * n + 1, sizeof *c.blocked);
    bool ok = c.spans && c.clash && c.range && c.blocked;
    s->failed |= !ok;
    if (ok) {
        for (size_t v = 0; v < n; v++)
            s->number[v] = -1;
        find_clashes(&c);
        find_ranges(&c);
        ok = color(&c);
    }
    wi_free(c.spans);
    wi_free(c.clash);
    wi_free(c.range);
    wi_free(c.blocked);
    return ok;
}

/* From a schedule that ignores registers to one that fits them: operations move and trade places,
 * first boldly and then only for the better (simulated annealing).  What counts are edges kept too
 * short, resources used twice, and units of registers beyond those there are. */
#include <limits.h>
#include <string.h>

#include "base/mem.h"
#include "npu/asm/sched.h"

enum {
    SHORT = 24,       /* cost of a bundle that an edge lacks */
    CLASH = 48,       /* of a resource used twice */
    BEYOND = 16,      /* of a unit beyond the file for a bundle */
    HOT = 400,        /* 16 x the cost that is accepted every other time at first */
    WARM = HOT / 4,   /* the same where there is a schedule to start from */
    COLOR_EVERY = 500 /* moves between attempts to give registers */
};

struct tune {
    struct wi_sched *s;
    struct wi_table table;
    int *live;  /* [WI_N_FILES][cycles] */
    int *place; /* [n_ops]: slot and bundle within the step, as one number */
    long lacking, clashes, beyond, total;
    uint32_t random;
    long last_color;
};

static int wrap(int time, int cycles) {
    int t = time % cycles;
    return t < 0 ? t + cycles : t;
}

static unsigned draw(struct tune *t, unsigned n) {
    t->random ^= t->random << 13;
    t->random ^= t->random >> 17;
    t->random ^= t->random << 5;
    return t->random % n;
}

/* ---------------------------------------------------------------- the cost */

/* From the first landing to the last read; carried values are live always. */
static void count_live(struct tune *x, const struct wi_value *v, int unit, int sign) {
    const struct wi_sched *s = x->s;
    int room = s->room[v->file][unit % 2];
    int *live = x->live + (2 * v->file + unit % 2) * s->cycles;
    int first = INT_MAX, last = INT_MIN;
    for (int i = 0; i < v->n_touches; i++) {
        const struct wi_touch *t = &s->touches[v->first_touch + i];
        int at = s->time[t->op] + t->at;
        if (t->unit != unit)
            continue;
        first = t->write && at < first ? at : first;
        last = at > last ? at : last;
    }
    if (last == INT_MIN)
        return;
    if (v->carried || last - first >= s->cycles) {
        first = 0;
        last = s->cycles - 1;
    }
    int at = wrap(first, s->cycles);
    for (int left = last - first + 1; left > 0; left--) {
        x->beyond += sign > 0 ? live[at] >= room : -(live[at] > room);
        live[at] += sign;
        at = at + 1 < s->cycles ? at + 1 : 0;
    }
    x->total += sign * (last - first + 1);
}

static void count_value(struct tune *t, const struct wi_value *v, int sign) {
    for (int unit = 0; v->file != WI_FILE_SCALAR && unit < v->n_units; unit++)
        count_live(t, v, unit, sign);
}

int wi_sched_overflow(struct wi_sched *s) {
    struct tune t = {.s = s};
    t.live = wi_calloc((size_t)(2 * WI_N_FILES * s->cycles) + 1, sizeof(int));
    for (size_t v = 0; t.live && v < s->n_values; v++)
        count_value(&t, &s->values[v], 1);
    s->failed |= !t.live;
    wi_free(t.live);
    return (int)t.beyond;
}

/* Bundles between an operation and those that it may have. */
static int outside(const struct wi_sched *s, int op) {
    bool anywhere = !s->late || wi_only_registers(s->b->ops[s->first_op + op].id[0]);
    int time = s->time[op], first = anywhere ? 0 : s->most + 1 - s->cycles;
    if (s->most == 0)
        return 0;
    return time < first ? first - time : time > s->most ? time - s->most : 0;
}

static long lacking(const struct wi_sched *s, int op) {
    long n = outside(s, op);
    for (int i = s->edge_start[op]; i < s->edge_start[op + 1]; i++) {
        const struct wi_edge *d = &s->edges[s->edge_list[i]];
        int lack = s->time[d->from] + d->lat - s->cycles * d->dist - s->time[d->to];
        n += lack > 0 ? lack : 0;
    }
    return n;
}

static long cost(const struct tune *t) {
    return SHORT * t->lacking + CLASH * t->clashes + BEYOND * t->beyond + t->total / 4;
}

/* Of values that live always nothing changes. */
static void recount(struct tune *t, const struct wi_value *v, int sign) {
    if (!v->carried)
        count_value(t, v, sign);
}

static int place_of(const struct wi_sched *s, int op, int alt, int time) {
    int slot = wi_isa_info(s->b->ops[s->first_op + op].id[alt])->slot;
    return slot * s->cycles + wrap(time, s->cycles);
}

static void put(struct tune *t, int op, int time, int alt) {
    struct wi_sched *s = t->s;
    const struct wi_alt *old = &s->alt[op][s->chosen[op]], *new = &s->alt[op][alt];
    int n = s->value_start[op + 1];
    t->lacking -= lacking(s, op);
    wi_table_add(&t->table, old, s->time[op], -1);
    t->clashes -= wi_table_clashes(&t->table, old, s->time[op]);
    for (int i = s->value_start[op]; i < n; i++)
        recount(t, &s->values[s->value_list[i]], -1);
    s->time[op] = time;
    s->chosen[op] = alt;
    t->place[op] = place_of(s, op, alt, time);
    for (int i = s->value_start[op]; i < n; i++)
        recount(t, &s->values[s->value_list[i]], 1);
    t->clashes += wi_table_clashes(&t->table, new, time);
    wi_table_add(&t->table, new, time, 1);
    t->lacking += lacking(s, op);
}

/* ---------------------------------------------------------------- moves */

/* The bundles that an operation's edges leave it. */
static void window(const struct wi_sched *s, int op, int *lo, int *hi) {
    *lo = s->time[op] - s->cycles;
    *hi = s->time[op] + s->cycles;
    if (s->most) {
        *lo = *lo > 0 ? *lo : 0;
        *hi = *hi < s->most ? *hi : s->most;
    }
    for (int i = s->edge_start[op]; i < s->edge_start[op + 1]; i++) {
        const struct wi_edge *d = &s->edges[s->edge_list[i]];
        int lat = d->lat - s->cycles * d->dist;
        if (d->to == op && d->from != op && s->time[d->from] + lat > *lo)
            *lo = s->time[d->from] + lat;
        if (d->from == op && d->to != op && s->time[d->to] - lat < *hi)
            *hi = s->time[d->to] - lat;
    }
}

/* An operation of the same slot that stands where `op` wants to go, -1: none. */
static int occupant(const struct tune *t, int op, int alt, int time) {
    int place = place_of(t->s, op, alt, time);
    for (int i = 0; i < t->s->n_ops; i++)
        if (t->place[i] == place && i != op)
            return i;
    return -1;
}

struct move {
    int op, time, alt; /* what to undo */
};

/* Apply a random move; returns how many operations it moved. */
static int try_move(struct tune *t, struct move undo[2]) {
    struct wi_sched *s = t->s;
    int op = (int)draw(t, (unsigned)s->n_ops), lo, hi;
    int alt = (int)draw(t, (unsigned)s->n_alts[op]), old = s->time[op];
    window(s, op, &lo, &hi);
    if (hi < lo || draw(t, 8) == 0) {
        lo = old - s->cycles / 2;
        hi = old + s->cycles / 2;
    }
    int time = lo + (int)draw(t, (unsigned)(hi - lo + 1));
    int other = occupant(t, op, alt, time);
    undo[0] = (struct move){op, old, s->chosen[op]};
    put(t, op, time, alt);
    if (other < 0)
        return 1;
    int back = wrap(old - time, s->cycles) - (draw(t, 2) ? s->cycles : 0);
    undo[1] = (struct move){other, s->time[other], s->chosen[other]};
    put(t, other, s->time[other] + back, s->chosen[other]);
    return 2;
}

/* With a probability that halves for every `heat` / 16 that a move is worse. */
static bool accept(struct tune *t, long worse, long heat) {
    if (worse <= 0)
        return true;
    uint32_t bits = draw(t, UINT32_MAX);
    long halvings = __builtin_clz(bits | 1);
    return 256 * worse <= heat * (16 * halvings + (long)(bits % 16));
}

static bool tune_init(struct tune *t, struct wi_sched *s, unsigned seed) {
    t->s = s;
    t->random = seed * 2654435761u + 12345;
    t->live = wi_calloc((size_t)(2 * WI_N_FILES * s->cycles), sizeof(int));
    t->place = wi_calloc((size_t)s->n_ops + 1, sizeof(int));
    s->failed |= !wi_table_init(&t->table, s->cycles) || !t->live || !t->place;
    if (s->failed)
        return false;
    for (int op = 0; op < s->n_ops; op++) {
        const struct wi_alt *a = &s->alt[op][s->chosen[op]];
        t->place[op] = place_of(s, op, s->chosen[op], s->time[op]);
        t->clashes += wi_table_clashes(&t->table, a, s->time[op]);
        wi_table_add(&t->table, a, s->time[op], 1);
    }
    for (size_t e = 0; e < s->n_edges; e++) {
        const struct wi_edge *d = &s->edges[e];
        int lack = s->time[d->from] + d->lat - s->cycles * d->dist - s->time[d->to];
        t->lacking += lack > 0 ? lack : 0;
    }
    for (int op = 0; op < s->n_ops; op++)
        t->lacking += outside(s, op);
    for (size_t v = 0; v < s->n_values; v++)
        count_value(t, &s->values[v], 1);
    return true;
}

/* The heat falls to about a 13th. */
static bool anneal(struct tune *t, long moves) {
    long heat = t->s->most ? WARM : HOT;
    for (long i = 0; i < moves; i++) {
        struct move undo[2];
        t->s->tries++;
        long before = cost(t);
        int n = try_move(t, undo);
        heat -= i % (moves / 660 + 1) == 0 ? (heat + 255) / 256 : 0;
        if (!accept(t, cost(t) - before, heat))
            while (n-- > 0)
                put(t, undo[n].op, undo[n].time, undo[n].alt);
        if (t->lacking || t->clashes || t->beyond || i < t->last_color)
            continue;
        t->last_color = i + COLOR_EVERY;
        if (wi_sched_color(t->s))
            return true;
        if (t->s->failed)
            return false;
    }
    return false;
}

bool wi_sched_tune(struct wi_sched *s, unsigned seed, long moves) {
    struct tune t = {0};
    bool ok = tune_init(&t, s, seed) && anneal(&t, moves);
    wi_table_fini(&t.table);
    wi_free(t.live);
    wi_free(t.place);
    return ok;
}

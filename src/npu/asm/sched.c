#include "npu/asm/sched.h"

#include <limits.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "npu/asm/known.h"

enum {
    MAX_CYCLES = 512,  /* of a step */
    SEEDS = 16,        /* starts of the search for one number of cycles */
    TRIES_PER_OP = 60, /* placements before a start is given up */
    MOVES = 400 * 1000 /* changes that a start may take to fit the registers */
};

/* ---------------------------------------------------------------- resources in use */

bool wi_table_init(struct wi_table *t, int cycles) {
    t->cycles = cycles;
    t->strong = wi_calloc((size_t)cycles * WI_N_RES, 1);
    t->weak = wi_calloc((size_t)cycles * WI_N_RES, 1);
    return t->strong && t->weak;
}

void wi_table_fini(struct wi_table *t) {
    wi_free(t->strong);
    wi_free(t->weak);
}

static int wrap(int time, int cycles) {
    int t = time % cycles;
    return t < 0 ? t + cycles : t;
}

/* The entry of a use, k bundles after it begins at `start` = wrap(time). */
static int entry(const struct wi_table *t, const struct wi_use *u, int start, int k) {
    int at = start + k;
    while (at >= t->cycles)
        at -= t->cycles;
    return at * WI_N_RES + u->res;
}

void wi_table_add(struct wi_table *t, const struct wi_alt *a, int time, int sign) {
    int start = wrap(time, t->cycles);
    for (int i = 0; i < a->n; i++)
        for (int k = a->use[i].first; k <= a->use[i].last; k++) {
            uint8_t *n = (a->use[i].weak ? t->weak : t->strong) + entry(t, &a->use[i], start, k);
            *n = (uint8_t)(*n + sign);
        }
}

int wi_table_clashes(const struct wi_table *t, const struct wi_alt *a, int time) {
    int n = 0, start = wrap(time, t->cycles);
    for (int i = 0; i < a->n; i++)
        for (int k = a->use[i].first; k <= a->use[i].last; k++) {
            int at = entry(t, &a->use[i], start, k);
            n += t->strong[at] + (a->use[i].weak ? 0 : t->weak[at]);
        }
    return n;
}

/* The first alternative without a clash, -1: none. */
static int free_alt(const struct wi_sched *s, const struct wi_table *t, int op, int time) {
    for (int k = 0; k < s->n_alts[op]; k++)
        if (wi_table_clashes(t, &s->alt[op][k], time) == 0)
            return k;
    return -1;
}

/* ---------------------------------------------------------------- bounds */

static const char *res_name(int res) {
    static const char *const banks[] = {"bank 0", "bank 1", "bank 2", "bank 3"};
    if (res < WI_N_SLOTS)
        return wi_isa_slot_info((unsigned)res)->name;
    return res < WI_RES_BANK ? wi_isa_port_name((unsigned)(res - WI_N_SLOTS))
                             : banks[res - WI_RES_BANK];
}

/* Cycles for which every alternative of an operation holds a resource. */
static int least_use(const struct wi_sched *s, int op, int res) {
    int least = INT_MAX;
    for (int k = 0; k < s->n_alts[op]; k++) {
        int n = 0;
        for (int i = 0; i < s->alt[op][k].n; i++) {
            const struct wi_use *u = &s->alt[op][k].use[i];
            n += u->res == res && !u->weak ? u->last - u->first + 1 : 0;
        }
        least = n < least ? n : least;
    }
    return least;
}

static void resource_bound(struct wi_sched *s) {
    int loads = 0;
    s->bound = 1;
    s->limit = "nothing";
    for (int res = 0; res < WI_N_RES; res++) {
        int n = 0;
        for (int op = 0; op < s->n_ops; op++)
            n += least_use(s, op, res);
        if (n > s->bound) {
            s->bound = n;
            s->limit = res_name(res);
        }
    }
    for (int op = 0; op < s->n_ops; op++) {
        bool load = s->n_alts[op] > 0;
        for (int k = 0; k < s->n_alts[op]; k++) {
            unsigned slot = wi_isa_info(s->b->ops[s->first_op + op].id[k])->slot;
            load = load && (slot == WI_SLOT_LDA || slot == WI_SLOT_LDB);
        }
        loads += load;
    }
    if ((loads + 1) / 2 > s->bound) {
        s->bound = (loads + 1) / 2;
        s->limit = "load slots";
    }
}

/* Earliest times by the edges alone; false: a cycle of them is too long for `cycles`. */
static bool earliest(const struct wi_sched *s, int *time) {
    memset(time, 0, (size_t)s->n_ops * sizeof *time);
    for (int round = 0; round <= s->n_ops; round++) {
        bool changed = false;
        for (size_t e = 0; e < s->n_edges; e++) {
            const struct wi_edge *d = &s->edges[e];
            int least = time[d->from] + d->lat - s->cycles * d->dist;
            if (time[d->to] < least) {
                time[d->to] = least;
                changed = true;
            }
        }
        if (!changed)
            return true;
    }
    return false;
}

static void recurrence_bound(struct wi_sched *s) {
    for (s->cycles = s->bound; s->cycles < MAX_CYCLES && !earliest(s, s->time); s->cycles++) {
        s->bound = s->cycles + 1;
        s->limit = "recurrence";
    }
}

int wi_sched_chain(const struct wi_sched *s) {
    int *time = wi_malloc((size_t)s->n_ops + 1, sizeof *time), last = 0;
    if (!time)
        return -1;
    earliest(s, time);
    for (int i = 0; i < s->n_ops; i++)
        last = time[i] > last ? time[i] : last;
    wi_free(time);
    return last;
}

void wi_sched_bound(struct wi_sched *s) {
    resource_bound(s);
    recurrence_bound(s);
}

/* ---------------------------------------------------------------- placing operations one by one */

/* Bundles that a table of what is taken has: a step, or a straight line with much room. */
static int horizon(const struct wi_sched *s) {
    return s->cycles ? s->cycles : 24 * s->n_ops + 64;
}

struct placing {
    struct wi_sched *s;
    struct wi_table table;
    int *height, *last; /* [n_ops]: urgency; time of the last placement */
    bool *placed;
    int n_placed;
};

static uint32_t next_random(uint32_t *x) {
    *x ^= *x << 13;
    *x ^= *x >> 17;
    return *x ^= *x << 5;
}

/* The longest way to the end of the step, with some noise from the seed. */
static void find_heights(struct placing *p, unsigned seed) {
    const struct wi_sched *s = p->s;
    uint32_t random = seed * 2654435761u + 1;
    for (int i = 0; i < s->n_ops; i++)
        p->height[i] = seed ? (int)(next_random(&random) % (seed + 2)) : 0;
    for (int round = 0; round < s->n_ops; round++) {
        bool changed = false;
        for (size_t e = 0; e < s->n_edges; e++) {
            const struct wi_edge *d = &s->edges[e];
            int least = p->height[d->to] + d->lat - s->cycles * d->dist;
            if (p->height[d->from] < least) {
                p->height[d->from] = least;
                changed = true;
            }
        }
        if (!changed)
            break;
    }
}

static int most_urgent(const struct placing *p) {
    int best = -1;
    for (int i = 0; i < p->s->n_ops; i++)
        if (!p->placed[i] && (best < 0 || p->height[i] > p->height[best]))
            best = i;
    return best;
}

static int earliest_of(const struct placing *p, int op) {
    const struct wi_sched *s = p->s;
    int t = 0;
    for (int i = s->edge_start[op]; i < s->edge_start[op + 1]; i++) {
        const struct wi_edge *d = &s->edges[s->edge_list[i]];
        if (d->to == op && d->from != op && p->placed[d->from]) {
            int least = s->time[d->from] + d->lat - s->cycles * d->dist;
            t = least > t ? least : t;
        }
    }
    return t;
}

static void unplace(struct placing *p, int op) {
    wi_table_add(&p->table, &p->s->alt[op][p->s->chosen[op]], p->s->time[op], -1);
    p->placed[op] = false;
    p->n_placed--;
}

/* Whoever is in the way of an operation at a time goes. */
static void make_room(struct placing *p, int op) {
    struct wi_sched *s = p->s;
    const struct wi_alt *a = &s->alt[op][s->chosen[op]];
    for (int i = 0; i < s->n_ops && wi_table_clashes(&p->table, a, s->time[op]); i++) {
        int before = wi_table_clashes(&p->table, a, s->time[op]);
        if (!p->placed[i] || i == op)
            continue;
        const struct wi_alt *other = &s->alt[i][s->chosen[i]];
        wi_table_add(&p->table, other, s->time[i], -1);
        bool guilty = wi_table_clashes(&p->table, a, s->time[op]) < before;
        wi_table_add(&p->table, other, s->time[i], 1);
        if (guilty)
            unplace(p, i);
    }
    for (int i = s->edge_start[op]; i < s->edge_start[op + 1]; i++) {
        const struct wi_edge *d = &s->edges[s->edge_list[i]];
        int other = d->from == op ? d->to : d->from;
        if (other != op && p->placed[other] &&
            s->time[d->to] < s->time[d->from] + d->lat - s->cycles * d->dist)
            unplace(p, other);
    }
}

static void place(struct placing *p, int op) {
    struct wi_sched *s = p->s;
    int first = earliest_of(p, op), alt = -1, t = first;
    for (; t < first + p->table.cycles && alt < 0; t++)
        alt = free_alt(s, &p->table, op, t);
    if (alt >= 0) {
        t--;
    } else {
        t = first > p->last[op] ? first : p->last[op] + 1;
        alt = 0;
    }
    s->time[op] = t;
    s->chosen[op] = alt;
    p->last[op] = t;
    make_room(p, op);
    wi_table_add(&p->table, &s->alt[op][alt], t, 1);
    p->placed[op] = true;
    p->n_placed++;
}

bool wi_sched_place(struct wi_sched *s, unsigned seed) {
    struct placing p = {.s = s};
    size_t n = (size_t)s->n_ops;
    p.height = wi_calloc(n + 1, sizeof(int));
    p.last = wi_malloc(n + 1, sizeof(int));
    p.placed = wi_calloc(n + 1, sizeof(bool));
    bool ok = wi_table_init(&p.table, horizon(s)) && p.height && p.last && p.placed;
    s->failed |= !ok;
    if (ok) {
        for (size_t i = 0; i < n; i++)
            p.last[i] = -1;
        find_heights(&p, seed);
        for (int left = TRIES_PER_OP * s->n_ops; p.n_placed < s->n_ops && left > 0; left--)
            place(&p, most_urgent(&p));
        s->tries++;
        ok = p.n_placed == s->n_ops;
    }
    wi_table_fini(&p.table);
    wi_free(p.height);
    wi_free(p.last);
    wi_free(p.placed);
    return ok;
}

/* ---------------------------------------------------------------- the three ways */

static void start_at_zero(struct wi_sched *s) {
    int first = INT_MAX;
    for (int i = 0; i < s->n_ops; i++)
        first = s->time[i] < first ? s->time[i] : first;
    for (int i = 0; i < s->n_ops; i++)
        s->time[i] -= first;
}

/* Bundles until all results of an operation have landed, its ports are free and its memory access
 * is done, also for who takes over by a lock. */
static int finish_time(const struct wi_build *b, const struct wi_ir_op *op) {
    enum { TAKE_OVER = 2 };
    struct wi_ir_access a[WI_IR_MAX_ACCESSES];
    struct wi_isa_port_use port[WI_ISA_MAX_PORTS];
    struct wi_isa_op sample = wi_ir_sample(b, op->id[0], op->arg);
    const struct wi_isa_timing_info *t = wi_isa_timing_info(wi_isa_info(op->id[0])->timing);
    int n = wi_ir_accesses(b, op, a), n_ports = wi_isa_ports(&sample, port), last = 1;
    for (int i = 0; i < n_ports; i++)
        last = port[i].last > last ? port[i].last : last;
    for (int i = 0; i < n; i++)
        last = a[i].stage > last ? a[i].stage : last;
    for (int i = 0; i < 2; i++)
        if (t->mem_stage[i] && t->mem_stage[i] + TAKE_OVER > last)
            last = t->mem_stage[i] + TAKE_OVER;
    return last;
}

void wi_sched_serial(struct wi_sched *s) {
    int t = 0;
    for (int i = 0; i < s->n_ops; i++) {
        s->time[i] = t;
        s->chosen[i] = 0;
        t += finish_time(s->b, &s->b->ops[s->first_op + i]);
    }
    s->bound = s->cycles = s->cycles ? (t > 8 ? t : 8) : 0;
    s->limit = "serial";
}

/* Whether everything that an operation reads and writes in vectors and accumulators are values that
 * it begins: moved to a later place it keeps registers free and takes none. */
static bool only_begins(const struct wi_sched *s, int op) {
    bool writes = false;
    for (int i = s->value_start[op]; i < s->value_start[op + 1]; i++) {
        const struct wi_value *v = &s->values[s->value_list[i]];
        for (int k = 0; k < v->n_touches && v->file != WI_FILE_SCALAR; k++) {
            const struct wi_touch *t = &s->touches[v->first_touch + k];
            writes |= t->op == op && t->write;
            if (t->op == op && !t->write)
                return false;
        }
    }
    return writes;
}

/* The last bundle that those who wait for an operation leave it. */
static int latest_of(const struct wi_sched *s, int op) {
    int t = INT_MAX;
    for (int i = s->edge_start[op]; i < s->edge_start[op + 1]; i++) {
        const struct wi_edge *d = &s->edges[s->edge_list[i]];
        int latest = s->time[d->to] + s->cycles * d->dist - d->lat;
        if (d->from == op && d->to != op && latest < t)
            t = latest;
    }
    return t;
}

/* Loads and constants from as early as possible to as late as possible. */
static bool sink(struct wi_sched *s) {
    struct wi_table table;
    bool ok = wi_table_init(&table, horizon(s));
    s->failed |= !ok;
    for (int i = 0; ok && i < s->n_ops; i++)
        wi_table_add(&table, &s->alt[i][s->chosen[i]], s->time[i], 1);
    for (int op = s->n_ops - 1; ok && op >= 0; op--) {
        int latest = latest_of(s, op), alt = -1;
        if (latest == INT_MAX || latest <= s->time[op] || !only_begins(s, op))
            continue;
        wi_table_add(&table, &s->alt[op][s->chosen[op]], s->time[op], -1);
        for (int t = latest; alt < 0; t--) {
            alt = free_alt(s, &table, op, t);
            s->time[op] = t;
        }
        s->chosen[op] = alt;
        wi_table_add(&table, &s->alt[op][alt], s->time[op], 1);
    }
    wi_table_fini(&table);
    return ok;
}

int wi_sched_line(struct wi_sched *s, struct wisp_error *err) {
    bool placed = wi_sched_place(s, 0);
    bool fits = placed && (wi_sched_color(s) || (sink(s) && wi_sched_color(s)));
    if (s->failed)
        return wi_err_nomem(err, "a schedule");
    if (!placed)
        return wi_err_set(err, WISP_E_INTERNAL, "a straight line of %d operations has no schedule",
                          s->n_ops);
    return fits ? WISP_OK
                : wi_err_set(err, WISP_E_UNSUPPORTED,
                             "a straight line of %d operations needs more registers than there are",
                             s->n_ops);
}

static bool fits(struct wi_sched *s) {
    return wi_sched_overflow(s) == 0 && wi_sched_color(s);
}

/* Bundles from the first to the last operation. */
static int span(const struct wi_sched *s) {
    int first = INT_MAX, last = 0;
    for (int i = 0; i < s->n_ops; i++) {
        first = s->time[i] < first ? s->time[i] : first;
        last = s->time[i] > last ? s->time[i] : last;
    }
    return last - first + 1;
}

/* Steps one after the other need no search: placed as a line, with the edges to the next step. */
static int schedule_apart(struct wi_sched *s, struct wisp_error *err) {
    earliest(s, s->time);
    if (span(s) > s->bound) {
        s->bound = span(s);
        s->limit = "chain";
    }
    for (s->cycles = s->bound; s->cycles < MAX_CYCLES; s->cycles++) {
        bool placed =
            wi_sched_place(s, 0) && span(s) <= s->cycles && (fits(s) || (sink(s) && fits(s)));
        if (s->failed)
            return wi_err_nomem(err, "a schedule");
        if (placed) {
            start_at_zero(s);
            return WISP_OK;
        }
    }
    return wi_err_set(err, WISP_E_UNSUPPORTED, "a loop of %d operations has no schedule", s->n_ops);
}

/* At s->cycles, registers included. */
static bool search(struct wi_sched *s, long moves) {
    for (unsigned seed = 0; seed < SEEDS && !s->failed; seed++) {
        bool placed = wi_sched_place(s, seed);
        if (!placed)
            earliest(s, s->time); /* all edges long enough, resources left to the tuning */
        if ((placed && fits(s)) || wi_sched_tune(s, seed, moves)) {
            start_at_zero(s);
            return true;
        }
    }
    return false;
}

struct result {
    int *time, *chosen, *number;
};

static void copy_result(const struct wi_sched *s, struct result to, struct result from) {
    memcpy(to.time, from.time, (size_t)s->n_ops * sizeof(int));
    memcpy(to.chosen, from.chosen, (size_t)s->n_ops * sizeof(int));
    memcpy(to.number, from.number, s->n_values * sizeof(int));
}

/* From a schedule to shorter ones while there are some: as many bundles, and fewer of code, fill
 * and drain the loop. */
static void shorten(struct wi_sched *s, long moves) {
    struct result now = {s->time, s->chosen, s->number};
    struct result best = {wi_malloc((size_t)s->n_ops + 1, sizeof(int)),
                          wi_malloc((size_t)s->n_ops + 1, sizeof(int)),
                          wi_malloc(s->n_values + 1, sizeof(int))};
    s->failed |= !best.time || !best.chosen || !best.number;
    for (bool found = true; found && !s->failed;) {
        copy_result(s, best, now);
        s->most = span(s) - (s->late && !s->most ? 1 : 2); /* at first it is enough to be late */
        found = false;
        bool possible = s->most > 0 && s->most >= wi_sched_chain(s);
        for (unsigned seed = 0; possible && !found && seed < SEEDS && !s->failed; seed++) {
            copy_result(s, now, best);
            found = wi_sched_tune(s, seed, moves);
        }
        start_at_zero(s);
    }
    if (!s->failed)
        copy_result(s, now, best);
    wi_free(best.time);
    wi_free(best.chosen);
    wi_free(best.number);
}

int wi_sched_loop(struct wi_sched *s, const struct wi_loop *loop, struct wisp_error *err) {
    bool longer = s->b->moves && (!s->b->only || strcmp(s->b->only, loop->name) == 0);
    long moves = longer ? s->b->moves / SEEDS : loop->moves ? loop->moves / SEEDS : MOVES;
    wi_sched_bound(s);
    if (loop->apart && !s->failed)
        return schedule_apart(s, err);
    if (!longer && wi_sched_known(s, MAX_CYCLES))
        return WISP_OK;
    if (s->failed)
        return wi_err_nomem(err, "a schedule");
    bool found = false;
    for (s->cycles = s->bound; !found && !s->failed && s->cycles < MAX_CYCLES; s->cycles++)
        found = (longer && wi_sched_known(s, s->cycles + 1)) || search(s, moves);
    s->cycles--;
    s->late = loop->overrun && !loop->blocks.id;
    if (found && longer)
        shorten(s, moves);
    if (s->failed)
        return wi_err_nomem(err, "a schedule");
    if (found)
        return WISP_OK;
    return wi_err_set(err, WISP_E_UNSUPPORTED, "a loop of %d operations has no schedule", s->n_ops);
}

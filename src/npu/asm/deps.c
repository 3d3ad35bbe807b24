/* A region of a routine as a scheduling problem. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "npu/asm/sched.h"

/* Bundles between the last access and the release of a lock: stores as docs/npu-proof.md has them,
 * loads until they have read memory. */
enum { STORE_TO_RELEASE = 7, LOAD_TO_RELEASE = 5 };
/* The last stage at which a release holds the lock unit. */
enum { RELEASE_STAGE = 5 };

/* ---------------------------------------------------------------- resources */

static void use(struct wi_alt *a, unsigned res, unsigned first, unsigned last, bool weak) {
    if (a->n < WI_MAX_USES)
        a->use[a->n++] = (struct wi_use){(uint8_t)res, (uint8_t)first, (uint8_t)last, weak};
}

static void add_uses(const struct wi_build *b, const struct wi_ir_op *op, unsigned id,
                     const struct wi_arg *args, struct wi_alt *a) {
    struct wi_isa_op sample = wi_ir_sample(b, id, args);
    const struct wi_isa_info *info = wi_isa_info(id);
    struct wi_isa_port_use port[WI_ISA_MAX_PORTS];
    int n = wi_isa_ports(&sample, port);
    for (int i = 0; i < n; i++)
        use(a, WI_N_SLOTS + port[i].port, port[i].first - 1u, port[i].last - 1u, port[i].weak);
    unsigned stage = wi_isa_timing_info(info->timing)->mem_stage[0];
    for (unsigned bank = 0; op->banks && bank < 4; bank++)
        if (op->banks >> bank & 1)
            use(a, WI_RES_BANK + bank, stage - 1, stage - 1, false);
    if (info->slot == WI_SLOT_LNG) {
        use(a, WI_SLOT_ALU, 0, 0, false);
        use(a, WI_SLOT_MV, 0, 0, false);
    } else {
        use(a, info->slot, 0, 0, false);
    }
}

/* The same operation in its two forms occupies what either does. */
static void add_first_uses(const struct wi_build *b, const struct wi_ir_op *op, struct wi_alt *a) {
    struct wi_alt first = {.n = 0};
    add_uses(b, op, op->first_id, op->first_arg, &first);
    for (int i = 0; i < first.n; i++) {
        bool there = false;
        for (int j = 0; j < a->n; j++)
            there |= memcmp(&a->use[j], &first.use[i], sizeof first.use[i]) == 0;
        if (!there)
            use(a, first.use[i].res, first.use[i].first, first.use[i].last, first.use[i].weak);
    }
}

/* No memory access shares its bundle with an acquire. */
static void keep_acquires_alone(struct wi_sched *s) {
    bool some = false;
    for (int i = 0; i < s->n_ops; i++)
        some |= wi_is_acquire(s->b->ops[s->first_op + i].id[0]);
    for (int i = 0; some && i < s->n_ops; i++) {
        const struct wi_ir_op *op = &s->b->ops[s->first_op + i];
        for (int k = 0; k < op->n_alts; k++)
            if (op->banks || wi_is_acquire(op->id[0]))
                use(&s->alt[i][k], WI_RES_WAIT, 0, 0, op->banks != 0);
    }
}

static void find_uses(struct wi_sched *s) {
    for (int i = 0; i < s->n_ops; i++) {
        const struct wi_ir_op *op = &s->b->ops[s->first_op + i];
        s->n_alts[i] = op->n_alts;
        for (int k = 0; k < op->n_alts; k++)
            add_uses(s->b, op, op->id[k], op->arg, &s->alt[i][k]);
        if (op->first_id)
            add_first_uses(s->b, op, &s->alt[i][0]);
    }
    keep_acquires_alone(s);
}

/* ---------------------------------------------------------------- touches */

/* All accesses of the region, sorted by what they touch and then by the order of the program. */
struct touch {
    int key;
    struct wi_touch t;
};
struct touches {
    struct touch *v;
    size_t n, max;
};

static int by_key(const void *a, const void *b) {
    const struct touch *x = a, *y = b;
    if (x->key != y->key)
        return x->key - y->key;
    if (x->t.op != y->t.op)
        return x->t.op - y->t.op;
    return x->t.write - y->t.write; /* an operation reads before it writes */
}

static bool find_touches(const struct wi_sched *s, struct touches *all) {
    struct wi_ir_access a[WI_IR_MAX_ACCESSES];
    for (int i = 0; i < s->n_ops; i++) {
        int n = wi_ir_accesses(s->b, &s->b->ops[s->first_op + i], a);
        if (!wi_grow(&all->v, &all->max, all->n + (size_t)n, sizeof *all->v))
            return false;
        for (int k = 0; k < n; k++)
            all->v[all->n++] =
                (struct touch){a[k].key,
                               {.op = i,
                                .at = (int8_t)(a[k].write ? a[k].stage : a[k].stage - 1),
                                .unit = (uint8_t)(a[k].key < WI_IR_FIXED ? a[k].key % 8 : 0),
                                .bypass = a[k].bypass,
                                .when = a[k].when,
                                .write = a[k].write}};
    }
    if (all->n)
        qsort(all->v, all->n, sizeof *all->v, by_key);
    return true;
}

/* ---------------------------------------------------------------- edges */

static bool add_edge(struct wi_sched *s, int from, int to, int lat, int dist) {
    if (dist > 0 && s->cycles == 0)
        return true;
    if (from == to && dist == 0)
        return true;
    if (!wi_grow(&s->edges, &s->max_edges, s->n_edges + 1, sizeof *s->edges))
        return false;
    s->edges[s->n_edges++] = (struct wi_edge){from, to, lat, dist};
    return true;
}

/* Least distance of two touches of one thing of which `a` comes first.  A result that nobody reads
 * before the next one issues before it, too: everybody else would take that for a mistake. */
static int distance(const struct wi_touch *a, const struct wi_touch *b, bool unread) {
    if (a->write && b->write) {
        int lat = a->at - b->at + 1;
        return unread && lat < 1 ? 1 : lat;
    }
    return a->write ? wi_sees(a, b) : 1 - wi_sees(b, a);
}

/* Whether a later touch hides everything before it. */
static bool hides(const struct wi_touch *t) {
    return t->write && t->when == WI_EVERY_STEP;
}

/* Edges from touch i to what comes after it, once around the loop. */
static bool edges_from(struct wi_sched *s, const struct touch *v, int n, int i) {
    bool unread = true;
    for (int k = 1; k <= n; k++) {
        const struct wi_touch *a = &v[i].t, *b = &v[(i + k) % n].t;
        int dist = i + k >= n;
        if ((a->write || b->write) && !add_edge(s, a->op, b->op, distance(a, b, unread), dist))
            return false;
        unread = unread && (b->write || b->when != WI_EVERY_STEP);
        if (hides(b) && b->op != a->op)
            break;
    }
    return true;
}

static bool register_edges(struct wi_sched *s, const struct touches *all) {
    for (size_t begin = 0, end; begin < all->n; begin = end) {
        bool written = false;
        for (end = begin; end < all->n && all->v[end].key == all->v[begin].key; end++)
            written |= all->v[end].t.write;
        for (size_t i = begin; written && i < end; i++)
            if (!edges_from(s, all->v + begin, (int)(end - begin), (int)(i - begin)))
                return false;
    }
    return true;
}

/* The stage of an operation's last memory access, 0: none. */
static int memory_stage(const struct wi_isa_info *info) {
    const struct wi_isa_timing_info *t = wi_isa_timing_info(info->timing);
    return t->mem_stage[1] ? t->mem_stage[1] : t->mem_stage[0];
}

bool wi_is_acquire(unsigned id) {
    return id == WI_OP_ACQ || id == WI_OP_ACQ_IMM;
}

/* Of a lock operation and an access, which it guards or not.  Of stored data the checker knows not
 * who guards it: all of it is in memory when a release takes effect. */
static int guard_distance(struct wi_order x, struct wi_order y, bool x_stores) {
    bool guards = !x.stream || !y.stream || x.stream == y.stream;
    if (x_stores && !wi_is_acquire(y.id))
        return guards ? STORE_TO_RELEASE : memory_stage(wi_isa_info(x.id)) - RELEASE_STAGE + 1;
    return !guards ? WI_NO_ORDER : x.banks && !wi_is_acquire(y.id) ? LOAD_TO_RELEASE : 1;
}

int wi_order_distance(struct wi_order x, struct wi_order y) {
    const struct wi_isa_info *a = wi_isa_info(x.id), *b = wi_isa_info(y.id);
    bool a_stores = a->kind == WI_KIND_STORE || a->kind == WI_KIND_RMW;
    bool b_stores = b->kind == WI_KIND_STORE || b->kind == WI_KIND_RMW;
    if (a->kind == b->kind && (a->kind == WI_KIND_CASCADE || a->kind == WI_KIND_STREAM))
        return a->slot == b->slot ? 1 : WI_NO_ORDER;
    if (a->kind == WI_KIND_LOCK && b->kind == WI_KIND_LOCK)
        return 1;
    if (a->kind == WI_KIND_LOCK || b->kind == WI_KIND_LOCK)
        return x.banks || y.banks ? guard_distance(x, y, a_stores) : WI_NO_ORDER;
    if (!x.banks || !y.banks || x.stream != y.stream || !(a_stores || b_stores))
        return WI_NO_ORDER;
    return memory_stage(a) - memory_stage(b) + (a_stores ? 1 : 0);
}

static struct wi_order order_of(const struct wi_ir_op *op) {
    return (struct wi_order){op->id[0], op->banks, op->stream};
}

/* Of different steps only what is in a queue keeps its order. */
static bool memory_edges(struct wi_sched *s) {
    const struct wi_ir_op *ops = &s->b->ops[s->first_op];
    for (int i = 0; i < s->n_ops; i++)
        for (int j = 0; j < s->n_ops; j++) {
            int dist = i > j, lat = wi_order_distance(order_of(&ops[i]), order_of(&ops[j]));
            bool apart = i == j || (dist && (ops[i].banks || ops[j].banks));
            if (lat != WI_NO_ORDER && !apart && !add_edge(s, i, j, lat, dist))
                return false;
        }
    return true;
}

/* The edges of each operation, for the searches. */
static bool list_edges(struct wi_sched *s) {
    s->edge_start = wi_calloc((size_t)s->n_ops + 2, sizeof(int));
    s->edge_list = wi_calloc(2 * s->n_edges + 1, sizeof(int));
    if (!s->edge_start || !s->edge_list)
        return false;
    for (size_t e = 0; e < s->n_edges; e++) {
        s->edge_start[s->edges[e].from + 2]++;
        if (s->edges[e].from != s->edges[e].to)
            s->edge_start[s->edges[e].to + 2]++;
    }
    for (int i = 0; i < s->n_ops; i++)
        s->edge_start[i + 2] += s->edge_start[i + 1];
    for (size_t e = 0; e < s->n_edges; e++) {
        s->edge_list[s->edge_start[s->edges[e].from + 1]++] = (int)e;
        if (s->edges[e].from != s->edges[e].to)
            s->edge_list[s->edge_start[s->edges[e].to + 1]++] = (int)e;
    }
    return true;
}

static int by_ends(const void *a, const void *b) {
    const struct wi_edge *x = a, *y = b;
    if (x->from != y->from)
        return x->from - y->from;
    if (x->to != y->to)
        return x->to - y->to;
    if (x->dist != y->dist)
        return x->dist - y->dist;
    return y->lat - x->lat;
}

/* Of edges between the same two operations and steps the longest counts. */
static void merge_edges(struct wi_sched *s) {
    size_t n = 0;
    if (s->n_edges)
        qsort(s->edges, s->n_edges, sizeof *s->edges, by_ends);
    for (size_t e = 0; e < s->n_edges; e++) {
        const struct wi_edge *last = n ? &s->edges[n - 1] : NULL, *next = &s->edges[e];
        if (!last || last->from != next->from || last->to != next->to || last->dist != next->dist)
            s->edges[n++] = *next;
    }
    s->n_edges = n;
}

/* ---------------------------------------------------------------- values */

static uint8_t file_of(unsigned family) {
    switch (family) {
    case WI_FAMILY_W:
    case WI_FAMILY_X: return WI_FILE_VECTOR;
    case WI_FAMILY_AM:
    case WI_FAMILY_BM:
    case WI_FAMILY_CM: return WI_FILE_ACC;
    default: return WI_FILE_SCALAR;
    }
}

/* Whether some read of a unit comes before the first write that every step does, or that every
 * step does which touches the unit at all. */
static bool unit_is_carried(const struct touch *v, size_t n) {
    bool same = true;
    for (size_t i = 1; i < n; i++)
        same = same && v[i].t.when == v[0].t.when;
    for (size_t i = 0; i < n && !(v[i].t.write && (same || hides(&v[i].t))); i++)
        if (!v[i].t.write)
            return true;
    return false;
}

static bool is_carried(const struct touch *v, size_t n) {
    for (size_t begin = 0, end; begin < n; begin = end) {
        for (end = begin; end < n && v[end].key == v[begin].key; end++)
            ;
        if (unit_is_carried(v + begin, end - begin))
            return true;
    }
    return false;
}

static bool find_values(struct wi_sched *s, const struct touches *all, int region) {
    for (size_t begin = 0, end; begin < all->n && all->v[begin].key < WI_IR_FIXED; begin = end) {
        int reg = all->v[begin].key / 8;
        for (end = begin; end < all->n && all->v[end].key / 8 == reg; end++)
            ;
        const struct wi_ir_reg *r = &s->b->regs[reg];
        if (r->first_region != region || r->last_region != region)
            continue;
        size_t n = end - begin;
        if (!wi_grow(&s->values, &s->max_values, s->n_values + 1, sizeof *s->values) ||
            !wi_grow(&s->touches, &s->max_touches, s->n_touches + n, sizeof *s->touches))
            return false;
        s->values[s->n_values++] = (struct wi_value){
            reg,        (int)s->n_touches,  (int)n,
            r->n_units, file_of(r->family), s->cycles > 0 && is_carried(all->v + begin, n)};
        for (size_t i = begin; i < end; i++)
            s->touches[s->n_touches++] = all->v[i].t;
    }
    return true;
}

static bool list_values(struct wi_sched *s) {
    s->value_start = wi_calloc((size_t)s->n_ops + 1, sizeof(int));
    s->value_list = wi_calloc(s->n_touches + 1, sizeof(int));
    s->number = wi_calloc(s->n_values + 1, sizeof(int));
    if (!s->value_start || !s->value_list || !s->number)
        return false;
    int n = 0;
    for (int op = 0; op < s->n_ops; op++) {
        for (size_t v = 0; v < s->n_values; v++)
            for (int i = 0; i < s->values[v].n_touches; i++)
                if (s->touches[s->values[v].first_touch + i].op == op) {
                    s->value_list[n++] = (int)v;
                    break;
                }
        s->value_start[op + 1] = n;
    }
    return true;
}

/* Units that registers of longer life take in this region. */
static void find_room(struct wi_sched *s, int region) {
    for (int half = 0; half < 2; half++) {
        s->room[WI_FILE_VECTOR][half] = 12;
        s->room[WI_FILE_ACC][half] = 18;
    }
    for (size_t r = 1; r < s->b->n_regs; r++) {
        const struct wi_ir_reg *reg = &s->b->regs[r];
        if (reg->number < 0 || reg->first_region > region || reg->last_region < region)
            continue;
        struct wi_isa_range range[2];
        struct wi_vreg whole = {(int16_t)r, 0, reg->family};
        wi_isa_units(wi_ir_physical(s->b, whole, reg->number), range);
        for (int u = 0; u < range[0].n_units; u++)
            s->taken[range[0].unit + u] = true;
        for (int half = 0; half < reg->n_units; half++)
            s->room[file_of(reg->family)][half % 2]--;
    }
}

int wi_sched_init(struct wi_sched *s, const struct wi_build *b, const struct wi_ir_region *region,
                  int number, struct wisp_error *err) {
    struct touches all = {NULL, 0, 0};
    size_t n = (size_t)region->n_ops;
    memset(s, 0, sizeof *s);
    s->b = b;
    s->first_op = region->first_op;
    s->n_ops = region->n_ops;
    s->cycles = region->is_loop; /* found later; 1 says that it is a loop */
    s->alt = wi_calloc(n + 1, sizeof *s->alt);
    s->n_alts = wi_calloc(n + 1, sizeof(int));
    s->time = wi_calloc(n + 1, sizeof(int));
    s->chosen = wi_calloc(n + 1, sizeof(int));
    bool ok = s->alt && s->n_alts && s->time && s->chosen && find_touches(s, &all);
    if (ok) {
        find_uses(s);
        ok = register_edges(s, &all) && memory_edges(s);
        merge_edges(s);
        ok = ok && list_edges(s) && find_values(s, &all, number) && list_values(s);
        find_room(s, number);
    }
    wi_free(all.v);
    return ok ? WISP_OK : wi_err_nomem(err, "a scheduling problem");
}

void wi_sched_fini(struct wi_sched *s) {
    wi_free(s->alt);
    wi_free(s->n_alts);
    wi_free(s->edges);
    wi_free(s->edge_list);
    wi_free(s->edge_start);
    wi_free(s->touches);
    wi_free(s->values);
    wi_free(s->value_list);
    wi_free(s->value_start);
    wi_free(s->time);
    wi_free(s->chosen);
    wi_free(s->number);
    memset(s, 0, sizeof *s);
}

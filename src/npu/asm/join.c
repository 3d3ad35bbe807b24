/* Rows behind rows: how early a region may begin while the one before still drains. */
#include <string.h>

#include "base/mem.h"
#include "npu/asm/layout.h"

enum {
    REACH = 12,    /* bundles over which two operations can meet */
    LOOP_SETUP = 7 /* bundles from a write of LS, LE or LC to the loop's last one */
};

static bool slots_clash(const struct wi_row *x, const struct wi_row *y) {
    const unsigned wide = 1u << WI_SLOT_LNG, narrow = 1u << WI_SLOT_ALU | 1u << WI_SLOT_MV;
    unsigned a = 0, b = 0;
    for (unsigned s = 0; s < WI_N_SLOTS; s++) {
        a |= x->op[s].id ? 1u << s : 0;
        b |= y->op[s].id ? 1u << s : 0;
    }
    return (a & b) || (a & wide && b & narrow) || (a & narrow && b & wide);
}

static bool is_status(const struct wi_isa_access *a) {
    return a->unit >= WI_UNIT_SR && a->unit <= WI_UNIT_SR_LAST;
}

/* Bundles that a later access needs behind an earlier one of the same register; results keep the
 * order of the program also in issue, as the one in front may never be read. */
static int needed(const struct wi_isa_access *a, const struct wi_isa_access *b) {
    int same = a->bypass && a->bypass == b->bypass;
    if (a->write && b->write)
        return a->stage > b->stage ? a->stage - b->stage + 1 : 1;
    return a->write ? a->stage - b->stage + 1 - same : a->stage - b->stage + same;
}

static bool registers_clash(const struct wi_isa_op *x, const struct wi_isa_op *y, int distance) {
    struct wi_isa_access a[WI_ISA_MAX_ACCESSES], b[WI_ISA_MAX_ACCESSES];
    int n = wi_isa_accesses(x, a), m = wi_isa_accesses(y, b);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < m; k++)
            if ((a[i].write || b[k].write) && !is_status(&a[i]) &&
                wi_isa_overlap(a[i].unit, a[i].n_units, b[k].unit, b[k].n_units) &&
                distance < needed(&a[i], &b[k]))
                return true;
    return false;
}

static bool ports_clash(const struct wi_isa_op *x, const struct wi_isa_op *y, int distance) {
    struct wi_isa_port_use a[WI_ISA_MAX_PORTS], b[WI_ISA_MAX_PORTS];
    int n = wi_isa_ports(x, a), m = wi_isa_ports(y, b);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < m; k++)
            if (a[i].port == b[k].port && !(a[i].weak && b[k].weak) &&
                a[i].first <= distance + b[k].last && distance + b[k].first <= a[i].last)
                return true;
    return false;
}

static int memory_stage(unsigned id) {
    return wi_isa_timing_info(wi_isa_info(id)->timing)->mem_stage[0];
}

static bool memory_clash(const struct wi_row *x, unsigned i, const struct wi_row *y, unsigned k,
                         int distance) {
    struct wi_order a = {x->op[i].id, x->banks[i], x->stream[i]};
    struct wi_order b = {y->op[k].id, y->banks[k], y->stream[k]};
    bool meet = (a.banks & b.banks) && memory_stage(a.id) == distance + memory_stage(b.id);
    bool waits =
        distance == 0 && ((wi_is_acquire(a.id) && b.banks) || (wi_is_acquire(b.id) && a.banks));
    int order = wi_order_distance(a, b);
    return meet || waits || (order != WI_NO_ORDER && distance < order);
}

bool wi_rows_clash(const struct wi_row *x, const struct wi_row *y, int distance) {
    if (distance == 0 && slots_clash(x, y))
        return true;
    for (unsigned i = 0; i < WI_N_SLOTS; i++)
        for (unsigned k = 0; x->op[i].id && k < WI_N_SLOTS; k++)
            if (y->op[k].id &&
                (registers_clash(&x->op[i], &y->op[k], distance) ||
                 ports_clash(&x->op[i], &y->op[k], distance) || memory_clash(x, i, y, k, distance)))
                return true;
    return false;
}

static bool sets_loop(const struct wi_row *row) {
    for (unsigned s = 0; s < WI_N_SLOTS; s++) {
        struct wi_isa_access a[WI_ISA_MAX_ACCESSES];
        int n = row->op[s].id ? wi_isa_accesses(&row->op[s], a) : 0;
        for (int i = 0; i < n; i++)
            if (a[i].write && a[i].unit >= WI_UNIT_LS && a[i].unit <= WI_UNIT_LC)
                return true;
    }
    return false;
}

/* ---------------------------------------------------------------- loops on the way */

struct loop {
    int first, last; /* rows of a hardware loop */
};

/* How far apart rows i and k > i may issue, as bits up to REACH: loops that both are in, or that
 * come between them, run once or more often. */
static unsigned distances(const struct loop *loops, int n, int i, int k) {
    unsigned set = 1u << (k - i), before = 0;
    while (set != before) {
        before = set;
        for (int l = 0; l < n; l++) {
            int bundles = loops[l].last - loops[l].first + 1;
            if (i <= loops[l].last && k >= loops[l].first && bundles <= REACH)
                set |= set << bundles;
        }
        set &= (2u << REACH) - 1;
    }
    return set;
}

/* Of results and memory only what comes too early is wrong; ports have to be free at the time. */
static bool rows_share_port(const struct wi_row *x, const struct wi_row *y, int distance) {
    for (unsigned i = 0; i < WI_N_SLOTS; i++)
        for (unsigned k = 0; x->op[i].id && k < WI_N_SLOTS; k++)
            if (y->op[k].id && ports_clash(&x->op[i], &y->op[k], distance))
                return true;
    return false;
}

/* Loops that end among the last rows, and the one that is about to come. */
static int near_loops(const struct wi_layout *l, struct loop new, struct loop out[REACH + 1]) {
    int n = 0, last = (int)l->rows.n - 1;
    for (size_t i = 0; l->places && i < l->b->n_regions && n < REACH; i++)
        if (l->places[i].last > 0 && l->places[i].last >= last - REACH)
            out[n++] = (struct loop){l->places[i].start, l->places[i].last};
    if (new.last > 0)
        out[n++] = new;
    return n;
}

/* Whether n rows can begin at row `at`. */
static bool can_begin(const struct wi_layout *l, const struct wi_row *rows, int n, int at,
                      struct loop loop) {
    struct loop loops[REACH + 1], new = {at + loop.first, loop.last < 0 ? -1 : at + loop.last};
    int n_loops = near_loops(l, new, loops);
    for (int i = (int)l->rows.n - 1; i >= 0 && i >= at - REACH; i--) {
        if (loop.last >= 0 && new.last - i < LOOP_SETUP && sets_loop(&l->rows.v[i]))
            return false;
        for (int k = 0; k < n && at + k <= i + REACH; k++) {
            if (wi_rows_clash(&l->rows.v[i], &rows[k], at + k - i))
                return false;
            if (at + k <= i)
                continue;
            unsigned apart = distances(loops, n_loops, i, at + k);
            for (int d = at + k - i + 1; d <= REACH; d++)
                if (apart >> d & 1 && rows_share_port(&l->rows.v[i], &rows[k], d))
                    return false;
        }
    }
    return true;
}

static void merge(struct wi_row *to, const struct wi_row *from) {
    for (unsigned s = 0; s < WI_N_SLOTS; s++) {
        if (!from->op[s].id)
            continue;
        to->op[s] = from->op[s];
        to->fix[s] = from->fix[s];
        to->banks[s] = from->banks[s];
        to->stream[s] = from->stream[s];
    }
    to->aligned |= from->aligned;
    to->full |= from->full;
}

int wi_rows_join(struct wi_layout *l, const struct wi_row *rows, int n, int head, int loop_last) {
    int at = (int)l->rows.n - head;
    at = at < (int)l->barrier ? (int)l->barrier : at;
    while (!can_begin(l, rows, n, at, (struct loop){head, loop_last}))
        at++;
    size_t end = (size_t)(at + n) > l->rows.n ? (size_t)(at + n) : l->rows.n;
    if (!wi_grow(&l->rows.v, &l->rows.max, end, sizeof *l->rows.v))
        return -1;
    memset(l->rows.v + l->rows.n, 0, (end - l->rows.n) * sizeof *l->rows.v);
    l->rows.n = end;
    for (int i = 0; i < n; i++)
        merge(&l->rows.v[at + i], &rows[i]);
    return at;
}

bool wi_rows_fit(const struct wi_layout *l, const struct wi_row *rows, int n, int at) {
    return can_begin(l, rows, n, at, (struct loop){0, -1});
}

bool wi_rows_follow(const struct wi_layout *l, size_t from) {
    struct loop first = {0, -1};
    if (l->rows.n - from < REACH)
        return false;
    for (size_t i = 0; i < l->b->n_regions; i++) {
        int at = l->places[i].start - (int)from;
        if (l->places[i].last > 0 && at >= 0 && at < REACH)
            first = (struct loop){at, l->places[i].last - (int)from};
    }
    return can_begin(l, l->rows.v + from, REACH, (int)l->rows.n, first);
}

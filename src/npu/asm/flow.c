#include "npu/asm/flow.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"

enum { ALIGNMENT = 16, NOT_DECODED = -1, UNDECODABLE = -2, CALLER = -2 /* target of a return */ };

/* ---------------------------------------------------------------- bundles */

static void note_kind(struct wi_flow_bundle *b, const struct wi_isa_info *info) {
    switch (info->kind) {
    case WI_KIND_LOAD: b->loads_stores = true; break;
    case WI_KIND_STORE: b->loads_stores = b->plain_store = true; break;
    case WI_KIND_RMW: b->loads_stores = b->part_store = true; break;
    case WI_KIND_LOCK: {
        bool acquire = strncmp(info->name, "ACQ", 3) == 0;
        b->acquires |= acquire;
        b->releases |= !acquire;
        break;
    }
    default: break;
    }
}

/* What the bundle's operations read, write and hold. */
static void collect(struct wi_flow_bundle *b) {
    for (uint8_t slot = 0; slot < WI_N_SLOTS; slot++) {
        const struct wi_isa_op *op = &b->bundle.op[slot];
        struct wi_isa_access access[WI_ISA_MAX_ACCESSES];
        struct wi_isa_port_use port[WI_ISA_MAX_PORTS];
        if (op->id == WI_OP_NOP)
            continue;
        note_kind(b, wi_isa_info(op->id));
        for (int i = 0, n = wi_isa_accesses(op, access); i < n; i++) {
            b->access[b->n_accesses].slot = slot;
            b->access[b->n_accesses++].access = access[i];
            if (access[i].write && access[i].unit >= WI_UNIT_LS && access[i].unit <= WI_UNIT_LC)
                b->sets_loop = true;
        }
        for (int i = 0, n = wi_isa_ports(op, port); i < n; i++) {
            b->port[b->n_ports].slot = slot;
            b->port[b->n_ports++].use = port[i];
        }
    }
}

/* The index of the bundle at `pc`, UNDECODABLE when there is none, NOT_DECODED when out of memory.
 */
static int bundle_at(struct wi_flow *f, uint32_t pc) {
    int *known = &f->bundle_at[(pc - f->base) / 2];
    if (*known != NOT_DECODED)
        return *known;
    if (!wi_grow(&f->bundles, &f->max_bundles, f->n_bundles + 1, sizeof *f->bundles))
        return NOT_DECODED;
    struct wi_flow_bundle *b = &f->bundles[f->n_bundles];
    memset(b, 0, sizeof *b);
    if (wi_isa_unpack(&b->bundle, f->code + (pc - f->base), f->size - (pc - f->base)) < 0)
        return *known = UNDECODABLE;
    collect(b);
    return *known = (int)f->n_bundles++;
}

/* ---------------------------------------------------------------- findings */

static struct wi_check_place place_of(const struct wi_flow *f, int32_t pc, unsigned slot) {
    struct wi_check_place p = {.address = (uint32_t)pc, .slot = (uint8_t)slot};
    int b = slot < WI_N_SLOTS ? f->bundle_at[((uint32_t)pc - f->base) / 2] : -1;
    if (b >= 0)
        p.op = f->bundles[b].bundle.op[slot];
    return p;
}

static void report(struct wi_flow *f, enum wi_check_rule rule, int32_t at, int32_t value) {
    struct wi_check_place none = {.slot = WI_N_SLOTS};
    wi_check_add(f->report, (struct wi_check_finding){.rule = (uint8_t)rule,
                                                      .at = place_of(f, at, WI_N_SLOTS),
                                                      .other = none,
                                                      .value = (uint32_t)value});
}

static bool inside(const struct wi_flow *f, int32_t pc) {
    return pc >= 0 && pc % 2 == 0 && (uint32_t)pc >= f->base && (uint32_t)pc - f->base < f->size;
}

/* ---------------------------------------------------------------- nodes and edges */

static size_t hash(const struct wi_flow_context *c) {
    const uint8_t *p = (const uint8_t *)c;
    uint64_t h = 0xcbf29ce484222325; /* FNV-1a */
    for (size_t i = 0; i < sizeof *c; i++)
        h = (h ^ p[i]) * 0x100000001b3;
    return (size_t)(h ^ h >> 32);
}

static bool rehash(struct wi_flow *f, size_t n) {
    int *buckets = wi_malloc(n, sizeof *buckets);
    if (!buckets)
        return false;
    for (size_t i = 0; i < n; i++)
        buckets[i] = -1;
    for (size_t i = 0; i < f->n_nodes; i++) {
        size_t at = hash(&f->nodes[i].context) & (n - 1);
        while (buckets[at] >= 0)
            at = (at + 1) & (n - 1);
        buckets[at] = (int)i;
    }
    wi_free(f->buckets);
    f->buckets = buckets;
    f->n_buckets = n;
    return true;
}

/* The node of a context, made when it is new; -1 when out of memory. */
static int node_of(struct wi_flow *f, const struct wi_flow_context *c) {
    if (2 * (f->n_nodes + 1) > f->n_buckets && !rehash(f, f->n_buckets ? 2 * f->n_buckets : 1024))
        return -1;
    size_t at = hash(c) & (f->n_buckets - 1);
    for (; f->buckets[at] >= 0; at = (at + 1) & (f->n_buckets - 1))
        if (memcmp(&f->nodes[f->buckets[at]].context, c, sizeof *c) == 0)
            return f->buckets[at];
    if (!wi_grow(&f->nodes, &f->max_nodes, f->n_nodes + 1, sizeof *f->nodes))
        return -1;
    int bundle = bundle_at(f, (uint32_t)c->pc);
    if (bundle == NOT_DECODED)
        return -1;
    f->nodes[f->n_nodes] = (struct wi_flow_node){*c, bundle, -1};
    f->buckets[at] = (int)f->n_nodes;
    return (int)f->n_nodes++;
}

/* An edge from `from` (-1: an entry) to the context `to`. */
static bool go(struct wi_flow *f, int from, const struct wi_flow_context *to) {
    if (!inside(f, to->pc)) {
        report(f, WI_CHECK_RANGE, from >= 0 ? f->nodes[from].context.pc : to->pc, to->pc);
        return true;
    }
    int node = node_of(f, to);
    if (node < 0)
        return false;
    if (from < 0)
        return true;
    for (int e = f->nodes[from].first_edge; e >= 0; e = f->edges[e].next)
        if (f->edges[e].to == node)
            return true;
    if (!wi_grow(&f->edges, &f->max_edges, f->n_edges + 1, sizeof *f->edges))
        return false;
    f->edges[f->n_edges] = (struct wi_flow_edge){node, f->nodes[from].first_edge};
    f->nodes[from].first_edge = (int)f->n_edges++;
    return true;
}

static bool in_loop(const struct wi_flow_context *c, int32_t pc) {
    return c->ls >= 0 && c->le >= 0 && pc >= c->ls && pc <= c->le;
}

/* As go, to the target of a branch. */
static bool jump(struct wi_flow *f, int from, struct wi_flow_context to, int32_t branch,
                 bool call) {
    if (to.pc % ALIGNMENT != 0)
        report(f, WI_CHECK_ALIGN, branch, to.pc);
    if (!call && in_loop(&to, to.pc) != in_loop(&to, branch) &&
        (to.pc != to.ls || in_loop(&to, branch)))
        report(f, WI_CHECK_LOOP_BRANCH, branch, to.pc);
    return go(f, from, &to);
}

/* ---------------------------------------------------------------- calls and returns */

/* From the last delay slot of a return to where a call goes on. */
static bool connect(struct wi_flow *f, size_t call, size_t ret) {
    int node = f->returns[ret].node;
    struct wi_flow_context c = f->nodes[node].context;
    if (f->calls[call].function != f->returns[ret].function)
        return true;
    c.pc = f->calls[call].point;
    c.function = f->calls[call].caller;
    c.branch = c.target = WI_FLOW_UNKNOWN;
    c.kind = c.left = 0;
    if (c.pc % ALIGNMENT != 0)
        report(f, WI_CHECK_ALIGN, f->calls[call].branch, c.pc);
    return go(f, node, &c);
}

/* A call of `function` at `branch`, and all returns from there that are known. */
static bool call(struct wi_flow *f, int32_t function, int32_t branch, int32_t point,
                 int32_t caller) {
    for (size_t i = 0; i < f->n_calls; i++)
        if (f->calls[i].function == function && f->calls[i].branch == branch &&
            f->calls[i].caller == caller)
            return true;
    if (!wi_grow(&f->calls, &f->max_calls, f->n_calls + 1, sizeof *f->calls))
        return false;
    size_t n = f->n_calls++;
    f->calls[n].function = function;
    f->calls[n].branch = branch;
    f->calls[n].point = point;
    f->calls[n].caller = caller;
    bool ok = true;
    for (size_t i = 0; ok && i < f->n_returns; i++)
        ok = connect(f, n, i);
    return ok;
}

static bool return_from(struct wi_flow *f, int node, int32_t function) {
    if (!wi_grow(&f->returns, &f->max_returns, f->n_returns + 1, sizeof *f->returns))
        return false;
    size_t n = f->n_returns++;
    f->returns[n].function = function;
    f->returns[n].node = node;
    bool ok = true;
    for (size_t i = 0; ok && i < f->n_calls; i++)
        ok = connect(f, i, n);
    return ok;
}

/* ---------------------------------------------------------------- one step */

/* A code address of a value that is moved into a register. */
static int32_t code_address(const struct wi_flow *f, int64_t value) {
    return value >= 0 && value <= INT32_MAX && inside(f, (int32_t)value) ? (int32_t)value
                                                                         : WI_FLOW_UNKNOWN;
}

/* The value that an operation moves into its field 0, UNKNOWN when it is no constant. */
static int32_t constant(const struct wi_flow *f, const struct wi_isa_op *op) {
    switch (op->id) {
    case WI_OP_MOVXM:
    case WI_OP_MOVA:
    case WI_OP_MOV_IMM: return code_address(f, op->v[1]);
    default: return WI_FLOW_UNKNOWN;
    }
}

/* Where the context keeps a unit's code address, NULL for units that it does not follow. */
static int32_t *followed(struct wi_flow_context *c, unsigned unit) {
    if (unit == WI_UNIT_LS)
        return &c->ls;
    if (unit == WI_UNIT_LE)
        return &c->le;
    return unit >= WI_UNIT_P && unit <= WI_UNIT_P_LAST ? &c->p[unit - WI_UNIT_P] : NULL;
}

static void follow_writes(const struct wi_flow *f, const struct wi_flow_bundle *b,
                          struct wi_flow_context *c) {
    for (int i = 0; i < b->n_accesses; i++) {
        const struct wi_isa_access *a = &b->access[i].access;
        for (unsigned u = a->unit; a->write && u < a->unit + (unsigned)a->n_units; u++) {
            int32_t *where = followed(c, u);
            if (where)
                *where = constant(f, &b->bundle.op[b->access[i].slot]);
        }
    }
}

/* Begin the branch of a bundle, if it has one. */
static void begin_branch(struct wi_flow *f, const struct wi_flow_bundle *b,
                         const struct wi_flow_context *now, struct wi_flow_context *next) {
    for (unsigned slot = 0; slot < WI_N_SLOTS; slot++) {
        const struct wi_isa_op *op = &b->bundle.op[slot];
        const struct wi_isa_info *info = wi_isa_info(op->id);
        if (info->kind != WI_KIND_BRANCH && info->kind != WI_KIND_BRANCH_IF &&
            info->kind != WI_KIND_CALL)
            continue;
        if (now->left > 0) {
            report(f, WI_CHECK_DELAY, now->pc, now->branch);
            continue;
        }
        next->branch = now->pc;
        next->kind = info->kind;
        next->left = WI_ISA_N_DELAY_SLOTS + 1;
        next->target = WI_FLOW_UNKNOWN;
        for (int i = 0; i < info->n_fields; i++) {
            if (info->field[i].address)
                next->target = op->v[i];
            else if (info->field[i].class == WI_CLASS_P)
                next->target = now->p[op->v[i] - WI_REG_P];
        }
        if (op->id == WI_OP_RET)
            next->target = CALLER;
    }
}

/* The branch under way is taken, or not: both ways of a conditional one. */
static bool transfer(struct wi_flow *f, int node, struct wi_flow_context next) {
    int32_t branch = next.branch, target = next.target, kind = next.kind, caller = next.function;
    next.branch = next.target = WI_FLOW_UNKNOWN;
    next.kind = next.left = 0;
    if (target == CALLER)
        return return_from(f, node, next.function);
    struct wi_flow_context there = next;
    there.pc = target;
    if (target == WI_FLOW_UNKNOWN)
        report(f, WI_CHECK_TARGET, branch, 0);
    bool ok = true;
    if (kind == WI_KIND_BRANCH_IF || (kind == WI_KIND_CALL && target == WI_FLOW_UNKNOWN))
        ok = go(f, node, &next);
    if (kind == WI_KIND_CALL && target != WI_FLOW_UNKNOWN) {
        there.function = target;
        ok = ok && call(f, target, branch, next.pc, caller);
    }
    return ok && (target == WI_FLOW_UNKNOWN || jump(f, node, there, branch, kind == WI_KIND_CALL));
}

/* Behind the last bundle of a hardware loop: to its start, or on. */
static bool end_of_loop(struct wi_flow *f, int node, const struct wi_flow_bundle *b,
                        struct wi_flow_context next) {
    int32_t pc = f->nodes[node].context.pc;
    if (next.ls % ALIGNMENT != 0 || pc % ALIGNMENT != 0)
        report(f, WI_CHECK_LOOP_ALIGN, pc, next.ls);
    if (b->bundle.size != WI_ISA_MAX_BYTES || b->part_store)
        report(f, WI_CHECK_LOOP_LAST, pc, next.ls);
    struct wi_flow_context again = next;
    again.pc = next.ls;
    if (next.ls == WI_FLOW_UNKNOWN)
        report(f, WI_CHECK_TARGET, pc, 0);
    return go(f, node, &next) && (next.ls == WI_FLOW_UNKNOWN || go(f, node, &again));
}

static bool has_done(const struct wi_flow_bundle *b) {
    for (unsigned slot = 0; slot < WI_N_SLOTS; slot++)
        if (wi_isa_info(b->bundle.op[slot].id)->kind == WI_KIND_DONE)
            return true;
    return false;
}

static bool step(struct wi_flow *f, int node) {
    const struct wi_flow_context now = f->nodes[node].context;
    struct wi_flow_context next = now;
    if (f->nodes[node].bundle < 0) {
        report(f, WI_CHECK_DECODE, now.pc, 0);
        return true;
    }
    const struct wi_flow_bundle *b = &f->bundles[f->nodes[node].bundle];
    if (has_done(b))
        return true;
    next.pc += b->bundle.size;
    begin_branch(f, b, &now, &next);
    follow_writes(f, b, &next);
    bool last = now.pc == now.le;
    if (next.left > 0 && --next.left == 0) {
        if (last)
            report(f, WI_CHECK_LOOP_BRANCH, now.branch, now.le);
        return transfer(f, node, next);
    }
    return last ? end_of_loop(f, node, b, next) : go(f, node, &next);
}

/* ---------------------------------------------------------------- all paths */

static bool enter(struct wi_flow *f, uint32_t entry) {
    struct wi_flow_context c = {.pc = (int32_t)entry,
                                .function = (int32_t)entry,
                                .ls = WI_FLOW_UNKNOWN,
                                .le = WI_FLOW_UNKNOWN,
                                .branch = WI_FLOW_UNKNOWN,
                                .target = WI_FLOW_UNKNOWN};
    for (int i = 0; i < 8; i++)
        c.p[i] = WI_FLOW_UNKNOWN;
    if (entry % ALIGNMENT != 0)
        report(f, WI_CHECK_ALIGN, (int32_t)entry, (int32_t)entry);
    return go(f, -1, &c);
}

int wi_flow_build(struct wi_flow *f, const uint8_t *code, size_t size, uint32_t base,
                  const uint32_t *entries, size_t n_entries, struct wi_check_report *to,
                  struct wisp_error *err) {
    memset(f, 0, sizeof *f);
    f->code = code;
    f->size = (uint32_t)size;
    f->base = base;
    f->report = to;
    f->bundle_at = wi_malloc(size / 2 + 1, sizeof *f->bundle_at);
    bool ok = f->bundle_at != NULL;
    for (size_t i = 0; ok && i <= size / 2; i++)
        f->bundle_at[i] = NOT_DECODED;
    for (size_t i = 0; ok && i < n_entries; i++)
        ok = enter(f, entries[i]);
    for (size_t i = 0; ok && i < f->n_nodes && f->n_nodes <= WI_FLOW_MAX_NODES; i++)
        ok = step(f, (int)i);
    if (ok && f->n_nodes > WI_FLOW_MAX_NODES)
        return wi_err_set(err, WISP_E_UNSUPPORTED, "the program has more than %d paths to follow",
                          WI_FLOW_MAX_NODES);
    return ok ? WISP_OK : wi_err_nomem(err, "the paths of a program");
}

void wi_flow_fini(struct wi_flow *f) {
    wi_free(f->bundles);
    wi_free(f->bundle_at);
    wi_free(f->nodes);
    wi_free(f->edges);
    wi_free(f->buckets);
    wi_free(f->calls);
    wi_free(f->returns);
    memset(f, 0, sizeof *f);
}

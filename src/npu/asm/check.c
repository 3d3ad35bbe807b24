#include "npu/asm/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "npu/asm/flow.h"

/* Bundles over which two operations can meet: no result lands, no port is held and no stored data
 * is under way for longer (a part-word store, until stage 11). */
enum { WINDOW = 12 };

/* Pairs of bundles that are looked at before the checker gives up: a program of 16 KB has some
 * 10^6. */
enum { MAX_PAIRS = 1 << 26 };

/* ---------------------------------------------------------------- the report */

static bool same_place(const struct wi_check_place *a, const struct wi_check_place *b) {
    return a->address == b->address && a->slot == b->slot;
}

void wi_check_add(struct wi_check_report *r, struct wi_check_finding finding) {
    for (size_t i = 0; i < r->n_findings; i++) {
        const struct wi_check_finding *f = &r->findings[i];
        if (f->rule == finding.rule && f->subject == finding.subject && f->value == finding.value &&
            same_place(&f->at, &finding.at) && same_place(&f->other, &finding.other))
            return;
    }
    if (!wi_grow(&r->findings, &r->max_findings, r->n_findings + 1, sizeof finding)) {
        r->failed = true;
        return;
    }
    r->findings[r->n_findings++] = finding;
    r->n_hazards += wi_check_is_hazard(finding.rule);
}

bool wi_check_is_hazard(enum wi_check_rule rule) {
    return rule < WI_CHECK_TARGET;
}

void wi_check_report_fini(struct wi_check_report *report) {
    wi_free(report->findings);
    memset(report, 0, sizeof *report);
}

/* ---------------------------------------------------------------- pairs on a path */

/* Units that bundles between the two of a pair write: what is read is no longer the first one's. */
struct covered {
    uint64_t units[4];
};

static bool is_covered(const struct covered *c, unsigned unit) {
    return c->units[unit / 64] >> unit % 64 & 1;
}

static void cover(struct covered *c, const struct wi_flow_bundle *b) {
    for (int i = 0; i < b->n_accesses; i++) {
        const struct wi_isa_access *a = &b->access[i].access;
        for (unsigned u = a->unit; a->write && u < a->unit + (unsigned)a->n_units; u++)
            c->units[u / 64] |= (uint64_t)1 << u % 64;
    }
}

/* Pairs that were counted. */
struct pairs {
    uint64_t *keys; /* [n_slots], 0 = free */
    size_t n, n_slots;
};

struct checker {
    struct wi_flow flow;
    struct wi_check_report *report;
    struct pairs reads, old_reads;
    long n_pairs; /* of bundles on paths */
};

static bool pairs_grow(struct pairs *p) {
    struct pairs bigger = {.n_slots = p->n_slots ? 2 * p->n_slots : 4096};
    bigger.keys = wi_calloc(bigger.n_slots, sizeof *bigger.keys);
    if (!bigger.keys)
        return false;
    for (size_t i = 0; i < p->n_slots; i++) {
        size_t at = p->keys[i] * 0x9e3779b97f4a7c15u >> 20 & (bigger.n_slots - 1);
        while (p->keys[i] && bigger.keys[at])
            at = (at + 1) & (bigger.n_slots - 1);
        if (p->keys[i])
            bigger.keys[at] = p->keys[i];
    }
    bigger.n = p->n;
    wi_free(p->keys);
    *p = bigger;
    return true;
}

/* Count a pair once. */
static void count(struct checker *c, struct pairs *p, uint64_t key) {
    if (2 * p->n >= p->n_slots && !pairs_grow(p)) {
        c->report->failed = true;
        return;
    }
    size_t at = key * 0x9e3779b97f4a7c15u >> 20 & (p->n_slots - 1);
    for (; p->keys[at]; at = (at + 1) & (p->n_slots - 1))
        if (p->keys[at] == key)
            return;
    p->keys[at] = key;
    p->n++;
}

/* Two bundles, `first` issuing `distance` bundles before `second` on some path. */
struct pair {
    const struct wi_flow_bundle *first, *second;
    uint32_t first_pc, second_pc;
    int distance;
    int node; /* of the second */
    const struct covered *covered;
};

static struct wi_check_place place(const struct wi_flow_bundle *b, uint32_t pc, unsigned slot) {
    struct wi_check_place p = {.address = pc, .slot = (uint8_t)slot};
    if (slot < WI_N_SLOTS)
        p.op = b->bundle.op[slot];
    return p;
}

static void report(struct checker *c, const struct pair *p, enum wi_check_rule rule,
                   unsigned subject, unsigned slot, unsigned other, int needed) {
    wi_check_add(c->report,
                 (struct wi_check_finding){.rule = (uint8_t)rule,
                                           .subject = (uint8_t)subject,
                                           .distance = p->distance,
                                           .needed = needed,
                                           .at = place(p->first, p->first_pc, slot),
                                           .other = place(p->second, p->second_pc, other)});
}

/* The first unit of both ranges that no bundle between them writes; -1: none. */
static int shared_unit(const struct pair *p, const struct wi_isa_access *a,
                       const struct wi_isa_access *b) {
    unsigned begin = a->unit > b->unit ? a->unit : b->unit;
    unsigned end_a = a->unit + (unsigned)a->n_units, end_b = b->unit + (unsigned)b->n_units;
    for (unsigned u = begin; u < (end_a < end_b ? end_a : end_b); u++)
        if (!is_covered(p->covered, u))
            return (int)u;
    return -1;
}

/* Status bits that only ever become set (srSRS_of ...): the order of such writes does not matter.
 */
static bool is_sticky(unsigned unit) {
    return unit > WI_UNIT_SR && unit <= WI_UNIT_SR_LAST && unit != WI_UNIT_SR + 5 /* srMS0 */ &&
           unit != WI_UNIT_SR + 7 /* srSS0 */;
}

static int needed_distance(const struct wi_isa_access *write, const struct wi_isa_access *read) {
    bool bypass = write->bypass != WI_BYPASS_NONE && write->bypass == read->bypass;
    return write->stage - read->stage + 1 - bypass;
}

static void check_read(struct checker *c, const struct pair *p, int i, int j) {
    const struct wi_isa_access *write = &p->first->access[i].access;
    const struct wi_isa_access *read = &p->second->access[j].access;
    int unit = shared_unit(p, write, read), needed = needed_distance(write, read);
    if (unit < 0 || is_sticky((unsigned)unit))
        return;
    /* 15 bits each: bundle addresses are even and below 2^16 here */
    uint64_t key = 1 | (uint64_t)(p->first_pc / 2 & 0x7fff) << 1 |
                   (uint64_t)(p->second_pc / 2 & 0x7fff) << 16 | (uint64_t)unit << 31 |
                   (uint64_t)p->second->access[j].slot << 40;
    count(c, &c->reads, key);
    if (p->distance >= needed)
        return;
    count(c, &c->old_reads, key);
    report(c, p, WI_CHECK_OLD_READ, (unsigned)unit, p->first->access[i].slot,
           p->second->access[j].slot, needed);
}

/* What the first samples late, the second writes. */
static void check_overtaken(struct checker *c, const struct pair *p, int i, int j) {
    const struct wi_isa_access *read = &p->first->access[i].access;
    const struct wi_isa_access *write = &p->second->access[j].access;
    /* the write is seen from `needed` bundles before the read's bundle on */
    int needed = 1 - needed_distance(write, read);
    if (p->distance < needed)
        report(c, p, WI_CHECK_NEW_READ, write->unit, p->first->access[i].slot,
               p->second->access[j].slot, needed);
}

/* Whether some path from `node` on, `ahead` bundles behind the newer write (or beside it: some
 * operands are sampled late), reads that before the older one lands, which was issued `distance`
 * bundles before it. */
static bool is_read(const struct checker *c, int node, const struct wi_isa_access *older,
                    const struct wi_isa_access *newer, int distance, int ahead) {
    int bundle = c->flow.nodes[node].bundle;
    for (int i = 0; bundle >= 0 && i < c->flow.bundles[bundle].n_accesses; i++) {
        const struct wi_isa_access *a = &c->flow.bundles[bundle].access[i].access;
        if (!a->write && wi_isa_overlap(a->unit, a->n_units, newer->unit, newer->n_units) &&
            wi_isa_overlap(a->unit, a->n_units, older->unit, older->n_units) &&
            ahead >= needed_distance(newer, a) && distance + ahead < needed_distance(older, a))
            return true;
    }
    if (distance + ahead >= older->stage)
        return false;
    for (int e = c->flow.nodes[node].first_edge; e >= 0; e = c->flow.edges[e].next)
        if (is_read(c, c->flow.edges[e].to, older, newer, distance, ahead + 1))
            return true;
    return false;
}

/* Whether the older write's own operation samples the newer value, as "vunpack x9, wl9" does. */
static bool reads_itself(const struct pair *p, int i, const struct wi_isa_access *newer) {
    for (int k = 0; k < p->first->n_accesses; k++) {
        const struct wi_isa_access *a = &p->first->access[k].access;
        if (p->first->access[k].slot == p->first->access[i].slot && !a->write &&
            wi_isa_overlap(a->unit, a->n_units, newer->unit, newer->n_units) &&
            -p->distance >= needed_distance(newer, a))
            return true;
    }
    return false;
}

static void check_writes(struct checker *c, const struct pair *p, int i, int j) {
    const struct wi_isa_access *older = &p->first->access[i].access;
    const struct wi_isa_access *newer = &p->second->access[j].access;
    int needed = older->stage - newer->stage + 1;
    unsigned unit = older->unit > newer->unit ? older->unit : newer->unit;
    if (p->distance >= needed || is_sticky(unit))
        return;
    bool half = p->distance == 0 && older->n_units < newer->n_units; /* the rest is wanted */
    bool used = p->distance < needed - 1 && (half || reads_itself(p, i, newer) ||
                                             is_read(c, p->node, older, newer, p->distance, 0));
    report(c, p, used ? WI_CHECK_SHORT_LIFE : WI_CHECK_WRITE_ORDER, unit, p->first->access[i].slot,
           p->second->access[j].slot, needed);
}

static void check_registers(struct checker *c, const struct pair *p) {
    for (int i = 0; i < p->first->n_accesses; i++)
        for (int j = 0; j < p->second->n_accesses; j++) {
            const struct wi_isa_access *a = &p->first->access[i].access;
            const struct wi_isa_access *b = &p->second->access[j].access;
            if (!wi_isa_overlap(a->unit, a->n_units, b->unit, b->n_units))
                continue;
            if (a->write && b->write)
                check_writes(c, p, i, j);
            else if (a->write)
                check_read(c, p, i, j);
            else if (b->write)
                check_overtaken(c, p, i, j);
        }
}

static bool of_file(unsigned port, unsigned unit) {
    bool r = unit <= WI_UNIT_R_LAST;
    bool p = unit >= WI_UNIT_P && unit <= WI_UNIT_P_LAST;
    bool d = unit >= WI_UNIT_D && unit <= WI_UNIT_D_LAST;
    switch (port) {
    case WI_PORT_R_WA:
    case WI_PORT_R_WX:
    case WI_PORT_RS_WM:
    case WI_PORT_R_RV: return r;
    case WI_PORT_P_WM: return p;
    case WI_PORT_P_RM: return p || d;
    case WI_PORT_CM_WM:
    case WI_PORT_CM_WA: return unit >= WI_UNIT_AM && unit <= WI_UNIT_AM_LAST;
    default: return d;
    }
}

/* Whether an operation needs a port by its registers.  The tables, which are the open compiler's,
 * say more: each single register holds the write ports of all scalar files, a store those of every
 * file that it could store from, a shuffle those of both its kinds of result, and all readers of
 * accumulators one port, whatever their slot; a part-word store keeps all memory accesses away,
 * also of other addresses.  Code of AMD's own compiler knows no such conflict (docs/npu-proof.md).
 */
static bool needs_port(const struct wi_flow_bundle *b, unsigned slot, unsigned port) {
    const struct wi_isa_info *info = wi_isa_info(b->bundle.op[slot].id);
    bool read = port == WI_PORT_R_RV || port == WI_PORT_P_RM;
    if (port == WI_PORT_PWS || port == WI_PORT_CM_RM)
        return false;
    if (port >= WI_PORT_LOAD_A || (port >= WI_PORT_W_RS && port <= WI_PORT_W_WM))
        return true;
    for (int i = 0; i < b->n_accesses; i++) {
        const struct wi_isa_access *a = &b->access[i].access;
        bool address = a->field >= 0 && !a->write && info->field[a->field].letter != 's' &&
                       wi_isa_timing_info(info->timing)->mem_stage[0];
        if (b->access[i].slot == slot && a->write != read && !address && of_file(port, a->unit))
            return true;
    }
    return false;
}

/* The rule that two holders of a port break. */
static enum wi_check_rule port_rule(const struct wi_flow_bundle *a, unsigned slot_a,
                                    const struct wi_flow_bundle *b, unsigned slot_b,
                                    unsigned port) {
    bool both = needs_port(a, slot_a, port) && needs_port(b, slot_b, port);
    return both ? WI_CHECK_PORT : WI_CHECK_STRICT;
}

static void check_ports(struct checker *c, const struct pair *p) {
    for (int i = 0; i < p->first->n_ports; i++)
        for (int j = 0; j < p->second->n_ports; j++) {
            const struct wi_isa_port_use *a = &p->first->port[i].use, *b = &p->second->port[j].use;
            if (a->port == b->port && !(a->weak && b->weak) && a->first <= p->distance + b->last &&
                p->distance + b->first <= a->last)
                report(c, p,
                       port_rule(p->first, p->first->port[i].slot, p->second,
                                 p->second->port[j].slot, a->port),
                       a->port, p->first->port[i].slot, p->second->port[j].slot,
                       a->last - b->first + 1);
        }
}

/* The stage at which a bundle's last store is in memory, 0: it has none. */
static int store_stage(const struct wi_flow_bundle *b) {
    int stage = 0;
    for (unsigned slot = 0; slot < WI_N_SLOTS; slot++) {
        const struct wi_isa_info *info = wi_isa_info(b->bundle.op[slot].id);
        const struct wi_isa_timing_info *t = wi_isa_timing_info(info->timing);
        int at = t->kind == WI_KIND_RMW     ? t->mem_stage[1]
                 : t->kind == WI_KIND_STORE ? t->mem_stage[0]
                                            : 0;
        stage = at > stage ? at : stage;
    }
    return stage;
}

static void check_release(struct checker *c, const struct pair *p) {
    if (!p->second->releases || !(p->first->plain_store || p->first->part_store))
        return;
    int margin = p->first->part_store ? WI_CHECK_RELEASE_RMW : WI_CHECK_RELEASE;
    int stored = store_stage(p->first) - WI_CHECK_RELEASE_STAGE + 1;
    if (p->distance < stored)
        report(c, p, WI_CHECK_UNSTORED, 0, WI_N_SLOTS, WI_N_SLOTS, stored);
    else if (p->distance < margin)
        report(c, p, WI_CHECK_MARGIN, 0, WI_N_SLOTS, WI_N_SLOTS, margin);
}

/* ---------------------------------------------------------------- all pairs */

/* Two operations of one bundle: their registers are sampled and written independently, but not
 * twice. */
static void check_bundle(struct checker *c, const struct wi_flow_node *node) {
    const struct wi_flow_bundle *b = &c->flow.bundles[node->bundle];
    const struct covered none = {{0}};
    uint32_t pc = (uint32_t)node->context.pc;
    struct pair p = {b, b, pc, pc, 0, (int)(node - c->flow.nodes), &none};
    for (int i = 0; i < b->n_accesses; i++)
        for (int j = i + 1; j < b->n_accesses; j++) {
            const struct wi_isa_access *x = &b->access[i].access, *y = &b->access[j].access;
            if (x->write && y->write && b->access[i].slot != b->access[j].slot &&
                wi_isa_overlap(x->unit, x->n_units, y->unit, y->n_units))
                check_writes(c, &p, x->stage >= y->stage ? i : j, x->stage >= y->stage ? j : i);
        }
    for (int i = 0; i < b->n_accesses; i++)
        for (int j = 0; j < b->n_accesses; j++) {
            const struct wi_isa_access *x = &b->access[i].access, *y = &b->access[j].access;
            if (!x->write && y->write && b->access[i].slot != b->access[j].slot &&
                wi_isa_overlap(x->unit, x->n_units, y->unit, y->n_units))
                check_overtaken(c, &p, i, j);
        }
    for (int i = 0; i < b->n_ports; i++)
        for (int j = i + 1; j < b->n_ports; j++) {
            const struct wi_isa_port_use *x = &b->port[i].use, *y = &b->port[j].use;
            if (x->port == y->port && b->port[i].slot != b->port[j].slot && !(x->weak && y->weak) &&
                x->first <= y->last && y->first <= x->last)
                report(c, &p, port_rule(b, b->port[i].slot, b, b->port[j].slot, x->port), x->port,
                       b->port[i].slot, b->port[j].slot, x->last - y->first + 1);
        }
    if (b->acquires && b->loads_stores)
        report(c, &p, WI_CHECK_LOCK, 0, WI_N_SLOTS, WI_N_SLOTS, 1);
}

/* All pairs of `first` with what issues from `node` on, `distance` bundles later. */
static void walk(struct checker *c, const struct wi_flow_node *first, int at, int distance,
                 struct covered covered) {
    const struct wi_flow_node *node = &c->flow.nodes[at];
    if (node->bundle < 0 || ++c->n_pairs > MAX_PAIRS)
        return;
    struct pair p = {&c->flow.bundles[first->bundle],
                     &c->flow.bundles[node->bundle],
                     (uint32_t)first->context.pc,
                     (uint32_t)node->context.pc,
                     distance,
                     at,
                     &covered};
    check_registers(c, &p);
    check_ports(c, &p);
    check_release(c, &p);
    if (p.first->sets_loop && node->context.pc == node->context.le &&
        distance < WI_CHECK_LOOP_SETUP)
        report(c, &p, WI_CHECK_LOOP_SHORT, 0, WI_N_SLOTS, WI_N_SLOTS, WI_CHECK_LOOP_SETUP);
    if (distance == WINDOW)
        return;
    cover(&covered, p.second);
    for (int e = node->first_edge; e >= 0; e = c->flow.edges[e].next)
        walk(c, first, c->flow.edges[e].to, distance + 1, covered);
}

static void check_all(struct checker *c) {
    const struct covered none = {{0}};
    for (size_t i = 0; i < c->flow.n_nodes; i++) {
        const struct wi_flow_node *node = &c->flow.nodes[i];
        if (node->bundle < 0)
            continue;
        check_bundle(c, node);
        for (int e = node->first_edge; e >= 0; e = c->flow.edges[e].next)
            walk(c, node, c->flow.edges[e].to, 1, none);
    }
}

static int by_address(const void *a, const void *b) {
    const struct wi_check_finding *x = a, *y = b;
    if (x->at.address != y->at.address)
        return x->at.address < y->at.address ? -1 : 1;
    if (x->rule != y->rule)
        return x->rule - y->rule;
    return (x->other.address > y->other.address) - (x->other.address < y->other.address);
}

int wi_check(struct wi_check_report *r, const uint8_t *code, size_t size, uint32_t base,
             const uint32_t *entries, size_t n_entries, struct wisp_error *err) {
    struct checker c = {.report = r};
    memset(r, 0, sizeof *r);
    if (size > WI_CHECK_PROGRAM_BYTES)
        wi_check_add(r, (struct wi_check_finding){.rule = WI_CHECK_RANGE,
                                                  .at.slot = WI_N_SLOTS,
                                                  .at.address = base,
                                                  .other.slot = WI_N_SLOTS,
                                                  .value = base + (uint32_t)size});
    int rc = size > INT32_MAX - base
                 ? wi_err_set(err, WISP_E_UNSUPPORTED, "a program of %zu bytes at 0x%x", size, base)
                 : wi_flow_build(&c.flow, code, size, base, entries, n_entries, r, err);
    if (rc == WISP_OK)
        check_all(&c);
    if (c.n_pairs > MAX_PAIRS)
        rc = wi_err_set(err, WISP_E_UNSUPPORTED, "the program has too many paths to look at each");
    r->n_bundles = c.flow.n_bundles;
    for (size_t i = 0; i < c.flow.n_bundles; i++)
        r->n_bytes += c.flow.bundles[i].bundle.size;
    r->n_reads = c.reads.n;
    r->n_old_reads = c.old_reads.n;
    wi_free(c.reads.keys);
    wi_free(c.old_reads.keys);
    wi_flow_fini(&c.flow);
    if (r->n_findings > 0)
        qsort(r->findings, r->n_findings, sizeof *r->findings, by_address);
    return rc == WISP_OK && r->failed ? wi_err_nomem(err, "the findings of the checker") : rc;
}

/* ---------------------------------------------------------------- text */

const char *wi_check_rule_name(enum wi_check_rule rule) {
    static const char *const names[] = {
        [WI_CHECK_DECODE] = "decode",
        [WI_CHECK_RANGE] = "range",
        [WI_CHECK_ALIGN] = "alignment",
        [WI_CHECK_DELAY] = "delay slot",
        [WI_CHECK_TARGET] = "target",
        [WI_CHECK_PORT] = "port",
        [WI_CHECK_WRITE_ORDER] = "write order",
        [WI_CHECK_LOOP_ALIGN] = "loop alignment",
        [WI_CHECK_LOOP_LAST] = "last bundle of loop",
        [WI_CHECK_LOOP_SHORT] = "loop set-up",
        [WI_CHECK_LOOP_BRANCH] = "branch in loop",
        [WI_CHECK_LOCK] = "acquire",
        [WI_CHECK_UNSTORED] = "release",
        [WI_CHECK_OLD_READ] = "old value",
        [WI_CHECK_NEW_READ] = "new value",
        [WI_CHECK_SHORT_LIFE] = "short life",
        [WI_CHECK_MARGIN] = "margin",
        [WI_CHECK_STRICT] = "strict port",
    };
    return names[rule];
}

/* The register that a unit is (part of), by its smallest name. */
static const char *unit_name(unsigned unit) {
    for (unsigned reg = 1; reg < WI_N_REGS; reg++) {
        const struct wi_isa_reg_info *info = wi_isa_reg_info(reg);
        if (info->unit == unit && info->n_units == 1)
            return info->name;
    }
    return "?";
}

static int print_place(const struct wi_check_place *p, char *buf, size_t size) {
    char text[WI_ISA_MAX_TEXT];
    if (p->slot >= WI_N_SLOTS)
        return snprintf(buf, size, "the bundle");
    wi_isa_print_op(&p->op, p->slot, NULL, text, sizeof text);
    return snprintf(buf, size, "'%s'", text);
}

/* What is wrong with a pair, `at` and `other` being its texts. */
static int print_pair(const struct wi_check_finding *f, const char *at, const char *other,
                      char *buf, size_t size) {
    switch ((enum wi_check_rule)f->rule) {
    case WI_CHECK_PORT:
    case WI_CHECK_STRICT:
        return snprintf(buf, size, "%s and %s at 0x%x, %d bundles later, hold %s in the same cycle",
                        at, other, f->other.address, f->distance, wi_isa_port_name(f->subject));
    case WI_CHECK_WRITE_ORDER:
        return snprintf(
            buf, size,
            "%s lands in %s with or after %s at 0x%x, which issues %d bundles later; %d are "
            "needed",
            at, unit_name(f->subject), other, f->other.address, f->distance, f->needed);
    case WI_CHECK_SHORT_LIFE:
        return snprintf(buf, size, "%s lands in %s after %s at 0x%x, whose value is read before",
                        at, unit_name(f->subject), other, f->other.address);
    case WI_CHECK_MARGIN:
        return snprintf(
            buf, size,
            "a lock is released at 0x%x, %d bundles after this store; %d are known to be safe",
            f->other.address, f->distance, f->needed);
    case WI_CHECK_OLD_READ:
        return snprintf(
            buf, size,
            "%s at 0x%x reads %s %d bundles after %s, which takes %d: it gets the old value", other,
            f->other.address, unit_name(f->subject), f->distance, at, f->needed);
    case WI_CHECK_NEW_READ:
        return snprintf(buf, size,
                        "%s samples %s late: it gets the value of %s at 0x%x, %d bundles later", at,
                        unit_name(f->subject), other, f->other.address, f->distance);
    case WI_CHECK_LOOP_SHORT:
        return snprintf(
            buf, size,
            "LS, LE or LC is set %d bundles before the loop's last one at 0x%x; %d are needed",
            f->distance, f->other.address, f->needed);
    case WI_CHECK_LOCK:
        return snprintf(buf, size, "a memory access beside an acquire is not guarded by it");
    default: /* WI_CHECK_UNSTORED */
        return snprintf(
            buf, size,
            "a lock is released at 0x%x, %d bundles after this store; %d are needed for the "
            "data to be in memory",
            f->other.address, f->distance, f->needed);
    }
}

static int print_single(const struct wi_check_finding *f, char *buf, size_t size) {
    switch ((enum wi_check_rule)f->rule) {
    case WI_CHECK_DECODE: return snprintf(buf, size, "no bundle");
    case WI_CHECK_RANGE:
        return snprintf(buf, size, "goes on at 0x%x, outside the program or its 16 KB", f->value);
    case WI_CHECK_ALIGN: return snprintf(buf, size, "0x%x is not a multiple of 16", f->value);
    case WI_CHECK_DELAY:
        return snprintf(buf, size, "a branch in a delay slot of the one at 0x%x", f->value);
    case WI_CHECK_TARGET: return snprintf(buf, size, "where this goes is not known before it runs");
    case WI_CHECK_LOOP_ALIGN:
        return snprintf(buf, size, "the loop from 0x%x to here is not on multiples of 16",
                        f->value);
    case WI_CHECK_LOOP_LAST:
        return snprintf(buf, size,
                        "the last bundle of the loop from 0x%x is not one of 16 bytes without a "
                        "part-word store",
                        f->value);
    default: /* WI_CHECK_LOOP_BRANCH */
        return snprintf(buf, size,
                        "a branch out of a hardware loop, into it, or over its end (0x%x)",
                        f->value);
    }
}

int wi_check_print(const struct wi_check_finding *f, char *buf, size_t size) {
    char at[WI_ISA_MAX_TEXT + 8], other[WI_ISA_MAX_TEXT + 8], what[3 * WI_ISA_MAX_TEXT];
    bool pair = f->other.slot < WI_N_SLOTS || f->needed > 0;
    print_place(&f->at, at, sizeof at);
    print_place(&f->other, other, sizeof other);
    if (pair)
        print_pair(f, at, other, what, sizeof what);
    else
        print_single(f, what, sizeof what);
    return snprintf(buf, size, "0x%04x: %s: %s", f->at.address, wi_check_rule_name(f->rule), what);
}

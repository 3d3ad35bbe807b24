/* The paths of a program.  A node is a bundle in a context: which hardware loop is set up, which
 * branch is under way in its delay slots, which function runs, which code addresses are in
 * pointers.  Edges go to what may issue next.  The graph belongs to the caller until wi_flow_fini.
 * Not thread-safe. */
#ifndef WISP_SRC_NPU_ASM_FLOW_H
#define WISP_SRC_NPU_ASM_FLOW_H

#include "npu/asm/check.h"

enum { WI_FLOW_MAX_NODES = 1 << 20, WI_FLOW_UNKNOWN = -1 };

/* A bundle, decoded once. */
struct wi_flow_bundle {
    struct wi_isa_bundle bundle;
    struct {
        uint8_t slot;
        struct wi_isa_access access;
    } access[WI_N_SLOTS * WI_ISA_MAX_ACCESSES];
    struct {
        uint8_t slot;
        struct wi_isa_port_use use;
    } port[WI_N_SLOTS * WI_ISA_MAX_PORTS];
    int n_accesses, n_ports;
    bool loads_stores, acquires, releases, sets_loop, plain_store, part_store;
};

struct wi_flow_context {
    int32_t pc;
    int32_t function;       /* its entry */
    int32_t ls, le, p[8];   /* code addresses, UNKNOWN */
    int32_t branch, target; /* address of the branch under way and where it goes; UNKNOWN */
    int32_t kind, left;     /* enum wi_kind; delay slots left, 0: no branch under way */
};

struct wi_flow_node {
    struct wi_flow_context context;
    int bundle;     /* index, -1: no bundle there */
    int first_edge; /* -1: none */
};

struct wi_flow_edge {
    int to, next; /* next: of the same node, -1 = last */
};

struct wi_flow {
    const uint8_t *code;
    uint32_t base, size;
    struct wi_flow_bundle *bundles;
    int *bundle_at; /* [size / 2]: index by address, -1 = not decoded yet, -2 = cannot be */
    struct wi_flow_node *nodes;
    struct wi_flow_edge *edges;
    int *buckets; /* hash table of nodes */
    size_t n_bundles, max_bundles, n_nodes, max_nodes, n_edges, max_edges, n_buckets;
    struct {
        int32_t function, branch, point, caller; /* call: where, return point, the caller's entry */
        int node;                                /* return: the node in its last delay slot */
    } * calls, *returns;
    size_t n_calls, max_calls, n_returns, max_returns;
    struct wi_check_report *report;
};

/* Follow all paths from the entries; what is wrong with them goes to the report.  Errors: NOMEM,
 * UNSUPPORTED (too many paths). */
int wi_flow_build(struct wi_flow *flow, const uint8_t *code, size_t size, uint32_t base,
                  const uint32_t *entries, size_t n_entries, struct wi_check_report *report,
                  struct wisp_error *err);
void wi_flow_fini(struct wi_flow *flow);

/* Add a finding unless the same pair has it already. */
void wi_check_add(struct wi_check_report *report, struct wi_check_finding finding);

#endif

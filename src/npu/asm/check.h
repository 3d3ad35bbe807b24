/* Hazards of finished programs, whoever made them.  The core has no interlock: a program is right
 * or wrong by the distances of its bundles, so they are checked on every path: both sides of
 * branches, five delay slots, calls and returns, and hardware loops that are run once and again.
 * The report belongs to the caller.  No state, so thread-safe.  Rules and their sources:
 * src/npu/README.md. */
#ifndef WISP_SRC_NPU_ASM_CHECK_H
#define WISP_SRC_NPU_ASM_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <wisp/wisp.h>

#include "npu/isa/isa.h"

enum {
    WI_CHECK_PROGRAM_BYTES = 16384, /* of program memory */
    WI_CHECK_LOOP_SETUP =
        7, /* bundles from the last write of LS, LE or LC to the loop's last bundle */
    WI_CHECK_RELEASE = 6,      /* bundles from a store to the release of a lock that are safe */
    WI_CHECK_RELEASE_RMW = 12, /* the same of a part-word store */
    WI_CHECK_RELEASE_STAGE = 5 /* of a lock operation: the last that holds the lock unit */
};

/* What a finding is about. */
enum wi_check_rule {
    WI_CHECK_DECODE,      /* bytes that are no bundle are reached */
    WI_CHECK_RANGE,       /* execution leaves the program, or the program its memory */
    WI_CHECK_ALIGN,       /* a target, an entry or a return point is not on 16 bytes */
    WI_CHECK_DELAY,       /* a branch in a delay slot */
    WI_CHECK_PORT,        /* two operations hold one port in the same cycle */
    WI_CHECK_WRITE_ORDER, /* an older result lands with a newer one, or buries it unread */
    WI_CHECK_LOOP_ALIGN,  /* LS or LE is not on 16 bytes */
    WI_CHECK_LOOP_LAST,   /* the loop's last bundle is not of 16 bytes, or has a part-word store */
    WI_CHECK_LOOP_SHORT,  /* LS, LE or LC is set too late */
    WI_CHECK_LOOP_BRANCH, /* a branch, but no call, out of a hardware loop or into it past its start
                           */
    WI_CHECK_LOCK,        /* a memory access in the bundle of an acquire */
    WI_CHECK_UNSTORED,    /* a lock is released before stored data is in memory */
    /* legal, and worth knowing: */
    WI_CHECK_TARGET,     /* a branch to an address that is not known before it runs */
    WI_CHECK_OLD_READ,   /* a register is read before an older write has landed */
    WI_CHECK_NEW_READ,   /* a register is sampled after a younger write has landed */
    WI_CHECK_SHORT_LIFE, /* a result is read before an older one lands in its register */
    WI_CHECK_MARGIN,     /* a release that is closer to a store than the margin, but behind it */
    WI_CHECK_STRICT,     /* a port by the tables, but not by what another compiler's code does */
    WI_CHECK_N_RULES
};

/* Something at a bundle; `other` is the second of a guilty pair, the one that issues later. */
struct wi_check_place {
    uint32_t address;
    uint8_t slot; /* enum wi_slot; WI_N_SLOTS: the bundle */
    struct wi_isa_op op;
};
struct wi_check_finding {
    uint8_t rule;
    uint8_t subject;      /* enum wi_port of PORT, enum wi_unit of register rules */
    int distance, needed; /* bundles between the two; 0: the same bundle */
    struct wi_check_place at, other;
    uint32_t value; /* an address: of a target, of LS */
};

struct wi_check_report {
    struct wi_check_finding *findings; /* in order of address; each guilty pair once */
    size_t n_findings, max_findings;
    size_t n_hazards;            /* those that are not legal */
    size_t n_bundles, n_bytes;   /* that are reached */
    size_t n_reads, n_old_reads; /* pairs of a write and a read of it within the longest latency */
    bool failed;                 /* out of memory: findings are missing */
};

/* Check the program whose first byte lies at `base`, entered at the addresses `entries`.  Errors:
 * NOMEM, UNSUPPORTED (too many paths to look at). */
int wi_check(struct wi_check_report *report, const uint8_t *code, size_t size, uint32_t base,
             const uint32_t *entries, size_t n_entries, struct wisp_error *err);
void wi_check_report_fini(struct wi_check_report *report);

/* "port", "write order" ... */
const char *wi_check_rule_name(enum wi_check_rule rule);
bool wi_check_is_hazard(enum wi_check_rule rule);

/* One line without its end, like snprintf. */
int wi_check_print(const struct wi_check_finding *finding, char *buf, size_t size);

#endif

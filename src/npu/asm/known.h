/* Schedules of loops that a long search found once, kept as data: known.def.  A row is found by the
 * loop's own description and believed only after every edge, every resource and the registers were
 * checked, so a stale row costs a search and nothing else.  tests/npu/find_schedules.c writes them.
 * Constant data, thread-safe. */
#ifndef WISP_SRC_NPU_ASM_KNOWN_H
#define WISP_SRC_NPU_ASM_KNOWN_H

#include "base/strbuf.h"
#include "npu/asm/sched.h"

/* Take the kept schedule of a loop; false: there is none of fewer than `cycles` cycles that holds.
 * Times are then set and registers given. */
bool wi_sched_known(struct wi_sched *s, int cycles);

/* A scheduled loop as a row of known.def. */
void wi_sched_print_known(const struct wi_sched *s, struct wi_strbuf *out);

#endif

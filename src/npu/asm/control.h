/* Control code: scalar operations with labels and branches, in the order of the program and each in
 * the first bundle that those before it allow.  At a label everything before has landed.  After a
 * failure calls do nothing. */
#ifndef WISP_SRC_NPU_ASM_CONTROL_H
#define WISP_SRC_NPU_ASM_CONTROL_H

#include "npu/asm/layout.h"

enum { WI_CONTROL_LABELS = 16 };
struct wi_control {
    struct wi_layout l;
    size_t row[WI_CONTROL_LABELS]; /* of each label */
    int n_labels;
    bool failed; /* out of memory */
};

void wi_control_init(struct wi_control *c);
void wi_control_fini(struct wi_control *c);

/* Append an operation; v: its fields in the order of its text. */
void wi_control_op(struct wi_control *c, enum wi_opcode id, const int32_t *v);
#define WI_CONTROL(c, id, ...) wi_control_op(c, WI_OP_##id, (const int32_t[]){__VA_ARGS__})

int wi_control_label(struct wi_control *c); /* a new one, which is somewhere */
void wi_control_here(struct wi_control *c, int label);
/* A branch whose field `field` is a label, or one (label -1) to where its fields say.  What was
 * appended before may fill its delay slots. */
void wi_control_branch(struct wi_control *c, enum wi_opcode id, const int32_t *v, int field,
                       int label);
#define WI_BRANCH(c, id, field, label, ...)                                                        \
    wi_control_branch(c, WI_OP_##id, (const int32_t[]){__VA_ARGS__}, field, label)

/* Bytes from address `base` on, which the caller frees by wi_code_fini.  Errors: NOMEM, INTERNAL.
 */
int wi_control_finish(struct wi_control *c, uint32_t base, struct wi_code *out,
                      struct wisp_error *err);

#endif

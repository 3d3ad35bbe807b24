/* Text of operations and bundles to their decoded form.  Pure functions on the caller's memory,
 * thread-safe. */
#ifndef WISP_SRC_NPU_ASM_PARSE_H
#define WISP_SRC_NPU_ASM_PARSE_H

#include <wisp/wisp.h>

#include "npu/isa/isa.h"

/* A label in the place of an address: the value of field `field` of the operation in `slot`, not
 * known yet. */
struct wi_asm_ref {
    const char *name; /* in the text; NULL = none */
    size_t len;
    enum wi_slot slot;
    int field;
};

/* Parse "vadd.f bml0, bml1, bml2, r0" (`len` characters).  Errors: FORMAT, with a reason that names
 * what does not fit. */
int wi_asm_parse_op(struct wi_isa_op *op, enum wi_slot *slot, struct wi_asm_ref *ref,
                    const char *text, size_t len, struct wisp_error *err);

/* Parse operations with semicolons between them, one for each slot of a format, in any order. */
int wi_asm_parse_bundle(struct wi_isa_bundle *bundle, struct wi_asm_ref *ref, const char *text,
                        size_t len, struct wisp_error *err);

#endif

#include "npu/asm/link.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "npu/asm/control.h"

/* ---------------------------------------------------------------- the dispatcher */

/* What routines leave alone. */
enum { COMMAND = WI_REG_R + 31, TIMES = WI_REG_R + 30 };

/*       unit = the first one
 * next: take the ring's next unit, call the taking routine with it, free it; command = the first
 * work: stop at routine 0, the next unit is its params
 * again: call routine(params) `times` times; on to the next command */
static void dispatcher(struct wi_control *c, const struct wi_resident *r, uint32_t take) {
    const int32_t p0 = WI_REG_P, p1 = WI_REG_P + 1, p6 = WI_REG_P + 6, r0 = WI_REG_R, r1 = r0 + 1;
    const int32_t size = sizeof(struct wi_command);
    int next = wi_control_label(c), work = wi_control_label(c), again = wi_control_label(c),
        end = wi_control_label(c);
    WI_CONTROL(c, MOVXM, p0, (int32_t)r->unit);
    wi_control_here(c, next);
    WI_CONTROL(c, MOVX, r0, -1);
    WI_CONTROL(c, ACQ_IMM, r->full, r0);
    WI_BRANCH(c, JL, -1, -1, (int32_t)take);
    WI_CONTROL(c, MOVX, r1, 1);
    WI_CONTROL(c, REL_IMM, r->free, r1);
    WI_CONTROL(c, MOVXM, p6, (int32_t)r->commands);
    wi_control_here(c, work);
    WI_CONTROL(c, LDA_INC, r0, p6, 4);
    WI_CONTROL(c, LDA_INC, p0, p6, 4);
    WI_CONTROL(c, LDA_INC, TIMES, p6, size - 8);
    WI_CONTROL(c, MOV, COMMAND, p6);
    WI_CONTROL(c, MOV, p1, r0);
    WI_BRANCH(c, JZ, 1, end, r0, 0);
    wi_control_here(c, again);
    WI_BRANCH(c, JL_IND, -1, -1, p1);
    WI_CONTROL(c, MOV, p6, COMMAND);
    WI_CONTROL(c, ADD_NC, TIMES, TIMES, -1);
    WI_CONTROL(c, LDA_OFF, p1, p6, -size);
    WI_CONTROL(c, LDA_OFF, p0, p6, 4 - size);
    WI_BRANCH(c, JNZ, 1, again, TIMES, 0);
    WI_BRANCH(c, J, 0, work, 0);
    wi_control_here(c, end);
    WI_BRANCH(c, J, 0, next, 0);
}

static int make_dispatcher(const struct wi_resident *r, uint32_t take, struct wi_code *code,
                           struct wisp_error *err) {
    struct wi_control c;
    wi_control_init(&c);
    dispatcher(&c, r, take);
    int rc = wi_control_finish(&c, 0, code, err);
    wi_control_fini(&c);
    return rc;
}

/* In front of the routines, of which it calls the first: its own size is known before its address.
 */
static int add_dispatcher(struct wi_linked *out, const struct wi_resident *r,
                          struct wisp_error *err) {
    struct wi_code code;
    int rc = make_dispatcher(r, 0, &code, err);
    out->dispatcher_bytes = (uint32_t)code.bytes.len;
    wi_code_fini(&code);
    if (rc == WISP_OK)
        rc = make_dispatcher(r, out->dispatcher_bytes, &code, err);
    if (rc == WISP_OK)
        wi_strbuf_add(&out->bytes, code.bytes.data, code.bytes.len);
    wi_code_fini(&code);
    return rc;
}

/* ---------------------------------------------------------------- routines */

static int add_routine(struct wi_linked *out, const struct wi_routine *r, struct wisp_error *err) {
    struct wi_build *b;
    struct wi_code code;
    uint32_t address = (uint32_t)out->bytes.len;
    int rc = wi_build_create(&b, err);
    if (rc != WISP_OK)
        return rc;
    r->emit(b);
    rc = wi_build_finish(b, WI_PIPELINED, address, &code, err);
    wi_build_destroy(&b);
    if (rc != WISP_OK)
        return rc;
    out->at[out->n].name = r->name;
    out->at[out->n].address = address;
    out->at[out->n++].bytes = (uint32_t)code.bytes.len;
    wi_strbuf_add(&out->bytes, code.bytes.data, code.bytes.len);
    wi_code_fini(&code);
    return WISP_OK;
}

int wi_link(struct wi_linked *out, const struct wi_routine *routines, int n,
            const struct wi_resident *resident, struct wisp_error *err) {
    memset(out, 0, sizeof *out);
    wi_strbuf_init(&out->bytes);
    int rc = n <= WI_LINK_MAX
                 ? add_dispatcher(out, resident, err)
                 : wi_err_set(err, WISP_E_UNSUPPORTED, "more than %d routines", WI_LINK_MAX);
    for (int i = 0; rc == WISP_OK && i < n; i++)
        rc = add_routine(out, &routines[i], err);
    if (rc == WISP_OK && out->bytes.failed)
        rc = wi_err_nomem(err, "a program");
    if (rc == WISP_OK && out->bytes.len > WI_LINK_BYTES)
        rc = wi_err_set(err, WISP_E_UNSUPPORTED,
                        "a program of %zu bytes, of which program memory holds %d; leave out "
                        "routines",
                        out->bytes.len, WI_LINK_BYTES);
    if (rc != WISP_OK)
        wi_linked_fini(out);
    return rc;
}

void wi_linked_fini(struct wi_linked *linked) {
    wi_strbuf_fini(&linked->bytes);
    memset(linked, 0, sizeof *linked);
}

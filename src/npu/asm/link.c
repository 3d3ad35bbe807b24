#include "npu/asm/link.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "npu/asm/layout.h"

enum { LOAD_USE = 7, DELAY = WI_ISA_N_DELAY_SLOTS };

/* ---------------------------------------------------------------- the dispatcher */

static struct wi_row *rows_to(struct wi_rows *rows, size_t n) {
    if (!wi_grow(&rows->v, &rows->max, n, sizeof *rows->v))
        return NULL;
    if (n > rows->n)
        memset(rows->v + rows->n, 0, (n - rows->n) * sizeof *rows->v);
    rows->n = n > rows->n ? n : rows->n;
    return &rows->v[n - 1];
}

/* Append an operation in a row of its own, `gap` rows behind the last one. */
static void op(struct wi_rows *rows, bool *ok, size_t gap, unsigned id, int32_t v0, int32_t v1,
               int32_t v2) {
    struct wi_row *row = *ok ? rows_to(rows, rows->n + gap + 1) : NULL;
    *ok = row != NULL;
    if (row)
        row->op[wi_isa_info(id)->slot] = (struct wi_isa_op){.id = (uint16_t)id, .v = {v0, v1, v2}};
}

/* Let field `field` of the last row's branch be the address of a row. */
static void to_row(struct wi_rows *rows, bool ok, uint8_t field, size_t target) {
    if (ok)
        rows->v[rows->n - 1].fix[WI_SLOT_LNG] = (struct wi_fix){WI_ARG_ROW, field, (int16_t)target};
}

/*     p6 = commands
 * next: p1 = routine, p0 = params; stop if there is none
 *       keep p6; call p1; p6 back
 *       go to next
 * stop: done */
static bool dispatcher(struct wi_rows *rows, uint32_t commands, uint32_t scratch) {
    const int32_t p0 = WI_REG_P, p1 = WI_REG_P + 1, p6 = WI_REG_P + 6, r0 = WI_REG_R;
    const size_t next = 2, back = next + 2 * LOAD_USE + 2 + DELAY + 1, stop = back + LOAD_USE;
    bool ok = true;
    op(rows, &ok, 0, WI_OP_MOVXM, p6, (int32_t)commands, 0);
    op(rows, &ok, 0, WI_OP_MOVXM, WI_REG_SP, (int32_t)scratch, 0);
    op(rows, &ok, 0, WI_OP_LDA_INC, p1, p6, 4);
    op(rows, &ok, 0, WI_OP_LDA_INC, p0, p6, 4);
    op(rows, &ok, LOAD_USE - 2, WI_OP_MOV, r0, p1, 0);
    op(rows, &ok, 0, WI_OP_JZ, r0, 0, 0);
    to_row(rows, ok, 1, stop);
    op(rows, &ok, 0, WI_OP_ST_SP, p6, 0, 0);
    op(rows, &ok, back - DELAY - 1 - rows->n, WI_OP_JL_IND, p1, 0, 0);
    op(rows, &ok, DELAY, WI_OP_LDA_SP, p6, 0, 0);
    op(rows, &ok, 0, WI_OP_J, 0, 0, 0);
    to_row(rows, ok, 0, next);
    op(rows, &ok, DELAY, WI_OP_DONE, 0, 0, 0);
    ok = ok && rows_to(rows, rows->n + DELAY) != NULL;
    if (ok)
        rows->v[next].aligned = rows->v[back].aligned = rows->v[stop].aligned = true;
    return ok;
}

static int add_dispatcher(struct wi_linked *out, uint32_t commands, uint32_t scratch,
                          struct wisp_error *err) {
    struct wi_layout l = {.b = NULL};
    struct wi_code code = {.base = 0};
    wi_strbuf_init(&code.bytes);
    int rc = dispatcher(&l.rows, commands, scratch) ? wi_layout_encode(&l, 0, &code, err)
                                                    : wi_err_nomem(err, "a dispatcher");
    if (rc == WISP_OK)
        wi_strbuf_add(&out->bytes, code.bytes.data, code.bytes.len);
    out->dispatcher_bytes = (uint32_t)out->bytes.len;
    wi_code_fini(&code);
    wi_layout_fini(&l);
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

int wi_link(struct wi_linked *out, const struct wi_routine *routines, int n, uint32_t commands,
            uint32_t scratch, struct wisp_error *err) {
    memset(out, 0, sizeof *out);
    wi_strbuf_init(&out->bytes);
    int rc = n <= WI_LINK_MAX
                 ? add_dispatcher(out, commands, scratch, err)
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

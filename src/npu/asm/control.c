#include "npu/asm/control.h"

#include <string.h>

#include "base/err.h"
#include "base/mem.h"

enum { BRANCH = 1 + WI_ISA_N_DELAY_SLOTS, ANY_STREAM = 1, STORE_TO_RELEASE = 7 };

void wi_control_init(struct wi_control *c) {
    memset(c, 0, sizeof *c);
}

void wi_control_fini(struct wi_control *c) {
    wi_layout_fini(&c->l);
}

/* A row of one operation. */
static struct wi_row row_of(unsigned id, const int32_t *v) {
    const struct wi_isa_info *info = wi_isa_info(id);
    struct wi_row row;
    memset(&row, 0, sizeof row);
    row.op[info->slot].id = (uint16_t)id;
    memcpy(row.op[info->slot].v, v, info->n_fields * sizeof *v);
    if (info->kind == WI_KIND_LOAD || info->kind == WI_KIND_STORE || info->kind == WI_KIND_RMW) {
        row.banks[info->slot] = WI_ANY_BANK;
        row.stream[info->slot] = ANY_STREAM;
    }
    return row;
}

/* Where it went, not before the last row but `head`. */
static size_t append(struct wi_control *c, const struct wi_row *row, int head) {
    int at = c->failed ? -1 : wi_rows_join(&c->l, row, 1, head, -1);
    c->failed |= at < 0;
    return c->failed ? 0 : (size_t)at;
}

void wi_control_op(struct wi_control *c, enum wi_opcode id, const int32_t *v) {
    struct wi_row row = row_of(id, v);
    append(c, &row, 1);
}

/* Rows from a row on until its results have landed, its ports are free and what it stored may be
 * handed over by a lock. */
static size_t settling(const struct wi_row *row) {
    int most = wi_row_landing(row);
    for (unsigned s = 0; s < WI_N_SLOTS; s++) {
        struct wi_isa_port_use port[WI_ISA_MAX_PORTS];
        int n = row->op[s].id ? wi_isa_ports(&row->op[s], port) : 0;
        for (int i = 0; i < n; i++)
            most = port[i].last > most ? port[i].last : most;
        if (row->banks[s] && most < STORE_TO_RELEASE)
            most = STORE_TO_RELEASE;
    }
    return (size_t)most;
}

/* The first row at which everything has settled. */
static size_t settled(const struct wi_control *c) {
    size_t n = c->l.rows.n;
    for (size_t i = 0; i < c->l.rows.n; i++)
        if (i + settling(&c->l.rows.v[i]) > n)
            n = i + settling(&c->l.rows.v[i]);
    return n;
}

/* Nothing more before row n, which a branch or return comes to. */
static void land_at(struct wi_control *c, int label, size_t n) {
    struct wi_rows *rows = &c->l.rows;
    if (c->failed || !wi_grow(&rows->v, &rows->max, n, sizeof *rows->v)) {
        c->failed = true;
        return;
    }
    memset(rows->v + rows->n, 0, (n - rows->n) * sizeof *rows->v);
    rows->n = c->l.barrier = c->row[label] = n;
}

int wi_control_label(struct wi_control *c) {
    c->failed |= c->n_labels == WI_CONTROL_LABELS;
    return c->failed ? 0 : c->n_labels++;
}

void wi_control_here(struct wi_control *c, int label) {
    land_at(c, label, settled(c));
}

void wi_control_branch(struct wi_control *c, enum wi_opcode id, const int32_t *v, int field,
                       int label) {
    struct wi_row row = row_of(id, v);
    size_t landed = settled(c);
    if (label >= 0)
        row.fix[wi_isa_info(id)->slot] =
            (struct wi_fix){WI_ARG_ROW, (uint8_t)field, (int16_t)label};
    if (landed > c->l.barrier + BRANCH)
        c->l.barrier = landed - BRANCH;
    size_t at = append(c, &row, BRANCH);
    land_at(c, wi_control_label(c), at + BRANCH);
}

int wi_control_finish(struct wi_control *c, uint32_t base, struct wi_code *out,
                      struct wisp_error *err) {
    memset(out, 0, sizeof *out);
    wi_strbuf_init(&out->bytes);
    for (size_t i = 0; i < c->l.rows.n; i++)
        for (unsigned s = 0; s < WI_N_SLOTS; s++)
            if (c->l.rows.v[i].fix[s].kind == WI_ARG_ROW)
                c->l.rows.v[i].fix[s].region = (int16_t)c->row[c->l.rows.v[i].fix[s].region];
    for (int i = 0; i < c->n_labels; i++)
        if (c->row[i] < c->l.rows.n)
            c->l.rows.v[c->row[i]].aligned = true;
    return c->failed ? wi_err_nomem(err, "control code") : wi_layout_encode(&c->l, base, out, err);
}

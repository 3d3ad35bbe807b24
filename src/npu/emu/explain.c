/* Why nothing moves: one line for each unit that waits, the likely cause first. */
#include "npu/emu/array_impl.h"

#include <stdio.h>

void wi_arr_span(struct wi_array *a, struct wi_array_span span) {
    if (a->trace)
        a->trace(a->trace_user, &span);
}

static void explain_controller(const struct wi_array *a, struct wi_strbuf *out) {
    const struct controller *k = &a->controller;
    if (!k->cfg || !k->waiting)
        return;
    const struct wi_tile *t = &a->tile[k->missing_tile];
    const struct channel *c = &t->channel[k->missing_mm2s][k->missing_channel];
    wi_strbuf_printf(out, "the controller (operation %zu) waits for a token of (%d,%d) %s%u, ",
                     k->at, t->col, t->row, c->mm2s ? "mm2s" : "s2mm", c->number);
    if (c->state != CHANNEL_IDLE)
        wi_strbuf_printf(out, "whose task with bd%u %s\n", c->task.bd,
                         c->task.token ? "has not ended"
                                       : "was not asked for one (bit 31 of the queue)");
    else if (!c->count_of.tasks)
        wi_strbuf_puts(out, "which was given no task\n");
    else
        wi_strbuf_puts(out, "whose tasks have ended without one (bit 31 of the queue)\n");
}

static void explain_lock(const struct wi_tile *t, unsigned id, int value, struct wi_strbuf *out) {
    wi_strbuf_printf(out, "waits for lock%u of (%d,%d), which is %u, to be %s%d", id, t->col,
                     t->row, t->lock[id].value, value < 0 ? "at least " : "",
                     value < 0 ? -value : value);
}

static void explain_core(const struct emu_core *c, struct wi_strbuf *out) {
    if (c->state != CORE_WAIT)
        return;
    wi_strbuf_printf(out, "(%d,%d) core at 0x%04x ", c->tile->col, c->tile->row,
                     wi_emu_core_pc(c->core));
    if (c->wait_lock)
        explain_lock(c->wait_tile, (unsigned)(c->wait_lock - c->wait_tile->lock), c->wait_value,
                     out);
    else
        wi_strbuf_printf(out, "waits for its %s", wi_emu_stall_name(wi_emu_core_blocked(c->core)));
    wi_strbuf_puts(out, "\n");
}

static void explain_channel(const struct channel *c, struct wi_strbuf *out) {
    char name[32];
    if (c->state == CHANNEL_IDLE && !c->count)
        return;
    wi_arr_channel_name(c, name, sizeof name);
    wi_strbuf_printf(out, "(%d,%d) %s ", c->tile->col, c->tile->row, name);
    if (c->state == CHANNEL_ACQUIRE) {
        int side = c->tile->kind == WI_TILE_MEM ? (int)(c->bd.v[WI_BD_ACQ_ID] / 64) - 1 : 0;
        const struct wi_tile *t = wi_arr_tile(c->tile->array, c->tile->col + side, c->tile->row);
        explain_lock(t ? t : c->tile, (unsigned)c->bd.v[WI_BD_ACQ_ID] % 64,
                     (int)c->bd.v[WI_BD_ACQ_VALUE], out);
    } else if (c->mm2s) {
        wi_strbuf_printf(out, "has %u words that the stream does not take", c->count);
    } else {
        wi_strbuf_printf(out, "waits for %llu of %lld words from the stream",
                         (unsigned long long)c->addr.left, (long long)c->bd.v[WI_BD_LENGTH]);
    }
    wi_strbuf_puts(out, "\n");
}

static void explain_switch(const struct wi_tile *t, struct wi_strbuf *out) {
    char name[16];
    for (int i = 0; i < t->sw.n_slaves; i++) {
        const struct slave *s = &t->sw.slave[i];
        bool on = s->ctrl >> WI_SWITCH_ENABLE_BIT & 1, packet = s->ctrl >> WI_SWITCH_PACKET_BIT & 1;
        if (!s->q.count)
            continue;
        wi_switch_port_print(wi_switch_port(t->kind, WI_SWITCH_SLAVE, i), name, sizeof name);
        wi_strbuf_printf(out, "(%d,%d) %s holds %u words: %s\n", t->col, t->row, name, s->q.count,
                         !on                      ? "it is not enabled"
                         : packet && !s->packet   ? "its arbiter is held by another packet"
                         : !packet && !s->circuit ? "no master takes from it"
                                                  : "a master that takes from it is full");
    }
}

void wi_array_explain(const struct wi_array *a, struct wi_strbuf *out) {
    explain_controller(a, out);
    for (int i = 0; i < WI_ARRAY_TILES; i++) {
        const struct wi_tile *t = &a->tile[i];
        if (t->core)
            explain_core(t->core, out);
        for (int k = 0; k < 2 * t->n_channels; k++)
            explain_channel(&t->channel[k % 2][k / 2], out);
        explain_switch(t, out);
    }
}

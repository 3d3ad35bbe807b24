/* Stream switches: words from slave to master ports, circuits and packets, and on to the
 * neighbour's slave port or into a unit. */
#include "npu/emu/array_impl.h"

#include <string.h>

static bool on(uint32_t ctrl) {
    return ctrl >> WI_SWITCH_ENABLE_BIT & 1;
}

static bool packets(uint32_t ctrl) {
    return ctrl >> WI_SWITCH_PACKET_BIT & 1;
}

/* ------------------------------------------------------------------ wiring */

static bool is_far(enum wi_switch_end end) {
    return end == WI_SWITCH_SOUTH || end == WI_SWITCH_WEST || end == WI_SWITCH_NORTH ||
           end == WI_SWITCH_EAST;
}

/* The neighbour in a direction and the end by which it knows the wire. */
static struct wi_tile *neighbour(const struct wi_tile *t, enum wi_switch_end end,
                                 enum wi_switch_end *there) {
    switch (end) {
    case WI_SWITCH_SOUTH:
        *there = WI_SWITCH_NORTH;
        return wi_arr_tile(t->array, t->col, t->row - 1);
    case WI_SWITCH_NORTH:
        *there = WI_SWITCH_SOUTH;
        return wi_arr_tile(t->array, t->col, t->row + 1);
    case WI_SWITCH_WEST: *there = WI_SWITCH_EAST; return wi_arr_tile(t->array, t->col - 1, t->row);
    case WI_SWITCH_EAST: *there = WI_SWITCH_WEST; return wi_arr_tile(t->array, t->col + 1, t->row);
    default: return NULL;
    }
}

static void wire_master(struct wi_tile *t, int i, struct wi_switch_port p) {
    struct master *m = &t->sw.master[i];
    struct sink *s = &t->sw.sink[i];
    enum wi_switch_end there = WI_SWITCH_NONE;
    bool far = is_far(p.kind);
    m->q.latency = far ? WI_T_FAR_MASTER : WI_T_LOCAL_MASTER;
    m->q.depth = far ? WI_T_FAR_MASTER_WORDS : WI_T_LOCAL_MASTER_WORDS;
    *s = (struct sink){.end = p.kind, .number = (uint8_t)p.number};
    s->tile = p.kind == WI_SWITCH_FIFO ? t : neighbour(t, p.kind, &there);
    if (s->tile)
        s->slave = (uint8_t)wi_switch_port_index(s->tile->kind, WI_SWITCH_SLAVE,
                                                 s->tile == t ? WI_SWITCH_FIFO : there, p.number);
}

/* The channel that feeds a slave port; a shim's enter from the south. */
static struct channel *feeder(struct wi_tile *t, struct wi_switch_port p) {
    bool shim = t->kind == WI_TILE_SHIM && p.kind == WI_SWITCH_SOUTH;
    if (shim && (p.number == 3 || p.number == 7))
        return &t->channel[1][p.number == 7];
    return p.kind == WI_SWITCH_DMA ? &t->channel[1][p.number] : NULL;
}

static void wire_slave(struct wi_tile *t, int i, struct wi_switch_port p) {
    struct slave *s = &t->sw.slave[i];
    enum wi_switch_end there;
    t->sw.feeder[i] = feeder(t, p);
    s->q.latency = WI_T_SLAVE;
    s->q.depth = p.kind == WI_SWITCH_FIFO ? WI_T_FIFO_WORDS : WI_T_SLAVE_WORDS;
    t->sw.source[i] = p.kind == WI_SWITCH_FIFO ? t : neighbour(t, p.kind, &there);
}

void wi_arr_switch_reset(struct wi_tile *t) {
    struct wi_switch *sw = &t->sw;
    struct wi_switch_port p;
    memset(sw, 0, sizeof *sw);
    for (; (p = wi_switch_port(t->kind, WI_SWITCH_MASTER, sw->n_masters)).kind != WI_SWITCH_NONE;
         sw->n_masters++)
        wire_master(t, sw->n_masters, p);
    for (; (p = wi_switch_port(t->kind, WI_SWITCH_SLAVE, sw->n_slaves)).kind != WI_SWITCH_NONE;
         sw->n_slaves++)
        wire_slave(t, sw->n_slaves, p);
    for (int a = 0; a < N_ARBITERS; a++)
        sw->arbiter[a].owner = -1;
    sw->core = (int8_t)wi_switch_port_index(t->kind, WI_SWITCH_SLAVE, WI_SWITCH_CORE, 0);
    sw->ctrl = (int8_t)wi_switch_port_index(t->kind, WI_SWITCH_SLAVE, WI_SWITCH_CTRL, 0);
    sw->dma = (int8_t)wi_switch_port_index(t->kind, WI_SWITCH_SLAVE, WI_SWITCH_DMA, 0);
    sw->south = (int8_t)wi_switch_port_index(t->kind, WI_SWITCH_SLAVE, WI_SWITCH_SOUTH, 0);
}

/* The crossbar has no wire for some pairs. [doc aie-rt, xaie_ss_aieml.c; ref 6.3] */
static bool has_wire(enum wi_tile_kind kind, struct wi_switch_port from, struct wi_switch_port to) {
    bool same = from.number == to.number,
         vertical = to.kind == WI_SWITCH_SOUTH || to.kind == WI_SWITCH_NORTH;
    switch (from.kind) {
    case WI_SWITCH_CORE: return to.kind != WI_SWITCH_CORE;
    case WI_SWITCH_DMA: return to.kind != WI_SWITCH_DMA || same;
    case WI_SWITCH_CTRL:
        if (kind == WI_TILE_MEM)
            return vertical || (to.kind == WI_SWITCH_DMA && to.number == 5);
        return to.kind != WI_SWITCH_CTRL && to.kind != WI_SWITCH_DMA;
    case WI_SWITCH_TRACE:
        if (kind == WI_TILE_MEM)
            return to.kind == WI_SWITCH_SOUTH || (to.kind == WI_SWITCH_DMA && to.number == 5);
        return to.kind == WI_SWITCH_FIFO || to.kind == WI_SWITCH_SOUTH ||
               (to.kind == WI_SWITCH_DMA && to.number == 0);
    case WI_SWITCH_FIFO: return true;
    case WI_SWITCH_SOUTH:
        if (kind == WI_TILE_SHIM)
            return true;
        /* fall through */
    default:
        if (kind == WI_TILE_MEM && vertical)
            return same; /* what passes a memory tile keeps its lane */
        return from.kind != to.kind || same;
    }
}

static void check_wire(struct wi_tile *t, int slave, int master) {
    struct wi_switch_port from = wi_switch_port(t->kind, WI_SWITCH_SLAVE, slave);
    struct wi_switch_port to = wi_switch_port(t->kind, WI_SWITCH_MASTER, master);
    char a[16], b[16];
    if (has_wire(t->kind, from, to))
        return;
    wi_switch_port_print(from, a, sizeof a);
    wi_switch_port_print(to, b, sizeof b);
    wi_arr_fault(t->array, t, "the switch has no wire from %s (slave %d) to %s (master %d)", a,
                 slave, b, master);
}

void wi_arr_switch_routes(struct wi_tile *t) {
    struct wi_switch *sw = &t->sw;
    sw->packets = 0;
    for (int i = 0; i < sw->n_slaves; i++) {
        sw->slave[i].circuit = 0;
        sw->packets |= (uint32_t)(on(sw->slave[i].ctrl) && packets(sw->slave[i].ctrl)) << i;
    }
    for (int i = 0; i < sw->n_masters; i++) {
        uint32_t ctrl = sw->master[i].ctrl, from = ctrl & WI_MASTER_SLAVE_MASK;
        if (!on(ctrl) || packets(ctrl))
            continue;
        if (from < sw->n_slaves) {
            sw->slave[from].circuit |= 1u << i;
            check_wire(t, (int)from, i);
        } else {
            wi_arr_fault(t->array, t, "master %d takes from slave %u, which is not there", i, from);
        }
    }
}

/* ------------------------------------------------------------------ out of masters */

static void into_slave(struct wi_tile *t, int slave, struct word w, uint64_t now) {
    fifo_push(&t->sw.slave[slave].q, w, now);
    t->sw.slaves |= 1u << slave;
    wi_arr_wake(t, now + WI_T_SLAVE);
}

bool wi_arr_switch_put(struct wi_tile *t, int slave, struct word w, uint64_t now) {
    if (!fifo_has_room(&t->sw.slave[slave].q, now))
        return false;
    into_slave(t, slave, w, now);
    return true;
}

static void fault_at_master(struct wi_tile *t, int i, const char *what) {
    char name[16];
    wi_switch_port_print(wi_switch_port(t->kind, WI_SWITCH_MASTER, i), name, sizeof name);
    wi_arr_fault(t->array, t, "a word leaves the switch at %s (master %d), %s", name, i, what);
}

static bool into_channel(struct wi_tile *t, int number, struct word w, uint64_t now) {
    struct channel *c = &t->channel[0][number];
    if (!wi_arr_channel_room(c, now)) {
        if (c->paused == now)
            wi_arr_wake(t, now + 1);
        return false;
    }
    wi_arr_channel_put(c, w, now);
    return true;
}

/* The shim's south: completion tokens to the controller, data to the DMA channels by the demux. */
static bool out_of_shim(struct wi_tile *t, int i, int number, struct word w, uint64_t now) {
    enum { TO_DMA = 1 };
    if (number == 0) {
        wi_arr_token(t->array, w.v);
        return true;
    }
    int field = 2 * number; /* South2 is in bits 5:4 */
    if ((number == 2 || number == 3) && (t->demux >> field & 3) == TO_DMA)
        return into_channel(t, number - 2, w, now);
    fault_at_master(t, i, "which the demux does not connect to a DMA channel");
    return false;
}

static bool deliver(struct wi_tile *t, int i, struct word w, uint64_t now) {
    const struct sink *s = &t->sw.sink[i];
    if (s->tile)
        return wi_arr_switch_put(s->tile, s->slave, w, now);
    switch (s->end) {
    case WI_SWITCH_DMA: return into_channel(t, s->number, w, now);
    case WI_SWITCH_CORE:
        if (!fifo_has_room(&t->core->in, now))
            return false;
        fifo_push(&t->core->in, w, now);
        wi_arr_core_wake(t->core, now + 1);
        return true;
    case WI_SWITCH_SOUTH:
        if (t->kind == WI_TILE_SHIM)
            return out_of_shim(t, i, s->number, w, now);
        break;
    case WI_SWITCH_CTRL:
        fault_at_master(t, i, "and control packets are not modelled");
        return false;
    default: break;
    }
    fault_at_master(t, i, "behind which there is no tile");
    return false;
}

static uint64_t step_masters(struct wi_tile *t, uint64_t now) {
    struct wi_switch *sw = &t->sw;
    uint64_t next = NEVER;
    for (uint32_t left = sw->masters; left; left &= left - 1) {
        int i = __builtin_ctz(left);
        struct fifo *q = &sw->master[i].q;
        if (!fifo_ready(q, now)) {
            next = earlier(next, fifo_head(q)->ready);
        } else if (deliver(t, i, fifo_head(q)->word, now)) {
            fifo_pop(q, now);
            next = now + 1;
            if (!q->count)
                sw->masters &= ~(1u << i);
        }
    }
    return next;
}

/* ------------------------------------------------------------------ from slaves to masters */

static void fault_at_slave(struct wi_tile *t, int i, uint32_t header, const char *what) {
    char name[16];
    wi_switch_port_print(wi_switch_port(t->kind, WI_SWITCH_SLAVE, i), name, sizeof name);
    wi_arr_fault(t->array, t, "a packet with id %u (header 0x%08x) came in at %s (slave %d), %s",
                 header & 31, header, name, i, what);
}

/* The arbiter that a packet is for, by the first slot that matches its id; -1 after a fault. */
static int arbiter_of(struct wi_tile *t, int i, uint32_t header, uint32_t *selector) {
    const struct slave *s = &t->sw.slave[i];
    for (int k = 0; k < N_SLOTS; k++) {
        uint32_t slot = s->slot[k], mask = slot >> WI_SLOT_MASK_LSB & 31;
        if ((slot >> WI_SLOT_ENABLE_BIT & 1) &&
            ((header ^ slot >> WI_SLOT_ID_LSB) & mask & 31) == 0) {
            *selector = slot >> WI_SLOT_MSEL_LSB & 3;
            return (int)(slot & WI_SLOT_ARBITER_MASK);
        }
    }
    fault_at_slave(t, i, header, "where no slot matches");
    return -1;
}

static uint32_t masters_of(const struct wi_switch *sw, int arbiter, uint32_t selector) {
    uint32_t mask = 0;
    for (int i = 0; i < sw->n_masters; i++) {
        uint32_t ctrl = sw->master[i].ctrl;
        if (on(ctrl) && packets(ctrl) && (int)(ctrl & WI_MASTER_ARBITER_MASK) == arbiter &&
            (ctrl >> (WI_MASTER_MSEL_LSB + selector) & 1))
            mask |= 1u << i;
    }
    return mask;
}

static void grant(struct wi_tile *t, int arbiter, uint32_t asking, const uint32_t *selector,
                  uint64_t now) {
    struct arbiter *a = &t->sw.arbiter[arbiter];
    uint32_t from_next = asking & ~((1u << a->next) - 1);
    int i = __builtin_ctz(from_next ? from_next : asking);
    struct slave *s = &t->sw.slave[i];
    a->owner = (int8_t)i;
    a->next = (uint8_t)((i + 1) % t->sw.n_slaves);
    s->packet = masters_of(&t->sw, arbiter, selector[i]);
    s->arbiter = (uint8_t)arbiter;
    s->header = true;
    s->granted = now + WI_T_ARBITRATE;
    if (!s->packet)
        fault_at_slave(t, i, fifo_head(&s->q)->word.v,
                       "whose arbiter and selector no master takes");
    for (uint32_t left = s->packet; left; left &= left - 1)
        check_wire(t, i, __builtin_ctz(left));
}

/* New packets ask their arbiters, which serve slaves in turn and keep the one until its last word.
 */
static void arbitrate(struct wi_tile *t, uint64_t now) {
    struct wi_switch *sw = &t->sw;
    uint32_t asking[N_ARBITERS] = {0}, selector[MAX_PORTS];
    for (uint32_t left = sw->slaves & sw->packets; left; left &= left - 1) {
        int i = __builtin_ctz(left);
        const struct fifo *q = &sw->slave[i].q;
        if (sw->slave[i].packet || !fifo_ready(q, now))
            continue;
        int a = arbiter_of(t, i, fifo_head(q)->word.v, &selector[i]);
        if (a < 0)
            return;
        asking[a] |= 1u << i;
    }
    for (int a = 0; a < N_ARBITERS; a++)
        if (asking[a] && sw->arbiter[a].owner < 0)
            grant(t, a, asking[a], selector, now);
}

/* Every master must take the word in the same cycle. */
static bool all_have_room(const struct wi_switch *sw, uint32_t masters, uint64_t now) {
    for (; masters; masters &= masters - 1)
        if (!fifo_has_room(&sw->master[__builtin_ctz(masters)].q, now))
            return false;
    return true;
}

static void move(struct wi_tile *t, int i, uint32_t to, bool is_packet, uint64_t now) {
    struct wi_switch *sw = &t->sw;
    struct slave *s = &sw->slave[i];
    struct word w = fifo_pop(&s->q, now);
    for (; to; to &= to - 1) {
        int m = __builtin_ctz(to);
        if (is_packet && s->header && (sw->master[m].ctrl >> WI_MASTER_DROP_BIT & 1) && !w.last)
            continue;
        fifo_push(&sw->master[m].q, w, now);
        sw->masters |= 1u << m;
    }
    s->header = false;
    if (is_packet && w.last) {
        sw->arbiter[s->arbiter].owner = -1;
        s->packet = 0;
    }
    if (!s->q.count)
        sw->slaves &= ~(1u << i);
    if (sw->source[i])
        wi_arr_wake(sw->source[i], now + 1);
    else if (sw->feeder[i])
        wi_arr_channel_wake(sw->feeder[i], now + 1);
}

static uint64_t step_slaves(struct wi_tile *t, uint64_t now) {
    struct wi_switch *sw = &t->sw;
    uint64_t next = NEVER;
    if (sw->slaves & sw->packets)
        arbitrate(t, now);
    for (uint32_t left = sw->slaves; left; left &= left - 1) {
        int i = __builtin_ctz(left);
        struct slave *s = &sw->slave[i];
        if (!on(s->ctrl))
            continue; /* never accepts */
        if (!fifo_ready(&s->q, now)) {
            next = earlier(next, fifo_head(&s->q)->ready);
            continue;
        }
        bool is_packet = packets(s->ctrl);
        uint32_t to = is_packet ? s->packet : s->circuit;
        if (is_packet && to && s->granted > now) {
            next = earlier(next, s->granted);
        } else if (to && all_have_room(sw, to, now)) {
            move(t, i, to, is_packet, now);
            next = now + 1;
        }
    }
    return next;
}

/* A word from the core's buffer into its slave port. */
static uint64_t step_core_out(struct wi_tile *t, uint64_t now) {
    struct fifo *q = &t->core->out;
    if (!q->count)
        return NEVER;
    if (!fifo_ready(q, now))
        return fifo_head(q)->ready;
    if (!wi_arr_switch_put(t, t->sw.core, fifo_head(q)->word, now))
        return NEVER;
    fifo_pop(q, now);
    wi_arr_core_wake(t->core, now + 1);
    return now + 1;
}

uint64_t wi_arr_switch_step(struct wi_tile *t, uint64_t now) {
    uint64_t next = earlier(step_masters(t, now), step_slaves(t, now));
    return t->core ? earlier(next, step_core_out(t, now)) : next;
}

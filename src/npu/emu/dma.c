/* DMA channels: tasks from the queue, their descriptors, locks, and the stream side.  The memory
 * side is in dma_memory.c. */
#include "npu/emu/array_impl.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum {
    CTRL_RESET = 1 << 1,
    CTRL_OUT_OF_ORDER = 1 << 3,
    CTRL_CONTROLLER_LSB = 8,
    CTRL_FOT_LSB = 16
};
enum { QUEUE_TOKEN_BIT = 31, QUEUE_TIMES_LSB = 16 };

void wi_arr_channel_name(const struct channel *c, char *buf, size_t size) {
    int n = snprintf(buf, size, "%s%u", c->mm2s ? "mm2s" : "s2mm", c->number);
    if (c->state != CHANNEL_IDLE)
        snprintf(buf + n, size - (size_t)n, " bd%u", c->bd_id);
}

static void fault(struct channel *c, const char *what) {
    char name[32];
    wi_arr_channel_name(c, name, sizeof name);
    wi_arr_fault(c->tile->array, c->tile, "%s: %s", name, what);
}

bool wi_arr_channel_fot(const struct channel *c) {
    return !c->mm2s && (c->ctrl >> CTRL_FOT_LSB & 3);
}

void wi_arr_channel_reset(struct channel *c) {
    struct wi_tile *t = c->tile;
    bool mm2s = c->mm2s;
    uint8_t number = c->number;
    uint32_t ctrl = c->ctrl;
    struct wi_array_channel counts = c->count_of;
    memset(c, 0, sizeof *c);
    c->tile = t;
    c->mm2s = mm2s;
    c->number = number;
    c->ctrl = ctrl;
    c->count_of = counts;
    c->room = t->kind == WI_TILE_SHIM ? (mm2s ? WI_T_SHIM_MM2S_WORDS : WI_T_SHIM_S2MM_WORDS)
                                      : (mm2s ? WI_T_MM2S_WORDS : WI_T_S2MM_WORDS);
    c->cold = mm2s ? WI_T_READ_COLD : WI_T_WRITE_COLD;
    c->paused = NEVER;
    c->next = &t->next[2 * number + mm2s];
    *c->next = NEVER;
}

/* ------------------------------------------------------------------ tasks and descriptors */

static void read_descriptor(struct channel *c, unsigned bd, uint64_t at) {
    c->bd_id = (uint8_t)bd;
    c->state = CHANNEL_START;
    c->until = at;
}

static void begin_task(struct channel *c, uint64_t at) {
    struct wi_array *a = c->tile->array;
    c->task = c->queue[0];
    memmove(c->queue, c->queue + 1, --c->n_queue * sizeof *c->queue);
    if (!c->warm && c->tile->kind == WI_TILE_SHIM)
        wi_arr_shim_open(c, a->now);
    c->warm = true;
    read_descriptor(c, c->task.bd, at);
}

void wi_arr_channel_push(struct channel *c, uint32_t task) {
    struct wi_array *a = c->tile->array;
    unsigned bd = task & (c->tile->kind == WI_TILE_MEM ? 63 : 15);
    if (c->reset)
        fault(c, "a task is pushed into a channel that is held in reset");
    else if (c->n_queue == WI_T_QUEUE_TASKS)
        fault(c, "a fifth task is pushed into the queue; the chip would drop it silently");
    else if ((int)bd >= wi_bd_count(c->tile->kind))
        fault(c, "a task names a descriptor that is not there");
    if (a->failed)
        return;
    c->queue[c->n_queue++] = (struct task){.bd = (uint8_t)bd,
                                           .times = (uint16_t)((task >> QUEUE_TIMES_LSB & 255) + 1),
                                           .token = task >> QUEUE_TOKEN_BIT};
    if (c->state == CHANNEL_IDLE)
        begin_task(c, a->now + WI_T_CHANNEL_START + WI_T_DESCRIPTOR);
    wi_arr_channel_wake(c, a->now);
    wi_arr_wake(c->tile, a->now);
}

/* Of memory tiles: descriptors of the channel's half. */
static bool reaches(const struct channel *c, int64_t bd) {
    enum { HALF = 24 };
    return c->tile->kind != WI_TILE_MEM || bd / HALF == c->number % 2;
}

/* What stops the channel on the chip, or what is not modelled. */
static const char *wrong_with(const struct channel *c, const struct wi_bd *bd) {
    const int64_t *v = bd->v;
    bool padded = v[WI_BD_BEFORE0] || v[WI_BD_BEFORE1] || v[WI_BD_BEFORE2] || v[WI_BD_AFTER0] ||
                  v[WI_BD_AFTER1] || v[WI_BD_AFTER2];
    if (!v[WI_BD_VALID])
        return "the descriptor is not valid (its valid bit is 0)";
    if (!reaches(c, c->bd_id) || (v[WI_BD_USE_NEXT] && !reaches(c, v[WI_BD_NEXT])))
        return "even channels have descriptors 0 to 23, odd ones 24 to 47";
    if (v[WI_BD_USE_NEXT] && v[WI_BD_NEXT] >= wi_bd_count(c->tile->kind))
        return "the next descriptor is not there";
    if (v[WI_BD_LENGTH] == 0)
        return "a length of 0 words is not documented";
    if (v[WI_BD_ITER_NOW] > v[WI_BD_ITER_WRAP])
        return "the iteration is past its wrap";
    if (v[WI_BD_COMPRESS])
        return "compression is not modelled";
    if (v[WI_BD_BURST] == 3)
        return "burst length 3 is reserved";
    if (padded && !c->mm2s)
        return "only MM2S channels put zeros around dimensions";
    for (int d = 0; d < 3; d++)
        for (int e = d; e < 3; e++)
            if (!v[WI_BD_WRAP0 + d] && (v[WI_BD_AFTER0 + e] || (e > d && v[WI_BD_BEFORE0 + e])))
                return "zeros lie around a dimension that never ends";
    return NULL;
}

static void load_descriptor(struct channel *c, uint64_t now) {
    struct wi_tile *t = c->tile;
    if (!wi_bd_unpack(t->kind, t->bd[c->bd_id], &c->bd)) {
        fault(c, "the descriptor has bits set that mean nothing");
        return;
    }
    const char *wrong = wrong_with(c, &c->bd);
    if (wrong) {
        fault(c, wrong);
        return;
    }
    wi_dma_addr_init(&c->addr, &c->bd);
    c->header = c->mm2s && c->bd.v[WI_BD_PACKET];
    c->cut = false;
    c->started = now;
    c->state = c->bd.v[WI_BD_ACQ] ? CHANNEL_ACQUIRE : CHANNEL_MOVE;
    c->want = 0;
    c->until = now;
    if (!c->mm2s)
        c->switch_at += (uint64_t)c->bd.v[WI_BD_LENGTH];
}

/* ------------------------------------------------------------------ locks */

/* The lock that an id means for this channel; NULL after a fault. */
static struct wi_tile *lock_tile(struct channel *c, int64_t *id) {
    enum { PER_TILE = 64, NEAR_CHANNELS = 4 };
    if (c->tile->kind != WI_TILE_MEM)
        return c->tile;
    int side = (int)(*id / PER_TILE) - 1;
    struct wi_tile *t =
        side > 1 ? NULL : wi_arr_tile(c->tile->array, c->tile->col + side, c->tile->row);
    *id %= PER_TILE;
    if (!t)
        fault(c, "a lock of a neighbour that is not there");
    else if (side && c->number >= NEAR_CHANNELS)
        fault(c, "a neighbour's lock, which channels 4 and 5 do not reach");
    return c->tile->array->failed ? NULL : t;
}

static uint64_t acquire(struct channel *c, uint64_t now) {
    int64_t id = c->bd.v[WI_BD_ACQ_ID];
    struct wi_tile *t = lock_tile(c, &id);
    if (!t)
        return NEVER;
    int r = wi_arr_acquire(&t->lock[id], (int)c->bd.v[WI_BD_ACQ_VALUE], false, now);
    if (r <= 0) {
        wi_arr_channel_stall(c, STALL_LOCK, now);
        return r == 0 ? NEVER : now + 1;
    }
    wi_arr_channel_stall(c, STALL_NONE, now);
    c->state = CHANNEL_MOVE;
    return now + 1;
}

static void release(struct channel *c, uint64_t now) {
    int64_t id = c->bd.v[WI_BD_REL_ID];
    int value = (int)c->bd.v[WI_BD_REL_VALUE];
    char name[32];
    if (!value)
        return;
    struct wi_tile *t = lock_tile(c, &id);
    wi_arr_channel_name(c, name, sizeof name);
    if (t)
        wi_arr_release(t, (unsigned)id, value, !c->mm2s, now, name);
}

/* ------------------------------------------------------------------ ends */

/* ITER_NOW is a live register. */
static void advance_iteration(struct channel *c) {
    struct wi_tile *t = c->tile;
    enum wi_bd_field field;
    struct wi_bd bd;
    if (!c->bd.v[WI_BD_ITER_WRAP])
        return;
    wi_bd_unpack(t->kind, t->bd[c->bd_id], &bd);
    bd.v[WI_BD_ITER_NOW] =
        bd.v[WI_BD_ITER_NOW] == bd.v[WI_BD_ITER_WRAP] ? 0 : bd.v[WI_BD_ITER_NOW] + 1;
    wi_bd_pack(t->kind, &bd, t->bd[c->bd_id], &field);
}

static void send_token_later(struct channel *c, uint64_t now) {
    if (c->n_tokens == WI_T_TOKENS) {
        fault(c, "more completion tokens wait than a channel holds");
        return;
    }
    uint64_t at = c->mm2s ? c->pushed : now + 1;
    if (!c->mm2s && c->tile->kind == WI_TILE_SHIM) {
        at += WI_T_WRITE_LATENCY + c->cold;
        c->cold = 0;
    }
    c->token[c->n_tokens++] = at;
}

static void end_task(struct channel *c, uint64_t now) {
    c->count_of.tasks++;
    if (c->task.token)
        send_token_later(c, now);
    if (c->n_queue) {
        begin_task(c, now + WI_T_CHAIN);
    } else {
        c->state = CHANNEL_IDLE;
        c->warm = false;
    }
}

static void end_descriptor(struct channel *c, uint64_t now) {
    struct wi_tile *t = c->tile;
    c->count_of.descriptors++;
    wi_arr_channel_stall(c, STALL_NONE, now);
    wi_arr_span(t->array,
                (struct wi_array_span){c->mm2s ? WI_LANE_MM2S : WI_LANE_S2MM, t->col, t->row,
                                       c->number, "transfer", c->bd_id, c->started, now});
    if (c->cut)
        c->switch_at -= c->addr.left; /* fewer words came than the descriptor has */
    advance_iteration(c);
    release(c, now);
    if (c->bd.v[WI_BD_USE_NEXT])
        read_descriptor(c, (unsigned)c->bd.v[WI_BD_NEXT], now + WI_T_CHAIN);
    else if (--c->task.times)
        read_descriptor(c, c->task.bd, now + WI_T_CHAIN);
    else
        end_task(c, now);
}

static bool ended(struct channel *c) {
    if (c->mm2s)
        return !c->header && !wi_dma_addr_more(&c->addr);
    if (c->addr.left == 0 && wi_arr_channel_fot(c) && !c->cut)
        fault(c, "the descriptor is full and its packet goes on (finish on TLAST)");
    return c->addr.left == 0 || c->cut;
}

/* ------------------------------------------------------------------ the stream side */

bool wi_arr_channel_room(struct channel *c, uint64_t now) {
    return c->count < c->room && c->paused != now;
}

/* The port pauses for a cycle where one descriptor ends and the next begins [hw xdna-emu, relay].
 */
void wi_arr_channel_put(struct channel *c, struct word w, uint64_t now) {
    unsigned at = (c->head + c->count++) % CHANNEL_WORDS;
    c->entry[at] = (struct entry){now + 1, w};
    if (++c->pushed == c->switch_at)
        c->paused = now + 1;
    if (c->count >= c->want)
        wi_arr_channel_wake(c, now + 1);
}

/* The slave port that an MM2S channel feeds; -1 after a fault. */
static int port_of(struct channel *c) {
    enum { TO_DMA = 1 };
    struct wi_tile *t = c->tile;
    if (t->kind != WI_TILE_SHIM)
        return t->sw.dma + c->number;
    int south = c->number ? 7 : 3, field = c->number ? 14 : 10;
    if ((t->mux >> field & 3) == TO_DMA)
        return t->sw.south + south;
    fault(c, "the mux does not connect the channel to the stream switch");
    return -1;
}

static uint64_t send(struct channel *c, uint64_t now) {
    if (!c->count)
        return NEVER;
    if (c->entry[c->head].ready > now)
        return c->entry[c->head].ready;
    int port = port_of(c);
    if (port < 0)
        return NEVER;
    if (!wi_arr_switch_put(c->tile, port, c->entry[c->head].word, now)) {
        wi_arr_channel_stall(c, STALL_STREAM, now);
        return NEVER; /* until the switch has taken a word, which steps the tile */
    }
    if (c->stall == STALL_STREAM)
        wi_arr_channel_stall(c, STALL_NONE, now);
    c->head = (uint16_t)((c->head + 1) % CHANNEL_WORDS);
    c->count--;
    c->popped++;
    return now + 1;
}

static uint64_t send_token(struct channel *c, uint64_t now) {
    if (!c->n_tokens || (c->mm2s && c->popped < c->token[0]))
        return NEVER;
    if (!c->mm2s && now < c->token[0])
        return c->token[0];
    struct word w = {wi_arr_token_word(c), true};
    if (!wi_arr_switch_put(c->tile, c->tile->sw.ctrl, w, now))
        return now + 1;
    memmove(c->token, c->token + 1, --c->n_tokens * sizeof *c->token);
    return now + 1;
}

/* ------------------------------------------------------------------ a cycle */

static uint64_t step_state(struct channel *c, uint64_t now) {
    if (c->state == CHANNEL_START) {
        if (now < c->until)
            return c->until;
        load_descriptor(c, now);
        if (c->tile->array->failed)
            return NEVER;
    }
    if (c->state == CHANNEL_ACQUIRE)
        return acquire(c, now);
    if (c->state != CHANNEL_MOVE)
        return NEVER;
    uint64_t next = c->mm2s ? wi_arr_fetch(c, now) : wi_arr_store(c, now);
    if (ended(c)) {
        end_descriptor(c, now);
        next = now + 1;
    }
    return next;
}

void wi_arr_channel_step(struct channel *c, uint64_t now) {
    *c->next = NEVER; /* what happens on the way may set it again */
    uint64_t next = step_state(c, now);
    if (c->mm2s)
        next = earlier(next, send(c, now));
    wi_arr_channel_wake(c, c->n_tokens ? earlier(next, send_token(c, now)) : next);
}

/* ------------------------------------------------------------------ asked from outside */

static bool chain_has(const struct wi_tile *t, unsigned from, unsigned bd) {
    for (int i = 0; i < wi_bd_count(t->kind); i++) {
        struct wi_bd d;
        if (from == bd)
            return true;
        wi_bd_unpack(t->kind, t->bd[from], &d);
        if (!d.v[WI_BD_USE_NEXT] || d.v[WI_BD_NEXT] >= wi_bd_count(t->kind))
            return false;
        from = (unsigned)d.v[WI_BD_NEXT];
    }
    return false;
}

const struct channel *wi_arr_descriptor_user(const struct wi_tile *t, unsigned bd) {
    for (int i = 0; i < 2 * t->n_channels; i++) {
        const struct channel *c = &t->channel[i % 2][i / 2];
        if (c->state != CHANNEL_IDLE &&
            (chain_has(t, c->bd_id, bd) || (c->task.times > 1 && chain_has(t, c->task.bd, bd))))
            return c;
        for (int k = 0; k < c->n_queue; k++)
            if (chain_has(t, c->queue[k].bd, bd))
                return c;
    }
    return NULL;
}

uint32_t wi_arr_channel_status(const struct channel *c) {
    bool running = c->state != CHANNEL_IDLE;
    uint32_t state = !running ? 0 : c->state == CHANNEL_START ? 1 : 2;
    return state | (uint32_t)(c->state == CHANNEL_ACQUIRE) << 2 |
           (uint32_t)(c->stall == STALL_STREAM) << 4 | (uint32_t)(running || c->n_queue) << 19 |
           (uint32_t)c->n_queue << 20 | (uint32_t)c->bd_id << 24;
}

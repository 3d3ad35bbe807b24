/* The memory side of DMA channels: granules of 128 bits between a channel's buffer and data memory,
 * whose banks it shares with cores, memory tiles, or host memory through the shim. */
#include "npu/emu/array_impl.h"

#include <string.h>

enum { WORD = 4 };

void wi_arr_channel_stall(struct channel *c, enum channel_stall stall, uint64_t now) {
    static const char *const names[] = {NULL, "lock", "stream", "memory"};
    if (stall == c->stall)
        return;
    uint64_t *counts[] = {NULL, &c->count_of.lock, &c->count_of.stream, &c->count_of.memory};
    if (c->stall != STALL_NONE) {
        *counts[c->stall] += now - c->stalled_since;
        wi_arr_span(c->tile->array,
                    (struct wi_array_span){c->mm2s ? WI_LANE_MM2S : WI_LANE_S2MM, c->tile->col,
                                           c->tile->row, c->number, names[c->stall], c->bd_id,
                                           c->stalled_since, now});
    }
    c->stall = stall;
    c->stalled_since = now;
}

static void fault(struct channel *c, const char *what, uint64_t byte) {
    char name[32];
    wi_arr_channel_name(c, name, sizeof name);
    wi_arr_fault(c->tile->array, c->tile, "%s: 0x%llx %s", name, (unsigned long long)byte, what);
}

/* ------------------------------------------------------------------ where words are */

static uint8_t *in_core_tile(struct channel *c, uint64_t word, unsigned n) {
    if ((word + n) * WORD <= c->tile->memory_bytes)
        return c->tile->memory + word * WORD;
    fault(c, "is beyond the tile's memory", word * WORD);
    return NULL;
}

/* The window of a memory tile's channel: west, own, east neighbour. */
static uint8_t *in_memory_tile(struct channel *c, uint64_t word, unsigned n) {
    enum { WINDOW_WORDS = 0x20000, NEAR_CHANNELS = 4 };
    int side = (int)(word / WINDOW_WORDS) - 1;
    uint64_t at = word % WINDOW_WORDS;
    struct wi_tile *t =
        side > 1 ? NULL : wi_arr_tile(c->tile->array, c->tile->col + side, c->tile->row);
    if (!t) {
        fault(c, "is the memory of a neighbour that is not there", word * WORD);
        return NULL;
    }
    if (side && c->number >= NEAR_CHANNELS) {
        fault(c, "is a neighbour's memory, which channels 4 and 5 do not reach", word * WORD);
        return NULL;
    }
    if ((at + n) * WORD > t->memory_bytes) {
        fault(c, "is beyond the tile's memory", word * WORD);
        return NULL;
    }
    return t->memory + at * WORD;
}

static bool holds(const struct memory *m, uint64_t address, uint64_t size) {
    return address >= m->address && size <= m->size && address - m->address <= m->size - size;
}

static uint8_t *in_host(struct channel *c, uint64_t word, unsigned n) {
    struct wi_array *a = c->tile->array;
    uint64_t address = word * WORD;
    for (int i = 0; i < a->n_memories && !(c->memory && holds(c->memory, address, n * WORD)); i++)
        if (holds(&a->memory[i], address, n * WORD))
            c->memory = &a->memory[i];
    if (c->memory && holds(c->memory, address, n * WORD))
        return c->memory->data + (address - c->memory->address);
    fault(c, "is no registered host memory", address);
    return NULL;
}

static uint8_t *memory_at(struct channel *c, uint64_t word, unsigned n) {
    switch (c->tile->kind) {
    case WI_TILE_CORE: return in_core_tile(c, word, n);
    case WI_TILE_MEM: return in_memory_tile(c, word, n);
    default: return in_host(c, word, n);
    }
}

/* ------------------------------------------------------------------ when they may move */

/* Banks of compute tiles: one access a cycle each; cores go first unless the channel is in a hurry.
 * [hw xdna-emu, bank map and arbitration] */
static bool wins_bank(struct channel *c, uint64_t word, bool urgent, uint64_t now) {
    struct wi_tile *t = c->tile;
    uint64_t byte = word * WORD;
    unsigned bank = (unsigned)(2 * (byte >> 14 & 3) + (byte >> 4 & 1));
    if (t->used_cycle != now) {
        t->used_cycle = now;
        t->used = 0;
        t->by_cores = wi_arr_core_banks(t, now);
    }
    if ((t->used >> bank & 1) || ((t->by_cores >> bank & 1) && !urgent))
        return false;
    if (t->by_cores >> bank & 1)
        wi_arr_core_lose(t, bank, now);
    t->used |= 1u << bank;
    return true;
}

static unsigned busy_channels(const struct wi_array *a, bool mm2s) {
    unsigned n = 0;
    for (int col = 0; col < WI_ARRAY_COLS; col++)
        for (int i = 0; i < 2; i++)
            n += wi_arr_tile(a, col, 0)->channel[mm2s][i].state == CHANNEL_MOVE;
    return n;
}

/* Words per 1024 cycles that a shim channel gets now. */
static unsigned rate_of(const struct channel *c) {
    const struct wi_array *a = c->tile->array;
    unsigned rate = c->mm2s ? a->params.read_rate : a->params.write_rate;
    unsigned all = c->mm2s ? a->params.all_read_rate : a->params.all_write_rate;
    if (all) {
        unsigned share = all / busy_channels(a, c->mm2s);
        rate = share < rate ? share : rate;
    }
    return rate ? rate : 1;
}

/* xorshift of what identifies the burst: no state, the same in every run. */
static unsigned draw(const struct channel *c, unsigned below) {
    uint64_t x = 0x9e3779b97f4a7c15u * (c->bursts + 1) + 0x1000193u * (unsigned)c->tile->index +
                 2u * c->number + c->mm2s;
    x ^= x >> 31;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 29;
    return (unsigned)(x % (below + 1u));
}

void wi_arr_shim_open(struct channel *c, uint64_t now) {
    c->opens = now;
    c->credit = 0;
    c->credited = now;
    if (!c->mm2s)
        return;
    c->opens += c->tile->array->params.read_latency + c->cold;
    c->credited = c->opens;
    c->cold = c->cold * WI_T_READ_COLD_PERCENT / 100;
}

/* Whether host memory has delivered or can take n words by now; else *at is when. */
static bool wins_host(struct channel *c, unsigned n, uint64_t now, uint64_t *at) {
    unsigned rate = rate_of(c), need = n * WI_T_RATE_ONE, most = 2 * GRANULE_WORDS * WI_T_RATE_ONE;
    if (now < c->opens) {
        *at = c->opens;
        return false;
    }
    uint64_t credit = c->credit + (now - c->credited) * rate;
    c->credit = (uint32_t)(credit < most ? credit : most);
    c->credited = now;
    if (c->credit < need) {
        *at = now + (need - c->credit + rate - 1) / rate;
        return false;
    }
    c->credit -= need;
    uint64_t bursts = (c->count_of.words + n) / WI_T_JITTER_WORDS;
    if (bursts != c->bursts && c->tile->array->params.jitter) {
        c->bursts = bursts;
        c->opens = c->credited = now + draw(c, c->tile->array->params.jitter);
    }
    return true;
}

static bool wins(struct channel *c, uint64_t word, unsigned n, bool urgent, uint64_t now,
                 uint64_t *at) {
    *at = now + 1;
    switch (c->tile->kind) {
    case WI_TILE_CORE: return wins_bank(c, word, urgent, now);
    case WI_TILE_SHIM: return wins_host(c, n, now, at);
    default: return true; /* the memory side never limits [hw xdna-emu, memory tile banks] */
    }
}

/* ------------------------------------------------------------------ moving */

static void push(struct channel *c, uint32_t v, uint64_t ready) {
    unsigned at = (c->head + c->count++) % CHANNEL_WORDS;
    c->entry[at] = (struct entry){ready, {v, false}};
    c->pushed++;
}

/* Marks the end of a descriptor on the word that was pushed last. */
static void mark_last(struct channel *c) {
    if (!wi_dma_addr_more(&c->addr))
        c->entry[(c->head + c->count - 1u) % CHANNEL_WORDS].word.last = !c->bd.v[WI_BD_NO_TLAST];
}

static uint32_t header_of(const struct channel *c) {
    uint32_t h = (uint32_t)c->tile->col << 21 | (uint32_t)c->tile->row << 16 |
                 (uint32_t)c->bd.v[WI_BD_PACKET_TYPE] << 12 | (uint32_t)c->bd.v[WI_BD_PACKET_ID];
    return h | (uint32_t)!__builtin_parity(h) << 31; /* odd parity [doc am020 ch. 2] */
}

/* A granule or less of memory, at `word`. */
static uint64_t fetch_words(struct channel *c, uint64_t word, uint64_t now) {
    uint64_t at;
    unsigned n = wi_dma_addr_run(&c->addr, word, GRANULE_WORDS);
    if (c->count + n > c->room)
        return NEVER; /* until the stream takes some */
    if (!wins(c, word, n, c->count <= WI_T_URGENT_EMPTY, now, &at)) {
        wi_arr_channel_stall(c, STALL_MEMORY, now);
        return at;
    }
    const uint8_t *m = memory_at(c, word, n);
    for (unsigned i = 0; m && i < n; i++) {
        uint32_t v;
        memcpy(&v, m + i * WORD, WORD);
        push(c, v, now + (c->tile->kind == WI_TILE_SHIM ? 1 : WI_T_MEMORY));
    }
    c->count_of.words += n;
    wi_dma_addr_skip(&c->addr, n);
    mark_last(c);
    if (c->stall == STALL_MEMORY)
        wi_arr_channel_stall(c, STALL_NONE, now);
    return now + 1;
}

uint64_t wi_arr_fetch(struct channel *c, uint64_t now) {
    uint64_t word;
    if (c->count >= c->room)
        return NEVER;
    if (c->header) {
        push(c, header_of(c), now + 1);
        c->header = false;
        return now + 1;
    }
    if (wi_dma_addr_peek(&c->addr, &word))
        return fetch_words(c, word, now);
    push(c, 0, now + WI_T_MEMORY);
    wi_dma_addr_step(&c->addr);
    mark_last(c);
    return now + 1;
}

/* Words of a run that have come; with finish on TLAST the run ends with the packet. */
static unsigned arrived(struct channel *c, unsigned n, uint64_t now) {
    unsigned have = 0;
    for (; have < n && have < c->count; have++) {
        unsigned at = (c->head + have) % CHANNEL_WORDS;
        if (c->entry[at].ready > now)
            break;
        if (c->entry[at].word.last && wi_arr_channel_fot(c)) {
            c->cut = true;
            return have + 1;
        }
    }
    return have;
}

uint64_t wi_arr_store(struct channel *c, uint64_t now) {
    uint64_t word, at;
    if (now < c->until)
        return c->until;
    wi_dma_addr_peek(&c->addr, &word); /* never a zero: load checks that */
    unsigned n = wi_dma_addr_run(&c->addr, word, GRANULE_WORDS), have = arrived(c, n, now);
    if (have < n && !c->cut) {
        if (!c->count)
            wi_arr_channel_stall(c, STALL_STREAM, now);
        /* until the stream brings more: one at a time where a packet may end */
        c->want = (uint16_t)(wi_arr_channel_fot(c) ? c->count + 1u : n);
        return have < c->count ? now + 1 : NEVER;
    }
    bool urgent = c->count >= WI_T_URGENT_FULL;
    if (!wins(c, word, have, urgent, now, &at)) {
        wi_arr_channel_stall(c, STALL_MEMORY, now);
        return at;
    }
    uint8_t *m = memory_at(c, word, have);
    for (unsigned i = 0; m && i < have; i++) {
        memcpy(m + i * WORD, &c->entry[c->head].word.v, WORD);
        c->head = (uint16_t)((c->head + 1) % CHANNEL_WORDS);
    }
    c->count = (uint16_t)(c->count - have);
    c->popped += have;
    c->want = 0;
    c->count_of.words += have;
    wi_dma_addr_skip(&c->addr, have);
    wi_arr_channel_stall(c, STALL_NONE, now);
    if (c->tile->kind == WI_TILE_MEM)
        c->until = now + c->tile->array->params.scatter_cycles;
    return now + 1;
}

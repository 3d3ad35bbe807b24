/* Inside of the array: units (ports, switch, locks, DMA channels, cores, controller) and who wakes
 * whom.
 *
 * Time.  Everything but the cores is stepped in the order of cycles: in cycle t first the cores
 * that wait to interact at t, then tiles by index, then the releases that cores made at t.  Words
 * and locks that a unit hands on in t can be taken from t + 1 on, so the order within a cycle
 * decides only who gets a lock that several want.  A tile is stepped when its `wake` has come;
 * whoever changes something that a tile may wait for wakes it. */
#ifndef WISP_SRC_NPU_EMU_ARRAY_IMPL_H
#define WISP_SRC_NPU_EMU_ARRAY_IMPL_H

#include "base/pool.h"
#include "npu/emu/array.h"
#include "npu/emu/dma_addr.h"
#include "npu/emu/timing.h"
#include "npu/isa/map.h"
#include "npu/isa/switch.h"

#define NEVER UINT64_MAX

enum {
    N_CORES = WI_ARRAY_COLS * 4,
    MAX_PORTS = 25,
    N_SLOTS = 4,
    N_ARBITERS = 8,
    MAX_CHANNELS = 6, /* of a direction */
    MAX_LOCKS = 64,
    LOCK_MAX = 63,
    N_BANKS = 8,
    GRANULE_WORDS = 4,   /* of a memory access: 128 bits */
    PORT_WORDS = 16,     /* room in any port's buffer */
    CHANNEL_WORDS = 256, /* room in any channel's buffer */
    USE_RING = WI_T_WINDOW_IDLE,
    RELEASES = WI_T_WINDOW_IDLE + 1 /* a core makes at most one a cycle */
};

struct wi_tile;

/* ------------------------------------------------------------------ streams */

struct word {
    uint32_t v;
    bool last;
};

struct entry {
    uint64_t ready; /* cycle from which it can leave */
    struct word word;
};

/* A port's buffer: a word can leave `latency` cycles after it entered; one enters and one leaves in
 * a cycle.  The room that a leaving word makes is seen from the next cycle on.  Depths are powers
 * of two, so that a buffer stays in the first cache lines. */
struct fifo {
    uint64_t popped; /* cycle after the last one left */
    uint8_t head, count, depth, latency;
    struct entry entry[PORT_WORDS];
};

static inline bool fifo_has_room(const struct fifo *f, uint64_t now) {
    return f->count + (f->popped == now + 1) < f->depth;
}

static inline const struct entry *fifo_head(const struct fifo *f) {
    return &f->entry[f->head];
}

static inline bool fifo_ready(const struct fifo *f, uint64_t now) {
    return f->count && fifo_head(f)->ready <= now;
}

static inline void fifo_push(struct fifo *f, struct word w, uint64_t now) {
    struct entry *e = &f->entry[(f->head + f->count++) & (f->depth - 1)];
    e->word = w;
    e->ready = now + f->latency;
}

static inline struct word fifo_pop(struct fifo *f, uint64_t now) {
    struct word w = fifo_head(f)->word;
    f->head = (uint8_t)((f->head + 1) & (f->depth - 1));
    f->count--;
    f->popped = now + 1;
    return w;
}

struct slave {
    struct fifo q;
    uint32_t ctrl, slot[N_SLOTS];
    uint32_t circuit; /* masters that take from it */
    uint32_t packet;  /* masters that the packet under way goes to; 0: none under way */
    uint8_t arbiter;  /* of that packet */
    bool header;      /* its next word is the header */
    uint64_t granted; /* cycle from which the packet moves */
};

struct master {
    struct fifo q;
    uint32_t ctrl;
};

struct arbiter {
    int8_t owner; /* slave whose packet holds it; -1: none */
    uint8_t next; /* slave that is served first when several ask */
};

/* Where a master's words go. */
struct sink {
    enum wi_switch_end end;
    uint8_t number;
    struct wi_tile *tile; /* that has the slave port `slave`; NULL: it is a unit of this tile */
    uint8_t slave;
};

struct wi_switch {
    struct slave slave[MAX_PORTS];
    struct master master[MAX_PORTS];
    struct sink sink[MAX_PORTS];
    struct wi_tile *source[MAX_PORTS]; /* of slaves: the tile whose master feeds it, */
    struct channel *feeder[MAX_PORTS]; /* or the channel */
    struct arbiter arbiter[N_ARBITERS];
    uint32_t slaves, masters; /* ports that hold words */
    uint32_t packets;         /* slaves in packet mode */
    uint8_t n_slaves, n_masters;
    int8_t core, ctrl, dma, south; /* index of the first slave port of the kind; -1: none */
};

/* ------------------------------------------------------------------ locks */

struct lock {
    uint8_t value;
    uint64_t granted; /* cycle after its last grant: one a cycle */
    uint8_t late;     /* of the value, what cores do not see before `late_until` */
    uint64_t late_until;
};

/* ------------------------------------------------------------------ DMA */

struct task {
    uint8_t bd;
    uint16_t times; /* to go */
    bool token;
};

enum channel_state {
    CHANNEL_IDLE,
    CHANNEL_START, /* until `until`, then the descriptor is read */
    CHANNEL_ACQUIRE,
    CHANNEL_MOVE
};

enum channel_stall { STALL_NONE, STALL_LOCK, STALL_STREAM, STALL_MEMORY };

struct channel {
    struct wi_tile *tile;
    uint64_t *next; /* in the tile: cycle of its next step; NEVER: when something has changed */
    enum channel_state state;
    enum channel_stall stall;
    bool mm2s, reset;
    bool cut;    /* finish on TLAST: this descriptor's last word came */
    bool header; /* MM2S: the packet's header is still to be sent */
    bool warm;   /* has done something since it was idle */
    uint8_t number, n_queue, bd_id, n_tokens;
    uint16_t room;              /* words of the buffer between stream and memory */
    uint16_t head, count, want; /* S2MM: steps make sense once `count` has come to `want` */
    uint64_t until, stalled_since;
    uint64_t pushed, popped; /* words, ever */
    uint64_t switch_at;      /* S2MM: words after which the port pauses for a cycle; `pushed` */
    uint64_t paused;         /* the cycle of that pause */
    struct wi_dma_addr addr;
    struct wi_array_channel count_of;
    struct wi_bd bd;
    uint32_t ctrl;
    struct task queue[WI_T_QUEUE_TASKS], task;
    uint64_t started;         /* of the descriptor, for the trace */
    uint32_t credit;          /* shim: words * 1024 that may move */
    uint64_t credited, opens; /* shim: cycle up to which credit was given; first word's cycle */
    uint32_t cold;            /* shim: cycles added to the next task */
    uint64_t bursts;
    const struct memory *memory; /* shim: last found */
    struct entry entry[CHANNEL_WORDS];
    /* tokens to send, in order: MM2S once `popped` has come to the mark, S2MM at that cycle */
    uint64_t token[WI_T_TOKENS];
};

/* ------------------------------------------------------------------ tiles and cores */

enum core_state {
    CORE_OFF, /* disabled, in reset or not started */
    CORE_RUN,
    CORE_SYNC, /* its next bundle interacts: at `sync` */
    CORE_WAIT, /* tried, and what it needs was not there */
    CORE_DONE
};

struct use { /* of memory banks by a core in a cycle, a bit for each of window * 8 + bank */
    uint32_t cycle, banks;
};

struct release {
    uint64_t cycle;
    struct wi_tile *tile;
    uint8_t id;
    int8_t value;
};

struct emu_core {
    struct wi_emu_core *core;
    struct wi_tile *tile;
    struct wi_array *array;
    enum core_state state;
    uint32_t ctrl;
    uint64_t base;          /* array cycle of the core's cycle 0 */
    bool attempt;           /* the bundle of this cycle may interact */
    unsigned asked;         /* questions about streams that were put off */
    unsigned debt;          /* cycles lost to others at a bank, not taken yet */
    struct lock *wait_lock; /* CORE_WAIT for a lock */
    struct wi_tile *wait_tile;
    int32_t wait_value;
    struct fifo in, out;                     /* its stream ports' buffers */
    uint8_t cascade[WI_T_CASCADE_WORDS][64]; /* towards this core */
    uint8_t cascade_head, n_cascade;
    uint64_t cascade_ready[WI_T_CASCADE_WORDS];
    uint64_t cascade_popped;          /* cycle after the last one was taken */
    struct emu_core *next, *previous; /* where its cascade goes and comes from */
    uint64_t wait_until;              /* CORE_WAIT: when to try again, whatever happens */
    bool faulted, unanswered;         /* unanswered: a non-blocking stream operation */
    struct wi_emu_counters before;    /* of runs before a reset */
    uint32_t neighbours;              /* windows other than its own that it ever used */
    struct release release[RELEASES];
    unsigned release_head, n_releases;
    struct use use[USE_RING];
    uint64_t span_start;
};

struct wi_tile {
    struct wi_array *array;
    enum wi_tile_kind kind;
    int col, row, index;
    uint8_t *memory;
    uint32_t memory_bytes;
    struct wi_switch sw;
    struct lock lock[MAX_LOCKS];
    uint64_t due;                            /* the soonest of the channels' next steps */
    uint64_t next[2 * MAX_CHANNELS];         /* of channels, by turns of the two directions */
    struct channel channel[2][MAX_CHANNELS]; /* [mm2s] */
    int n_channels, n_locks;
    uint32_t bd[48][WI_BD_MAX_WORDS];
    uint32_t mux, demux, cascade;
    struct emu_core *core;
    uint64_t used_cycle; /* of the two below */
    uint32_t used;       /* banks that channels took in that cycle */
    uint32_t by_cores;   /* banks that cores use in it */
};

static inline void wi_arr_channel_wake(struct channel *c, uint64_t at) {
    if (at < *c->next)
        *c->next = at;
    if (at < c->tile->due)
        c->tile->due = at;
}

struct memory {
    uint64_t address;
    size_t size;
    uint8_t *data;
};

enum { MAX_MEMORIES = 256 };

struct controller {
    const struct wi_cfg *cfg;
    const uint64_t *args;
    size_t n_args, at;
    uint64_t next; /* cycle of the next operation; NEVER: none, or waiting for tokens */
    bool waiting, waited, odd;
    uint8_t missing_tile, missing_mm2s, missing_channel; /* a token that is waited for */
    uint16_t tokens[WI_ARRAY_TILES][2][MAX_CHANNELS];
    uint64_t since; /* for the trace */
};

struct wi_array {
    struct wi_array_params params;
    struct wi_pool *pool;
    uint64_t now;
    uint64_t wake[WI_ARRAY_TILES];
    uint64_t sync[N_CORES];     /* when a core wants to interact */
    uint64_t released[N_CORES]; /* of its first release that is not in force */
    bool in_load, started, failed;
    bool over; /* the stream has ended in this cycle */
    uint32_t linked; /* columns that share memories with the one to their west */
    struct wi_tile tile[WI_ARRAY_TILES];
    struct emu_core core[N_CORES];
    struct controller controller;
    struct memory memory[MAX_MEMORIES];
    int n_memories;
    int guilty; /* tile; -1: none */
    char reason[512];
    void (*trace)(void *user, const struct wi_array_span *span);
    void *trace_user;
};

/* ------------------------------------------------------------------ array.c */

/* The first fault stops the array: "(0,2) bd3: ...". */
void wi_arr_fault(struct wi_array *array, const struct wi_tile *tile, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
struct wi_tile *wi_arr_tile(const struct wi_array *array, int col, int row);

static inline void wi_arr_wake(struct wi_tile *tile, uint64_t at) {
    uint64_t *wake = &tile->array->wake[tile->index];
    if (at < *wake)
        *wake = at;
}

static inline uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* ------------------------------------------------------------------ lock.c */

/* 1 taken, 0 to be tried again once the lock has changed, -1 to be tried in the next cycle. */
int wi_arr_acquire(struct lock *lock, int value, bool by_core, uint64_t now);
/* False: the lock would leave 0..63; the array is stopped.  `by_dma` is what cores see later. */
bool wi_arr_release(struct wi_tile *tile, unsigned id, int value, bool by_dma, uint64_t now,
                    const char *who);
/* Wake who may wait for a lock of this tile. */
void wi_arr_lock_changed(struct wi_tile *tile, struct lock *lock, uint64_t at);

/* ------------------------------------------------------------------ stream.c */

void wi_arr_switch_reset(struct wi_tile *tile);
/* A register of the switch was written: recompute the routes. */
void wi_arr_switch_routes(struct wi_tile *tile);
/* Move words for one cycle; returns the next cycle at which something may move by itself. */
uint64_t wi_arr_switch_step(struct wi_tile *tile, uint64_t now);
/* A word from the tile's own units into a slave port; false: no room. */
bool wi_arr_switch_put(struct wi_tile *tile, int slave, struct word w, uint64_t now);

/* ------------------------------------------------------------------ dma.c */

void wi_arr_channel_reset(struct channel *c);
void wi_arr_channel_push(struct channel *c, uint32_t task);
void wi_arr_channel_step(struct channel *c, uint64_t now);
/* S2MM: whether a word from the stream can be taken now; take it. */
bool wi_arr_channel_room(struct channel *c, uint64_t now);
void wi_arr_channel_put(struct channel *c, struct word w, uint64_t now);
bool wi_arr_channel_fot(const struct channel *c); /* finishes descriptors on TLAST */
void wi_arr_channel_name(const struct channel *c, char *buf, size_t size); /* "s2mm0 bd3" */
/* Whether a descriptor belongs to a task that runs or waits in a queue. */
const struct channel *wi_arr_descriptor_user(const struct wi_tile *tile, unsigned bd);
uint32_t wi_arr_channel_status(const struct channel *c);

/* ------------------------------------------------------------------ dma_memory.c */

/* Move what can move in this cycle between a channel's buffer and memory; returns the next cycle at
 * which it may go on by itself.  Sets c->stall. */
uint64_t wi_arr_fetch(struct channel *c, uint64_t now);
uint64_t wi_arr_store(struct channel *c, uint64_t now);
/* A shim channel begins after it was idle. */
void wi_arr_shim_open(struct channel *c, uint64_t now);
void wi_arr_channel_stall(struct channel *c, enum channel_stall stall, uint64_t now);

/* ------------------------------------------------------------------ cores.c */

int wi_arr_core_init(struct wi_array *array, int n, enum wi_level level, struct wisp_error *err);
void wi_arr_core_control(struct emu_core *c, uint32_t value);
void wi_arr_core_power_up(struct emu_core *c);
void wi_arr_core_start_all(struct wi_array *array, bool from_reset);
void wi_arr_core_cascades(struct wi_array *array);
/* Run a core alone up to `end` or to its next interaction. */
void wi_arr_core_ahead(struct emu_core *c, uint64_t end);
/* The core's interaction at this cycle; then alone up to `end`. */
void wi_arr_core_attempt(struct emu_core *c, uint64_t now, uint64_t end);
/* Something that the core may wait for has changed. */
void wi_arr_core_wake(struct emu_core *c, uint64_t at);
void wi_arr_core_releases(struct emu_core *c, uint64_t now);
/* The banks of a tile's memory that cores use in a cycle. */
uint32_t wi_arr_core_banks(const struct wi_tile *tile, uint64_t cycle);
/* A channel takes a bank from the cores that use it in this cycle. */
void wi_arr_core_lose(struct wi_tile *tile, unsigned bank, uint64_t cycle);
/* Cycles that cores lose to each other in [from, to). */
void wi_arr_core_conflicts(struct wi_array *array, uint64_t from, uint64_t to);
void wi_arr_core_show(struct emu_core *c);
uint64_t wi_arr_core_cycle(const struct emu_core *c);
struct wi_emu_counters wi_arr_core_count(const struct emu_core *c);

/* ------------------------------------------------------------------ registers.c, control.c */

void wi_arr_write(struct wi_array *array, uint32_t address, uint32_t value);
void wi_arr_mask_write(struct wi_array *array, uint32_t address, uint32_t mask, uint32_t value);
void wi_arr_block(struct wi_array *array, uint32_t address, const uint32_t *words, size_t n);
void wi_arr_control_start(struct wi_array *array, const struct wi_cfg *cfg, const uint64_t *args,
                          size_t n_args);
void wi_arr_control_step(struct wi_array *array);
void wi_arr_token(struct wi_array *array, uint32_t word);
uint32_t wi_arr_token_word(const struct channel *c);

/* ------------------------------------------------------------------ explain.c */

void wi_arr_span(struct wi_array *array, struct wi_array_span span);

#endif

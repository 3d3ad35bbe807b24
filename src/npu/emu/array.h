/* The array: four columns of a shim, a memory tile and four compute tiles, with the controller that
 * loads images and runs instruction streams.  What goes in are register writes (npu/image/cfg.h),
 * as the chip gets them, and host memory; what comes out are host memory, cycles and the reason
 * when something stops.
 *
 * Host memory is what was registered: an access outside is a fault.  Results and cycles do not
 * depend on the number of host threads.  Cores run ahead of the rest by up to WI_T_WINDOW_IDLE
 * cycles where nothing but unprotected memory could tell; locks, streams and cascades are exact.
 * One array is used by one thread at a time.  What the chip does not define, and what is not
 * modelled, ends the run as a fault that names tile and register. */
#ifndef WISP_SRC_NPU_EMU_ARRAY_H
#define WISP_SRC_NPU_EMU_ARRAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <wisp/wisp.h>

#include "base/strbuf.h"
#include "npu/emu/core.h"
#include "npu/image/cfg.h"

enum { WI_ARRAY_COLS = 4, WI_ARRAY_ROWS = 6, WI_ARRAY_TILES = WI_ARRAY_COLS * WI_ARRAY_ROWS };

struct wi_array;

/* In place of an argument's address: it is not given. */
#define WI_ARRAY_NO_ARGUMENT UINT64_MAX

struct wi_array_params {
    int n_threads;      /* 0: wi_default_threads */
    bool start_at_load; /* cores run once loaded; else from the first submission on */
    unsigned read_rate; /* of each shim channel, words per 1024 cycles */
    unsigned write_rate;
    unsigned all_read_rate; /* of all channels together; 0: no limit (nobody measured one) */
    unsigned all_write_rate;
    unsigned read_latency; /* of a task's first word, cycles */
    unsigned jitter; /* at most so many cycles more for each 64 words, drawn by a fixed rule */
    unsigned scatter_cycles; /* of a memory tile's S2MM for each access; 1, for less than a granule
                                too */
};
void wi_array_params_init(struct wi_array_params *params);

/* Errors: NOMEM, IO (threads). */
int wi_array_create(struct wi_array **out, const struct wi_array_params *params,
                    enum wi_level level, struct wisp_error *err);
void wi_array_destroy(struct wi_array **array);

/* Host memory that the array may access at `address`, a multiple of 4; it stays the caller's until
 * removed.  Errors: ARG (overlaps another), NOMEM. */
int wi_array_add_memory(struct wi_array *array, uint64_t address, uint8_t *data, size_t size,
                        struct wisp_error *err);
void wi_array_remove_memory(struct wi_array *array, uint64_t address);

/* Bring the whole array back to what it is after power-up and run a design's load commands. Errors:
 * DEVICE (a command that the array refuses, named). */
int wi_array_load(struct wi_array *array, const struct wi_cfg *cfg, struct wisp_error *err);

enum wi_array_status {
    WI_ARRAY_DONE,     /* the instruction stream has ended */
    WI_ARRAY_LIMIT,    /* the cycle limit */
    WI_ARRAY_DEADLOCK, /* nothing can move any more */
    WI_ARRAY_FAULT
};

/* Start an instruction stream; arguments are device addresses in the order of the stream's indices.
 * Both are borrowed until it has ended.  wi_array_run goes on for at most `limit` cycles;
 * wi_array_reason tells about an end that is not DONE. */
void wi_array_start(struct wi_array *array, const struct wi_cfg *insts, const uint64_t *args,
                    size_t n_args);
enum wi_array_status wi_array_run(struct wi_array *array, uint64_t limit);

/* Let time pass without a stream: DONE when nothing can move any more. */
enum wi_array_status wi_array_idle(struct wi_array *array, uint64_t limit);

const char *wi_array_reason(const struct wi_array *array); /* "" if none */
/* The tile that the reason is about; false when it is about none. */
bool wi_array_guilty(const struct wi_array *array, int *col, int *row);
uint64_t wi_array_cycles(const struct wi_array *array);

/* One line for each unit that waits: for what, and why that does not come. */
void wi_array_explain(const struct wi_array *array, struct wi_strbuf *out);

/* Cycles of a core since the design was loaded; false where there is no core or none that ever ran.
 */
bool wi_array_core_counters(const struct wi_array *array, int col, int row,
                            struct wi_emu_counters *out);

struct wi_array_channel {
    uint64_t words, descriptors, tasks;
    uint64_t lock, stream, memory; /* cycles stalled: by locks; starved or held back; by banks */
};
/* A DMA channel; false when there is none such. */
bool wi_array_channel(const struct wi_array *array, int col, int row, bool mm2s, int channel,
                      struct wi_array_channel *out);

/* What tests look at: a register as a controller would read it, false where reading has no meaning.
 */
bool wi_array_read(struct wi_array *array, uint32_t address, uint32_t *value);

/* What happened, told when it ends (NULL: nobody looks): spans of a core follow each other, stalls
 * of a channel lie inside of its transfers or between them. */
enum wi_array_lane { WI_LANE_CORE, WI_LANE_S2MM, WI_LANE_MM2S, WI_LANE_CONTROLLER };
struct wi_array_span {
    enum wi_array_lane lane;
    int col, row, channel;
    const char *what; /* "running", "lock" ..., constant */
    int descriptor;   /* -1: none */
    uint64_t start, end;
};
void wi_array_trace(struct wi_array *array,
                    void (*fn)(void *user, const struct wi_array_span *span), void *user);

#endif

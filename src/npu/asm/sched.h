/* Scheduling as a problem in numbers: operations with alternatives that occupy resources, edges
 * that keep them apart, values that need registers.  deps.c makes it from a region of a routine,
 * sched.c finds times, tune.c changes them until the values fit, color.c gives registers.
 *
 * Times are bundles.  With `cycles` > 0 the operations are a loop's step and repeat every so many
 * bundles (modulo scheduling); with 0 they are a straight line.  An operation with time t belongs
 * to step (T - t) / cycles at bundle T.  Nothing is random: searches use a fixed generator. */
#ifndef WISP_SRC_NPU_ASM_SCHED_H
#define WISP_SRC_NPU_ASM_SCHED_H

#include "npu/asm/ir.h"

enum {
    WI_RES_BANK = WI_N_SLOTS + WI_N_PORTS, /* 4 banks of memory */
    WI_RES_WAIT = WI_RES_BANK + 4,         /* an acquire's bundle, which has no memory access */
    WI_N_RES,
    WI_MAX_USES = 24
};

/* Held from bundle t + first to t + last; weak: must only not meet a holder. */
struct wi_use {
    uint8_t res, first, last;
    bool weak;
};
struct wi_alt {
    struct wi_use use[WI_MAX_USES];
    int n;
};

/* to issues at least `lat` bundles after from; of the step `dist` steps later. */
struct wi_edge {
    int from, to, lat, dist;
};

/* A read or write of a value's unit by an operation, in the order of the program.  A write can be
 * read from bundle t + at on, a read samples at bundle t + at. */
struct wi_touch {
    int op;
    int8_t at;
    uint8_t unit, bypass, when; /* when: enum wi_when */
    bool write;
};

/* A virtual register that is used in this region alone. */
struct wi_value {
    int reg; /* of the builder */
    int first_touch, n_touches;
    uint8_t n_units, file; /* enum wi_file */
    bool carried;          /* holds its register from step to step */
};
enum wi_file { WI_FILE_SCALAR, WI_FILE_VECTOR, WI_FILE_ACC, WI_N_FILES };

struct wi_sched {
    const struct wi_build *b;
    int first_op, n_ops, cycles;
    struct wi_alt (*alt)[WI_IR_ALTS]; /* [n_ops] */
    int *n_alts;
    struct wi_edge *edges;
    size_t n_edges, max_edges;
    int *edge_list, *edge_start; /* edges of an operation: edge_list[edge_start[op] ...] */
    struct wi_touch *touches;
    size_t n_touches, max_touches;
    struct wi_value *values;
    size_t n_values, max_values;
    int *value_list, *value_start; /* values of an operation */
    int room[WI_N_FILES][2];       /* low and high units that values may take */
    bool taken[WI_N_UNITS];        /* by what lives longer than the region */
    int bound;                     /* least cycles of a step */
    int most;                      /* last bundle that a search may use; 0: any */
    bool late; /* what changes memory, cascade or locks has only the last `cycles` of these */
    const char *limit;
    long tries;
    bool failed; /* out of memory: nothing else that was found counts */
    /* the result */
    int *time, *chosen; /* [n_ops]: bundle, alternative */
    int *number;        /* [n_values]: register within its family */
};

/* Errors: NOMEM, UNSUPPORTED. */
int wi_sched_init(struct wi_sched *s, const struct wi_build *b, const struct wi_ir_region *region,
                  int region_number, struct wisp_error *err);
void wi_sched_fini(struct wi_sched *s);

/* The reading bundle minus the writing one that a read at `at` needs to see a write at `at`. */
static inline int wi_sees(const struct wi_touch *write, const struct wi_touch *read) {
    return write->at - read->at - (write->bypass && write->bypass == read->bypass);
}

/* Bundles from x to y, which comes later in the program, that memory, queues and locks ask for.  A
 * lock's stream is the one that it guards, 0: all. */
struct wi_order {
    uint16_t id;
    uint8_t banks, stream;
};
enum { WI_NO_ORDER = -99 };
int wi_order_distance(struct wi_order x, struct wi_order y);
bool wi_is_acquire(unsigned id); /* which shares its bundle with no memory access */
/* Changes nothing but registers, and so may be done once too often. */
static inline bool wi_only_registers(unsigned id) {
    unsigned kind = wi_isa_info(id)->kind;
    return kind == WI_KIND_LOAD || kind == WI_KIND_PLAIN;
}

/* Of a loop's step: `bound` and `limit`. */
void wi_sched_bound(struct wi_sched *s);
/* The last bundle of a step by its edges alone at `cycles`: no schedule ends earlier.  -1: out of
 * memory. */
int wi_sched_chain(const struct wi_sched *s);
/* One operation a bundle in the order of the program, each finished before the next. */
void wi_sched_serial(struct wi_sched *s);
/* Straight line: as early as possible.  Errors: UNSUPPORTED. */
int wi_sched_line(struct wi_sched *s, struct wisp_error *err);
/* Loop: the fewest cycles a step that the search finds, registers included, or for loops
 * whose steps stay apart the first that fits.  Errors: UNSUPPORTED. */
int wi_sched_loop(struct wi_sched *s, const struct wi_loop *loop, struct wisp_error *err);

/* Registers for all values at their times; false: they do not fit. */
bool wi_sched_color(struct wi_sched *s);

/* Search steps; each starts from a seed. */
bool wi_sched_place(struct wi_sched *s, unsigned seed);
bool wi_sched_tune(struct wi_sched *s, unsigned seed, long moves);
/* Units of a file that are live at once beyond those there are, summed over bundles. */
int wi_sched_overflow(struct wi_sched *s);

/* Resources in use, by bundle. */
struct wi_table {
    int cycles;
    uint8_t *strong, *weak; /* [cycles][WI_N_RES] */
};
bool wi_table_init(struct wi_table *t, int cycles);
void wi_table_fini(struct wi_table *t);
void wi_table_add(struct wi_table *t, const struct wi_alt *a, int time, int sign);
int wi_table_clashes(const struct wi_table *t, const struct wi_alt *a, int time);

#endif

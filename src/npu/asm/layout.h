/* Scheduled regions as rows of operations with registers, one row a bundle, and rows as bytes. */
#ifndef WISP_SRC_NPU_ASM_LAYOUT_H
#define WISP_SRC_NPU_ASM_LAYOUT_H

#include "npu/asm/sched.h"

/* What a number in an operation stands for until addresses are known. */
struct wi_fix {
    uint8_t kind; /* enum wi_arg_kind; WI_ARG_REG: nothing to do */
    uint8_t field;
    int16_t region; /* ROW: the row */
};
struct wi_row {
    struct wi_isa_op op[WI_N_SLOTS];
    struct wi_fix fix[WI_N_SLOTS];
    uint8_t banks[WI_N_SLOTS], stream[WI_N_SLOTS];
    bool aligned; /* starts on 16 bytes */
    bool full;    /* has 16 bytes */
};
struct wi_rows {
    struct wi_row *v;
    size_t n, max;
};

/* Where the parts of a loop are. */
struct wi_places {
    int start, last; /* the hardware loop's first and last row */
    int again;       /* the next block's first row, among the far ones */
    int peeled;      /* what is added to the number of steps for LC */
};

struct wi_layout {
    const struct wi_build *b;
    struct wi_rows rows, far; /* far: behind the routine's end */
    size_t barrier;           /* rows before this one take nothing more */
    size_t repeat;            /* the first row of what is repeated */
    bool repeating;           /* each line begins as early as it can, not just by its length */
    struct wi_places *places; /* [n_regions] */
};

/* Append a straight line's rows, letting them begin among the last rows that are there.  Errors:
 * NOMEM, INTERNAL. */
int wi_layout_line(struct wi_layout *l, const struct wi_sched *s, struct wisp_error *err);
/* Append a loop: what fills it, the hardware loop, what drains it.  Errors: also UNSUPPORTED. */
int wi_layout_loop(struct wi_layout *l, const struct wi_sched *s, int number,
                   struct wisp_error *err);
/* What is between is repeated while `times`, which it counts down, is not 0. */
int wi_layout_repeat(struct wi_layout *l, struct wisp_error *err);
int wi_layout_end_repeat(struct wi_layout *l, struct wi_vreg times, struct wisp_error *err);
/* Append `ret lr` among the last rows, and the far rows behind. */
int wi_layout_end(struct wi_layout *l, struct wisp_error *err);
void wi_layout_fini(struct wi_layout *l);

/* Steps that overlap, and the least number of steps (of a block) that the loop's code can do. */
void wi_layout_measure(const struct wi_sched *s, int number, int *stages, int *min_steps);

/* Rows from a row on that its results need to land. */
int wi_row_landing(const struct wi_row *row);
/* Whether row y, `distance` bundles behind x and later in the program, comes too early. */
bool wi_rows_clash(const struct wi_row *x, const struct wi_row *y, int distance);
/* Append n rows, of which the first `head` may share bundles with rows that are there; -1: out of
 * memory, else where they begin.  loop_last: index of a hardware loop's last row, -1: none. */
int wi_rows_join(struct wi_layout *l, const struct wi_row *rows, int n, int head, int loop_last);
/* Whether n rows, no hardware loop among them, can begin at row `at`. */
bool wi_rows_fit(const struct wi_layout *l, const struct wi_row *rows, int n, int at);
/* Whether the rows from `from` on can come again behind the last one. */
bool wi_rows_follow(const struct wi_layout *l, size_t from);

/* Rows to bytes.  Errors: NOMEM, UNSUPPORTED (too long), INTERNAL. */
int wi_layout_encode(struct wi_layout *l, uint32_t base, struct wi_code *out,
                     struct wisp_error *err);

#endif

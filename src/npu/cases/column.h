/* GEMM jobs on the emulated array, as the encoder runs them: what tests compare and `wisp npu
 * bench` measures. */
#ifndef WISP_SRC_NPU_CASES_COLUMN_H
#define WISP_SRC_NPU_CASES_COLUMN_H

#include "npu/array/column.h"
#include "npu/emu/array.h"

/* X of each column becomes X + bias + A W, job after job; row-major bf16. */
struct wi_column_work {
    int cols, jobs;    /* jobs at most 8 */
    const uint16_t *a; /* [cols][96][512] */
    uint16_t *x;       /* [cols][96][512] */
    const uint16_t *w; /* [jobs][512][512] */
    const float *bias; /* [jobs][512] */
};

/* The job before the last one, where there is one, from the last word that the bottom of column 0
 * sent of the job before it to the last of its own; what the cores of column 0 waited for
 * meanwhile, cycles by row and cause. */
struct wi_column_time {
    uint64_t cycles;
    uint64_t waits[WI_COLUMN_ROWS][WI_EMU_STALLS];
};

/* params NULL: defaults.  Errors: NOMEM, ARG, DEVICE (the array stopped, with its reason). */
int wi_column_work_run(const struct wi_column_work *work, const struct wi_column_programs *programs,
                       const struct wi_array_params *params, struct wi_column_time *time,
                       struct wisp_error *err);

#endif

/* GEMM jobs on the array: columns own 96 tokens each, core rows own features.  Row r of the cores
 * (the bottom is 0) multiplies its quarter of the columns' A with the weights that its row stream
 * brings, sums go down the cascade, and the bottom's results return to the memory tile.
 *
 * Every row stream enters by one column, r, and passes all columns that compute:
 *   host -> shim MM2S0 -> memory tile S2MM1, ring of 8 units, MM2S2 -> core S2MM0, ring of 2
 * Private to a column:
 *   slabs A, X -> memory tile MM2S0, 1, 3, 5 -> S2MM1 of the cores of row 0, 1, 2, 3: the row's
 *   panels of A, then those of X to add
 *   bottom core MM2S0 -> memory tile S2MM2 -> slab X, in place
 * A slab has [32] panels of 96 rows x 16 columns, 3072 bytes; panel 4 g + r belongs to row r and
 * holds its features 16 g on, in tiles of 4 rows x 8 (A) or 4 x 4 (X). */
#ifndef WISP_SRC_NPU_ARRAY_COLUMN_H
#define WISP_SRC_NPU_ARRAY_COLUMN_H

#include "npu/array/plan.h"
#include "npu/kernels/roles.h"

enum {
    WI_COLUMN_ROWS = 4,
    WI_COLUMN_COLS = 4,
    WI_COLUMN_TOKENS = 96,
    WI_COLUMN_K = 512, /* of a job, a quarter to each row */
    WI_COLUMN_N = 512,
    WI_COLUMN_PANELS = WI_COLUMN_N / 16,
    WI_COLUMN_PANEL_BYTES = 3072,
    WI_COLUMN_SLAB = WI_COLUMN_PANELS * WI_COLUMN_PANEL_BYTES,
    WI_COLUMN_UNITS = 1 + WI_COLUMN_PANELS, /* of a job and row: commands and biases, then W */
    WI_COLUMN_JOB_BYTES = WI_COLUMN_UNITS * WI_ROLE_UNIT_BYTES
};

/* In bytes of a memory tile. */
enum { WI_COLUMN_A = 0, WI_COLUMN_X = WI_COLUMN_SLAB, WI_COLUMN_MEM_RING = 5 * WI_COLUMN_SLAB };

enum wi_gemm_role wi_column_role(int row);

/* The programs of the four rows. */
struct wi_column_programs {
    struct wi_linked of[WI_GEMM_BOTTOM + 1];
};
int wi_column_link(struct wi_column_programs *programs, struct wisp_error *err);
void wi_column_programs_fini(struct wi_column_programs *programs);

/* Load commands of the array with columns 0 to cols - 1 at work.  Each job reads slabs A and X and
 * overwrites X; the slabs' first contents are the caller's (wi_plan_bytes). */
void wi_column_load(struct wi_plan *p, const struct wi_column_programs *programs, int cols,
                    int jobs);
/* The run: argument r is the row stream of row r, wi_column_stream of each job. */
void wi_column_run(struct wi_plan *p, int jobs);

/* What a row's stream is for a job: commands, biases, weights.  w: row-major bf16 [512][512], of
 * which the row takes its quarter; columns in the order of the slabs' panels.  job: its number. */
bool wi_column_stream(uint8_t *stream, const struct wi_column_programs *programs, int row, int job,
                      const uint16_t *w, const float *bias);

/* A matrix [96][512] of bf16 to and from a slab: A's tiles, or X's. */
void wi_column_pack_a(uint8_t *slab, const uint16_t *a);
void wi_column_pack_x(uint8_t *slab, const uint16_t *x);
void wi_column_unpack_x(uint16_t *x, const uint8_t *slab);

#endif

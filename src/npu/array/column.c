#include "npu/array/column.h"

#include <string.h>

#include "npu/kernels/gemm.h"

enum { SHIM = 0, MEM = 1, CORES = 2 };           /* rows of the array */
enum { WORD = 4, PITCH = WI_GEMM_PITCH / WORD }; /* words */
enum { UNIT = WI_ROLE_UNIT_BYTES / WORD, PANEL = WI_COLUMN_PANEL_BYTES / WORD };
enum { PIECE = UNIT / 4, OWN_PANELS = WI_COLUMN_PANELS / WI_COLUMN_ROWS };
enum { K_ROW = WI_COLUMN_K / WI_COLUMN_ROWS, MEM_UNITS = 8, C_PIECES = 4 };
enum { MEM_RING_FREE, MEM_RING_FULL }; /* locks of memory tiles */

enum wi_gemm_role wi_column_role(int row) {
    return row == WI_COLUMN_ROWS - 1 ? WI_GEMM_TOP : row == 0 ? WI_GEMM_BOTTOM : WI_GEMM_MIDDLE;
}

/* ---------------------------------------------------------------- programs */

int wi_column_link(struct wi_column_programs *programs, struct wisp_error *err) {
    const struct wi_resident resident = wi_role_resident();
    int rc = WISP_OK;
    memset(programs, 0, sizeof *programs);
    for (int role = 0, n; rc == WISP_OK && role <= WI_GEMM_BOTTOM; role++) {
        const struct wi_routine *routines = wi_role_routines((enum wi_gemm_role)role, &n);
        rc = wi_link(&programs->of[role], routines, n, &resident, err);
    }
    if (rc != WISP_OK)
        wi_column_programs_fini(programs);
    return rc;
}

void wi_column_programs_fini(struct wi_column_programs *programs) {
    for (int role = 0; role <= WI_GEMM_BOTTOM; role++)
        wi_linked_fini(&programs->of[role]);
}

/* ---------------------------------------------------------------- routes */

static struct wi_end dma(int n) {
    return (struct wi_end){WI_SWITCH_DMA, n};
}
static struct wi_end south(int n) {
    return (struct wi_end){WI_SWITCH_SOUTH, n};
}
static struct wi_end north(int n) {
    return (struct wi_end){WI_SWITCH_NORTH, n};
}
static struct wi_end east(int n) {
    return (struct wi_end){WI_SWITCH_EAST, n};
}
static struct wi_end west(int n) {
    return (struct wi_end){WI_SWITCH_WEST, n};
}

/* The memory tile's MM2S channels of the private streams, by row. */
static const int private_channel[WI_COLUMN_ROWS] = {0, 1, 3, 5};

static void shim_routes(struct wi_plan *p, int col) {
    const struct wi_at at = {col, SHIM};
    wi_plan_route(p, at, south(3), north(0)); /* MM2S0 */
    wi_plan_reg(p, at, WI_MAP_MUX, 0, 0x400); /* South3 is the DMA's */
}

static void mem_routes(struct wi_plan *p, int col, bool computes) {
    const struct wi_at at = {col, MEM};
    wi_plan_route(p, at, south(0), dma(1));
    wi_plan_route(p, at, dma(2), north(4));
    if (!computes)
        return;
    for (int r = 0; r < WI_COLUMN_ROWS; r++)
        wi_plan_route(p, at, dma(private_channel[r]), north(r));
    wi_plan_route(p, at, north(3), dma(2));
}

/* A core's row stream comes from below in column r, else from the side where that is, and goes on
 * to where columns compute. */
static void row_stream(struct wi_plan *p, int col, int r, int cols) {
    const struct wi_at at = {col, CORES + r};
    const struct wi_end from = col == r ? south(4) : col > r ? west(0) : east(0);
    if (col < cols)
        wi_plan_route(p, at, from, dma(0));
    if (col >= r && col < cols - 1)
        wi_plan_route(p, at, from, east(0));
    if (col <= r && col > 0)
        wi_plan_route(p, at, from, west(0));
    if (col > r) /* the stream of a row above */
        wi_plan_route(p, at, south(4), north(4));
}

static void core_routes(struct wi_plan *p, int col, int r) {
    const struct wi_at at = {col, CORES + r};
    wi_plan_route(p, at, south(r), dma(1));
    for (int k = r + 1; k < WI_COLUMN_ROWS; k++)
        wi_plan_route(p, at, south(k), north(k));
    if (r == 0)
        wi_plan_route(p, at, dma(0), south(3));
}

/* ---------------------------------------------------------------- cores */

/* Descriptors of a core. */
enum { RING_BD, A_BD, R_BD, C_BD = R_BD + OWN_PANELS };

static void core_transfers(struct wi_plan *p, struct wi_at at) {
    const uint32_t base = WI_ROLE_MEMORY;
    const struct wi_transfer ring = {.base = (WI_ROLE_RING - base) / WORD,
                                     .words = UNIT,
                                     .d = {{PIECE / 2, 1}, {2, PIECE / 2}, {0, PITCH}},
                                     .iter = 2,
                                     .iter_step = WI_GEMM_RING / WORD,
                                     .locked = true,
                                     .take = WI_LOCK_RING_FREE,
                                     .n_take = 1,
                                     .give = WI_LOCK_RING_FULL,
                                     .n_give = 1,
                                     .next = RING_BD};
    const struct wi_transfer a = {.base = 0,
                                  .words = OWN_PANELS * PANEL,
                                  .d = {{PANEL / 4, 1}, {4, PANEL / 4}, {0, PITCH}},
                                  .iter = 2,
                                  .iter_step = WI_ROLE_A_OTHER / WORD,
                                  .locked = true,
                                  .take = WI_LOCK_A_FREE,
                                  .n_take = 1,
                                  .give = WI_LOCK_A_FULL,
                                  .n_give = 1,
                                  .next = R_BD};
    struct wi_transfer r = {.base = (WI_ROLE_R - base) / WORD,
                            .words = PANEL,
                            .d = {{PIECE / 2, 1}, {2, PIECE / 2}, {0, PITCH}},
                            .locked = true,
                            .take = WI_LOCK_R_FREE,
                            .n_take = 1,
                            .give = WI_LOCK_R_FULL,
                            .n_give = 1};
    wi_plan_transfer(p, at, RING_BD, &ring);
    wi_plan_transfer(p, at, A_BD, &a);
    for (int i = 0; i < OWN_PANELS; i++) {
        r.next = i + 1 < OWN_PANELS ? R_BD + i + 1 : A_BD;
        wi_plan_transfer(p, at, R_BD + i, &r);
    }
    wi_plan_start(p, at, WI_TO_MEMORY, 0, RING_BD, 1);
    wi_plan_start(p, at, WI_TO_MEMORY, 1, A_BD, 1);
}

static void bottom_transfers(struct wi_plan *p, struct wi_at at) {
    const struct wi_transfer c = {.base = (WI_ROLE_C - WI_ROLE_MEMORY) / WORD,
                                  .words = PIECE,
                                  .iter = C_PIECES,
                                  .iter_step = PITCH,
                                  .locked = true,
                                  .take = WI_LOCK_C_FULL,
                                  .n_take = 2,
                                  .give = WI_LOCK_C_FREE,
                                  .n_give = 2,
                                  .next = C_BD};
    wi_plan_transfer(p, at, C_BD, &c);
    wi_plan_start(p, at, WI_TO_STREAM, 0, C_BD, 1);
}

static void core_load(struct wi_plan *p, int col, int r, const struct wi_linked *program) {
    const struct wi_at at = {col, CORES + r};
    wi_plan_bytes(p, at, WI_MAP_PROGRAM_MEM, 0, program->bytes.data, program->bytes.len);
    wi_plan_lock(p, at, WI_LOCK_RING_FREE, 2);
    wi_plan_lock(p, at, WI_LOCK_A_FREE, 2);
    wi_plan_lock(p, at, WI_LOCK_R_FREE, 1);
    wi_plan_lock(p, at, WI_LOCK_C_FREE, 2 * C_PIECES);
    core_transfers(p, at);
    if (r == 0)
        bottom_transfers(p, at);
    wi_plan_reg(p, at, WI_MAP_CORE_CTRL, 0, 1);
}

/* ---------------------------------------------------------------- memory tiles */

/* Descriptors: even channels have 0 to 23, odd ones 24 to 47. */
enum {
    MEM_RING_OUT,
    MEM_ROW_0,
    MEM_FROM_BOTTOM,
    MEM_RING_IN = 24,
    MEM_ROW_1,
    MEM_ROW_2,
    MEM_ROW_3
};

static void mem_ring(struct wi_plan *p, int col) {
    const struct wi_at at = {col, MEM};
    struct wi_transfer ring = {.base = WI_COLUMN_MEM_RING / WORD,
                               .words = UNIT,
                               .iter = MEM_UNITS,
                               .iter_step = UNIT,
                               .locked = true,
                               .take = MEM_RING_FREE,
                               .n_take = 1,
                               .give = MEM_RING_FULL,
                               .n_give = 1,
                               .next = MEM_RING_IN};
    wi_plan_lock(p, at, MEM_RING_FREE, MEM_UNITS);
    wi_plan_transfer(p, at, MEM_RING_IN, &ring);
    ring.take = MEM_RING_FULL;
    ring.give = MEM_RING_FREE;
    ring.next = MEM_RING_OUT;
    wi_plan_transfer(p, at, MEM_RING_OUT, &ring);
    wi_plan_start(p, at, WI_TO_MEMORY, 1, MEM_RING_IN, 1);
    wi_plan_start(p, at, WI_TO_STREAM, 2, MEM_RING_OUT, 1);
}

/* The row's panels of A and, as slab X is behind slab A, of X; what the bottom core sends. */
static void mem_slabs(struct wi_plan *p, int col, int jobs) {
    static const int bd[WI_COLUMN_ROWS] = {MEM_ROW_0, MEM_ROW_1, MEM_ROW_2, MEM_ROW_3};
    const struct wi_at at = {col, MEM};
    const struct wi_transfer from_bottom = {
        .base = WI_COLUMN_X / WORD, .words = WI_COLUMN_SLAB / WORD, .next = -1};
    for (int r = 0; r < WI_COLUMN_ROWS; r++) {
        const struct wi_transfer row = {.base = (uint32_t)(WI_COLUMN_A / WORD + r * PANEL),
                                        .words = 2 * OWN_PANELS * PANEL,
                                        .d = {{PANEL, 1}, {0, WI_COLUMN_ROWS * PANEL}},
                                        .next = -1};
        wi_plan_transfer(p, at, bd[r], &row);
        wi_plan_start(p, at, WI_TO_STREAM, private_channel[r], bd[r], jobs);
    }
    wi_plan_transfer(p, at, MEM_FROM_BOTTOM, &from_bottom);
    wi_plan_start(p, at, WI_TO_MEMORY, 2, MEM_FROM_BOTTOM, jobs);
}

/* ---------------------------------------------------------------- the whole */

void wi_column_load(struct wi_plan *p, const struct wi_column_programs *programs, int cols,
                    int jobs) {
    for (int col = 0; col < WI_COLUMN_COLS; col++) {
        shim_routes(p, col);
        mem_routes(p, col, col < cols);
        for (int r = 0; r < WI_COLUMN_ROWS; r++)
            row_stream(p, col, r, cols);
        for (int r = 0; r < WI_COLUMN_ROWS && col < cols; r++)
            core_routes(p, col, r);
    }
    for (int col = 0; col < WI_COLUMN_COLS; col++) {
        mem_ring(p, col);
        for (int r = 0; r < WI_COLUMN_ROWS && col < cols; r++)
            core_load(p, col, r, &programs->of[wi_column_role(r)]);
        if (col < cols)
            mem_slabs(p, col, jobs);
    }
}

void wi_column_run(struct wi_plan *p, int jobs) {
    for (int r = 0; r < WI_COLUMN_ROWS; r++) {
        const struct wi_at at = {r, SHIM};
        const struct wi_transfer stream = {.words = (uint32_t)(jobs * WI_COLUMN_UNITS * UNIT),
                                           .next = -1};
        wi_plan_transfer(p, at, 0, &stream);
        wi_cfg_patch(p->cfg, WI_TILE_ADDR(r, SHIM, wi_map_offset(WI_TILE_SHIM, WI_MAP_BD, 0, 1)),
                     (uint32_t)r, 0);
        wi_plan_start(p, at, WI_TO_STREAM, 0, 0, 1);
    }
}

/* ---------------------------------------------------------------- data */

/* The column of a matrix at which slab panel n begins. */
static int first_column(int n) {
    return n % WI_COLUMN_ROWS * K_ROW + n / WI_COLUMN_ROWS * 16;
}

bool wi_column_stream(uint8_t *stream, const struct wi_column_programs *programs, int row, int job,
                      const uint16_t *w, const float *bias) {
    const struct wi_role_gemm gemm = {.role = wi_column_role(row),
                                      .k = K_ROW,
                                      .panels = WI_COLUMN_PANELS,
                                      .a = job % 2,
                                      .place = job * WI_COLUMN_UNITS % 2,
                                      .own = row};
    struct wi_role_gemm_head head;
    uint16_t panel[K_ROW * WI_GEMM_COLUMNS];
    uint8_t image[4 * WI_GEMM_PITCH];
    if (!wi_role_gemm_head(&head, &gemm, &programs->of[gemm.role]))
        return false;
    memset(stream, 0, WI_ROLE_UNIT_BYTES);
    memcpy(stream, &head, sizeof head);
    for (int n = 0; n < WI_COLUMN_PANELS; n++) {
        memcpy(stream + WI_ROLE_UNIT_BIAS + 64 * n, bias + first_column(n), 64);
        for (int k = 0; k < K_ROW; k++)
            memcpy(panel + k * WI_GEMM_COLUMNS,
                   w + (row * K_ROW + k) * WI_COLUMN_N + first_column(n),
                   WI_GEMM_COLUMNS * sizeof *w);
        wi_gemm_pack_w(image, panel, K_ROW);
        for (int i = 0; i < 4; i++)
            memcpy(stream + (n + 1) * WI_ROLE_UNIT_BYTES + i * PIECE * WORD,
                   image + i * WI_GEMM_PITCH, PIECE * WORD);
    }
    return true;
}

/* Where a slab has element (row, column): tiles of 4 rows x 8 of two C4 tiles' size, or of 4 x 4.
 */
static size_t slab_element(int row, int column, bool a) {
    int k = column % K_ROW, n = column / K_ROW + k / 16 * WI_COLUMN_ROWS, c = k % 16;
    int in_panel = a ? row / 4 * 64 + c / 8 * 32 + row % 4 * 8 + c % 8
                     : row / 4 * 64 + c / 4 * 16 + row % 4 * 4 + c % 4;
    return (size_t)(n * (WI_COLUMN_PANEL_BYTES / 2) + in_panel);
}

static void pack(uint8_t *slab, const uint16_t *from, bool a) {
    for (int i = 0; i < WI_COLUMN_TOKENS * WI_COLUMN_K; i++)
        memcpy(slab + 2 * slab_element(i / WI_COLUMN_K, i % WI_COLUMN_K, a), from + i, 2);
}

void wi_column_pack_a(uint8_t *slab, const uint16_t *a) {
    pack(slab, a, true);
}

void wi_column_pack_x(uint8_t *slab, const uint16_t *x) {
    pack(slab, x, false);
}

void wi_column_unpack_x(uint16_t *x, const uint8_t *slab) {
    for (int i = 0; i < WI_COLUMN_TOKENS * WI_COLUMN_N; i++)
        memcpy(x + i, slab + 2 * slab_element(i / WI_COLUMN_N, i % WI_COLUMN_N, false), 2);
}

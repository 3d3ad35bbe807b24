#include "npu/kernels/gemm.h"

#include <string.h>

#include "npu/kernels/ops.h"

enum { STREAM_A = 1, STREAM_W, STREAM_C, STREAM_BIAS, STREAM_R, STREAM_TURN };
enum { TILE = 64, PIECE = 1024, GROUP = 2 * TILE, BANK = 0x4000, OWN_MEMORY = 0x70000 };
/* vshuffle: 128-bit elements 0, 2, 4, 6 of two registers */
enum { EVEN_QUARTERS = 8, ODD_QUARTERS = 9 };

/* The same pieces as C's. */
static void walk_r(uint32_t walk[3]) {
    walk[0] = WI_GEMM_PITCH + 32 - PIECE;
    walk[1] = PIECE / 32 - 1;
    walk[2] = 32;
}

bool wi_gemm_params(struct wi_gemm_params *p, int k, const struct wi_gemm_at *at) {
    if (k != 64 && k != 96 && k != 128)
        return false;
    uint32_t panels = (uint32_t)k / 16, pieces = (uint32_t)k / 32;
    uint32_t last_panel = (panels - 1) * WI_GEMM_PITCH, last_piece = (pieces - 1) * WI_GEMM_PITCH;
    *p = (struct wi_gemm_params){
        .a = at->a,
        .w = at->w,
        .bias = at->bias,
        .c = at->c,
        .r = at->r,
        .steps = panels,
        /* 4 groups, the same of the next panel, the next 4 groups of the first */
        .a_walk = {GROUP - last_panel, 3, GROUP, panels - 1, WI_GEMM_PITCH - 3 * GROUP},
        /* a piece, the next piece, the first again */
        .w_walk = {32 - PIECE - last_piece, PIECE / 32 - 1, 32, pieces - 1,
                   WI_GEMM_PITCH + 32 - PIECE}};
    if (!at->zeros)
        walk_r(p->r_walk);
    return true;
}

bool wi_gemm_job(struct wi_gemm_job *job, struct wi_gemm_turn turns[WI_GEMM_TURNS], int k, int own,
                 uint32_t r, uint32_t zero, uint32_t turns_at) {
    struct wi_gemm_params params;
    if (!wi_gemm_params(&params, k, &(struct wi_gemm_at){.zeros = true}))
        return false;
    job->turn = turns_at;
    job->steps = params.steps;
    memcpy(job->a_walk, params.a_walk, sizeof job->a_walk);
    memcpy(job->w_walk, params.w_walk, sizeof job->w_walk);
    for (int i = 0; i < WI_GEMM_TURNS; i++) {
        turns[i] = (struct wi_gemm_turn){
            .r = zero,
            .full = WI_LOCK_OWN + WI_LOCK_NEVER + 1,
            .next = turns_at + (uint32_t)((i + 1) % WI_GEMM_TURNS * (int)sizeof *turns)};
        if (i == own) {
            turns[i].r = r;
            turns[i].full = WI_LOCK_OWN + WI_LOCK_R_FULL;
            turns[i].take = -1;
            walk_r(turns[i].walk);
        }
    }
    return true;
}

/* ---------------------------------------------------------------- the kernel */

struct gemm {
    enum wi_gemm_role role;
    struct wi_vreg tile, acc[4][4];  /* configuration of the product; sums, rows x columns */
    struct wi_vreg pa[2], walk_a[2]; /* even and odd tiles of a panel */
    struct wi_vreg pw, walk_w, pc, walk_c, pr, walk_r, biases;
    struct wi_vreg even, odd; /* shuffles */
    /* streamed: addresses of the next one's operands and turn, as r; locks of R and
     * what is taken and given of it; 1; C's ring */
    struct wi_vreg a, w, bias, turn, ring, size, gap;
    struct wi_vreg r_full, r_free, r_take, r_give, take, one;
    struct wi_vreg take_c, given, offset, bank, around;
};

/* The tile at a pointer, which then goes on. */
static struct wi_vreg load_a(struct wi_build *b, const struct gemm *g, int k) {
    struct wi_vreg x = wi_k_x(b, "a");
    wi_build_load(b, wi_high(x), wi_k_at(g->pa[k], 32, WI_ANY_BANK, STREAM_A));
    wi_build_load(b, wi_low(x), wi_k_walk(g->pa[k], g->walk_a[k], WI_ANY_BANK, STREAM_A));
    return x;
}

static struct wi_vreg load_w(struct wi_build *b, const struct gemm *g) {
    struct wi_vreg x = wi_k_x(b, "w");
    wi_build_load(b, wi_low(x), wi_k_walk(g->pw, g->walk_w, WI_ANY_BANK, STREAM_W));
    wi_build_load(b, wi_high(x), wi_k_walk(g->pw, g->walk_w, WI_ANY_BANK, STREAM_W));
    return x;
}

/* The biases of columns 4j to 4j + 3 in each of 4 rows. */
static struct wi_vreg bias_tile(struct wi_build *b, const struct gemm *g, int j) {
    struct wi_vreg twice = wi_k_x(b, "bias"), tile = wi_k_bm(b, "bias");
    struct wi_vreg first = j % 2 ? g->odd : g->even, second = j / 2 ? g->odd : g->even;
    WI_OP(b, VSHUFFLE, wi_r(twice), wi_r(g->biases), wi_r(g->biases), wi_r(first));
    WI_OP(b, VSHUFFLE, wi_r(tile), wi_r(twice), wi_r(twice), wi_r(second));
    return tile;
}

/* The next tile of R in fp32. */
static struct wi_vreg load_r(struct wi_build *b, const struct gemm *g) {
    struct wi_vreg tile = wi_k_bm(b, "r");
    wi_build_load_f32(b, tile, wi_k_walk(g->pr, g->walk_r, WI_FREE_BANK, STREAM_R));
    return tile;
}

/* 8 of k: 4 x 4 tile products; at the top the first ones of a block begin from the bias. */
static void multiply_even(struct wi_build *b, const struct gemm *g) {
    struct wi_vreg rows[4], bias = {0, 0, 0};
    for (int i = 0; i < 4; i++)
        rows[i] = load_a(b, g, 0);
    for (int j = 0; j < 4; j++) {
        struct wi_vreg column = load_w(b, g);
        wi_build_when(b, WI_FIRST_STEP);
        if (g->role == WI_GEMM_TOP)
            bias = bias_tile(b, g, j);
        wi_build_when(b, WI_EVERY_STEP);
        for (int i = 0; i < 4; i++) {
            wi_k_mac(b, g->acc[i][j], g->acc[i][j], rows[i], column, g->tile);
            if (g->role == WI_GEMM_TOP)
                WI_FIRST_OP(b, VMAC_F, wi_r(g->acc[i][j]), wi_r(bias), wi_r(rows[i]), wi_r(column),
                            wi_r(g->tile));
        }
    }
}

/* The next 8 of k, of which the first ones of a block also add R. */
static void multiply_odd(struct wi_build *b, const struct gemm *g) {
    struct wi_vreg columns[4];
    for (int j = 0; j < 4; j++)
        columns[j] = load_w(b, g);
    for (int i = 0; i < 4; i++) {
        struct wi_vreg row = load_a(b, g, 1);
        for (int j = 0; j < 4; j++) {
            wi_build_when(b, WI_FIRST_STEP);
            struct wi_vreg r = load_r(b, g);
            wi_build_when(b, WI_EVERY_STEP);
            wi_k_mac(b, g->acc[i][j], g->acc[i][j], row, columns[j], g->tile);
            WI_FIRST_OP(b, VADDMAC_F, wi_r(g->acc[i][j]), wi_r(r), wi_r(row), wi_r(columns[j]),
                        wi_r(g->tile));
        }
    }
}

static void step(struct wi_build *b, const struct gemm *g) {
    wi_build_when(b, WI_FIRST_STEP);
    for (int i = 0; i < 16 && g->role != WI_GEMM_TOP; i++)
        WI_OP(b, VMOV_SCD, wi_r(g->acc[i / 4][i % 4]));
    wi_build_when(b, WI_EVERY_STEP);
    multiply_even(b, g);
    multiply_odd(b, g);
    wi_build_when(b, WI_LAST_STEP);
    for (int i = 0; i < 16; i++)
        if (g->role == WI_GEMM_BOTTOM)
            wi_build_store_bf16(b, g->acc[i / 4][i % 4],
                                wi_k_walk(g->pc, g->walk_c, WI_FREE_BANK, STREAM_C));
        else
            WI_OP(b, VMOV_MCD, wi_r(g->acc[i / 4][i % 4]));
}

static void load_bias(struct wi_build *b, struct gemm *g) {
    struct wi_vreg p = wi_k_param(b, WI_FAMILY_P, offsetof(struct wi_gemm_params, bias), "bias");
    g->even = wi_build_const(b, WI_FAMILY_R, EVEN_QUARTERS, "even quarters");
    g->odd = wi_build_const(b, WI_FAMILY_R, ODD_QUARTERS, "odd quarters");
    g->biases = wi_k_x(b, "biases");
    wi_build_load(b, wi_low(g->biases), wi_k_at(p, 0, WI_ANY_BANK, STREAM_BIAS));
    wi_build_load(b, wi_high(g->biases), wi_k_at(p, 32, WI_ANY_BANK, STREAM_BIAS));
}

#define AT(field) offsetof(struct wi_gemm_params, field)
#define JOB(field) offsetof(struct wi_gemm_job, field)
#define TURN(field) offsetof(struct wi_gemm_turn, field)

static void load_c_walk(struct wi_build *b, struct gemm *g, size_t c) {
    g->pc = wi_k_param(b, WI_FAMILY_P, c, "C");
    g->walk_c = wi_k_walk_2d(
        b, "walk of C",
        (struct wi_walk){.n = PIECE / 32, .step = 32, .next = WI_GEMM_PITCH + 32 - PIECE});
}

static void begin_sums(struct wi_build *b, struct gemm *g) {
    for (int i = 0; i < 16; i++)
        g->acc[i / 4][i % 4] = wi_k_bm(b, "sum");
}

/* ---------------------------------------------------------------- streamed */

static void load_turn(struct wi_build *b, struct wi_vreg to, struct wi_vreg turn, size_t offset) {
    wi_build_load(b, to, wi_k_at(turn, (int32_t)offset, WI_ANY_BANK, STREAM_TURN));
}

static struct wi_vreg keep(struct wi_build *b, size_t offset, const char *name) {
    return wi_k_param(b, WI_FAMILY_R, offset, name);
}

static void move(struct wi_build *b, struct wi_vreg to, struct wi_vreg from) {
    WI_OP(b, MOV, wi_r(to), wi_r(from));
}

static void rewind_walk(struct wi_build *b, struct wi_vreg d) {
    wi_build_set(b, wi_dim(d, WI_FAMILY_DC, false), 0);
    if (d.family == WI_FAMILY_D3)
        wi_build_set(b, wi_dim(d, WI_FAMILY_DC, true), 0);
}

/* What is the same for all panels. */
static void begin_job(struct wi_build *b, struct gemm *g) {
    g->ring = wi_build_const(b, WI_FAMILY_R, WI_GEMM_RING, "ring");
    for (int k = 0; k < 2; k++) {
        g->pa[k] = wi_build_reg(b, WI_FAMILY_P, "A");
        g->walk_a[k] = wi_k_param_walk(b, WI_FAMILY_D3, JOB(a_walk), "walk of A");
    }
    g->a = keep(b, JOB(a), "A");
    g->w = keep(b, JOB(w), "W");
    g->pw = wi_build_reg(b, WI_FAMILY_P, "W");
    g->walk_w = wi_k_param_walk(b, WI_FAMILY_D3, JOB(w_walk), "walk of W");
    g->turn = keep(b, JOB(turn), "turn");
    g->pr = wi_build_reg(b, WI_FAMILY_P, "R");
    g->walk_r = wi_build_reg(b, WI_FAMILY_D, "walk of R");
    g->r_full = wi_build_reg(b, WI_FAMILY_R, "R full");
    g->r_free = wi_build_reg(b, WI_FAMILY_R, "R free");
    g->r_take = wi_build_reg(b, WI_FAMILY_R, "take");
    g->r_give = wi_build_reg(b, WI_FAMILY_R, "give");
    g->take = wi_build_const(b, WI_FAMILY_R, -1, "take");
    g->one = wi_build_const(b, WI_FAMILY_R, 1, "give");
    if (g->role == WI_GEMM_BOTTOM) {
        load_c_walk(b, g, JOB(end));
        g->offset = wi_build_const(b, WI_FAMILY_R, BANK - 1, "offset in bank");
        g->bank = wi_build_const(b, WI_FAMILY_R, OWN_MEMORY + 3 * BANK, "bank");
        g->around = wi_build_const(b, WI_FAMILY_R, 0, "around");
        g->given = wi_build_const(b, WI_FAMILY_R, 1, "blocks");
        g->take_c = wi_build_const(b, WI_FAMILY_R, -WI_GEMM_BLOCKS, "take");
    }
    if (g->role == WI_GEMM_TOP) {
        g->even = wi_build_const(b, WI_FAMILY_R, EVEN_QUARTERS, "even quarters");
        g->odd = wi_build_const(b, WI_FAMILY_R, ODD_QUARTERS, "odd quarters");
        g->biases = wi_k_x(b, "biases");
        g->bias = keep(b, JOB(end), "bias");
        g->size = wi_build_const(b, WI_FAMILY_R, TILE, "biases");
        g->gap = wi_build_const(b, WI_FAMILY_R, WI_GEMM_PITCH - PIECE, "gap");
    }
}

/* R of this panel's turn; the next panel has the next one. */
static void take_turn(struct wi_build *b, const struct gemm *g) {
    static const enum wi_family fields[] = {WI_FAMILY_M, WI_FAMILY_DN, WI_FAMILY_DJ};
    struct wi_vreg turn = wi_build_reg(b, WI_FAMILY_P, "turn");
    move(b, turn, g->turn);
    load_turn(b, g->r_full, turn, TURN(full));
    load_turn(b, g->r_take, turn, TURN(take));
    load_turn(b, g->pr, turn, TURN(r));
    for (int i = 0; i < 3; i++)
        load_turn(b, wi_dim(g->walk_r, fields[i], false), turn, TURN(walk) + 4 * (size_t)i);
    load_turn(b, g->turn, turn, TURN(next));
    rewind_walk(b, g->walk_r);
}

/* 16 biases and where the next ones are: they lie in the last quarter of each 4 KB. */
static void take_biases(struct wi_build *b, const struct gemm *g) {
    struct wi_vreg p = wi_build_reg(b, WI_FAMILY_P, "bias");
    move(b, p, g->bias);
    wi_k_load_x(b, g->biases, wi_k_at(p, 0, WI_ANY_BANK, STREAM_BIAS));
    WI_OP(b, ADD, wi_r(g->bias), wi_r(g->bias), wi_r(g->size));
    WI_OP(b, OR, wi_r(g->bias), wi_r(g->bias), wi_r(g->gap));
}

/* C goes on in the ring of 4 pieces, a bank: behind the last one comes the first. */
static void wrap_c(struct wi_build *b, const struct gemm *g) {
    move(b, g->around, g->pc);
    WI_OP(b, AND, wi_r(g->around), wi_r(g->around), wi_r(g->offset));
    WI_OP(b, OR, wi_r(g->around), wi_r(g->around), wi_r(g->bank));
    move(b, g->pc, g->around);
}

static void begin_panel(struct wi_build *b, const struct gemm *g) {
    take_turn(b, g);
    for (int k = 0; k < 2; k++) {
        move(b, g->pa[k], g->a);
        rewind_walk(b, g->walk_a[k]);
    }
    WI_OP(b, PADDA_INC, wi_r(g->pa[1]), wi_i(TILE));
    move(b, g->pw, g->w);
    rewind_walk(b, g->walk_w);
    WI_OP(b, XOR, wi_r(g->w), wi_r(g->w), wi_r(g->ring));
    if (g->role == WI_GEMM_TOP)
        take_biases(b, g);
}

/* Between two blocks: the first one, and with a panel's first the last one of the panel before. */
static void give_c(struct wi_build *b, const struct gemm *g) {
    wi_build_release(b, wi_i(WI_LOCK_OWN + WI_LOCK_C_FULL), g->given, STREAM_C);
    wi_build_set(b, g->given, 1);
}

/* What the locks of R are for its turn: 1 is given where -1 was taken. */
static void know_r(struct wi_build *b, const struct gemm *g) {
    WI_OP(b, ADD_NC, wi_r(g->r_free), wi_r(g->r_full), wi_i(-1));
    WI_OP(b, AND, wi_r(g->r_give), wi_r(g->r_take), wi_r(g->one));
}

static void take_w(struct wi_build *b, const struct gemm *g) {
    wi_build_acquire(b, wi_i(WI_LOCK_OWN + WI_LOCK_RING_FULL), g->take, STREAM_W);
}

static void give_w(struct wi_build *b, const struct gemm *g) {
    wi_build_release(b, wi_i(WI_LOCK_OWN + WI_LOCK_RING_FREE), g->one, STREAM_W);
}

static void take_r(struct wi_build *b, const struct gemm *g) {
    wi_build_acquire(b, wi_r(g->r_full), g->r_take, STREAM_R);
    know_r(b, g);
}

static void give_r(struct wi_build *b, const struct gemm *g) {
    wi_build_release(b, wi_r(g->r_free), g->r_give, STREAM_R);
}

/* Of the 8 blocks in the ring 2 are free and 4 on their way when a panel ends; the last 2 leave
 * with the next panel. */
static void take_c(struct wi_build *b, const struct gemm *g) {
    wi_build_acquire(b, wi_i(WI_LOCK_OWN + WI_LOCK_C_FREE), g->take_c, STREAM_C);
}

static void take_panel(struct wi_build *b, const struct gemm *g) {
    take_w(b, g);
    if (g->role == WI_GEMM_BOTTOM) {
        take_c(b, g);
        wrap_c(b, g);
    }
    begin_panel(b, g);
    take_r(b, g);
}

/* Each as early among what drains as can be, which is not between operations of the cascade. */
static void give_panel(struct wi_build *b, const struct gemm *g) {
    give_r(b, g);
    wi_build_cut(b);
    give_w(b, g);
}

static void emit_stream(struct wi_build *b, enum wi_gemm_role role) {
    struct gemm g = {.role = role};
    struct wi_vreg steps = keep(b, JOB(steps), "steps"), panels = keep(b, JOB(panels), "panels");
    struct wi_vreg blocks = wi_build_const(b, WI_FAMILY_R, WI_GEMM_BLOCKS, "blocks");
    g.tile = wi_build_const(b, WI_FAMILY_R, WI_MAC_TILE, "tile product");
    wi_k_round_even(b);
    begin_job(b, &g);
    begin_sums(b, &g);
    wi_build_repeat(b, panels);
    take_panel(b, &g);
    wi_build_loop(b, (struct wi_loop){"gemm", steps, blocks, .overrun = true});
    step(b, &g);
    if (role == WI_GEMM_BOTTOM) {
        wi_build_between(b);
        wrap_c(b, &g);
        give_c(b, &g);
    }
    wi_build_end_loop(b);
    if (role == WI_GEMM_BOTTOM)
        wi_build_set(b, g.given, 2);
    give_panel(b, &g);
    wi_build_end_repeat(b);
    if (role == WI_GEMM_BOTTOM)
        wi_build_release(b, wi_i(WI_LOCK_OWN + WI_LOCK_C_FULL), g.one, STREAM_C);
}

/* ---------------------------------------------------------------- the routines */

static void emit(struct wi_build *b, enum wi_gemm_role role) {
    struct gemm g = {.role = role};
    struct wi_vreg steps = wi_k_param(b, WI_FAMILY_R, AT(steps), "steps");
    struct wi_vreg blocks = wi_build_const(b, WI_FAMILY_R, WI_GEMM_BLOCKS, "blocks");
    for (int k = 0; k < 2; k++) {
        g.pa[k] = wi_k_param(b, WI_FAMILY_P, AT(a), "A");
        g.walk_a[k] = wi_k_param_walk(b, WI_FAMILY_D3, AT(a_walk), "walk of A");
    }
    WI_OP(b, PADDA_INC, wi_r(g.pa[1]), wi_i(TILE));
    g.pw = wi_k_param(b, WI_FAMILY_P, AT(w), "W");
    g.walk_w = wi_k_param_walk(b, WI_FAMILY_D3, AT(w_walk), "walk of W");
    g.pr = wi_k_param(b, WI_FAMILY_P, AT(r), "R");
    g.walk_r = wi_k_param_walk(b, WI_FAMILY_D, AT(r_walk), "walk of R");
    g.tile = wi_build_const(b, WI_FAMILY_R, WI_MAC_TILE, "tile product");
    if (role == WI_GEMM_TOP)
        load_bias(b, &g);
    if (role == WI_GEMM_BOTTOM) {
        load_c_walk(b, &g, AT(c));
        wi_k_round_even(b);
    }
    begin_sums(b, &g);
    wi_build_loop(b, (struct wi_loop){"gemm", steps, blocks, .overrun = true});
    step(b, &g);
    wi_build_end_loop(b);
}

void wi_gemm_top_emit(struct wi_build *b) {
    emit(b, WI_GEMM_TOP);
}
void wi_gemm_middle_emit(struct wi_build *b) {
    emit(b, WI_GEMM_MIDDLE);
}
void wi_gemm_bottom_emit(struct wi_build *b) {
    emit(b, WI_GEMM_BOTTOM);
}
void wi_gemm_stream_top_emit(struct wi_build *b) {
    emit_stream(b, WI_GEMM_TOP);
}
void wi_gemm_stream_middle_emit(struct wi_build *b) {
    emit_stream(b, WI_GEMM_MIDDLE);
}
void wi_gemm_stream_bottom_emit(struct wi_build *b) {
    emit_stream(b, WI_GEMM_BOTTOM);
}

/* ---------------------------------------------------------------- packing */

static uint16_t *element(uint8_t *memory, int byte) {
    return (uint16_t *)(void *)(memory + byte);
}

void wi_gemm_pack_a(uint8_t *memory, const uint16_t *a, int k) {
    for (int row = 0; row < WI_GEMM_ROWS; row++)
        for (int c = 0; c < k; c++)
            *element(memory, c / 16 * WI_GEMM_PITCH + row / 4 * GROUP + c % 16 / 8 * TILE +
                                 row % 4 * 16 + c % 8 * 2) = a[row * k + c];
}

void wi_gemm_pack_w(uint8_t *memory, const uint16_t *w, int k) {
    for (int r = 0; r < k; r++)
        for (int c = 0; c < WI_GEMM_COLUMNS; c++) {
            int byte = (r / 8 * 4 + c / 4) * TILE + r % 8 * 8 + c % 4 * 2;
            *element(memory, byte / PIECE * WI_GEMM_PITCH + byte % PIECE) =
                w[r * WI_GEMM_COLUMNS + c];
        }
}

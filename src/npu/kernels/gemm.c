#include "npu/kernels/gemm.h"

#include "npu/kernels/ops.h"

enum { STREAM_A = 1, STREAM_W, STREAM_C, STREAM_BIAS, STREAM_R, STREAM_TURN };
enum { TILE = 64, PIECE = 1024, GROUP = 2 * TILE, BANK = 0x4000 };
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

bool wi_gemm_stream(struct wi_gemm_params *p, struct wi_gemm_turn turns[WI_GEMM_TURNS], int k,
                    const struct wi_gemm_at *at, uint32_t zero, int own, uint32_t turns_at) {
    if (!wi_gemm_params(p, k, at))
        return false;
    p->r = turns_at;
    for (int i = 0; i < WI_GEMM_TURNS; i++) {
        turns[i] = (struct wi_gemm_turn){
            .r = zero,
            .full = WI_LOCK_OWN + WI_LOCK_NEVER + 1,
            .next = turns_at + (uint32_t)((i + 1) % WI_GEMM_TURNS * (int)sizeof *turns)};
        if (i == own) {
            turns[i].r = at->r;
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
    bool streamed;
    struct wi_vreg tile, acc[4][4];  /* configuration of the product; sums, rows x columns */
    struct wi_vreg pa[2], walk_a[2]; /* even and odd tiles of a panel */
    struct wi_vreg pw, walk_w, pc, walk_c, pr, walk_r, biases;
    struct wi_vreg even, odd; /* shuffles */
    /* streamed: locks of R, what is taken and given of it, 1 */
    struct wi_vreg r_full, r_free, r_take, r_give, one;
    struct wi_vreg offset, bank, around; /* C's ring */
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
#define TURN(field) offsetof(struct wi_gemm_turn, field)

static void load_r_walk(struct wi_build *b, struct gemm *g) {
    g->pr = wi_k_param(b, WI_FAMILY_P, AT(r), "R");
    g->walk_r = wi_k_param_walk(b, WI_FAMILY_D, AT(r_walk), "walk of R");
}

static void load_c_walk(struct wi_build *b, struct gemm *g) {
    g->pc = wi_k_param(b, WI_FAMILY_P, AT(c), "C");
    g->walk_c = wi_k_walk_2d(
        b, "walk of C",
        (struct wi_walk){.n = PIECE / 32, .step = 32, .next = WI_GEMM_PITCH + 32 - PIECE});
}

/* ---------------------------------------------------------------- streamed */

static struct wi_vreg turn_word(struct wi_build *b, enum wi_family family, struct wi_vreg turn,
                                size_t offset, const char *name) {
    struct wi_vreg r = wi_build_reg(b, family, name);
    wi_build_load(b, r, wi_k_at(turn, (int32_t)offset, WI_ANY_BANK, STREAM_TURN));
    return r;
}

static struct wi_vreg op2(struct wi_build *b, enum wi_opcode id, struct wi_vreg x,
                          struct wi_vreg y) {
    struct wi_vreg r = wi_build_reg(b, WI_FAMILY_R, "next");
    wi_build_op(b, id, (const struct wi_arg[]){wi_r(r), wi_r(x), wi_r(y)});
    return r;
}

/* R of this panel's turn; the next panel has the next one. */
static void take_turn(struct wi_build *b, struct gemm *g) {
    static const enum wi_family fields[] = {WI_FAMILY_M, WI_FAMILY_DN, WI_FAMILY_DJ};
    struct wi_vreg zero = wi_build_const(b, WI_FAMILY_R, 0, "0");
    struct wi_vreg turn = wi_k_param(b, WI_FAMILY_P, AT(r), "turn");
    g->pr = turn_word(b, WI_FAMILY_P, turn, TURN(r), "R");
    g->walk_r = wi_build_reg(b, WI_FAMILY_D, "walk of R");
    for (int i = 0; i < 3; i++)
        wi_build_load(b, wi_dim(g->walk_r, fields[i], false),
                      wi_k_at(turn, (int32_t)TURN(walk) + 4 * i, WI_ANY_BANK, STREAM_TURN));
    wi_build_set(b, wi_dim(g->walk_r, WI_FAMILY_DC, false), 0);
    g->r_full = turn_word(b, WI_FAMILY_R, turn, TURN(full), "R full");
    g->r_take = turn_word(b, WI_FAMILY_R, turn, TURN(take), "take");
    wi_k_set_param(b, AT(r), turn_word(b, WI_FAMILY_R, turn, TURN(next), "next turn"));
    g->r_free = wi_build_reg(b, WI_FAMILY_R, "R free");
    WI_OP(b, ADD_NC, wi_r(g->r_free), wi_r(g->r_full), wi_i(-1));
    g->r_give = op2(b, WI_OP_SUB, zero, g->r_take);
}

/* The other place of W; the next 16 biases, which lie in the last quarter of each 4 KB. */
static void step_operands(struct wi_build *b, const struct gemm *g) {
    struct wi_vreg w = wi_k_param(b, WI_FAMILY_R, AT(w), "w");
    wi_k_set_param(b, AT(w),
                   op2(b, WI_OP_XOR, w, wi_build_const(b, WI_FAMILY_R, WI_GEMM_RING, "ring")));
    if (g->role != WI_GEMM_TOP)
        return;
    struct wi_vreg bias = wi_k_param(b, WI_FAMILY_R, AT(bias), "bias");
    struct wi_vreg gap = wi_build_const(b, WI_FAMILY_R, WI_GEMM_PITCH - PIECE, "gap");
    bias = op2(b, WI_OP_ADD, bias, wi_build_const(b, WI_FAMILY_R, TILE, "biases"));
    wi_k_set_param(b, AT(bias), op2(b, WI_OP_OR, bias, gap));
}

/* C goes on in the ring of 4 pieces, a bank: the next panel begins 3 pieces later, which is one
 * piece earlier. */
static void step_c(struct wi_build *b, struct gemm *g) {
    struct wi_vreg c = wi_k_param(b, WI_FAMILY_R, AT(c), "c");
    load_c_walk(b, g);
    g->offset = wi_build_const(b, WI_FAMILY_R, BANK - 1, "offset in bank");
    g->bank = wi_build_reg(b, WI_FAMILY_R, "bank");
    g->around = wi_build_const(b, WI_FAMILY_R, 0, "around");
    WI_OP(b, XOR, wi_r(g->bank), wi_r(c), wi_r(op2(b, WI_OP_AND, c, g->offset)));
    c = op2(b, WI_OP_ADD, c, wi_build_const(b, WI_FAMILY_R, 3 * WI_GEMM_PITCH, "a panel"));
    wi_k_set_param(b, AT(c), op2(b, WI_OP_OR, op2(b, WI_OP_AND, c, g->offset), g->bank));
}

/* Between two blocks: behind the ring's last piece comes the first. */
static void wrap_c(struct wi_build *b, const struct gemm *g) {
    WI_OP(b, MOV, wi_r(g->around), wi_r(g->pc));
    WI_OP(b, AND, wi_r(g->around), wi_r(g->around), wi_r(g->offset));
    WI_OP(b, OR, wi_r(g->around), wi_r(g->around), wi_r(g->bank));
    WI_OP(b, MOV, wi_r(g->pc), wi_r(g->around));
}

static void take_locks(struct wi_build *b, struct gemm *g) {
    struct wi_vreg take = wi_build_const(b, WI_FAMILY_R, -1, "take");
    g->one = wi_build_const(b, WI_FAMILY_R, 1, "give");
    if (g->role == WI_GEMM_BOTTOM)
        wi_build_acquire(b, wi_i(WI_LOCK_OWN + WI_LOCK_C_FREE),
                         wi_build_const(b, WI_FAMILY_R, -WI_GEMM_BLOCKS, "blocks"), STREAM_C);
    wi_build_acquire(b, wi_i(WI_LOCK_OWN + WI_LOCK_RING_FULL), take, STREAM_W);
    wi_build_acquire(b, wi_r(g->r_full), g->r_take, STREAM_R);
}

static void give_c(struct wi_build *b, const struct gemm *g) {
    wi_build_release(b, wi_i(WI_LOCK_OWN + WI_LOCK_C_FULL), g->one, STREAM_C);
}

static void give_locks(struct wi_build *b, const struct gemm *g) {
    wi_build_release(b, wi_i(WI_LOCK_OWN + WI_LOCK_RING_FREE), g->one, STREAM_W);
    wi_build_release(b, wi_r(g->r_free), g->r_give, STREAM_R);
    if (g->role == WI_GEMM_BOTTOM)
        give_c(b, g);
}

/* ---------------------------------------------------------------- the routine */

static void emit(struct wi_build *b, enum wi_gemm_role role, bool streamed) {
    struct gemm g = {.role = role, .streamed = streamed};
    struct wi_vreg steps = wi_k_param(b, WI_FAMILY_R, AT(steps), "steps");
    struct wi_vreg blocks = wi_build_const(b, WI_FAMILY_R, WI_GEMM_BLOCKS, "blocks");
    if (streamed)
        take_turn(b, &g);
    for (int k = 0; k < 2; k++) {
        g.pa[k] = wi_k_param(b, WI_FAMILY_P, AT(a), "A");
        g.walk_a[k] = wi_k_param_walk(b, WI_FAMILY_D3, AT(a_walk), "walk of A");
    }
    WI_OP(b, PADDA_INC, wi_r(g.pa[1]), wi_i(TILE));
    g.pw = wi_k_param(b, WI_FAMILY_P, AT(w), "W");
    g.walk_w = wi_k_param_walk(b, WI_FAMILY_D3, AT(w_walk), "walk of W");
    if (!streamed)
        load_r_walk(b, &g);
    g.tile = wi_build_const(b, WI_FAMILY_R, WI_MAC_TILE, "tile product");
    if (role == WI_GEMM_TOP)
        load_bias(b, &g);
    if (role == WI_GEMM_BOTTOM) {
        if (streamed)
            step_c(b, &g);
        else
            load_c_walk(b, &g);
        wi_k_round_even(b);
    }
    if (streamed) {
        step_operands(b, &g);
        take_locks(b, &g);
    }
    for (int i = 0; i < 16; i++)
        g.acc[i / 4][i % 4] = wi_k_bm(b, "sum");
    wi_build_loop(b, (struct wi_loop){"gemm", steps, blocks, .overrun = true});
    step(b, &g);
    if (streamed && role == WI_GEMM_BOTTOM) {
        wi_build_between(b);
        wrap_c(b, &g);
        give_c(b, &g);
    }
    wi_build_end_loop(b);
    if (streamed)
        give_locks(b, &g);
}

void wi_gemm_top_emit(struct wi_build *b) {
    emit(b, WI_GEMM_TOP, false);
}
void wi_gemm_middle_emit(struct wi_build *b) {
    emit(b, WI_GEMM_MIDDLE, false);
}
void wi_gemm_bottom_emit(struct wi_build *b) {
    emit(b, WI_GEMM_BOTTOM, false);
}
void wi_gemm_stream_top_emit(struct wi_build *b) {
    emit(b, WI_GEMM_TOP, true);
}
void wi_gemm_stream_middle_emit(struct wi_build *b) {
    emit(b, WI_GEMM_MIDDLE, true);
}
void wi_gemm_stream_bottom_emit(struct wi_build *b) {
    emit(b, WI_GEMM_BOTTOM, true);
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

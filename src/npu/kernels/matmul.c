#include "npu/kernels/matmul.h"

#include <stddef.h>

#include "npu/kernels/ops.h"

enum { BANK_A = 1, BANK_B = 2, BANK_C = 1, BANK_BIAS = 4 };
/* C has the stream of GELU's input, which so waits for it. */
enum {
    STREAM_C = WI_GELU_TABLE_STREAM_X,
    STREAM_A = 16,
    STREAM_B,
    STREAM_START,
    STREAM_R,
    STREAM_ROWS
};
/* In bytes: the sums of a block, whose pointer is at the last 32; 4 biases, each of them twice. */
enum { BLOCK_SUMS = 1024, LAST_SUMS = BLOCK_SUMS - 32, BIASES = 32, BLOCK_BIASES = 4 * BIASES };
enum { FIRST = 22, SECOND = 23 };     /* vshuffle: the first register or the second */
enum { FROM_ZERO = WI_MAC_TILE | 1 }; /* the product's configuration that drops the sum */

/* ---------------------------------------------------------------- parameters */

/* The core's memory, in which no side of a matrix is longer than MOST. */
enum { MEMORY = 0x70000, MEMORY_END = 0x80000, BEYOND_A = 1024, MOST = 65536 };

struct range {
    uint64_t from, to;
};

static struct range range(uint32_t from, uint64_t bytes) {
    return (struct range){from, from + bytes};
}

static bool in_memory(struct range r) {
    return r.from % 32 == 0 && r.from >= MEMORY && r.to <= MEMORY_END;
}

/* What is written may take the place of what is read there at the same time. */
static bool disturbs(struct range c, struct range r, bool same_tiles) {
    return c.from < r.to && r.from < c.to && !(same_tiles && c.from == r.from);
}

static bool gelu_fits(const struct wi_matmul_at *at, struct range c) {
    for (int i = 0; i < 2; i++) {
        struct range table = range(at->gelu_table[i], WI_GELU_TABLE);
        if (!in_memory(table) || disturbs(c, table, false))
            return false;
    }
    return true;
}

static bool memory_fits(const struct wi_matmul *x, const struct wi_matmul_at *at) {
    uint64_t m = (uint64_t)wi_matmul_padded(x->m), n = (uint64_t)wi_matmul_padded(x->n);
    uint64_t k = (uint64_t)wi_matmul_padded_k(x->k);
    bool sums = x->end == WI_MATMUL_SUMS, add = x->start == WI_MATMUL_ADD;
    struct range a = range(at->a, 2 * m * k), b = range(at->b, 2 * k * n);
    struct range c = range(at->c, m * n * (sums ? 4 : 2)), r = range(at->r, 2 * m * n);
    struct range start = range(at->start, add ? 4 * m * n : 8 * n);
    if (!in_memory(a) || !in_memory(b) || !in_memory(c) || a.to + BEYOND_A > MEMORY_END ||
        disturbs(c, a, false) || disturbs(c, b, false))
        return false;
    if (x->start != WI_MATMUL_ZERO && (!in_memory(start) || disturbs(c, start, add && sums)))
        return false;
    if (x->end == WI_MATMUL_RESIDUAL && (!in_memory(r) || disturbs(c, r, true)))
        return false;
    return x->end != WI_MATMUL_GELU || gelu_fits(at, c);
}

/* Of the last row of blocks, which has 1 to 16 rows of C, or of one before it, which has 16. */
static void set_rows(struct wi_matmul_rows *r, int rows) {
    for (int i = 0; i < 4; i++) {
        r->shuffle[i] = rows >= 4 * i + 4 ? FIRST : SECOND;
        r->product[i] = rows > 4 * i ? WI_MAC_TILE : FROM_ZERO;
    }
}

static void set_bias(struct wi_matmul_params *p, int m, int n) {
    int high = wi_matmul_padded(m) / WI_MATMUL_TILE, wide = wi_matmul_padded(n) / WI_MATMUL_TILE;
    int last = m - (high - 1) * WI_MATMUL_TILE;
    p->start += BLOCK_BIASES - BIASES;
    p->bias_walk[0] = (uint32_t)(-BLOCK_BIASES * (wide - 1));
    p->bias_walk[1] = (uint32_t)wide - 1;
    p->bias_walk[2] = BLOCK_BIASES;
    set_rows(&p->rows[0], high > 1 ? WI_MATMUL_TILE : last);
    set_rows(&p->rows[1], last);
    /* stays, and moves on before the last row of blocks */
    p->rows_walk[0] = high > 1 ? sizeof *p->rows : 0;
    p->rows_walk[1] = (uint32_t)(high > 1 ? (high - 1) * wide - 1 : 0);
    for (int i = 0; i < 4 * (m % 4); i++)
        p->part[i] = ~0u;
}

bool wi_matmul_params(struct wi_matmul_params *p, const struct wi_matmul *x,
                      const struct wi_matmul_at *at) {
    if (x->m < 1 || x->k < 1 || x->n < 1 || x->m > MOST || x->k > MOST || x->n > MOST ||
        !memory_fits(x, at))
        return false;
    uint32_t m = (uint32_t)wi_matmul_padded(x->m), n = (uint32_t)wi_matmul_padded(x->n);
    uint32_t k = (uint32_t)wi_matmul_padded_k(x->k);
    uint32_t row = 32 * k; /* bytes of A for 16 rows, of B for 16 columns */
    uint32_t wide = n / WI_MATMUL_TILE;
    *p = (struct wi_matmul_params){
        .a = at->a,
        .b = at->b,
        .c = at->c + (x->end == WI_MATMUL_SUMS ? LAST_SUMS : 0),
        .start = at->start,
        .r = at->r,
        .blocks = m / WI_MATMUL_TILE * wide,
        .steps = k / WI_MATMUL_K,
        /* through 16 rows, back to their start for every block of columns, on to the next rows */
        .a_walk = {32, row / 32 - 1, 32, wide - 1, 32 - row},
        /* through all columns, again for the next rows */
        .b_walk = {32 - row * wide, row * wide / 32 - 1, 32}};
    if (x->start == WI_MATMUL_ADD)
        p->start += LAST_SUMS;
    if (x->start == WI_MATMUL_BIAS)
        set_bias(p, x->m, x->n);
    int bytes = (int)(2 * m * n);
    return x->end != WI_MATMUL_GELU ||
           wi_gelu_table_params(&p->gelu, 1, bytes, bytes, at->c, at->gelu_table);
}

/* ---------------------------------------------------------------- the kernel */

#define AT(field) offsetof(struct wi_matmul_params, field)

struct matmul {
    enum wi_matmul_start start;
    enum wi_matmul_end end;
    struct wi_vreg tile, acc[4][4]; /* configuration of the product; sums, rows x columns */
    struct wi_vreg pa, walk_a, pb, walk_b, pc, pr;
    struct wi_vreg ps, walk_s;            /* bias or earlier sums */
    struct wi_vreg half_word;             /* shift of R */
    struct wi_vreg part, rows, walk_rows; /* x: mask; pointer into the parameters */
};

/* What a block with a bias begins with, of 16 columns and then of 4. */
struct bias {
    struct wi_vreg product[4], shuffle[4]; /* of each row of tiles */
    struct wi_vreg all, part;              /* tiles with all rows, with those that C has */
};

static struct wi_vreg load_tile(struct wi_build *b, struct wi_vreg p, struct wi_vreg d,
                                uint8_t bank, uint8_t stream) {
    struct wi_vreg x = wi_k_x(b, stream == STREAM_A ? "a" : "b");
    wi_build_load(b, wi_low(x), wi_k_walk(p, d, bank, stream));
    wi_build_load(b, wi_high(x), wi_k_walk(p, d, bank, stream));
    return x;
}

/* 32 bytes of a block's sums; the last ones move the pointer on to the next block. */
static struct wi_mem half_tile(struct wi_vreg p, int half, uint8_t stream) {
    int at = 32 * half - LAST_SUMS;
    return at ? wi_k_at(p, at, WI_FREE_BANK, stream)
              : wi_k_next(p, BLOCK_SUMS, WI_FREE_BANK, stream);
}

static void load_sums(struct wi_build *b, const struct matmul *g) {
    for (int i = 0; i < 32; i++) {
        struct wi_vreg sum = g->acc[i / 8][i / 2 % 4];
        wi_build_load(b, i % 2 ? wi_high(sum) : wi_low(sum), half_tile(g->ps, i, STREAM_START));
    }
}

static void store_sums(struct wi_build *b, const struct matmul *g) {
    for (int i = 0; i < 32; i++) {
        struct wi_vreg sum = g->acc[i / 8][i / 2 % 4];
        wi_build_store(b, i % 2 ? wi_high(sum) : wi_low(sum), half_tile(g->pc, i, STREAM_C));
    }
}

static struct bias load_rows(struct wi_build *b, const struct matmul *g) {
    struct bias s = {.product = {g->tile}}; /* the first tile has a row of C */
    for (int i = 3; i >= 0; i--) {
        s.shuffle[i] = wi_build_reg(b, WI_FAMILY_R, "shuffle of rows");
        if (i > 0) {
            s.product[i] = wi_build_reg(b, WI_FAMILY_R, "product of rows");
            wi_build_load(b, s.product[i], wi_k_at(g->rows, 16 + 4 * i, BANK_BIAS, STREAM_ROWS));
        }
        wi_build_load(b, s.shuffle[i],
                      i ? wi_k_at(g->rows, 4 * i, BANK_BIAS, STREAM_ROWS)
                        : wi_k_walk(g->rows, g->walk_rows, BANK_BIAS, STREAM_ROWS));
    }
    return s;
}

/* The biases of columns 4j to 4j + 3, the same in each row. */
static void load_bias(struct wi_build *b, const struct matmul *g, int j, struct bias *s) {
    int at = BIASES * (j - 3);
    s->all = wi_k_x(b, "bias");
    s->part = wi_k_x(b, "bias in part");
    wi_build_load(b, wi_low(s->all), wi_k_at(g->ps, at, BANK_BIAS, STREAM_START));
    wi_build_load(b, wi_high(s->all),
                  at ? wi_k_at(g->ps, at, BANK_BIAS, STREAM_START)
                     : wi_k_walk(g->ps, g->walk_s, BANK_BIAS, STREAM_START));
    WI_OP(b, VBAND, wi_r(s->part), wi_r(s->all), wi_r(g->part));
}

/* Sums of rows i and columns j from the bias on. */
static void first_from_bias(struct wi_build *b, const struct matmul *g, int i, int j,
                            struct wi_vreg rows, struct wi_vreg columns, const struct bias *s) {
    struct wi_vreg acc = g->acc[i][j], first = wi_k_bm(b, "bias");
    wi_build_when(b, WI_FIRST_STEP);
    wi_k_shuffle(b, first, s->all, s->part, s->shuffle[i]);
    wi_build_when(b, WI_EVERY_STEP);
    wi_k_mac(b, acc, acc, rows, columns, g->tile);
    WI_FIRST_OP(b, VMAC_F, wi_r(acc), wi_r(first), wi_r(rows), wi_r(columns), wi_r(s->product[i]));
}

static void first_product(struct wi_build *b, const struct matmul *g, int i, int j,
                          struct wi_vreg rows, struct wi_vreg columns, const struct bias *s) {
    struct wi_vreg acc = g->acc[i][j];
    switch (g->start) {
    case WI_MATMUL_ZERO: wi_k_mac_from_zero(b, acc, rows, columns, g->tile); break;
    case WI_MATMUL_BIAS: first_from_bias(b, g, i, j, rows, columns, s); break;
    case WI_MATMUL_ADD: wi_k_mac(b, acc, acc, rows, columns, g->tile); break;
    }
}

/* 8 of k: 4 x 4 tile products. */
static void multiply_even(struct wi_build *b, const struct matmul *g) {
    struct bias s = {0};
    struct wi_vreg rows[4];
    wi_build_when(b, WI_FIRST_STEP);
    if (g->start == WI_MATMUL_ADD)
        load_sums(b, g);
    if (g->start == WI_MATMUL_BIAS)
        s = load_rows(b, g);
    for (int j = 0; j < 4; j++) {
        wi_build_when(b, WI_FIRST_STEP);
        if (g->start == WI_MATMUL_BIAS)
            load_bias(b, g, j, &s);
        wi_build_when(b, WI_EVERY_STEP);
        struct wi_vreg columns = load_tile(b, g->pb, g->walk_b, BANK_B, STREAM_B);
        for (int i = 0; i < 4; i++) {
            if (j == 0)
                rows[i] = load_tile(b, g->pa, g->walk_a, BANK_A, STREAM_A);
            first_product(b, g, i, j, rows[i], columns, &s);
        }
    }
}

/* The next tile of R in fp32.  Where sums already fill slot lda it comes by either load slot, two
 * tiles at once; the bits of bf16 are those of fp32 shifted by half a word. */
static struct wi_vreg load_r(struct wi_build *b, const struct matmul *g, int j,
                             struct wi_vreg *pair) {
    if (g->start != WI_MATMUL_ADD) {
        struct wi_vreg tile = wi_k_bm(b, "r");
        wi_build_load_f32(b, tile, wi_k_next(g->pr, 32, WI_FREE_BANK, STREAM_R));
        return tile;
    }
    if (j % 2)
        return wi_high(*pair);
    struct wi_vreg narrow = wi_k_x(b, "r");
    *pair = wi_build_reg(b, WI_FAMILY_CM, "r");
    wi_build_load(b, wi_low(narrow), wi_k_next(g->pr, 32, WI_FREE_BANK, STREAM_R));
    wi_build_load(b, wi_high(narrow), wi_k_next(g->pr, 32, WI_FREE_BANK, STREAM_R));
    WI_OP(b, VUPS_S32_S16_X2C, wi_r(*pair), wi_r(narrow), wi_r(g->half_word));
    return wi_low(*pair);
}

static void add_product(struct wi_build *b, const struct matmul *g, struct wi_vreg acc,
                        struct wi_vreg r, struct wi_vreg rows, struct wi_vreg columns) {
    wi_k_mac(b, acc, acc, rows, columns, g->tile);
    if (g->end == WI_MATMUL_RESIDUAL)
        WI_FIRST_OP(b, VADDMAC_F, wi_r(acc), wi_r(r), wi_r(rows), wi_r(columns), wi_r(g->tile));
}

/* The next 8 of k, whose first products of a block also add R. */
static void multiply_odd(struct wi_build *b, const struct matmul *g) {
    struct wi_vreg columns[4], pair = {0, 0, 0}, r = {0, 0, 0};
    for (int i = 0; i < 4; i++) {
        struct wi_vreg rows = load_tile(b, g->pa, g->walk_a, BANK_A, STREAM_A);
        for (int j = 0; j < 4; j++) {
            if (i == 0)
                columns[j] = load_tile(b, g->pb, g->walk_b, BANK_B, STREAM_B);
            wi_build_when(b, WI_FIRST_STEP);
            if (g->end == WI_MATMUL_RESIDUAL)
                r = load_r(b, g, j, &pair);
            wi_build_when(b, WI_EVERY_STEP);
            add_product(b, g, g->acc[i][j], r, rows, columns[j]);
        }
    }
}

static void begin_start(struct wi_build *b, struct matmul *g) {
    if (g->start == WI_MATMUL_ZERO)
        return;
    g->ps = wi_k_param(b, WI_FAMILY_P, AT(start), "start");
    if (g->start == WI_MATMUL_ADD)
        return;
    g->walk_s = wi_k_param_walk(b, WI_FAMILY_D, AT(bias_walk), "walk of biases");
    g->rows = wi_build_reg(b, WI_FAMILY_P, "rows");
    WI_OP(b, MOV, wi_r(g->rows), wi_r(wi_fixed(WI_REG_P)));
    WI_OP(b, PADDA_INC, wi_r(g->rows), wi_i(AT(rows)));
    g->walk_rows = wi_k_param_walk(b, WI_FAMILY_D, AT(rows_walk), "walk of rows");
    g->part = wi_k_x(b, "part");
    wi_k_load_x(b, g->part,
                wi_k_at(g->rows, (int)AT(part) - (int)AT(rows), WI_ANY_BANK, STREAM_ROWS));
}

static void begin_residual(struct wi_build *b, struct matmul *g) {
    g->pr = wi_k_param(b, WI_FAMILY_P, AT(r), "R");
    if (g->start == WI_MATMUL_ADD)
        g->half_word = wi_build_const(b, WI_FAMILY_S, 16, "half a word");
}

void wi_matmul_emit(struct wi_build *b, enum wi_matmul_start start, enum wi_matmul_end end) {
    struct matmul g = {.start = start, .end = end};
    struct wi_vreg steps = wi_k_param(b, WI_FAMILY_R, AT(steps), "steps");
    struct wi_vreg blocks = wi_k_param(b, WI_FAMILY_R, AT(blocks), "blocks");
    g.pa = wi_k_param(b, WI_FAMILY_P, AT(a), "A");
    g.walk_a = wi_k_param_walk(b, WI_FAMILY_D3, AT(a_walk), "walk of A");
    g.pb = wi_k_param(b, WI_FAMILY_P, AT(b), "B");
    g.walk_b = wi_k_param_walk(b, WI_FAMILY_D, AT(b_walk), "walk of B");
    begin_start(b, &g);
    if (end == WI_MATMUL_RESIDUAL)
        begin_residual(b, &g);
    g.pc = wi_k_param(b, WI_FAMILY_P, AT(c), "C");
    g.tile = wi_build_const(b, WI_FAMILY_R, WI_MAC_TILE, "tile product");
    for (int i = 0; i < 16; i++)
        g.acc[i / 4][i % 4] = wi_k_bm(b, "sum");
    wi_k_round_even(b);

    wi_build_loop(b, (struct wi_loop){"matmul", steps, blocks, .overrun = true});
    multiply_even(b, &g);
    multiply_odd(b, &g);
    wi_build_when(b, WI_LAST_STEP);
    if (end == WI_MATMUL_SUMS)
        store_sums(b, &g);
    for (int i = 0; i < 16 && end != WI_MATMUL_SUMS; i++)
        wi_build_store_bf16(b, g.acc[i / 4][i % 4], wi_k_next(g.pc, 32, BANK_C, STREAM_C));
    wi_build_end_loop(b);
    if (end == WI_MATMUL_GELU)
        wi_gelu_table_emit_at(b, AT(gelu));
}

/* ---------------------------------------------------------------- packing */

static int a_index(int row, int c, int k) {
    return ((row / 16 * (k / 8) + c / 8) * 4 + row % 16 / 4) * 32 + row % 4 * 8 + c % 8;
}

static int b_index(int r, int column, int k) {
    return ((column / 16 * (k / 8) + r / 8) * 4 + column % 16 / 4) * 32 + r % 8 * 4 + column % 4;
}

/* Of C, R and sums. */
static int c_index(int row, int column, int n) {
    int block = row / 16 * (wi_matmul_padded(n) / 16) + column / 16;
    return (block * 16 + row % 16 / 4 * 4 + column % 16 / 4) * 16 + row % 4 * 4 + column % 4;
}

void wi_matmul_pack_a(uint16_t *tiles, const uint16_t *a, int m, int k) {
    int padded = wi_matmul_padded_k(k);
    for (int i = 0; i < wi_matmul_padded(m); i++)
        for (int c = 0; c < padded; c++)
            tiles[a_index(i, c, padded)] = i < m && c < k ? a[i * k + c] : 0;
}

void wi_matmul_pack_b(uint16_t *tiles, const uint16_t *b, int k, int n) {
    int padded = wi_matmul_padded_k(k);
    for (int r = 0; r < padded; r++)
        for (int j = 0; j < wi_matmul_padded(n); j++)
            tiles[b_index(r, j, padded)] = r < k && j < n ? b[r * n + j] : 0;
}

void wi_matmul_pack_c(uint16_t *tiles, const uint16_t *c, int m, int n) {
    for (int i = 0; i < wi_matmul_padded(m); i++)
        for (int j = 0; j < wi_matmul_padded(n); j++)
            tiles[c_index(i, j, n)] = i < m && j < n ? c[i * n + j] : 0;
}

void wi_matmul_pack_sums(float *tiles, const float *sums, int m, int n) {
    for (int i = 0; i < wi_matmul_padded(m); i++)
        for (int j = 0; j < wi_matmul_padded(n); j++)
            tiles[c_index(i, j, n)] = i < m && j < n ? sums[i * n + j] : 0;
}

void wi_matmul_pack_bias(float *twice, const float *bias, int n) {
    for (int j = 0; j < 2 * wi_matmul_padded(n); j++) {
        int column = j / 8 * 4 + j % 4;
        twice[j] = column < n ? bias[column] : 0;
    }
}

void wi_matmul_unpack_c(uint16_t *c, const uint16_t *tiles, int m, int n) {
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++)
            c[i * n + j] = tiles[c_index(i, j, n)];
}

void wi_matmul_unpack_sums(float *sums, const float *tiles, int m, int n) {
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++)
            sums[i * n + j] = tiles[c_index(i, j, n)];
}

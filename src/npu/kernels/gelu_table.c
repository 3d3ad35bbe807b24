#include "npu/kernels/gelu_table.h"

#include <math.h>
#include <string.h>

#include "npu/kernels/ops.h"

enum { BANK_X = 1 | 2, BANK_TABLE = 4 };
enum { STREAM_X = WI_GELU_TABLE_STREAM_X, STREAM_Y, STREAM_BOUNDS };
enum { REACH = 128 }; /* of a pointer, either way, that both load slots have */
enum { MAGNITUDE = 0x7fff, ONE = 0x3f80, HALF = 0x3f00, EIGHT = 0x4100 };
/* The table's lines, of 8 bf16 codes each, from 2^-9 to 8; what is less has the first one. */
enum {
    LOWEST = 0x3b00,
    CODES = 8,
    LINES = (EIGHT - LOWEST) / CODES + 1,
    ENTRIES = (LINES + 1) / 2 * 32
};

bool wi_gelu_table_params(struct wi_gelu_table_params *p, int panels, int panel, int pitch,
                          uint32_t x, const uint32_t table[2]) {
    if (panels < 1 || panel < 64 || panel % 64 || pitch < panel || pitch % 64 ||
        panels * panel < 2 * WI_GELU_TABLE_MIN)
        return false;
    if (table[0] % 32 || table[1] % 32 || table[0] >> 16 != table[1] >> 16)
        return false;
    uint32_t last = (uint32_t)panel - 64;
    *p = (struct wi_gelu_table_params){
        .x = x,
        .steps = (uint32_t)(panels * panel) / 64,
        .walk = {(uint32_t)pitch - last, last / 64, 64},
        .bounds = table[0] + ENTRIES + REACH,
        .window = table[0] >> 16,
        .table = {(table[0] - 2 * LOWEST) & 0xffff, (table[1] - 2 * LOWEST) & 0xffff}};
    return true;
}

/* ---------------------------------------------------------------- the table */

static uint16_t bf16_of(double v) {
    float f = (float)v;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static float float_of(uint16_t bf16) {
    uint32_t bits = (uint32_t)bf16 << 16;
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* t Q(t) */
static double tail(uint16_t code) {
    float t = float_of(code);
    return t / 2 * erfc(t / sqrt(2));
}

/* The line through the ends of t Q(t), moved to the middle of its deviations. */
static void fit(uint16_t first, uint16_t *slope, float *offset) {
    uint16_t last = first + CODES - 1;
    *slope = bf16_of((tail(last) - tail(first)) / (float_of(last) - float_of(first)));
    double least = INFINITY, most = -INFINITY;
    for (uint16_t code = first; code <= last; code++) {
        double rest = tail(code) - (double)float_of(*slope) * float_of(code);
        least = fmin(least, rest);
        most = fmax(most, rest);
    }
    *offset = (float)((least + most) / 2);
}

/* An entry is -slope, 1 and -offset; 32 bytes hold two entries twice, for even and odd lanes.
 * Behind them: what t is cut out with, and its bounds. */
void wi_gelu_table(uint16_t table[WI_GELU_TABLE / 2]) {
    memset(table, 0, WI_GELU_TABLE);
    for (int i = 0; i < LINES; i++) {
        uint16_t slope = 0, *entry = table + i / 2 * 16 + i % 2 * 4;
        float offset = 0;
        if (i == 0)
            slope = HALF;
        else if (i < LINES - 1)
            fit((uint16_t)(LOWEST + CODES * i), &slope, &offset);
        offset = -offset;
        for (int copy = 0; copy < 2; copy++) {
            entry[8 * copy] = slope ^ 0x8000;
            entry[8 * copy + 1] = ONE;
            memcpy(&entry[8 * copy + 2], &offset, sizeof offset);
        }
    }
    for (int i = 0; i < 96; i++)
        table[ENTRIES / 2 + i] = i < 32 ? MAGNITUDE : i < 64 ? EIGHT : LOWEST;
}

/* ---------------------------------------------------------------- the kernel */

#define AT(field) offsetof(struct wi_gelu_table_params, field)

static struct wi_vreg load_x(struct wi_build *b, const struct wi_cursor *at) {
    struct wi_vreg x = wi_k_x(b, "x");
    wi_build_load(b, wi_high(x), wi_k_from(at, 32, BANK_X, STREAM_X));
    wi_build_load(b, wi_low(x), wi_k_from(at, 0, BANK_X, STREAM_X));
    return x;
}

static void store_y(struct wi_build *b, const struct wi_cursor *at, const struct wi_vreg y[2]) {
    wi_build_store_bf16(b, y[1], wi_k_from(at, 32, BANK_X, STREAM_Y));
    wi_build_store_bf16(b, y[0], wi_k_from(at, 0, BANK_X, STREAM_Y));
}

struct table {
    struct wi_vreg lanes;              /* configuration of the MAC unit */
    struct wi_vreg zero, window, base; /* address bits 16 up; the tables' other bits */
    struct wi_vreg bounds;             /* pointer */
    struct wi_vreg weave[2], halves[2], odd, columns; /* shuffles */
};

/* Lanes 0 and 1 of four look up in the first table, 2 and 3 in the second. */
static struct table begin_table(struct wi_build *b, size_t params) {
    struct wi_vreg first = wi_k_x(b, "table"), second = wi_k_x(b, "table");
    struct table t = {.lanes = wi_build_const(b, WI_FAMILY_R, WI_MAC_LANES, "lanes"),
                      .zero = wi_k_fill(b, 0, "zero"),
                      .halves = {wi_build_const(b, WI_FAMILY_R, WI_LOW_HALVES, "low halves"),
                                 wi_build_const(b, WI_FAMILY_R, WI_HIGH_HALVES, "high halves")},
                      .window = wi_k_x(b, "window"),
                      .base = wi_k_x(b, "tables"),
                      .bounds = wi_k_param(b, WI_FAMILY_P, params + AT(bounds), "bounds"),
                      .weave = {wi_build_const(b, WI_FAMILY_R, WI_WEAVE_16, "weave"),
                                wi_build_const(b, WI_FAMILY_R, WI_WEAVE_16_HIGH, "weave")},
                      .odd = wi_build_const(b, WI_FAMILY_R, WI_ODD_32, "odd"),
                      .columns = wi_build_const(b, WI_FAMILY_R, WI_COLUMNS_4_16, "columns")};
    struct wi_vreg weave = wi_build_const(b, WI_FAMILY_R, WI_WEAVE_32, "weave");
    WI_OP(b, VBCST_16, wi_r(t.window),
          wi_r(wi_k_param(b, WI_FAMILY_R, params + AT(window), "window")));
    WI_OP(b, VBCST_16, wi_r(first),
          wi_r(wi_k_param(b, WI_FAMILY_R, params + AT(table[0]), "table")));
    WI_OP(b, VBCST_16, wi_r(second),
          wi_r(wi_k_param(b, WI_FAMILY_R, params + AT(table[1]), "table")));
    wi_k_shuffle(b, t.base, first, second, weave);
    return t;
}

static struct wi_vreg add(struct wi_build *b, struct wi_vreg x, struct wi_vreg y) {
    struct wi_vreg d = wi_k_x(b, "sum");
    WI_OP(b, VADD_16, wi_r(d), wi_r(x), wi_r(y));
    return d;
}

/* Registers are scarce, loads are not. */
static struct wi_vreg bound(struct wi_build *b, const struct table *k, int which) {
    struct wi_vreg x = wi_k_x(b, "bound");
    wi_k_load_x(b, x, wi_k_at(k->bounds, 64 * which - REACH, BANK_TABLE, STREAM_BOUNDS));
    return x;
}

/* The entries at 16 addresses, 8 in an x. */
static void look_up(struct wi_build *b, struct wi_vreg entry[2], struct wi_vreg addresses) {
    for (int i = 0; i < 2; i++) {
        struct wi_vreg eight = i ? wi_high(addresses) : wi_low(addresses);
        entry[i] = wi_k_x(b, "entries");
        WI_OP(b, VLDB_4X64_LO, wi_r(wi_low(entry[i])), wi_r(eight));
        WI_OP(b, VLDB_4X64_HI, wi_r(wi_high(entry[i])), wi_r(eight));
    }
}

/* -offset of 16 elements in `y`, and then + max(x, 0) - slope t. */
static void add_line(struct wi_build *b, const struct table *k, struct wi_vreg y,
                     struct wi_vreg addresses, struct wi_vreg terms) {
    struct wi_vreg entry[2], factors = wi_k_x(b, "-slope, 1");
    look_up(b, entry, addresses);
    wi_k_shuffle(b, y, entry[0], entry[1], k->odd);
    wi_k_shuffle(b, factors, entry[0], entry[1], k->columns);
    wi_k_mac(b, y, y, terms, factors, k->lanes);
}

void wi_gelu_table_emit_at(struct wi_build *b, size_t params) {
    struct wi_vreg steps = wi_k_param(b, WI_FAMILY_R, params + AT(steps), "steps");
    struct wi_cursor in = wi_k_cursor(b, params + AT(x), params + AT(walk)),
                     out = wi_k_cursor(b, params + AT(x), params + AT(walk));
    struct table k = begin_table(b, params);
    wi_k_round_even(b);
    wi_build_loop(b, (struct wi_loop){.name = "gelu by table", .steps = steps});
    struct wi_vreg x = load_x(b, &in), positive = wi_k_larger_s16(b, x, k.zero), y[2];
    struct wi_vreg magnitude = wi_k_and(b, x, bound(b, &k, 0));
    struct wi_vreg t = wi_k_smaller_s16(b, magnitude, bound(b, &k, 1));
    struct wi_vreg code = wi_k_larger_s16(b, t, bound(b, &k, 2));
    struct wi_vreg at = add(b, add(b, code, code), k.base);
    for (int half = 0; half < 2; half++) {
        struct wi_vreg addresses = wi_k_x(b, "addresses"), terms = wi_k_x(b, "t, max(x, 0)");
        y[half] = wi_k_bm(b, "y");
        wi_k_shuffle(b, addresses, at, k.window, k.weave[half]);
        wi_k_shuffle(b, terms, t, positive, k.halves[half]);
        add_line(b, &k, y[half], addresses, terms);
    }
    store_y(b, &out, y);
    wi_build_end_loop(b);
}

void wi_gelu_table_emit(struct wi_build *b) {
    wi_gelu_table_emit_at(b, 0);
}

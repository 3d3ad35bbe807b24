#include "npu/kernels/tiles.h"

#include "npu/kernels/ops.h"

enum { STREAM_IN = 1, STREAM_OUT };
enum { BANK_0 = 1, BANK_1 = 2 };
enum { QUARTER = 32, BLOCKS = 2 }; /* of a block, in bytes; in a step */
/* Modes of vshuffle beside those of ops.h; numbers are widths of elements and a matrix. */
enum {
    EVEN_64 = 6,
    ODD_64 = 7,
    EVEN_128 = 8,
    ODD_128 = 9,
    ROWS_128 = 12, /* 2 x 4 to 4 x 2 */
    ROWS_128_HIGH = 13,
    FIRST = 22, /* the first register, the second */
    SECOND = 23,
    FROM_8X4 = 28,
    FROM_4X8 = 29,
    FROM_4X4_32 = 34,
    FROM_4X4_16 = 39
};

/* How a block's quarters are ordered: 0 is memory's own, `swapped` takes the middle ones in the
 * other order, rows are `apart` from each other. */
enum order { IN_ORDER, SWAPPED, BY_ROWS };

/* The first result is mode[0] of both inputs; the second one mode[1] of what mode[2] and mode[3]
 * choose of the inputs. */
static const struct {
    uint8_t in, out, mode[4];
} kinds[WI_TILES_KINDS] = {
    [WI_TILES_COPY] = {IN_ORDER, IN_ORDER, {FIRST, FIRST, SECOND, FIRST}},
    [WI_TILES_C4_TO_A8] = {SWAPPED, IN_ORDER, {WI_WEAVE_64, WI_WEAVE_64_HIGH, FIRST, SECOND}},
    [WI_TILES_A8_TO_C4] = {IN_ORDER, SWAPPED, {EVEN_64, ODD_64, FIRST, SECOND}},
    [WI_TILES_TRANSPOSE_A8] = {IN_ORDER, IN_ORDER, {FROM_4X8, FROM_4X8, SECOND, FIRST}},
    [WI_TILES_TRANSPOSE_B8] = {IN_ORDER, IN_ORDER, {FROM_8X4, FROM_8X4, SECOND, FIRST}},
    [WI_TILES_TRANSPOSE_C4] = {IN_ORDER, IN_ORDER, {FROM_4X4_16, FROM_4X4_16, SECOND, FIRST}},
    [WI_TILES_TRANSPOSE_F4] = {IN_ORDER, IN_ORDER, {FROM_4X4_32, FROM_4X4_32, SECOND, FIRST}},
    [WI_TILES_ROWS_TO_A8] = {BY_ROWS, IN_ORDER, {EVEN_128, ODD_128, FIRST, SECOND}},
    [WI_TILES_A8_TO_ROWS] = {IN_ORDER, BY_ROWS, {ROWS_128, ROWS_128_HIGH, FIRST, SECOND}}};

static bool set_side(const struct wi_tiles_side *s, enum order order, uint32_t *at,
                     uint32_t offset[3], uint32_t walk[3]) {
    int swapped = order == SWAPPED;
    if (s->at % QUARTER || s->step % QUARTER || s->next % QUARTER || s->apart % QUARTER ||
        s->blocks < 1)
        return false;
    *at = s->at;
    offset[0] = order == BY_ROWS ? (uint32_t)s->apart : QUARTER;
    offset[1] = (uint32_t)(order == BY_ROWS ? 2 * s->apart : s->apart);
    offset[2] = (uint32_t)(order == BY_ROWS ? 3 * s->apart : s->apart + QUARTER);
    if (swapped) {
        uint32_t first = offset[0];
        offset[0] = offset[1];
        offset[1] = first;
    }
    walk[0] = (uint32_t)(s->next - (s->blocks - 1) * s->step);
    walk[1] = (uint32_t)s->blocks - 1;
    walk[2] = (uint32_t)s->step;
    return true;
}

bool wi_tiles_params(struct wi_tiles_params *p, enum wi_tiles_kind kind, int n,
                     const struct wi_tiles_side *in, const struct wi_tiles_side *out) {
    if (n < WI_TILES_MIN || n % BLOCKS)
        return false;
    p->steps = (uint32_t)n / BLOCKS;
    for (int i = 0; i < 4; i++)
        p->mode[i] = kinds[kind].mode[i];
    return set_side(in, (enum order)kinds[kind].in, &p->in, p->in_offset, p->in_walk) &&
           set_side(out, (enum order)kinds[kind].out, &p->out, p->out_offset, p->out_walk);
}

/* ---------------------------------------------------------------- the kernel */

#define AT(field) offsetof(struct wi_tiles_params, field)

/* The quarters of a block: the first at p, which walks on, the others at offsets from it. */
struct side {
    struct wi_vreg p, walk, offset[3];
    uint8_t bank[2], stream; /* of the halves of a block */
};

static struct side side(struct wi_build *b, size_t at, size_t offset, size_t walk) {
    struct side s = {.p = wi_k_param(b, WI_FAMILY_P, at, "block"),
                     .walk = wi_k_param_walk(b, WI_FAMILY_D, walk, "walk")};
    for (size_t i = 0; i < 3; i++)
        s.offset[i] = wi_k_param(b, WI_FAMILY_DJ, offset + 4 * i, "offset");
    return s;
}

static struct wi_mem quarter(const struct side *s, int i) {
    uint8_t bank = s->bank[i / 2];
    if (i == 0)
        return wi_k_walk(s->p, s->walk, bank, s->stream);
    return (struct wi_mem){s->p, WI_MODE_IDX, 0, s->offset[i - 1], bank, s->stream};
}

static struct wi_vreg quarter_of(const struct wi_vreg x[2], int i) {
    return i % 2 ? wi_high(x[i / 2]) : wi_low(x[i / 2]);
}

static void permute(struct wi_build *b, const struct side *in, const struct side *out,
                    const struct wi_vreg mode[4]) {
    struct wi_vreg x[2], y[2], chosen[2];
    for (int i = 0; i < 2; i++) {
        x[i] = wi_k_x(b, "in");
        y[i] = wi_k_x(b, "out");
        chosen[i] = wi_k_x(b, "chosen");
    }
    for (int i = 3; i >= 0; i--)
        wi_build_load(b, quarter_of(x, i), quarter(in, i));
    wi_k_shuffle(b, y[0], x[0], x[1], mode[0]);
    wi_k_shuffle(b, chosen[0], x[0], x[1], mode[2]);
    wi_k_shuffle(b, chosen[1], x[0], x[1], mode[3]);
    wi_k_shuffle(b, y[1], chosen[0], chosen[1], mode[1]);
    for (int i = 3; i >= 0; i--)
        wi_build_store(b, quarter_of(y, i), quarter(out, i));
}

void wi_tiles_emit(struct wi_build *b, enum wi_tiles_banks banks) {
    bool in_place = banks == WI_TILES_IN_PLACE;
    struct wi_vreg steps = wi_k_param(b, WI_FAMILY_R, AT(steps), "blocks"), mode[4];
    struct side in = side(b, AT(in), AT(in_offset), AT(in_walk));
    struct side out = side(b, AT(out), AT(out_offset), AT(out_walk));
    in.stream = STREAM_IN;
    out.stream = STREAM_OUT;
    in.bank[0] = BANK_0;
    in.bank[1] = in_place ? BANK_1 : BANK_0;
    out.bank[0] = in_place ? BANK_0 : BANK_1;
    out.bank[1] = BANK_1;
    for (size_t i = 0; i < 4; i++)
        mode[i] = wi_k_param(b, WI_FAMILY_R, AT(mode) + 4 * i, "mode");
    wi_build_loop(b, (struct wi_loop){.name = "tiles", .steps = steps});
    for (int i = 0; i < BLOCKS; i++)
        permute(b, &in, &out, mode);
    wi_build_end_loop(b);
}

/* The controller: runs an instruction stream with the costs that were measured, and counts
 * completion tokens. */
#include "npu/emu/array_impl.h"

#include <string.h>

/* ------------------------------------------------------------------ tokens */

/* The firmware's layout of a token is not known in every bit: column, row, type and id are where
 * documents say; the channel lies in bits that are zero in headers, and never leaves the emulator.
 */
enum { TOKEN_CHANNEL_LSB = 5, TOKEN_MM2S_BIT = 8, TOKEN_ROW_LSB = 16, TOKEN_COL_LSB = 21 };
enum { CTRL_CONTROLLER_LSB = 8 };

uint32_t wi_arr_token_word(const struct channel *c) {
    uint32_t controller = c->ctrl >> CTRL_CONTROLLER_LSB & 0xff;
    return (controller & 31) | (uint32_t)c->number << TOKEN_CHANNEL_LSB |
           (uint32_t)c->mm2s << TOKEN_MM2S_BIT | (controller >> 5) << 12 |
           (uint32_t)c->tile->row << TOKEN_ROW_LSB | (uint32_t)c->tile->col << TOKEN_COL_LSB;
}

void wi_arr_token(struct wi_array *a, uint32_t w) {
    struct controller *k = &a->controller;
    struct wi_tile *t = wi_arr_tile(a, w >> TOKEN_COL_LSB & 127, w >> TOKEN_ROW_LSB & 31);
    unsigned channel = w >> TOKEN_CHANNEL_LSB & 7, mm2s = w >> TOKEN_MM2S_BIT & 1;
    if (!t || channel >= MAX_CHANNELS) {
        wi_arr_fault(a, t, "the word 0x%08x came to the controller and is no token", w);
        return;
    }
    k->tokens[t->index][mm2s][channel]++;
    if (k->waiting)
        k->next = a->now + 1;
}

/* Whether every channel of the rectangle has a token; takes one of each then. */
static bool take_tokens(struct wi_array *a, const struct wi_cfg_tokens *w) {
    struct controller *k = &a->controller;
    for (int take = 0; take < 2; take++)
        for (int col = w->col; col < w->col + w->n_cols; col++)
            for (int row = w->row; row < w->row + w->n_rows; row++) {
                struct wi_tile *t = wi_arr_tile(a, col, row);
                if (!t || w->channel >= t->n_channels) {
                    wi_arr_fault(a, NULL,
                                 "the controller waits for a token of channel %u of (%d,%d), "
                                 "which is not there",
                                 w->channel, col, row);
                    return false;
                }
                k->missing_tile = (uint8_t)t->index;
                k->missing_mm2s = w->mm2s;
                k->missing_channel = w->channel;
                uint16_t *n = &k->tokens[t->index][w->mm2s][w->channel];
                if (take)
                    --*n;
                else if (!*n)
                    return false;
            }
    return true;
}

/* ------------------------------------------------------------------ operations */

/* The address goes into words 1 and 2 of a shim's descriptor, whose other bits stay. */
static void patch(struct wi_array *a, const struct wi_cfg_op *op) {
    struct controller *k = &a->controller;
    enum wi_tile_kind kind = wi_tile_kind(wi_addr_row(op->addr));
    struct wi_map_reg reg = wi_map_find(kind, op->addr & WI_TILE_OFFSET_MASK);
    uint32_t high = 0;
    if (op->arg >= k->n_args || k->args[op->arg] == WI_ARRAY_NO_ARGUMENT) {
        wi_arr_fault(a, NULL, "the instruction stream names argument %u, which is not given",
                     op->arg);
        return;
    }
    if (kind != WI_TILE_SHIM || reg.id != WI_MAP_BD || reg.word != 1) {
        wi_arr_fault(a, wi_arr_tile(a, wi_addr_col(op->addr), wi_addr_row(op->addr)),
                     "an address is patched in at 0x%05x, which is no shim descriptor's word 1",
                     op->addr & WI_TILE_OFFSET_MASK);
        return;
    }
    uint64_t address = k->args[op->arg] + op->offset;
    wi_array_read(a, op->addr + 4, &high);
    wi_arr_write(a, op->addr, (uint32_t)address & ~3u);
    wi_arr_write(a, op->addr + 4, (high & ~0xffffu) | (uint32_t)(address >> 32 & 0xffff));
}

static unsigned poll(struct wi_array *a, const struct wi_cfg_op *op) {
    uint32_t value;
    if (!wi_array_read(a, op->addr, &value))
        wi_arr_fault(a, wi_arr_tile(a, wi_addr_col(op->addr), wi_addr_row(op->addr)),
                     "the register at 0x%05x, which is polled, is not modelled",
                     op->addr & WI_TILE_OFFSET_MASK);
    else if ((value & op->mask) != op->value)
        a->controller.at--; /* again */
    return WI_T_MASK_WRITE;
}

static unsigned wait(struct wi_array *a, const struct wi_cfg_op *op) {
    struct controller *k = &a->controller;
    bool first = !k->waited;
    k->waiting = !take_tokens(a, &op->tokens);
    if (k->waiting) {
        k->at--;
        return 0;
    }
    k->waited = true;
    return first ? WI_T_TOKEN_WAIT : 0;
}

/* Executes one operation; returns its cost. */
static unsigned execute(struct wi_array *a, const struct wi_cfg *cfg, const struct wi_cfg_op *op) {
    struct controller *k = &a->controller;
    switch (op->kind) {
    case WI_CFG_WRITE:
        wi_arr_write(a, op->addr, op->value);
        k->odd = !k->odd;
        return k->odd ? WI_T_WRITE_EVEN : WI_T_WRITE_ODD;
    case WI_CFG_MASK_WRITE:
        wi_arr_mask_write(a, op->addr, op->mask, op->value);
        return WI_T_MASK_WRITE;
    case WI_CFG_BLOCK:
        wi_arr_block(a, op->addr, wi_cfg_words(cfg, op), op->n_words);
        return WI_T_BLOCK + WI_T_BLOCK_WORD * op->n_words;
    case WI_CFG_PATCH: patch(a, op); return WI_T_PATCH;
    case WI_CFG_MASK_POLL: return poll(a, op);
    case WI_CFG_WAIT: return wait(a, op);
    default: return WI_T_NOP;
    }
}

/* For the timeline: an operation, with what it waited before. */
static void show(struct wi_array *a, enum wi_cfg_kind kind, uint64_t end) {
    static const char *const names[] = {[WI_CFG_NOP] = "nop",
                                        [WI_CFG_WRITE] = "write",
                                        [WI_CFG_MASK_WRITE] = "mask write",
                                        [WI_CFG_BLOCK] = "block write",
                                        [WI_CFG_MASK_POLL] = "poll",
                                        [WI_CFG_PATCH] = "patch",
                                        [WI_CFG_WAIT] = "wait"};
    wi_arr_span(a, (struct wi_array_span){.lane = WI_LANE_CONTROLLER,
                                          .what = names[kind],
                                          .descriptor = -1,
                                          .start = a->controller.since,
                                          .end = end});
}

void wi_arr_control_step(struct wi_array *a) {
    struct controller *k = &a->controller;
    while (k->next == a->now && !a->failed) {
        if (k->at == k->cfg->n_ops) {
            k->cfg = NULL;
            k->next = NEVER;
            a->over = true;
            return;
        }
        const struct wi_cfg_op *op = &k->cfg->ops[k->at++];
        unsigned cost = execute(a, k->cfg, op);
        k->next = k->waiting ? NEVER : a->now + cost;
        if (!k->waiting) {
            show(a, op->kind, a->now + cost);
            k->since = k->next;
        }
    }
}

void wi_arr_control_start(struct wi_array *a, const struct wi_cfg *cfg, const uint64_t *args,
                          size_t n_args) {
    struct controller *k = &a->controller;
    *k = (struct controller){.cfg = cfg,
                             .args = args,
                             .n_args = n_args,
                             .next = a->now + WI_T_LAUNCH,
                             .since = a->now + WI_T_LAUNCH};
    for (int col = 0; col < WI_ARRAY_COLS; col++)
        for (int i = 0; i < 2; i++) {
            struct wi_tile *t = wi_arr_tile(a, col, 0);
            t->channel[0][i].cold = WI_T_WRITE_COLD;
            t->channel[1][i].cold = WI_T_READ_COLD;
        }
}

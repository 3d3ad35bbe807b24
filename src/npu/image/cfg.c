#include "npu/image/cfg.h"

#include <string.h>

#include "base/mem.h"

void wi_cfg_init(struct wi_cfg *cfg) {
    memset(cfg, 0, sizeof *cfg);
}

void wi_cfg_fini(struct wi_cfg *cfg) {
    wi_free(cfg->ops);
    wi_free(cfg->words);
    wi_cfg_init(cfg);
}

/* Room for `n` more elements of `size` bytes; the new block, or NULL with the list marked as
 * failed. */
static void *grow(struct wi_cfg *cfg, void *block, size_t *max, size_t used, size_t n,
                  size_t size) {
    if (n <= *max - used)
        return block;
    size_t wanted = used + n > 2 * *max ? used + n : 2 * *max;
    void *grown = wi_realloc(block, wanted, size);
    if (grown)
        *max = wanted;
    else
        cfg->failed = true;
    return grown;
}

void wi_cfg_add(struct wi_cfg *cfg, struct wi_cfg_op op) {
    if (cfg->failed)
        return;
    struct wi_cfg_op *ops = grow(cfg, cfg->ops, &cfg->max_ops, cfg->n_ops, 1, sizeof op);
    if (!ops)
        return;
    cfg->ops = ops;
    cfg->ops[cfg->n_ops++] = op;
}

static void add_words(struct wi_cfg *cfg, struct wi_cfg_op op, const uint32_t *words) {
    if (cfg->failed)
        return;
    uint32_t *all = grow(cfg, cfg->words, &cfg->max_words, cfg->n_words, op.n_words, sizeof *words);
    if (!all && op.n_words > 0)
        return;
    cfg->words = all;
    if (op.n_words > 0)
        memcpy(cfg->words + cfg->n_words, words, op.n_words * sizeof *words);
    op.first = cfg->n_words;
    cfg->n_words += op.n_words;
    wi_cfg_add(cfg, op);
}

void wi_cfg_write(struct wi_cfg *cfg, uint32_t addr, uint32_t value) {
    wi_cfg_add(cfg, (struct wi_cfg_op){.kind = WI_CFG_WRITE, .addr = addr, .value = value});
}

void wi_cfg_mask_write(struct wi_cfg *cfg, uint32_t addr, uint32_t mask, uint32_t value) {
    wi_cfg_add(cfg, (struct wi_cfg_op){
                        .kind = WI_CFG_MASK_WRITE, .addr = addr, .mask = mask, .value = value});
}

void wi_cfg_block(struct wi_cfg *cfg, uint32_t addr, const uint32_t *words, uint32_t n_words) {
    add_words(cfg, (struct wi_cfg_op){.kind = WI_CFG_BLOCK, .addr = addr, .n_words = n_words},
              words);
}

void wi_cfg_nop(struct wi_cfg *cfg, const uint32_t *words, uint32_t n_words) {
    add_words(cfg, (struct wi_cfg_op){.kind = WI_CFG_NOP, .n_words = n_words}, words);
}

void wi_cfg_patch(struct wi_cfg *cfg, uint32_t addr, uint32_t arg, uint64_t offset) {
    wi_cfg_add(
        cfg, (struct wi_cfg_op){.kind = WI_CFG_PATCH, .addr = addr, .arg = arg, .offset = offset});
}

void wi_cfg_wait(struct wi_cfg *cfg, struct wi_cfg_tokens tokens) {
    wi_cfg_add(cfg, (struct wi_cfg_op){.kind = WI_CFG_WAIT, .tokens = tokens});
}

const uint32_t *wi_cfg_words(const struct wi_cfg *cfg, const struct wi_cfg_op *op) {
    return cfg->words + op->first;
}

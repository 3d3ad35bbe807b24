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

void wi_cfg_add(struct wi_cfg *cfg, struct wi_cfg_op op) {
    if (!cfg->failed && wi_grow(&cfg->ops, &cfg->max_ops, cfg->n_ops + 1, sizeof op))
        cfg->ops[cfg->n_ops++] = op;
    else
        cfg->failed = true;
}

static void add_words(struct wi_cfg *cfg, struct wi_cfg_op op, const uint32_t *words) {
    size_t n = cfg->n_words + op.n_words;
    if (cfg->failed || !wi_grow(&cfg->words, &cfg->max_words, n, sizeof *words)) {
        cfg->failed = true;
        return;
    }
    if (op.n_words > 0)
        memcpy(cfg->words + cfg->n_words, words, op.n_words * sizeof *words);
    op.first = cfg->n_words;
    cfg->n_words = n;
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
    return cfg->words ? cfg->words + op->first : NULL; /* a list of empty blocks has none */
}

/* A list of what a controller does to the array, in order: register writes, waits, address patches.
 * CDO (load time) and instruction streams (run time) are spellings of such lists; the array program
 * is lowered into one.  The list owns its memory until wi_cfg_fini.  After a failed allocation it
 * is sticky as a wi_strbuf is: adding does nothing more and `failed` is set.  Not thread-safe. */
#ifndef WISP_SRC_NPU_IMAGE_CFG_H
#define WISP_SRC_NPU_IMAGE_CFG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Addresses are col << 25 | row << 20 | offset in the tile (am020 ch. 1). */
#define WI_TILE_ADDR(col, row, offset)                                                             \
    ((uint32_t)(col) << 25 | (uint32_t)(row) << 20 | (uint32_t)(offset))
enum { WI_TILE_OFFSET_MASK = 0xfffff };
static inline int wi_addr_col(uint32_t addr) {
    return (int)(addr >> 25);
}
static inline int wi_addr_row(uint32_t addr) {
    return (int)(addr >> 20 & 31);
}

enum wi_cfg_kind {
    WI_CFG_NOP,        /* words that the loader skips */
    WI_CFG_WRITE,      /* register = value */
    WI_CFG_MASK_WRITE, /* register = register & ~mask | value & mask */
    WI_CFG_BLOCK,      /* words to the register, the next one, ... */
    WI_CFG_MASK_POLL,  /* wait until (register & mask) == value */
    WI_CFG_PATCH,      /* address of a buffer into a shim descriptor */
    WI_CFG_WAIT,       /* for task completion tokens */
};

/* Which tokens WI_CFG_WAIT waits for: one from this channel of every tile of a rectangle. */
struct wi_cfg_tokens {
    uint8_t mm2s; /* direction: 0 stream to memory, 1 memory to stream */
    uint8_t channel, col, row, n_cols, n_rows;
};

struct wi_cfg_op {
    enum wi_cfg_kind kind;
    uint32_t addr;               /* PATCH: of word 1 of the descriptor */
    uint32_t value, mask;        /* WRITE, MASK_WRITE, MASK_POLL */
    size_t first;                /* BLOCK, NOP: index of the first word in wi_cfg.words */
    uint32_t n_words;            /* BLOCK, NOP */
    uint32_t arg;                /* PATCH: which buffer, counted from 0 */
    uint64_t offset;             /* PATCH: bytes added to the buffer's address */
    struct wi_cfg_tokens tokens; /* WAIT */
};

struct wi_cfg {
    struct wi_cfg_op *ops;
    size_t n_ops, max_ops;
    uint32_t *words;
    size_t n_words, max_words;
    bool failed;
};

void wi_cfg_init(struct wi_cfg *cfg);
void wi_cfg_fini(struct wi_cfg *cfg);

void wi_cfg_add(struct wi_cfg *cfg, struct wi_cfg_op op);
void wi_cfg_write(struct wi_cfg *cfg, uint32_t addr, uint32_t value);
void wi_cfg_mask_write(struct wi_cfg *cfg, uint32_t addr, uint32_t mask, uint32_t value);
/* `words` are copied. */
void wi_cfg_block(struct wi_cfg *cfg, uint32_t addr, const uint32_t *words, uint32_t n_words);
void wi_cfg_nop(struct wi_cfg *cfg, const uint32_t *words, uint32_t n_words);
void wi_cfg_patch(struct wi_cfg *cfg, uint32_t addr, uint32_t arg, uint64_t offset);
void wi_cfg_wait(struct wi_cfg *cfg, struct wi_cfg_tokens tokens);

/* The words of a BLOCK or NOP; valid until the next addition. */
const uint32_t *wi_cfg_words(const struct wi_cfg *cfg, const struct wi_cfg_op *op);

#endif

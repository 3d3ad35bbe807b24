/* The addresses that a descriptor goes through, one element (32-bit word) after the other, with the
 * zeros that memory tiles put around dimensions.  A plain value; no allocation, thread-safe. */
#ifndef WISP_SRC_NPU_EMU_DMA_ADDR_H
#define WISP_SRC_NPU_EMU_DMA_ADDR_H

#include <stdbool.h>
#include <stdint.h>

#include "npu/isa/bd.h"

struct wi_dma_addr {
    uint64_t base; /* words, with the iteration's offset */
    uint32_t step[4], before[3], wrap[3], after[3];
    uint32_t at[4]; /* counters, zeros included */
    uint64_t left;  /* words of memory to go */
};

/* Start a descriptor at its iteration ITER_NOW. */
void wi_dma_addr_init(struct wi_dma_addr *a, const struct wi_bd *bd);

/* Whether anything is left. */
bool wi_dma_addr_more(const struct wi_dma_addr *a);

/* The next element: true with its address in words, or false for a zero. */
bool wi_dma_addr_peek(const struct wi_dma_addr *a, uint64_t *word);
void wi_dma_addr_step(struct wi_dma_addr *a);

/* How many words from the next one on, which is no zero, lie side by side in one granule of `max`
 * words (a power of two), and going past so many. */
unsigned wi_dma_addr_run(const struct wi_dma_addr *a, uint64_t word, unsigned max);
void wi_dma_addr_skip(struct wi_dma_addr *a, unsigned n);

/* Elements in all, zeros included. */
uint64_t wi_dma_addr_total(const struct wi_bd *bd);

#endif

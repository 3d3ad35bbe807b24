#include "npu/emu/dma_addr.h"

#include <string.h>

void wi_dma_addr_init(struct wi_dma_addr *a, const struct wi_bd *bd) {
    const int64_t *v = bd->v;
    memset(a, 0, sizeof *a);
    a->base = (uint64_t)(v[WI_BD_BASE] + v[WI_BD_ITER_NOW] * (v[WI_BD_ITER_STEP] + 1));
    a->left = (uint64_t)v[WI_BD_LENGTH];
    for (int d = 0; d < 4; d++)
        a->step[d] = (uint32_t)v[WI_BD_STEP0 + d] + 1;
    for (int d = 0; d < 3; d++) {
        a->before[d] = (uint32_t)v[WI_BD_BEFORE0 + d];
        a->wrap[d] = (uint32_t)v[WI_BD_WRAP0 + d];
        a->after[d] = (uint32_t)v[WI_BD_AFTER0 + d];
    }
}

/* After the last word the zeros behind it go on, up to where all dimensions that have some start
 * anew. */
bool wi_dma_addr_more(const struct wi_dma_addr *a) {
    if (a->left)
        return true;
    for (int d = 0; d < 3; d++)
        if (a->after[d] && a->wrap[d] && a->at[d] >= a->before[d] + a->wrap[d])
            return true;
    return false;
}

bool wi_dma_addr_peek(const struct wi_dma_addr *a, uint64_t *word) {
    uint64_t w = a->base + (uint64_t)a->at[3] * a->step[3];
    for (int d = 0; d < 3; d++) {
        uint32_t i = a->at[d];
        if (i < a->before[d] || (a->wrap[d] && i >= a->before[d] + a->wrap[d]))
            return false;
        w += (uint64_t)(i - a->before[d]) * a->step[d];
    }
    *word = w;
    return true;
}

void wi_dma_addr_step(struct wi_dma_addr *a) {
    uint64_t word;
    if (wi_dma_addr_peek(a, &word))
        a->left--;
    for (int d = 0; d < 3; d++) {
        a->at[d]++;
        if (!a->wrap[d] || a->at[d] < a->before[d] + a->wrap[d] + a->after[d])
            return;
        a->at[d] = 0;
    }
    a->at[3]++;
}

unsigned wi_dma_addr_run(const struct wi_dma_addr *a, uint64_t word, unsigned max) {
    uint64_t n = a->step[0] == 1 ? max - (word & (max - 1)) : 1;
    uint64_t row = a->wrap[0] ? a->before[0] + a->wrap[0] - a->at[0] : a->left;
    n = n < row ? n : row;
    return (unsigned)(n < a->left ? n : a->left);
}

void wi_dma_addr_skip(struct wi_dma_addr *a, unsigned n) {
    a->at[0] += n - 1; /* a run stays in its row */
    a->left -= n - 1;
    wi_dma_addr_step(a);
}

uint64_t wi_dma_addr_total(const struct wi_bd *bd) {
    struct wi_dma_addr a;
    uint64_t n = 0;
    wi_dma_addr_init(&a, bd);
    for (; wi_dma_addr_more(&a); n++)
        wi_dma_addr_step(&a);
    return n;
}

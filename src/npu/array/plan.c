#include "npu/array/plan.h"

#include <string.h>

#include "base/err.h"

/* Memory tiles number their own locks and memory behind those of the tile to the west. */
enum { MEM_OWN_LOCK = 64, MEM_OWN_WORD = 0x20000 };

static void mistake(struct wi_plan *p, struct wi_at at, const char *what, uint32_t number) {
    if (!p->err.code)
        wi_err_set(&p->err, WISP_E_INTERNAL, "tile %d, %d: there is no %s %u", at.col, at.row, what,
                   number);
}

static uint32_t address_of(struct wi_plan *p, struct wi_at at, enum wi_map_id id, uint32_t index,
                           uint32_t word) {
    uint32_t offset = wi_map_offset(wi_tile_kind(at.row), id, index, word);
    if (offset == UINT32_MAX)
        mistake(p, at, "register with index", index);
    return WI_TILE_ADDR(at.col, at.row, offset);
}

void wi_plan_reg(struct wi_plan *p, struct wi_at at, enum wi_map_id id, uint32_t index,
                 uint32_t value) {
    uint32_t address = address_of(p, at, id, index, 0);
    if (!p->err.code)
        wi_cfg_write(p->cfg, address, value);
}

void wi_plan_bytes(struct wi_plan *p, struct wi_at at, enum wi_map_id id, uint32_t offset,
                   const void *bytes, size_t n_bytes) {
    enum { CHUNK = 1024 };
    uint32_t words[CHUNK];
    for (size_t done = 0; done < n_bytes && !p->err.code; done += sizeof words) {
        size_t n = n_bytes - done < sizeof words ? n_bytes - done : sizeof words;
        uint32_t address = address_of(p, at, id, 0, (offset + (uint32_t)done) / 4);
        memset(words, 0, sizeof words);
        memcpy(words, (const char *)bytes + done, n);
        wi_cfg_block(p->cfg, address, words, (uint32_t)((n + 3) / 4));
    }
}

void wi_plan_route(struct wi_plan *p, struct wi_at at, struct wi_end from, struct wi_end to) {
    const uint32_t on = 1u << WI_SWITCH_ENABLE_BIT;
    enum wi_tile_kind kind = wi_tile_kind(at.row);
    int slave = wi_switch_port_index(kind, WI_SWITCH_SLAVE, from.kind, from.number);
    int master = wi_switch_port_index(kind, WI_SWITCH_MASTER, to.kind, to.number);
    if (slave < 0 || master < 0) {
        mistake(p, at, "port", (uint32_t)(slave < 0 ? from.number : to.number));
        return;
    }
    wi_plan_reg(p, at, WI_MAP_MASTER, (uint32_t)master, on | (uint32_t)slave);
    wi_plan_reg(p, at, WI_MAP_SLAVE, (uint32_t)slave, on);
}

/* The field values that the hardware has: steps and wraps of iterations less 1. */
static struct wi_bd bd_of(enum wi_tile_kind kind, const struct wi_transfer *t) {
    struct wi_bd bd = {{0}};
    bool mem = kind == WI_TILE_MEM;
    int n_dims = mem ? 4 : 3;
    bd.v[WI_BD_BASE] = t->base + (mem ? MEM_OWN_WORD : 0);
    bd.v[WI_BD_LENGTH] = t->words;
    bd.v[WI_BD_VALID] = 1;
    for (int i = 0; i < n_dims; i++) {
        bd.v[WI_BD_STEP0 + i] = t->d[i].step ? t->d[i].step - 1 : 0;
        if (i < n_dims - 1)
            bd.v[WI_BD_WRAP0 + i] = t->d[i].count;
    }
    if (kind == WI_TILE_SHIM) { /* as the vendor's tools write them */
        bd.v[WI_BD_BURST] = 2;
        bd.v[WI_BD_AXI_CACHE] = 2;
    }
    if (t->iter) {
        bd.v[WI_BD_ITER_STEP] = t->iter_step - 1;
        bd.v[WI_BD_ITER_WRAP] = t->iter - 1;
    }
    if (t->locked) {
        bd.v[WI_BD_ACQ] = 1;
        bd.v[WI_BD_ACQ_ID] = t->take + (mem ? MEM_OWN_LOCK : 0);
        bd.v[WI_BD_ACQ_VALUE] = -t->n_take;
        bd.v[WI_BD_REL_ID] = t->give + (mem ? MEM_OWN_LOCK : 0);
        bd.v[WI_BD_REL_VALUE] = t->n_give;
    }
    if (t->next >= 0) {
        bd.v[WI_BD_USE_NEXT] = 1;
        bd.v[WI_BD_NEXT] = t->next;
    }
    return bd;
}

void wi_plan_transfer(struct wi_plan *p, struct wi_at at, int n, const struct wi_transfer *t) {
    enum wi_tile_kind kind = wi_tile_kind(at.row);
    struct wi_bd bd = bd_of(kind, t);
    uint32_t words[WI_BD_MAX_WORDS], address = address_of(p, at, WI_MAP_BD, (uint32_t)n, 0);
    enum wi_bd_field field;
    if (!wi_bd_pack(kind, &bd, words, &field) && !p->err.code)
        wi_err_set(&p->err, WISP_E_INTERNAL, "tile %d, %d: %s of descriptor %d does not fit",
                   at.col, at.row, wi_bd_field_name(field), n);
    if (!p->err.code)
        wi_cfg_block(p->cfg, address, words, (uint32_t)wi_bd_words(kind));
}

void wi_plan_start(struct wi_plan *p, struct wi_at at, enum wi_direction direction, int channel,
                   int bd, int times) {
    wi_plan_reg(p, at, direction == WI_TO_STREAM ? WI_MAP_MM2S_QUEUE : WI_MAP_S2MM_QUEUE,
                (uint32_t)channel, (uint32_t)bd | (uint32_t)(times - 1) << 16);
}

void wi_plan_lock(struct wi_plan *p, struct wi_at at, int lock, int value) {
    wi_plan_reg(p, at, WI_MAP_LOCK, (uint32_t)lock, (uint32_t)value);
}

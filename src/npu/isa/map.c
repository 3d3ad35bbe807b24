#include "npu/isa/map.h"

#include <stdio.h>
#include <string.h>

struct row {
    enum wi_tile_kind kind;
    enum wi_map_id id;
    uint32_t offset, count, stride, words;
    const char *text;
};

static const struct row rows[] = {
#define REG(kind, name, ...) {WI_TILE_##kind, WI_MAP_##name, __VA_ARGS__},
#include "npu/isa/aie2_map.def"
};
enum { N_ROWS = sizeof rows / sizeof rows[0] };

/* Whether the offset lies in a row, and where. */
static int is_in(const struct row *r, enum wi_tile_kind kind, uint32_t offset,
                 struct wi_map_reg *reg) {
    if (r->kind != kind || offset < r->offset)
        return 0;
    uint32_t at = offset - r->offset, index = r->count > 1 ? at / r->stride : 0;
    uint32_t word = (at - index * r->stride) / 4;
    if (index >= r->count || word >= r->words)
        return 0;
    *reg = (struct wi_map_reg){r->id, index, word};
    return 1;
}

static const struct row *find(enum wi_tile_kind kind, uint32_t offset, struct wi_map_reg *reg) {
    for (int i = 0; i < N_ROWS; i++)
        if (is_in(&rows[i], kind, offset, reg))
            return &rows[i];
    *reg = (struct wi_map_reg){WI_MAP_NONE, 0, 0};
    return NULL;
}

struct wi_map_reg wi_map_find(enum wi_tile_kind kind, uint32_t offset) {
    struct wi_map_reg reg;
    find(kind, offset, &reg);
    return reg;
}

uint32_t wi_map_offset(enum wi_tile_kind kind, enum wi_map_id id, uint32_t index, uint32_t word) {
    for (int i = 0; i < N_ROWS; i++)
        if (rows[i].kind == kind && rows[i].id == id && index < rows[i].count &&
            word < rows[i].words)
            return rows[i].offset + index * rows[i].stride + 4 * word;
    return UINT32_MAX;
}

int wi_map_print(enum wi_tile_kind kind, uint32_t offset, char *buf, size_t size) {
    struct wi_map_reg reg;
    const struct row *r = find(kind, offset, &reg);
    char group[64];
    if (!r)
        return snprintf(buf, size, "0x%05x", offset);
    const char *hole = strchr(r->text, '%');
    if (hole)
        snprintf(group, sizeof group, "%.*s%u%s", (int)(hole - r->text), r->text, reg.index,
                 hole + 1);
    else
        snprintf(group, sizeof group, "%s", r->text);
    if (r->words == 1)
        return snprintf(buf, size, "%s", group);
    if (r->words <= 8)
        return snprintf(buf, size, "%s.%u", group, reg.word);
    return snprintf(buf, size, "%s + 0x%x", group, 4 * reg.word);
}

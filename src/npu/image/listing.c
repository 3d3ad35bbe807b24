#include "npu/image/listing.h"

#include <stdio.h>
#include <string.h>

#include "npu/isa/bd.h"
#include "npu/isa/switch.h"

enum { MEANING = 256 }; /* characters of what a register's value means */

/* ---------------------------------------------------------------- what values mean */

static void port_name(enum wi_tile_kind tile, enum wi_switch_side side, uint32_t index,
                      char name[16]) {
    wi_switch_port_print(wi_switch_port(tile, side, (int)index), name, 16);
}

static void explain_master(enum wi_tile_kind tile, uint32_t index, uint32_t v, char *buf) {
    char to[16], from[16];
    port_name(tile, WI_SWITCH_MASTER, index, to);
    port_name(tile, WI_SWITCH_SLAVE, v & WI_MASTER_SLAVE_MASK, from);
    if (!(v >> WI_SWITCH_ENABLE_BIT & 1))
        snprintf(buf, MEANING, "%s off", to);
    else if (v >> WI_SWITCH_PACKET_BIT & 1)
        snprintf(buf, MEANING, "%s <- packets of arbiter %u, selectors 0x%x%s", to,
                 v & WI_MASTER_ARBITER_MASK, v >> WI_MASTER_MSEL_LSB & 15,
                 v >> WI_MASTER_DROP_BIT & 1 ? ", without header" : "");
    else
        snprintf(buf, MEANING, "%s <- %s", to, from);
}

static void explain_slave(enum wi_tile_kind tile, uint32_t index, uint32_t v, char *buf) {
    char name[16];
    port_name(tile, WI_SWITCH_SLAVE, index, name);
    snprintf(buf, MEANING, "%s %s", name,
             !(v >> WI_SWITCH_ENABLE_BIT & 1) ? "off"
             : v >> WI_SWITCH_PACKET_BIT & 1  ? "takes packets"
                                              : "on");
}

static void explain_slot(enum wi_tile_kind tile, uint32_t index, uint32_t v, char *buf) {
    char name[16];
    port_name(tile, WI_SWITCH_SLAVE, index, name);
    if (v >> WI_SLOT_ENABLE_BIT & 1)
        snprintf(buf, MEANING, "%s: packets %u (mask 0x%02x) -> arbiter %u, selector %u", name,
                 v >> WI_SLOT_ID_LSB & 31, v >> WI_SLOT_MASK_LSB & 31, v & WI_SLOT_ARBITER_MASK,
                 v >> WI_SLOT_MSEL_LSB & 3);
    else
        snprintf(buf, MEANING, "%s: off", name);
}

static void explain_queue(uint32_t v, char *buf) {
    uint32_t times = (v >> 16 & 255) + 1;
    snprintf(buf, MEANING, "bd%u", v & 63);
    if (times > 1)
        snprintf(buf + strlen(buf), MEANING - strlen(buf), ", %u times", times);
    if (v >> 31)
        snprintf(buf + strlen(buf), MEANING - strlen(buf), ", then a token");
}

/* What a value means in a register, "" when it is just a number. */
static void explain(enum wi_tile_kind tile, struct wi_map_reg reg, uint32_t v, char buf[MEANING]) {
    buf[0] = '\0';
    switch (reg.id) {
    case WI_MAP_MASTER: explain_master(tile, reg.index, v, buf); break;
    case WI_MAP_SLAVE: explain_slave(tile, reg.index, v, buf); break;
    case WI_MAP_SLOT: explain_slot(tile, reg.index, v, buf); break;
    case WI_MAP_S2MM_QUEUE:
    case WI_MAP_MM2S_QUEUE: explain_queue(v, buf); break;
    case WI_MAP_CORE_CTRL:
        snprintf(buf, MEANING, "%s%s", v & 1 ? "enabled" : "disabled", v & 2 ? ", in reset" : "");
        break;
    default: break;
    }
}

/* ---------------------------------------------------------------- one operation */

static const char *op_name(enum wi_cfg_kind kind) {
    static const char *const names[] = {
        [WI_CFG_NOP] = "nop",
        [WI_CFG_WRITE] = "write",
        [WI_CFG_MASK_WRITE] = "mask write",
        [WI_CFG_BLOCK] = "block write",
        [WI_CFG_MASK_POLL] = "poll",
        [WI_CFG_PATCH] = "patch",
        [WI_CFG_WAIT] = "wait",
    };
    return names[kind];
}

static enum wi_tile_kind tile_of(uint32_t addr) {
    return wi_tile_kind(wi_addr_row(addr));
}

/* "(0,2) lock0"; a whole descriptor is "bd0", not "bd0.0". */
static void put_address(struct wi_strbuf *out, uint32_t addr, bool descriptor) {
    char name[80];
    int n = wi_map_print(tile_of(addr), addr & WI_TILE_OFFSET_MASK, name, sizeof name);
    wi_strbuf_printf(out, " (%d,%d) %.*s", wi_addr_col(addr), wi_addr_row(addr),
                     descriptor ? n - 2 : n, name);
}

static void put_value(struct wi_strbuf *out, uint32_t addr, uint32_t value) {
    char meaning[MEANING];
    enum wi_tile_kind tile = tile_of(addr);
    explain(tile, wi_map_find(tile, addr & WI_TILE_OFFSET_MASK), value, meaning);
    wi_strbuf_printf(out, " = 0x%x%s%s", value, *meaning ? ": " : "", meaning);
}

/* How many whole descriptors a block writes, 0 when it is something else. */
static uint32_t n_descriptors(const struct wi_cfg_op *op) {
    enum wi_tile_kind tile = tile_of(op->addr);
    struct wi_map_reg reg = wi_map_find(tile, op->addr & WI_TILE_OFFSET_MASK);
    uint32_t words = (uint32_t)wi_bd_words(tile), stride = WI_BD_STRIDE / 4;
    bool whole = reg.id == WI_MAP_BD && reg.word == 0 && op->n_words % stride == words % stride;
    return whole ? (op->n_words + stride - 1) / stride : 0;
}

static void put_block(const struct wi_cfg *cfg, const struct wi_cfg_op *op, struct wi_strbuf *out) {
    enum wi_tile_kind tile = tile_of(op->addr);
    uint32_t n = n_descriptors(op);
    if (n == 0)
        wi_strbuf_printf(out, ", %u words", op->n_words);
    for (uint32_t i = 0; i < n; i++) {
        struct wi_bd bd;
        char text[512];
        bool known = wi_bd_unpack(tile, wi_cfg_words(cfg, op) + i * WI_BD_STRIDE / 4, &bd);
        wi_bd_print(tile, &bd, text, sizeof text);
        wi_strbuf_printf(out, "%s %s%s", i ? ";" : ":", text,
                         known ? "" : " (unknown bits are set)");
    }
}

static void put_wait(const struct wi_cfg_tokens *t, struct wi_strbuf *out) {
    wi_strbuf_printf(out, " for %s%u of (%u,%u)", t->mm2s ? "mm2s" : "s2mm", t->channel, t->col,
                     t->row);
    if (t->n_cols != 1 || t->n_rows != 1)
        wi_strbuf_printf(out, ", %u columns, %u rows", t->n_cols, t->n_rows);
}

static void put_op(const struct wi_cfg *cfg, const struct wi_cfg_op *op, struct wi_strbuf *out) {
    wi_strbuf_puts(out, op_name(op->kind));
    if (op->kind != WI_CFG_NOP && op->kind != WI_CFG_WAIT)
        put_address(out, op->addr, op->kind == WI_CFG_BLOCK && n_descriptors(op) > 0);
    switch (op->kind) {
    case WI_CFG_NOP: break;
    case WI_CFG_WRITE: put_value(out, op->addr, op->value); break;
    case WI_CFG_MASK_WRITE:
    case WI_CFG_MASK_POLL:
        wi_strbuf_printf(out, " & 0x%x", op->mask);
        put_value(out, op->addr, op->value);
        break;
    case WI_CFG_BLOCK: put_block(cfg, op, out); break;
    case WI_CFG_PATCH:
        wi_strbuf_printf(out, " = buffer %u + 0x%llx", op->arg, (unsigned long long)op->offset);
        break;
    case WI_CFG_WAIT: put_wait(&op->tokens, out); break;
    }
}

void wi_list_text(const struct wi_cfg *cfg, struct wi_strbuf *out) {
    for (size_t i = 0; i < cfg->n_ops; i++) {
        wi_strbuf_printf(out, "%5zu  ", i);
        put_op(cfg, &cfg->ops[i], out);
        wi_strbuf_puts(out, "\n");
    }
}

/* ---------------------------------------------------------------- JSON */

static void set_number(json_t *o, const char *key, uint64_t value) {
    json_object_set_new(o, key, json_integer((json_int_t)value));
}

static void set_address(json_t *o, uint32_t addr) {
    char name[80];
    wi_map_print(tile_of(addr), addr & WI_TILE_OFFSET_MASK, name, sizeof name);
    set_number(o, "col", (uint64_t)wi_addr_col(addr));
    set_number(o, "row", (uint64_t)wi_addr_row(addr));
    set_number(o, "offset", addr & WI_TILE_OFFSET_MASK);
    json_object_set_new(o, "register", json_string(name));
}

static json_t *op_json(const struct wi_cfg *cfg, const struct wi_cfg_op *op) {
    json_t *o = json_object(), *words;
    struct wi_strbuf text;
    json_object_set_new(o, "op", json_string(op_name(op->kind)));
    if (op->kind == WI_CFG_WAIT) {
        const struct wi_cfg_tokens *t = &op->tokens;
        json_object_set_new(o, "direction", json_string(t->mm2s ? "mm2s" : "s2mm"));
        set_number(o, "channel", t->channel);
        set_number(o, "col", t->col);
        set_number(o, "row", t->row);
        set_number(o, "cols", t->n_cols);
        set_number(o, "rows", t->n_rows);
    } else if (op->kind != WI_CFG_NOP) {
        set_address(o, op->addr);
    }
    if (op->kind == WI_CFG_PATCH) {
        set_number(o, "buffer", op->arg);
        set_number(o, "buffer_offset", op->offset);
    }
    if (op->kind == WI_CFG_WRITE || op->kind == WI_CFG_MASK_WRITE || op->kind == WI_CFG_MASK_POLL)
        set_number(o, "value", op->value);
    if (op->kind == WI_CFG_MASK_WRITE || op->kind == WI_CFG_MASK_POLL)
        set_number(o, "mask", op->mask);
    if (op->kind == WI_CFG_BLOCK) {
        json_object_set_new(o, "words", words = json_array());
        for (uint32_t i = 0; i < op->n_words; i++)
            json_array_append_new(words, json_integer(wi_cfg_words(cfg, op)[i]));
    }
    wi_strbuf_init(&text);
    put_op(cfg, op, &text);
    json_object_set_new(o, "text", json_string(text.data ? text.data : ""));
    wi_strbuf_fini(&text);
    return o;
}

json_t *wi_list_json(const struct wi_cfg *cfg) {
    json_t *list = json_array();
    for (size_t i = 0; list && i < cfg->n_ops; i++)
        if (json_array_append_new(list, op_json(cfg, &cfg->ops[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

/* ---------------------------------------------------------------- programs */

size_t wi_list_program(const struct wi_cfg *cfg, int col, int row, uint8_t *program) {
    size_t end = 0;
    memset(program, 0, WI_LIST_PROGRAM_BYTES);
    for (size_t i = 0; i < cfg->n_ops; i++) {
        const struct wi_cfg_op *op = &cfg->ops[i];
        const uint32_t *words = op->kind == WI_CFG_BLOCK ? wi_cfg_words(cfg, op) : &op->value;
        uint32_t n = op->kind == WI_CFG_BLOCK ? op->n_words : op->kind == WI_CFG_WRITE ? 1 : 0;
        for (uint32_t k = 0; k < n; k++) {
            uint32_t addr = op->addr + 4 * k;
            struct wi_map_reg reg = wi_map_find(tile_of(addr), addr & WI_TILE_OFFSET_MASK);
            if (wi_addr_col(addr) != col || wi_addr_row(addr) != row ||
                reg.id != WI_MAP_PROGRAM_MEM)
                continue;
            for (int byte = 0; byte < 4; byte++)
                program[4 * reg.word + (uint32_t)byte] = (uint8_t)(words[k] >> 8 * byte);
            end = 4 * reg.word + 4 > end ? 4 * reg.word + 4 : end;
        }
    }
    return end;
}

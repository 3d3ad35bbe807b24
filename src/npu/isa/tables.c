#include "npu/isa/tables.h"

#include <string.h>

#ifndef WI_ISA_TABLE /* a test that changes rows has them writable */
#define WI_ISA_TABLE static const
#endif
#include "npu/aie2_tables.inc" /* made by derive.c */

static const struct wi_isa_slot_info slots[] = {
#define SLOT(name, letter, text, bits, nop, word, proof) {text, nop, bits, word},
#define FORMAT(...)
#include "npu/isa/aie2_formats.def"
};

static const char *const port_names[] = {
#define PORT(name) #name,
#define TIMING(...)
#include "npu/isa/aie2_itins.def"
};

const struct wi_isa_info *wi_isa_info(unsigned id) {
    return id < WI_N_OPS ? &ops[id] : NULL;
}

const struct wi_isa_format_info *wi_isa_format_info(unsigned format) {
    return format < WI_N_FORMATS ? &formats[format] : NULL;
}

const struct wi_isa_slot_info *wi_isa_slot_info(unsigned slot) {
    return slot < WI_N_SLOTS ? &slots[slot] : NULL;
}

const struct wi_isa_reg_info *wi_isa_reg_info(unsigned reg) {
    return reg < WI_N_REGS ? &regs[reg] : NULL;
}

const struct wi_isa_timing *wi_isa_timing(unsigned timing) {
    return timing < WI_N_TIMINGS ? &timings[timing] : NULL;
}

const struct wi_isa_timing_info *wi_isa_timing_info(unsigned timing) {
    return timing < WI_N_TIMINGS ? &timings[timing].info : NULL;
}

const char *wi_isa_port_name(unsigned port) {
    return port < WI_N_PORTS ? port_names[port] : NULL;
}

/* < 0, 0, > 0 as `text` comes before, is or comes behind the first `len` characters of `name`. */
static int compare(const char *text, size_t text_len, const char *name, size_t len) {
    int order = memcmp(text, name, text_len < len ? text_len : len);
    return order ? order : text_len < len ? -1 : text_len > len;
}

enum wi_reg wi_isa_reg_find(const char *name, size_t len) {
    size_t low = 0, high = WI_N_REGS - 1;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const char *text = regs[by_name[middle]].name;
        int order = compare(text, strlen(text), name, len);
        if (order == 0)
            return (enum wi_reg)by_name[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return WI_REG_NONE;
}

enum wi_reg wi_isa_class_reg(unsigned class, unsigned code) {
    return class < WI_N_CLASSES && code < 512 ? (enum wi_reg)classes[class].reg[code] : WI_REG_NONE;
}

int wi_isa_class_code(unsigned class, unsigned reg) {
    return class < WI_N_CLASSES && reg < WI_N_REGS ? (int)classes[class].code[reg] - 1 : -1;
}

static int compare_mnemonic(unsigned id, const char *mnemonic, size_t len) {
    return compare(ops[id].text, strcspn(ops[id].text, " "), mnemonic, len);
}

unsigned wi_isa_find(const char *mnemonic, size_t len, unsigned after) {
    size_t low = 0,
           high = WI_N_OPS - 1; /* the first entry not before (mnemonic, after] is in low..high */
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = compare_mnemonic(by_mnemonic[middle], mnemonic, len);
        if (order < 0 || (order == 0 && by_mnemonic[middle] <= after))
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < WI_N_OPS - 1 && compare_mnemonic(by_mnemonic[low], mnemonic, len) == 0;
    return found ? by_mnemonic[low] : 0;
}

const uint16_t *wi_isa_candidates(enum wi_slot slot, uint64_t word, int *n) {
    unsigned value = 0;
    for (int i = 0; i < WI_INDEX_BITS; i++)
        value |= (unsigned)(word >> index_bits[slot][i] & 1) << i;
    *n = index_start[slot][value + 1] - index_start[slot][value];
    return index_ops + index_start[slot][value];
}

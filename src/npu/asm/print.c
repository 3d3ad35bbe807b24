#include "npu/asm/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "npu/isa/isa.h"

/* Sections that are searched for the label of an address; programs have a handful. */
enum { MAX_SEARCHED = 64 };

/* A section on its way to text. */
struct listing {
    const struct wi_asm_prog *prog;
    size_t index; /* of the section */
    const uint8_t *bytes;
    size_t size;
    bool plain, proof;
    uint8_t *targets; /* [size / 16 + 1] bit sets by offset / 2: where jumps of this section go to;
                         NULL = not wanted */
    size_t next_label;
    struct wi_strbuf *out;
};

static uint32_t address_of(const struct listing *l, size_t offset) {
    return l->prog->sections[l->index].address + (uint32_t)offset;
}

/* ------------------------------------------------------------------ labels */

/* The first label of section `index` at or behind `offset`. */
static size_t first_label(const struct wi_asm_prog *prog, size_t index, size_t offset) {
    size_t low = 0, high = prog->n_labels;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct wi_asm_label *label = &prog->labels[middle];
        if (label->section < index || (label->section == index && label->offset < offset))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_target(const struct listing *l, size_t offset) {
    return l->targets && offset % 2 == 0 && offset < l->size &&
           (l->targets[offset / 16] >> offset / 2 % 8 & 1);
}

/* The file's label for `address` in section `index`, NULL when there is none. */
static const char *label_in(const struct wi_asm_prog *prog, size_t index, uint32_t address) {
    const struct wi_asm_section *s = &prog->sections[index];
    size_t offset = (size_t)address - s->address;
    if (!s->code || address < s->address || offset > s->bytes.len)
        return NULL;
    size_t i = first_label(prog, index, offset);
    bool here =
        i < prog->n_labels && prog->labels[i].section == index && prog->labels[i].offset == offset;
    return here ? prog->labels[i].name : NULL;
}

/* Names for addresses: labels of the file, in this section first, or .L40 for what is jumped to. */
static bool name_address(const void *user, uint32_t address, char *buf, size_t size) {
    const struct listing *l = user;
    const struct wi_asm_prog *prog = l->prog;
    const char *name = label_in(prog, l->index, address);
    bool target =
        !name && address >= address_of(l, 0) && is_target(l, (size_t)address - address_of(l, 0));
    for (size_t i = 0; !name && !target && i < prog->n_sections && i < MAX_SEARCHED; i++)
        name = label_in(prog, i, address);
    if (name)
        snprintf(buf, size, "%s", name);
    else if (target)
        snprintf(buf, size, ".L%x", address);
    return name || target;
}

/* Where the bundle jumps to or lets a loop begin or end, -1 = nowhere. */
static int64_t target_of(const struct wi_isa_bundle *b) {
    const struct wi_isa_op *op = &b->op[WI_SLOT_LNG];
    switch (op->id) {
    case WI_OP_J:
    case WI_OP_JL: return op->v[0];
    case WI_OP_JZ:
    case WI_OP_JNZ: return op->v[1];
    case WI_OP_MOVXM:
        return op->v[0] == WI_REG_LS || op->v[0] == WI_REG_LE ? (int64_t)(uint32_t)op->v[1] : -1;
    default: return -1;
    }
}

/* Mark the targets inside this section, then unmark those where no bundle begins. */
static void find_targets(struct listing *l) {
    struct wi_isa_bundle b;
    uint8_t *starts = l->targets + l->size / 16 + 1;
    for (size_t at = 0; at < l->size;) {
        int n = wi_isa_unpack(&b, l->bytes + at, l->size - at);
        int64_t target = n > 0 ? target_of(&b) - address_of(l, 0) : -1;
        if (target >= 0 && target < (int64_t)l->size && target % 2 == 0)
            l->targets[target / 16] |= (uint8_t)(1 << target / 2 % 8);
        starts[at / 16] |= (uint8_t)(1 << at / 2 % 8);
        at += b.size; /* what the first byte announces, bundle or not */
    }
    for (size_t i = 0; i <= l->size / 16; i++)
        l->targets[i] &= starts[i];
}

/* ------------------------------------------------------------------ lines */

static void put_prefix(const struct listing *l, size_t at, size_t n) {
    char hex[2 * WI_ISA_MAX_BYTES + 1] = "";
    if (l->plain)
        return;
    for (size_t i = 0; i < n; i++)
        snprintf(hex + 2 * i, 3, "%02x", l->bytes[at + i]);
    wi_strbuf_printf(l->out, "%6x: %-32s  ", address_of(l, at), hex);
}

/* Labels at `at`, and those behind it but before `end`, where no line begins. */
static void put_labels(struct listing *l, size_t at, size_t end) {
    bool named = false;
    for (; l->next_label < l->prog->n_labels; l->next_label++) {
        const struct wi_asm_label *label = &l->prog->labels[l->next_label];
        if (label->section != l->index || label->offset >= end)
            break;
        if (label->offset == at)
            wi_strbuf_printf(l->out, "%s:\n", label->name);
        else
            wi_strbuf_printf(l->out, ".label %s, 0x%x\n", label->name,
                             address_of(l, label->offset));
        named = named || label->offset == at;
    }
    if (!named && is_target(l, at))
        wi_strbuf_printf(l->out, ".L%x:\n", address_of(l, at));
}

static void put_bytes(struct listing *l, size_t at, size_t n, const char *comment) {
    put_prefix(l, at, n);
    wi_strbuf_puts(l->out, ".byte ");
    for (size_t i = 0; i < n; i++)
        wi_strbuf_printf(l->out, "%s0x%02x", i ? ", " : "", l->bytes[at + i]);
    wi_strbuf_printf(l->out, "%s%s\n", comment[0] ? " // " : "", comment);
}

/* Name the operations that only the vendor's tables or a deduction stand for. */
static void put_proof(struct listing *l, const struct wi_isa_bundle *b) {
    const char *before = " // ";
    for (unsigned slot = 0; slot < WI_N_SLOTS; slot++) {
        const struct wi_isa_info *info = wi_isa_info(b->op[slot].id);
        bool table = b->op[slot].id && info->encoding == WI_ENC_TABLE;
        bool deduced = b->op[slot].id && info->semantics == WI_SEM_INF;
        bool unknown = b->op[slot].id && info->semantics == WI_SEM_NONE;
        if (!table && !deduced && !unknown)
            continue;
        wi_strbuf_printf(l->out, "%s%s:%s%s", before, info->name, table ? " UNPROVEN encoding" : "",
                         table && (deduced || unknown) ? "," : "");
        wi_strbuf_puts(l->out, deduced ? " meaning deduced" : unknown ? " meaning unknown" : "");
        before = "; ";
    }
}

/* The bundle at `at`, or the bytes that are none; returns how many bytes that were. */
static size_t put_bundle(struct listing *l, size_t at) {
    struct wi_isa_labels labels = {name_address, l};
    struct wi_isa_bundle b;
    char text[WI_ISA_MAX_TEXT + WI_ASM_MAX_NAME + 24], comment[sizeof text + 64] = "";
    int n = wi_isa_unpack(&b, l->bytes + at, l->size - at);
    size_t size = n > 0 ? (size_t)n : b.size < l->size - at ? b.size : l->size - at;
    put_labels(l, at, at + size);
    if (n > 0 && !b.stray) {
        wi_isa_print(&b, l->prog->relocatable || l->prog->bare ? NULL : &labels, text, sizeof text);
        put_prefix(l, at, size);
        wi_strbuf_puts(l->out, text);
        if (l->proof)
            put_proof(l, &b);
        wi_strbuf_puts(l->out, "\n");
        return size;
    }
    if (n > 0) {
        wi_isa_print(&b, NULL, text, sizeof text);
        snprintf(comment, sizeof comment, "%s, and bits set that mean nothing", text);
    }
    put_bytes(l, at, size, n == WI_ISA_TRUNCATED ? "cut short" : n < 0 ? "no bundle" : comment);
    return size;
}

static void put_code(struct listing *l) {
    for (size_t at = 0; at < l->size && !l->out->failed;)
        at += put_bundle(l, at);
}

static size_t zeros_at(const struct listing *l, size_t at, size_t end) {
    size_t n = 0;
    while (at + n < end && l->bytes[at + n] == 0)
        n++;
    return n;
}

/* Bytes of a .byte line: up to 16, and none of more than 16 zeros. */
static size_t row_at(const struct listing *l, size_t at, size_t end) {
    size_t n = 0;
    while (n < 16 && at + n < end && (l->bytes[at + n] || zeros_at(l, at + n, end) <= 16))
        n++;
    return n;
}

/* The offset of the next label, or the section's end. */
static size_t next_label_at(const struct listing *l) {
    if (l->next_label == l->prog->n_labels)
        return l->size;
    const struct wi_asm_label *next = &l->prog->labels[l->next_label];
    return next->section == l->index && next->offset < l->size ? next->offset : l->size;
}

/* Data in lines of 16 bytes up to the next label; longer runs of zeros as one line. */
static void put_data(struct listing *l) {
    for (size_t at = 0; at < l->size && !l->out->failed;) {
        put_labels(l, at, at + 1);
        size_t end = next_label_at(l);
        size_t zeros = zeros_at(l, at, end), n = row_at(l, at, end);
        if (zeros > 16) {
            put_prefix(l, at, 0);
            wi_strbuf_printf(l->out, ".zero %zu\n", zeros);
            at += zeros;
        } else {
            put_bytes(l, at, n, "");
            at += n;
        }
    }
}

static int put_section(struct listing *l, struct wisp_error *err) {
    const struct wi_asm_section *s = &l->prog->sections[l->index];
    l->bytes = (const uint8_t *)s->bytes.data;
    l->size = s->bytes.len;
    l->next_label = first_label(l->prog, l->index, 0);
    l->targets = NULL;
    if (!l->prog->bare)
        wi_strbuf_printf(l->out, ".section %s, 0x%x, %s\n", s->name, s->address,
                         s->code ? "code" : "data");
    if (s->code && !l->prog->relocatable && !l->prog->bare) {
        l->targets = wi_calloc(2 * (l->size / 16 + 1), 1);
        if (!l->targets)
            return wi_err_nomem(err, "the listing");
        find_targets(l);
    }
    if (s->code)
        put_code(l);
    else
        put_data(l);
    put_labels(l, l->size, l->size + 1);
    wi_free(l->targets);
    return WISP_OK;
}

int wi_asm_print(const struct wi_asm_prog *prog, unsigned flags, struct wi_strbuf *out,
                 struct wisp_error *err) {
    struct listing l = {
        .prog = prog, .plain = flags & WISP_NPU_PLAIN, .proof = flags & WISP_NPU_PROOF, .out = out};
    int rc = WISP_OK;
    if (prog->relocatable)
        wi_strbuf_puts(out, ".object\n");
    if (prog->entry)
        wi_strbuf_printf(out, ".entry 0x%x\n", prog->entry);
    for (l.index = 0; l.index < prog->n_sections && rc == WISP_OK; l.index++)
        rc = put_section(&l, err);
    if (rc == WISP_OK && out->failed)
        rc = wi_err_nomem(err, "the listing");
    return rc;
}

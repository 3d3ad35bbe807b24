#include "npu/isa/isa.h"

#include <stdarg.h>
#include <stdio.h>

/* Text for a buffer that may be too small. */
struct out {
    char *buf;
    size_t size, len;
};

static void put(struct out *o, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void put(struct out *o, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(o->len < o->size ? o->buf + o->len : NULL,
                      o->len < o->size ? o->size - o->len : 0, format, ap);
    va_end(ap);
    o->len += (size_t)(n > 0 ? n : 0);
}

/* Fields that hold addresses of program memory: targets of branches, and what movxm puts into LS
 * and LE. */
static bool is_address(const struct wi_isa_op *op, int i) {
    bool loop = op->id == WI_OP_MOVXM && (op->v[0] == WI_REG_LS || op->v[0] == WI_REG_LE);
    return wi_isa_info(op->id)->field[i].address || (loop && i == 1);
}

static void put_field(struct out *o, const struct wi_isa_op *op, int i,
                      const struct wi_isa_labels *labels) {
    char label[256];
    if (wi_isa_info(op->id)->field[i].class)
        put(o, "%s", wi_isa_reg_info((unsigned)op->v[i])->name);
    else if (labels && is_address(op, i) &&
             labels->name(labels->user, (uint32_t)op->v[i], label, sizeof label))
        put(o, "%s", label);
    else
        put(o, "%d", op->v[i]);
}

static bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_';
}

static int field_called(const struct wi_isa_info *info, char letter) {
    for (int i = 0; i < info->n_fields; i++)
        if (info->field[i].letter == letter)
            return i;
    return -1;
}

static void put_op(struct out *o, const struct wi_isa_op *op, enum wi_slot slot,
                   const struct wi_isa_labels *labels) {
    const struct wi_isa_info *info = wi_isa_info(op->id);
    if (!info || op->id == WI_OP_NOP) {
        put(o, "%s", info ? wi_isa_slot_info(slot)->nop : "?");
        return;
    }
    for (const char *p = info->text; *p;) {
        int n = 1;
        while (is_word(*p) && is_word(p[n]))
            n++;
        int field = n == 1 && p > info->text ? field_called(info, *p) : -1;
        if (field >= 0)
            put_field(o, op, field, labels);
        else
            put(o, "%.*s", n, p);
        p += n;
    }
}

int wi_isa_print_op(const struct wi_isa_op *op, enum wi_slot slot,
                    const struct wi_isa_labels *labels, char *buf, size_t size) {
    struct out o = {buf, size, 0};
    put_op(&o, op, slot, labels);
    return (int)o.len;
}

int wi_isa_print(const struct wi_isa_bundle *bundle, const struct wi_isa_labels *labels, char *buf,
                 size_t size) {
    const struct wi_isa_format_info *f = wi_isa_format_info(bundle->format);
    struct out o = {buf, size, 0};
    for (int i = 0; f && i < f->n_slots; i++) {
        put(&o, "%s", i ? "; " : "");
        put_op(&o, &bundle->op[f->order[i]], f->order[i], labels);
    }
    return (int)o.len;
}

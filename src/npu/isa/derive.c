/* Build-time program: reads the tables and prints them, checked and in the form that the functions
 * of isa.h use, as the C source that tables.c includes.  A mistake in a row stops the build with
 * the row's name. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "npu/isa/isa.h"
#include "npu/isa/tables.h"

static const char *row = "?"; /* for messages */

static void fail(const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    fprintf(stderr, "isa tables: %s: ", row);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
    exit(1);
}

#define need(condition, ...)                                                                       \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail(__VA_ARGS__);                                                                     \
    } while (0)

/* The next word of a list, "" at its end. */
static const char *next_word(const char **list, char word[64]) {
    size_t n = strcspn(*list += strspn(*list, " "), " ");
    need(n < 64, "word too long at '%s'", *list);
    memcpy(word, *list, n);
    word[n] = '\0';
    *list += n;
    return word;
}

/* ------------------------------------------------------------------ registers */

static struct wi_isa_reg_info regs[WI_N_REGS];
static int n_regs = 1; /* 0 is none */

/* The n-th name of a pattern: "am[ll lh]%" gives amll0 amlh0 amll1 ... */
static void reg_name(char out[16], const char *pattern, int n) {
    const char *open = strchr(pattern, '[');
    int choices = 0;
    char text[64] = "", choice[64];
    for (const char *p = open ? open + 1 : ""; *p && *p != ']'; choices++)
        p += strcspn(p, " ]"), p += *p == ' ';
    for (const char *p = pattern; *p; p++) {
        size_t at = strlen(text);
        if (*p == '[') {
            const char *list = p + 1;
            for (int i = 0; i <= n % choices; i++)
                next_word(&list, choice);
            snprintf(text + at, sizeof text - at, "%.*s", (int)strcspn(choice, "]"), choice);
            p = strchr(p, ']');
        } else if (*p == '%') {
            snprintf(text + at, sizeof text - at, "%d", choices ? n / choices : n);
        } else {
            snprintf(text + at, sizeof text - at, "%c", *p);
        }
    }
    need(strlen(text) < 16, "name '%s' is too long", text);
    strcpy(out, text);
}

static void add_reg(const char *pattern, int family, int n, int bits, int unit, int n_units) {
    struct wi_isa_reg_info *r = &regs[n_regs++];
    row = pattern;
    reg_name(r->name, pattern, n);
    need(unit >= 0 && unit + n_units <= WI_N_UNITS, "units %d..%d", unit, unit + n_units - 1);
    r->family = (uint8_t)family;
    r->number = (uint8_t)n;
    r->bits = (uint16_t)bits;
    r->unit = (uint8_t)unit;
    r->n_units = (uint8_t)n_units;
}

static void derive_regs(void) {
#define REGS(family, pattern, count, bits, unit, n_units)                                          \
    for (int n = 0; n < (count); n++)                                                              \
        add_reg(pattern, WI_FAMILY_##family, n, bits, unit, n_units);
#include "npu/isa/aie2_regs.def"
    need(n_regs == WI_N_REGS && WI_N_REGS <= 256 && WI_N_UNITS <= 256, "too many registers");
}

static int reg_called(const char *name) {
    for (int i = 1; i < n_regs; i++)
        if (strcmp(regs[i].name, name) == 0)
            return i;
    return 0;
}

/* ------------------------------------------------------------------ classes */

static struct class {
    const char *name;
    int bits;
    uint8_t reg[512]; /* by code */
} classes[WI_N_CLASSES];
static int n_classes = 1;

static void put(struct class *c, int *code, int step, int reg) {
    need(*code >= 0 && *code < 1 << c->bits, "code %d does not fit", *code);
    need(!c->reg[*code], "code %d is given twice", *code);
    for (int i = 0; i < 512; i++)
        need(c->reg[i] != reg, "%s is given twice", regs[reg].name);
    c->reg[*code] = (uint8_t)reg;
    *code += step;
}

static void add_class(const char *name, int bits, const char *list) {
    struct class *c = &classes[n_classes++];
    char word[64];
    int code = 0, step = 1;
    row = name;
    *c = (struct class){name, bits, {0}};
    while (*next_word(&list, word)) {
        char *dots = strstr(word, "..");
        if (word[0] == '@') {
            step = 1;
            need(sscanf(word, "@%d/%d", &code, &step) >= 1, "'%s'", word);
        } else if (word[0] == '-') {
            code += step;
        } else {
            if (dots)
                *dots = '\0';
            int first = reg_called(word), last = dots ? reg_called(dots + 2) : first;
            need(first && last >= first, "there is no register '%s'", word);
            for (int reg = first; reg <= last; reg++)
                put(c, &code, step, reg);
        }
    }
}

static void derive_classes(void) {
#define CLASS(name, bits, list) add_class(#name, bits, list);
#include "npu/isa/aie2_regs.def"
}

static int class_called(const char *name) {
    for (int i = 1; i < n_classes; i++)
        if (strcmp(classes[i].name, name) == 0)
            return i;
    return 0;
}

/* ------------------------------------------------------------------ timing */

static struct timing {
    const char *name, *operands;
    int n_ports;
    struct wi_isa_port_rule ports[WI_ISA_MAX_PORTS];
    int kind, mem0, mem1;
} timings[WI_N_TIMINGS] = {[0] = {.name = "NOP", .operands = ""}};
static int n_timings = 1;

static int port_called(const char *name) {
    static const char *const names[] = {
#define PORT(name) #name,
#define TIMING(...)
#include "npu/isa/aie2_itins.def"
        "DST_A", "DST_M", "SRC_S", "SRC_V", "DST_V"};
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++)
        if (strcmp(names[i], name) == 0)
            return i; /* the last five are WI_RULE_DST_A ... */
    fail("there is no port '%s'", name);
    return 0;
}

static void add_timing(const char *name, int kind, int mem0, int mem1, const char *operands,
                       const char *ports) {
    struct timing *t = &timings[n_timings++];
    char word[64];
    row = name;
    *t = (struct timing){
        .name = name, .operands = operands, .kind = kind, .mem0 = mem0, .mem1 = mem1};
    while (*next_word(&ports, word)) {
        struct wi_isa_port_rule *p = &t->ports[t->n_ports++];
        int first, last;
        char *at = strchr(word, '@');
        need(at, "port '%s' without a stage", word);
        *at = '\0';
        int n = sscanf(at + 1, "%d..%d", &first, &last);
        need(n >= 1, "stage '%s'", at + 1);
        p->weak = word[0] == '~';
        p->port = (uint8_t)port_called(word + p->weak);
        p->first = (uint8_t)first;
        p->last = (uint8_t)(n == 2 ? last : first);
    }
}

static void derive_timings(void) {
#define PORT(name)
#define TIMING(name, kind, mem0, mem1, operands, ports)                                            \
    add_timing(#name, WI_KIND_##kind, mem0, mem1, operands, ports);
#include "npu/isa/aie2_itins.def"
}

/* Stage and bypass of operand `letter` in a timing's list, 1 and none if it is not there. */
static void find_stage(struct wi_isa_use *use, const struct timing *t, char letter) {
    const char *list = t->operands;
    char word[64], bypass = '-', direction;
    int stage = 1;
    while (*next_word(&list, word)) {
        char of, tag = '-';
        int n;
        need(sscanf(word, "%c%c@%d%c", &direction, &of, &n, &tag) >= 3, "'%s' in timing %s", word,
             t->name);
        if (of == letter && (direction == '>') == use->write) {
            stage = n;
            bypass = tag;
        }
    }
    use->stage = (uint8_t)stage;
    use->bypass = (uint8_t)(strchr("-MVm", bypass) - "-MVm");
}

/* ------------------------------------------------------------------ instructions */

static struct wi_isa_info ops[WI_N_OPS];
static int n_ops = 1;
static const struct wi_isa_slot_info slots[] = {
#define SLOT(name, letter, text, bits, nop, word, proof) {text, nop, bits, word},
#define FORMAT(...)
#include "npu/isa/aie2_formats.def"
};

/* Where the bits of `letter` are. */
static void find_pieces(struct wi_isa_field *f, const char *encoding) {
    int bits = (int)strlen(encoding), last = -2;
    for (int i = 0; i < bits; i++) {
        if (encoding[i] != f->letter)
            continue;
        if (i != last + 1)
            f->n_pieces++;
        need(f->n_pieces <= 3, "field %c is in too many pieces", f->letter);
        f->piece[f->n_pieces - 1].lsb = (uint8_t)(bits - 1 - i);
        f->piece[f->n_pieces - 1].width++;
        f->width++;
        last = i;
    }
    need(f->width > 0, "field %c is not in the encoding", f->letter);
}

static bool is_field(const char *text, const char *p) {
    bool alone = (p == text || !strchr("abcdefghijklmnopqrstuvwxyz", p[-1])) &&
                 !(p[1] && strchr("abcdefghijklmnopqrstuvwxyz0123456789", p[1]));
    return *p >= 'a' && *p <= 'z' && alone;
}

static int field_index(const struct wi_isa_info *op, char letter) {
    for (int i = 0; i < op->n_fields; i++)
        if (op->field[i].letter == letter)
            return i;
    return -1;
}

/* The fields in the order of the text, behind the mnemonic. */
static void find_fields(struct wi_isa_info *op, const char *encoding) {
    for (const char *p = op->text + strcspn(op->text, " "); *p; p++) {
        if (!is_field(op->text, p) || field_index(op, *p) >= 0)
            continue;
        need(op->n_fields < WI_ISA_MAX_FIELDS, "too many fields");
        op->field[op->n_fields].letter = *p;
        find_pieces(&op->field[op->n_fields++], encoding);
    }
    for (const char *p = encoding; *p; p++)
        need(strchr("01-", *p) || field_index(op, *p) >= 0, "field %c is not in the text", *p);
}

/* "R", "s7", "u2", "n12x32", "addr" */
static void set_kind(struct wi_isa_field *f, const char *kind) {
    int width = 0, scale = 1, class = class_called(kind);
    char sign = 'u';
    if (strcmp(kind, "addr") == 0)
        width = 20;
    else if (!class)
        need(sscanf(kind, "%c%dx%d", &sign, &width, &scale) >= 2 && strchr("usn", sign),
             "kind '%s'", kind);
    need(f->width == (class ? classes[class].bits : width), "field %c has %d bits", f->letter,
         f->width);
    need(!f->sign || (f->class == class && f->scale == scale), "field %c has two kinds", f->letter);
    f->class = (uint8_t) class;
    f->sign = sign;
    f->scale = (uint16_t)scale;
    f->address = strcmp(kind, "addr") == 0;
}

static void add_use(struct wi_isa_info *op, char *word, bool write) {
    need(op->n_uses < WI_ISA_MAX_ACCESSES, "too many operands");
    struct wi_isa_use *use = &op->use[op->n_uses++];
    char *colon = strchr(word, ':'), *dot = strchr(word, '.'), *at = strchr(word, '@');
    *use = (struct wi_isa_use){.field = -1, .write = write, .stage = 1};
    if (at) {
        use->stage = (uint8_t)atoi(at + 1);
        *at = '\0';
    }
    if (!colon && !dot) {
        need(use->reg = (uint8_t)reg_called(word), "there is no register '%s'", word);
        return;
    }
    need((use->field = (int8_t)field_index(op, word[0])) >= 0, "operand '%s'", word);
    if (dot)
        use->part = strcmp(dot, ".dchi") == 0 ? WI_PART_DC_HIGH : WI_PART_DC;
    else
        set_kind(&op->field[use->field], colon + 1);
    find_stage(use, &timings[op->timing], word[0]);
    if (!dot && !op->field[use->field].class)
        op->n_uses--; /* an immediate */
}

static void find_uses(struct wi_isa_info *op, const char *operands) {
    char word[64];
    bool results = strchr(operands, '=') != NULL;
    while (*next_word(&operands, word)) {
        if (strcmp(word, "=") == 0)
            results = false;
        else
            add_use(op, word, results);
    }
    for (int i = 0; i < op->n_fields; i++)
        need(op->field[i].sign, "field %c is no operand", op->field[i].letter);
}

static void add_op(const char *name, int slot, const char *encoding, const char *text,
                   const char *operands, int timing, int enc, int sem) {
    struct wi_isa_info *op = &ops[n_ops++];
    row = name;
    need(strlen(encoding) == slots[slot].bits, "the encoding has %zu bits", strlen(encoding));
    *op = (struct wi_isa_info){.name = name, .text = text};
    op->slot = (uint8_t)slot;
    op->timing = (uint8_t)timing;
    op->kind = (uint8_t)timings[timing].kind;
    op->encoding = (uint8_t)enc;
    op->semantics = (uint8_t)sem;
    for (const char *p = encoding; *p; p++) {
        op->mask = op->mask << 1 | (*p == '0' || *p == '1');
        op->value = op->value << 1 | (*p == '1');
        op->ignored = op->ignored << 1 | (*p == '-');
    }
    find_fields(op, encoding);
    find_uses(op, operands);
    for (int i = 1; i < n_ops - 1; i++)
        need(strcmp(ops[i].name, name) != 0, "the name is there twice");
}

static void derive_ops(void) {
    ops[0] = (struct wi_isa_info){.name = "NOP", .text = "nop"};
#define OP(slot, name, encoding, text, operands, timing, enc, sem)                                 \
    add_op(#name, WI_SLOT_##slot, encoding, text, operands, WI_TIMING_##timing, WI_ENC_##enc,      \
           WI_SEM_##sem);
#define ALU(...) OP(ALU, __VA_ARGS__)
#define MV(...) OP(MV, __VA_ARGS__)
#define LNG(...) OP(LNG, __VA_ARGS__)
#define LDA(...) OP(LDA, __VA_ARGS__)
#define LDB(...) OP(LDB, __VA_ARGS__)
#define ST(...) OP(ST, __VA_ARGS__)
#define VEC(...) OP(VEC, __VA_ARGS__)
#include "npu/isa/aie2_ops.def"
}

/* ------------------------------------------------------------------ formats */

static struct wi_isa_format_info formats[WI_N_FORMATS];
static int n_formats;

static int slot_of(char letter) {
#define SLOT(name, l, ...)                                                                         \
    if (letter == (l))                                                                             \
        return WI_SLOT_##name;
#define FORMAT(...)
#include "npu/isa/aie2_formats.def"
    fail("there is no slot %c", letter);
    return 0;
}

static void add_format(const char *name, int bytes, const char *layout) {
    struct wi_isa_format_info *f = &formats[n_formats++];
    char word[64];
    int bit = 8 * bytes; /* of what comes next, from above */
    row = name;
    *f = (struct wi_isa_format_info){.name = name, .bytes = (uint8_t)bytes};
    memset(f->lsb, 0xff, sizeof f->lsb);
    while (*next_word(&layout, word)) {
        if (word[0] >= 'A' && word[0] <= 'Z') {
            int slot = slot_of(word[0]);
            bit -= slots[slot].bits;
            need(atoi(word + 1) == slots[slot].bits, "%s", word);
            f->lsb[slot] = (uint8_t)bit;
            f->slots |= (uint8_t)(1 << slot);
            f->order[f->n_slots++] = (uint8_t)slot;
            continue;
        }
        for (const char *p = word; *p; p++) {
            bit--;
            need(*p == 'x' || bit < 64, "a fixed bit above 63");
            if (*p == 'x') {
                f->filler[bit / 64] |= 1ull << bit % 64;
            } else {
                f->mask |= 1ull << bit;
                f->value |= (uint64_t)(*p == '1') << bit;
            }
        }
    }
    need(bit == 0, "the layout has %d bits", 8 * bytes - bit);
    for (int i = 0; i < n_formats - 1; i++)
        need(formats[i].slots != f->slots, "has the slots of %s", formats[i].name);
    for (int i = 0; i < n_formats - 1; i++)
        need(formats[i].bytes != bytes ||
                 ((formats[i].value ^ f->value) & formats[i].mask & f->mask),
             "cannot be told from %s", formats[i].name);
    need(n_formats == 1 || f[-1].bytes <= bytes, "formats are in the order of their size");
}

static void derive_formats(void) {
#define SLOT(...)
#define FORMAT(name, bytes, layout) add_format(#name, bytes, layout);
#include "npu/isa/aie2_formats.def"
}

/* ------------------------------------------------------------------ the decoder's index */

/* For each slot WI_INDEX_BITS bits of its word choose a list of candidates, those with most fixed
 * bits first. */

static int fixed_bits(const struct wi_isa_info *op) {
    return __builtin_popcountll(op->mask);
}

static int compare_ops(const void *a, const void *b) {
    const struct wi_isa_info *x = &ops[*(const uint16_t *)a], *y = &ops[*(const uint16_t *)b];
    int by_bits = fixed_bits(y) - fixed_bits(x);
    return by_bits ? by_bits : (int)(x - y);
}

static unsigned extract(uint64_t word, const uint8_t *bits, int n) {
    unsigned out = 0;
    for (int i = 0; i < n; i++)
        out |= (unsigned)(word >> bits[i] & 1) << i;
    return out;
}

/* The instructions of `slot` that words with those bits in the places `bits` can be. */
static int candidates(int slot, const uint8_t *bits, int n_bits, unsigned value, uint16_t *list) {
    int n = 0;
    for (int i = 1; i < n_ops; i++) {
        unsigned mask = extract(ops[i].mask, bits, n_bits);
        if (ops[i].slot == slot && ((extract(ops[i].value, bits, n_bits) ^ value) & mask) == 0)
            list[n++] = (uint16_t)i;
    }
    return n;
}

/* The sum of squares of the lists' lengths when `bits` choose. */
static long cost(int slot, const uint8_t *bits, int n_bits) {
    static uint16_t list[WI_N_OPS];
    long sum = 0;
    for (unsigned value = 0; value < 1u << n_bits; value++) {
        long n = candidates(slot, bits, n_bits, value, list);
        sum += n * n;
    }
    return sum << (WI_INDEX_BITS - n_bits);
}

/* Greedily the bits that make the lists short. */
static void choose_bits(int slot, uint8_t bits[WI_INDEX_BITS]) {
    for (int n = 0; n < WI_INDEX_BITS; n++) {
        long best = -1;
        uint8_t best_bit = 0;
        for (uint8_t bit = 0; bit < slots[slot].bits; bit++) {
            bits[n] = bit;
            long c = cost(slot, bits, n + 1);
            if (best < 0 || c < best) {
                best = c;
                best_bit = bit;
            }
        }
        bits[n] = best_bit;
    }
}

static void print_index(void) {
    static uint16_t list[WI_N_OPS];
    static unsigned start[WI_N_SLOTS][(1 << WI_INDEX_BITS) + 1];
    uint8_t bits[WI_N_SLOTS][WI_INDEX_BITS] = {{0}};
    unsigned total = 0;
    printf("static const uint16_t index_ops[] = {");
    for (int slot = 0; slot < WI_SLOT_NOP; slot++) {
        choose_bits(slot, bits[slot]);
        for (unsigned value = 0; value < 1 << WI_INDEX_BITS; value++) {
            int n = candidates(slot, bits[slot], WI_INDEX_BITS, value, list);
            qsort(list, (size_t)n, sizeof *list, compare_ops);
            start[slot][value] = total;
            for (int i = 0; i < n; i++, total++)
                printf("%d,", list[i]);
        }
        start[slot][1 << WI_INDEX_BITS] = total;
    }
    printf("0};\nstatic const uint16_t index_start[WI_N_SLOTS][(1 << WI_INDEX_BITS) + 1] = {\n");
    for (int slot = 0; slot < WI_N_SLOTS; slot++) {
        printf("{");
        for (unsigned value = 0; value <= 1 << WI_INDEX_BITS; value++)
            printf("%u,", start[slot][value]);
        printf("},\n");
    }
    printf("};\nstatic const uint8_t index_bits[WI_N_SLOTS][WI_INDEX_BITS] = {\n");
    for (int slot = 0; slot < WI_N_SLOTS; slot++) {
        printf("{");
        for (int i = 0; i < WI_INDEX_BITS; i++)
            printf("%u,", bits[slot][i]);
        printf("},\n");
    }
    printf("};\n");
    need(total < 65536, "the index is too long");
}

/* ------------------------------------------------------------------ printing */

static void print_regs(void) {
    printf("static const struct wi_isa_reg_info regs[WI_N_REGS] = {\n");
    for (int i = 0; i < n_regs; i++)
        printf("{\"%s\",%u,%u,%u,%u,%u},\n", regs[i].name, regs[i].family, regs[i].number,
               regs[i].bits, regs[i].unit, regs[i].n_units);
    printf("};\nstatic const struct wi_isa_class classes[WI_N_CLASSES] = {{0,{0},{0}},\n");
    for (int i = 1; i < n_classes; i++) {
        printf("{%d,{", classes[i].bits);
        for (int code = 0; code < 1 << classes[i].bits; code++)
            printf("%u,", classes[i].reg[code]);
        printf("},{");
        for (int code = 0; code < 1 << classes[i].bits; code++)
            if (classes[i].reg[code])
                printf("[%u]=%d,", classes[i].reg[code], code + 1);
        printf("}},\n");
    }
    printf("};\n");
}

static int compare_names(const void *a, const void *b) {
    return strcmp(regs[*(const uint8_t *)a].name, regs[*(const uint8_t *)b].name);
}

static void print_reg_order(void) {
    uint8_t order[WI_N_REGS - 1];
    for (int i = 1; i < n_regs; i++)
        order[i - 1] = (uint8_t)i;
    qsort(order, (size_t)n_regs - 1, 1, compare_names);
    printf("static const uint8_t by_name[WI_N_REGS - 1] = {");
    for (int i = 0; i < n_regs - 1; i++)
        printf("%u,", order[i]);
    printf("};\n");
}

static void print_timings(void) {
    printf("WI_ISA_TABLE struct wi_isa_timing timings[WI_N_TIMINGS] = {\n");
    for (int i = 0; i < n_timings; i++) {
        const struct timing *t = &timings[i];
        printf("{{\"%s\",%d,{%d,%d}},%d,{", t->name, t->kind, t->mem0, t->mem1, t->n_ports);
        for (int p = 0; p < t->n_ports; p++)
            printf("{%u,%u,%u,%d},", t->ports[p].port, t->ports[p].first, t->ports[p].last,
                   t->ports[p].weak);
        printf("{0,0,0,0}}},\n");
    }
    printf("};\n");
}

static void print_fields(const struct wi_isa_info *op) {
    for (int i = 0; i < op->n_fields; i++) {
        const struct wi_isa_field *f = &op->field[i];
        printf("{'%c',%u,%u,'%c',%d,%u,%u,{", f->letter, f->class, f->width, f->sign, f->address,
               f->scale, f->n_pieces);
        for (int p = 0; p < f->n_pieces; p++)
            printf("{%u,%u},", f->piece[p].lsb, f->piece[p].width);
        printf("}},");
    }
}

static void print_ops(void) {
    printf("WI_ISA_TABLE struct wi_isa_info ops[WI_N_OPS] = {\n");
    for (int i = 0; i < n_ops; i++) {
        const struct wi_isa_info *op = &ops[i];
        printf("{\"%s\",\"%s\",0x%" PRIx64 ",0x%" PRIx64 ",0x%" PRIx64 ",%u,%u,%u,%u,%u,%u,%u,{",
               op->name, op->text, op->mask, op->value, op->ignored, op->slot, op->timing, op->kind,
               op->encoding, op->semantics, op->n_fields, op->n_uses);
        print_fields(op);
        printf("},{");
        for (int u = 0; u < op->n_uses; u++)
            printf("{%d,%u,%u,%d,%u,%u},", op->use[u].field, op->use[u].reg, op->use[u].part,
                   op->use[u].write, op->use[u].stage, op->use[u].bypass);
        printf("}},\n");
    }
    printf("};\n");
}

static void print_formats(void) {
    printf("static const struct wi_isa_format_info formats[WI_N_FORMATS] = {\n");
    for (int i = 0; i < n_formats; i++) {
        const struct wi_isa_format_info *f = &formats[i];
        printf("{\"%s\",%u,%u,%u,{", f->name, f->bytes, f->n_slots, f->slots);
        for (int s = 0; s < f->n_slots; s++)
            printf("%u,", f->order[s]);
        printf("},{");
        for (int s = 0; s < WI_N_SLOTS; s++)
            printf("%u,", f->lsb[s]);
        printf("},0x%" PRIx64 ",0x%" PRIx64 ",{0x%" PRIx64 ",0x%" PRIx64 "}},\n", f->mask, f->value,
               f->filler[0], f->filler[1]);
    }
    printf("};\n");
}

static int compare_texts(const void *a, const void *b) {
    const struct wi_isa_info *x = &ops[*(const uint16_t *)a], *y = &ops[*(const uint16_t *)b];
    size_t nx = strcspn(x->text, " "), ny = strcspn(y->text, " ");
    int by_name = strncmp(x->text, y->text, nx < ny ? nx : ny);
    return by_name ? by_name : nx != ny ? (int)nx - (int)ny : (int)(x - y);
}

/* Opcodes in the order of their mnemonics. */
static void print_mnemonics(void) {
    uint16_t order[WI_N_OPS - 1];
    for (int i = 1; i < n_ops; i++)
        order[i - 1] = (uint16_t)i;
    qsort(order, (size_t)n_ops - 1, sizeof *order, compare_texts);
    printf("static const uint16_t by_mnemonic[WI_N_OPS - 1] = {");
    for (int i = 0; i < n_ops - 1; i++)
        printf("%u,", order[i]);
    printf("};\n");
}

int main(void) {
    derive_regs();
    derive_classes();
    derive_timings();
    derive_ops();
    derive_formats();
    printf("/* Made by derive.c from the tables. */\n");
    print_regs();
    print_reg_order();
    print_timings();
    print_ops();
    print_formats();
    print_mnemonics();
    print_index();
    return fflush(stdout) == 0 ? 0 : 1;
}

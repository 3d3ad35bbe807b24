/* Every latency that a kernel may use, stated by hand in latency.def, observed on the emulator and
 * by the checker in programs of two operations; and the proof that these tests notice: each number
 * of the timing tables is changed by one, in this program's own copy of them, and some row must
 * then fail. */
#define WI_ISA_TABLE
#include "npu/isa/tables.c" /* in the place of the library's */

#include "unit/suite.h"

#include <stdio.h>
#include <stdlib.h>

#include "npu/asm/check.h"
#include "npu/asm/parse.h"
#include "rig.h"

enum {
    POS = 12, /* the bundle of the operation */
    END = 40, /* `done` */
    MARK_1 = 0x400,
    MARK_2 = 0x800, /* where branches go */
    CODE = 0xa00,
    SCRATCH = 0x7f000, /* p7 */
    COMPARED = SCRATCH - RIG_BASE,
    FACT = 24 /* characters of a register's name or value */
};

struct row {
    const char *text, *facts;
};
static const struct row rows[] = {
#define ROW(text, facts) {text, facts},
#define MEMORY(text, distances)
#include "latency.def"
};
static const struct row memory_rows[] = {
#define ROW(text, facts)
#define MEMORY(text, distances) {text, distances},
#include "latency.def"
};
enum { ROWS = sizeof rows / sizeof *rows, MEMORY_ROWS = sizeof memory_rows / sizeof *memory_rows };

static struct rig rig;
static uint8_t code[CODE], blank[CODE];
static uint8_t memory[WI_EMU_WINDOW_BYTES];
static char why[512]; /* of the last false */

__attribute__((format(printf, 1, 2))) static bool no(const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    vsnprintf(why, sizeof why, format, ap);
    va_end(ap);
    return false;
}

/* ---------------------------------------------------------------- values */

static unsigned family(const char *reg) {
    return wi_isa_reg_info(wi_isa_reg_find(reg, strlen(reg)))->family;
}

static bool is_vector(const char *reg) {
    return wi_isa_reg_info(wi_isa_reg_find(reg, strlen(reg)))->bits >= 256;
}

static bool is_accumulator(const char *reg) {
    return family(reg) == WI_FAMILY_AM || family(reg) == WI_FAMILY_BM ||
           family(reg) == WI_FAMILY_CM;
}

/* Half words that are small bf16 numbers, all different; "zero", and addresses as words. */
static uint16_t half(const char *kind, unsigned i) {
    if (strcmp(kind, "zero") == 0)
        return 0;
    if (strncmp(kind, "addr", 4) == 0)
        return i % 2 ? 7 : kind[4] ? 0x200 : 0x100;
    unsigned base = strcmp(kind, "neg") == 0   ? 0xbf80
                    : strcmp(kind, "mid") == 0 ? 0x3fc0
                    : strcmp(kind, "b") == 0   ? 0x4000
                    : strcmp(kind, "old") == 0 ? 0x3e00
                                               : 0x3f80;
    return (uint16_t)(base + 1 + i);
}

static void set(const char *reg, const char *value) {
    uint16_t v[80];
    if (!is_vector(reg)) {
        rig_set(&rig, reg, (uint32_t)strtoll(value, NULL, 0));
        return;
    }
    for (unsigned i = 0; i < 80; i++)
        v[i] = half(value, i);
    wi_emu_core_set(rig.core, reg, (const uint8_t *)v);
}

/* Two values of a register that make a difference to what reads it. */
static void default_values(const char *reg, char a[FACT], char b[FACT]) {
    unsigned f = family(reg);
    bool p = f == WI_FAMILY_P || f == WI_FAMILY_SP, step = f == WI_FAMILY_M || f == WI_FAMILY_DJ;
    bool bit = f == WI_FAMILY_CR || f == WI_FAMILY_SR;
    const char *first = is_vector(reg) ? "a" : p ? "0x70100" : step ? "0x40" : bit ? "0" : "3";
    const char *second = is_vector(reg) ? "b" : p ? "0x70200" : step ? "0x80" : bit ? "1" : "5";
    snprintf(a, FACT, "%s", first);
    snprintf(b, FACT, "%s", second);
}

/* ---------------------------------------------------------------- facts */

struct fact {
    char kind; /* > < ! */
    char reg[FACT], a[FACT], b[FACT];
    int stage;
    char bypass; /* M, V or 0 */
};

/* The next fact of a text; false at its end. */
static bool next_fact(const char **text, struct fact *f) {
    size_t n = strspn(*text, " "), len = strcspn(*text + n, " ");
    char word[64], *at, *sign;
    if (!(*text)[n])
        return false;
    snprintf(word, sizeof word, "%.*s", (int)len, *text + n);
    *text += n + len;
    *f = (struct fact){.kind = word[0]};
    at = word + 1 + strcspn(word + 1, "@=");
    sign = strchr(word, '=');
    snprintf(f->reg, FACT, "%.*s", (int)(at - word - 1), word + 1);
    default_values(f->reg, f->a, f->b);
    if (*at == '@')
        f->stage = (int)strtol(at + 1, &at, 10);
    if (*at == 'M' || *at == 'V')
        f->bypass = *at;
    if (!sign)
        return true;
    const char *comma = strchr(sign, ',');
    snprintf(f->a, FACT, "%.*s", comma ? (int)(comma - sign - 1) : FACT - 1, sign + 1);
    if (comma)
        snprintf(f->b, FACT, "%s", comma + 1);
    else if (strcmp(f->a, "addr") == 0)
        strcpy(f->b, "addr2");
    return true;
}

/* ---------------------------------------------------------------- running */

/* What everything starts with. */
static void prepare(const struct row *row) {
    static const char *const registers[][2] = {
        {"r0", "0"},    {"r1", "99"},      {"r2", "3"},       {"r3", "3"},       {"r10", "0"},
        {"r16", "3"},   {"r26", "1"},      {"p0", "0x70100"}, {"p1", "0x70140"}, {"p7", "0x7f000"},
        {"m0", "0x40"}, {"dn0", "7"},      {"dj0", "0x40"},   {"dn4", "7"},      {"dj4", "0x40"},
        {"m4", "0x40"}, {"SP", "0x70300"}, {"s0", "1"},       {"x1", "old"},     {"x2", "a"},
        {"x3", "a"},    {"cm1", "old"},    {"cm2", "a"},      {"cm3", "a"},      {"lr", "0x400"},
        {"dn1", "0"}};
    const char *facts = row->facts;
    struct fact f;
    wi_emu_core_reset(rig.core);
    memcpy(rig.memory, memory, sizeof memory);
    for (size_t i = 0; i < sizeof registers / sizeof *registers; i++)
        set(registers[i][0], registers[i][1]);
    while (next_fact(&facts, &f))
        if (f.kind == '!')
            set(f.reg, f.a);
    rig.locks[48] = rig.locks[49] = 5;
    rig.in[0] = 11;
    rig.in[1] = 12;
    rig.n_in = 2;
    rig.at_in = rig.n_out = rig.n_cascade_out = rig.at_cascade_in = 0;
    rig.n_cascade_in = 1;
    memset(rig.out, 0, sizeof rig.out);
    memset(rig.out_last, 0, sizeof rig.out_last);
    memset(rig.cascade_in, 0x5a, sizeof rig.cascade_in);
    memset(rig.cascade_out, 0, sizeof rig.cascade_out);
}

static void put(int at, const char *text) {
    rig_assemble(code + 16 * at, text, strlen(text));
}

/* The operation, and another one `by` bundles later (both in one bundle: 0). */
static void write_code(const char *op, int by, const char *other) {
    char both[256];
    memcpy(code, blank, sizeof code);
    snprintf(both, sizeof both, "%s; %s", op, other);
    put(POS, by || !other[0] ? op : both);
    if (by)
        put(POS + by, other);
}

static bool run(void) {
    wi_emu_core_load(rig.core, 0, code, sizeof code);
    enum wi_emu_stop stop = wi_emu_core_run(rig.core, 1000);
    return stop == WI_EMU_DONE || no("stopped: %s", wi_emu_core_fault(rig.core));
}

/* Whether the checker has a finding of the rule for two bundles; `findings` counts nothing else. */
static bool finds(enum wi_check_rule rule, int first, int second) {
    struct wi_check_report report;
    uint32_t entry = 0;
    bool found = false;
    assert_int_equal(wi_check(&report, code, sizeof code, 0, &entry, 1, NULL), WISP_OK);
    for (size_t i = 0; i < report.n_findings; i++) {
        const struct wi_check_finding *f = &report.findings[i];
        found = found || (f->rule == rule && f->at.address == 16u * (unsigned)first &&
                          f->other.address == 16u * (unsigned)second);
    }
    wi_check_report_fini(&report);
    return found;
}

static struct wi_isa_op parse(const char *text) {
    struct wi_isa_bundle b;
    struct wi_asm_ref ref;
    if (wi_asm_parse_bundle(&b, &ref, text, strlen(text), NULL))
        fail_msg("'%s'", text);
    for (unsigned slot = 0; slot < WI_N_SLOTS; slot++)
        if (b.op[slot].id != WI_OP_NOP)
            return b.op[slot];
    fail_msg("'%s' is a NOP", text);
    return b.op[0];
}

static unsigned slot_of(const char *text) {
    return wi_isa_info(parse(text).id)->slot;
}

/* ---------------------------------------------------------------- results */

static const char *probe(const char *reg) {
    static char text[64];
    snprintf(text, sizeof text, is_vector(reg) ? "vst %s, [p7, #32]" : "mov r9, %s", reg);
    return text;
}

/* The probe's value, and the register's own. */
static void probed(const char *reg, uint8_t value[160]) {
    memset(value, 0, 160);
    if (is_vector(reg))
        memcpy(value, rig.memory + COMPARED + 32, 32);
    else
        wi_emu_core_get(rig.core, "r9", value);
}

/* Whether a probe `n` bundles behind the operation sees the new value; -1 after a fault. */
static int seen_after(const struct row *row, const char *reg, int n) {
    uint8_t before[160] = {0}, after[160] = {0}, value[160];
    write_code(row->text, n, probe(reg));
    prepare(row);
    wi_emu_core_get(rig.core, reg, before);
    if (!run())
        return -1;
    wi_emu_core_get(rig.core, reg, after);
    probed(reg, value);
    if (memcmp(before, after, 32) == 0) {
        no("'%s' leaves %s as it was", row->text, reg);
        return -1;
    }
    return memcmp(value, after, 32) == 0;
}

static bool result_lands(const struct row *row, const struct fact *f) {
    for (int n = f->stage > 1 ? f->stage - 1 : 1; n <= f->stage; n++) {
        bool expected = n == f->stage;
        int seen = seen_after(row, f->reg, n);
        if (seen < 0)
            return false;
        if (seen != expected)
            return no("'%s': %s %d bundles on is the %s value", row->text, f->reg, n,
                      seen ? "new" : "old");
        if (finds(WI_CHECK_OLD_READ, POS, POS + n) == expected)
            return no("'%s': the checker on %s %d bundles on", row->text, f->reg, n);
    }
    return true;
}

/* Through the bypass: a move of the vector one bundle on, an integer product two bundles on. */
static bool result_bypasses(const struct row *row, const struct fact *f) {
    const char *consumer = f->bypass == 'M' ? "vmov wl8, wl1" : "vmac cm8, cm1, x7, x7, r4";
    const char *to = f->bypass == 'M' ? "wl8" : "cm8";
    uint8_t early[160] = {0}, late[160] = {0};
    for (int n = f->bypass == 'M' ? 1 : 2, i = 0; i < 2; n += 10, i++) {
        write_code(row->text, n, consumer);
        prepare(row);
        rig_set(&rig, "r4", 776);
        if (!run())
            return false;
        wi_emu_core_get(rig.core, to, i ? late : early);
        if (finds(WI_CHECK_OLD_READ, POS, POS + n))
            return no("'%s': the checker on the bypass", row->text);
    }
    return memcmp(early, late, sizeof late) == 0 || no("'%s' is not on the bypass", row->text);
}

/* ---------------------------------------------------------------- sources */

/* Something that writes a register: `landing` is when. */
struct producer {
    char text[64];
    int landing;
    bool bypass;
};

/* Prefer late results: they need no room in the operation's own bundle. */
static struct producer producer_of(const struct fact *f, unsigned slot) {
    struct producer p = {.landing = 1};
    unsigned fam = family(f->reg);
    bool loaded = fam == WI_FAMILY_R || fam == WI_FAMILY_P || fam == WI_FAMILY_M ||
                  fam == WI_FAMILY_DJ || fam == WI_FAMILY_LR;
    const char *format = "mov %s, r10";
    if (is_accumulator(f->reg))
        format = "vmov %s, wl9", p.landing = 2;
    else if (is_vector(f->reg))
        format = "vconv.bf16.fp32 %s, bml7", p.landing = 2;
    else if (loaded && f->stage == 1)
        format = "lda %s, [p7, #0]", p.landing = 7;
    else if (fam == WI_FAMILY_CR && slot == WI_SLOT_MV)
        format = "movx %s, r10";
    snprintf(p.text, sizeof p.text, format, f->reg);
    return p;
}

static void set_producer(const char *value) {
    uint16_t v[80] = {0};
    uint32_t word = (uint32_t)strtoll(value, NULL, 0);
    rig_set(&rig, "r10", word);
    rig_set_word(&rig, SCRATCH, word);
    set("x9", value);
    for (unsigned i = 0; i < 16; i++)
        v[2 * i + 1] = half(value, i); /* bf16 numbers as fp32 */
    wi_emu_core_set(rig.core, "bml7", (const uint8_t *)v);
}

struct effect {
    uint8_t reg[14][160], memory[COMPARED], cascade[64];
    int32_t locks[64];
    uint32_t out;
    bool out_last;
    uint64_t pad;
};

static bool writes(const struct row *row, const struct wi_isa_reg_info *r) {
    struct wi_isa_access access[WI_ISA_MAX_ACCESSES];
    struct wi_isa_op op = parse(row->text);
    int n = wi_isa_accesses(&op, access);
    for (int i = 0; i < n; i++)
        if (access[i].write &&
            wi_isa_overlap(access[i].unit, access[i].n_units, r->unit, r->n_units))
            return true;
    return false;
}

/* What a run changed, but for `reg` itself; an accumulator that is a result, too, counts. */
static void look(struct effect *e, const struct row *row, const char *reg) {
    static const char *const names[] = {"r1",  "r16", "r17", "r20", "r31", "p0",      "p1",
                                        "dc0", "dc4", "wl1", "wh1", "cm1", "srCarry", "s0"};
    const struct wi_isa_reg_info *r = wi_isa_reg_info(wi_isa_reg_find(reg, strlen(reg)));
    memset(e, 0, sizeof *e);
    for (unsigned i = 0; i < 14; i++) {
        const struct wi_isa_reg_info *n =
            wi_isa_reg_info(wi_isa_reg_find(names[i], strlen(names[i])));
        if (!wi_isa_overlap(r->unit, r->n_units, n->unit, n->n_units) ||
            (is_accumulator(reg) && writes(row, r)))
            wi_emu_core_get(rig.core, names[i], e->reg[i]);
    }
    memcpy(e->memory, rig.memory, COMPARED);
    memcpy(e->cascade, rig.cascade_out[0], 64);
    memcpy(e->locks, rig.locks, sizeof e->locks);
    e->out = rig.out[0];
    e->out_last = rig.out_last[0];
}

/* The effect when the register begins as `first` and the producer, `k` bundles behind the
 * operation, (NULL: none), writes `second`. */
static bool effect_of(struct effect *e, const struct row *row, const struct fact *f,
                      const struct producer *p, int k, const char *first, const char *second) {
    write_code(row->text, p ? k : 1, p ? p->text : "");
    prepare(row);
    set(f->reg, first);
    set_producer(second);
    if (!run())
        return false;
    look(e, row, f->reg);
    return true;
}

static bool checker_agrees(const struct row *row, const struct fact *f, int k, bool fresh) {
    bool found =
        k < 0 ? finds(WI_CHECK_OLD_READ, POS + k, POS) : finds(WI_CHECK_NEW_READ, POS, POS + k);
    return found == (k < 0 ? !fresh : fresh) ||
           no("'%s': the checker on %s written %d bundles later", row->text, f->reg, k);
}

/* From `last` bundles behind the operation on, it does not see the producer's value any more. */
static bool sampled_with(const struct row *row, const struct fact *f, const struct producer *p) {
    static struct effect as_a, as_b, got;
    int last = f->stage - p->landing - 1 + p->bypass;
    if (!effect_of(&as_a, row, f, NULL, 0, f->a, f->a) ||
        !effect_of(&as_b, row, f, NULL, 0, f->b, f->b))
        return false;
    if (memcmp(&as_a, &as_b, sizeof as_a) == 0)
        return no("'%s': nothing depends on %s", row->text, f->reg);
    for (int k = last; k <= last + 1; k++) {
        bool fresh = k == last;
        if (k == 0 && slot_of(p->text) == slot_of(row->text))
            continue; /* there is no such bundle */
        if (!effect_of(&got, row, f, p, k, f->a, f->b))
            return false;
        if (memcmp(&got, fresh ? &as_b : &as_a, sizeof got) != 0)
            return no("'%s': %s written %d bundles later is not the %s value", row->text, f->reg, k,
                      fresh ? "new" : "old");
        if (!checker_agrees(row, f, k, fresh))
            return false;
    }
    return true;
}

static bool source_is_sampled(const struct row *row, const struct fact *f) {
    struct producer p = producer_of(f, slot_of(row->text));
    if (!sampled_with(row, f, &p))
        return false;
    if (!f->bypass)
        return true;
    struct fact zero = *f;
    struct producer b = {.landing = 2, .bypass = true};
    snprintf(b.text, sizeof b.text, "vmov %s, wl9", f->reg);
    if (f->bypass == 'V') {
        strcpy(zero.b, "zero");
        snprintf(zero.reg, FACT, "cm%c", f->reg[strlen(f->reg) - 1]);
        b.landing = 5;
        snprintf(b.text, sizeof b.text, "vclr %s", zero.reg);
    }
    return sampled_with(row, &zero, &b);
}

/* ---------------------------------------------------------------- rows */

static bool row_holds(const struct row *row) {
    const char *facts = row->facts;
    struct fact f;
    while (next_fact(&facts, &f)) {
        bool ok =
            f.kind == '!' || (f.kind == '>' ? result_lands(row, &f) : source_is_sampled(row, &f));
        if (!ok || (f.kind == '>' && f.bypass && !result_bypasses(row, &f)))
            return false;
    }
    return true;
}

static bool memory_row_holds(const struct row *row) {
    const struct row plain = {row->text, strstr(row->text, "4x16") ? "!x2=addr" : ""};
    const char *later =
        slot_of(row->text) == WI_SLOT_LDB ? "vlda wl3, [p1, #0]" : "vldb wl3, [p1], m1";
    for (int n = 0; n < 9; n++) {
        uint64_t stalls[2];
        for (int i = 0; i < 2; i++) {
            write_code(plain.text, n, later);
            prepare(&plain);
            if (i)
                rig_set(&rig, "p1", 0x74000); /* other banks */
            if (!run())
                return false;
            stalls[i] = wi_emu_core_counters(rig.core).stalls[WI_EMU_STALL_MEMORY];
        }
        if ((stalls[0] > stalls[1]) != (strchr(row->facts, '0' + n) != NULL))
            return no("'%s': a load %d bundles later loses %d cycles", row->text, n,
                      (int)(stalls[0] - stalls[1]));
    }
    return true;
}

static int set_up(void **state) {
    (void)state;
    rig_init(&rig, WI_PORTABLE);
    for (unsigned i = 0; i < sizeof memory / 2; i++) {
        uint16_t v = (uint16_t)((i >= 0x800 && i < 0xa00 ? 0xbf80 : 0x3f80) + 1 + i % 64 +
                                (i / 64 % 8 << 8));
        memcpy(memory + 2 * i, &v, 2);
    }
    memcpy(code, blank, sizeof code);
    for (int i = 0; i < CODE / 16; i++)
        put(i, "");
    put(END, "done");
    put(MARK_1 / 16, "movx r20, #1");
    put(MARK_2 / 16, "movx r20, #2");
    put(MARK_1 / 16 + 16, "done");
    put(MARK_2 / 16 + 16, "done");
    memcpy(blank, code, sizeof code);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    rig_fini(&rig);
    return 0;
}

static void latencies(void **state) {
    (void)state;
    int failed = 0;
    for (int i = 0; i < ROWS; i++)
        if (!row_holds(&rows[i]))
            failed++, print_error("%s\n", why);
    for (int i = 0; i < MEMORY_ROWS; i++)
        if (!memory_row_holds(&memory_rows[i]))
            failed++, print_error("%s\n", why);
    assert_int_equal(failed, 0);
}

/* ---------------------------------------------------------------- mutations */

/* The text of the first row of a class that fails, NULL: none notices. */
static const char *caught(unsigned timing) {
    for (int i = 0; i < ROWS; i++)
        if (wi_isa_info(parse(rows[i].text).id)->timing == timing && !row_holds(&rows[i]))
            return rows[i].text;
    for (int i = 0; i < MEMORY_ROWS; i++)
        if (wi_isa_info(parse(memory_rows[i].text).id)->timing == timing &&
            !memory_row_holds(&memory_rows[i]))
            return memory_rows[i].text;
    return NULL;
}

/* Exceptions' flags and masks, which kernels do not use and the emulator does not model, the cycle
 * counter, the compressed streams' DP, and the cascade's enables, whose only legal value is 1. */
static bool is_left_out(const struct wi_isa_use *use) {
    static const char *const names[] = {"srUPS_of",  "srSRS_of",  "srF2FFlags", "srF2IFlags",
                                        "srFPFlags", "crF2FMask", "crF2IMask",  "crFPMask",
                                        "cntr",      "crSCDEn",   "crMCDEn"};
    for (size_t i = 0; use->field < 0 && i < sizeof names / sizeof *names; i++)
        if (strcmp(wi_isa_reg_info(use->reg)->name, names[i]) == 0)
            return true;
    return false;
}

/* A source at stage 2 instead of 1 that no program can tell: what writes s needs the mv slot, in
 * which these shifts are, and who else writes the pointer that padd has read would write it in the
 * same cycle as padd. */
static bool nobody_can_tell(const struct wi_isa_info *info, const struct wi_isa_use *use) {
    unsigned class = use->field < 0 ? WI_CLASS_NONE : info->field[use->field].class;
    bool pointer = class == WI_CLASS_P || (use->field < 0 && use->reg == WI_REG_SP);
    return !use->write && ((info->slot == WI_SLOT_MV && class == WI_CLASS_S) ||
                           (info->timing == WI_TIMING_FREE && pointer));
}

/* One operand of a class: all operations of the class have it at the same stage. */
struct operand {
    unsigned timing;
    char letter; /* 0: implied */
    uint8_t reg, part, stage, bypass;
    bool write;
};

static struct operand operand_of(const struct wi_isa_info *info, const struct wi_isa_use *use) {
    bool implied = use->field < 0;
    return (struct operand){info->timing,
                            implied ? 0 : info->field[use->field].letter,
                            implied ? use->reg : 0,
                            use->part,
                            use->stage,
                            use->bypass,
                            use->write};
}

static bool same(const struct operand *a, const struct operand *b) {
    return a->timing == b->timing && a->letter == b->letter && a->reg == b->reg &&
           a->part == b->part && a->write == b->write;
}

/* Give the operand another stage and bypass in all operations of its class. */
static void mutate(const struct operand *o, int stage, unsigned bypass) {
    for (unsigned id = 1; id < WI_N_OPS; id++)
        for (int i = 0; i < ops[id].n_uses; i++) {
            struct operand this = operand_of(&ops[id], &ops[id].use[i]);
            if (!same(&this, o))
                continue;
            ops[id].use[i].stage = (uint8_t)stage;
            ops[id].use[i].bypass = (uint8_t)(ops[id].use[i].bypass ? bypass : 0);
        }
}

static int operands(struct operand list[256]) {
    int n = 0;
    for (unsigned id = 1; id < WI_N_OPS; id++)
        for (int i = 0; i < ops[id].n_uses && ops[id].semantics != WI_SEM_NONE; i++) {
            struct operand o = operand_of(&ops[id], &ops[id].use[i]);
            bool known = is_left_out(&ops[id].use[i]) || nobody_can_tell(&ops[id], &ops[id].use[i]);
            for (int k = 0; k < n; k++)
                if (same(&list[k], &o)) {
                    known = true;
                    list[k].bypass |= o.bypass;
                }
            assert_true(n < 256);
            if (!known)
                list[n++] = o;
        }
    return n;
}

static bool notices(const struct operand *o, int stage, unsigned bypass) {
    static struct wi_isa_info saved[WI_N_OPS];
    char what[64];
    memcpy(saved, ops, sizeof ops);
    mutate(o, stage, bypass);
    const char *row = caught(o->timing);
    memcpy(ops, saved, sizeof ops);
    snprintf(what, sizeof what, "%s %s%c%s", wi_isa_timing_info(o->timing)->name,
             o->write ? "result " : "source ", o->letter ? o->letter : ' ',
             o->letter ? "" : wi_isa_reg_info(o->reg)->name);
    if (!row)
        print_error("%s, stage %d for %d, bypass %u for %u: not noticed\n", what, stage, o->stage,
                    bypass, o->bypass);
    return row;
}

static void a_changed_stage_is_noticed(void **state) {
    (void)state;
    static struct operand list[256];
    int n = operands(list), missed = 0, tried = 0;
    for (int i = 0; i < n; i++)
        for (int by = -1; by <= 1; by++) {
            if (by == 0 ? list[i].bypass == 0 : list[i].stage + by < 1)
                continue;
            tried++;
            missed += !notices(&list[i], list[i].stage + by, by ? list[i].bypass : 0);
        }
    print_message("%d operands, %d changes, %d not noticed\n", n, tried, missed);
    assert_int_equal(missed, 0);
}

static void a_changed_memory_stage_is_noticed(void **state) {
    (void)state;
    int missed = 0;
    for (unsigned t = 0; t < WI_N_TIMINGS; t++)
        for (int i = 0; i < 2; i++)
            for (int by = -1; by <= 1; by += 2) {
                uint8_t *stage = &timings[t].info.mem_stage[i], was = *stage;
                const char *name = timings[t].info.name;
                if (!was || strcmp(name, "LDATM") == 0 || strcmp(name, "STTM") == 0 ||
                    strcmp(name, "LDBFILL") == 0)
                    continue;
                *stage = (uint8_t)(was + by);
                if (!caught(t))
                    missed++, print_error("%s: memory at %d: not noticed\n", name, *stage);
                *stage = was;
            }
    assert_int_equal(missed, 0);
}

#define TIMED(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
WISP_SUITE(TIMED(latencies), TIMED(a_changed_stage_is_noticed),
           TIMED(a_changed_memory_stage_is_noticed))

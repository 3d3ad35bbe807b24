/* Bundles to and from bytes and text: outside vectors, every instruction with random operands,
 * every format, bits that mean nothing, bytes that are no bundle. */
#include "unit/suite.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "npu/isa/isa.h"

/* ------------------------------------------------------------------ helpers */

static uint64_t rng = 1;

static uint32_t random32(void) {
    rng = rng * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(rng >> 33) ^ (uint32_t)(rng >> 13);
}

static const char *text_of(const struct wi_isa_bundle *b) {
    static char text[WI_ISA_MAX_TEXT];
    int n = wi_isa_print(b, NULL, text, sizeof text);
    assert_true(n > 0 && n < (int)sizeof text);
    return text;
}

static size_t parse_hex(const char *hex, uint8_t *bytes) {
    size_t n = strlen(hex) / 2;
    for (size_t i = 0; i < n; i++) {
        char two[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        bytes[i] = (uint8_t)strtoul(two, NULL, 16);
    }
    return n;
}

/* A random operation of instruction `id`. */
static struct wi_isa_op random_op(unsigned id) {
    const struct wi_isa_info *info = wi_isa_info(id);
    struct wi_isa_op op = {.id = (uint16_t)id};
    for (int i = 0; i < info->n_fields; i++) {
        const struct wi_isa_field *f = &info->field[i];
        int64_t min, max;
        wi_isa_imm_range(f, &min, &max);
        do
            op.v[i] =
                f->class ? (int32_t)wi_isa_class_reg(f->class, random32() & ((1u << f->width) - 1))
                         : (int32_t)(min + (int64_t)(random32() % (1ull << f->width)) * f->scale);
        while (f->class && !op.v[i]);
    }
    return op;
}

/* An instruction of that slot, now and then its NOP. */
static unsigned random_id(unsigned slot) {
    for (;;) {
        unsigned id = random32() % WI_N_OPS;
        if (id == WI_OP_NOP || wi_isa_info(id)->slot == slot)
            return id;
    }
}

static struct wi_isa_bundle random_bundle(unsigned format) {
    const struct wi_isa_format_info *f = wi_isa_format_info(format);
    struct wi_isa_bundle b = {.size = f->bytes, .format = (uint8_t)format};
    for (int i = 0; i < f->n_slots; i++)
        b.op[f->order[i]] = random_op(random_id(f->order[i]));
    return b;
}

/* The smallest bundle that holds nothing but `op`. */
static struct wi_isa_bundle bundle_of(struct wi_isa_op op) {
    enum wi_slot slot = wi_isa_info(op.id)->slot;
    int format = wi_isa_format_for(1u << slot, 0);
    assert_true(format >= 0);
    struct wi_isa_bundle b = {.size = wi_isa_format_info((unsigned)format)->bytes,
                              .format = (uint8_t)format};
    b.op[slot] = op;
    return b;
}

/* bundle -> bytes -> the same bundle -> the same bytes */
static void check_round_trip(const struct wi_isa_bundle *b, uint8_t bytes[WI_ISA_MAX_BYTES]) {
    struct wi_isa_bundle back;
    uint8_t again[WI_ISA_MAX_BYTES];
    int n = wi_isa_pack(b, bytes);
    if (n != b->size || wi_isa_size(bytes[0]) != n || wi_isa_unpack(&back, bytes, (size_t)n) != n ||
        memcmp(b, &back, sizeof back) != 0 || wi_isa_pack(&back, again) != n ||
        memcmp(bytes, again, (size_t)n) != 0)
        fail_msg("no round trip: %s", text_of(b));
}

/* ------------------------------------------------------------------ tests */

static void test_vectors(void **state) {
    FILE *f = fopen(WISP_TEST_DATA "/aie2-vectors.tsv", "r");
    char line[512];
    int n = 0;
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        char source, hex[40], format[40], text[320];
        uint8_t bytes[WI_ISA_MAX_BYTES + 4], packed[WI_ISA_MAX_BYTES];
        if (line[0] == '#' ||
            sscanf(line, "%c\t%39[0-9a-f]\t%39[^\t]\t%319[^\n]", &source, hex, format, text) != 4)
            continue;
        size_t size = parse_hex(hex, bytes);
        struct wi_isa_bundle b;
        assert_int_equal(wi_isa_unpack(&b, bytes, size), size);
        assert_string_equal(wi_isa_format_info(b.format)->name, format);
        assert_string_equal(text_of(&b), text);
        assert_false(b.stray);
        assert_int_equal(wi_isa_pack(&b, packed), size);
        assert_memory_equal(packed, bytes, size);
        n++;
    }
    fclose(f);
    assert_int_equal(n, 788);
}

/* An instruction is marked VECTOR when an outside tool made one of the vectors with it, and only
 * then. */
static void test_vector_marks(void **state) {
    static bool seen[WI_N_OPS];
    FILE *f = fopen(WISP_TEST_DATA "/aie2-vectors.tsv", "r");
    char line[512];
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        char source, hex[40];
        uint8_t bytes[WI_ISA_MAX_BYTES + 4];
        struct wi_isa_bundle b;
        if (sscanf(line, "%c\t%39[0-9a-f]\t", &source, hex) != 2 || !strchr("UIVM", source))
            continue;
        assert_true(wi_isa_unpack(&b, bytes, parse_hex(hex, bytes)) > 0);
        for (int slot = 0; slot < WI_N_SLOTS; slot++)
            seen[b.op[slot].id] = true;
    }
    fclose(f);
    for (unsigned id = 1; id < WI_N_OPS; id++)
        if (seen[id] != (wi_isa_info(id)->encoding == WI_ENC_VECTOR))
            fail_msg("%s", wi_isa_info(id)->name);
}

/* The NOP bundles that compilers write. */
static void test_nops(void **state) {
    static const struct {
        const char *hex, *text;
    } nops[] = {
        {"0100", "nop"},
        {"19000010", "nopx"},
        {"150000000000", "nopxm"},
        {"0380030000000000", "nops; nopm"},
        {"bb8e0300000000000000", "nopa; nopb; nopm"},
        {"378803000000000000000000", "nops; nopb; nopx; nopm"},
        {"2f78000038004000000000000000", "nopa; nops; nopm; nopv"},
        {"c0030000000000000000000000000000", "nopb; nopa; nops; nopxm; nopv"},
    };
    for (size_t i = 0; i < sizeof nops / sizeof *nops; i++) {
        uint8_t bytes[WI_ISA_MAX_BYTES], packed[WI_ISA_MAX_BYTES];
        size_t size = parse_hex(nops[i].hex, bytes);
        struct wi_isa_bundle b, zeros = {.size = (uint8_t)size};
        assert_int_equal(wi_isa_unpack(&b, bytes, size), size);
        assert_string_equal(text_of(&b), nops[i].text);
        zeros.format = b.format; /* all zeros is all NOPs */
        assert_int_equal(wi_isa_pack(&zeros, packed), size);
        assert_memory_equal(packed, bytes, size);
    }
}

static void test_every_instruction(void **state) {
    uint8_t bytes[WI_ISA_MAX_BYTES];
    for (unsigned id = 1; id < WI_N_OPS; id++)
        for (int i = 0; i < 400; i++) {
            struct wi_isa_bundle b = bundle_of(random_op(id));
            check_round_trip(&b, bytes);
        }
}

static void test_every_format(void **state) {
    uint8_t bytes[WI_ISA_MAX_BYTES];
    for (unsigned format = 0; format < WI_N_FORMATS; format++)
        for (int i = 0; i < 400; i++) {
            struct wi_isa_bundle b = random_bundle(format);
            check_round_trip(&b, bytes);
        }
}

/* Whatever can be decoded gives the same bytes again, but for bits that mean nothing. */
static void test_random_bytes(void **state) {
    int decoded = 0, strays = 0, unknown = 0;
    for (int i = 0; i < 400000; i++) {
        uint8_t bytes[WI_ISA_MAX_BYTES], packed[WI_ISA_MAX_BYTES];
        struct wi_isa_bundle b, again;
        for (int k = 0; k < WI_ISA_MAX_BYTES; k++)
            bytes[k] = (uint8_t)random32();
        int n = wi_isa_unpack(&b, bytes, sizeof bytes);
        assert_int_equal(b.size, wi_isa_size(bytes[0]));
        if (n == WI_ISA_UNKNOWN) {
            unknown++;
            continue;
        }
        decoded++;
        assert_int_equal(n, b.size);
        assert_int_equal(wi_isa_pack(&b, packed), n);
        bool same = memcmp(bytes, packed, (size_t)n) == 0;
        assert_int_equal(same, !b.stray);
        strays += b.stray;
        assert_int_equal(wi_isa_unpack(&again, packed, (size_t)n), n);
        again.stray = b.stray;
        assert_memory_equal(&again, &b, sizeof b);
    }
    assert_true(decoded > 10000 && strays > 1000 && unknown > 10000);
}

/* Each filler bit of each format and each don't-care bit of each instruction is noticed, and
 * changes nothing else. */
static void check_stray(const struct wi_isa_bundle *b, int bit) {
    uint8_t bytes[WI_ISA_MAX_BYTES];
    struct wi_isa_bundle back;
    assert_int_equal(wi_isa_pack(b, bytes), b->size);
    bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    assert_int_equal(wi_isa_unpack(&back, bytes, b->size), b->size);
    assert_true(back.stray);
    back.stray = false;
    assert_memory_equal(b, &back, sizeof back);
}

static void test_stray_bits(void **state) {
    int n = 0;
    for (unsigned format = 0; format < WI_N_FORMATS; format++)
        for (int bit = 0; bit < 128; bit++)
            if (wi_isa_format_info(format)->filler[bit / 64] >> bit % 64 & 1) {
                struct wi_isa_bundle b = random_bundle(format);
                check_stray(&b, bit);
                n++;
            }
    for (unsigned id = 1; id < WI_N_OPS; id++)
        for (int bit = 0; bit < 42; bit++)
            if (wi_isa_info(id)->ignored >> bit & 1) {
                struct wi_isa_bundle b = bundle_of(random_op(id));
                check_stray(&b, bit + wi_isa_format_info(b.format)->lsb[wi_isa_info(id)->slot]);
                n++;
            }
    assert_true(n > 300);
}

static void test_truncated(void **state) {
    for (unsigned format = 0; format < WI_N_FORMATS; format++) {
        struct wi_isa_bundle b = random_bundle(format), back;
        uint8_t bytes[WI_ISA_MAX_BYTES];
        int size = wi_isa_pack(&b, bytes);
        for (int n = 0; n < size; n++) {
            uint8_t *exact =
                malloc((size_t)n + !n); /* reading past its end is an error of its own */
            memcpy(exact, bytes, (size_t)n);
            assert_int_equal(wi_isa_unpack(&back, exact, (size_t)n), WI_ISA_TRUNCATED);
            assert_int_equal(back.size, n ? size : 0);
            free(exact);
        }
    }
}

/* What no bytes stand for is refused. */
static void test_unpackable(void **state) {
    uint8_t bytes[WI_ISA_MAX_BYTES];
    struct wi_isa_op add = {WI_OP_ADD, {WI_REG_R, WI_REG_R + 1, WI_REG_R + 31}};
    struct wi_isa_bundle good = bundle_of(add), b = good;
    assert_int_equal(wi_isa_pack(&b, bytes), 4);
    b.op[WI_SLOT_ALU].v[2] = WI_REG_P; /* not of the class */
    assert_int_equal(wi_isa_pack(&b, bytes), 0);
    b.op[WI_SLOT_ALU].v[2] = 0;
    assert_int_equal(wi_isa_pack(&b, bytes), 0);
    b.op[WI_SLOT_ALU].v[2] = -1;
    assert_int_equal(wi_isa_pack(&b, bytes), 0);
    b = good;
    b.op[WI_SLOT_MV] = add; /* a slot that is not there */
    assert_int_equal(wi_isa_pack(&b, bytes), 0);
    b = good;
    b.op[WI_SLOT_ALU].id = WI_OP_VADD_8; /* another slot's */
    assert_int_equal(wi_isa_pack(&b, bytes), 0);
    b = good;
    b.format = WI_N_FORMATS;
    assert_int_equal(wi_isa_pack(&b, bytes), 0);
    b = bundle_of((struct wi_isa_op){WI_OP_ADD_IMM, {WI_REG_R, WI_REG_R, 63}});
    assert_int_equal(wi_isa_pack(&b, bytes), 4);
    b.op[WI_SLOT_ALU].v[2] = 64;
    assert_int_equal(wi_isa_pack(&b, bytes), 0);
    assert_true(wi_isa_fits(WI_OP_VLDA_SP, 1, -32) && !wi_isa_fits(WI_OP_VLDA_SP, 1, 0) &&
                !wi_isa_fits(WI_OP_VLDA_SP, 1, -33));
}

static void test_formats(void **state) {
    enum {
        LDA = 1 << WI_SLOT_LDA,
        ALU = 1 << WI_SLOT_ALU,
        MV = 1 << WI_SLOT_MV,
        LNG = 1 << WI_SLOT_LNG
    };
    static const int sizes[] = {2, 4, 6, 8, 10, 12, 14, 16};
    assert_int_equal(wi_isa_format_for(0, 0), WI_FORMAT_I16_NOP);
    assert_int_equal(wi_isa_format_for(LDA, 0), WI_FORMAT_I32_LDA);
    assert_int_equal(wi_isa_format_for(LNG | ALU, 0), -1);
    assert_int_equal(wi_isa_format_for(0, 17), -1);
    assert_int_equal(wi_isa_format_exact(LDA | ALU), WI_FORMAT_I48_LDA_ALU);
    assert_int_equal(wi_isa_format_exact(LNG | MV), -1);
    for (unsigned slots = 0; slots < 128;
         slots++) /* any set without LNG fits 16 bytes; with it ALU and MV must not be there */
        for (int i = 0; i < 8; i++) {
            int format = wi_isa_format_for(slots, sizes[i]);
            bool possible = !((slots & LNG) && (slots & (ALU | MV)));
            assert_int_equal(format >= 0, possible);
            assert_true(!possible || wi_isa_format_info((unsigned)format)->bytes >= sizes[i]);
        }
}

static void test_find(void **state) {
    unsigned id = wi_isa_find("vmov", 4, 0), n = 0;
    for (; id; id = wi_isa_find("vmov", 4, id), n++)
        assert_int_equal(strncmp(wi_isa_info(id)->text, "vmov ", 5), 0);
    assert_int_equal(n, 5); /* cm, w, x, from SCD, to MCD */
    assert_int_equal(wi_isa_find("ret", 3, 0), WI_OP_RET);
    assert_int_equal(wi_isa_find("vmo", 3, 0), 0);
    for (unsigned i = 1; i < WI_N_OPS; i++) {
        const char *text = wi_isa_info(i)->text;
        assert_int_equal(wi_isa_find(text, strcspn(text, " "), i - 1), i);
    }
    for (unsigned reg = 1; reg < WI_N_REGS; reg++) {
        const char *name = wi_isa_reg_info(reg)->name;
        assert_int_equal(wi_isa_reg_find(name, strlen(name)), reg);
    }
    assert_int_equal(wi_isa_reg_find("r32", 3), WI_REG_NONE);
    assert_int_equal(wi_isa_reg_find("", 0), WI_REG_NONE);
    assert_int_equal(wi_isa_reg_find("r3x", 2), WI_REG_R + 3);
}

static bool name_64(const void *user, uint32_t address, char *buf, size_t size) {
    if (address == 64)
        snprintf(buf, size, "%s", (const char *)user);
    return address == 64;
}

static void test_labels(void **state) {
    struct wi_isa_labels labels = {name_64, "loop"};
    char text[80];
    struct wi_isa_op jump = {WI_OP_JNZ, {WI_REG_R + 3, 64}}, le = {WI_OP_MOVXM, {WI_REG_LE, 64}},
                     r0 = {WI_OP_MOVXM, {WI_REG_R, 64}};
    wi_isa_print_op(&jump, WI_SLOT_LNG, &labels, text, sizeof text);
    assert_string_equal(text, "jnz r3, #loop");
    wi_isa_print_op(&le, WI_SLOT_LNG, &labels, text, sizeof text);
    assert_string_equal(text, "movxm LE, #loop");
    wi_isa_print_op(&r0, WI_SLOT_LNG, &labels, text, sizeof text);
    assert_string_equal(text, "movxm r0, #64");
    assert_int_equal(wi_isa_print_op(&jump, WI_SLOT_LNG, &labels, text, 4), 13);
    assert_string_equal(text, "jnz");
    assert_int_equal(wi_isa_print_op(&jump, WI_SLOT_LNG, &labels, NULL, 0), 13);
}

WISP_SUITE(cmocka_unit_test(test_vectors), cmocka_unit_test(test_vector_marks),
           cmocka_unit_test(test_nops), cmocka_unit_test(test_every_instruction),
           cmocka_unit_test(test_every_format), cmocka_unit_test(test_random_bytes),
           cmocka_unit_test(test_stray_bits), cmocka_unit_test(test_truncated),
           cmocka_unit_test(test_unpackable), cmocka_unit_test(test_formats),
           cmocka_unit_test(test_find), cmocka_unit_test(test_labels))

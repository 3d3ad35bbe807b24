/* Text of operations, bundles and programs; ELF files read and written, and broken in every way. */
#include "unit/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <wisp/wisp_npu.h>

#include "npu/asm/elf.h"
#include "npu/asm/parse.h"
#include "npu/asm/text.h"

/* ------------------------------------------------------------------ operations */

static uint64_t rng = 7;

static uint32_t random32(void) {
    rng = rng * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(rng >> 33) ^ (uint32_t)(rng >> 13);
}

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

/* The text of every instruction with random operands is that instruction again, and no other. */
static void test_every_instruction(void **state) {
    for (unsigned id = 1; id < WI_N_OPS; id++)
        for (int i = 0; i < 100; i++) {
            struct wi_isa_op op = random_op(id), back;
            enum wi_slot slot = wi_isa_info(id)->slot, slot_back;
            struct wi_asm_ref ref;
            struct wisp_error err = {0};
            char text[160];
            int n = wi_isa_print_op(&op, slot, NULL, text, sizeof text);
            int rc = wi_asm_parse_op(&back, &slot_back, &ref, text, (size_t)n, &err);
            if (rc != WISP_OK || slot_back != slot || ref.name ||
                memcmp(&op, &back, sizeof op) != 0)
                fail_msg("%s: '%s': %s", wi_isa_info(id)->name, text, err.text);
        }
}

static void test_vectors(void **state) {
    FILE *f = fopen(WISP_TEST_DATA "/aie2-vectors.tsv", "r");
    char line[512];
    int n = 0;
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        char source, hex[40], format[40], text[320], got[40] = "";
        struct wi_isa_bundle b;
        struct wi_asm_ref ref;
        struct wisp_error err = {0};
        uint8_t bytes[WI_ISA_MAX_BYTES];
        if (line[0] == '#' ||
            sscanf(line, "%c\t%39[0-9a-f]\t%39[^\t]\t%319[^\n]", &source, hex, format, text) != 4)
            continue;
        assert_int_equal(wi_asm_parse_bundle(&b, &ref, text, strlen(text), &err), WISP_OK);
        int size = wi_isa_pack(&b, bytes);
        for (int i = 0; i < size; i++)
            snprintf(got + 2 * i, 3, "%02x", bytes[i]);
        assert_string_equal(got, hex);
        n++;
    }
    fclose(f);
    assert_int_equal(n, 788);
}

/* ------------------------------------------------------------------ programs */

/* Assemble; NULL in `reason` expects success, else an error that contains it. */
static struct wisp_npu_program *assemble(const char *text, const char *reason) {
    struct wisp_npu_program *program;
    struct wisp_error err = {0};
    int rc = wisp_npu_assemble(&program, text, strlen(text), "x.s", &err);
    if (reason) {
        assert_int_equal(rc, WISP_E_FORMAT);
        assert_null(program);
        if (!strstr(err.text, reason))
            fail_msg("'%s' does not contain '%s'", err.text, reason);
    } else if (rc != WISP_OK) {
        fail_msg("%s", err.text);
    }
    return program;
}

static char *text_of(const struct wisp_npu_program *program, bool plain) {
    char *text;
    size_t size;
    assert_int_equal(wisp_npu_disassemble(program, plain, &text, &size, NULL), WISP_OK);
    assert_int_equal(strlen(text), size);
    return text;
}

/* The text of `program` must be `expected`. */
static void expect_text(struct wisp_npu_program *program, bool plain, const char *expected) {
    char *text = text_of(program, plain);
    assert_string_equal(text, expected);
    wisp_npu_free(text);
}

static void test_errors(void **state) {
    static const char *const cases[][2] = {
        {"bar r0", "x.s:1: there is no instruction 'bar'"},
        {"nopx\n\n add r0, r32, r1", "x.s:3: add: 'r32' is no register"},
        {"add p0, r0, r1", "p0 cannot stand here"},
        {"add r0, r1, #64", "64 is not in -64..63"},
        {"add r0, r1, #-65", "-65 is not in -64..63"},
        {"lda r0, [p0, #2]", "2 is no multiple of 4"},
        {"vlda wl0, [sp, #0]", "0 is not in -"},
        {"movxm r0, #0x1ffffffff", "is not in"},
        {"j #1048576", "is not in 0..1048575"},
        {"movxm r0, #99999999999999999999", "is no number"},
        {"add r0, r1", "',' is missing"},
        {"add r0, r1, r2, r3", "is too much"},
        {"vaddmac cm1, cm0, cm0, x1, x2, r0", "must be the same"},
        {"nopx; add r0, r0, r0", "two operations for slot alu"},
        {"nopx; nopxm", "cannot stand in one bundle"},
        {"nopa; nops; nopx; nopm; nopv", "needs NOPs for ldb"},
        {"nopx;", "there is no instruction"},
        {"jl #nowhere", "there is no label 'nowhere'"},
        {"a:\nnop\na:", "x.s:3: label 'a' is there since line 1"},
        {"a:\nnop\n.label a, 1", "x.s:3: label 'a' is there since line 1"},
        {".section x, 0, code\na:\nnop\n.section y, 4, code\na:\nnop",
         "x.s:5: label 'a' is there since line 2"},
        {".label a, 3\nnop", "x.s:1: label 'a' is outside of its section"},
        {".label a", "'.label NAME, ADDRESS'"},
        {".byte 256", "'256' is no byte"},
        {".byte 1,", "'' is no byte"},
        {".zero x", "'x' is no number"},
        {".zero 4 4", "'4' is too much"},
        {".frob", "no directive '.frob'"},
        {".section .text, 0, junk", "a section is written"},
        {"nop\n.section .text, 0, code", "before the first bytes"},
        {"0: 19180010 nopx", "the text gives 19000010"},
        {"0: 1918 nopx", "the text gives 19000010"},
        {"0: 19180010 .byte 0x19", "the text gives 19"},
        {"0: 150100000000 jl #a\n6: 0100 nop\na:", "x.s:1: the text gives 1501000"},
        {"0: nopx\n8: nopx", "x.s:2: this is at 0x4, not at 0x8"},
        {".section .text, 0x100, code\n0: nopx", "this is at 0x100"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assemble(cases[i][0], cases[i][1]);
}

static void test_nul(void **state) {
    struct wisp_npu_program *program;
    struct wisp_error err;
    assert_int_equal(wisp_npu_assemble(&program, "nop\0", 4, "x.s", &err), WISP_E_FORMAT);
    assert_non_null(strstr(err.text, "x.s:1: a NUL byte"));
}

/* Comments, white space, order of slots, numbers in both forms, a line without its end. */
static void test_spelling(void **state) {
    struct wisp_npu_program *program =
        assemble("\t// nothing\r\n  nopm ;\tnopa;nopb // c\r\n\nmovxm  r0 , # 0xffffffff\nmovxm "
                 "r1, #-0x10\nadd.nc LC,r0,#0",
                 NULL);
    expect_text(program, true,
                "nopa; nopb; nopm\nmovxm r0, #-1\nmovxm r1, #-16\nadd.nc LC, r0, #0\n");
    wisp_npu_program_close(&program);
}

static void test_labels(void **state) {
    struct wisp_npu_program *program =
        assemble(".section .text, 0x20, code\n"
                 "start:\nmovxm LE, #end\njz r0, #.Lx\nnop\nend:\nnop\n.Lx:\njl #start\n",
                 NULL);
    expect_text(program, false,
                ".section .text, 0x20, code\n"
                "start:\n"
                "    20: 555ce0080000                      movxm LE, #end\n"
                "    26: 950100180000                      jz r0, #.Lx\n"
                "    2c: 0100                              nop\n"
                "end:\n"
                "    2e: 0100                              nop\n"
                ".Lx:\n"
                "    30: 150100100000                      jl #start\n");
    wisp_npu_program_close(&program);
}

/* What is no bundle, or one that no text can say. */
static void test_bytes(void **state) {
    static const uint8_t bytes[] = {
        0x01, 0x00,             /* nop */
        0x11, 0x00,             /* nop with a filler bit */
        0x19, 0x00, 0x00, 0x70, /* no format */
        0x19, 0x18, 0x00, 0x10, /* ret lr */
        0x00, 0x01, 0x02        /* cut short */
    };
    struct wisp_npu_load_params params = {.raw = true, .base = 0x40};
    struct wisp_npu_program *program;
    assert_int_equal(wisp_npu_load(&program, bytes, sizeof bytes, &params, NULL), WISP_OK);
    expect_text(program, true,
                "nop\n"
                ".byte 0x11, 0x00 // nop, and bits set that mean nothing\n"
                ".byte 0x19, 0x00, 0x00, 0x70 // no bundle\n"
                "ret lr\n"
                ".byte 0x00, 0x01, 0x02 // cut short\n");
    for (int plain = 0; plain < 2; plain++) {
        char *text = text_of(program, plain);
        struct wisp_npu_program *again = assemble(text, NULL);
        uint8_t *back;
        size_t size;
        assert_int_equal(wisp_npu_program_bytes(again, false, &back, &size, NULL), WISP_OK);
        assert_int_equal(size, sizeof bytes);
        assert_memory_equal(back, bytes, size);
        struct wisp_npu_section s;
        assert_true(wisp_npu_program_section(again, 0, &s));
        assert_int_equal(s.address, plain ? 0 : 0x40); /* the listing's addresses say it */
        wisp_npu_free(back);
        wisp_npu_free(text);
        wisp_npu_program_close(&again);
    }
    wisp_npu_program_close(&program);
}

/* ------------------------------------------------------------------ ELF */

static const char program_text[] = ".entry 0x10\n"
                                   ".section .text, 0x10, code\n"
                                   "main:\n"
                                   "jl #work\nnop\nnop\nnop\nnop\nnop\ndone\n"
                                   ".section .text.work, 0x100, code\n"
                                   "work:\n"
                                   "ret lr\nnop\nnop\nnop\nnop\nnop\n"
                                   "last:\n"
                                   ".section .data, 0x70000, data\n"
                                   "table:\n"
                                   ".byte 0x01, 0x02, 0x03\n"
                                   "zeros:\n"
                                   ".zero 64\n"
                                   ".byte 0x04\n"
                                   "end:\n";

static uint8_t *elf_of(const char *text, size_t *size) {
    struct wisp_npu_program *program = assemble(text, NULL);
    uint8_t *bytes;
    assert_int_equal(wisp_npu_program_bytes(program, true, &bytes, size, NULL), WISP_OK);
    wisp_npu_program_close(&program);
    return bytes;
}

static void test_elf(void **state) {
    size_t size;
    uint8_t *bytes = elf_of(program_text, &size);
    struct wisp_npu_program *program;
    assert_int_equal(wisp_npu_load(&program, bytes, size, NULL, NULL), WISP_OK);
    expect_text(program, true, program_text);
    wisp_npu_free(bytes);
    /* raw: both code sections in their places */
    assert_int_equal(wisp_npu_program_bytes(program, false, &bytes, &size, NULL), WISP_OK);
    assert_int_equal(size, 0x100 - 0x10 + 14);
    assert_memory_equal(bytes, "\x15\x01\x00\x80\x00\x00\x01\x00", 8);
    assert_memory_equal(bytes + 0xf0, "\x19\x18\x00\x10\x01\x00", 6);
    assert_int_equal(bytes[0xef], 0);
    wisp_npu_free(bytes);
    wisp_npu_program_close(&program);
}

/* Object files: sections overlap, addresses are not final and get no names. */
static void test_object(void **state) {
    static const char text[] =
        ".object\n.section .text.a, 0x0, code\na:\njl #0\n.section .text.b, 0x0, code\nb:\nnop\n";
    size_t size;
    uint8_t *bytes = elf_of(text, &size);
    struct wisp_npu_program *program;
    assert_int_equal(wisp_npu_load(&program, bytes, size, NULL, NULL), WISP_OK);
    expect_text(program, true, text);
    wisp_npu_free(bytes);
    assert_int_equal(wisp_npu_program_bytes(program, false, &bytes, &size, NULL), WISP_OK);
    assert_int_equal(size, 8);
    assert_memory_equal(bytes, "\x15\x01\x00\x00\x00\x00\x01\x00", 8);
    wisp_npu_free(bytes);
    wisp_npu_program_close(&program);
}

/* Instructions that nothing outside proves are named, and the text stays the same program. */
static void test_proof(void **state) {
    struct wisp_npu_program *program =
        assemble("nops; vlt.d16 r16, x0, x1\nnopx\nvldb.compr.fill [p0]\n", NULL);
    char *text;
    size_t size;
    assert_int_equal(
        wisp_npu_disassemble(program, WISP_NPU_PLAIN | WISP_NPU_PROOF, &text, &size, NULL),
        WISP_OK);
    assert_string_equal(
        text, "nops; vlt.d16 r16, x0, x1 // VLT_D16: UNPROVEN encoding\nnopx\n"
              "vldb.compr.fill [p0] // VLDB_COMPR_FILL: UNPROVEN encoding, meaning unknown\n");
    wisp_npu_program_close(&program);
    program = assemble(text, NULL);
    wisp_npu_free(text);
    wisp_npu_program_close(&program);
}

/* Branch targets without a symbol get a name, unless no bundle begins there. */
static void test_targets(void **state) {
    struct wisp_npu_program *program =
        assemble(".section .text, 0x0, code\nj #8\nnop\nnop\njz r0, #2\njnz r1, #0x1000\n", NULL);
    expect_text(program, true,
                ".section .text, 0x0, code\nj #.L8\nnop\n.L8:\nnop\njz r0, #2\njnz r1, #4096\n");
    wisp_npu_program_close(&program);
    /* sections that overlap: one name, one address, two lines */
    static const char overlapping[] = ".section a, 0x0, code\nj #.L6\n.L6:\nnop\n"
                                      ".section b, 0x0, code\nj #.L6\n.L6:\nnopx\n";
    program = assemble(overlapping, NULL);
    expect_text(program, true, overlapping);
    wisp_npu_program_close(&program);
}

/* Without section headers the segments count; symbols are lost with them. */
static void test_segments(void **state) {
    size_t size;
    uint8_t *bytes = elf_of(program_text, &size);
    struct wisp_npu_program *program;
    struct wisp_npu_section s;
    memset(bytes + 32, 0, 4); /* e_shoff */
    memset(bytes + 48, 0, 4); /* e_shnum, e_shstrndx */
    assert_int_equal(wisp_npu_load(&program, bytes, size, NULL, NULL), WISP_OK);
    assert_true(wisp_npu_program_section(program, 1, &s));
    assert_true(s.code && s.address == 0x100 && s.size == 14);
    assert_true(wisp_npu_program_section(program, 2, &s));
    assert_true(!s.code && s.address == 0x70000 && s.size == 68 && s.bytes[67] == 4);
    assert_false(wisp_npu_program_section(program, 3, &s));
    wisp_npu_program_close(&program);
    wisp_npu_free(bytes);
}

static void expect_refused(const uint8_t *bytes, size_t size, const char *reason) {
    struct wisp_npu_program *program;
    struct wisp_error err = {0};
    int rc = wisp_npu_load(&program, bytes, size, NULL, &err);
    assert_true(rc == WISP_E_FORMAT || rc == WISP_E_UNSUPPORTED);
    assert_null(program);
    if (!strstr(err.text, reason))
        fail_msg("'%s' does not contain '%s'", err.text, reason);
}

static void test_refused(void **state) {
    size_t size;
    uint8_t *good = elf_of(program_text, &size), *bytes = malloc(size);
    static const struct {
        size_t at;
        uint8_t value;
        const char *reason;
    } changes[] = {
        {0, 0, "not an ELF file"},     {4, 2, "32-bit"},
        {5, 2, "little-endian"},       {18, 0x3e, "machine 0x13e"},
        {36, 1, "another generation"}, {16, 3, "neither program nor object"},
        {34, 0xff, "section headers"}, {46, 41, "section headers"},
        {30, 0xff, "program headers"},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        memcpy(bytes, good, size);
        bytes[changes[i].at] = changes[i].value;
        expect_refused(bytes, size, changes[i].reason);
    }
    expect_refused((const uint8_t *)"", 0, "not an ELF file");
    free(bytes);
    wisp_npu_free(good);
}

/* Every length of a cut file, and every byte of it changed: refused or read, never more than is
 * there. */
static void test_broken_files(void **state) {
    size_t size;
    uint8_t *good = elf_of(program_text, &size);
    for (size_t n = 0; n < size; n++) {
        uint8_t *exact = malloc(n + !n);
        memcpy(exact, good, n);
        expect_refused(exact, n, "ELF file");
        free(exact);
    }
    for (size_t i = 0; i < size; i++)
        for (int bit = 0; bit < 8; bit++) {
            struct wisp_npu_program *program;
            uint8_t *exact = malloc(size);
            memcpy(exact, good, size);
            exact[i] ^= (uint8_t)(1 << bit);
            if (wisp_npu_load(&program, exact, size, NULL, NULL) == WISP_OK) {
                struct wisp_npu_program *again;
                char *text = text_of(program, bit & 1);
                again = assemble(text, NULL);
                wisp_npu_free(text);
                wisp_npu_program_close(&again);
            }
            wisp_npu_program_close(&program);
            free(exact);
        }
    wisp_npu_free(good);
}

/* Two symbols of one name, and a name that is no word of the text. */
static void test_symbol_names(void **state) {
    struct wi_asm_prog prog;
    struct wi_strbuf elf;
    struct wisp_npu_program *program;
    wi_asm_prog_init(&prog);
    wi_strbuf_init(&elf);
    wi_asm_prog_add_section(&prog, "my code", 0, true, NULL);
    wi_strbuf_add(&prog.sections[0].bytes, "\x01\0\x01\0\x01\0\x01\0", 8);
    wi_asm_prog_add_label(&prog, "f", 0, 0, NULL);
    wi_asm_prog_add_label(&prog, "f", 0, 2, NULL);
    wi_asm_prog_add_label(&prog, "operator()", 0, 4, NULL);
    wi_asm_prog_add_label(&prog, "f_end", 0, 5, NULL);
    wi_asm_prog_add_label(&prog, ".M0", 0, 6, NULL);
    assert_int_equal(wi_elf_write(&prog, &elf, NULL), WISP_OK);
    for (size_t i = 0; i + 4 < elf.len; i++) /* the writer leaves .L0 out, others need not */
        if (memcmp(elf.data + i, ".M0", 4) == 0)
            elf.data[i + 1] = 'L';
    assert_int_equal(wisp_npu_load(&program, (const uint8_t *)elf.data, elf.len, NULL, NULL),
                     WISP_OK);
    expect_text(program, true,
                ".section my_code, 0x0, code\nf:\nnop\nf$2:\nnop\noperator__:\n.label f_end, "
                "0x5\nnop\n.L0_:\nnop\n");
    wisp_npu_program_close(&program);
    wi_strbuf_fini(&elf);
    wi_asm_prog_fini(&prog);
}

WISP_SUITE(cmocka_unit_test(test_every_instruction), cmocka_unit_test(test_vectors),
           cmocka_unit_test(test_errors), cmocka_unit_test(test_nul),
           cmocka_unit_test(test_spelling), cmocka_unit_test(test_labels),
           cmocka_unit_test(test_bytes), cmocka_unit_test(test_elf), cmocka_unit_test(test_object),
           cmocka_unit_test(test_targets), cmocka_unit_test(test_proof),
           cmocka_unit_test(test_segments), cmocka_unit_test(test_refused),
           cmocka_unit_test(test_broken_files), cmocka_unit_test(test_symbol_names))

/* The checker: one planted hazard of every kind, found where it is and nowhere else; the same code moved
 * apart by what it needs is clean.  Distances and rules are those of the vendor's compiler (llvm-aie,
 * AIE2Schedule.td) and of measurements that src/npu/README.md names. */
#include "unit/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "npu/asm/check.h"
#include "npu/asm/text.h"

#define NOP "nop\n" /* 2 bytes */
#define NOPS4 NOP NOP NOP NOP
#define NOPS5 NOPS4 NOP
#define RETURN "ret lr\n" NOPS5

/* Replace each line "@ADDRESS" (hexadecimal) by zeros up to that address. */
static char *laid_out(const char *text) {
    struct wi_strbuf out;
    wi_strbuf_init(&out);
    for (const char *at; (at = strchr(text, '@')); text = strchr(at, '\n') + 1) {
        struct wi_asm_prog prog;
        struct wisp_error err = {0};
        wi_strbuf_add(&out, text, (size_t)(at - text));
        wi_asm_prog_init(&prog);
        if (wi_asm_read(&prog, out.data, out.len, "test", &err) != WISP_OK)
            fail_msg("%s in:\n%s", err.text, out.data);
        long gap = strtol(at + 1, NULL, 16) - (long)prog.sections[0].bytes.len;
        assert_true(gap >= 0);
        wi_strbuf_printf(&out, ".zero %ld\n", gap);
        wi_asm_prog_fini(&prog);
    }
    wi_strbuf_puts(&out, text);
    return wi_strbuf_take(&out);
}

/* Findings as "rule at-other, ..." (addresses in hexadecimal; only `at` where there is no pair). */
static void findings(const char *text, size_t size, char *out, size_t out_size) {
    struct wi_asm_prog prog;
    struct wi_check_report report;
    struct wisp_error err = {0};
    uint32_t entry = 0;
    wi_asm_prog_init(&prog);
    if (wi_asm_read(&prog, text, size, "test", &err) != WISP_OK)
        fail_msg("%s in:\n%s", err.text, text);
    const struct wi_strbuf *code = &prog.sections[0].bytes;
    assert_int_equal(wi_check(&report, (const uint8_t *)code->data, code->len, 0, &entry, 1, &err), WISP_OK);
    out[0] = '\0';
    for (size_t i = 0, n = 0; i < report.n_findings; i++) {
        const struct wi_check_finding *f = &report.findings[i];
        char line[2048];
        assert_true(wi_check_print(f, line, sizeof line) < (int)sizeof line);
        n += (size_t)snprintf(out + n, out_size - n, "%s%s %x", n ? ", " : "",
                              wi_check_rule_name(f->rule), f->at.address);
        if (f->needed > 0)
            n += (size_t)snprintf(out + n, out_size - n, "-%x", f->other.address);
    }
    wi_check_report_fini(&report);
    wi_asm_prog_fini(&prog);
}

static void expect(const char *lines, const char *expected) {
    char found[4096], *text = laid_out(lines);
    findings(text, strlen(text), found, sizeof found);
    if (strcmp(found, expected) != 0)
        fail_msg("found '%s', not '%s' in:\n%s", found, expected, text);
    wi_free(text);
}

static void results_have_latencies(void **state) {
    (void)state;
    /* a load is read by what issues 7 bundles later */
    expect("lda r0, [p0, #0]\n" NOPS5 NOP "add r1, r0, r0\n" RETURN, "");
    expect("lda r0, [p0, #0]\n" NOPS5 "add r1, r0, r0\n" RETURN, "old value 0-e");
    expect("mul r0, r1, r2\n" NOP "add r1, r0, r0\n" RETURN, "");
    expect("mul r0, r1, r2\n" "st r0, [p0, #0]\n" RETURN, "old value 0-4");
    /* the float MAC: 4 to its own accumulator, 6 to a store */
    expect("vmac.f bml0, bml0, x0, x1, r0\n" NOP NOP NOP "vmac.f bml0, bml0, x0, x1, r0\n" RETURN, "");
    expect("vmac.f bml0, bml0, x0, x1, r0\n" NOP NOP "vmac.f bml0, bml0, x0, x1, r0\n" RETURN,
           "old value 0-8");
    expect("vmac.f bml0, bml0, x0, x1, r0\n" NOPS5 "vst.conv.bf16.fp32 bml0, [p0, #0]\n" RETURN, "");
    expect("vmac.f bml0, bml0, x0, x1, r0\n" NOP NOP NOP NOP "vst.conv.bf16.fp32 bml0, [p0, #0]\n" RETURN,
           "old value 0-c");
    /* the vector moves' bypass: 1 between two of them, 2 into a store */
    expect("vadd.16 x0, x1, x2\n" "vadd.16 x3, x0, x2\n" RETURN, "");
    expect("vadd.16 x0, x1, x2\n" "vst wl0, [p0, #0]\n" RETURN, "old value 0-4");
    /* half of a register is enough */
    expect("vlda wh0, [p0, #0]\n" NOPS5 "vadd.16 x1, x0, x2\n" RETURN, "old value 0-e");
    expect("vlda wh0, [p0, #0]\n" NOPS5 "vadd.16 x1, x3, x2\n" RETURN, "");
    /* what another bundle writes between them is read */
    expect("lda r0, [p0, #0]\n" NOP "movx r0, #1\n" "add r1, r0, r0\n" RETURN, "short life 0-6");
}

static void late_sources_are_sampled_late(void **state) {
    (void)state;
    /* a part-word store takes its data at stage 7 */
    expect("st.s16 r0, [p0, #0]\n" NOPS5 "movx r0, #1\n" RETURN, "");
    expect("st.s16 r0, [p0, #0]\n" NOP NOP NOP NOP "movx r0, #1\n" RETURN, "new value 0-c");
}

static void newer_results_stay(void **state) {
    (void)state;
    /* what the older operation itself samples, late, is no lost result; nor is a half, on purpose */
    expect("vunpack.s16.s8 x9, wl9\n" NOP "vsel.8 x9, x8, x6, l6\n" RETURN, "new value 0-6, short life 0-6");
    expect("vsrs.d8.s32 wh8, cm6, s2; vshuffle x8, x8, x1, r13\n" RETURN, "short life 0-0");
    expect("lda r0, [p0, #0]\n" NOPS5 NOP "movx r0, #1\n" RETURN, "");
    /* an accumulator is sampled late: the newer result is read beside its own operation */
    expect("vadd.f bml0, bml1, bml2, r1\n" NOP NOP
           "vconv.fp32.bf16 bml0, wl2; vsub.f bml3, bml1, bml0, r1\n" RETURN,
           "old value 0-8, short life 0-8, new value 8-8");
    expect("vadd.f bml0, bml1, bml2, r1\n" NOP NOP
           "vconv.fp32.bf16 bml0, wl2; vsub.f bml3, bml1, bml2, r1\n" RETURN, "write order 0-8");
    expect("lda r0, [p0, #0]\n" NOPS5 "movx r0, #1\n" RETURN, "write order 0-e");
    /* in the same cycle, though it was read before: nothing says which one stays */
    expect("mul r0, r1, r2\n" "movx r0, #1\n" "st r0, [p0, #0]\n" RETURN, "port 0-4, write order 0-4");
    expect("mova r0, #1; movx r0, #2\n" RETURN, "write order 0-0");
}

static void ports_are_held_by_one(void **state) {
    (void)state;
    /* the config register of the MAC is read through the port that st needs */
    expect("st r1, [p0, #0]; vmac.f bml0, bml0, x0, x1, r0\n" RETURN, "port 0-0");
    expect("st r1, [p0, #0]\n" "vmac.f bml0, bml0, x0, x1, r0\n" RETURN, "");
    /* mul lands one bundle later than the rest of its unit */
    expect("mul r0, r1, r2\n" "add r3, r1, r2\n" RETURN, "port 0-4");
    expect("mul r0, r1, r2\n" NOP "add r3, r1, r2\n" RETURN, "");
    /* an integer MAC one bundle behind a float one */
    expect("vmul.f bml0, x0, x1, r0\n" "vmul cm1, x0, x1, r0\n" RETURN, "port 0-4");
    /* locks are 4 bundles apart */
    expect("acq #48, r0\n" NOP NOP "rel #49, r1\n" RETURN, "port 0-8");
    expect("acq #48, r0\n" NOP NOP NOP "rel #49, r1\n" RETURN, "");
    /* memory accesses keep out of a part-word store's window, which itself keeps out of none */
    expect("st.s8 r0, [p0, #0]\n" NOPS5 "lda r1, [p1, #0]\n" RETURN, "strict port 0-e");
    expect("st.s8 r0, [p0, #0]\n" NOPS5 NOP "lda r1, [p1, #0]\n" RETURN, "");
}

/* The open compiler keeps these apart, AMD's own does not; both of what they would share: a hazard. */
static void ports_that_only_one_compiler_knows(void **state) {
    (void)state;
    expect("st r1, [p0, #0]; mov p1, p2\n" RETURN, "strict port 0-0");
    expect("st p1, [p0, #0]; mov r1, r2\n" RETURN, "strict port 0-0");
    expect("st p1, [p0, #0]; mov r1, p2\n" RETURN, "port 0-0");
    expect("vlda amll1, [p0, #0]\n" NOPS4 "vshuffle x1, x2, x3, r1\n" RETURN, "strict port 0-c");
    expect("vlda amll1, [p0, #0]\n" NOPS4 "vconv.fp32.bf16 bml2, wl2\n" RETURN, "port 0-c");
    expect("mul r1, r2, r3\n" "movx crSat, r4\n" RETURN, "strict port 0-4");
}

/* Bundles of 16 bytes begin at multiples of 16 in what follows. */
#define FILL16 "nopb; nopa; nops; nopxm; nopv\n"
#define MOVXM16(reg, to) "nopb; nopa; nops; movxm " reg ", #" to "; nopv\n"
#define ALU16(op) "nopb; nopa; nops; " op "; nopm; nopv\n"
#define LDA16(op) "nopb; " op "; nops; nopxm; nopv\n"

static void branches_lead_both_ways(void **state) {
    (void)state;
    /* a load in the third delay slot: in time behind the branch, read too early behind its target */
    expect("jz r7, #128\n" NOP NOP LDA16("lda r0, [p0, #0]") NOP NOP NOPS5 "add r1, r0, r0\n" RETURN
           "@80\n" "add r2, r0, r0\n" RETURN, "old value a-80");
    /* the other way round */
    expect("jz r7, #128\n" NOP NOP LDA16("lda r0, [p0, #0]") NOP NOP "add r1, r0, r0\n" RETURN
           "@80\n" NOPS5 "add r2, r0, r0\n" RETURN, "old value a-1e");
    /* jnzd, whose target is a constant in a pointer */
    expect("movxm p0, #64\n" "jnzd r0, r0, p0\n" NOP NOP NOP NOP "lda r1, [p1, #0]\n" RETURN
           "@40\n" "add r2, r1, r1\n" RETURN, "old value 12-40");
    expect("jnzd r0, r0, p0\n" NOPS5 RETURN, "target 0");
    /* a pointer that was loaded is not known */
    expect("movxm p0, #64\n" "lda p0, [p1, #0]\n" NOPS5 NOP "j p0\n" NOPS5, "target 16");
}

static void calls_and_returns_are_followed(void **state) {
    (void)state;
    /* what the function loads last is read too early behind the first call only */
    expect("jl #128\n" NOPS5 "@10\n" "add r1, r0, r0\n" "jl #128\n" NOPS5 NOPS5 "add r2, r0, r0\n"
           "done\n" "@80\n" "ret lr\n" NOP NOP "lda r0, [p0, #0]\n" NOP NOP,
           "alignment 14, old value 88-10");
    /* a function that does not return */
    expect("jl #128\n" NOPS5 ".byte 0x0b\n" "@80\n" "done\n", "");
}

static void delay_slots_have_no_branches(void **state) {
    (void)state;
    expect("j #32\n" NOP "j #64\n" NOP NOP NOP ".zero 12\n" RETURN, "delay slot 8");
}

static void programs_end_and_stay_inside(void **state) {
    (void)state;
    expect(NOP NOP, "range 2");
    expect("j #4096\n" NOPS5, "range e");
    expect(".byte 0x0b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff\n", "decode 0");
    expect("j #34\n" NOPS5 ".zero 18\n" RETURN, "alignment 0");
    expect("done\n", "");
    expect("done\n.zero 16381\n", "range 0");
}

/* A hardware loop that begins at 0x40, behind its set-up, and ends at `le`. */
#define LOOP(le, before, body)                                                                     \
    MOVXM16("LS", "0x40") MOVXM16("LE", le) "nopb; nopa; nops; nopx; mov LC, r0; nopv\n" before body

static void loops_are_run_again(void **state) {
    (void)state;
    /* 7 bundles from the last write of LC to the loop's last */
    expect(LOOP("0x80", FILL16, FILL16 FILL16 FILL16 FILL16 FILL16) RETURN, "loop set-up 20-80");
    expect(LOOP("0x90", FILL16, FILL16 FILL16 FILL16 FILL16 FILL16 FILL16) RETURN, "");
    /* a load in the last bundle: read too early in the next round, in time in the one after */
    expect(LOOP("0xa0", FILL16, ALU16("add r1, r2, r2") FILL16 FILL16 FILL16 FILL16 FILL16
                LDA16("lda r2, [p0, #0]")) NOPS5 NOP RETURN, "old value a0-40");
    /* or behind the loop, which may be run once */
    expect(LOOP("0x90", FILL16, FILL16 FILL16 FILL16 FILL16 FILL16 LDA16("lda r2, [p0, #0]"))
           "add r1, r2, r2\n" RETURN, "old value 90-a0");
    /* a port that only two rounds hold together: mul's result and the next round's first */
    expect(LOOP("0xa0", FILL16, ALU16("add r1, r2, r2") FILL16 FILL16 FILL16 FILL16 FILL16
                ALU16("mul r3, r4, r5")) NOP RETURN, "port a0-40");
    /* a loop of two bundles: a load is read in the fourth round */
    expect(MOVXM16("LS", "0x80") MOVXM16("LE", "0x90") "nopb; nopa; nops; nopx; mov LC, r0; nopv\n"
           FILL16 FILL16 FILL16 FILL16 FILL16 LDA16("lda r2, [p0, #0]") ALU16("add r1, r2, r2") RETURN,
           "old value 80-90");
}

static void loops_have_a_form(void **state) {
    (void)state;
    expect(MOVXM16("LS", "0x42") MOVXM16("LE", "0x90") "nopb; nopa; nops; nopx; mov LC, r0; nopv\n" FILL16
           NOP "nopb; nopa; nopx; nopm; nopv\n" FILL16 FILL16 FILL16 FILL16 FILL16 RETURN,
           "loop alignment 90");
    expect(LOOP("0x90", FILL16, FILL16 FILL16 FILL16 FILL16 FILL16) "nopx\n" RETURN,
           "last bundle of loop 90");
    expect(LOOP("0xc0", FILL16, FILL16 FILL16 FILL16 FILL16 FILL16 FILL16 FILL16 FILL16
                LDA16("st.s8 r1, [p0, #0]")) RETURN, "last bundle of loop c0");
    /* a jump out of it, one into its middle, and one to its start */
    expect(LOOP("0xb0", FILL16, "nopb; nopa; nops; jz r9, #256; nopv\n" FILL16 FILL16 FILL16 FILL16 FILL16
                FILL16 FILL16) RETURN "@100\n" RETURN, "branch in loop 40");
    expect(LOOP("0xb0", "nopb; nopa; nops; jz r9, #0xa0; nopv\n", FILL16 FILL16 FILL16 FILL16 FILL16 FILL16
                FILL16 FILL16) RETURN, "branch in loop 30");
    /* a call is none */
    expect(LOOP("0xb0", FILL16, "nopb; nopa; nops; jl #256; nopv\n" FILL16 FILL16 FILL16 FILL16 FILL16
                FILL16 FILL16) RETURN "@100\n" RETURN, "");
}

static void locks_guard_memory(void **state) {
    (void)state;
    expect("lda r1, [p0, #0]; acq #48, r0\n" RETURN, "acquire 0-0");
    expect("vst.conv.bf16.fp32 bml0, [p0, #0]\n" NOP "rel #48, r0\n" RETURN, "release 0-6");
    expect("vst.conv.bf16.fp32 bml0, [p0, #0]\n" NOP NOP "rel #48, r0\n" RETURN, "margin 0-8");
    expect("st r1, [p0, #0]\n" "rel #48, r0\n" RETURN, "margin 0-4");
    expect("st r1, [p0, #0]\n" NOPS5 "rel #48, r0\n" RETURN, "");
    expect("st.s8 r1, [p0, #0]\n" NOPS5 "rel #48, r0\n" RETURN, "release 0-e");
    expect("st.s8 r1, [p0, #0]\n" NOPS5 NOPS5 NOP "rel #48, r0\n" RETURN, "");
}

WISP_SUITE(cmocka_unit_test(results_have_latencies), cmocka_unit_test(late_sources_are_sampled_late),
           cmocka_unit_test(newer_results_stay), cmocka_unit_test(ports_are_held_by_one),
           cmocka_unit_test(ports_that_only_one_compiler_knows),
           cmocka_unit_test(branches_lead_both_ways), cmocka_unit_test(calls_and_returns_are_followed),
           cmocka_unit_test(delay_slots_have_no_branches),
           cmocka_unit_test(programs_end_and_stay_inside), cmocka_unit_test(loops_are_run_again),
           cmocka_unit_test(loops_have_a_form), cmocka_unit_test(locks_guard_memory))

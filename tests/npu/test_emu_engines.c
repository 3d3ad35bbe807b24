/* Random straight-line programs give the same registers and memory on the emulator, at each of its
 * levels, and on the plain second engine. */
#include "unit/suite.h"

#include <stdio.h>
#include <string.h>

#include "cpu/levels.h"
#include "rig.h"
#include "slow.h"

enum { BUNDLES = 20, PROGRAMS = 300, REG_FREE = 8 /* r0..r7 hold configurations */ };

static uint64_t seed = 0x9e3779b97f4a7c15u;
static uint16_t known[WI_N_SLOTS][WI_N_OPS];
static unsigned n_known[WI_N_SLOTS];

static unsigned pick(unsigned n) {
    return rig_random(&seed) % n;
}

static void list_known(void) {
    for (unsigned id = 1; id < WI_N_OPS; id++)
        if (slow_knows(id))
            known[wi_isa_info(id)->slot][n_known[wi_isa_info(id)->slot]++] = (uint16_t)id;
}

/* p0..p3 and d0..d3 are for vectors, p4..p7 for words; r0 = 28, r1 = 60, r2, r3 integer shapes. */
static int32_t random_field(const struct wi_isa_info *info, const struct wi_isa_field *f) {
    bool vector = info->text[0] == 'v', is_float = strstr(info->text, ".f d");
    int64_t low, high;
    if (f->class == WI_CLASS_NONE) {
        wi_isa_imm_range(f, &low, &high);
        int64_t step = vector ? 32 : strstr(info->text, "s16") ? 2 : f->scale;
        int32_t v = (int32_t)(low + (int64_t)pick((unsigned)((high - low) / step) + 1) * step);
        return v - v % (int32_t)step;
    }
    if (f->class == WI_CLASS_P)
        return WI_REG_P + (int32_t)(vector ? pick(4) : 4 + pick(4));
    if (f->class == WI_CLASS_D || f->class == WI_CLASS_D3)
        return (f->class == WI_CLASS_D ? WI_REG_D : WI_REG_D3) + (int32_t)pick(4);
    if (f->letter == 'c')
        return WI_REG_R + (int32_t)(!is_float                           ? 2 + pick(2)
                                    : strncmp(info->text, "vm", 2) == 0 ? pick(2)
                                                                        : 0);
    if (f->class == WI_CLASS_R || f->class == WI_CLASS_SCL || f->class == WI_CLASS_LDA)
        return WI_REG_R + (int32_t)(REG_FREE + pick(32 - REG_FREE));
    for (;;) {
        int32_t reg = (int32_t)wi_isa_class_reg(f->class, pick(1u << f->width));
        if (reg != WI_REG_NONE && wi_isa_reg_info((unsigned)reg)->family != WI_FAMILY_Q)
            return reg;
    }
}

static void random_bundle(struct wi_isa_bundle *b) {
    unsigned slots = 0;
    memset(b, 0, sizeof *b);
    for (unsigned slot = 0; slot < WI_N_SLOTS; slot++) {
        if (!n_known[slot] || pick(10) < 4)
            continue;
        struct wi_isa_op *op = &b->op[slot];
        op->id = known[slot][pick(n_known[slot])];
        const struct wi_isa_info *info = wi_isa_info(op->id);
        for (int i = 0; i < info->n_fields; i++)
            op->v[i] = random_field(info, &info->field[i]);
        slots |= 1u << slot;
    }
    b->format = (uint8_t)wi_isa_format_for(slots, 16);
}

/* Numbers that keep bf16 and fp32 sums interesting in every vector, and configurations in r0..r3.
 */
static void random_state(struct slow *s, uint8_t *memory) {
    static const uint32_t fixed[] = {28, 60, 776, 0x31a};
    for (unsigned unit = 0; unit < WI_N_UNITS; unit++)
        for (unsigned i = 0; i < slow_unit_bytes(unit); i++)
            s->initial[unit][i] =
                (uint8_t)(i % 2 && unit >= WI_UNIT_W ? 0x3c + pick(8) + pick(2) * 128
                                                     : rig_random(&seed));
    for (unsigned i = 0; i < 65536; i++)
        memory[i] = (uint8_t)(i % 2 ? 0x3c + pick(8) + pick(2) * 128 : rig_random(&seed));
    for (unsigned unit = WI_UNIT_P; unit < WI_UNIT_W; unit++)
        memset(s->initial[unit], 0, 4);
    for (unsigned i = 0; i < 4; i++) {
        /* m dn dj dc, then dn dj dc m of the second dimension */
        uint32_t dims[8] = {64, pick(4), 32, 0, pick(3), 96, 0, 128}, shift = pick(12);
        memcpy(s->initial[WI_UNIT_R + i], &fixed[i], 4);
        for (unsigned k = 0; k < 8; k++)
            memcpy(s->initial[WI_UNIT_D + 8 * i + k], &dims[k], 4);
        memcpy(s->initial[WI_UNIT_S + i], &shift, 4);
    }
    for (unsigned i = 0; i < 8; i++) {
        uint32_t p = 0x72000 + pick(0x600) * 32;
        memcpy(s->initial[WI_UNIT_P + i], &p, 4);
    }
    s->initial[WI_UNIT_CR + 6][0] = 12;
    s->initial[WI_UNIT_CR + 9][0] = 1;
}

/* Copy registers between the engines by name. */
static void each_unit(struct rig *rig, const struct slow *s, bool compare, int program) {
    for (unsigned reg = 1; reg < WI_N_REGS; reg++) {
        const struct wi_isa_reg_info *r = wi_isa_reg_info(reg);
        uint8_t got[160], want[32];
        bool modelled = r->family != WI_FAMILY_SR || r->unit == WI_UNIT_SR;
        if (r->n_units != 1 || r->family == WI_FAMILY_QWL || r->family == WI_FAMILY_LE || !modelled)
            continue;
        if (!compare) {
            memcpy(got, s->initial[r->unit], 32);
            wi_emu_core_set(rig->core, r->name, got);
            continue;
        }
        size_t n = wi_emu_core_get(rig->core, r->name, got);
        slow_final(s, r->unit, want);
        if (n && memcmp(got, want, n) != 0)
            fail_msg("program %d: %s differs", program, r->name);
    }
}

static void run_fast(struct rig *rig, const struct slow *s, const struct wi_isa_bundle *b,
                     const uint8_t *memory, int program) {
    uint8_t bytes[16];
    wi_emu_core_reset(rig->core);
    each_unit(rig, s, false, program);
    memcpy(rig->memory, memory, sizeof rig->memory);
    for (unsigned i = 0; i < BUNDLES + 20; i++) {
        if (i < BUNDLES)
            assert_int_equal(wi_isa_pack(&b[i], bytes), 16);
        else
            rig_assemble(bytes, i < BUNDLES + 19 ? "" : "done", i < BUNDLES + 19 ? 0 : 4);
        wi_emu_core_load(rig->core, 16 * i, bytes, 16);
    }
    if (wi_emu_core_run(rig->core, 10000) != WI_EMU_DONE)
        fail_msg("program %d: stopped with '%s'", program, wi_emu_core_fault(rig->core));
}

static void engines_agree(void **state) {
    (void)state;
    static struct rig rigs[3];
    static struct slow s;
    static uint8_t before[65536], after[65536];
    struct wi_isa_bundle b[BUNDLES];
    int levels = wi_cpu_detect() >= WI_AVX512 ? 3 : wi_cpu_detect() >= WI_AVX2 ? 2 : 1, done = 0;
    bool run[WI_N_OPS] = {false};
    list_known();
    for (int i = 0; i < levels; i++)
        rig_init(&rigs[i], (enum wi_level)i);
    for (int program = 0; done < PROGRAMS; program++) {
        assert_true(program < 1000 * PROGRAMS);
        memset(&s, 0, sizeof s);
        random_state(&s, before);
        memcpy(after, before, sizeof after);
        for (int i = 0; i < BUNDLES; i++)
            random_bundle(&b[i]);
        s.memory = after;
        slow_run(&s, b, BUNDLES);
        if (s.tie || s.misaligned)
            continue;
        done++;
        for (int i = 0; i < BUNDLES * WI_N_SLOTS; i++)
            run[b[i / WI_N_SLOTS].op[i % WI_N_SLOTS].id] = true;
        for (int i = 0; i < levels; i++) {
            run_fast(&rigs[i], &s, b, before, program);
            each_unit(&rigs[i], &s, true, program);
            if (memcmp(rigs[i].memory, after, sizeof after) != 0)
                fail_msg("program %d: memory differs", program);
        }
    }
    for (int i = 0; i < levels; i++)
        rig_fini(&rigs[i]);
    unsigned n = 0;
    for (unsigned id = 1; id < WI_N_OPS; id++) {
        if (slow_knows(id) && !run[id])
            fail_msg("%s was in no program", wi_isa_info(id)->name);
        n += slow_knows(id);
    }
    print_message("%u instructions in %d programs\n", n, done);
}

WISP_SUITE(cmocka_unit_test(engines_agree))

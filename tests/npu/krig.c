#include "unit/suite.h"

#include "krig.h"

#include <string.h>

#include "npu/asm/check.h"
#include "npu/isa/isa.h"

static bool cascade_in_ready(void *host) {
    struct krig *r = host;
    return r->at_cascade_in < r->n_cascade_in;
}

static void cascade_get(void *host, uint8_t value[64]) {
    struct krig *r = host;
    memcpy(value, r->cascade_in[r->at_cascade_in++], 64);
}

static bool cascade_out_ready(void *host) {
    struct krig *r = host;
    return r->n_cascade_out < KRIG_CASCADE;
}

static void cascade_put(void *host, const uint8_t value[64]) {
    struct krig *r = host;
    memcpy(r->cascade_out[r->n_cascade_out++], value, 64);
}

void krig_init(struct krig *rig) {
    memset(rig, 0, sizeof *rig);
    assert_int_equal(wi_emu_core_create(&rig->core, WI_PORTABLE, NULL), WISP_OK);
    wi_emu_core_map(rig->core, WI_EMU_OWN, rig->memory);
    wi_emu_poison(rig->memory, sizeof rig->memory);
    wi_emu_core_connect(rig->core, &(struct wi_emu_port){.host = rig,
                                                         .cascade_in_ready = cascade_in_ready,
                                                         .cascade_get = cascade_get,
                                                         .cascade_out_ready = cascade_out_ready,
                                                         .cascade_put = cascade_put});
}

void krig_fini(struct krig *rig) {
    wi_emu_core_destroy(&rig->core);
}

void krig_check(const struct wi_code *code) {
    struct wi_check_report r;
    struct wisp_error err = {0};
    char text[2000];
    if (wi_check(&r, (const uint8_t *)code->bytes.data, code->bytes.len, code->base, &code->base, 1,
                 &err) != WISP_OK)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < r.n_findings; i++)
        /* own code keeps to the stricter of the two models of ports */
        if (wi_check_is_hazard(r.findings[i].rule) || r.findings[i].rule == WI_CHECK_STRICT) {
            wi_check_print(&r.findings[i], text, sizeof text);
            fail_msg("%s", text);
        }
    wi_check_report_fini(&r);
}

void krig_build(struct wi_code *code, void (*emit)(struct wi_build *b), enum wi_schedule how) {
    struct wi_build *b;
    struct wisp_error err = {0};
    assert_int_equal(wi_build_create(&b, &err), WISP_OK);
    emit(b);
    if (wi_build_finish(b, how, KRIG_BASE, code, &err) != WISP_OK)
        fail_msg("%s", err.text);
    wi_build_destroy(&b);
    krig_check(code);
}

void krig_build_both(struct wi_code code[2], void (*emit)(struct wi_build *b)) {
    krig_build(&code[WI_PIPELINED], emit, WI_PIPELINED);
    krig_build(&code[WI_SERIAL], emit, WI_SERIAL);
}

void krig_open(struct krig *rig, struct wi_code code[2], void (*emit)(struct wi_build *b)) {
    krig_build_both(code, emit);
    krig_init(rig);
}

void krig_close(struct krig *rig, struct wi_code code[2]) {
    wi_code_fini(&code[0]);
    wi_code_fini(&code[1]);
    krig_fini(rig);
}

static void set(struct krig *rig, const char *reg, uint32_t value) {
    uint8_t v[160] = {0};
    memcpy(v, &value, 4);
    wi_emu_core_set(rig->core, reg, v);
}

struct wi_emu_counters krig_run(struct krig *rig, const struct wi_code *code, uint32_t params) {
    struct wi_isa_bundle nop = {.format = (uint8_t)wi_isa_format_for(0, 16)};
    uint8_t bytes[16];
    wi_emu_core_reset(rig->core);
    wi_isa_pack(&nop, bytes);
    for (uint32_t at = 0; at < KRIG_BASE; at += 16)
        assert_true(wi_emu_core_load(rig->core, at, bytes, 16));
    assert_true(wi_emu_core_load(rig->core, code->base, (const uint8_t *)code->bytes.data,
                                 code->bytes.len));
    set(rig, "p0", params);
    set(rig, "lr", 0);
    wi_emu_core_set_pc(rig->core, code->base);
    wi_emu_core_break(rig->core, 0, true);
    enum wi_emu_stop stop = wi_emu_core_run(rig->core, 10 * 1000 * 1000);
    if (stop != WI_EMU_BREAK)
        fail_msg("stopped with %d at 0x%x: %s", stop, wi_emu_core_pc(rig->core),
                 wi_emu_core_fault(rig->core));
    struct wi_emu_counters counters = wi_emu_core_counters(rig->core);
    wi_emu_core_break(rig->core, 0, false); /* let the last stores reach memory */
    wi_emu_core_run(rig->core, counters.cycles + KRIG_BASE / 16);
    return counters;
}

/* ---------------------------------------------------------------- arithmetic */

float krig_f32(uint16_t bf16) {
    uint32_t bits = (uint32_t)bf16 << 16;
    float v;
    memcpy(&v, &bits, 4);
    return v;
}

uint32_t krig_bits(float v) {
    uint32_t bits;
    memcpy(&bits, &v, 4);
    return bits;
}

uint16_t krig_bf16(float v) {
    uint32_t bits = krig_bits(v);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* m / 2^s, nearest even, of magnitudes; the sign comes back. */
static int64_t shift_even(int64_t m, int s, int negative) {
    int64_t q = s > 62 ? 0 : m >> s;
    if (s > 0 && s <= 62) {
        int64_t rest = m - (q << s), half = (int64_t)1 << (s - 1);
        q += rest > half || (rest == half && q & 1);
    }
    return negative ? -q : q;
}

struct term {
    int64_t m; /* 2^23 stands for the exponent's value */
    int e, negative;
};

static struct term product(uint16_t a, uint16_t b) {
    int ea = a >> 7 & 255, eb = b >> 7 & 255;
    int64_t ma = (a & 127) | (ea ? 128 : 0), mb = (b & 127) | (eb ? 128 : 0);
    struct term t = {(ma * mb) << 9, (ea ? ea : 1) + (eb ? eb : 1) + 1, (a ^ b) >> 15};
    if (t.m == 0)
        t.e = 0;
    return t;
}

static struct term addend(float v) {
    uint32_t bits = krig_bits(v);
    int e = bits >> 23 & 255;
    struct term t = {(bits & 0x7fffff) | (e ? 0x800000 : 0), (e ? e : 1) + 128, (int)(bits >> 31)};
    if (t.m == 0)
        t.e = 0;
    return t;
}

static float sum_terms(const struct term *t, int n) {
    int e = 0;
    int64_t sum = 0;
    for (int i = 0; i < n; i++)
        e = t[i].e > e ? t[i].e : e;
    for (int i = 0; i < n; i++)
        sum += t[i].e ? shift_even(t[i].m, e - t[i].e, t[i].negative) : 0;
    if (sum == 0)
        return 0;
    int negative = sum < 0;
    int64_t m = negative ? -sum : sum;
    int lead = 63 - __builtin_clzll((unsigned long long)m), exponent = e + lead - 23 - 128;
    m = lead > 23 ? shift_even(m, lead - 23, 0) : m << (23 - lead);
    if (m >> 24) {
        m >>= 1;
        exponent++;
    }
    assert_true(exponent < 255);
    uint32_t bits = exponent <= 0 ? 0 : (uint32_t)(m & 0x7fffff) | (uint32_t)exponent << 23;
    bits |= exponent <= 0 ? 0 : (uint32_t)negative << 31;
    float v;
    memcpy(&v, &bits, 4);
    return v;
}

float krig_addmac(float acc, float acc2, int n, const uint16_t *a, const uint16_t *b) {
    struct term t[10];
    for (int i = 0; i < n; i++)
        t[i] = product(a[i], b[i]);
    t[n] = addend(acc);
    t[n + 1] = addend(acc2);
    return sum_terms(t, n + 2);
}

float krig_mac(float acc, int n, const uint16_t *a, const uint16_t *b) {
    return krig_addmac(acc, 0, n, a, b);
}

float krig_mac2(float acc, uint16_t a0, uint16_t a1, uint16_t b0, uint16_t b1) {
    const uint16_t a[2] = {a0, a1}, b[2] = {b0, b1};
    return krig_mac(acc, 2, a, b);
}

float krig_add(float a, float b) {
    struct term t[2] = {addend(a), addend(b)};
    return sum_terms(t, 2);
}

/* Lines of 8 bf16 codes from 2^-9 to 8: -slope, 1, -offset. */
uint16_t krig_gelu_table(uint16_t x, const uint16_t *table) {
    uint16_t a = x & 0x7fff, t = a < 0x4100 ? a : 0x4100;
    int line = t < 0x3b00 ? 0 : (t - 0x3b00) / 8;
    const uint16_t *entry = table + line / 2 * 16 + line % 2 * 4;
    const uint16_t terms[] = {t, x & 0x8000 ? 0 : x};
    float offset;
    memcpy(&offset, entry + 2, 4);
    return krig_bf16(krig_mac(offset, 2, terms, entry));
}

uint32_t krig_random(uint64_t *seed) { /* xorshift64 */
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return (uint32_t)(*seed >> 16);
}

uint16_t krig_random_bf16(uint64_t *seed) {
    uint32_t r = krig_random(seed);
    return (uint16_t)((r & 0x807f) | (0x3f00 + (r >> 20) % 3 * 0x80));
}

#include "unit/suite.h"

#include <string.h>

#include "npu/asm/parse.h"
#include "npu/isa/isa.h"
#include "rig.h"

static int acquire(void *host, unsigned id, int32_t value, uint64_t cycle) {
    struct rig *r = host;
    (void)cycle;
    int32_t *lock = &r->locks[id & 63];
    r->acquires++;
    if (value < 0 ? *lock < -value : *lock != value)
        return 0;
    *lock += value < 0 ? value : -value;
    return 1;
}

static int release(void *host, unsigned id, int32_t value, uint64_t cycle) {
    struct rig *r = host;
    (void)cycle;
    r->locks[id & 63] += value;
    return r->locks[id & 63] < 0 || r->locks[id & 63] > 63 ? -1 : 0;
}

static bool stream_in_ready(void *host) {
    struct rig *r = host;
    return r->at_in < r->n_in;
}

static uint32_t stream_get(void *host, bool *tlast) {
    struct rig *r = host;
    *tlast = r->at_in + 1 == r->n_in;
    return r->in[r->at_in++];
}

static bool stream_out_ready(void *host) {
    struct rig *r = host;
    return r->n_out < r->room_out;
}

static void stream_put(void *host, uint32_t word, bool tlast) {
    struct rig *r = host;
    r->out_last[r->n_out] = tlast;
    r->out[r->n_out++] = word;
}

static bool cascade_in_ready(void *host) {
    struct rig *r = host;
    return r->at_cascade_in < r->n_cascade_in;
}

static void cascade_get(void *host, uint8_t value[64]) {
    struct rig *r = host;
    memcpy(value, r->cascade_in[r->at_cascade_in++], 64);
}

static bool cascade_out_ready(void *host) {
    struct rig *r = host;
    return r->n_cascade_out < r->room_cascade_out;
}

static void cascade_put(void *host, const uint8_t value[64]) {
    struct rig *r = host;
    memcpy(r->cascade_out[r->n_cascade_out++], value, 64);
}

void rig_init(struct rig *rig, enum wi_level level) {
    memset(rig, 0, sizeof *rig);
    rig->room_out = rig->room_cascade_out = RIG_QUEUE;
    assert_int_equal(wi_emu_core_create(&rig->core, level, NULL), WISP_OK);
    wi_emu_poison(rig->memory, sizeof rig->memory);
    wi_emu_core_map(rig->core, WI_EMU_OWN, rig->memory);
    wi_emu_core_connect(rig->core, &(struct wi_emu_port){.host = rig,
                                                         .acquire = acquire,
                                                         .release = release,
                                                         .stream_in_ready = stream_in_ready,
                                                         .stream_get = stream_get,
                                                         .stream_out_ready = stream_out_ready,
                                                         .stream_put = stream_put,
                                                         .cascade_in_ready = cascade_in_ready,
                                                         .cascade_get = cascade_get,
                                                         .cascade_out_ready = cascade_out_ready,
                                                         .cascade_put = cascade_put});
}

void rig_fini(struct rig *rig) {
    wi_emu_core_destroy(&rig->core);
}

void rig_assemble(uint8_t out[16], const char *line, size_t len) {
    struct wi_isa_bundle b;
    struct wi_asm_ref ref;
    struct wisp_error err = {0};
    if (len == 0) {
        line = "nop";
        len = 3;
    }
    if (wi_asm_parse_bundle(&b, &ref, line, len, &err))
        fail_msg("'%.*s': %s", (int)len, line, err.text);
    unsigned slots = 0;
    for (unsigned s = 0; s < WI_N_SLOTS; s++)
        slots |= b.op[s].id != WI_OP_NOP ? 1u << s : 0;
    b.format = (uint8_t)wi_isa_format_for(slots, 16);
    assert_int_equal(wi_isa_pack(&b, out), 16);
}

unsigned rig_program(struct rig *rig, const char *text) {
    unsigned n = 0;
    for (; *text; n++) {
        size_t len = strcspn(text, "\n");
        uint8_t bytes[16];
        rig_assemble(bytes, text, len);
        assert_true(wi_emu_core_load(rig->core, 16 * n, bytes, 16));
        text += len + (text[len] == '\n');
    }
    return n;
}

struct wi_emu_counters rig_run(struct rig *rig, const char *text) {
    rig_program(rig, text);
    enum wi_emu_stop stop = wi_emu_core_run(rig->core, 100000);
    if (stop != WI_EMU_DONE)
        fail_msg("stopped with %d at 0x%x: %s", stop, wi_emu_core_pc(rig->core),
                 wi_emu_core_fault(rig->core));
    return wi_emu_core_counters(rig->core);
}

uint32_t rig_get(const struct rig *rig, const char *reg) {
    uint8_t v[160];
    uint32_t w;
    assert_int_equal(wi_emu_core_get(rig->core, reg, v), 4);
    memcpy(&w, v, 4);
    return w;
}

void rig_set(struct rig *rig, const char *reg, uint32_t value) {
    uint8_t v[160];
    memcpy(v, &value, 4);
    assert_int_equal(wi_emu_core_set(rig->core, reg, v), 4);
}

void rig_get_vector(const struct rig *rig, const char *reg, void *value) {
    uint8_t v[160];
    size_t n = wi_emu_core_get(rig->core, reg, v);
    assert_true(n >= 16);
    memcpy(value, v, n);
}

void rig_set_vector(struct rig *rig, const char *reg, const void *value) {
    uint8_t v[160];
    size_t n = wi_emu_core_get(rig->core, reg, v);
    assert_true(n >= 16);
    memcpy(v, value, n);
    wi_emu_core_set(rig->core, reg, v);
}

uint32_t rig_word(const struct rig *rig, uint32_t address) {
    uint32_t w;
    memcpy(&w, rig->memory + (address - RIG_BASE), 4);
    return w;
}

void rig_set_word(struct rig *rig, uint32_t address, uint32_t value) {
    memcpy(rig->memory + (address - RIG_BASE), &value, 4);
}

uint32_t rig_random(uint64_t *seed) { /* xorshift64 */
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return (uint32_t)(*seed >> 16);
}

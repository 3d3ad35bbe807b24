/* The scalar unit, moves, branches, locks and streams. */
#include "npu/emu/impl.h"

static void result(struct wi_emu_core *core, const struct uop *u, uint32_t v) {
    land32(core, u->d_stage, u->d, v & u->keep);
}

static void carry(struct wi_emu_core *core, bool c) {
    land32(core, 1, AT_SR + SR_CARRY, c);
}

#define A core->w[u->a]
#define B (u->immediate ? (uint32_t)u->imm : core->w[u->b])
#define ALU_OP(name, value)                                                                        \
    EXEC(name) {                                                                                   \
        result(core, u, (uint32_t)(value));                                                        \
    }

ALU_OP(and, A &B)
ALU_OP(or, A | B)
ALU_OP(xor, A ^ B)
ALU_OP(mul, A *B)
ALU_OP(eq, A == B)
ALU_OP(ne, A != B)
ALU_OP(lt, (int32_t)A < (int32_t)B)
ALU_OP(ltu, A < B)
ALU_OP(ge, (int32_t)A >= (int32_t)B)
ALU_OP(geu, A >= B)
ALU_OP(eqz, A == 0)
ALU_OP(nez, A != 0)
ALU_OP(clz, wi_emu_clz(A))
ALU_OP(clb, wi_emu_clb(A))
ALU_OP(ext_s8, (int8_t)A)
ALU_OP(ext_s16, (int16_t)A)
ALU_OP(ext_u8, (uint8_t)A)
ALU_OP(ext_u16, (uint16_t)A)
ALU_OP(lshl, wi_emu_lshl(A, (int32_t)B))
ALU_OP(ashl, wi_emu_ashl(A, (int32_t)B))
ALU_OP(sel_eqz, core->w[AT_R + 27] == 0 ? A : B)
ALU_OP(sel_nez, core->w[AT_R + 27] != 0 ? A : B)
ALU_OP(add_nc, A + (uint32_t)u->imm)
ALU_OP(mov_imm, u->imm)
ALU_OP(mov, core->w[u->s])
ALU_OP(mov_cr, A)

static void with_carry(struct wi_emu_core *core, const struct uop *u, struct wi_emu_alu r) {
    result(core, u, r.value);
    carry(core, r.carry);
}

EXEC(add) {
    with_carry(core, u, wi_emu_adc(A, B, false));
}

EXEC(adc) {
    with_carry(core, u, wi_emu_adc(A, B, core->w[AT_SR + SR_CARRY]));
}

EXEC(sub) {
    with_carry(core, u, wi_emu_sbc(A, B, true));
}

EXEC(sbc) {
    with_carry(core, u, wi_emu_sbc(A, B, core->w[AT_SR + SR_CARRY]));
}

EXEC(abs) {
    uint32_t a = A;
    with_carry(core, u, (struct wi_emu_alu){a >> 31 ? 0 - a : a, a >> 31});
}

EXEC(divs) {
    struct wi_emu_div r = wi_emu_divs(core->w[AT_R + 31], A, B);
    result(core, u, r.remainder);
    land32(core, 1, AT_R + 31, r.quotient);
}

EXEC(mov_cntr) {
    land32(core, u->d_stage, u->d, (uint32_t)core->count.cycles);
    land32(core, u->d_stage, u->d + 1u, (uint32_t)(core->count.cycles >> 32));
}

/* ------------------------------------------------------------------ control */

EXEC(jump) {
    wi_emu_branch(core, u, u->immediate ? (uint32_t)u->imm : core->w[u->p]);
}

EXEC(jump_z) {
    if ((core->w[u->d] == 0) != u->op)
        wi_emu_branch(core, u, (uint32_t)u->imm);
}

EXEC(jnzd) {
    uint32_t a = A;
    with_carry(core, u, wi_emu_sbc(a, 1, true));
    if (a)
        wi_emu_branch(core, u, core->w[u->p]);
}

EXEC(ret) {
    wi_emu_branch(core, u, core->w[AT_LR]);
}

/* The return address, behind five delay slots, is known from the sizes of those. */
EXEC(call) {
    uint32_t at = core->pc + core->now->size;
    for (int i = 0; i < WI_ISA_N_DELAY_SLOTS && at < WI_EMU_PROGRAM_BYTES; i++)
        at += (uint32_t)wi_isa_size(core->program[at]);
    land32(core, u->d_stage, AT_LR, at);
    wi_emu_x_jump(core, u);
}

EXEC(done) {
    core->done = true;
}

EXEC(event) {
    if (core->port.event)
        core->port.event(core->port.host, (unsigned)u->imm, core->count.cycles);
}

/* ------------------------------------------------------------------ locks */

static unsigned lock_id(const struct wi_emu_core *core, const struct uop *u) {
    return u->immediate ? (unsigned)u->imm : core->w[u->d] & 63;
}

/* A completed operation costs one cycle even when nobody contends for the lock [hw xdna-emu]. */
static void lock_result(struct wi_emu_core *core, const struct uop *u, int r) {
    if (r < 0)
        wi_emu_stop_fault(core, u, "lock %u is not there or leaves 0..63", lock_id(core, u));
    else
        wi_emu_stall_cycles(core, WI_EMU_STALL_LOCK, 1);
}

EXEC(acquire) {
    if (u->op && !core->w[AT_R + 26])
        return;
    int r = core->port.acquire ? core->port.acquire(core->port.host, lock_id(core, u),
                                                    (int32_t)core->w[u->b], core->count.cycles)
                               : -1;
    core->waits = r == 0;
    if (r)
        lock_result(core, u, r);
}

EXEC(release) {
    if (u->op && !core->w[AT_R + 26])
        return;
    int r = core->port.release ? core->port.release(core->port.host, lock_id(core, u),
                                                    (int32_t)core->w[u->b], core->count.cycles)
                               : -1;
    lock_result(core, u, r);
}

/* ------------------------------------------------------------------ streams and cascade */

enum { SS_STAGE = 8, MS_STAGE = 3 }; /* of the status bits */

/* srSS0: bit 0 a word came, bit 1 it was the last of its packet. */
EXEC(stream_get) {
    bool tlast = false;
    if (u->op && !(core->port.stream_in_ready && core->port.stream_in_ready(core->port.host))) {
        land32(core, SS_STAGE, AT_SR + SR_SS0, 0);
        return;
    }
    result(core, u, core->port.stream_get(core->port.host, &tlast));
    land32(core, SS_STAGE, AT_SR + SR_SS0, 1u | (uint32_t)tlast << 1);
}

/* bits: 0 no tlast, 1 tlast, 2 tlast if r28 is not 0 */
EXEC(stream_put) {
    bool tlast = u->bits == 1 || (u->bits == 2 && core->w[AT_R + 28]);
    bool goes =
        !u->op || (core->port.stream_out_ready && core->port.stream_out_ready(core->port.host));
    if (goes)
        core->port.stream_put(core->port.host, core->w[u->s], tlast);
    if (u->op)
        land32(core, MS_STAGE, AT_SR + SR_MS0, goes);
}

EXEC(cascade_get) {
    if (!core->w[AT_CR + CR_SCD_EN])
        wi_emu_stop_fault(core, u, "crSCDEn is 0");
    struct landing *l = land(core, u->d_stage, u->d, 16);
    core->port.cascade_get(core->port.host, (uint8_t *)l->v);
}

EXEC(cascade_put) {
    if (!core->w[AT_CR + CR_MCD_EN])
        wi_emu_stop_fault(core, u, "crMCDEn is 0");
    core->port.cascade_put(core->port.host, bytes_at(core, u->s));
}

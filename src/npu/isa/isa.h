/* The AIE2 instruction set as data: bundles of bytes to and from decoded operations, their text,
 * and what each operation reads, writes and occupies when.  Everything is plain data in the
 * caller's structs; nothing allocates, there is no mutable state, every function is thread-safe.
 *
 * The tables are aie2_ops.def, aie2_itins.def, aie2_regs.def and aie2_formats.def; README.md of
 * src/npu says how to read a bundle. */
#ifndef WISP_SRC_NPU_ISA_ISA_H
#define WISP_SRC_NPU_ISA_ISA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ------------------------------------------------------------------ names */

/* The parts of a bundle.  LNG takes the place of ALU and MV. */
enum wi_slot {
#define SLOT(name, ...) WI_SLOT_##name,
#define FORMAT(...)
#include "npu/isa/aie2_formats.def"
    WI_N_SLOTS
};

/* Which slots a bundle has, in which size: WI_FORMAT_I80_LDA_ST_VEC ... */
enum wi_format {
#define SLOT(...)
#define FORMAT(name, ...) WI_FORMAT_##name,
#include "npu/isa/aie2_formats.def"
    WI_N_FORMATS
};

/* Instructions.  0 is the NOP of whichever slot it stands in. */
enum wi_opcode {
    WI_OP_NOP,
#define ALU(name, ...) WI_OP_##name,
#define MV(name, ...) WI_OP_##name,
#define LNG(name, ...) WI_OP_##name,
#define LDA(name, ...) WI_OP_##name,
#define LDB(name, ...) WI_OP_##name,
#define ST(name, ...) WI_OP_##name,
#define VEC(name, ...) WI_OP_##name,
#include "npu/isa/aie2_ops.def"
    WI_N_OPS
};

/* Units of register storage: WI_UNIT_R + 3 is r3; the total fits in 256. */
#define UNITS(name, count) WI_UNIT_##name, WI_UNIT_##name##_LAST = WI_UNIT_##name + (count)-1,
enum wi_unit {
#include "npu/isa/aie2_regs.def"
    WI_N_UNITS
};

/* Registers: WI_REG_R + 3 is r3, WI_REG_W + 2 * 3 + 1 is wh3 (in the order of the name pattern). */
#define REGS(name, pattern, count, ...)                                                            \
    WI_REG_##name, WI_REG_##name##_LAST = WI_REG_##name + (count)-1,
enum wi_reg {
    WI_REG_NONE,
#include "npu/isa/aie2_regs.def"
    WI_N_REGS
};

/* Families of registers, one for each row of the table. */
#define REGS(name, ...) WI_FAMILY_##name,
enum wi_family {
    WI_FAMILY_NONE,
#include "npu/isa/aie2_regs.def"
    WI_N_FAMILIES
};

/* Classes of registers that fields name. */
#define CLASS(name, ...) WI_CLASS_##name,
enum wi_class {
    WI_CLASS_NONE, /* an immediate */
#include "npu/isa/aie2_regs.def"
    WI_N_CLASSES
};

enum wi_timing {
    WI_TIMING_NOP,
#define PORT(name)
#define TIMING(name, ...) WI_TIMING_##name,
#include "npu/isa/aie2_itins.def"
    WI_N_TIMINGS
};

/* Ports and units that instructions occupy. */
enum wi_port {
#define PORT(name) WI_PORT_##name,
#define TIMING(...)
#include "npu/isa/aie2_itins.def"
    WI_N_PORTS
};

enum wi_kind {
    WI_KIND_PLAIN,
    WI_KIND_LOAD,
    WI_KIND_STORE,
    WI_KIND_RMW, /* st.s8, st.s16: read, merge, write */
    WI_KIND_BRANCH,
    WI_KIND_BRANCH_IF,
    WI_KIND_CALL,
    WI_KIND_LOCK,
    WI_KIND_STREAM,
    WI_KIND_CASCADE,
    WI_KIND_DONE,
    WI_KIND_EVENT
};

enum wi_proof_encoding { WI_ENC_VECTOR, WI_ENC_SEEN, WI_ENC_TABLE };
enum wi_proof_semantics { WI_SEM_HW, WI_SEM_DOC, WI_SEM_INF, WI_SEM_NONE };

enum {
    WI_ISA_MAX_BYTES = 16,    /* of a bundle */
    WI_ISA_MAX_FIELDS = 5,    /* of an instruction */
    WI_ISA_MAX_ACCESSES = 16, /* to registers, of an instruction */
    WI_ISA_MAX_PORTS = 12,    /* of an instruction */
    WI_ISA_MAX_TEXT = 320,    /* of a bundle without labels, with its NUL */
    WI_ISA_N_DELAY_SLOTS = 5  /* bundles behind a branch that are executed */
};

/* ------------------------------------------------------------------ decoded form */

/* One slot's operation.  v[i] is the i-th field in the order of the text, each once (a tied operand
 * stands twice in the text and once here): an enum wi_reg, or the value of an immediate in the
 * units of the text.  All zeros is a NOP. */
struct wi_isa_op {
    uint16_t id; /* enum wi_opcode */
    int32_t v[WI_ISA_MAX_FIELDS];
};

struct wi_isa_bundle {
    uint8_t size;   /* bytes */
    uint8_t format; /* enum wi_format */
    bool stray; /* unpacked from bytes with filler or don't-care bits set, which the rest does not
                   show */
    struct wi_isa_op op[WI_N_SLOTS]; /* of slots that the format has not: zeros */
};

/* ------------------------------------------------------------------ facts about tables */

/* A field of a slot word. */
struct wi_isa_field {
    char letter;
    uint8_t class;  /* enum wi_class; WI_CLASS_NONE = immediate */
    uint8_t width;  /* bits in all */
    char sign;      /* of an immediate: 'u', 's', 'n' (value - 2^width) */
    bool address;   /* of program memory: may be printed as a label */
    uint16_t scale; /* of an immediate */
    uint8_t n_pieces;
    struct {
        uint8_t lsb, width;
    } piece[3]; /* most significant first */
};

/* An operand's time and place, before registers are known; see wi_isa_accesses. */
struct wi_isa_use {
    int8_t field; /* index of v, or -1: `reg` is implied */
    uint8_t reg;
    uint8_t part; /* enum wi_part */
    bool write;
    uint8_t stage, bypass;
};
enum wi_part { WI_PART_ALL, WI_PART_DC, WI_PART_DC_HIGH };
enum wi_bypass {
    WI_BYPASS_NONE,
    WI_BYPASS_MOV,
    WI_BYPASS_VEC,
    WI_BYPASS_MOV_X /* if an x or wl */
};

struct wi_isa_info {
    const char *name;     /* "VMAC_F" */
    const char *text;     /* "vmac.f d, u, a, b, c" */
    uint64_t mask, value; /* fixed bits of the slot word */
    uint64_t ignored;     /* don't-care bits */
    uint8_t slot, timing, kind, encoding, semantics;
    uint8_t n_fields, n_uses;
    struct wi_isa_field field[WI_ISA_MAX_FIELDS];
    struct wi_isa_use use[WI_ISA_MAX_ACCESSES];
};

struct wi_isa_format_info {
    const char *name; /* "I80_LDA_ST_VEC" */
    uint8_t bytes, n_slots;
    uint8_t slots;           /* set of 1 << enum wi_slot */
    uint8_t order[6];        /* slots as the text lists them */
    uint8_t lsb[WI_N_SLOTS]; /* of the slot's word; 0xff = no such slot */
    uint64_t mask, value;    /* fixed bits, all among the low 64 */
    uint64_t filler[2];      /* bits that are written 0 */
};

struct wi_isa_slot_info {
    const char *name, *nop; /* "lda", "nopa" */
    uint8_t bits;
    uint32_t nop_word;
};

struct wi_isa_reg_info {
    char name[16];
    uint8_t family; /* enum wi_family */
    uint8_t number; /* within it */
    uint16_t bits;
    uint8_t unit, n_units; /* the range of enum wi_unit that it covers; a qwl has one more, see
                              wi_isa_units */
};

struct wi_isa_timing_info {
    const char *name;
    uint8_t kind;         /* enum wi_kind */
    uint8_t mem_stage[2]; /* of memory accesses, 0 = none; [1]: the store of a part-word store */
};

/* NULL when `id` is out of range; NOP has mask 0 and no operands. */
const struct wi_isa_info *wi_isa_info(unsigned id);
const struct wi_isa_format_info *wi_isa_format_info(unsigned format);
const struct wi_isa_slot_info *wi_isa_slot_info(unsigned slot);
const struct wi_isa_reg_info *wi_isa_reg_info(unsigned reg);
const struct wi_isa_timing_info *wi_isa_timing_info(unsigned timing);
const char *wi_isa_port_name(unsigned port);

/* The register called by the first `len` characters of `name`; WI_REG_NONE when there is none. */
enum wi_reg wi_isa_reg_find(const char *name, size_t len);

/* The register of `class` with that code, WI_REG_NONE when there is none; and back, -1. */
enum wi_reg wi_isa_class_reg(unsigned class, unsigned code);
int wi_isa_class_code(unsigned class, unsigned reg);

/* The instructions whose text begins with that mnemonic, with increasing opcodes from `after` (0 =
 * from the start) on: the next one, 0 when there is none.  "ret lr" and the like begin with "ret".
 */
unsigned wi_isa_find(const char *mnemonic, size_t len, unsigned after);

/* ------------------------------------------------------------------ bytes */

enum { WI_ISA_TRUNCATED = -1, WI_ISA_UNKNOWN = -2 };

/* The size that a bundle's first byte announces, 2..16. */
int wi_isa_size(uint8_t first_byte);

/* Decode the bundle at `bytes`, of which `n` are there.  Returns its size; TRUNCATED when the
 * announced size is more than n; UNKNOWN when no format or no instruction fits (out->size is then
 * the announced size).  On success wi_isa_pack gives the same bytes unless out->stray is set. */
int wi_isa_unpack(struct wi_isa_bundle *out, const uint8_t *bytes, size_t n);

/* Encode into `out`; the size follows from the format.  Returns it, or 0 when an operation does not
 * belong to its slot, stands in a slot that the format has not, or has an operand that its field
 * cannot hold. */
int wi_isa_pack(const struct wi_isa_bundle *bundle, uint8_t out[WI_ISA_MAX_BYTES]);

/* Whether a value fits into field `i` of instruction `id`. */
bool wi_isa_fits(unsigned id, unsigned i, int64_t value);

/* The range and step of an immediate field. */
void wi_isa_imm_range(const struct wi_isa_field *field, int64_t *min, int64_t *max);

/* The smallest format with at least the slots of the set, and at least `min_bytes` long; -1 when
 * there is none (LNG together with ALU or MV, or min_bytes > 16). */
int wi_isa_format_for(unsigned slots, int min_bytes);
/* The format with exactly those slots, -1 when there is none. */
int wi_isa_format_exact(unsigned slots);

/* ------------------------------------------------------------------ text */

/* Names for addresses of program memory: writes a label for `address` into buf and returns true, or
 * false. */
struct wi_isa_labels {
    bool (*name)(const void *user, uint32_t address, char *buf, size_t size);
    const void *user;
};

/* Print like snprintf: the text's length, of which at most size - 1 characters are stored. `labels`
 * may be NULL: addresses are then printed as numbers. */
int wi_isa_print_op(const struct wi_isa_op *op, enum wi_slot slot,
                    const struct wi_isa_labels *labels, char *buf, size_t size);
int wi_isa_print(const struct wi_isa_bundle *bundle, const struct wi_isa_labels *labels, char *buf,
                 size_t size);

/* ------------------------------------------------------------------ time and place */

/* A range of units that an operation reads or writes.  For a read: the stage at which it is
 * sampled.  For a write: the stage after which it can be read.  A write of a bundle issued at t is
 * seen by the reads of a bundle issued at u when u + read.stage >= t + write.stage + 1, or one
 * earlier when both have the same bypass that is not NONE. */
struct wi_isa_access {
    uint8_t unit, n_units;
    bool write;
    uint8_t stage;
    uint8_t bypass; /* enum wi_bypass, never MOV_X */
    int8_t field;   /* index of v, -1 = implied */
};

/* Fill `out`, return how many.  Results come before sources. */
int wi_isa_accesses(const struct wi_isa_op *op, struct wi_isa_access out[WI_ISA_MAX_ACCESSES]);

/* A port that an operation holds from `first` to `last` (stages; stage 1 is the cycle of issue).
 * `weak`: it does not hold it, but must not meet one that does. */
struct wi_isa_port_use {
    uint8_t port, first, last;
    bool weak;
};
int wi_isa_ports(const struct wi_isa_op *op, struct wi_isa_port_use out[WI_ISA_MAX_PORTS]);

/* The ranges of units of a register: 1, or 2 for a qwl. */
struct wi_isa_range {
    uint8_t unit, n_units;
};
int wi_isa_units(unsigned reg, struct wi_isa_range out[2]);

static inline bool wi_isa_overlap(uint8_t a, uint8_t n_a, uint8_t b, uint8_t n_b) {
    return a < b + n_b && b < a + n_a;
}

#endif

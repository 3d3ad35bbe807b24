/* One core's program as sections of bytes with labels: what an ELF file, a raw file or assembler
 * text becomes, and what they are made from.  The program owns everything in it until
 * wi_asm_prog_fini; it is plain data, used by one thread at a time. */
#ifndef WISP_SRC_NPU_ASM_PROG_H
#define WISP_SRC_NPU_ASM_PROG_H

#include <stdint.h>
#include <wisp/wisp.h>

#include "base/strbuf.h"

enum {
    WI_ASM_MAX_NAME = 255,       /* characters of a section's or label's name */
    WI_ASM_MAX_SECTIONS = 4096,  /* of a file */
    WI_ASM_MAX_LABELS = 1 << 20, /* of a file */
    WI_ASM_MAX_BYTES = 16 << 20 /* of all sections; a core has 16 KB of program and 64 KB of data */
};

struct wi_asm_section {
    char *name;
    uint32_t address; /* of program memory when `code`, else of the core's data addresses */
    bool code;        /* executable */
    struct wi_strbuf bytes;
};

struct wi_asm_label {
    char *name;       /* unique, of label characters only */
    uint32_t section; /* index */
    uint32_t offset;  /* from the section's start, 0..its size */
};

struct wi_asm_prog {
    struct wi_asm_section *sections; /* [n_sections] */
    struct wi_asm_label
        *labels; /* [n_labels]; wi_asm_prog_sort orders them by section and offset */
    size_t n_sections, n_labels;
    size_t section_capacity, label_capacity;
    uint32_t entry;
    bool relocatable; /* an object file: addresses in the code are not final */
    bool bare;        /* one section of code and nothing known about it */
};

void wi_asm_prog_init(struct wi_asm_prog *prog);
void wi_asm_prog_fini(struct wi_asm_prog *prog);

/* Append; names are copied.  Errors: NOMEM, UNSUPPORTED (more than the limits above). */
int wi_asm_prog_add_section(struct wi_asm_prog *prog, const char *name, uint32_t address, bool code,
                            struct wisp_error *err);
int wi_asm_prog_add_label(struct wi_asm_prog *prog, const char *name, size_t section,
                          uint32_t offset, struct wisp_error *err);

/* Order the labels by section, offset and age. */
void wi_asm_prog_sort(struct wi_asm_prog *prog);

/* Give labels that are there twice names of their own. */
int wi_asm_prog_tell_apart(struct wi_asm_prog *prog, struct wisp_error *err);

/* Which characters a label consists of. */
bool wi_asm_is_label_start(char c);
bool wi_asm_is_label_char(char c);

/* The lowest address of code; 0 when there is none. */
uint32_t wi_asm_prog_base(const struct wi_asm_prog *prog);
/* Where it starts: what an ELF file says, raw code's first byte. */
uint32_t wi_asm_prog_entry(const struct wi_asm_prog *prog);

/* The code sections as one run of bytes: placed by address with zeros in the gaps, or, when they
 * overlap as in an object file, one behind the other.  Errors: NOMEM, UNSUPPORTED (gaps beyond
 * WI_ASM_MAX_BYTES). */
int wi_asm_prog_raw(const struct wi_asm_prog *prog, struct wi_strbuf *out, struct wisp_error *err);

#endif

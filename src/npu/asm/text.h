/* Assembler text of a whole program, to and from struct wi_asm_prog.  Functions on the caller's
 * memory, thread-safe with different programs.
 *
 * A line is empty or one of (// begins a comment):
 *
 *     name:                          a label, of letters, digits and _ . $
 *     .label NAME, ADDRESS           a label of this section where no line begins
 *     .section NAME, ADDRESS, code   what follows is that section; or data.
 *                                    Without one: .text, 0, code
 *     .entry ADDRESS                 where an ELF program starts
 *     .object                        an object file, whose sections overlap
 *     .byte N, N ...
 *     .zero N                        N zero bytes
 *     op; op ...                     a bundle; the slots decide its format
 *
 * An address may be #label.  An address and a colon may stand before what makes bytes, and behind
 * them these bytes in hexadecimal: both are then compared with what the text gives. */
#ifndef WISP_SRC_NPU_ASM_TEXT_H
#define WISP_SRC_NPU_ASM_TEXT_H

#include <wisp/wisp_npu.h>

#include "npu/asm/prog.h"

/* Print a program; `flags`: a set of enum wisp_npu_listing.  Bytes that are no bundle, or have bits
 * set that no text can say, become .byte lines: reading the text gives the same bytes again.
 * Errors: NOMEM. */
int wi_asm_print(const struct wi_asm_prog *prog, unsigned flags, struct wi_strbuf *out,
                 struct wisp_error *err);

/* Read text called `name` into an initialised, empty program; after an error it may be half filled.
 * Errors: FORMAT ("name:line: reason"), UNSUPPORTED, NOMEM. */
int wi_asm_read(struct wi_asm_prog *prog, const char *text, size_t size, const char *name,
                struct wisp_error *err);

#endif

/* ELF32 files of AIE2 programs (machine 0x108) to and from struct wi_asm_prog.  Input is hostile:
 * every offset and size is checked.  Pure functions on memory of the caller, thread-safe. */
#ifndef WISP_SRC_NPU_ASM_ELF_H
#define WISP_SRC_NPU_ASM_ELF_H

#include "npu/asm/prog.h"

/* Whether the bytes begin as an ELF file does. */
bool wi_elf_is(const uint8_t *bytes, size_t size);

/* Read the sections that are loaded, and symbols as labels; without section headers the segments
 * that are loaded. `prog` must be initialised and empty; after an error it may be half filled.
 * Errors: FORMAT, UNSUPPORTED (another machine, class or generation), NOMEM. */
int wi_elf_read(struct wi_asm_prog *prog, const uint8_t *bytes, size_t size,
                struct wisp_error *err);

/* Write an executable, or an object when `prog` is relocatable (without relocations). */
int wi_elf_write(const struct wi_asm_prog *prog, struct wi_strbuf *out, struct wisp_error *err);

#endif

/* Configuration data objects: the register writes that load a design.  They lie in a PDI or in
 * files of their own.  Reading appends to a list of the caller, writing to a buffer of the caller.
 * No state, so thread-safe. */
#ifndef WISP_SRC_NPU_IMAGE_CDO_H
#define WISP_SRC_NPU_IMAGE_CDO_H

#include <wisp/wisp.h>

#include "base/strbuf.h"
#include "npu/image/cfg.h"

enum {
    WI_CDO_HEADER_WORDS = 5,
    WI_CDO_MAX_BLOCK = 0xffff, /* words; the loader's transformed form has 16 bits for it */
};

/* Append the commands of the CDO in words[n].  Words behind the length that its header states are
 * not looked at, as the loader does.  Errors: FORMAT (names the word; also a command that no loader
 * of this chip knows), NOMEM. */
int wi_cdo_read(struct wi_cfg *cfg, const uint32_t *words, size_t n, struct wisp_error *err);

/* Words of the header and of all commands.  Errors: ARG (an operation that a CDO has no command
 * for). */
int wi_cdo_length(const struct wi_cfg *cfg, size_t *n, struct wisp_error *err);

/* Append header and commands.  Errors: as wi_cdo_length, NOMEM. */
int wi_cdo_write(const struct wi_cfg *cfg, struct wi_strbuf *out, struct wisp_error *err);

#endif

/* Programmable device images: the container that the driver is given for a design.  For this chip
 * it is a fixed header of 84 words around one CDO; the header has no choices but its lengths and
 * checksums.  A struct wi_pdi owns its commands until wi_pdi_fini.  No state, so thread-safe. */
#ifndef WISP_SRC_NPU_IMAGE_PDI_H
#define WISP_SRC_NPU_IMAGE_PDI_H

#include <wisp/wisp.h>

#include "base/strbuf.h"
#include "npu/image/cfg.h"

enum { WI_PDI_HEADER_WORDS = 84 };

struct wi_pdi {
    struct wi_cfg cfg;
    uint32_t header[WI_PDI_HEADER_WORDS]; /* as read, or what wi_pdi_init fills in */
    bool transformed;     /* commands in groups, data apart: xclbinutil --transform-pdi */
    size_t missing_words; /* of a transformed image's last data, which that tool cuts off */
};

/* An empty image with the header that mlir-aie's images have. */
void wi_pdi_init(struct wi_pdi *pdi);
void wi_pdi_fini(struct wi_pdi *pdi);

/* Fill an initialised image from a file's bytes.  All checksums are checked.  Errors: FORMAT,
 * UNSUPPORTED (more than one image or partition, an unknown command), NOMEM. */
int wi_pdi_read(struct wi_pdi *pdi, const uint8_t *data, size_t size, struct wisp_error *err);

/* Append the file: what was read comes out as it was.  Errors: ARG (an operation that a CDO has no
 * command for), UNSUPPORTED (a transformed image), NOMEM. */
int wi_pdi_write(const struct wi_pdi *pdi, struct wi_strbuf *out, struct wisp_error *err);

#endif

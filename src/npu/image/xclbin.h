/* xclbin files (AXLF), the container that XRT loads: sections, of which AIE_PARTITION has the PDIs
 * and IP_LAYOUT the kernels that name them.  Linux's driver never sees one; wisp reads them to run
 * other people's designs and writes them so that other tools can run its own.  A struct wi_xclbin
 * borrows the bytes it was read from and owns its arrays until wi_xclbin_fini.  No state, so
 * thread-safe. Layout: XRT's xclbin.h, checked against files of three tool chains. */
#ifndef WISP_SRC_NPU_IMAGE_XCLBIN_H
#define WISP_SRC_NPU_IMAGE_XCLBIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <wisp/wisp.h>

#include "base/strbuf.h"

struct wi_xclbin_section {
    uint32_t kind;
    char name[17];
    const uint8_t *data;
    size_t size;
};

/* What a kernel id stands for: the group of a PDI that a command starts. */
struct wi_xclbin_pdi {
    uint8_t uuid[16];
    const uint8_t *data;
    size_t size;
    uint64_t *kernel_ids; /* of all its groups */
    size_t n_kernel_ids;
};

struct wi_xclbin_kernel {
    char name[65];
    uint32_t id;
    int functional; /* 0: TXN instruction streams, 1: the older form */
};

struct wi_xclbin {
    uint8_t uuid[16];
    char platform[65];
    uint64_t timestamp; /* seconds since 1970 */
    int major, minor, patch;
    struct wi_xclbin_section *sections;
    size_t n_sections;
    int n_cols; /* of the partition */
    uint32_t ops_per_cycle;
    struct wi_xclbin_pdi *pdis;
    size_t n_pdis;
    struct wi_xclbin_kernel *kernels;
    size_t n_kernels;
};

/* The name of a section's kind, "unknown" for others. */
const char *wi_xclbin_kind_name(uint32_t kind);

/* Whether the bytes start as an xclbin does. */
bool wi_xclbin_is(const uint8_t *data, size_t size);

/* Read `data`, which must outlive *x.  Errors: FORMAT (names the section), UNSUPPORTED (no
 * AIE_PARTITION: an image for other devices), NOMEM. */
int wi_xclbin_read(struct wi_xclbin *x, const uint8_t *data, size_t size, struct wisp_error *err);
void wi_xclbin_fini(struct wi_xclbin *x);

/* The PDI that commands of a kernel start; NULL when none has its id. */
const struct wi_xclbin_pdi *wi_xclbin_pdi_of(const struct wi_xclbin *x,
                                             const struct wi_xclbin_kernel *kernel);

/* A design with one kernel for TXN streams. */
struct wi_xclbin_design {
    const char *kernel; /* name, at most 61 characters */
    const uint8_t *pdi;
    size_t pdi_size;
    uint8_t uuid[16];
    uint64_t timestamp;
    int n_cols;
    int n_buffers; /* arguments behind the instruction stream and its length */
};

/* Append a file that XRT loads.  Errors: ARG (a name that is too long or not an identifier), NOMEM.
 */
int wi_xclbin_write(const struct wi_xclbin_design *design, struct wi_strbuf *out,
                    struct wisp_error *err);

#endif

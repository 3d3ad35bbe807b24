/* The actions of `wisp npu`.  Options' strings are borrowed from the command line. */
#ifndef WISP_CLI_NPU_H
#define WISP_CLI_NPU_H

#include <stdbool.h>

#include "cli.h"

struct npu_options {
    bool help, raw, plain, elf;
    const char *base, *output;
};

/* wisp npu dis FILE, wisp npu as FILE */
enum cli_exit npu_dis(const struct npu_options *o, const char *file);
enum cli_exit npu_as(const struct npu_options *o, const char *file);

/* Parse an address, decimal or 0x; says what is wrong with option `name`. */
bool npu_address(const char *name, const char *text, unsigned *out);

#endif

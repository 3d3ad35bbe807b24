/* The actions of `wisp npu`.  Options' strings are borrowed from the command line. */
#ifndef WISP_CLI_NPU_H
#define WISP_CLI_NPU_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "args.h"
#include "cli.h"

struct npu_options {
    bool help, raw, plain, proof, elf, check, notes, core, json, sim, disassemble;
    const char *base, *entry, *output, *max_cycles, *state, *rewrite, *save, *insts,
        *threads, *start;
    struct strings mem, dump, reg, lock, arg, out, breaks;
};

/* wisp npu dis FILE, as FILE, check FILE */
enum cli_exit npu_dis(const struct npu_options *o, const char *file);
enum cli_exit npu_as(const struct npu_options *o, const char *file);
enum cli_exit npu_check(const struct npu_options *o, const char *file);

/* Load an ELF file, or raw code with --raw and --base. */
struct wisp_npu_program;
enum cli_exit npu_load(const struct npu_options *o, const char *file,
                       struct wisp_npu_program **program);

/* Print the hazards of a program entered at *entry (NULL: at its own), with `notes` also what is legal but
 * worth knowing.  INPUT when there are hazards. */
enum cli_exit npu_report(const struct wisp_npu_program *program, const uint32_t *entry, bool notes,
                         bool summary, FILE *f);

/* wisp npu run --core FILE, wisp npu bench [KERNEL], wisp npu bench --sim */
enum cli_exit npu_run(const struct npu_options *o, const char *file);
enum cli_exit npu_bench(const struct npu_options *o, const char *kernel);
enum cli_exit npu_bench_sim(const struct npu_options *o);

/* wisp npu run IMAGE, wisp npu trace IMAGE */
enum cli_exit npu_run_image(const struct npu_options *o, const char *file);
enum cli_exit npu_trace(const struct npu_options *o, const char *file);

/* wisp npu image FILE */
enum cli_exit npu_image(const struct npu_options *o, const char *file);

/* Parse an address, decimal or 0x; says what is wrong with option `name`. */
bool npu_address(const char *name, const char *text, unsigned *out);

#endif

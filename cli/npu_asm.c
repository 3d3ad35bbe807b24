/* wisp npu dis, wisp npu as: a core's program to text and back. */
#include "npu.h"

#include <stdio.h>

#include <wisp/wisp_npu.h>

#include "outfile.h"

enum cli_exit npu_load(const struct npu_options *o, const char *file,
                       struct wisp_npu_program **program) {
    struct wisp_npu_load_params params;
    struct wisp_error err = {0};
    unsigned base = 0;
    if (o->base && !o->raw) {
        cli_say("--base goes with --raw; an ELF file says where its code lies");
        return CLI_USAGE;
    }
    if (o->base && !npu_address("--base", o->base, &base))
        return CLI_USAGE;
    wisp_npu_load_params_init(&params);
    params.raw = o->raw;
    params.base = base;
    return wisp_npu_load_file(program, file, &params, &err) == WISP_OK ? CLI_DONE : cli_fail(&err);
}

enum cli_exit npu_dis(const struct npu_options *o, const char *file) {
    struct wisp_npu_program *program;
    struct wisp_error err = {0};
    char *text = NULL;
    size_t size;
    unsigned flags = (o->plain ? WISP_NPU_PLAIN : 0) | (o->proof ? WISP_NPU_PROOF : 0);
    if (o->elf || o->check || o->entry || o->notes) {
        cli_say("%s does not belong to 'wisp npu dis', which prints text", o->elf     ? "--elf"
                                                                           : o->check ? "--check"
                                                                           : o->entry ? "--entry"
                                                                                      : "--notes");
        return CLI_USAGE;
    }
    enum cli_exit code = npu_load(o, file, &program);
    if (code != CLI_DONE)
        return code;
    code = wisp_npu_disassemble(program, flags, &text, &size, &err) == WISP_OK
               ? outfile_write(o->output ? o->output : "-", text, size)
               : cli_fail(&err);
    wisp_npu_free(text);
    wisp_npu_program_close(&program);
    return code;
}

/* Raw bytes have no place for data. */
static void tell_left_out(const struct wisp_npu_program *program) {
    struct wisp_npu_section s;
    for (size_t i = 0; wisp_npu_program_section(program, i, &s); i++)
        if (!s.code && s.size)
            cli_say("%s, %zu bytes of data at 0x%x, is not in the raw code; --elf keeps it", s.name,
                    s.size, s.address);
}

enum cli_exit npu_as(const struct npu_options *o, const char *file) {
    struct wisp_npu_program *program;
    struct wisp_error err = {0};
    uint8_t *bytes = NULL;
    size_t size;
    if (!o->output) {
        cli_say("as needs -o FILE, - for standard output");
        return CLI_USAGE;
    }
    if (o->raw || o->base || o->plain || o->notes || o->entry) {
        cli_say("%s does not belong to 'wisp npu as', which writes raw code unless there is --elf",
                o->raw     ? "--raw"
                : o->base  ? "--base"
                : o->plain ? "--plain"
                : o->notes ? "--notes"
                           : "--entry");
        return CLI_USAGE;
    }
    if (wisp_npu_assemble_file(&program, file, &err) != WISP_OK)
        return cli_fail(&err);
    enum cli_exit code = o->check ? npu_report(program, NULL, false, false, stderr) : CLI_DONE;
    if (code != CLI_DONE) {
        wisp_npu_program_close(&program);
        return code;
    }
    if (!o->elf)
        tell_left_out(program);
    code = wisp_npu_program_bytes(program, o->elf, &bytes, &size, &err) == WISP_OK
               ? outfile_write(o->output, bytes, size)
               : cli_fail(&err);
    wisp_npu_free(bytes);
    wisp_npu_program_close(&program);
    return code;
}

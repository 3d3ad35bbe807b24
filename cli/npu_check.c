/* wisp npu check: the hazards of a program. */
#include <stdio.h>

#include <wisp/wisp_npu.h>

#include "npu.h"

static void print_summary(const struct wisp_npu_check_counts *n, FILE *f) {
    fprintf(f, "%zu bundles, %zu hazard%s; %zu of %zu reads take an old value (%.1f %%)\n",
            n->bundles, n->hazards, n->hazards == 1 ? "" : "s", n->old_reads, n->reads,
            n->reads ? 100.0 * (double)n->old_reads / (double)n->reads : 0.0);
    if (n->reached_bytes < n->code_bytes)
        fprintf(f, "%zu of %zu bytes are not reached from the entry\n",
                n->code_bytes - n->reached_bytes, n->code_bytes);
}

enum cli_exit npu_report(const struct wisp_npu_program *program, const uint32_t *entry, bool notes,
                         bool summary, FILE *f) {
    struct wisp_npu_check *check;
    struct wisp_npu_check_counts counts;
    struct wisp_npu_finding finding;
    struct wisp_error err = {0};
    if (wisp_npu_check(&check, program, entry, entry ? 1 : 0, &err) != WISP_OK)
        return cli_fail(&err);
    for (size_t i = 0; wisp_npu_check_get_finding(check, i, &finding); i++)
        if (finding.hazard || notes)
            fprintf(f, "%s%s\n", finding.text, finding.hazard ? "" : " (legal)");
    wisp_npu_check_get_counts(check, &counts);
    if (summary)
        print_summary(&counts, f);
    wisp_npu_check_close(&check);
    return counts.hazards ? CLI_INPUT : CLI_DONE;
}

enum cli_exit npu_check(const struct npu_options *o, const char *file) {
    struct wisp_npu_program *program;
    unsigned entry = 0;
    if (o->elf || o->plain || o->output) {
        cli_say("%s does not belong to 'wisp npu check'", o->elf     ? "--elf"
                                                          : o->plain ? "--plain"
                                                                     : "-o");
        return CLI_USAGE;
    }
    if (o->entry && !npu_address("--entry", o->entry, &entry))
        return CLI_USAGE;
    enum cli_exit code = npu_load(o, file, &program);
    if (code != CLI_DONE)
        return code;
    code = npu_report(program, o->entry ? &entry : NULL, o->notes, true, stdout);
    wisp_npu_program_close(&program);
    return code;
}

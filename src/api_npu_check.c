/* The public calls of the NPU checker. */
#include <string.h>

#include "api_npu.h"
#include "base/err.h"
#include "base/mem.h"
#include "npu/asm/check.h"

struct wisp_npu_check {
    struct wi_check_report report;
    size_t code_bytes;
};

static int check_code(struct wisp_npu_check *check, const struct wi_asm_prog *prog,
                      const uint32_t *entries, size_t n_entries, struct wisp_error *err) {
    struct wi_strbuf code;
    if (prog->relocatable)
        return wi_err_set(err, WISP_E_UNSUPPORTED,
                          "an object file's branches are not final; check the linked program");
    wi_strbuf_init(&code);
    int rc = wi_asm_prog_raw(prog, &code, err);
    if (rc == WISP_OK)
        rc = wi_check(&check->report, (const uint8_t *)code.data, code.len, wi_asm_prog_base(prog),
                      entries, n_entries, err);
    check->code_bytes = code.len;
    wi_strbuf_fini(&code);
    return rc;
}

int wisp_npu_check(struct wisp_npu_check **out, const struct wisp_npu_program *program,
                   const uint32_t *entries, size_t n_entries, struct wisp_error *err) {
    wi_err_clear(err);
    struct wisp_npu_check *check = *out = wi_calloc(1, sizeof *check);
    if (!check)
        return wi_err_nomem(err, "the checker");
    uint32_t start = wi_asm_prog_entry(&program->prog);
    if (!entries) {
        entries = &start;
        n_entries = 1;
    }
    int rc = check_code(check, &program->prog, entries, n_entries, err);
    if (rc != WISP_OK)
        wisp_npu_check_close(out);
    return rc;
}

void wisp_npu_check_close(struct wisp_npu_check **check) {
    if (!check || !*check)
        return;
    wi_check_report_fini(&(*check)->report);
    wi_free(*check);
    *check = NULL;
}

void wisp_npu_check_get_counts(const struct wisp_npu_check *check,
                               struct wisp_npu_check_counts *out) {
    const struct wi_check_report *r = &check->report;
    *out = (struct wisp_npu_check_counts){.bundles = r->n_bundles,
                                          .code_bytes = check->code_bytes,
                                          .reached_bytes = r->n_bytes,
                                          .hazards = r->n_hazards,
                                          .reads = r->n_reads,
                                          .old_reads = r->n_old_reads};
}

bool wisp_npu_check_get_finding(const struct wisp_npu_check *check, size_t i,
                                struct wisp_npu_finding *out) {
    if (i >= check->report.n_findings)
        return false;
    const struct wi_check_finding *f = &check->report.findings[i];
    *out = (struct wisp_npu_finding){.hazard = wi_check_is_hazard(f->rule),
                                     .rule = wi_check_rule_name(f->rule),
                                     .address = f->at.address};
    wi_check_print(f, out->text, sizeof out->text);
    return true;
}

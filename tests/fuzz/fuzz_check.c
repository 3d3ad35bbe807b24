/* The checker on any bytes: it ends, and every finding can be printed. */
#include <stdlib.h>

#include "npu/asm/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct wi_check_report report;
    struct wisp_error err = {0};
    char line[64];
    uint32_t entries[] = {0, 16};
    if (size > 1024)
        return 0;
    int rc = wi_check(&report, data, size, 0, entries, 2, &err);
    if ((rc == WISP_OK) != !err.text[0])
        abort();
    for (size_t i = 0; i < report.n_findings; i++)
        if (wi_check_print(&report.findings[i], line, sizeof line) < 0)
            abort();
    wi_check_report_fini(&report);
    return 0;
}

/* Assembler text: refused with its line, or assembled into a program whose listings give the same
 * bytes. */
#include <string.h>

#include <wisp/wisp_npu.h>

#include "fuzz_files.h"

/* .zero makes large sections, whose text would take long. */
static bool is_small(const struct wisp_npu_program *program) {
    struct wisp_npu_section s;
    size_t total = 0;
    for (size_t i = 0; wisp_npu_program_section(program, i, &s); i++)
        total += s.size;
    return total < 1 << 18;
}

static void check_listing(const struct wisp_npu_program *program, bool plain) {
    struct wisp_npu_program *again;
    struct wisp_npu_section x, y;
    struct wisp_error err = {0};
    char *text;
    size_t n;
    NEED(wisp_npu_disassemble(program, plain, &text, &n, NULL) == WISP_OK);
    if (wisp_npu_assemble(&again, text, n, "fuzz", &err) != WISP_OK) {
        fprintf(stderr, "%s\n%s", err.text, text);
        abort();
    }
    for (size_t i = 0; wisp_npu_program_section(program, i, &x); i++) {
        if (!wisp_npu_program_section(again, i, &y)) {
            NEED(x.size == 0); /* a bare section without bytes leaves no trace */
            continue;
        }
        NEED(x.size == y.size && (!x.size || memcmp(x.bytes, y.bytes, x.size) == 0));
    }
    wisp_npu_free(text);
    wisp_npu_program_close(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct wisp_npu_program *program;
    struct wisp_error err = {0};
    int rc = wisp_npu_assemble(&program, (const char *)data, size, "fuzz", &err);
    NEED((rc == WISP_OK) == (program != NULL) && rc == err.code);
    NEED(rc != WISP_E_FORMAT || strncmp(err.text, "fuzz:", 5) == 0);
    if (program && is_small(program)) {
        check_listing(program, false);
        check_listing(program, true);
    }
    wisp_npu_program_close(&program);
    return 0;
}

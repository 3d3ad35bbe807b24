/* ELF files: refused, or read into a program whose text gives the same sections again. */
#include <string.h>

#include <wisp/wisp_npu.h>

#include "fuzz_files.h"

static void check_same(const struct wisp_npu_program *a, const struct wisp_npu_program *b) {
    struct wisp_npu_section x, y;
    size_t i = 0;
    for (; wisp_npu_program_section(a, i, &x); i++) {
        NEED(wisp_npu_program_section(b, i, &y));
        NEED(strcmp(x.name, y.name) == 0 && x.address == y.address && x.code == y.code &&
             x.size == y.size);
        NEED(x.size == 0 || memcmp(x.bytes, y.bytes, x.size) == 0);
    }
    NEED(!wisp_npu_program_section(b, i, &y));
}

/* Sections without bytes in the file can be large; their text would take long. */
static bool is_small(const struct wisp_npu_program *program) {
    struct wisp_npu_section s;
    size_t total = 0;
    for (size_t i = 0; wisp_npu_program_section(program, i, &s); i++)
        total += s.size;
    return total < 1 << 18;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct wisp_npu_program *program, *again;
    struct wisp_error err = {0};
    char *text;
    uint8_t *bytes;
    size_t n;
    int rc = wisp_npu_load(&program, data, size, NULL, &err);
    NEED((rc == WISP_OK) == (program != NULL) && rc == err.code && (rc == WISP_OK) == !err.text[0]);
    if (!program || !is_small(program)) {
        wisp_npu_program_close(&program);
        return 0;
    }
    NEED(wisp_npu_disassemble(program, size & 1, &text, &n, NULL) == WISP_OK);
    if (wisp_npu_assemble(&again, text, n, "fuzz", &err) != WISP_OK) {
        fprintf(stderr, "%s\n%s", err.text, text);
        abort();
    }
    check_same(program, again);
    wisp_npu_free(text);
    wisp_npu_program_close(&program);
    NEED(wisp_npu_program_bytes(again, true, &bytes, &n, NULL) == WISP_OK);
    NEED(wisp_npu_load(&program, bytes, n, NULL, NULL) == WISP_OK);
    wisp_npu_free(bytes);
    wisp_npu_program_close(&program);
    wisp_npu_program_close(&again);
    return 0;
}

/* Every allocation of assembling, writing, reading and listing a core's program fails once: the
 * call reports NOMEM, nothing leaks (the build has AddressSanitizer). */
#include "unit/suite.h"

#include <string.h>

#include <wisp/wisp_npu.h>

#include "base/mem.h"

static const char text[] =
    ".section .text, 0x10, code\nmain:\njl #work\nnop\nwork:\njz r0, #main\nret lr\n"
    ".section .data, 0x70000, data\ntable:\n.byte 1, 2\n.zero 40\nwork_end:\n";

/* Text to a program to an ELF file to a program to text. */
static int there_and_back(struct wisp_error *err) {
    struct wisp_npu_program *first = NULL, *second = NULL;
    uint8_t *elf = NULL;
    char *listing = NULL;
    size_t size;
    int rc = wisp_npu_assemble(&first, text, sizeof text - 1, "x.s", err);
    if (rc == WISP_OK)
        rc = wisp_npu_program_bytes(first, true, &elf, &size, err);
    if (rc == WISP_OK)
        rc = wisp_npu_load(&second, elf, size, NULL, err);
    wisp_npu_free(elf);
    elf = NULL;
    if (rc == WISP_OK)
        rc = wisp_npu_program_bytes(second, false, &elf, &size, err);
    if (rc == WISP_OK)
        rc = wisp_npu_disassemble(second, false, &listing, &size, err);
    wisp_npu_free(elf);
    wisp_npu_free(listing);
    wisp_npu_program_close(&first);
    wisp_npu_program_close(&second);
    return rc;
}

static void test_programs(void **state) {
    struct wisp_error err = {0};
    wi_mem_fail_at = 0;
    wi_mem_count = 0;
    assert_int_equal(there_and_back(&err), WISP_OK);
    long n = wi_mem_count;
    assert_true(n > 30);
    for (long i = 1; i <= n; i++) {
        wi_mem_fail_at = i;
        wi_mem_count = 0;
        int rc = there_and_back(&err);
        wi_mem_fail_at = 0;
        if (rc != WISP_E_NOMEM || err.code != rc || !strstr(err.text, "out of memory"))
            fail_msg("allocation %ld of %ld: %d, '%s'", i, n, rc, err.text);
    }
}

WISP_SUITE(cmocka_unit_test(test_programs))

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

/* A device, a design of one command, buffers, a stream that ends at once, and why nothing waits. */
static int through_a_device(struct wisp_error *err) {
    static const uint32_t design[] = {
        4, 0x004F4443, 0x200, 3, ~(4 + 0x004F4443 + 0x200 + 3u), 0x103 | 2 << 16, 0x0021F000, 1};
    static const uint32_t stream[] = {0x06030100, 0x101, 1, 40, 0, 0, 0x0021F000, 0, 2, 24};
    struct wisp_npu_device_params params;
    struct wisp_npu_device *device = NULL;
    struct wisp_npu_image *image = NULL, *insts = NULL;
    struct wisp_npu_buffer *buffer = NULL;
    char *why = NULL;
    wisp_npu_device_params_init(&params);
    params.n_threads = 2;
    int rc = wisp_npu_device_open(&device, "emu", &params, err);
    if (rc == WISP_OK)
        rc = wisp_npu_image_load(&image, (const uint8_t *)design, sizeof design, err);
    if (rc == WISP_OK)
        rc = wisp_npu_image_load(&insts, (const uint8_t *)stream, sizeof stream, err);
    if (rc == WISP_OK)
        rc = wisp_npu_device_load(device, image, 0, err);
    if (rc == WISP_OK)
        rc = wisp_npu_buffer_create(&buffer, device, 100, err);
    if (rc == WISP_OK)
        rc = wisp_npu_submit(device, insts, NULL, 0, err);
    if (rc == WISP_OK)
        rc = wisp_npu_wait(device, 1, err);
    if (rc == WISP_OK)
        rc = wisp_npu_device_explain(device, &why, err);
    wisp_npu_free(why);
    wisp_npu_buffer_destroy(&buffer);
    wisp_npu_image_close(&insts);
    wisp_npu_image_close(&image);
    wisp_npu_device_close(&device);
    return rc;
}

/* An mlir file, with a constant and a name for it. */
static int through_mlir(struct wisp_error *err) {
    static const char mlir[] =
        "aiex.runtime_sequence() {\nmemref.global constant @a : memref<2xi32> = dense<[1, -2]>\n"
        "%0 = memref.get_global @a\naiex.npu.blockwrite(%0) {address = 4 : ui32}\n}\n";
    struct wisp_npu_image *image = NULL;
    int rc = wisp_npu_image_load(&image, (const uint8_t *)mlir, sizeof mlir - 1, err);
    wisp_npu_image_close(&image);
    return rc;
}

/* A kernel of one loop with a kept schedule, which is laid out, run and measured. */
static int through_a_kernel(struct wisp_error *err) {
    struct wisp_npu_kernel_run run;
    int rc = wisp_npu_kernel_measure(&run, 0, err);
    wisp_npu_kernel_run_fini(&run);
    return rc;
}

static void each_allocation_fails(int (*run)(struct wisp_error *), long least) {
    struct wisp_error err = {0};
    wi_mem_fail_at = 0;
    wi_mem_count = 0;
    assert_int_equal(run(&err), WISP_OK);
    long n = wi_mem_count;
    assert_true(n >= least);
    for (long i = 1; i <= n; i++) {
        wi_mem_fail_at = i;
        wi_mem_count = 0;
        int rc = run(&err);
        wi_mem_fail_at = 0;
        if (rc != WISP_E_NOMEM || err.code != rc || !strstr(err.text, "out of memory"))
            fail_msg("allocation %ld of %ld: %d, '%s'", i, n, rc, err.text);
    }
}

static void test_programs(void **state) {
    (void)state;
    each_allocation_fails(there_and_back, 31);
}

static void test_devices(void **state) {
    (void)state;
    each_allocation_fails(through_a_device, 50);
}

static void test_kernels(void **state) {
    (void)state;
    each_allocation_fails(through_a_kernel, 50);
}

static void test_mlir(void **state) {
    (void)state;
    each_allocation_fails(through_mlir, 5);
}

WISP_SUITE(cmocka_unit_test(test_programs), cmocka_unit_test(test_devices),
           cmocka_unit_test(test_mlir), cmocka_unit_test(test_kernels))

/* What every device must do, through the public calls alone: one design that sends 64 words from
 * one buffer through a memory tile to another. */
#include "unit/suite.h"

#include <string.h>

#include <wisp/wisp_npu.h>

static const char *const devices[] = {"emu"};
enum { N_DEVICES = sizeof devices / sizeof *devices, BYTES = 256, WRITES = 20 };

#define ON 0x80000000u
#define MEM (1u << 20)
static const uint32_t writes[WRITES][2] = {
    {0x3F034, ON | 5},
    {0x3F114, ON}, /* shim: south 3 to north 1 */
    {0x3F010, ON | 14},
    {0x3F138, ON}, /* north 0 to south 2 */
    {0x3F008, 0xC0000045},
    {0x3F100, 0xC0000000},
    {0x3F200, 0x0F1F0135}, /* tokens with id 15 to the controller */
    {0x1F000, 0x400},
    {0x1F004, 0x10},
    {MEM | 0xB0000, ON | 8},
    {MEM | 0xB0120, ON}, /* memory tile: south 1 to S2MM 0 */
    {MEM | 0xB001C, ON},
    {MEM | 0xB0100, ON}, /* MM2S 0 to south 0 */
    /* descriptors 0 and 1: in, and after it out again, for ever */
    {MEM | 0xA0000, 64},
    {MEM | 0xA0004, 0x20000 | 1 << 19},
    {MEM | 0xA001C, ON | 1 << 24 | 64 << 16},
    {MEM | 0xA0020, 64},
    {MEM | 0xA0024, 0x20000 | 1 << 19 | 1 << 20},
    {MEM | 0xA003C, ON | 1 << 15 | 127 << 8 | 64},
    {MEM | 0xA0604, 0}};

struct bench {
    struct wisp_npu_device *device;
    struct wisp_npu_image *design, *insts;
    struct wisp_npu_buffer *in, *out;
};

static void image_of(struct wisp_npu_image **image, const uint32_t *words, size_t n) {
    struct wisp_error err = {0};
    if (wisp_npu_image_load(image, (const uint8_t *)words, 4 * n, &err) != WISP_OK)
        fail_msg("%s", err.text);
}

/* With or without the task that sends: without, nothing comes back. */
static void make_design(struct wisp_npu_image **image, bool sends) {
    uint32_t words[5 + 3 * (WRITES + 1)] = {4, 0x004F4443, 0x200};
    size_t n = 5;
    for (int i = 0; i < WRITES + sends; i++) {
        words[n++] = 0x103 | 2 << 16;
        words[n++] = i < WRITES ? writes[i][0] : MEM | 0xA0634;
        words[n++] = i < WRITES ? writes[i][1] : 1;
    }
    words[3] = (uint32_t)n - 5;
    words[4] = ~(words[0] + words[1] + words[2] + words[3]);
    image_of(image, words, n);
}

static void make_insts(struct wisp_npu_image **image) {
    /* clang-format off */
    static const uint32_t words[] = {
        0x06030100, 0x101, 8, 4 * (4 + 2 * (12 + 12 + 6) + 7 + 4),
        1, 0, 0x1D020, 48, 64, 0, 0, 0, ON, 0x2000000, 0, 0x2000000,
        0x81, 48, 0, 0, 0, 0, 0x1D024, 0, 0, 0, 0, 0,
        0, 0, 0x1D214, 0, 1, 24,
        1, 0, 0x1D000, 48, 64, 0, 0, 0, ON, 0x2000000, 0, 0x2000000,
        0x81, 48, 0, 0, 0, 0, 0x1D004, 0, 1, 0, 0, 0,
        3, 0, 0x1D200, 0, 0xF00, 0x1F00, 28,
        0, 0, 0x1D204, 0, ON, 24,
        0x80, 16, 0, 0x00010100};
    /* clang-format on */
    image_of(image, words, sizeof words / 4);
}

static void open_bench(struct bench *b, const char *name) {
    struct wisp_error err = {0};
    memset(b, 0, sizeof *b);
    if (wisp_npu_device_open(&b->device, name, NULL, &err) != WISP_OK)
        fail_msg("%s", err.text);
    make_design(&b->design, true);
    make_insts(&b->insts);
    assert_int_equal(wisp_npu_buffer_create(&b->in, b->device, 2 * BYTES, &err), WISP_OK);
    assert_int_equal(wisp_npu_buffer_create(&b->out, b->device, 2 * BYTES, &err), WISP_OK);
}

static void close_bench(struct bench *b) {
    wisp_npu_buffer_destroy(&b->in);
    wisp_npu_buffer_destroy(&b->out);
    wisp_npu_image_close(&b->design);
    wisp_npu_image_close(&b->insts);
    wisp_npu_device_close(&b->device);
    assert_null(b->device);
}

static int run(struct bench *b, uint64_t offset, struct wisp_error *err) {
    struct wisp_npu_argument args[] = {{b->in, offset}, {b->out, offset}};
    int rc = wisp_npu_submit(b->device, b->insts, args, 2, err);
    return rc == WISP_OK ? wisp_npu_wait(b->device, 1, err) : rc;
}

static void sync(struct wisp_npu_buffer *b, enum wisp_npu_direction direction) {
    struct wisp_error err = {0};
    assert_int_equal(wisp_npu_buffer_sync(b, direction, 0, 2 * BYTES, &err), WISP_OK);
}

static void fill(struct wisp_npu_buffer *b, int first) {
    uint8_t *data = wisp_npu_buffer_data(b);
    for (int i = 0; i < 2 * BYTES; i++)
        data[i] = (uint8_t)(first + i * 7);
}

/* ------------------------------------------------------------------ tests */

static void a_design_runs(void **state) {
    struct bench b;
    struct wisp_error err = {0};
    struct wisp_npu_report report;
    open_bench(&b, *state);
    assert_int_equal(wisp_npu_device_load(b.device, b.design, 0, &err), WISP_OK);
    for (int i = 0; i < 3; i++) { /* several submissions of one design */
        fill(b.in, i);
        sync(b.in, WISP_NPU_TO_DEVICE);
        if (run(&b, i == 2 ? BYTES : 0, &err) != WISP_OK)
            fail_msg("%s", err.text);
        sync(b.out, WISP_NPU_FROM_DEVICE);
        size_t at = i == 2 ? BYTES : 0;
        assert_memory_equal((uint8_t *)wisp_npu_buffer_data(b.out) + at,
                            (uint8_t *)wisp_npu_buffer_data(b.in) + at, BYTES);
        wisp_npu_device_report(b.device, &report);
        assert_int_equal(report.status, WISP_NPU_DONE);
        assert_true(report.cycles > 0 && report.us > 0);
        assert_string_equal(report.reason, "");
    }
    close_bench(&b);
}

static void what_is_not_synced_is_not_seen(void **state) {
    struct bench b;
    struct wisp_error err = {0};
    uint8_t zeros[BYTES] = {0};
    open_bench(&b, *state);
    assert_int_equal(wisp_npu_device_load(b.device, b.design, 0, &err), WISP_OK);
    fill(b.in, 1);
    assert_int_equal(run(&b, 0, &err), WISP_OK);
    assert_memory_equal(wisp_npu_buffer_data(b.out), zeros, BYTES); /* not yet */
    sync(b.out, WISP_NPU_FROM_DEVICE);
    assert_memory_not_equal(wisp_npu_buffer_data(b.out), wisp_npu_buffer_data(b.in), BYTES);
    /* a part alone */
    assert_int_equal(wisp_npu_buffer_sync(b.in, WISP_NPU_TO_DEVICE, 64, 32, &err), WISP_OK);
    assert_int_equal(run(&b, 0, &err), WISP_OK);
    sync(b.out, WISP_NPU_FROM_DEVICE);
    const uint8_t *in = wisp_npu_buffer_data(b.in), *out = wisp_npu_buffer_data(b.out);
    assert_memory_equal(out + 64, in + 64, 32);
    assert_memory_not_equal(out, in, 64);
    assert_int_equal(wisp_npu_buffer_sync(b.in, WISP_NPU_TO_DEVICE, 500, 13, &err), WISP_E_ARG);
    assert_int_equal(wisp_npu_buffer_sync(b.in, WISP_NPU_TO_DEVICE, 513, 0, &err), WISP_E_ARG);
    close_bench(&b);
}

static void wrong_use_is_refused(void **state) {
    struct bench b;
    struct wisp_error err = {0};
    struct wisp_npu_argument many[65] = {0};
    open_bench(&b, *state);
    assert_int_equal(run(&b, 0, &err), WISP_E_ARG); /* nothing is loaded */
    assert_int_equal(wisp_npu_wait(b.device, 1, &err), WISP_E_ARG);
    assert_int_equal(wisp_npu_device_load(b.device, b.design, 1, &err), WISP_E_ARG);
    assert_int_equal(wisp_npu_device_load(b.device, b.insts, 0, &err), WISP_E_ARG);
    assert_int_equal(wisp_npu_device_load(b.device, b.design, 0, &err), WISP_OK);
    assert_int_equal(wisp_npu_submit(b.device, b.design, NULL, 0, &err), WISP_E_ARG);
    assert_int_equal(wisp_npu_submit(b.device, b.insts, many, 65, &err), WISP_E_ARG);
    assert_int_equal(wisp_npu_submit(b.device, b.insts, many, 2, &err), WISP_OK);
    assert_int_equal(wisp_npu_submit(b.device, b.insts, many, 2, &err), WISP_E_ARG); /* twice */
    struct wisp_npu_device *none = NULL;
    assert_int_equal(wisp_npu_device_open(&none, "npu9", NULL, &err), WISP_E_ARG);
    assert_non_null(strstr(err.text, "emu"));
    assert_null(none);
    close_bench(&b);
}

static void a_wait_that_takes_too_long(void **state) {
    struct bench b;
    struct wisp_error err = {0};
    struct wisp_npu_report report;
    open_bench(&b, *state);
    assert_int_equal(wisp_npu_device_load(b.device, b.design, 0, &err), WISP_OK);
    fill(b.in, 9);
    sync(b.in, WISP_NPU_TO_DEVICE);
    struct wisp_npu_argument args[] = {{b.in, 0}, {b.out, 0}};
    assert_int_equal(wisp_npu_submit(b.device, b.insts, args, 2, &err), WISP_OK);
    assert_int_equal(wisp_npu_wait(b.device, 1e-6, &err), WISP_E_TIMEOUT);
    wisp_npu_device_report(b.device, &report);
    assert_int_equal(report.status, WISP_NPU_LIMIT);
    assert_int_equal(wisp_npu_wait(b.device, 1, &err), WISP_OK); /* goes on */
    sync(b.out, WISP_NPU_FROM_DEVICE);
    assert_memory_equal(wisp_npu_buffer_data(b.out), wisp_npu_buffer_data(b.in), BYTES);
    close_bench(&b);
}

static void a_hang_names_its_tile(void **state) {
    struct bench b;
    struct wisp_error err = {0};
    struct wisp_npu_report report;
    struct wisp_npu_caps caps;
    char *text;
    open_bench(&b, *state);
    wisp_npu_device_get_caps(b.device, &caps);
    wisp_npu_image_close(&b.design);
    make_design(&b.design, false);
    assert_int_equal(wisp_npu_device_load(b.device, b.design, 0, &err), WISP_OK);
    int rc = run(&b, 0, &err);
    assert_true(rc == WISP_E_DEVICE || rc == WISP_E_TIMEOUT);
    if (caps.emulated) {
        assert_int_equal(rc, WISP_E_DEVICE);
        wisp_npu_device_report(b.device, &report);
        assert_int_equal(report.status, WISP_NPU_DEADLOCK);
        assert_non_null(strstr(report.reason, "(0,0) s2mm0"));
        assert_string_equal(report.reason, err.text);
        assert_int_equal(wisp_npu_device_explain(b.device, &text, &err), WISP_OK);
        assert_non_null(strstr(text, "(0,0) s2mm0 bd0 waits for 64 of 64 words"));
        wisp_npu_free(text);
    }
    /* a new load makes the device usable again */
    wisp_npu_image_close(&b.design);
    make_design(&b.design, true);
    assert_int_equal(wisp_npu_device_load(b.device, b.design, 0, &err), WISP_OK);
    assert_int_equal(run(&b, 0, &err), WISP_OK);
    close_bench(&b);
}

static void counters_and_capabilities(void **state) {
    struct bench b;
    struct wisp_error err = {0};
    struct wisp_npu_caps caps;
    struct wisp_npu_tile tile;
    struct wisp_npu_channel c;
    uint64_t words = 0;
    int tiles = 0, channels = 0;
    open_bench(&b, *state);
    wisp_npu_device_get_caps(b.device, &caps);
    assert_string_equal(caps.name, *state);
    assert_int_equal(caps.n_cores, 4 * caps.n_cols);
    assert_true(caps.clock_khz >= 400000 && caps.max_arguments >= 8);
    assert_int_equal(wisp_npu_device_load(b.device, b.design, 0, &err), WISP_OK);
    assert_int_equal(run(&b, 0, &err), WISP_OK);
    if (caps.emulated) {
        while (wisp_npu_device_tile(b.device, tiles, &tile))
            tiles++;
        assert_int_equal(tiles, caps.n_cores);
        for (; wisp_npu_device_channel(b.device, channels, &c); channels++)
            words += c.words;
        assert_int_equal(channels, 4 * (4 + 12 + 4 * 4));
        assert_int_equal(words, 4 * 64);
    }
    assert_false(wisp_npu_device_tile(b.device, -1, &tile));
    assert_false(wisp_npu_device_channel(b.device, -1, &c));
    close_bench(&b);
}

int main(void) {
    static void (*const tests[])(void **) = {a_design_runs,         what_is_not_synced_is_not_seen,
                                             wrong_use_is_refused,  a_wait_that_takes_too_long,
                                             a_hang_names_its_tile, counters_and_capabilities};
    enum { N_TESTS = sizeof tests / sizeof *tests };
    struct CMUnitTest all[N_DEVICES * N_TESTS] = {0};
    for (int d = 0; d < N_DEVICES; d++)
        for (int i = 0; i < N_TESTS; i++)
            all[d * N_TESTS + i] = (struct CMUnitTest){
                .name = devices[d], .test_func = tests[i], .initial_state = (void *)devices[d]};
    return cmocka_run_group_tests(all, NULL, NULL);
}

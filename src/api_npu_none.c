/* The NPU stack's entry points in a library that was built without it. */
#include <wisp/wisp_npu.h>

#include <string.h>

#include "base/err.h"

static int unsupported(struct wisp_error *err) {
    wi_err_clear(err);
    return wi_err_set(err, WISP_E_UNSUPPORTED,
                      "this wisp was built without its NPU stack; build it with -Dnpu=true");
}

void wisp_npu_load_params_init(struct wisp_npu_load_params *params) {
    memset(params, 0, sizeof *params);
}

int wisp_npu_load_file(struct wisp_npu_program **out, const char *path,
                       const struct wisp_npu_load_params *params, struct wisp_error *err) {
    *out = NULL;
    return unsupported(err);
}

int wisp_npu_load(struct wisp_npu_program **out, const uint8_t *bytes, size_t size,
                  const struct wisp_npu_load_params *params, struct wisp_error *err) {
    *out = NULL;
    return unsupported(err);
}

int wisp_npu_assemble_file(struct wisp_npu_program **out, const char *path,
                           struct wisp_error *err) {
    *out = NULL;
    return unsupported(err);
}

int wisp_npu_assemble(struct wisp_npu_program **out, const char *text, size_t size,
                      const char *name, struct wisp_error *err) {
    *out = NULL;
    return unsupported(err);
}

void wisp_npu_program_close(struct wisp_npu_program **program) {}

int wisp_npu_disassemble(const struct wisp_npu_program *program, unsigned flags, char **text,
                         size_t *size, struct wisp_error *err) {
    *text = NULL;
    return unsupported(err);
}

int wisp_npu_program_bytes(const struct wisp_npu_program *program, bool elf, uint8_t **bytes,
                           size_t *size, struct wisp_error *err) {
    *bytes = NULL;
    return unsupported(err);
}

bool wisp_npu_program_section(const struct wisp_npu_program *program, size_t i,
                              struct wisp_npu_section *out) {
    return false;
}

void wisp_npu_free(void *memory) {}

int wisp_npu_check(struct wisp_npu_check **out, const struct wisp_npu_program *program,
                   const uint32_t *entries, size_t n_entries, struct wisp_error *err) {
    *out = NULL;
    return unsupported(err);
}

int wisp_npu_core_create(struct wisp_npu_core **out, const char *cpu, struct wisp_error *err) {
    *out = NULL;
    return unsupported(err);
}

void wisp_npu_check_close(struct wisp_npu_check **check) {}

void wisp_npu_check_get_counts(const struct wisp_npu_check *check,
                               struct wisp_npu_check_counts *out) {
    memset(out, 0, sizeof *out);
}

bool wisp_npu_check_get_finding(const struct wisp_npu_check *check, size_t i,
                                struct wisp_npu_finding *out) {
    return false;
}

void wisp_npu_core_destroy(struct wisp_npu_core **core) {}

int wisp_npu_core_load(struct wisp_npu_core *core, const struct wisp_npu_program *program,
                       struct wisp_error *err) {
    return unsupported(err);
}

int wisp_npu_core_write(struct wisp_npu_core *core, uint32_t address, const void *bytes,
                        size_t size, struct wisp_error *err) {
    return unsupported(err);
}

int wisp_npu_core_read(const struct wisp_npu_core *core, uint32_t address, void *bytes, size_t size,
                       struct wisp_error *err) {
    return unsupported(err);
}

int wisp_npu_core_set(struct wisp_npu_core *core, const char *name, uint32_t value,
                      struct wisp_error *err) {
    return unsupported(err);
}

int wisp_npu_core_get(const struct wisp_npu_core *core, const char *name, uint32_t *value,
                      struct wisp_error *err) {
    return unsupported(err);
}

int wisp_npu_core_set_lock(struct wisp_npu_core *core, unsigned id, int value,
                           struct wisp_error *err) {
    return unsupported(err);
}

int wisp_npu_core_break(struct wisp_npu_core *core, uint32_t address, struct wisp_error *err) {
    return unsupported(err);
}

void wisp_npu_core_run(struct wisp_npu_core *core, uint64_t max_cycles,
                       struct wisp_npu_result *result) {
    memset(result, 0, sizeof *result);
    result->status = WISP_NPU_FAULT;
}

const char *wisp_npu_stall_name(int stall) {
    return NULL;
}

const char *wisp_npu_status_name(enum wisp_npu_status status) {
    return "fault";
}

int wisp_npu_core_state(const struct wisp_npu_core *core, char **text, size_t *size,
                        struct wisp_error *err) {
    *text = NULL;
    return unsupported(err);
}

void wisp_npu_core_trace(struct wisp_npu_core *core,
                         void (*fn)(void *user, const struct wisp_npu_core *core), void *user) {}

int wisp_npu_image_load(struct wisp_npu_image **out, const uint8_t *bytes, size_t size,
                        struct wisp_error *err) {
    *out = NULL;
    return unsupported(err);
}

int wisp_npu_image_load_file(struct wisp_npu_image **out, const char *path,
                             struct wisp_error *err) {
    *out = NULL;
    return unsupported(err);
}

void wisp_npu_image_close(struct wisp_npu_image **image) {}

int wisp_npu_image_bytes(const struct wisp_npu_image *image, uint8_t **bytes, size_t *size,
                         struct wisp_error *err) {
    *bytes = NULL;
    return unsupported(err);
}

int wisp_npu_image_list(const struct wisp_npu_image *image,
                        const struct wisp_npu_list_params *params, char **text, size_t *size,
                        struct wisp_error *err) {
    *text = NULL;
    return unsupported(err);
}

void wisp_npu_device_params_init(struct wisp_npu_device_params *params) {
    memset(params, 0, sizeof *params);
}

int wisp_npu_device_open(struct wisp_npu_device **out, const char *name,
                         const struct wisp_npu_device_params *params, struct wisp_error *err) {
    *out = NULL;
    return unsupported(err);
}

void wisp_npu_device_close(struct wisp_npu_device **device) {}

void wisp_npu_device_get_caps(const struct wisp_npu_device *device, struct wisp_npu_caps *caps) {
    memset(caps, 0, sizeof *caps);
}

int wisp_npu_device_load(struct wisp_npu_device *device, const struct wisp_npu_image *image,
                         size_t i, struct wisp_error *err) {
    return unsupported(err);
}

int wisp_npu_buffer_create(struct wisp_npu_buffer **out, struct wisp_npu_device *device,
                           size_t size, struct wisp_error *err) {
    *out = NULL;
    return unsupported(err);
}

void wisp_npu_buffer_destroy(struct wisp_npu_buffer **buffer) {}

void *wisp_npu_buffer_data(struct wisp_npu_buffer *buffer) {
    return NULL;
}

int wisp_npu_buffer_sync(struct wisp_npu_buffer *buffer, enum wisp_npu_direction direction,
                         size_t offset, size_t size, struct wisp_error *err) {
    return unsupported(err);
}

int wisp_npu_submit(struct wisp_npu_device *device, const struct wisp_npu_image *insts,
                    const struct wisp_npu_argument *args, size_t n_args, struct wisp_error *err) {
    return unsupported(err);
}

int wisp_npu_wait(struct wisp_npu_device *device, double seconds, struct wisp_error *err) {
    return unsupported(err);
}

void wisp_npu_device_report(const struct wisp_npu_device *device, struct wisp_npu_report *report) {
    memset(report, 0, sizeof *report);
    report->status = WISP_NPU_FAULT;
}

bool wisp_npu_device_tile(const struct wisp_npu_device *device, int i, struct wisp_npu_tile *tile) {
    return false;
}

bool wisp_npu_device_channel(const struct wisp_npu_device *device, int i,
                             struct wisp_npu_channel *channel) {
    return false;
}

int wisp_npu_device_explain(const struct wisp_npu_device *device, char **text,
                            struct wisp_error *err) {
    *text = NULL;
    return unsupported(err);
}

void wisp_npu_device_trace(struct wisp_npu_device *device,
                           void (*fn)(void *user, const struct wisp_npu_span *span), void *user) {}

const char *wisp_npu_kernel_name(size_t i) {
    return NULL;
}

int wisp_npu_kernel_measure(struct wisp_npu_kernel_run *out, size_t i, struct wisp_error *err) {
    memset(out, 0, sizeof *out);
    return unsupported(err);
}

void wisp_npu_kernel_run_fini(struct wisp_npu_kernel_run *run) {}

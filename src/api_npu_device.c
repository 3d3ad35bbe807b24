/* The public calls for devices. */
#include <string.h>

#include <wisp/wisp_npu.h>

#include "api_npu.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/strbuf.h"
#include "npu/device/device.h"

enum { MAX_ARGUMENTS = 64 };

struct wisp_npu_device {
    const struct wi_dev_ops *ops;
    void *dev;
};

struct wisp_npu_buffer {
    struct wisp_npu_device *device;
    void *buffer;
};

void wisp_npu_device_params_init(struct wisp_npu_device_params *params) {
    *params = (struct wisp_npu_device_params){0};
}

int wisp_npu_device_open(struct wisp_npu_device **out, const char *name,
                         const struct wisp_npu_device_params *params, struct wisp_error *err) {
    struct wisp_npu_device_params defaults;
    const struct wi_dev_ops *ops = wi_dev_find(name);
    wi_err_clear(err);
    *out = NULL;
    wisp_npu_device_params_init(&defaults);
    if (!ops)
        return wi_err_set(err, WISP_E_ARG, "there is no NPU device '%s'; there is emu", name);
    struct wisp_npu_device *device = wi_calloc(1, sizeof *device);
    if (!device)
        return wi_err_nomem(err, "a device");
    device->ops = ops;
    int rc = ops->open(&device->dev, params ? params : &defaults, err);
    if (rc == WISP_OK)
        *out = device;
    else
        wi_free(device);
    return rc;
}

void wisp_npu_device_close(struct wisp_npu_device **device) {
    if (!device || !*device)
        return;
    (*device)->ops->close((*device)->dev);
    wi_free(*device);
    *device = NULL;
}

void wisp_npu_device_get_caps(const struct wisp_npu_device *device, struct wisp_npu_caps *caps) {
    device->ops->caps(device->dev, caps);
}

int wisp_npu_device_load(struct wisp_npu_device *device, const struct wisp_npu_image *image,
                         size_t i, struct wisp_error *err) {
    struct wi_strbuf pdi;
    wi_err_clear(err);
    wi_strbuf_init(&pdi);
    int rc = wi_api_image_pdi(image, i, &pdi, err);
    if (rc == WISP_OK)
        rc = device->ops->load(device->dev, (const uint8_t *)pdi.data, pdi.len, err);
    wi_strbuf_fini(&pdi);
    return rc;
}

/* ------------------------------------------------------------------ buffers */

int wisp_npu_buffer_create(struct wisp_npu_buffer **out, struct wisp_npu_device *device,
                           size_t size, struct wisp_error *err) {
    wi_err_clear(err);
    struct wisp_npu_buffer *b = *out = wi_calloc(1, sizeof *b);
    if (!b)
        return wi_err_nomem(err, "a buffer");
    b->device = device;
    int rc = device->ops->buffer_create(device->dev, &b->buffer, size, err);
    if (rc != WISP_OK) {
        wi_free(b);
        *out = NULL;
    }
    return rc;
}

void wisp_npu_buffer_destroy(struct wisp_npu_buffer **buffer) {
    if (!buffer || !*buffer)
        return;
    (*buffer)->device->ops->buffer_destroy((*buffer)->device->dev, (*buffer)->buffer);
    wi_free(*buffer);
    *buffer = NULL;
}

void *wisp_npu_buffer_data(struct wisp_npu_buffer *buffer) {
    return buffer->device->ops->buffer_data(buffer->buffer);
}

int wisp_npu_buffer_sync(struct wisp_npu_buffer *buffer, enum wisp_npu_direction direction,
                         size_t offset, size_t size, struct wisp_error *err) {
    struct wisp_npu_device *device = buffer->device;
    wi_err_clear(err);
    return device->ops->sync(device->dev, buffer->buffer, direction == WISP_NPU_TO_DEVICE, offset,
                             size, err);
}

/* ------------------------------------------------------------------ running */

int wisp_npu_submit(struct wisp_npu_device *device, const struct wisp_npu_image *insts,
                    const struct wisp_npu_argument *args, size_t n_args, struct wisp_error *err) {
    struct wi_dev_argument list[MAX_ARGUMENTS];
    uint8_t *bytes;
    size_t size;
    wi_err_clear(err);
    if (n_args > MAX_ARGUMENTS)
        return wi_err_set(err, WISP_E_ARG, "a submission has at most %d buffers", MAX_ARGUMENTS);
    if (!wi_api_image_is_insts(insts))
        return wi_err_set(err, WISP_E_ARG, "the image is no instruction stream");
    for (size_t i = 0; i < n_args; i++)
        list[i] = (struct wi_dev_argument){args[i].buffer ? args[i].buffer->buffer : NULL,
                                           args[i].offset};
    int rc = wisp_npu_image_bytes(insts, &bytes, &size, err);
    if (rc == WISP_OK)
        rc = device->ops->submit(device->dev, bytes, size, list, n_args, err);
    wisp_npu_free(bytes);
    return rc;
}

int wisp_npu_wait(struct wisp_npu_device *device, double seconds, struct wisp_error *err) {
    wi_err_clear(err);
    return device->ops->wait(device->dev, seconds, err);
}

void wisp_npu_device_report(const struct wisp_npu_device *device, struct wisp_npu_report *report) {
    device->ops->report(device->dev, report);
}

bool wisp_npu_device_tile(const struct wisp_npu_device *device, int i, struct wisp_npu_tile *tile) {
    return device->ops->tile(device->dev, i, tile);
}

bool wisp_npu_device_channel(const struct wisp_npu_device *device, int i,
                             struct wisp_npu_channel *channel) {
    return i >= 0 && device->ops->channel(device->dev, i, channel);
}

int wisp_npu_device_explain(const struct wisp_npu_device *device, char **text,
                            struct wisp_error *err) {
    wi_err_clear(err);
    return device->ops->explain(device->dev, text, err);
}

void wisp_npu_device_trace(struct wisp_npu_device *device,
                           void (*fn)(void *user, const struct wisp_npu_span *span), void *user) {
    device->ops->trace(device->dev, fn, user);
}

/* A device that runs designs: the emulator, and what will come beside it.  It is given the bytes of
 * images and instruction streams and buffers, nothing else.  Addresses that streams patch in are
 * "device addresses"; host memory and the device's copy of it meet only in `sync`.
 *
 * A device is used by one thread at a time.  Whoever opens it closes it, after its buffers. */
#ifndef WISP_SRC_NPU_DEVICE_DEVICE_H
#define WISP_SRC_NPU_DEVICE_DEVICE_H

#include <wisp/wisp_npu.h>

struct wi_dev_argument {
    void *buffer; /* of wi_dev_ops.buffer_create */
    uint64_t offset;
};

/* What each backend does; `dev` is what its `open` made.  Errors: as the calls of wisp_npu.h that
 * are named like them. */
struct wi_dev_ops {
    const char *name;
    int (*open)(void **dev, const struct wisp_npu_device_params *params, struct wisp_error *err);
    void (*close)(void *dev);
    void (*caps)(const void *dev, struct wisp_npu_caps *caps);
    int (*load)(void *dev, const uint8_t *pdi, size_t size, struct wisp_error *err);
    int (*buffer_create)(void *dev, void **buffer, size_t size, struct wisp_error *err);
    void (*buffer_destroy)(void *dev, void *buffer);
    void *(*buffer_data)(void *buffer);
    int (*sync)(void *dev, void *buffer, bool to_device, size_t offset, size_t size,
                struct wisp_error *err);
    int (*submit)(void *dev, const uint8_t *insts, size_t size, const struct wi_dev_argument *args,
                  size_t n_args, struct wisp_error *err);
    int (*wait)(void *dev, double seconds, struct wisp_error *err);
    void (*report)(const void *dev, struct wisp_npu_report *report);
    bool (*tile)(const void *dev, int i, struct wisp_npu_tile *tile);
    bool (*channel)(const void *dev, int i, struct wisp_npu_channel *channel);
    int (*explain)(const void *dev, char **text, struct wisp_error *err);
    void (*trace)(void *dev, void (*fn)(void *user, const struct wisp_npu_span *span), void *user);
};

/* By name; NULL when there is none such. */
const struct wi_dev_ops *wi_dev_find(const char *name);

extern const struct wi_dev_ops wi_dev_emu;

#endif

#include "npu/device/device.h"

#include <string.h>

const struct wi_dev_ops *wi_dev_find(const char *name) {
    static const struct wi_dev_ops *const all[] = {&wi_dev_emu};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
}

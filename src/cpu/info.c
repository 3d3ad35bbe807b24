/* The public description of CPU and kernels. */
#include <wisp/wisp.h>

#include "base/err.h"
#include "cpu/kern.h"
#include "cpu/levels.h"

bool wisp_cpu_feature_get(size_t i, struct wisp_cpu_feature *out) {
    if (i >= WI_N_CPU_FEATURES)
        return false;
    out->name = wi_cpu_feature_name((enum wi_cpu_feature)i);
    out->present = wi_cpu_features() >> i & 1;
    return true;
}

int wisp_cpu_level(const char *cpu, const char **level, struct wisp_error *err) {
    enum wi_level found;
    int rc = wi_level_parse(&found, cpu, err);
    *level = rc == WISP_OK ? wi_level_name(found) : NULL;
    return rc;
}

bool wisp_cpu_kernel_get(const char *cpu, size_t i, struct wisp_kernel_row *out,
                         struct wisp_error *err) {
    static const char *const names[] = {
#define WI_KERN(name, ret, params) #name,
#include "cpu/kern_list.def"
#undef WI_KERN
    };
    enum wi_level level;
    if (wi_level_parse(&level, cpu, err) != WISP_OK || i >= sizeof names / sizeof *names)
        return false;
    out->kernel = names[i];
    out->level = wi_level_name(level);
    return true;
}

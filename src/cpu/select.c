#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "cpu/kern.h"
#include "cpu/levels.h"

#define NEED(feature) (1u << WI_CPU_##feature)
#define AVX2_NEEDS (NEED(AVX2) | NEED(FMA) | NEED(F16C))
#define AVX512_NEEDS (AVX2_NEEDS | NEED(AVX512F) | NEED(AVX512BW) | NEED(AVX512DQ) | NEED(AVX512VL))

/* A level without a table was not compiled (other processors, old compilers). */
static const struct {
    const char *name;
    unsigned needs;
    const struct wi_kern *table;
} levels[WI_N_LEVELS] = {
    [WI_PORTABLE] = {"portable", 0, &wi_kern_portable},
    [WI_AVX2] = {"avx2", AVX2_NEEDS,
#ifdef WISP_HAVE_AVX2
                 &wi_kern_avx2
#endif
    },
    [WI_AVXVNNI] = {"avxvnni", AVX2_NEEDS | NEED(AVXVNNI),
#ifdef WISP_HAVE_AVXVNNI
                    &wi_kern_avxvnni
#endif
    },
    [WI_AVX512] = {"avx512", AVX512_NEEDS,
#ifdef WISP_HAVE_AVX512
                   &wi_kern_avx512
#endif
    },
    [WI_AVX512BF16] = {"avx512bf16", AVX512_NEEDS | NEED(AVX512BF16) | NEED(AVX512VNNI),
#ifdef WISP_HAVE_AVX512BF16
                       &wi_kern_avx512bf16
#endif
    },
};

const char *wi_level_name(enum wi_level level) {
    return levels[level].name;
}

static bool available(enum wi_level level, unsigned features) {
    return levels[level].table && (levels[level].needs & ~features) == 0;
}

enum wi_level wi_cpu_detect(void) {
    unsigned features = wi_cpu_features();
    int level = WI_N_LEVELS - 1;
    while (!available(level, features))
        level--;
    return level;
}

/* "portable, avx2" */
static void list_available(char *buf, size_t size, unsigned features) {
    size_t len = 0;
    buf[0] = '\0';
    for (int i = 0; i < WI_N_LEVELS; i++)
        if (available(i, features) && len < size)
            len += (size_t)snprintf(buf + len, size - len, "%s%s", len ? ", " : "", levels[i].name);
}

int wi_level_parse(enum wi_level *level, const char *name, struct wisp_error *err) {
    const char *source = "CPU level";
    char list[96];
    if (!name || !*name) {
        name = getenv("WISP_CPU");
        source = "WISP_CPU";
    }
    *level = wi_cpu_detect();
    if (!name || !*name)
        return WISP_OK;
    unsigned features = wi_cpu_features();
    list_available(list, sizeof list, features);
    for (int i = 0; i < WI_N_LEVELS; i++) {
        if (strcmp(name, levels[i].name) != 0)
            continue;
        if (available(i, features)) {
            *level = i;
            return WISP_OK;
        }
        for (int f = 0; f < WI_N_CPU_FEATURES; f++)
            if (levels[i].needs & ~features & 1u << f)
                return wi_err_set(err, WISP_E_ARG,
                                  "%s '%s' is not available: this CPU has no %s; use one of: %s",
                                  source, name, wi_cpu_feature_name(f), list);
        return wi_err_set(err, WISP_E_ARG,
                          "%s '%s' is not available: it was left out of this build; use one of: %s",
                          source, name, list);
    }
    return wi_err_set(err, WISP_E_ARG, "%s '%s' is unknown; use one of: %s", source, name, list);
}

void wi_kern_select(struct wi_kern *out, enum wi_level level) {
    *out = *levels[level].table;
    out->level = level;
}

#include "npu/emu/impl.h"

/* Levels that were not compiled fall back to the best one below. */
const struct wi_emu_engine *wi_emu_engine_of(enum wi_level level) {
#ifdef WISP_HAVE_AVX512
    if (level >= WI_AVX512)
        return &wi_emu_engine_avx512;
#endif
#ifdef WISP_HAVE_AVX2
    if (level >= WI_AVX2)
        return &wi_emu_engine_avx2;
#endif
    return &wi_emu_engine_portable;
}

const struct wi_emu_kern *wi_emu_kern_of(enum wi_level level) {
    return wi_emu_engine_of(level)->kern;
}

/* The engine with AVX-512. */
#include "npu/emu/impl.h"
#include "npu/emu/kern_avx512.inc"

#define KERN wi_emu_kern_avx512
#define ENGINE wi_emu_engine_avx512
#include "npu/emu/engine.inc"

/* The engine with AVX2. */
#include "npu/emu/impl.h"
#include "npu/emu/kern_avx2.inc"

#define KERN wi_emu_kern_avx2
#define ENGINE wi_emu_engine_avx2
#include "npu/emu/engine.inc"

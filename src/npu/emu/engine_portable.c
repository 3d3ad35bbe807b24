/* The engine for any CPU. */
#include "npu/emu/impl.h"

#define KERN wi_emu_kern_portable
#define ENGINE wi_emu_engine_portable
#include "npu/emu/engine.inc"

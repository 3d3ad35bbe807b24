/* The kernels of one level, written once on vectors of VLEN floats (GCC and clang vector types).  A
 * level's file defines VLEN, SUFFIX(name), MR (rows of the GEMM's register block), NV (vectors
 * across it) and includes this one; it is compiled with that level's -m flags.  Where the level has
 * instructions for them, it also defines:
 *   LOAD_F16(p), LOAD_U8(p)      VLEN halves, or bytes, as 32-bit lanes
 *   WIDEN(x), LOW_BYTES(x)       lanes of 16 bits to 32, and of 32 to 8
 *   LOAD_PAIRS(p)                2 VLEN bytes as int16
 *   DOT_PAIRS(acc, a, b)         + the products of int16, by pairs
 *   DOT_BYTES(acc, w, a)         + the products of w's unsigned bytes and a's signed ones, by fours
 *   SUM_LANES(x), MAX_LANES(x), MAX2(a, b), SCALE2(p, n) = p 2^n
 *   KEEP_VECTOR(x)               makes the compiler hold x in a register
 * BF16_PRODUCTS selects bf16 inputs with f32 sums in GEMM and attention (x86 vdpbf16ps, VLEN 16). */
#include <math.h>
#include <string.h>

#include "base/dtype.h"
#include "cpu/kern.h"
#include "cpu/levels.h"

#define NR (NV * VLEN) /* columns of the register block */

/* What products multiply. */
#ifdef BF16_PRODUCTS
typedef uint16_t value;
#define VALUE_TYPE WI_BF16
#else
typedef float value;
#define VALUE_TYPE WI_F32
#endif
#define UNIT_VALUES (4 / (int)sizeof(value)) /* values in a 32-bit unit */

/* Each part uses those before it. */
#include "cpu/vec_tmpl.c"

#include "cpu/rows_tmpl.c"

#include "cpu/dtype_tmpl.c"

#include "cpu/gemm_tmpl.c"

#include "cpu/peak_tmpl.c"

#include "cpu/pack_tmpl.c"

#include "cpu/attend_tmpl.c"

#include "cpu/matvec_tmpl.c"

#include "cpu/panel_tmpl.c"

#define WI_KERN(name, ret, params) .name = SUFFIX(name),
const struct wi_kern SUFFIX(wi_kern) = {
    .tile_cols = NR,
    .value_type = VALUE_TYPE,
    .value_bytes = sizeof(value),
#ifdef DOT_BYTES
    .int8_type = WI_PANEL_INT8X4,
#else
    .int8_type = WI_PANEL_INT8,
#endif
#include "cpu/kern_list.def"
};
#undef WI_KERN

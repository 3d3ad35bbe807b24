/* The reference level: no instruction beyond the compiler's default, no fused multiply-add. */
#define VLEN 4
#define MR 4
#define NV 2
#define SUFFIX(name) name##_portable

#include "cpu/kern_tmpl.c"

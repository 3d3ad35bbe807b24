#include "base/finite.h"

#include <stdint.h>
#include <string.h>

bool wi_all_finite(const float *x, size_t n) {
    uint32_t bad = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, 4);
        /* the exponent of an infinity or NaN is all ones; adding one unit carries into the sign */
        bad |= ((bits & 0x7fffffffu) + 0x00800000u) & 0x80000000u;
    }
    return bad == 0;
}

#include "text/utf8.h"

/* Length by lead byte, 0 when no character starts with it; and the range that the second byte must
 * be in, which shuts out overlong forms, surrogates and everything above U+10FFFF. */
static size_t lead(uint8_t b, uint8_t *low, uint8_t *high) {
    *low = b == 0xe0 ? 0xa0 : b == 0xf0 ? 0x90 : 0x80;
    *high = b == 0xed ? 0x9f : b == 0xf4 ? 0x8f : 0xbf;
    if (b < 0x80)
        return 1;
    if (b < 0xc2)
        return 0;
    return b < 0xe0 ? 2 : b < 0xf0 ? 3 : b < 0xf5 ? 4 : 0;
}

size_t wi_utf8_next(const char *s, size_t n, uint32_t *code) {
    const uint8_t *b = (const uint8_t *)s;
    uint8_t low, high;
    size_t length = lead(b[0], &low, &high);
    if (length == 1) {
        *code = b[0];
        return 1;
    }
    *code = UINT32_MAX;
    if (length == 0)
        return 1;
    uint32_t value = b[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if (i >= n || b[i] < low || b[i] > high)
            return i;
        value = value << 6 | (b[i] & 0x3fu);
        low = 0x80;
        high = 0xbf;
    }
    *code = value;
    return length;
}

void wi_utf8_add_replaced(struct wi_strbuf *out, const char *s, size_t n) {
    uint32_t code;
    for (size_t i = 0; i < n;) {
        size_t length = wi_utf8_next(s + i, n - i, &code);
        if (code == UINT32_MAX || code == 0)
            wi_strbuf_puts(out, "\xef\xbf\xbd");
        else
            wi_strbuf_add(out, s + i, length);
        i += length;
    }
}

#include "text/strip.h"

#include <stdbool.h>
#include <string.h>

#include "text/utf8.h"

/* str.isspace(): bidirectional class WS, B or S, or category Zs (Unicode 14). */
static bool is_space(uint32_t c) {
    return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}

void wi_text_strip(char *text) {
    size_t n = strlen(text), begin = 0, end = 0;
    bool leading = true;
    for (size_t at = 0; at < n;) {
        uint32_t code;
        size_t length = wi_utf8_next(text + at, n - at, &code);
        at += length;
        if (!is_space(code)) {
            leading = false;
            end = at;
        } else if (leading) {
            begin = end = at;
        }
    }
    memmove(text, text + begin, end - begin);
    text[end - begin] = '\0';
}

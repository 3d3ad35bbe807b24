#include "text/unicode.h"

#include <stdbool.h>

static bool contains(const struct wi_unicode_range *ranges, size_t n, uint32_t code) {
    /* All ranges before `low` end below the code; all from `high` on begin above it. */
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (ranges[middle].last < code)
            low = middle + 1;
        else if (ranges[middle].first > code)
            high = middle;
        else
            return true;
    }
    return false;
}

enum wi_char_class wi_unicode_class(uint32_t code) {
    if (contains(wi_unicode_letters, wi_unicode_n_letters, code))
        return WI_CHAR_LETTER;
    if (contains(wi_unicode_spaces, wi_unicode_n_spaces, code))
        return WI_CHAR_SPACE;
    return contains(wi_unicode_numbers, wi_unicode_n_numbers, code) ? WI_CHAR_NUMBER
                                                                    : WI_CHAR_OTHER;
}

/* Turns a code point into the class that GPT-2's split pattern sorts characters into.  Constant
 * tables, thread-safe; nothing is owned. */
#ifndef WISP_SRC_TEXT_UNICODE_H
#define WISP_SRC_TEXT_UNICODE_H

#include <stddef.h>
#include <stdint.h>

enum wi_char_class { WI_CHAR_OTHER, WI_CHAR_LETTER, WI_CHAR_NUMBER, WI_CHAR_SPACE };

/* \p{L}, \p{N}, \s, or none of them. */
enum wi_char_class wi_unicode_class(uint32_t code);

struct wi_unicode_range {
    uint32_t first, last;
};
/* Ascending; unicode_tables.c. */
extern const struct wi_unicode_range wi_unicode_letters[], wi_unicode_numbers[],
    wi_unicode_spaces[];
extern const size_t wi_unicode_n_letters, wi_unicode_n_numbers, wi_unicode_n_spaces;

#endif

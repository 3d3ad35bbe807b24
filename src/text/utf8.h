/* Walks UTF-8 bytes character by character.  Nothing is owned; pure functions, thread-safe. */
#ifndef WISP_SRC_TEXT_UTF8_H
#define WISP_SRC_TEXT_UTF8_H

#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"

/* Bytes (1..4) of the character at `s`, `n` > 0 bytes long, and its code point in `*code`; for a
 * malformed one UINT32_MAX and the length of its maximal subpart (Unicode 3.9, table 3-7), which is
 * what Python's errors="replace" turns into one U+FFFD. */
size_t wi_utf8_next(const char *s, size_t n, uint32_t *code);

/* Append `n` bytes with every malformed part replaced by U+FFFD. */
void wi_utf8_add_replaced(struct wi_strbuf *out, const char *s, size_t n);

#endif

/* Little-endian words in images.  Images are read as arrays of words in the host's order, which
 * belong to whoever loaded them.  No state, so thread-safe. */
#ifndef WISP_SRC_NPU_IMAGE_WORDS_H
#define WISP_SRC_NPU_IMAGE_WORDS_H

#include <stddef.h>
#include <stdint.h>

#include "base/strbuf.h"

/* The `size / 4` whole words of `data`, to be released with wi_free; NULL when out of memory. */
uint32_t *wi_words_load(const uint8_t *data, size_t size);

/* Append in the file's order. */
void wi_words_put(struct wi_strbuf *out, const uint32_t *words, size_t n);
void wi_word_put(struct wi_strbuf *out, uint32_t word);

/* One's complement of the sum of `n` words: the checksum of every structure in CDO and PDI. */
uint32_t wi_words_checksum(const uint32_t *words, size_t n);

#endif

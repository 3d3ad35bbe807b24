#include "npu/image/words.h"

#include "base/mem.h"

uint32_t *wi_words_load(const uint8_t *data, size_t size) {
    size_t n = size / 4;
    uint32_t *words = wi_malloc(n ? n : 1, sizeof *words);
    for (size_t i = 0; words && i < n; i++)
        words[i] = (uint32_t)data[4 * i] | (uint32_t)data[4 * i + 1] << 8 |
                   (uint32_t)data[4 * i + 2] << 16 | (uint32_t)data[4 * i + 3] << 24;
    return words;
}

void wi_word_put(struct wi_strbuf *out, uint32_t word) {
    const uint8_t bytes[4] = {(uint8_t)word, (uint8_t)(word >> 8), (uint8_t)(word >> 16),
                              (uint8_t)(word >> 24)};
    wi_strbuf_add(out, bytes, sizeof bytes);
}

void wi_words_put(struct wi_strbuf *out, const uint32_t *words, size_t n) {
    for (size_t i = 0; i < n; i++)
        wi_word_put(out, words[i]);
}

uint32_t wi_words_checksum(const uint32_t *words, size_t n) {
    uint32_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += words[i];
    return ~sum;
}

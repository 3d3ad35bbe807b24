/* Turns token ids into bytes and text into token ids, with Whisper's special-token layout.  A
 * wi_vocab is owned by its model and immutable, so many threads may use it.  Ids of the base
 * vocabulary are BPE ranks, as in tiktoken. */
#ifndef WISP_SRC_TEXT_VOCAB_H
#define WISP_SRC_TEXT_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <wisp/wisp.h>

/* Ids of the special tokens (openai-whisper tokenizer.py get_encoding()). */
struct wi_specials {
    int eot, sot;
    int lang_begin; /* id of the first language, "en" */
    int n_langs;    /* 99, or 100 in the 51866 layout; 0 languages usable when English-only */
    int translate, transcribe, sot_lm, sot_prev, no_speech, no_timestamps;
    int timestamp_begin; /* <|0.00|>; steps of 0.02 s up to the end of the vocabulary */
};

struct wi_vocab;

/* A vocabulary of `n` byte strings (ids 0..n-1; the bytes are copied) for a model with `n_vocab` ids.
 * English-only when n_vocab == 51864 or less.  `n` may be less than the base size: missing tokens
 * print as nothing and cannot be produced from text.  Errors: FORMAT, NOMEM. */
int wi_vocab_create(struct wi_vocab **out, const char *const *bytes, const size_t *lengths, size_t n,
                    int n_vocab, struct wisp_error *err);
void wi_vocab_destroy(struct wi_vocab **vocab);

bool wi_vocab_is_multilingual(const struct wi_vocab *vocab);
const struct wi_specials *wi_vocab_specials(const struct wi_vocab *vocab);
size_t wi_vocab_size(const struct wi_vocab *vocab); /* stored byte strings */

/* The bytes of a base token (not NUL-terminated, may be half a UTF-8 character); length 0 for special
 * and missing ids. */
const char *wi_vocab_bytes(const struct wi_vocab *vocab, int id, size_t *length);

/* Text of ids, as openai-whisper's tokenizer.decode(): special ids spelled ("<|en|>"), timestamps and
 * missing ids skipped, invalid UTF-8 replaced by U+FFFD as Python's errors="replace" does; a NUL too,
 * which would end the string.  Returns a string to wi_free, NULL when out of memory. */
char *wi_vocab_decode(const struct wi_vocab *vocab, const int *ids, size_t n);

/* Byte-pair encoding of `text` as tiktoken does it (GPT-2 split pattern).  `*out` is to be wi_free'd.
 * Special tokens in the text are plain text.  Errors: NOMEM, FORMAT (a byte that the vocabulary
 * lacks). */
int wi_vocab_encode(const struct wi_vocab *vocab, const char *text, int **out, size_t *n,
                    struct wisp_error *err);

/* The ids that `suppress_tokens = "-1"` means: tokenizer.non_speech_tokens, ascending; symbols that the
 * vocabulary lacks are skipped.  `*out` is to be wi_free'd. */
int wi_vocab_non_speech(const struct wi_vocab *vocab, int **out, size_t *n, struct wisp_error *err);

/* Languages: index in the token layout of a code ("de") or English name ("german", any case, aliases
 * too), -1 when unknown; and back. */
int wi_lang_find(const char *code_or_name);
const char *wi_lang_code(int index);
const char *wi_lang_name(int index);

#endif

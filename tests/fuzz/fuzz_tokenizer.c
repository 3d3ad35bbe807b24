/* Text and tokenizer.json.  Even first byte: the rest is text, which must come back from its
 * tokens.  Odd: the rest is a tokenizer.json, whose vocabulary then encodes a sentence. */
#include "fuzz_files.h"

#include <string.h>

#include "base/mem.h"
#include "base/strbuf.h"
#include "model/hf.h"
#include "text/utf8.h"
#include "text/vocab.h"

enum { N_WORDS = 256 + 64 + 512 };

/* All bytes, and combinations of the frequent ones. */
static struct wi_vocab *create_vocab(void) {
    static const char letters[8] = {'a', 'e', 't', ' ', '\'', 's', '\n', '1'};
    static char block[N_WORDS][3];
    const char *words[N_WORDS];
    size_t lengths[N_WORDS];
    struct wi_vocab *vocab;
    for (size_t i = 0; i < N_WORDS; i++) {
        words[i] = block[i];
        lengths[i] = i < 256 ? 1 : i < 256 + 64 ? 2 : 3;
        for (size_t k = 0; k < lengths[i]; k++)
            block[i][k] = i < 256 ? (char)i : letters[(i - (i < 320 ? 256 : 320)) >> (3 * k) & 7];
    }
    NEED(wi_vocab_create(&vocab, words, lengths, N_WORDS, 51864, NULL) == WISP_OK);
    return vocab;
}

static void round_trip(const uint8_t *data, size_t size) {
    static struct wi_vocab *vocab;
    struct wi_strbuf valid;
    int *ids;
    size_t n;
    if (!vocab)
        vocab = create_vocab();
    char *text = strndup((const char *)data, size);
    wi_strbuf_init(&valid);
    wi_utf8_add_replaced(&valid, text, strlen(text));
    NEED(wi_vocab_encode(vocab, text, &ids, &n, NULL) == WISP_OK);
    NEED(n <= valid.len);
    char *back = wi_vocab_decode(vocab, ids, n);
    NEED(strcmp(back, valid.data ? valid.data : "") == 0);
    wi_free(back);
    wi_free(ids);
    wi_strbuf_fini(&valid);
    free(text);
}

static void use(const struct wi_vocab *vocab) {
    int *ids;
    size_t n;
    if (wi_vocab_encode(vocab, "It's 10 o'clock, ab\n\n caf\xc3\xa9!", &ids, &n, NULL) == WISP_OK) {
        char *text = wi_vocab_decode(vocab, ids, n);
        NEED(strcmp(text, "It's 10 o'clock, ab\n\n caf\xc3\xa9!") == 0);
        wi_free(text);
        wi_free(ids);
    }
    NEED(wi_vocab_non_speech(vocab, &ids, &n, NULL) == WISP_OK);
    for (size_t i = 0; i < n; i++)
        NEED(ids[i] >= 0 && (size_t)ids[i] < wi_vocab_size(vocab) &&
             (i == 0 || ids[i] > ids[i - 1]));
    wi_free(ids);
}

static char folder[] = "/tmp/wisp-fuzz-XXXXXX", link_path[64];

static void clean_up(void) {
    unlink(link_path);
    rmdir(folder);
}

static void read_file(const uint8_t *data, size_t size) {
    static struct memory_file file = {.fd = -1};
    if (file.fd < 0) {
        file = memory_file_create();
        NEED(mkdtemp(folder));
        snprintf(link_path, sizeof link_path, "%s/tokenizer.json", folder);
        NEED(symlink(file.path, link_path) == 0);
        atexit(clean_up);
    }
    memory_file_set(&file, (const uint8_t *const[]){data, data}, (size_t[]){size, 0},
                    (size_t[]){0, 0});
    struct wi_model m = {.path = folder, .dims = {.n_vocab = 51864}};
    struct wi_words words = {0};
    struct wi_vocab *vocab = NULL;
    if (wi_hf_read_words(&m, &words, NULL) == WISP_OK)
        NEED(wi_vocab_create(&vocab, words.bytes, words.lengths, words.n, 51864, NULL) == WISP_OK);
    wi_words_fini(&words);
    if (vocab)
        use(vocab);
    wi_vocab_destroy(&vocab);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 0 && data[0] % 2 == 0)
        round_trip(data + 1, size - 1);
    else if (size > 0)
        read_file(data + 1, size - 1);
    return 0;
}

/* The base vocabulary of a Hugging Face folder: a JSON object from token to id, where GPT-2's
 * byte-level alphabet writes each byte as one printable character.  merges.txt is not needed: the
 * ids are the ranks of the merges. */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "model/hf.h"
#include "model/json.h"
#include "text/utf8.h"

/* GPT-2's bytes_to_unicode(): printable Latin-1 characters stand for themselves, the other 68 bytes
 * are U+0100 and up in ascending order. */
static bool is_itself(uint32_t code) {
    return (code >= 0x21 && code <= 0x7e) || (code >= 0xa1 && code <= 0xac) ||
           (code >= 0xae && code <= 0xff);
}

struct alphabet {
    int byte[256 + 68]; /* by character, -1 for those that stand for none */
};

static void alphabet_init(struct alphabet *a) {
    int next = 256;
    memset(a->byte, 0xff, sizeof a->byte);
    for (int b = 0; b < 256; b++)
        a->byte[is_itself((uint32_t)b) ? b : next++] = b;
}

/* Bytes of a token's text into out, which has room for strlen(text); false for a foreign character.
 */
static bool text_to_bytes(const struct alphabet *a, const char *text, char *out, size_t *n) {
    size_t length = strlen(text);
    *n = 0;
    for (size_t at = 0; at < length;) {
        uint32_t code;
        at += wi_utf8_next(text + at, length - at, &code);
        if (code >= sizeof a->byte / sizeof a->byte[0] || a->byte[code] < 0)
            return false;
        out[(*n)++] = (char)a->byte[code];
    }
    return true;
}

static int allocate(const json_t *vocab, size_t n_vocab, struct wi_words *words,
                    struct wisp_error *err) {
    const char *text;
    json_t *id;
    size_t total = 0;
    json_object_foreach((json_t *)(uintptr_t)vocab, text, id) {
        total += strlen(text);
    }
    words->bytes = wi_calloc(n_vocab, sizeof *words->bytes);
    words->lengths = wi_calloc(n_vocab, sizeof *words->lengths);
    words->block = wi_malloc(total, 1);
    if (!words->bytes || !words->lengths || !words->block)
        return wi_err_nomem(err, "the vocabulary");
    return WISP_OK;
}

static int fill(const struct wi_model *m, const json_t *vocab, const char *file,
                struct wi_words *words, struct wisp_error *err) {
    struct alphabet alphabet;
    const char *text;
    json_t *value;
    char *out = words->block;
    alphabet_init(&alphabet);
    json_object_foreach((json_t *)(uintptr_t)vocab, text, value) {
        json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
        size_t n;
        if (id < 0 || id >= m->dims.n_vocab)
            return wi_err_set(
                err, WISP_E_FORMAT,
                "cannot load model '%s': %s gives a token the id %lld, expected 0 to %d; "
                "the file is damaged or belongs to another model",
                m->path, file, (long long)id, m->dims.n_vocab - 1);
        if (words->bytes[id])
            return wi_err_set(
                err, WISP_E_FORMAT,
                "cannot load model '%s': %s gives two tokens the id %lld; the file is "
                "damaged, get it again",
                m->path, file, (long long)id);
        if (!text_to_bytes(&alphabet, text, out, &n))
            return wi_err_set(
                err, WISP_E_FORMAT,
                "cannot load model '%s': the token with the id %lld in %s is not written "
                "in GPT-2's byte alphabet; use Whisper's own tokenizer",
                m->path, (long long)id, file);
        words->bytes[id] = out;
        words->lengths[id] = n;
        out += n;
        if ((size_t)id >= words->n)
            words->n = (size_t)id + 1;
    }
    return WISP_OK;
}

int wi_hf_read_words(const struct wi_model *m, struct wi_words *words, struct wisp_error *err) {
    bool fast = wi_model_has(m->path, "tokenizer.json");
    const char *file = fast ? "tokenizer.json" : "vocab.json";
    json_t *root;
    if (!fast && !wi_model_has(m->path, file))
        return wi_err_set(
            err, WISP_E_IO,
            "cannot load model '%s': it has neither tokenizer.json nor vocab.json; copy "
            "one of them into the folder",
            m->path);
    int rc = wi_json_load(&root, m->path, file, err);
    if (rc != WISP_OK)
        return rc;
    const json_t *vocab = fast ? json_object_get(json_object_get(root, "model"), "vocab") : root;
    if (!json_is_object(vocab))
        rc = wi_err_set(
            err, WISP_E_FORMAT,
            "cannot load model '%s': tokenizer.json has no table model.vocab; use Whisper's "
            "own tokenizer",
            m->path);
    if (rc == WISP_OK)
        rc = allocate(vocab, (size_t)m->dims.n_vocab, words, err);
    if (rc == WISP_OK)
        rc = fill(m, vocab, file, words, err);
    json_decref(root);
    return rc;
}

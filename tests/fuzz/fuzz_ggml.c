/* ggml files.  The first byte of the input tells where zeros go that are not worth fuzzing: bit 0
 * the mel filters after the header, bit 1 the token embedding at the end of the file. */
#include "fuzz_files.h"

#include "model/model.h"
#include "text/vocab.h"

enum { HEADER = 14 * 4, FILTERS = 80 * 201 * 4, EMBEDDING = 51864 * 2 * 2 };

/* What an opened model promises to everybody who reads it. */
static void check(const struct wi_model *m) {
    const uint8_t *begin = m->maps[0].data, *end = begin + m->maps[0].size;
    for (size_t i = 0; i < m->n_tensors; i++)
        NEED(m->tensors[i].data >= begin &&
             m->tensors[i].bytes <= (size_t)(end - m->tensors[i].data));
    NEED(m->w.conv1.w && m->w.conv1.b && m->w.tok_emb && m->w.enc_pos && m->w.dec_pos);
    for (int i = 0; i < m->dims.n_audio_layer; i++)
        NEED(m->w.enc[i].attn.q.w && m->w.enc[i].mlp_out.b && !m->w.enc[i].attn.k.b);
    for (int i = 0; i < m->dims.n_text_layer; i++)
        NEED(m->w.dec[i].cross.v.w && m->w.dec[i].cross_ln.b);
    for (int id = -1; id < 600; id++) {
        size_t n;
        const char *bytes = wi_vocab_bytes(m->vocab, id, &n);
        NEED(bytes);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct memory_file file = {.fd = -1};
    struct wisp_error err = {0};
    struct wi_model *model;
    if (file.fd < 0)
        file = memory_file_create();
    if (size < 1)
        return 0;
    size_t n = size - 1 < HEADER ? size - 1 : HEADER;
    const uint8_t *const parts[] = {data + 1, data + 1 + n};
    const size_t sizes[] = {n, size - 1 - n};
    const size_t zeros[] = {data[0] & 1 ? FILTERS : 0, data[0] & 2 ? EMBEDDING : 0};
    memory_file_set(&file, parts, sizes, zeros);
    int rc = wi_model_open(&model, file.path, &err);
    NEED((rc == WISP_OK) == (model != NULL) && rc == err.code && (rc == WISP_OK) == !err.text[0]);
    if (model)
        check(model);
    wi_model_close(&model);
    return 0;
}

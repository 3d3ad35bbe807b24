/* One line per segment, as openai-whisper writes it: an emptied segment is an empty line. */
#include "out.h"

static bool write_txt(FILE *f, const struct out_doc *doc) {
    for (size_t i = 0; i < doc->result->n_segments; i++) {
        struct out_span text = out_strip(doc->result->segments[i].text);
        fwrite(text.p, 1, text.n, f);
        fputc('\n', f);
    }
    return true;
}

const struct out_format out_txt = {"txt", write_txt};

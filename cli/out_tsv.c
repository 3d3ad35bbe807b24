/* Tab-separated values as openai-whisper writes them: times in milliseconds, tabs in the text
 * become spaces. */
#include "out.h"

static bool write_tsv(FILE *f, const struct out_doc *doc) {
    fputs("start\tend\ttext\n", f);
    for (size_t i = 0; i < doc->result->n_segments; i++) {
        const struct wisp_segment *s = &doc->result->segments[i];
        fprintf(f, "%lld\t%lld\t", out_ms(s->start), out_ms(s->end));
        out_replace(f, out_strip(s->text), "\t", " ");
        fputc('\n', f);
    }
    return true;
}

const struct out_format out_tsv = {"tsv", write_tsv};

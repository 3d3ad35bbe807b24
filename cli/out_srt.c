/* SubRip, as openai-whisper writes it: the arrow inside a text is shortened. */
#include "out.h"

static bool write_srt(FILE *f, const struct out_doc *doc) {
    for (size_t i = 0; i < doc->result->n_segments; i++) {
        const struct wisp_segment *s = &doc->result->segments[i];
        fprintf(f, "%zu\n", i + 1);
        out_time(f, s->start, true, ',');
        fputs(" --> ", f);
        out_time(f, s->end, true, ',');
        fputc('\n', f);
        out_replace(f, out_strip(s->text), "-->", "->");
        fputs("\n\n", f);
    }
    return true;
}

const struct out_format out_srt = {"srt", write_srt};

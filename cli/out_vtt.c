/* WebVTT, as openai-whisper writes it: hours only when there are any. */
#include "out.h"

static bool write_vtt(FILE *f, const struct out_doc *doc) {
    fputs("WEBVTT\n\n", f);
    for (size_t i = 0; i < doc->result->n_segments; i++) {
        const struct wisp_segment *s = &doc->result->segments[i];
        out_time(f, s->start, false, '.');
        fputs(" --> ", f);
        out_time(f, s->end, false, '.');
        fputc('\n', f);
        out_replace(f, out_strip(s->text), "-->", "->");
        fputs("\n\n", f);
    }
    return true;
}

const struct out_format out_vtt = {"vtt", write_vtt};

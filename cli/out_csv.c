/* Comma-separated values (RFC 4180) as whisper-cli writes them: times in milliseconds, the text in
 * quotes with its leading space.  Emptied segments, which whisper-cli never has, are left out. */
#include <string.h>

#include "out.h"

static bool write_csv(FILE *f, const struct out_doc *doc) {
    fputs("start,end,text\n", f);
    for (size_t i = 0; i < doc->result->n_segments; i++) {
        const struct wisp_segment *s = &doc->result->segments[i];
        if (!*s->text)
            continue;
        fprintf(f, "%lld,%lld,\"", out_ms(s->start), out_ms(s->end));
        out_replace(f, (struct out_span){s->text, strlen(s->text)}, "\"", "\"\"");
        fputs("\"\n", f);
    }
    return true;
}

const struct out_format out_csv = {"csv", write_csv};

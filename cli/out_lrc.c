/* Lyrics as whisper-cli writes them: a line per segment with its start in minutes, seconds and
 * hundredths.  Line breaks inside a text become spaces; emptied segments are left out. */
#include <math.h>
#include <string.h>

#include "out.h"

static bool write_lrc(FILE *f, const struct out_doc *doc) {
    fputs("[by:wisp]\n", f);
    for (size_t i = 0; i < doc->result->n_segments; i++) {
        const struct wisp_segment *s = &doc->result->segments[i];
        if (!*s->text)
            continue;
        long long cs = llrint(s->start * 100.0);
        fprintf(f, "[%02lld:%02lld.%02lld]", cs / 6000, cs / 100 % 60, cs % 100);
        out_replace(f, (struct out_span){s->text, strlen(s->text)}, "\n", " ");
        fputc('\n', f);
    }
    return true;
}

const struct out_format out_lrc = {"lrc", write_lrc};

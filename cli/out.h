/* Turns a finished transcription into the text of a file, one constant writer per format.  A writer
 * borrows the document and the stream and owns nothing; write errors stay in the stream's error
 * state.  Thread-safe as long as threads use different streams. */
#ifndef WISP_CLI_OUT_H
#define WISP_CLI_OUT_H

#include <stdbool.h>
#include <stdio.h>
#include <wisp/wisp.h>

struct out_doc {
    const struct wisp_result *result;
    const struct wisp_model_info *model;
    const char *task; /* "transcribe" or "translate" */
    bool interrupted; /* stopped before the end of the audio */
};

struct out_format {
    const char *extension; /* "srt" */
    /* False when memory ran out. */
    bool (*write)(FILE *f, const struct out_doc *doc);
};

extern const struct out_format out_txt, out_srt, out_vtt, out_tsv, out_csv, out_lrc, out_json;

/* A segment as a line of standard output, whisper-cli's form: "[from --> to]  text". */
void out_line(FILE *f, const struct wisp_segment *segment, bool with_times);

/* Text between its first and last character that is no white space, as Python's str.strip(). */
struct out_span {
    const char *p;
    size_t n; /* bytes */
};
struct out_span out_strip(const char *text);

/* Write `text` with every `from` replaced by `to`; `from` must not be empty. */
void out_replace(FILE *f, struct out_span text, const char *from, const char *to);

/* Milliseconds, half to even as Python's round(). */
long long out_ms(double seconds);

/* "01:02:03.004"; without `always_hours` the hours only when there are any. */
void out_time(FILE *f, double seconds, bool always_hours, char decimal_mark);

#endif

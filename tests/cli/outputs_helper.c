/* For test_outputs.py: reads a JSON list of segments from standard input and prints it with the
 * writer named by the only argument ("line" and "text" are the two forms of standard output). */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_print.h"
#include "out.h"

enum { MAX_TOKENS = 64 };

static double number(const json_t *object, const char *key) {
    return json_number_value(json_object_get(object, key));
}

/* The strings stay the JSON's, the tokens are in `tokens`. */
static void read_segment(const json_t *s, struct wisp_segment *out, int *tokens) {
    const json_t *ids = json_object_get(s, "tokens");
    size_t n = json_array_size(ids);
    for (size_t i = 0; i < n && i < MAX_TOKENS; i++)
        tokens[i] = (int)json_integer_value(json_array_get(ids, i));
    *out = (struct wisp_segment){.id = (int)number(s, "id"),
                                 .seek = (int64_t)number(s, "seek"),
                                 .start = number(s, "start"),
                                 .end = number(s, "end"),
                                 .text = json_string_value(json_object_get(s, "text")),
                                 .tokens = tokens,
                                 .n_tokens = n < MAX_TOKENS ? n : MAX_TOKENS,
                                 .temperature = number(s, "temperature"),
                                 .avg_logprob = number(s, "avg_logprob"),
                                 .compression_ratio = number(s, "compression_ratio"),
                                 .no_speech_prob = number(s, "no_speech_prob")};
}

int main(int argc, char **argv) {
    static const struct out_format *const formats[] = {&out_txt, &out_srt, &out_vtt, &out_tsv,
                                                       &out_csv, &out_lrc, &out_json};
    json_t *root = argc == 2 ? json_loadf(stdin, 0, NULL) : NULL;
    size_t n = json_array_size(root);
    struct wisp_segment *segments = calloc(n + 1, sizeof *segments);
    int(*tokens)[MAX_TOKENS] = calloc(n + 1, sizeof *tokens);
    if (!root || !segments || !tokens)
        return 1;
    for (size_t i = 0; i < n; i++)
        read_segment(json_array_get(root, i), &segments[i], tokens[i]);
    struct wisp_result result = {.segments = segments,
                                 .n_segments = n,
                                 .text = "",
                                 .language = "en",
                                 .language_prob = 0.1,
                                 .duration = 1.0 / 3.0,
                                 .device_mel = "cpu",
                                 .device_encoder = "cpu",
                                 .device_decoder = "cpu"};
    /* A path that is not UTF-8. */
    struct wisp_model_info model = {
        .path = "a\xff\xc3(\xed\xa0\x80z", .container = "ggml", .weight_type = "f16"};
    struct out_doc doc = {.result = &result, .model = &model, .task = "transcribe"};
    bool with_times = strcmp(argv[1], "line") == 0;
    if (with_times || strcmp(argv[1], "text") == 0)
        for (size_t i = 0; i < n; i++)
            out_line(stdout, &segments[i], with_times);
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (strcmp(formats[i]->extension, argv[1]) == 0 && !formats[i]->write(stdout, &doc))
            return 1;
    free(tokens);
    free(segments);
    json_decref(root);
    return 0;
}

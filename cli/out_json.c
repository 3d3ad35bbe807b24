/* JSON in the shape of openai-whisper's, with what ran where: text, segments, language, and the
 * task, duration, model, devices and timings. */
#include <stdlib.h>

#include "json_print.h"
#include "out.h"

static json_t *tokens_json(const struct wisp_segment *s) {
    json_t *list = json_array();
    for (size_t i = 0; i < s->n_tokens; i++)
        json_array_append_new(list, json_integer(s->tokens[i]));
    return list;
}

static json_t *segment_json(const struct wisp_segment *s) {
    return json_pack(
        "{s:i, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "id", s->id, "seek",
        (json_int_t)s->seek, "start", json_number(s->start), "end", json_number(s->end), "text",
        json_text(s->text), "tokens", tokens_json(s), "temperature", json_number(s->temperature),
        "avg_logprob", json_number(s->avg_logprob), "compression_ratio",
        json_number(s->compression_ratio), "no_speech_prob", json_number(s->no_speech_prob));
}

static json_t *segments_json(const struct wisp_result *r) {
    json_t *list = json_array();
    for (size_t i = 0; i < r->n_segments; i++)
        if (json_array_append_new(list, segment_json(&r->segments[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    return list;
}

static json_t *model_json(const struct wisp_model_info *m) {
    return json_pack("{s:o, s:s, s:s, s:b, s:I}", "path", json_text(m->path), "container",
                     m->container, "weights", m->weight_type, "multilingual", m->multilingual,
                     "bytes", (json_int_t)m->file_bytes);
}

static json_t *devices_json(const struct wisp_result *r) {
    return json_pack("{s:o, s:o, s:o}", "mel", json_text(r->device_mel), "encoder",
                     json_text(r->device_encoder), "decoder", json_text(r->device_decoder));
}

/* Seconds of wall time, and counts. */
static json_t *timings_json(const struct wisp_timings *t) {
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:i, s:i, s:i}", "load", json_number(t->load),
                     "audio_mel", json_number(t->audio_mel), "encode", json_number(t->encode),
                     "cross_kv", json_number(t->cross_kv), "decode", json_number(t->decode),
                     "total", json_number(t->total), "windows", t->n_windows, "decoder_steps",
                     t->n_decoder_steps, "fallbacks", t->n_fallbacks);
}

static bool write_json(FILE *f, const struct out_doc *doc) {
    const struct wisp_result *r = doc->result;
    json_t *root = json_pack(
        "{s:o, s:o, s:o, s:o, s:s, s:o, s:b, s:o, s:o, s:o}", "text",
        json_text(r->text ? r->text : ""), "segments", segments_json(r), "language",
        json_text(r->language), "language_prob", json_number(r->language_prob), "task", doc->task,
        "duration", json_number(r->duration), "interrupted", doc->interrupted, "model",
        model_json(doc->model), "device", devices_json(r), "timings", timings_json(&r->timings));
    if (!root)
        return false;
    json_print(f, root);
    json_decref(root);
    return true;
}

const struct out_format out_json = {"json", write_json};

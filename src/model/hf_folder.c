/* Hugging Face folders of WhisperForConditionalGeneration: config.json, model.safetensors or an
 * index with shards, and a tokenizer. */
#include <limits.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "model/hf.h"
#include "model/json.h"

/* ------------------------------------------------------------------ config.json */

static int read_int(const json_t *config, const char *key, int *out, const char *model,
                    struct wisp_error *err) {
    const json_t *value = json_object_get(config, key);
    json_int_t n = json_integer_value(value);
    if (!json_is_integer(value) || n < INT_MIN || n > INT_MAX)
        return wi_err_set(err, WISP_E_FORMAT,
                          "cannot load model '%s': config.json has no whole number '%s'; use the "
                          "config.json of a Whisper model",
                          model, key);
    *out = (int)n;
    return WISP_OK;
}

static int check_type(const json_t *config, const char *model, struct wisp_error *err) {
    const char *type = json_string_value(json_object_get(config, "model_type"));
    if (type && strcmp(type, "whisper") == 0)
        return WISP_OK;
    return wi_err_set(
        err, WISP_E_UNSUPPORTED,
        "cannot load model '%s': the model_type in config.json is not \"whisper\"; give a "
        "Whisper model",
        model);
}

/* Settings that change the arithmetic from Whisper's.  Absent ones have Whisper's value. */
static int check_settings(const json_t *config, int n_state, const char *model,
                          struct wisp_error *err) {
    const json_t *act = json_object_get(config, "activation_function");
    const char *const widths[] = {"encoder_ffn_dim", "decoder_ffn_dim"};
    if (act && (!json_is_string(act) || strcmp(json_string_value(act), "gelu") != 0))
        return wi_err_set(
            err, WISP_E_UNSUPPORTED,
            "cannot load model '%s': activation_function in config.json is not \"gelu\", "
            "the only one that wisp computes; use another model",
            model);
    if (json_is_true(json_object_get(config, "scale_embedding")))
        return wi_err_set(
            err, WISP_E_UNSUPPORTED,
            "cannot load model '%s': scale_embedding in config.json is true, which wisp "
            "does not compute; use another model",
            model);
    for (int i = 0; i < 2; i++) {
        const json_t *width = json_object_get(config, widths[i]);
        if (width && json_integer_value(width) != 4 * (json_int_t)n_state)
            return wi_err_set(
                err, WISP_E_UNSUPPORTED,
                "cannot load model '%s': %s in config.json is not 4 * d_model, the only "
                "width that wisp computes; use another model",
                model, widths[i]);
    }
    return WISP_OK;
}

static int read_config(struct wi_model *m, struct wisp_error *err) {
    struct wisp_dims *d = &m->dims;
    const struct {
        const char *key;
        int *value;
    } fields[] = {
        {"vocab_size", &d->n_vocab},
        {"num_mel_bins", &d->n_mels},
        {"max_source_positions", &d->n_audio_ctx},
        {"d_model", &d->n_audio_state},
        {"encoder_attention_heads", &d->n_audio_head},
        {"encoder_layers", &d->n_audio_layer},
        {"max_target_positions", &d->n_text_ctx},
        {"decoder_attention_heads", &d->n_text_head},
        {"decoder_layers", &d->n_text_layer},
    };
    json_t *config;
    if (!wi_model_has(m->path, "config.json"))
        return wi_err_set(
            err, WISP_E_IO,
            "cannot load model '%s': the folder has no config.json; give a Hugging Face "
            "folder of a Whisper model or a ggml .bin file",
            m->path);
    int rc = wi_json_load(&config, m->path, "config.json", err);
    if (rc == WISP_OK)
        rc = check_type(config, m->path, err);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0] && rc == WISP_OK; i++)
        rc = read_int(config, fields[i].key, fields[i].value, m->path, err);
    d->n_text_state = d->n_audio_state;
    if (rc == WISP_OK)
        rc = wi_dims_check(d, m->path, err);
    if (rc == WISP_OK)
        rc = check_settings(config, d->n_audio_state, m->path, err);
    json_decref(config);
    return rc;
}

/* ------------------------------------------------------------------ weights */

int wi_hf_claim(json_t *weight_map, const char *name, const char *shard, const char *path,
                struct wisp_error *err) {
    const char *expected = json_string_value(json_object_get(weight_map, name));
    if (!expected || strcmp(expected, shard) != 0)
        return wi_err_set(
            err, WISP_E_FORMAT,
            "cannot load model '%s': it has tensor '%s', but the index does not say so; "
            "index and shards do not belong together, get the model again",
            path, name);
    json_object_del(weight_map, name);
    return WISP_OK;
}

/* A shard is a file of the folder itself: an index must not make wisp open others. */
static bool is_plain_name(const char *name) {
    return name && wi_is_printable(name, strlen(name)) && name[0] != '.' && !strchr(name, '/');
}

/* The distinct values of the map, as keys of *out. */
static int list_shards(const struct wi_model *m, json_t *weight_map, json_t **out,
                       struct wisp_error *err) {
    enum { MAX_SHARDS = 1000 };
    const char *name;
    json_t *file;
    *out = json_object();
    json_object_foreach(weight_map, name, file) {
        const char *shard = json_string_value(file);
        if (!is_plain_name(shard))
            return wi_err_set(
                err, WISP_E_FORMAT,
                "cannot load model '%s': the index names a shard that is not a file of "
                "its own folder; get the model again",
                m->path);
        if (json_object_set_new(*out, shard, json_true()) != 0)
            return wi_err_nomem(err, "the list of shards");
    }
    if (json_object_size(*out) > MAX_SHARDS)
        return wi_err_set(
            err, WISP_E_FORMAT,
            "cannot load model '%s': the index names %zu shards, more than %d; get the "
            "model again",
            m->path, json_object_size(*out), MAX_SHARDS);
    return WISP_OK;
}

static int read_shards(struct wi_model *m, struct wisp_error *err) {
    json_t *index, *shards = NULL, *unused;
    const char *shard, *name;
    char path[4096];
    int rc = wi_json_load(&index, m->path, "model.safetensors.index.json", err);
    if (rc != WISP_OK)
        return rc;
    json_t *weight_map = json_object_get(index, "weight_map");
    if (!json_is_object(weight_map))
        rc = wi_err_set(
            err, WISP_E_FORMAT,
            "cannot load model '%s': model.safetensors.index.json has no weight_map; get "
            "the model again",
            m->path);
    if (rc == WISP_OK)
        rc = list_shards(m, weight_map, &shards, err);
    if (rc == WISP_OK)
        json_object_foreach(shards, shard, unused) {
            rc = wi_model_path(path, sizeof path, m->path, shard, err);
            if (rc == WISP_OK)
                rc = wi_safetensors_read(m, path, shard, weight_map, err);
            if (rc != WISP_OK)
                break;
        }
    if (rc == WISP_OK && json_object_size(weight_map) > 0) {
        name = json_object_iter_key(json_object_iter(weight_map));
        rc = wi_err_set(
            err, WISP_E_FORMAT,
            "cannot load model '%s': the index promises a tensor '%.200s' that its shard "
            "lacks; get the model again",
            m->path, wi_is_printable(name, strlen(name)) ? name : "?");
    }
    json_decref(shards);
    json_decref(index);
    return rc;
}

static int read_weights(struct wi_model *m, struct wisp_error *err) {
    const char *single = "model.safetensors";
    char path[4096];
    if (wi_model_has(m->path, single)) {
        int rc = wi_model_path(path, sizeof path, m->path, single, err);
        return rc == WISP_OK ? wi_safetensors_read(m, path, single, NULL, err) : rc;
    }
    if (wi_model_has(m->path, "model.safetensors.index.json"))
        return read_shards(m, err);
    return wi_err_set(err, WISP_E_IO,
                      "cannot load model '%s': the folder has neither model.safetensors nor "
                      "model.safetensors.index.json%s",
                      m->path,
                      wi_model_has(m->path, "pytorch_model.bin")
                          ? "; save the model again with safe_serialization=True"
                          : "; get the model again");
}

/* ------------------------------------------------------------------ the tied output projection */

static struct wi_tensor *find(const struct wi_model *m, const char *name) {
    for (size_t i = 0; i < m->n_tensors; i++)
        if (strcmp(m->tensors[i].name, name) == 0)
            return &m->tensors[i];
    return NULL;
}

static bool same_tensor(const struct wi_tensor *a, const struct wi_tensor *b) {
    return a->type == b->type && a->n_dims == b->n_dims && a->bytes == b->bytes &&
           memcmp(a->dims, b->dims, sizeof a->dims) == 0 && memcmp(a->data, b->data, a->bytes) == 0;
}

/* Some folders have the output projection beside the token embedding, or in its stead: Whisper's
 * are one and the same matrix. */
static int drop_tied(struct wi_model *m, struct wisp_error *err) {
    const char *embedding = "decoder.token_embedding.weight";
    struct wi_tensor *out = find(m, "proj_out.weight"), *in = find(m, embedding);
    if (!out)
        return WISP_OK;
    if (in && !same_tensor(in, out))
        return wi_err_set(err, WISP_E_UNSUPPORTED,
                          "cannot load model '%s': tensor 'proj_out.weight' differs from the token "
                          "embedding, and Whisper's are the same; use an unmodified Whisper model",
                          m->path);
    wi_free(out->name);
    if (!in) {
        out->name = wi_strdup(embedding);
        return out->name ? WISP_OK : wi_err_nomem(err, "a tensor's name");
    }
    size_t behind = (size_t)(m->tensors + m->n_tensors - (out + 1));
    memmove(out, out + 1, behind * sizeof *out);
    m->n_tensors--;
    return WISP_OK;
}

int wi_hf_read(struct wi_model *m, struct wi_words *words, struct wisp_error *err) {
    m->container = "safetensors";
    int rc = read_config(m, err);
    if (rc == WISP_OK)
        rc = read_weights(m, err);
    if (rc == WISP_OK)
        rc = drop_tied(m, err);
    if (rc == WISP_OK)
        rc = wi_hf_read_words(m, words, err);
    return rc;
}

#include "model/json.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mapfile.h"

/* At least as many as there are: a value is the first of a list or object or follows a comma. */
static size_t count_values(const char *data, size_t n) {
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += data[i] == ',' || data[i] == '[' || data[i] == '{';
    return count;
}

int wi_json_parse(json_t **out, const char *data, size_t n, const char *model, const char *what,
                  struct wisp_error *err) {
    json_error_t place;
    *out = NULL;
    if (n > WI_JSON_MAX)
        return wi_err_set(
            err, WISP_E_FORMAT,
            "cannot load model '%s': %s has %zu bytes, more than the %d that any Whisper "
            "model needs; the model is damaged, get it again",
            model, what, n, WI_JSON_MAX);
    if (count_values(data, n) > WI_JSON_MAX_VALUES)
        return wi_err_set(
            err, WISP_E_FORMAT,
            "cannot load model '%s': %s has more than the %d values that any Whisper model "
            "needs; the model is damaged, get it again",
            model, what, WI_JSON_MAX_VALUES);
    json_t *root = json_loadb(data, n, JSON_REJECT_DUPLICATES, &place);
    if (!root) {
        char *near = strstr(place.text, " near"); /* followed by raw bytes of the file */
        if (near)
            *near = '\0';
        return wi_err_set(
            err, WISP_E_FORMAT,
            "cannot load model '%s': %s is not valid JSON (line %d, column %d: %s); the "
            "model is damaged, get it again",
            model, what, place.line, place.column, place.text);
    }
    if (!json_is_object(root)) {
        json_decref(root);
        return wi_err_set(
            err, WISP_E_FORMAT,
            "cannot load model '%s': %s is not a JSON object; the model is damaged, get "
            "it again",
            model, what);
    }
    *out = root;
    return WISP_OK;
}

int wi_model_path(char *buf, size_t size, const char *model, const char *file,
                  struct wisp_error *err) {
    int n = snprintf(buf, size, "%s/%s", model, file);
    if (n >= 0 && (size_t)n < size)
        return WISP_OK;
    return wi_err_set(err, WISP_E_ARG,
                      "cannot load model '%.200s...': its path is too long; use a shorter one",
                      model);
}

bool wi_model_has(const char *model, const char *file) {
    char path[4096];
    return wi_model_path(path, sizeof path, model, file, NULL) == WISP_OK &&
           access(path, F_OK) == 0;
}

int wi_json_load(json_t **out, const char *model, const char *file, struct wisp_error *err) {
    char path[4096];
    struct wi_mapfile map;
    *out = NULL;
    int rc = wi_model_path(path, sizeof path, model, file, err);
    if (rc == WISP_OK)
        rc = wi_mapfile_open(&map, path, err);
    if (rc != WISP_OK)
        return rc;
    rc = wi_json_parse(out, (const char *)map.data, map.size, model, file, err);
    wi_mapfile_close(&map);
    return rc;
}

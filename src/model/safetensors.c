/* The safetensors container: u64 length of a JSON header, the header, and the tensors' bytes.  The
 * header maps names to {"dtype", "shape", "data_offsets": [begin, end]}, offsets counted from the
 * end of the header; the tensors cover the rest of the file without gaps
 * (https://github.com/huggingface/safetensors, README, "Format"). */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "model/hf.h"
#include "model/json.h"
#include "model/reader.h"

#define DAMAGED "the file is incomplete or damaged, get it again"

struct shard {
    struct wi_model *m;
    const char *path;
    const uint8_t *data; /* behind the header */
    size_t bytes;
    size_t first; /* of this file among m->tensors */
    struct wisp_error *err;
};

static int set_type(const struct shard *s, struct wi_tensor *t, const char *name,
                    const json_t *entry) {
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    if (dtype && strcmp(dtype, "F32") == 0)
        t->type = WI_F32;
    else if (dtype && strcmp(dtype, "F16") == 0)
        t->type = WI_F16;
    else if (dtype && strcmp(dtype, "BF16") == 0)
        t->type = WI_BF16;
    else
        return wi_err_set(
            s->err, WISP_E_UNSUPPORTED,
            "cannot load model '%s': tensor '%s' has the type %.20s, and wisp reads F32, "
            "F16 and BF16; save the model in one of these",
            s->path, name, dtype && wi_is_printable(dtype, strlen(dtype)) ? dtype : "?");
    return WISP_OK;
}

static bool read_shape(struct wi_tensor *t, const json_t *entry) {
    const json_t *shape = json_object_get(entry, "shape");
    size_t n = json_array_size(shape);
    if (!json_is_array(shape) || n < 1 || n > 4)
        return false;
    t->n_dims = (int)n;
    for (size_t i = 0; i < n; i++) {
        const json_t *dim = json_array_get(shape, i);
        if (!json_is_integer(dim))
            return false;
        t->dims[i] = json_integer_value(dim);
    }
    return wi_tensor_bytes(t, &t->bytes);
}

static bool read_offsets(const struct shard *s, const json_t *entry, size_t *begin, size_t *end) {
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const json_t *from = json_array_get(offsets, 0), *to = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(from) || !json_is_integer(to))
        return false;
    json_int_t a = json_integer_value(from), b = json_integer_value(to);
    if (a < 0 || b < a || (uint64_t)b > s->bytes)
        return false;
    *begin = (size_t)a;
    *end = (size_t)b;
    return true;
}

static int add_tensor(const struct shard *s, const char *name, const json_t *entry) {
    struct wi_tensor t = {0};
    char own_name[WI_HF_NAME];
    size_t begin, end;
    if (!wi_is_printable(name, strlen(name)) || strlen(name) >= WI_HF_NAME)
        return wi_err_set(
            s->err, WISP_E_FORMAT,
            "cannot load model '%s': a tensor's name is not printable or longer than %d "
            "bytes; " DAMAGED,
            s->path, WI_HF_NAME - 1);
    int rc = set_type(s, &t, name, entry);
    if (rc != WISP_OK)
        return rc;
    if (!read_shape(&t, entry))
        return wi_err_set(
            s->err, WISP_E_FORMAT,
            "cannot load model '%s': the shape of tensor '%s' is impossible; " DAMAGED, s->path,
            name);
    if (!read_offsets(s, entry, &begin, &end))
        return wi_err_set(
            s->err, WISP_E_FORMAT,
            "cannot load model '%s': the data_offsets of tensor '%s' are not two places "
            "within the file's %zu bytes of data; " DAMAGED,
            s->path, name, s->bytes);
    if (end - begin != t.bytes)
        return wi_err_set(
            s->err, WISP_E_FORMAT,
            "cannot load model '%s': tensor '%s' has %zu bytes but its shape needs %zu; " DAMAGED,
            s->path, name, end - begin, t.bytes);
    t.data = s->data + begin;
    wi_hf_rename(name, own_name);
    return wi_model_add_tensor(s->m, &t, own_name, strlen(own_name), s->err);
}

static int compare_places(const void *a, const void *b) {
    const struct wi_tensor *x = a, *y = b;
    return (x->data > y->data) - (x->data < y->data);
}

/* The tensors follow one another without gap or overlap, to the end of the file. */
static int check_cover(const struct shard *s) {
    struct wi_tensor *t = s->m->tensors + s->first;
    size_t n = s->m->n_tensors - s->first;
    const uint8_t *end = s->data;
    if (n > 0)
        qsort(t, n, sizeof *t, compare_places);
    for (size_t i = 0; i < n; i++) {
        if (t[i].data < end)
            return wi_err_set(s->err, WISP_E_FORMAT,
                              "cannot load model '%s': tensors '%s' and '%s' overlap; " DAMAGED,
                              s->path, t[i - 1].name, t[i].name);
        if (t[i].data > end)
            return wi_err_set(s->err, WISP_E_FORMAT,
                              "cannot load model '%s': %zu bytes before tensor '%s' belong to no "
                              "tensor; " DAMAGED,
                              s->path, (size_t)(t[i].data - end), t[i].name);
        end = t[i].data + t[i].bytes;
    }
    if (end != s->data + s->bytes)
        return wi_err_set(
            s->err, WISP_E_FORMAT,
            "cannot load model '%s': its last %zu bytes belong to no tensor; " DAMAGED, s->path,
            (size_t)(s->data + s->bytes - end));
    return WISP_OK;
}

/* Length and bounds of the header, which begins at byte 8. */
static int header_length(const struct wi_mapfile *map, const char *path, size_t *length,
                         struct wisp_error *err) {
    uint64_t n = 0;
    if (map->size >= sizeof n)
        memcpy(&n, map->data, sizeof n);
    if (map->size < sizeof n || n > map->size - sizeof n)
        return wi_err_set(
            err, WISP_E_FORMAT,
            "cannot load model '%s': its header claims %llu bytes, but the file has %zu; " DAMAGED,
            path, (unsigned long long)n, map->size);
    *length = (size_t)n;
    return WISP_OK;
}

int wi_safetensors_read(struct wi_model *m, const char *path, const char *shard, json_t *weight_map,
                        struct wisp_error *err) {
    const struct wi_mapfile *map;
    json_t *header = NULL, *entry;
    const char *name;
    size_t length = 0;
    int rc = wi_model_add_map(m, path, &map, err);
    if (rc == WISP_OK)
        rc = header_length(map, path, &length, err);
    if (rc == WISP_OK)
        rc = wi_json_parse(&header, (const char *)map->data + 8, length, path, "its header", err);
    if (rc != WISP_OK)
        return rc;
    struct shard s = {.m = m,
                      .path = path,
                      .data = map->data + 8 + length,
                      .bytes = map->size - 8 - length,
                      .first = m->n_tensors,
                      .err = err};
    json_object_foreach(header, name, entry) {
        if (strcmp(name, "__metadata__") == 0)
            continue;
        rc = add_tensor(&s, name, entry);
        if (rc == WISP_OK && weight_map)
            rc = wi_hf_claim(weight_map, name, shard, path, err);
        if (rc != WISP_OK)
            break;
    }
    json_decref(header);
    return rc == WISP_OK ? check_cover(&s) : rc;
}

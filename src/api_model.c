/* Public entry points for models: they check arguments and call model/ and cpu/, nothing else. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/mem.h"
#include "cpu/kern.h"
#include "model/model.h"
#include "pipeline/pipeline.h"
#include "text/vocab.h"

void wisp_model_params_init(struct wisp_model_params *params) {
    memset(params, 0, sizeof *params);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The public object around nothing yet, with its kernels and number format chosen. */
static int create(struct wisp_model **out, const struct wisp_model_params *params,
                  struct wisp_error *err) {
    enum wi_level level;
    enum wi_dec_format format;
    *out = NULL;
    int rc = wi_level_parse(&level, params ? params->cpu : NULL, err);
    if (rc == WISP_OK)
        rc = wi_dec_format_parse(&format, params ? params->decoder_weights : NULL, level, err);
    if (rc != WISP_OK)
        return rc;
    struct wisp_model *model = wi_calloc(1, sizeof *model);
    if (!model)
        return wi_err_nomem(err, "the model");
    wi_kern_select(&model->kern, level);
    model->dec_weights.format = format;
    snprintf(model->device, sizeof model->device, "cpu (%s)", wi_level_name(level));
    *out = model;
    return WISP_OK;
}

/* Weights in the form that the kernels read, made with as many threads as a context has by default. */
static int pack(struct wisp_model *model, struct wisp_error *err) {
    struct wi_pool *pool;
    int rc = wi_pool_create(&pool, wi_default_threads(), err);
    if (rc == WISP_OK)
        rc = wi_enc_weights_create(&model->enc_weights, model->file, &model->kern, pool, err);
    if (rc == WISP_OK)
        rc = wi_dec_weights_init(&model->dec_weights, model->file, &model->kern, pool,
                                 model->dec_weights.format, err);
    if (rc == WISP_OK)
        wi_enc_weights_release_source(model->enc_weights);
    wi_pool_destroy(&pool);
    return rc;
}

int wisp_model_open(struct wisp_model **out, const char *path,
                    const struct wisp_model_params *params, struct wisp_error *err) {
    double start = now();
    struct wisp_error ignored;
    if (!err)
        err = &ignored;
    wi_err_clear(err);
    int rc = create(out, params, err);
    if (rc == WISP_OK)
        rc = wi_model_open(&(*out)->file, path, err);
    if (rc == WISP_OK)
        rc = pack(*out, err);
    if (rc != WISP_OK)
        wisp_model_close(out);
    else
        (*out)->load_seconds = now() - start;
    return rc;
}

int wisp_model_create_random(struct wisp_model **out, const struct wisp_dims *dims, uint64_t seed,
                             const struct wisp_model_params *params, struct wisp_error *err) {
    double start = now();
    struct wisp_error ignored;
    if (!err)
        err = &ignored;
    wi_err_clear(err);
    int rc = create(out, params, err);
    if (rc == WISP_OK)
        rc = wi_model_create_random(&(*out)->file, dims, seed, err);
    if (rc == WISP_OK)
        rc = pack(*out, err);
    if (rc != WISP_OK)
        wisp_model_close(out);
    else
        (*out)->load_seconds = now() - start;
    return rc;
}

void wisp_model_close(struct wisp_model **model) {
    if (!model || !*model)
        return;
    wi_enc_weights_destroy(&(*model)->enc_weights);
    wi_dec_weights_fini(&(*model)->dec_weights);
    wi_model_close(&(*model)->file);
    wi_free(*model);
    *model = NULL;
}

/* The type that most of the two-dimensional weights have. */
static enum wi_dtype usual_type(const struct wi_model *m) {
    size_t counts[WI_N_DTYPES] = {0};
    enum wi_dtype best = WI_F32;
    for (size_t i = 0; i < m->n_tensors; i++)
        if (m->tensors[i].n_dims == 2 && m->tensors[i].dims[1] > 1)
            counts[m->tensors[i].type]++;
    for (int type = 0; type < WI_N_DTYPES; type++)
        if (counts[type] > counts[best])
            best = (enum wi_dtype)type;
    return best;
}

static uint64_t stored_bytes(const struct wi_model *m) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < m->n_maps; i++)
        bytes += m->maps[i].size;
    if (m->n_maps == 0)
        for (size_t i = 0; i < m->n_tensors; i++)
            bytes += m->tensors[i].bytes;
    return bytes;
}

void wisp_model_get_info(const struct wisp_model *model, struct wisp_model_info *out) {
    const struct wi_model *m = model->file;
    bool multilingual = wi_vocab_is_multilingual(m->vocab);
    *out = (struct wisp_model_info){
        .dims = m->dims,
        .path = m->path,
        .container = m->container,
        .weight_type = wi_dtype_name(usual_type(m)),
        .cpu_level = wi_level_name(model->kern.level),
        .decoder_step_bytes = wi_dec_step_bytes(m, &model->dec_weights),
        .decoder_position_bytes = wi_dec_position_bytes(m, &model->dec_weights),
        .decoder_weights = wi_dec_format_name(model->dec_weights.format),
        .multilingual = multilingual,
        .n_languages = multilingual ? wi_vocab_specials(m->vocab)->n_langs : 0,
        .n_tensors = m->n_tensors,
        .file_bytes = stored_bytes(m),
        .n_vocab_stored = (int)wi_vocab_size(m->vocab),
    };
    for (size_t i = 0; i < m->n_tensors; i++) {
        size_t n = 1;
        for (int d = 0; d < m->tensors[i].n_dims; d++)
            n *= (size_t)m->tensors[i].dims[d];
        out->n_params += n;
    }
}

bool wisp_model_get_tensor(const struct wisp_model *model, size_t i, struct wisp_tensor_info *out) {
    if (i >= model->file->n_tensors)
        return false;
    const struct wi_tensor *t = &model->file->tensors[i];
    *out = (struct wisp_tensor_info){
        .name = t->name, .type = wi_dtype_name(t->type), .n_dims = t->n_dims, .bytes = t->bytes};
    memcpy(out->dims, t->dims, (size_t)t->n_dims * sizeof t->dims[0]);
    return true;
}

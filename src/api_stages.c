/* Public entry points for contexts and single stages: they check arguments and call the stages. */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "pipeline/pipeline.h"

int wisp_ctx_create(struct wisp_ctx **out, const struct wisp_model *model, int n_threads,
                    struct wisp_error *err) {
    const struct wisp_dims *dims = &model->file->dims;
    *out = NULL;
    wi_err_clear(err);
    if (n_threads < 0 || n_threads > 256)
        return wi_err_set(err, WISP_E_ARG, "%d threads are out of range; give 1 to 256, or 0 for one per CPU",
                          n_threads);
    if (n_threads == 0)
        n_threads = wi_default_threads();
    struct wisp_ctx *ctx = wi_calloc(1, sizeof *ctx);
    if (!ctx)
        return wi_err_nomem(err, "the context");
    ctx->model = model;
    int rc = wi_pool_create(&ctx->pool, n_threads, err);
    if (rc == WISP_OK)
        rc = wi_enc_create(&ctx->enc, model->enc_weights, ctx->pool, err);
    if (rc == WISP_OK)
        rc = wi_dec_create(&ctx->dec, model->file, &model->dec_weights, &model->kern, ctx->pool, err);
    if (rc == WISP_OK)
        rc = wi_search_create(&ctx->search, model->file->vocab, ctx->dec, dims, err);
    if (rc == WISP_OK) {
        ctx->window = wi_malloc((size_t)dims->n_mels * 2 * (size_t)dims->n_audio_ctx, sizeof(float));
        ctx->features = wi_malloc((size_t)dims->n_audio_ctx * (size_t)dims->n_audio_state, sizeof(float));
        if (!ctx->window || !ctx->features)
            rc = wi_err_nomem(err, "the context's window");
    }
    if (rc != WISP_OK)
        wisp_ctx_destroy(&ctx);
    *out = ctx;
    return rc;
}

void wisp_ctx_destroy(struct wisp_ctx **out) {
    struct wisp_ctx *ctx = out ? *out : NULL;
    if (!ctx)
        return;
    wi_search_destroy(&ctx->search);
    wi_dec_destroy(&ctx->dec);
    wi_enc_destroy(&ctx->enc);
    wi_pool_destroy(&ctx->pool);
    wi_free(ctx->window);
    wi_free(ctx->features);
    wi_free(ctx);
    *out = NULL;
}

int wisp_stage_encode(struct wisp_ctx *ctx, const float *mel, float *features, struct wisp_error *err) {
    const struct wisp_dims *dims = &ctx->model->file->dims;
    wi_err_clear(err);
    int rc = wi_enc_run(ctx->enc, mel, ctx->features, NULL, NULL, err);
    if (rc == WISP_OK && features)
        memcpy(features, ctx->features,
               (size_t)dims->n_audio_ctx * (size_t)dims->n_audio_state * sizeof *features);
    return rc;
}

struct peak_job {
    const struct wi_kern *kern;
    double flop[256]; /* of each thread's share */
};

static void run_peak(void *arg, int item, int thread) {
    struct peak_job *job = arg;
    (void)thread;
    job->flop[item] = job->kern->peak(1 << 18); /* about a millisecond */
}

double wisp_stage_peak(struct wisp_ctx *ctx) {
    struct peak_job job = {.kern = &ctx->model->kern};
    int n = wi_pool_threads(ctx->pool);
    double best = 0;
    for (int run = 0; run < 50; run++) {
        double start = wi_now();
        wi_pool_run(ctx->pool, n, run_peak, &job);
        double rate = job.flop[0] * n / (wi_now() - start);
        best = rate > best ? rate : best;
    }
    return best;
}

int wisp_stage_cross_kv(struct wisp_ctx *ctx, struct wisp_error *err) {
    wi_err_clear(err);
    return wi_dec_set_audio(ctx->dec, ctx->features, err);
}

int wisp_stage_decode(struct wisp_ctx *ctx, const int *tokens, size_t n, bool last_only, float *logits,
                      struct wisp_error *err) {
    int n_ctx = ctx->model->file->dims.n_text_ctx;
    wi_err_clear(err);
    if (n < 1 || n > (size_t)n_ctx)
        return wi_err_set(err, WISP_E_ARG, "%zu tokens do not fit the decoder; give 1 to %d", n, n_ctx);
    int *rows = wi_malloc(n, sizeof *rows);
    if (!rows)
        return wi_err_nomem(err, "the list of positions");
    for (size_t i = 0; i < n; i++)
        rows[i] = (int)i;
    int rc = wi_dec_prompt(ctx->dec, tokens, (int)n, last_only ? rows + n - 1 : rows,
                           last_only ? 1 : (int)n, logits, err);
    wi_free(rows);
    return rc;
}

int wisp_stage_step(struct wisp_ctx *ctx, const int *tokens, const int *parents, size_t n_seqs,
                    float *logits, struct wisp_error *err) {
    wi_err_clear(err);
    if (n_seqs < 1 || n_seqs > WI_DEC_MAX_SEQS)
        return wi_err_set(err, WISP_E_ARG, "%zu sequences do not fit a step; give 1 to %d", n_seqs,
                          WI_DEC_MAX_SEQS);
    for (size_t i = 0; i < n_seqs; i++)
        if (parents[i] < 0 || parents[i] >= wi_dec_sequences(ctx->dec))
            return wi_err_set(err, WISP_E_ARG, "parent %d is not one of the %d sequences of the step before; wisp_stage_decode "
                              "starts with one, 0",
                              parents[i], wi_dec_sequences(ctx->dec));
    return wi_dec_step(ctx->dec, tokens, parents, (int)n_seqs, logits, err);
}

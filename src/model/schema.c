/* The tensors that a Whisper model of given dimensions has: one walk, used for checking and
 * connecting a file's tensors and for making random ones. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "model/reader.h"

/* The walk stops at the first non-zero rc, so that callers need not test each call. */
struct walk {
    int (*visit)(void *user, const struct wi_slot *slot);
    void *user;
    int rc;
};

static void visit(struct walk *k, const struct wi_slot *slot) {
    if (k->rc == 0)
        k->rc = k->visit(k->user, slot);
}

static void vector(struct walk *k, const char *prefix, const char *name, int64_t n,
                   const float **where) {
    struct wi_slot s = {.n_dims = 1, .dims = {n}, .vector = where};
    snprintf(s.name, sizeof s.name, "%s.%s", prefix, name);
    visit(k, &s);
}

static void linear(struct walk *k, const char *prefix, const char *name, int64_t n_out,
                   int64_t n_in, bool bias, struct wi_linear *where) {
    struct wi_slot s = {.n_dims = 2, .dims = {n_out, n_in}, .matrix = true, .where = &where->w};
    snprintf(s.name, sizeof s.name, "%s.%s.weight", prefix, name);
    visit(k, &s);
    if (bias) {
        char full[80];
        snprintf(full, sizeof full, "%s.%s", prefix, name);
        vector(k, full, "bias", n_out, &where->b);
    }
}

static void conv(struct walk *k, const char *prefix, int64_t n_out, int64_t n_in,
                 struct wi_linear *where) {
    struct wi_slot s = {.n_dims = 3, .dims = {n_out, n_in, 3}, .matrix = true, .where = &where->w};
    snprintf(s.name, sizeof s.name, "%s.weight", prefix);
    visit(k, &s);
    vector(k, prefix, "bias", n_out, &where->b);
}

static void positions(struct walk *k, const char *name, int64_t n_ctx, int64_t n_state,
                      const float **where) {
    struct wi_slot s = {.n_dims = 2, .dims = {n_ctx, n_state}, .vector = where};
    snprintf(s.name, sizeof s.name, "%s", name);
    visit(k, &s);
}

static void norm(struct walk *k, const char *prefix, const char *name, int64_t n,
                 struct wi_norm *where) {
    char full[80];
    snprintf(full, sizeof full, "%s.%s", prefix, name);
    vector(k, full, "weight", n, &where->w);
    vector(k, full, "bias", n, &where->b);
}

static void attention(struct walk *k, const char *block, const char *name, int64_t n,
                      struct wi_attn_weights *where) {
    char prefix[64];
    snprintf(prefix, sizeof prefix, "%s.%s", block, name);
    linear(k, prefix, "query", n, n, true, &where->q);
    linear(k, prefix, "key", n, n, false, &where->k);
    linear(k, prefix, "value", n, n, true, &where->v);
    linear(k, prefix, "out", n, n, true, &where->out);
}

static void block(struct walk *k, const char *side, int i, int64_t n, bool cross,
                  struct wi_block_weights *where) {
    char prefix[48];
    snprintf(prefix, sizeof prefix, "%s.blocks.%d", side, i);
    norm(k, prefix, "attn_ln", n, &where->attn_ln);
    attention(k, prefix, "attn", n, &where->attn);
    if (cross) {
        norm(k, prefix, "cross_attn_ln", n, &where->cross_ln);
        attention(k, prefix, "cross_attn", n, &where->cross);
    }
    norm(k, prefix, "mlp_ln", n, &where->mlp_ln);
    linear(k, prefix, "mlp.0", 4 * n, n, true, &where->mlp_in);
    linear(k, prefix, "mlp.2", n, 4 * n, true, &where->mlp_out);
}

int wi_schema_visit(const struct wisp_dims *d, struct wi_weights *w,
                    int (*visitor)(void *user, const struct wi_slot *slot), void *user) {
    struct walk k = {visitor, user, 0};
    conv(&k, "encoder.conv1", d->n_audio_state, d->n_mels, &w->conv1);
    conv(&k, "encoder.conv2", d->n_audio_state, d->n_audio_state, &w->conv2);
    positions(&k, "encoder.positional_embedding", d->n_audio_ctx, d->n_audio_state, &w->enc_pos);
    for (int i = 0; i < d->n_audio_layer && k.rc == 0; i++)
        block(&k, "encoder", i, d->n_audio_state, false, &w->enc[i]);
    norm(&k, "encoder", "ln_post", d->n_audio_state, &w->enc_ln);
    struct wi_slot tokens = {.name = "decoder.token_embedding.weight",
                             .n_dims = 2,
                             .dims = {d->n_vocab, d->n_text_state},
                             .matrix = true,
                             .where = &w->tok_emb};
    visit(&k, &tokens);
    positions(&k, "decoder.positional_embedding", d->n_text_ctx, d->n_text_state, &w->dec_pos);
    for (int i = 0; i < d->n_text_layer && k.rc == 0; i++)
        block(&k, "decoder", i, d->n_text_state, true, &w->dec[i]);
    norm(&k, "decoder", "ln", d->n_text_state, &w->dec_ln);
    return k.rc;
}

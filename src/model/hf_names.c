#include <stdio.h>
#include <string.h>

#include "model/hf.h"

struct pair {
    const char *theirs, *ours;
};

/* After "model."; conv1 and conv2 are called the same. */
static const struct pair whole[] = {
    {"encoder.embed_positions.weight", "encoder.positional_embedding"},
    {"encoder.layer_norm.weight", "encoder.ln_post.weight"},
    {"encoder.layer_norm.bias", "encoder.ln_post.bias"},
    {"decoder.embed_tokens.weight", "decoder.token_embedding.weight"},
    {"decoder.embed_positions.weight", "decoder.positional_embedding"},
    {"decoder.layer_norm.weight", "decoder.ln.weight"},
    {"decoder.layer_norm.bias", "decoder.ln.bias"},
};

/* Between "encoder.layers.N." and ".weight" or ".bias". */
static const struct pair parts[] = {
    {"self_attn.q_proj", "attn.query"},
    {"self_attn.k_proj", "attn.key"},
    {"self_attn.v_proj", "attn.value"},
    {"self_attn.out_proj", "attn.out"},
    {"self_attn_layer_norm", "attn_ln"},
    {"encoder_attn.q_proj", "cross_attn.query"},
    {"encoder_attn.k_proj", "cross_attn.key"},
    {"encoder_attn.v_proj", "cross_attn.value"},
    {"encoder_attn.out_proj", "cross_attn.out"},
    {"encoder_attn_layer_norm", "cross_attn_ln"},
    {"fc1", "mlp.0"},
    {"fc2", "mlp.2"},
    {"final_layer_norm", "mlp_ln"},
};

/* "encoder.layers.N.PART.weight": the side with N, and PART's counterpart. */
static bool rename_layer(const char *name, char out[WI_HF_NAME]) {
    const char *side = strncmp(name, "encoder.layers.", 15) == 0   ? "encoder"
                       : strncmp(name, "decoder.layers.", 15) == 0 ? "decoder"
                                                                   : NULL;
    if (!side)
        return false;
    const char *number = name + 15;
    const char *last = strrchr(name, '.');
    size_t digits = strspn(number, "0123456789");
    const char *part = number + digits + 1;
    if (digits == 0 || number[digits] != '.' || last < part)
        return false;
    size_t length = (size_t)(last - part);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strlen(parts[i].theirs) == length && memcmp(parts[i].theirs, part, length) == 0) {
            snprintf(out, WI_HF_NAME, "%s.blocks.%.*s.%s%s", side, (int)digits, number,
                     parts[i].ours, last);
            return true;
        }
    return false;
}

void wi_hf_rename(const char *name, char out[WI_HF_NAME]) {
    const char *inner = strncmp(name, "model.", 6) == 0 ? name + 6 : name;
    if (rename_layer(inner, out))
        return;
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++)
        if (strcmp(whole[i].theirs, inner) == 0) {
            snprintf(out, WI_HF_NAME, "%s", whole[i].ours);
            return;
        }
    snprintf(out, WI_HF_NAME, "%s", inner);
}

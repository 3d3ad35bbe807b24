/* The parts of reading a Hugging Face folder: tensor names, safetensors files, the tokenizer.  All
 * results go into the wi_model or wi_words of the caller.  Not thread-safe. */
#ifndef WISP_SRC_MODEL_HF_H
#define WISP_SRC_MODEL_HF_H

#include <jansson.h>

#include "model/reader.h"

enum { WI_HF_NAME = 256 }; /* bytes of a tensor's name with its NUL */

/* "model.encoder.layers.0.fc1.weight" to openai-whisper's "encoder.blocks.0.mlp.0.weight"; names
 * that have no counterpart stay. */
void wi_hf_rename(const char *name, char out[WI_HF_NAME]);

/* Append the tensors of one file.  `weight_map` (NULL when there is no index) says which file each
 * tensor is in, and loses those that were found in `shard`.  Errors: IO, FORMAT, UNSUPPORTED,
 * NOMEM. */
int wi_safetensors_read(struct wi_model *m, const char *path, const char *shard, json_t *weight_map,
                        struct wisp_error *err);

/* Take tensor `name`, found in `shard`, out of the map; FORMAT unless the map says so too. */
int wi_hf_claim(json_t *weight_map, const char *name, const char *shard, const char *path,
                struct wisp_error *err);

/* The base vocabulary from tokenizer.json or vocab.json of folder m->path. */
int wi_hf_read_words(const struct wi_model *m, struct wi_words *words, struct wisp_error *err);

#endif

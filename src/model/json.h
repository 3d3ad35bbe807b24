/* Turns JSON files and headers of models into jansson values, with errors that name the file and
 * place. The caller owns the value (json_decref).  Thread-safe. */
#ifndef WISP_SRC_MODEL_JSON_H
#define WISP_SRC_MODEL_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <wisp/wisp.h>

/* Twice what any published model's tokenizer has.  An empty object costs jansson about 230 bytes, so
 * the values have to be counted too, to bound what parsing a hostile file allocates (120 MB). */
enum { WI_JSON_MAX = 16 << 20, WI_JSON_MAX_VALUES = 1 << 19 };

/* An object from `n` bytes of `what` (for the message) in model `model`.  Errors: FORMAT. */
int wi_json_parse(json_t **out, const char *data, size_t n, const char *model, const char *what,
                  struct wisp_error *err);

/* The object in model/file.  Errors: IO (missing), FORMAT. */
int wi_json_load(json_t **out, const char *model, const char *file, struct wisp_error *err);

/* model/file into buf; ARG when it does not fit. */
int wi_model_path(char *buf, size_t size, const char *model, const char *file,
                  struct wisp_error *err);

/* Whether model/file is there. */
bool wi_model_has(const char *model, const char *file);

#endif

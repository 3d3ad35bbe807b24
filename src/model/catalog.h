/* The table of published models and where pulled ones live: a user's word becomes a table entry or
 * a path.  Entries are constant data that nobody owns, paths are written to the caller's buffers.
 * Thread-safe. */
#ifndef WISP_SRC_MODEL_CATALOG_H
#define WISP_SRC_MODEL_CATALOG_H

#include <wisp/wisp.h>

/* The entry called `name`, NULL when there is none. */
const struct wisp_catalog_entry *wi_catalog_find(const char *name);

/* The name in the table that is nearest to `name` by edit distance, NULL when none is near. */
const char *wi_catalog_nearest(const char *name);

/* The file name under which a model is stored: "ggml-NAME.bin".  Errors: ARG (does not fit). */
int wi_catalog_file(char *buf, size_t size, const char *dir, const char *name,
                    struct wisp_error *err);

#endif

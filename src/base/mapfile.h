/* A whole file mapped read-only.  The bytes belong to the map and are valid until wi_mapfile_close.
 * A map may be read by any number of threads. */
#ifndef WISP_SRC_BASE_MAPFILE_H
#define WISP_SRC_BASE_MAPFILE_H

#include <stddef.h>
#include <stdint.h>
#include <wisp/wisp.h>

struct wi_mapfile {
    const uint8_t *data; /* NULL when closed */
    size_t size;         /* bytes, > 0 when open */
};

/* Map `path`.  Errors: IO (missing, a directory, unreadable), FORMAT (empty). */
int wi_mapfile_open(struct wi_mapfile *map, const char *path, struct wisp_error *err);
void wi_mapfile_close(struct wi_mapfile *map);

/* Tell the kernel that a range inside the map will not be read again soon, so that its pages need not
 * stay resident. */
void wi_mapfile_forget(const void *data, size_t bytes);

#endif

/* Turns a URL into a verified file: a resumable download whose partial bytes wait in PATH.part and
 * whose digest is checked before it gets its name.  The caller owns the strings of the request. One
 * download of a path at a time, across processes; different paths may be pulled by different
 * threads. */
#ifndef WISP_SRC_MODEL_PULL_H
#define WISP_SRC_MODEL_PULL_H

#include <wisp/wisp.h>

struct wi_pull {
    const char *url;    /* http:// or https:// */
    const char *path;   /* of the finished file; its folder must exist */
    const char *digest; /* hex SHA-1 (40 digits) or SHA-256 (64) */
    uint64_t bytes;     /* size of the file, 0 = unknown */
    int stall_s;        /* give up on a connection that brings nothing for this long */
    int retry_ms;       /* wait before the first new try; doubles */
    int (*progress)(void *user, uint64_t done, uint64_t total); /* as in wisp_pull_params */
    void *user;
};

/* Errors: as wisp_model_pull. */
int wi_pull_run(const struct wi_pull *pull, struct wisp_error *err);

#endif

/* Waiting that can be called off.  The struct is the caller's; `wanted` is called by the thread that
 * waits. */
#ifndef WISP_SRC_BASE_WAIT_H
#define WISP_SRC_BASE_WAIT_H

#include <stdbool.h>
#include <wisp/wisp.h>

/* Says whether to stop; NULL or `wanted` = NULL: never. */
struct wi_abort {
    bool (*wanted)(void *user);
    void *user;
};

/* CANCELLED when it is wanted. */
int wi_abort_check(const struct wi_abort *abort, struct wisp_error *err);

/* Wait until one of `n` <= 2 descriptors (-1 is left out) can be read without waiting, or is at its
 * end; *ready is its index.  `name` is for the message.  Errors: CANCELLED, IO. */
int wi_wait_readable(const int *fds, int n, int *ready, const char *name,
                     const struct wi_abort *abort, struct wisp_error *err);

#endif

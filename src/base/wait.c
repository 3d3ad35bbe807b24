#include "base/wait.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>

#include "base/err.h"

enum { POLL_MS = 100 /* between two questions: at once, for a person */ };

int wi_abort_check(const struct wi_abort *abort, struct wisp_error *err) {
    if (abort && abort->wanted && abort->wanted(abort->user))
        return wi_err_set(err, WISP_E_CANCELLED, "stopped on request while audio was read");
    return WISP_OK;
}

int wi_wait_readable(const int *fds, int n, int *ready, const char *name,
                     const struct wi_abort *abort, struct wisp_error *err) {
    struct pollfd polled[2];
    assert(n <= 2);
    for (int i = 0; i < n; i++)
        polled[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
    for (;;) {
        int rc = wi_abort_check(abort, err);
        if (rc != WISP_OK)
            return rc;
        if (poll(polled, (nfds_t)n, POLL_MS) < 0 && errno != EINTR)
            return wi_err_errno(err, WISP_E_IO, errno, "cannot wait for %s", name);
        for (*ready = 0; *ready < n; ++*ready)
            if (polled[*ready].revents)
                return WISP_OK;
    }
}

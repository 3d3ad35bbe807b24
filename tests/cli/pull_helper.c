/* One wi_pull_run for test_pull.py: pull_helper URL PATH DIGEST BYTES STALL_S CANCEL_AT; prints the
 * code and the error text.  CANCEL_AT > 0: the progress callback stops at that many bytes. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/pull.h"

static int progress(void *user, uint64_t done, uint64_t total) {
    (void)total;
    uint64_t cancel_at = *(uint64_t *)user;
    return cancel_at > 0 && done >= cancel_at;
}

int main(int argc, char **argv) {
    if (argc != 7)
        return 99;
    signal(SIGXFSZ, SIG_IGN);
    uint64_t cancel_at = strtoull(argv[6], NULL, 10);
    struct wi_pull pull = {.url = argv[1],
                           .path = argv[2],
                           .digest = argv[3],
                           .bytes = strtoull(argv[4], NULL, 10),
                           .stall_s = atoi(argv[5]),
                           .retry_ms = 20,
                           .progress = progress,
                           .user = &cancel_at};
    struct wisp_error err = {0};
    int rc = wi_pull_run(&pull, &err);
    if (rc != err.code)
        return 98;
    printf("%d %s\n", rc, err.text);
    return 0;
}

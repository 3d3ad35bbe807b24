/* In builds without libcurl and libcrypto. */
#include "model/pull.h"

#include "base/err.h"

int wi_pull_run(const struct wi_pull *pull, struct wisp_error *err) {
    return wi_err_set(
        err, WISP_E_UNSUPPORTED,
        "this build of wisp cannot download: it was made without libcurl or libcrypto; "
        "fetch %s and save it as '%s'",
        pull->url, pull->path);
}

#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int set_va(struct wisp_error *err, int code, int errnum, const char *format, va_list ap) {
    if (!err || err->code != WISP_OK)
        return code;
    err->code = code;
    int n = vsnprintf(err->text, sizeof err->text, format, ap);
    if (errnum != 0 && n >= 0 && (size_t)n < sizeof err->text) {
        char reason[128];
        /* The XSI strerror_r: thread-safe, unlike strerror. */
        if (strerror_r(errnum, reason, sizeof reason) != 0)
            snprintf(reason, sizeof reason, "error %d", errnum);
        snprintf(err->text + n, sizeof err->text - (size_t)n, ": %s", reason);
    }
    return code;
}

int wi_err_set(struct wisp_error *err, int code, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    set_va(err, code, 0, format, ap);
    va_end(ap);
    return code;
}

int wi_err_errno(struct wisp_error *err, int code, int errnum, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    set_va(err, code, errnum, format, ap);
    va_end(ap);
    return code;
}

int wi_err_nomem(struct wisp_error *err, const char *what) {
    return wi_err_set(err, WISP_E_NOMEM,
                      "out of memory: cannot allocate %s; close other programs or use a smaller model",
                      what);
}

void wi_err_clear(struct wisp_error *err) {
    if (err) {
        err->code = WISP_OK;
        err->text[0] = '\0';
    }
}

const char *wisp_strerror(int code) {
    switch (code) {
    case WISP_OK: return "no error";
    case WISP_E_ARG: return "bad argument";
    case WISP_E_NOMEM: return "out of memory";
    case WISP_E_IO: return "input/output error";
    case WISP_E_FORMAT: return "bad format";
    case WISP_E_UNSUPPORTED: return "unsupported";
    case WISP_E_DEVICE: return "device error";
    case WISP_E_TIMEOUT: return "timeout";
    case WISP_E_CANCELLED: return "cancelled";
    case WISP_E_INTERNAL: return "internal error";
    default: return "unknown error";
    }
}

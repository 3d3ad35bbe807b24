/* Filling in a `struct wisp_error` of the caller.  The text buffer lives in the caller's struct, so
 * reporting never allocates.  Thread-safe as long as threads use different structs. */
#ifndef WISP_SRC_BASE_ERR_H
#define WISP_SRC_BASE_ERR_H

#include <wisp/wisp.h>

/* Record `code` and the formatted sentence unless an earlier failure is recorded already (the first
 * one wins) or `err` is NULL.  Returns `code`, so that `return wi_err_set(...)` reads well. */
int wi_err_set(struct wisp_error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As wi_err_set with ": strerror(errnum)" appended. */
int wi_err_errno(struct wisp_error *err, int code, int errnum, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* WISP_E_NOMEM with what was to be allocated. */
int wi_err_nomem(struct wisp_error *err, const char *what);

/* Make `err` empty again (code 0).  NULL is allowed. */
void wi_err_clear(struct wisp_error *err);

#endif

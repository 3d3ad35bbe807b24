#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *const cli_commands[] = {"transcribe", "demo", "model", "bench", "doctor", "dump", "npu", NULL};

enum cli_exit cli_exit_of(int wisp_code) {
    switch (wisp_code) {
    case WISP_OK: return CLI_DONE;
    case WISP_E_ARG: return CLI_USAGE;
    case WISP_E_IO:
    case WISP_E_FORMAT:
    case WISP_E_UNSUPPORTED: return CLI_INPUT;
    case WISP_E_DEVICE:
    case WISP_E_TIMEOUT: return CLI_DEVICE;
    case WISP_E_CANCELLED: return CLI_INTERRUPTED;
    default: return CLI_INTERNAL;
    }
}

void cli_say(const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    fputs("wisp: ", stderr);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
}

enum cli_exit cli_fail(const struct wisp_error *err) {
    cli_say("%s", err->text[0] ? err->text : wisp_strerror(err->code));
    return cli_exit_of(err->code);
}

enum cli_exit cli_fail_nomem(void) {
    cli_say("out of memory; close other programs and try again");
    return CLI_INTERNAL;
}

enum cli_exit cli_fail_stdout(int errnum) {
    cli_say("cannot write to standard output: %s",
            errnum == ENOSPC  ? "the disk is full; free some space"
            : errnum == EPIPE ? "its reader is gone"
            : errnum          ? strerror(errnum)
                              : "the disk is full or its reader is gone");
    return CLI_INPUT;
}

enum cli_exit cli_close_stdout(enum cli_exit so_far) {
    bool failed = ferror(stdout) != 0;
    int errnum = 0;
    if (fclose(stdout) != 0) {
        failed = true;
        errnum = errno;
    }
    return failed && so_far == CLI_DONE ? cli_fail_stdout(errnum) : so_far;
}

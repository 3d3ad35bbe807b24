/* What the commands share: exit codes, messages, and one function per command.  Nothing here owns
 * memory.  The program is single-threaded but for callbacks of the library. */
#ifndef WISP_CLI_CLI_H
#define WISP_CLI_CLI_H

#include <wisp/wisp.h>

enum cli_exit {
    CLI_DONE = 0,
    CLI_USAGE = 1,       /* wrong option, value or combination */
    CLI_INPUT = 2,       /* an input, output or model file */
    CLI_DEVICE = 3,      /* a device is missing or failed */
    CLI_INTERRUPTED = 4, /* stopped by a signal, partial output written */
    CLI_INTERNAL = 5     /* out of memory, or a defect */
};

/* The exit code for a code of the library: the one place that maps them. */
enum cli_exit cli_exit_of(int wisp_code);

/* "wisp: ..." and a newline on standard error. */
void cli_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Say the error's text; returns its exit code. */
enum cli_exit cli_fail(const struct wisp_error *err);

/* Say that memory ran out; returns CLI_INTERNAL. */
enum cli_exit cli_fail_nomem(void);

/* Say that standard output does not take what is printed, and why: errno's value, or 0 when stdio
 * has lost it; returns CLI_INPUT. */
enum cli_exit cli_fail_stdout(int errnum);

/* Flush and close standard output; CLI_INPUT with a message when what was printed did not arrive.
 */
enum cli_exit cli_close_stdout(enum cli_exit so_far);

/* The commands; argv[0] is the command word.  Each returns an exit code. */
int cmd_transcribe(int argc, char **argv);
int cmd_demo(int argc, char **argv);
int cmd_model(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_dump(int argc, char **argv);
int cmd_npu(int argc, char **argv);

/* The command words, NULL at the end. */
extern const char *const cli_commands[];

#endif

/* wisp: the first word chooses the command, anything else is work for `transcribe`. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

/* A closed standard stream would lend its number to the next file that is opened. */
static void keep_standard_streams(void) {
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            open("/dev/null", O_RDONLY); /* takes the lowest free number: this one */
}

/* A mapped model or its disk went away under us.  Only calls that a signal handler may make. */
static void on_bus_error(int number) {
    (void)number;
    static const char text[] =
        "wisp: a file that was in use became shorter or cannot be read any more; do not change a "
        "model while it is used, and check its disk\n";
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
        _exit(CLI_INTERNAL);
    _exit(CLI_INPUT);
}

static int run(int argc, char **argv) {
    static int (*const commands[])(int, char **) = {cmd_transcribe, cmd_demo, cmd_model, cmd_bench,
                                                    cmd_doctor,     cmd_dump, cmd_npu};
    for (int i = 0; argc > 1 && cli_commands[i]; i++)
        if (strcmp(argv[1], cli_commands[i]) == 0)
            return commands[i](argc - 1, argv + 1);
    argv[0] = (char *)cli_commands[0];
    return cmd_transcribe(argc, argv);
}

int main(int argc, char **argv) {
    keep_standard_streams();
    /* Failed writes are reported where they happen, with a message. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGBUS, on_bus_error);
    return (int)cli_close_stdout((enum cli_exit)run(argc, argv));
}

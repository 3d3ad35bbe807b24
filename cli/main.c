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

static int run(int argc, char **argv) {
    static int (*const commands[])(int, char **) = {cmd_transcribe, cmd_demo, cmd_model, cmd_bench,
                                                    cmd_doctor,     cmd_dump, cmd_npu};
    if (argc < 2) {
        cli_say("no audio file is given; 'wisp FILE' transcribes one, 'wisp --help' lists the "
                "options");
        return CLI_USAGE;
    }
    for (int i = 0; cli_commands[i]; i++)
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
    return (int)cli_close_stdout((enum cli_exit)run(argc, argv));
}

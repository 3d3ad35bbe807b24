#include "interrupt.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

static atomic_bool flag;

/* When nobody reads the note, there is nothing to do about it. */
static void note(const char *text) {
    ssize_t ignored = write(STDERR_FILENO, text, strlen(text));
    (void)ignored;
}

static void on_signal(int number) {
    (void)number;
    int errnum = errno;
    atomic_store(&flag, true);
    if (isatty(STDERR_FILENO))
        note("\nwisp: stopping; once more to quit at once\n");
    errno = errnum;
}

static void on_signal_quit(int number) {
    (void)number;
    note("wisp: interrupted; nothing was written\n");
    _exit(CLI_INTERRUPTED);
}

static void handle(void (*handler)(int)) {
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        /* The handler is for one signal, then the default action is back. */
        struct sigaction old,
            new = {.sa_handler = handler, .sa_flags = (int)SA_RESETHAND | SA_RESTART};
        sigemptyset(&new.sa_mask);
        if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(signals[i], &new, NULL);
    }
}

void interrupt_catch(void) {
    handle(on_signal);
}

void interrupt_quit(void) {
    handle(on_signal_quit);
}

bool interrupted(void) {
    return atomic_load(&flag);
}

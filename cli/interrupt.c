#include "interrupt.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

static atomic_bool flag;

static void on_signal(int number) {
    (void)number;
    static const char note[] = "\nwisp: stopping; once more to quit at once\n";
    int errnum = errno;
    atomic_store(&flag, true);
    if (isatty(STDERR_FILENO) && write(STDERR_FILENO, note, sizeof note - 1) < 0)
        atomic_store(&flag, true); /* nobody reads the note: stop all the same */
    errno = errnum;
}

void interrupt_catch(void) {
    /* The handler is for one signal each, then the default action is back. */
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND | SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool interrupted(void) {
    return atomic_load(&flag);
}

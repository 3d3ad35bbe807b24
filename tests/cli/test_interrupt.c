/* What signals do to the program: a flag, its end, or nothing. */
#include "unit/suite.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"
#include "interrupt.h"

static const int signals[] = {SIGINT, SIGTERM, SIGHUP};

/* Run `child` in a process; its status and what it wrote on standard error. */
static int status_of(int (*child)(int), int number, char *text, size_t size) {
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDERR_FILENO);
        signal(number, SIG_DFL); /* whoever runs the tests may ignore it */
        _exit(child(number));
    }
    close(ends[1]);
    size_t n = 0;
    for (ssize_t got = 1; got > 0; n += (size_t)(got > 0 ? got : 0))
        got = read(ends[0], text + n, size - 1 - n);
    text[n] = '\0';
    close(ends[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static int caught(int number) {
    interrupt_catch();
    bool before = interrupted();
    raise(number);
    return !before && interrupted() ? 42 : 43;
}

static int caught_twice(int number) {
    caught(number);
    raise(number);
    return 43;
}

static int quits(int number) {
    interrupt_quit();
    raise(number);
    return 43;
}

static int catches_again(int number) {
    interrupt_quit();
    return caught(number);
}

static int ignored(int number) {
    signal(number, SIG_IGN);
    interrupt_quit();
    raise(number);
    interrupt_catch();
    raise(number);
    return interrupted() ? 43 : 42;
}

static void a_signal_sets_the_flag_and_the_second_kills(void **state) {
    (void)state;
    char text[256];
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        int status = status_of(caught, signals[i], text, sizeof text);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 42);
        assert_string_equal(text, ""); /* no terminal: nobody to tell */
        status = status_of(caught_twice, signals[i], text, sizeof text);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == signals[i]);
    }
}

static void a_signal_ends_work_that_has_nothing_to_lose(void **state) {
    (void)state;
    char text[256];
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        int status = status_of(quits, signals[i], text, sizeof text);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == CLI_INTERRUPTED);
        assert_string_equal(text, "wisp: interrupted; nothing was written\n");
        status = status_of(catches_again, signals[i], text, sizeof text);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    }
}

static void an_ignored_signal_stays_ignored(void **state) {
    (void)state;
    char text[256];
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        int status = status_of(ignored, signals[i], text, sizeof text);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    }
}

WISP_SUITE(cmocka_unit_test(a_signal_sets_the_flag_and_the_second_kills),
           cmocka_unit_test(a_signal_ends_work_that_has_nothing_to_lose),
           cmocka_unit_test(an_ignored_signal_stays_ignored))

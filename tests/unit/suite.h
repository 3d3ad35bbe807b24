/* cmocka with the headers that it needs, and a main: WISP_SUITE(unit_test, ...). */
#ifndef WISP_TESTS_UNIT_SUITE_H
#define WISP_TESTS_UNIT_SUITE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define WISP_SUITE(...)                                                                            \
    int main(void) {                                                                               \
        const struct CMUnitTest tests[] = {__VA_ARGS__};                                           \
        return cmocka_run_group_tests(tests, NULL, NULL);                                          \
    }

#endif

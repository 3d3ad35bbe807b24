/* Prints jansson values for people and machines: numbers are the shortest that read back to the
 * same double, lists of plain values stay on one line.  Values stay the caller's.  Thread-safe. */
#ifndef WISP_CLI_JSON_PRINT_H
#define WISP_CLI_JSON_PRINT_H

#include <jansson.h>
#include <stdio.h>

/* Write `value` and a newline. */
void json_print(FILE *f, const json_t *value);

/* A string value of bytes that may not be UTF-8 (a file name): what is invalid becomes U+FFFD. NULL
 * gives null. */
json_t *json_text(const char *bytes);

/* A real, or null when it is not finite: JSON has no word for it. */
json_t *json_number(double x);

#endif

/* Turns a command line into values by a table of options, which also prints the help.  Strings are
 * borrowed from argv; operands go to an array that the caller frees with free().  Not thread-safe
 * only in that it writes to standard error. */
#ifndef WISP_CLI_ARGS_H
#define WISP_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum opt_kind {
    OPT_SECTION,   /* no option: a heading of the help */
    OPT_ON,        /* bool = true */
    OPT_OFF,       /* bool = false */
    OPT_INT,       /* int in min..max */
    OPT_SEED,      /* uint64_t */
    OPT_NUMBER,    /* double in min..max */
    OPT_THRESHOLD, /* double in min..max, or "none" = NAN */
    OPT_STRING,    /* const char * */
    OPT_LIST       /* struct strings: every use adds one */
};

struct strings {
    const char **v; /* [n], room for all of argv */
    size_t n;
};

struct opt {
    enum opt_kind kind;
    const char *brief; /* "-m", or NULL */
    const char *name;  /* "--model" */
    const char *arg;   /* "FILE": what the value is; NULL for switches */
    const char *help;  /* one sentence; for OPT_SECTION the heading */
    size_t at;         /* offsetof the value in the command's struct */
    double min, max;
};

/* A table ends with an entry of zeros (OPT_SECTION without help). */
#define OPT_END                                                                                    \
    { OPT_SECTION, NULL, NULL, NULL, NULL, 0, 0, 0 }

/* Parse argv[1...] into `values` (a struct) and `operands`; options may stand anywhere, "--" ends
 * them, "--name=value" works.  Returns false after saying what is wrong. */
bool args_parse(int argc, char **argv, const struct opt *table, void *values,
                struct strings *operands);

/* Print the table, 80 columns wide. */
void args_help(FILE *f, const struct opt *table);

/* Parse a whole number in min..max without anything before or behind it. */
bool args_int(const char *text, long long min, long long max, long long *out);

/* The word of `words` (NULL at the end) nearest to `word`, NULL when none is near. */
const char *args_nearest(const char *word, const char *const *words);

#endif

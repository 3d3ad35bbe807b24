#include "args.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

enum { WIDTH = 80, HELP_COLUMN = 34, MAX_WORD = 64 };

/* ------------------------------------------------------------------ nearest names */

/* Insertions and deletions between words of at most MAX_WORD characters.  A replaced character
 * counts as two, so that words of one other character, -x and -m, are not near. */
static int edit_distance(const char *a, const char *b) {
    int row[MAX_WORD + 1]; /* distance of the first i characters of a to a prefix of b */
    int n = (int)strlen(a);
    for (int i = 0; i <= n; i++)
        row[i] = i;
    for (int j = 1; *b; b++, j++) {
        int diagonal = row[0];
        row[0] = j;
        for (int i = 1; i <= n; i++) {
            int replace = diagonal + (a[i - 1] != *b ? 2 : 0);
            diagonal = row[i];
            int gap = (row[i] < row[i - 1] ? row[i] : row[i - 1]) + 1;
            row[i] = replace < gap ? replace : gap;
        }
    }
    return row[n];
}

/* Keep `candidate` when it is nearer to `word` than `*best` was. */
static void consider(const char *word, const char *candidate, int *best, const char **nearest) {
    if (!candidate)
        return;
    int distance = edit_distance(candidate, word);
    if (distance < *best) {
        *best = distance;
        *nearest = candidate;
    }
}

/* Farther than this is no misspelling. */
static int too_far(const char *word) {
    return (int)strlen(word) / 3 + 2;
}

const char *args_nearest(const char *word, const char *const *words) {
    const char *nearest = NULL;
    int best = too_far(word);
    for (; strlen(word) <= MAX_WORD && *words; words++)
        consider(word, *words, &best, &nearest);
    return nearest;
}

static bool is_end(const struct opt *opt) {
    return opt->kind == OPT_SECTION && !opt->help;
}

static const char *nearest_option(const char *word, const struct opt *table) {
    const char *nearest = NULL;
    int best = too_far(word);
    for (; strlen(word) <= MAX_WORD && !is_end(table); table++) {
        consider(word, table->name, &best, &nearest);
        consider(word, table->brief, &best, &nearest);
    }
    return nearest;
}

/* ------------------------------------------------------------------ values */

bool args_int(const char *text, long long min, long long max, long long *out) {
    if (text[strspn(text, "+-0123456789")] != '\0' || !*text)
        return false;
    char *end;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return errno == 0 && *end == '\0' && *out >= min && *out <= max;
}

static bool parse_seed(const char *text, uint64_t *out) {
    if (text[strspn(text, "0123456789")] != '\0' || !*text)
        return false;
    errno = 0;
    *out = strtoull(text, NULL, 10);
    return errno == 0;
}

/* A decimal number: no hexadecimal, no infinity, no white space. */
static bool parse_number(const char *text, double min, double max, double *out) {
    if (text[strspn(text, "+-.eE0123456789")] != '\0' || !*text)
        return false;
    char *end;
    *out = strtod(text, &end);
    return *end == '\0' && isfinite(*out) && *out >= min && *out <= max;
}

static bool store_int(const struct opt *opt, const char *name, const char *text, int *value) {
    long long n;
    if (args_int(text, (long long)opt->min, (long long)opt->max, &n)) {
        *value = (int)n;
        return true;
    }
    if (opt->max >= INT_MAX)
        cli_say("%s needs a whole number%s, not '%s'", name,
                opt->min <= INT_MIN ? ""
                : opt->min == 1     ? " from 1 up"
                                    : " from 0 up",
                text);
    else
        cli_say("%s needs a whole number from %g to %g, not '%s'", name, opt->min, opt->max, text);
    return false;
}

static bool store_number(const struct opt *opt, const char *name, const char *text, double *value) {
    bool may_be_none = opt->kind == OPT_THRESHOLD;
    if (may_be_none && strcmp(text, "none") == 0) {
        *value = NAN;
        return true;
    }
    if (parse_number(text, opt->min, opt->max, value))
        return true;
    char range[64] = "";
    if (!may_be_none) /* thresholds have none that a person would meet */
        snprintf(range, sizeof range, " from %g to %g", opt->min, opt->max);
    cli_say("%s needs a number%s, not '%s'", name, may_be_none ? " or the word none" : range, text);
    return false;
}

static bool store(const struct opt *opt, const char *name, const char *text, void *values) {
    void *at = (char *)values + opt->at;
    switch (opt->kind) {
    case OPT_ON: *(bool *)at = true; return true;
    case OPT_OFF: *(bool *)at = false; return true;
    case OPT_INT: return store_int(opt, name, text, at);
    case OPT_NUMBER:
    case OPT_THRESHOLD: return store_number(opt, name, text, at);
    case OPT_STRING: *(const char **)at = text; return true;
    case OPT_SEED:
        if (parse_seed(text, at))
            return true;
        cli_say("%s needs a whole number from 0 to 18446744073709551615, not '%s'", name, text);
        return false;
    case OPT_LIST: {
        struct strings *list = at;
        list->v[list->n++] = text;
        return true;
    }
    case OPT_SECTION: break;
    }
    return false;
}

/* ------------------------------------------------------------------ the command line */

/* The option called by the first `len` characters of `word`. */
static const struct opt *find(const struct opt *table, const char *word, size_t len) {
    for (; !is_end(table); table++) {
        const char *names[] = {table->brief, table->name};
        for (int i = 0; i < 2; i++)
            if (names[i] && strlen(names[i]) == len && strncmp(names[i], word, len) == 0)
                return table;
    }
    return NULL;
}

static bool unknown_option(const char *command, const char *word, const struct opt *table) {
    const char *nearest = nearest_option(word, table);
    if (nearest)
        cli_say("unknown option '%s'; did you mean '%s'? 'wisp %s --help' lists all", word, nearest,
                command);
    else
        cli_say("unknown option '%s'; 'wisp %s --help' lists all", word, command);
    return false;
}

/* Take the option at argv[*i], and its value, which may be the next argument. */
static bool take_option(int argc, char **argv, int *i, const struct opt *table, void *values) {
    const char *word = argv[*i];
    const char *equals = strncmp(word, "--", 2) == 0 ? strchr(word, '=') : NULL;
    size_t len = equals ? (size_t)(equals - word) : strlen(word);
    const struct opt *opt = find(table, word, len);
    if (!opt)
        return unknown_option(argv[0], word, table);
    const char *name = opt->name && word[1] == '-' ? opt->name : opt->brief;
    if (!opt->arg) {
        if (!equals)
            return store(opt, name, NULL, values);
        cli_say("%s takes no value; leave '%s' out", name, equals);
        return false;
    }
    if (equals)
        return store(opt, name, equals + 1, values);
    const char *next = *i + 1 < argc ? argv[*i + 1] : NULL;
    if (!next || (next[0] == '-' && find(table, next, strlen(next)))) {
        cli_say("%s needs a value (%s)%s%s%s", name, opt->arg, next ? ", but '" : "",
                next ? next : "", next ? "' is the next option" : "");
        return false;
    }
    ++*i;
    return store(opt, name, next, values);
}

/* Every list gets room for the whole command line. */
static bool make_room(int argc, const struct opt *table, void *values, struct strings *operands) {
    *operands = (struct strings){calloc((size_t)argc + 1, sizeof(char *)), 0};
    bool ok = operands->v != NULL;
    for (; !is_end(table); table++) {
        if (table->kind != OPT_LIST)
            continue;
        struct strings *list = (void *)((char *)values + table->at);
        if (!list->v)
            *list = (struct strings){calloc((size_t)argc + 1, sizeof(char *)), 0};
        ok = ok && list->v;
    }
    return ok;
}

bool args_parse(int argc, char **argv, const struct opt *table, void *values,
                struct strings *operands) {
    if (!make_room(argc, table, values, operands)) {
        cli_fail_nomem();
        return false;
    }
    bool options = true;
    for (int i = 1; i < argc; i++) {
        if (options && strcmp(argv[i], "--") == 0)
            options = false;
        else if (!options || argv[i][0] != '-' || argv[i][1] == '\0')
            operands->v[operands->n++] = argv[i];
        else if (!take_option(argc, argv, &i, table, values))
            return false;
    }
    return true;
}

/* ------------------------------------------------------------------ help */

/* Print words of `text` from `column` on, continued under HELP_COLUMN. */
static void print_wrapped(FILE *f, const char *text, int column) {
    if (column >= HELP_COLUMN) {
        fputc('\n', f);
        column = 0;
    }
    fprintf(f, "%*s", HELP_COLUMN - column, "");
    column = HELP_COLUMN;
    while (*text) {
        int len = (int)strcspn(text, " ");
        if (column > HELP_COLUMN && column + 1 + len > WIDTH) {
            fprintf(f, "\n%*s", HELP_COLUMN, "");
            column = HELP_COLUMN;
        }
        if (column > HELP_COLUMN)
            column += fprintf(f, " ");
        column += fprintf(f, "%.*s", len, text);
        text += len;
        text += strspn(text, " ");
    }
    fputc('\n', f);
}

void args_help(FILE *f, const struct opt *table) {
    for (; !is_end(table); table++) {
        if (table->kind == OPT_SECTION) {
            fprintf(f, "\n%s:\n", table->help);
            continue;
        }
        char brief[16] = "";
        if (table->brief)
            snprintf(brief, sizeof brief, "%s,", table->brief);
        int column = fprintf(f, "  %-6s %s%s%s", brief, table->name, table->arg ? " " : "",
                             table->arg ? table->arg : "");
        print_wrapped(f, table->help, column);
    }
}

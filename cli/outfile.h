/* A file that appears whole or not at all: written beside its place under another name, made
 * durable, then renamed.  The struct owns the stream and the names until commit or discard.  Not
 * thread-safe. */
#ifndef WISP_CLI_OUTFILE_H
#define WISP_CLI_OUTFILE_H

#include <stdio.h>

#include "cli.h"

struct outfile {
    FILE *f;
    char *path; /* where it goes, symbolic links followed; "-" is standard output */
    char *temp; /* where it is written; NULL = in place: a device, a pipe, standard output */
};

/* Whether a file could be written at `path`, before hours of work go into it. */
enum cli_exit outfile_check(const char *path);

/* Open `path` for writing; "-" is standard output. */
enum cli_exit outfile_open(struct outfile *file, const char *path);

/* Give the file its name.  CLI_INPUT when it could not be written completely; nothing is left
 * then. */
enum cli_exit outfile_commit(struct outfile *file);
void outfile_discard(struct outfile *file);

/* All of it: open, write `size` bytes, commit. */
enum cli_exit outfile_write(const char *path, const void *bytes, size_t size);

#endif

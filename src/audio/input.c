#define _GNU_SOURCE /* mkostemp */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audio/source.h"
#include "base/err.h"

/* Copy everything from in->fd to `out`, a file in `folder`. */
static int copy_all(const struct wi_input *in, int out, const char *folder,
                    struct wisp_error *err) {
    char buf[65536];
    int ready;
    for (;;) {
        int rc = wi_wait_readable(&in->fd, 1, &ready, in->name, in->abort, err);
        if (rc != WISP_OK)
            return rc;
        ssize_t n = read(in->fd, buf, sizeof buf);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return wi_err_errno(err, WISP_E_IO, errno, "cannot read %s", in->name);
        if (n == 0)
            return WISP_OK;
        for (ssize_t at = 0; at < n;) {
            ssize_t written = write(out, buf + at, (size_t)(n - at));
            if (written < 0 && errno != EINTR)
                return wi_err_errno(err, WISP_E_IO, errno,
                                    "cannot keep %s in a temporary file in '%s' (TMPDIR chooses "
                                    "another folder)",
                                    in->name, folder);
            at += written > 0 ? written : 0;
        }
    }
}

/* Replace in->fd, a pipe, by an unnamed temporary file with the same bytes. */
static int spool(struct wi_input *in, struct wisp_error *err) {
    const char *folder = getenv("TMPDIR");
    char path[4096];
    if (!folder || !*folder)
        folder = "/tmp";
    if (snprintf(path, sizeof path, "%s/wisp-XXXXXX", folder) >= (int)sizeof path)
        return wi_err_set(err, WISP_E_IO, "the folder name in TMPDIR is too long");
    int file = mkostemp(path, O_CLOEXEC);
    if (file < 0)
        return wi_err_errno(err, WISP_E_IO, errno,
                            "cannot make a temporary file for %s in '%s' (TMPDIR "
                            "chooses the folder)",
                            in->name, folder);
    unlink(path);
    int rc = copy_all(in, file, folder, err);
    if (rc == WISP_OK && lseek(file, 0, SEEK_SET) != 0)
        rc = wi_err_errno(err, WISP_E_IO, errno, "cannot read %s again", in->name);
    close(in->fd);
    in->fd = file;
    in->path = NULL;
    return rc;
}

static int check_kind(struct wi_input *in, bool raw, struct wisp_error *err) {
    struct stat st;
    int rc = WISP_OK;
    if (fstat(in->fd, &st) != 0)
        return wi_err_errno(err, WISP_E_IO, errno, "cannot examine %s", in->name);
    if (S_ISDIR(st.st_mode))
        return wi_err_set(err, WISP_E_IO, "cannot read %s: it is a directory; name the files in it",
                          in->name);
    if (isatty(in->fd))
        return wi_err_set(err, WISP_E_IO,
                          "cannot read %s: it is a terminal; pipe audio into wisp or name "
                          "a file",
                          in->name);
    bool at_start = S_ISREG(st.st_mode) && lseek(in->fd, 0, SEEK_CUR) == 0;
    if (!raw && !at_start)
        rc = spool(in, err);
    if (rc == WISP_OK && fstat(in->fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0)
        rc = wi_err_set(err, WISP_E_FORMAT, "%s is empty (0 bytes); give a file with audio in it",
                        in->name);
    return rc;
}

int wi_input_open(struct wi_input *in, const char *path, const char *name, bool raw,
                  const struct wi_abort *abort, struct wisp_error *err) {
    bool standard_input = strcmp(path, "-") == 0;
    *in = (struct wi_input){
        .fd = -1, .path = standard_input ? NULL : path, .name = name, .abort = abort};
    /* A named pipe that nobody writes to yet is waited for when it is read, not here. */
    int fd = standard_input ? STDIN_FILENO
                            : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return wi_err_errno(err, WISP_E_IO, errno, "cannot open %s (check its name and permissions)", name);
    in->fd =
        fcntl(fd, F_DUPFD_CLOEXEC, 3); /* not one of the three that a child process gets anew */
    int failed = errno;
    if (!standard_input)
        close(fd);
    if (in->fd < 0)
        return wi_err_errno(err, WISP_E_IO, failed, "cannot open %s", name);
    int rc = check_kind(in, raw, err);
    if (rc != WISP_OK) {
        close(in->fd);
        in->fd = -1;
    }
    return rc;
}

#include "outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_stdout(const char *path) {
    return strcmp(path, "-") == 0;
}

static const char *cure_of(int errnum) {
    switch (errnum) {
    case ENOSPC:
    case EDQUOT: return "; free some space";
    case ENOENT: return "; make its folder first";
    case EISDIR: return "; choose another name";
    case EACCES:
    case EROFS: return "; choose a folder that you can write to";
    default: return "";
    }
}

static enum cli_exit cannot_write(const char *path, int errnum) {
    if (is_stdout(path))
        return cli_fail_stdout(errnum);
    cli_say("cannot write '%s': %s%s", path, strerror(errnum), cure_of(errnum));
    return errnum == ENOMEM ? CLI_INTERNAL : CLI_INPUT;
}

/* ------------------------------------------------------------------ where it goes */

/* The folder that `path` lies in, for free(). */
static char *folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash)
        return strdup(".");
    return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

static char *join(const char *folder, const char *name) {
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = malloc(size);
    if (path)
        snprintf(path, size, "%s/%s", folder, name);
    return path;
}

/* `path` with symbolic links followed; the file at their end need not be there.  For free(); NULL
 * with errno. */
static char *follow(const char *path) {
    char target[PATH_MAX];
    char *real = realpath(path, NULL);
    if (real || errno != ENOENT)
        return real;
    ssize_t n = readlink(path, target, sizeof target - 1);
    if (n < 0)
        return strdup(path); /* no link: a new file */
    target[n] = '\0';
    char *folder = folder_of(path);
    char *next = !folder ? NULL : target[0] == '/' ? strdup(target) : join(folder, target);
    char *end = next ? follow(next) : NULL; /* ends: realpath sees loops */
    free(folder);
    free(next);
    return end;
}

/* errno's value for a file at `path`, which is no link, 0 when it can be written. */
static int check_place(const char *path) {
    struct stat st;
    if (stat(path, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            return EISDIR;
        if (access(path, W_OK) != 0)
            return errno;
        if (!S_ISREG(st.st_mode))
            return 0;
    }
    char *folder = folder_of(path);
    int errnum = !folder ? ENOMEM : access(folder, W_OK | X_OK) == 0 ? 0 : errno;
    free(folder);
    return errnum;
}

enum cli_exit outfile_check(const char *path) {
    if (is_stdout(path))
        return CLI_DONE;
    char *end = follow(path);
    int errnum = end ? check_place(end) : errno;
    free(end);
    return errnum ? cannot_write(path, errnum) : CLI_DONE;
}

/* ------------------------------------------------------------------ writing it */

/* A new file in the folder of file->path. */
static FILE *open_temp(struct outfile *file) {
    char name[64];
    char *folder = folder_of(file->path);
    int fd = -1;
    for (unsigned n = 0; folder && fd < 0 && n < 1000; n++) {
        snprintf(name, sizeof name, ".wisp-%ld-%u.tmp", (long)getpid(), n);
        free(file->temp);
        file->temp = join(folder, name);
        if (!file->temp)
            break;
        fd = open(file->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd < 0 && errno != EEXIST)
            break;
    }
    free(folder);
    if (fd < 0) { /* not ours to remove */
        free(file->temp);
        file->temp = NULL;
    }
    return fd < 0 ? NULL : fdopen(fd, "w");
}

enum cli_exit outfile_open(struct outfile *file, const char *path) {
    struct stat st;
    *file = (struct outfile){.path = is_stdout(path) ? strdup(path) : follow(path)};
    if (!file->path)
        return cannot_write(path, errno);
    if (is_stdout(path)) {
        file->f = stdout;
        return CLI_DONE;
    }
    bool there = stat(file->path, &st) == 0;
    file->f = there && !S_ISREG(st.st_mode) ? fopen(file->path, "w") : open_temp(file);
    if (file->f && there && file->temp)
        fchmod(fileno(file->f), st.st_mode & 07777); /* what was private stays so */
    if (file->f)
        return CLI_DONE;
    int errnum = errno;
    outfile_discard(file);
    return cannot_write(path, errnum);
}

/* Whether all that was written arrived; if not, why: errno's value, or 0 when stdio has lost it. */
static bool flush(const struct outfile *file, int *errnum) {
    bool failed_before = ferror(file->f) != 0, failed = fflush(file->f) != 0;
    *errnum = failed ? errno : 0;
    /* A byte more, in a file that will not stay, fails for the same reason. */
    if (failed_before && !failed && file->f != stdout)
        *errnum = write(fileno(file->f), "", 1) < 0 ? errno : EIO;
    return !failed_before && !failed;
}

enum cli_exit outfile_commit(struct outfile *file) {
    int errnum;
    bool ok = flush(file, &errnum);
    if (ok && file->temp && fsync(fileno(file->f)) != 0) {
        ok = false;
        errnum = errno;
    }
    if (file->f != stdout && fclose(file->f) != 0 && ok) {
        ok = false;
        errnum = errno;
    }
    file->f = NULL;
    if (ok && file->temp && rename(file->temp, file->path) != 0) {
        ok = false;
        errnum = errno;
    }
    enum cli_exit code = ok ? CLI_DONE : cannot_write(file->path, errnum);
    if (ok) { /* it is in its place */
        free(file->temp);
        file->temp = NULL;
    }
    outfile_discard(file);
    return code;
}

void outfile_discard(struct outfile *file) {
    if (file->f && file->f != stdout)
        fclose(file->f);
    if (file->temp)
        unlink(file->temp);
    free(file->temp);
    free(file->path);
    *file = (struct outfile){0};
}

enum cli_exit outfile_write(const char *path, const void *bytes, size_t size) {
    struct outfile file;
    enum cli_exit code = outfile_open(&file, path);
    if (code != CLI_DONE)
        return code;
    fwrite(bytes, 1, size, file.f); /* commit looks for errors */
    return outfile_commit(&file);
}

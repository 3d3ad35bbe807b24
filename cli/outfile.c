#include "outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The folder that `path` lies in, for free(). */
static char *folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash)
        return strdup(".");
    return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

static enum cli_exit cannot_write(const char *path, int errnum) {
    const char *cure = errnum == ENOSPC || errnum == EDQUOT ? "; free some space"
                       : errnum == ENOENT                   ? "; make its folder first"
                       : errnum == EACCES || errnum == EROFS
                           ? "; choose a folder that you can write with -of"
                           : "";
    cli_say("cannot write '%s': %s%s", path, strerror(errnum), cure);
    return CLI_INPUT;
}

enum cli_exit outfile_check(const char *path) {
    struct stat st;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        cli_say("cannot write '%s': a folder of that name is there; choose another name with -of",
                path);
        return CLI_INPUT;
    }
    char *folder = folder_of(path);
    if (!folder)
        return cli_fail_nomem();
    int errnum = access(folder, W_OK | X_OK) == 0 ? 0 : errno;
    free(folder);
    return errnum ? cannot_write(path, errnum) : CLI_DONE;
}

/* A new file beside file->path. */
static FILE *open_temp(struct outfile *file) {
    size_t size = strlen(file->path) + 32;
    file->temp = malloc(size);
    if (!file->temp)
        return NULL;
    int fd = -1;
    for (unsigned n = 0; fd < 0 && n < 1000; n++) {
        snprintf(file->temp, size, "%s.%ld.%u.tmp", file->path, (long)getpid(), n);
        fd = open(file->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd < 0 && errno != EEXIST)
            return NULL;
    }
    return fd < 0 ? NULL : fdopen(fd, "w");
}

enum cli_exit outfile_open(struct outfile *file, const char *path) {
    *file = (struct outfile){0};
    if (strcmp(path, "-") == 0) {
        file->f = stdout;
        file->path = strdup("standard output");
        return file->path ? CLI_DONE : cli_fail_nomem();
    }
    struct stat st;
    bool there = stat(path, &st) == 0;
    file->path = there ? realpath(path, NULL) : strdup(path);
    if (!file->path)
        return cannot_write(path, errno);
    file->f = there && !S_ISREG(st.st_mode) ? fopen(file->path, "w") : open_temp(file);
    if (file->f)
        return CLI_DONE;
    int errnum = errno;
    outfile_discard(file);
    return cannot_write(path, errnum);
}

enum cli_exit outfile_commit(struct outfile *file) {
    errno = 0;
    bool ok = fflush(file->f) == 0 && !ferror(file->f);
    if (file->temp)
        ok = ok && fsync(fileno(file->f)) == 0;
    int errnum = errno;
    if (file->f != stdout && fclose(file->f) != 0 && ok) {
        ok = false;
        errnum = errno;
    }
    file->f = NULL;
    if (ok && file->temp && rename(file->temp, file->path) != 0) {
        ok = false;
        errnum = errno;
    }
    if (ok) {
        free(file->temp);
        file->temp = NULL;
    }
    enum cli_exit code = ok ? CLI_DONE : cannot_write(file->path, errnum ? errnum : EIO);
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

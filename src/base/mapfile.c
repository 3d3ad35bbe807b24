#include "base/mapfile.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"

int wi_mapfile_open(struct wi_mapfile *map, const char *path, struct wisp_error *err) {
    struct stat st;
    int rc = WISP_OK;

    map->data = NULL;
    map->size = 0;
    /* Not blocking: a pipe must be refused below instead of waited for. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return wi_err_errno(err, WISP_E_IO, errno,
                            "cannot open '%s' (if it is missing, get the model again)", path);
    if (fstat(fd, &st) != 0) {
        rc = wi_err_errno(err, WISP_E_IO, errno, "cannot examine '%s'", path);
    } else if (!S_ISREG(st.st_mode)) {
        rc = wi_err_set(err, WISP_E_IO,
                        "cannot read '%s': it is not a regular file; put the model's file there",
                        path);
    } else if (st.st_size == 0) {
        rc = wi_err_set(err, WISP_E_FORMAT,
                        "cannot read '%s': it is empty (0 bytes), probably not written completely; "
                        "get it again",
                        path);
    } else {
        void *data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED) {
            rc = wi_err_errno(err, WISP_E_IO, errno,
                                "cannot map the %lld MB of '%s' into memory (raise the limit that "
                                "'ulimit -v' shows, or use a smaller model)",
                                (long long)st.st_size / 1000000, path);
        } else {
            map->data = data;
            map->size = (size_t)st.st_size;
        }
    }
    close(fd);
    return rc;
}

void wi_mapfile_close(struct wi_mapfile *map) {
    if (map->data)
        munmap((void *)(uintptr_t)map->data, map->size);
    map->data = NULL;
    map->size = 0;
}

void wi_mapfile_forget(const void *data, size_t bytes) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t begin = ((uintptr_t)data + page - 1) & ~(page - 1);
    uintptr_t end = ((uintptr_t)data + bytes) & ~(page - 1);
    if (end > begin)
        madvise((void *)begin, end - begin, MADV_DONTNEED);
}

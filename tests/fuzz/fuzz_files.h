/* Files that live in memory, for fuzzing code that opens paths.  A file belongs to the process;
 * nothing is thread-safe. */
#ifndef WISP_TESTS_FUZZ_FUZZ_FILES_H
#define WISP_TESTS_FUZZ_FUZZ_FILES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NEED(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct memory_file {
    int fd;
    char path[64];
};

static inline struct memory_file memory_file_create(void) {
    struct memory_file f;
    f.fd = (int)syscall(SYS_memfd_create, "fuzz", 1u); /* close on exec */
    NEED(f.fd >= 0);
    snprintf(f.path, sizeof f.path, "/proc/self/fd/%d", f.fd);
    return f;
}

/* The file becomes parts[0], zeros[0] zero bytes, parts[1], zeros[1] zero bytes. */
static inline void memory_file_set(const struct memory_file *f, const uint8_t *const parts[2],
                                   const size_t sizes[2], const size_t zeros[2]) {
    off_t at = 0;
    NEED(ftruncate(f->fd, 0) == 0);
    for (int i = 0; i < 2; i++) {
        if (sizes[i] > 0)
            NEED(pwrite(f->fd, parts[i], sizes[i], at) == (ssize_t)sizes[i]);
        at += (off_t)(sizes[i] + zeros[i]);
    }
    NEED(ftruncate(f->fd, at) == 0);
}

#endif

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audio/audio.h"
#include "audio/source.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/strbuf.h"

extern char **environ;

struct ffmpeg_source {
    struct wi_source base;
    pid_t pid;       /* 0 when there is no child to wait for */
    int pipe;        /* its standard output: f32 mono at 16 kHz; -1 = none */
    FILE *messages;  /* its standard error, an unnamed file */
    uint8_t part[4]; /* the beginning of a sample that was cut by the pipe */
    size_t n_part;
    char *name;
};

/* The last line that ffmpeg wrote to standard error. */
static void last_line(FILE *f, char *line, size_t size) {
    char buf[512];
    snprintf(line, size, "no message");
    rewind(f);
    while (fgets(buf, sizeof buf, f)) {
        buf[strcspn(buf, "\r\n")] = '\0';
        if (*buf)
            snprintf(line, size, "%s", buf);
    }
}

/* The child has closed its output: did it succeed? */
static int finish_child(struct ffmpeg_source *s, struct wisp_error *err) {
    int status;
    char line[512];
    while (waitpid(s->pid, &status, 0) < 0 && errno == EINTR)
        ;
    s->pid = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && s->n_part == 0)
        return WISP_OK;
    last_line(s->messages, line, sizeof line);
    if (WIFEXITED(status))
        return wi_err_set(err, WISP_E_FORMAT, "'%s' is no audio that libsndfile or ffmpeg can read (ffmpeg: %s)",
                          s->name, line);
    return wi_err_set(err, WISP_E_IO, "ffmpeg was ended by signal %d while reading '%s' (%s)",
                      WTERMSIG(status), s->name, line);
}

static int read_frames(struct wi_source *base, float *frames, size_t n, size_t *got,
                       struct wisp_error *err) {
    struct ffmpeg_source *s = (struct ffmpeg_source *)base;
    uint8_t *bytes = (uint8_t *)frames;
    *got = 0;
    if (!s->pid || n == 0)
        return WISP_OK;
    memcpy(bytes, s->part, s->n_part);
    size_t have = s->n_part;
    while (have < 4) {
        ssize_t count = read(s->pipe, bytes + have, n * 4 - have);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return wi_err_errno(err, WISP_E_IO, errno, "cannot read from ffmpeg for '%s'", s->name);
        if (count == 0) {
            s->n_part = have;
            return finish_child(s, err);
        }
        have += (size_t)count;
    }
    *got = have / 4;
    s->n_part = have % 4;
    memcpy(s->part, bytes + have - s->n_part, s->n_part);
    return WISP_OK;
}

static void close_ffmpeg(struct wi_source *base) {
    struct ffmpeg_source *s = (struct ffmpeg_source *)base;
    if (s->pipe >= 0)
        close(s->pipe);
    if (s->pid) {
        kill(s->pid, SIGKILL);
        while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    if (s->messages)
        fclose(s->messages);
    wi_free(s->name);
    wi_free(s);
}

/* Start `ffmpeg` with fd as standard input, the pipe's end as output; no shell sees the name. */
static int spawn_ffmpeg(struct ffmpeg_source *s, int fd, const char *url, int output,
                        struct wisp_error *err) {
    const char *argv[] = {"ffmpeg", "-nostdin", "-v", "error", "-i", url, "-map", "0:a:0",
                          "-f", "f32le", "-ac", "1", "-ar", "16000", "pipe:1", NULL};
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init(&actions) != 0)
        return wi_err_nomem(err, "the start of ffmpeg");
    int failed = posix_spawn_file_actions_adddup2(&actions, fd, 0) |
                 posix_spawn_file_actions_adddup2(&actions, output, 1) |
                 posix_spawn_file_actions_adddup2(&actions, fileno(s->messages), 2);
    int rc = failed ? ENOMEM
                    : posix_spawnp(&s->pid, "ffmpeg", &actions, NULL, (char **)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (rc == 0)
        return WISP_OK;
    s->pid = 0;
    if (rc == ENOENT)
        return wi_err_set(err, WISP_E_UNSUPPORTED,
                          "'%s' is in a format that libsndfile cannot read, and ffmpeg is not installed; "
                          "install it (apt install ffmpeg) or convert the file to WAV or FLAC", s->name);
    return wi_err_errno(err, WISP_E_IO, rc, "cannot start ffmpeg for '%s'", s->name);
}

/* A pipe whose ends do not leak into other children. */
static int open_pipe(int ends[2]) {
    if (pipe(ends) != 0)
        return errno;
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    return 0;
}

int wi_source_open_ffmpeg(struct wi_source **out, int fd, const char *path, const char *name,
                          struct wisp_error *err) {
    struct wi_strbuf url;
    int ends[2] = {-1, -1}, rc = WISP_OK;
    *out = NULL;
    wi_strbuf_init(&url);
    /* "file:" keeps names with colons or a leading dash from being taken for something else */
    wi_strbuf_printf(&url, "file:%s", path ? path : "/dev/stdin");
    struct ffmpeg_source *s = wi_calloc(1, sizeof *s);
    if (s) {
        s->pipe = -1;
        s->name = wi_strdup(name);
    }
    if (!s || !s->name || url.failed) {
        rc = wi_err_nomem(err, "the audio reader");
        goto done;
    }
    s->base = (struct wi_source){.rate = WI_AUDIO_RATE, .channels = 1, .read = read_frames,
                                 .close = close_ffmpeg};
    s->messages = tmpfile();
    int failed = s->messages ? open_pipe(ends) : errno;
    if (failed) {
        rc = wi_err_errno(err, WISP_E_IO, failed, "cannot prepare to run ffmpeg for '%s'", name);
        goto done;
    }
    fcntl(fileno(s->messages), F_SETFD, FD_CLOEXEC);
    s->pipe = ends[0];
    rc = spawn_ffmpeg(s, fd, url.data, ends[1], err);
done:
    if (ends[1] >= 0)
        close(ends[1]);
    close(fd);
    wi_strbuf_fini(&url);
    if (rc == WISP_OK)
        *out = &s->base;
    else if (s)
        close_ffmpeg(&s->base);
    return rc;
}

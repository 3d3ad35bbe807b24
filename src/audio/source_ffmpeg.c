/* What libsndfile cannot read, through an installed ffmpeg.  The child writes Sun audio (a header
 * of at least 24 bytes with rate and channels, then big-endian f32), so that channels and rates are
 * converted by the same code as everything else. */
#define _GNU_SOURCE /* pipe2 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audio/source.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/strbuf.h"

extern char **environ;

struct ffmpeg_source {
    struct wi_source base;
    pid_t pid;      /* 0 when there is no child to wait for */
    int output;     /* read ends of its standard output and */
    int messages;   /* standard error; -1 = closed */
    char line[512]; /* the last line of messages, without its end */
    bool line_ended;
    bool cut;         /* a message says that the file ends too early; ffmpeg exits with 0 then */
    uint64_t done;    /* frames read */
    const char *name; /* borrowed */
    const struct wi_abort *abort;
};

/* ---------------------------------------------------------------- the child's output */

static void take_message(struct ffmpeg_source *s, const char *bytes, size_t n) {
    size_t len = strlen(s->line);
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] == '\n' || bytes[i] == '\r') {
            s->line_ended = true;
            s->cut |= strstr(s->line, "partial file") || strstr(s->line, "ended prematurely");
        } else {
            len = s->line_ended ? 0 : len;
            s->line_ended = false;
            if (len + 1 < sizeof s->line)
                s->line[len++] = bytes[i];
            s->line[len] = '\0';
        }
    }
}

/* Wait for the child to write and read it: messages into `line`, one piece of output into `bytes`.
 * *got = 0 when it has closed both. */
static int read_child(struct ffmpeg_source *s, uint8_t *bytes, size_t n, size_t *got,
                      struct wisp_error *err) {
    *got = 0;
    while (s->output >= 0 || s->messages >= 0) {
        int *fds[2] = {&s->messages, &s->output}, i; /* messages first */
        char text[512];
        int rc = wi_wait_readable((int[2]){s->messages, s->output}, 2, &i, "ffmpeg", s->abort, err);
        if (rc != WISP_OK)
            return rc;
        ssize_t count = i == 0 ? read(s->messages, text, sizeof text) : read(s->output, bytes, n);
        if (count < 0 && errno != EINTR && errno != EAGAIN)
            return wi_err_errno(err, WISP_E_IO, errno, "cannot read %s from ffmpeg", s->name);
        if (count == 0) {
            close(*fds[i]);
            *fds[i] = -1;
        }
        if (count > 0 && i == 0)
            take_message(s, text, (size_t)count);
        if (count > 0 && i == 1) {
            *got = (size_t)count;
            return WISP_OK;
        }
    }
    return WISP_OK;
}

/* A message without the name of the file, which it may begin with: "file:a.m4a: Invalid data". */
static const char *reason_in(const char *line) {
    const char *colon;
    if (strncmp(line, "file:", 5) == 0)
        while ((colon = strstr(line, ": ")))
            line = colon + 2;
    return line;
}

/* The child has closed its output: did it succeed?  `rest` bytes of an incomplete frame came last.
 */
static int finish_child(struct ffmpeg_source *s, size_t rest, struct wisp_error *err) {
    int status = 0;
    while (waitpid(s->pid, &status, 0) < 0 && errno == EINTR)
        ;
    s->pid = 0;
    const char *line = *s->line ? reason_in(s->line) : "no message";
    double second = s->base.rate > 0 ? (double)s->done / s->base.rate : 0;
    if (WIFSIGNALED(status))
        return wi_err_set(
            err, WISP_E_IO,
            "ffmpeg was ended by signal %d after %.2f s of %s (ffmpeg: %s); try it by "
            "itself: ffmpeg -i FILE FILE.wav",
            WTERMSIG(status), second, s->name, line);
    bool failed = WEXITSTATUS(status) != 0 || rest > 0;
    if (failed && s->done == 0)
        return wi_err_set(
            err, WISP_E_FORMAT,
            "%s is no audio that libsndfile or ffmpeg can read (ffmpeg: %s); give a file "
            "with sound in it, or say with --raw what headerless samples are",
            s->name, line);
    if (failed || s->cut)
        return wi_err_set(err, WISP_E_FORMAT,
                          "%s cannot be decoded after %.2f s (ffmpeg: %s); " WI_AUDIO_CURE, s->name,
                          second, line);
    return WISP_OK;
}

/* Exactly n bytes; less only at the end. */
static int read_bytes(struct ffmpeg_source *s, uint8_t *bytes, size_t n, size_t unit, size_t *have,
                      struct wisp_error *err) {
    size_t got = 1;
    *have = 0;
    while (s->pid && got > 0 && (*have == 0 || *have % unit != 0)) {
        int rc = read_child(s, bytes + *have, n - *have, &got, err);
        if (rc != WISP_OK)
            return rc;
        *have += got;
    }
    return WISP_OK;
}

static uint32_t be32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int read_ffmpeg(struct wi_source *base, float *frames, size_t n, size_t *got,
                       struct wisp_error *err) {
    struct ffmpeg_source *s = (struct ffmpeg_source *)base;
    size_t frame_bytes = sizeof(float) * (size_t)base->channels, have;
    *got = 0;
    if (!s->pid)
        return WISP_OK;
    int rc = read_bytes(s, (uint8_t *)frames, n * frame_bytes, frame_bytes, &have, err);
    if (rc != WISP_OK)
        return rc;
    *got = have / frame_bytes;
    s->done += *got;
    if (have == 0 || have % frame_bytes != 0)
        return finish_child(s, have % frame_bytes, err);
    for (size_t i = 0; i < *got * (size_t)base->channels; i++) {
        uint32_t bits = be32((const uint8_t *)&frames[i]);
        memcpy(&frames[i], &bits, sizeof bits);
    }
    return WISP_OK;
}

/* ".snd", where the samples start, their size (unknown), encoding (6 = f32), rate, channels. */
static int read_header(struct ffmpeg_source *s, struct wisp_error *err) {
    uint8_t head[24], skipped;
    size_t have;
    int rc = read_bytes(s, head, sizeof head, sizeof head, &have, err);
    if (rc == WISP_OK && have < sizeof head) {
        rc = finish_child(s, have, err);
        return rc == WISP_OK
                   ? wi_err_set(err, WISP_E_FORMAT,
                                "ffmpeg finds no audio in %s; give a file with sound in it",
                                s->name)
                   : rc;
    }
    if (rc == WISP_OK && (memcmp(head, ".snd", 4) != 0 || be32(head + 12) != 6))
        rc = wi_err_set(err, WISP_E_IO,
                        "the program that is called ffmpeg here does not write what it is "
                        "asked to for %s; install ffmpeg",
                        s->name);
    for (uint32_t at = 24; rc == WISP_OK && at < be32(head + 4) && s->pid; at++) {
        rc = read_bytes(s, &skipped, 1, 1, &have, err);
        if (have == 0)
            break;
    }
    s->base.rate = (int)(be32(head + 16) & 0x7fffffff);
    s->base.channels = (int)(be32(head + 20) & 0xffff);
    return rc;
}

/* ---------------------------------------------------------------- starting and ending it */

static void close_ffmpeg(struct wi_source *base) {
    struct ffmpeg_source *s = (struct ffmpeg_source *)base;
    if (s->output >= 0)
        close(s->output);
    if (s->messages >= 0)
        close(s->messages);
    if (s->pid) {
        kill(s->pid, SIGKILL);
        while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    wi_free(s);
}

/* A pipe whose ends reach no other child, and are not 0, 1 or 2 in a program that has closed those.
 */
static int open_pipe(int ends[2]) {
    if (pipe2(ends, O_CLOEXEC) != 0) {
        ends[0] = ends[1] = -1;
        return errno;
    }
    for (int i = 0; i < 2; i++)
        while (ends[i] >= 0 && ends[i] < 3) {
            int low = ends[i];
            ends[i] = fcntl(low, F_DUPFD_CLOEXEC, 3);
            close(low);
        }
    return ends[0] < 0 || ends[1] < 0 ? EMFILE : 0;
}

/* Its own process group: Ctrl-C is for the program, which ends the child when it closes the file.
 */
static int set_attributes(posix_spawnattr_t *attributes) {
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    return posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                                    POSIX_SPAWN_SETSIGDEF) |
           posix_spawnattr_setsigmask(attributes, &none) |
           posix_spawnattr_setsigdefault(attributes, &defaults);
}

/* Start `ffmpeg` with these as standard input, output and error; no shell sees the name. */
static int spawn_ffmpeg(pid_t *pid, const char *url, const int std[3]) {
    const char *argv[] = {
        "ffmpeg", "-nostdin", "-v",   "error",     "-xerror", "-protocol_whitelist",
        "file",   "-i",       url,    "-vn",       "-sn",     "-dn",
        "-f",     "au",       "-c:a", "pcm_f32be", "pipe:1",  NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    if (posix_spawn_file_actions_init(&actions) != 0)
        return ENOMEM;
    int failed = posix_spawnattr_init(&attributes);
    if (!failed) {
        failed = set_attributes(&attributes);
        for (int i = 0; i < 3 && !failed; i++)
            failed = posix_spawn_file_actions_adddup2(&actions, std[i], i);
        if (!failed)
            failed = posix_spawnp(pid, "ffmpeg", &actions, &attributes, (char **)(uintptr_t)argv,
                                  environ);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return failed;
}

static int start(struct ffmpeg_source *s, const struct wi_input *in, struct wisp_error *err) {
    struct wi_strbuf url;
    int out[2] = {-1, -1}, messages[2] = {-1, -1};
    /* "file:" keeps names with colons or a leading dash from being taken for something else */
    wi_strbuf_init(&url);
    wi_strbuf_printf(&url, "file:%s", in->path ? in->path : "/dev/stdin");
    int failed = url.failed ? ENOMEM : open_pipe(out);
    if (!failed)
        failed = open_pipe(messages);
    if (!failed)
        failed = spawn_ffmpeg(&s->pid, url.data, (int[3]){in->fd, out[1], messages[1]});
    wi_strbuf_fini(&url);
    if (out[1] >= 0)
        close(out[1]);
    if (messages[1] >= 0)
        close(messages[1]);
    s->output = out[0];
    s->messages = messages[0];
    if (!failed)
        return WISP_OK;
    s->pid = 0;
    if (failed == ENOMEM)
        return wi_err_nomem(err, "the start of ffmpeg");
    if (failed == ENOENT)
        return wi_err_set(
            err, WISP_E_UNSUPPORTED,
            "%s is in a format that libsndfile cannot read, and ffmpeg is not installed; "
            "install it (apt install ffmpeg) or convert the file to WAV or FLAC",
            in->name);
    return wi_err_errno(err, WISP_E_IO, failed, "cannot start ffmpeg for %s", in->name);
}

int wi_source_open_ffmpeg(struct wi_source **out, const struct wi_input *in,
                          struct wisp_error *err) {
    *out = NULL;
    struct ffmpeg_source *s = wi_calloc(1, sizeof *s);
    if (!s)
        return wi_err_nomem(err, "the audio reader");
    s->base = (struct wi_source){.read = read_ffmpeg, .close = close_ffmpeg};
    s->output = s->messages = -1;
    s->name = in->name;
    s->abort = in->abort;
    int rc = start(s, in, err);
    if (rc == WISP_OK)
        rc = read_header(s, err);
    if (rc != WISP_OK) {
        close_ffmpeg(&s->base);
        return rc;
    }
    close(in->fd); /* the child has it */
    *out = &s->base;
    return WISP_OK;
}

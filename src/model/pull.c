#include "model/pull.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"

enum {
    MAX_IDLE_TRIES = 4, /* connections in a row that bring nothing new */
    MAX_TRIES = 100,    /* connections in all: a server that cuts after every few bytes */
    MAX_WAIT_MS = 8000, /* between two tries */
    MAX_REDIRECTS = 8,
    CONNECT_TIMEOUT_S = 30
};

/* One download in progress. */
struct transfer {
    const struct wi_pull *pull;
    struct wisp_error *err;            /* never NULL */
    char *part;                        /* path of the partial file */
    int fd;                            /* of the partial file, locked; -1 = not open */
    uint64_t done;                     /* bytes in the partial file */
    uint64_t total;                    /* of the finished file as the server says, 0 = unknown */
    bool resumed;                      /* the partial file has bytes of more than one response */
    bool began;                        /* the current response was looked at by begin_body */
    bool refused;                      /* a callback found an error and filled in *err */
    uint64_t range_start, range_total; /* Content-Range of the current response */
    bool has_range;
};

/* ------------------------------------------------------------------ digest */

/* Writes the digest of all of `fd` in lower-case hex. */
static int digest_print(char hex[2 * EVP_MAX_MD_SIZE + 1], int fd, const char *path,
                        const EVP_MD *kind, struct wisp_error *err) {
    unsigned char block[1 << 16], md[EVP_MAX_MD_SIZE];
    unsigned n_md = 0;
    off_t at = 0;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!ctx || !EVP_DigestInit_ex(ctx, kind, NULL)) {
        EVP_MD_CTX_free(ctx);
        return wi_err_nomem(err, "the digest of a download");
    }
    ssize_t n;
    while ((n = pread(fd, block, sizeof block, at)) > 0) {
        EVP_DigestUpdate(ctx, block, (size_t)n);
        at += n;
    }
    int errnum = errno;
    EVP_DigestFinal_ex(ctx, md, &n_md);
    EVP_MD_CTX_free(ctx);
    if (n < 0)
        return wi_err_errno(err, WISP_E_IO, errnum, "cannot read back '%s'", path);
    for (unsigned i = 0; i < n_md; i++)
        sprintf(hex + 2 * i, "%02x", md[i]);
    return 0;
}

/* FORMAT when the bytes of `fd` are not the published ones. */
static int digest_check(const struct wi_pull *pull, int fd, const char *path,
                        struct wisp_error *err) {
    bool sha256 = strlen(pull->digest) == 64;
    char hex[2 * EVP_MAX_MD_SIZE + 1] = "";
    int rc = digest_print(hex, fd, path, sha256 ? EVP_sha256() : EVP_sha1(), err);
    if (rc != 0)
        return rc;
    if (strcasecmp(hex, pull->digest) == 0)
        return 0;
    return wi_err_set(
        err, WISP_E_FORMAT,
        "what %s sent is not the published file: its %s is %s, published is %s; it was "
        "not kept; try again later or from another network",
        pull->url, sha256 ? "SHA-256" : "SHA-1", hex, pull->digest);
}

static bool is_finished(const struct wi_pull *pull) {
    int fd = open(pull->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool ok = digest_check(pull, fd, pull->path, NULL) == 0;
    close(fd);
    return ok;
}

/* ------------------------------------------------------------------ partial file */

/* Open and lock the partial file, so that one process at a time writes it. */
static int part_open(struct transfer *t) {
    for (;;) {
        struct stat mine, current;
        t->fd = open(t->part, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (t->fd < 0)
            return wi_err_errno(
                t->err, WISP_E_IO, errno,
                "cannot write '%s' (set WISP_MODELS to a folder that you can write)", t->part);
        if (flock(t->fd, LOCK_EX | LOCK_NB) != 0)
            return errno == EWOULDBLOCK
                       ? wi_err_set(t->err, WISP_E_IO,
                                    "another wisp is downloading '%s' right now; wait until it is "
                                    "done, then use the model",
                                    t->pull->path)
                       : wi_err_errno(t->err, WISP_E_IO, errno, "cannot lock '%s'", t->part);
        if (fstat(t->fd, &mine) != 0)
            return wi_err_errno(t->err, WISP_E_IO, errno, "cannot look at '%s'", t->part);
        /* Whoever held the lock before may have renamed the file away: then it is not ours. */
        if (stat(t->part, &current) == 0 && current.st_ino == mine.st_ino &&
            current.st_dev == mine.st_dev) {
            t->done = (uint64_t)mine.st_size;
            return 0;
        }
        close(t->fd);
    }
}

static int part_restart(struct transfer *t) {
    t->done = 0;
    t->resumed = false;
    if (ftruncate(t->fd, 0) != 0)
        return wi_err_errno(t->err, WISP_E_IO, errno, "cannot empty '%s'", t->part);
    return 0;
}

static int part_write(struct transfer *t, const char *bytes, size_t n) {
    while (n > 0) {
        ssize_t wrote = pwrite(t->fd, bytes, n, (off_t)t->done);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return wi_err_errno(t->err, WISP_E_IO, errno,
                                "cannot write '%s' (free some space, or set WISP_MODELS to another "
                                "folder; the same command goes on from here)",
                                t->part);
        bytes += wrote;
        n -= (size_t)wrote;
        t->done += (uint64_t)wrote;
    }
    return 0;
}

/* Give the complete file its name, and make that last through a power cut. */
static int part_finish(struct transfer *t) {
    const char *path = t->pull->path;
    if (fsync(t->fd) != 0)
        return wi_err_errno(t->err, WISP_E_IO, errno, "cannot write '%s' to disk", t->part);
    if (rename(t->part, path) != 0)
        return wi_err_errno(t->err, WISP_E_IO, errno, "cannot rename '%s' to '%s'", t->part, path);
    const char *slash = strrchr(path, '/');
    char *dir = slash ? wi_strndup(path, (size_t)(slash - path) + 1) : wi_strdup(".");
    int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    wi_free(dir);
    return 0;
}

/* ------------------------------------------------------------------ callbacks of libcurl */

static size_t on_header(char *line, size_t size, size_t n, void *user) {
    struct transfer *t = user;
    size_t len = size * n;
    char text[128];
    size_t copied = len < sizeof text - 1 ? len : sizeof text - 1;
    memcpy(text, line, copied);
    text[copied] = '\0';
    if (strncmp(text, "HTTP/", 5) == 0) { /* a new response: a redirect led on */
        t->has_range = false;
        t->began = false;
    } else if (strncasecmp(text, "content-range:", 14) == 0) {
        uint64_t first = 0, last = 0, total = 0;
        if (sscanf(text + 14, " bytes %" SCNu64 "-%" SCNu64 "/%" SCNu64, &first, &last, &total) ==
                3 ||
            sscanf(text + 14, " bytes */%" SCNu64, &total) == 1) {
            t->has_range = true;
            t->range_start = first;
            t->range_total = total;
        }
    }
    return len;
}

/* Look at the head of a response before its first byte is kept. */
static int begin_body(struct transfer *t, CURL *curl) {
    const struct wi_pull *pull = t->pull;
    long status = 0;
    curl_off_t length = -1;
    t->began = true;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (status == 206 && t->has_range && t->range_start == t->done) {
        t->total = t->range_total;
        t->resumed = t->resumed || t->done > 0;
    } else if (status == 200) { /* a server without ranges sends it all again */
        if (t->done > 0 && part_restart(t) != 0)
            return t->err->code;
        t->total = length > 0 ? (uint64_t)length : 0;
    } else {
        return wi_err_set(t->err, WISP_E_FORMAT,
                          "cannot use the answer of %s: HTTP status %ld with a range that was not "
                          "asked for; try again later, or remove '%s' to begin anew",
                          pull->url, status, t->part);
    }
    if (pull->bytes && t->total && t->total != pull->bytes)
        return wi_err_set(t->err, WISP_E_FORMAT,
                          "%s has %" PRIu64 " bytes, but the published file has %" PRIu64
                          "; it is not the same file; try again later or from another network",
                          pull->url, t->total, pull->bytes);
    struct statvfs fs;
    if (t->total > t->done && fstatvfs(t->fd, &fs) == 0 &&
        (t->total - t->done) / fs.f_frsize > fs.f_bavail)
        return wi_err_set(t->err, WISP_E_IO,
                          "no room for '%s': %" PRIu64 " MB are missing on that disk; free some "
                          "space, or set WISP_MODELS to another folder",
                          pull->path,
                          (t->total - t->done - fs.f_bavail * (uint64_t)fs.f_frsize) / 1000000 + 1);
    return 0;
}

struct curl_user {
    struct transfer *t;
    CURL *curl;
};

static size_t on_body(char *bytes, size_t size, size_t n, void *user) {
    struct transfer *t = ((struct curl_user *)user)->t;
    size_t len = size * n;
    uint64_t limit = t->pull->bytes ? t->pull->bytes : UINT64_MAX;
    int rc = t->began ? 0 : begin_body(t, ((struct curl_user *)user)->curl);
    if (rc == 0 && len > limit - t->done)
        rc = wi_err_set(t->err, WISP_E_FORMAT,
                        "%s sends more than the %" PRIu64 " bytes of the published file; it is not "
                        "the same file; try again later or from another network",
                        t->pull->url, limit);
    if (rc == 0)
        rc = part_write(t, bytes, len);
    if (rc != 0)
        t->refused = true;
    return rc == 0 ? len : 0;
}

/* True when the caller wants to stop. */
static bool cancelled(const struct transfer *t) {
    uint64_t total = t->total ? t->total : t->pull->bytes;
    return t->pull->progress && t->pull->progress(t->pull->user, t->done, total) != 0;
}

static int on_progress(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    (void)a, (void)b, (void)c, (void)d;
    return cancelled(user);
}

/* ------------------------------------------------------------------ one connection */

enum outcome { COMPLETE, TRY_AGAIN, GIVE_UP };

/* Why libcurl's `code` happened and what helps, for an error text. */
static const char *explain(CURLcode code, long status, char *buf, size_t size) {
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
        return "the server's name cannot be resolved; check the network, and https_proxy if a "
               "proxy "
               "is needed";
    case CURLE_COULDNT_RESOLVE_PROXY:
        return "the proxy's name cannot be resolved; check the variable https_proxy";
    case CURLE_COULDNT_CONNECT:
        return "the connection was refused; check the network, and https_proxy if a proxy is "
               "needed";
    case CURLE_OPERATION_TIMEDOUT: return "the server went silent; check the network";
    case CURLE_PEER_FAILED_VERIFICATION:
        return "the server's certificate is not trusted; check the clock and the package "
               "ca-certificates";
    case CURLE_TOO_MANY_REDIRECTS: return "the server redirects in circles; try again later";
    case CURLE_UNSUPPORTED_PROTOCOL: return "only http:// and https:// addresses work here";
    case CURLE_URL_MALFORMAT: return "this is not a valid address; correct it";
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR: return "the connection was cut again and again; check the network";
    case CURLE_HTTP_RETURNED_ERROR:
        snprintf(buf, size, "HTTP status %ld%s", status,
                 status == 404   ? ", there is no such file; check the address"
                 : status == 407 ? ", the proxy wants a password; put it into https_proxy"
                 : status >= 500 ? ", the server has a problem; try again later"
                                 : ", the server refuses; try again later");
        return buf;
    default: snprintf(buf, size, "%s; check the network", curl_easy_strerror(code)); return buf;
    }
}

static bool is_transient(CURLcode code, long status) {
    switch (code) {
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_OPERATION_TIMEDOUT: return true;
    case CURLE_HTTP_RETURNED_ERROR: return status == 429 || status >= 500;
    default: return false;
    }
}

static void set_options(CURL *curl, struct curl_user *user, char *range, size_t range_size) {
    struct transfer *t = user->t;
    bool tls = strncasecmp(t->pull->url, "https:", 6) == 0;
    curl_easy_setopt(curl, CURLOPT_URL, t->pull->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    /* What was asked for over TLS does not come without. */
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, tls ? "https" : "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)MAX_REDIRECTS);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "wisp/" WISP_VERSION);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)t->pull->stall_s);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, user);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, t);
    /* A range, not libcurl's resume: that fails on a server without ranges, begin_body copes. */
    if (t->done > 0) {
        snprintf(range, range_size, "%" PRIu64 "-", t->done);
        curl_easy_setopt(curl, CURLOPT_RANGE, range);
    }
}

/* What the end of a connection means.  `last` = do not try again. */
static enum outcome judge(struct transfer *t, CURLcode code, long status, bool last) {
    const struct wi_pull *pull = t->pull;
    if (t->refused)
        return GIVE_UP;
    if (code == CURLE_ABORTED_BY_CALLBACK) {
        wi_err_set(
            t->err, WISP_E_CANCELLED,
            "download stopped; %.1f MB are kept in '%s', the same command goes on from there",
            (double)t->done / 1e6, t->part);
        return GIVE_UP;
    }
    if (code == CURLE_HTTP_RETURNED_ERROR && status == 416 && t->done > 0) {
        if (t->has_range && t->range_total == t->done)
            return COMPLETE; /* nothing was missing */
        return part_restart(t) == 0 ? TRY_AGAIN : GIVE_UP;
    }
    if (code == CURLE_OK && (t->total == 0 || t->done >= t->total))
        return COMPLETE;
    if (code == CURLE_OK)
        code = CURLE_PARTIAL_FILE;
    if (!last && is_transient(code, status))
        return TRY_AGAIN;
    char buf[160], kept[400] = "";
    if (t->done > 0)
        snprintf(kept, sizeof kept, " (%.1f MB are kept, the same command goes on from there)",
                 (double)t->done / 1e6);
    wi_err_set(t->err, WISP_E_IO, "cannot download %s: %s%s", pull->url,
               explain(code, status, buf, sizeof buf), kept);
    return GIVE_UP;
}

static enum outcome connect_once(struct transfer *t, bool last) {
    CURL *curl = curl_easy_init();
    if (!curl) {
        wi_err_nomem(t->err, "a connection");
        return GIVE_UP;
    }
    char range[32];
    long status = 0;
    struct curl_user user = {t, curl};
    t->began = t->has_range = false;
    set_options(curl, &user, range, sizeof range);
    CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_OK && !t->began && begin_body(t, curl) != 0) /* an empty body */
        t->refused = true;
    curl_easy_cleanup(curl);
    return judge(t, code, status, last);
}

/* ------------------------------------------------------------------ the whole */

/* Sleep, but not through a cancellation. */
static void wait_before_retry(const struct transfer *t, int idle_tries) {
    int64_t ms = (int64_t)t->pull->retry_ms << idle_tries;
    ms = ms < MAX_WAIT_MS ? ms : MAX_WAIT_MS;
    for (; ms > 0 && !cancelled(t); ms -= 50)
        nanosleep(&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, NULL);
}

/* Bring the partial file to its full length. */
static int fetch_all(struct transfer *t) {
    uint64_t farthest = t->done;
    int idle = 0;
    for (int n = 1;; n++) {
        if (t->pull->bytes && t->done == t->pull->bytes)
            return 0;
        bool last = idle == MAX_IDLE_TRIES || n == MAX_TRIES;
        switch (connect_once(t, last)) {
        case COMPLETE: return 0;
        case GIVE_UP: return t->err->code;
        case TRY_AGAIN: break;
        }
        idle = t->done > farthest ? 0 : idle + 1;
        farthest = t->done > farthest ? t->done : farthest;
        wait_before_retry(t, idle);
    }
}

static int fetch_and_check(struct transfer *t) {
    if (t->pull->bytes && t->done > t->pull->bytes && part_restart(t) != 0)
        return t->err->code;
    bool leftover = t->done > 0; /* bytes of an earlier call */
    int rc = fetch_all(t);
    if (rc != 0)
        return rc;
    struct wisp_error why = {0};
    rc = digest_check(t->pull, t->fd, t->part, &why);
    if (rc == WISP_E_FORMAT && (leftover || t->resumed)) {
        /* The pieces may be of different files: once more in one piece. */
        rc = part_restart(t);
        if (rc == 0)
            rc = fetch_all(t);
        if (rc != 0)
            return rc;
        why = (struct wisp_error){0};
        rc = digest_check(t->pull, t->fd, t->part, &why);
    }
    if (rc == WISP_E_FORMAT)
        part_restart(t);
    return rc == 0 ? 0 : wi_err_set(t->err, rc, "%s", why.text);
}

int wi_pull_run(const struct wi_pull *pull, struct wisp_error *err) {
    struct wisp_error own = {0};
    struct transfer t = {.pull = pull, .fd = -1, .err = &own};
    int rc = 0;
    if (is_finished(pull))
        return 0;
    t.part = wi_malloc(strlen(pull->path) + sizeof ".part", 1);
    if (!t.part)
        return wi_err_nomem(err, "a path");
    sprintf(t.part, "%s.part", pull->path);
    rc = part_open(&t);
    bool locked = rc == 0;
    bool needed = locked && !is_finished(pull); /* another process may have been quicker */
    if (needed)
        rc = fetch_and_check(&t);
    if (needed && rc == 0)
        rc = part_finish(&t);
    else if (locked && t.done == 0)
        unlink(t.part); /* nothing came: leave nothing */
    if (t.fd >= 0)
        close(t.fd);
    wi_free(t.part);
    return rc == 0 ? 0 : wi_err_set(err, rc, "%s", own.text);
}

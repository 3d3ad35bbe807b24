#include "model/catalog.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "model/pull.h"

/* Names and SHA-1 digests as published in whisper.cpp's models/README.md and in the model card of
 * the server's repository; sizes computed from the published dimensions and the format (every one
 * that is published agrees), except small.en-tdrz, whose vocabulary differs. */
#define PUBLISHED(name, digest, bytes)                                                             \
    {                                                                                              \
        name, digest, bytes,                                                                       \
            "https://huggingface.co/ggerganov/whisper.cpp/resolve/main/ggml-" name ".bin"          \
    }
#define TDRZ(name, digest, bytes)                                                                  \
    {                                                                                              \
        name, digest, bytes,                                                                       \
            "https://huggingface.co/akashmjn/tinydiarize-whisper.cpp/resolve/main/ggml-" name      \
            ".bin"                                                                                 \
    }

/* clang-format off */
static const struct wisp_catalog_entry catalog[] = {
    PUBLISHED("tiny", "bd577a113a864445d4c299885e0cb97d4ba92b5f", 77691713),
    PUBLISHED("tiny.en", "c78c86eb1a8faa21b369bcd33207cc90d64ae9df", 77704715),
    PUBLISHED("tiny-q5_1", "2827a03e495b1ed3048ef28a6a4620537db4ee51", 32152673),
    PUBLISHED("tiny.en-q5_1", "3fb92ec865cbbc769f08137f22470d6b66e071b6", 32166155),
    PUBLISHED("tiny-q8_0", "19e8118f6652a650569f5a949d962154e01571d9", 43537433),
    PUBLISHED("tiny.en-q8_0", "802d6668e7d411123e672abe4cb6c18f12306abb", 43550795),
    PUBLISHED("base", "465707469ff3a37a2b9b8d8f89f2f99de7299dac", 147951465),
    PUBLISHED("base.en", "137c40403d78fd54d454da0f9bd998f78703390c", 147964211),
    PUBLISHED("base-q5_1", "a3733eda680ef76256db5fc5dd9de8629e62c5e7", 59707625),
    PUBLISHED("base.en-q5_1", "d26d7ce5a1b6e57bea5d0431b9c20ae49423c94a", 59721011),
    PUBLISHED("base-q8_0", "7bb89bb49ed6955013b166f1b6a6c04584a20fbe", 81768585),
    PUBLISHED("base.en-q8_0", "bb1574182e9b924452bf0cd1510ac034d323e948", 81781811),
    PUBLISHED("small", "55356645c2b361a969dfd0ef2c5a50d530afd8d5", 487601967),
    PUBLISHED("small.en", "db8a495a91d927739e50b3fc1cc4c6b8f6c2d022", 487614201),
    TDRZ("small.en-tdrz", "b6c6e7e89af1a35c08e6de56b66ca6a02a2fdfa1", 487614184),
    PUBLISHED("small-q5_1", "6fe57ddcfdd1c6b07cdcc73aaf620810ce5fc771", 190085487),
    PUBLISHED("small.en-q5_1", "20f54878d608f94e4a8ee3ae56016571d47cba34", 190098681),
    PUBLISHED("small-q8_0", "bcad8a2083f4e53d648d586b7dbc0cd673d8afad", 264464607),
    PUBLISHED("small.en-q8_0", "9d75ff4ccfa0a8217870d7405cf8cef0a5579852", 264477561),
    PUBLISHED("medium", "fd9727b6e1217c2f614f9b698455c4ffd82463b4", 1533763059),
    PUBLISHED("medium.en", "8c30f0e44ce9560643ebd10bbe50cd20eafd3723", 1533774781),
    PUBLISHED("medium-q5_0", "7718d4c1ec62ca96998f058114db98236937490e", 539212467),
    PUBLISHED("medium.en-q5_0", "bb3b5281bddd61605d6fc76bc5b92d8f20284c3b", 539225533),
    PUBLISHED("medium-q8_0", "e66645948aff4bebbec71b3485c576f3d63af5d6", 823369779),
    PUBLISHED("medium.en-q8_0", "b1cf48c12c807e14881f634fb7b6c6ca867f6b38", 823382461),
    PUBLISHED("large-v1", "b1caaf735c4cc1429223d5a74f0f4d0b9b59a299", 3094623691),
    PUBLISHED("large-v2", "0f4c8e34f21cf1a914c59d8b3ce882345ad349d6", 3094623691),
    PUBLISHED("large-v2-q5_0", "00e39f2196344e901b3a2bd5814807a769bd1630", 1080732091),
    PUBLISHED("large-v2-q8_0", "da97d6ca8f8ffbeeb5fd147f79010eeea194ba38", 1656129691),
    PUBLISHED("large-v3", "ad82bf6a9043ceed055076d0fd39f5f186ff8062", 3095033483),
    PUBLISHED("large-v3-q5_0", "e6e2ed78495d403bef4b7cff42ef4aaadcfea8de", 1081140203),
    PUBLISHED("large-v3-turbo", "4af2b29d7ec73d781377bfd1758ca957a807e941", 1624555275),
    PUBLISHED("large-v3-turbo-q5_0", "e050f7970618a659205450ad97eb95a18d69c9ee", 574041195),
    PUBLISHED("large-v3-turbo-q8_0", "01bf15bedffe9f39d65c1b6ff9b687ea91f59e0e", 874188075),
};
/* clang-format on */
enum { N_CATALOG = sizeof catalog / sizeof catalog[0], NAME_MAX_LEN = 64 };

const struct wisp_catalog_entry *wisp_catalog_get(size_t i) {
    return i < N_CATALOG ? &catalog[i] : NULL;
}

/* openai-whisper's other names. */
static const char *const aliases[][2] = {{"large", "large-v3"}, {"turbo", "large-v3-turbo"}};

const struct wisp_catalog_entry *wi_catalog_find(const char *name) {
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++)
        if (strcmp(aliases[i][0], name) == 0)
            name = aliases[i][1];
    for (size_t i = 0; i < N_CATALOG; i++)
        if (strcmp(catalog[i].name, name) == 0)
            return &catalog[i];
    return NULL;
}

/* Levenshtein distance; `a` and `b` at most NAME_MAX_LEN long. */
static int edit_distance(const char *a, const char *b) {
    int row[NAME_MAX_LEN + 1]; /* distance of the first i characters of a to a prefix of b */
    int n = (int)strlen(a);
    for (int i = 0; i <= n; i++)
        row[i] = i;
    for (int j = 1; *b; b++, j++) {
        int diagonal = row[0];
        row[0] = j;
        for (int i = 1; i <= n; i++) {
            int replace = diagonal + (a[i - 1] != *b);
            diagonal = row[i];
            int gap = (row[i] < row[i - 1] ? row[i] : row[i - 1]) + 1;
            row[i] = replace < gap ? replace : gap;
        }
    }
    return row[n];
}

const char *wi_catalog_nearest(const char *name) {
    if (strlen(name) > NAME_MAX_LEN)
        return NULL;
    const char *nearest = NULL;
    int best = (int)strlen(name) / 3 + 2; /* farther than this is no misspelling */
    for (size_t i = 0; i < N_CATALOG; i++) {
        int distance = edit_distance(catalog[i].name, name);
        if (distance < best) {
            best = distance;
            nearest = catalog[i].name;
        }
    }
    return nearest;
}

static int path_print(char *buf, size_t size, struct wisp_error *err, const char *a, const char *b,
                      const char *c, const char *d) {
    int n = snprintf(buf, size, "%s%s%s%s", a, b, c, d);
    if (n >= 0 && (size_t)n < size)
        return 0;
    if (size)
        buf[0] = '\0';
    return wi_err_set(err, WISP_E_ARG,
                      "the path '%.200s...' is longer than %zu bytes; use a shorter one", a, size);
}

int wi_catalog_file(char *buf, size_t size, const char *dir, const char *name,
                    struct wisp_error *err) {
    return path_print(buf, size, err, dir, "/ggml-", name, ".bin");
}

int wisp_models_dir(char *buf, size_t size, struct wisp_error *err) {
    const char *own = getenv("WISP_MODELS");
    if (own && *own)
        return path_print(buf, size, err, own, "", "", "");
    const char *data = getenv("XDG_DATA_HOME");
    if (data && *data == '/') /* the XDG specification: a relative one is to be ignored */
        return path_print(buf, size, err, data, "/wisp/models", "", "");
    const char *home = getenv("HOME");
    if (home && *home)
        return path_print(buf, size, err, home, "/.local/share/wisp/models", "", "");
    if (size)
        buf[0] = '\0';
    return wi_err_set(err, WISP_E_ARG,
                      "there is no folder for models: neither WISP_MODELS nor HOME is set; "
                      "set WISP_MODELS to a folder");
}

static bool exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0;
}

/* The error for a model that is neither a path nor here: with the command that gets it. */
static int not_here(struct wisp_error *err, const char *what, const char *dir) {
    const struct wisp_catalog_entry *entry = wi_catalog_find(what);
    if (entry)
        return wi_err_set(err, WISP_E_IO,
                          "model '%s' is not in '%s' yet; get it with: wisp model pull %s", what,
                          dir, entry->name);
    const char *nearest = strchr(what, '/') ? NULL : wi_catalog_nearest(what);
    if (nearest)
        return wi_err_set(err, WISP_E_IO,
                          "there is no model file '%s' and no published model of that name; the "
                          "nearest name is '%s': wisp model pull %s",
                          what, nearest, nearest);
    return wi_err_set(err, WISP_E_IO,
                      "cannot find the model '%s': no such file or folder; 'wisp model list' shows "
                      "what can be had, 'wisp model pull base' gets one",
                      what);
}

int wisp_model_find(char *buf, size_t size, const char *path_or_name, struct wisp_error *err) {
    if (size)
        buf[0] = '\0';
    if (!path_or_name || !*path_or_name)
        return wi_err_set(err, WISP_E_ARG,
                          "the name of the model is empty; give a file or a name "
                          "that 'wisp model list' shows");
    if (exists(path_or_name))
        return path_print(buf, size, err, path_or_name, "", "", "");
    char dir[4096] = "";
    if (strchr(path_or_name, '/'))
        return not_here(err, path_or_name, dir);
    const struct wisp_catalog_entry *entry = wi_catalog_find(path_or_name);
    int rc = wisp_models_dir(dir, sizeof dir, err);
    if (rc == 0)
        rc = wi_catalog_file(buf, size, dir, entry ? entry->name : path_or_name, err);
    if (rc != 0 || exists(buf))
        return rc;
    /* Models that the user put there under their own name, files or folders. */
    rc = path_print(buf, size, err, dir, "/", path_or_name, "");
    if (rc != 0 || exists(buf))
        return rc;
    buf[0] = '\0';
    return not_here(err, path_or_name, dir);
}

void wisp_pull_params_init(struct wisp_pull_params *params) {
    *params = (struct wisp_pull_params){0};
}

/* mkdir -p. */
static int make_folders(const char *dir, struct wisp_error *err) {
    char *path = wi_strdup(dir);
    if (!path)
        return wi_err_nomem(err, "a path");
    int rc = 0;
    for (char *slash = path; rc == 0 && slash;) {
        slash = strchr(slash + 1, '/');
        if (slash)
            *slash = '\0';
        struct stat st;
        if (mkdir(path, 0777) != 0 && !(stat(path, &st) == 0 && S_ISDIR(st.st_mode)))
            rc = wi_err_errno(err, WISP_E_IO, errno,
                              "cannot make the folder '%s' for models (set WISP_MODELS to a folder "
                              "that you can write)",
                              path);
        if (slash)
            *slash = '/';
    }
    wi_free(path);
    return rc;
}

static int unknown_name(struct wisp_error *err, const char *name) {
    const char *nearest = wi_catalog_nearest(name);
    if (!nearest)
        return wi_err_set(err, WISP_E_ARG,
                          "no published model is called '%s'; 'wisp model list' shows all names",
                          name);
    return wi_err_set(err, WISP_E_ARG,
                      "no published model is called '%s'; did you mean '%s'? 'wisp model list' "
                      "shows all names",
                      name, nearest);
}

int wisp_model_pull(char *path, size_t path_size, const char *name,
                    const struct wisp_pull_params *params, struct wisp_error *err) {
    enum { STALL_S = 30, RETRY_MS = 500 };
    char dir[4096], url[4096];
    if (path_size)
        path[0] = '\0';
    const struct wisp_catalog_entry *entry = wi_catalog_find(name ? name : "");
    if (!entry)
        return unknown_name(err, name ? name : "");
    int rc = params && params->dir ? path_print(dir, sizeof dir, err, params->dir, "", "", "")
                                   : wisp_models_dir(dir, sizeof dir, err);
    if (rc == 0)
        rc = make_folders(dir, err);
    if (rc == 0)
        rc = wi_catalog_file(path, path_size, dir, entry->name, err);
    if (rc == 0 && params && params->base_url)
        rc = wi_catalog_file(url, sizeof url, params->base_url, entry->name, err);
    if (rc != 0)
        return rc;
    struct wi_pull pull = {
        .url = params && params->base_url ? url : entry->url,
        .path = path,
        .digest = entry->digest,
        .bytes = entry->bytes,
        .stall_s = STALL_S,
        .retry_ms = RETRY_MS,
        .progress = params ? params->progress : NULL,
        .user = params ? params->user : NULL,
    };
    return wi_pull_run(&pull, err);
}

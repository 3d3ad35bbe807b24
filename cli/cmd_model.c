/* wisp model: which models there are, getting one, and what is inside one. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "args.h"
#include "cli.h"
#include "interrupt.h"
#include "json_print.h"
#include "progress.h"

struct options {
    bool help, verbose, json, no_prints;
    const char *url, *dir;
};

#define AT(member) offsetof(struct options, member)
/* clang-format off */
static const struct opt table[] = {
    {OPT_SECTION, 0, 0, 0, "Options", 0, 0, 0},
    {OPT_ON, NULL, "--json", NULL, "list, info: print JSON", AT(json), 0, 0},
    {OPT_ON, "-v", "--verbose", NULL, "info: also every tensor", AT(verbose), 0, 0},
    {OPT_STRING, NULL, "--url", "URL", "pull: from URL/ggml-NAME.bin instead of the published place", AT(url), 0, 0},
    {OPT_STRING, NULL, "--dir", "DIR", "pull: into this folder (default: $WISP_MODELS, else $XDG_DATA_HOME/wisp/models, else ~/.local/share/wisp/models)", AT(dir), 0, 0},
    {OPT_ON, "-np", "--no-prints", NULL, "pull: print errors only", AT(no_prints), 0, 0},
    {OPT_ON, "-h", "--help", NULL, "print this", AT(help), 0, 0},
    OPT_END};
/* clang-format on */

static const char *const actions[] = {"list", "pull", "info", NULL};

static void print_help(void) {
    printf("usage: wisp model list           the published models, and which are here\n"
           "       wisp model pull NAME      get one: resumed if it was begun, and verified\n"
           "       wisp model info FILE      what is inside a model file or folder\n");
    args_help(stdout, table);
}

/* ------------------------------------------------------------------ list */

static bool is_here(const char *dir, const struct wisp_catalog_entry *e, const char *suffix) {
    char path[PATH_MAX];
    struct stat st;
    return snprintf(path, sizeof path, "%s/ggml-%s.bin%s", dir, e->name, suffix) <
               (int)sizeof path &&
           stat(path, &st) == 0;
}

static const char *state_of(const char *dir, const struct wisp_catalog_entry *e) {
    return is_here(dir, e, "") ? "here" : is_here(dir, e, ".part") ? "begun" : "";
}

static void list_json(const char *dir) {
    json_t *list = json_array();
    const struct wisp_catalog_entry *e;
    for (size_t i = 0; (e = wisp_catalog_get(i)); i++)
        json_array_append_new(list, json_pack("{s:s, s:I, s:s, s:s, s:b}", "name", e->name, "bytes",
                                              (json_int_t)e->bytes, "digest", e->digest, "url",
                                              e->url, "here", is_here(dir, e, "")));
    json_t *root = json_pack("{s:o, s:o}", "dir", json_text(dir), "models", list);
    json_print(stdout, root);
    json_decref(root);
}

static enum cli_exit do_list(const struct options *o) {
    char dir[PATH_MAX];
    struct wisp_error err = {0};
    const struct wisp_catalog_entry *e;
    if (wisp_models_dir(dir, sizeof dir, &err) != 0)
        return cli_fail(&err);
    if (o->json) {
        list_json(dir);
        return CLI_DONE;
    }
    printf("%-22s %9s  %s\n", "name", "MB", "");
    for (size_t i = 0; (e = wisp_catalog_get(i)); i++) {
        const char *state = state_of(dir, e);
        printf("%-22s %9.1f%s%s\n", e->name, (double)e->bytes / 1e6, *state ? "  " : "", state);
    }
    printf(
        "\nName with .en: English only; others: 99 or more languages; -q5_0 and so on: smaller,\n"
        "quantised; large is large-v3, turbo is large-v3-turbo.  'wisp model pull NAME' gets one into\n"
        "%s\n",
        dir);
    return CLI_DONE;
}

/* ------------------------------------------------------------------ pull */

static int on_bytes(void *user, uint64_t done, uint64_t total) {
    progress_bytes(user, (double)done, (double)total);
    return interrupted();
}

static enum cli_exit do_pull(const struct options *o, const char *name) {
    char path[PATH_MAX];
    struct progress progress;
    struct wisp_pull_params params;
    struct wisp_error err = {0};
    progress_init(&progress, !o->no_prints, false);
    interrupt_catch();
    wisp_pull_params_init(&params);
    params.base_url = o->url;
    params.dir = o->dir;
    params.progress = on_bytes;
    params.user = &progress;
    int rc = wisp_model_pull(path, sizeof path, name, &params, &err);
    progress_hide(&progress);
    if (rc != 0)
        return cli_fail(&err);
    if (!o->no_prints)
        cli_say("%s is here and verified: %s", name, path);
    return CLI_DONE;
}

/* ------------------------------------------------------------------ info */

static void print_shape(const struct wisp_tensor_info *t, char *buf, size_t size) {
    size_t n = 0;
    buf[0] = '\0';
    for (int d = 0; d < t->n_dims && n < size; d++)
        n += (size_t)snprintf(buf + n, size - n, "%s%" PRId64, d ? ", " : "", t->dims[d]);
}

static const char *layout_of(const struct wisp_model_info *info) {
    switch (info->dims.n_vocab) {
    case 51864: return "English-only";
    case 51865: return "multilingual";
    case 51866: return "multilingual (large-v3)";
    default: return info->multilingual ? "multilingual" : "English-only";
    }
}

static void info_text(const struct wisp_model *model, const struct wisp_model_info *m,
                      bool verbose) {
    const struct wisp_dims *d = &m->dims;
    printf("file        %s\n", m->path);
    printf("container   %s, %.1f MB\n", m->container, (double)m->file_bytes / 1e6);
    printf("weights     %s, %zu tensors, %.1f M parameters\n", m->weight_type, m->n_tensors,
           (double)m->n_params / 1e6);
    printf("vocabulary  %d tokens, %d stored, %s", d->n_vocab, m->n_vocab_stored, layout_of(m));
    if (m->n_languages)
        printf(", %d languages", m->n_languages);
    printf("\naudio       %d mel bands, %d positions, width %d, %d heads, %d layers\n", d->n_mels,
           d->n_audio_ctx, d->n_audio_state, d->n_audio_head, d->n_audio_layer);
    printf("text        %d positions, width %d, %d heads, %d layers\n", d->n_text_ctx,
           d->n_text_state, d->n_text_head, d->n_text_layer);
    printf("kernels     %s\n", m->cpu_level);
    struct wisp_tensor_info t;
    for (size_t i = 0; verbose && wisp_model_get_tensor(model, i, &t); i++) {
        char shape[100];
        print_shape(&t, shape, sizeof shape);
        printf("%s%-6s [%s]  %s\n", i ? "" : "\n", t.type, shape, t.name);
    }
}

static json_t *dims_json(const struct wisp_dims *d) {
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "n_mels", d->n_mels,
                     "n_audio_ctx", d->n_audio_ctx, "n_audio_state", d->n_audio_state,
                     "n_audio_head", d->n_audio_head, "n_audio_layer", d->n_audio_layer, "n_vocab",
                     d->n_vocab, "n_text_ctx", d->n_text_ctx, "n_text_state", d->n_text_state,
                     "n_text_head", d->n_text_head, "n_text_layer", d->n_text_layer);
}

static json_t *tensors_json(const struct wisp_model *model) {
    json_t *list = json_array();
    struct wisp_tensor_info t;
    for (size_t i = 0; wisp_model_get_tensor(model, i, &t); i++) {
        json_t *shape = json_array();
        for (int d = 0; d < t.n_dims; d++)
            json_array_append_new(shape, json_integer((json_int_t)t.dims[d]));
        json_array_append_new(list,
                              json_pack("{s:o, s:s, s:o, s:I}", "name", json_text(t.name), "type",
                                        t.type, "shape", shape, "bytes", (json_int_t)t.bytes));
    }
    return list;
}

static enum cli_exit info_json(const struct wisp_model *model, const struct wisp_model_info *m,
                               bool verbose) {
    json_t *root = json_pack(
        "{s:o, s:s, s:I, s:s, s:I, s:I, s:b, s:i, s:i, s:s, s:o}", "path", json_text(m->path),
        "container", m->container, "bytes", (json_int_t)m->file_bytes, "weights", m->weight_type,
        "tensors", (json_int_t)m->n_tensors, "parameters", (json_int_t)m->n_params, "multilingual",
        m->multilingual, "languages", m->n_languages, "vocabulary_stored", m->n_vocab_stored,
        "kernels", m->cpu_level, "dims", dims_json(&m->dims));
    if (!root)
        return cli_fail_nomem();
    if (verbose)
        json_object_set_new(root, "tensor_list", tensors_json(model));
    json_print(stdout, root);
    json_decref(root);
    return CLI_DONE;
}

static enum cli_exit do_info(const struct options *o, const char *name) {
    char path[PATH_MAX];
    struct wisp_model *model = NULL;
    struct wisp_model_info info;
    struct wisp_error err = {0};
    enum cli_exit code = CLI_DONE;
    if (wisp_model_find(path, sizeof path, name, &err) != 0 ||
        wisp_model_open(&model, path, NULL, &err) != 0)
        return cli_fail(&err);
    wisp_model_get_info(model, &info);
    if (o->json)
        code = info_json(model, &info, o->verbose);
    else
        info_text(model, &info, o->verbose);
    wisp_model_close(&model);
    return code;
}

/* ------------------------------------------------------------------ the command */

static enum cli_exit act(const struct options *o, const struct strings *operands) {
    const char *action = operands->n ? operands->v[0] : NULL;
    const char *what = operands->n > 1 ? operands->v[1] : NULL;
    if (!action) {
        cli_say("model needs to know what to do: list, pull NAME or info FILE");
        return CLI_USAGE;
    }
    bool is_list = strcmp(action, "list") == 0;
    if (!is_list && strcmp(action, "pull") != 0 && strcmp(action, "info") != 0) {
        const char *nearest = args_nearest(action, actions);
        cli_say("there is no 'wisp model %s'; %s%s%s list, pull NAME and info FILE", action,
                nearest ? "did you mean '" : "", nearest ? nearest : "",
                nearest ? "'? There are" : "there are");
        return CLI_USAGE;
    }
    if (operands->n > (is_list ? 1u : 2u) || (!is_list && !what)) {
        cli_say("'wisp model %s' takes %s", action,
                is_list                       ? "nothing more"
                : strcmp(action, "pull") == 0 ? "one name; 'wisp model list' shows them"
                                              : "one model file, folder or name");
        return CLI_USAGE;
    }
    if (is_list)
        return do_list(o);
    return strcmp(action, "pull") == 0 ? do_pull(o, what) : do_info(o, what);
}

int cmd_model(int argc, char **argv) {
    struct options o = {0};
    struct strings operands = {0};
    enum cli_exit code = CLI_USAGE;
    if (args_parse(argc, argv, table, &o, &operands)) {
        if (o.help) {
            print_help();
            code = CLI_DONE;
        } else {
            code = act(&o, &operands);
        }
    }
    free(operands.v);
    return (int)code;
}

/* wisp demo: the bundled clip through the bundled model, compared with what is said in it. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "args.h"
#include "cli.h"
#include "interrupt.h"
#include "open.h"
#include "out.h"
#include "progress.h"

struct options {
    bool help;
};
/* clang-format off */
static const struct opt table[] = {
    {OPT_SECTION, 0, 0, 0, "Options", 0, 0, 0},
    {OPT_ON, "-h", "--help", NULL, "print this", offsetof(struct options, help), 0, 0},
    OPT_END};
/* clang-format on */

static const char model_name[] = "nano-digits.bin", clip_name[] = "demo.wav",
                  text_name[] = "demo.txt";

/* The folder of the bundled files: beside the build folder, or installed.  An empty string when
 * there is none. */
static void find_bundle(char *dir, size_t size) {
    char self[PATH_MAX] = "", probe[PATH_MAX + 32];
    const char *places[] = {"/../models", "/../share/wisp", NULL};
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash = n > 0 ? strrchr(self, '/') : NULL;
    if (slash)
        *slash = '\0';
    for (int i = 0; slash && places[i]; i++) {
        snprintf(dir, size, "%s%s", self, places[i]);
        snprintf(probe, sizeof probe, "%s/%s", dir, model_name);
        if (access(probe, R_OK) == 0) {
            char *resolved = realpath(dir, NULL);
            if (resolved)
                snprintf(dir, size, "%s", resolved);
            free(resolved);
            return;
        }
    }
    snprintf(dir, size, "%s", WISP_DATADIR);
    snprintf(probe, sizeof probe, "%s/%s", dir, model_name);
    if (access(probe, R_OK) != 0)
        dir[0] = '\0';
}

/* The expected text, without white space around it; NULL after saying why not.  For free(). */
static char *read_expected(const char *path) {
    char text[4096];
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f)
        fclose(f);
    text[n] = '\0';
    struct out_span span = out_strip(text);
    if (span.n == 0) {
        cli_say("cannot read '%s', the text of the bundled clip; install wisp again", path);
        return NULL;
    }
    char *copy = strndup(span.p, span.n);
    if (!copy)
        cli_fail_nomem();
    return copy;
}

static bool should_abort(void *user) {
    (void)user;
    return interrupted();
}

/* Print what was heard, what was said and the speed. */
static enum cli_exit report(const struct session *s, const struct wisp_result *r,
                            const char *expected, double wall_s) {
    struct out_span heard = out_strip(r->text);
    bool same = heard.n == strlen(expected) && memcmp(heard.p, expected, heard.n) == 0;
    printf("text:      %.*s\n", (int)heard.n, heard.p);
    printf("expected:  %s\n", expected);
    printf("speed:     %.1f s of audio in %.2f s, %.1fx realtime\n", r->duration, wall_s,
           wall_s > 0 ? r->duration / wall_s : 0.0);
    printf("ran on:    mel %s, encoder %s, decoder %s\n", r->device_mel, r->device_encoder,
           r->device_decoder);
    if (same)
        return CLI_DONE;
    cli_say("the text is not the expected one; please report this with the output of 'wisp doctor' "
            "(kernels: %s; WISP_CPU=portable tries others)",
            s->info.cpu_level);
    return CLI_INTERNAL;
}

static enum cli_exit demo(const char *dir) {
    char model[PATH_MAX + 32], clip[PATH_MAX + 32], text[PATH_MAX + 32];
    struct session session = {0};
    struct progress clock;
    struct wisp_params params;
    struct wisp_result *result = NULL;
    struct wisp_error err = {0};
    snprintf(model, sizeof model, "%s/%s", dir, model_name);
    snprintf(clip, sizeof clip, "%s/%s", dir, clip_name);
    snprintf(text, sizeof text, "%s/%s", dir, text_name);
    char *expected = read_expected(text);
    enum cli_exit code = expected ? session_open(&session, model, NULL, 0) : CLI_INPUT;
    if (code == CLI_DONE) {
        printf("model:     %s, spoken English digits only\nclip:      %s\n", model, clip);
        wisp_params_init(&params);
        params.should_abort = should_abort;
        progress_init(&clock, false, false);
        if (wisp_transcribe_file(session.ctx, clip, NULL, &params, &result, &err) == 0)
            code = report(&session, result, expected, progress_elapsed(&clock));
        else
            code = cli_fail(&err);
    }
    wisp_result_free(&result);
    session_close(&session);
    free(expected);
    return code;
}

int cmd_demo(int argc, char **argv) {
    struct options o = {0};
    struct strings operands = {0};
    char dir[PATH_MAX];
    enum cli_exit code = CLI_USAGE;
    if (!args_parse(argc, argv, table, &o, &operands)) {
        free(operands.v);
        return (int)code;
    }
    if (o.help) {
        printf("usage: wisp demo\n\nTranscribes the bundled clip with the bundled model (spoken "
               "English digits) and\ncompares the text with what is said.  Exits 0 when they are "
               "equal.\n");
        args_help(stdout, table);
        code = CLI_DONE;
    } else if (operands.n) {
        cli_say("demo takes no arguments; 'wisp %s' transcribes that file", operands.v[0]);
    } else {
        find_bundle(dir, sizeof dir);
        interrupt_catch();
        if (dir[0])
            code = demo(dir);
        else
            cli_say("the bundled model %s is neither beside the program nor in '%s'; install wisp "
                    "again",
                    model_name, WISP_DATADIR);
        code = dir[0] ? code : CLI_INPUT;
    }
    free(operands.v);
    return (int)code;
}

#include "open.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "args.h"

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The path of the model to use. */
static enum cli_exit find_model(char *path, size_t size, const char *model) {
    struct wisp_error err = {0};
    const char *from_env = getenv("WISP_MODEL");
    if (!model && from_env && *from_env)
        model = from_env;
    if (wisp_model_find(path, size, model ? model : "base", &err) == 0)
        return CLI_DONE;
    if (model)
        return cli_fail(&err);
    cli_say("no model is chosen: give one with -m FILE or set WISP_MODEL, or get the default one "
            "with: wisp model pull base");
    return CLI_INPUT;
}

enum cli_exit session_open(struct session *s, const char *model, const char *decoder_weights,
                           int threads) {
    char path[PATH_MAX];
    struct wisp_error err = {0};
    struct wisp_model_params params;
    wisp_model_params_init(&params);
    params.decoder_weights = decoder_weights;
    *s = (struct session){0};
    enum cli_exit code = find_model(path, sizeof path, model);
    if (code != CLI_DONE)
        return code;
    double start = now_s();
    if (wisp_model_open(&s->model, path, &params, &err) != 0 ||
        wisp_ctx_create(&s->ctx, s->model, threads, &err) != 0)
        return cli_fail(&err);
    s->load_s = now_s() - start;
    wisp_model_get_info(s->model, &s->info);
    return CLI_DONE;
}

void session_close(struct session *s) {
    wisp_ctx_destroy(&s->ctx);
    wisp_model_close(&s->model);
}

enum cli_exit parse_raw(const char *text, struct wisp_audio_params *audio) {
    wisp_audio_params_init(audio);
    if (!text)
        return CLI_DONE;
    char copy[64], *rate, *channels;
    snprintf(copy, sizeof copy, "%s", text);
    rate = strchr(copy, ':');
    if (rate)
        *rate++ = '\0';
    channels = rate ? strchr(rate, ':') : NULL;
    if (channels)
        *channels++ = '\0';
    long long hz = audio->raw_rate > 0 ? audio->raw_rate : 16000, n = 1;
    bool ok = strlen(text) < sizeof copy && (!strcmp(copy, "s16") || !strcmp(copy, "f32")) &&
              (!rate || args_int(rate, 1, 1000000, &hz)) &&
              (!channels || args_int(channels, 1, 64, &n));
    if (!ok) {
        cli_say("--raw needs FORMAT[:RATE[:CHANNELS]], as in s16:16000:1 (formats s16 and f32), "
                "not '%s'",
                text);
        return CLI_USAGE;
    }
    audio->raw = true;
    audio->raw_format = strcmp(copy, "s16") == 0 ? "s16" : "f32";
    audio->raw_rate = (int)hz;
    audio->raw_channels = (int)n;
    return CLI_DONE;
}

enum cli_exit check_input(const char *path) {
    struct stat st;
    if (strcmp(path, "-") == 0)
        return CLI_DONE;
    if (!*path) {
        cli_say("the name of an audio file is empty; give a file, or - for standard input");
        return CLI_USAGE;
    }
    int errnum = stat(path, &st) != 0 || access(path, R_OK) != 0 ? errno : 0;
    if (errnum == ENOENT && !strchr(path, '/') && !strchr(path, '.')) {
        const char *nearest = args_nearest(path, cli_commands);
        if (nearest)
            cli_say("cannot read '%s': there is no such file, and it is no command; did you mean "
                    "'wisp %s'?",
                    path, nearest);
        else
            cli_say("cannot read '%s': there is no such file, and it is no command; "
                    "'wisp --help' lists the commands",
                    path);
        return CLI_INPUT;
    }
    if (errnum) {
        cli_say("cannot read '%s': %s; check the name%s", path, strerror(errnum),
                errnum == EACCES ? " and its permissions" : "");
        return CLI_INPUT;
    }
    if (S_ISDIR(st.st_mode)) {
        cli_say("cannot read '%s': it is a folder; give audio files, as in '%s'/*", path, path);
        return CLI_INPUT;
    }
    return CLI_DONE;
}

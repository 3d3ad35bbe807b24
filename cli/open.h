/* What several commands do before the work: turn -m and --raw into an open model, a context and
 * audio parameters, with every failure said and given as an exit code.  The caller closes what was
 * opened with session_close, also after a failure.  Not thread-safe. */
#ifndef WISP_CLI_OPEN_H
#define WISP_CLI_OPEN_H

#include "cli.h"

struct session {
    struct wisp_model *model;
    struct wisp_ctx *ctx;
    struct wisp_model_info info;
    double load_s;
};

/* `model` is a path or a name; NULL = $WISP_MODEL, else the pulled model "base".  `decoder_weights`
 * NULL and `threads` 0 = the library's choice. */
enum cli_exit session_open(struct session *s, const char *model, const char *decoder_weights,
                           int threads);
void session_close(struct session *s);

/* "s16", "f32:48000" or "s16:44100:2": headerless samples, their rate in Hz and channels.  NULL
 * leaves `audio` at its defaults. */
enum cli_exit parse_raw(const char *text, struct wisp_audio_params *audio);

/* Whether an input can be opened at all; says what is wrong. */
enum cli_exit check_input(const char *path);

#endif

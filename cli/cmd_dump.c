/* wisp dump: one stage's output as a NumPy file, for comparisons with other programs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "cli.h"
#include "npy.h"
#include "open.h"
#include "outfile.h"

struct options {
    bool help;
    const char *model, *audio, *raw, *tokens, *output, *decoder_weights;
    int threads;
};

#define AT(member) offsetof(struct options, member)
/* clang-format off */
static const struct opt table[] = {
    {OPT_SECTION, 0, 0, 0, "Options", 0, 0, 0},
    {OPT_STRING, "-m", "--model", "FILE", "model file, folder or name", AT(model), 0, 0},
    {OPT_STRING, "-f", "--file", "FILE", "audio file, - for standard input (default: 30 s of silence)", AT(audio), 0, 0},
    {OPT_STRING, NULL, "--raw", "FMT", "the input is headerless samples, as s16:16000:1", AT(raw), 0, 0},
    {OPT_STRING, NULL, "--tokens", "LIST", "the whole decoder input, as 50258,50259,50359 (logits only)", AT(tokens), 0, 0},
    {OPT_STRING, "-o", "--output", "FILE", "the NPY file to write, - for standard output", AT(output), 0, 0},
    {OPT_INT, "-t", "--threads", "N", "compute threads", AT(threads), 1, 256},
    {OPT_STRING, NULL, "--decoder-weights", "FORMAT", "f32, bf16 or int8 (default: the fastest that gives the text of f32)", AT(decoder_weights), 0, 0},
    {OPT_ON, "-h", "--help", NULL, "print this", AT(help), 0, 0},
    OPT_END};
/* clang-format on */

enum stage { MEL, ENCODER, LOGITS, N_STAGES };
static const char *const stages[] = {"mel", "encoder", "logits", NULL};

/* A stage's output. */
struct matrix {
    float *values; /* [rows, columns] */
    size_t rows, columns;
};

static void print_help(void) {
    printf("usage: wisp dump STAGE -m MODEL [-f AUDIO] [--tokens LIST] -o OUT.npy\n\n"
           "Writes what a stage computes as NumPy f32, from the first 30 s of the audio:\n"
           "  mel      [n_mels, 3000]      log-mel spectrogram, padded with silence\n"
           "  encoder  [1500, n_state]     the encoder's output\n"
           "  logits   [n_tokens, n_vocab] raw logits at every position of --tokens\n");
    args_help(stdout, table);
}

/* The token ids of a list with commas; NULL after saying what is wrong. */
static int *parse_tokens(const char *text, const struct wisp_dims *dims, size_t *n) {
    int *tokens = calloc((size_t)dims->n_text_ctx, sizeof *tokens);
    char word[24];
    *n = 0;
    if (!tokens) {
        cli_fail_nomem();
        return NULL;
    }
    for (const char *p = text;; p++) {
        size_t len = strcspn(p, ",");
        long long id;
        snprintf(word, sizeof word, "%.*s", (int)(len < 23 ? len : 23), p);
        if (*n == (size_t)dims->n_text_ctx) {
            cli_say("--tokens: more than the %d tokens that this model's decoder holds",
                    dims->n_text_ctx);
            goto fail;
        }
        if (!args_int(word, 0, dims->n_vocab - 1, &id)) {
            cli_say("--tokens needs token ids from 0 to %d with commas between them, not '%s'",
                    dims->n_vocab - 1, word);
            goto fail;
        }
        tokens[(*n)++] = (int)id;
        p += len;
        if (*p == '\0')
            return tokens;
    }
fail:
    free(tokens);
    return NULL;
}

static int compute_mel(struct session *s, const struct options *o,
                       const struct wisp_audio_params *audio, struct matrix *m,
                       struct wisp_error *err) {
    return o->audio ? wisp_stage_mel_file(s->ctx, o->audio, audio, m->values, err)
                    : wisp_stage_mel_pcm(s->ctx, NULL, 0, m->values, err);
}

static int compute_encoder(struct session *s, const struct options *o,
                           const struct wisp_audio_params *audio, struct matrix *m,
                           struct wisp_error *err) {
    const struct wisp_dims *d = &s->info.dims;
    struct matrix mel = {calloc((size_t)d->n_mels * d->n_audio_ctx * 2, sizeof(float)), 0, 0};
    if (!mel.values)
        return err->code = WISP_E_NOMEM;
    int rc = compute_mel(s, o, audio, &mel, err);
    if (rc == 0)
        rc = wisp_stage_encode(s->ctx, mel.values, m ? m->values : NULL, err);
    free(mel.values);
    return rc;
}

static int compute_logits(struct session *s, const struct options *o,
                          const struct wisp_audio_params *audio, const int *tokens, size_t n,
                          struct matrix *m, struct wisp_error *err) {
    int rc = compute_encoder(s, o, audio, NULL, err);
    if (rc == 0)
        rc = wisp_stage_cross_kv(s->ctx, err);
    if (rc == 0)
        rc = wisp_stage_decode(s->ctx, tokens, n, false, m->values, err);
    return rc;
}

static enum cli_exit compute(enum stage stage, struct session *s, const struct options *o,
                             const struct wisp_audio_params *audio, struct matrix *m) {
    const struct wisp_dims *d = &s->info.dims;
    struct wisp_error err = {0};
    size_t n = 0;
    int *tokens = NULL;
    if (stage == LOGITS && !(tokens = parse_tokens(o->tokens, d, &n)))
        return CLI_USAGE;
    m->rows = stage == MEL ? (size_t)d->n_mels : stage == ENCODER ? (size_t)d->n_audio_ctx : n;
    m->columns = (size_t)(stage == MEL       ? 2 * d->n_audio_ctx
                          : stage == ENCODER ? d->n_audio_state
                                             : d->n_vocab);
    m->values = calloc(m->rows * m->columns, sizeof *m->values);
    int rc = 0;
    if (!m->values)
        rc = err.code = WISP_E_NOMEM;
    else if (stage == MEL)
        rc = compute_mel(s, o, audio, m, &err);
    else if (stage == ENCODER)
        rc = compute_encoder(s, o, audio, m, &err);
    else
        rc = compute_logits(s, o, audio, tokens, n, m, &err);
    free(tokens);
    return rc == 0 ? CLI_DONE : cli_fail(&err);
}

static enum cli_exit write_matrix(const char *path, const struct matrix *m) {
    struct outfile out;
    enum cli_exit code = outfile_open(&out, path);
    if (code != CLI_DONE)
        return code;
    npy_write_f32(out.f, m->values, m->rows, m->columns);
    code = outfile_commit(&out);
    if (code == CLI_DONE && strcmp(path, "-") != 0)
        cli_say("wrote %s [%zu, %zu]", path, m->rows, m->columns);
    return code;
}

static enum cli_exit dump(enum stage stage, const struct options *o) {
    struct session session = {0};
    struct matrix m = {0};
    struct wisp_audio_params audio;
    enum cli_exit code = parse_raw(o->raw, &audio);
    if (code == CLI_DONE && o->audio)
        code = check_input(o->audio);
    if (code == CLI_DONE)
        code = outfile_check(o->output);
    if (code == CLI_DONE)
        code = session_open(&session, o->model, o->decoder_weights, o->threads);
    if (code == CLI_DONE)
        code = compute(stage, &session, o, &audio, &m);
    if (code == CLI_DONE)
        code = write_matrix(o->output, &m);
    free(m.values);
    session_close(&session);
    return code;
}

/* Which stage, after the checks that need no model. */
static bool choose_stage(const struct options *o, const struct strings *operands,
                         enum stage *stage) {
    const char *word = operands->n ? operands->v[0] : NULL;
    for (*stage = MEL; word && *stage < N_STAGES; ++*stage)
        if (strcmp(word, stages[*stage]) == 0)
            break;
    if (!word)
        cli_say("dump needs a stage: mel, encoder or logits");
    else if (*stage == N_STAGES)
        cli_say("there is no stage '%s'; the stages are mel, encoder and logits", word);
    else if (operands->n > 1)
        cli_say("dump takes one stage, not also '%s'; audio goes behind -f", operands->v[1]);
    else if (!o->output)
        cli_say("dump needs -o FILE.npy to write to");
    else if (*stage == LOGITS && !o->tokens)
        cli_say("dump logits needs --tokens with the decoder input, as --tokens 50258,50259");
    else
        return true;
    return false;
}

int cmd_dump(int argc, char **argv) {
    struct options o = {0};
    struct strings operands = {0};
    enum stage stage;
    enum cli_exit code = CLI_USAGE;
    if (args_parse(argc, argv, table, &o, &operands)) {
        if (o.help) {
            print_help();
            code = CLI_DONE;
        } else if (choose_stage(&o, &operands, &stage)) {
            code = dump(stage, &o);
        }
    }
    free(operands.v);
    return (int)code;
}

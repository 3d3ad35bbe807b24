/* wisp transcribe: audio files to text on standard output and into files. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "args.h"
#include "cli.h"
#include "interrupt.h"
#include "open.h"
#include "out.h"
#include "outfile.h"
#include "progress.h"

static const struct out_format *const formats[] = {&out_txt, &out_srt, &out_vtt, &out_tsv,
                                                   &out_csv, &out_lrc, &out_json};
enum { N_FORMATS = sizeof formats / sizeof formats[0] };

struct options {
    bool help, version;
    const char *model, *raw, *decoder_weights;
    struct strings files, prefixes;
    int threads, offset_ms, duration_ms;
    bool translate, no_fallback, no_prints, print_progress;
    bool wanted[N_FORMATS];    /* in the order of `formats` */
    struct wisp_params params; /* without the callbacks */
};

#define AT(member) offsetof(struct options, member)
#define IN(member) offsetof(struct options, params.member)
/* clang-format off */
static const struct opt table[] = {
    {OPT_SECTION, 0, 0, 0, "Input", 0, 0, 0},
    {OPT_STRING, "-m", "--model", "FILE", "model: a ggml file, a Hugging Face folder or the name of a pulled one (default: $WISP_MODEL, else base)", AT(model), 0, 0},
    {OPT_LIST, "-f", "--file", "FILE", "audio file, same as FILE without -f; may be repeated; - is standard input", AT(files), 0, 0},
    {OPT_STRING, NULL, "--raw", "FMT", "the input is headerless samples: s16 or f32, then :RATE and :CHANNELS (s16:16000:1)", AT(raw), 0, 0},
    {OPT_INT, "-ot", "--offset-t", "MS", "start this many milliseconds into the audio", AT(offset_ms), 0, INT_MAX},
    {OPT_INT, "-d", "--duration", "MS", "stop after this many milliseconds of audio (0: at its end)", AT(duration_ms), 0, INT_MAX},

    {OPT_SECTION, 0, 0, 0, "Language and task", 0, 0, 0},
    {OPT_STRING, "-l", "--language", "LANG", "language spoken, as code or name; auto detects it (the default of multilingual models)", IN(language), 0, 0},
    {OPT_ON, "-dl", "--detect-language", NULL, "print the language and stop", IN(detect_language_only), 0, 0},
    {OPT_ON, "-tr", "--translate", NULL, "translate into English", AT(translate), 0, 0},
    {OPT_STRING, NULL, "--prompt", "TEXT", "text before the first window, to set style and names", IN(initial_prompt), 0, 0},
    {OPT_ON, NULL, "--carry-initial-prompt", NULL, "put --prompt before every window", IN(carry_initial_prompt), 0, 0},

    {OPT_SECTION, 0, 0, 0, "Decoding", 0, 0, 0},
    {OPT_INT, "-t", "--threads", "N", "compute threads (default: one per CPU, at most 8)", AT(threads), 1, 256},
    {OPT_STRING, NULL, "--decoder-weights", "FORMAT", "f32, bf16 or int8 (default: the fastest that gives the text of f32)", AT(decoder_weights), 0, 0},
    {OPT_INT, "-bs", "--beam-size", "N", "beams at temperature 0; 1 is greedy (default 5)", IN(beam_size), 1, 16},
    {OPT_INT, "-bo", "--best-of", "N", "samples to choose from above temperature 0 (default 5)", IN(best_of), 1, 16},
    {OPT_NUMBER, NULL, "--patience", "X", "beam search goes on for X times the beams (default 1)", IN(patience), 1 / 16.0, 16},
    {OPT_NUMBER, NULL, "--length-penalty", "X", "exponent of the length in scores; negative: divide by the length (default)", IN(length_penalty), -1, 1},
    {OPT_NUMBER, "-tp", "--temperature", "X", "first temperature (default 0)", IN(temperature), 0, 1},
    {OPT_NUMBER, "-tpi", "--temperature-inc", "X", "added after a failed try, up to 1 (default 0.2)", IN(temperature_inc), 0, 1},
    {OPT_ON, "-nf", "--no-fallback", NULL, "first temperature only", AT(no_fallback), 0, 0},
    {OPT_THRESHOLD, "-et", "--entropy-thold", "X", "a try fails when its text compresses better than this; X is the reference's compression ratio, not an entropy (default 2.4)", IN(compression_ratio_max), -1e9, 1e9},
    {OPT_THRESHOLD, "-lpt", "--logprob-thold", "X", "a try fails below this average log probability (default -1)", IN(logprob_min), -1e9, 1e9},
    {OPT_THRESHOLD, "-nth", "--no-speech-thold", "X", "a failed window above this no-speech probability is silence (default 0.6)", IN(no_speech_max), -1e9, 1e9},
    {OPT_ON, "-sns", "--suppress-nst", NULL, "no symbols that are not speech; on by default, as in the reference", IN(suppress_non_speech), 0, 0},
    {OPT_OFF, NULL, "--no-suppress-nst", NULL, "allow such symbols", IN(suppress_non_speech), 0, 0},
    {OPT_INT, "-mc", "--max-context", "N", "tokens of previous text as prompt; 0: none, negative: as many as fit (default)", IN(max_context), INT_MIN, INT_MAX},
    {OPT_SEED, NULL, "--seed", "N", "of the samples above temperature 0 (default 0)", IN(seed), 0, 0},

    {OPT_SECTION, 0, 0, 0, "Output", 0, 0, 0},
    {OPT_ON, "-nt", "--no-timestamps", NULL, "decode without timestamps, print text only", IN(no_timestamps), 0, 0},
    {OPT_ON, "-otxt", "--output-txt", NULL, "write FILE.txt", AT(wanted[0]), 0, 0},
    {OPT_ON, "-osrt", "--output-srt", NULL, "write FILE.srt (subtitles)", AT(wanted[1]), 0, 0},
    {OPT_ON, "-ovtt", "--output-vtt", NULL, "write FILE.vtt (subtitles)", AT(wanted[2]), 0, 0},
    {OPT_ON, "-otsv", "--output-tsv", NULL, "write FILE.tsv", AT(wanted[3]), 0, 0},
    {OPT_ON, "-ocsv", "--output-csv", NULL, "write FILE.csv", AT(wanted[4]), 0, 0},
    {OPT_ON, "-olrc", "--output-lrc", NULL, "write FILE.lrc (lyrics)", AT(wanted[5]), 0, 0},
    {OPT_ON, "-oj", "--output-json", NULL, "write FILE.json (everything)", AT(wanted[6]), 0, 0},
    {OPT_LIST, "-of", "--output-file", "PREFIX", "write PREFIX.txt and so on instead; once for each input; - is standard output, for one format", AT(prefixes), 0, 0},
    {OPT_ON, "-np", "--no-prints", NULL, "print the transcript and errors only", AT(no_prints), 0, 0},
    {OPT_ON, "-pp", "--print-progress", NULL, "progress also when not on a terminal", AT(print_progress), 0, 0},
    {OPT_ON, NULL, "--version", NULL, "print the version", AT(version), 0, 0},
    {OPT_ON, "-h", "--help", NULL, "print this", AT(help), 0, 0},
    OPT_END};
/* clang-format on */

static void print_help(void) {
    printf("usage: wisp [transcribe] [options] FILE...\n"
           "       wisp COMMAND ...           ('wisp COMMAND --help' says more)\n\n"
           "Transcribes audio files to standard output.  Options may stand anywhere.\n\n"
           "Commands:\n"
           "  transcribe  audio to text; the word may be left out\n"
           "  demo        the bundled clip through the bundled model\n"
           "  model       list, get and look into models\n"
           "  bench       how fast each stage runs here\n"
           "  doctor      what wisp finds on this machine, and cures\n"
           "  dump        a stage's output as a NumPy file\n"
           "  npu         tools for programs of the NPU's cores\n");
    args_help(stdout, table);
    printf("\nExit codes: 0 done, 1 usage, 2 input or model file, 3 device, 4 interrupted with\n"
           "partial output written, 5 internal error.\n");
}

/* ------------------------------------------------------------------ checking options */

/* The code of a language given by code or name; NULL after saying that there is none such. */
static const char *known_language(const char *given) {
    enum { MAX_LANGUAGES = 256 };
    const char *names[MAX_LANGUAGES + 1], *code = wisp_language_find(given), *ignored;
    size_t n = 0;
    if (strcasecmp(given, "auto") == 0)
        return "auto";
    if (code)
        return code;
    while (n < MAX_LANGUAGES && wisp_language_get(n, &ignored, &names[n]))
        n++;
    names[n] = NULL;
    const char *nearest = args_nearest(given, names);
    cli_say("-l: no language is called '%s'; %s%s%sgive a code such as en, a name such as english, "
            "or auto",
            given, nearest ? "did you mean '" : "", nearest ? nearest : "",
            nearest ? "'? Or " : "");
    return NULL;
}

static int n_wanted(const struct options *o) {
    int n = 0;
    for (int i = 0; i < N_FORMATS; i++)
        n += o->wanted[i];
    return n;
}

static bool is_stdout(const char *prefix) {
    return strcmp(prefix, "-") == 0;
}

/* The i-th -of, by itself and against those before it. */
static bool check_prefix(const struct options *o, size_t i) {
    const char *prefix = o->prefixes.v[i];
    bool taken = false;
    for (size_t j = 0; j < i; j++)
        taken = taken || strcmp(prefix, o->prefixes.v[j]) == 0;
    if (!*prefix || prefix[strlen(prefix) - 1] == '/')
        cli_say("-of needs the beginning of a file name, such as out/talk, not '%s'", prefix);
    else if (taken && !is_stdout(prefix))
        cli_say("two inputs cannot both be written to -of '%s'; give each its own", prefix);
    else if (is_stdout(prefix) && n_wanted(o) > 1)
        cli_say("-of - writes one format to standard output, not %d; choose one", n_wanted(o));
    else
        return true;
    return false;
}

static bool check_prefixes(const struct options *o) {
    if (o->prefixes.n && !n_wanted(o) && !o->no_prints)
        cli_say("warning: -of writes nothing without a format; add -otxt, -osrt, -oj ...");
    for (size_t i = 0; i < o->prefixes.n; i++)
        if (!check_prefix(o, i))
            return false;
    return true;
}

/* Combinations that cannot work. */
static bool check_options(struct options *o) {
    size_t n_stdin = 0;
    for (size_t i = 0; i < o->files.n; i++)
        n_stdin += strcmp(o->files.v[i], "-") == 0;
    if (o->files.n == 0)
        cli_say("no audio file is given; 'wisp FILE' transcribes one, 'wisp --help' lists the "
                "options");
    else if (n_stdin > 1)
        cli_say("standard input (-) can be read once only, not %zu times", n_stdin);
    else if (o->prefixes.n > 0 && o->prefixes.n != o->files.n)
        cli_say("%zu -of for %zu files: it is not clear which belongs to which; give one -of per "
                "file or none",
                o->prefixes.n, o->files.n);
    else if (n_stdin && n_wanted(o) && o->prefixes.n == 0)
        cli_say("standard input has no name to derive a file name from; add -of PREFIX, or -of - "
                "for standard output");
    else if (o->params.carry_initial_prompt && !o->params.initial_prompt)
        cli_say("--carry-initial-prompt needs a --prompt to carry");
    else if (o->params.language && !(o->params.language = known_language(o->params.language)))
        return false;
    else
        return check_prefixes(o);
    return false;
}

/* Options that the library knows in another form. */
static void complete_params(struct options *o) {
    struct wisp_params *p = &o->params;
    p->task = o->translate ? WISP_TRANSLATE : WISP_TRANSCRIBE;
    p->offset = o->offset_ms / 1000.0;
    p->duration = o->duration_ms / 1000.0;
    if (p->max_context < 0)
        p->max_context = -1;
    if (o->no_fallback)
        p->temperature_inc = 0;
}

/* ------------------------------------------------------------------ one file */

/* One input on its way through the library. */
struct run {
    const struct options *o;
    const struct session *session;
    const char *file;   /* path or "-" */
    const char *prefix; /* of output files */
    struct progress progress;
    bool print_segments;
    int stdout_errno; /* why standard output takes no more; 0 = it does */
};

static void on_segments(void *user, const struct wisp_segment *segments, size_t n) {
    struct run *run = user;
    if (!run->print_segments)
        return;
    progress_hide(&run->progress);
    for (size_t i = 0; i < n; i++)
        out_line(stdout, &segments[i], !run->o->params.no_timestamps);
    errno = 0;
    if (fflush(stdout) != 0 || ferror(stdout))
        run->stdout_errno = errno ? errno : EIO;
}

static void on_progress(void *user, double done, double total) {
    struct run *run = user;
    progress_audio(&run->progress, run->o->params.offset, done, total);
}

static bool should_abort(void *user) {
    return interrupted() || ((struct run *)user)->stdout_errno != 0;
}

/* English-only models know one language and one task, as the reference and whisper-cli say too. */
static enum cli_exit fit_to_model(struct options *o, const struct wisp_model_info *info) {
    if (info->multilingual)
        return CLI_DONE;
    if (o->params.detect_language_only) {
        cli_say("-dl: '%s' is an English-only model and cannot detect languages; give a "
                "multilingual one",
                info->path);
        return CLI_USAGE;
    }
    bool other = o->params.language && strcmp(o->params.language, "auto") != 0 &&
                 strcmp(o->params.language, "en") != 0;
    if (other || o->translate)
        cli_say("warning: '%s' is an English-only model; %s", info->path,
                other ? "the language is English, whatever -l says"
                      : "there is nothing to translate");
    o->params.task = WISP_TRANSCRIBE;
    return CLI_DONE;
}

/* The path of the output in format `format`; NULL when memory ran out. */
static char *output_path(const struct run *run, const struct out_format *format) {
    size_t size = strlen(run->prefix) + strlen(format->extension) + 2;
    char *path = malloc(size);
    if (path && is_stdout(run->prefix))
        strcpy(path, "-");
    else if (path)
        snprintf(path, size, "%s.%s", run->prefix, format->extension);
    return path;
}

static enum cli_exit write_output(const struct run *run, const struct out_format *format,
                                  const struct out_doc *doc) {
    struct outfile out;
    char *path = output_path(run, format);
    if (!path)
        return cli_fail_nomem();
    enum cli_exit code = outfile_open(&out, path);
    if (code == CLI_DONE && !format->write(out.f, doc)) {
        outfile_discard(&out);
        code = cli_fail_nomem();
    } else if (code == CLI_DONE) {
        code = outfile_commit(&out);
    }
    if (code == CLI_DONE && !run->o->no_prints && strcmp(path, "-") != 0)
        cli_say("wrote %s", path);
    free(path);
    return code;
}

static enum cli_exit write_outputs(const struct run *run, const struct wisp_result *result,
                                   bool partial) {
    const struct out_doc doc = {.result = result,
                                .model = &run->session->info,
                                .task = run->o->params.task == WISP_TRANSLATE ? "translate"
                                                                              : "transcribe",
                                .interrupted = partial};
    enum cli_exit first = CLI_DONE;
    for (int i = 0; i < N_FORMATS; i++) {
        if (!run->o->wanted[i])
            continue;
        enum cli_exit code = write_output(run, formats[i], &doc);
        first = first == CLI_DONE ? code : first;
    }
    return first;
}

/* All that can be known to fail before the work. */
static enum cli_exit check_outputs(const struct run *run) {
    for (int i = 0; i < N_FORMATS; i++) {
        if (!run->o->wanted[i])
            continue;
        char *path = output_path(run, formats[i]);
        enum cli_exit code = path ? outfile_check(path) : cli_fail_nomem();
        free(path);
        if (code != CLI_DONE)
            return code;
    }
    return CLI_DONE;
}

static const char *input_name(const char *file) {
    return strcmp(file, "-") == 0 ? "standard input" : file;
}

/* Interrupted, or nobody takes what is printed: what is done goes into the files. */
static enum cli_exit stopped(const struct run *run, const struct wisp_result *result) {
    int no_stdout = run->stdout_errno;
    const char *name = input_name(run->file), *how = no_stdout ? "stopped" : "interrupted";
    enum cli_exit reason = no_stdout ? cli_fail_stdout(no_stdout) : CLI_INTERRUPTED;
    if (!result || result->n_segments == 0) {
        cli_say("%s before any of '%s' was transcribed; nothing of it was written", how, name);
        return reason;
    }
    enum cli_exit code = write_outputs(run, result, true);
    bool written = n_wanted(run->o) > 0 && code == CLI_DONE;
    cli_say("%s: '%s' is transcribed up to %.1f of %.1f s%s", how, name,
            result->segments[result->n_segments - 1].end, result->duration,
            written ? ", which was written" : "");
    return code == CLI_DONE || no_stdout ? reason : code;
}

/* Seconds of audio that -ot and -d leave. */
static double audio_worked_on(const struct options *o, double duration) {
    double begin = fmin(o->params.offset, duration);
    double end = o->params.duration > 0 ? fmin(begin + o->params.duration, duration) : duration;
    return end - begin;
}

/* What ran where and how fast. */
static void print_summary(const struct run *run, const struct wisp_result *r) {
    double wall = progress_elapsed(&run->progress), audio = audio_worked_on(run->o, r->duration);
    if (run->o->offset_ms > 0 && audio <= 0)
        cli_say("warning: -ot %d ms is behind the end of '%s' (%.1f s); there is nothing to "
                "transcribe",
                run->o->offset_ms, input_name(run->file), r->duration);
    if (run->o->no_prints)
        return;
    cli_say("%s: %.1f s of audio in %.2f s (%.1fx realtime), language %s; mel %s, encoder %s, "
            "decoder %s",
            input_name(run->file), audio, wall, wall > 0 ? audio / wall : 0.0,
            r->language ? r->language : "unknown", r->device_mel, r->device_encoder,
            r->device_decoder);
}

static enum cli_exit finished(const struct run *run, const struct wisp_result *result) {
    if (run->o->params.detect_language_only) {
        printf("%s\n", result->language ? result->language : "");
        if (!run->o->no_prints)
            cli_say("%s: language %s, probability %.3f", input_name(run->file),
                    result->language ? result->language : "unknown", result->language_prob);
        return CLI_DONE;
    }
    print_summary(run, result);
    return write_outputs(run, result, false);
}

static enum cli_exit transcribe_file(struct run *run, const struct wisp_audio_params *audio) {
    const struct options *o = run->o;
    struct wisp_params params = o->params;
    struct wisp_result *result = NULL;
    struct wisp_error err = {0};
    enum cli_exit code = check_outputs(run);
    if (code != CLI_DONE)
        return code;
    bool stdout_is_taken = n_wanted(o) && is_stdout(run->prefix);
    run->print_segments = !stdout_is_taken;
    progress_init(&run->progress, !o->no_prints || o->print_progress, o->print_progress);
    params.on_segments = on_segments;
    params.on_progress = on_progress;
    params.should_abort = should_abort;
    params.user = run;
    int rc = wisp_transcribe_file(run->session->ctx, run->file, audio, &params, &result, &err);
    progress_hide(&run->progress);
    if (rc == WISP_E_CANCELLED || (rc != 0 && interrupted()))
        code = stopped(run, result);
    else
        code = rc == 0 ? finished(run, result) : cli_fail(&err);
    wisp_result_free(&result);
    return code;
}

/* ------------------------------------------------------------------ all files */

/* Every input that can be read, in order.  The exit code is that of the first one that failed. */
static enum cli_exit transcribe_each(const struct options *o, const struct session *session,
                                     const struct wisp_audio_params *audio,
                                     const enum cli_exit *readable) {
    enum cli_exit first = CLI_DONE;
    for (size_t i = 0; i < o->files.n; i++) {
        struct run run = {.o = o, .session = session, .file = o->files.v[i]};
        run.prefix = o->prefixes.n ? o->prefixes.v[i] : run.file;
        enum cli_exit one = readable[i];
        if (interrupted()) {
            cli_say("interrupted; '%s' and what follows was not begun", input_name(run.file));
            return CLI_INTERRUPTED;
        }
        if (one == CLI_DONE)
            one = transcribe_file(&run, audio);
        if (one == CLI_INTERRUPTED)
            return one;
        first = first == CLI_DONE ? one : first;
        if (run.stdout_errno)
            break;
    }
    return first;
}

static enum cli_exit transcribe_all(struct options *o, const struct wisp_audio_params *audio,
                                    const enum cli_exit *readable) {
    struct session session = {0};
    enum cli_exit code = CLI_DONE;
    bool any = false;
    for (size_t i = 0; i < o->files.n; i++)
        any = any || readable[i] == CLI_DONE;
    interrupt_quit();
    if (any)
        code = session_open(&session, o->model, o->decoder_weights, o->threads);
    interrupt_catch();
    if (any && code == CLI_DONE)
        code = fit_to_model(o, &session.info);
    if (any && code == CLI_DONE && !o->no_prints)
        cli_say("model %s (%s, %s, %s)", session.info.path, session.info.weight_type,
                session.info.multilingual ? "multilingual" : "English-only",
                session.info.cpu_level);
    if (code == CLI_DONE)
        code = transcribe_each(o, &session, audio, readable);
    session_close(&session);
    return code;
}

/* Check all inputs, then work on those that can be read. */
static enum cli_exit run_options(struct options *o) {
    struct wisp_audio_params audio;
    enum cli_exit code = check_options(o) ? parse_raw(o->raw, &audio) : CLI_USAGE;
    if (code != CLI_DONE)
        return code;
    complete_params(o);
    enum cli_exit *readable = calloc(o->files.n, sizeof *readable);
    if (!readable)
        return cli_fail_nomem();
    for (size_t i = 0; i < o->files.n; i++)
        readable[i] = check_input(o->files.v[i]);
    code = transcribe_all(o, &audio, readable);
    free(readable);
    return code;
}

int cmd_transcribe(int argc, char **argv) {
    struct options o = {0};
    enum cli_exit code = CLI_DONE;
    wisp_params_init(&o.params);
    if (!args_parse(argc, argv, table, &o, &o.files))
        code = CLI_USAGE;
    else if (o.help)
        print_help();
    else if (o.version)
        printf("wisp %s\n", wisp_version());
    else
        code = run_options(&o);
    free(o.files.v);
    free(o.prefixes.v);
    return (int)code;
}

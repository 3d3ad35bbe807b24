/* wisp bench: times every stage of a window of 30 s.  The measured part comes first and alone, so
 * that the peak of memory is its own; then the encoder's output is compared with the portable
 * level's. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "args.h"
#include "cli.h"
#include "json_print.h"
#include "memory_read.h"

enum {
    RATE = 16000,
    SAMPLES = 30 * RATE,
    MEL_FRAMES = 3000,
    POSITIONS = 256, /* tokens of a greedy run */
    BEAMS = 5,
    MAX_REPEATS = 1000,
    SEED = 1 /* of random weights */
};
static const double CHECK_LIMIT = 2e-2; /* relative L2 of the encoder's output: docs/numerics.md */

struct bench_options {
    const char *model, *size, *decoder_weights;
    int threads, repeats;
    bool json, help;
};

#define AT(field) offsetof(struct bench_options, field)
/* clang-format off */
static const struct opt table[] = {
    {OPT_SECTION, 0, 0, 0, "Options", 0, 0, 0},
    {OPT_STRING, "-m", "--model", "FILE", "model file, folder or name", AT(model), 0, 0},
    {OPT_STRING, NULL, "--dims", "SIZE", "random weights of a published size instead: tiny, base, small ...", AT(size), 0, 0},
    {OPT_STRING, NULL, "--decoder-weights", "FORMAT", "f32, bf16 or int8 (default: the fastest that gives the text of f32)", AT(decoder_weights), 0, 0},
    {OPT_INT, "-t", "--threads", "N", "compute threads (default: one per CPU, at most 8)", AT(threads), 1, 256},
    {OPT_INT, NULL, "--repeats", "N", "timed runs of each stage after a warm-up (default 3)", AT(repeats), 1, MAX_REPEATS},
    {OPT_ON, NULL, "--json", NULL, "print one JSON object", AT(json), 0, 0},
    {OPT_ON, "-h", "--help", NULL, "print this", AT(help), 0, 0},
    OPT_END};
/* clang-format on */

/* Names for the message about an unknown size. */
static const char *const sizes[] = {"tiny",     "tiny.en", "base",      "base.en",  "small",
                                    "small.en", "medium",  "medium.en", "large-v1", "large-v2",
                                    "large-v3", "turbo",   NULL};

/* Times are milliseconds; the order is that of the table and of the JSON object. */
struct figures {
    double load_ms, mel_ms, encoder_ms, cross_kv_ms, decoder_ms_per_token, beam5_step_ms;
    double peak_rss_mb; /* 10^6 bytes */
    double rel_l2;      /* of the encoder's output to the portable level */
    double peak_gflops; /* multiply-adds on registers alone, all threads */
    double memory_gb_s; /* a loop that only reads, all threads */
    double token_mb;    /* 10^6 bytes that a greedy step reads, mean over the positions */
};

struct bench {
    const struct bench_options *options;
    char path[4096];
    struct wisp_model *model;
    struct wisp_ctx *ctx;
    struct wisp_dims dims;
    char name[4096], weights[16], decoder_weights[16], container[16],
        level[16]; /* of the model, which is closed early */
    int n_positions;
    float *pcm;      /* [SAMPLES] */
    float *mel;      /* [n_mels, MEL_FRAMES] */
    float *window;   /* [n_mels, 2 n_audio_ctx] */
    float *features; /* [n_audio_ctx, n_audio_state] */
    float *logits;   /* [BEAMS, n_vocab] */
    struct figures figures;
    struct wisp_error err;
};

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, int n) {
    qsort(x, (size_t)n, sizeof *x, compare);
    return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

/* ------------------------------------------------------------------ the stages */

static int load(struct bench *b, const char *cpu) {
    struct wisp_model_params params;
    wisp_model_params_init(&params);
    params.cpu = cpu;
    params.decoder_weights = b->options->decoder_weights;
    return b->options->size ? wisp_model_create_random(&b->model, &b->dims, SEED, &params, &b->err)
                            : wisp_model_open(&b->model, b->path, &params, &b->err);
}

/* A stage runs once and tells its milliseconds; returns a wisp_code. */
typedef int stage(struct bench *b, double *ms);

static int run_load(struct bench *b, double *ms) {
    wisp_model_close(&b->model);
    double start = now_ms();
    int rc = load(b, NULL);
    *ms = now_ms() - start;
    return rc;
}

static int run_mel(struct bench *b, double *ms) {
    double start = now_ms();
    int rc = wisp_stage_mel_pcm(b->ctx, b->pcm, SAMPLES, b->mel, &b->err);
    *ms = now_ms() - start;
    return rc;
}

static int run_encoder(struct bench *b, double *ms) {
    double start = now_ms();
    int rc = wisp_stage_encode(b->ctx, b->window, b->features, &b->err);
    *ms = now_ms() - start;
    return rc;
}

static int run_cross_kv(struct bench *b, double *ms) {
    double start = now_ms();
    int rc = wisp_stage_cross_kv(b->ctx, &b->err);
    *ms = now_ms() - start;
    return rc;
}

static int most_likely(const struct bench *b, int seq) {
    const float *x = b->logits + (size_t)seq * (size_t)b->dims.n_vocab;
    float lanes[16], max; /* maxima of every 16th value, which compilers turn into vectors */
    int n = b->dims.n_vocab, i = 16, best = 0;
    memcpy(lanes, x, sizeof lanes);
    for (; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++)
            lanes[j] = x[i + j] > lanes[j] ? x[i + j] : lanes[j];
    max = lanes[0];
    for (int j = 1; j < 16; j++)
        max = lanes[j] > max ? lanes[j] : max;
    for (; i < n; i++)
        max = x[i] > max ? x[i] : max;
    while (x[best] != max)
        best++;
    return best;
}

/* Position 0: the start of a transcript. */
static int decode_start(struct bench *b) {
    int token = b->dims.n_vocab > 51864 ? 50258 : 50257;
    return wisp_stage_decode(b->ctx, &token, 1, true, b->logits, &b->err);
}

/* Single greedy steps from position 0; the choice of the token counts. */
static int run_greedy(struct bench *b, double *ms) {
    double start = now_ms();
    int parent = 0, rc = decode_start(b);
    for (int i = 1; i < b->n_positions && rc == WISP_OK; i++) {
        int token = most_likely(b, 0);
        rc = wisp_stage_step(b->ctx, &token, &parent, 1, b->logits, &b->err);
    }
    *ms = (now_ms() - start) / b->n_positions;
    return rc;
}

/* Steps of five sequences from position 1, which branch again and again as a search does it. */
static int run_beam(struct bench *b, double *ms) {
    static const int parents[BEAMS] = {0, 0, 1, 2, 3}, first[BEAMS] = {0};
    int tokens[BEAMS], rc = decode_start(b);
    for (int seq = 0; seq < BEAMS; seq++)
        tokens[seq] = 1000 * (seq + 1);
    double start = now_ms();
    for (int i = 1; i < b->n_positions && rc == WISP_OK; i++) {
        rc = wisp_stage_step(b->ctx, tokens, i == 1 ? first : parents, BEAMS, b->logits, &b->err);
        for (int seq = 0; seq < BEAMS && rc == WISP_OK; seq++)
            tokens[seq] = (most_likely(b, parents[seq]) + seq) % b->dims.n_vocab;
    }
    *ms = (now_ms() - start) / (b->n_positions - 1);
    return rc;
}

/* Median of the timed runs after a warm-up. */
static int time_stage(struct bench *b, stage *run, double *ms) {
    double samples[MAX_REPEATS], warm_up;
    int n = b->options->repeats, rc = run(b, &warm_up);
    for (int i = 0; i < n && rc == WISP_OK; i++)
        rc = run(b, &samples[i]);
    if (rc == WISP_OK)
        *ms = median(samples, n);
    return rc;
}

/* ------------------------------------------------------------------ input */

/* A voice-like sweep of harmonics over noise, so that no mel band is constant. */
static void fill_pcm(float *pcm) {
    const double two_pi = 6.283185307179586;
    uint32_t state = 1;
    double phase = 0;
    for (int i = 0; i < SAMPLES; i++) {
        double t = (double)i / RATE, sample = 0;
        phase += two_pi * (140 + 60 * sin(two_pi * 0.7 * t)) / RATE;
        for (int h = 1; h <= 20; h++)
            sample += sin(h * phase) / h;
        state = state * 1664525u + 1013904223u;
        double noise = (double)(state >> 8) / 8388608.0 - 1;
        pcm[i] = (float)(0.1 * sample * (1 + sin(two_pi * 3 * t)) + 0.01 * noise);
    }
}

/* The encoder's window: the mel, repeated or cut where the model is not for 30 s. */
static void fill_window(struct bench *b) {
    int n = 2 * b->dims.n_audio_ctx;
    for (int c = 0; c < b->dims.n_mels; c++)
        for (int t = 0; t < n; t++)
            b->window[(size_t)c * n + t] = b->mel[(size_t)c * MEL_FRAMES + t % MEL_FRAMES];
}

static float *floats(int rows, int columns) {
    return malloc((size_t)rows * (size_t)columns * sizeof(float));
}

static bool make_buffers(struct bench *b) {
    const struct wisp_dims *d = &b->dims;
    b->pcm = floats(1, SAMPLES);
    b->mel = floats(d->n_mels, MEL_FRAMES);
    b->window = floats(d->n_mels, 2 * d->n_audio_ctx);
    b->features = floats(d->n_audio_ctx, d->n_audio_state);
    b->logits = floats(BEAMS, d->n_vocab);
    return b->pcm && b->mel && b->window && b->features && b->logits;
}

static void fini(struct bench *b) {
    wisp_ctx_destroy(&b->ctx);
    wisp_model_close(&b->model);
    free(b->pcm);
    free(b->mel);
    free(b->window);
    free(b->features);
    free(b->logits);
}

/* ------------------------------------------------------------------ measuring */

/* Most memory that this process had resident so far, 10^6 bytes; NAN when the system does not say.
 */
static double peak_rss_mb(void) {
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    double kib = NAN;
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "VmHWM:", 6) == 0)
            kib = strtod(line + 6, NULL);
    if (f)
        fclose(f);
    return kib * 1024 / 1e6;
}

static void remember_model(struct bench *b) {
    struct wisp_model_info info;
    wisp_model_get_info(b->model, &info);
    b->dims = info.dims;
    snprintf(b->name, sizeof b->name, "%s", info.path);
    snprintf(b->weights, sizeof b->weights, "%s", info.weight_type);
    snprintf(b->decoder_weights, sizeof b->decoder_weights, "%s", info.decoder_weights);
    snprintf(b->container, sizeof b->container, "%s", info.container);
    snprintf(b->level, sizeof b->level, "%s", info.cpu_level);
    b->n_positions = b->dims.n_text_ctx < POSITIONS ? b->dims.n_text_ctx : POSITIONS;
    b->figures.token_mb = ((double)info.decoder_step_bytes +
                           (double)info.decoder_position_bytes * (b->n_positions + 1) / 2) / 1e6;
}

/* Making random weights is no loading, and once is enough. */
static int measure_load(struct bench *b) {
    return b->options->size ? run_load(b, &b->figures.load_ms)
                            : time_stage(b, run_load, &b->figures.load_ms);
}

static int measure(struct bench *b, int threads) {
    struct figures *f = &b->figures;
    int rc = measure_load(b);
    if (rc != WISP_OK)
        return rc;
    remember_model(b);
    if (!make_buffers(b))
        return WISP_E_NOMEM;
    fill_pcm(b->pcm);
    if ((rc = wisp_ctx_create(&b->ctx, b->model, threads, &b->err)) != WISP_OK ||
        (rc = time_stage(b, run_mel, &f->mel_ms)) != WISP_OK)
        return rc;
    fill_window(b);
    if ((rc = time_stage(b, run_encoder, &f->encoder_ms)) != WISP_OK ||
        (rc = time_stage(b, run_cross_kv, &f->cross_kv_ms)) != WISP_OK ||
        (rc = time_stage(b, run_greedy, &f->decoder_ms_per_token)) != WISP_OK ||
        (rc = time_stage(b, run_beam, &f->beam5_step_ms)) != WISP_OK)
        return rc;
    f->peak_rss_mb = peak_rss_mb();
    f->peak_gflops = wisp_stage_peak(b->ctx) / 1e9;
    f->memory_gb_s = memory_read_gb_s(threads);
    return WISP_OK;
}

/* The encoder's output, computed again by the portable level from the same weights and mel. */
static int check(struct bench *b, int threads) {
    size_t n = (size_t)b->dims.n_audio_ctx * (size_t)b->dims.n_audio_state;
    double diff = 0, size = 0;
    wisp_ctx_destroy(&b->ctx);
    wisp_model_close(&b->model);
    float *expected = malloc(n * sizeof *expected);
    if (!expected)
        return WISP_E_NOMEM;
    int rc = load(b, "portable");
    if (rc == WISP_OK)
        rc = wisp_ctx_create(&b->ctx, b->model, threads, &b->err);
    if (rc == WISP_OK)
        rc = wisp_stage_encode(b->ctx, b->window, expected, &b->err);
    for (size_t i = 0; i < n && rc == WISP_OK; i++) {
        double d = (double)b->features[i] - expected[i];
        diff += d * d;
        size += (double)expected[i] * expected[i];
    }
    b->figures.rel_l2 = sqrt(diff / size);
    free(expected);
    return rc;
}

/* ------------------------------------------------------------------ printing */

/* Multiplications and additions of an encoder run, 10^9: convolutions, and per layer the
 * projections, the MLP and the two products of attention. */
static double encoder_gflop(const struct wisp_dims *d) {
    double n = d->n_audio_ctx, s = d->n_audio_state;
    double stem = 2 * 2 * n * 3 * d->n_mels * s + 2 * n * 3 * s * s;
    double layer = 4 * 2 * n * s * s + 2 * 2 * n * 4 * s * s + 2 * 2 * n * n * s;
    return (stem + d->n_audio_layer * layer) / 1e9;
}

/* What a greedy step reads over its time. */
static double token_gb_s(const struct figures *f) {
    return f->token_mb / f->decoder_ms_per_token;
}

static const char *model_name(const struct bench *b) {
    return b->options->size ? b->options->size : b->name;
}

static void print_table(const struct bench *b, int threads) {
    const struct figures *f = &b->figures;
    double gflop = encoder_gflop(&b->dims);
    printf("wisp %s, %s%s, %s, cpu (%s), %d thread%s, median of %d\n\n", wisp_version(),
           model_name(b), b->options->size ? " (random weights)" : "", b->weights, b->level,
           threads, threads == 1 ? "" : "s", b->options->repeats);
    printf("%-22s %10.1f ms%s\n", "load", f->load_ms,
           b->options->size ? "   to make the weights" : "");
    printf("%-22s %10.1f ms   30 s of audio\n", "mel", f->mel_ms);
    printf("%-22s %10.1f ms   %.1f GFLOP, %.1f GFLOP/s: %.0f %% of a loop over registers, %.1f\n",
           "encoder", f->encoder_ms, gflop, gflop / f->encoder_ms * 1e3,
           100 * gflop / f->encoder_ms * 1e3 / f->peak_gflops, f->peak_gflops);
    printf("%-22s %10.1f ms\n", "cross keys and values", f->cross_kv_ms);
    printf("%-22s %10.2f ms   a token, over positions 0 to %d\n", "decoder, greedy",
           f->decoder_ms_per_token, b->n_positions - 1);
    printf("%-22s %10.2f ms   a step of %d sequences\n", "decoder, beam 5", f->beam5_step_ms,
           BEAMS);
    printf("%-22s %10.1f MB   a token (%s weights), %.1f GB/s: %.0f %% of reading memory, %.1f GB/s\n",
           "decoder, reads", f->token_mb, b->decoder_weights, token_gb_s(f),
           100 * token_gb_s(f) / f->memory_gb_s, f->memory_gb_s);
    printf("%-22s %10.1f MB\n", "peak memory", f->peak_rss_mb);
    printf("%-22s %10.1e      relative L2 to the portable level, at most %.0e\n", "encoder check",
           f->rel_l2, CHECK_LIMIT);
}

static json_t *dims_json(const struct wisp_dims *d) {
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "n_vocab", d->n_vocab,
                     "n_mels", d->n_mels, "n_audio_ctx", d->n_audio_ctx, "n_audio_state",
                     d->n_audio_state, "n_audio_head", d->n_audio_head, "n_audio_layer",
                     d->n_audio_layer, "n_text_ctx", d->n_text_ctx, "n_text_state", d->n_text_state,
                     "n_text_head", d->n_text_head, "n_text_layer", d->n_text_layer);
}

static enum cli_exit print_object(const struct bench *b, int threads) {
    const struct figures *f = &b->figures;
    json_t *root =
        json_pack("{s:s, s:o, s:s, s:s, s:s, s:o, s:s, s:i, s:i, s:i}", "version", wisp_version(),
                  "model", json_text(model_name(b)), "container", b->container, "weights",
                  b->weights, "decoder_weights", b->decoder_weights, "dims", dims_json(&b->dims), "cpu", b->level, "threads", threads,
                  "repeats", b->options->repeats, "decoder_positions", b->n_positions);
    json_t *numbers = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "encoder_ms", json_number(f->encoder_ms),
        "cross_kv_ms", json_number(f->cross_kv_ms), "decoder_ms_per_token",
        json_number(f->decoder_ms_per_token), "beam5_step_ms", json_number(f->beam5_step_ms),
        "mel_ms", json_number(f->mel_ms), "load_ms", json_number(f->load_ms), "peak_rss_mb",
        json_number(f->peak_rss_mb), "encoder_gflop", json_number(encoder_gflop(&b->dims)),
        "encoder_rel_l2", json_number(f->rel_l2), "decoder_mb_per_token", json_number(f->token_mb),
        "memory_read_gb_s", json_number(f->memory_gb_s), "peak_gflops", json_number(f->peak_gflops));
    enum cli_exit code = CLI_DONE;
    if (root && numbers && json_object_update(root, numbers) == 0)
        json_print(stdout, root);
    else
        code = cli_fail_nomem();
    json_decref(root);
    json_decref(numbers);
    return code;
}

/* ------------------------------------------------------------------ the command */

static enum cli_exit choose_model(struct bench *b) {
    const struct bench_options *o = b->options;
    if (!o->model == !o->size) {
        cli_say("%s; give either a model with -m, or a size with --dims for random weights",
                o->model ? "-m and --dims exclude each other" : "nothing to measure");
        return CLI_USAGE;
    }
    if (o->model)
        return wisp_model_find(b->path, sizeof b->path, o->model, &b->err) == WISP_OK
                   ? CLI_DONE
                   : cli_fail(&b->err);
    if (wisp_dims_named(o->size, &b->dims))
        return CLI_DONE;
    const char *nearest = args_nearest(o->size, sizes);
    const char *list =
        "tiny, base, small, medium (each also with .en), large-v1, large-v2, large-v3, turbo";
    if (nearest)
        cli_say("there is no model size '%s'; did you mean '%s'? There are: %s", o->size, nearest,
                list);
    else
        cli_say("there is no model size '%s'; there are: %s", o->size, list);
    return CLI_USAGE;
}

static int online_cpus(void) {
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > 8 ? 8 : (int)n;
}

static enum cli_exit run(struct bench *b) {
    int threads = b->options->threads ? b->options->threads : online_cpus();
    enum cli_exit code = choose_model(b);
    if (code != CLI_DONE)
        return code;
    int rc = measure(b, threads);
    if (rc == WISP_OK)
        rc = check(b, threads);
    if (rc == WISP_E_NOMEM && !b->err.text[0])
        return cli_fail_nomem();
    if (rc != WISP_OK)
        return cli_fail(&b->err);
    if (b->options->json)
        code = print_object(b, threads);
    else
        print_table(b, threads);
    if (b->figures.rel_l2 <= CHECK_LIMIT)
        return code;
    cli_say(
        "the encoder's output at level %s is %.1e (relative L2) away from the portable level's, at "
        "most %.0e is right; please report this CPU, and use WISP_CPU=portable until it is mended",
        b->level, b->figures.rel_l2, CHECK_LIMIT);
    return CLI_INTERNAL;
}

static void print_help(void) {
    puts("usage: wisp bench (-m MODEL | --dims SIZE) [options]\n\n"
         "Times each stage of transcribing 30 s of audio, then checks the encoder's output\n"
         "against the portable level.  WISP_CPU=portable, avx2, avxvnni, avx512 or\n"
         "avx512bf16 forces a level.");
    args_help(stdout, table);
}

int cmd_bench(int argc, char **argv) {
    struct bench_options options = {.repeats = 3};
    struct strings operands = {0};
    enum cli_exit code = CLI_USAGE;
    if (args_parse(argc, argv, table, &options, &operands)) {
        if (options.help) {
            print_help();
            code = CLI_DONE;
        } else if (operands.n > 0) {
            cli_say("bench measures models only, not '%s'; give a model with -m", operands.v[0]);
        } else {
            struct bench *b = calloc(1, sizeof *b);
            if (b)
                b->options = &options;
            code = b ? run(b) : cli_fail_nomem();
            if (b)
                fini(b);
            free(b);
        }
    }
    free(operands.v);
    return code;
}

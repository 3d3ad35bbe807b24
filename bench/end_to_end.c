/* Time of transcribing 60 s through the C API, model loading aside: greedy, no timestamps, no second tries,
 * 100 tokens a window.  usage: end_to_end MODEL THREADS; prints milliseconds and the number of tokens.
 *
 * bench/peers.py compiles this for wisp and, with -DWHISPER_CPP, for whisper.cpp; the samples are noise, as
 * the weights are random. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { RATE = 16000, N_SAMPLES = 60 * RATE, N_TOKENS = 100 };

static void fill_noise(float *samples) {
    uint32_t state = 1;
    for (int i = 0; i < N_SAMPLES; i++) {
        state = 1664525 * state + 1013904223;
        samples[i] = ((float)(state >> 8) / (1 << 24) - 0.5f) * 0.2f;
    }
}

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

#ifdef WHISPER_CPP
#include <whisper.h>

static int run(const char *model, int n_threads, const float *samples, double *ms, int *n_tokens) {
    struct whisper_context *ctx =
        whisper_init_from_file_with_params(model, whisper_context_default_params());
    struct whisper_full_params p = whisper_full_default_params(WHISPER_SAMPLING_GREEDY);
    p.n_threads = n_threads;
    p.language = "en";
    p.no_timestamps = true;
    p.temperature_inc = 0;
    p.max_tokens = N_TOKENS;
    p.single_segment = true; /* a window is a segment */
    p.print_progress = false;
    p.no_speech_thold = 1;
    if (!ctx)
        return 1;
    double start = now_ms();
    int rc = whisper_full(ctx, p, samples, N_SAMPLES);
    *ms = now_ms() - start;
    for (int i = 0; i < whisper_full_n_segments(ctx); i++)
        *n_tokens += whisper_full_n_tokens(ctx, i);
    whisper_free(ctx);
    return rc;
}
#else
#include <wisp/wisp.h>

static int run(const char *path, int n_threads, const float *samples, double *ms, int *n_tokens) {
    struct wisp_model *model = NULL;
    struct wisp_ctx *ctx = NULL;
    struct wisp_result *result = NULL;
    struct wisp_error err = {0};
    struct wisp_params p;
    wisp_params_init(&p);
    p.language = "en";
    p.no_timestamps = true;
    p.beam_size = 1;
    p.temperature_inc = 0;
    p.no_speech_max = NAN;
    p.sample_len = N_TOKENS;
    int rc = wisp_model_open(&model, path, NULL, &err);
    if (rc == WISP_OK)
        rc = wisp_ctx_create(&ctx, model, n_threads, &err);
    double start = now_ms();
    if (rc == WISP_OK)
        rc = wisp_transcribe_pcm(ctx, samples, N_SAMPLES, &p, &result, &err);
    *ms = now_ms() - start;
    for (size_t i = 0; rc == WISP_OK && i < result->n_segments; i++)
        *n_tokens += (int)result->segments[i].n_tokens;
    if (rc != WISP_OK)
        fprintf(stderr, "%s\n", err.text);
    wisp_result_free(&result);
    wisp_ctx_destroy(&ctx);
    wisp_model_close(&model);
    return rc;
}
#endif

int main(int argc, char **argv) {
    float *samples = malloc(N_SAMPLES * sizeof *samples);
    double ms = 0;
    int n_tokens = 0;
    if (argc != 3 || !samples)
        return 1;
    fill_noise(samples);
    if (run(argv[1], atoi(argv[2]), samples, &ms, &n_tokens))
        return 1;
    printf("%.1f %d\n", ms, n_tokens);
    free(samples);
    return 0;
}

/* wisp: Whisper speech recognition.  Audio in (file or PCM), timed text segments out.
 *
 * Objects: a `wisp_model` is immutable after opening and may be shared by any number of contexts in
 * any threads; a `wisp_ctx` holds one transcription's caches and its thread pool, and is used by one
 * thread at a time.  The library prints nothing, never exits or aborts, and has no mutable global
 * state; diagnostics come back in a `wisp_error` of the caller.  (libmpg123, by which libsndfile reads
 * MP3, writes notes about damaged files to standard error.)
 *
 * Errors: calls that can fail return 0 or a negative `enum wisp_code`, and fill `*err` (which may be
 * NULL) with a sentence that names the thing, the reason and the cure.  Out-pointers are set to NULL
 * on failure unless stated otherwise.  Destroy and close calls accept NULL and pointers to NULL, and
 * null the caller's pointer.
 *
 * Behaviour follows openai-whisper 20250625 (https://github.com/openai/whisper): same prompts, token
 * rules, fallback and timestamps.
 *
 * A whole program, without its error checks:
 *
 *     struct wisp_error err;
 *     struct wisp_model *model;
 *     struct wisp_ctx *ctx;
 *     struct wisp_result *result;
 *     wisp_model_open(&model, "ggml-base.bin", NULL, &err);
 *     wisp_ctx_create(&ctx, model, 0, &err);
 *     wisp_transcribe_file(ctx, "talk.mp3", NULL, NULL, &result, &err);
 *     puts(result->text);
 *     wisp_result_free(&result);
 *     wisp_ctx_destroy(&ctx);
 *     wisp_model_close(&model); */
#ifndef WISP_WISP_H
#define WISP_WISP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WISP_API __attribute__((visibility("default")))

/* ------------------------------------------------------------------ errors */

enum wisp_code {
    WISP_OK = 0,
    WISP_E_ARG = -1,         /* an argument or option is out of range, unknown or contradictory */
    WISP_E_NOMEM = -2,       /* an allocation failed */
    WISP_E_IO = -3,          /* a file, pipe or network operation failed */
    WISP_E_FORMAT = -4,      /* input bytes (audio, model, NPY) are not what they claim to be */
    WISP_E_UNSUPPORTED = -5, /* valid input that wisp cannot process, e.g. a tensor type */
    WISP_E_DEVICE = -6,      /* a device is missing, refused or failed */
    WISP_E_TIMEOUT = -7,     /* a device or network operation took too long */
    WISP_E_CANCELLED = -8,   /* the caller's abort callback asked to stop */
    WISP_E_INTERNAL = -9     /* a computation went wrong inside wisp, e.g. non-finite logits */
};

/* The first failure of a call: its code and one sentence without a final newline. */
struct wisp_error {
    int code; /* enum wisp_code */
    char text[1016];
};

/* A short constant name for a code ("bad argument"), never NULL.  Thread-safe. */
WISP_API const char *wisp_strerror(int code);

/* The library's version, "major.minor.patch", a constant string.  Thread-safe. */
WISP_API const char *wisp_version(void);

/* ------------------------------------------------------------------ models */

struct wisp_model;

struct wisp_model_params {
    /* Kernel level: "portable", "avx2", "avxvnni", "avx512", "avx512bf16".  NULL or "": the environment
     * variable WISP_CPU, and if that is unset or empty the best level that this CPU and OS support. */
    const char *cpu;
    /* How the decoder's steps read their weights: "f32" (exactly the file's values), "bf16" or "int8" (a
     * scale for 32 values; as q8_0).  NULL or "": the fastest whose transcripts are those of f32, which is
     * int8, and f32 at the portable level.  Error bounds are in docs/numerics.md. */
    const char *decoder_weights;
};

/* Fill with defaults (all NULL). */
WISP_API void wisp_model_params_init(struct wisp_model_params *params);

/* Open a model: a ggml `.bin` file or a Hugging Face folder (config.json + safetensors).  The file
 * stays memory-mapped until the model is closed; do not modify it meanwhile.  `params` may be NULL.
 * Errors: IO, FORMAT (names the broken field or tensor), UNSUPPORTED, ARG (unknown cpu or decoder
 * weights), NOMEM. */
WISP_API int wisp_model_open(struct wisp_model **out, const char *path,
                             const struct wisp_model_params *params, struct wisp_error *err);

/* Dimensions of a Whisper model, names as in openai-whisper's ModelDimensions. */
struct wisp_dims {
    int n_vocab, n_mels;
    int n_audio_ctx, n_audio_state, n_audio_head, n_audio_layer;
    int n_text_ctx, n_text_state, n_text_head, n_text_layer;
};

/* The published dimensions called `name` ("tiny", "tiny.en", "base", ... "large-v3", "turbo").
 * Returns false when there is no such size.  Thread-safe. */
WISP_API bool wisp_dims_named(const char *name, struct wisp_dims *out);

/* A model of random f16-valued weights in memory, for benchmarks: activations stay finite, of normal
 * size and free of denormals.  The same seed gives the same weights.  Errors: ARG, NOMEM. */
WISP_API int wisp_model_create_random(struct wisp_model **out, const struct wisp_dims *dims,
                                      uint64_t seed, const struct wisp_model_params *params,
                                      struct wisp_error *err);

/* Close a model.  All contexts made from it must have been destroyed. */
WISP_API void wisp_model_close(struct wisp_model **model);

/* What is inside a model; strings are borrowed from the model and live as long as it.  This call and
 * the next one are thread-safe. */
struct wisp_model_info {
    struct wisp_dims dims;
    const char *path;
    const char *container;     /* "ggml", "safetensors" or "memory" */
    const char *weight_type;   /* most frequent matrix type: "f32", "f16", "bf16", "q8_0", ... */
    const char *cpu_level;     /* kernel level in use */
    const char *decoder_weights; /* "f32", "bf16" or "int8" */
    /* What one decoder step reads: weights, keys and values of the audio; and for each token before it. */
    uint64_t decoder_step_bytes, decoder_position_bytes;
    bool multilingual;
    int n_languages;           /* languages in the token layout; 0 for English-only models */
    size_t n_tensors, n_params;
    uint64_t file_bytes;
    int n_vocab_stored;        /* vocabulary entries in the file, without special tokens */
};
WISP_API void wisp_model_get_info(const struct wisp_model *model, struct wisp_model_info *out);

/* One tensor of the model, in file order; false when `i` is past the last.  Strings are borrowed. */
struct wisp_tensor_info {
    const char *name, *type;
    int n_dims;
    int64_t dims[4]; /* outermost first, as PyTorch prints a shape */
    uint64_t bytes;
};
WISP_API bool wisp_model_get_tensor(const struct wisp_model *model, size_t i,
                                    struct wisp_tensor_info *out);

/* ------------------------------------------------------------------ the catalogue of published models */

/* An entry of the table of published models that `wisp_model_pull` knows. */
struct wisp_catalog_entry {
    const char *name;   /* "base.en", "large-v3-turbo-q5_0", ... */
    const char *digest; /* hex SHA-1 or SHA-256 as published */
    uint64_t bytes;     /* published size, 0 when not published */
    const char *url;
};

/* The i-th entry, NULL past the end.  Constant data, thread-safe. */
WISP_API const struct wisp_catalog_entry *wisp_catalog_get(size_t i);

/* The folder that pulled models live in: $WISP_MODELS, else $XDG_DATA_HOME/wisp/models, else
 * $HOME/.local/share/wisp/models.  Writes a NUL-terminated path.  Errors: ARG (does not fit, no HOME). */
WISP_API int wisp_models_dir(char *buf, size_t size, struct wisp_error *err);

/* Turn what a user gives as a model (a path, or a catalogue name that was pulled) into a path.
 * Errors: IO, whose text has the exact command that gets the model. */
WISP_API int wisp_model_find(char *buf, size_t size, const char *path_or_name,
                             struct wisp_error *err);

struct wisp_pull_params {
    const char *base_url;  /* instead of the entry's own server; NULL = as published */
    const char *dir;       /* folder to put the model in; NULL = wisp_models_dir() */
    /* Called now and then with bytes so far and in all (0 = unknown); non-zero cancels.  May be NULL. */
    int (*progress)(void *user, uint64_t done, uint64_t total);
    void *user;
};
WISP_API void wisp_pull_params_init(struct wisp_pull_params *params);

/* Download a catalogue model: resumes a partial download, honours the proxy environment variables,
 * checks the digest, and puts the file in place whole or not at all.  Writes the final path to
 * `path`.  Errors: ARG (unknown name, with the nearest one), IO, FORMAT (digest), CANCELLED (the
 * partial file is kept for the next call), UNSUPPORTED (built without download support). */
WISP_API int wisp_model_pull(char *path, size_t path_size, const char *name,
                             const struct wisp_pull_params *params, struct wisp_error *err);

/* ------------------------------------------------------------------ transcription */

struct wisp_ctx;

/* Create a context on a model with `n_threads` compute threads (0 = one per online CPU, at most 8).
 * The model must outlive it.  Errors: ARG, NOMEM. */
WISP_API int wisp_ctx_create(struct wisp_ctx **out, const struct wisp_model *model, int n_threads,
                             struct wisp_error *err);
WISP_API void wisp_ctx_destroy(struct wisp_ctx **ctx);

/* One piece of text.  Strings and arrays are borrowed from the result (or, in a callback, valid
 * until it returns). */
struct wisp_segment {
    int id;                   /* 0, 1, 2 ... over the whole file */
    int64_t seek;             /* mel frame (10 ms) at which the segment's window starts */
    double start, end;        /* seconds */
    const char *text;         /* UTF-8; invalid bytes replaced by U+FFFD; "" when emptied */
    const int *tokens;        /* with timestamp tokens, without end-of-text */
    size_t n_tokens;
    double temperature;
    double avg_logprob;       /* sum of log probabilities / (tokens + 1), of the window */
    double compression_ratio; /* UTF-8 bytes / zlib bytes, of the window's text */
    double no_speech_prob;
};

enum wisp_task { WISP_TRANSCRIBE = 0, WISP_TRANSLATE = 1 };

/* Everything that steers one transcription.  Strings are borrowed for the duration of the call. */
struct wisp_params {
    enum wisp_task task;
    const char *language;           /* code ("en") or name ("english"); NULL or "auto": detect;
                                     * English-only models take any and know English */
    bool detect_language_only;      /* stop after language detection: no segments */
    bool no_timestamps;             /* decode with the no-timestamps token */
    int beam_size;                  /* at temperature 0; 1 = greedy; default 5 */
    int best_of;                    /* samples at temperature > 0; default 5 */
    double patience;                /* beam search patience, default 1.0 (arXiv:2204.05424) */
    double length_penalty;          /* alpha of Google NMT's; negative = simple length norm (default) */
    double temperature;             /* first temperature, default 0 */
    double temperature_inc;         /* fallback step up to 1.0, default 0.2; 0 = no fallback */
    double compression_ratio_max;   /* default 2.4; NAN = off */
    double logprob_min;             /* default -1.0; NAN = off */
    double no_speech_max;           /* default 0.6; NAN = off */
    const char *initial_prompt;     /* text before the first window; NULL = none */
    bool carry_initial_prompt;      /* put it before every window */
    bool condition_on_previous;     /* previous text as prompt, default true */
    int max_context;                /* tokens of previous text, besides the initial prompt; -1 = as
                                       many as fit (n_text_ctx/2 - 1 with it); 0 = none */
    bool suppress_blank;            /* default true */
    bool suppress_non_speech;       /* suppress symbols that are not speech, default true */
    double max_initial_timestamp;   /* seconds, default 1.0; NAN = off */
    int sample_len;                 /* tokens per window; 0 = n_text_ctx/2 */
    double offset, duration;        /* seconds of the audio to work on; duration 0 = to the end */
    uint64_t seed;                  /* for sampling at temperature > 0 */

    /* Callbacks, each of which may be NULL.  They run in the thread that called wisp_transcribe_*, and
     * must not use the context.
     *
     * Called when a window is done, with its segments. */
    void (*on_segments)(void *user, const struct wisp_segment *segments, size_t n);
    /* Called with the position in the audio and its end, in seconds, before the first window and after
     * every one; before that, while the audio is read, with 0 and how much of it has been read. */
    void (*on_progress)(void *user, double done, double total);
    /* Polled for every second of audio that is read (ten times a second while a pipe is waited for),
     * every encoder layer and every decoder step; true stops the transcription with CANCELLED. */
    bool (*should_abort)(void *user);
    void *user; /* handed to the three callbacks */
};

/* Fill with the reference's command line defaults (beam 5, best of 5, fallback 0.0 ... 1.0). */
WISP_API void wisp_params_init(struct wisp_params *params);

struct wisp_timings { /* seconds of wall time, summed over windows; load is the model's */
    double load, audio_mel, encode, cross_kv, decode, total;
    int n_windows, n_decoder_steps, n_fallbacks;
};

struct wisp_result {
    struct wisp_segment *segments;
    size_t n_segments;
    char *text;                 /* all segment texts joined */
    const char *language;       /* code, constant string; NULL when stopped before it was known */
    double language_prob;       /* of the detection; 1 when it was given */
    double duration;            /* seconds of audio; 0 when stopped before all of it was read */
    const char *device_mel, *device_encoder, *device_decoder; /* "cpu (avx2)" ...; borrowed from the model */
    struct wisp_timings timings;
};

/* Transcribe 16 kHz mono f32 samples in [-1, 1], `n_samples` of them (may be 0).  `params` NULL: the
 * defaults.  On success and on CANCELLED `*out` is a result that the caller frees with
 * wisp_result_free (after CANCELLED it holds the windows that were finished).  The context can be used
 * again, whatever happened.  Errors: ARG, NOMEM, CANCELLED, FORMAT (a sample that is no number),
 * UNSUPPORTED (a model whose windows are not 30 s), INTERNAL (names the layer). */
WISP_API int wisp_transcribe_pcm(struct wisp_ctx *ctx, const float *samples, size_t n_samples,
                                 const struct wisp_params *params, struct wisp_result **out,
                                 struct wisp_error *err);

/* How to read a file. */
struct wisp_audio_params {
    bool raw;       /* headerless little-endian samples */
    int raw_rate;   /* Hz, default 16000 */
    int raw_channels; /* default 1, interleaved */
    const char *raw_format; /* "s16" (default), "f32" */
};
WISP_API void wisp_audio_params_init(struct wisp_audio_params *params);

/* Transcribe an audio file, "-" = standard input.  The file may have any rate, sample format and number
 * of channels, which are averaged; what libsndfile cannot read goes through an installed ffmpeg, a child
 * process; a pipe is first copied to a temporary file; headerless data is refused unless `audio` says
 * what it is.  `audio` may be NULL.  Otherwise as wisp_transcribe_pcm, with IO, FORMAT (also when the
 * file breaks off) and UNSUPPORTED for the file. */
WISP_API int wisp_transcribe_file(struct wisp_ctx *ctx, const char *path,
                                  const struct wisp_audio_params *audio,
                                  const struct wisp_params *params, struct wisp_result **out,
                                  struct wisp_error *err);

/* Free a result with all its segments and texts. */
WISP_API void wisp_result_free(struct wisp_result **result);

/* ------------------------------------------------------------------ stages */

/* The log-mel spectrogram of the first 30 s of a file, padded with silence, as the encoder takes it:
 * writes f32 [n_mels, 3000] to `mel` (n_mels of the model).  Errors as wisp_transcribe_file. */
WISP_API int wisp_stage_mel_file(struct wisp_ctx *ctx, const char *path,
                                 const struct wisp_audio_params *audio, float *mel,
                                 struct wisp_error *err);
/* The same from 16 kHz samples. */
WISP_API int wisp_stage_mel_pcm(struct wisp_ctx *ctx, const float *samples, size_t n_samples,
                                float *mel, struct wisp_error *err);

/* Encoder: f32 mel [n_mels, 2 * n_audio_ctx] -> context; copied to `features` [n_audio_ctx,
 * n_audio_state] unless that is NULL.  Errors: CANCELLED, INTERNAL (non-finite, names the layer). */
WISP_API int wisp_stage_encode(struct wisp_ctx *ctx, const float *mel, float *features,
                               struct wisp_error *err);

/* Operations a second (a multiplication and an addition are two) that the kernels' multiply-add does on
 * registers alone, with all of the context's threads: the best of some short runs. */
WISP_API double wisp_stage_peak(struct wisp_ctx *ctx);

/* Cross-attention keys and values of the decoder from the last encoder output.  NOMEM. */
WISP_API int wisp_stage_cross_kv(struct wisp_ctx *ctx, struct wisp_error *err);

/* Start a new token sequence: the whole decoder input so far, `n` in 1..n_text_ctx.  Writes raw logits
 * f32 [n, n_vocab] of every position to `logits`, or of the last one only [1, n_vocab] when
 * `last_only`.  Errors: ARG, INTERNAL. */
WISP_API int wisp_stage_decode(struct wisp_ctx *ctx, const int *tokens, size_t n, bool last_only,
                               float *logits, struct wisp_error *err);

/* One decoder step for `n_seqs` sequences in one batch: sequence i continues former sequence
 * `parents[i]` with `tokens[i]`; writes f32 [n_seqs, n_vocab].  After wisp_stage_decode there is one
 * former sequence, 0.  At most 16.  Errors: ARG (context full, bad parent), INTERNAL. */
WISP_API int wisp_stage_step(struct wisp_ctx *ctx, const int *tokens, const int *parents,
                             size_t n_seqs, float *logits, struct wisp_error *err);

/* ------------------------------------------------------------------ what this machine has */

/* CPU features and kernels, for `wisp doctor`.  Each call returns false past the last row. */
struct wisp_cpu_feature {
    const char *name; /* "AVX2", "AVX-512 BF16", ... */
    bool present;     /* CPU has it and the OS saves its registers */
};
WISP_API bool wisp_cpu_feature_get(size_t i, struct wisp_cpu_feature *out);

struct wisp_kernel_row {
    const char *kernel; /* "gemm", "attention", ... */
    const char *level;  /* level whose code runs when `level` of the call is chosen */
};
/* Row i of the kernel table that `cpu` (as in wisp_model_params) selects; `*err` and false when the
 * level is unknown or unavailable (err->code is then ARG; 0 when past the last row). */
WISP_API bool wisp_cpu_kernel_get(const char *cpu, size_t i, struct wisp_kernel_row *out,
                                  struct wisp_error *err);

/* The level that `cpu` selects: its constant name in `*level`.  Errors: ARG. */
WISP_API int wisp_cpu_level(const char *cpu, const char **level, struct wisp_error *err);

/* Language table: code and English name of the i-th language of the multilingual layout, false past
 * the last.  Thread-safe. */
WISP_API bool wisp_language_get(size_t i, const char **code, const char **name);

/* The code of a language given by code, English name or other name ("castilian"), in any case; NULL
 * when there is none such.  Thread-safe. */
WISP_API const char *wisp_language_find(const char *code_or_name);

#ifdef __cplusplus
}
#endif
#endif

/* Samples out of files: every container and sample format, channels, rates, pipes. */
#include "suite.h"

#include <math.h>
#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "sound.h"

static char folder[] = "/tmp/wisp-test-audio-XXXXXX";
static char path[sizeof folder + 64];

static const char *in_folder(const char *name) {
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* n frames of tones at `rate`, the same in each channel. */
static float *make_tones(size_t n, int rate, int channels) {
    float *x = malloc((n + 1) * (size_t)channels * sizeof *x);
    for (size_t i = 0; i < n * (size_t)channels; i++)
        x[i] = (float)tones((double)(i / (size_t)channels) / rate);
    return x;
}

static struct sound read_well(const char *name, const struct wisp_audio_params *params,
                              size_t piece) {
    struct sound s = sound_read(name, params, piece);
    if (s.rc != WISP_OK)
        fail_msg("%s: %s", name, s.err.text);
    return s;
}

/* Power of the tones over power of the difference to them, dB, without `edge` samples at both ends.
 */
static double signal_to_noise(const float *x, size_t n, size_t edge) {
    double signal = 0, noise = 0;
    for (size_t i = edge; i + edge < n; i++) {
        double t = tones((double)i / 16000);
        signal += t * t;
        noise += (x[i] - t) * (x[i] - t);
    }
    return 10 * log10(signal / noise);
}

/* ---------------------------------------------------------------- formats */

static const struct {
    const char *name;
    int format;
    double snr;  /* dB, at least */
    size_t more; /* samples that the file may be longer by: block codecs fill the last block up */
} formats[] = {
    {"u8.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_U8, 30, 0},
    {"s16.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16, 80, 0},
    {"s24.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_24, 125, 0},
    {"s32.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_32, 135, 0},
    {"f32.wav", SF_FORMAT_WAV | SF_FORMAT_FLOAT, 135, 0},
    {"f64.wav", SF_FORMAT_WAV | SF_FORMAT_DOUBLE, 135, 0},
    {"ulaw.wav", SF_FORMAT_WAV | SF_FORMAT_ULAW, 30, 0},
    {"alaw.wav", SF_FORMAT_WAV | SF_FORMAT_ALAW, 30, 0},
    {"ima.wav", SF_FORMAT_WAV | SF_FORMAT_IMA_ADPCM, 15, 2000},
    {"ms.wav", SF_FORMAT_WAV | SF_FORMAT_MS_ADPCM, 15, 2000},
    {"gsm.wav", SF_FORMAT_WAV | SF_FORMAT_GSM610, 3, 400},
    {"s24.wavex", SF_FORMAT_WAVEX | SF_FORMAT_PCM_24, 125, 0},
    {"s16.rf64", SF_FORMAT_RF64 | SF_FORMAT_PCM_16, 80, 0},
    {"s16.rifx", SF_FORMAT_WAV | SF_FORMAT_PCM_16 | SF_ENDIAN_BIG, 80, 0},
    {"s16.w64", SF_FORMAT_W64 | SF_FORMAT_PCM_16, 80, 0},
    {"s16.aiff", SF_FORMAT_AIFF | SF_FORMAT_PCM_16, 80, 0},
    {"s24.aiff", SF_FORMAT_AIFF | SF_FORMAT_PCM_24, 125, 0},
    {"f32.aiff", SF_FORMAT_AIFF | SF_FORMAT_FLOAT, 135, 0},
    {"s16.au", SF_FORMAT_AU | SF_FORMAT_PCM_16, 80, 0},
    {"s24.caf", SF_FORMAT_CAF | SF_FORMAT_PCM_24, 125, 0},
    {"alac.caf", SF_FORMAT_CAF | SF_FORMAT_ALAC_16, 80, 0},
    {"s16.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 80, 0},
    {"s24.flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_24, 125, 0},
    {"vorbis.ogg", SF_FORMAT_OGG | SF_FORMAT_VORBIS, 15, 0},
    {"opus.ogg", SF_FORMAT_OGG | SF_FORMAT_OPUS, 15, 0},
    {"layer3.mp3", SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, 15, 0},
};
enum {
    N_FORMATS = sizeof formats / sizeof *formats,
    N_TONES = 40007 /* no whole number of blocks */
};

static void every_format_comes_back(void **state) {
    (void)state;
    float *x = make_tones(N_TONES, 16000, 1);
    int n_lossless = 0;
    for (int i = 0; i < N_FORMATS; i++) {
        if (!sound_write(in_folder(formats[i].name), formats[i].format, 16000, 1, x, N_TONES)) {
            print_message("%s: this libsndfile does not write it\n", formats[i].name);
            continue;
        }
        n_lossless += formats[i].snr >= 80;
        struct sound s = read_well(path, NULL, 700);
        double snr = signal_to_noise(s.samples, N_TONES, 500);
        if (s.n < N_TONES || s.n > N_TONES + formats[i].more || snr < formats[i].snr)
            fail_msg("%s: %zu samples, %.1f dB", formats[i].name, s.n, snr);
        if (s.hint != 0 && s.hint != s.n)
            fail_msg("%s: %zu samples, but the hint is %zu", formats[i].name, s.n, (size_t)s.hint);
        sound_free(&s);
    }
    assert_true(n_lossless >= 12);
    free(x);
}

static void sixteen_bits_are_exact(void **state) {
    (void)state;
    static float x[65536];
    for (int i = 0; i < 65536; i++)
        x[i] = (float)(i - 32768) / 32768;
    assert_true(
        sound_write(in_folder("all.wav"), SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 1, x, 65536));
    struct sound s = read_well(path, NULL, 0);
    assert_int_equal(s.n, 65536);
    assert_memory_equal(s.samples, x, sizeof x);
    sound_free(&s);
}

static void no_samples_are_no_error(void **state) {
    (void)state;
    static const int empty[] = {SF_FORMAT_WAV | SF_FORMAT_PCM_16, SF_FORMAT_AIFF | SF_FORMAT_PCM_16,
                                SF_FORMAT_WAV | SF_FORMAT_FLOAT};
    float none = 0;
    for (size_t i = 0; i < sizeof empty / sizeof *empty; i++)
        for (int rate = 16000; rate <= 48000; rate += 32000) {
            assert_true(sound_write(in_folder("none"), empty[i], rate, 1, &none, 0));
            struct sound s = read_well(path, NULL, 0);
            assert_int_equal(s.n, 0);
            sound_free(&s);
            assert_true(sound_write(in_folder("one"), empty[i], rate, 1, &none, 1));
            s = read_well(path, NULL, 0);
            assert_true(s.n <= 1 && (rate != 16000 || s.n == 1));
            sound_free(&s);
        }
}

static void channels_are_averaged(void **state) {
    (void)state;
    enum { N = 9001 };
    static const int numbers[] = {1, 2, 3, 6, 16};
    for (size_t c = 0; c < sizeof numbers / sizeof *numbers; c++) {
        int channels = numbers[c];
        float *x = malloc((size_t)N * (size_t)channels * sizeof *x), mean[N];
        for (int i = 0; i < N; i++) {
            double sum = 0;
            for (int k = 0; k < channels; k++)
                sum += x[i * channels + k] = (float)(0.9 * sin(i * 0.01 * (k + 1) + k));
            mean[i] = (float)(sum / channels);
        }
        assert_true(sound_write(in_folder("channels.wav"), SF_FORMAT_WAV | SF_FORMAT_FLOAT, 16000,
                                channels, x, N));
        struct sound s = read_well(path, NULL, 0);
        assert_int_equal(s.n, N);
        for (int i = 0; i < N; i++)
            assert_true(fabsf(s.samples[i] - mean[i]) <= 1e-6f);
        sound_free(&s);
        free(x);
    }
}

static void loud_samples_are_clipped(void **state) {
    (void)state;
    const float x[] = {0.5f, 1.0f, 1.5f, -7.0f, -1.0f, 0.0f}, expected[] = {0.5f, 1, 1, -1, -1, 0};
    assert_true(
        sound_write(in_folder("loud.wav"), SF_FORMAT_WAV | SF_FORMAT_FLOAT, 16000, 1, x, 6));
    struct sound s = read_well(path, NULL, 0);
    assert_int_equal(s.n, 6);
    assert_memory_equal(s.samples, expected, sizeof expected);
    sound_free(&s);
}

/* ---------------------------------------------------------------- rates */

static void tones_keep_frequency_phase_and_level(void **state) {
    (void)state;
    static const int rates[] = {8000,  11025, 12000, 15999, 16001,  22050, 32000,
                                44100, 48000, 88200, 96000, 192000, 768000};
    for (size_t r = 0; r < sizeof rates / sizeof *rates; r++) {
        size_t n = (size_t)rates[r] * 3 + 17;
        float *x = make_tones(n, rates[r], 1);
        assert_true(
            sound_write(in_folder("rate.wav"), SF_FORMAT_WAV | SF_FORMAT_FLOAT, rates[r], 1, x, n));
        struct sound s = read_well(path, NULL, 5000);
        double length = (double)n * 16000 / rates[r], snr = signal_to_noise(s.samples, s.n, 4000);
        if (fabs((double)s.n - length) > 1 || fabs((double)s.hint - length) > 1 || snr < 120)
            fail_msg("%d Hz: %zu samples for %.1f (hint %zu), %.1f dB", rates[r], s.n, length,
                     (size_t)s.hint, snr);
        sound_free(&s);
        free(x);
    }
}

/* The largest sample of what a faded-in and -out tone of `hz` at `rate` becomes. */
static double level_after(double hz, int rate) {
    size_t n = (size_t)rate * 2;
    float *x = malloc(n * sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(sin(2 * M_PI * hz * (double)i / rate) *
                       pow(sin(M_PI * (double)i / (double)n), 2));
    assert_true(sound_write(in_folder("high.wav"), SF_FORMAT_WAV | SF_FORMAT_FLOAT, rate, 1, x, n));
    struct sound s = read_well(path, NULL, 0);
    double most = 0;
    for (size_t i = 0; i < s.n; i++)
        most = fmax(most, fabsf(s.samples[i]));
    sound_free(&s);
    free(x);
    return most;
}

static void what_is_above_8_khz_is_gone(void **state) {
    (void)state;
    static const struct {
        double hz;
        int rate;
    } tone[] = {{8100, 22050},  {8200, 44100},  {9000, 44100},  {15000, 44100}, {21000, 44100},
                {12000, 48000}, {16100, 48000}, {23000, 48000}, {40000, 96000}, {300000, 768000}};
    for (size_t i = 0; i < sizeof tone / sizeof *tone; i++) {
        double level = 20 * log10(level_after(tone[i].hz, tone[i].rate) + 1e-12);
        if (level > -80)
            fail_msg("%g Hz at %d Hz is left with %.1f dB", tone[i].hz, tone[i].rate, level);
    }
    assert_true(level_after(7000, 44100) > 0.98); /* what is below stays */
}

static void pieces_make_no_difference(void **state) {
    (void)state;
    static const int rates[] = {16000, 44100, 8000};
    for (size_t r = 0; r < 3; r++) {
        float *x = make_tones(100003, rates[r], 2);
        assert_true(sound_write(in_folder("pieces.flac"), SF_FORMAT_FLAC | SF_FORMAT_PCM_16,
                                rates[r], 2, x, 100003));
        struct sound whole = read_well(path, NULL, 0);
        for (size_t piece = 1; piece < 100000; piece = piece * 17 + 3) {
            struct sound s = read_well(path, NULL, piece);
            assert_int_equal(s.n, whole.n);
            assert_memory_equal(s.samples, whole.samples, s.n * sizeof *s.samples);
            sound_free(&s);
        }
        sound_free(&whole);
        free(x);
    }
}

/* ---------------------------------------------------------------- pipes */

static void containers_come_through_pipes(void **state) {
    (void)state;
    float *x = make_tones(N_TONES, 16000, 1);
    static const int piped[] = {1, 4, 15, 21, 23, 24, 25}; /* indices into formats */
    for (size_t i = 0; i < sizeof piped / sizeof *piped; i++) {
        if (!sound_write(in_folder("piped"), formats[piped[i]].format, 16000, 1, x, N_TONES))
            continue;
        size_t n;
        uint8_t *bytes = bytes_read(path, &n);
        struct sound file = read_well(path, NULL, 0);
        struct piped p = stdin_from(bytes, n);
        struct sound s = read_well("-", NULL, 999);
        stdin_restore(&p);
        assert_int_equal(s.n, file.n);
        assert_memory_equal(s.samples, file.samples, s.n * sizeof *s.samples);
        sound_free(&s);
        sound_free(&file);
        free(bytes);
    }
    free(x);
}

static void put32(uint8_t *p, uint32_t x) {
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(x >> 8 * i);
}

/* What ffmpeg, sox, arecord and others leave in the header when they cannot go back to it. */
static void streamed_wav_headers_last_to_the_end(void **state) {
    (void)state;
    static const uint32_t sizes[] = {0,          0xffffffff, 0xffffffff - 36, 0x7ffff000,
                                     0x7fffffff, 0x80000000, 0x7fff0000};
    float *x = make_tones(N_TONES, 16000, 1);
    size_t n;
    assert_true(sound_write(in_folder("sized.wav"), SF_FORMAT_WAV | SF_FORMAT_PCM_16, 16000, 1, x,
                            N_TONES));
    struct sound whole = read_well(path, NULL, 0);
    uint8_t *bytes = bytes_read(path, &n);
    assert_int_equal(n, 44 + 2 * N_TONES);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int riff = 0; riff < 3; riff++) {
            put32(bytes + 4, riff == 0 ? 0 : riff == 1 ? sizes[i] : 0xffffffff);
            put32(bytes + 40, sizes[i]);
            bytes_write(path, bytes, n);
            struct sound file = read_well(path, NULL, 0);
            struct piped p = stdin_from(bytes, n);
            struct sound pipe = read_well("-", NULL, 0);
            stdin_restore(&p);
            if (file.n != whole.n || pipe.n != whole.n)
                fail_msg("size %#x: %zu and %zu samples", (unsigned)sizes[i], file.n, pipe.n);
            assert_memory_equal(file.samples, whole.samples, whole.n * sizeof *x);
            assert_memory_equal(pipe.samples, whole.samples, whole.n * sizeof *x);
            sound_free(&file);
            sound_free(&pipe);
        }
    sound_free(&whole);
    free(bytes);
    free(x);
}

static void standard_input_may_be_a_file(void **state) {
    (void)state;
    float *x = make_tones(5000, 16000, 1);
    assert_true(
        sound_write(in_folder("in.wav"), SF_FORMAT_WAV | SF_FORMAT_FLOAT, 16000, 1, x, 5000));
    int saved = dup(STDIN_FILENO);
    assert_non_null(freopen(path, "rb", stdin));
    struct sound s = read_well("-", NULL, 0);
    dup2(saved, STDIN_FILENO);
    close(saved);
    assert_int_equal(s.n, 5000);
    assert_memory_equal(s.samples, x, 5000 * sizeof *x);
    sound_free(&s);
    free(x);
}

static void raw_samples(void **state) {
    (void)state;
    enum { N = 20001 };
    static int16_t s16[N * 2];
    static float f32[N * 2];
    for (int i = 0; i < N * 2; i++) {
        s16[i] = (int16_t)(i * 7919);
        f32[i] = (float)s16[i] / 32768;
    }
    for (int variant = 0; variant < 8; variant++) {
        int channels = 1 + (variant & 1);
        bool is_float = variant & 2, piped = variant & 4;
        struct wisp_audio_params params = {true, 16000, channels,
                                           is_float      ? "f32"
                                           : variant & 4 ? "s16"
                                                         : NULL};
        const void *bytes = is_float ? (const void *)f32 : s16;
        size_t size = (size_t)N * (size_t)channels * (is_float ? 4 : 2);
        bytes_write(in_folder("raw"), bytes, size);
        struct piped p = {0};
        if (piped)
            p = stdin_from(bytes, size);
        struct sound s = read_well(piped ? "-" : path, &params, 777);
        if (piped)
            stdin_restore(&p);
        assert_int_equal(s.n, N);
        assert_int_equal(s.hint, piped ? 0 : N);
        for (int i = 0; i < N; i++)
            assert_true(s.samples[i] ==
                        (channels == 1 ? f32[i] : (f32[2 * i] + f32[2 * i + 1]) / 2));
        sound_free(&s);
    }
    struct wisp_audio_params slow = {true, 8000, 1, "s16"};
    bytes_write(in_folder("raw"), s16, 8000 * 2);
    struct sound s = read_well(path, &slow, 0);
    assert_int_equal(s.n, 16000);
    sound_free(&s);
}

/* Ten minutes of stereo at 44.1 kHz, as a sparse file of zeros: 101 MB, and 37 MB at 16 kHz. */
static void long_files_are_not_held_in_memory(void **state) {
    (void)state;
    enum { N = 44100 * 60 * 10 };
    struct rusage before, after;
    struct wisp_audio_params params = {true, 44100, 2, "s16"};
    struct wi_audio *audio;
    struct wisp_error err = {0};
    float samples[4096];
    size_t total = 0, got;
    bytes_write(in_folder("long"), "", 0);
    assert_int_equal(truncate(path, (off_t)N * 4), 0);
    getrusage(RUSAGE_SELF, &before);
    assert_int_equal(wi_audio_open(&audio, path, &params, NULL, &err), WISP_OK);
    do {
        assert_int_equal(wi_audio_read(audio, samples, 4096, &got, &err), WISP_OK);
        total += got;
    } while (got > 0);
    wi_audio_close(&audio);
    getrusage(RUSAGE_SELF, &after);
    assert_int_equal(total, 16000 * 60 * 10);
    print_message("%zu samples, %ld KiB more memory\n", total, after.ru_maxrss - before.ru_maxrss);
    assert_true(after.ru_maxrss - before.ru_maxrss < 8192);
    unlink(path);
}

static int start(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int end(void **state) {
    (void)state;
    char command[sizeof folder + 16];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static int no_descriptor_stays_open(void **state) {
    (void)state;
    static int at_first = -1;
    int now = count_descriptors();
    if (at_first < 0)
        at_first = now;
    return now == at_first ? 0 : -1;
}

#define TEST(f) cmocka_unit_test_teardown(f, no_descriptor_stays_open)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(long_files_are_not_held_in_memory), /* first: the peak of memory only ever grows */
        TEST(every_format_comes_back),           TEST(sixteen_bits_are_exact),
        TEST(no_samples_are_no_error),           TEST(channels_are_averaged),
        TEST(loud_samples_are_clipped),          TEST(tones_keep_frequency_phase_and_level),
        TEST(what_is_above_8_khz_is_gone),       TEST(pieces_make_no_difference),
        TEST(containers_come_through_pipes),     TEST(streamed_wav_headers_last_to_the_end),
        TEST(standard_input_may_be_a_file),      TEST(raw_samples),

    };
    no_descriptor_stays_open(NULL);
    return cmocka_run_group_tests(tests, start, end);
}

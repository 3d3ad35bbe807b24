#include "suite.h"

#include <complex.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "npy.h"

#include "mel/mel.h"

enum { RATE = 16000 };

static float *noisy_chirp(size_t n) {
    float *x = malloc((n + 1) * sizeof *x);
    uint32_t seed = 1;
    for (size_t i = 0; i < n; i++) {
        double t = (double)i / RATE;
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(0.4 * sin(6.283185307 * (200 + 900 * t) * t) * (sin(3 * t) > 0) +
                       1e-3 * ((double)seed / 4294967296.0 - 0.5));
    }
    return x;
}

static void build(const float *x, size_t n, size_t silence, int n_mels, unsigned chunk, struct wi_mel *mel) {
    struct wi_mel_builder *b;
    struct wisp_error err = {0};
    assert_int_equal(wi_mel_builder_create(&b, n_mels, &err), 0);
    for (size_t at = 0; at < n;) {
        size_t take = chunk ? 1 + (at * 7919 + chunk) % chunk : n;
        take = at + take > n ? n - at : take;
        assert_int_equal(wi_mel_builder_feed(b, x + at, take, &err), 0);
        at += take;
    }
    assert_int_equal(wi_mel_builder_finish(b, silence, mel, &err), 0);
    wi_mel_builder_destroy(&b);
}

/* Sample i of the signal with its ends mirrored, as numpy.pad(mode="reflect"). */
static double reflected(const float *x, size_t n, size_t total, long i) {
    if (i < 0)
        i = -i;
    if (i >= (long)total)
        i = 2 * ((long)total - 1) - i;
    return i < (long)n ? x[i] : 0;
}

/* log10 mel power of one frame by its definition, in f64. */
static void frame_f64(const float *x, size_t n, size_t total, long frame, int n_mels, const float *filters,
                      double *out) {
    double power[WI_MEL_BINS];
    for (int k = 0; k < WI_MEL_BINS; k++) {
        double complex sum = 0;
        for (int i = 0; i < WI_MEL_FFT; i++) {
            double w = 0.5 - 0.5 * cos(2 * M_PI * i / WI_MEL_FFT);
            sum += w * reflected(x, n, total, frame * WI_MEL_HOP - 200 + i) *
                   cexp(-2 * M_PI * I * k * i / WI_MEL_FFT);
        }
        power[k] = creal(sum) * creal(sum) + cimag(sum) * cimag(sum);
    }
    for (int m = 0; m < n_mels; m++) {
        double e = 0;
        for (int k = 0; k < WI_MEL_BINS; k++)
            e += filters[m * WI_MEL_BINS + k] * power[k];
        out[m] = log10(fmax(e, 1e-10));
    }
}

static void matches_the_definition(void **state) {
    (void)state;
    static const struct {
        size_t n, silence;
        int n_mels;
    } cases[] = {{16000, 16000, 80}, {8123, 4800, 128}, {0, 480, 80}, {100, 480, 80}, {4800, 0, 80}, {200, 1, 80},
                 {201, 0, 80}, {1, 320, 128}, {479, 1, 80}, {3200, 160, 80}, {3359, 4801, 128}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        size_t n = cases[c].n, total = n + cases[c].silence, frames = total / WI_MEL_HOP;
        int n_mels = cases[c].n_mels;
        float *x = noisy_chirp(n), *filters = malloc((size_t)n_mels * WI_MEL_BINS * 4);
        struct wi_mel mel;
        build(x, n, cases[c].silence, n_mels, 0, &mel);
        wi_mel_filterbank(n_mels, filters);
        assert_int_equal(mel.n_total, frames);
        assert_int_equal(mel.n_frames, n / WI_MEL_HOP);
        double *ref = malloc(frames * (size_t)n_mels * sizeof *ref), max = -INFINITY;
        for (size_t f = 0; f < frames; f++)
            frame_f64(x, n, total, (long)f, n_mels, filters, ref + f * (size_t)n_mels);
        for (size_t i = 0; i < frames * (size_t)n_mels; i++)
            max = fmax(max, ref[i]);
        double worst = 0;
        for (size_t i = 0; i < frames * (size_t)n_mels; i++)
            worst = fmax(worst, fabs(mel.data[i] - (fmax(ref[i], max - 8) + 4) / 4));
        print_message("%zu samples: max difference %.2e\n", n, worst);
        assert_true(worst <= 5e-5);
        wi_mel_fini(&mel);
        free(x);
        free(filters);
        free(ref);
    }
}

static void pieces_make_no_difference(void **state) {
    (void)state;
    size_t n = 50001;
    float *x = noisy_chirp(n);
    struct wi_mel whole, pieces;
    build(x, n, 480000, 80, 0, &whole);
    for (unsigned chunk = 1; chunk < 5000; chunk = chunk * 7 + 3) {
        build(x, n, 480000, 80, chunk, &pieces);
        assert_int_equal(pieces.n_total, whole.n_total);
        assert_memory_equal(pieces.data, whole.data, whole.n_total * 80 * 4);
        wi_mel_fini(&pieces);
    }
    wi_mel_fini(&whole);
    free(x);
}

/* Recorded facts: entries of openai-whisper's assets/mel_filters.npz (librosa.filters.mel). */
static void filterbank_is_librosas(void **state) {
    (void)state;
    static const struct {
        int n_mels, band, bin;
        float value;
    } facts[] = {
#include "mel_facts.inc"
    };
    static float filters[128 * WI_MEL_BINS];
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        wi_mel_filterbank(facts[i].n_mels, filters);
        float got = filters[facts[i].band * WI_MEL_BINS + facts[i].bin];
        assert_true(fabsf(got - facts[i].value) <= 2e-7f * facts[i].value);
    }
}

/* Slaney's triangles by their properties: each begins where the one before it peaks, has the area 1 over
 * hertz, and the scale is linear below 1 kHz and logarithmic above. */
static void filterbank_is_made_of_triangles(void **state) {
    (void)state;
    static const int sizes[] = {40, 80, 128};
    for (int s = 0; s < 3; s++) {
        int n_mels = sizes[s];
        float *filters = malloc((size_t)n_mels * WI_MEL_BINS * sizeof *filters);
        double top = 15 + 27 * log(8.0) / log(6.4), edge[130];
        for (int i = 0; i < n_mels + 2; i++) {
            double m = top * i / (n_mels + 1);
            edge[i] = m < 15 ? m * 200 / 3 : 1000 * pow(6.4, (m - 15) / 27);
        }
        wi_mel_filterbank(n_mels, filters);
        for (int i = 0; i < n_mels; i++)
            for (int k = 0; k < WI_MEL_BINS; k++) {
                double hz = 40.0 * k, w = 0;
                if (hz > edge[i] && hz <= edge[i + 1])
                    w = (hz - edge[i]) / (edge[i + 1] - edge[i]);
                else if (hz > edge[i + 1] && hz < edge[i + 2])
                    w = (edge[i + 2] - hz) / (edge[i + 2] - edge[i + 1]);
                w *= 2 / (edge[i + 2] - edge[i]);
                assert_true(fabs(filters[i * WI_MEL_BINS + k] - w) <= 1e-7 * w + 1e-15);
            }
        free(filters);
    }
}

static void windows_are_slices_filled_with_zero(void **state) {
    (void)state;
    float *x = noisy_chirp(32000), *window = malloc(80 * 3000 * 4);
    struct wi_mel mel;
    build(x, 32000, 480000, 80, 0, &mel);
    wi_mel_window(&mel, 37, 101, window);
    for (int c = 0; c < 80; c++)
        for (int t = 0; t < 3000; t++)
            assert_true(window[c * 3000 + t] == (t < 101 ? mel.data[(size_t)(37 + t) * 80 + c] : 0));
    wi_mel_fini(&mel);
    free(x);
    free(window);
}

WISP_SUITE(cmocka_unit_test(matches_the_definition), cmocka_unit_test(pieces_make_no_difference),
           cmocka_unit_test(filterbank_is_librosas), cmocka_unit_test(filterbank_is_made_of_triangles),
           cmocka_unit_test(windows_are_slices_filled_with_zero))

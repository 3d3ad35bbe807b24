#include "mel/mel.h"

#include <assert.h>
#include <kissfft/kiss_fftr.h>
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

enum {
    HALF = WI_MEL_FFT / 2, /* the reflected padding at both ends, samples */
    BLOCK_FRAMES = 3000,   /* the spectrogram grows by so many frames at least */
};

/* One band's triangle: bins first..first+n-1 of the spectrum. */
struct band {
    int first, n;
    const float *weights;
};

struct wi_mel_builder {
    int n_mels;
    float *weights;     /* [n_mels, WI_MEL_BINS]: the filterbank that bands point into */
    struct band *bands; /* [n_mels] */
    float window[WI_MEL_FFT];
    kiss_fftr_cfg fft;
    /* Samples not yet behind every frame that needs them.  The first frame's window is centred on
     * sample 0, so that the stream starts with HALF reflected samples. */
    float pending[WI_MEL_FFT + WI_MEL_HOP];
    size_t n_pending;
    float head[HALF + 1]; /* the first samples, until there are enough to reflect */
    size_t n_samples;     /* fed so far, silence included */
    float *data;          /* [n_frames, n_mels]: log10 of mel power, before clamping */
    size_t n_frames, capacity;
    float max;
};

/* Slaney's mel scale (Auditory Toolbox, 1998): linear below 1 kHz, logarithmic above. */
static double hz_to_mel(double hz) {
    return hz < 1000 ? 3 * hz / 200 : 15 + 27 * log(hz / 1000) / log(6.4);
}

static double mel_to_hz(double mel) {
    return mel < 15 ? 200 * mel / 3 : 1000 * exp(log(6.4) / 27 * (mel - 15));
}

void wi_mel_filterbank(int n_mels, float *out) {
    double step = hz_to_mel(8000) / (n_mels + 1), bin_hz = 16000.0 / WI_MEL_FFT;
    for (int i = 0; i < n_mels; i++) {
        double lo = mel_to_hz(i * step), mid = mel_to_hz((i + 1) * step), hi = mel_to_hz((i + 2) * step);
        for (int k = 0; k < WI_MEL_BINS; k++) {
            double hz = k * bin_hz;
            double rise = (hz - lo) / (mid - lo), fall = (hi - hz) / (hi - mid);
            double w = rise < fall ? rise : fall;
            /* 2 / (hi - lo): every triangle has the same area */
            out[i * WI_MEL_BINS + k] = w > 0 ? (float)(w * 2 / (hi - lo)) : 0;
        }
    }
}

static void find_bands(struct wi_mel_builder *b) {
    for (int i = 0; i < b->n_mels; i++) {
        const float *w = b->weights + i * WI_MEL_BINS;
        struct band *band = &b->bands[i];
        int last = WI_MEL_BINS - 1;
        band->first = 0;
        while (band->first < WI_MEL_BINS - 1 && w[band->first] == 0)
            band->first++;
        while (last > band->first && w[last] == 0)
            last--;
        band->n = last - band->first + 1;
        band->weights = w + band->first;
    }
}

int wi_mel_builder_create(struct wi_mel_builder **out, int n_mels, struct wisp_error *err) {
    *out = NULL;
    struct wi_mel_builder *b = wi_calloc(1, sizeof *b);
    if (!b)
        return wi_err_nomem(err, "the mel stage");
    b->n_mels = n_mels;
    b->max = -INFINITY;
    b->weights = wi_malloc((size_t)n_mels * WI_MEL_BINS, sizeof *b->weights);
    b->bands = wi_malloc((size_t)n_mels, sizeof *b->bands);
    size_t fft_bytes = 0;
    kiss_fftr_alloc(WI_MEL_FFT, 0, NULL, &fft_bytes);
    void *fft = wi_malloc(fft_bytes, 1);
    if (fft)
        b->fft = kiss_fftr_alloc(WI_MEL_FFT, 0, fft, &fft_bytes);
    if (!b->weights || !b->bands || !b->fft) {
        wi_mel_builder_destroy(&b);
        return wi_err_nomem(err, "the mel stage");
    }
    wi_mel_filterbank(n_mels, b->weights);
    find_bands(b);
    for (int i = 0; i < WI_MEL_FFT; i++) /* Hann, periodic */
        b->window[i] = (float)(0.5 - 0.5 * cos(2 * 3.14159265358979323846 * i / WI_MEL_FFT));
    *out = b;
    return WISP_OK;
}

void wi_mel_builder_destroy(struct wi_mel_builder **out) {
    struct wi_mel_builder *b = *out;
    if (!b)
        return;
    wi_free(b->weights);
    wi_free(b->bands);
    wi_free(b->fft);
    wi_free(b->data);
    wi_free(b);
    *out = NULL;
}

void wi_mel_fini(struct wi_mel *mel) {
    wi_free(mel->data);
    memset(mel, 0, sizeof *mel);
}

/* Room for one more frame.  Growth by an eighth keeps the peak close to the size; large blocks are
 * remapped by realloc, not copied. */
static int reserve_frame(struct wi_mel_builder *b, struct wisp_error *err) {
    if (b->n_frames < b->capacity)
        return WISP_OK;
    size_t capacity = b->capacity + b->capacity / 8 + BLOCK_FRAMES;
    float *data = wi_realloc(b->data, capacity * (size_t)b->n_mels, sizeof *data);
    if (!data)
        return wi_err_nomem(err, "the spectrogram");
    b->data = data;
    b->capacity = capacity;
    return WISP_OK;
}

/* One frame from the 400 samples at the front of `pending`. */
static int add_frame(struct wi_mel_builder *b, struct wisp_error *err) {
    float x[WI_MEL_FFT], power[WI_MEL_BINS];
    kiss_fft_cpx spectrum[WI_MEL_BINS];
    int rc = reserve_frame(b, err);
    if (rc != WISP_OK)
        return rc;
    for (int i = 0; i < WI_MEL_FFT; i++)
        x[i] = b->pending[i] * b->window[i];
    kiss_fftr(b->fft, x, spectrum);
    for (int k = 0; k < WI_MEL_BINS; k++)
        power[k] = spectrum[k].r * spectrum[k].r + spectrum[k].i * spectrum[k].i;
    float *out = b->data + b->n_frames++ * (size_t)b->n_mels;
    for (int i = 0; i < b->n_mels; i++) {
        const struct band *band = &b->bands[i];
        float sum = 0;
        for (int k = 0; k < band->n; k++)
            sum += band->weights[k] * power[band->first + k];
        out[i] = log10f(sum > 1e-10f ? sum : 1e-10f);
        b->max = out[i] > b->max ? out[i] : b->max;
    }
    return WISP_OK;
}

/* Append samples to the padded stream; every 160 of them complete a frame. */
static int push(struct wi_mel_builder *b, const float *samples, size_t n, struct wisp_error *err) {
    while (n > 0) {
        size_t take = WI_MEL_FFT - b->n_pending;
        take = take < n ? take : n;
        memcpy(b->pending + b->n_pending, samples, take * sizeof *samples);
        b->n_pending += take;
        samples += take;
        n -= take;
        if (b->n_pending == WI_MEL_FFT) {
            int rc = add_frame(b, err);
            if (rc != WISP_OK)
                return rc;
            b->n_pending -= WI_MEL_HOP;
            memmove(b->pending, b->pending + WI_MEL_HOP, b->n_pending * sizeof *b->pending);
        }
    }
    return WISP_OK;
}

int wi_mel_builder_feed(struct wi_mel_builder *b, const float *samples, size_t n,
                        struct wisp_error *err) {
    /* Hold the first HALF + 1 samples back: their mirror image goes first. */
    if (b->n_samples < HALF + 1) {
        size_t take = HALF + 1 - b->n_samples;
        take = take < n ? take : n;
        memcpy(b->head + b->n_samples, samples, take * sizeof *samples);
        b->n_samples += take;
        samples += take;
        n -= take;
        if (b->n_samples < HALF + 1)
            return WISP_OK;
        float mirror[HALF];
        for (int i = 0; i < HALF; i++)
            mirror[i] = b->head[HALF - i];
        int rc = push(b, mirror, HALF, err);
        if (rc == WISP_OK)
            rc = push(b, b->head, HALF + 1, err);
        if (rc != WISP_OK)
            return rc;
    }
    b->n_samples += n;
    return push(b, samples, n, err);
}

int wi_mel_builder_finish(struct wi_mel_builder *b, size_t silence, struct wi_mel *out,
                          struct wisp_error *err) {
    static const float zeros[1600];
    int rc = WISP_OK;
    memset(out, 0, sizeof *out);
    out->n_mels = b->n_mels;
    out->n_frames = b->n_samples / WI_MEL_HOP;
    for (size_t left = silence; rc == WISP_OK && left > 0;) {
        size_t n = left < 1600 ? left : 1600;
        rc = wi_mel_builder_feed(b, zeros, n, err);
        left -= n;
    }
    assert(rc != WISP_OK || b->n_samples > HALF); /* else there is nothing to reflect */
    out->n_total = b->n_samples / WI_MEL_HOP;

    /* The mirror image of the end, as far as the last frame needs it.  torch.stft makes one frame more,
     * which the reference drops. */
    float mirror[HALF];
    for (int i = 0; rc == WISP_OK && i < HALF; i++)
        mirror[i] = b->pending[b->n_pending - 2 - (size_t)i];
    for (int i = 0; rc == WISP_OK && i < HALF && b->n_frames < out->n_total; i++)
        rc = push(b, mirror + i, 1, err);
    if (rc != WISP_OK)
        return rc;
    assert(b->n_frames == out->n_total);

    size_t n = out->n_total * (size_t)b->n_mels;
    float floor = b->max - 8.0f;
    for (size_t i = 0; i < n; i++)
        b->data[i] = ((b->data[i] > floor ? b->data[i] : floor) + 4.0f) / 4.0f;
    out->data = b->data;
    b->data = NULL;
    return WISP_OK;
}

void wi_mel_window(const struct wi_mel *mel, size_t seek, size_t n, float *out) {
    enum { TILE = 16 };
    assert(n <= WI_MEL_WINDOW_FRAMES && seek + n <= mel->n_total);
    size_t n_mels = (size_t)mel->n_mels;
    memset(out, 0, n_mels * WI_MEL_WINDOW_FRAMES * sizeof *out);
    for (size_t t0 = 0; t0 < n; t0 += TILE) /* tiles keep both sides of the transposition in cache */
        for (size_t c = 0; c < n_mels; c++)
            for (size_t t = t0; t < n && t < t0 + TILE; t++)
                out[c * WI_MEL_WINDOW_FRAMES + t] = mel->data[(seek + t) * n_mels + c];
}

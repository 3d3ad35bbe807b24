"""Audio helpers of the digits model: WAV reading, 8 -> 16 kHz, Whisper's mel front end (numpy only)."""
import wave

import numpy as np

RATE, HOP, FFT, MELS = 16000, 160, 400, 80
WORDS = "zero one two three four five six seven eight nine".split()


def mel_filterbank(n_mels=MELS):
    """Slaney filterbank [n_mels, 201] for 16 kHz and a 400-point FFT."""
    def to_mel(f):
        f = np.asarray(f, float)
        return np.where(f < 1000, 3 * f / 200,
                        15 + 27 * np.log(np.maximum(f, 1e-9) / 1000) / np.log(6.4))

    def to_hz(m):
        m = np.asarray(m, float)
        return np.where(m < 15, 200 * m / 3, 1000 * np.exp(np.log(6.4) / 27 * (m - 15)))

    edges = to_hz(np.linspace(0, to_mel(RATE / 2), n_mels + 2))
    bins = np.linspace(0, RATE / 2, FFT // 2 + 1)
    up = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    down = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0, np.minimum(up, down)) * (2 / (edges[2:] - edges[:-2]))[:, None]


FILTERS = mel_filterbank()
WINDOW = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FFT) / FFT)


def mel_power(samples):
    """Mel power frames [n, 80] of 16 kHz samples, zero padded at both ends by half a window."""
    padded = np.pad(samples, FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, FFT)[::HOP]
    return (np.abs(np.fft.rfft(frames * WINDOW)) ** 2 @ FILTERS.T).astype(np.float32)


def read_wav(path):
    """Mono float samples of a 16-bit WAV at 8, 16 or another rate, brought to 16 kHz."""
    with wave.open(str(path)) as w:
        assert w.getsampwidth() == 2, path
        x = np.frombuffer(w.readframes(w.getnframes()), "<i2").astype(float) / 32768
        x = x.reshape(-1, w.getnchannels()).mean(1)
        return resample(x, w.getframerate())


def resample(x, rate):
    """Band-limited resampling to 16 kHz of a whole clip, by its spectrum."""
    if rate == RATE or len(x) == 0:
        return x
    pad = rate // 10
    x = np.pad(x, pad)
    n = int(round(len(x) * RATE / rate))
    spectrum = np.fft.rfft(x)
    out = np.zeros(n // 2 + 1, complex)
    m = min(len(out), len(spectrum))
    out[:m] = spectrum[:m]
    y = np.fft.irfft(out, n) * (n / len(x))
    cut = int(round(pad * RATE / rate))
    return y[cut:n - cut]


def write_wav(path, samples):
    """16 kHz mono 16-bit WAV."""
    with wave.open(str(path), "wb") as w:
        w.setnchannels(1)
        w.setsampwidth(2)
        w.setframerate(RATE)
        w.writeframes(np.clip(np.rint(samples * 32767), -32768, 32767).astype("<i2").tobytes())


def speech_span(samples, floor_db=35):
    """(begin, end) in samples of what is not more than `floor_db` below the loudest 10 ms."""
    n = len(samples) // HOP
    if n < 3:
        return 0, len(samples)
    energy = (samples[:n * HOP].reshape(n, HOP) ** 2).mean(1)
    loud = np.nonzero(energy > energy.max() * 10 ** (-floor_db / 10))[0]
    return max(0, loud[0] - 1) * HOP, min(len(samples), (loud[-1] + 2) * HOP)


def trim(samples):
    begin, end = speech_span(samples)
    return samples[begin:end]

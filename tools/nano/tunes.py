"""Random music for training, as mel power: tones, chords, melodies and drums of random timbre (numpy)."""
import numpy as np

import audio


def envelope(rng, n):
    """Attack and decay [n], from plucked to organ-like."""
    t = np.arange(n) / audio.RATE
    attack = np.minimum(1, t / rng.uniform(0.002, 0.08))
    release = np.minimum(1, (n - np.arange(n)) / (0.02 * audio.RATE))
    return attack * release * np.exp(-t * rng.choice([0, 1, 3, 8]) * rng.uniform(0.5, 1.5))


def note(rng, frequency, n, timbre):
    vibrato = rng.choice([0, 0, 0.004]) * np.sin(2 * np.pi * rng.uniform(4, 7) * np.arange(n) / audio.RATE)
    phase = 2 * np.pi * np.cumsum(frequency * (1 + vibrato)) / audio.RATE
    x = sum(a * np.sin(h * phase) for h, a in enumerate(timbre, 1) if h * frequency < audio.RATE / 2)
    return x * envelope(rng, n)


def drum(rng, n):
    t = np.arange(n) / audio.RATE
    hit = rng.normal(0, 1, n) * np.exp(-t * rng.uniform(15, 80))
    return hit + np.sin(2 * np.pi * rng.uniform(50, 200) * t) * np.exp(-t * rng.uniform(5, 30))


def tune(rng, seconds):
    """Samples at 16 kHz: one instrument, one to four notes at a time, sometimes with drums."""
    n = int(seconds * audio.RATE)
    x = np.zeros(n + 4 * audio.RATE)
    harmonics = int(rng.integers(1, 13))
    timbre = rng.uniform(0, 1, harmonics) * np.arange(1, harmonics + 1) ** -rng.uniform(0, 2)
    timbre[0] = max(timbre[0], 0.2)
    base, voices, beat = rng.uniform(55, 500), int(rng.integers(1, 5)), rng.uniform(0.1, 1.2)
    drums, at = rng.random() < 0.4, 0.0
    while at < seconds:
        length = int(audio.RATE * min(4, beat * rng.choice([0.5, 1, 1, 2, 6]) + 0.05))
        i = int(at * audio.RATE)
        for semitone in rng.choice([0, 2, 4, 5, 7, 9, 11, 12, 16, 19, 24], voices):
            x[i:i + length] += note(rng, base * 2 ** (semitone / 12), length, timbre)
        if drums:
            x[i:i + length] += rng.uniform(0.3, 3) * drum(rng, length)
        at += beat * rng.choice([0.5, 1, 1, 2])
    return x[:n]


def mel_power(rng, seconds):
    """[100 seconds, 80] f32"""
    return audio.mel_power(tune(rng, seconds))[:int(100 * seconds)]

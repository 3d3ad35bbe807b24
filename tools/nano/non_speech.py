#!/usr/bin/env python3
"""Windows without speech that must give no text: usage: non_speech.py OUT_FOLDER

Writes 64 of silence, noise, hum and music as OUT_FOLDER/00.wav ..., and OUT_FOLDER/expected.tsv (file, text:
empty).  Needs numpy only; always the same ones."""
import pathlib
import sys

import numpy as np

import audio

SEED, COUNT = 17, 64


def notes(rng, n):
    """Chords of a few plucked notes with harmonics."""
    x = np.zeros(n)
    t = np.arange(n) / audio.RATE
    at = 0
    while at < n:
        for pitch in rng.choice([48, 52, 55, 57, 60, 64, 67, 72], 3):
            f = 440 * 2 ** ((pitch - 69) / 12)
            note = sum(np.sin(2 * np.pi * f * h * t[:n - at]) / h for h in range(1, 6))
            x[at:] += note * np.exp(-t[:n - at] * rng.uniform(1, 6))
        at += int(rng.uniform(0.2, 1.2) * audio.RATE)
    return x / np.abs(x).max()


def window(rng, i):
    """(name, samples): silence, white, brown and hum noise, music; 1 to 30 s at -60 to -6 dB."""
    n = int(rng.uniform(1, 30) * audio.RATE)
    kind = ["silence", "white noise", "brown noise", "hum", "music"][i % 5]
    x = {"silence": lambda: np.zeros(n),
         "white noise": lambda: rng.normal(0, 0.3, n),
         "brown noise": lambda: np.cumsum(rng.normal(0, 1, n)),
         "hum": lambda: np.sin(2 * np.pi * 50 * np.arange(n) / audio.RATE) + rng.normal(0, 0.02, n),
         "music": lambda: notes(rng, n)}[kind]()
    x = x - x.mean()
    return kind, x / max(1e-9, np.abs(x).max()) * 10 ** rng.uniform(-3, -0.3)


def windows():
    rng = np.random.default_rng(SEED)
    return [window(rng, i) for i in range(COUNT)]


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "expected.tsv", "w") as table:
        for i, (_, samples) in enumerate(windows()):
            audio.write_wav(out / f"{i:02}.wav", samples)
            table.write(f"{i:02}.wav\t\n")


if __name__ == "__main__":
    main()

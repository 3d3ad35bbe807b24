#!/usr/bin/env python3
"""Speaks a table of digit strings with espeak-ng: usage: synthesise.py TABLE.tsv OUT_FOLDER

A row of TABLE: voice, pitch (0..99), speed (words per minute), gap (10 ms units between words), text; lines
that begin with # are notes.  Writes OUT_FOLDER/00.wav ... (16 kHz, mono, 16 bit; 0.3 s of silence before and
0.5 s after) and OUT_FOLDER/expected.tsv (file, text).  Needs espeak-ng and numpy."""
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

import audio


def speak(voice, pitch, speed, gap, text):
    with tempfile.NamedTemporaryFile(suffix=".wav") as f:
        subprocess.run(["espeak-ng", "-v", voice, "-p", pitch, "-s", speed, "-g", gap, "-w", f.name, text],
                       check=True)
        x = audio.read_wav(f.name)
    x = x * (0.5 / np.abs(x).max())
    return np.concatenate([np.zeros(int(0.3 * audio.RATE)), x, np.zeros(int(0.5 * audio.RATE))])


def rows(path):
    for line in pathlib.Path(path).read_text().splitlines():
        if line and not line.startswith("#"):
            yield line.split("\t")


def main():
    table, out = sys.argv[1], pathlib.Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "expected.tsv", "w") as expected:
        for i, row in enumerate(rows(table)):
            audio.write_wav(out / f"{i:02}.wav", speak(*row))
            expected.write(f"{i:02}.wav\t{row[-1]}\n")


if __name__ == "__main__":
    main()

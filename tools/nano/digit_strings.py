#!/usr/bin/env python3
"""Makes strings of spoken digits to test with: usage: digit_strings.py FSDD_FOLDER OUT_FOLDER [--seed 11]

Joins test recordings (n = 0..4 of every digit and speaker, never trained on) of one or several speakers
to COUNT strings of 1 to 12 digits with random gaps, levels and faint noise, and writes OUT_FOLDER/000.wav
..., OUT_FOLDER/expected.tsv (file, text) and OUT_FOLDER/times.tsv (file, begin and end of speech in seconds).
--isolated writes the single recordings instead, --takes chooses others (5,6: what training validates with),
--speakers only some voices.  Needs numpy only; the same seed gives the same strings."""
import argparse
import pathlib

import numpy as np

import audio


def recordings(folder, takes, speakers):
    """{speaker: {digit: [paths]}}"""
    found = {}
    for path in sorted(pathlib.Path(folder).glob("*_*_*.wav")):
        digit, speaker, n = path.stem.split("_")
        if n not in takes or (speakers and speaker not in speakers):
            continue
        found.setdefault(speaker, {}).setdefault(int(digit), []).append(path)
    return found


def string(rng, found):
    """(samples, digits, (begin, end) of speech in samples)"""
    speakers = sorted(found)
    one = speakers[rng.integers(len(speakers))] if rng.random() < 0.7 else None
    digits = rng.integers(0, 10, rng.integers(1, 13))
    parts = [np.zeros(int(rng.uniform(0.1, 0.8) * audio.RATE))]
    at, spans = len(parts[0]), []
    for digit in digits:
        takes = found[one or speakers[rng.integers(len(speakers))]][int(digit)]
        x = audio.read_wav(takes[rng.integers(len(takes))])
        level = 10 ** rng.uniform(-0.15, 0.15) * 0.05 / (np.sqrt((x ** 2).mean()) + 1e-9)
        parts += [x * level, np.zeros(int(rng.uniform(0.05, 1.0) * audio.RATE))]
        spans.append([at + s for s in audio.speech_span(x)])
        at += len(parts[-2]) + len(parts[-1])
    x = np.concatenate(parts)
    x = x + rng.normal(0, 0.05 * 10 ** rng.uniform(-3, -1.5), len(x))
    return x * min(10 ** rng.uniform(-0.5, 0.5), 0.99 / np.abs(x).max()), digits, (spans[0][0], spans[-1][1])


def single(path, digit):
    x = audio.read_wav(path)
    return x, [digit], audio.speech_span(x)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fsdd")
    parser.add_argument("out")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--isolated", action="store_true")
    parser.add_argument("--takes", default="0,1,2,3,4")
    parser.add_argument("--speakers", help="comma between names; without: all")
    args = parser.parse_args()
    out = pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    found = recordings(args.fsdd, args.takes.split(","), args.speakers and args.speakers.split(","))
    rng = np.random.default_rng(args.seed)
    if args.isolated:
        clips = [single(path, digit) for takes in found.values() for digit, paths in sorted(takes.items())
                 for path in paths]
    else:
        clips = [string(rng, found) for _ in range(args.count)]
    with open(out / "expected.tsv", "w") as texts, open(out / "times.tsv", "w") as times:
        for i, (x, digits, (begin, end)) in enumerate(clips):
            audio.write_wav(out / f"{i:03}.wav", x)
            texts.write(f"{i:03}.wav\t{' '.join(audio.WORDS[d] for d in digits)}\n")
            times.write(f"{i:03}.wav\t{begin / audio.RATE:.3f}\t{end / audio.RATE:.3f}\n")


if __name__ == "__main__":
    main()

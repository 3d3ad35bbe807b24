#!/usr/bin/env python3
"""Error rates of a digits model in openai-whisper: usage: evaluate.py MODEL.pt FOLDER [--timestamps] [--beam 5]

MODEL.pt is what checkpoint.py or export.py --openai wrote; FOLDER holds WAV files and expected.tsv (file, text; digit_strings.py
or synthesise.py writes both).  Every file goes through whisper.load_model().transcribe() with its default
thresholds and temperatures.  Without FOLDER, the windows of non_speech.py are transcribed, and every one with
text is an error.  Prints each wrong line, the word error rate and, with --timestamps where
times.tsv exists, how far the first and the last timestamp token are off (transcribe() itself lets a lone
segment begin at 0)."""
import argparse
import pathlib

import numpy as np
import torch
import whisper

import audio
import non_speech

TIMESTAMP_0 = 50363


def distance(wanted, got):
    """Word edits (substitutions, insertions, deletions) from `got` to `wanted`."""
    row = list(range(len(got) + 1))
    for i, w in enumerate(wanted, 1):
        previous, row[0] = row[0], i
        for j, g in enumerate(got, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (w != g))
    return row[-1]


def true_times(folder):
    """{file: (begin, end) seconds}, empty where the folder has no times.tsv."""
    path = folder / "times.tsv" if folder else None
    if not path or not path.exists():
        return {}
    rows = (line.split("\t") for line in path.read_text().splitlines())
    return {name: (float(begin), float(end)) for name, begin, end in rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("folder", nargs="?", type=pathlib.Path)
    parser.add_argument("--timestamps", action="store_true")
    parser.add_argument("--beam", type=int)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = whisper.load_model(args.model)
    options = dict(without_timestamps=not args.timestamps, beam_size=args.beam, fp16=False, language="en")
    if args.folder:
        lines = (args.folder / "expected.tsv").read_text().splitlines()
        items = [(name, audio.read_wav(args.folder / name), text.split())
                 for name, text in (line.split("\t") for line in lines)]
    else:
        items = [(name, x, []) for name, x in non_speech.windows()]
    times, off = true_times(args.folder), []
    words = edits = wrong = fallbacks = 0
    lowest = 0.0
    for name, samples, wanted in items:
        result = model.transcribe(samples.astype(np.float32), **options)
        got = result["text"].split()
        fallbacks += any(s["temperature"] > 0 for s in result["segments"])
        lowest = min([lowest] + [s["avg_logprob"] for s in result["segments"]])
        if name in times and result["segments"]:
            stamps = [0.02 * (t - TIMESTAMP_0) for s in result["segments"] for t in s["tokens"]
                      if t >= TIMESTAMP_0]
            if stamps:
                off.append([abs(stamps[0] - times[name][0]), abs(stamps[-1] - times[name][1])])
        e = distance(wanted, got)
        if e:
            print(f"{name}: {e}: {' '.join(wanted)} | {' '.join(got)}")
        words, edits, wrong = words + len(wanted), edits + e, wrong + (e > 0)
    rate = f", word error rate {100 * edits / words:.2f} %" if words else ""
    print(f"{wrong} of {len(items)} files wrong, {edits} edits of {words} words{rate}; {fallbacks} with "
          f"temperature above 0; lowest average log probability {lowest:.2f}")
    if args.timestamps and off:
        begin, end = 1000 * np.median(off, axis=0)
        print(f"times, median error: begin {begin:.0f} ms, end {end:.0f} ms")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Spoken digits through the program and the bundled model: usage: test_digits.py WISP SOURCE_ROOT WHAT

synth: tests/e2e/digits.tsv, spoken by espeak-ng: every text exact, with and without timestamps.  strings: 200
strings of the Free Spoken Digit Dataset's test recordings, found through WISP_SHARED or ../shared beside the
tree (77 without): word error rate at most 3 %.  quiet: silence, noise, hum and music: no text.  levels: those
of synth and the bundled clip, in every kernel level that this machine has: the same text and times in all f32
levels, the same text and times within 0.04 s in bf16; and greedy decoding with 1, 2, 3 and 8 threads, every
number the same."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

MOST_PERCENT, SKIP = 3.0, 77
F32_LEVELS, BF16_LEVEL, BF16_SECONDS = ["portable", "avx2", "avxvnni", "avx512"], "avx512bf16", 0.04


def python_with_numpy():
    for python in (sys.executable, "/usr/bin/python3"):
        if subprocess.run([python, "-c", "import numpy"], stderr=subprocess.DEVNULL).returncode == 0:
            return python
    sys.exit(SKIP)


def distance(wanted, got):
    row = list(range(len(got) + 1))
    for i, w in enumerate(wanted, 1):
        previous, row[0] = row[0], i
        for j, g in enumerate(got, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (w != g))
    return row[-1]


def errors(wisp, model, folder, options):
    """(edits, words) over the files of folder/expected.tsv; wrong texts are printed."""
    edits = words = 0
    for line in (folder / "expected.tsv").read_text().splitlines():
        name, text = line.split("\t")
        run = subprocess.run([wisp, "-m", model, "-t", "2", *options, folder / name], text=True,
                             capture_output=True, check=True)
        got = re.sub(r"\[.*?\]", "", run.stdout).split()
        wrong = distance(text.split(), got)
        if wrong:
            print(f"{name} {' '.join(options)}: {text} | {' '.join(got)}")
        edits, words = edits + wrong, words + len(text.split())
    return edits, words


def segments(wisp, model, files, level, options):
    """{file name: its segments} at a kernel level ("" for the best); None where the machine lacks it."""
    run = subprocess.run([wisp, "-m", model, "-np", "-oj", *options, *files], text=True,
                         capture_output=True, env=os.environ | {"WISP_CPU": level})
    if run.returncode == 1 and "WISP_CPU" in run.stderr:
        return None
    run.check_returncode()
    return {f.name: json.loads(f.with_name(f.name + ".json").read_text())["segments"] for f in files}


def what_differs(a, b, seconds):
    """None when the texts are the same and the times at most `seconds` apart."""
    if [s["text"] for s in a] != [s["text"] for s in b]:
        return "text"
    apart = max([abs(s[k] - t[k]) for s, t in zip(a, b) for k in ("start", "end")], default=0)
    return f"times by {apart:.2f} s" if apart > seconds + 1e-9 else None


def compare(name, first, second, differ):
    """Number of files whose segments differ, each printed."""
    wrong = [(f, why) for f in first if (why := differ(first[f], second[f]))]
    for f, why in wrong:
        print(f"{name} {f}: {why}: {first[f]} | {second[f]}")
    print(f"{name}: {len(first)} files, {len(wrong)} differ")
    return len(wrong)


def check_levels(wisp, model, files):
    different = lambda a, b: None if a == b else "some number"
    bad = 0
    for options in ([], ["-bs", "1"], ["-nt"]):
        portable = segments(wisp, model, files, "portable", options)
        for level in F32_LEVELS[1:] + [BF16_LEVEL]:
            got = segments(wisp, model, files, level, options)
            if got is None:
                print(f"{level}: not on this machine")
                continue
            seconds = BF16_SECONDS if level == BF16_LEVEL else 0
            bad += compare(f"{level} {options}", portable, got, lambda a, b: what_differs(a, b, seconds))
    for level in ("portable", ""):
        one = segments(wisp, model, files, level, ["-bs", "1", "-t", "1"])
        for n in (2, 3, 8):
            got = segments(wisp, model, files, level, ["-bs", "1", "-t", str(n)])
            bad += compare(f"{level or 'best level'}, {n} threads", one, got, different)
    return bad > 0


def main():
    wisp, root, what = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
    tools, python = root / "tools/nano", python_with_numpy()
    shared = pathlib.Path(os.environ.get("WISP_SHARED", root / "../shared"))
    if what == "strings":
        if not (shared / "data/fsdd").is_dir():
            return SKIP
        make, most = [tools / "digit_strings.py", shared / "data/fsdd"], MOST_PERCENT
    elif what == "quiet":
        make, most = [tools / "non_speech.py"], 0.0
    else:
        if not shutil.which("espeak-ng"):
            return SKIP
        make, most = [tools / "synthesise.py", root / "tests/e2e/digits.tsv"], 0.0
    bad, model = 0, root / "models/nano-digits.bin"
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, *make, folder], check=True)
        if what == "levels":
            shutil.copy(root / "models/demo.wav", folder)
            return check_levels(wisp, model, sorted(pathlib.Path(folder).glob("*.wav")))
        for options in ([], ["-nt"]):
            edits, words = errors(wisp, model, pathlib.Path(folder), options)
            rate = 100 * edits / max(words, 1)
            print(f"{what} {' '.join(options)}: {edits} of {words} words wrong, {rate:.2f} %")
            bad |= rate > most
    return bad


if __name__ == "__main__":
    sys.exit(main())

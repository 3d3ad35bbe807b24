#!/usr/bin/env python3
"""Spoken digits through the program and the bundled model: usage: test_digits.py WISP SOURCE_ROOT synth|strings

synth: tests/e2e/digits.tsv, spoken by espeak-ng: every text exact, with and without timestamps.  strings: 200
strings of the Free Spoken Digit Dataset's test recordings, found through WISP_SHARED or ../shared beside the
tree (77 without): word error rate at most 3 %."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

MOST_PERCENT, SKIP = 3.0, 77


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


def main():
    wisp, root, what = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
    tools, python = root / "tools/nano", python_with_numpy()
    shared = pathlib.Path(os.environ.get("WISP_SHARED", root / "../shared"))
    if what == "strings":
        if not (shared / "data/fsdd").is_dir():
            return SKIP
        make, most = [tools / "digit_strings.py", shared / "data/fsdd"], MOST_PERCENT
    else:
        if not shutil.which("espeak-ng"):
            return SKIP
        make, most = [tools / "synthesise.py", root / "tests/e2e/digits.tsv"], 0.0
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, *make, folder], check=True)
        for options in ([], ["-nt"]):
            edits, words = errors(wisp, root / "models/nano-digits.bin", pathlib.Path(folder), options)
            rate = 100 * edits / words
            print(f"{what} {' '.join(options)}: {edits} of {words} words wrong, {rate:.2f} %")
            bad |= rate > most
    return bad


if __name__ == "__main__":
    sys.exit(main())

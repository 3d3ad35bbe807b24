#!/usr/bin/env python3
"""Runs designs that others built on the emulated array: usage: check_designs.py WISP

$WISP_NPU_DESIGNS names a folder.  Below it, every main.pdi with an npu_insts.mlir beside it gets random bytes
as arguments, every X.xclbin with an X.seq zeros.  Each is run with one and with two host threads, which must
give the same bytes, cycles and counters; each must end by itself or with a fault that names a tile.  Prints
how each ended.  Exits 77 without the variable."""
import concurrent.futures
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile

MOST_CYCLES = 400_000_000
ZEROS = 16 << 20  # bytes for each argument of a stream that does not say how large they are


def sizes_of(sequence):
    """Bytes of each argument of a runtime_sequence."""
    found = re.search(r"runtime_sequence\(([^)]*)\)", sequence)
    return [int(n) for n in re.findall(r"memref<(\d+)xi8>", found[1])] if found else []


def designs(root):
    """(name, image, options that say the stream and the arguments' sizes)"""
    for insts in sorted(root.rglob("npu_insts.mlir")):
        if (insts.parent / "main.pdi").is_file():
            yield insts.parent / "main.pdi", [], sizes_of(insts.read_text())
    for image in sorted(root.rglob("*.xclbin")):
        if image.with_suffix(".seq").is_file():
            yield image, ["--insts", image.with_suffix(".seq")], None


def run(wisp, image, options, sizes, threads, folder):
    folder.mkdir()
    args = ["--arg", f"0=:{ZEROS}", "--arg", f"1=:{ZEROS}"]
    if sizes is not None:
        numbers, args = random.Random(1), []
        for i, size in enumerate(sizes):
            (folder / f"in{i}").write_bytes(numbers.randbytes(size))
            args += ["--arg", f"{i}={folder / f'in{i}'}", "--out", f"{i}={folder / f'out{i}'}"]
    done = subprocess.run([wisp, "npu", "run", image, "--json", "--threads", str(threads), "--max-cycles",
                           str(MOST_CYCLES), *options, *args], capture_output=True, text=True)
    if not done.stdout:
        return {"status": "refused", "fault": done.stderr.strip()}, []
    return json.loads(done.stdout), [p.read_bytes() for p in sorted(folder.glob("out*"))]


def check(wisp, image, options, sizes):
    """How it ended, and whether that is as it must be."""
    with tempfile.TemporaryDirectory() as name:
        one, two = (run(wisp, image, options, sizes, n, pathlib.Path(name) / str(n)) for n in (1, 2))
    result = one[0]
    text = f"{result['status']}, {result.get('cycles', 0)} cycles {result.get('fault') or ''}"
    if one != two:
        return text + ": other results with two threads", False
    named = re.search(r"\(\d,\d\)", result.get("fault") or "")
    return text, result["status"] == "done" or (result["status"] == "fault" and named is not None)


def main(wisp):
    folder = os.environ.get("WISP_NPU_DESIGNS")
    if not folder:
        print("WISP_NPU_DESIGNS is not set")
        return 77
    root = pathlib.Path(folder)
    found = list(designs(root))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        ends = pool.map(lambda d: check(wisp, *d), found)
        failures = 0
        for (image, _, _), (text, good) in zip(found, ends):
            print(f"{'' if good else 'FAILED '}{image.relative_to(root)}: {text}")
            failures += not good
    print(f"{len(found)} designs, {failures} failures")
    return 1 if failures or not found else 0


sys.exit(main(sys.argv[1]))

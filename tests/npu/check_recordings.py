#!/usr/bin/env python3
"""Programs whose results were recorded on the chip, on the emulated core: usage: check_recordings.py WISP

$WISP_NPU_RECORDINGS is a folder of recordings; docs/npu-proof.md says where they come from.  NAME.json names a program's
text, its input, the recorded output (files beside it), the registers it starts with and the ranges [offset, size, what] of
the output that count.  Every byte of them must be equal.  Without the variable there is nothing to check: exit 77."""
import collections
import json
import os
import pathlib
import subprocess
import sys
import tempfile


def results(wisp, folder, recording, scratch):
    """The output memory after a run."""
    code, out = scratch / "code", scratch / "out"
    subprocess.run([wisp, "npu", "as", folder / recording["program"], "-o", code], check=True)
    command = [wisp, "npu", "run", "--core", "--raw", code]
    for address, name in recording["memory"].items():
        command += ["--mem", f"{address}={folder / name}"]
    for register, value in recording["registers"].items():
        command += ["--reg", f"{register}={value}"]
    size = (folder / recording["output"]).stat().st_size
    subprocess.run([*command, "--dump", f"{recording['at']}:{size}={out}"], check=True, capture_output=True)
    return out.read_bytes()


def main(wisp):
    if not (name := os.environ.get("WISP_NPU_RECORDINGS")):
        print("WISP_NPU_RECORDINGS names no folder of recordings")
        return 77
    folder, equal, wrong = pathlib.Path(name), 0, collections.Counter()
    with tempfile.TemporaryDirectory() as scratch:
        for path in sorted(folder.glob("*.json")):
            recording = json.loads(path.read_text())
            expected = (folder / recording["output"]).read_bytes()
            got = results(wisp, folder, recording, pathlib.Path(scratch))
            for offset, size, what in recording["ranges"]:
                same = got[offset:offset + size] == expected[offset:offset + size]
                equal += same
                wrong[what] += not same
    print(f"{equal} results equal, {wrong.total()} not: {dict(+wrong)}")
    return 1 if wrong.total() or not equal else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

#!/usr/bin/env python3
"""Instructions that the emulated core executes for one bundle: usage: test_core_loop.py WISP

valgrind counts a matmul's inner loop (a product and two vector loads in each bundle) of two lengths; the
difference is what bundles cost.  Budgets are GCC's counts and 3 %; a compiler that does better is welcome to.
valgrind does not know AVX-512, whose engine is the same source.  Exits 77 where valgrind is missing."""
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile

BUNDLES = (1000, 5000)
PER_BUNDLE = {"avx2": 776, "portable": 19803}
BODY = "\n".join(f"vldb.2d w{h}{4 + i}, [p1], d1; vlda.2d w{h}{i}, [p0], d0; nops; nopx; nopm; "
                 f"vmac.f bm{h}{i}, bm{h}{i}, x{j}, x{4 + i}, r0" for i in (0, 1) for j, h in enumerate("lh"))
SET_UP = ["movxm LS, #160", "movxm LE, #208", "movxm LC, #-1"] + 7 * ["nopxm"]
REGISTERS = {"p0": 0x70000, "p1": 0x74000, "r0": 28, "dn0": 15, "dj0": 32, "m0": 0xffe20, "dn1": 15, "dj1": 32,
             "m1": 0xffe20}


def prepare(wisp, folder):
    """The command that runs the loop, but for the number of cycles."""
    text = "".join(f"nopb; nopa; nops; {x}; nopv\n" for x in SET_UP) + BODY + "\n"
    (folder / "loop.s").write_text(text)
    subprocess.run([wisp, "npu", "as", folder / "loop.s", "-o", folder / "loop.bin"], check=True)
    numbers = [0x3c00 + i * 37 % 256 + (i % 2 << 15) for i in range(256)]  # small, of both signs
    (folder / "numbers").write_bytes(struct.pack("<256H", *numbers))
    command = [wisp, "npu", "run", "--core", "--raw", folder / "loop.bin"]
    for at in ("0x70000", "0x74000"):
        command += ["--mem", f"{at}={folder / 'numbers'}"]
    for name, value in REGISTERS.items():
        command += ["--reg", f"{name}={value}"]
    return command


def executed(command, folder, level, bundles):
    done = subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder / 'out'}", *command,
                           "--max-cycles", str(bundles)], capture_output=True, text=True,
                          env=os.environ | {"WISP_CPU": level})
    if f"limit after {bundles} cycles, {bundles} bundles" not in done.stdout:
        raise RuntimeError(done.stdout + done.stderr)
    return int(re.search(r"Collected : (\d+)", done.stderr)[1])


def main(wisp):
    if not shutil.which("valgrind"):
        print("valgrind is not installed")
        return 77
    failures = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        command = prepare(wisp, folder)
        for level, budget in PER_BUNDLE.items():
            if level == "avx2" and "avx2" not in pathlib.Path("/proc/cpuinfo").read_text():
                print(f"{level}: not on this machine")
                continue
            few, many = (executed(command, folder, level, n) for n in BUNDLES)
            count = (many - few) / (BUNDLES[1] - BUNDLES[0])
            verdict = "ok" if count <= budget * 1.03 else "TOO MANY"
            failures += verdict != "ok"
            print(f"{level}: {count:.0f} instructions a bundle, budget {budget}: {verdict}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

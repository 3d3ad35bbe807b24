#!/usr/bin/env python3
"""Instruction counts of the decoder's packed products: usage: test_decoder_products.py PROGRAM

A guard against slow-downs that needs no clock.  At the portable and avx2 levels valgrind counts what a
product of 512 x 512 executes; at the AVX-512 levels, which valgrind does not know, the loop over a block of
32 columns is counted in the disassembly.  Budgets are GCC's counts and 3 %; a compiler that does better is
welcome to.  Exits 77 where valgrind is missing."""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

# (level, type, rows): instructions inside panel_product, all inlined calls included
EXECUTED = {
    ("portable", "int8", 1): 418682, ("portable", "int8", 5): 1476282, ("portable", "bf16", 1): 345850,
    ("avx2", "int8", 1): 66751, ("avx2", "int8", 5): 254463, ("avx2", "bf16", 1): 130815}
# level, {dot products in the loop: most instructions}.  16 pairs or 8 fours of columns times the rows, twice
# where a register holds 8.
LOOPS = [("avx512bf16", "vpdpwssd", {16: 56, 80: 209}), ("avx512bf16", "vpdpbusd", {8: 36, 40: 128}),
         ("avx512", "vpmaddwd", {16: 70, 80: 284}),
         ("avxvnni", "{vex} vpdpwssd", {32: 92, 160: 330}), ("avxvnni", "{vex} vpdpbusd", {16: 58, 80: 210})]


def executed(program, level, kind, rows):
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "callgrind.out"
        done = subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}",
                               f"--toggle-collect=panel_product_{level}", program, level, kind, str(rows)],
                              capture_output=True, text=True)
    if done.returncode == 77:
        return None
    return int(re.search(r"Collected : (\d+)", done.stderr)[1])


def loops(program, function, dot):
    """{dot products: instructions} of the innermost loops of a function that hold any."""
    text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", program], check=True,
                          capture_output=True, text=True).stdout
    body = re.search(rf"<{function}>:\n(.*?)\n\n", text + "\n\n", re.S)[1]
    lines = [(int(m[1], 16), m[2]) for m in re.finditer(r"^ *([0-9a-f]+):\t(.*)$", body, re.M)]
    found, inner = {}, []
    for at, (address, code) in enumerate(lines):
        jump = re.match(r"j\w+ +([0-9a-f]+) ", code)
        if jump and int(jump[1], 16) <= address:
            begin = next((i for i, line in enumerate(lines) if line[0] == int(jump[1], 16)), None)
            if begin is not None and not any(begin <= b and e <= at for b, e in inner):
                inner.append((begin, at))
    for begin, end in inner:
        codes = [code for _, code in lines[begin:end + 1]]
        dots = sum(code.startswith(dot) for code in codes)
        found[dots] = min(found.get(dots, 10**9), len(codes))
    return found


def main(program):
    if not shutil.which("valgrind"):
        print("valgrind is not installed")
        return 77
    failures = 0
    for (level, kind, rows), budget in EXECUTED.items():
        count = executed(program, level, kind, rows)
        if count is None:
            print(f"{level}: not on this machine")
            continue
        verdict = "ok" if count <= budget * 1.03 else "TOO MANY"
        failures += verdict != "ok"
        print(f"{level} {kind} {rows} rows: {count} instructions, budget {budget}: {verdict}")
    for level, dot, budgets in LOOPS:
        found = loops(program, f"panel_product_{level}", dot)
        for dots, budget in budgets.items():
            count = found.get(dots)
            verdict = "ok" if count and count <= budget else "TOO MANY"
            failures += verdict != "ok"
            print(f"{level} loop of {dots} {dot}: {count} instructions, budget {budget}: {verdict}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

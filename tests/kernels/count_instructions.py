#!/usr/bin/env python3
"""Guards the kernels' speed by counting instructions, which no other program on the machine changes:
usage: count_instructions.py run KCOUNT | loops OBJDUMP-INPUT...

run:    callgrind counts what each kernel executes at the portable and avx2 levels (valgrind knows no
        AVX-512) and compares with BUDGETS.
loops:  reads the disassembly of the level libraries: the inner loop of each register block has exactly
        its multiply-adds, no more instructions than LOOPS says and none that touches the stack; a level
        without AVX-512 has none of its instructions.

Counts are those of gcc 12 at -O3.  A lower one is an improvement: store it.  Exit code 77: no tool."""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

# Instructions in thousands, measured, and 2 % more.
BUDGETS = {
    ("portable", "gemm"): 33250, ("avx2", "gemm"): 9067,
    ("portable", "attend"): 5291, ("avx2", "attend"): 1442,
    ("portable", "gelu"): 1306, ("avx2", "gelu"): 376,
    ("portable", "norm"): 334, ("avx2", "norm"): 147,
    ("portable", "pack"): 692, ("avx2", "pack"): 584,
}
# library suffix: (multiply-adds, instructions) of one step along k
LOOPS = {"avx2": (12, 27), "avxvnni": (12, 27), "avx512": (24, 47), "avx512bf16": (24, 47)}


def executed(kcount, level, kernel):
    with tempfile.TemporaryDirectory() as folder:
        p = subprocess.run(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out",
             f"--toggle-collect=counted_{kernel}", kcount, level, kernel],
            capture_output=True, text=True)
        if p.returncode == 77:
            return None
        match = re.search(r"Collected : (\d+)", p.stderr)
        if p.returncode != 0 or not match:
            sys.exit(f"{level} {kernel}: valgrind failed\n{p.stderr}")
        return int(match[1]) / 1000


def check_executed(kcount):
    if not shutil.which("valgrind"):
        print("no valgrind")
        return 77
    failed = False
    for (level, kernel), budget in BUDGETS.items():
        count = executed(kcount, level, kernel)
        if count is None:
            print(f"{level} {kernel}: this processor has no {level}")
            continue
        verdict = "ok" if count <= budget * 1.02 else "TOO MANY"
        failed |= verdict != "ok"
        print(f"{level:9} {kernel:7} {count:9.1f} thousand, budget {budget} + 2 %  {verdict}")
    return 1 if failed else 0


def functions(library):
    text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", library], check=True,
                          capture_output=True, text=True).stdout
    name, found = None, {}
    for line in text.splitlines():
        if match := re.match(r"[0-9a-f]+ <([\w.]+)>:", line):
            name = match[1]
            found[name] = []
        elif (match := re.match(r"\s+([0-9a-f]+):\s+(\S+)\s*(.*)", line)) and name:
            found[name].append((int(match[1], 16), match[2], match[3]))
    return found


def loops(code):
    """Bodies of loops that jump back to their start."""
    for address, op, args in code:
        target = re.match(r"([0-9a-f]+) <", args)
        if op.startswith("j") and op != "jmp" and target and int(target[1], 16) < address:
            yield [c for c in code if int(target[1], 16) <= c[0] <= address]


def avx512(library):
    """An instruction that only AVX-512 has: it names a zmm, mask or register from 16 on."""
    return next((f"{op} {args}" for code in functions(library).values() for _, op, args in code
                 if re.search(r"%zmm|%k[0-7]|%[xy]mm(1[6-9]|2\d|3[01])\b", args)), None)


def check_loops(libraries):
    if not shutil.which("objdump"):
        print("no objdump")
        return 77
    failed = False
    for library in libraries:
        level = pathlib.Path(library).stem.removeprefix("libwisp_")
        if level not in LOOPS:
            continue
        sums, budget = LOOPS[level]
        if not level.startswith("avx512") and (wrong := avx512(library)):
            print(f"{level}: {wrong} is of AVX-512  WRONG")
            failed = True
        # copies for constant arguments count as well
        tiles = {n: c for n, c in functions(library).items() if re.match("tile_(full|add)_", n)}
        if {n.split("_")[1] for n in tiles} != {"full", "add"}:
            sys.exit(f"{level}: expected tile_full and tile_add, found {sorted(tiles)}")
        for name, code in tiles.items():
            body = max(loops(code), key=lambda b: sum("vdpbf16" in c[1] or "vfmadd" in c[1] for c in b))
            n_sums = sum("vdpbf16" in c[1] or "vfmadd" in c[1] for c in body)
            spills = [c for c in body if "%rsp" in c[2] or "%rbp" in c[2]]
            good = n_sums == sums and len(body) <= budget and not spills
            failed |= not good
            print(f"{name}: {n_sums} multiply-adds in {len(body)} instructions (at most {budget}), "
                  f"{len(spills)} with the stack  {'ok' if good else 'WRONG'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(check_executed(sys.argv[2]) if sys.argv[1] == "run" else check_loops(sys.argv[2:]))

#!/usr/bin/env python3
"""Outside programs through wisp npu dis and as: usage: check_programs.py WISP

$WISP_NPU_PROGRAMS is a folder of programs that others compiled, searched to its bottom: ELF files for AIE2, and .bin
files that are nothing but code (a core's program memory).  Every one must come back byte for byte, from the full
listing and from the plain one, and without a .byte line.  The checker finds no port conflict in those that are
linked, and nothing else that docs/npu-proof.md does not explain; how many reads take old values is printed.
Without the variable there is nothing to check: exit 77."""
import os
import collections
import pathlib
import re
import struct
import subprocess
import sys

MACHINE = 0x108
EXPLAINED = {"write order", "last bundle of loop", "branch in loop", "acquire", "alignment"}


def npu(wisp, *args, data=None):
    return subprocess.run([wisp, "npu", *args], input=data, check=True, capture_output=True).stdout


def loaded(elf):
    """[(address, is code, bytes)] of the sections that are loaded, in file order."""
    at, n = struct.unpack_from("<I", elf, 32)[0], struct.unpack_from("<H", elf, 48)[0]
    sections = []
    for i in range(n):
        _, kind, flags, address, offset, size = struct.unpack_from("<6I", elf, at + 40 * i)
        if flags & 2 and kind in (1, 8) and size:
            sections.append((address, bool(flags & 4), elf[offset:offset + size] if kind == 1 else bytes(size)))
    return sections


def is_program(data):
    return data[:6] == b"\x7fELF\1\1" and len(data) >= 52 and struct.unpack_from("<H", data, 18)[0] == MACHINE


def check(wisp, path, data):
    """(bytes of code, bundles) of a program; raises when it does not come back."""
    elf = is_program(data)
    for plain in ([], ["--plain"]):
        text = npu(wisp, "dis", str(path), *([] if elf else ["--raw"]), *plain)
        back = npu(wisp, "as", "-", *(["--elf"] if elf else []), "-o", "-", data=text)
        if (loaded(back) != loaded(data)) if elf else (back != data):
            raise ValueError(f"another program from the {'plain' if plain else 'full'} text")
    lines = text.decode().splitlines()  # the plain ones
    if odd := [line for line in lines if line.startswith(".byte") and "//" in line]:
        raise ValueError(f"{len(odd)} times no bundle: {odd[0]}")
    bundles = sum(line[0] not in "./" and line[-1] != ":" for line in lines)
    return sum(len(b) for _, code, b in loaded(data) if code) if elf else len(data), bundles


def is_linked(data):
    return not is_program(data) or struct.unpack_from("<H", data, 16)[0] == 2


def hazards(wisp, path, elf):
    """(hazards by rule, reads, reads of old values) that wisp npu check finds."""
    done = subprocess.run([wisp, "npu", "check", str(path), *([] if elf else ["--raw"])], capture_output=True,
                          text=True)
    counts = re.search(r"; (\d+) of (\d+) reads take an old value", done.stdout)
    if not counts:
        raise ValueError(done.stderr)
    rules = collections.Counter(re.findall(r"^0x[0-9a-f]+: ([a-z -]+): ", done.stdout, re.M))
    return rules, int(counts[2]), int(counts[1])


def main():
    wisp, folder = sys.argv[1], os.environ.get("WISP_NPU_PROGRAMS")
    if not folder:
        print("WISP_NPU_PROGRAMS names no folder of outside programs")
        return 77
    files = n_bytes = n_bundles = failed = reads = old = 0
    found = collections.Counter()
    distinct = set()
    for path in sorted(pathlib.Path(folder).rglob("*")):
        data = path.read_bytes() if path.is_file() else b""
        if not is_program(data) and path.suffix != ".bin":
            continue
        files += 1
        code = b"".join(b for _, is_code, b in loaded(data) if is_code) if is_program(data) else data
        if code in distinct:
            continue
        distinct.add(code)
        try:
            size, bundles = check(wisp, path, data)
            n_bytes, n_bundles = n_bytes + size, n_bundles + bundles
            if is_linked(data):
                rules, n, n_old = hazards(wisp, path, is_program(data))
                found, reads, old = found + rules, reads + n, old + n_old
        except (ValueError, subprocess.CalledProcessError) as error:
            print(f"{path}: {getattr(error, 'stderr', b'').decode() or error}")
            failed += 1
    print(f"{files} programs, {len(distinct)} distinct: {n_bundles} bundles, {n_bytes} bytes of code, {failed} failed")
    print(f"hazards: {dict(found)}; {old} of {reads} reads take an old value")
    return 1 if failed or not files or not set(found) <= EXPLAINED else 0


sys.exit(main())

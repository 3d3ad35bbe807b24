#!/usr/bin/env python3
"""Compares the symbols a shared library exports with a list: usage: check_symbols.py LIB LIST [PREFIX]

The list is the public API, one name a line; a symbol more or less on either side fails.  With PREFIX only
names that begin with it count."""
import subprocess
import sys


def main():
    library, list_file, prefix = (sys.argv[1:] + [""])[:3]
    out = subprocess.run(["nm", "-D", "--defined-only", library], check=True, capture_output=True,
                         text=True).stdout
    exported = {line.split()[-1].split("@")[0] for line in out.splitlines() if line}
    exported = {name for name in exported if name.startswith(prefix)}
    listed = {line.strip() for line in open(list_file)
              if line.strip() and line[0] != "#" and line.startswith(prefix)}
    for name in sorted(exported - listed):
        print(f"exported but not in {list_file}: {name}")
    for name in sorted(listed - exported):
        print(f"in {list_file} but not exported: {name}")
    return 1 if exported != listed else 0


sys.exit(main())

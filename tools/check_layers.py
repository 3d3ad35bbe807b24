#!/usr/bin/env python3
"""Checks the include rules of the tree: usage: check_layers.py SOURCE_ROOT

Each folder of src/ and of src/npu/ may include only the folders listed for it; cli/ sees nothing of the
library but its public headers.  Exits 1 and names file, line and include when one breaks the rule."""
import pathlib
import re
import sys

# folder: what it may include besides itself and the public header.  The order is the data's.
LAYERS = {
    "base": [],
    "cpu": ["base"],
    "audio": ["base"],
    "mel": ["base"],
    "text": ["base"],
    "model": ["base", "text"],
    "encoder": ["base", "cpu", "model"],
    "decoder": ["base", "cpu", "model", "text"],
    "pipeline": ["base", "cpu", "audio", "mel", "text", "model", "encoder", "decoder"],
    # The NPU ladder.  The emulator sees what the chip sees: the instruction set and the bytes of images.
    "npu/isa": ["base"],
    "npu/asm": ["base", "npu/isa"],
    "npu/kernels": ["base", "npu/isa", "npu/asm"],
    "npu/image": ["base", "npu/isa"],
    "npu/array": ["base", "npu/isa", "npu/kernels", "npu/image"],
    "npu/emu": ["base", "cpu", "npu/isa", "npu/image"],
    "npu/device": ["base", "cpu", "npu/image", "npu/emu"],
    "npu/cases": ["base", "npu/isa", "npu/asm", "npu/kernels", "npu/image", "npu/array", "npu/emu"],
    ".": ["base", "cpu", "audio", "mel", "text", "model", "encoder", "decoder", "pipeline",
          "npu/isa", "npu/asm", "npu/kernels", "npu/image", "npu/array", "npu/emu", "npu/device",
          "npu/cases"],
}
INCLUDE = re.compile(r'^\s*#\s*include\s*["<]([^">]+)[">]', re.M)


def folder_of(parts):
    """The rule's name of a path below src/: its folder, of the NPU stack two levels; None = none."""
    depth = 2 if parts[0] == "npu" else 1
    return "/".join(parts[:depth]) if len(parts) > depth else None


def includes(root, path):
    """(line, name) of what is included with quotes, or with angle brackets from src/."""
    text = path.read_text()
    for match in INCLUDE.finditer(text):
        if '"' in match[0] or (root / "src" / match[1]).is_file():
            yield text.count("\n", 0, match.start(1)) + 1, match[1]


def violations(root):
    for path in sorted((root / "src").rglob("*.[ch]")):
        folder = folder_of(path.relative_to(root / "src").parts) or "."
        if folder not in LAYERS:
            yield path, 1, f"folder '{folder}' has no layer rule; add it to tools/check_layers.py"
            continue
        for line, name in includes(root, path):
            target = folder_of(name.split("/"))
            is_top = folder == "." and (root / "src" / name).is_file()
            if target is None and not is_top and name != "npu/aie2_tables.inc":
                yield path, line, f'"{name}" must be written from src/ ("folder/file.h")'
            elif target not in (None, folder) and target not in LAYERS[folder]:
                yield path, line, f"{folder}/ must not include {target}/"
    for path in sorted((root / "cli").rglob("*.[ch]")):
        for line, name in includes(root, path):
            if not (root / "cli" / name).is_file():
                yield path, line, f'cli/ sees only <wisp/*.h> and itself, not "{name}"'


def main():
    root = pathlib.Path(sys.argv[1])
    n = 0
    for path, line, what in violations(root):
        print(f"{path.relative_to(root)}:{line}: {what}")
        n += 1
    return 1 if n else 0


sys.exit(main())

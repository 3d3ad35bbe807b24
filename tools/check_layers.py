#!/usr/bin/env python3
"""Checks the include rules of the tree: usage: check_layers.py SOURCE_ROOT

Each folder of src/ may include only the folders listed for it; cli/ sees nothing of the library but its
public header.  Exits 1 and names file, line and include when one breaks the rule."""
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
    ".": ["base", "cpu", "audio", "mel", "text", "model", "encoder", "decoder", "pipeline"],
}
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)


def violations(root):
    for path in sorted((root / "src").rglob("*.[ch]")):
        folder = path.relative_to(root / "src").parts[0]
        folder = folder if (root / "src" / folder).is_dir() else "."
        if folder not in LAYERS:
            yield path, 1, f"folder '{folder}' has no layer rule; add it to tools/check_layers.py"
            continue
        text = path.read_text()
        for match in INCLUDE.finditer(text):
            target = match[1].split("/")[0] if "/" in match[1] else None
            line = text.count("\n", 0, match.start()) + 1
            if target is None:
                yield path, line, f'"{match[1]}" must be written from src/ ("folder/file.h")'
            elif target != folder and target not in LAYERS[folder]:
                yield path, line, f"{folder}/ must not include {target}/"
    for path in sorted((root / "cli").rglob("*.[ch]")):
        text = path.read_text()
        for match in INCLUDE.finditer(text):
            if not (root / "cli" / match[1]).is_file():
                line = text.count("\n", 0, match.start()) + 1
                yield path, line, f"cli/ sees only <wisp/wisp.h> and itself, not \"{match[1]}\""


def main():
    root = pathlib.Path(sys.argv[1])
    n = 0
    for path, line, what in violations(root):
        print(f"{path.relative_to(root)}:{line}: {what}")
        n += 1
    return 1 if n else 0


sys.exit(main())

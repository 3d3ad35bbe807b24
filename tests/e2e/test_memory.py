#!/usr/bin/env python3
"""Peak memory of a transcription at base dimensions with five beams: usage: test_memory.py WISP,
at the best level of this machine, and f16 at the portable one.

At most 1.5 x the model file + 60 MB for f16, + 110 MB for quantised files.  The files are sparse: all weights
are 0, so that every token is as likely as any other and each beam grows to its full 224 tokens."""
import math
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "cli"))
import tiny_model

STATE, HEADS, LAYERS, N_VOCAB, N_WORDS = 512, 8, 6, 51865, 50257
# ggml's number, values per block, bytes per block, MB beside 1.5 x the file
TYPES = {"f16": (1, 1, 2, 60), "q8_0": (8, 32, 34, 110), "q5_0": (6, 32, 22, 110), "q4_0": (2, 32, 18, 110)}
F32, F16 = (0, 1, 4), (1, 1, 2)


def storage(name, shape, kind):
    if len(shape) == 1 or "positional" in name or name.endswith("bias"):
        return F32
    return F16 if len(shape) == 3 else kind


def write_zeros(path, kind):
    tiny_model.N_STATE, tiny_model.N_LAYER = STATE, LAYERS
    with open(path, "wb") as f:
        f.write(struct.pack("<12i", 0x67676D6C, N_VOCAB, 1500, STATE, HEADS, LAYERS, 448, STATE, HEADS, LAYERS,
                            80, kind[0]))
        f.write(struct.pack("<2i", 80, 201) + bytes(4 * 80 * 201))
        f.write(struct.pack("<i", N_WORDS))
        for i in range(N_WORDS):
            word = f" w{i}".encode()
            f.write(struct.pack("<i", len(word)) + word)
        for name, shape in tiny_model.tensors(N_VOCAB):
            number, values, size = storage(name, shape, kind)
            f.write(struct.pack("<3i", len(shape), len(name), number))
            f.write(struct.pack(f"<{len(shape)}i", *reversed(shape)) + name.encode())
            f.seek(math.prod(shape) // values * size, os.SEEK_CUR)
        f.truncate(f.tell())


def peak_mb(wisp, model, audio, level):
    # Meson sets MALLOC_PERTURB_, which touches all memory that is only reserved
    env = {k: v for k, v in os.environ.items() if k != "MALLOC_PERTURB_"} | {"WISP_CPU": level}
    command = [wisp, "-m", model, "-bs", "5", "-nf", "-nt", "-l", "en", "-t", "2", "-np", audio]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=env) as p:
        text = p.stdout.read()
        _, status, usage = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
    if p.returncode != 0 or len(text.split()) < 200:
        sys.exit(f"exit {p.returncode}, text {text!r}")
    return usage.ru_maxrss * 1024 / 1e6


def main():
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        model, audio = pathlib.Path(folder) / "base.bin", pathlib.Path(folder) / "a.wav"
        tiny_model.write_wav(audio, tiny_model.samples(30))
        for name, (*kind, beside) in TYPES.items():
            write_zeros(model, kind)
            size = model.stat().st_size / 1e6
            most = 1.5 * size + beside
            for level in ("portable", "") if name == "f16" else ("",):  # slow: the largest only
                peak = peak_mb(sys.argv[1], model, audio, level)
                print(f"{name} {level or 'best'}: file {size:.0f} MB, peak {peak:.0f} MB, at most {most:.0f}")
                bad |= peak > most
    return bad


if __name__ == "__main__":
    sys.exit(main())

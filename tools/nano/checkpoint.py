#!/usr/bin/env python3
"""Turns a ggml model file into an openai-whisper checkpoint: usage: checkpoint.py MODEL.bin OUT.pt

For f32, f16 and q8_0 files, as export.py writes them; whisper.load_model() opens OUT.pt, and evaluate.py
measures it.  The values are those that the file stands for."""
import struct
import sys

import numpy as np
import torch

FIELDS = ("n_vocab n_audio_ctx n_audio_state n_audio_head n_audio_layer n_text_ctx n_text_state n_text_head "
          "n_text_layer n_mels").split()
# ggml's number: values per block, bytes per block, how to read them
TYPES = {0: (1, 4, lambda b: b.view("<f4")),
         1: (1, 2, lambda b: b.view("<f2").astype(np.float32)),
         8: (32, 34, lambda b: b[:, :2].copy().view("<f2").astype(np.float32) * b[:, 2:].view("i1"))}


def numbers(f, n):
    return struct.unpack(f"<{n}i", f.read(4 * n))


def tensors(f):
    while header := f.read(12):
        n_dims, length, kind = struct.unpack("<3i", header)
        shape = numbers(f, n_dims)[::-1]
        name = f.read(length).decode()
        values, size, decode = TYPES[kind]
        blocks = int(np.prod(shape)) // values
        data = np.frombuffer(f.read(blocks * size), np.uint8).reshape(blocks, size)
        if name.endswith("conv1.bias") or name.endswith("conv2.bias"):
            shape = shape[:1]  # stored as a column
        yield name, torch.tensor(decode(data).reshape(shape).copy())


def main():
    with open(sys.argv[1], "rb") as f:
        magic, *dims, _ = numbers(f, 12)
        assert magic == 0x67676d6c, "not a ggml file"
        bands, bins = numbers(f, 2)
        f.seek(4 * bands * bins, 1)
        for _ in range(*numbers(f, 1)):
            f.seek(*numbers(f, 1), 1)
        torch.save({"dims": dict(zip(FIELDS, dims)), "model_state_dict": dict(tensors(f))}, sys.argv[2])


if __name__ == "__main__":
    main()
